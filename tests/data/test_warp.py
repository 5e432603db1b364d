"Time moves as interpolation does it, and what is aligned with the series moves along, nothing else"
import copy
import numpy as np, pytest, torch
from fastai.callback.all import Callback, MixUp
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat, MSELossFlat
from fastai.torch_core import TensorCategory, set_seed
from hypothesis import given, strategies as st
from scipy.interpolate import CubicSpline
from torch import nn
from conftest import fails, filled, same
from test_augment import bare, clock, made, moving, ragged, series, wide
from tsdisk.data.batches import TensorTarget, TSInput, TSTensor
from tsdisk.data.transforms import Standardize
from tsdisk.data.warp import CutMixSteps, Permutation, RandomCrop, TimeWarp, WindowSlice, WindowWarp, resample
from tsdisk.series.windows import Windows

# Time

@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_resampling_is_interp_for_numbers_and_the_nearest_for_labels(steps, new, seed):
    rng = np.random.default_rng(seed)
    x,at = rng.normal(size=(3,2,steps)),rng.uniform(0, steps-1, (3,new))
    got = resample(torch.tensor(x), torch.tensor(at)).numpy()
    for i in range(3):
        for v in range(2): np.testing.assert_allclose(got[i,v], np.interp(at[i], np.arange(steps), x[i,v]), atol=1e-9)
    labels = rng.integers(0, 9, (3,steps))
    same(resample(torch.tensor(labels), torch.tensor(at)).numpy(), np.take_along_axis(labels, np.floor(at+.5).astype(int), 1))

@pytest.mark.parametrize('cls', moving)
def test_all_variables_move_by_the_same_clock_as_interp_does(cls):
    x = series(20)
    b = torch.cat([x, clock(20, 40)], 1).as_subclass(TSTensor)
    set_seed(0)
    got = cls(p=1)(b, split_idx=0).numpy()
    at = got[:,3]
    assert at.min() >= 0 and at.max() <= 39
    for o,p,a in zip(got, x.numpy(), at):
        for v in range(3): np.testing.assert_allclose(o[v], np.interp(a, np.arange(40), p[v]), atol=1e-3)

def test_time_warp_is_a_sum_of_speeds_between_fixed_ends():
    set_seed(0)
    at = TimeWarp(.4, knots=3).read_at(6, 50, 'cpu').numpy()
    set_seed(0)
    for row,knots in zip(at, 1 + .4*torch.randn(6, 5).numpy()):
        speed = np.maximum(CubicSpline(np.linspace(0, 49, 5), knots)(np.arange(50)), .1)
        want = np.append(0, np.cumsum(speed[1:]))
        np.testing.assert_allclose(row, want*49/want[-1], atol=1e-3)
    wild = TimeWarp(3.).read_at(50, 50, 'cpu')
    assert (wild.diff(dim=1) > 0).all() and torch.allclose(wild[:,[0,-1]], torch.tensor([0.,49.]))

@given(st.integers(1, 40), st.integers(2, 9))
def test_permutation_keeps_segments_whole(steps, segments):
    at = Permutation(segments).read_at(10, steps, 'cpu').numpy()
    ends = np.round(np.linspace(0, steps, segments+1)).astype(int)
    pieces = {tuple(range(a, b)) for a,b in zip(ends, ends[1:]) if b > a}
    for row in at:
        assert sorted(row) == [*range(steps)]
        left,i = set(pieces),0
        while i < steps:
            piece = next(o for o in left if o[0] == row[i])
            assert tuple(row[i:i+len(piece)]) == piece
            left.remove(piece)
            i += len(piece)

def test_a_slice_is_stretched_as_interp_does():
    x = series(10, 1, 30)
    set_seed(0)
    got = WindowSlice(.5, p=1)(x, split_idx=0)
    set_seed(0)
    for o,p,a in zip(got, x.numpy(), torch.randint(16, (10,1)).tolist()):
        np.testing.assert_allclose(o[0], np.interp(np.linspace(0, 14, 30), np.arange(15), p[0,a[0]:a[0]+15]), atol=1e-5)

def test_a_warped_window_has_its_scale_and_the_rest_its_order():
    at = WindowWarp(.2, (.5,)).read_at(50, 101, 'cpu').numpy()
    assert (np.diff(at) > 0).all() and np.allclose(at[:,0], 0, atol=1e-4) and np.allclose(at[:,-1], 100, atol=1e-3)
    assert abs(np.diff(at).max()/np.diff(at).min() - 2) < .01 # Inside it time runs twice as fast
    inside = np.diff(at) > 1.5*np.diff(at).min()
    assert set(inside.sum(1)) <= {10,11,12}

def test_crops_are_anywhere_in_training_and_in_the_middle_elsewhere():
    x = clock(500, 40)
    got = RandomCrop(10)(x, split_idx=0)[:,0]
    assert got.shape == (500,10) and (got.diff() == 1).all() and set(got[:,0].tolist()) == {*range(31)}
    assert (RandomCrop(10)(x, split_idx=1)[:,0] == torch.arange(15, 25)).all()
    y = np.arange(40)[:,None] + np.zeros(40, int)
    dls = made(RandomCrop(12, moves=True), np.float32(y[:,None]), y.astype('f4'))
    for dl in dls:
        for xb,yb in dl: assert xb.shape[1:] == (1,12) and torch.equal(bare(xb)[:,0], bare(yb))

@pytest.mark.parametrize('cls', moving)
def test_what_is_missing_moves_and_its_mask_with_it(cls):
    x = clock(16, 40).repeat(1, 2, 1)
    x[:,1,10] = np.nan
    dls = made(cls(p=1), x.numpy(), mask=True, splits=[range(16)], bs=16)
    xb,m = dls.train.one_batch()
    assert torch.equal(~xb.isnan(), bare(m))
    assert torch.equal(xb[:,1].isnan(), (xb[:,0] > 9) & (xb[:,0] < 11)) and not xb[:,0].isnan().any()

# What moves along

@pytest.mark.parametrize('cls', moving+[lambda **kw: RandomCrop(20)], ids=lambda o: getattr(o, '__name__', ''))
def test_labels_of_steps_and_reconstructions_move_along(cls):
    n,steps = 32,40
    x = clock(n, steps).numpy()
    labels = np.tile(np.arange(steps), (n,1))
    xb,yb = made(cls(p=1), x, labels, cat=True, splits=[range(n)]).train.one_batch()
    assert type(yb) is TensorCategory and torch.equal(bare(yb), (bare(xb[:,0])+.5).long())
    xb,yb = made(cls(p=1), x, x, splits=[range(n)]).train.one_batch()
    assert type(yb) is TensorTarget and torch.equal(bare(xb), bare(yb))

@pytest.mark.parametrize('cls', moving)
def test_windows_know_what_is_on_their_clock(cls):
    s = np.arange(4000, dtype='f4')
    w = Windows(s, size=40, horizon=40, stride=40)
    for xb,yb in made(cls(p=1), w).train: assert torch.equal(yb[:,0], bare(xb[:,0].min(1)[0].round()[:,None]//40*40 + 40 + torch.arange(40.)))
    w = Windows(s, size=40, stride=40)
    for y in (w, w.over(s+.5), w.over(s.astype('i4'))):
        for xb,yb in made(cls(p=1), w, y, cat=False).train:
            yb = bare(yb).reshape(xb.shape)
            assert (bare(xb) - yb).abs().max() <= .5+1e-3
    xb,kb,_ = made(cls(p=1), (w, w.over(s)), np.zeros(len(w), 'f4'), splits=[range(80),range(80, 100)]).train.one_batch()
    assert type(kb) is TSInput and torch.allclose(bare(xb).reshape(-1), bare(kb).reshape(-1))

@pytest.mark.parametrize('every', [2,5])
@pytest.mark.parametrize('tfm', [WindowSlice(.5, p=1),RandomCrop(20),Permutation(4, p=1)], ids=repr)
def test_labels_of_several_steps_are_those_in_their_middle(every, tfm):
    s = np.arange(4000)
    w = Windows(s.astype('f4'), size=40, stride=40)
    dls = made(copy.deepcopy(tfm), w, w.over(s[::every]//every, every=every), cat=True, vocab=range(4000//every))
    assert dls.train.after_batch[0].every == [1,every]
    for xb,yb in dls.train:
        mid = bare(xb[:,0,every//2::every])
        assert ((bare(yb)*every - mid).abs() <= every).all()
        if type(tfm) is not WindowSlice: assert torch.equal(bare(yb), mid.long()//every)

@pytest.mark.parametrize('every', [2,5,40])
def test_labels_of_arrays_move_at_their_own_rate(every):
    n,steps = 32,40
    x,labels = clock(n, steps).numpy(),np.tile(np.arange(steps//every), (n,1))
    for tfm in (Permutation(4, p=1), RandomCrop(20 if every < 40 else 7)):
        dls = made(tfm, x, labels, cat=True, splits=[range(n)])
        xb,yb = dls.train.one_batch()
        assert dls.train.after_batch[0].every == [1, every if every < 40 else 0]
        if every < 40: assert torch.equal(bare(yb), bare(xb[:,0,every//2::every]).long()//every)
    for kind in (labels.astype('f4'), np.zeros((n,3), 'f4')): assert made(Permutation(4), x, kind).train.after_batch[0].every == [1,0]
    assert made(Permutation(4), (x, np.full((n,3), 'a')), labels[:,0]).train.after_batch[0].every == [1,0,0]

def test_labels_that_fit_no_steps_are_refused():
    x,labels = wide(),np.zeros((len(wide()),9), int)
    with fails(ValueError, '9 labels for 40 steps', 'moves=False'): made(TimeWarp(), x, labels, cat=True)
    assert made(TimeWarp(moves=False), x, labels, cat=True).train.after_batch[0].every == [1,0]

def test_a_forecast_of_arrays_has_to_be_told_apart():
    x = wide()
    with fails(ValueError, 'moves=True', 'moves=False', '40 steps'): made(TimeWarp(), x, x.copy())
    with fails(ValueError, 'moves=True'): made(RandomCrop(20), x[..., :20], x[..., 20:])
    xb,yb = made(TimeWarp(p=1, moves=False), x, x.copy(), shuffle=False, splits=[range(8)]).train.one_batch()
    assert not torch.equal(bare(xb), bare(yb))
    same(yb.numpy(), x[:8])
    xb,yb = made(TimeWarp(p=1, moves=True), x, x.copy()).train.one_batch()
    assert torch.equal(bare(xb), bare(yb))
    with fails(ValueError, 'batch_tfms'): TimeWarp(p=1)((series(), TensorTarget(series())), split_idx=0)

def test_crops_and_labels_of_several_steps_fit():
    w = Windows(np.arange(400, dtype='f4'), size=40)
    with fails(ValueError, 'multiple', 'got 22'): made(RandomCrop(22), w, w.over(np.arange(100)%3, every=4), cat=True)

# Two samples in one

class Seen(Callback):
    "The batches a model gets"
    order = 100
    def before_fit(self): self.xs,self.ys = [],[]
    def after_pred(self):
        if self.training: self.xs.append(self.x.clone()), self.ys.append(self.y.clone())

def train(dls, loss, cb, c=1, net=None, epochs=1):
    net = net or nn.Sequential(nn.Flatten(), nn.LazyLinear(c))
    with torch.no_grad(): net(dls.one_batch()[0])
    learn = Learner(dls, net, loss_func=loss, cbs=[cb,Seen()])
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, 1e-2)
    assert np.isfinite([float(o) for o in learn.recorder.losses]).all() and np.isfinite(learn.recorder.values[-1]).all()
    return learn

@pytest.mark.parametrize('cb', [MixUp,CutMixSteps])
@pytest.mark.parametrize('y,c', [(np.arange(40)%3,3), (filled(40),1), (filled((40,2)),2)], ids=['labels','numbers','pairs'])
def test_mixed_samples_train(cb, y, c):
    learn = train(made(Standardize(), y=y), None, cb(), c)
    assert type(learn.loss_func) is type(learn.dls.train_ds.loss_func)

def test_cut_and_mix_stretches_of_one_other_sample():
    x = np.repeat(np.arange(40.), 30).reshape(40, 1, 30).astype('f4')
    set_seed(0)
    learn = train(made(None, x, x[:,0,0].copy(), shuffle=False, splits=[range(32),range(32, 40)], bs=32), MSELossFlat(), CutMixSteps())
    xb,yb = learn.seen.xs[0],learn.seen.ys[0]
    for i,(row,y) in enumerate(zip(xb[:,0].numpy(), yb.tolist())):
        foreign = np.flatnonzero(row != i)
        assert len({*row[foreign]}) <= 1 and (not len(foreign) or np.ptp(foreign)+1 == len(foreign)) and abs(row.mean()-y) < 1e-4
    share = (xb[:,0] != torch.arange(32)[:,None]).float().mean(1)
    assert share.std() > .15 and .2 < share.mean() < .8

def test_cut_mix_weighs_the_losses_of_labels_by_steps():
    x,y = np.repeat(np.float32([0,1]*20), 50).reshape(40, 1, 50),np.array([0,1]*20)
    net = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(1, 2))
    dls,cb = made(None, x, y),CutMixSteps()
    learn = train(dls, CrossEntropyLossFlat(), cb, net=net)
    xb,own = learn.seen.xs[-1],learn.seen.ys[-1]
    ones = bare(own)*cb.lam + bare(cb.yb1[0])*(1-cb.lam)
    assert torch.allclose(bare(xb).mean((1,2)), ones, atol=1e-5)

def test_cut_mix_cuts_targets_of_steps_as_well():
    x = np.arange(40*30).reshape(40, 1, 30).astype('f4')
    net = lambda c: nn.Conv1d(1, c, 1)
    learn = train(made(None, x, x), MSELossFlat(), CutMixSteps(), net=net(1))
    assert all(torch.equal(bare(a), bare(b)) for a,b in zip(learn.seen.xs, learn.seen.ys))
    labels = (x[:,0]%7).astype('i8')
    learn = train(made(None, x, labels, cat=True), None, CutMixSteps(), net=net(7))
    assert all(torch.equal(bare(a)[:,0]%7, bare(b).float()) for a,b in zip(learn.seen.xs, learn.seen.ys))
    assert (torch.cat(learn.seen.xs).diff(dim=-1) != 1).any()

def test_cut_mix_cuts_masks_and_refuses_what_it_cannot_know():
    x = wide()
    x[:,0,5:9] = np.nan
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(1, 1)
        def forward(self, x, m):
            assert torch.equal(~x.isnan(), bare(m))
            return self.lin(x.nan_to_num(0).mean((1,2))[:,None])
    dls = made(None, x, filled(40), mask=True)
    learn = Learner(dls, Net(), loss_func=MSELossFlat(), cbs=CutMixSteps())
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    with fails(ValueError, 'moves=True'): train(made(None, wide(), wide()), MSELossFlat(), CutMixSteps(), net=nn.Conv1d(3, 3, 1))
    with fails(ValueError, 'padding'): Learner(made(None, ragged(), filled(30)), nn.Linear(1, 1), loss_func=MSELossFlat(), cbs=CutMixSteps()).fit(1)
