"Memory for batches: taken by one holder at a time, used again when nobody holds it, given back by the process that took it"
import gc, os, pickle, random, subprocess, sys, weakref
import numpy as np, pytest, torch
from conftest import on_cpu, same
from tsdisk.data import buffers
from tsdisk.data.buffers import Buffers, ColumnPool, Pools
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.packing import Packing
from tsdisk.series.windows import Windows

ints = TSDatasets(np.arange(600, dtype='i2').reshape(10,3,20), np.arange(10)).tls
cpu,cuda = torch.device('cpu'),torch.device('cuda')

def test_a_pool_reads_and_casts_into_its_own_memory():
    pool = ColumnPool(ints[0], 4)
    t = pool.read(ints[0], np.array([9,0]))
    same(t.numpy(), ints[0].items[[9,0]].astype('f4'))
    assert (len(pool.stored.free), len(pool.cast.out)) == (1,1)
    at = t.data_ptr()
    del t
    assert pool.read(ints[0], np.array([1])).data_ptr() == at

def test_single_values_and_rows_that_are_cast_elsewhere_take_no_pool():
    assert ColumnPool(ints[1], 4).stored is None
    pool = ColumnPool(ints[0], 4, cast=False)
    assert pool.cast is None and pool.read(ints[0], np.array([3])).dtype == torch.int16

def test_pools_last_as_long_as_they_fit():
    pools = Pools()
    first = pools.fit(ints, 4, cpu)
    assert pools.fit(ints, 4, cpu) is first and pools.rows == 4
    for change in (dict(rows=8), dict(device=torch.device('meta')), dict(spare=1)):
        kw = {**dict(rows=4, device=cpu), **change}
        assert pools.fit(ints, **kw) is not first
        pools.fit(ints, 4, cpu)

def test_where_batches_go_decides_on_casts():
    assert Pools().fit(ints, 4)[0].cast and not Pools().fit(ints, 4, torch.device('meta'))[0].cast
    assert not Pools().fit(ints, 4, cpu, in_worker=True)[0].cast
    assert not Pools().fit(ints, 4, cuda, in_worker=True)[0].stored.pin

def test_pools_stay_in_their_process():
    pools = Pools()
    pools.fit(ints, 4)
    other = pickle.loads(pickle.dumps(pools))
    assert (other.key, other.rows, other.columns) == (None,0,[])

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no forks here')
def test_a_forked_process_has_pools_of_its_own():
    pools = Pools()
    first = pools.fit(ints, 4)
    if not (child := os.fork()): os._exit(pools.fit(ints, 4) is first)
    assert os.waitpid(child, 0)[1] == 0 and pools.fit(ints, 4) is first

@pytest.mark.parametrize('spare', [0,1,3])
def test_as_many_blocks_are_kept_as_asked(spare):
    pool = Buffers((4,8), np.dtype('f4'), spare=spare)
    held = [pool.take(4) for _ in range(5)]
    del held
    assert len(pool.free) == spare and not pool.out

def test_block_is_taken_by_one_holder_at_a_time():
    pool,held = Buffers((8,3), np.dtype('f4')),[]
    rng = random.Random(0)
    for i in range(500):
        a = pool.take(rng.randint(1, 8))
        a[:] = i
        held.append((i, a if rng.random() < .5 else torch.from_numpy(a)[-1:]))
        del a
        if rng.random() < .6: held.pop(rng.randrange(len(held)))
        assert all((o == i).all() for i,o in held)

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no forks here')
def test_page_locked_memory_is_given_back_by_the_process_that_took_it_alone(monkeypatch):
    "Else CUDA ends the workers of a loader"
    empty = torch.empty
    monkeypatch.setattr(torch, 'empty', lambda *args, pin_memory, **kw: empty(*args, **kw))
    pool = Buffers((4,8), np.dtype('f4'), pin=True)
    pool.me = pool
    pool.take(4)
    block, = map(weakref.ref, buffers._locked.values())
    del pool # But it is there until garbage is collected
    if not (child := os.fork()):
        gc.collect()
        os._exit(block() is None)
    assert os.waitpid(child, 0)[1] == 0 and block() is not None
    gc.collect()
    assert block() is None

# Shared memory of workers

forks = pytest.mark.skipif(sys.platform != 'linux' or sys.version_info >= (3,14), reason='workers are forked on Linux')

@forks
@pytest.mark.parametrize('room', [0,3])
def test_batches_that_do_not_fit_in_shared_memory_are_an_error(monkeypatch, room):
    share,taken = torch.Tensor.share_memory_,[]
    def share_memory_(self):
        taken.append(self)
        if len(taken) > room: raise RuntimeError('unable to allocate shared memory(shm) for file: No space left on device (28)')
        return share(self)
    monkeypatch.setattr(torch.Tensor, 'share_memory_', share_memory_)
    dl = TSDataLoader(TSDatasets(np.zeros((600,1,9), 'f4')), bs=50, num_workers=2)
    monkeypatch.setattr(buffers.os, 'statvfs', lambda path: os.statvfs_result((4096,4096,16384,100,50,0,0,0,0,255)))
    try: said = [*dl]
    except OSError as e: said = str(e)
    gc.collect() # The iterator of the workers: the later it goes, the longer torch waits for them
    assert 'A batch of 1.8 kB does not fit' in said and '205 kB of 67.1 MB are free' in said and '`num_workers=0`' in said

full_shm = """
import sys, numpy as np
from fastai.distributed import DistributedDL
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.packing import Packing
from tsdisk.series.windows import Windows

class OneRank(DistributedDL):
    def _broadcast(self, t, rank): return t # The original needs a GPU

wrap = dict(ours=lambda dl: dl, fastai=lambda dl: OneRank(dl, 0, 1, 'cpu'))[sys.argv[1]]
X = np.arange(64, dtype='f4')[:,None,None]*np.ones((1,9,9999), 'f4')
for bs in (4,16,64):
    got,kept = 0,[]
    try:
        for x, in wrap(TSDataLoader(TSDatasets(X), bs=bs, num_workers=2)):
            got += int((x[:,0,0] == x[:,-1,-1]).sum())
            if bs == 16: kept.append(x) # All of them do not fit
    except OSError as e: print(str(e)[-2000:])
    print(got)
"""

@forks
@pytest.mark.parametrize('kind', ['ours','fastai'])
def test_a_small_shared_memory_ends_in_an_error_and_not_in_waiting(kind):
    mount = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=20m tmpfs /dev/shm && exec "$@"', 'sh']
    if subprocess.run([*mount, 'true'], capture_output=True).returncode: pytest.skip('nothing may be mounted here')
    got = subprocess.run([*mount, sys.executable, '-W', 'ignore', '-c', full_shm, kind], capture_output=True, text=True, timeout=120, env=on_cpu)
    assert got.stdout.startswith('64\n') and got.stdout.endswith('\n0\n'), got.stderr
    assert 'A batch of 23 MB does not fit in shared memory' in got.stdout and 'unless a source of your own is slow' in got.stdout

@pytest.mark.parametrize('dtype', ['i4','u4','i8'])
def test_large_integers_beside_their_series_keep_all_digits(dtype):
    x = np.zeros((40,2), dtype)
    x[:,1] = 2**24 + np.arange(40)
    dls = TSDataLoaders.from_arrays(Windows(x, 4, horizon=2, known=[1]), bs=8, shuffle=False, device='cpu')
    for got,want in zip(dls.train.one_batch(), dls.train_ds.batch(range(8))): same(np.asarray(got), np.asarray(want))
    packing = Packing(missing=2**24)
    dls = TSDataLoaders.from_arrays(Windows(x, 4, sel_vars=[1]), bs=8, shuffle=False, device='cpu', packing=packing)
    assert dls.train.one_batch()[0].isnan().sum() == 1
