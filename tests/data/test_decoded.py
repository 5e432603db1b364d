"Predictions in the units of their targets, however they are asked for"
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import Learner, Transform, nn
from fastai.callback.progress import *
from fastai.interpret import Interpretation
from fasttransform import ItemTransform
from tsdisk.data.batches import DecodedTarget, TensorTarget
from tsdisk.data.learner import like_targets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.transforms import Standardize, StandardizeTarget
from tsdisk.disk.packing import Packing
from tsdisk.series.windows import Windows
from tsdisk.train.predict import preds_to_disk
from tsdisk.data.show import * # Registers how batches are drawn

class Net(nn.Module):
    def __init__(self, n_in, n_out, shape=()):
        super().__init__()
        self.lin,self.shape = nn.Linear(n_in, n_out),shape
    def forward(self, x): return self.lin(x.flatten(1)).reshape(len(x), *self.shape) if self.shape else self.lin(x.flatten(1))

class LogTarget(Transform):
    def encodes(self, y:TensorTarget): return y.log()
    def decodes(self, y:TensorTarget): return y.exp()

class ByInput(ItemTransform):
    "Scales a target by its own input"
    order = 99
    def encodes(self, b): return (b[0], TensorTarget(b[1] - self.level(*b))) if len(b) > 1 else tuple(b)
    def decodes(self, b): return b[0], TensorTarget(b[1] + self.level(*b))
    def level(self, x, y): return 100*x.as_subclass(torch.Tensor).mean((1,2)).reshape(-1, *[1]*(y.ndim-1))

X = np.random.default_rng(0).normal(size=(100,3,60)).astype('f4')
one,several,grid = (X.mean((1,2))*100+500, X.mean(2)*[1,10,100]+[0,500,900], (X[:,:2,:4]+5).astype('f4'))
series = (np.cumsum(np.random.default_rng(1).normal(size=(500,3)), 0)*[1,100,.01]).astype('f4')
def windows(**kw): return Windows(series, 20, horizon=4, stride=4, **kw)
counts = (series/np.abs(series).max(0)*30_000).astype('i2')
scaled = StandardizeTarget
cases = dict(number=((X, one), scaled(), Net(180, 1)), squeezed=((X, one), scaled(), nn.Sequential(Net(180, 1), nn.Flatten(0))),
    several=((X, several), scaled(), Net(180, 3)), plain=((X, several), None, Net(180, 3)), grid=((X, grid), scaled(), Net(180, 8)),
    both=((X, one), [Standardize(),scaled()], Net(180, 1)), log=((X, one), LogTarget(), Net(180, 1)),
    two=((X, one), [LogTarget(),scaled()], Net(180, 1)), by_input=((X, one), ByInput(), Net(180, 1)),
    forecast=((windows(),), scaled(), Net(60, 12, (3,4))), forecast_flat=((windows(),), scaled(), Net(60, 12)),
    forecast_some=((windows(targets=[2,1]),), scaled(), Net(60, 8, (2,4))), forecast_one=((windows(targets=[1]),), scaled(), Net(60, 4)))

def learner(name, **kw):
    data,tfms,model = cases[name]
    torch.manual_seed(0)
    dls = TSDataLoaders.from_arrays(*data, bs=16, seed=0, device='cpu', batch_tfms=tfms, **kw)
    learn = Learner(dls, model)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    return learn

def raw_input(learn, i): return learn.dls.valid_ds.tls[0].items[int(learn.dls.valid_ds.idxs[i])]

@pytest.mark.parametrize('name', cases)
def test_all_ways_to_decode_agree(tmp_path, name):
    learn = learner(name)
    dl = learn.dls.valid
    with learn.no_bar():
        preds,targs,dec = learn.get_preds(with_decoded=True)
        x,_,_,again,losses = learn.get_preds(with_input=True, with_decoded=True, with_loss=True)
        disk = preds_to_disk(learn, dl, tmp_path/'p', decoded=True, targs=True)
        singles = [learn.predict(np.asarray(raw_input(learn, i)))[0] for i in (0,5) if name != 'squeezed'] # fastai fails on a single number
    parts = [like_targets(o, learn.dls.valid_ds.target.items.shape[1:]).as_subclass(TensorTarget) for o in preds.split(16)]
    want = np.concatenate([dl.decode((b[0], o))[1].numpy() for b,o in zip(dl, parts)])
    assert type(dec) is DecodedTarget and len(dec) == len(dl.dataset) == len(losses)
    for o in (dec, again, disk.decoded): np.testing.assert_allclose(np.asarray(o).reshape(len(dec), -1), want.reshape(len(dec), -1), rtol=2e-4)
    for i,o in zip((0,5), singles): np.testing.assert_allclose(np.ravel(o), np.ravel(dec[i]), rtol=2e-3)
    assert torch.equal(targs, torch.cat([b[1] for b in dl])) and len(x) == len(dec)
    if name != 'plain': assert not np.allclose(np.ravel(preds), np.ravel(dec), rtol=.01)

@pytest.mark.parametrize('name', ['number','grid','forecast_flat','by_input'])
def test_results_are_shown_in_units(name):
    learn = learner(name)
    with learn.no_bar():
        dec = learn.get_preds(with_decoded=True)[-1]
        learn.show_results(shuffle=False, max_n=3)
        ax = plt.gcf().axes[0]
        if name in ('number','by_input'): assert ax.get_title().split(' → ')[1] == f'{float(dec[0]):.3g}'
        else: np.testing.assert_allclose([o.get_ydata() for o in ax.lines[-len(dec[0]):]], dec[0], rtol=1e-3)
        plt.close('all')
        interp = Interpretation.from_learner(learn)
        shown = interp[[0,1]][3]
        np.testing.assert_allclose(np.ravel(shown), np.ravel(dec[:2]), rtol=1e-3)
        np.testing.assert_allclose(np.ravel(learn.dls.valid.decode((learn.dls.valid.one_batch()[0][:2], shown))[1]), np.ravel(shown))
        interp.plot_top_losses(2)
        plt.close('all')

def test_forecasts_of_packed_integers_are_in_their_units():
    packing = Packing([.001,.1,.00001], [5,0,1])
    dls = TSDataLoaders.from_arrays(Windows(counts, 20, horizon=4, stride=4), bs=16, seed=0, device='cpu', packing=packing, batch_tfms=StandardizeTarget())
    learn = Learner(dls, Net(60, 12, (3,4)))
    with learn.no_bar(): preds,targs,dec = learn.get_preds(with_decoded=True)
    f = dls.after_batch.fs[0]
    np.testing.assert_allclose(dec, preds*f.std + f.mean, rtol=1e-4)
    stored = dls.valid_ds.tls[-1].items.gather(np.asarray(dls.valid_ds.idxs)[:3])
    np.testing.assert_allclose((targs[:3]*f.std + f.mean), packing.decode(stored), rtol=1e-3, atol=1e-3)

def test_categories_and_other_loaders_are_as_in_fastai():
    dls = TSDataLoaders.from_arrays(X, np.array([*'ab'*50]), bs=16, seed=0, device='cpu')
    learn = Learner(dls, Net(180, 2))
    with learn.no_bar(): preds,_,dec = learn.get_preds(with_decoded=True)
    assert dec.tolist() == preds.argmax(1).tolist()
    with learn.no_bar(): assert learn.get_preds(dl=[dls.valid.one_batch()], with_decoded=True)[2].tolist() == dec[:16].tolist()

def test_shuffled_loaders_decode_each_row_at_its_place():
    learn = learner('by_input')
    with learn.no_bar():
        a = learn.get_preds(with_decoded=True)[-1]
        b = learn.get_preds(dl=learn.dls.valid.new(shuffle=True, drop_last=False), with_decoded=True)[-1]
    np.testing.assert_allclose(a, b, rtol=1e-4)
