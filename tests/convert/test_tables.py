"Tables of recordings and samples"
import subprocess, sys
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def test_lines_of_a_csv_may_be_longer_than_a_megabyte(tmp_path):
    steps = np.random.default_rng(0).random((3,60_000))
    lines = [','.join(['y', *(f't{i}' for i in range(60_000))]), *(','.join(['1', *map(str, o)]) for o in steps)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    got = np.concatenate([o['X'][:,0] for o in from_wide(tmp_path/'a.csv', y='y')])
    assert len(lines[1]) > 2**20 and np.array_equal(got, steps)

def test_wide_tables(tmp_path):
    import pyarrow as pa, pyarrow.csv as csv
    steps = {f't{i}': x[:,0,i].astype('f8') for i in range(20)}
    csv.write_csv(pa.table({'label': [*'abcabc'], **steps}), tmp_path/'a.csv')
    arrays,_ = open_folder(convert(from_wide(tmp_path/'a.csv', y='label'), tmp_path/'set'))
    assert np.allclose(arrays['X'][:,0], x[:,0,:20]) and arrays['y'].tolist() == [*'abcabc']

def test_integers_of_a_csv_may_turn_out_to_be_floats(tmp_path):
    (tmp_path/'a.csv').write_text('v\n'+'1\n'*400_000+'1.5\n')
    assert read_file(tmp_path/'a.csv')['X'][0,-1] == 1.5

def test_times_give_start_and_rate_of_a_recording(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = np.datetime64('2024-01-01T00:00:00', 'ns') + np.arange(50)*np.timedelta64(20, 'ms')
    for i in range(3): pq.write_table(pa.table(dict(time=t, a=x[i,0,:50], b=x[i,1,:50])), tmp_path/f'{i}.parquet')
    X = open_folder(convert(f'{tmp_path}/*.parquet', tmp_path/'set'))[0]['X']
    metadata = metadata_of(tmp_path/'set')
    assert np.allclose(X, x[:3,:2,:50]) and metadata['fs'] == 50 and metadata['start'].startswith('2024-01-01T00:00:00')

def test_a_column_that_starts_late_is_there(tmp_path):
    (tmp_path/'a.csv').write_text('t,a,b\n' + ''.join(f'{i},{i},\n' for i in range(200_000)) + '1,1,1.5\n'*10)
    got = read_file(tmp_path/'a.csv')
    assert got['names'] == ['t','a','b'] and np.isnan(got['X'][2]).sum() == 200_000 and got['X'][2,-1] == 1.5

def test_a_column_of_times_is_no_variable(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i/50},{i*2}\n' for i in range(30)))
    assert read_file(tmp_path/'a.csv')['names'] == ['t','v']
    got = read_table(tmp_path/'a.csv', time='t')
    assert got['names'] == ['v'] and np.array_equal(got['X'], [np.arange(30)*2]) and 'fs' not in got
    with expect_fail(ValueError, "no column 'when' for `time`"): read_table(tmp_path/'a.csv', time='when')

@pytest.mark.parametrize('large', [0, 2**26])
def test_times_that_go_back_cause_one_warning(tmp_path, large, monkeypatch):
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', large)
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{o},{i},{i*.5}\n' for o in 'xy' for i in range(30)))
    with pytest.warns(UserWarning, match='The times in column .* go backwards'):
        got = read_table(tmp_path/'a.csv', time='t')['X']
        assert (got if large else np.concatenate([*got], 1)).shape == (1,60)

def test_columns_of_texts_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('a,b\n1,2\n3,-\n')
    assert read_file(tmp_path/'a.csv')['left_out'] == ['b']

@pytest.mark.parametrize('groups', ['many','one'])
def test_parquet_is_never_whole_in_memory(tmp_path, groups):
    code = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, sys
from tsdisk.tools.demo import private_memory
from tsdisk.convert.tables import read_table
rng = np.random.default_rng(0)
block = lambda: pa.table({f'v{k}': rng.random(2**18) for k in range(4)})
with pq.ParquetWriter('a.parquet', block().schema) as w:
    if sys.argv[1] == 'one': w.write_table(pa.concat_tables([block() for _ in range(20)]), row_group_size=10**8)
    else:
        for _ in range(20): w.write_table(block())
parts = read_table('a.parquet')['X']
next(parts)
before,most,n = private_memory(),0,0
for o in parts: most,n = max(most, private_memory()-before),n+o.shape[1]
print(n, most)
"""
    command = [sys.executable, '-c', code, groups]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    n,most = map(float, done.stdout.split())
    assert n == 20*2**18-2**16 and most < 60e6, 'the file has 168 MB'

@pytest.mark.parametrize('name', ['a.csv','a.tsv','a.parquet'])
def test_a_table_is_read_by_its_suffix(tmp_path, name):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1,2,3], b=[.5,1.,None]))
    if name.endswith('parquet'): df.to_parquet(tmp_path/name)
    else: df.to_csv(tmp_path/name, sep='\t' if name.endswith('tsv') else ',', index=False)
    got = read_file(tmp_path/name)
    assert got['names'] == ['a','b'] and np.array_equal(got['X'], [[1,2,3], [.5,1,np.nan]], equal_nan=True)

def test_columns_that_are_missing_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('y,t0,t1\n1,2,3\n')
    words = "no column 'nobody' for {}, it has ['y', 't0', 't1']"
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', metadata=['nobody'])]
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', y='nobody')]
    with expect_fail(ValueError, words.format('`steps`')): [*from_wide(tmp_path/'a.csv', steps=['nobody'])]
