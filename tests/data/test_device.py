"Batches on their way to a device. What needs a GPU is marked `gpu` and reported as skipped where there is none"
import copy, ctypes, gc, os, pickle, weakref
from functools import partial
import numpy as np, pytest, torch
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from torch import nn
from conftest import filled
from tsdisk.disk.packing import Packing
from tsdisk.data import augment, loader, transforms, warp
from tsdisk.disk.arrays import save_array
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.series.ragged_files import save_ragged
from tsdisk.train.predict import preds_to_disk
from tsdisk.data.buffers import Buffers
from tsdisk.data.device import InFlight, ToDevice, split, to_device
from tsdisk.data.assemble import Assembler
from tsdisk.data.reader import ReadOptions
from tsdisk.folder.stats import array_stats
from tsdisk.data.transforms import Standardize
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows

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

class Asked:
    "A tensor that says where it was asked to go"
    def __init__(self, dtype): self.dtype = dtype
    def to(self, *args): return args

@pytest.mark.parametrize('device,dtype,want', [('mps',torch.float64,(torch.float32,)), ('mps',torch.float32,()), ('cuda',torch.float64,())])
def test_apple_gets_float32_for_float64(device, dtype, want):
    device = torch.device(device)
    assert to_device(Asked(dtype), device) == (device,*want)

class Late(ToDevice):
    "Copies as a busy GPU does: when somebody waits for it, from where a batch was, whatever lies there by then"
    copies = []
    def send(self, columns, bs, types=()):
        there = [torch.empty_like(o) for o in columns]
        self.copies.append(Copies([(o.data_ptr(), p.data_ptr(), o.nbytes) for o,p in zip(there, columns)]))
        self.in_flight.add(columns, self.copies[-1])
        return split(there, bs),None

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
    monkeypatch.setattr(loader, 'ToDevice', Late)
    monkeypatch.setattr(Assembler, 'finish', lambda _,b: b)
    dl = TSDataLoader(TSDatasets(X, np.arange(400.)), bs=10, shuffle=True, read=ReadOptions(group_bytes=0, background=True))
    batches = [b for _ in range(3) for b in dl]
    for o in Late.copies: o.synchronize() # Those that nobody waited for
    ids = torch.cat([o[1] for o in batches]).int().numpy()
    return sorted(ids) == sorted([*range(400)]*3) and torch.equal(torch.cat([o[0] for o in batches]), torch.from_numpy(X[ids]))

def test_slots_are_not_overwritten_before_they_are_copied(monkeypatch): assert late_epoch(monkeypatch)

@pytest.mark.parametrize('fault', ['add','wait'])
def test_slots_that_are_not_held_are_caught(monkeypatch, fault):
    monkeypatch.setattr(InFlight, fault, lambda *_: None)
    assert not late_epoch(monkeypatch)

@pytest.mark.parametrize('device', ['cpu','meta'])
def test_autograd_counts_changes_to_each_batch_of_a_group_for_itself(device):
    (a,),(b,) = split([torch.zeros(4, 2, device=device)], 2)
    a.add_(1)
    assert (a._version, b._version) == (1,0)

def test_typed_batches_are_tensors_of_their_own():
    "As leaves of autograd, changed in place, copied and pickled"
    (a,),(b,) = split([torch.arange(8.).reshape(4, 2)], 2, [TSTensor])
    assert type(a) is type(b) is type(a*2) is TSTensor and not a._is_view()
    (a.requires_grad_()**2).sum().backward()
    assert a.grad.tolist() == [[0,2],[4,6]] and not b.requires_grad
    b.mul_(-1)
    assert (a._version, b._version, b.tolist()) == (0,1,[[-4,-5],[-6,-7]])
    for o in (copy.deepcopy(b), pickle.loads(pickle.dumps(b)), b.clone()): assert type(o) is TSTensor and torch.equal(o, b)

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
    ids = torch.cat(ids).nan_to_num().clamp(0, len(X)-1).long().cpu().numpy() # Numbers of rows, unless memory was overwritten
    return torch.cat(sums).cpu().numpy(), np.asarray(X).sum((1,2))[ids]

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('group_bytes', [0,20_000,ReadOptions.group_bytes])
@pytest.mark.parametrize('kept', [False,True])
def test_ten_thousand_batches_on_the_gpu_equal_those_on_disk(tmp_path, monkeypatch, group_bytes, kept):
    if kept: # Batches that are kept for a while, and memory of batches that were not
        held = []
        before = Assembler.finish
        monkeypatch.setattr(Assembler, 'finish', lambda self,b: (held.append(b), held.__delitem__(slice(0, -9)), before(self, b))[-1])
    sums,want = on_gpu(save_array(tmp_path/'X.npy', x), 10_000, read=ReadOptions(group_bytes=group_bytes))
    assert len(sums) >= 10_000*50 and np.array_equal(sums, want)

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('fault', ['slots','event'])
def test_faults_on_the_way_to_the_gpu_are_caught(monkeypatch, fault):
    "Slots used again at once, or batches used before they came: a slow copy shows either"
    send = ToDevice.send
    def slow(self, *args, **kw):
        with torch.cuda.stream(self.stream): torch.cuda._sleep(20_000_000)
        return send(self, *args, **kw)
    monkeypatch.setattr(ToDevice, 'send', slow)
    read = ReadOptions(group_bytes=0)
    sums,want = on_gpu(x, 80, read=read)
    assert np.array_equal(sums, want)
    if fault == 'slots': monkeypatch.setattr(InFlight, 'add', lambda *_: None)
    else: monkeypatch.setattr(ToDevice, 'arrived', lambda self,there,event: there)
    sums,want = on_gpu(x, 80, read=read)
    assert not np.array_equal(sums, want)

@pytest.mark.gpu
@gpu
def test_workers_that_are_forked_outlive_loaders_on_the_gpu():
    dl = TSDataLoader(TSDatasets(x), bs=50, device=torch.device('cuda'))
    for _ in dl: pass
    dl.me,there = dl,weakref.ref(dl)
    del dl
    if not (child := os.fork()):
        gc.collect()
        os._exit(there() is not None)
    assert os.waitpid(child, 0)[1] == 0

@pytest.mark.gpu
@gpu
def test_preloaded_batches_on_the_gpu():
    dls = TSDataLoaders.from_arrays(x, np.arange(2000.), bs=500, splits=[range(2000), range(0)], device='cuda', shuffle=False).preload()
    values = dls.train.preloaded.columns[0].values
    assert values.is_cuda and values.dtype == torch.int16
    assert np.array_equal(torch.cat([o[0] for o in dls.train]).cpu().numpy(), x)

@pytest.mark.gpu
@gpu
def test_standardize_on_the_gpu():
    dls = TSDataLoaders.from_arrays(x, np.arange(2000)%3, bs=500, splits=[range(2000), range(0)], device='cuda', batch_tfms=Standardize())
    z = torch.cat([o[0] for o in dls.train])
    assert z.is_cuda and abs(z.mean().item()) < 1e-3 and np.allclose(dls.after_batch.decode((z,))[0].cpu().numpy().std((0,2)), array_stats(x).std, rtol=1e-3)

# Whatever goes to a GPU is there what it is on the CPU

def stored(path, data): return save_array(path/'X.npy', data)
def long(path): return stored(path, filled((5000,4)))
def dense(path): return dict(X=stored(path, x), y=np.arange(2000)%3)
def counts(path): return dict(X=stored(path, x), y=np.arange(2000.), packing=Packing([.5,.1,2.], [0.,1.,2.]))
def gaps(path): return dict(X=stored(path, np.where(x > 900, -32768, x).astype('i2')), y=np.arange(2000.), packing=Packing(missing=-32768), mask=True)
def pairs(path): return dict(X=(stored(path, x), save_array(path/'Z.npy', filled((2000,5)))), y=np.arange(2000)%3)
def forecasts(path): return dict(X=Windows(long(path), 96, horizon=24, targets=[0,2]))
def crops(path): return dict(X=Crops(stored(path, filled((20,4,300))), 64, per_series=9), splits=[range(150),range(150, 180)])
def ragged(path): return dict(X=save_ragged(path/'ragged', [filled((3, 5+i%40), seed=i) for i in range(300)]), y=np.arange(300)%4)
def windows(path):
    w = Windows(long(path), 50, stride=3)
    return dict(X=w, y=w.label(np.arange(5000)//50%9))

def flat(b): return [torch.as_subclass(p, torch.Tensor) for o in b for p in (flat(o) if isinstance(o, (tuple,list)) else [o])]
def loaders_of(data, device, **kw): return TSDataLoaders.from_arrays(**data, bs=64, seed=0, device=device, **kw)
def passes(dls): return [flat(b) for dl in dls.loaders for _ in range(2) for b in dl]

@pytest.mark.gpu
@gpu
@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('kind,way', [(k,w) for k in (dense,counts,gaps,pairs,forecasts,windows,crops,ragged) for w in ('cached','disk','block','preload')
    if w != 'preload' or k is not ragged]) # Series of unequal lengths are not preloaded
def test_batches_on_the_gpu_are_those_on_the_cpu(tmp_path, kind, way):
    data,kw = kind(tmp_path),dict(disk=dict(read=ReadOptions(direct=True)), block=dict(shuffle='block')).get(way, {})
    here,there = passes(loaders_of(data, 'cpu', **kw)),loaders_of(data, 'cuda', **kw)
    there = passes(there.preload() if way == 'preload' else there)
    assert len(here) == len(there) > 4
    for a,b in zip(here, there):
        assert all(o.is_cuda for o in b)
        for o,p in zip(a, b, strict=True): assert o.dtype == p.dtype and torch.equal(o.nan_to_num(-9.), p.cpu().nan_to_num(-9.))

scaling = [transforms.Standardize, transforms.RobustScale, transforms.Normalize, transforms.Clip, transforms.Log, transforms.PerSample]
augmenting = [augment.Jitter, augment.Scaling, augment.MagnitudeWarp, augment.ChannelDropout, augment.Cutout, augment.FrequencyMask, warp.TimeWarp,
    warp.Permutation, warp.WindowSlice, warp.WindowWarp, partial(warp.RandomCrop, 30), augment.MaskedSteps]

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('tfm', scaling)
def test_transforms_on_the_gpu_give_and_decode_what_they_do_on_the_cpu(tfm):
    data = dict(X=abs(filled((600,3,40))), y=np.arange(600.))
    here,there = (loaders_of(data, o, batch_tfms=tfm()) for o in ('cpu','cuda'))
    for (a,_),(b,_) in zip(here.valid, there.valid, strict=True):
        assert b.is_cuda and torch.allclose(a, b.cpu(), rtol=1e-4, atol=1e-5)
        a,b = (o.after_batch.decode((p,))[0] for o,p in ((here,a),(there,b)))
        assert torch.allclose(a, b.cpu(), rtol=1e-4, atol=1e-5)

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('tfm', augmenting)
def test_augmentations_on_the_gpu_are_seeded_and_leave_validation_alone(tfm):
    data = dict(X=filled((600,3,40)))
    def made(tfm):
        torch.manual_seed(0)
        dls = loaders_of(dict(data, y=data['X']), 'cuda', batch_tfms=tfm)
        return [[flat(b) for b in dl] for dl in dls.loaders]
    a,b,plain = made(tfm()),made(tfm()),made(None)
    for o,p in zip(*([t for dl in m for batch in dl for t in batch] for m in (a,b)), strict=True):
        assert o.is_cuda and torch.equal(o.nan_to_num(-9.), p.nan_to_num(-9.))
    assert not torch.equal(a[0][0][0], plain[0][0][0])
    if tfm in augmenting[:-2]: assert torch.equal(a[1][0][0], plain[1][0][0]) # Those of validation are cropped, or hidden, too

@pytest.mark.gpu
@gpu
def test_predictions_on_the_gpu_go_to_disk(tmp_path):
    data = dict(X=stored(tmp_path, filled((3000,3,40))), y=np.arange(3000.))
    net,res = nn.Sequential(nn.Flatten(), nn.Linear(120, 1)),[]
    for o in ('cpu','cuda'):
        dls = loaders_of(data, o)
        learn = Learner(dls, net.to(o), loss_func=MSELossFlat(), path=tmp_path)
        res.append(preds_to_disk(learn, dls.test_dl(data['X']), tmp_path/f'preds_{o}').preds)
    assert np.allclose(res[0], res[1], atol=1e-5) and np.allclose(res[1], learn.get_preds(dl=dls.test_dl(data['X']))[0], atol=1e-5)
