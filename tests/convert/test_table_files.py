"Tables of all formats are opened alike, with the index of pandas told apart from the columns"
import numpy as np, pandas as pd, pytest
from conftest import fails
from test_csv import written
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.readers import from_frame, read_file
from tsdisk.convert.tables import from_wide, read_table

@pytest.mark.parametrize('name', ['a.csv','a.tsv','a.parquet'])
def test_a_table_is_read_by_its_suffix(tmp_path, name):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1,2,3], b=[.5,1.,None]))
    if name.endswith('parquet'): df.to_parquet(tmp_path/name)
    else: df.to_csv(tmp_path/name, sep='\t' if name.endswith('tsv') else ',', index=False)
    got = read_file(tmp_path/name)
    assert got['names'] == ['a','b'] and np.array_equal(got['X'], [[1,2,3], [.5,1,np.nan]], equal_nan=True)

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_an_index_of_pandas_is_no_variable(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2,3,4], b=[5.,6,7,8])).iloc[[0,2,3]]
    path = tmp_path/f'a.{kind}'
    if kind == 'csv': df.to_csv(path)
    elif kind == 'parquet': df.to_parquet(path)
    elif kind == 'feather': df.reset_index().rename(columns={'index': '__index_level_0__'}).to_feather(path)
    got = from_frame(df) if kind == 'frame' else read_table(path)
    assert got['names'] == ['a','b']
    assert kind == 'frame' or [*got['left_out'].values()] == ['index of pandas']

@pytest.mark.parametrize('kind', ['csv','parquet','frame'])
def test_an_index_of_dates_is_the_time(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2,3]), pd.date_range('2020', periods=3, tz='Europe/Berlin'))
    path = tmp_path/f'a.{kind}'
    if kind != 'frame': getattr(df, f'to_{kind}')(path)
    got = from_frame(df) if kind == 'frame' else read_table(path)
    assert got['names'] == ['a'] and 'left_out' not in got
    assert got['times'].tolist() == (np.arange(3)*np.timedelta64(1, 'D') + np.datetime64('2019-12-31T23', 'ns')).tolist()

def test_an_index_named_like_a_column_is_refused():
    df = pd.DataFrame(dict(who=[1.,2,3]), pd.Index([7,8,9], name='who'))
    with fails(ValueError, "several columns 'who'"): next(from_wide(df))

def test_the_line_of_a_wrong_cell_is_named(tmp_path):
    written(tmp_path/'a.csv', '# note\nt,v\n' + ''.join(f'{i},{i}\n' for i in range(50_000)) + '1,high\n')
    with fails(ValueError, "'v'", "'high'", 'line 50003', 'a.csv'): read_file(tmp_path/'a.csv')

@pytest.mark.parametrize('units,differ', [('V', True), ('mV', False), (None, False)])
def test_files_of_a_table_need_the_same_units(tmp_path, units, differ):
    written(tmp_path/'a.csv', 'id;v\n;mV\n1;2\n1;3\n')
    written(tmp_path/'b.csv', f'v;id\n{units};\n4;2\n5;2\n' if units else 'v;id\n4;2\n5;2\n')
    table = from_long(tmp_path/'*.csv', 'id')
    if differ:
        with fails(ValueError, "'v' is in V", 'b.csv', 'in mV', 'same units'): [*table]
    else: assert [o['units'] for o in table] == [['mV']]*2
