"tsai's models, transforms, losses, callbacks and analysis, on data of tsdisk"
import inspect, warnings
import numpy as np, pytest, torch
from fastai.basics import nn
from fastai.callback.all import EarlyStoppingCallback, MixUp
from fastai.interpret import ClassificationInterpretation
from conftest import fails, filled, fresh, same
from tsdisk.disk.packing import Packing
from tsdisk.data import batches
from tsdisk.data import loaders
from tsdisk.tools.demo import basic_motions
from tsdisk.series.windows import Windows

tsdisk_filters = [*warnings.filters]
import tsdisk.tsai as bridge
filters_after = [*warnings.filters]
from tsdisk.tsai import *
import tsai.callback.core as callbacks, tsai.data.core as core, tsai.data.preprocessing as prep, tsai.data.transforms as tfms, tsai.losses as losses
from tsai.callback.MVP import MVP
from tsai.data.mixed_augmentation import CutMix1d, MixUp1d

archs = ('InceptionTime TCN MLP gMLP TSTPlus PatchTST ResNetPlus LSTMPlus RNN_FCNPlus XceptionTimePlus TSiTPlus MiniRocketPlus ConvTranPlus xresnet1d34plus '
    'mWDNPlus TSSequencerPlus HydraPlus MultiRocketPlus').split()
two = [range(24), range(24,40)]

@pytest.fixture(scope='module')
def motions(tmp_path_factory):
    "BasicMotions in files"
    d = tmp_path_factory.mktemp('motions')
    for k,v in zip('Xy', basic_motions('train')): np.save(d/f'{k}.npy', np.concatenate([v[::2],v[1::2]]))
    return d/'X.npy',d/'y.npy'

def of(motions, splits=two, bs=8, **kwargs): return get_ts_dls(*motions, splits=splits, bs=bs, device='cpu', seed=0, **kwargs)
def quiet(learn, f, *args, **kwargs):
    with learn.no_bar(), learn.no_logging(): return f(*args, **kwargs)
def trained(dls, arch='FCN', n=1, **kwargs):
    learn = ts_learner(dls, arch, metrics=kwargs.pop('metrics', None), seed=0, **kwargs)
    quiet(learn, learn.fit, n, 1e-3)
    return learn


@pytest.mark.parametrize('arch', [o for o in archs if o != 'PatchTST'])
def test_architectures_learn_classes(motions, arch): assert np.isfinite(trained(of(motions), arch).recorder.values[0]).all()

@pytest.mark.parametrize('arch', ['PatchTST','TSTPlus','ResNetPlus'])
def test_architectures_forecast(motions, arch):
    y = filled((40,6,5))
    dls = get_ts_dls(motions[0], y, splits=two, tfms=[None,core.TSForecasting()], bs=8, device='cpu')
    assert (dls.c, dls.d) == (1, [6,5])
    learn = trained(dls, arch)
    preds,targs = quiet(learn, learn.get_preds)
    assert preds.shape == (16,6,5)
    same(targs, y[24:])

def test_call_of_tsai_is_taken():
    theirs,ours = (inspect.signature(o).parameters for o in (core.get_ts_dls,get_ts_dls))
    assert [*theirs][:-1] == [o for o in ours if o in theirs] # All but their `**kwargs`, in their order

@pytest.mark.parametrize('tfm', ['TSStandardize','TSNormalize','TSRobustScale','TSClipOutliers'])
@pytest.mark.parametrize('by_var', [True,False])
def test_transforms_of_tsai_learn_from_all_training_rows(motions, tfm, by_var):
    if tfm == 'TSRobustScale' and not by_var: return
    f = getattr(prep, tfm)(**({} if tfm == 'TSRobustScale' else dict(by_var=by_var)))
    dls = of(motions, batch_tfms=f)
    X,axes = np.load(motions[0])[:24].astype('f8'),(0,2) if by_var else None
    q = lambda s: np.quantile(X, s, axis=axes, keepdims=by_var)
    iqr = q(.75)-q(.25)
    want = dict(TSStandardize=[X.mean(axes, keepdims=by_var), X.std(axes, keepdims=by_var)], TSNormalize=[q(0), q(1)], TSRobustScale=[q(.5), iqr],
        TSClipOutliers=[q(.25)-1.5*iqr, q(.75)+1.5*iqr])[tfm]
    got = [np.asarray(getattr(f, o)) for o in dict(TSStandardize=('mean','std'), TSRobustScale=('median','iqr')).get(tfm, ('min','max'))]
    for a,b in zip(got, want):
        assert a.shape == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-3)
    x = dls.valid.one_batch()[0]
    assert type(x) is TSTensor and not np.allclose(x, np.load(motions[0])[24:32])

def test_variables_that_are_left_out_stay(motions):
    x = of(motions, batch_tfms=prep.TSStandardize(by_var=True, exc_vars=[2])).valid.one_batch()[0]
    raw = np.load(motions[0])[24:32]
    np.testing.assert_allclose(x[:,2], raw[:,2])
    assert not np.allclose(x[:,1], raw[:,1])

def test_what_would_come_of_one_batch_is_said(motions):
    "And does: transforms draw it while the loader is made, through those that come before them"
    with pytest.warns(UserWarning, match='ONE batch'): x = of(motions, bs=24, batch_tfms=prep.TSStandardize(by_step=True)).one_batch()[0]
    np.testing.assert_allclose(x.mean((0,1)), 0, atol=1e-4)
    X = (np.load(motions[0])*100).astype('i2')
    with fails(ValueError, 'by_var=True'):
        TSDataLoaders.from_dsets(TSDatasets(X, np.load(motions[1]), packing=Packing(.01)), bs=8, batch_tfms=prep.TSStandardize())

@pytest.mark.parametrize('before', ['TSDiff','TSLog','TSNormalize'])
def test_scalers_of_tsai_scale_what_earlier_transforms_make(motions, before):
    with pytest.warns(UserWarning, match=f'ONE batch, as it comes after {before}'):
        dls = of(motions, bs=24, batch_tfms=[getattr(prep, before)(), prep.TSStandardize(by_var=True)])
    x = dls.one_batch()[0]
    np.testing.assert_allclose(x.mean((0,2)), 0, atol=1e-4)
    np.testing.assert_allclose(x.std((0,2)), 1, atol=1e-2)
    assert dls.train.epoch == 0 # The batch that was drawn before is no pass

def test_few_rows_train(motions): assert len(of(motions, bs=64).train) == 1

@pytest.mark.parametrize('tfm', ['TSMagScale','TSTimeWarp','TSCutOut','TSRandomTimeStep','TSGaussianNoise','TSDiff','TSLog','TSMaskOut'])
def test_transforms_of_tsai_are_not_passed_by(motions, tfm):
    cls = getattr(tfms, tfm, None) or getattr(prep, tfm)
    f = cls(magnitude=.5) if 'magnitude' in inspect.signature(cls.__init__).parameters else cls()
    x,plain = (of(motions, batch_tfms=o).one_batch()[0] for o in (f,None))
    assert type(x) is type(plain) is TSTensor
    assert x.shape != plain.shape or not np.array_equal(x, plain)

def test_transforms_of_both_work_together(motions):
    from tsdisk.data.augment import Jitter
    from tsdisk.data.transforms import Standardize
    dls = of(motions, batch_tfms=[Standardize(), Jitter(.1), tfms.TSMagScale(magnitude=.1)])
    x = dls.one_batch()[0]
    assert type(x) is TSTensor and abs(float(x.std())-1) < .5

def test_nothing_is_copied(motions, tmp_path):
    np.save(tmp_path/'x.npy', np.zeros((40,6,100), 'f4'))
    X = np.load(tmp_path/'x.npy', mmap_mode='r+')
    dls = get_ts_dls(X, np.arange(40)%2, splits=two, bs=8, inplace=True, batch_tfms=prep.TSStandardize(), device='cpu')
    X[:] = 1
    assert float(dls.dataset[0][0].min()) == 1
    dls.dataset[0][0].mul_(5)
    for b in dls.train: b[0].mul_(5)
    assert (np.asarray(X) == 1).all() # Nor is what the model does to a batch written to the file

def test_options_of_tsai(motions):
    dls = of(motions, bs=[8,16], sel_vars=[0,3], sel_steps=slice(10,60), partial_n=[16,None], weights=np.ones(40))
    assert (dls.train.bs, dls.valid.bs, dls.vars, dls.len, len(dls.train)) == (8, 16, 2, 50, 2)
    same(dls.valid.one_batch()[0], np.load(motions[0])[24:,[0,3],10:60])
    with fails(ValueError, 'stratified'): of(motions, sampler=[0])
    with fails(ValueError, '(n, classes)'): of(motions, tfms=[None,core.TSMultiLabelClassification()])
    assert get_ts_dls(motions[0], np.arange(40), tfms=[None,core.TSRegression()]).d is None and len(get_ts_dls(motions[0], motions[1]).valid) == 0
    assert of(motions, tfms=[None,core.TSClassification(vocab=['badminton','running','standing','walking','x'])]).c == 5

def test_data_sets_and_loaders_as_in_tsais_tutorials(motions):
    X,y = (np.load(o) for o in motions)
    ds = TSDatasets(X, y, tfms=[None,core.TSClassification()], splits=(list(range(24)),list(range(24,40))), inplace=True)
    dls = TSDataLoaders.from_dsets(ds.train, ds.valid, bs=[8,16], shuffle_train=False, batch_tfms=prep.TSStandardize(by_var=True), device='cpu')
    assert (dls.train.bs, dls.valid.bs, dls.train.shuffle, dls.c) == (8, 16, False, 4) and type(dls.one_batch()[0]) is TSTensor
    assert not TSDatasets(X, np.arange(40), tfms=[None,core.TSRegression()]).cat
    same(TSDatasets(X[:,0], y, sel_steps=[3,4,5], splits=(range(30),None))[1][0], X[1,:1,3:6])
    with fails(ValueError, 'consecutive'): get_ts_dls(X, y, sel_steps=[1,3])

def test_what_tsai_asks_of_loaders(motions):
    X,y = (np.load(o) for o in motions)
    dls = of(motions)
    same(dls.train.split_idxs, np.arange(24))
    assert len(dls.dataset.add_test(X, y)) == len(dls.dataset.add_unlabeled(X)) == 40
    same(torch.cat([o[0] for o in dls.new_dl(X[:11], bs=4)]), X[:11])
    part = core.get_subset_dl(dls.valid, np.array([3,1]))
    same(part.one_batch()[0], X[[27,25]])
    np.testing.assert_allclose(dls.train.class_priors, np.unique(y[:24], return_counts=True)[1]/24, rtol=1e-6)
    heights = [o.get_height() for o in dls.train.show_dist().patches]
    np.testing.assert_allclose(heights, dls.train.class_priors, rtol=1e-6)
    assert sum(o.get_height() for o in get_ts_dls(X, filled(40)).train.show_dist().patches) == pytest.approx(1)
    with fails(ValueError, 'no targets'): get_ts_dls(X).train.show_dist()

@pytest.fixture(scope='module')
def learn(motions): return trained(of(motions, batch_tfms=prep.TSStandardize(by_var=True)), n=4, metrics=accuracy_)

def accuracy_(preds, targs): return (preds.argmax(-1) == targs).float().mean()

def test_predictions_of_new_samples(motions, learn):
    X,y = (np.load(o) for o in motions)
    whole,_,names,loss = quiet(learn, learn.get_X_preds, X[24:], y[24:], with_loss=True)
    same(whole, quiet(learn, learn.get_preds)[0])
    assert list(names) == [learn.dls.vocab[i] for i in whole.argmax(1)] and len(loss) == 16
    same(quiet(learn, learn.get_X_preds, motions[0])[0][24:], whole) # A path will do

def test_pictures_and_tables(motions, learn):
    import matplotlib.pyplot as plt
    X,y = (np.load(o) for o in motions)
    learn.show_batch(nrows=1)
    learn.dls.show_batch(sharey=True, unique=True, decode=False)
    for f in (learn.show_results, learn.show_probas, learn.plot_confusion_matrix): quiet(learn, f)
    values,rows = quiet(learn, learn.top_losses, X, y, k=3)
    assert values[0] >= values[1] and len(rows) == 3
    quiet(learn, learn.plot_top_losses, X, y, k=3)
    assert quiet(learn, ClassificationInterpretation.from_learner, learn).confusion_matrix().sum() == 16
    plt.close('all')

def test_a_batch_is_shown_as_recorded_or_as_seen(learn):
    b,seen = learn.dls.valid.one_batch(),[]
    for decode in (True,False):
        learn.dls.valid.show_batch(b, max_n=1, decode=decode)
        import matplotlib.pyplot as plt
        seen.append(plt.gcf().axes[0].lines[0].get_ydata())
        plt.close('all')
    np.testing.assert_allclose(seen[1], b[0][0,0], rtol=1e-5)
    assert not np.allclose(*seen)

@pytest.mark.parametrize('what,n', [('feature_importance',7),('step_importance',5)])
@pytest.mark.parametrize('method', ['permutation','ablation'])
def test_importance_leaves_the_file_as_it_was(motions, tmp_path, what, n, method):
    X = np.load(motions[0])
    np.save(tmp_path/'X.npy', X)
    learn = trained(get_ts_dls(np.load(tmp_path/'X.npy', mmap_mode='r+'), motions[1], splits=two, bs=8, device='cpu'), metrics=accuracy_)
    kw = dict(n_steps=25) if what == 'step_importance' else {}
    df = quiet(learn, getattr(learn, what), method=method, show_chart=False, verbose=False, **kw)
    assert len(df) == n
    same(np.load(tmp_path/'X.npy'), X)
    base = df[df.iloc[:,0] == 'BASELINE'].iloc[0,1]
    assert base == pytest.approx(float(accuracy_(*quiet(learn, learn.get_preds)))) # Of the validation rows

def test_importance_of_part_of_the_rows(motions, learn, monkeypatch):
    X,y = (np.load(o) for o in motions)
    a,b = bridge._copied_rows(learn, None, None, 6, 1)
    assert a.shape == (6,6,100) and b.shape == (6,)
    c,d = bridge._copied_rows(learn, X, y, .5, 1)
    assert all((X == o).all((1,2)).any() for o in c) and len(c) == len(d) == 20
    assert d.tolist() == [y[(X == o).all((1,2)).argmax()] for o in c]
    with fails(ValueError, 'both `X` and `y`'): learn.feature_importance(X[30:])
    sizes = []
    monkeypatch.setattr(bridge, '_copied_rows', lambda *args: sizes.append(args[3]) or (X[:4].copy(),y[:4]))
    assert len(quiet(learn, learn.feature_importance, X, y, 16, show_chart=False, verbose=False)) == 7 and sizes == [None] # The third is `bs`
    monkeypatch.undo()
    monkeypatch.setattr(bridge, 'free_memory', lambda: 10_000)
    with fails(ValueError, 'partial_n'): learn.feature_importance()

def test_importance_of_selected_variables_and_of_integers(motions):
    X,y = (np.load(o) for o in motions)
    learn = trained(of(motions, sel_vars=[2,5]), metrics=accuracy_)
    names = quiet(learn, learn.feature_importance, show_chart=False, verbose=False).Feature
    assert sorted(names) == ['BASELINE','var_2','var_5']
    dls = TSDataLoaders.from_arrays((X*100).astype('i2'), y, packing=Packing(.01), splits=two, bs=8, device='cpu')
    learn = trained(dls, metrics=accuracy_)
    tfms = [*learn.dls.valid.after_batch.fs]
    assert len(quiet(learn, learn.feature_importance, method='ablation', show_chart=False, verbose=False)) == 7
    assert [*learn.dls.valid.after_batch.fs] == tfms

def test_weights_of_a_loss_are_those_of_the_rows(motions):
    seen = []
    w = torch.arange(40.)
    from fastai.callback.core import Callback
    class Rows(Callback):
        order = 70
        def before_batch(self):
            if self.training: seen.append((self.learn.loss_func.weights.clone(), self.dls.train.idxs.copy()))
    trained(of(motions), cbs=[callbacks.WeightedPerSampleLoss(w), Rows()])
    for got,rows in seen: np.testing.assert_allclose(got, rows/(sum(range(40)))*40, rtol=1e-5)
    assert sorted(np.concatenate([o for _,o in seen])) == list(range(24))

def test_pretraining_and_transfer(motions, tmp_path):
    learn = trained(of(motions), 'TSTPlus', cbs=MVP(target_dir=str(tmp_path/'mvp'), fname='m'))
    assert (tmp_path/'mvp'/'m.pth').exists() and np.isfinite(learn.recorder.values[0]).all()
    learn = trained(of(motions), 'TSTPlus', pretrained=True, weights_path=str(tmp_path/'mvp'/'m.pth'))
    assert np.isfinite(learn.recorder.values[0]).all()

@pytest.mark.parametrize('cb', [lambda: callbacks.SaveModel(), lambda: callbacks.TransformScheduler(lambda p: 1-p), lambda: callbacks.BatchSubsampler(.5, .5),
    lambda: MixUp1d(), lambda: CutMix1d(), lambda: MixUp(), lambda: EarlyStoppingCallback()], ids='save schedule subsample mixup1d cutmix1d mixup early'.split())
def test_callbacks(motions, tmp_path, cb): assert np.isfinite(trained(of(motions), cbs=cb(), path=tmp_path).recorder.values[0]).all()

@pytest.mark.parametrize('loss', [lambda: losses.FocalLoss(), lambda: losses.CenterPlusLoss(nn.CrossEntropyLoss(), 4)], ids=['focal','center'])
def test_losses(motions, loss): assert np.isfinite(trained(of(motions), loss_func=loss()).recorder.values[0]).all()

def test_a_learner_in_one_line(motions):
    a = TSClassifier(*motions, splits=two, arch='FCN', bs=8, batch_tfms=prep.TSStandardize(), device='cpu', seed=0)
    b = TSClassifier(of(motions), arch='FCNPlus', arch_config=dict(fc_dropout=.5))
    for o in (a,b):
        quiet(o, o.fit, 1)
        assert len(o.recorder.values[0]) == 3 # With accuracy
    with fails(ValueError, "'bs', 'splits'"): TSClassifier(of(motions), splits=two, bs=3)
    c = TSRegressor(motions[0], np.arange(40), splits=two, arch='FCN', bs=8, device='cpu')
    quiet(c, c.fit, 1)
    assert not c.dls.cat and c.dls.valid.one_batch()[1].dtype == torch.float32
    d = TSForecaster(motions[0], filled((40,6,5)), splits=two, arch='PatchTST', bs=8, device='cpu')
    assert d.dls.d == [6,5]
    e = TSClassifier(of(motions), arch='FCN', verbose=False, device='cpu', pipelines=[])
    assert e.pipelines == [] and a.dls.device.type == 'cpu'

def test_the_device_is_that_of_the_loaders(motions, monkeypatch):
    seen,real = [],bridge.get_ts_dls
    monkeypatch.setattr(bridge, 'get_ts_dls', lambda *args, **kw: seen.append(kw['device']) or real(*args, **kw))
    monkeypatch.setattr(bridge, 'signature', lambda f: inspect.signature(real))
    TSClassifier(*motions, splits=two, arch='FCN', device=torch.device('cpu'))
    assert seen == [torch.device('cpu')]

def test_loaders_keep_where_they_are(motions):
    plain = loaders.TSDataLoaders.from_arrays(*motions, splits=two, bs=8, seed=3, device='cpu')
    next(iter(plain.train))
    state = plain.train.state_dict()
    plain.train.load_state_dict(state)
    left = [b[1] for b in as_tsai(plain).train]
    assert len(left) == 2
    for a,b in zip(left, plain.train): same(a, b[1])
    assert as_tsai(plain.preload()).train.preloaded

def test_loaders_made_without_tsai_in_mind(motions):
    plain = loaders.TSDataLoaders.from_arrays(*motions, splits=two, bs=8, seed=3, partial_n=16, weights=np.arange(40.)+1, device='cpu')
    dls = as_tsai(plain)
    assert as_tsai(dls) is dls and (repr(dls), [*map(len, dls.loaders)]) == (repr(plain), [*map(len, plain.loaders)])
    for a,b in zip(plain.train, dls.train):
        same(a[0], b[0])
        assert type(a[0]) is batches.TSTensor and type(b[0]) is TSTensor
    assert type(dls.train.decode_batch(dls.one_batch())[0][0]) is TSTensor
    w = Windows(filled((300,2)), 32, horizon=4)
    learn = trained(loaders.TSDataLoaders.from_arrays(w, bs=32, device='cpu'), 'PatchTST')
    assert quiet(learn, learn.get_preds)[0].shape[1:] == (2,4)

def test_exported_learner_works_where_the_data_is_not(motions, tmp_path):
    learn = trained(of(motions, batch_tfms=prep.TSStandardize(by_var=True)))
    X = np.load(motions[0])[:9]
    want = quiet(learn, learn.get_X_preds, X)
    learn.export(tmp_path/'l.pkl')
    got = fresh("""
        from fastai.basics import load_learner
        l = load_learner(args[0])
        with l.no_bar(): a,_,b = l.get_X_preds(args[1])
        res = a.numpy(),list(b),type(l.dls.valid).__module__""", str(tmp_path/'l.pkl'), X)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    assert got[1:] == (list(want[2]), 'tsdisk.tsai')
    size = (tmp_path/'l.pkl').stat().st_size
    big = get_ts_dls(np.broadcast_to(X[:1], (100_000,6,100)), np.arange(100_000)%4, splits=[range(90_000), range(90_000,100_000)], device='cpu')
    ts_learner(big, 'FCN').export(tmp_path/'l.pkl')
    assert abs((tmp_path/'l.pkl').stat().st_size - size) < 20_000

def test_warnings_of_others_stay(): assert filters_after == tsdisk_filters

def test_without_tsai_the_extra_is_named():
    err = fresh("""
        import sys
        sys.modules['tsai'] = None
        import tsdisk.all
        try: import tsdisk.tsai
        except ImportError as e: res = str(e)""")
    assert "pip install 'tsdisk[tsai]'" in err

def test_sizes_of_epochs_for_training_and_validation(motions):
    dls = of(motions, partial_n=[16,4], bs=4)
    assert [len(o) for o in dls] == [4,1] and len(of(motions, partial_n=16, bs=4).valid) == 4

def test_shares_of_classes_are_of_labelled_rows(motions):
    y = np.array([0,1,1,-100]*10)
    dls = get_ts_dls(filled((40,2,20)), y, splits=[range(40), []], tfms=[None,core.TSClassification()], bs=8, device='cpu')
    assert dls.train.class_priors.tolist() == pytest.approx([1/3,2/3])
    assert [o.get_height() for o in dls.train.show_dist().patches] == pytest.approx([1/3,2/3])

def test_the_last_steps_can_be_counted_from_the_end(motions):
    same(of(motions, bs=16, sel_steps=[-3,-2,-1]).valid.one_batch()[0], np.load(motions[0])[24:,:,-3:])
