"Tables of all formats are opened alike, with the index of pandas told apart from the columns"
import numpy as np, pandas as pd, pyarrow as pa, pytest
from conftest import fails
from test_csv import written
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.readers import from_frame, read_file
from tsdisk.convert.table_files import CsvTable, open_table, ParquetTable, table_format
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

# Formats

def test_files_that_are_not_what_their_suffix_says_are_named(tmp_path):
    for name,said in (('a.parquet','a parquet file'), ('a.arrow','an Arrow file'), ('a.feather','an Arrow file')):
        (tmp_path/name).write_bytes(b'not a table at all')
        with fails(ValueError, f'{name} is not {said}'): open_table(tmp_path/name)
    (tmp_path/'old.feather').write_bytes(b'FEA1' + bytes(20))
    old = 'old.feather is a feather file of version 1'
    with fails(ValueError, old, 'to_feather'): open_table(tmp_path/'old.feather')

def test_files_of_one_table_have_one_known_format(tmp_path):
    for name in ('a.csv','b.tsv','c.txt','d.npy'): written(tmp_path/name, 'v\n1\n')
    assert len(open_table([tmp_path/'a.csv',tmp_path/'b.tsv']).files) == 2
    assert open_table(tmp_path/'c.txt').names == ['v'] # Other suffixes of text are read where they are given
    with fails(ValueError, 'd.npy is not a table', '.parquet', '.csv.gz'): open_table(tmp_path/'d.npy')
    pd.DataFrame(dict(v=[1])).to_parquet(tmp_path/'e.parquet')
    with fails(ValueError, 'need the same format', 'data/*.csv'): open_table([tmp_path/'a.csv',tmp_path/'e.parquet'])
    found = [table_format(o) for o in ('a.CSV','a.tsv.gz','a.pq','a.tab','a.xlsx')]
    assert found == [CsvTable,CsvTable,ParquetTable,CsvTable,None]

@pytest.mark.parametrize('kind', ['file','stream'])
def test_batches_of_arrow_are_cut_and_in_order(tmp_path, kind, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.table_columns.large', 2**15)
    tab = pa.table(dict(a=np.arange(1000.)+.5, b=np.arange(1000)))
    with getattr(pa.ipc, f'new_{kind}')(tmp_path/'a.arrow', tab.schema) as f: f.write_table(tab)
    got = [*open_table(tmp_path/'a.arrow').batches(['b','a'])]
    assert len(got) > 10 and got[0].schema.names == ['b','a']
    assert [o for b in got for o in b['b'].to_pylist()] == [*range(1000)]

def test_periods_and_levels_of_an_index_are_columns():
    periods = open_table(pd.DataFrame(dict(a=[1,2]), pd.period_range('2020-01', periods=2, freq='M')))
    assert periods.names == ['','a'] and periods.kinds == {'': 'date', 'a': 'number'}
    levels = open_table(pd.DataFrame(dict(a=[1,2]), pd.MultiIndex.from_tuples([('x',1),('y',2)], names=['who',None])))
    assert levels.names == ['who','level_1','a'] and levels.kinds == dict(who='index', level_1='index', a='number')
    assert open_table(pd.DataFrame(dict(a=[1,2]), [7,8])).names == ['a']

def test_objects_of_several_types_become_strings():
    got = open_table(pd.DataFrame(dict(a=['x',1,'y'], b=[1.5,2,3])))
    assert next(got.batches(['a'])).to_pydict() == dict(a=['x','1','y']) and got.kinds['a'] == 'text'

def test_a_parquet_file_is_as_large_as_its_numbers(tmp_path):
    pd.DataFrame(dict(a=np.zeros(10_000), b=np.ones(10_000))).to_parquet(tmp_path/'a.parquet')
    t = open_table(tmp_path/'a.parquet')
    assert t.nbytes >= 2*8*10_000 > (tmp_path/'a.parquet').stat().st_size and t.bytes_of(['a']) == 8*10_000

def test_rows_of_a_table_are_where_an_editor_shows_them(tmp_path):
    path = written(tmp_path/'a.csv', '# note\n# more\nv\n1\n2\n')
    t = open_table(path)
    assert t.where(str(path), 0, 0) == f'line 4 of {path}' and t.where(str(path), 100, 5) == f'line 109 of {path}'
    assert open_table(pd.DataFrame(dict(a=[1]))).where('the frame', 2, 1) == 'row 3 of the frame'
