"Rows come straight from disk as they would through the page cache, by whatever engine the system has"
import errno, gc, os, threading, time, warnings
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import epoch, fails, filled, fresh, linux, ramp, same
from tsdisk.testing import check_gather, check_pickle, check_source
from tsdisk.disk import io as disk
from tsdisk.data import loader
from tsdisk.data import reader
from tsdisk.disk.arrays import create_array, save_array
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.io import Aio, DiskFile, Incoming, Preadv
from tsdisk.disk.page_cache import cached_share
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.disk.array_sources import ArraySource, DirectSource, as_source

pytestmark = pytest.mark.filterwarnings('ignore:Rows of .* one by one')

class NoHint(Preadv): hints = 0,
native = pytest.mark.skipif(disk._numbers is None, reason='there is no native asynchronous I/O on this system')
has_preadv = pytest.mark.skipif(not hasattr(os, 'preadv'), reason='there is no preadv on this system')

def no_fadvise(monkeypatch): monkeypatch.delattr(os, 'posix_fadvise', raising=False)
ways = dict(aio=pytest.param((Aio,), None, marks=native), preadv=pytest.param((Preadv,), None, marks=has_preadv),
    no_dontcache=pytest.param((NoHint,), None, marks=has_preadv), no_fadvise=pytest.param((NoHint,), no_fadvise, marks=has_preadv))

@pytest.fixture(params=[pytest.param(o.values, id=k, marks=o.marks) for k,o in ways.items()])
def engine(request, monkeypatch):
    "Each engine, and each with calls switched off that not all systems have"
    kinds,off = request.param
    monkeypatch.setattr(DiskFile, 'engines', kinds)
    if off: off(monkeypatch)
    return kinds[0]

# Ranges of a file

@pytest.fixture
def plain(tmp_path):
    "A file of 1,000,003 bytes"
    data = np.random.default_rng(0).integers(0, 256, 1_000_003, dtype=np.uint8)
    (tmp_path/'f').write_bytes(data.tobytes())
    return tmp_path/'f',data

def read(f, at, n):
    inc = Incoming(f, np.array(at), np.array(n)).wait()
    return [inc.block[a:a+k] for a,k in zip(inc.where, n)]

def test_ranges_hold_the_bytes_of_the_file(engine, plain):
    path,data = plain
    f,rng = DiskFile(path),np.random.default_rng(1)
    assert type(f.engine) is engine and f.size == len(data) and str(path) in repr(f)
    for k in (1,2,17,128,129,700):
        at = rng.integers(0, len(data)-5000, k)
        n = rng.integers(1, 5000, k)
        for got,a,b in zip(read(f, at, n), at, at+n): same(got, data[a:b])
    for at,n in (([0], [len(data)]), ([len(data)-1], [1]), ([0,0,0], [1,1,1]), ([511,512,513], [2,512,4096])):
        for got,a,b in zip(read(f, at, n), at, np.add(at, n)): same(got, data[a:b])

@pytest.mark.parametrize('piece', [4096, 8192, 65536])
def test_long_ranges_are_read_in_pieces(engine, plain, monkeypatch, piece):
    monkeypatch.setattr(Incoming, 'piece', piece)
    path,data = plain
    for got,a in zip(read(DiskFile(path), [5,300_000,999_000], [200_001,10,1003]), (5,300_000,999_000)): same(got, data[a:a+len(got)])

@native
def test_the_unit_of_a_disk_is_found_out(plain, monkeypatch):
    class Odd(Aio): units = 100,4096
    monkeypatch.setattr(DiskFile, 'engines', (Odd,))
    f = DiskFile(plain[0])
    assert f.unit == 4096
    same(read(f, [777], [7])[0], plain[1][777:784])

def test_memory_is_used_again_if_it_is_large_enough(plain):
    f,at = DiskFile(plain[0]),np.array([0,5000])
    inc = Incoming(f, at, np.array([100,100])).wait()
    again = Incoming(f, at, np.array([100,100]), inc.block).wait()
    assert again.block is inc.block and Incoming(f, at, np.array([100,400_000]), inc.block).wait().block is not inc.block

def test_a_file_cut_short_is_an_error(engine, plain):
    path,data = plain
    f = DiskFile(path)
    os.truncate(path, 500_000)
    with fails(OSError, 'cut short', str(path)): read(f, [100,700_000], [5,5])
    same(read(f, [100], [5])[0], data[100:105])

def test_a_missing_file_is_named(tmp_path):
    with fails(OSError, 'none.npy'): DiskFile(tmp_path/'none.npy')

@native
def test_errors_of_single_reads_are_told(plain):
    f = DiskFile(plain[0])
    f.unit = 1 # Now places are not what the disk asks for
    with fails(OSError, 'Invalid argument', 'byte 777'): read(f, [777], [7])
    f.unit = 4096
    same(read(f, [777], [7])[0], plain[1][777:784]) # The engine is still whole

@native
def test_what_cannot_be_handed_over_leaves_the_engine_whole(plain, monkeypatch):
    f,call,n = DiskFile(plain[0]),disk.system_call,[0]
    def fail_at_the_second(number, *args):
        if number == disk._submit:
            n[0] += 1
            if n[0] == 2: raise OSError(errno.EAGAIN, 'busy')
        return call(number, *args)
    monkeypatch.setattr(disk, 'system_call', fail_at_the_second)
    with fails(OSError, 'busy'): read(f, [*range(0, 900_000, 3000)], [10]*300)
    for _ in range(4): same(read(f, [777], [7])[0], plain[1][777:784])

def test_ranges_under_way_can_be_dropped(engine, plain):
    path,data = plain
    at = np.arange(0, 900_000, 3000)
    for _ in range(30):
        f = DiskFile(path)
        Incoming(f, at, np.full(len(at), 3000))
        del f
        np.zeros(10**6, np.uint8)[:] = 7 # Memory that was given back too early would be written to
    gc.collect()
    same(read(DiskFile(path), [5], [9])[0], data[5:14])

@linux
def test_files_are_closed(engine, plain):
    def count(): return len(os.listdir('/proc/self/fd'))
    read(DiskFile(plain[0]), [0], [1])
    gc.collect()
    before = count()
    for _ in range(50): read(DiskFile(plain[0]), [0], [1])
    gc.collect()
    assert count() <= before+2

def test_many_threads_may_read(engine, plain):
    path,data = plain
    f,wrong = DiskFile(path),[]
    def work(seed):
        at = np.random.default_rng(seed).integers(0, 900_000, 200)
        wrong.append(sum((got != data[a:a+5000]).any() for got,a in zip(read(f, at, np.full(200, 5000)), at)))
    ts = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in ts: t.start()
    for t in ts: t.join()
    assert wrong == [0]*8

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork on this system')
def test_a_source_in_use_may_be_forked(engine, direct):
    s = DirectSource(direct)
    for _ in range(3): s.prefetch(np.arange(50))
    s.gather([1,2,3])
    if not (pid := os.fork()):
        ok = False
        try: ok = (s.gather([5,60]) == x[[5,60]]).all()
        finally: os._exit(0 if ok else 1)
    for _ in range(200):
        if (done := os.waitpid(pid, os.WNOHANG))[0]: break
        time.sleep(.05)
    else: os.kill(pid, 9)
    assert done[0] and done[1] == 0
    same(s.gather([7]), x[[7]])

def test_threads_may_share_a_source(direct):
    s,wrong = DirectSource(direct),[]
    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            rows = rng.integers(0, 120, 20)
            s.prefetch(rows)
            wrong.append((s.gather(rows) != x[rows]).any())
    ts = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in ts: t.start()
    for t in ts: t.join()
    assert len(wrong) == 1200 and not any(wrong)

@native
def test_contexts_are_given_back_when_not_all_can_be_had(plain, monkeypatch):
    calls,made = [],disk.system_call
    def syscall(number, *args):
        calls.append(number)
        if calls.count(disk._setup) == 2: raise OSError(errno.EAGAIN, 'no more')
        return made(number, *args)
    monkeypatch.setattr(disk, 'system_call', syscall)
    monkeypatch.setattr(disk, '_engines_cache', {})
    for _ in range(3): assert DiskFile(plain[0]).kind is Preadv
    assert calls == [disk._setup,disk._setup,disk._destroy]

@has_preadv
def test_short_reads_go_on(plain, monkeypatch):
    monkeypatch.setattr(DiskFile, 'engines', (Preadv,))
    whole = os.preadv
    monkeypatch.setattr(os, 'preadv', lambda fd, bufs, *args: whole(fd, [bufs[0][:len(bufs[0])//2+1]], *args))
    same(read(DiskFile(plain[0]), [1000], [5000])[0], plain[1][1000:6000])

@has_preadv
def test_pythons_without_flags_of_reads_read_without_them(plain, monkeypatch):
    monkeypatch.setattr(DiskFile, 'engines', (Preadv,))
    whole = os.preadv
    def preadv(fd, bufs, at, flags=0):
        if flags: raise NotImplementedError('preadv2: flags unavailable on this platform')
        return whole(fd, bufs, at)
    monkeypatch.setattr(os, 'preadv', preadv)
    same(read(DiskFile(plain[0]), [1000], [5000])[0], plain[1][1000:6000])

# Rows

x = filled((120,6,25))
views = dict(whole=np.s_[:], block=np.s_[10:100], every_second=np.s_[::2], channel=np.s_[:,2], channels=np.s_[:,1:3], one=np.s_[:1])

@pytest.mark.parametrize('view', views)
def test_direct_source_keeps_the_contract(engine, tmp_path, view):
    X = save_array(tmp_path/'x.npy', x)[views[view]]
    check_source(DirectSource(ArraySource(X)), x[views[view]])

@pytest.mark.parametrize('a', [filled((90,7), 'i1')[:,:5], filled(90, '<U5'), filled((50,3), 'f8'), filled((50,3), 'u2'), np.arange(1000)], ids=str)
def test_rows_of_any_dtype_and_size(engine, tmp_path, a):
    s = DirectSource(as_source(save_array(tmp_path/'a.npy', a)))
    for o in (np.random.default_rng(0).permutation(len(a)), range(len(a)), [len(a)-1]): assert s.gather(o).tobytes() == a[np.asarray(o)].tobytes()

def test_direct_source_pickles_as_its_place(tmp_path): check_pickle(DirectSource(as_source(save_array(tmp_path/'x.npy', x))), x)

@pytest.mark.parametrize('make,word', [(lambda X: np.array(X), 'in memory'), (lambda X: X[::-1], 'in the order of the file'), (lambda X: X[:,:,3:9], 'in one piece'),
    (lambda X: X.swapaxes(1, 2), 'in one piece')], ids=['memory','reversed','steps','swapped'])
def test_what_is_not_rows_of_a_file_is_refused(tmp_path, make, word):
    with fails(OSError, word): DirectSource(as_source(make(save_array(tmp_path/'x.npy', x))))

@given(st.data())
def test_any_announcements_and_any_rows(direct, data):
    lists = st.lists(st.integers(0, 119), max_size=40)
    s = DirectSource(direct, most=data.draw(st.integers(1, 4)))
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()): s.prefetch(data.draw(lists))
        else: check_gather(s, x, data.draw(lists))

@pytest.fixture(scope='module')
def direct(tmp_path_factory): return as_source(save_array(tmp_path_factory.mktemp('direct')/'x.npy', x))

def test_announced_rows_are_read_once(direct, monkeypatch):
    begun,s = [],DirectSource(direct)
    monkeypatch.setattr(s.reads, 'begin', lambda idxs, block, f=s.reads.begin: (begun.append(len(idxs)), f(idxs, block))[1])
    s.prefetch(np.arange(100))
    for a in range(0, 100, 10): same(s.gather(np.arange(a, a+10)[::-1]), x[a:a+10][::-1])
    assert begun == [100] and not s.reads.coming and len(s.reads.free) == 1
    same(s.gather([7]), x[[7]])
    assert begun == [100,1]

def test_announcements_are_bounded(direct):
    s = DirectSource(direct, most=3)
    for _ in range(10): s.prefetch([1,2,3])
    assert len(s.reads.coming) == 3

@linux
@pytest.mark.parametrize('shuffle,split,unit', [(True,'all',512), (True,'all',4096), (False,'eighth',512), ('block','eighth',512), ('block','all',4096)])
def test_small_or_sparse_rows_take_no_more_memory(tmp_path, shuffle, split, unit):
    "A file with holes: 40-byte rows, or every eighth of 4 kB"
    shape = (10_000_000,1,10) if split == 'all' else (100_000,8,128)
    with create_array(tmp_path/'X.npy', shape) as w:
        w[0] = 1
        for i in range(1, shape[0], 10**5): w[i:min(i+10**5, shape[0])] = 0
    grown = fresh("""
        import numpy as np
        from itertools import islice
        from conftest import rss_anon
        from tsdisk.all import *
        from tsdisk.disk.io import Aio
        from tsdisk.data.reader import ReadOptions
        from tsdisk.data.loaders import TSDataLoader
        path,shuffle,split,unit = args
        Aio.units = unit,
        X = open_array(path)
        dl = TSDataLoader(TSDatasets(X, splits=[range(0, len(X), 1 if split == 'all' else 8)]).train, bs=256, shuffle=shuffle, read=ReadOptions(direct=True))
        dl.one_batch()
        before,res = rss_anon(),0
        for i,b in enumerate(islice(dl, 1500)):
            if i%20 == 0: res = max(res, rss_anon()-before)""", str(tmp_path/'X.npy'), shuffle, split, unit)
    assert grown < (480 if shuffle == 'block' else 130), f'{grown:.0f} MB'

# Loaders

def folder(tmp_path, n=500): return save_array(tmp_path/'X.npy', ramp(n)),save_array(tmp_path/'y.npy', np.arange(n, dtype='f8'))

def small(ds, direct=None, **kwargs):
    "A loader of many groups, blocks and shuffle buffers of few rows"
    return TSDataLoader(ds, read=ReadOptions(direct=direct, group_bytes=1000, block_bytes=300, buffer_bytes=2000), **kwargs)

splits = [range(500), range(20, 480), np.arange(0, 500, 3), np.random.default_rng(0).permutation(500)[:400], range(499, -1, -1)]

@pytest.mark.parametrize('shuffle', [False,True,'block'])
@pytest.mark.parametrize('split', splits, ids=['all','part','thirds','random','reversed'])
def test_loader_gives_the_same_batches_cached_or_not(engine, tmp_path, split, shuffle):
    ds = TSDatasets(*folder(tmp_path), splits=[split]).train
    for bs in (1,7,64,1000):
        a,b = [small(ds, bs=bs, shuffle=shuffle, seed=3, direct=o) for o in (False,True)]
        for _ in range(2):
            got = epoch(b)
            assert got == epoch(a) and sorted(got[0]) == sorted(np.asarray(split))

@pytest.mark.parametrize('shuffle', [False,True,'block'])
def test_workers_read_from_disk_too(tmp_path, shuffle):
    ds = TSDatasets(*folder(tmp_path))
    a,b = [small(ds, bs=32, shuffle=shuffle, seed=3, direct=True, num_workers=o) for o in (0,2)]
    for _ in range(2): assert epoch(a) == epoch(b)

def test_arrays_that_do_not_fit_are_read_from_disk(tmp_path, monkeypatch):
    dl = TSDataLoader(TSDatasets(folder(tmp_path)[0]), bs=32)
    assert 'page cache' in repr(dl) and not dl.direct
    monkeypatch.setattr(reader, 'free_memory', lambda: 10_000)
    assert 'straight from disk' in repr(dl) and epoch(dl)[0] == [*range(500)]
    assert [type(o) for o in dl.open_reader().prefetched] == [DirectSource]
    in_memory = TSDataLoader(TSDatasets(ramp(500)), bs=32)
    assert not in_memory.direct and epoch(in_memory)[0] == [*range(500)]

def test_labels_stay_in_the_page_cache(tmp_path):
    dl = TSDataLoader(TSDatasets(save_array(tmp_path/'X.npy', filled((500,3,50))), folder(tmp_path/'y')[1]), bs=32, read=ReadOptions(direct=True))
    X,y = dl.dataset.tls
    assert dl.direct == [X.items]
    reader = dl.open_reader()
    assert reader.columns[1] is y and reader.prefetched == [reader.columns[0].items]

def test_shuffled_blocks_in_workers_go_through_the_page_cache(tmp_path, monkeypatch):
    dl = small(TSDatasets(folder(tmp_path)[0]), bs=32, shuffle='block', direct=True)
    assert [type(o) for o in opened(dl)] == [DirectSource]
    monkeypatch.setattr(loader, 'get_worker_info', lambda: 1)
    assert [type(o) for o in opened(dl)] == [ArraySource]

def opened(dl):
    "The sources that are prefetched"
    dl.steps = dl.plan().with_order(dl.get_idxs())
    return dl.open_reader().prefetched

def test_sources_that_read_in_their_own_way_keep_it(tmp_path):
    class Scaled(ArraySource):
        def _gather(self, idxs, out):
            super()._gather(idxs, out)
            out *= 3
    s = Scaled(save_array(tmp_path/'X.npy', ramp(50)))
    with fails(ValueError, 'Scaled reads in its own way'): TSDataLoader(TSDatasets(s), read=ReadOptions(direct=True))
    with fails(OSError, 'Scaled'): DirectSource(s)

def test_order_of_blocks_is_that_of_the_inputs(tmp_path):
    X,y = folder(tmp_path)
    a,b = [small(TSDatasets(X, o), bs=32, shuffle='block', seed=1) for o in (None,y)]
    same(a.get_idxs()[:], b.get_idxs()[:])

@pytest.mark.parametrize('split', ['u1','u4','u8','i4'])
def test_blocks_of_rows_in_any_order_are_blocks_of_the_file(tmp_path, split):
    idxs = np.random.default_rng(0).permutation(250).astype(split)
    dl = small(TSDatasets(folder(tmp_path)[0], splits=[idxs]).train, bs=32, shuffle='block')
    o = dl.get_idxs()
    assert (np.diff(idxs[o.rows(0)].astype(int)) > 0).all() and sorted(epoch(dl)[0]) == [*range(250)]

def test_another_file_of_the_same_name_is_noticed(tmp_path):
    X,_ = folder(tmp_path)
    dl = small(TSDatasets(X), bs=32, direct=True)
    save_array(tmp_path/'X.npy', ramp(900)*2)
    with fails(OSError, 'X.npy', 'open it again'): next(iter(dl))
    os.truncate(tmp_path/'X.npy', 5000)
    with fails(OSError, 'open it again'): next(iter(dl))
    monkey = small(TSDatasets(X), bs=32)
    assert epoch(monkey)[0] == [*range(500)] # The map still has it

def test_the_same_file_by_another_inode_is_taken(tmp_path, monkeypatch):
    X,_ = folder(tmp_path)
    monkeypatch.setattr('tsdisk.disk.direct.mapped_inode', lambda address: 0)
    assert epoch(small(TSDatasets(X), bs=32, direct=True))[0] == [*range(500)]

def test_small_rows_in_random_order_are_told_of(tmp_path):
    ds = TSDatasets(save_array(tmp_path/'X.npy', filled((300,8,300))))
    def words(rows, **kw):
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter('always')
            next(iter(TSDataLoader(rows, read=ReadOptions(direct=True), **kw)))
        return [str(o.message) for o in w]
    few = TSDatasets(folder(tmp_path/'small')[0])
    assert not words(ds, shuffle=True) and not words(few) and not words(few, shuffle='block')
    if TSDataLoader(few, read=ReadOptions(direct=True)).open_reader().prefetched[0].rows.file.unit > 1: assert "shuffle='block'" in words(few, shuffle=True)[0]

def test_the_way_can_be_set_by_hand(tmp_path, monkeypatch):
    X,y = folder(tmp_path)
    dls = TSDataLoaders.from_arrays(X, y, bs=32, read=ReadOptions(direct=True))
    assert all(o.direct for o in dls.loaders) and dls.test_dl(X).direct
    monkeypatch.setattr(reader, 'free_memory', lambda: 0)
    assert not TSDataLoaders.from_arrays(X, y, bs=32, read=ReadOptions(direct=False)).train.direct
    assert not dls.test_dl(ramp(50)).direct and epoch(dls.test_dl(ramp(50)))[0] == [*range(50)]
    with fails(ValueError, 'in memory'): TSDataLoaders.from_arrays(ramp(50), read=ReadOptions(direct=True))

def test_without_any_engine_rows_are_announced_to_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(DiskFile, 'engines', ())
    monkeypatch.setattr(reader, 'free_memory', lambda: 0)
    told = []
    monkeypatch.setattr(ArraySource, 'prefetch', lambda self, idxs: told.extend(idxs))
    dl = small(TSDatasets(folder(tmp_path)[0]), bs=32)
    assert epoch(dl)[0] == told == [*range(500)]
    with fails(OSError, "can't be read past the page cache"): next(iter(small(dl.dataset, bs=32, direct=True)))

def test_without_preadv_and_native_calls_there_is_no_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, '_numbers', None)
    monkeypatch.setattr(disk, '_engines_cache', {})
    monkeypatch.delattr(os, 'preadv', raising=False)
    with fails(OSError, 'no native asynchronous I/O', 'no `preadv`'): DiskFile(folder(tmp_path)[0].filename)

def test_stopping_in_the_middle_of_reads(tmp_path):
    dl = small(TSDatasets(*folder(tmp_path)), bs=16, shuffle=True, direct=True)
    for k in (0,1,3,9):
        for i,_ in enumerate(dl):
            if i == k: break
        assert sorted(epoch(dl)[0]) == [*range(500)]

def test_two_passes_at_once(tmp_path):
    dl = small(TSDatasets(*folder(tmp_path)), bs=16, direct=True)
    pairs = [(a[0].numpy().copy(), b[0].numpy().copy()) for a,b in zip(dl, dl)]
    assert len(pairs) == len(dl) == 32
    for a,b in pairs: same(a, b)

@linux
@pytest.mark.parametrize('shuffle,most', [(True,100), ('block',480), (False,100)])
def test_memory_of_a_pass_is_bounded(tmp_path, shuffle, most):
    save_array(tmp_path/'X.npy', (filled((2000,50,50))+i for i in range(40)))
    grown = fresh("""
        from conftest import rss_anon
        from tsdisk.all import *
        from tsdisk.data.reader import ReadOptions
        from tsdisk.data.loaders import TSDataLoader
        path,shuffle = args
        dl = TSDataLoader(TSDatasets(path), bs=64, shuffle=shuffle, read=ReadOptions(direct=True))
        dl.one_batch()
        before,res = rss_anon(),0
        for i,b in enumerate(dl):
            if i%50 == 0: res = max(res, rss_anon()-before)""", str(tmp_path/'X.npy'), shuffle)
    assert grown < most, f'{grown:.0f} MB'

@linux
def test_reading_straight_from_disk_leaves_the_page_cache_alone(tmp_path):
    path = tmp_path/'X.npy'
    save_array(path, np.zeros((2000,50,50), 'f4'))
    with open(path, 'rb') as f: os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    dl = TSDataLoader(TSDatasets(path), bs=64, read=ReadOptions(direct=True))
    for _ in dl: pass
    if dl.open_reader().prefetched[0].rows.file.engine.__class__ is not Aio: pytest.skip('the file system here has no O_DIRECT')
    assert not cached_share(path) > .1
