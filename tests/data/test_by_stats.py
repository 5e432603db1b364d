"Transforms learn from the training rows alone, as earlier transforms leave them, and say what they do not count"
import warnings
from types import SimpleNamespace
import numpy as np, pytest, torch
from fastai.basics import Learner, load_learner, noop
from fasttransform import Transform
from conftest import fails, filled, ramp, same
from test_transforms import all_of, loaders, Mean, raw, train
from tsdisk.data.batches import TensorTarget, TSTensor
from tsdisk.data.by_stats import is_spread, PointWise, sample_moments, uncounted_tfms
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.transforms import Clip, FillNaN, Log, Normalize, PerSample, RobustScale, Standardize, StandardizeTarget
from tsdisk.disk.arrays import save_array
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.stats import array_stats

def test_statistics_are_of_what_came_before(tmp_path):
    x = abs(raw())
    x[::7] *= 1000
    X = save_array(tmp_path/'x.npy', x)
    dls = loaders(X, [Standardize(),Log(.1),Clip(share=.02)])
    assert [type(o) for o in dls.after_batch.fs] == [Log,Clip,Standardize]
    z = all_of(dls.train).astype('f8')
    assert abs(z.mean((0,2))).max() < 1e-3 and abs(z.std((0,2))-1).max() < 1e-3
    again = loaders(X, [Standardize(),Log(.1),Clip(share=.02)])
    assert np.array_equal(all_of(again.train), all_of(dls.train))
    assert not np.allclose(all_of(loaders(X, [Standardize(),Log(5.),Clip(share=.02)]).train), z, atol=.05), 'kept by what was done before'

noise = np.random.default_rng(0).integers(-1, 2, (200,1,40))
flat = dict(tenth=np.full((200,1,40), .1), pascal=np.full((200,1,40), 101_325.3), pascal_f4=np.full((200,1,40), 101_325.3, 'f4'),
    noise=101_325.3*(1+noise*2.**-52), noise_f4=(np.float32(101_325.3)+noise*np.spacing(np.float32(101_325.3))).astype('f4'))

@pytest.mark.parametrize('name', flat)
@pytest.mark.parametrize('tfm', [Standardize, RobustScale, Normalize])
def test_the_noise_of_rounding_is_not_blown_up(name, tfm):
    got = all_of(loaders(flat[name], tfm()).train)
    assert abs(got).max() <= (.02 if name == 'noise_f4' else 0)

def test_standardize_takes_the_training_rows_alone(tmp_path):
    x = filled((300,2,40))
    x[200:] = x[200:]*9+100
    save_array(tmp_path/'X.npy', x)
    for X in (x, tmp_path/'X.npy'):
        dls = TSDataLoaders.from_arrays(X, splits=[range(200),range(200, 300)], bs=50, device='cpu', batch_tfms=Standardize())
        tfm,st = dls.after_batch.fs[0],array_stats(x[:200])
        for got,want in ((tfm.mean, st.mean), (tfm.std, st.std)): np.testing.assert_allclose(got[:,0].numpy(), want, rtol=1e-5)
        z = torch.cat([b[0] for b in dls.train])
        np.testing.assert_allclose([z.mean((0,2)).tolist(), z.std((0,2), correction=0).tolist()], [[0,0],[1,1]], atol=1e-4)
        for dl,want in ((dls.valid, x[200:]), (dls.test_dl(x[250:]), x[250:])):
            z = torch.cat([b[0] for b in dl])
            np.testing.assert_allclose(z.numpy(), (want-st.mean[:,None])/st.std[:,None], rtol=1e-3, atol=1e-3)
    assert list(read_manifest(tmp_path)['stats']) == ['X.npy']

def test_constant_variable_is_only_shifted():
    x = filled((50,2,10))
    x[:, 1] = 7
    z = TSDataLoaders.from_arrays(x, bs=10, device='cpu', batch_tfms=Standardize()).one_batch()[0]
    assert (z[:, 1] == 0).all() and z.isfinite().all()

def test_given_statistics_are_used():
    x = filled((50,2,10))
    dls = TSDataLoaders.from_arrays(x, bs=50, shuffle=False, splits=[range(50)], device='cpu', batch_tfms=Standardize(array_stats(x*10)))
    np.testing.assert_allclose(dls.one_batch()[0].std((0,2), correction=0), [.1,.1], rtol=1e-2)

learned = dict(standardize=Standardize, robust=RobustScale, normalize=Normalize, clip=Clip, low=lambda: Clip(high=3.))

@pytest.mark.parametrize('name', learned)
def test_statistics_of_other_rows_are_not_used_again(name, tmp_path):
    x,tfm = raw(),learned[name]()
    first = loaders(x, tfm)
    want = all_of(first.train)
    for o in (x, save_array(tmp_path/'x.npy', x)): same(all_of(loaders(o, tfm).train), want) # The same rows again
    for o in (x*2, x[:,:2]):
        with fails(ValueError, 'holds the statistics of other training rows', 'each dataset or fold'): loaders(o, tfm)
    same(all_of(first.train), want)

def test_targets_of_other_rows_are_refused_and_given_statistics_are_used_again():
    x,tfm = raw(),StandardizeTarget()
    loaders(x, tfm, x[:,0,:1])
    with fails(ValueError, 'StandardizeTarget holds the statistics of other training rows'): loaders(x, tfm, x[:,1,:1])
    known = Standardize.from_stats([0,0,0], [2,2,2])
    for o in (x, x+1): same(all_of(loaders(o, known).train), o[:150]/2)
    limits = Clip(-1, 2)
    for o in (x, x+1): same(all_of(loaders(o, limits).train), o[:150].clip(-1, 2))

def test_a_loaded_learner_and_loaders_of_new_rows_keep_the_statistics(tmp_path):
    x = raw()
    dls = loaders(x, [Clip(share=.01),Standardize()], x[:,1:,-1])
    want = dls.test_dl(x[150:]).one_batch()[0]
    Learner(dls, Mean(), path=tmp_path).export(tmp_path/'m.pkl')
    for o in (load_learner(tmp_path/'m.pkl').dls, dls): same(o.test_dl(x[150:]).one_batch()[0].numpy(), want.numpy())

def test_numbers_of_other_variables_are_refused():
    x = raw()
    with fails(ValueError, 'limits are of 2 variables, the data has 3'): loaders(x, Clip([-1,0], 5))
    with fails(ValueError, 'limits are of 4 variables, the data has 3'): loaders(x, Clip(high=[1,2,3,4]))
    with fails(ValueError, 'statistics are of 3 variables, the target has 2'): loaders(x, StandardizeTarget(array_stats(x)), x[:,:2,0])
    with fails(ValueError, 'statistics are of 3 variables, the target has 1'): loaders(x, StandardizeTarget(array_stats(x)), x[:,0,0])

@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_statistics_that_cannot_be_used_are_refused(bad):
    x = filled((50,3,10))
    x[:, 1] = bad
    with fails(ValueError, 'Variable 1 has no finite mean'): TSDataLoaders.from_arrays(x, batch_tfms=Standardize())

def test_standardize_says_what_is_missing():
    with fails(ValueError, 'no statistics yet'): Standardize()(TSTensor(torch.ones(2,2,3)))
    with fails(ValueError, '3 variables', '2'): TSDataLoaders.from_arrays(ramp(50), bs=10, batch_tfms=Standardize(array_stats(ramp(50, 3))))

class Times(PointWise):
    def __init__(self, by): self.by = by
    def encodes(self, x:TSTensor): return x*self.by

def test_statistics_of_a_transform_without_a_repr_are_not_kept(tmp_path):
    path = save_array(tmp_path/'X.npy', filled((50,2,9))).filename
    stds = []
    for by in (1., 1000.):
        scale = Standardize()
        TSDataLoaders.from_arrays(path, splits=[range(40), range(40, 50)], batch_tfms=[Times(by), scale], device='cpu')
        stds.append(scale.std)
    torch.testing.assert_close(stds[1], stds[0]*1000)

class Double(Transform):
    def encodes(self, x:TSTensor|TensorTarget): return x*2

def said_of(make):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        make()
    return [str(o.message) for o in found if 'values as they are stored' in str(o.message)]

@pytest.mark.parametrize('tfm', [Standardize, RobustScale, Normalize, Clip])
@pytest.mark.parametrize('column,batch', [([Double()],[]), ([],[Double()]), ([lambda o: o*2],[])], ids=['column','batch','function'])
def test_changes_that_statistics_do_not_count_are_told(tfm, column, batch):
    told, = said_of(lambda: TSDataLoaders.from_arrays(raw(), splits=[train,[]], device='cpu', tfms=column, batch_tfms=[*batch,tfm()]))
    assert f'before {tfm.__name__} scales them' in told and '`PointWise`' in told

@pytest.mark.parametrize('kw', [dict(batch_tfms=[Double(),StandardizeTarget()]), dict(tfms=[None,Double()], batch_tfms=StandardizeTarget())], ids=['batch','column'])
def test_changes_of_targets_that_statistics_do_not_count_are_told(kw):
    x = raw()
    told, = said_of(lambda: TSDataLoaders.from_arrays(x, x[:,:,0], splits=[train,[]], device='cpu', **kw))
    assert 'Double changes the values before StandardizeTarget' in told

class Flip(Transform):
    def encodes(self, x:TSTensor): return x.flip(-1)

class InTraining(Double): split_idx = 0

@pytest.mark.parametrize('tfms', [[Log(),Standardize()], [Flip(),Standardize()], [InTraining(),Standardize()], [noop,FillNaN(),Standardize()],
    [Double(),Standardize.from_stats([0,0,0], [1,1,1])], [Double(),Clip(-1, 1)], [Log(),Clip(),StandardizeTarget()], [Double(),PerSample()]])
def test_nothing_is_told_of_changes_that_do_not_matter(tfms):
    x = raw()
    assert not said_of(lambda: loaders(x, tfms, x[:,0,:1]))

def test_statistics_count_what_column_transforms_of_single_values_do():
    x = raw()
    def made(): return TSDataLoaders.from_arrays(x, splits=[train,[]], drop_last=False, device='cpu', tfms=[Log()], batch_tfms=Standardize())
    assert not said_of(made)
    z = all_of(made().train).astype('f8')
    assert abs(z.mean((0,2))).max() < 1e-3 and abs(z.std((0,2))-1).max() < 1e-3

def own_log(factor, base=Log):
    class Own(base):
        def __init__(self, shift=0): self.shift = shift
        def encodes(self, x:TSTensor): return factor*((x.abs()+self.shift).log1p())
        def __repr__(self): return 'Own log'
    return Own

def inheriting(parent):
    class Child(parent):
        def encodes(self, x:TSTensor): return super().encodes(x)+1
    return Child

def test_statistics_are_not_kept_for_a_transform_of_other_code_or_settings(tmp_path):
    path = save_array(tmp_path/'X.npy', filled((50,2,9))+5).filename
    tfms = [Log(), own_log(1.)(), own_log(2.)(), own_log(2.)(9), own_log(1., PointWise)(), *(inheriting(o)() for o in (own_log(1.), own_log(2.), Log))]
    for tfm in tfms:
        scale = Standardize()
        dls = TSDataLoaders.from_arrays(path, splits=[range(40), range(40, 50)], drop_last=False, batch_tfms=[tfm,scale], device='cpu')
        x = all_of(dls.train)
        np.testing.assert_allclose([x.mean((0,2)), x.std((0,2))], [[0,0],[1,1]], atol=1e-3, err_msg=repr(tfm))

def test_statistics_are_kept_for_a_transform_of_the_same_code(tmp_path, monkeypatch):
    path = save_array(tmp_path/'X.npy', filled((50,2,9))+5).filename
    def made(): return TSDataLoaders.from_arrays(path, splits=[range(40),[]], batch_tfms=[own_log(2.)(),Standardize()])
    first = made()
    monkeypatch.setattr('tsdisk.folder.stats.array_stats', None) # Not needed any more
    assert torch.equal(made().after_batch.fs[1].mean, first.after_batch.fs[1].mean)

def test_known_statistics_scale_as_those_of_the_data_do():
    x = filled((50,3,20))*4+7
    st = array_stats(x)
    want = Standardize(st)(TSTensor(x))
    for tfm in (Standardize.from_stats(st.mean, st.std), Standardize(mean=list(st.mean), std=torch.tensor(st.std))): same(tfm(TSTensor(x)), want)
    tfm = StandardizeTarget.from_stats([7,7,7], [4,4,4])
    assert tfm.mean.tolist() == [[7]]*3 and tfm.std.tolist() == [[4]]*3

def test_known_statistics_need_no_pass_over_the_data(monkeypatch):
    monkeypatch.setattr('tsdisk.data.transforms.input_stats', None)
    dl = TSDataLoader(TSDatasets(ramp(9)), bs=9, after_batch=Standardize.from_stats([1,2], [2,4]))
    same(dl.one_batch()[0], ((ramp(9)-np.float32([[1],[2]]))/np.float32([[2],[4]])).astype('f4'))
    with fails(ValueError, 'of 1 variables, the data has 2'): TSDataLoader(TSDatasets(ramp(9)), after_batch=Standardize(mean=1, std=2))

@pytest.mark.parametrize('mean,std', [([1], None), (None, [1]), ([1], [0]), ([1,2], [3]), ([np.nan], [1]), ([1], [np.inf])])
def test_numbers_that_are_no_statistics_are_refused(mean, std):
    with fails(ValueError, '`mean` and `std` are finite numbers'): Standardize(mean=mean, std=std)

def test_statistics_are_given_once_and_to_what_uses_them():
    with fails(ValueError, 'either `stats`, or'): Standardize(array_stats(ramp(5)), mean=[1,2], std=[3,4])
    for cls in (Normalize, RobustScale):
        with fails(TypeError, cls.__name__, '`Standardize.from_stats(mean, std)`'): cls.from_stats([1], [2])

def test_moments_of_samples_leave_out_what_is_missing():
    x = torch.tensor([[[1.,3,np.nan],[np.nan]*3], [[5.,5,5],[0,0,6]]])
    mean,std = sample_moments(x)
    same(mean, np.float32([[[2],[0]], [[5],[2]]]))
    np.testing.assert_allclose(std, [[[1],[0]], [[0],[8**.5]]], rtol=1e-6)
    assert [o.flatten().tolist() for o in sample_moments(x[:1], (1,2))] == [[2],[1]]

def test_a_spread_is_more_than_rounding_around_its_center():
    stats = SimpleNamespace(mean=np.array([0,1e6,1e6,0]), std=np.array([1e-30,.01,1,1]))
    assert is_spread(stats, stats.mean, np.array([1e-30,1,.01,0])).tolist() == [True,False,False,False]

class Shift(PointWise):
    def encodes(self, x:TSTensor|TensorTarget): return x+1000

def test_names_of_what_is_not_counted_are_those_of_each_column():
    x = raw()
    def made(y=None, **kw): return TSDataLoaders.from_arrays(x, y, splits=[train,[]], device='cpu', **kw)
    dl = made(x[:,:,0], tfms=[Double(),None], batch_tfms=[Shift(),Double(),Flip()]).train
    assert uncounted_tfms(dl) == ['Double','Double'] and uncounted_tfms(dl, -1) == ['Double','Shift']
    assert uncounted_tfms(made(batch_tfms=[Log(),Flip()]).train) == []
    assert uncounted_tfms(made(batch_tfms=Double()).valid) == [] # It has no rows

class Noise(Transform):
    def encodes(self, x:TSTensor): return x+torch.randn_like(x)*x.std()

class InPlace(Transform):
    def encodes(self, x:TSTensor): return x.mul_(2)

def test_looking_for_what_is_not_counted_changes_neither_numbers_nor_data():
    x = raw()
    dl,before,state = loaders(x, [Noise(),InPlace()]).train,x.copy(),torch.get_rng_state()
    assert uncounted_tfms(dl) == ['Noise','InPlace']
    same(x, before)
    assert torch.equal(torch.get_rng_state(), state)

class Broken(Transform):
    def encodes(self, x:TSTensor): raise RuntimeError('not yet')

def test_a_transform_that_fails_ends_the_search_without_an_error():
    dl = loaders(raw(), [Double(),Broken(),InPlace()]).train
    assert uncounted_tfms(dl) == ['Double']
    with fails(RuntimeError, 'not yet'): dl.one_batch()

def test_the_variable_with_most_missing_values_is_named():
    x = raw()
    x[:150,0,0],x[:150,1,:10] = np.nan,np.nan
    said = r'^0\.25 of the values of variable 1 are NaN.*add `FillNaN\(\)`'
    with pytest.warns(UserWarning, match=said): loaders(x, Standardize())

def test_statistics_of_images_count_limits_per_variable():
    x = filled((40,2,6,5))*np.float32([[[1]],[[20]]])
    scale = Standardize()
    TSDataLoaders.from_arrays(x, splits=[range(30),range(30, 40)], device='cpu', batch_tfms=[Clip([-1,0], [1,9]),scale])
    want = array_stats(x[:30].clip([[[-1]],[[0]]], [[[1]],[[9]]]))
    assert scale.mean.shape == scale.std.shape == (2,1,1)
    np.testing.assert_allclose(scale.mean.flatten(), want.mean, rtol=1e-5)
    np.testing.assert_allclose(scale.std.flatten(), want.std, rtol=1e-5)

def test_the_repr_tells_the_first_statistics():
    assert repr(Standardize()) == 'Standardize()'
    assert repr(Standardize.from_stats([1,.5], [2,1/3])) == 'Standardize(1 ± 2, 0.5 ± 0.3333)'
    assert repr(StandardizeTarget.from_stats(range(20), [1]*20)).count('±') == 8
