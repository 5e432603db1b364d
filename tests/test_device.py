"Batches on their way to a device. What needs a GPU is marked `gpu` and reported as skipped where there is none"
import numpy as np, pytest, torch
from tsdisk.arrays import save_array
from tsdisk.datasets import TSDatasets, TSTensor
from tsdisk.loaders import TSDataLoader, TSDataLoaders
from tsdisk.reader import Buffers, InFlight
from tsdisk.stats import array_stats
from tsdisk.transforms import Standardize

x = np.random.default_rng(0).integers(-1000, 1000, (2000,3,40)).astype('int16')

class Event:
    "Stands for a CUDA event: done when told so"
    def __init__(self): self.done,self.waited = False,False
    def query(self): return self.done
    def synchronize(self): self.waited = True

def test_a_block_is_kept_until_its_copy_is_done():
    pool,flight,event = Buffers((4,8), np.dtype('f4')),InFlight(),Event()
    block = pool.take(4)
    at = block.ctypes.data
    flight.add([torch.from_numpy(block)], event)
    del block
    other = pool.take(4)
    assert other.ctypes.data != at
    event.done = True
    flight.add([torch.zeros(1)], Event())
    assert pool.take(4).ctypes.data == at and event.waited

def test_copies_in_flight_are_bounded_by_waiting_for_the_oldest():
    flight,events = InFlight(most=2),[Event() for _ in range(5)]
    for o in events: flight.add([], o)
    assert [o.waited for o in events] == [True,True,True,False,False]

def test_batches_go_to_any_device_and_are_cast_there():
    dl = TSDataLoader(TSDatasets(x, np.arange(2000)%3), bs=64, device=torch.device('meta'))
    xb,yb = dl.one_batch()
    assert (xb.device.type, xb.dtype, type(xb), yb.device.type) == ('meta', torch.float32, TSTensor, 'meta')

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')

@pytest.mark.gpu
@gpu
def test_batches_on_the_gpu_equal_those_on_disk_under_a_slow_model(tmp_path):
    X = save_array(tmp_path/'X.npy', x)
    dl = TSDataLoader(TSDatasets(X, np.arange(2000)), bs=50, shuffle=True, seed=1, device=torch.device('cuda'))
    a,sums,ids = torch.randn(3000, 3000, device='cuda'),[],[]
    for _ in range(20):
        for xb,yb in dl:
            for _ in range(3): a = (a@a).tanh()
            sums.append(xb.sum((1,2)))
            ids.append(yb)
    assert np.array_equal(torch.cat(sums).cpu().numpy(), x.sum((1,2))[torch.cat(ids).cpu().numpy()])

@pytest.mark.gpu
@gpu
def test_standardize_on_the_gpu():
    dls = TSDataLoaders.from_arrays(x, np.arange(2000)%3, bs=500, splits=[range(2000), range(0)], device='cuda', batch_tfms=Standardize())
    z = torch.cat([o[0] for o in dls.train])
    assert z.is_cuda and abs(z.mean().item()) < 1e-3 and np.allclose(dls.after_batch.decode((z,))[0].cpu().numpy().std((0,2)), array_stats(x).std, rtol=1e-3)
