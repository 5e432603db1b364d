"Columns of a table are checked, and read in batches as numbers or metadata"
from datetime import date
import numpy as np, pandas as pd, pyarrow as pa, pytest
from conftest import fails
from test_arrow_columns import big, lost
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.record_times import with_clock
from tsdisk.convert.table_columns import hive_keys, metadata_values, rows_per_batch, variable_values
from tsdisk.convert.table_files import open_table
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.folder.manifest import open_folder

def test_integers_of_a_csv_may_turn_out_to_be_floats(tmp_path):
    (tmp_path/'a.csv').write_text('v\n'+'1\n'*400_000+'1.5\n')
    assert read_file(tmp_path/'a.csv')['X'][0,-1] == 1.5

def test_a_column_that_starts_late_is_there(tmp_path):
    (tmp_path/'a.csv').write_text('t,a,b\n' + ''.join(f'{i},{i},\n' for i in range(200_000)) + '1,1,1.5\n'*10)
    got = read_file(tmp_path/'a.csv')
    assert got['names'] == ['t','a','b'] and np.isnan(got['X'][2]).sum() == 200_000 and got['X'][2,-1] == 1.5

def test_variables_that_are_selected_are_kept_without_values(tmp_path):
    (tmp_path/'a.csv').write_text('a,b,c\n1,,2\n3,,4\n')
    assert read_table(tmp_path/'a.csv')['left_out'] == {'b': 'no values'}
    got = read_table(tmp_path/'a.csv', vars=['c','b'])
    assert got['names'] == ['c','b'] and got['X'][0].tolist() == [2,4] and np.isnan(got['X'][1]).all()

def test_files_of_a_table_need_the_same_columns(tmp_path):
    (tmp_path/'a.csv').write_text('y,t0,t1\n1,2,3\n')
    (tmp_path/'b.csv').write_text('t1,t0,y\n6,5,4\n')
    assert np.concatenate([o['X'] for o in from_wide(tmp_path, y='y')])[:,0].tolist() == [[2,3], [5,6]]
    (tmp_path/'c.csv').write_text('y,t0\n1,2\n')
    with fails(ValueError, 'c.csv', "no column 't1'"): [*from_wide(tmp_path, y='y')]

def test_keys_of_folders_are_metadata(tmp_path):
    import pandas as pd
    for site in 'ns':
        folder = tmp_path/f'data/year=2020/site={site}'
        folder.mkdir(parents=True)
        pd.DataFrame(dict(a=[1.,2], b=[3.,4])).to_parquet(folder/'p.parquet')
    (tmp_path/'data/_SUCCESS').write_text('')
    arrays,_ = open_folder(convert(tmp_path/'data', tmp_path/'set', n_workers=0))
    assert arrays['site'].tolist() == ['n','s'] and arrays['X'].shape == (2,2,2)
    got = [*from_wide(tmp_path/'data', y='site')]
    assert [o['y'].tolist() for o in got] == [['n','n'], ['s','s']] and got[0]['year'].tolist() == ['2020']*2

def test_true_and_false_are_classes_in_a_csv_as_in_parquet(tmp_path):
    (tmp_path/'a.csv').write_text('sick,t0,t1\nTrue,1,2\nFalse,3,4\n')
    got, = from_wide(tmp_path/'a.csv', y='sick')
    assert got['y'].dtype == bool and got['y'].tolist() == [True,False]
    (tmp_path/'b.csv').write_text('sick,t0,t1\n1,1,2\n0,3,4\n')
    assert next(from_wide(tmp_path/'b.csv', y='sick'))['y'].dtype == np.int64

def test_integers_that_floats_do_not_tell_apart_are_refused_by_name(tmp_path):
    pd.DataFrame(dict(stamp=[2**53+1, 2**53+2], v=[1.,2.])).to_parquet(tmp_path/'a.parquet')
    with fails(ValueError, "'stamp'", '`time_unit`'): read_table(str(tmp_path/'a.parquet'))
    assert read_table(str(tmp_path/'a.parquet'), vars=['v'])['X'].tolist() == [[1,2]]

def test_keys_of_folders_are_kept_whatever_their_names(tmp_path):
    folder = tmp_path/'fs=7/names=q'
    folder.mkdir(parents=True)
    (folder/'a.csv').write_text('t,v\n2024-01-01,1\n2024-01-02,2\n')
    got = with_clock(read_table(folder/'a.csv'))
    assert got['fs_'] == '7' and got['names_'] == 'q' and got['names'] == ['v'] and got['fs'] == 1/86400

@pytest.mark.parametrize('kind', ['csv','parquet'])
def test_metadata_that_would_lose_digits_is_refused(tmp_path, kind):
    df = pd.DataFrame(dict(id=pd.array([big,None], 'Int64'), t0=[1.,2], t1=[3.,4]))
    df.to_csv(tmp_path/'a.csv', index=False) if kind == 'csv' else df.to_parquet(tmp_path/'a.parquet')
    with fails(ValueError, lost): next(from_wide(tmp_path/f'a.{kind}', metadata=['id']))

@pytest.mark.parametrize('kind', ['parquet','arrow'])
def test_columns_of_one_name_are_refused_with_the_file(tmp_path, kind):
    import pyarrow as pa, pyarrow.parquet as pq
    tab = pa.Table.from_arrays([pa.array([1.,2.])]*3, ['a','a','b'])
    if kind == 'parquet': pq.write_table(tab, tmp_path/'a.parquet')
    else:
        with pa.ipc.new_file(tmp_path/'a.arrow', tab.schema) as f: f.write_table(tab)
    with fails(ValueError, f'a.{kind}', "several columns 'a'", 'rename'): read_table(tmp_path/f'a.{kind}', vars=['b'])

# The parts

def test_batches_hold_about_two_megabytes():
    assert rows_per_batch(['a']) == 2**18 and rows_per_batch([*'abcd']) == 2**16 and rows_per_batch([]) == 2**18
    assert rows_per_batch(['a'], 2**20) == 2 and rows_per_batch(['a'], 2**30) == 1

paths = {'d/year=2020/site=n/a.csv': dict(year='2020', site='n'), 'd/no key=1/a=b.csv': {}, 'a.csv': {}}
paths |= {'d/site=S%C3%A3o%20Paulo/a.csv': dict(site='São Paulo'), 'd/k=a=b/x=/a.csv': dict(k='a=b', x='')}

@pytest.mark.parametrize('path,keys', paths.items())
def test_keys_are_in_the_names_of_folders(path, keys): assert hive_keys(path) == keys

def table(**columns): return open_table(pd.DataFrame(columns))

def test_columns_that_a_table_lacks_are_named_beside_those_it_has():
    t = table(a=[1.,2], x=[[1,2],[3,4]])
    assert t.check(['x','a'], 'this') == ['x','a'] and t.lists == ['x']
    with fails(ValueError, "no column 'b' for `steps`, it has ['a', 'x']"): t.check(['a','b'], '`steps`')
    t.expand('x', 2)
    assert t.check(['x.0','x.1'], 'this') == ['x.0','x.1']

def test_each_list_may_become_columns():
    t = table(x=[[1,2],[3,4]], n=[5,6])
    assert t.expand('x', 2) == ['x.0','x.1']
    assert next(t.batches(['x.1','n','x.0'])).to_pydict() == {'x.1': [2,4], 'n': [5,6], 'x.0': [1,3]}
    t.expand('x', 3)
    with fails(ValueError, "'x' differ in length, the first has 3 values"): next(t.batches(['x.2']))

def test_numeric_columns_are_those_with_numbers():
    t = table(a=['1','?'], b=[1.,2], none=[np.nan,np.nan], text=['x','y'], day=pd.date_range('2020', periods=2))
    assert t.numbers() == ['a','b'] and t.numbers(but=['b']) == ['a']
    assert t.left_out(['a','b']) == dict(left_out=dict(none='no values', text='text', day='dates'))
    assert t.left_out(t.names) == {}
    t.as_numbers(['a'])
    assert next(t.batches(['a'])).to_pydict() == dict(a=[1,None])

def test_a_table_without_rows_is_refused():
    with fails(ValueError, 'the frame has no rows'): table(a=[]).numbers()

def test_columns_that_can_not_be_metadata_are_refused():
    t = table(a=[1,2], b=[b'x',b'y'], words=[['x'],['y']], both=[dict(a=1)]*2)
    t.as_metadata(['a','b'])
    for name,held in (('words','lists of string'), ('both','struct')):
        with fails(ValueError, f"Column {name!r} holds {held}", "can't be metadata"): t.as_metadata([name])

metadata = [([1,2], [1,2], 'i'), ([1,None], [1,np.nan], 'f'), (['a',None], ['a',''], 'U'),
    ([b'a',b'bc'], ['a','bc'], 'U'), ([True,False], [True,False], 'b'),
    (pa.array(['x','y','x']).dictionary_encode(), [*'xyx'], 'U'), ([date(2020,1,2)], ['2020-01-02'], 'U')]

@pytest.mark.parametrize('values,want,kind', metadata, ids=[f'{i}-{k}' for i,(*_,k) in enumerate(metadata)])
def test_metadata_are_numbers_or_strings_of_numpy(values, want, kind):
    got = metadata_values(values if isinstance(values, pa.Array) else pa.array(values))
    np.testing.assert_array_equal(got, want)
    assert got.dtype.kind == kind

def test_variables_are_floats_in_the_order_of_their_names():
    batch = pa.RecordBatch.from_pydict(dict(a=[1,None], b=[.5,2.]))
    np.testing.assert_array_equal(variable_values(batch, ['b','a']), [[.5,2], [1,np.nan]])
    with fails(ValueError, "'a'", lost): variable_values(pa.RecordBatch.from_pydict(dict(a=[big])), ['a'])

def test_columns_that_only_later_files_have_are_told(tmp_path):
    (tmp_path/'a.csv').write_text('v\n1\n')
    (tmp_path/'b.csv').write_text('w,v\n1,2\n')
    t = open_table([tmp_path/'a.csv',tmp_path/'b.csv'])
    t.as_numbers(['v'])
    said = r"b\.csv has columns that .*a\.csv lacks.*left out: \['w'\]"
    with pytest.warns(UserWarning, match=said): got = [o.to_pydict() for o in t.batches(['v'])]
    assert got == [dict(v=[1]),dict(v=[2])]
    (tmp_path/'c.csv').write_text('v\n2\nx\n')
    t = open_table([tmp_path/'a.csv',tmp_path/'c.csv'])
    t.as_numbers(['v'])
    with fails(ValueError, "'v'", "'x'", 'line 3', 'c.csv'): [*t.batches(['v'])]
