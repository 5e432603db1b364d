"What fastai does to train, predict, inspect and export, on real recordings and on our loaders as they are"
import shutil
import matplotlib.pyplot as plt, numpy as np, pytest, torch
import torch.nn.functional as F
from fastai.basics import CancelFitException, Learner, SGD, accuracy, params, set_seed
from fastai.callback.core import Callback
from fastai.callback import fp16, progress, tracker, training
from fastai.callback.schedule import *
from fastai.interpret import ClassificationInterpretation
from fastai.metrics import F1Score
from sklearn.metrics import confusion_matrix
from torch import nn
from conftest import filled, fresh, linux
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import save_array
from tsdisk.data.augment import Jitter, Scaling
from tsdisk.tools.demo import basic_motions, small_cnn
from tsdisk.folder.manifest import save_folder
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.ragged import Ragged
from tsdisk.data.transforms import Standardize
from tsdisk.series.windows import Windows

pytestmark = [pytest.mark.usefixtures('quiet','one_thread'), pytest.mark.filterwarnings('ignore')]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')

@pytest.fixture(scope='module')
def motions(tmp_path_factory):
    "BasicMotions: 40 recordings to train on, 40 to validate"
    d = tmp_path_factory.mktemp('motions')
    X,y = map(np.concatenate, zip(basic_motions('train'), basic_motions('test')))
    return save_folder(d, X, y, splits=dict(train=range(40), valid=range(40, 80))) or d

def learner(folder, path=None, device='cpu', bs=10, batch_tfms=None, **kw):
    set_seed(0)
    dls = TSDataLoaders.from_folder(folder, bs=bs, seed=1, device=device, batch_tfms=[Standardize(), *(batch_tfms or [])])
    return Learner(dls, small_cnn(dls.vars, dls.c), metrics=accuracy, path=path or folder, **kw)

def quietly(learn, way, *args, **kw):
    with learn.no_bar(), learn.no_logging(): return getattr(learn, way)(*args, **kw)

# Ways to train

@pytest.mark.parametrize('way,args', [('fit_flat_cos', (6,3e-3)), ('fit_sgdr', (2,2,5e-3)), ('fit_one_cycle', (6,5e-3))], ids=lambda o: o if isinstance(o, str) else '')
def test_schedules_of_fastai_learn(motions, way, args):
    learn = learner(motions)
    quietly(learn, way, *args)
    assert learn.recorder.values[-1][-1] > .8 and len(learn.recorder.lrs) == 6*4 and len(set(learn.recorder.lrs)) > 5

def test_fine_tuning_trains_the_head_first(motions):
    learn = learner(motions, splitter=lambda m: [params(m[:-1]), params(m[-1])])
    first,seen = learn.model[0][0].weight.detach().clone(),[]
    class Look(Callback):
        def after_epoch(self): seen.append(torch.equal(learn.model[0][0].weight, first))
    quietly(learn, 'fine_tune', 8, 2e-2, freeze_epochs=2, lr_mult=4, cbs=Look())
    assert seen == [True]*2 + [False]*8 and learn.recorder.values[-1][-1] > .8

def test_accumulated_gradients_are_those_of_larger_batches(motions):
    def trained(bs, cbs=None):
        learn = learner(motions, bs=bs, opt_func=SGD)
        learn.model = nn.Sequential(nn.Flatten(), nn.Linear(600, 4))
        learn.model[1].weight.data.zero_()
        learn.model[1].bias.data.zero_()
        quietly(learn, 'fit', 3, 1e-2, cbs=cbs)
        return learn.model[1].weight.detach()
    whole = trained(40)
    torch.testing.assert_close(trained(5, training.GradientAccumulation(40)), whole, rtol=1e-3, atol=1e-5)
    assert whole.abs().max() > .01

def test_the_best_epoch_is_kept_and_training_ends_early(motions, tmp_path):
    learn = learner(motions, tmp_path)
    quietly(learn, 'fit', 30, .1, cbs=[tracker.SaveModelCallback(), tracker.EarlyStoppingCallback(patience=3)])
    losses = [o[1] for o in learn.recorder.values]
    assert 4 <= len(losses) < 30 and np.argmin(losses) == len(losses)-4
    assert quietly(learn, 'validate')[0] == pytest.approx(min(losses), rel=1e-4)

def test_training_ends_at_a_loss_that_is_not_a_number(motions, tmp_path):
    X,y = map(np.concatenate, zip(basic_motions('train'), basic_motions('test')))
    X[7,0,3] = np.nan
    dls = TSDataLoaders.from_arrays(save_array(tmp_path/'X.npy', X), y, bs=10, shuffle=False, splits=[range(40), range(40, 80)], device='cpu')
    learn = Learner(dls, small_cnn(6, 4), cbs=tracker.TerminateOnNaNCallback())
    quietly(learn, 'fit', 3)
    assert learn.train_iter == 1 and not learn.recorder.values

def test_bars_tables_and_logs_are_written(motions, tmp_path, capsys):
    learn = learner(motions, tmp_path)
    learn.fit(2, cbs=[progress.CSVLogger(), progress.ShowGraphCallback()])
    rows = [o.split() for o in capsys.readouterr().out.splitlines() if o[:1].isdigit() or o.startswith('epoch')]
    logged = [o.split(',') for o in (tmp_path/'history.csv').read_text().splitlines()]
    assert [o[0] for o in logged] == ['epoch','0','1'] and logged[0] == ['epoch','train_loss','valid_loss','accuracy','time']
    assert [o[0] for o in rows if len(o) == 5] == ['epoch','0','1']

# Mixed precision

class Autocast(Callback):
    "Mixed precision on the CPU, which fastai's callback leaves alone"
    order = 10
    def before_batch(self):
        self.cast = torch.autocast('cpu', torch.bfloat16)
        self.cast.__enter__()
    def after_pred(self):
        self.dtype = self.pred.dtype
        self.learn.pred = self.pred.float()
    def after_loss(self): self.cast.__exit__(None, None, None)

def test_batches_can_be_computed_in_bfloat16(motions):
    learn,cast = learner(motions),Autocast()
    quietly(learn, 'fit_one_cycle', 6, 5e-3, cbs=cast)
    assert cast.dtype == torch.bfloat16 and learn.recorder.values[-1][-1] > .8

@pytest.mark.skipif(torch.cuda.is_available(), reason='fastai casts where there is a GPU')
@pytest.mark.parametrize('way', ['to_fp16','to_bf16'])
def test_mixed_precision_is_left_out_on_a_cpu(motions, way):
    plain,mixed = learner(motions),getattr(learner(motions), way)()
    for o in (plain,mixed): quietly(o, 'fit', 1, 1e-2)
    assert plain.recorder.values[-1] == mixed.recorder.values[-1]

@pytest.mark.gpu
@gpu
@pytest.mark.parametrize('way,dtype', [('to_fp16',torch.float16), ('to_bf16',torch.bfloat16)])
def test_mixed_precision_on_a_gpu(motions, way, dtype):
    class Look(Callback):
        order = fp16.MixedPrecision.order-1
        def after_pred(self): self.dtype = self.pred.dtype
    learn,look = getattr(learner(motions, device='cuda'), way)(),Look()
    quietly(learn, 'fit_one_cycle', 6, 5e-3, cbs=look)
    assert look.dtype == dtype and learn.recorder.values[-1][-1] > .8

# Predictions

def test_predictions_of_training_rows_are_decoded_and_in_order(motions):
    learn = learner(motions)
    quietly(learn, 'fit', 2, 5e-3)
    y = basic_motions('train')[1]
    probs,targs,decoded,losses = quietly(learn, 'get_preds', ds_idx=0, with_decoded=True, with_loss=True)
    vocab = np.array(learn.dls.vocab)
    assert vocab[targs].tolist() == y.tolist() and torch.equal(decoded, probs.argmax(1)) and probs.shape == (40,4)
    torch.testing.assert_close(losses, F.nll_loss(probs.log(), targs.as_subclass(torch.Tensor), reduction='none'), rtol=1e-3, atol=1e-4)

def test_augmented_predictions_are_of_the_same_rows(motions):
    learn = learner(motions, batch_tfms=[Jitter(sigma=.05, p=1.), Scaling(sigma=.05, p=1.)])
    quietly(learn, 'fit_one_cycle', 6, 5e-3)
    plain,targs = quietly(learn, 'get_preds')
    both,again = quietly(learn, 'tta', n=3, beta=None)
    augmented = both[0]
    assert torch.equal(targs, again) and torch.equal(both[1], plain)
    assert 0 < (augmented-plain).abs().max() < .5 and (augmented.argmax(1) == plain.argmax(1)).float().mean() > .8
    mixed,_ = quietly(learn, 'tta', n=3)
    assert mixed.shape == plain.shape and not torch.equal(mixed, plain)

def test_tta_uses_the_augmentations_of_training(motions):
    learn = learner(motions, batch_tfms=[Jitter(sigma=5., p=1.)])
    quietly(learn, 'fit', 1, 5e-3)
    plain,_ = quietly(learn, 'get_preds')
    augmented,_ = quietly(learn, 'tta', n=1, beta=0)
    assert (augmented-plain).abs().max() > .05 # Noise of five standard deviations
    assert learn.dls.valid_ds.split_idx == 1 and torch.equal(quietly(learn, 'get_preds')[0], plain)

def test_tta_without_augmentations_changes_nothing(motions):
    learn = learner(motions)
    quietly(learn, 'fit', 1, 5e-3)
    assert torch.equal(quietly(learn, 'tta', n=1, beta=0)[0], quietly(learn, 'get_preds')[0])

def test_metrics_over_all_rows_and_reports_agree(motions, capsys):
    learn = learner(motions)
    learn.metrics = [accuracy, F1Score(average='macro')]
    quietly(learn, 'fit', 3, 5e-3)
    said = learn.recorder.values[-1][2]
    probs,targs = quietly(learn, 'get_preds')
    assert said == pytest.approx((probs.argmax(1) == targs).float().mean().item())
    with learn.no_bar():
        interp = ClassificationInterpretation.from_learner(learn)
        cm = interp.confusion_matrix()
        interp.print_classification_report()
        interp.plot_confusion_matrix()
        confused = interp.most_confused()
    assert (confusion_matrix(targs, probs.argmax(1)) == cm).all() and cm.sum() == 40
    assert np.trace(cm) == (probs.argmax(1) == targs).sum() and sum(o[2] for o in confused) == 40-np.trace(cm)
    out = capsys.readouterr().out
    assert all(o in out for o in [*learn.dls.vocab,'macro avg']) and [o.get_text() for o in plt.gca().get_xticklabels()] == list(learn.dls.vocab)

# Inference where the data is not

class Last(nn.Module):
    "A linear layer over the mean of what is there"
    def __init__(self, vars, *shape):
        super().__init__()
        self.layer,self.shape = nn.Linear(vars, np.prod(shape)),shape
    def forward(self, x, *rest): return self.layer(x.as_subclass(torch.Tensor).nan_to_num().mean(-1)).reshape(len(x), *self.shape)

def series(d, n, *shape, dtype='f4'): return save_array(d/'X.npy', np.resize(filled((1000,*shape), dtype), (n,*shape)))
def labelled(X, **kw): return TSDataLoaders.from_arrays(X, np.resize(['run','sit','walk'], len(X)), valid_pct=.1, bs=50, device='cpu', batch_tfms=Standardize(), **kw),Last(2, 3)

def ragged(d, n):
    ends = np.cumsum(4+np.arange(n)%5)
    return Ragged(series(d, ends[-1], 2), np.append(0, ends))

def rows(d, n): return series(d, n, 2, 8)
data = dict(plain=rows, weights=rows, groups=rows, chosen=lambda d,n: series(d, n, 3, 12), counts=lambda d,n: series(d, n, 2, 8, dtype='i2'),
    windows=lambda d,n: Windows(series(d, n+9, 2), 8, horizon=2), ragged=ragged)
opts = dict(weights=lambda n: dict(weights=np.arange(n)+1.), groups=lambda n: dict(groups=np.arange(n)%7, shuffle='stratified'),
    chosen=lambda n: dict(sel_vars=[0,2], sel_steps=slice(2, 10), splits=[range(n-99), range(n-99, n)]),
    counts=lambda n: dict(packing=Packing([.5,2.], [0.,7.], -7), mask=True))

class Stop(Callback):
    def after_step(self):
        if self.train_iter == 3: raise CancelFitException

def exported(kind, n, d):
    "(learner, its file): from `n` rows, after some batches"
    d.mkdir()
    X = data[kind](d, n)
    set_seed(0)
    if kind == 'windows': dls,model = TSDataLoaders.from_arrays(X, bs=50, device='cpu', batch_tfms=Standardize()),Last(2, 2, 2)
    else: dls,model = labelled(X, **opts.get(kind, lambda n: {})(n))
    learn = Learner(dls, model, path=d.parent)
    quietly(learn, 'fit', 1, cbs=Stop())
    learn.export(f'{d.name}.pkl')
    return learn,d.parent/f'{d.name}.pkl'

@pytest.mark.parametrize('kind', data)
def test_the_size_of_an_exported_learner_does_not_depend_on_the_rows(tmp_path, kind):
    small,large = [exported(kind, n, tmp_path/f'{n}')[1].stat().st_size for n in (1000,1_000_000)]
    assert abs(large-small) < 1000 and large < 60_000

def test_new_files_are_predicted_where_the_training_data_is_not(tmp_path):
    new,want,later = tmp_path/'new',{},{}
    new.mkdir()
    for kind in data:
        learn,file = exported(kind, 1000, tmp_path/kind)
        (new/kind).mkdir()
        X = data[kind](new/kind, 70)
        later[kind] = file,(X if kind in ('windows','ragged') else X.filename)
        want[kind] = quietly(learn, 'get_preds', dl=learn.dls.test_dl(X))[0].numpy()
        shutil.rmtree(tmp_path/kind)
    code = """
        from fastai.basics import load_learner
        from fastai.callback.progress import *
        res = {}
        for kind,(file,X) in args[0].items():
            learn = load_learner(file)
            with learn.no_bar(): res[kind] = learn.get_preds(dl=learn.dls.test_dl(X))[0].numpy(), getattr(learn.dls, 'vocab', None)"""
    got = fresh(code, later)
    for kind,(preds,vocab) in got.items():
        assert len(preds) == 70 and np.ptp(preds) > 0 and (vocab is None) == (kind == 'windows')
        np.testing.assert_allclose(preds, want[kind], rtol=1e-5, atol=1e-6, err_msg=kind)

# Memory

peaks = """
    import threading, torch
    from fastai.basics import *
    from fastai.callback.progress import *
    from fastai.interpret import *
    from tsdisk.all import *
    from tsdisk.tools.demo import private_memory, small_cnn
    from test_training import Last
    torch.set_num_threads(1)
    def most(f):
        stop,seen = threading.Event(),[private_memory()]
        def watch():
            while not stop.wait(.002): seen.append(private_memory())
        t = threading.Thread(target=watch)
        t.start()
        try: f()
        finally: stop.set()
        t.join()
        plt.close('all')
        return max(seen)-seen[0]
    file,n = args
    dls = TSDataLoaders.from_arrays(file, np.arange(n)%3, splits=[range(512), range(512, n)], bs=256, device='cpu', batch_tfms=Standardize())
    def learner(model): return Learner(dls, model, metrics=accuracy)
"""

@pytest.fixture(scope='module')
def large(tmp_path_factory):
    "200 MB"
    n,d = 8000,tmp_path_factory.mktemp('large')
    yield series(d, n, 50, 125).filename,n
    shutil.rmtree(d)

@linux
def test_looking_at_results_takes_the_memory_of_batches(large):
    "Inputs that are asked for are all held"
    grown = fresh(peaks + """
    learn = learner(small_cnn(50, 3))
    def interp(): return ClassificationInterpretation.from_learner(learn)
    calls = dict(get_preds=lambda: learn.get_preds(with_loss=True, with_decoded=True), validate=learn.validate, predict=lambda: learn.predict(open_array(file)[3]),
        show_results=learn.show_results, show_batch=dls.show_batch, confusion=lambda: interp().confusion_matrix(), top_losses=lambda: interp().plot_top_losses(4),
        with_input=lambda: learn.get_preds(dl=dls.test_dl(open_array(file)[:n//2]), with_input=True))
    with learn.no_bar(), learn.no_logging(): res = {k: most(f) for k,f in calls.items()}""", *large)
    assert grown.pop('with_input') > 100e6 > max(grown.values()), grown

@linux
def test_memory_that_falls_to_pieces_can_be_given_back(large):
    "Small outputs kept between large parts that are freed: the C library may use those no more"
    grown = fresh(peaks + """
    learn = learner(Last(50, 3))
    with learn.no_bar(): res = most(learn.get_preds)""", *large, env=dict(MALLOC_MMAP_THRESHOLD_='1048576'))
    assert grown < 80e6

class Masked(nn.Module):
    "Features of the steps that are there"
    def __init__(self):
        super().__init__()
        self.conv,self.head = nn.Conv1d(3, 8, 5, padding=2),nn.Linear(8, 2)
    def forward(self, x, mask):
        mask = mask[:,None]
        return self.head((self.conv(x-x.mean(-1, keepdim=True)).relu()*mask).sum(-1)/mask.sum(-1))

def test_a_compiled_model_trains_on_series_and_their_mask():
    "fastai gives models plain tensors; of each length, one for the compiler"
    lengths = np.random.default_rng(0).integers(10, 40, 60)
    r = Ragged(filled((lengths.sum(), 3)), np.append(0, lengths.cumsum()))
    dls = TSDataLoaders.from_arrays(r, np.arange(60)%2, bs=16, seed=1, device='cpu')
    model = Masked()
    learn = Learner(dls, torch.compile(model, backend='aot_eager'), loss_func=nn.CrossEntropyLoss())
    before = model.conv.weight.clone()
    quietly(learn, 'fit', 2, 1e-2)
    assert (model.conv.weight != before).any()
    preds = quietly(learn, 'get_preds')[0]
    assert torch.allclose(preds, quietly(Learner(dls, model, loss_func=nn.CrossEntropyLoss()), 'get_preds')[0], atol=1e-5)
