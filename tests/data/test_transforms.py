"Transforms are those of plain numpy with the statistics of the training rows, come back exactly, and survive export"
from copy import deepcopy
import warnings, numpy as np, pytest, torch
from fastai.basics import Learner, TensorCategory, load_learner
from fasttransform import Transform
from torch import nn
from conftest import fails, filled, ramp, same
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import save_array
from tsdisk.data.batches import TensorTarget, TSTensor
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.stats import array_stats
from tsdisk.series.ragged import Ragged
from tsdisk.series.ragged_files import open_ragged, save_ragged
from tsdisk.data.transforms import Clip, DropMissing, FillNaN, Log, Normalize, PerSample, Power, RevIN, RobustScale, Standardize, StandardizeTarget
from tsdisk.series.windows import Windows

train = range(150)
def raw(): return (filled((200,3,40)).astype('f8')**3*[[1],[50],[.01]]+[[0],[1000],[3]]).astype('f4')
def loaders(x, tfms, y=None, **kwargs):
    splits = [train,range(150, 200)]
    return TSDataLoaders.from_arrays(x, y, splits=splits, bs=30, shuffle=False, drop_last=False, device='cpu', batch_tfms=tfms, **kwargs)
def all_of(dl): return np.concatenate([b[0].numpy().copy() for b in dl])

def over(f, x, *args): return f(x[:150].astype('f8').swapaxes(0, 1).reshape(3, -1), *args, axis=1)[:,None]

by_hand = {}
by_hand['Standardize'] = Standardize(), lambda x: (x-over(np.mean, x))/over(np.std, x)
by_hand['RobustScale'] = RobustScale(), lambda x: (x-over(np.median, x))/(over(np.quantile, x, .75)-over(np.quantile, x, .25))
by_hand['Normalize'] = Normalize(), lambda x: (x-over(np.min, x))/(over(np.max, x)-over(np.min, x))
by_hand['to_a_range'] = Normalize(low=-1, high=3), lambda x: (x-over(np.min, x))/(over(np.max, x)-over(np.min, x))*4-1
by_hand['Log'] = Log(2.), lambda x: np.sign(x)*np.log1p(abs(x)/2)
by_hand['Power'] = Power(1/3), lambda x: np.cbrt(x)
by_hand['Clip'] = Clip(share=.01), lambda x: np.clip(x, over(np.quantile, x, .01), over(np.quantile, x, .99))
by_hand['limits'] = Clip(low=[-1,0,2.5], high=5), lambda x: np.clip(x, [[-1],[0],[2.5]], 5)
by_hand['PerSample'] = PerSample(), lambda x: (x-x.mean(-1, keepdims=True))/x.std(-1, keepdims=True)
by_hand['of_all'] = PerSample(by='all'), lambda x: (x-x.mean((1,2), keepdims=True))/x.std((1,2), keepdims=True)

@pytest.mark.parametrize('name', by_hand)
@pytest.mark.parametrize('kind', ['memory','disk','int16'])
def test_they_are_those_of_numpy(name, kind, tmp_path):
    x,(tfm,want) = raw(),by_hand[name]
    tfm,kwargs = deepcopy(tfm),{}
    if kind == 'disk': x = save_array(tmp_path/'x.npy', x)
    if kind == 'int16': x,kwargs = filled((200,3,40), 'i2'),dict(packing=Packing([.1,2,.01]))
    dls = loaders(x, tfm, **kwargs)
    there = np.asarray(x).astype('f8')*(np.array([[.1],[2],[.01]]) if kind == 'int16' else 1)
    for dl,part in ((dls.train, there[:150]), (dls.valid, there[150:])):
        got,expected = all_of(dl),want(there)[:150] if dl is dls.train else want(there)[150:]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3*max(1, abs(expected).std()))
        b, = next(iter(dl))
        if not isinstance(tfm, Clip): np.testing.assert_allclose(dl.after_batch.decode((b,))[0].numpy(), part[:30], rtol=2e-3, atol=1e-3*abs(part).max())

def test_missing_values_stay_so_and_do_not_count():
    x = raw()
    x[3,1,:20] = np.nan
    for tfm in (RobustScale(),Normalize()):
        with pytest.warns(UserWarning, match='are NaN'): got = all_of(loaders(x, tfm).train)
        assert np.isnan(got[3,1,:20]).all() and np.isnan(got).sum() == 20
    got = all_of(loaders(x, [PerSample(),FillNaN()]).train)
    assert not np.isnan(got).any() and np.isclose(got[3,1,20:].std(), 1, atol=1e-3)

def test_flat_variables_are_only_shifted():
    x = np.full((200,1,40), 7, 'f4')
    for tfm,want in ((RobustScale(),0), (Normalize(),0), (Normalize(low=-1, high=1),-1), (PerSample(),0)): assert (all_of(loaders(x, tfm).train) == want).all()

def test_the_median_of_a_variable_that_never_changes_is_its_value():
    for v in (.1, 101_325.3, 1e-20): assert array_stats(np.full((9,1,9), v)).median == v

def test_robust_scale_with_huge_outliers_and_with_equal_quartiles():
    x = np.random.default_rng(0).normal(100, 1, (200,2,40))
    x[:,1] = np.where(x[:,1] > 101, x[:,1]*1000, 0)
    x[3,0,5] = 1e12
    got = all_of(loaders(x, RobustScale()).train)
    iqr,std = np.subtract(*np.quantile(x[:150,0], [.75,.25])), x[:150,1].std()
    np.testing.assert_allclose(got[:,0], (x[:150,0]-np.median(x[:150,0]))/iqr, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got[:,1], x[:150,1]/std, rtol=1e-4)

@pytest.mark.parametrize('bad', [lambda: Normalize(low=1, high=1), lambda: Log(0), lambda: Power(-1), lambda: Clip(share=.5), lambda: PerSample(by='steps')])
def test_bad_options_are_refused(bad):
    with fails(ValueError, 'got'): bad()

def test_transforms_without_statistics_say_so():
    for tfm in (RobustScale(),Clip()):
        with fails(ValueError, 'batch_tfms'): tfm(TSTensor(torch.ones(2,3,4)))
    with fails(ValueError, 'targets that are numbers'): loaders(raw(), StandardizeTarget(), ['a','b']*100)

# Targets

class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)

    def forward(self, x): return self.lin(x.mean(-1))

def test_targets_come_back_in_their_units(tmp_path):
    x = raw()
    y = x[:,1:,-1]*100
    dls = loaders(x, [Standardize(),StandardizeTarget()], y)
    ys = torch.cat([b[1] for b in dls.train]).numpy()
    np.testing.assert_allclose(ys, (y[:150]-y[:150].astype('f8').mean(0))/y[:150].astype('f8').std(0), atol=1e-4)
    learn = Learner(dls, Mean(), path=tmp_path)
    learn.fit(1)
    preds,targs,dec = learn.get_preds(with_decoded=True)
    want = dls.after_batch.decode((dls.valid.one_batch()[0], TensorTarget(preds)))[1]
    np.testing.assert_allclose(dec.numpy(), want.numpy(), rtol=1e-3)
    np.testing.assert_allclose(dls.after_batch.decode((TensorTarget(targs),))[0].numpy(), y[150:], rtol=1e-3)
    one,_,_ = learn.predict(x[150])
    np.testing.assert_allclose(np.array(one), want[0].numpy(), rtol=1e-3)
    learn.export(tmp_path/'m.pkl')
    np.testing.assert_allclose(np.array(load_learner(tmp_path/'m.pkl').predict(x[150])[0]), want[0].numpy(), rtol=1e-3)

def test_each_variable_of_a_forecast_has_its_own_scale():
    series = np.cumsum(np.random.default_rng(0).normal(size=(2000,3)), 0)*[1,100,.01]
    dls = TSDataLoaders.from_arrays(Windows(series.astype('f4'), 20, horizon=5, targets=[2,1]), bs=64, device='cpu', batch_tfms=StandardizeTarget())
    x,y = dls.train.one_batch()
    assert y.shape == (64,2,5)
    every = torch.cat([b[1] for b in dls.train])
    assert abs(every.mean((0,2))).max() < .3 and abs(every.std((0,2))-1).max() < .3
    d = dls.after_batch.decode((x,y))[1]
    assert abs(d[:,1]).mean() > 1000*abs(d[:,0]).mean()

# RevIN

def test_a_forecast_comes_back_to_the_level_of_its_input():
    class Seen(nn.Module):
        def forward(self, x):
            self.x = x
            return x[...,-5:]
    x = torch.randn(8,3,50)*torch.tensor([[1.],[100],[.01]])+1000
    for kwargs in ({}, dict(affine=3)):
        m = RevIN(Seen(), **kwargs)
        assert torch.allclose(m(x), x[...,-5:], rtol=1e-4)
        assert abs(m.model.x.mean(-1)).max() < .05 and abs(m.model.x.std(-1, correction=0)-1).max() < .05
    assert {n for n,_ in RevIN(Seen(), affine=3).named_parameters()} == {'weight','bias'}
    with fails(ValueError, 'give the `vars`'): RevIN(lambda z: z[:, :1])(x)

def test_revin_learns_where_levels_drift(tmp_path):
    series = (np.cumsum(np.random.default_rng(0).normal(size=(3000,1)), 0)*50).astype('f4')
    dls = TSDataLoaders.from_arrays(Windows(series, 20, horizon=3), bs=64, device='cpu', seed=0)
    learn = Learner(dls, RevIN(nn.Linear(20, 3)), lr=1e-2, path=tmp_path)
    learn.fit(2)
    err = (learn.get_preds()[0]-learn.get_preds()[1]).abs().mean()
    assert err < 150, err

def test_what_is_mostly_missing_is_dropped_from_training_batches_alone():
    x = filled((120,3,40)).astype('f4')
    x[::4,:,15:],x[1::4,:2] = np.nan,np.nan # 3/8 and 1/3 are there
    def pass_(least, part):
        dls = TSDataLoaders.from_arrays(x, np.arange(120.), splits=[range(80),range(80, 120)], bs=16, seed=0, device='cpu',
            batch_tfms=[FillNaN(),DropMissing(least)])
        batches = list(dls.loaders[part])
        assert all(len(a) == len(b) and not a.isnan().any() and type(a) is TSTensor and type(b) is TensorTarget for a,b in batches)
        return sorted(int(o) for _,b in batches for o in b)
    share = (~np.isnan(x)).mean((1,2))
    for least in (.2,.35,.4): assert pass_(least, 0) == [i for i in range(80) if share[i] >= least]
    assert pass_(.4, 1) == [*range(80, 120)]
    x[:80,:,1:] = np.nan
    assert len(pass_(.5, 0)) == 5 and len(pass_(.008, 0)) == 80 # One of each batch; of 120 values, one is there
    x[:79] = np.nan
    assert pass_(1e-7, 0)[-1] == 79 and len(pass_(1e-7, 0)) == 5
    with fails(ValueError, '`min_valid`'): DropMissing(0)

def test_what_is_dropped_is_known_and_never_dropped_from_predictions():
    x = filled((60,2,10)).astype('f4')
    x[::3] = np.nan
    dls = TSDataLoaders.from_arrays(x, np.arange(60.), splits=[range(48),range(48, 60)], bs=16, seed=0, device='cpu', batch_tfms=[DropMissing(),FillNaN()])
    rows = []
    for _,y in dls.train:
        assert dls.train.idxs.tolist() == y.tolist() == dls.train.input_idxs.tolist()
        rows += y.tolist()
    assert sorted(rows) == [i for i in range(48) if i%3]
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(20, 1), nn.Flatten(0)), loss_func=nn.MSELoss())
    preds,targs = learn.get_preds(ds_idx=0)
    assert len(preds) == 48 and targs.tolist() == [*range(48)]
    for dl in dls.loaders:
        with torch.no_grad(): assert sum(len(y) for _,y in dl) == len(dl.dataset)
    assert DropMissing()(TSTensor(torch.full((3,2), torch.nan)), split_idx=0).shape == (1,2)

def test_padding_is_not_what_is_missing(tmp_path):
    series = [np.full((2,k), v, 'f4') for k,v in ((10,1),(40,2),(40,3))]
    series[2][:,5:] = np.nan
    for value in (0,np.nan):
        save_ragged(tmp_path/'r', series)
        dls = TSDataLoaders.from_arrays(open_ragged(tmp_path/'r', value=value), [0.,1,2], splits=[range(3),[]], bs=3, device='cpu', batch_tfms=[DropMissing(.5)])
        with fails(ValueError, '`mask=False`'):
            TSDataLoaders.from_arrays(open_ragged(tmp_path/'r'), mask=False, splits=[range(3),[]], bs=3, device='cpu', batch_tfms=[DropMissing(.5)])
        x,mask,y = dls.train.one_batch()
        assert sorted(y.tolist()) == [0,1] and len(mask) == 2 and sorted(mask.sum(1).tolist()) == [10,40]

# Standardize in a loader

def test_decoding_is_exact_and_knows_no_batch():
    x = filled((300,3,40))*np.float32([[1],[50],[1e-3]]) + np.float32([[0],[1000],[5]])
    dls = TSDataLoaders.from_arrays(x, splits=[range(200),range(200, 300)], bs=50, shuffle=False, device='cpu', batch_tfms=Standardize())
    first = dls.valid.one_batch()
    list(dls.train)
    for b,want in ((first, x[200:250]), (dls.test_dl(x[7:8]).one_batch(), x[7:8])):
        np.testing.assert_allclose(dls.valid.decode(b)[0].numpy(), want, rtol=2e-6, atol=2e-6)
    same(dls.test_dl(x[7:8]).one_batch()[0].numpy(), dls.train.new(shuffle=False).one_batch()[0][7:8].numpy())

def test_series_targets_are_not_standardized():
    x = filled((50,2,10))*5+3
    dls = TSDataLoaders.from_arrays(x, x[:, :1], bs=50, shuffle=False, splits=[range(50)], device='cpu', batch_tfms=Standardize())
    same(dls.one_batch()[1].numpy(), x[:, :1])

kinds_of_input = dict(same=lambda x: x, spread=lambda x: x[:, :1].expand(-1, 2, -1), ints=lambda x: (x*9).long(), view=lambda x: x.flip(-1)[..., ::2])

@pytest.mark.parametrize('kind', kinds_of_input)
def test_standardize_takes_what_earlier_transforms_give(kind):
    x,st,f = filled((50,2,10))*5+3,array_stats(filled((50,2,10))*5+3),kinds_of_input[kind]
    dls = TSDataLoaders.from_arrays(x, tfms=[f], bs=50, shuffle=False, splits=[range(50)], device='cpu', batch_tfms=Standardize(st))
    np.testing.assert_allclose(dls.one_batch()[0], (f(torch.tensor(x)).numpy()-st.mean[:,None])/st.std[:,None], rtol=1e-4, atol=1e-4)

@pytest.mark.parametrize('where', ['batch_tfms','tfms'])
def test_what_a_transform_keeps_is_not_changed_by_later_ones(where):
    kept = []
    def keep(x):
        if isinstance(x, TSTensor): kept.append(x)
        return x
    x = filled((50,2,10))*5+3
    kw = dict(tfms=[keep], batch_tfms=Standardize()) if where == 'tfms' else dict(batch_tfms=[keep,Standardize()])
    dls = TSDataLoaders.from_arrays(x, bs=10, shuffle=False, splits=[range(50)], device='cpu', **kw)
    for _ in range(2):
        kept.clear()
        assert all(abs(b[0].mean()) < 1 for b in dls.train)
        same(torch.cat(kept).numpy(), x)

def test_batch_transforms_run_in_order_and_decode():
    class Half(Transform):
        order = 100
        def encodes(self, x:TSTensor): return x/2
        def decodes(self, x:TSTensor): return x*2
    x = filled((50,2,10))*5+3
    dls = TSDataLoaders.from_arrays(x, ['a','b']*25, bs=50, shuffle=False, splits=[range(50)], device='cpu', batch_tfms=[Half(),Standardize()])
    assert [type(o).__name__ for o in dls.after_batch.fs] == ['Standardize','Half']
    b = dls.one_batch()
    np.testing.assert_allclose(b[0].std((0,2), correction=0), [.5,.5], rtol=1e-3)
    np.testing.assert_allclose(dls.decode(b)[0], x, rtol=1e-4, atol=1e-4)
    assert type(b[0]) is TSTensor and type(b[1]) is TensorCategory and dls.decode_batch(b)[1][1] == 'b'
    dls.add_tfms([Half()], 'after_batch')
    np.testing.assert_allclose(dls.one_batch()[0], b[0]/2)

class Clipped(Standardize):
    def encodes(self, x:TSTensor): return super().encodes(x).clamp(-1, 1)

def test_a_subclass_of_a_transform_is_used():
    dls = TSDataLoaders.from_arrays(ramp(50), bs=10, batch_tfms=Clipped())
    assert dls.one_batch()[0].abs().max() == 1

def test_standardized_batches_are_apart_for_autograd():
    dls = TSDataLoaders.from_arrays(ramp(50), bs=10, batch_tfms=Standardize(), shuffle=False, splits=[range(50),[]])
    w = torch.ones(6, requires_grad=True)
    xs = [o[0].as_subclass(torch.Tensor).flatten(1) for o in dls.train]
    sum((x*w).sum() for x in xs).backward()
    np.testing.assert_allclose(w.grad, torch.cat(xs).sum(0), atol=1e-4)

def test_standardize_uses_its_memory_again_and_never_too_early():
    dls = TSDataLoaders.from_arrays(ramp(200), bs=10, batch_tfms=Standardize(), shuffle=False, splits=[range(200),[]])
    kept = [o[0].clone() for o in dls.train]
    for a,b in zip(kept, [o[0] for o in dls.train]): same(a.numpy(), b.numpy())
    places = {o[0].data_ptr() for o in dls.train}
    assert len(places) <= 3

@pytest.mark.parametrize('tfms', [[Standardize(),FillNaN()], [FillNaN(-1.),RobustScale()], [Standardize(),FillNaN(),DropMissing()]], ids=['standardize','robust','drop'])
def test_nans_that_are_filled_cause_no_warning(recwarn, tfms):
    a = raw()
    a[::3,0,:2] = np.nan
    assert not loaders(a, tfms).train.one_batch()[0].isnan().any()
    assert not [o for o in recwarn if 'NaN' in str(o.message)]

# Missing values of further inputs

class Sum(nn.Module):
    "A model of any inputs"
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))
    def forward(self, *inputs): return self.w*sum(o.float().flatten(1).sum(1) for o in inputs)[:,None]

def windows(**missing):
    "Windows with the known variable 1, and static values; NaN in the arrays that are named"
    x,static = filled((300,2)),filled((1,3))
    if 'X' in missing: x[::9,0] = np.nan
    if 'known' in missing: x[::9,1] = np.nan
    if 'static' in missing: static[0,2] = np.nan
    return Windows(x, 12, horizon=1, sel_vars=[0], targets=[0] if 'X' not in missing else [1], known=[1], static=static)

def told(X, tfms, y=None):
    "(words of warnings when loaders are made, in training)"
    res = []
    for _ in range(2): res.append(warnings.catch_warnings(record=True))
    with res[0] as made:
        warnings.simplefilter('always')
        dls = TSDataLoaders.from_arrays(X, y, splits=[range(200), range(250, 280)], bs=20, seed=0, device='cpu', batch_tfms=tfms)
    with res[1] as trained:
        warnings.simplefilter('always')
        learn = Learner(dls, Sum(), loss_func=nn.MSELoss() if y is not None else dls.loss_func)
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-6)
    words = [' '.join(str(o.message) for o in found if 'NaN' in str(o.message)) for found in (made,trained)]
    return (*words, bool(learn.recorder.losses[-1].isnan()))

@pytest.mark.parametrize('name', ['known','static'])
def test_missing_values_of_further_inputs_are_told_and_filled(name):
    made,trained,is_nan = told(windows(**{name: True}), Standardize())
    assert f'of the values of the input `{name}` are NaN' in made and f'values are missing (NaN) in `{name}`: add `FillNaN()`' in trained and is_nan
    assert told(windows(**{name: True}), [Standardize(),FillNaN()]) == ('', '', False)

def test_missing_values_of_a_second_array_are_told_and_filled():
    x,more,y = filled((300,2,8)),filled((300,4)),np.ones((300,1), 'f4')
    more[::3,1] = np.nan
    made,trained,is_nan = told((x,more), Standardize(), y)
    assert 'the input `X1` are NaN' in made and 'in `X1`:' in trained and 'loss_func' not in trained and is_nan
    assert told((x,more), [FillNaN(),Standardize()], y) == ('', '', False)

def test_missing_series_are_named_and_missing_targets_are_not_blamed():
    x,y = filled((300,2,8)),np.ones((300,1), 'f4')
    x[::3,1],y[::5] = np.nan,np.nan
    assert 'in `X`:' in told(x, None, y)[1] and 'targets' not in told(x, None, y)[1]
    assert 'some targets are missing' in told(x, FillNaN(), y)[1]

def test_fill_has_a_number_for_series_and_one_for_further_inputs():
    x,more = np.full((4,1,3), np.nan, 'f4'),np.full((4,2), np.nan, 'f4')
    for tfm,want in ((FillNaN(7.), (7,7)), (FillNaN(inputs=-1.), (0,-1))):
        a,b = TSDataLoaders.from_arrays((x,more), splits=[range(4),range(0)], bs=4, device='cpu', batch_tfms=tfm).train.one_batch()
        assert (a == want[0]).all() and (b == want[1]).all()

# Padding

def unequal(value=0.):
    xs = [filled((2,n))*5+3 for n in (10,30,17,22,9,14,25,12)]
    return Ragged(np.concatenate(xs, 1).T.copy(), np.cumsum([0, *(o.shape[1] for o in xs)]), value=value), xs

@pytest.mark.parametrize('by', ['vars','all'])
def test_samples_are_scaled_without_their_padding(by):
    X,xs = unequal()
    dl = TSDataLoaders.from_arrays(X, splits=[range(8),[]], bs=4, shuffle=False, device='cpu', batch_tfms=PerSample(by=by)).train
    seen = 0
    for x,mask in dl:
        decoded = dl.after_batch.decode((x,mask))[0]
        for z,m,raw in zip(x, mask, decoded):
            z,m = z.numpy(),m.numpy()
            want = xs[seen].astype('f8')
            axes = 1 if by == 'vars' else (0,1)
            want = (want-want.mean(axes, keepdims=True))/want.std(axes, keepdims=True)
            np.testing.assert_allclose(z[:,m], want, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(raw.numpy()[:,m], xs[seen], rtol=1e-3, atol=1e-3)
            assert (z[:,~m] == 0).all() and (raw.numpy()[:,~m] == 0).all()
            seen += 1
    assert seen == 8

def test_padding_that_cannot_be_told_from_data_is_refused():
    with fails(ValueError, 'PerSample would take padding for data', '`mask=False`'):
        TSDataLoaders.from_arrays(unequal()[0], splits=[range(8),[]], mask=False, device='cpu', batch_tfms=PerSample())

def test_padding_of_nans_does_not_count():
    X,xs = unequal(np.nan)
    dl = TSDataLoaders.from_arrays(X, splits=[range(8),[]], mask=False, bs=8, shuffle=False, drop_last=False, device='cpu', batch_tfms=PerSample()).train
    x, = next(iter(dl))
    for z,raw in zip(x.numpy(), xs):
        there = ~np.isnan(z[0])
        assert there.sum() == raw.shape[1]
        np.testing.assert_allclose(z[:,there].std(1), 1, atol=1e-3)

@pytest.mark.parametrize('a,b', [(Clip(-10., 1.0000001), Clip(-10., 1.0000003)), (Log(.123456789), Log(.1234567)), (Power(.123456789), Power(.1234567))])
def test_the_repr_of_a_transform_tells_its_settings_apart(a, b): assert repr(a) != repr(b)
