"Long tables: rows of many series in any order"
import os, signal, subprocess, sys
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails, fresh, linux, metadata_of
from tsdisk.convert import csv_rows, long_tables, table_columns
from tsdisk.convert.convert import convert
from tsdisk.convert.long_tables import LongTable, from_long
from tsdisk.convert.tables import from_wide
from tsdisk.folder.manifest import open_folder

def table(n=40, seed=0):
    import pyarrow as pa
    rng = np.random.default_rng(seed)
    n_steps = rng.integers(5, 30, n)
    who,t = np.repeat(np.arange(n), n_steps), np.concatenate([np.arange(o) for o in n_steps])
    rows = rng.permutation(len(who))
    series = [np.stack([np.sin(np.arange(k)+i), np.cos(np.arange(k)*i)]) for i,k in enumerate(n_steps)]
    a,b = (np.concatenate([o[k] for o in series]) for k in (0,1))
    columns = dict(t=t, a=a, b=b, sick=who%3)
    return series, pa.table(dict(who=[f'p{o}' for o in who[rows]], **{k: v[rows] for k,v in columns.items()}))

@pytest.mark.parametrize('kind', ['csv','parquet'])
@pytest.mark.parametrize('part,most', [(2**26,1000), (1000,1000), (1000,5), (300,39)]) # In memory, sorted on disk, in partitions, and these sorted on disk
def test_long_tables_in_any_order_give_whole_series(tmp_path, kind, part, most, monkeypatch):
    import pyarrow.csv as csv, pyarrow.parquet as pq
    for o in (csv_rows, table_columns, long_tables): monkeypatch.setattr(o, 'large', 2000) # Written in many runs
    monkeypatch.setattr(long_tables, 'most_series', most)
    series,tab = table()
    for i in range(3):
        one = tab.slice(i*len(tab)//3, (i+1)*len(tab)//3-i*len(tab)//3)
        csv.write_csv(one, tmp_path/f'{i}.csv') if kind == 'csv' else pq.write_table(one, tmp_path/f'{i}.parquet')
    src = LongTable(f'{tmp_path}/*.{kind}', 'who', 't', y='sick', partition_bytes=part)
    assert (src.n_partitions > 1) == (part <= 1000)
    arrays,_ = open_folder(convert(src, tmp_path/'set'))
    assert sorted(arrays['who'].tolist()) == sorted(f'p{i}' for i in range(40))
    assert metadata_of(tmp_path/'set')['names'] == ['a','b']
    numbers = [int(o[1:]) for o in arrays['who'].tolist()]
    for i,n in enumerate(numbers): assert np.allclose(arrays['X'][i], series[n]) and arrays['y'][i] == n%3

def test_large_partitions_may_have_many_series(tmp_path, monkeypatch):
    import pyarrow as pa, pyarrow.parquet as pq
    monkeypatch.setattr(long_tables, 'most_series', 5)
    n = 200
    pq.write_table(pa.table(dict(id=np.repeat(np.arange(n), 60), v=np.repeat(np.arange(n)/2, 60))), tmp_path/'a.parquet')
    monkeypatch.setattr(LongTable, 'n_partitions', 5) # Fewer than its size asks for
    src = LongTable(tmp_path/'a.parquet', 'id', partition_bytes=5000)
    assert src.table.nbytes/src.n_partitions > 4*src.partition_bytes
    found = {o['id']: o['X'] for o in src}
    assert [*sorted(found)] == [*range(n)] and all((x == id/2).all() and x.shape == (1,60) for id,x in found.items())

def test_long_tables_take_as_much_memory_whatever_their_size(tmp_path):
    code = """
import threading, numpy as np, pyarrow as pa, pyarrow.csv
import tsdisk.convert.readers
tsdisk.convert.readers.large = 2**22
from tsdisk.convert.convert import convert
from tsdisk.tools.demo import private_memory
from tsdisk.convert.long_tables import LongTable
rng,seen = np.random.default_rng(0),[]
def rows(n):
    who = pa.array([f'patient{o}' for o in rng.integers(0, 1000, n)])
    return pa.table(dict(who=who, t=rng.integers(0, 2**40, n), **{k: rng.random(n) for k in 'abc'}))
def watch():
    while True: wait.wait(.002) or seen.append(private_memory())
wait = threading.Event()
threading.Thread(target=watch, daemon=True).start()
for size in (1, 10, 40):
    with pa.csv.CSVWriter('a.csv', rows(1).schema) as w:
        for _ in range(size): w.write_table(rows(20_000))
    table,before = LongTable('a.csv', 'who', 't'),private_memory()
    seen.clear()
    convert(table, f'{size}')
    print('found', table.n_partitions, (max(seen)-before)/2**20)
"""
    out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = [o.split()[1:] for o in out.splitlines() if o.startswith('found ')] # Among lines of progress
    parts,most = np.array(found, 'f8').T
    assert parts[0] == 1 and parts[2] > 30 and (most < 30).all(), f'{most} MB; the last file has 64'

def test_missing_metadata_are_the_same_for_all_steps_of_a_series():
    import pandas as pd
    df = pd.DataFrame(dict(who=[*'aabb'], v=np.arange(4.), age=[np.nan,np.nan,30,30], site=['n','n',None,None]))
    got = [*from_long(df, 'who', y='age', metadata=['site'])]
    assert [o['who'] for o in got] == ['a','b'] and [o['site'] for o in got] == ['n','']
    assert np.isnan(got[0]['y']) and got[1]['y'] == 30

def test_strings_of_a_table_may_be_bytes_or_categories(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    who = np.array([f'patient {i%7}' for i in range(700)])
    site = pa.array([b'north']*700, pa.binary())
    tab = pa.table(dict(who=pa.array(who).dictionary_encode(), site=site, v=np.arange(700.)))
    pq.write_table(tab, tmp_path/'a.parquet')
    for part in (2**26, 1000):
        got = {o['who']: o for o in LongTable(tmp_path/'a.parquet', 'who', metadata=['site'], partition_bytes=part)}
        third = got['patient 3']
        assert sorted(got) == sorted({*who}) and third['site'] == 'north'
        assert np.array_equal(third['X'][0], np.arange(3., 700, 7))

def test_a_target_in_another_encoding_says_so(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=[*'ab'], y=[*'é1'], v=[1.,2])).to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', 'id', y='y')]

def test_a_long_frame_is_partitioned_too(tmp_path):
    series,tab = table()
    src = LongTable(tab.to_pandas(), 'who', 't', y='sick', partition_bytes=1000)
    assert src.n_partitions > 1
    for o in src: assert np.array_equal(o['X'], series[int(o['who'][1:])])

def test_what_differs_among_steps_is_no_metadata_of_a_series(tmp_path):
    import pyarrow.parquet as pq
    pq.write_table(table()[1], tmp_path/'a.parquet')
    differing = from_long(tmp_path/'a.parquet', 'who', 't', vars=['b'], y='a')
    with expect_fail(ValueError, "'a' differs among the steps"): [*differing]
    with expect_fail(ValueError, "no column 'nobody'"): from_long(tmp_path/'a.parquet', 'nobody')

@pytest.mark.parametrize('late,column', [(0,'id'), (999_000,'id'), (0,'é')])
def test_a_table_in_another_encoding_says_so(tmp_path, late, column):
    import pandas as pd
    df = pd.DataFrame({column: ['e']*late + ['é']*1000, 'v': np.arange(late+1000.)})
    df.to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', column)]

@pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGKILL')
def test_partitions_leave_nothing_behind_when_killed(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=np.arange(100_000)%7, v=np.arange(100_000.))).to_parquet(tmp_path/'a.parquet')
    (tmp_path/'tmp').mkdir()
    code = f"""
import os, signal
from tsdisk.convert.long_tables import LongTable
next(iter(LongTable({str(tmp_path/'a.parquet')!r}, 'id', partition_bytes=100_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    out = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TMPDIR': str(tmp_path/'tmp')})
    assert out.returncode == -signal.SIGKILL and not [*(tmp_path/'tmp').iterdir()]

def test_the_index_of_a_frame_is_a_column_only_if_it_has_a_name():
    import pandas as pd
    df = pd.DataFrame(dict(who=[*'abab'], t=[1,1,0,0], v=[3.,4.,1.,2.])).sample(frac=1, random_state=0)
    for got in (from_long(df, 'who', 't'), from_long(df.set_index('who'), 'who', 't')):
        assert [(o['names'], o['X'].tolist()) for o in got] == [(['v'], [[1.,3.]]), (['v'], [[2.,4.]])]
    wide = pd.DataFrame(np.arange(6.).reshape(3,2), columns=['t0','t1'])[::-1]
    assert np.concatenate([o['X'] for o in from_wide(wide)]).shape == (3,1,2)

def test_rows_without_an_id_are_counted(tmp_path):
    import pandas as pd
    df = pd.DataFrame(dict(who=['a',None,None], v=[1.,2.,3.]))
    with expect_fail(ValueError, '2 rows have no who: fill in their ids'): [*from_long(df, 'who')]

def test_other_files_are_no_tables(tmp_path):
    np.save(tmp_path/'a.npy', np.zeros(3))
    with expect_fail(ValueError, 'is not a table: known suffixes are .csv, .tsv'): from_long(tmp_path/'a.npy', 'who')

# Times

def test_each_series_has_its_own_times(tmp_path):
    import pandas as pd
    days = [f'{i+1:02}.02.2020' for i in range(20)]
    rows = [(k,t,i) for k in 'ab' for i,t in enumerate(days) if (k,i) != ('b',7)]
    df = pd.DataFrame(rows, columns=['id','t','v']).sample(frac=1, random_state=0)
    df.to_csv(tmp_path/'a.csv', index=False, sep=';')
    for part in (2**26, 1000):
        a,b = LongTable(tmp_path/'a.csv', 'id', 't', partition_bytes=part)
        assert a['X'].tolist() == [[*range(20)]] and a['times'][0] == np.datetime64('2020-02-01')
        assert b['X'].tolist() == [[o for o in range(20) if o != 7]] and len(b['times']) == 19
    with pytest.warns(UserWarning, match='1 series have gaps in time'): convert(LongTable(tmp_path/'a.csv', 'id', 't'), tmp_path/'set')

def test_times_that_are_numbers_order_the_steps_only():
    import pandas as pd
    df = pd.DataFrame(dict(id=[*'aaa'], t=[10,9,100], v=[2.,1.,3.]))
    got, = from_long(df, 'id', 't')
    assert got['X'].tolist() == [[1,2,3]] and 'times' not in got
    got, = from_long(df, 'id', 't', time_unit='ms')
    assert np.allclose(np.diff(got['times']), [.001,.09], rtol=0, atol=1e-12)
    large = pd.DataFrame(dict(id=[*'aaa'], t=[2**60+2,2**60+1,2**60], v=[3.,2.,1.]))
    assert [*from_long(large, 'id', 't')][0]['X'].tolist() == [[1,2,3]]

@pytest.mark.parametrize('times', [['d_1','d_10','d_2'], ['9:05','10:05','11:05'], ['01/02/2020','02/02/2020','03/02/2020']])
def test_times_are_never_sorted_as_strings(times):
    import pandas as pd
    with fails(ValueError, times[0], 'time_format'): from_long(pd.DataFrame(dict(id=[*'aaa'], t=times, v=[1.,2.,3.])), 'id', 't')

def test_rows_without_a_time_are_counted():
    import pandas as pd
    df = pd.DataFrame(dict(id=[*'aaa'], t=pd.to_datetime(['2020-01-01',None,'2020-01-02']), v=[1.,2.,3.]))
    for part in (2**26, 10):
        with fails(ValueError, '1 rows have no time', "'t'"): [*LongTable(df, 'id', 't', partition_bytes=part)]

# One long series

@pytest.mark.parametrize('order', ['in order','shuffled'])
@pytest.mark.parametrize('even', [True, False])
def test_a_long_series_comes_in_pieces_with_its_times(tmp_path, order, even, monkeypatch):
    import pandas as pd
    monkeypatch.setattr(long_tables, 'large', 2**16)
    n,rng = 30_000,np.random.default_rng(0)
    steps = np.arange(n) if even else np.cumsum(rng.integers(1, 5, n))
    df = pd.DataFrame(dict(id=[*'a'*(n-10), *'b'*10], t=np.datetime64('2020-01-01', 's')+steps, v=np.arange(n)*1., w=-np.arange(n)))
    if order == 'shuffled': df = df.sample(frac=1, random_state=0)
    df.to_parquet(tmp_path/'a.parquet')
    src = LongTable(tmp_path/'a.parquet', 'id', 't', partition_bytes=2**16)
    assert [hasattr(o['X'], 'shape') for o in src] == [False, True]
    arrays,_ = open_folder(convert(src, tmp_path/'set'))
    assert np.array_equal(arrays['X'][0], [np.arange(n-10), -np.arange(n-10)]) and arrays['id'].tolist() == ['a','b']
    if even: assert metadata_of(tmp_path/'set')['fs'] == 1
    else: assert np.array_equal(arrays['times'][0].reshape(-1), (np.datetime64('2020-01-01', 'ns')+steps[:n-10]*np.timedelta64(10**9, 'ns')).astype('i8'))

@linux
@pytest.mark.parametrize('order', ['in order','shuffled'])
def test_one_long_series_takes_flat_memory(tmp_path, order):
    code = """
    import os, threading, time, warnings, numpy as np, pyarrow as pa, pyarrow.parquet as pq
    warnings.simplefilter('ignore')
    from tsdisk.convert.convert import convert
    from tsdisk.convert.long_tables import from_long
    from conftest import rss_anon
    folder,order = args
    os.chdir(folder)
    n = 3_000_000
    t = np.arange(n) if order == 'in order' else np.random.default_rng(0).permutation(n)
    with pq.ParquetWriter('a.parquet', pa.schema(dict(id=pa.int32(), t=pa.int64(), **{k: pa.float64() for k in 'abcd'}))) as w:
        for i in range(0, n, 10**6):
            part = t[i:i+10**6]
            w.write_table(pa.table(dict(id=np.zeros(len(part), 'i4'), t=part, **{k: part*1. for k in 'abcd'})), row_group_size=250_000)
    del t, part
    top,on,base = [0],[1],rss_anon()
    def watch():
        while on:
            top[0] = max(top[0], rss_anon()-base)
            time.sleep(.01)
    th = threading.Thread(target=watch)
    th.start()
    try: convert(from_long('a.parquet', 'id', 't'), 'out')
    finally: on.clear(); th.join()
    from tsdisk.folder.manifest import open_folder
    X = open_folder('out')[0]['X'][0]
    res = top[0], bool((np.asarray(X[0]) == np.arange(n)).all())"""
    most,is_sorted = fresh(code, str(tmp_path), order)
    assert is_sorted and most < 300, f'{most:.0f} MB for a series of 96 MB'

# Lists

def test_lists_are_series_or_the_variables_of_a_step(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=[*'abc'], x=[[1.,2,3],[4.,5.],[6.]], y=[0,1,0])).to_parquet(tmp_path/'a.parquet')
    got = [*from_long(tmp_path/'a.parquet', 'id', vars=['x'], y='y')]
    assert [o['X'].tolist() for o in got] == [[[1,2,3]], [[4,5]], [[6]]] and [o['id'] for o in got] == [*'abc'] and [o['y'] for o in got] == [0,1,0]
    steps = pd.DataFrame(dict(episode=[0,0,1], frame=[1,0,0], state=[[1.,2],[3,4],[5,6]], v=[7.,8.,9.]))
    got = [*from_long(steps, 'episode', 'frame')]
    assert [o['names'] for o in got] == [['state.0','state.1','v']]*2 and got[0]['X'].tolist() == [[3,1], [4,2], [8,7]]
    with fails(ValueError, 'differ in length'): from_long(steps.assign(state=[[1.],[2.,3],[4.]]), 'episode', 'frame')

@pytest.mark.parametrize('how', ['memory','disk'])
def test_integers_of_one_file_and_floats_of_another_are_one_table(tmp_path, monkeypatch, how):
    import pandas as pd
    if how == 'disk': monkeypatch.setattr(long_tables, 'large', 1)
    pd.DataFrame(dict(id=[1,1,2], v=[1,2,3], age=[30,30,40])).to_parquet(tmp_path/'0.parquet')
    pd.DataFrame(dict(id=[3,3], v=[3,None], age=[50.,50.])).to_parquet(tmp_path/'1.parquet')
    got = {o['id']: np.concatenate([*o['X']], -1) if hasattr(o['X'], '__next__') else o['X'] for o in from_long(f'{tmp_path}/*.parquet', 'id', metadata=['age'])}
    assert {k: str(v.ravel().tolist()) for k,v in got.items()} == {1: '[1.0, 2.0]', 2: '[3.0]', 3: '[3.0, nan]'}

@pytest.mark.parametrize('time,keys', [('t', ['start_','fs_']), (None, ['start','fs'])])
def test_columns_named_like_a_clock_are_kept_beside_the_measured_one(tmp_path, time, keys):
    import pandas as pd
    hours = pd.date_range('2024-01-01', periods=10, freq='h')
    df = pd.DataFrame(dict(id=np.repeat([0,1], 10), t=[*hours]*2, v=np.arange(20.), start=np.repeat(['ward a','ward b'], 10), fs=np.repeat([3.,4], 10)))
    arrays,_ = open_folder(convert(from_long(df, 'id', time, metadata=['start','fs']), tmp_path/'set', n_workers=0))
    assert [arrays[k].tolist() for k in keys] == [['ward a','ward b'], [3,4]]
