"What a column holds is found out, and its numbers are read or refused"
import numpy as np, pytest
from conftest import fails
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
