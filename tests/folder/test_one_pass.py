"Workers of an executor count the same as threads of this process, bit for bit"
import os, pickle, signal
from concurrent.futures import ProcessPoolExecutor
import numpy as np, pytest
from conftest import fails
from tsdisk.convert.convert import convert
from tsdisk.disk.arrays import save_array
from tsdisk.disk.array_sources import as_source
from tsdisk.folder.manifest import open_folder
from tsdisk.folder.one_pass import Counted
from tsdisk.folder.sketch import Sample, values_at
from tsdisk.folder.stats import array_stats
from tsdisk.series.windows import Windows

@pytest.fixture(scope='module')
def pool():
    with ProcessPoolExecutor(2) as pool: yield pool

@pytest.fixture(scope='module')
def x(tmp_path_factory):
    "23 MB, 12 blocks"
    x = np.random.default_rng(0).normal([[0],[5],[101_325]], [[1],[3],[.5]], size=(10_000,3,200)).astype('f4')
    x[3,1,:50] = np.nan
    return save_array(tmp_path_factory.mktemp('stats')/'X.npy', x)

def log(t): return t.abs().log1p()
def log_in_place(t): return t.abs_().log1p_()

some = np.random.default_rng(1).permutation(10_000)[:7001]
cases = dict(all={}, variable_ranges=dict(ranges=False), steps=dict(by='steps'), everything=dict(by='all'), rows=dict(idxs=some),
    mask=dict(idxs=np.arange(10_000)%3 > 0), part=dict(idxs=range(100, 8000)), function=dict(tfm=log), missing=dict(missing=5))

@pytest.mark.parametrize('kw', cases.values(), ids=cases)
@pytest.mark.parametrize('most', [2**20,1000])
def test_processes_count_the_same(x, pool, kw, most, monkeypatch):
    monkeypatch.setattr(Sample, 'most', most)
    want,got = array_stats(x, **kw),array_stats(x, **kw, executor=pool)
    assert got == want and got.error == want.error and (most > 1000 or not kw.get('ranges', True) or got.error)

def test_what_works_in_place_changes_nothing(x):
    some = x[100:].copy() # Whole rows of an array in memory are seen without a copy
    before = some.copy()
    for rows in (None, range(9000)):
        assert array_stats(some, rows, tfm=log_in_place) == array_stats(before, rows, tfm=log)
        assert array_stats(x, rows, tfm=log_in_place) == array_stats(x, rows, tfm=log)
    assert array_stats(some[::-1], tfm=log_in_place).mean == pytest.approx(array_stats(some, tfm=log).mean)
    np.testing.assert_array_equal(some, before)

@pytest.mark.parametrize('shape,dtype', [((5,),'f8'), ((3_000_000,),'i2'), ((700_000,3),'f2'), ((1,2,5_000_000),'f4'), ((40,2,5,1000),'u1')], ids=str)
def test_any_shape_is_counted_the_same(tmp_path, pool, shape, dtype):
    x = save_array(tmp_path/'x.npy', (np.random.default_rng(0).random(shape)*200).astype(dtype))
    assert array_stats(x, executor=pool) == array_stats(x)

def test_shards_packed_integers_and_several_arrays_are_counted_the_same(tmp_path, pool):
    records = [dict(X=np.random.default_rng(i).integers(-99, 99, (3,20_000), 'i2'), scale=[.5,1,2], offset=0., missing=-1) for i in range(40)]
    arrays,_ = open_folder(convert(records, tmp_path/'set', layout='shards'))
    X = arrays['X']
    want = array_stats(X)
    assert want.nans.any() and array_stats((X,X), executor=pool) == (want,want)

class Refuses:
    def submit(self, *args): raise AssertionError('Nothing should be sent')

def test_what_can_not_be_sent_is_counted_here(x):
    assert array_stats(np.array(x[:100]), executor=Refuses()) == array_stats(x[:100])
    windows = Windows(x, 10, stride=10)
    assert array_stats(windows, executor=Refuses()) == array_stats(windows)

def test_what_is_sent_is_small(x): assert len(pickle.dumps(Counted(as_source(x)))) < 4000

def test_a_killed_worker_is_named(x):
    with ProcessPoolExecutor(1) as pool:
        with fails(RuntimeError, 'A worker was killed, most often because memory ran out, while counting rows'):
            array_stats(x, tfm=DiesElsewhere(os.getpid()), executor=pool)

class DiesElsewhere:
    def __init__(self, pid): self.pid = pid
    def __call__(self, t):
        if os.getpid() != self.pid: os.kill(os.getpid(), signal.SIGKILL)
        return t

# Drawn before it is read

def test_draws_ahead_are_those_of_a_sample():
    blocks = [np.random.default_rng(i).normal(size=(20,3,n)) for i,n in enumerate([50,7,1,2000,300,5]*10)]
    ours,theirs = Sample(),Sample()
    ours.most = theirs.most = 500
    draws = [theirs.draw(o.shape) for o in blocks]
    for o,(places,thinned) in zip(blocks, draws):
        ours.add(o)
        theirs.keep(values_at(o, places), thinned)
    assert ours.every == theirs.every > 1 and np.array_equal(np.concatenate(ours.parts), np.concatenate(theirs.parts))

@pytest.mark.parametrize('dtype,mb', [('i1',2),('i2',4),('f4',8),('f8',8)])
def test_a_block_has_two_million_values_and_at_most_8_mb(dtype, mb):
    first = next(Counted(as_source(np.zeros((3000,4,1024), dtype))).blocks(range(3000), bar=False))
    assert first.nbytes == mb*2**20
