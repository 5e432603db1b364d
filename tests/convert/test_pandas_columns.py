"Columns of a frame hold numbers, times or neither"
import numpy as np, pandas as pd, pytest
from conftest import fails
from test_arrow_columns import big, lost
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
