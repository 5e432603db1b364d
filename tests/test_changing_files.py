"Files that change while they are open, and disks that fail, end in an error that names the file"
import os, threading, time, warnings
import numpy as np, pytest
from conftest import elsewhere, fails, fresh, linux, same
from tsdisk.convert.convert import convert
from tsdisk.convert.export import decoded_arrays
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.folder.results import fingerprint
from tsdisk.disk.headers import npy_header
from tsdisk.disk.identity import FileWatch, open_file
from tsdisk.disk.shards import Shards
from tsdisk.disk.views import pack_array, unpack_array
from tsdisk.folder.labels import array_counts, train_vocab
from tsdisk.folder.manifest import save_folder
from tsdisk.folder.stats import array_stats, train_stats
from tsdisk.series.ragged_files import save_ragged
from tsdisk.series.ragged import Ragged

def sparse_series(path, n=7, steps=100_000_000):
    "A file of 5.6 GB, of which little is on disk: the first ten steps of series i hold i+1"
    with open(path, 'wb') as f:
        f.write(npy_header((n*steps,2), np.dtype('f4')))
        f.truncate(4096+n*steps*8)
        for i in range(n):
            f.seek(4096+i*steps*8)
            f.write(np.full((10,2), i+1, 'f4').tobytes())
    return np.arange(0, n*steps+1, steps)

@pytest.mark.parametrize('dtype', ['i4','u4','i8'])
def test_offsets_of_few_bytes_reach_all_of_a_large_file(tmp_path, dtype):
    offsets = sparse_series(tmp_path/'values.npy').astype(dtype)
    r = Ragged(open_array(tmp_path/'values.npy'), save_array(tmp_path/'offsets.npy', offsets), most=10)
    want = np.arange(1, 8).astype('f4')
    same(r.gather(range(7))[:,0,0], want)
    same(r.direct(2).gather(range(7))[:,0,0], want)
    r.prefetch(range(7))

def test_reads_go_on_after_an_interrupt_at_any_place(tmp_path):
    X = save_array(tmp_path/'X.npy', np.zeros((4000,3,64), 'f4'))
    tried = fresh("""
        import faulthandler, sys
        from tsdisk.disk.array_sources import as_source
        s,ours = as_source(args[0]),('tsdisk','concurrent','threading')
        def trace(frame, event, arg):
            global left
            if not any(o in frame.f_code.co_filename for o in ours): return None
            frame.f_trace_opcodes = True
            if event == 'opcode': left -= 1
            if event == 'opcode' and left == 0: raise KeyboardInterrupt
            return trace
        faulthandler.dump_traceback_later(60, exit=True) # A hang ends here
        res,left = 0,0
        while left <= 0:
            r,res = s.direct(2),res+23
            left = res
            try:
                sys.settrace(trace)
                r.prefetch([1,50,3000])
                r.gather([1,50,3000])
            except KeyboardInterrupt: pass
            finally: sys.settrace(None)
            r.gather([1,50,3000])
            s.direct(2).gather([1])""", str(X.filename))
    assert tried > 1000

# Files that are cut short

@pytest.fixture
def X(tmp_path): return save_array(tmp_path/'X.npy', np.ones((4000,4,256), 'f4'))

def cut(x): os.truncate(x.filename, 1_000_000)

reads = dict(batches=lambda x: [*TSDataLoader(TSDatasets(x), bs=64)], stats=array_stats, gather=lambda x: as_source(x).gather(range(4000)),
    shuffled=lambda x: [*TSDataLoader(TSDatasets(x), bs=64, shuffle=True)], labels=lambda x: array_counts(x[:, 0, 0]),
    some=lambda x: array_stats(x, np.arange(0, 4000, 3)), series=lambda x: Ragged(x.reshape(-1, 4), np.arange(0, 4000*256+1, 256)).gather(range(4000)))

@linux
@pytest.mark.parametrize('how', reads)
def test_truncated_file_is_an_error_that_names_it(X, how):
    cut(X)
    for _ in range(2): # A map that has met a fault stays an error
        with fails(OSError, 'X.npy', 'cut short'): reads[how](X)

writes = dict(array=lambda x, at: save_array(at, x), cast=lambda x, at: save_array(at, x, 'f8'))
writes |= dict(of_views=lambda x, at: save_array(at, x[:, ::-1]), of_plain_arrays=lambda x, at: save_array(at, np.asarray(x)))
writes |= dict(of_chunks=lambda x, at: save_array(at, iter(np.split(np.asarray(x), 4))), ragged=lambda x, at: save_ragged(at, x[::100]))
writes |= dict(folder=lambda x, at: save_folder(at, x, np.zeros(len(x))))
writes |= dict(converted=lambda x, at: convert([dict(X=o) for o in x[::100]], at, n_workers=0))

@linux
@pytest.mark.parametrize('how', writes)
def test_what_is_written_from_a_truncated_file_is_an_error_that_names_it(X, how, tmp_path):
    cut(X)
    with fails(Exception, 'X.npy', 'cut short'): writes[how](X, tmp_path/'out'/'a')
    assert not any(o.name in ('a','X.npy','tsdisk.json') and o.is_file() for o in tmp_path.glob('out/*'))

@linux
def test_exports_of_a_truncated_file_are_an_error_that_names_it(X):
    exported, = decoded_arrays(X.filename.parent)
    same(exported.rows(3999, 4000), X[3999:])
    cut(X)
    with fails(OSError, 'X.npy', 'cut short'): exported.rows(3999, 4000)

@linux
def test_file_truncated_amid_an_epoch_is_an_error_within_a_batch(X):
    batches = iter(TSDataLoader(TSDatasets(X), bs=64, read=ReadOptions(group_bytes=0)))
    for _ in range(3): next(batches)
    os.truncate(X.filename, 4096+4096*64*5)
    with fails(OSError, 'X.npy', 'cut short'): print(len([*batches]))

@linux
def test_file_truncated_while_rows_are_copied_is_an_error(X):
    for i in range(20):
        save_array(X.filename, np.ones((4000,4,256), 'f4'))
        x = open_array(X.filename)
        dl = TSDataLoader(TSDatasets(x), bs=64, shuffle=True)
        timer = threading.Timer(.003+.002*i, cut, [x])
        timer.start()
        with fails(OSError, 'X.npy', 'cut short'):
            while True:
                for _ in dl: pass

@linux
def test_truncated_file_is_an_error_of_a_worker(X):
    dl = TSDataLoader(TSDatasets(X), bs=64, num_workers=1)
    dl.dataset.tls[0].items.gather([0])
    cut(X)
    with fails(Exception, 'X.npy', 'cut short'): [*dl]

@linux
def test_other_faults_and_maps_are_left_alone(tmp_path, X):
    np.save(tmp_path/'b.npy', np.ones(100_000))
    ended = """
        import os, numpy as np
        from tsdisk.disk.faults import handle_faults, mapped_reads
        x = np.load(args[0], mmap_mode='r')
        pid = os.fork()
        if not pid:
            handle_faults()
            os.truncate(args[0], 5000)
            x.sum() # Not a read of ours
            os._exit(0)
        res = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"""
    assert fresh(ended, str(tmp_path/'b.npy')) == -7 # SIGBUS
    cut(X)
    with fails(OSError, 'cut short'): as_source(X).gather([3999])
    del X
    fine = [save_array(tmp_path/f'{i}.npy', np.full((4000,4,256), i, 'f4')) for i in range(3)]
    for i,o in enumerate(fine): assert (as_source(o).gather([3999]) == i).all()

# Files that are rewritten, replaced or appended to

def rewrite(x, value=2):
    with open(x.filename, 'r+b') as f:
        f.seek(4096)
        f.write(np.full(x.shape, value, x.dtype).tobytes())

def loader(x, **kwargs): return TSDataLoader(TSDatasets(x), bs=64, read=ReadOptions(group_bytes=0, **kwargs))

@pytest.mark.parametrize('direct', [False,True])
def test_rewritten_file_is_an_error_in_the_epoch_and_the_next(X, monkeypatch, direct):
    dl = loader(X, direct=direct)
    [*dl]
    monkeypatch.setattr(FileWatch, 'every', 0)
    batches = iter(dl)
    next(batches)
    rewrite(X)
    with fails(OSError, 'X.npy', 'was rewritten', 'open it again'): [*batches]
    with fails(OSError, 'X.npy', 'was rewritten', 'open it again'): [*dl]

def test_file_rewritten_before_the_first_epoch_is_an_error(X):
    dl = loader(X)
    time.sleep(.02)
    rewrite(X)
    with fails(OSError, 'X.npy', 'was rewritten'): [*dl]

def test_replaced_file_is_told_of_at_the_next_epoch_and_not_mixed(X, monkeypatch):
    monkeypatch.setattr(FileWatch, 'every', 0)
    dl = loader(X)
    batches = iter(dl)
    next(batches)
    save_array(X.filename, np.full((4000,4,256), 3, 'f4'))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert all((o[0] == 1).all() for o in batches)
    with pytest.warns(UserWarning, match='X.npy was replaced'): assert all((o[0] == 1).all() for o in dl)
    with fails(OSError, 'X.npy', 'open it again'): [*loader(X, direct=True)]

def test_file_that_is_appended_to_is_read_as_it_was_opened(X, monkeypatch):
    monkeypatch.setattr(FileWatch, 'every', 0)
    dl,packed = loader(X),pack_array(X)
    batches = iter(dl)
    next(batches)
    with open(X.filename, 'r+b') as f:
        f.write(npy_header((4100,4,256), X.dtype))
        f.seek(0, 2)
        f.write(np.full((100,4,256), 5, 'f4').tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for rows in (batches, dl): assert all((o[0] == 1).all() for o in rows)
    same(unpack_array(packed), X)

def killed_append(x, n=100):
    "Rows at the end of a file, without a header that says so"
    with open(x.filename, 'ab') as f: f.write(np.full((n,4,256), 9, 'f4').tobytes())

def append_again(x, n):
    "Cut off what a killed append left, then append as many rows as are given"
    with open(x.filename, 'r+b') as f:
        f.truncate(4096+x.nbytes)
        f.seek(0, 2)
        f.write(np.full((n,4,256), 5, 'f4').tobytes())
        f.seek(0)
        f.write(npy_header((len(x)+n,4,256), x.dtype))

@pytest.mark.parametrize('n', [0,100,200])
@pytest.mark.parametrize('first', [False,True]) # An epoch before that?
def test_file_that_is_opened_amid_an_append_is_read_as_it_was_opened(X, first, n):
    killed_append(X)
    amid = open_array(X.filename, len(X))
    dl = loader(amid)
    if first: [*dl]
    time.sleep(.02)
    append_again(X, n)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert all((o[0] == 1).all() for o in dl)
    rewrite(X)
    with fails(OSError, 'X.npy', 'was rewritten'): [*dl]

def test_file_that_is_opened_amid_an_append_and_rewritten_is_an_error(X):
    killed_append(X)
    amid = open_array(X.filename, len(X))
    dl = loader(amid)
    rewrite(amid)
    append_again(X, 100)
    with fails(OSError, 'X.npy', 'was rewritten'): [*dl]

def test_file_that_was_touched_is_told_of_once(X):
    dl = loader(X)
    [*dl]
    os.utime(X.filename)
    with pytest.warns(UserWarning, match='was written to'): [*dl]
    os.chmod(X.filename, 0o600)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        [*dl]

@pytest.mark.parametrize('keep_time', [False,True])
def test_packed_array_is_not_opened_in_a_rewritten_file(X, keep_time):
    packed = pack_array(X)
    stat = os.stat(X.filename)
    save_array(X.filename, np.full(X.shape, 2, 'f4'))
    if keep_time: os.utime(X.filename, ns=(stat.st_atime_ns,stat.st_mtime_ns))
    with fails(ValueError, 'was replaced'): unpack_array(packed)

def test_shard_that_was_replaced_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(Shards, 'most', 1)
    for i in range(3): save_array(tmp_path/f'{i}.npy', np.full((10,2), i, 'f4'))
    s = Shards(tmp_path)
    assert s[25][0] == 2
    save_array(tmp_path/'0.npy', np.full((10,2), 7, 'f4'))
    with fails(OSError, '0.npy', 'replaced'): s[0]
    same(elsewhere('a[15]', s), s[15])

# Results that are kept

def test_results_of_an_old_file_are_not_kept_for_a_new_one(tmp_path):
    for mapped in (open_array, lambda path: np.load(path, mmap_mode='r')):
        save_array(tmp_path/'X.npy', np.zeros((100,2,5), 'f4'))
        save_array(tmp_path/'y.npy', np.arange(100)%2)
        X,y = mapped(tmp_path/'X.npy'),mapped(tmp_path/'y.npy')
        sources = as_source(X),as_source(y)
        save_array(tmp_path/'X.npy', np.full((100,2,5), 7, 'f4'))
        save_array(tmp_path/'y.npy', np.arange(100)%3+5)
        for _ in range(2):
            assert train_stats(sources[0]).mean.tolist() == [0,0] and train_vocab(sources[1]).tolist() == [0,1]
            assert train_stats(tmp_path/'X.npy').mean.tolist() == [7,7] and train_vocab(tmp_path/'y.npy').tolist() == [5,6,7]

def test_results_of_rows_that_change_meanwhile_are_not_kept(X, monkeypatch):
    from tsdisk.folder import stats
    count = stats.array_stats
    def slow(*args, **kwargs):
        res = count(*args, **kwargs)
        rewrite(X)
        return res
    monkeypatch.setattr(stats, 'array_stats', slow)
    train_stats(X)
    monkeypatch.undo()
    assert train_stats(open_array(X.filename)).mean[0] == 2

def test_fingerprint_changes_with_a_rewrite_in_the_same_tick_or_with_the_old_time(tmp_path):
    x = save_array(tmp_path/'X.npy', np.zeros((3,1,2), 'f4'))
    found = []
    stat = os.stat(x.filename)
    for i in range(20):
        rewrite(x, i)
        os.utime(x.filename, ns=(stat.st_atime_ns,stat.st_mtime_ns))
        found.append(fingerprint(x))
    assert len({*found}) == 20 and fingerprint(x) == found[-1]
    assert open_file(x).path == str(x.filename)
