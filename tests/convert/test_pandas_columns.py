"Columns of a frame hold numbers, times or neither"
import numpy as np, pandas as pd, pytest
from conftest import fails, same
from test_arrow_columns import big, lost
from tsdisk.convert.pandas_columns import frame_columns, frame_numbers, frame_times
from tsdisk.convert.readers import from_frame
from tsdisk.convert.record_times import with_clock
from tsdisk.convert.tables import from_wide

@pytest.mark.parametrize('values', [[big,big+2], pd.array([big,None], 'Int64'), [str(big),'1']], ids=['ints','nullable','text'])
def test_integers_of_a_frame_that_lose_digits_are_refused(values):
    with fails(ValueError, "'a'", lost): from_frame(pd.DataFrame(dict(a=values)))

days = pd.date_range('2024', periods=3)

def test_an_index_of_durations_is_the_time():
    got = from_frame(pd.DataFrame(dict(a=[1.,2,3]), days-days[0]))
    assert with_clock(got)['fs'] == 1/86400 and 'start' not in with_clock(got)

@pytest.mark.parametrize('names', [['who','t'], [None,None]])
def test_levels_of_an_index_are_never_lost(names):
    df = pd.DataFrame(dict(a=[1.,2,3]), pd.MultiIndex.from_product([['x'], days], names=names))
    with fails(ValueError, 'several levels', 'from_long'): from_frame(df)
    left_out = next(from_wide(df))['left_out']
    assert [*left_out] == (names if names[0] else ['level_0','level_1'])

def test_columns_of_strings_in_a_frame_may_be_numbers_or_times():
    import pandas as pd
    df = pd.DataFrame({'t': ['31.12.2024','01.01.2025'], 'a': ['1','?'], ('b','x'): [1,2], 'c': pd.Categorical([3,4]), 'd': [1j,2j]})
    got = from_frame(df)
    assert got['names'] == ['a','b x','c'] and got['left_out'] == {'d': 'complex numbers'}
    assert np.array_equal(got['X'], [[1,np.nan], [1,2], [3,4]], equal_nan=True) and got['times'][1]-got['times'][0] == np.timedelta64(1, 'D')
    with fails(ValueError, 'from_wide(df)'): from_frame(pd.DataFrame(dict(id=[1], x=[[1,2]])))

def test_columns_of_equal_names_are_refused():
    import pandas as pd
    for names in (['x','x'], [1,'1'], [('a','b c'),('a b','c')]):
        df = pd.DataFrame([[1.,2.]], columns=pd.Index(names, dtype=object, tupleize_cols=False))
        with fails(ValueError, 'several columns', 'rename'): from_frame(df)

def test_missing_categories_are_missing_values():
    import pandas as pd
    got = from_frame(pd.DataFrame(dict(a=pd.Categorical([1,None,2]), b=pd.Categorical([True,None,False]), c=pd.Categorical(['a',None,'b']))))
    assert np.array_equal(got['X'], [[1,np.nan,2],[1,np.nan,0]], equal_nan=True) and got['names'] == ['a','b']

def test_an_index_of_floats_only_labels_rows():
    import pandas as pd
    with fails(ValueError, "'a'", 'lists'): from_frame(pd.DataFrame(dict(a=['x', [1,2], 'y']), index=[20.,3.,11.]))

# Kinds, numbers and times

odd = {'Unnamed: 0': [5,6], 'a': [1,2], 'on': [True,False], 'z': [1j,2], 'none': [None,None], 'nan': [np.nan,np.nan],
    'lists': [[1],[2,3]], 'text': ['x','y'], 'strings': ['1','NA'],
    'day': pd.to_datetime(['2020-01-01','2020-01-02'], utc=True), 'iso': ['2020-01-01','2020-01-02'],
    'perhaps': ['01/02/2020']*2, 'grade': pd.Categorical(['x','y']), 'level': pd.Categorical([1,None])}

def test_each_column_has_a_kind_or_the_reason_why_it_is_left_out():
    kinds = {name: kind for name,_,kind in frame_columns(pd.DataFrame(odd))}
    want = ['index of pandas','number','number','complex numbers','no values','no values','lists','text','number',
        'date','date','text that may be dates','text','number']
    assert kinds == dict(zip(odd, want))
    moved = [kind for name,_,kind in frame_columns(pd.DataFrame({'a': [1], 'Unnamed: 0': [2]}))]
    assert moved == ['number','number'] # Only the first column is an index
    assert [name for name,_,_ in frame_columns(pd.DataFrame({('a','b'): [1], ('c',''): [2]}))] == ['a b','c']

def test_numbers_of_all_types_are_floats():
    nullable = [pd.array([1,0], o) for o in ('Int8','boolean','Float32')]
    for values in ([1,0], [True,False], ['1','0'], *nullable):
        got = frame_numbers(pd.Series(values), 'a')
        assert got.dtype.kind == 'f' and got.tolist() == [1,0]
    got = frame_numbers(pd.Series(pd.array([1,None], 'Int64')), 'a')
    assert got[0] == 1 and np.isnan(got[1])
    halves = np.array([.5,1], 'f2')
    same(frame_numbers(pd.Series(halves), 'a'), halves)
    with fails(ValueError, "'a'", "'high'", 'row 2 of the frame'): frame_numbers(pd.Series(['1','2','high']), 'a')

def times_of(df): return frame_times(df, frame_columns(df))

def test_times_come_from_the_index_and_then_from_the_first_column_of_dates():
    frame = pd.DataFrame(dict(a=[1,2,3], day=days, iso=['2021-01-01','2021-01-02','2021-01-03']))
    want = days.to_numpy().astype('M8[ns]')
    for index in (days, days.tz_localize('UTC'), days.to_period('D')):
        got,name = times_of(frame.set_axis(index))
        assert name is None
        same(got['times'], want)
    got,name = times_of(frame)
    assert name == 'day'
    same(got['times'], want)
    got,name = times_of(frame[['iso','day']])
    assert name == 'iso' and got['times'][0] == np.datetime64('2021-01-01')
    assert times_of(frame[['a']]) == ({},None)
