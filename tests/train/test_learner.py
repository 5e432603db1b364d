"fastai's `Learner` and its callbacks, on rows from disk: training, predictions in order, export without data, memory"
import copy, gc, pickle
import numpy as np, pytest, torch
from fastai.basics import Learner, accuracy, set_seed
from fastai.callback.core import Callback
from fastai.callback import fp16, mixup, progress, schedule, tracker, training
from fastai.interpret import ClassificationInterpretation
from fasttransform import Transform
from torch import nn
from conftest import filled, fresh, linux, ramp, rows, same, wave_names, waves
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.folder.manifest import save_folder
from tsdisk.disk.items import itemify
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.transforms import Standardize

pytestmark = [pytest.mark.usefixtures('quiet','one_thread'), pytest.mark.filterwarnings('ignore')]

names = np.array(wave_names)

def net(c_in=2, c_out=3):
    body = nn.Conv1d(c_in, 16, 9, padding=4),nn.ReLU(),nn.AdaptiveMaxPool1d(1)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(16, c_out))

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "600 waves on disk"
    d = tmp_path_factory.mktemp('waves')
    save_folder(d, *waves(600), splits=dict(train=range(450), valid=range(450, 600)))
    return d

def learner(folder, cbs=None, path=None, **kw):
    set_seed(0)
    dls = TSDataLoaders.from_folder(folder, bs=32, seed=1, device='cpu', **kw)
    return Learner(dls, net(), metrics=accuracy, cbs=cbs, path=path)

def fit(learn, epochs=1, lr=1e-2):
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, lr)
    return learn

class First(nn.Module):
    "Predicts the first value of each row, which tells its number"
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))
    def forward(self, x): return x[:, 0, :1]*self.w

def first(n=100, y=True, **kw):
    dls = TSDataLoaders.from_arrays(ramp(n), np.arange(n, dtype='f8')*6 if y else None, **{'bs': 8, 'device': 'cpu', 'seed': 0, **kw})
    return Learner(dls, First(), loss_func=None if y else nn.MSELoss())

def order_of(preds): return (preds[:,0]/6).long().tolist()

# Training

@pytest.mark.parametrize('kw', [{}, dict(num_workers=2), dict(batch_tfms=Standardize())], ids=['plain','workers','standardize'])
def test_an_easy_problem_is_learned(folder, kw):
    learn = fit(learner(folder, **kw), 5, 2e-2)
    assert learn.recorder.values[-1][-1] > .9 and len(learn.recorder.losses) == 5*14

def test_training_from_disk_is_training_from_memory(folder):
    X,y = [np.array(open_array(folder/f'{o}.npy')) for o in 'Xy']
    losses = []
    for a,b in ((folder/'X.npy', folder/'y.npy'), (X, y), (torch.tensor(X), y.tolist())):
        set_seed(0)
        dls = TSDataLoaders.from_arrays(a, b, splits=[range(450),range(450, 600)], bs=32, seed=1, device='cpu')
        losses.append([o.item() for o in fit(Learner(dls, net()), 2).recorder.losses])
    assert losses[0] == losses[1] == losses[2] and len(losses[0]) == 28

callbacks = dict(accumulation=lambda: training.GradientAccumulation(100), half=fp16.MixedPrecision, mixup=mixup.MixUp, log=progress.CSVLogger,
    clip=training.GradientClip, plateau=tracker.ReduceLROnPlateau, nan=tracker.TerminateOnNaNCallback, save=tracker.SaveModelCallback,
    short=lambda: training.ShortEpochCallback(.5), stop=lambda: tracker.EarlyStoppingCallback(patience=1, min_delta=9),
    lr=lambda: schedule.ParamScheduler(dict(lr=schedule.SchedCos(1e-3, 1e-2))))

@pytest.mark.parametrize('name', callbacks)
def test_callbacks_of_fastai_work(folder, tmp_path, name):
    learn = learner(folder, cbs=callbacks[name](), path=tmp_path)
    fit(learn, 3)
    assert learn.epoch == (1 if name == 'stop' else 2) and np.isfinite(learn.recorder.losses).all()
    if name == 'save': assert (tmp_path/'models/model.pth').exists()
    if name == 'log': assert len((tmp_path/'history.csv').read_text().splitlines()) == 4
    if name == 'short': assert len(learn.recorder.losses) == 3*7

def test_lr_find_and_one_cycle(folder, tmp_path):
    learn = learner(folder, path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        lr = learn.lr_find(num_it=30, show_plot=False).valley
        learn.fit_one_cycle(1, lr)
    assert 1e-7 < lr < 10

def test_validate_is_the_loss_over_all_rows():
    learn = first(99, splits=[range(40),range(40, 99)])
    with torch.no_grad(): learn.model.w.fill_(.5)
    with learn.no_bar(): loss, = learn.validate()
    assert np.isclose(loss, ((np.arange(40, 99)*3.)**2).mean(), rtol=1e-5)

# Predictions

splits = [np.array([9,3,88,*range(20, 60)]),np.array([99,1,50+30,0,7])]

@pytest.mark.parametrize('workers', [0,2])
def test_predictions_come_in_the_order_of_the_rows(workers):
    learn = first(splits=splits, num_workers=workers)
    with learn.no_bar():
        for i,want in enumerate(splits):
            preds,targs = learn.get_preds(ds_idx=i)
            assert order_of(preds) == want.tolist() and targs.tolist() == (want*6).tolist()
        shuffled = learn.dls.train.new(drop_last=False)
        assert shuffled.shuffle and order_of(learn.get_preds(dl=shuffled)[0]) == splits[0].tolist()
        assert order_of(learn.get_preds(dl=learn.dls.train)[0]) == splits[0].tolist() # It drops the last batch in training
        seen = order_of(learn.get_preds(dl=shuffled, reorder=False)[0])
        assert sorted(seen) == sorted(splits[0]) and seen != splits[0].tolist()
        x,preds,targs,losses = learn.get_preds(with_input=True, with_loss=True)
        assert rows(x) == splits[1].tolist() == order_of(preds) and losses.shape == (5,) and losses.max() == 0

@pytest.mark.parametrize('n', [1,7,8,9,1000])
def test_predictions_of_new_rows_are_all_there(n):
    learn = first(50)
    with learn.no_bar(): preds,targs = learn.get_preds(dl=learn.dls.test_dl(ramp(n)))
    assert order_of(preds) == [*range(n)] and targs is None

def test_predictions_of_chosen_items():
    learn = first(50)
    with learn.no_bar(): preds,_ = learn.get_preds(dl=learn.dls.test_dl(itemify(ramp(50))[[30,2,44]]))
    assert order_of(preds) == [30,2,44]

def test_learner_without_targets_predicts():
    learn = first(50, y=False)
    with learn.no_bar(): assert order_of(learn.get_preds(ds_idx=0)[0]) == learn.dls.train_ds.idxs.tolist()

@pytest.mark.parametrize('form', ['array','memmap','tensor','TSTensor','sample','pair'])
def test_predict_decodes_one_sample(folder, form):
    learn = fit(learner(folder), 5, 2e-2)
    X,y = open_array(folder/'X.npy'),open_array(folder/'y.npy')
    ds = learn.dls.valid_ds
    right = 0
    for i in range(10):
        x = X[450+i]
        forms = dict(array=np.array(x), memmap=x, tensor=torch.tensor(x), TSTensor=ds[i][0], sample=ds[i], pair=(x,y[450+i]))
        item = forms[form]
        with learn.no_bar(): label,at,probs = learn.predict(item)
        assert label == names[at] and probs.argmax() == at and abs(probs.sum()-1) < 1e-5
        right += label == y[450+i]
    assert right >= 8

def test_predict_gives_inputs_and_numbers(folder):
    learn = first(50, batch_tfms=Standardize())
    with learn.no_bar(): x,targ,_,pred = learn.predict(ramp(50)[7], with_input=True)
    np.testing.assert_allclose(x, ramp(50)[7], rtol=1e-5)
    np.testing.assert_allclose(targ, pred)

def test_interpretation_finds_the_rows(folder):
    learn = fit(learner(folder), 2)
    with learn.no_bar():
        interp = ClassificationInterpretation.from_learner(learn)
        assert interp.confusion_matrix().sum() == 150
        losses,idxs = interp.top_losses(5)
        each = learn.get_preds(with_loss=True)[-1]
        inputs,_,targs,*_ = interp[idxs]
    same(losses.numpy(), each[idxs].numpy())
    same(inputs.numpy(), np.array(open_array(folder/'X.npy')[450:])[idxs])
    assert names[targs].tolist() == open_array(folder/'y.npy')[450:][idxs].tolist()

# Export

def test_exported_learner_holds_no_data_and_predicts_the_same(tmp_path):
    sizes = []
    for n in (600,6000):
        d = tmp_path/str(n)
        X,y = waves(n)
        X.view('u1').reshape(-1)[5000:5016] = np.frombuffer(b'SENTINEL IN DATA', 'u1')
        idxs = np.random.default_rng(0).permutation(n)
        save_folder(d, X, y, dict(train=idxs[:-100], valid=idxs[-100:]))
        for k,args in dict(disk=(d/'X.npy', d/'y.npy'), memory=(X, y.tolist())).items():
            kw = dict(splits=[idxs[:-100],idxs[-100:]], bs=32, seed=1, device='cpu', batch_tfms=Standardize())
            dls = TSDataLoaders.from_arrays(*args, **kw)
            learn = fit(Learner(dls, net(), metrics=accuracy, path=tmp_path))
            learn.export(f'{k}.pkl')
            data = (tmp_path/f'{k}.pkl').read_bytes()
            sizes.append(len(data))
            assert b'slow' in data
            numbers = idxs[:4].tobytes(),idxs[-4:].tobytes(),idxs[:4].astype('i4').tobytes()
            for o in (b'SENTINEL', X[7].tobytes()[:40], *numbers, b'.npy'): assert o not in data, f'{k}: {o}'
        with learn.no_bar():
            preds,_ = learn.get_preds()
            one = learn.predict(X[idxs[-1]])
    assert max(sizes)-min(sizes) < 2000 and max(sizes) < 200_000
    again,label,vocab,empty = fresh("""
        import numpy as np
        from fastai.basics import load_learner
        path,X,i = args
        learn = load_learner(path)
        with learn.no_bar():
            preds,_ = learn.get_preds(dl=learn.dls.test_dl(X))
            label = learn.predict(np.load(X, mmap_mode='r')[i])[0]
        res = preds.numpy(), label, list(learn.dls.vocab), [len(o.dataset) for o in learn.dls]""", tmp_path/'memory.pkl', d/'X.npy', int(idxs[-1]))
    np.testing.assert_allclose(again[idxs[-100:]], preds.numpy(), atol=1e-5)
    assert label == one[0] and vocab == names.tolist() and empty == [0,0]

def test_model_can_be_saved_and_loaded(folder, tmp_path):
    learn = fit(learner(folder, path=tmp_path))
    learn.save('mine')
    other = learner(folder, path=tmp_path).load('mine')
    with learn.no_bar(), other.no_bar(): same(other.get_preds()[0].numpy(), learn.get_preds()[0].numpy())

def test_learner_can_be_pickled_and_copied(folder):
    learn = learner(folder)
    for o in (pickle.loads(pickle.dumps(learn)), copy.deepcopy(learn)):
        with o.no_bar(), learn.no_bar(): same(o.get_preds()[0].numpy(), learn.get_preds()[0].numpy())

# Memory

@pytest.fixture(scope='module')
def two_gb(tmp_path_factory):
    "80,000 rows of 25 kB, 2 GB"
    d = tmp_path_factory.mktemp('big')
    chunk = filled((2000,50,125))
    save_array(d/'X.npy', (chunk+i for i in range(40)))
    save_array(d/'y.npy', np.array(['run','sit','walk'])[np.arange(80_000)%3])
    yield d
    (d/'X.npy').unlink()

@linux
@pytest.mark.parametrize('tfm', ['None','Standardize()'])
def test_memory_is_that_of_batches_in_flight(two_gb, tfm):
    "Statistics, an epoch, predictions of all training rows, training and validation, on 2 GB"
    grown,size,seen,n = fresh("""
        import torch
        from torch import nn
        from fastai.basics import *
        from conftest import rss_anon
        from tsdisk.all import *
        torch.nn.Linear(9, 9)(torch.ones(9, 9)).sum().backward()
        base,peak,seen = rss_anon(),{},0
        def note(k): peak[k] = max(peak.get(k, 0), rss_anon()-base)
        class Note(Callback):
            def after_batch(self): note('fit' if self.training else 'validate')
        class Predict(Callback):
            def after_batch(self): note('predict')
        dls = TSDataLoaders.from_arrays(args[0]/'X.npy', args[0]/'y.npy', bs=256, seed=0, device='cpu', batch_tfms=eval(args[1]))
        note('build')
        for xb,yb in dls.train:
            seen += len(xb)
            note('epoch')
        learn = Learner(dls, nn.Sequential(nn.AvgPool1d(25), nn.Flatten(), nn.Linear(250, 3)))
        with learn.no_bar(), learn.no_logging():
            preds,targs = learn.get_preds(ds_idx=0, cbs=Predict())
            learn.add_cb(Note())
            learn.fit(1)
        res = peak, dls.train_ds.tls[0].items.nbytes/1e6, seen, len(preds)""", two_gb, tfm)
    assert size == 2000 and seen == 64_000//256*256 and n == 64_000
    assert set(grown) == {'build','epoch','predict','fit','validate'}
    assert max(grown.values()) < 100+12*256*.025, f'MB: {grown}'

class Scale(Transform):
    "As users write them: for inputs alone"
    def encodes(self, x:TSTensor): return x*2

@pytest.mark.parametrize('tfms', [None, Standardize(), Scale(), [Standardize(),Scale()]], ids=['none','standardize','mine','both'])
def test_memory_is_given_back_without_the_garbage_collector(tfms):
    read = ReadOptions(group_bytes=0)
    dls = TSDataLoaders.from_arrays(*waves(600), bs=16, seed=0, device='cpu', batch_tfms=copy.deepcopy(tfms), read=read)
    most = []
    class Count(Callback):
        def after_batch(self): most.append(len(self.dl.pools.columns[0].stored.out))
    learn = Learner(dls, net(), cbs=Count())
    gc.collect()
    gc.disable()
    try:
        for _ in dls.train: most.append(len(dls.train.pools.columns[0].stored.out))
        fit(learn)
        with learn.no_bar(): learn.get_preds()
    finally: gc.enable()
    assert len(most) == 30+30+8+8 and max(most) <= 3, f'{max(most)} batches are alive at a time'

@linux
def test_memory_of_many_epochs_does_not_grow(tmp_path):
    save_array(tmp_path/'X.npy', filled((20_000,5,50)))
    early,late = fresh("""
        from conftest import rss_anon
        from fastai.basics import *
        from tsdisk.all import *
        dls = TSDataLoaders.from_arrays(args[0]/'X.npy', np.arange(20_000)%3, bs=64, device='cpu', batch_tfms=Standardize())
        def go(k):
            for _ in range(k):
                for dl in dls:
                    for b in dl: pass
            return rss_anon()
        res = go(5), go(20)""", tmp_path)
    assert late-early < 10, f'{late-early:.1f} MB in 20 epochs'

def test_tta_runs(folder):
    learn = learner(folder)
    with learn.no_bar(): preds,targs = learn.tta(n=2)
    assert preds.shape == (150,3) and targs.tolist() == torch.cat([b[1] for b in learn.dls.valid]).tolist()

def test_shuffled_blocks_train_as_well_as_an_exact_shuffle(tmp_path):
    "Rows sorted by class, five seeds"
    rng,y = np.random.default_rng(0),np.arange(6000)//1500
    x = (rng.normal(size=(6000,3,20)) + .3*np.sin(np.arange(20)*(y[:,None,None]+1)/3)).astype('f4')
    X,valid = save_array(tmp_path/'X.npy', x),np.arange(0, 6000, 4)
    read = ReadOptions(block_bytes=3600, buffer_bytes=64*3600) # 15 and 960 rows of 240 bytes, as many blocks as by default
    def trained(shuffle, seed):
        set_seed(seed)
        ds = TSDatasets(X, y, splits=[np.setdiff1d(np.arange(6000), valid),valid])
        train = TSDataLoader(ds.train, bs=64, shuffle=shuffle, seed=seed, read=read)
        dls = TSDataLoaders(train, TSDataLoader(ds.valid, bs=500, read=read))
        model = nn.Sequential(nn.Flatten(), nn.Linear(60, 32), nn.ReLU(), nn.Linear(32, 4))
        learn = Learner(dls, model, loss_func=nn.CrossEntropyLoss(), metrics=accuracy)
        with learn.no_bar(), learn.no_logging(): learn.fit(3, 5e-3)
        return learn.recorder.values[-1][-1]
    exact,blocks,unshuffled = [np.mean([trained(o, s) for s in range(5)]) for o in (True,'block',False)]
    assert abs(exact-blocks) < .01 < exact-unshuffled, (exact, blocks, unshuffled)
