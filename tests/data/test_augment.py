"Augmentations do what a loop over samples would, to the samples they should, and to nothing else"
import copy, pickle
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.callback.all import Callback
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.torch_core import TensorCategory, set_seed
from hypothesis import given, strategies as st
from scipy.interpolate import CubicSpline
from torch import nn
from conftest import fails, filled, same
from tsdisk.data.augment import Augment, ChannelDropout, Cutout, FrequencyMask, Jitter, MagnitudeWarp, MaskedSteps, Scaling
from tsdisk.data.batches import TensorTarget, TSMask, TSTensor, masked_mse
from tsdisk.data.datasets import TSDatasets
from tsdisk.train.checkpoint import Checkpoint
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.ragged import Ragged
from tsdisk.data.show import * # Registers how batches are drawn
from tsdisk.data.transforms import FillNaN, PerSample, Standardize
from tsdisk.data.warp import CutMixSteps, MoveSteps, Permutation, RandomCrop, TimeWarp, WindowSlice, WindowWarp

values = [Jitter,Scaling,MagnitudeWarp,ChannelDropout,Cutout,FrequencyMask]
moving = [TimeWarp,Permutation,WindowSlice,WindowWarp]

def series(n=16, v=3, steps=40, seed=0): return TSTensor(torch.tensor(filled((n,v,steps), seed=seed)))
def clock(n, steps): return TSTensor(torch.arange(steps).expand(n, 1, steps).float())
def bare(o): return torch.as_subclass(o, torch.Tensor)
def wide(n=40): return filled((n,3,40))
def made(tfm, x=None, y=None, **kw):
    kw = {**dict(bs=8, seed=0, device='cpu', batch_tfms=tfm), **kw}
    return TSDataLoaders.from_arrays(wide() if x is None else x, y, **kw)
def passed(dl): return [tuple(bare(o).clone() for o in b) for b in dl]
def equal(a, b): return len(a) == len(b) and all(torch.equal(o.nan_to_num(-9.), p.nan_to_num(-9.)) for c,d in zip(a, b) for o,p in zip(c, d))

# Which samples

@pytest.mark.parametrize('cls', values+moving)
def test_p_is_the_share_of_samples_that_are_changed(cls):
    x = series(400)
    changed = lambda p: (cls(p=p)(x, split_idx=0) != x).flatten(1).any(1)
    assert cls(p=0)(x, split_idx=0) is x
    at_all = changed(1).float().mean()
    assert at_all > {ChannelDropout: .4, Permutation: .9}.get(cls, .99)
    assert abs(changed(.3).float().mean() - .3*at_all) < .08

@pytest.mark.parametrize('cls', values+moving)
def test_the_batch_is_not_written_into_and_types_stay(cls):
    x = series()
    before = x.clone()
    y,m = TensorCategory(torch.arange(16)),TSMask(x > 0)
    b = (x,m,y)
    tfm = cls(p=.5)
    tfm.every = [1,1,0]
    res = tfm(b, split_idx=0)
    assert torch.equal(x, before) and [type(o) for o in res] == [TSTensor,TSMask,TensorCategory] and res[2] is y
    assert all(a.shape == o.shape and a.dtype == o.dtype for a,o in zip(res, b))

@pytest.mark.parametrize('cls', values+moving)
def test_same_seed_same_batches_and_validation_as_recorded(cls):
    runs = []
    for _ in range(2):
        set_seed(3)
        dls = made(cls())
        runs.append((passed(dls.train), passed(dls.valid)))
    plain = made(None)
    assert equal(runs[0][0], runs[1][0]) and equal(runs[0][1], runs[1][1])
    assert equal(runs[0][1], passed(plain.valid)) and not equal(runs[0][0], passed(plain.train))

@pytest.mark.parametrize('cls', values+moving)
def test_neither_numpy_nor_python_draw(cls):
    import random
    np.random.seed(0), random.seed(0)
    before = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    cls()(series(), split_idx=0)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])

def test_preloaded_data_is_never_changed():
    dls = made([o(p=1) for o in values+moving] + [MaskedSteps()], shuffle=False, splits=[range(32),range(32, 40)]).preload()
    passed(dls.train), passed(dls.train)
    dls.train.after_batch.fs.clear()
    got = torch.cat([o[0] for o in passed(dls.train)])
    same(got.numpy(), wide()[:32])

@pytest.mark.parametrize('cls', [*values, *moving, MaskedSteps])
def test_pickles_and_tells_its_amounts(cls):
    tfm = pickle.loads(pickle.dumps(copy.deepcopy(cls(share=.3) if cls is MaskedSteps else cls(p=.25))))
    assert repr(tfm).startswith(f'{cls.__name__}(') and ('share=0.3' if cls is MaskedSteps else 'p=0.25') in repr(tfm)

def test_orders_are_between_standardize_and_fill():
    dls = made([FillNaN(),MaskedSteps(),Jitter(),Standardize()])
    assert [type(o) for o in dls.after_batch.fs] == [Standardize,Jitter,MaskedSteps,FillNaN]

# Values

def test_jitter_and_scaling_have_the_deviation_they_are_given():
    x = series(200)
    d = Jitter(.5, p=1)(x, split_idx=0) - x
    assert abs(d.std()-.5) < .01 and abs(d.mean()) < .01
    by = Scaling(.3, p=1)(x, split_idx=0)/x
    assert torch.allclose(by, by[:,:,:1].expand_as(by), rtol=1e-3) and abs(by[:,:,0].std()-.3) < .03 and abs(by[:,:,0].mean()-1) < .04

def test_magnitude_warp_is_scipys_spline_for_each_sample_and_variable():
    x = series(5, 2, 33)
    set_seed(1)
    got = MagnitudeWarp(.4, knots=3, p=1)(x, split_idx=0)
    set_seed(1)
    knots = 1 + .4*torch.randn(5, 2, 5).numpy()
    for i in range(5):
        for v in range(2):
            curve = CubicSpline(np.linspace(0, 32, 5), knots[i,v])(np.arange(33))
            np.testing.assert_allclose(got[i,v], x[i,v].numpy()*curve, rtol=1e-4, atol=1e-5)

def test_channels_drop_whole_and_one_stays():
    zero = ChannelDropout(.6, p=1)(series(300, 5) + 10, split_idx=0) == 0
    assert (zero.any(-1) == zero.all(-1)).all() and not zero.all(1).any() and abs(zero[:,:,0].float().mean()-.6) < .05
    x = series(v=1)
    assert torch.equal(ChannelDropout(1, p=1)(x, split_idx=0), x)

@given(st.integers(1, 50), st.floats(.01, 1))
def test_cutout_is_one_stretch_of_all_variables(steps, share):
    x = TSTensor(torch.ones(8, 2, steps))
    zero = (Cutout(share, p=1)(x, split_idx=0) == 0).numpy()
    assert (zero[:,0] == zero[:,1]).all()
    for row in zero[:,0]: assert row.sum() == max(1, round(share*steps)) == np.ptp(np.flatnonzero(row))+1

@pytest.mark.parametrize('steps', [40,41])
def test_frequency_mask_removes_a_band_and_nothing_else(steps):
    x = series(32, 2, steps)
    before,after = (np.fft.rfft(np.asarray(o, 'f8')) for o in (x, FrequencyMask(.25, p=1)(x, split_idx=0)))
    for a,b in zip(before, after):
        gone = np.flatnonzero(abs(b[0]) < 1e-4)
        assert len(gone) == round(.25*20) == np.ptp(gone)+1 and gone[0] > 0 and (abs(b[:,gone]) < 1e-4).all()
        np.testing.assert_allclose(np.delete(b, gone, 1), np.delete(a, gone, 1), atol=1e-4)

# What is missing

@pytest.mark.parametrize('cls', values)
def test_what_is_missing_stays_so_and_does_not_spread(cls):
    x = series()
    miss = torch.rand(x.shape) < .1
    assert torch.equal(cls(p=1)(x.masked_fill(miss, np.nan), split_idx=0).isnan(), miss)

# Series of unequal lengths

def ragged(): return Ragged(filled((600,2)), np.cumsum([0]+[20,30,10]*10))

@pytest.mark.parametrize('cls', values[:-1])
def test_padding_stays_as_it_is(cls):
    for b in made(cls(p=1), ragged(), bs=8).train:
        x,m = (bare(o) for o in b)
        assert (x[~m[:,None].expand_as(x)] == 0).all() and (x[m[:,None].expand_as(x)] != 0).any()

@pytest.mark.parametrize('tfm', [*[o() for o in moving], RandomCrop(5), FrequencyMask()], ids=repr)
def test_padding_is_not_moved(tfm):
    with fails(ValueError, type(tfm).__name__, 'padding', 'Windows'): made(tfm, ragged())

def test_padding_must_be_known():
    with fails(ValueError, 'mask=False'): made(Jitter(), ragged(), mask=False)

# Arguments

@pytest.mark.parametrize('make,words', [(lambda: Jitter(-1), '`sigma` must be 0 or more, got -1'), (lambda: Jitter(p=1.5), '`p` must be a share'),
    (lambda: Cutout(0), '`share` must be above 0'), (lambda: WindowSlice(1.1), '`share`'), (lambda: TimeWarp(knots=.5), '`knots` must be a whole number'),
    (lambda: Permutation(1), '`segments` must be a whole number, at least 2, got 1'), (lambda: WindowWarp(scales=()), '`scales`'),
    (lambda: WindowWarp(scales=(0,1)), '`scales`'),
    (lambda: RandomCrop(0), '`size`'), (lambda: RandomCrop(50)(series(), split_idx=1), 'at most the 40 steps'), (lambda: MaskedSteps(1), '`share`'),
    (lambda: MaskedSteps(.8, 3), '`mean_length` must be at least 1/(1-share), 5 steps'), (lambda: CutMixSteps(0), '`alpha`')])
def test_amounts_without_sense_are_refused(make, words):
    with fails(ValueError, words): make()

def test_unknown_options_are_refused():
    with fails(TypeError, 'Jitter has no sgima'): Jitter(sgima=1)
    with fails(TypeError, 'p'): RandomCrop(5, p=.5)

def test_own_augmentations_are_a_method():
    class Flip(Augment):
        def change(self, x): return -x
    class Back(MoveSteps):
        def read_at(self, n, steps, device): return torch.arange(steps-1, -1, -1, device=device).expand(n, -1)
    x = series()
    assert torch.equal(Flip(p=1)(x, split_idx=0), -x) and torch.equal(Back(p=1)(x, split_idx=0), x.flip(-1))

# What is hidden

@pytest.mark.parametrize('together', [False,True])
def test_hidden_stretches_have_their_share_and_geometric_lengths(together):
    set_seed(0)
    hide = MaskedSteps(.2, 5, together).hidden(60, 4, 3000).numpy()
    assert abs(hide.mean()-.2) < .01 and (hide == hide[:,:1]).all() == together
    row = np.concatenate([np.r_[False, o, False] for o in hide[:,0]]).astype(int)
    d = np.diff(row)
    runs = np.flatnonzero(d == -1)-np.flatnonzero(d == 1)
    assert abs(runs.mean()-5) < .4
    for k in (1,2,5): assert abs((runs == k).mean() - .2*.8**(k-1)) < .02

@pytest.mark.parametrize('y', [None,'same','labels','masked'])
def test_the_target_is_what_was_hidden_and_only_that(y):
    x = wide()
    x[:,1,::7] = np.nan
    kw = dict(same=dict(y=x), labels=dict(y=np.arange(40)%2), masked=dict(mask=True)).get(y, {})
    dls = made([MaskedSteps(value=7.),FillNaN(-3.)], x, shuffle=False, splits=[range(32),range(32, 40)], **kw)
    for dl,rows in zip(dls, (x[:32],x[32:])):
        for i,b in enumerate(dl):
            assert len(b) == (3 if y == 'masked' else 2) and [type(o) for o in b] == [TSTensor,TSMask,TensorTarget][::1 if y == 'masked' else 2]
            raw,seen,target = torch.tensor(rows[8*i:8*i+8]),*(bare(o) for o in (b[0],b[-1]))
            hidden = ~target.isnan()
            assert torch.equal(target[hidden], raw[hidden]) and (seen[hidden] == 7).all() and (seen[raw.isnan()] == -3).all()
            rest = ~hidden & ~raw.isnan()
            assert torch.equal(seen[rest], raw[rest]) and 0 < hidden.float().mean() < .4

def test_validation_hides_the_same_in_each_epoch_and_draws_nothing():
    dls = made(MaskedSteps())
    a,state = passed(dls.valid),torch.get_rng_state()
    assert equal(a, passed(dls.valid)) and torch.equal(state, torch.get_rng_state())
    assert not equal(a, passed(made(MaskedSteps(seed=1)).valid))
    assert not equal(*(passed(made(MaskedSteps(), shuffle=False).train) for _ in range(2)))

def test_padding_is_not_hidden():
    for x,m,y in made(MaskedSteps(.5), ragged()).train: assert bare(y)[~bare(m)[:,None].expand_as(y)].isnan().all()

@pytest.mark.parametrize('y', [False,True])
def test_a_learner_trains_on_what_was_hidden(quiet, y):
    t = np.arange(60)
    x = np.sin(t/5 + np.random.default_rng(0).uniform(0, 6, (200,2,1))).astype('f4')
    dls = made([Standardize(),Jitter(),MaskedSteps(),FillNaN()], x, x if y else None, bs=25)
    set_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 16, 9, padding=4), nn.ReLU(), nn.Conv1d(16, 2, 1))
    learn = Learner(dls, net, loss_func=masked_mse)
    with learn.no_bar(), learn.no_logging(): learn.fit(8, 1e-2)
    train_loss,valid_loss = learn.recorder.values[-1]
    assert valid_loss < .5 and train_loss < .8*learn.recorder.values[0][0]
    xb,yb = dls.valid.one_batch()
    pred = torch.randn(xb.shape)
    there = ~bare(yb).isnan()
    assert torch.isclose(bare(masked_mse(pred, yb)), ((pred-bare(yb))[there]**2).mean())
    dls.show_batch(max_n=2)

# Together with fastai

@pytest.mark.parametrize('tfms', [[o(p=1) for o in values+moving], [RandomCrop(20)], [MaskedSteps()]], ids=['all','crop','hidden'])
def test_batches_can_be_shown(quiet, tfms):
    dls = made([Standardize(),*tfms], y=np.arange(40)%2 if tfms[-1].split_idx == 0 else None)
    for o in (dls, dls.test_dl(wide())):
        o.show_batch(max_n=2)
        assert sum(len(ax.lines) > 0 for ax in plt.gcf().axes) == 2

def test_new_rows_are_predicted_without_change():
    dls = made([Standardize(),*[o(p=1) for o in values+moving]], y=np.arange(40)%2)
    plain = made(Standardize(dls.after_batch[0].stats) if hasattr(dls.after_batch[0], 'stats') else Standardize(), y=np.arange(40)%2)
    assert equal(passed(dls.test_dl(wide())), passed(plain.test_dl(wide())))

def test_a_fit_that_was_stopped_goes_on_with_the_same_batches(tmp_path):
    class Stop(Callback):
        order = 1001
        def after_batch(self):
            if self.training and self.train_iter == 7: raise KeyboardInterrupt
    def fit(name, *cbs):
        set_seed(0)
        dls = made([Standardize(),*[o() for o in values+moving]], y=filled(40), path=tmp_path)
        learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(120, 1)), loss_func=MSELossFlat(), cbs=[Checkpoint(name, every=2),CutMixSteps(),*cbs])
        with learn.no_bar(), learn.no_logging(): learn.fit(3, 1e-2)
        return learn.model[1].weight.detach()
    whole = fit('a')
    with pytest.raises(KeyboardInterrupt): fit('b', Stop())
    assert torch.equal(fit('b'), whole)

def test_transforms_of_datasets_are_not_needed():
    ds = TSDatasets(wide(), np.arange(40)%2)
    xb,yb = TSDataLoaders.from_dsets(ds, bs=8, device='cpu', batch_tfms=TimeWarp(p=1)).train.one_batch()
    assert xb.shape == (8,3,40) and yb.shape == (8,)

@pytest.mark.parametrize('tfm', [Jitter(0., p=1), Jitter(0., p=.5), Scaling(0.), TimeWarp(0., p=1), [Scaling(0.),FillNaN()]], ids=str)
def test_batches_scaled_each_by_itself_still_decode(tfm):
    x = np.random.default_rng(0).normal(5, 3, (40,2,30)).astype('f4')
    tfms = [PerSample(), *(tfm if isinstance(tfm, list) else [tfm])]
    dls = TSDataLoaders.from_arrays(x, splits=[range(40),[]], bs=20, shuffle=False, device='cpu', batch_tfms=tfms)
    np.testing.assert_allclose(dls.train.decode(dls.train.one_batch())[0], x[:20], atol=1e-4)
