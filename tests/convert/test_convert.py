import errno, filecmp, json, os, pickle, random, re, shutil, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
import numpy as np, pytest, torch
from fastcore.test import expect_fail
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import save_array
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.convert import growing as columns
from tsdisk.convert import readers as importers
from tsdisk.convert.journal import Journal
from tsdisk.convert.convert import append, convert, Sources
from tsdisk.folder.manifest import open_folder, packing_at, read_manifest, save_folder
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.tools.demo import private_memory
from tsdisk.series.ragged import Ragged
from tsdisk.convert.readers import CompressedRows as FromFront, open_npz, read_file
from tsdisk.convert.info import info
from tsdisk.convert.plan import as_items, real_units
from tsdisk.series.windows import Windows

def files_of(d):
    "Files of a dataset by name, without what tells an append's from others"
    return {re.sub(r'\.[0-9a-f]{8}(?=\.)', '', str(o.relative_to(d))): o for o in Path(d).rglob('*') if o.is_file() and o.name != 'tsdisk.json'}
def same(a, b):
    "Do two datasets hold the same bytes?"
    a,b = (files_of(o) for o in (a,b))
    texts = [re.sub(r'\.[0-9a-f]{8}(?=\.)', '', json.dumps({k: v for k,v in read_manifest(o).items() if k not in ('id','crc32')})) for o in (a_of(a),a_of(b))]
    return a.keys() == b.keys() and texts[0] == texts[1] and all(filecmp.cmp(a[k], b[k], shallow=False) for k in a)
def a_of(files): return next(o for k,o in files.items() if k == 'source.npy').parent

def rec(i, steps=20): return np.random.default_rng(i).normal(size=(3, steps)).astype('f4')
def lengths(n): return [int(o) for o in np.random.default_rng(0).integers(5, 40, n)]

@pytest.fixture
def raw(tmp_path):
    "60 files in folders of splits and classes"
    for i in range(60):
        p = tmp_path/f'raw/{("train","valid","test")[i%3]}/{"ab"[i%2]}/{i:03d}.npy'
        p.parent.mkdir(parents=True, exist_ok=True)
        np.save(p, rec(i))
    return tmp_path/'raw'

def of_length(p): return rec(int(Path(p).stem), 5+int(Path(p).stem)%30)
def as_item(p): return dict(X=of_length(p), y=int(Path(p).stem)%4, patient=f'p{int(Path(p).stem)//10}', fs=500, age=float(int(Path(p).stem)), note=['x'])
def mapped(p): return dict(X=rec(int(Path(p).stem)), mask=rec(int(Path(p).stem)) > 0, y=rec(int(Path(p).stem))[:,0])

# What comes out

def test_files_of_one_shape_are_rows_in_the_order_of_their_paths(raw, tmp_path, capsys):
    convert(raw, tmp_path/'set', label='folder')
    arrays,splits = open_folder(tmp_path/'set')
    paths = sorted(raw.rglob('*.npy'))
    assert np.array_equal(arrays['X'], np.stack([np.load(o) for o in paths]))
    assert arrays['y'].tolist() == [o.parent.name for o in paths] and arrays['source'].tolist() == [str(o.relative_to(raw)) for o in paths]
    assert list(splits) == ['train','valid','test']
    for k,rows in splits.items(): assert {arrays['source'][i].split('/')[0] for i in rows} == {k} and len(rows) == 20
    assert '60 sources: X dense (3, 20) float32; with source' not in capsys.readouterr().out

def test_it_is_said_what_will_be(raw, tmp_path, capsys):
    convert(raw, tmp_path/'set', read=as_item)
    assert '60 sources: X ragged (3, steps) float32; with split, y, patient, fs, age, note' in capsys.readouterr().out

def test_series_of_any_length_are_ragged(raw, tmp_path):
    convert(raw, tmp_path/'set', read=of_length)
    X = open_folder(tmp_path/'set')[0]['X']
    assert isinstance(X, Ragged)
    for i,p in enumerate(sorted(raw.rglob('*.npy'))): assert np.array_equal(X[i], of_length(p))

def test_what_is_known_of_items_becomes_columns_or_is_said_once(raw, tmp_path):
    convert(raw, tmp_path/'set', read=as_item)
    arrays,_ = open_folder(tmp_path/'set')
    n = [int(o.stem) for o in sorted(raw.rglob('*.npy'))]
    assert arrays['y'].tolist() == [o%4 for o in n] and arrays['y'].dtype == np.int64
    assert arrays['patient'].tolist() == [f'p{o//10}' for o in n] and arrays['age'].dtype == np.float64
    assert read_manifest(tmp_path/'set')['info'] == dict(fs=500, note=['x'])
    lines = [json.loads(o) for o in open(tmp_path/'set/items.jsonl')]
    assert [o['patient'] for _,o in lines] == arrays['patient'].tolist()

def test_further_arrays_are_columns(raw, tmp_path):
    convert(raw, tmp_path/'set', read=mapped)
    arrays,_ = open_folder(tmp_path/'set')
    p = sorted(raw.rglob('*.npy'))[7]
    assert arrays['mask'].dtype == bool and np.array_equal(arrays['mask'][7], mapped(p)['mask']) and np.array_equal(arrays['y'][7], mapped(p)['y'])

def test_arrays_of_many_items_are_rows(tmp_path):
    x,y = np.random.default_rng(0).normal(size=(50,2,9)),np.arange(50)%3
    parts = [dict(X=x[a:b], y=y[a:b], day=f'd{a}') for a,b in ((0,20), (20,21), (21,50))]
    arrays,_ = open_folder(convert(parts, tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y)
    assert arrays['day'].tolist() == ['d0']*20+['d20']+['d21']*29

def test_an_iterable_gives_items(tmp_path):
    got = open_folder(convert((rec(i) for i in range(10)), tmp_path/'set'))[0]['X']
    assert np.array_equal(got, np.stack([rec(i) for i in range(10)]))

def in_pieces(p):
    x = rec(int(Path(p).stem), 1000)
    yield dict(X=(x[:, i:i+64] for i in range(0, 1000, 64)), y='long')

def test_a_recording_may_come_in_pieces(raw, tmp_path):
    X = open_folder(convert(raw, tmp_path/'set', read=in_pieces))[0]['X']
    p = sorted(raw.rglob('*.npy'))[3]
    assert np.array_equal(X[3], rec(int(p.stem), 1000)) and len(Windows(X, 100, 100)) == 600

def test_one_large_array_is_read_some_rows_at_a_time(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(5000,4,100)).astype('f4')
    np.savez(tmp_path/'a.npz', X=x, y=np.arange(5000))
    monkeypatch.setattr('tsdisk.convert.convert._by_rows.__defaults__', (2**20,))
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], np.arange(5000))
    assert read_manifest(tmp_path/'set')['arrays']['y']['layout'] == 'dense' and len(open(tmp_path/'set/items.jsonl').readlines()) > 5

def test_pairs_of_folders_are_matched_by_name(tmp_path):
    for o in 'ab':
        for k in ('imgs','masks'):
            (tmp_path/o/k).mkdir(parents=True)
            for i in range(5): np.save(tmp_path/o/k/f'{i}.npy', rec(i)*(k == 'imgs'))
    arrays,_ = open_folder(convert(dict(X=f'{tmp_path}/*/imgs/*.npy', y=f'{tmp_path}/*/masks/*.npy'), tmp_path/'set'))
    assert arrays['X'].shape == arrays['y'].shape == (10,3,20) and not arrays['y'].any()
    (tmp_path/'b/masks/3.npy').unlink()
    with expect_fail(ValueError, "no file for 'y'"): convert(dict(X=f'{tmp_path}/*/imgs/*.npy', y=f'{tmp_path}/*/masks/*.npy'), tmp_path/'set2')

def test_shards_are_files_of_limited_size(raw, tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 5000)
    convert(raw, tmp_path/'set', layout='shards')
    X = open_folder(tmp_path/'set')[0]['X']
    assert len(X.paths) == 3 and np.array_equal(X[:], np.stack([np.load(o) for o in sorted(raw.rglob('*.npy'))])) and verify(tmp_path/'set') == []

def stretch(o): return {**o, 'X': np.repeat(o['X'], 2, -1)[:2]}
def test_items_pass_a_function_of_the_user(raw, tmp_path):
    x = open_folder(convert(raw, tmp_path/'set', tfm=stretch, dtype='float16'))[0]['X']
    assert x.shape == (60,2,40) and x.dtype == np.float16

# However many workers

@pytest.mark.parametrize('read', [None, as_item, in_pieces, mapped])
def test_the_result_is_the_same_for_any_number_of_workers(raw, tmp_path, read):
    convert(raw, tmp_path/'one', read=read, n_workers=0)
    for n in (1,3): assert same(tmp_path/'one', convert(raw, tmp_path/f'w{n}', read=read, n_workers=n))
    with ThreadPoolExecutor(4) as pool: assert same(tmp_path/'one', convert(raw, tmp_path/'pool', read=read, executor=pool))

def test_functions_of_a_notebook_work_with_processes(raw, tmp_path):
    k = 3
    assert open_folder(convert(raw, tmp_path/'set', read=lambda p: np.load(p)*k, n_workers=2))[0]['X'].shape == (60,3,20)

# Stops and faults

def test_a_file_that_cannot_be_read_stops_and_loses_nothing(raw, tmp_path):
    p = sorted(raw.rglob('*.npy'))[41]
    good = p.read_bytes()
    p.write_bytes(good[:100])
    with expect_fail(ValueError, f'{p.relative_to(raw)} could not be read') as _: convert(raw, tmp_path/'set', n_workers=2)
    with expect_fail(FileNotFoundError, 'is not finished'): open_folder(tmp_path/'set')
    with expect_fail(FileNotFoundError, 'is not finished'): TSDataLoaders.from_folder(tmp_path/'set')
    p.write_bytes(good)
    convert(raw, tmp_path/'set', n_workers=2)
    assert same(tmp_path/'set', convert(raw, tmp_path/'whole', n_workers=0))

def test_files_that_cannot_be_read_are_left_out_if_asked(raw, tmp_path, capsys):
    paths = sorted(raw.rglob('*.npy'))
    for i in (0,17,59): paths[i].write_text('no array')
    np.save(paths[30], rec(0, 21))
    convert(raw, tmp_path/'set', on_error='skip', layout='dense', n_workers=2)
    arrays,_ = open_folder(tmp_path/'set')
    assert len(arrays['X']) == 56 and np.array_equal(arrays['X'], np.stack([np.load(o) for i,o in enumerate(paths) if i not in (0,17,30,59)]))
    faults = read_manifest(tmp_path/'set')['faults']
    assert [o for o,_ in faults] == [str(paths[i].relative_to(raw)) for i in (0,17,30,59)] and 'shape' in faults[2][1]
    assert 'Left out, 4 sources' in capsys.readouterr().out

def test_a_wrong_shape_names_its_file(raw, tmp_path):
    p = sorted(raw.rglob('*.npy'))[11]
    np.save(p, rec(0, 21))
    with expect_fail(ValueError, f'{p.relative_to(raw)} could not be read: ValueError: `X` has shape (3, 21), other items (3, 20)'): convert(raw, tmp_path/'set')

def test_other_sources_or_options_do_not_go_on(raw, tmp_path):
    paths = sorted(raw.rglob('*.npy'))
    paths[50].write_text('no array')
    for _ in range(2):
        with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set')
    with expect_fail(ValueError, 'was begun with dtype=None'): convert(raw, tmp_path/'set', dtype='float16')
    np.save(paths[3], rec(1000))
    with expect_fail(ValueError, 'some have changed'): convert(raw, tmp_path/'set')
    np.save(paths[50], rec(50))
    convert(raw, tmp_path/'set', resume=False)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'][3], rec(1000))
    made = read_manifest(tmp_path/'set')
    assert read_manifest(convert(raw, tmp_path/'set')) == made # Done is done
    for kwargs in (dict(dtype='float16'), dict(resume=False)):
        with expect_fail(FileExistsError, 'is not empty'): convert(raw, tmp_path/'set', **kwargs)

def test_a_full_disk_is_a_clean_error_and_what_is_done_is_kept(raw, tmp_path, monkeypatch):
    write,left = columns.Growing.write,[3]
    def full(self, data):
        if not left[0]: raise OSError(errno.ENOSPC, 'No space left on device')
        left[0] -= 1
        return write(self, data)
    monkeypatch.setattr(columns.Growing, 'write', full)
    with expect_fail(OSError, 'is full. What is done is kept'): convert([str(o) for o in sorted(raw.rglob('*.npy'))]*5, tmp_path/'set', n_workers=0)
    monkeypatch.setattr(columns.Growing, 'write', write)
    convert([str(o) for o in sorted(raw.rglob('*.npy'))]*5, tmp_path/'set', n_workers=0)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 300 and verify(tmp_path/'set') == []

def test_room_is_looked_for_before_work_starts(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(1000, 1000, 1000))
    with expect_fail(OSError, 'needs 0.0 GB'): convert(raw, tmp_path/'set')
    assert not (tmp_path/'set').exists()

def rows_of_a_file(d):
    np.savez(d/'a.npz', X=np.zeros((5000,4,100), 'f4'))
    return d/'a.npz'

def compressed(d):
    np.savez_compressed(d/'a.npz', X=np.zeros((5000,4,100), 'f4'))
    return d/'a.npz'

def recording(d):
    h5py = pytest.importorskip('h5py')
    with h5py.File(d/'a.h5', 'w') as f: f['X'] = np.zeros((4,500_000), 'f4')
    return d/'a.h5'

def recordings(d): return [np.zeros((4,100_000+i), 'f4') for i in range(5)]
def in_memory(d): return np.zeros((5000,4,100), 'f4')

@pytest.mark.parametrize('kind', [rows_of_a_file, compressed, recording, recordings, in_memory])
def test_room_is_counted_for_all_that_is_known(tmp_path, monkeypatch, kind):
    "Eight MB each"
    monkeypatch.setattr(importers, 'large', 2**20)
    monkeypatch.setattr('tsdisk.convert.convert._by_rows.__defaults__', (2**20,))
    free,src = shutil.disk_usage(tmp_path).free,kind(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(free, 0, 7_900_000))
    with expect_fail(OSError, 'make room'): convert(src, tmp_path/'set')
    assert not (tmp_path/'set').exists()
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(free, 0, 8_100_000))
    convert(src, tmp_path/'set')
    assert verify(tmp_path/'set') == []

def test_where_room_is_not_given_back_a_source_needs_it_twice(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.journal.free_room', lambda *args: False)
    monkeypatch.setattr('tsdisk.convert.convert.free_room', lambda *args: False)
    for free,kind in ((15.9e6,in_memory), (9.5e6,recordings)):
        monkeypatch.setattr(shutil, 'disk_usage', lambda p, free=free: shutil._ntuple_diskusage(0, 0, int(free)))
        with expect_fail(OSError, 'make room'): convert(kind(tmp_path), tmp_path/'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 16_100_000))
    convert(in_memory(tmp_path), tmp_path/'set')
    with expect_fail(OSError, 'make room'): append(tmp_path/'set', np.ones((5050,4,100), 'f4'))

def test_what_is_left_out_needs_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.convert._by_rows.__defaults__', (2**20,))
    src = rows_of_a_file(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 2_000_000))
    assert open_folder(convert(src, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][::10]}))[0]['X'].shape == (504,4,100)

def test_room_is_looked_for_before_rows_are_added(tmp_path, monkeypatch):
    convert(np.ones((5,4,100), 'f4'), tmp_path/'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 7_900_000))
    with expect_fail(OSError, 'make room'): append(tmp_path/'set', np.ones((5000,4,100), 'f4'))
    assert len(open_folder(tmp_path/'set')[0]['X']) == 5 and not (tmp_path/'set/.convert').exists()

def test_what_is_compressed_is_read_from_its_front(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**20)
    x,y = np.random.default_rng(0).normal(size=(3000,4,100)),np.arange(3000)
    np.savez_compressed(tmp_path/'a.npz', X=x, y=y, fs=50.)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][:,:2]*2}))
    assert np.array_equal(arrays['X'], x[:,:2]*2) and np.array_equal(arrays['y'], y)
    got = read_file(tmp_path/'a.npz')['X']
    assert type(got) is FromFront and len(got) == 3000 and got.shape == x.shape
    assert np.array_equal(got[2000:2010], x[2000:2010]) and np.array_equal(got[7], x[7]) and np.array_equal(got[-1], x[-1]) and got[5:5].shape == (0,4,100)
    with expect_fail(ValueError, 'a step of 2'): got[::2]
    assert 'compressed' in str(info(tmp_path/'a.npz')) and type(open_npz(tmp_path/'a.npz')['X']) is np.ndarray
    with expect_fail(IndexError): got[3000]
    pair = convert(dict(X=str(tmp_path/'a.npz'), y=f'{tmp_path}/a.npz::y'), tmp_path/'pair')
    assert np.array_equal(open_folder(pair)[0]['X'], x) and np.array_equal(open_folder(pair)[0]['y'], y)

def a_recording(x, d): np.savez_compressed(d/'a.npz', X=x[0])
def of_columns(x, d): np.savez_compressed(d/'a.npz', X=np.asfortranarray(x))
def flat_columns(x, d): np.savez(d/'a.npz', X=np.asfortranarray(x))
def big_endian(x, d): np.savez(d/'a.npz', X=x.astype('>f8'))

@pytest.mark.parametrize('kind,layout,shape', [(a_recording,None,(1,40,200_000)), (a_recording,'ragged',(1,40,200_000)), (of_columns,None,(10,40,20_000)),
    (flat_columns,None,(10,40,20_000)), (big_endian,None,(10,40,20_000))])
def test_what_is_in_another_order_is_never_whole_in_memory(tmp_path, kind, layout, shape):
    x = np.arange(np.prod(shape), dtype='f8').reshape(shape)
    kind(x, tmp_path)
    code = f"""
import threading
from tsdisk.convert import readers as importers
importers.large = 2**20
from tsdisk.convert.convert import convert
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
    most = float(subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TMPDIR': str(tmp_path/'tmp')}, capture_output=True, text=True, check=True).stdout.split()[-1])
    got = open_folder(tmp_path/'set')[0]['X']
    assert np.array_equal(got[0] if layout else got[:], x[0] if layout else x) and not [*(tmp_path/'tmp').iterdir()]
    assert most < 30e6, f'{most/1e6:.0f} MB of the 64 of the file'

def test_a_disk_of_temporary_files_that_is_full_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**10)
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    np.savez_compressed(tmp_path/'a.npz', X=np.ones((3,1000)))
    def full(*args): raise OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(importers.shutil, 'copyfileobj', full)
        with expect_fail(OSError, f'The disk of {tmp_path} is full'): convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0)
    assert open_folder(convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0))[0]['X'].shape == (1,3,1000)

@pytest.mark.skipif(sys.platform != 'linux', reason='room is given back on Linux')
def test_a_recording_takes_its_room_once(tmp_path, monkeypatch):
    used = lambda: sum(o.stat().st_blocks for o in tmp_path.rglob('*') if o.is_file())*512
    most,write = [0],columns.Growing.write
    def seen(self, data):
        write(self, data)
        most[0] = max(most[0], used())
    monkeypatch.setattr(columns.Growing, 'write', seen)
    x = np.random.default_rng(0).random((2,2**22), 'f4')
    pieces = lambda p: dict(X=(x[:,i:i+2**18] for i in range(0, 2**22, 2**18)))
    convert([str(tmp_path/'one.rec')], tmp_path/'set', read=pieces, n_workers=0)
    assert x.nbytes < most[0] < 1.4*x.nbytes, most
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'][0], x)

def dies(p):
    if p.endswith('040.npy') and not Path(p).with_suffix('.died').exists():
        Path(p).with_suffix('.died').touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return np.load(p)

def test_a_worker_that_dies_is_told_of(raw, tmp_path):
    src = [str(o) for o in sorted(raw.rglob('*.npy'))]
    with expect_fail(RuntimeError, 'A worker was ended from outside'): convert(src, tmp_path/'set', read=dies, n_workers=2)
    convert(src, tmp_path/'set', read=dies, n_workers=2)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 60

# Kills

class Killer:
    "Ends the process at one of the calls that change the disk"
    names = 'replace','fsync','unlink','truncate'
    def __init__(self, at): self.at,self.n = at,0
    def step(self):
        self.n += 1
        if self.n == self.at: os._exit(9)
    def install(self):
        from tsdisk.convert import growing as columns
        from tsdisk.convert import journal as c
        c.Journal.every = 0
        for k in ('replace','fsync'):
            f = getattr(os, k)
            setattr(os, k, lambda *a, f=f, **kw: (self.step(), f(*a, **kw), self.step())[1])
        write = columns.Growing.write
        def torn(s, data):
            self.step()
            if self.n+1 == self.at: data = memoryview(data).cast('B')[:len(memoryview(data).cast('B'))//2]
            if self.n+1 == self.at:
                columns.write_at(s.file, data, s.start+s.sums.size)
                os._exit(9)
            write(s, data)
        columns.Growing.write = torn
        take = c.Journal.take
        def noted(s, *args):
            take(s, *args)
            self.step()
        c.Journal.take = noted

def in_child(f, at):
    "Run a function in a child that ends itself at step `at`; its exit status, and the steps it made"
    r,w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            k = Killer(at)
            k.install()
            os.close(r)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            f()
            os.write(w, str(k.n).encode())
            os._exit(0)
        except BaseException as e:
            os.write(2, repr(e).encode())
            os._exit(1)
    os.close(w)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with os.fdopen(r) as o: return status, int(o.read() or 0)

needs_fork = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs os.fork')

def groups_of_two(monkeypatch): # Many groups, so that a kill finds some done
    made = Sources.groups
    def small(*args):
        for k,group in made(*args):
            for i in range(0, len(group), 2): yield k+i, group[i:i+2]
    monkeypatch.setattr(Sources, 'groups', small)

@needs_fork
@pytest.mark.parametrize('read,kwargs', [(None, {}), (as_item, {}), (None, dict(layout='shards'))], ids=['dense','ragged','shards'])
def test_killed_at_any_point_it_goes_on_to_the_same_result(raw, tmp_path, monkeypatch, read, kwargs):
    groups_of_two(monkeypatch)
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 5000)
    go = lambda dst: convert(raw, tmp_path/dst, read=read, label='folder', n_workers=0, **kwargs)
    status,steps = in_child(lambda: go('whole'), -1)
    assert status == 0 and steps > 100
    points = sorted({*random.Random(0).sample(range(1, steps), 14), *range(steps-9, steps+1)}) # The last are where files get their names
    for at in points:
        dst = tmp_path/f'k{at}'
        assert in_child(partial(go, dst.name), at)[0] == 9
        if not (dst/'tsdisk.json').exists():
            with expect_fail(FileNotFoundError): open_folder(dst)
        go(dst.name)
        assert same(tmp_path/'whole', dst), at
        shutil.rmtree(dst)

@needs_fork
@pytest.mark.parametrize('read,kwargs', [(None, {}), (as_item, {}), (None, dict(layout='shards'))], ids=['dense','ragged','shards'])
def test_an_append_that_is_killed_leaves_the_old_rows_and_goes_on(raw, tmp_path, monkeypatch, read, kwargs):
    groups_of_two(monkeypatch)
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 5000)
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:40], tmp_path/'base', read=read, n_workers=0, **kwargs)
    more = lambda dst: append(tmp_path/dst, paths[40:], read=read, n_workers=0)
    shutil.copytree(tmp_path/'base', tmp_path/'whole')
    status,steps = in_child(lambda: more('whole'), -1)
    assert status == 0 and verify(tmp_path/'whole') == []
    both = open_folder(tmp_path/'whole')[0]['X']
    assert len(both) == 60 and np.array_equal(both[59], (np.load(paths[59]) if read is None else of_length(paths[59])))
    for at in sorted({*random.Random(1).sample(range(1, steps), 12), *range(steps-9, steps+1)}):
        dst = tmp_path/f'k{at}'
        shutil.copytree(tmp_path/'base', dst)
        before = open_folder(dst)[0]['X'][3].copy()
        assert in_child(partial(more, dst.name), at)[0] == 9
        x = open_folder(dst)[0]['X']
        assert len(x) in (40,60) and np.array_equal(x[3], before) and verify(dst) == []
        more(dst.name)
        assert same(tmp_path/'whole', dst), at
        shutil.rmtree(dst)

program = '''
import time, numpy as np
from tsdisk.convert.convert import convert
def slow(p):
    time.sleep(.01)
    return np.load(p), int(p[-7:-4])
convert({raw!r}, {dst!r}, read=slow, n_workers=2)
'''

@pytest.mark.parametrize('i', range(4))
def test_a_kill_from_outside_with_workers_loses_nothing(raw, tmp_path, i):
    dst = tmp_path/'set'
    code = program.format(raw=[str(o) for o in sorted(raw.rglob('*.npy'))]*6, dst=str(dst))
    p = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.time()+30
    while not (dst/'.convert/journal.jsonl').exists() and time.time() < until: time.sleep(.01)
    time.sleep([.1,.5,1.2,1.6][i])
    p.send_signal(signal.SIGKILL)
    p.wait()
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)
    convert([str(o) for o in sorted(raw.rglob('*.npy'))]*6, tmp_path/'whole', read=lambda p: (np.load(p), int(p[-7:-4])), n_workers=0)
    a,b = files_of(dst),files_of(tmp_path/'whole')
    assert a.keys() == b.keys() and all(filecmp.cmp(a[k], b[k], shallow=False) for k in a)

# Append

def test_readers_of_the_old_state_go_on(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:30], tmp_path/'set', label='folder')
    old,_ = open_folder(tmp_path/'set')
    was = np.array(old['X'])
    append(tmp_path/'set', paths[30:], label='folder')
    assert np.array_equal(old['X'], was) and len(old['X']) == 30
    new,_ = open_folder(tmp_path/'set')
    assert len(new['X']) == len(new['y']) == len(new['source']) == 60 and np.array_equal(new['X'][59], np.load(paths[59])) and verify(tmp_path/'set') == []

def test_arrays_are_appended_to_a_saved_folder(tmp_path):
    x,y = np.random.default_rng(0).normal(size=(70,2,9)).astype('f4'),np.arange(70)%3
    save_folder(tmp_path/'set', x[:50], y[:50], splits=dict(train=range(40), valid=range(40,50)))
    append(tmp_path/'set', dict(X=x[50:60], y=y[50:60]))
    append(tmp_path/'set', (x[60:], y[60:]))
    arrays,splits = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y) and list(splits['train']) == list(range(40)) and verify(tmp_path/'set') == []

def test_what_does_not_fit_is_not_appended(tmp_path):
    x = np.zeros((5,2,9), 'f4')
    save_folder(tmp_path/'set', x, np.array(['a']*5))
    for bad,why in ((dict(X=np.zeros((3,2,8), 'f4'), y=np.array(['a']*3)), 'shape'), (dict(X=x), 'no `y`'), (dict(X=x, y=np.array(['long']*5)), 'does not fit')):
        with expect_fail(ValueError, why): append(tmp_path/'set', bad)
        assert len(open_folder(tmp_path/'set')[0]['X']) == 5 and not (tmp_path/'set/.convert').exists()
    with expect_fail(FileNotFoundError, 'is no dataset'): append(tmp_path/'none', x)

def test_labels_of_converted_items_may_grow_longer(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:3], tmp_path/'set', label=lambda p: 'a')
    append(tmp_path/'set', paths[3:5], label=lambda p: 'longer')
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == ['a']*3+['longer']*2

# Integers with a scale

def test_floats_as_integers_come_back_within_half_a_step(tmp_path):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(3,50))*[[1],[1e-6],[1e5]]+[[0],[3e-6],[-1e4]] for _ in range(40)]
    xs[5][1,7] = np.nan
    (tmp_path/'raw').mkdir()
    for i,x in enumerate(xs): np.save(tmp_path/f'raw/{i:02d}.npy', x)
    convert(tmp_path/'raw', tmp_path/'set', dtype='int16', n_workers=2)
    said = read_manifest(tmp_path/'set')['arrays']['X']
    assert said['dtype'] == '<i2' and len(said['scale']) == 3
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(40)], shuffle=False, bs=40, drop_last=False, num_workers=0)
    got,x = dls.train.one_batch()[0].numpy(),np.stack(xs)
    assert np.isnan(got[5,1,7]) and np.isnan(got).sum() == 1
    err = np.nanmax(np.abs(got-x), axis=(0,2))
    assert (err <= .5*np.array(said['scale']) + np.nanmax(np.abs(x), axis=(0,2))*2**-23).all()

def counts(p): return dict(X=(np.load(p)*100).astype('i2'), scale=[.01,.02,.03], offset=[0.,1.,2.], names=['a','b','c'], units='mV')

def test_gain_of_the_source_is_kept_and_decoded_by_loaders(raw, tmp_path):
    from tsdisk.data.transforms import Standardize
    convert(raw, tmp_path/'set', read=counts)
    said,x = read_manifest(tmp_path/'set')['arrays']['X'],open_folder(tmp_path/'set')[0]['X']
    assert x.dtype == np.int16 and said['names'] == ['a','b','c'] and said['units'] == 'mV' and said['scale'] == [.01,.02,.03]
    want = x*np.array([[.01],[.02],[.03]])+[[0],[1],[2]]
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(60)], shuffle=False, bs=60, drop_last=False)
    assert np.allclose(dls.train.one_batch()[0], want, atol=1e-6)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(60)], shuffle=False, bs=60, drop_last=False, batch_tfms=Standardize())
    assert np.allclose(dls.train.one_batch()[0], (want-want.mean((0,2))[:,None])/want.std((0,2))[:,None], atol=1e-5)
    convert(raw, tmp_path/'floats', read=counts, dtype='float32')
    assert np.allclose(open_folder(tmp_path/'floats')[0]['X'], want, atol=1e-6) and 'scale' not in read_manifest(tmp_path/'floats')['arrays']['X']

def test_sources_of_different_gain_need_floats(raw, tmp_path):
    other = lambda p: dict(counts(p), scale=[.01,.02,.04]) if p.endswith('030.npy') else counts(p)
    with expect_fail(ValueError, "`scale` is [0.01, 0.02, 0.04]"): convert(raw, tmp_path/'set', read=other)
    assert open_folder(convert(raw, tmp_path/'floats', read=other, dtype='float32'))[0]['X'].dtype == np.float32

def test_forecasts_of_integers_are_in_real_units(tmp_path):
    x = (np.random.default_rng(0).normal(size=(500,3))*1000).astype('i2')
    w = Windows(x, 24, horizon=6, targets=[2,0], known=[1])
    dls = TSDataLoaders.from_arrays(w, splits=[range(400)], packing=Packing([.1,.2,.3], [1,2,3]), shuffle=False, bs=8, num_workers=0)
    (xb,kb,yb) = dls.train.one_batch()
    real = x*[.1,.2,.3]+[1,2,3]
    for got,want in ((xb, real[5:29].T), (yb, real[29:35].T[[2,0]]), (kb, real[29:35].T[[1]])): assert np.allclose(got[5], want, atol=1e-3)

# Verify

def test_every_flipped_bit_is_found_and_named(raw, tmp_path):
    convert(raw, tmp_path/'set', read=as_item)
    rng = np.random.default_rng(0)
    for f in files_of(tmp_path/'set'):
        p = tmp_path/'set'/f
        for at in rng.integers(0, p.stat().st_size, 25):
            data = bytearray(p.read_bytes())
            data[at] ^= 1 << int(rng.integers(8))
            good = p.read_bytes()
            p.write_bytes(data)
            said = verify(tmp_path/'set')
            assert len(said) == 1 and said[0].startswith(f'{f} has changed'), (f, at, said)
            p.write_bytes(good)
    assert verify(tmp_path/'set') == []

def test_lost_and_short_files_are_named(raw, tmp_path):
    convert(raw, tmp_path/'set', label='folder')
    with open(tmp_path/'set/X.npy', 'r+b') as f: f.truncate(5000)
    (tmp_path/'set/y.npy').unlink()
    said = verify(tmp_path/'set')
    assert any(o.startswith('X.npy is truncated') for o in said) and 'y.npy is missing' in said

def test_a_folder_without_checksums_gets_them_when_asked(tmp_path):
    save_folder(tmp_path/'set', np.zeros((9,2,5)), np.arange(9))
    with expect_fail(ValueError, 'has no checksums'): verify(tmp_path/'set')
    add_checksums(tmp_path/'set')
    assert verify(tmp_path/'set') == []

def test_an_array_that_was_replaced_is_noticed(raw, tmp_path):
    convert(raw, tmp_path/'set')
    save_array(tmp_path/'set/X.npy', np.zeros((70,3,20), 'f4'))
    with expect_fail(ValueError, 'it was replaced'): open_folder(tmp_path/'set')

# What a review found

def X(i): return np.full((2,10), i, 'f4')
def labelled(n, a=0): return [dict(X=X(i), y=i) for i in range(a, n)]

class Interrupt:
    "Raises KeyboardInterrupt at one of the calls of a function"
    def __init__(self, f, at): self.f,self.at,self.n = f,at,0
    def __call__(self, *args, **kwargs):
        self.n += 1
        if self.n == self.at: raise KeyboardInterrupt
        return self.f(*args, **kwargs)

@pytest.mark.parametrize('where', ['os.fsync','shutil.copyfileobj','tsdisk.convert.growing.write_at'])
@pytest.mark.parametrize('at', [1,2,3,5,8,13,21])
def test_ctrl_c_at_any_point_loses_nothing(tmp_path, monkeypatch, where, at):
    monkeypatch.setattr('tsdisk.convert.journal.Journal.every', 0)
    groups_of_two(monkeypatch)
    items = labelled(60)
    convert(items, tmp_path/'whole')
    with monkeypatch.context() as m:
        owner,name = where.rsplit('.', 1)
        f = getattr(sys.modules[owner], name)
        m.setattr(where, Interrupt(f, at))
        with pytest.raises(KeyboardInterrupt): convert(items, tmp_path/'set')
    assert same(tmp_path/'whole', convert(items, tmp_path/'set'))
    arrays,_ = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'][:,0,0], np.arange(60)) and arrays['y'].tolist() == [*range(60)]

def test_names_of_what_is_known_are_no_paths(tmp_path):
    victim = tmp_path/'victim.npy'
    np.save(victim, np.arange(100))
    odd = {str(tmp_path/'victim'): 1, 'a/b': 2, '..': 3, 'items': 4, 'tsdisk': 5, 'x': 6}
    items = [dict(X=X(i), parts=i, journal=i, **{k: v+i for k,v in odd.items()}) for i in range(3)]
    convert(items, tmp_path/'set')
    append(tmp_path/'set', items)
    arrays,_ = open_folder(tmp_path/'set')
    assert set(arrays) == {'X','source','parts','journal'} and arrays['parts'].tolist() == [0,1,2]*2 and np.load(victim).tolist() == [*range(100)]
    assert verify(tmp_path/'set') == [] and json.loads(open(next((tmp_path/'set').glob('items*'))).readline())[1]['a/b'] == 2
    with expect_fail(ValueError, "can't be the name of a column"): convert([dict(X=X(0), **{'a/b': np.zeros(3)})], tmp_path/'bad')
    with expect_fail(ValueError, 'name of a split'): convert([dict(X=X(0), split='a/b')], tmp_path/'bad2')

ys = [['a', 3], [True, 3], ['a', None], [1, None], [None, 'a']]
@pytest.mark.parametrize('two', ys, ids=map(str, ys))
def test_targets_do_not_vanish(tmp_path, two):
    with expect_fail(ValueError, 'Its target is'): convert([dict(X=X(i), y=y) for i,y in enumerate(two)], tmp_path/'set')

def test_targets_of_any_form_arrive(tmp_path):
    two = np.zeros((2,1,5))
    for i,(x,y,want) in enumerate([(X(0), [1.,2.], [[1.,2.]]), (two, ['a','b'], ['a','b']), (two, [1,2], [1,2])]):
        assert open_folder(convert([dict(X=x, y=y)], tmp_path/str(i)))[0]['y'].tolist() == want
    for i,y in enumerate([np.arange(4), ['a']*4]):
        with expect_fail(ValueError, 'rows'): convert([dict(X=np.zeros((5,1,9)), y=y)], tmp_path/f'bad{i}')
    with expect_fail(ValueError, 'Targets are numbers, texts'): convert([dict(X=X(0), y=np.array(['a','b']))], tmp_path/'bad')

def test_a_label_that_is_asked_for_comes_before_that_of_the_file(raw, tmp_path):
    assert set(open_folder(convert(raw, tmp_path/'set', read=as_item, label='folder'))[0]['y'].tolist()) == {'a','b'}

def test_an_append_without_targets_is_refused(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:30], tmp_path/'set', label='folder')
    with expect_fail(ValueError, 'Its target is missing'): append(tmp_path/'set', paths[30:])
    assert len(open_folder(tmp_path/'set')[0]['y']) == 30
    append(tmp_path/'set', paths[30:], label='folder', resume=False)
    assert len(open_folder(tmp_path/'set')[0]['y']) == 60

def test_columns_that_new_items_lack_are_named(tmp_path, capsys):
    convert([dict(X=X(i), patient=f'p{i}') for i in range(3)], tmp_path/'set')
    append(tmp_path/'set', [dict(X=X(9))])
    assert 'alone, as they are lists, differ in kind' in capsys.readouterr().out and 'patient' not in open_folder(tmp_path/'set')[0]

def test_splits_grow(tmp_path):
    save_folder(tmp_path/'set', np.zeros((100,2,10), 'f4'), splits=dict(train=range(80), valid=range(80,100)))
    append(tmp_path/'set', [dict(X=X(i), split=('train','valid','new')[i%3]) for i in range(6)])
    append(tmp_path/'set', [dict(X=X(i), split='train') for i in range(2)])
    splits = {k: sorted(np.asarray(v[:] if hasattr(v, 'of') else v).tolist()) for k,v in open_folder(tmp_path/'set')[1].items()}
    assert splits == dict(train=[*range(80),100,103,106,107], valid=[*range(80,100),101,104], new=[102,105]) and verify(tmp_path/'set') == []
    save_folder(tmp_path/'odd', np.zeros((10,2,10), 'f4'), splits=dict(train=[0,3,5], valid=[1,2]))
    append(tmp_path/'odd', [dict(X=X(i), split='train') for i in range(2)])
    assert np.asarray(open_folder(tmp_path/'odd')[1]['train']).tolist() == [0,3,5,10,11]

def failing(items, at):
    for i,o in enumerate(items):
        if i == at: raise RuntimeError('the source broke')
        yield o

def test_an_iterable_goes_on_with_the_same_items_alone(tmp_path):
    with pytest.raises(RuntimeError): convert(failing(labelled(300), 200), tmp_path/'set')
    for other in (labelled(400, 100), labelled(10)):
        with expect_fail(ValueError, 'some have changed'): convert((o for o in other), tmp_path/'set')
    convert((o for o in labelled(300)), tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == [*range(300)]
    with pytest.raises(RuntimeError): append(tmp_path/'set', failing(labelled(300), 200))
    with expect_fail(ValueError, 'some have changed'): append(tmp_path/'set', (o for o in labelled(400, 100)))

def test_an_iterable_that_was_all_added_is_not_added_twice(tmp_path, monkeypatch):
    convert(labelled(3), tmp_path/'set')
    with monkeypatch.context() as m:
        m.setattr('tsdisk.convert.journal.Journal.publish', Interrupt(None, 1))
        with pytest.raises(KeyboardInterrupt): append(tmp_path/'set', (o for o in labelled(10)))
    with expect_fail(ValueError, 'complete but for its name'): append(tmp_path/'set', (o for o in labelled(10)))
    assert len(open_folder(tmp_path/'set')[0]['X']) == 13

def floats(*xs): return [dict(X=np.asarray(o, 'f4').reshape(1, -1)) for o in xs]
def test_integers_with_a_scale_take_no_wrong_values(tmp_path):
    for i,o in enumerate(([1,2,3], [4,5,np.inf], [7,8,9])): np.save(tmp_path/f'{i}.npy', np.array([o], 'f4'))
    with expect_fail(ValueError, 'infinite'): convert(f'{tmp_path}/*.npy', tmp_path/'a', dtype='int16')
    convert(f'{tmp_path}/*.npy', tmp_path/'b', dtype='int16', on_error='skip')
    said = read_manifest(tmp_path/'b')['arrays']['X']
    assert np.allclose(open_folder(tmp_path/'b')[0]['X'][:,0]*np.array(said['scale'])+said['offset'], [[1,2,3], [7,8,9]], atol=1e-3)
    np.save(tmp_path/'1.npy', np.array([[400,401,402]], 'i2'))
    convert(f'{tmp_path}/*.npy', tmp_path/'c', dtype='int16')
    said = read_manifest(tmp_path/'c')['arrays']['X']
    assert np.allclose(open_folder(tmp_path/'c')[0]['X'][1,0]*np.array(said['scale'])+said['offset'], [400,401,402], atol=1e-2)
    for k,bad in enumerate(([0.,1e308], [0.,1e-320])):
        np.save(tmp_path/'1.npy', np.array([bad]))
        with expect_fail(ValueError, 'No scale'): convert(str(tmp_path/'1.npy'), tmp_path/f'bad{k}', dtype='int16')

def test_what_is_added_to_integers_fits_them_or_is_refused(tmp_path):
    with_scale = lambda x,**kw: dict(X=np.asarray(x).reshape(1, -1), scale=[.1], **kw)
    convert([with_scale(np.arange(5, dtype='i4')*10)], tmp_path/'set')
    with expect_fail(ValueError, 'need their `scale`'): append(tmp_path/'set', [dict(X=np.zeros((1,5), 'i4'))])
    with expect_fail(ValueError, "NaN can't be stored"): append(tmp_path/'set', floats([1,2,3,4,np.nan]), resume=False)
    append(tmp_path/'set', floats([1,2,3,4,5000.]), resume=False)
    assert open_folder(tmp_path/'set')[0]['X'][1].tolist() == [[10,20,30,40,50000]]

def test_a_large_array_that_changed_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.convert._by_rows.__defaults__', (4096,))
    save_array(tmp_path/'X.npy', np.ones((5000,2,10), 'f4'))
    with monkeypatch.context() as m:
        m.setattr('tsdisk.convert.journal.Journal.every', 0)
        take = Interrupt(Journal.take, 20)
        m.setattr(Journal, 'take', lambda *args: take(*args))
        with pytest.raises(KeyboardInterrupt): convert(tmp_path/'X.npy', tmp_path/'set', n_workers=0)
    save_array(tmp_path/'X.npy', np.full((5000,2,10), 7, 'f4'))
    with expect_fail(ValueError, 'some have changed'): convert(tmp_path/'X.npy', tmp_path/'set', n_workers=0)

def times(o, k): return {**o, 'X': o['X']*k}
def test_functions_with_other_arguments_are_others(raw, tmp_path):
    sorted(raw.rglob('*.npy'))[40].write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set', tfm=partial(times, k=1))
    with expect_fail(ValueError, 'was begun with tfm'): convert(raw, tmp_path/'set', tfm=partial(times, k=10))

def doubled(o):
    o['X'] *= 2
    return o
def test_what_was_looked_at_is_not_transformed_twice(tmp_path):
    for i,items in enumerate(([X(1) for _ in range(5)], (X(1) for _ in range(9)))):
        assert (open_folder(convert(items, tmp_path/str(i), tfm=doubled))[0]['X'] == 2).all()

def test_files_of_one_name_are_not_mixed_up(tmp_path):
    for k in 'ab': (tmp_path/k).mkdir(), np.save(tmp_path/k/'1.npy', X(1))
    np.savez(tmp_path/'a/1.npz', X=X(99))
    with expect_fail(ValueError, 'name of another one'): convert(dict(X=tmp_path/'a', y=tmp_path/'b'), tmp_path/'set')

def test_one_writer_at_a_time(raw, tmp_path):
    from tsdisk.disk.publish import locked
    code = f"from tsdisk.convert.convert import convert; convert({str(raw)!r}, {str(tmp_path/'set')!r})"
    with locked(tmp_path/'set'):
        with expect_fail(BlockingIOError, 'being written by someone else'): convert(raw, tmp_path/'set')
        said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stderr
        assert 'BlockingIOError' in said and 'being written by someone else' in said
    assert not (tmp_path/'set').exists()
    convert(raw, tmp_path/'set')
    assert not (tmp_path/'set/.lock').exists()

def test_a_reader_that_keeps_statistics_takes_nothing_back(tmp_path):
    from tsdisk.disk.publish import locked
    from tsdisk.folder.stats import train_stats
    convert(labelled(5), tmp_path/'set')
    with locked(tmp_path/'set'): train_stats(tmp_path/'set/X.npy') # While somebody appends
    assert 'stats' not in read_manifest(tmp_path/'set')
    train_stats(tmp_path/'set/X.npy')
    append(tmp_path/'set', labelled(3))
    assert 'stats' in read_manifest(tmp_path/'set') and len(open_folder(tmp_path/'set')[0]['X']) == 8 and verify(tmp_path/'set') == []

def test_the_manifest_and_splits_are_verified_too(tmp_path):
    convert([dict(X=X(i), split=('train','valid')[i%2]) for i in range(10)], tmp_path/'set')
    for name in ('split_train.npy','tsdisk.json'):
        p = tmp_path/'set'/name
        good = p.read_bytes()
        p.write_bytes(good.replace(b'"dense"', b'"densE"') if name == 'tsdisk.json' else good[:-1]+bytes([good[-1]^1]))
        assert verify(tmp_path/'set')[0].startswith(f'{name} has changed')
        p.write_bytes(good)
    assert verify(tmp_path/'set') == []

def test_names_and_labels_come_from_whole_paths(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(raw/'train')
    arrays,_ = open_folder(convert('./a/*.npy', tmp_path/'set', label='folder'))
    assert set(arrays['y'].tolist()) == {'a'} and '/' not in arrays['source'][0]
    arrays,splits = open_folder(convert(['a', str(raw/'train/b')], tmp_path/'both', label='folder'))
    assert len(arrays['y']) == 20 and set(arrays['y'].tolist()) == {'a','b'} and splits == {}
    convert(raw, tmp_path/'all', label='folder')
    append(tmp_path/'all', raw/'train', label='folder')
    assert sum(len(o) for o in open_folder(tmp_path/'all')[1].values()) == 80

def test_a_dataset_inside_the_source_is_no_source(raw, tmp_path):
    convert(raw, raw/'set', label='folder')
    append(raw/'set', raw, label='folder')
    assert len(open_folder(raw/'set')[0]['X']) == 120

def test_odd_input_is_refused_with_its_name(tmp_path):
    np.save(tmp_path/'a[1].npy', X(3))
    assert open_folder(convert(str(tmp_path/'a[1].npy'), tmp_path/'one'))[0]['X'].shape == (1,2,10)
    for i,(src,why) in enumerate((([], 'nothing to convert'), ([np.zeros((2,0))], 'not empty'), ([np.float64(3)], 'not empty'), (['no/such.npy'], 'no/such.npy'))):
        with pytest.raises((ValueError,TypeError,FileNotFoundError), match=why): convert(src, tmp_path/f'bad{i}')
    with expect_fail(NotADirectoryError, 'is a file'): convert([X(0)], tmp_path/'a[1].npy')
    with expect_fail(FileExistsError, 'not finished'):
        (tmp_path/'part/.convert').mkdir(parents=True)
        save_folder(tmp_path/'part', np.zeros((3,2,5)))

def test_memory_is_that_of_a_few_items(tmp_path):
    code = f"""
import numpy as np, re, threading
from tsdisk.convert.convert import convert
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

def test_texts_that_are_long_are_no_columns(tmp_path):
    convert([dict(X=X(i), note='x'*(10+5000*(i == 3))) for i in range(5)], tmp_path/'set')
    assert 'note' not in open_folder(tmp_path/'set')[0] and len(json.loads(open(tmp_path/'set/items.jsonl').readlines()[3])[1]['note']) == 5010

def test_numbers_that_no_column_holds_stay_with_the_items(tmp_path):
    assert 'id' not in open_folder(convert([dict(X=X(i), id=2**70+i) for i in range(3)], tmp_path/'set'))[0]

# Other systems

def test_where_processes_are_spawned(raw, tmp_path, monkeypatch):
    from types import SimpleNamespace
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    monkeypatch.setattr('tsdisk.convert.work.sys', SimpleNamespace(platform='darwin'))
    assert same(tmp_path/'one', convert(raw, tmp_path/'two', read=as_item, n_workers=2))
    with expect_fail(ValueError, 'must be functions of a module'): convert(raw, tmp_path/'three', read=lambda p: np.load(p), n_workers=2)

def test_without_positioned_writes(raw, tmp_path, monkeypatch):
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    monkeypatch.delattr(os, 'pwritev', raising=False)
    assert same(tmp_path/'one', convert(raw, tmp_path/'two', read=as_item, n_workers=0))
    append(tmp_path/'two', raw, read=as_item, n_workers=0)
    assert len(open_folder(tmp_path/'two')[0]['X']) == 120 and verify(tmp_path/'two') == []

def test_whatever_has_submit_is_an_executor(raw, tmp_path):
    class Cluster: # As one writes it for Ray: `ray.remote(call).remote(f, *args).future()`
        def __init__(self): self.pool,self.n = ThreadPoolExecutor(2),0
        def submit(self, f, *args):
            self.n += 1
            return self.pool.submit(f, *args)
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    cluster = Cluster()
    assert same(tmp_path/'one', convert(raw, tmp_path/'set', read=as_item, executor=cluster)) and cluster.n

def test_a_function_for_another_executor_must_be_sent(raw, tmp_path):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        with expect_fail(ValueError, 'must be functions of a module'): convert(raw, tmp_path/'set', read=lambda p: np.load(p), executor=pool)
        assert len(open_folder(convert(raw, tmp_path/'set2', read=as_item, executor=pool))[0]['X']) == 60

# What a newcomer found

@pytest.fixture
def counted(tmp_path):
    "Recordings of (3, 100) as integers with a scale, and their floats"
    x = (np.random.default_rng(0).normal(size=(40,3,100))*[[1],[10],[100]]).astype('f4')
    (tmp_path/'floats').mkdir()
    for i,o in enumerate(x): np.save(tmp_path/f'floats/{i:02d}.npy', o)
    convert(tmp_path/'floats', tmp_path/'set', dtype='int16', read=lambda p: dict(X=np.load(p), names=['a','b','c'], y=int(p[-6:-4])%2))
    convert(tmp_path/'floats', tmp_path/'long', dtype='int16', layout='ragged')
    return tmp_path,x,np.array(read_manifest(tmp_path/'set')['arrays']['X']['scale'])

def test_integers_are_in_their_units_wherever_they_are_opened(counted):
    d,x,scale = counted
    arrays,_ = open_folder(d/'set')
    kwargs = dict(splits=[range(40)], shuffle=False, bs=40, drop_last=False)
    close = lambda a,b: (np.abs(np.asarray(a)-b).max((0,2)) <= .51*scale[:b.shape[1]]).all()
    for X in (arrays['X'], d/'set/X.npy'): assert close(TSDataLoaders.from_arrays(X, **kwargs).train.one_batch()[0], x)
    for src in (arrays['X'], open_folder(d/'long')[0]['X']):
        xb,yb = TSDataLoaders.from_arrays(Windows(src, 80, horizon=20, stride=100), **kwargs).train.one_batch()
        assert close(xb, x[:,:,:80]) and close(yb, x[:,:,80:])
    assert close(TSDataLoaders.from_folder(d/'long', **kwargs).train.one_batch()[0], x)
    got = TSDataLoaders.from_folder(d/'set', sel_vars=['c','a'], **kwargs).train.one_batch()[0]
    assert np.allclose(got, x[:,[2,0]], atol=.51*scale.max())

def test_new_integers_count_what_their_own_dataset_says(counted):
    d,x,scale = counted
    (d/'other').mkdir()
    for i,o in enumerate(x): np.save(d/f'other/{i:02d}.npy', o*3+1)
    convert(d/'other', d/'set2', dtype='int16')
    dls = TSDataLoaders.from_folder(d/'set', splits=[range(20), range(20,40)], bs=40)
    for new in (d/'set2', d/'set2/X.npy', open_folder(d/'set2')[0]['X'], x*3+1):
        assert np.allclose(dls.test_dl(new).one_batch()[0], x*3+1, atol=3*scale.max())

def test_what_wrote_nothing_stands_in_nobodys_way(raw, tmp_path):
    convert(raw/'train', tmp_path/'set', label='folder')
    with expect_fail(ValueError, 'target is missing'): append(tmp_path/'set', raw/'valid')
    append(tmp_path/'set', raw/'valid', label='folder')
    assert len(open_folder(tmp_path/'set')[0]['y']) == 40
    with expect_fail(ValueError, 'does not fit'): convert(raw, tmp_path/'other', dtype='int8')
    assert not (tmp_path/'other').exists()

def test_what_was_interrupted_in_its_first_write_is_known_to_be_unfinished(tmp_path, monkeypatch):
    convert(labelled(5), tmp_path/'set')
    with monkeypatch.context() as m:
        m.setattr(shutil, 'copyfileobj', Interrupt(None, 1)) # After the rows, before what is known of them
        with pytest.raises(KeyboardInterrupt): append(tmp_path/'set', labelled(3))
    assert (tmp_path/'set/.convert').exists() and verify(tmp_path/'set') == [] and len(open_folder(tmp_path/'set')[0]['X']) == 5
    append(tmp_path/'set', labelled(3))
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == [0,1,2,3,4,0,1,2] and verify(tmp_path/'set') == []

def test_names_must_be_as_many_as_variables(tmp_path):
    with expect_fail(ValueError, 'It has 3 `names` for 2 variables'): convert([dict(X=X(0), names=[*'abc'])], tmp_path/'set')

def test_labels_beside_a_dataset_are_told_of(tmp_path):
    convert([X(i) for i in range(5)], tmp_path/'set')
    save_array(tmp_path/'set/y.npy', np.arange(5))
    with pytest.warns(UserWarning, match='not part of this dataset'): open_folder(tmp_path/'set')

def test_arrays_of_one_file_are_paired(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f: f['ecg/signals'],f['ecg/labels'] = np.random.default_rng(0).normal(size=(20,3,50)),np.arange(20)%4
    arrays,_ = open_folder(convert(dict(X=f'{tmp_path}/a.h5::ecg/signals', y=f'{tmp_path}/a.h5::/ecg/labels'), tmp_path/'set'))
    assert arrays['X'].shape == (20,3,50) and arrays['y'].tolist() == [i%4 for i in range(20)]
    with h5py.File(tmp_path/'a.h5') as f: assert np.array_equal(open_folder(convert((f['ecg/signals'], f['ecg/labels']), tmp_path/'set2'))[0]['y'], arrays['y'])

def test_paths_from_a_generator_are_files(raw, tmp_path): assert len(open_folder(convert(raw.rglob('*.npy'), tmp_path/'set'))[0]['X']) == 60

def test_a_csv_without_a_header_is_refused(tmp_path):
    (tmp_path/'a.csv').write_text('0,1\n1,2\n2,3\n')
    with expect_fail(ValueError, 'no header'): convert(tmp_path/'a.csv', tmp_path/'set')
    for label in ('walk',True):
        with expect_fail(ValueError, "`label` must be 'folder' or a function"): convert([X(0)], tmp_path/'set', label=label)

def test_verify_of_an_unfinished_conversion(raw, tmp_path):
    sorted(raw.rglob('*.npy'))[50].write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set')
    with expect_fail(ValueError, 'is not finished'): verify(tmp_path/'set')

# What would be silently wrong

def test_floats_made_of_counts_say_that_they_are_no_counts(tmp_path):
    x = np.random.default_rng(0).integers(-999, 999, (6,2,40)).astype('i2')
    items = [dict(X=o, scale=[.5,2], offset=[0,1], names=['a','b']) for o in x]
    with expect_fail(ValueError, 'real_units'): convert(items, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X']/2})
    with expect_fail(ValueError, '2 `scale` for 1 variables'): convert(items, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][:1], 'names': ['a']})
    units = lambda o: dict(X=real_units(o['X'], o['scale'], o['offset'])[:, 5:])
    assert np.allclose(open_folder(convert(items, tmp_path/'set', tfm=units))[0]['X'], (x*np.array([[.5],[2]])+[[0],[1]])[...,5:])
    assert np.array_equal(open_folder(convert(items, tmp_path/'cut', tfm=lambda o: {**o, 'X': o['X'][:, 5:]}))[0]['X'], x[...,5:])

class Scaled:
    def __init__(self, k): self.k = k
    def __call__(self, o): return {**o, 'X': o['X']*self.k}

def power(o, p=1.): return {**o, 'X': o['X']**p}
factor = 2.
def by_factor(o): return {**o, 'X': o['X']*factor}

def test_another_function_is_noticed(tmp_path, monkeypatch):
    x,table = np.random.default_rng(0).random((20,2,30)), np.array([1.,2])
    def with_table(o): return {**o, 'X': o['X']*table[:,None]}
    def nested(k): return lambda o: (lambda v: {**o, 'X': v**k})(o['X'])
    pairs = [(lambda o: {**o, 'X': np.log(o['X'])}, lambda o: {**o, 'X': np.sqrt(o['X'])}), (Scaled(1.), Scaled(2.)), (nested(2), nested(3)),
        (partial(power, p=2.), partial(power, p=3.))]
    for i,(a,b) in enumerate(pairs):
        convert([*x], tmp_path/f'set{i}', tfm=a)
        convert([*x], tmp_path/f'set{i}', tfm=a) # Done already
        with expect_fail(FileExistsError, 'not empty'): convert([*x], tmp_path/f'set{i}', tfm=b)
    changes = [lambda: table.__setitem__(0, 9.), lambda: monkeypatch.setitem(globals(), 'factor', 3.), lambda: setattr(power, '__defaults__', (2.,))]
    for f,change in zip([with_table,by_factor,power], changes):
        convert([*x], tmp_path/f.__name__, tfm=f)
        convert([*x], tmp_path/f.__name__, tfm=f)
        change()
        with expect_fail(FileExistsError, 'not empty'): convert([*x], tmp_path/f.__name__, tfm=f)
    power.__defaults__ = (1.,)

def test_other_values_in_memory_are_noticed(tmp_path):
    x = np.random.default_rng(0).random((3000,2,30))
    convert(x, tmp_path/'set')
    convert(x, tmp_path/'set')
    x[1500] += 1
    with expect_fail(FileExistsError, 'not empty'): convert(x, tmp_path/'set')

def test_a_map_of_a_file_is_not_copied(tmp_path, monkeypatch):
    np.save(tmp_path/'x.npy', np.ones((100,2,10**5), 'f4'))
    x = np.load(tmp_path/'x.npy', mmap_mode='r')
    most,before = 0,private_memory()
    def seen(o):
        nonlocal most
        most = max(most, private_memory()-before)
        return o
    import tsdisk.convert.work
    monkeypatch.setattr(tsdisk.convert.work, 'as_items', lambda o: map(seen, as_items(o)))
    convert(x, tmp_path/'set')
    assert most < 30e6, most
    assert open_folder(tmp_path/'set')[0]['X'].shape == (100,2,10**5)

def test_units_are_found_beside_other_notes(tmp_path):
    "As earlier releases left them in the folder of the series"
    convert([dict(X=np.ones((1,5+i), 'i2'), scale=[.5], offset=[0.]) for i in range(3)], tmp_path/'set', layout='ragged')
    (tmp_path/'set/X/tsdisk.json').write_text('{"version": 1, "stats": {}}')
    assert packing_at(tmp_path/'set/X/values.npy') == Packing([.5], [0.])

def test_what_is_masked_is_missing(tmp_path):
    x = np.ma.masked_greater(np.arange(60.).reshape(2,30), 50)
    got = open_folder(convert([x, np.ma.array(x.data, mask=False)], tmp_path/'set'))[0]['X']
    assert np.isnan(got[0]).sum() == 9 and not np.isnan(got[1]).any()
    with expect_fail(ValueError, '9 values are masked'): convert([x.astype('i4')], tmp_path/'set2')

def test_tensors_are_arrays(tmp_path):
    x = torch.randn(4,2,30)
    arrays,_ = open_folder(convert([dict(X=o, y=torch.tensor(i), site=b'north') for i,o in enumerate(x)], tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and arrays['y'].tolist() == [0,1,2,3]

def test_reserved_and_unknown_names_of_columns(tmp_path):
    for name in ('split_train','items','tsdisk.json'):
        with expect_fail(ValueError, "can't be the name"): convert([{'X': np.ones((2,9)), name: np.arange(4.)}]*3, tmp_path/'set')
    for kw in (dict(layout=dict(x='ragged')), dict(dtype=dict(x='float16'))):
        with expect_fail(ValueError, "names 'x', the columns are ['X']"): convert([np.ones((2,9))]*3, tmp_path/'set', **kw)

def test_a_source_keeps_its_name(tmp_path):
    items = lambda p: dict(X=np.load(p), source='a paper')
    (tmp_path/'raw').mkdir()
    for i in range(3): np.save(tmp_path/f'raw/{i}.npy', np.ones((2,9)))
    convert(tmp_path/'raw', tmp_path/'set', read=items, n_workers=0)
    assert open_folder(tmp_path/'set')[0]['source'].tolist() == ['0.npy','1.npy','2.npy'] and read_manifest(tmp_path/'set')['info']['source_'] == 'a paper'

def test_all_that_is_in_no_other_split_is_for_training(tmp_path):
    for i in range(10):
        (tmp_path/'raw').mkdir(exist_ok=True)
        np.save(tmp_path/f'raw/{i}.npy', np.full((2,9), i, 'f4'))
    convert(tmp_path/'raw', tmp_path/'set', split=lambda p: 'valid' if p[-5] in '37' else None)
    dls = TSDataLoaders.from_folder(tmp_path/'set', bs=2, device='cpu')
    assert sorted(torch.cat([b[0][:,0,0] for b in dls.train]).tolist()) == [0,1,2,4,5,6,8,9] and torch.cat([b[0][:,0,0] for b in dls.valid]).tolist() == [3,7]
    convert(tmp_path/'raw', tmp_path/'set2', split=lambda p: 'valid' if p[-5] in '37' else 'test')
    with expect_fail(ValueError, "no `train`"): TSDataLoaders.from_folder(tmp_path/'set2')

def test_what_is_added_to_no_split_is_said(tmp_path, capsys):
    for k in ('train','valid'):
        for i in range(3):
            (tmp_path/f'raw/{k}').mkdir(parents=True, exist_ok=True)
            np.save(tmp_path/f'raw/{k}/{i}.npy', np.ones((2,9), 'f4'))
    convert(tmp_path/'raw', tmp_path/'set', n_workers=0)
    append(tmp_path/'set', tmp_path/'raw/train', n_workers=0, split=lambda p: 'train')
    assert 'none of the splits' not in capsys.readouterr().out
    append(tmp_path/'set', np.ones((4,2,9), 'f4'))
    assert "4 of the items that were added are in none of the splits ['train', 'valid']" in capsys.readouterr().out

def test_slow_sources_are_noted_soon(tmp_path):
    made = [*Sources([np.ones((2,9))]*300).groups()]
    assert [len(g) for _,g in made][:7] == [1,2,4,8,16,32,64] and [k for k,_ in made][:4] == [0,1,3,7] and sum(len(g) for _,g in made) == 300

def test_ctrl_c_waits_for_no_worker(tmp_path):
    code = """
import numpy as np, signal, time
from tsdisk.convert.convert import convert
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

def test_ragged_integers_are_padded_with_what_is_zero_in_their_units(tmp_path):
    rng = np.random.default_rng(0)
    xs = [(rng.random((2,k))+[[100],[-7]]).astype('f4') for k in (5,9,3,8)]
    convert([dict(X=np.rint((o-[[50],[0]])/[[.01],[.001]]).astype('i2'), scale=[.01,.001], offset=[50.,0.], y='ab'[i%2]) for i,o in enumerate(xs)], tmp_path/'set', layout='ragged')
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(4),[]], bs=4, shuffle=False, device='cpu')
    xb,mask,_ = dls.train.one_batch()
    assert (xb[~mask[:,None].expand_as(xb)].abs() <= .005).all() and not mask.all()
    for a,o in zip(xb, xs): np.testing.assert_allclose(a[:, :o.shape[1]], o, atol=.011)
    new = dls.test_dl([o for o in xs])
    assert (new.one_batch()[0][~mask[:,None].expand_as(xb)] == 0).all()
    again = pickle.loads(pickle.dumps(dls.train.dataset)).batch([0,1])[0]
    assert (again[0,:,5:].abs() <= .005).all()

def test_sources_of_several_scales_are_stored_as_what_they_mean(tmp_path, capsys):
    counts = np.arange(-5, 5, dtype='i2').reshape(2,5)
    gain = lambda k: dict(X=counts, scale=[.5,.5*k], names=['a','b'], units=['mV','mV'])
    files = [f'{i}' for i in range(8)]
    arrays,_ = open_folder(convert(files, tmp_path/'set', read=lambda p: gain(1+int(p)), n_workers=0))
    assert 'float32, in real units, as scales differ' in capsys.readouterr().out and arrays['X'].dtype == 'f4' and read_manifest(tmp_path/'set')['arrays']['X']['units'] == ['mV','mV']
    for i in range(8): assert np.array_equal(arrays['X'][i], counts*[[.5],[.5*(1+i)]])
    assert open_folder(convert(files, tmp_path/'same', read=lambda p: gain(1), n_workers=0))[0]['X'].dtype == 'i2'
    with expect_fail(ValueError, "give `dtype='float32'`"): convert(files, tmp_path/'late', read=lambda p: gain(1+(p == '4')), n_workers=0)
    with expect_fail(ValueError, "give `dtype='float32'`"): convert(files, tmp_path/'int', dtype='int16', read=lambda p: gain(1+int(p)), n_workers=0)

def test_numbers_that_stand_for_missing_values_differ(tmp_path):
    said = lambda p: dict(X=np.array([[1,-1,-9]], 'i2'), missing=-1 if p == '0' else -9)
    with expect_fail(ValueError, "`missing` is"): convert(['0','1'], tmp_path/'set', read=said, n_workers=0)
    arrays,_ = open_folder(convert(['0','1'], tmp_path/'floats', read=said, n_workers=0, dtype='float32'))
    assert np.array_equal(arrays['X'][:,0], [[1,np.nan,-9],[1,-1,np.nan]], equal_nan=True)
    big = [dict(X=np.array([[2**40+1,-1]]), missing=-1)]
    assert open_folder(convert(big, tmp_path/'wide', dtype='float64'))[0]['X'][0,0,0] == 2**40+1

def test_floats_keep_their_type_whatever_is_said_of_them(tmp_path):
    items = [dict(X=np.ones((2,5)), offset=float(i)) for i in range(3)]
    assert open_folder(convert(items, tmp_path/'set'))[0]['X'].dtype == 'f8'

@pytest.mark.parametrize('kind', [a_recording, of_columns])
def test_what_is_unpacked_can_be_computed_with(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(importers, 'large', 2**10)
    x = np.random.default_rng(0).normal(size=(3,4,100))
    kind(x, tmp_path)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', tfm=lambda o: {**o, 'X': o['X']*2}, n_workers=0))
    assert np.array_equal(arrays['X'], 2*x if kind is of_columns else 2*x[:1])

def test_large_texts_of_a_packed_file(tmp_path, monkeypatch):
    monkeypatch.setattr(importers, 'large', 2**10)
    x,y = np.asfortranarray(np.random.default_rng(0).normal(size=(200,4,10))),np.array([f'label {i%3}' for i in range(200)])
    np.savez_compressed(tmp_path/'a.npz', X=x, y=y)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set', n_workers=0))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y)
