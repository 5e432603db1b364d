"One lock for all writers, litter that is told by it, errors that name the file, readers beside writers"
import errno, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np, pytest
from tsdisk.convert.convert import append, convert
from tsdisk.convert.export import to_npy
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk import arrays, publish
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.publish import locked
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import train_stats
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged
from tsdisk.series.windows import Windows
from tsdisk.train.stitch import stitch_forecasts
from conftest import fails, fresh, unix

def X(v, n=6): return np.full((n,2,5), v, 'f4')
def series(v, n=3): return [np.full((2,3+i), v, 'f4') for i in range(n)]
def elsewhere(f):
    "What `f` returns in another thread"
    with ThreadPoolExecutor(1) as pool: return pool.submit(f).result()

# The lock

@unix
def test_a_forked_child_does_not_give_back_the_lock_of_its_parent(tmp_path):
    with locked(tmp_path):
        if not (pid := os.fork()):
            try:
                with locked(tmp_path): pass
            except BlockingIOError: os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        with pytest.raises(BlockingIOError): elsewhere(lambda: locked(tmp_path).__enter__())

held = {}
held['save_folder'] = lambda d: save_folder(d/'set', X(2), np.zeros(6))
held['save_ragged'] = lambda d: save_ragged(d/'ragged', series(2))
held['append_ragged'] = lambda d: append_ragged(d/'ragged', series(2))
held['add_checksums'] = lambda d: add_checksums(d/'set')
held['append'] = lambda d: append(d/'set', X(2))
held['convert'] = lambda d: convert(X(2), d/'set')
held['to_npy'] = lambda d: to_npy(d/'set', d/'plain')
held['stitch_forecasts'] = lambda d: stitch_forecasts(np.zeros((4,1,2), 'f4'), TSDatasets(Windows(np.zeros((9,1), 'f4'), 4, horizon=2)), d/'plain')

@pytest.mark.parametrize('name', held)
def test_every_writer_takes_the_lock(name, tmp_path):
    save_folder(tmp_path/'set', X(1), np.arange(6))
    save_ragged(tmp_path/'ragged', series(1))
    with locked(tmp_path/'set'), locked(tmp_path/'ragged'), locked(tmp_path/'.plain.part'):
        with pytest.raises(BlockingIOError): elsewhere(lambda: held[name](tmp_path))
    assert open_folder(tmp_path/'set')[0]['X'][0,0,0] == 1 and len(open_ragged(tmp_path/'ragged')) == 3

def test_two_appends_of_series_lose_none(tmp_path):
    save_ragged(tmp_path, series(1))
    def slow():
        yield series(2)[0]
        with fails(BlockingIOError, 'is being written by process'): elsewhere(lambda: append_ragged(tmp_path, series(3)))
        yield series(2)[0]
    append_ragged(tmp_path, slow())
    append_ragged(tmp_path, series(3))
    assert [float(o[0,0]) for o in open_ragged(tmp_path)[:]] == [1,1,1,2,2,3,3,3]

def test_saving_a_folder_amid_an_append_is_refused(tmp_path):
    save_folder(tmp_path, X(1))
    def rows():
        for i in range(3): yield dict(X=X(2)[0])
        with pytest.raises(BlockingIOError): elsewhere(lambda: save_folder(tmp_path, X(3)))
        assert len(open_folder(tmp_path)[0]['X']) == 6
    append(tmp_path, rows())
    assert len(open_folder(tmp_path)[0]['X']) == 9 and verify(tmp_path) == []

def broken():
    yield np.zeros((2,2,5), 'f4')
    raise ValueError('the third row is not there')

failing = dict(save_folder=lambda d: save_folder(d, broken()), save_ragged=lambda d: save_ragged(d, (o[0] for o in broken())),
    convert=lambda d: convert(broken(), d))

@pytest.mark.parametrize('name', ['save_folder','save_ragged','convert'])
def test_a_failed_write_leaves_an_empty_folder_that_was_there_and_no_other(name, tmp_path):
    (tmp_path/'mine').mkdir()
    for o in ('mine','new'):
        with fails(ValueError, 'the third row is not there'): failing[name](tmp_path/o)
    assert (tmp_path/'mine').is_dir()
    if name != 'convert': assert [o.name for o in tmp_path.rglob('*')] == ['mine'] # It resumes with what is in its hidden folder

@unix
def test_a_disk_without_locks_is_warned_of_and_written_to(tmp_path, monkeypatch):
    def flock(*_): raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(publish.fcntl, 'flock', flock)
    with pytest.warns(UserWarning, match='has no locks: let only one process write'): save_folder(tmp_path/'set', X(1))
    assert open_folder(tmp_path/'set')[0]['X'][0,0,0] == 1 and sorted(o.name for o in (tmp_path/'set').iterdir()) == ['X.npy','tsdisk.json']

@unix
def test_locks_of_windows_are_taken_and_given_back(tmp_path, monkeypatch):
    "Its calls are stood in for by those of Unix; a second thread is refused by the table of this process"
    import fcntl
    from types import SimpleNamespace
    taken = []
    def locking(fd, mode, n):
        taken.append((os.lseek(fd, 0, os.SEEK_CUR), n))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    monkeypatch.setitem(sys.modules, 'msvcrt', SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(publish, 'fcntl', None)
    with locked(tmp_path/'set'):
        with pytest.raises(BlockingIOError): elsewhere(lambda: locked(tmp_path/'set').__enter__())
        save_folder(tmp_path/'set', X(1))
    assert set(taken) == {(2**30, 1)} and sorted(o.name for o in (tmp_path/'set').iterdir()) == ['X.npy','tsdisk.json']

# Litter

@unix
def test_no_symbolic_link_is_written_through(tmp_path):
    (tmp_path/'thesis').write_text('mine')
    (tmp_path/'set').mkdir()
    for o in ('.X.npy.0.tmp', '.lock'): (tmp_path/'set'/o).symlink_to(tmp_path/'thesis')
    save_array(tmp_path/'set/X.npy', X(1))
    with locked(tmp_path/'set'): pass
    assert (tmp_path/'thesis').read_text() == 'mine' and [o.name for o in (tmp_path/'set').iterdir()] == ['X.npy']

# Readers beside writers

def test_an_array_is_of_one_file_if_another_replaces_it_meanwhile(tmp_path, monkeypatch):
    save_array(tmp_path/'X.npy', X(1))
    read = arrays.header_of
    def header_of(f):
        res = read(f)
        monkeypatch.setattr(arrays, 'header_of', read)
        save_array(tmp_path/'X.npy', np.full((3,4,5), 2, 'f8'))
        return res
    monkeypatch.setattr(arrays, 'header_of', header_of)
    old = open_array(tmp_path/'X.npy')
    assert np.array_equal(old, X(1)) and open_array(tmp_path/'X.npy').dtype == 'f8'
    assert old.filename == (tmp_path/'X.npy').resolve()

def test_readers_see_one_generation(tmp_path):
    save_folder(tmp_path/'set', X(0), np.zeros(6))
    save_ragged(tmp_path/'ragged', series(0))
    stop,seen = threading.Event(),[]
    def read():
        while not stop.is_set():
            a,_ = open_folder(tmp_path/'set')
            r = open_ragged(tmp_path/'ragged')
            seen.append((float(a['X'][-1,0,0]), float(a['y'][-1]), len(a['X'])-6, len({*map(len, map(np.ravel, r[:]))})-3))
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for i in range(1, 25):
            save_folder(tmp_path/'set', X(i, 6+i), np.full(6+i, i))
            save_ragged(tmp_path/'ragged', series(i, 3+i))
        stop.set()
        reader.result()
    assert len(seen) > 2 and all(a == b == c for a,b,c,_ in seen) and all(d >= 0 for *_,d in seen)

def test_open_arrays_keep_their_values_when_a_folder_is_saved_again(tmp_path):
    save_folder(tmp_path, X(1), np.zeros(6), [range(4), [5,4]])
    before,splits = open_folder(tmp_path)
    train_stats(before['X'])
    save_folder(tmp_path, X(2, 3), np.ones(3), [range(2), [2]])
    after,_ = open_folder(tmp_path)
    assert np.array_equal(before['X'], X(1)) and splits['valid'].tolist() == [5,4] and np.array_equal(after['X'], X(2, 3))
    assert len([*tmp_path.glob('*.npy')]) == 3 and read_manifest(tmp_path).get('stats') == {}
    assert train_stats(after['X']).mean.ravel().tolist() == [2,2]

def test_saving_one_part_keeps_what_is_known_of_the_rest(tmp_path):
    convert([dict(X=X(i)[0], y=i, patient=f'p{i}', names=['a','b']) for i in range(4)], tmp_path)
    save_folder(tmp_path, splits=[range(3), [3]])
    arrays,splits = open_folder(tmp_path)
    assert arrays['patient'].tolist() == ['p0','p1','p2','p3'] and splits['valid'].tolist() == [3] and verify(tmp_path) == []
    assert read_manifest(tmp_path)['arrays']['X']['names'] == ['a','b']

# Appending again

@pytest.fixture
def raw(tmp_path):
    for i in range(4): np.save(tmp_path/f'{i}.npy', np.full((2,5), i, 'f4'))
    return [str(tmp_path/f'{i}.npy') for i in range(4)]

def test_the_same_inputs_are_appended_once(raw, tmp_path, capsys):
    d = tmp_path/'set'
    convert(raw[:2], d, n_workers=0)
    for _ in range(2): append(d, raw[2:], n_workers=0)
    assert 'Nothing was appended: the dataset has the rows of 2 inputs already' in capsys.readouterr().out
    append(d, raw[:2], n_workers=0) # Converted, not appended
    assert open_folder(d)[0]['X'][:,0,0].tolist() == [0,1,2,3]
    append(d, raw[::-1], n_workers=0) # In two calls, and in another order
    np.save(tmp_path/'4.npy', np.full((2,5), 4, 'f4'))
    with fails(ValueError, 'has the rows of 4 of the 5 inputs already', '`again=True`'): append(d, [tmp_path/'4.npy', *raw], n_workers=0)
    append(d, raw[2:], n_workers=0, again=True)
    assert open_folder(d)[0]['X'][:,0,0].tolist() == [0,1,2,3,2,3] and verify(d) == []
    np.save(raw[3], np.full((2,5), 9, 'f4')) # Another file by now
    append(d, raw[3:], n_workers=0)
    assert open_folder(d)[0]['X'][:,0,0].tolist() == [0,1,2,3,2,3,9]

@unix
def test_an_append_that_lacked_its_statistics_alone_adds_nothing_twice(raw, tmp_path, monkeypatch):
    from tsdisk.convert import convert as module
    d = tmp_path/'set'
    convert(X(1), d)
    def killed(f):
        if not (pid := os.fork()):
            monkeypatch.setattr(module, 'add_stats', lambda *_: os.kill(os.getpid(), 9))
            append(d, f(), n_workers=0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    killed(lambda: raw)
    append(d, raw, n_workers=0)
    assert len(open_folder(d)[0]['X']) == 10
    rows = lambda: (dict(X=X(i)[0]) for i in range(3))
    killed(rows)
    with fails(ValueError, 'was complete except for the last steps'): append(d, rows())
    assert len(open_folder(d)[0]['X']) == 13

# Errors

@unix
def test_a_file_that_may_not_grow_is_named(tmp_path):
    said = fresh("""
    import resource, signal, numpy as np
    from tsdisk.disk.arrays import save_array
    from tsdisk.series.ragged_files import append_ragged, save_ragged
    from tsdisk.folder.manifest import save_folder
    d = args[0]
    save_ragged(d/'r', [np.zeros((2,5))])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,100_000))
    x,res = np.zeros((1000,1,100)),[]
    for f in (lambda: save_array(d/'X.npy', x), lambda: save_ragged(d/'s', [x[:,0]]), lambda: append_ragged(d/'r', [x[:2,0].repeat(9999, 1)]),
            lambda: save_folder(d/'set', x)):
        try: f()
        except OSError as e: res.append(str(e))""", tmp_path)
    assert [o.rpartition('/')[2] for o in said] == ["X.npy'", "values.npy'", "values.npy'", "X.npy'"]
    assert all('files may not be larger here' in o for o in said)
    assert sorted(str(o.relative_to(tmp_path)) for o in tmp_path.rglob('*')) == ['r', 'r/offsets.npy', 'r/values.npy']
    assert len(open_ragged(tmp_path/'r')) == 1

@unix
@pytest.mark.parametrize('writer,file', dict(to_hdf5='a.h5', to_parquet='a.parquet', to_npy='X.npy').items())
def test_an_export_that_may_not_grow_is_named(writer, file, tmp_path):
    pytest.importorskip(dict(to_hdf5='h5py', to_parquet='pyarrow').get(writer, 'numpy'))
    save_folder(tmp_path/'set', np.random.default_rng(0).normal(size=(1000,1,100)))
    code = """
    import resource, signal
    from tsdisk.convert import export
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,100_000))
    d,name,file = args
    try: getattr(export, name)(d/'set', d/('out' if name == 'to_npy' else file))
    except OSError as e: res = str(e)"""
    said = fresh(code, tmp_path, writer, file)
    assert f"{file}'" in said and 'files may not be larger here' in said and [o.name for o in tmp_path.iterdir()] == ['set']
