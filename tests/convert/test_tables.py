"Tables of recordings and samples"
import subprocess, sys
from functools import partial
import numpy as np, pandas as pd, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.readers import read_file
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def test_wide_tables(tmp_path):
    import pyarrow as pa, pyarrow.csv as csv
    steps = {f't{i}': x[:,0,i].astype('f8') for i in range(20)}
    csv.write_csv(pa.table({'label': [*'abcabc'], **steps}), tmp_path/'a.csv')
    arrays,_ = open_folder(convert(from_wide(tmp_path/'a.csv', y='label'), tmp_path/'set'))
    assert np.allclose(arrays['X'][:,0], x[:,0,:20]) and arrays['y'].tolist() == [*'abcabc']

def test_times_give_start_and_rate_of_a_recording(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = np.datetime64('2024-01-01T00:00:00', 'ns') + np.arange(50)*np.timedelta64(20, 'ms')
    for i in range(3): pq.write_table(pa.table(dict(time=t, a=x[i,0,:50], b=x[i,1,:50])), tmp_path/f'{i}.parquet')
    X = open_folder(convert(f'{tmp_path}/*.parquet', tmp_path/'set'))[0]['X']
    metadata = metadata_of(tmp_path/'set')
    assert np.allclose(X, x[:3,:2,:50]) and metadata['fs'] == 50 and metadata['start'].startswith('2024-01-01T00:00:00')

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

def test_columns_that_are_missing_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('y,t0,t1\n1,2,3\n')
    words = "no column 'nobody' for {}, it has ['y', 't0', 't1']"
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', metadata=['nobody'])]
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', y='nobody')]
    with expect_fail(ValueError, words.format('`steps`')): [*from_wide(tmp_path/'a.csv', steps=['nobody'])]

def test_gaps_and_repeated_times_are_known(tmp_path):
    import pandas as pd
    keep = np.r_[0:1500, 3500:5000]
    pd.DataFrame(dict(t=pd.date_range('2020', periods=5000, freq='h')[keep], v=keep*1.)).to_csv(tmp_path/'a.csv', index=False)
    with pytest.warns(UserWarning, match='1 series have gaps in time, 1 in all'): convert(tmp_path/'a.csv', tmp_path/'set', n_workers=0)
    assert 'fs' not in metadata_of(tmp_path/'set') and read_manifest(tmp_path/'set')['clock']['gaps'][:2] == [1,1]

def test_times_of_a_large_file_are_scanned_as_it_is_read(tmp_path, monkeypatch):
    import pandas as pd
    from tsdisk.convert import tables
    monkeypatch.setattr(tables, 'large', 100)
    times = pd.date_range('2020', periods=200_000, freq='s')
    pd.DataFrame(dict(t=times, v=np.arange(200_000.))).to_csv(tmp_path/'a.csv', index=False)
    convert(tmp_path/'a.csv', tmp_path/'set', n_workers=0)
    metadata = metadata_of(tmp_path/'set')
    assert metadata['fs'] == 1 and metadata['start'].startswith('2020-01-01') and np.array_equal(open_folder(tmp_path/'set')[0]['X'][0], [np.arange(200_000)])

def test_milliseconds_since_1970_give_the_exact_rate(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{1577836800000+i},{i}\n' for i in range(5000)))
    read = partial(read_table, time='t', time_unit='ms since 1970-01-01')
    convert(tmp_path/'a.csv', tmp_path/'set', read=read, n_workers=0)
    assert metadata_of(tmp_path/'set')['fs'] == 1000 and 'time_period' not in metadata_of(tmp_path/'set')

@pytest.mark.parametrize('size', [100, 2**26])
def test_seconds_have_no_date_in_files_of_any_size(tmp_path, monkeypatch, size):
    from tsdisk.convert import tables
    monkeypatch.setattr(tables, 'large', size)
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i},{i}\n' for i in range(300)))
    convert(tmp_path/'a.csv', tmp_path/'set', read=partial(read_table, time='t', time_unit='s'), n_workers=0)
    assert 'start' not in metadata_of(tmp_path/'set') and metadata_of(tmp_path/'set')['fs'] == 1

# Wide tables

@pytest.mark.parametrize('strings', [['x','2','3'], ['x','y','3'], ['x','y','z']])
@pytest.mark.parametrize('column', ['t0','t1','t2'])
def test_a_step_never_vanishes(tmp_path, strings, column):
    import pandas as pd
    df = pd.DataFrame({'label': [*'abc'], **{f't{i}': [1.,2.,3.] for i in range(3)}}).astype({column: object})
    df[column] = strings
    for src in (df, tmp_path/'a.csv'):
        df.to_csv(tmp_path/'a.csv', index=False)
        with fails(ValueError, repr(column)): [*from_wide(src, y='label')]

def test_a_step_without_values_stays_and_a_trailing_comma_is_none(tmp_path):
    (tmp_path/'a.csv').write_text(',label,t0,t1,t2,\n0,a,1,,3,\n1,b,1,NA,4,\n')
    got, = from_wide(tmp_path/'a.csv', y='label')
    assert np.array_equal(got['X'][:,0], [[1,np.nan,3], [1,np.nan,4]], equal_nan=True) and got['y'].tolist() == ['a','b']
    assert got['left_out'] == {'': 'index of pandas', 'Unnamed: 5': 'no values'}

@pytest.mark.parametrize('unit', ['ns','seconds'])
def test_uneven_times_of_a_large_table_are_kept(tmp_path, monkeypatch, unit):
    since = np.cumsum(np.random.default_rng(0).integers(1, 10**6, 500))*10**6
    time = dict(time_unit='s') if unit == 'seconds' else {}
    pd.DataFrame(dict(t=since/1e9 if time else np.datetime64('2024-01-01','ns')+since, v=np.arange(500.))).to_csv(tmp_path/'a.csv', index=False)
    read = partial(read_table, time='t', **time)
    small,_ = open_folder(convert(str(tmp_path/'a.csv'), tmp_path/'small', read))
    monkeypatch.setattr('tsdisk.convert.tables.large', 100)
    large,_ = open_folder(convert(str(tmp_path/'a.csv'), tmp_path/'large', read))
    for k in ('X','times'): assert [*large[k][0].ravel()] == [*small[k][0].ravel()]
    assert len(small['times'][0].ravel()) == 500

def test_a_small_parquet_file_of_many_rows_is_read_in_pieces(tmp_path, monkeypatch):
    pd.DataFrame(dict(id=np.zeros(300_000), v=np.ones(300_000))).to_parquet(tmp_path/'a.parquet')
    monkeypatch.setattr('tsdisk.convert.tables.large', 2**20)
    assert (tmp_path/'a.parquet').stat().st_size < 2**16
    pieces = [o.shape for o in read_table(tmp_path/'a.parquet')['X']]
    assert len(pieces) > 1 and sum(k for _,k in pieces) == 300_000
    assert from_long(tmp_path/'a.parquet', 'id', partition_bytes=2**20).n_partitions > 4
