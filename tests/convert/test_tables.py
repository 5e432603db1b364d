"Tables of recordings, samples and long series"
import os, signal, subprocess, sys
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.tables import LongTable, from_long, from_wide, read_table
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def table(n=40, seed=0):
    import pyarrow as pa
    rng = np.random.default_rng(seed)
    n_steps = rng.integers(5, 30, n)
    who,t = np.repeat(np.arange(n), n_steps), np.concatenate([np.arange(o) for o in n_steps])
    rows = rng.permutation(len(who))
    series = [np.stack([np.sin(np.arange(k)+i), np.cos(np.arange(k)*i)]) for i,k in enumerate(n_steps)]
    a,b = (np.concatenate([o[k] for o in series]) for k in (0,1))
    return series, pa.table(dict(who=[f'p{o}' for o in who[rows]], t=t[rows], a=a[rows], b=b[rows], sick=(who%3)[rows]))

@pytest.mark.parametrize('kind', ['csv','parquet'])
@pytest.mark.parametrize('part', [2**26, 1000])
def test_long_tables_in_any_order_give_whole_series(tmp_path, kind, part, monkeypatch):
    import pyarrow.csv as csv, pyarrow.parquet as pq
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', 2000) # Dealt out many times
    series,tab = table()
    for i in range(3):
        one = tab.slice(i*len(tab)//3, (i+1)*len(tab)//3-i*len(tab)//3)
        csv.write_csv(one, tmp_path/f'{i}.csv') if kind == 'csv' else pq.write_table(one, tmp_path/f'{i}.parquet')
    src = LongTable(f'{tmp_path}/*.{kind}', 'who', 't', y='sick', part=part)
    assert (src.parts > 1) == (part == 1000)
    arrays,_ = open_folder(convert(src, tmp_path/'set'))
    assert sorted(arrays['who'].tolist()) == sorted(f'p{i}' for i in range(40)) and metadata_of(tmp_path/'set')['names'] == ['a','b']
    for i,o in enumerate(arrays['who'].tolist()): assert np.allclose(arrays['X'][i], series[int(o[1:])]) and arrays['y'][i] == int(o[1:])%3

def test_long_tables_take_as_much_memory_whatever_their_size(tmp_path):
    code = """
import threading, numpy as np, pyarrow as pa, pyarrow.csv
import tsdisk.convert.readers
tsdisk.convert.readers.large = 2**22
from tsdisk.convert.convert import convert
from tsdisk.tools.demo import private_memory
from tsdisk.convert.tables import LongTable
rng,seen = np.random.default_rng(0),[]
def rows(n): return pa.table(dict(who=pa.array([f'patient{o}' for o in rng.integers(0, 1000, n)]), t=rng.integers(0, 2**40, n), **{k: rng.random(n) for k in 'abc'}))
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
    print(table.parts, (max(seen)-before)/2**20)
"""
    out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    parts,most = np.array([o.split() for o in out.splitlines()], 'f8').T
    assert parts[0] == 1 and parts[2] > 30 and (most < 30).all(), f'{most} MB; the last file has 64'

def test_what_is_missing_of_a_series_is_the_same_in_all_its_steps():
    import pandas as pd
    got = [*from_long(pd.DataFrame(dict(who=[*'aabb'], v=np.arange(4.), age=[np.nan,np.nan,30,30], site=['n','n',None,None])), 'who', y='age', beside=['site'])]
    assert [o['who'] for o in got] == ['a','b'] and np.isnan(got[0]['y']) and got[1]['y'] == 30 and [o['site'] for o in got] == ['n','']

def test_texts_of_a_table_may_be_bytes_or_categories(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    who = np.array([f'patient {i%7}' for i in range(700)])
    tab = pa.table(dict(who=pa.array(who).dictionary_encode(), site=pa.array([b'north']*700, pa.binary()), v=np.arange(700.)))
    pq.write_table(tab, tmp_path/'a.parquet')
    for part in (2**26, 1000):
        got = {o['who']: o for o in LongTable(tmp_path/'a.parquet', 'who', beside=['site'], part=part)}
        assert sorted(got) == sorted({*who}) and got['patient 3']['site'] == 'north' and np.array_equal(got['patient 3']['X'][0], np.arange(3., 700, 7))

def test_a_target_in_another_encoding_says_so(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=[*'ab'], y=[*'é1'], v=[1.,2])).to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', 'id', y='y')]

def test_a_long_frame_is_dealt_out_too(tmp_path):
    series,tab = table()
    src = LongTable(tab.to_pandas(), 'who', 't', y='sick', part=1000)
    assert src.parts > 1
    for o in src: assert np.array_equal(o['X'], series[int(o['who'][1:])])

def test_lines_of_a_csv_may_be_longer_than_a_megabyte(tmp_path):
    steps = np.random.default_rng(0).random((3,60_000))
    lines = [','.join(['y', *(f't{i}' for i in range(60_000))]), *(','.join(['1', *map(str, o)]) for o in steps)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    assert len(lines[1]) > 2**20 and np.array_equal(np.concatenate([o['X'][:,0] for o in from_wide(tmp_path/'a.csv', y='y')]), steps)

def test_what_differs_among_steps_is_not_known_of_a_series(tmp_path):
    import pyarrow.parquet as pq
    pq.write_table(table()[1], tmp_path/'a.parquet')
    with expect_fail(ValueError, "'a' differs among the steps"): [*from_long(tmp_path/'a.parquet', 'who', 't', vars=['b'], y='a')]
    with expect_fail(ValueError, "no column 'nobody'"): from_long(tmp_path/'a.parquet', 'nobody')

@pytest.mark.parametrize('late,column', [(0,'id'), (999_000,'id'), (0,'é')])
def test_a_table_in_another_encoding_says_so(tmp_path, late, column):
    import pandas as pd
    df = pd.DataFrame({column: ['e']*late + ['é']*1000, 'v': np.arange(late+1000.)})
    df.to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', column)]

@pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGKILL')
def test_rows_that_are_dealt_out_leave_nothing_behind_when_killed(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=np.arange(100_000)%7, v=np.arange(100_000.))).to_parquet(tmp_path/'a.parquet')
    (tmp_path/'tmp').mkdir()
    code = f"""
import os, signal
from tsdisk.convert.tables import LongTable
next(iter(LongTable({str(tmp_path/'a.parquet')!r}, 'id', part=100_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    out = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TMPDIR': str(tmp_path/'tmp')})
    assert out.returncode == -signal.SIGKILL and not [*(tmp_path/'tmp').iterdir()]

def test_wide_tables(tmp_path):
    import pyarrow as pa, pyarrow.csv as csv
    csv.write_csv(pa.table({'label': [*'abcabc'], **{f't{i}': x[:,0,i].astype('f8') for i in range(20)}}), tmp_path/'a.csv')
    arrays,_ = open_folder(convert(from_wide(tmp_path/'a.csv', y='label'), tmp_path/'set'))
    assert np.allclose(arrays['X'][:,0], x[:,0,:20]) and arrays['y'].tolist() == [*'abcabc']

def test_integers_of_a_csv_may_turn_out_to_be_floats(tmp_path):
    (tmp_path/'a.csv').write_text('v\n'+'1\n'*400_000+'1.5\n')
    assert read_file(tmp_path/'a.csv')['X'][0,-1] == 1.5

def test_a_table_a_recording_says_when_and_how_fast(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = np.datetime64('2024-01-01T00:00:00', 'ns') + np.arange(50)*np.timedelta64(20, 'ms')
    for i in range(3): pq.write_table(pa.table(dict(time=t, a=x[i,0,:50], b=x[i,1,:50])), tmp_path/f'{i}.parquet')
    X = open_folder(convert(f'{tmp_path}/*.parquet', tmp_path/'set'))[0]['X']
    assert np.allclose(X, x[:3,:2,:50]) and metadata_of(tmp_path/'set')['fs'] == 50 and metadata_of(tmp_path/'set')['start'].startswith('2024-01-01T00:00:00')

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
def test_times_that_go_back_are_said(tmp_path, large, monkeypatch):
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', large)
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{o},{i},{i*.5}\n' for o in 'xy' for i in range(30)))
    with pytest.warns(UserWarning, match='times of a table go back'):
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
    n,most = map(float, subprocess.run([sys.executable, '-c', code, groups], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split())
    assert n == 20*2**18-2**16 and most < 60e6, 'the file has 168 MB'
