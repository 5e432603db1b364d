"What a column holds is found out, and its numbers are read or refused"
from datetime import date, timedelta
from decimal import Decimal
import numpy as np, pyarrow as pa, pytest
from conftest import fails
from tsdisk.convert.arrow_columns import are_iso, are_large, cast_strings, kind_of, number_column
from tsdisk.convert.readers import from_frame, read_file
from tsdisk.convert.tables import read_table

def test_columns_of_strings_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('a,b,t,u\n1,x,2020-01-01,2020-01-01\n3,-,2020-01-02,2020-01-02\n')
    assert read_file(tmp_path/'a.csv')['left_out'] == {'b': 'text', 'u': 'dates'}

marks = ['?','-','NA','N/A','nan','None','Null','null','.','']

@pytest.mark.parametrize('mark', marks)
@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_marks_of_missing_values_are_nan(tmp_path, mark, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=['1',mark,'3'], b=[1.5,2.5,3.5]))
    got = read_any(df, tmp_path, kind)
    assert got['names'] == ['a','b'] and np.array_equal(got['X'], [[1,np.nan,3], [1.5,2.5,3.5]], equal_nan=True)

def read_any(df, folder, kind):
    if kind == 'frame': return from_frame(df)
    path = folder/f'a.{kind}'
    df.to_csv(path, index=False) if kind == 'csv' else getattr(df, f'to_{kind}')(path)
    return read_table(path)

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_text_among_numbers_is_an_error_that_says_where(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=['1','2','high','4'], b=[1.5,2.5,3.5,4.5]))
    with fails(ValueError, "'a'", "'high'", 'line 4' if kind == 'csv' else 'row 2'): read_any(df, tmp_path, kind)

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_what_is_left_out_is_named_with_the_reason(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2.], site=pd.Categorical(['n','s']), e=[None,None], when=['01/02/2020','02/02/2020']))
    got = read_any(df, tmp_path, kind)
    assert got['names'] == ['a'] and [*got['left_out']] == ['site','e','when']
    assert got['left_out']['site'] == 'text' and got['left_out']['e'] == 'no values' and 'may be dates' in got['left_out']['when']

big = 2**53+1
lost = 'integers beyond 2**53'

@pytest.mark.parametrize('text', [f'v,w\n{big},1\n', f'v\n{big}\n', f'v,w\n{big},1\nNA,2\n', f'v,on\n{big},True\n'])
def test_integers_of_a_csv_that_lose_digits_are_refused(tmp_path, text):
    (tmp_path/'a.csv').write_text(text)
    with fails(ValueError, "'v'", lost): read_table(tmp_path/'a.csv', vars=['v','w'] if 'w' in text else ['v'])

def test_large_floats_of_a_csv_may_be_written_without_a_point(tmp_path):
    (tmp_path/'a.csv').write_text(f'v,w\n{2**60},1\n123456789012345680000,2\n1e300,3\n')
    assert read_table(tmp_path/'a.csv')['X'][0].tolist() == [2.**60, 123456789012345680000., 1e300]

# What a column holds

numbers = [True,None],[Decimal('1.5')],pa.array(['1','?']).dictionary_encode(),pa.array(['1','2'], 'large_string')
empty = [None],pa.array([np.nan,None]),pa.array(['NA',None]),pa.array([None], 'int8')
dates = [date(2020,1,1)],pa.array([0], pa.timestamp('s', 'UTC')),['2020-01-01',None]
kinds = [(o, kind) for kind,found in dict(number=numbers, empty=empty, date=dates).items() for o in found]
kinds += [(['a','b','1'], 'text'), (['01/02/2020']*2, 'perhaps a date'), ([b'a'], 'binary'), ([[1,2]], 'list')]
kinds += [([[[1.]]], 'list'), ([[date(2020,1,1)]], 'times in lists'), ([[timedelta(1)]], 'times in lists')]
kinds += [([['a']], 'lists of string'), ([timedelta(1)], 'duration[us]'), ([dict(a=1)], 'struct<a: int64>')]

@pytest.mark.parametrize('values,kind', kinds, ids=[f'{i}-{k}' for i,(_,k) in enumerate(kinds)])
def test_the_kind_of_a_column_is_that_of_its_values(values, kind):
    column = values if isinstance(values, pa.Array) else pa.array(values)
    assert kind_of(column) == kind

def test_the_decimal_sign_decides_what_is_a_number():
    assert [kind_of(pa.array(['1,5','2,5']), o) for o in ('.',',')] == ['text','number']
    assert cast_strings(pa.array(['1,5','-','2']), ',').to_pylist() == [1.5,None,2]
    with fails(ValueError, 'a point'): cast_strings(pa.array(['1,5','2.5']), ',')

def test_dates_are_iso_if_all_of_them_are():
    assert are_iso(pa.array(['2020-01-01',None,'2020-01-02T03:04:05.5']))
    others = [], [None,'2020-01-01'], ['2020-01-01','NA'], ['2020-01-01T00:00:00Z'], ['2020-01-01','01.02.2020'], ['1']
    for o in others: assert not are_iso(pa.array(o, 'string'))

def test_columns_that_are_no_numbers_are_refused_by_name_and_type():
    for o,held in ((date(2020,1,1), 'date32[day]'), ([1], 'list<'), (b'1', 'binary')):
        with fails(ValueError, f"Column 'a' holds {held}", 'select other columns'): number_column(pa.array([o]), 'a')
    assert number_column(pa.array([None,None]), 'a').type == 'double'
    with fails(ValueError, "'a'", "'x'", 'cell 1'): number_column(pa.array(['1','x']), 'a', 'cell {}'.format)

def test_strings_lose_no_digits_as_numbers():
    assert number_column(pa.array(['9007199254740992','NA']), 'a').to_pylist() == [2.**53,None]
    with fails(ValueError, "'a'", lost): number_column(pa.array(['NA',str(big)]), 'a')
    assert are_large(pa.array([2.**53,-2.**53,2.**53-1,None])).to_pylist() == [True,True,False,None]
