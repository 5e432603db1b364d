"Columns of a table are checked, and read in batches as numbers or metadata"
import numpy as np, pandas as pd, pytest
from conftest import fails
from test_arrow_columns import big, lost
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.record_times import with_clock
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
