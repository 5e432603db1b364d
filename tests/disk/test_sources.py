"Every source keeps the same contract, whatever its rows come from"
import pickle
from functools import lru_cache
import numpy as np, pytest, torch
from hypothesis import given, strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from conftest import all_dtypes, elsewhere, fails, filled, fresh, linux, same
from source_cases import Half, Ints, save_npy as _npy, Slow, x
from tsdisk.testing import check_gather, check_order, check_pickle, check_reads_only, check_source, checks
from tsdisk.disk.arrays import save_array
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.shards import Joined

class Odd(Ints):
    "Takes a list as one index for each axis, and has a dtype that numpy does not know"
    dtype = torch.float32
    def __getitem__(self, i): return x[tuple(i)] if isinstance(i, list) else x[i]

def _h5(d):
    import h5py
    with h5py.File(d/'x.h5', 'w') as f: f['x'] = x
    return h5py.File(d/'x.h5')['x']
def _zarr(d, chunks=(16,6,25)):
    import zarr
    z = zarr.open_array(str(d/'x.zarr'), mode='w', shape=x.shape, chunks=chunks, dtype='f4')
    z[:] = x
    return zarr.open_array(str(d/'x.zarr'), mode='r')

view = np.s_
on_disk = dict(memmap=(_npy, x), path=(lambda d: (_npy(d), d/'x.npy')[1], x), text_path=(lambda d: (_npy(d), str(d/'x.npy'))[1], x),
    block=(lambda d: _npy(d)[10:100], x[10:100]), every_second=(lambda d: _npy(d)[::2], x[::2]), reversed=(lambda d: _npy(d)[::-1], x[::-1]),
    channel=(lambda d: _npy(d)[:, 2], x[:, 2]), channels=(lambda d: _npy(d)[:, 1:3], x[:, 1:3]), channels2=(lambda d: _npy(d)[:, 1:4:2], x[:, 1:4:2]),
    steps=(lambda d: _npy(d)[:, :, 3:20], x[:, :, 3:20]), backwards=(lambda d: _npy(d)[:, :, ::-1], x[:, :, ::-1]),
    swapped=(lambda d: _npy(d).swapaxes(1, 2), x.swapaxes(1, 2)),
    odd_rows=(lambda d: _npy(d, x[:, :3])[:, :2], x[:, :2]), column=(lambda d: _npy(d)[:, 1, 4], x[:, 1, 4]),
    windows=(lambda d: sliding_window_view(_npy(d)[0, 0], 9, subok=True), sliding_window_view(x[0, 0], 9)),
    bytes=(lambda d: _npy(d, x.view('i1')), x.view('i1')), odd_bytes=(lambda d: _npy(d, filled((50,7), 'i1'))[:, 1:4], filled((50,7), 'i1')[:, 1:4]),
    strings=(lambda d: _npy(d, filled(90, '<U5')), filled(90, '<U5')), many_strings=(lambda d: _npy(d, filled((90,3), 'S3')), filled((90,3), 'S3')),
    one_row=(lambda d: _npy(d, x[:1]), x[:1]), h5py=(_h5, x), zarr=(_zarr, x), user=(lambda d: Half((_npy(d), d/'x.npy')[1]), x/2))
same_row = np.broadcast_to(x[0], x.shape)
in_memory = dict(ndarray=(lambda d: x.copy(), x), fortran=(lambda d: np.asfortranarray(x), x), broadcast=(lambda d: same_row, same_row),
    tensor=(lambda d: torch.tensor(x), x), grad=(lambda d: torch.tensor(x, requires_grad=True), x), strings=(lambda d: ['b','a','c']*5, ['b','a','c']*5),
    numbers=(lambda d: list(range(20)), range(20)), rows=(lambda d: x.tolist(), x.astype('f8')))
objects = dict(ints=(lambda d: Ints(), x), slow=(lambda d: Slow(), x), odd=(lambda d: Odd(), x))
every = {**on_disk, **in_memory, **objects}

def make(name, d):
    f,want = every[name]
    return as_source(f(d)),np.asarray(want)

@pytest.mark.parametrize('check', checks, ids=lambda f: f.__name__[6:])
@pytest.mark.parametrize('name', every)
def test_source_keeps_the_contract(tmp_path, name, check): check(*make(name, tmp_path))

@pytest.mark.parametrize('name', on_disk)
def test_source_on_disk_pickles_as_its_place(tmp_path, name): check_pickle(*make(name, tmp_path))

@pytest.mark.parametrize('name', in_memory)
def test_source_in_memory_pickles_whole(tmp_path, name): check_pickle(*make(name, tmp_path), most=None)

def test_sources_open_again_in_another_process(tmp_path):
    for o in on_disk: (tmp_path/o).mkdir()
    names = [o for o in on_disk if o not in ('h5py','user')] # Those whose code or library another process may lack
    made = {o: make(o, tmp_path/o) for o in names}
    got = elsewhere('{k: o.gather([0,-1,0]) for k,o in a.items()}', {k: o for k,(o,_) in made.items()})
    for k,(_,want) in made.items(): same(got[k], want[[0,-1,0]])

@given(st.sampled_from(['memmap','channels','reversed','column','steps','slow','zarr','h5py']), st.lists(st.integers(-120, 119)))
def test_any_rows_in_any_order(kept, name, idxs): check_gather(*kept(name), idxs)

@pytest.fixture(scope='module')
def kept(tmp_path_factory): return lru_cache(lambda name: make(name, tmp_path_factory.mktemp(name)))

@pytest.mark.parametrize('shape', [(60,), (60,1), (60,3), (60,3,5), (60,2,3,4)], ids=str)
@pytest.mark.parametrize('dtype', all_dtypes)
def test_every_dtype_is_gathered_bit_for_bit(tmp_path, dtype, shape):
    a = filled(shape, dtype)
    if a.dtype.kind == 'f': a.reshape(-1)[:3] = np.nan,-0.,np.inf
    for s in (as_source(_npy(tmp_path, a)), as_source(a)):
        for idxs in (np.random.default_rng(0).permutation(60), range(60)): assert s.gather(idxs).tobytes() == a[np.asarray(idxs)].tobytes()
        check_order(s, a)

@pytest.mark.parametrize('name', ['memmap','block','channels','reversed','h5py','zarr','strings'])
def test_reading_leaves_the_file_as_it_is(tmp_path, name):
    def state(): return {o: (o.stat().st_mtime_ns, o.read_bytes()) for o in tmp_path.rglob('*') if o.is_file()}
    s,want = make(name, tmp_path)
    was = state()
    check_reads_only(s, want)
    assert state() == was

def test_writing_into_gathered_rows_never_reaches_a_file_opened_for_writing(tmp_path):
    _npy(tmp_path)
    s = as_source(np.load(tmp_path/'x.npy', mmap_mode='r+'))
    for o in (range(120), [3]): s.gather(o)[:] = 7
    same(np.load(tmp_path/'x.npy'), x)

def test_views_of_a_memmap_stay_on_disk(tmp_path):
    X = _npy(tmp_path)
    s = as_source(X)
    assert type(s[3]) is type(s[2:9]) is np.memmap and np.shares_memory(s[2:9], X)

def test_source_opens_its_file_when_it_is_used(tmp_path):
    s = as_source(_npy(tmp_path))
    (tmp_path/'x.npy').rename(tmp_path/'y.npy')
    same(s.gather([3]), x[[3]])
    away = pickle.loads(pickle.dumps(s))
    assert away.shape == x.shape and away.dtype == 'f4' and len(away) == 120
    with fails(FileNotFoundError, 'x.npy'): away.gather([3])
    (tmp_path/'y.npy').rename(tmp_path/'x.npy')
    same(away.gather([3]), x[[3]])

def test_one_call_checks_a_source(tmp_path):
    check_source(make('reversed', tmp_path)[0], x[::-1])
    with pytest.raises(AssertionError): check_source(as_source(x), x+1)

def test_one_row_is_that_of_a_batch(tmp_path):
    x = filled((6,2,5))
    views = x, save_array(tmp_path/'x.npy', x), x[::-2], x.swapaxes(1, 2), x[:, 0, 0]
    for s in (*map(as_source, views), Joined([as_source(x), as_source(x)])):
        for i in (0,len(s)-1):
            one = s.gather_one(i)
            same(one, s.gather([i]))
            assert one.flags.owndata and one.flags.c_contiguous

@linux
def test_gather_from_a_view_never_copies_the_file(big):
    grown = fresh("""
        import numpy as np, torch
        from conftest import rss_anon
        from tsdisk.disk.array_sources import as_source
        from tsdisk.disk.arrays import open_array
        X,rng,res = open_array(args[0]),np.random.default_rng(0),{}
        as_source(np.zeros((9,9,9), 'f4')).gather([3,1])
        for k,x in dict(channel=X[:, 1], channels=X[:, 1:3], every_second=X[::2], steps=X[:, :, ::3], reversed=X[::-1], swapped=X.swapaxes(1, 2)).items():
            s,before = as_source(x),rss_anon()
            for o in rng.integers(0, len(x), (20,16)):
                s.prefetch(o)
                assert np.array_equal(s.gather(o), x[o]), k
            res[k] = rss_anon()-before""", big)
    assert len(grown) == 6 and max(grown.values()) < 30, f'MB for 16 rows of 200 kB: {grown}'

@pytest.fixture(scope='module')
def big(tmp_path_factory):
    "A file of 300 MB"
    path,chunk = tmp_path_factory.mktemp('big')/'x.npy',filled((100,4,12_500))
    save_array(path, (chunk+i for i in range(15)))
    yield path
    path.unlink()

def test_a_replaced_file_is_noticed(tmp_path):
    s = pickle.dumps(as_source(_npy(tmp_path)))
    save_array(tmp_path/'x.npy', x.astype('f8'))
    with fails(ValueError, 'was replaced'): pickle.loads(s).gather([0])
