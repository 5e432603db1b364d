"Workers read inputs and write the same bytes, whoever does the work"
import errno, io, os, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np, pytest, torch
from collections import namedtuple
from conftest import fails, filled
from fastcore.test import expect_fail
from tsdisk.convert import readers as importers
from tsdisk.convert.convert import append, convert
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder
from tsdisk.tools.demo import private_memory
from tsdisk.convert.readers import CompressedRows, open_npz, read_file
from tsdisk.convert.jobs import Job
from tsdisk.convert.info import info
from tsdisk.convert.plan import as_records
from tsdisk.series.windows import Windows
from conversion import same, rec, as_item, mapped, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Workers

def in_pieces(p):
    x = rec(int(Path(p).stem), 1000)
    yield dict(X=(x[:, i:i+64] for i in range(0, 1000, 64)), y='long')

@pytest.mark.parametrize('read', [None, as_item, in_pieces, mapped])
def test_the_result_is_the_same_for_any_number_of_workers(raw, tmp_path, read):
    convert(raw, tmp_path/'one', read=read, n_workers=0)
    for n in (1,3): assert same(tmp_path/'one', convert(raw, tmp_path/f'w{n}', read=read, n_workers=n))
    with ThreadPoolExecutor(4) as pool: assert same(tmp_path/'one', convert(raw, tmp_path/'pool', read=read, executor=pool))

def test_functions_of_a_notebook_work_with_processes(raw, tmp_path):
    k = 3
    assert open_folder(convert(raw, tmp_path/'set', read=lambda p: np.load(p)*k, n_workers=2))[0]['X'].shape == (60,3,20)

def test_spawned_processes_write_the_same_or_say_why_not(raw, tmp_path, monkeypatch):
    from types import SimpleNamespace
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    monkeypatch.setattr('tsdisk.convert.workers.sys', SimpleNamespace(platform='darwin'))
    assert same(tmp_path/'one', convert(raw, tmp_path/'two', read=as_item, n_workers=2))
    with expect_fail(ValueError, 'must be functions of a module'): convert(raw, tmp_path/'three', read=lambda p: np.load(p), n_workers=2)

def test_any_object_with_submit_is_an_executor(raw, tmp_path):
    class Cluster: # As one writes it for Ray: `ray.remote(call).remote(f, *args).future()`
        def __init__(self): self.pool,self.n = ThreadPoolExecutor(2),0
        def submit(self, f, *args):
            self.n += 1
            return self.pool.submit(f, *args)
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    cluster = Cluster()
    assert same(tmp_path/'one', convert(raw, tmp_path/'set', read=as_item, executor=cluster)) and cluster.n

def test_functions_for_another_executor_must_be_picklable(raw, tmp_path):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        with expect_fail(ValueError, 'must be functions of a module'): convert(raw, tmp_path/'set', read=lambda p: np.load(p), executor=pool)
        assert len(open_folder(convert(raw, tmp_path/'set2', read=as_item, executor=pool))[0]['X']) == 60

def dies(p):
    if p.endswith('040.npy') and not Path(p).with_suffix('.died').exists():
        Path(p).with_suffix('.died').touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.load(p)

def test_a_worker_that_dies_is_reported_and_its_work_resumed(raw, tmp_path):
    src = [str(o) for o in sorted(raw.rglob('*.npy'))]
    with expect_fail(RuntimeError, 'A worker was killed'): convert(src, tmp_path/'set', read=dies, n_workers=2)
    convert(src, tmp_path/'set', read=dies, n_workers=2)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 60

def test_ctrl_c_waits_for_no_worker(tmp_path):
    code = """
import numpy as np, signal, time
from tsdisk.convert.convert import append, convert
signal.signal(signal.SIGINT, signal.default_int_handler) # Shells start what runs in the background without it
def read(p):
    time.sleep(1 if int(p[-7:-4]) > 5 else 0)
    return np.load(p)
convert('raw', 'set', read=read, n_workers=2)
"""
    (tmp_path/'raw').mkdir()
    for i in range(300): np.save(tmp_path/f'raw/{i:03d}.npy', np.ones((2,9)))
    p = subprocess.Popen([sys.executable, '-c', code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (tmp_path/'set/.convert').exists() and p.poll() is None: time.sleep(.1)
    time.sleep(6)
    p.send_signal(signal.SIGINT)
    start = time.time()
    p.communicate()
    assert p.returncode and time.time()-start < 20, 'each worker has up to 64 seconds of work before it'

# Faults

def test_unreadable_files_are_skipped_if_asked(raw, tmp_path, capsys):
    paths = sorted(raw.rglob('*.npy'))
    for i in (0,17,59): paths[i].write_text('no array')
    np.save(paths[30], rec(0, 21))
    convert(raw, tmp_path/'set', on_error='skip', layout='dense', n_workers=2)
    arrays,_ = open_folder(tmp_path/'set')
    assert len(arrays['X']) == 56
    assert np.array_equal(arrays['X'], np.stack([np.load(o) for i,o in enumerate(paths) if i not in (0,17,30,59)]))
    faults = read_manifest(tmp_path/'set')['faults']
    assert [o for o,_ in faults] == [str(paths[i].relative_to(raw)) for i in (0,17,30,59)] and 'shape' in faults[2][1]
    assert 'Left out, 4 inputs' in capsys.readouterr().out

class FailingWrites(io.FileIO):
    "A file whose writes fail, as on a disk with a fault"
    number = None
    def write(self, data): raise OSError(self.number, os.strerror(self.number))

@pytest.mark.parametrize('number', [errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_errors_of_the_disk_that_is_written_skip_no_input(tmp_path, monkeypatch, number):
    paths = [tmp_path/f'{i}.npy' for i in range(3)]
    for o in paths: np.save(o, np.ones((2,200_000), 'f4'))
    opened = []
    def open_one(path, mode, buffer):
        opened.append(path)
        if len(opened) != 3: return open(path, mode, buffer) # X and metadata of the first group come first
        file = FailingWrites(path, 'w')
        file.number = number
        return io.BufferedWriter(file, buffer)
    monkeypatch.setattr('tsdisk.convert.jobs.open', open_one, raising=False)
    with expect_fail(OSError, f'[Errno {number}]'): convert(paths, tmp_path/'set', on_error='skip', n_workers=0)
    monkeypatch.undo()
    assert open_folder(convert(paths, tmp_path/'set', on_error='skip', n_workers=0))[0]['X'].shape == (3,2,200_000)

def test_too_many_open_files_skip_no_input(tmp_path):
    def read(p): raise OSError(errno.EMFILE, 'Too many open files')
    with expect_fail(OSError, 'Too many open files'): Job(read, specs={}, folder=tmp_path, skip=True)(0, [('a', 'a', {})])

def test_rows_of_a_record_may_be_in_several_splits(tmp_path):
    record = dict(X=np.arange(12.).reshape(4,1,3), split=np.array(['train','valid','train','train']))
    _,splits = open_folder(convert([record], tmp_path/'set'))
    assert {k: [*v] for k,v in splits.items()} == dict(train=[0,2,3], valid=[1])
    for bad in (3, np.array(['a','b','c','d/e'])):
        with expect_fail(ValueError, f'got {"3" if np.ndim(bad) == 0 else chr(39)+"d/e"}'): convert([dict(record, split=bad)], tmp_path/'bad')

def test_a_wrong_shape_names_its_file(raw, tmp_path):
    p = sorted(raw.rglob('*.npy'))[11]
    np.save(p, rec(0, 21))
    with expect_fail(ValueError, f'{p.relative_to(raw)} could not be read: ValueError: `X` has shape (3, 21), other records have (3, 20)'):
        convert(raw, tmp_path/'set')

# A few MB at a time

def test_a_recording_may_come_in_pieces(raw, tmp_path):
    X = open_folder(convert(raw, tmp_path/'set', read=in_pieces))[0]['X']
    p = sorted(raw.rglob('*.npy'))[3]
    assert np.array_equal(X[3], rec(int(p.stem), 1000)) and len(Windows(X, 100, 100)) == 600

def doubled_in_place(o):
    o['X'] *= 2
    o['notes'].append('doubled')
    return o

@pytest.mark.parametrize('dtype,kind', [(None, np.asarray), ('int16', np.asarray), (None, torch.tensor)])
def test_a_tfm_that_changes_records_in_place_is_applied_once(tmp_path, dtype, kind):
    x = np.linspace(0, 1, 12, dtype='f4').reshape(6,1,2)
    records = [dict(X=kind(o.copy()), notes=[]) for o in x]
    convert(records, tmp_path/'set', tfm=doubled_in_place, dtype=dtype)
    stored,entry = open_folder(tmp_path/'set')[0]['X'],read_manifest(tmp_path/'set')['arrays']['X']
    assert np.allclose(np.asarray(stored)*entry.get('scale', 1)+entry.get('offset', 0), 2*x, atol=1e-4)
    assert [o['notes'] for o in records] == [['doubled']]*6

def test_a_memory_map_is_not_copied(tmp_path, monkeypatch):
    np.save(tmp_path/'x.npy', np.ones((100,2,10**5), 'f4'))
    x = np.load(tmp_path/'x.npy', mmap_mode='r')
    most,before = 0,private_memory()
    def seen(o):
        nonlocal most
        most = max(most, private_memory()-before)
        return o
    import tsdisk.convert.jobs
    monkeypatch.setattr(tsdisk.convert.jobs, 'as_records', lambda o: map(seen, as_records(o)))
    convert(x, tmp_path/'set')
    assert most < 30e6, most
    assert open_folder(tmp_path/'set')[0]['X'].shape == (100,2,10**5)

def test_a_memory_map_is_not_copied_for_tfm(tmp_path):
    np.save(tmp_path/'x.npy', np.ones((100,2,10**5), 'f4'))
    most,before = 0,private_memory()
    def first_variable(o):
        nonlocal most
        most = max(most, private_memory()-before)
        assert o['X'].shape == (100,2,10**5)
        return {**o, 'X': o['X'][:,:1]}
    convert(np.load(tmp_path/'x.npy', mmap_mode='r'), tmp_path/'set', tfm=first_variable)
    assert most < 30e6 and open_folder(tmp_path/'set')[0]['X'].shape == (100,1,10**5)

def test_memory_is_that_of_a_few_records(tmp_path):
    code = f"""
import numpy as np, re, threading
from tsdisk.convert.convert import append, convert
def anon(): return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024
most,done = [0],threading.Event()
def watch():
    while not done.wait(.002): most[0] = max(most[0], anon())
before = anon()
threading.Thread(target=watch, daemon=True).start()
convert((np.full((1,2**20), i, 'f4') for i in range(150)), {str(tmp_path/'a')!r})
print('grew', most[0]-before)
for i in range(3): np.save({str(tmp_path)!r}+f'/{{i}}.npy', np.full((1,2**23), i, 'f4'))
most[0],before = 0,anon()
convert({str(tmp_path)!r}+'/*.npy', {str(tmp_path/'b')!r}, dtype='int16', n_workers=0)
print('grew', most[0]-before)
np.savez_compressed({str(tmp_path/'c.npz')!r}, X=np.zeros((150,4,2**17), 'f4'))
most[0],before = 0,anon()
convert({str(tmp_path/'c.npz')!r}, {str(tmp_path/'c')!r}, n_workers=0)
done.set()
print('grew', most[0]-before)
"""
    out = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    assert all(float(o.split()[0]) < 200 for o in out.split('grew')[1:]), out

def test_compressed_files_are_read_from_their_start(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**20)
    x,y = np.random.default_rng(0).normal(size=(3000,4,100)),np.arange(3000)
    np.savez_compressed(tmp_path/'a.npz', X=x, y=y, fs=50.)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][:,:2]*2}))
    assert np.array_equal(arrays['X'], x[:,:2]*2) and np.array_equal(arrays['y'], y)
    got = read_file(tmp_path/'a.npz')['X']
    assert type(got) is CompressedRows and len(got) == 3000 and got.shape == x.shape
    assert np.array_equal(got[2000:2010], x[2000:2010]) and np.array_equal(got[7], x[7])
    assert np.array_equal(got[-1], x[-1]) and got[5:5].shape == (0,4,100)
    with expect_fail(ValueError, 'a step of 2'): got[::2]
    assert 'compressed' in str(info(tmp_path/'a.npz')) and type(open_npz(tmp_path/'a.npz')['X']) is np.ndarray
    with expect_fail(IndexError): got[3000]
    pair = convert(dict(X=str(tmp_path/'a.npz'), y=f'{tmp_path}/a.npz::y'), tmp_path/'pair')
    assert np.array_equal(open_folder(pair)[0]['X'], x) and np.array_equal(open_folder(pair)[0]['y'], y)

def a_recording(x, d): np.savez_compressed(d/'a.npz', X=x[0])
def of_columns(x, d): np.savez_compressed(d/'a.npz', X=np.asfortranarray(x))
def flat_columns(x, d): np.savez(d/'a.npz', X=np.asfortranarray(x))
def big_endian(x, d): np.savez(d/'a.npz', X=x.astype('>f8'))
@pytest.mark.parametrize('kind,layout,shape', [(a_recording,None,(1,40,200_000)), (a_recording,'ragged',(1,40,200_000)),
    (of_columns,None,(10,40,20_000)),    (flat_columns,None,(10,40,20_000)), (big_endian,None,(10,40,20_000))])
def test_arrays_in_another_order_are_never_whole_in_memory(tmp_path, kind, layout, shape):
    x = np.arange(np.prod(shape), dtype='f8').reshape(shape)
    kind(x, tmp_path)
    code = f"""
import threading
from tsdisk.convert import readers as importers
importers.large = 2**20
from tsdisk.convert.convert import append, convert
from tsdisk.tools.demo import private_memory
seen,wait = [],threading.Event()
def watch():
    while True: wait.wait(.002) or seen.append(private_memory())
threading.Thread(target=watch, daemon=True).start()
before = private_memory()
convert({str(tmp_path/'a.npz')!r}, {str(tmp_path/'set')!r}, layout={layout!r}, n_workers=0)
print(max(seen)-before)
"""
    (tmp_path/'tmp').mkdir()
    env = {**os.environ, 'TMPDIR': str(tmp_path/'tmp')}
    out = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, check=True).stdout
    most = float(out.split()[-1])
    got = open_folder(tmp_path/'set')[0]['X']
    assert np.array_equal(got[0] if layout else got[:], x[0] if layout else x) and not [*(tmp_path/'tmp').iterdir()]
    assert most < 30e6, f'{most/1e6:.0f} MB of the 64 of the file'

def test_a_full_disk_of_temporary_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**10)
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    np.savez_compressed(tmp_path/'a.npz', X=np.ones((3,1000)))
    def full(*args): raise OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(importers.shutil, 'copyfileobj', full)
        with expect_fail(OSError, f'The disk of {tmp_path} is full'): convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0)
    assert open_folder(convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0))[0]['X'].shape == (1,3,1000)

@pytest.mark.parametrize('kind', [a_recording, of_columns])
def test_unpacked_arrays_can_be_transformed(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(importers, 'large', 2**10)
    x = np.random.default_rng(0).normal(size=(3,4,100))
    kind(x, tmp_path)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', tfm=lambda o: {**o, 'X': o['X']*2}, n_workers=0))
    assert np.array_equal(arrays['X'], 2*x if kind is of_columns else 2*x[:1])

def test_large_strings_of_a_compressed_file(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**10)
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(200,4,10)))
    y = np.array([f'label {i%3}' for i in range(200)])
    np.savez_compressed(tmp_path/'a.npz', X=x, y=y)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y)

def test_a_recording_in_pieces_among_others_is_named(raw, tmp_path):
    last = str(sorted(raw.rglob('*.npy'))[-2])
    def read(p): return dict(X=iter([np.load(p)])) if p == last else np.load(p)
    with expect_fail(ValueError, "`X` comes in pieces, other records do not: give `layout='ragged'`"): convert(raw, tmp_path/'set', read=read)

@pytest.mark.parametrize('workers', [-1,1.5,'all'])
def test_n_workers_is_a_number(raw, tmp_path, workers):
    with expect_fail(ValueError, f'`n_workers` must be a number of processes, at least 0, got {workers!r}'):
        convert(raw, tmp_path/'set', n_workers=workers)

def test_what_is_left_out_is_named_once(tmp_path):
    (tmp_path/'raw').mkdir()
    for k,text in dict(a='x\n1\n', b='', c='x\n2\n').items(): (tmp_path/f'raw/{k}.csv').write_text(text)
    convert(tmp_path/'raw', tmp_path/'set', on_error='skip', n_workers=0)
    assert read_manifest(tmp_path/'set')['faults'] == [['b.csv', 'ValueError: has no rows']]

@pytest.mark.parametrize('dtype', [None,'int16'])
def test_variables_in_another_order_are_put_in_that_of_the_others(tmp_path, dtype):
    pd = pytest.importorskip('pandas')
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({k: rng.normal(m, 1, 20).round(2) for k,m in dict(temp=20, pressure=1000, wind=5).items()}) for _ in range(9)]
    for i,o in enumerate(frames): o[['wind','temp','pressure'] if i in (0,4,8) else [*o]].to_csv(tmp_path/f'{i}.csv', index=False)
    convert(str(tmp_path/'[0-7].csv'), tmp_path/'set', dtype=dtype, n_workers=0)
    append(tmp_path/'set', tmp_path/'8.csv', n_workers=0)
    names = info(tmp_path/'set').as_dict()['variables']
    names = [o['name'] for o in names]
    stored,entry = open_folder(tmp_path/'set')[0]['X'],read_manifest(tmp_path/'set')['arrays']['X']
    X = stored*np.reshape(entry['scale'], (3,1)) + np.reshape(entry['offset'], (3,1)) if dtype else stored
    want = np.stack([o[names].to_numpy().T for o in frames])
    np.testing.assert_allclose(X, want, atol=.02 if dtype else 1e-4)

def test_other_variables_are_refused_with_a_cure(tmp_path):
    pd = pytest.importorskip('pandas')
    for i,o in enumerate('ab'): pd.DataFrame({'t': np.arange(9.), o: np.arange(9.)}).to_csv(tmp_path/f'{i}.csv', index=False)
    with expect_fail(ValueError, '`vars` of `read_table`'): convert(tmp_path, tmp_path/'set', n_workers=0)

def test_floats_among_integers_with_missing_ones_are_refused(tmp_path):
    records = [dict(X=np.arange(6).reshape(1,6).astype('i2'), missing=-1) for _ in range(9)]
    records[1] = dict(X=np.full((1,6), 1.5, 'f4'), missing=-1)
    with fails(ValueError, 'without losing data'): convert(records, tmp_path/'set', n_workers=0)

def test_splits_of_rows_are_as_many_as_the_rows(tmp_path):
    records = [dict(X=filled((4,1,5)), split=np.array(['train']*4))]
    with fails(ValueError, '`split` has shape (4,)', '`X` has 3 rows'):
        convert(records, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][:3]}, n_workers=0)

def test_named_tuples_of_records_are_copied(tmp_path):
    Place = namedtuple('Place', 'a b')
    convert([dict(X=filled((1,5)), at=Place(1, 2))]*3, tmp_path/'set', tfm=dict, n_workers=0)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 3
