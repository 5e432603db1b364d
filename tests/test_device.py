"Batches on their way to a device. What needs a GPU is marked `gpu` and reported as skipped where there is none"
import ctypes
import numpy as np, pytest, torch
from conftest import filled
from tsdisk.arrays import save_array
from tsdisk.batches import TSTensor
from tsdisk.datasets import TSDatasets
from tsdisk import loaders
from tsdisk.loaders import TSDataLoader, TSDataLoaders
from tsdisk.reader import Buffers, InFlight, ToDevice
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

class Late(ToDevice):
    "Copies as a busy GPU does: when somebody waits for it, from where a batch was, whatever lies there by then"
    copies = []
    def send(self, host):
        there = [[torch.empty_like(o) for o in b] for b in host]
        self.copies.append(Copies([(o.data_ptr(), p.data_ptr(), o.nbytes) for b,c in zip(there, host) for o,p in zip(b, c)]))
        self.in_flight.add(host, self.copies[-1])
        return there,None

class Copies:
    def __init__(self, todo): self.todo = todo
    def query(self): return False
    def synchronize(self):
        for to,at,n in self.todo: ctypes.memmove(to, at, n)
        self.todo = []

def late_epoch(monkeypatch):
    "Are all batches right that are copied late?"
    X = filled((400,3,40))
    monkeypatch.setattr(Late, 'copies', [])
    for o,k,v in ((loaders,'ToDevice',Late), (TSDataLoader,'thread',True), (TSDataLoader,'group_bytes',0), (TSDataLoader,'_finish',lambda _,b: b)): monkeypatch.setattr(o, k, v)
    dl = TSDataLoader(TSDatasets(X, np.arange(400.)), bs=10, shuffle=True)
    batches = [b for _ in range(3) for b in dl]
    for o in Late.copies: o.synchronize() # Those that nobody waited for
    ids = torch.cat([o[1] for o in batches]).int().numpy()
    return sorted(ids) == sorted([*range(400)]*3) and torch.equal(torch.cat([o[0] for o in batches]), torch.from_numpy(X[ids]))

def test_slots_are_not_overwritten_before_they_are_copied(monkeypatch): assert late_epoch(monkeypatch)

@pytest.mark.parametrize('fault', ['add','wait'])
def test_slots_that_are_not_held_are_caught(monkeypatch, fault):
    monkeypatch.setattr(InFlight, fault, lambda *_: None)
    assert not late_epoch(monkeypatch)

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')

def on_gpu(X, n_batches, **kw):
    "Sums of rows on the GPU, under a model that is slow to use them, and the sums of the same rows on disk"
    cuda = torch.device('cuda')
    dl = TSDataLoader(TSDatasets(X, np.arange(len(X), dtype='f8')), bs=50, shuffle=True, seed=1, device=cuda, **kw)
    sums,ids = [],[]
    while len(sums) < n_batches:
        for xb,yb in dl:
            if len(sums)%7 == 0: torch.cuda._sleep(2_000_000) # A millisecond
            sums.append(xb.sum((1,2)))
            ids.append(yb)
    return torch.cat(sums).cpu().numpy(), np.asarray(X).sum((1,2))[torch.cat(ids).cpu().numpy().astype(int)]

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('group_bytes', [0,20_000,TSDataLoader.group_bytes])
@pytest.mark.parametrize('kept', [False,True])
def test_ten_thousand_batches_on_the_gpu_equal_those_on_disk(tmp_path, monkeypatch, group_bytes, kept):
    monkeypatch.setattr(TSDataLoader, 'group_bytes', group_bytes)
    if kept: # Batches that are kept for a while, and memory of batches that were not
        held = []
        before = TSDataLoader._finish
        monkeypatch.setattr(TSDataLoader, '_finish', lambda self,b: (held.append(b), held.__delitem__(slice(0, -9)), before(self, b))[-1])
    sums,want = on_gpu(save_array(tmp_path/'X.npy', x), 10_000)
    assert len(sums) >= 10_000*50 and np.array_equal(sums, want)

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('fault', ['slots','event'])
def test_faults_on_the_way_to_the_gpu_are_caught(monkeypatch, fault):
    "Slots used again at once, or batches used before they came: a slow copy shows either"
    send = ToDevice.send
    def slow(self, host):
        with torch.cuda.stream(self.stream): torch.cuda._sleep(20_000_000)
        return send(self, host)
    monkeypatch.setattr(ToDevice, 'send', slow)
    monkeypatch.setattr(TSDataLoader, 'group_bytes', 0)
    sums,want = on_gpu(x, 80)
    assert np.array_equal(sums, want)
    if fault == 'slots': monkeypatch.setattr(InFlight, 'add', lambda *_: None)
    else: monkeypatch.setattr(ToDevice, 'arrived', lambda self,there,event: there)
    sums,want = on_gpu(x, 80)
    assert not np.array_equal(sums, want)

@pytest.mark.gpu
@gpu
def test_preloaded_batches_on_the_gpu():
    dls = TSDataLoaders.from_arrays(x, np.arange(2000.), bs=500, splits=[range(2000), range(0)], device='cuda', shuffle=False).preload()
    assert dls.train.kept[0].is_cuda and dls.train.kept[0].dtype == torch.int16
    assert np.array_equal(torch.cat([o[0] for o in dls.train]).cpu().numpy(), x)

@pytest.mark.gpu
@gpu
def test_standardize_on_the_gpu():
    dls = TSDataLoaders.from_arrays(x, np.arange(2000)%3, bs=500, splits=[range(2000), range(0)], device='cuda', batch_tfms=Standardize())
    z = torch.cat([o[0] for o in dls.train])
    assert z.is_cuda and abs(z.mean().item()) < 1e-3 and np.allclose(dls.after_batch.decode((z,))[0].cpu().numpy().std((0,2)), array_stats(x).std, rtol=1e-3)
