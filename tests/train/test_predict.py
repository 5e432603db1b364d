"Predictions on disk: the right rows, in memory that does not grow, whatever happens"
import errno, shutil, signal, subprocess, sys, textwrap, time
from copy import copy, deepcopy
from functools import partial
from types import SimpleNamespace
import numpy as np, pytest, torch
from fastai.basics import AccumMetric, Callback, CancelValidException, Learner, nn, noop
from fastai.callback.progress import *
from fastai.callback.schedule import *
from fastai.callback.tracker import *
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from fasttransform import Transform
from conftest import fails, filled, fresh, linux, same, test_folders
from tsdisk.train import predict, writer
from tsdisk.data.augment import Jitter
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.ragged_files import save_ragged
from tsdisk.train.predict import preds_to_disk
from tsdisk.train.stitch import stitch_forecasts
from tsdisk.data.transforms import Standardize, StandardizeTarget
from tsdisk.series.windows import Windows

def quiet(learn, *args, **kwargs):
    with learn.no_bar(): return preds_to_disk(learn, *args, **kwargs)

class Net(nn.Module):
    "Numbers of a series that depend on all of it"
    def __init__(self, vars, out, shape=None):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv1d(vars, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.head = nn.Linear(8, out)
        self.shape = shape
    def forward(self, x, *others):
        res = self.head(self.body(x))
        return res if self.shape is None else res.reshape(-1, *self.shape)

def learner(X=None, y=None, out=3, shape=None, cbs=None, loss=None, **kwargs):
    X = filled((103,2,20)) if X is None else X
    dls = TSDataLoaders.from_arrays(X, y, bs=8, seed=0, device='cpu', **kwargs)
    return Learner(dls, Net(dls.vars, out, shape), cbs=cbs, loss_func=loss)

classes = np.array(['a','bb','c'])[np.arange(103)%3]
all_of = dict(targs=True, losses=True, decoded=True)

def check(learn, dl, path, decoded=True, **kwargs):
    "What is on disk is what `get_preds` gives, row for row"
    kw = dict(with_decoded=True, with_loss=True)
    with learn.no_bar(): want = learn.get_preds(dl=dl.new(shuffle=False, drop_last=False), **kw)
    got = quiet(learn, dl, path, **all_of, **kwargs)
    for k,o in dict(preds=want[0], targs=want[1], losses=want[3]).items(): np.testing.assert_allclose(got[k], o, rtol=1e-6)
    assert sorted(o.name for o in path.iterdir()) == sorted([*(f'{o}.npy' for o in got),'run.json'])
    assert not path.with_name(f'{path.name}.part').exists()
    return got,want

def test_classes(tmp_path):
    learn = learner(y=classes, batch_tfms=[Standardize(), Jitter(.1)])
    got,want = check(learn, learn.dls.valid, tmp_path/'p')
    same(got.decoded, np.array(learn.dls.vocab)[want[2]])
    assert [*got] == ['decoded','losses','preds','targs'] and isinstance(got.preds, np.memmap)

def test_shuffled_weighted_or_partial_loaders_give_each_row_at_its_place(tmp_path):
    learn = learner(y=classes, partial_n=20, weights=dict(a=1, bb=2, c=3))
    got,_ = check(learn, learn.dls.train, tmp_path/'p')
    ds = learn.dls.train.dataset
    same(got.targs, ds.tls[1].kind.to_tensor(classes[np.asarray(ds.idxs)]).numpy())

def test_workers_change_nothing(tmp_path):
    learn = learner(y=classes)
    with_workers = quiet(learn, learn.dls.valid.new(num_workers=2), tmp_path/'a')
    same(with_workers.preds, quiet(learn, learn.dls.valid, tmp_path/'b').preds)

def test_targets_in_their_units(tmp_path):
    y = filled(103)*100+5
    learn = learner(y=y, out=1, batch_tfms=StandardizeTarget())
    got,_ = check(learn, learn.dls.valid, tmp_path/'p')
    f = learn.dls.valid.after_batch.fs[0]
    np.testing.assert_allclose(got.decoded, got.preds[:,0]*float(f.std) + float(f.mean), rtol=1e-4)

def test_labels_of_steps_and_several_labels(tmp_path):
    steps = np.array(['x','y'])[np.arange(103*4).reshape(103,4)%2]
    learn = learner(y=steps, out=8, shape=(2,4))
    got,want = check(learn, learn.dls.valid, tmp_path/'p')
    assert got.preds.shape[1:] == (2,4)
    same(got.decoded, np.array(['x','y'])[want[2]])
    learn = learner(y=(np.arange(309).reshape(103,3)%2).astype('f4'), loss=BCEWithLogitsLossFlat(thresh=.5))
    with learn.no_bar(): want = learn.get_preds()[0]
    np.testing.assert_allclose(quiet(learn, learn.dls.valid, tmp_path/'q').preds, want, rtol=1e-6)

def test_windows_masks_and_ragged_series(tmp_path):
    w = Windows(filled((400,2)), 20, horizon=3)
    learn = learner(w, out=6, shape=(2,3))
    check(learn, learn.dls.valid, tmp_path/'w')
    learn = learner(y=classes, mask=True)
    check(learn, learn.dls.valid, tmp_path/'m')
    r = save_ragged(tmp_path/'r', [filled((2, 9+i%7), seed=i) for i in range(103)])
    learn = learner(r, classes)
    check(learn, learn.dls.train, tmp_path/'x')

def test_outputs_of_a_layer(tmp_path):
    learn = learner(y=classes)
    got = quiet(learn, learn.dls.valid, tmp_path/'p', layer='body')
    x = torch.cat([b[0] for b in learn.dls.valid])
    with torch.no_grad(): np.testing.assert_allclose(got.layer, learn.model.body(x), rtol=1e-5, atol=1e-6)
    assert not learn.model.body._forward_hooks

def test_new_samples_need_no_targets(tmp_path):
    learn = learner(y=classes)
    X = filled((11,2,20), seed=1)
    got = quiet(learn, learn.dls.test_dl(X), tmp_path/'p', decoded=True)
    with learn.no_bar(): same(got.preds, learn.get_preds(dl=learn.dls.test_dl(X))[0].numpy())
    with fails(ValueError, 'no targets'): preds_to_disk(learn, learn.dls.test_dl(X), tmp_path/'q', losses=True)

def test_halves_are_stored_as_floats(tmp_path):
    learn = learner(y=classes, loss=nn.CrossEntropyLoss())
    learn.model.head = nn.Sequential(learn.model.head, SimpleModule(lambda t: t.bfloat16()))
    assert quiet(learn, learn.dls.test_dl(filled((11,2,20))), tmp_path/'p').preds.dtype == np.float32

class SimpleModule(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f
    def forward(self, x): return self.f(x)

@pytest.mark.parametrize('world_size', [1,2,3,11])
def test_processes_share_the_work(tmp_path, world_size):
    learn = learner(y=classes)
    want = quiet(learn, learn.dls.train, tmp_path/'a').preds
    ranks = [*range(world_size)][::-1]
    for o in ranks[:-1]:
        res = quiet(learn, learn.dls.train, tmp_path/'b', rank=o, world_size=world_size)
        assert res is None and not (tmp_path/'b').exists()
    same(quiet(learn, learn.dls.train, tmp_path/'b', rank=ranks[-1], world_size=world_size).preds, want)

code = """
import numpy as np, sys, torch
sys.path[:0] = {paths!r}
from test_predict import learner, classes, preds_to_disk, Callback, filled
class Slow(Callback):
    def after_batch(self): {each}
learn = learner(filled((1003,2,20)), np.arange(1003)%3, cbs=Slow(), valid_pct=.9)
import tsdisk.train.writer
tsdisk.train.writer.RowWriter.sync_every = .01
with learn.no_bar(): preds_to_disk(learn, learn.dls.valid, {path!r}, targs=True, losses=True, decoded=True, layer='body', **{kw})
"""
def start(path, each='pass', **kw):
    text = textwrap.dedent(code).format(paths=test_folders, each=each, path=str(path), kw=kw)
    return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', text], stderr=subprocess.PIPE)

def equal_files(a, b, names): return all((a/f'{o}.npy').read_bytes() == (b/f'{o}.npy').read_bytes() for o in names)

def test_goes_on_after_kills_to_the_same_bits(tmp_path):
    assert start(tmp_path/'whole').wait() == 0
    kills = 0
    for wait in (.05,.1,.15,.2):
        p = start(tmp_path/'p', 'import time; time.sleep(.01)')
        deadline = time.time()+60
        while not (tmp_path/'p.part'/'0.json').exists() and p.poll() is None and time.time() < deadline: time.sleep(.01)
        time.sleep(wait)
        kills += p.poll() is None
        p.send_signal(signal.SIGKILL)
        p.communicate()
        if (tmp_path/'p').exists(): break
    assert kills
    assert start(tmp_path/'p', "assert len(self.dl.ranges) == 2").wait() == 0 # Not from the start again
    assert equal_files(tmp_path/'p', tmp_path/'whole', ('preds','targs','losses','decoded','layer'))
    assert not [*(tmp_path/'p').glob('.*')]

def test_processes_at_the_same_time(tmp_path):
    whole = start(tmp_path/'whole')
    both = [start(tmp_path/'p', rank=o, world_size=3) for o in range(3)]
    for o in (whole,*both): assert o.wait() == 0, o.stderr.read().decode()[-2000:]
    assert equal_files(tmp_path/'p', tmp_path/'whole', ('preds','decoded'))
    assert sorted(o.name for o in tmp_path.iterdir()) == ['p','whole']

def test_another_process_publishes_between_two_syncs(tmp_path, monkeypatch):
    "As it may once the last rows are in the journal of this process, which syncs once more at its end"
    learn = learner(y=classes)
    quiet(learn, learn.dls.train, tmp_path/'p', rank=1, world_size=2)
    others = writer.rows_done(tmp_path/'p.part', 1)
    sync = writer.RowWriter.sync
    def sync_then_publish(self, rows):
        sync(self, rows)
        writer.publish_run(self.folder, tmp_path/'p', [self.n-others, others])
    monkeypatch.setattr(writer.RowWriter, 'sync', sync_then_publish)
    monkeypatch.setattr(writer.RowWriter, 'sync_every', 0)
    preds = quiet(learn, learn.dls.train, tmp_path/'p', rank=0, world_size=2).preds
    same(preds, quiet(learn, learn.dls.train, tmp_path/'whole').preds)
    assert not (tmp_path/'p.part').exists()

class Stop(Callback):
    def __init__(self, at, err=KeyboardInterrupt): self.stop,self.err = at,err
    def after_batch(self):
        if self.iter == self.stop: raise self.err

def stopped(learn, dl, path, **kwargs):
    with pytest.raises(KeyboardInterrupt), learn.added_cbs(Stop(5)): quiet(learn, dl, path, **kwargs)

def test_another_model_or_other_data_do_not_go_on(tmp_path):
    np.save(tmp_path/'X.npy', filled((103,2,20)))
    learn = learner(tmp_path/'X.npy', classes)
    stopped(learn, learn.dls.train, tmp_path/'p')
    for kw in (dict(targs=True), dict(layer='body'), dict(rank=0, world_size=2)):
        with fails(ValueError, 'made with a different', 'delete'): quiet(learn, learn.dls.train, tmp_path/'p', **kw)
    with fails(ValueError, 'different bs'): quiet(learn, learn.dls.train.new(bs=4), tmp_path/'p')
    with fails(ValueError, 'different data'): quiet(learn, learn.dls.valid, tmp_path/'p')
    other = learner(tmp_path/'X.npy', classes[::-1].copy())
    learn.dls.train.dataset.tls[-1].items = other.dls.train.dataset.tls[-1].items
    with fails(ValueError, 'different data'): quiet(learn, learn.dls.train, tmp_path/'p')
    learn = learner(tmp_path/'X.npy', classes)
    np.save(tmp_path/'X.npy', filled((103,2,20), seed=1))
    with fails(ValueError, 'different data'): quiet(learn, learn.dls.train, tmp_path/'p')
    np.save(tmp_path/'X.npy', filled((103,2,20)))
    with torch.no_grad(): learn.model.head.bias.add_(1e-3)
    with fails(ValueError, 'different model'): quiet(learn, learn.dls.train, tmp_path/'p')
    shutil.rmtree(tmp_path/'p.part')
    with fails(OSError, 'X.npy was rewritten since it was opened'): quiet(learn, learn.dls.train, tmp_path/'p')
    shutil.rmtree(tmp_path/'p.part')
    quiet(learn, learner(tmp_path/'X.npy', classes).dls.train, tmp_path/'p')

changed = dict(act='act', loss='act', transforms='transforms', batchnorm='model')

@pytest.mark.parametrize('change', changed)
@pytest.mark.parametrize('whole', [False,True])
def test_predictions_that_would_mean_something_else_do_not_go_on(tmp_path, change, whole):
    "Nor are those opened that are there, where it can be told without predicting"
    def made(**kw): return learner(y=classes, **kw)
    learn = made()
    (quiet if whole else stopped)(learn, learn.dls.train, tmp_path/'p')
    if change == 'loss':
        learn.loss_func = copy(learn.loss_func)
        learn.loss_func.activation = torch.sigmoid
    if change == 'transforms': learn = made(batch_tfms=Standardize())
    if change == 'batchnorm': learn.model.head = nn.Sequential(learn.model.head, nn.BatchNorm1d(3))
    act = noop if change == 'act' else None
    with fails(ValueError, f'a different {changed[change]}'): quiet(learn, learn.dls.train, tmp_path/'p', act=act)
    assert (tmp_path/'p').exists() == whole

def test_predictions_that_come_out_otherwise_do_not_go_on(tmp_path):
    "What has no name and no weights is seen in the first batch"
    learn = learner(y=classes)
    stopped(learn, learn.dls.train, tmp_path/'p')
    learn.model.register_forward_hook(lambda m, x, res: res*2)
    with fails(ValueError, 'differs from'): quiet(learn, learn.dls.train, tmp_path/'p')

class Other(Transform):
    "Drops or doubles rows"
    def __init__(self, how): self.how = how
    def __call__(self, b, split_idx=None, **kwargs): return tuple([self.other(o) for o in b])
    def other(self, o): return torch.cat([o,o]) if self.how == 'double' else o[1:]

@pytest.mark.parametrize('how', ['drop','double'])
def test_each_row_has_one_prediction(tmp_path, how):
    learn = learner(y=classes, batch_tfms=Other(how))
    for _ in range(2):
        words = f'A batch of 8 rows reached the model as {dict(drop=7, double=16)[how]}'
        with fails(ValueError, words): quiet(learn, learn.dls.train, tmp_path/'p')
    assert not (tmp_path/'p').exists()

class Ends(Callback):
    def after_batch(self):
        if self.iter == 2: raise CancelValidException

def test_a_pass_that_a_callback_ends_is_no_whole_one(tmp_path):
    learn = learner(y=classes)
    want = np.array(quiet(learn, learn.dls.train, tmp_path/'q').preds)
    with learn.added_cbs(Ends()), fails(RuntimeError, 'after 16 of 82 rows'): quiet(learn, learn.dls.train, tmp_path/'p')
    same(quiet(learn, learn.dls.train, tmp_path/'p').preds, want)

def test_labels_of_a_model_with_one_output(tmp_path):
    y = np.array(['no','yes'])[np.arange(103)%2]
    for bs in (8,2):
        learn = learner(y=y, out=1, loss=BCEWithLogitsLossFlat())
        res = quiet(learn, learn.dls.valid.new(bs=bs), tmp_path/f'{bs}', decoded=True)
        assert res.decoded.shape == (len(res.preds),)
        assert (res.decoded == np.where(res.preds[:,0] > .5, 'yes', 'no')).all()

def test_a_layer_that_is_not_used_is_said(tmp_path):
    learn = learner(y=classes)
    learn.model.idle = nn.Linear(2, 2)
    with fails(ValueError, 'did not use that layer'): quiet(learn, learn.dls.valid, tmp_path/'p', layer='idle')

def test_what_others_wrote_is_left_alone(tmp_path):
    "A folder, or a file, of the name under which unfinished work is kept"
    learn,w = learner(y=classes),Windows(filled((54,2)), 4, horizon=4, gap=0)
    for o in ('p','s'):
        (tmp_path/f'{o}.part').mkdir()
        (tmp_path/f'{o}.part'/'precious.txt').write_text('x')
    (tmp_path/'f.part').write_text('x')
    for o in 'pf':
        with fails(FileExistsError, f'{o}.part', 'another path'): quiet(learn, learn.dls.valid, tmp_path/o)
    stitch_forecasts(filled((len(w),2,4)), TSDatasets(w), tmp_path/'s')
    assert all((tmp_path/f'{o}.part'/'precious.txt').exists() for o in 'ps') and (tmp_path/'f.part').exists()

def test_a_finished_call_made_again_opens_what_there_is(tmp_path):
    learn = learner(y=classes)
    want = np.array(quiet(learn, learn.dls.train, tmp_path/'p').preds)
    (tmp_path/'p'/'0.json').write_text('{}') # As after a kill at the very end
    with learn.added_cbs(Stop(0)): same(quiet(learn, learn.dls.train, tmp_path/'p').preds, want)
    assert not (tmp_path/'p'/'0.json').exists()
    with torch.no_grad(): learn.model.head.bias.add_(1)
    with fails(ValueError, 'different model', 'delete'): quiet(learn, learn.dls.train, tmp_path/'p')

@pytest.mark.parametrize('first', [0,1])
def test_a_rank_that_notes_what_it_did_and_is_stopped(tmp_path, monkeypatch, first):
    monkeypatch.setattr(writer.RowWriter, 'sync_every', 0.)
    learn = learner(y=classes)
    want = quiet(learn, learn.dls.train, tmp_path/'a').preds
    kw = dict(world_size=2)
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, learn.added_cbs(Stop(3)): quiet(learn, learn.dls.train, tmp_path/'p', rank=first, **kw)
    assert quiet(learn, learn.dls.train, tmp_path/'p', rank=1-first, **kw) is None
    same(quiet(learn, learn.dls.train, tmp_path/'p', rank=first, **kw).preds, want)
    for rank in (0,1): same(quiet(learn, learn.dls.train, tmp_path/'p', rank=rank, **kw).preds, want)

def test_outputs_whose_first_axis_is_another_are_refused(tmp_path):
    learn = learner(y=classes)
    apart,together = SimpleModule(lambda t: t.flatten(0, 1)),SimpleModule(lambda t: t.reshape(-1, 8, 18))
    learn.model.body = nn.Sequential(learn.model.body[0], apart, together, *learn.model.body[1:])
    dl = learn.dls.train
    with fails(ValueError, '`layer` of a batch of 8 rows', '(64, 18)'): quiet(learn, dl, tmp_path/'p', layer='body.1')
    learn.model.body.add_module('two', SimpleModule(lambda t: (t,t)))
    learn.model.body.add_module('one', SimpleModule(lambda t: t[0]))
    with fails(TypeError, 'returns a tuple'): quiet(learn, dl, tmp_path/'q', layer='body.two')
    assert not (tmp_path/'p').exists() and not (tmp_path/'q').exists()

def test_callbacks_that_only_train_do_nothing(tmp_path):
    learn = learner(y=classes)
    learn.path = tmp_path
    cbs = [CSVLogger(), SaveModelCallback(), EarlyStoppingCallback(), ReduceLROnPlateau()]
    with learn.no_bar(), learn.no_logging(): learn.fit(1, cbs=cbs)
    log = (tmp_path/'history.csv').read_text()
    with learn.added_cbs(cbs): quiet(learn, learn.dls.valid, tmp_path/'p')
    assert (tmp_path/'history.csv').read_text() == log and log.count('\n') == 2

def test_losses_of_padded_targets(tmp_path):
    steps = [5+i%7 for i in range(103)]
    r = save_ragged(tmp_path/'r', [filled((2, n), seed=i) for i,n in enumerate(steps)])
    y = save_ragged(tmp_path/'y', [np.array(['a','b'])[np.arange(n)%2] for n in steps])
    dls = TSDataLoaders.from_arrays(r, y, bs=8, splits=[range(80), range(80,103)], device='cpu')
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv1d(2, 2, 1)
        def forward(self, x, mask): return self.conv(x)
    learn = Learner(dls, Steps())
    got = quiet(learn, learn.dls.valid, tmp_path/'p', losses=True, act=lambda p: p.mean(-1)).losses
    for i,loss in zip(range(80, 103), got):
        with torch.no_grad(): p = learn.model(torch.tensor(np.array(r[i]))[None], None)[0].T
        want = nn.functional.cross_entropy(p, torch.tensor(np.arange(steps[i])%2))
        assert loss == pytest.approx(float(want), rel=1e-4)
    y = save_ragged(tmp_path/'z', [filled(1+i%3, seed=i) for i in range(103)])
    learn = learner(y=y, out=3)
    got = quiet(learn, learn.dls.valid, tmp_path/'q', losses=True)
    idxs = np.asarray(learn.dls.valid.dataset.idxs)
    want = [((p[:1+i%3]-y[i][0])**2).mean() for i,p in zip(idxs, got.preds)]
    np.testing.assert_allclose(got.losses, want, rtol=1e-4)

def test_flat_forecasts_are_decoded(tmp_path):
    w = Windows(filled((400,2))*9+5, 20, horizon=3)
    a = learner(w, out=6, shape=(2,3), batch_tfms=[Standardize(), StandardizeTarget()])
    b = learner(w, out=6, batch_tfms=[Standardize(), StandardizeTarget()])
    flat = quiet(b, b.dls.valid, tmp_path/'b', decoded=True)
    same(quiet(a, a.dls.valid, tmp_path/'a', decoded=True).decoded, flat.decoded)
    c = learner(y=classes, loss=nn.CrossEntropyLoss())
    got = quiet(c, c.dls.valid, tmp_path/'c', decoded=True)
    same(got.decoded, np.array(c.dls.vocab)[got.preds.argmax(1)])

def test_what_can_not_be_is_said_before_work_starts(tmp_path):
    learn = learner(y=classes)
    with fails(TypeError, 'TSDataLoader', 'test_dl'): preds_to_disk(learn, [1], tmp_path/'p')
    dl = learn.dls.valid
    with fails(ValueError, "no layer 'top'", "'body'", "'head'"): preds_to_disk(learn, dl, tmp_path/'p', layer='top')
    empty = TSDataLoaders.from_arrays(filled((9,2,20)), splits=[range(9),[]]).valid
    with fails(ValueError, 'empty'): preds_to_disk(learn, empty, tmp_path/'p')
    with fails(ValueError, '3 batches for 4'): preds_to_disk(learn, learn.dls.valid, tmp_path/'p', rank=1, world_size=4)
    with fails(ValueError, 'got 2 of 2'): preds_to_disk(learn, learn.dls.valid, tmp_path/'p', rank=2, world_size=2)
    assert not [*tmp_path.iterdir()]
    (tmp_path/'p').mkdir()
    with fails(FileExistsError, 'another path'): preds_to_disk(learn, learn.dls.valid, tmp_path/'p')

def test_outputs_that_fit_no_array_are_refused(tmp_path):
    learn = learner(y=classes, loss=lambda p, y: torch.tensor(0.))
    learn.model.head = SimpleModule(lambda t: torch.zeros(len(t), len(t)))
    with fails(ValueError, 'one shape'): quiet(learn, learn.dls.train, tmp_path/'p')
    learn.model.head = SimpleModule(lambda t: (t,t))
    with pytest.raises(TypeError, match='one tensor'): quiet(learn, learn.dls.train, tmp_path/'q')

def test_a_repeated_call_refuses_them_too(tmp_path):
    "Predictions of longer series would make garbage of those that were written"
    rows = [filled((2, 5 if i < 16 else 9), seed=i) for i in range(32)]
    dls = TSDataLoaders.from_arrays(save_ragged(tmp_path/'r', rows), np.arange(32)%2, splits=[range(32), []], bs=8, device='cpu')
    class Steps(nn.Linear):
        def forward(self, x, mask): return x
    learn = Learner(dls, Steps(1, 1), loss_func=noop)
    for _ in range(2):
        with fails(ValueError, 'all rows need one shape and dtype'): quiet(learn, dls.train, tmp_path/'p', act=noop)

def test_disk_that_is_full(tmp_path, monkeypatch):
    learn = learner(y=classes)
    want = quiet(learn, learn.dls.train, tmp_path/'a').preds
    monkeypatch.setattr(writer.shutil, 'disk_usage', lambda o: SimpleNamespace(free=100))
    with pytest.raises(OSError, match='make room'): quiet(learn, learn.dls.train, tmp_path/'p')
    monkeypatch.undo()
    real,left = writer.write_at,[6]
    def full(*args):
        left[0] -= 1
        if left[0] < 0: raise OSError(errno.ENOSPC, 'No space left on device')
        return real(*args)
    monkeypatch.setattr(writer, 'write_at', full)
    with pytest.raises(OSError, match='No space'): quiet(learn, learn.dls.train, tmp_path/'p')
    monkeypatch.undo()
    same(quiet(learn, learn.dls.train, tmp_path/'p').preds, want)

def test_metrics_are_left_out_and_stay(tmp_path):
    seen = []
    class Keeps(AccumMetric):
        def accumulate(self, learn): seen.append(1)
    learn = learner(y=classes)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    learn.metrics,values = [Keeps(lambda p, y: 0)],learn.recorder.values
    quiet(learn, learn.dls.valid, tmp_path/'p')
    assert not seen and len(learn.metrics) == 1 and learn.recorder.run
    assert learn.recorder.values is values and len(values) == 1

torchrun = """
import sys
sys.path[:0] = {paths!r}
import torch.distributed as dist
from test_predict import *
dist.init_process_group('gloo')
learn = learner(y=classes)
res = quiet(learn, learn.dls.train, {path!r}, losses=True)
assert len(res.preds) == 82
dist.destroy_process_group()
"""

@pytest.mark.skipif(not torch.distributed.is_available(), reason='no torch.distributed here')
def test_processes_of_torchrun(tmp_path):
    (tmp_path/'go.py').write_text(torchrun.format(paths=test_folders, path=str(tmp_path/'p')))
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', str(tmp_path/'go.py')]
    done = subprocess.run(run, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    learn = learner(y=classes)
    same(np.load(tmp_path/'p'/'preds.npy'), quiet(learn, learn.dls.train, tmp_path/'q').preds)

@linux
def test_memory_does_not_grow_with_the_rows(tmp_path):
    "400,000 rows of 500 numbers: 0.8 GB of predictions"
    grown = fresh(f"""
        import sys, numpy as np, torch
        from conftest import rss_anon
        from test_predict import Learner, TSDataLoaders, Net, preds_to_disk, Callback
        torch.set_num_threads(1)
        X = np.broadcast_to(np.zeros((1,1,4), 'f4'), (400_064,1,4))
        dls = TSDataLoaders.from_arrays(X, np.arange(-64, 400_000), splits=[range(64), range(64,400_064)], cat=False, bs=1024, device='cpu')
        learn,seen = Learner(dls, Net(1, 500), loss_func=lambda p, y, reduction='mean': torch.zeros(len(y))),[]
        class Look(Callback):
            def after_batch(self): seen.append(rss_anon())
        learn.add_cb(Look())
        with learn.no_bar(): res = preds_to_disk(learn, dls.valid, {str(tmp_path/'p')!r}, targs=True, losses=True)
        assert res.preds.shape == (400_000,500) and (res.targs[::1000] == np.arange(400_000)[::1000]).all()
        res = max(seen)-seen[20]""")
    assert grown < 60

def doubled(o): return o*2
def tripled(o): return o*3

@pytest.mark.parametrize('a,b', [(lambda o: o.softmax(1), lambda o: o.sigmoid()), (doubled, tripled), (partial(torch.mul, other=2), partial(torch.mul, other=3))])
def test_other_activations_are_other_predictions(tmp_path, a, b):
    learn = learner(y=classes)
    quiet(learn, learn.dls.valid, tmp_path/'p', act=a)
    with fails(ValueError, 'a different act'): quiet(learn, learn.dls.valid, tmp_path/'p', act=b)
    quiet(learn, learn.dls.valid, tmp_path/'p', act=a)

def test_other_transforms_of_columns_are_other_predictions(tmp_path):
    learns = [learner(y=classes, tfms=[f, None]) for f in (doubled, tripled)]
    quiet(learns[0], learns[0].dls.valid, tmp_path/'p')
    with fails(ValueError, 'a different transforms'): quiet(learns[1], learns[1].dls.valid, tmp_path/'p')

class Times(Transform):
    "Does not show what it holds"
    def __init__(self, by): self.by = by
    def encodes(self, o:TSTensor): return o*self.by
    def __repr__(self): return 'Times'

class Power:
    def __init__(self, to): self.to = to
    def __call__(self, o): return o**self.to

@pytest.mark.parametrize('change', [2, np.array([1.,2.]), torch.tensor([1.,2.]), [1,2], {'a': 2}], ids=str)
def test_values_of_a_transform_that_it_does_not_show(change):
    identities = [predict._identity_of(Times(o)) for o in (change, deepcopy(change), 1)]
    assert identities[0] == identities[1] != identities[2]

def test_other_values_of_transforms_and_activations_are_other_predictions(tmp_path):
    learns = [learner(y=classes, batch_tfms=Times(by)) for by in (1,2)]
    quiet(learns[0], learns[0].dls.valid, tmp_path/'p', act=Power(2))
    with fails(ValueError, 'different act'): quiet(learns[0], learns[0].dls.valid, tmp_path/'p', act=Power(3))
    with fails(ValueError, 'different transforms'): quiet(learns[1], learns[1].dls.valid, tmp_path/'p', act=Power(2))
    quiet(learns[0], learns[0].dls.valid, tmp_path/'p', act=Power(2))

@pytest.mark.parametrize('change', ['class weights','delta','layer'])
def test_a_finished_run_of_other_settings_is_not_opened(tmp_path, change):
    learn = learner(y=classes)
    if change == 'delta': learn = learner(y=np.arange(103.), out=1, loss=nn.HuberLoss(delta=1.))
    if change == 'class weights': learn.loss_func = CrossEntropyLossFlat(weight=torch.tensor([1.,2.,3.]))
    quiet(learn, learn.dls.train, tmp_path/'p', losses=True)
    if change == 'class weights': learn.loss_func = CrossEntropyLossFlat(weight=torch.tensor([3.,2.,1.]))
    if change == 'delta': learn.loss_func = nn.HuberLoss(delta=.01)
    if change == 'layer': learn.model.body[1] = nn.Tanh()
    with fails(ValueError, 'different '+('model' if change == 'layer' else 'loss')): quiet(learn, learn.dls.train, tmp_path/'p', losses=True)

@pytest.mark.parametrize('at', ['claim_folder','begin_run'])
def test_another_process_publishes_while_this_one_begins(tmp_path, monkeypatch, at):
    learn = learner(y=classes)
    path = tmp_path/'p'
    quiet(learn, learn.dls.train, path, rank=1, world_size=2)
    monkeypatch.setattr(predict, 'publish_run', lambda *_: None) # As if killed before that
    quiet(learn, learn.dls.train, path, rank=0, world_size=2)
    part,begin = tmp_path/'p.part',getattr(predict, at)
    rows = [writer.rows_done(part, o) for o in (0,1)]
    def publish_then_begin(folder, *args):
        if part.exists(): writer.publish_run(part, path, rows)
        return begin(folder, *args)
    monkeypatch.setattr(predict, at, publish_then_begin)
    assert [*quiet(learn, learn.dls.train, path, rank=0, world_size=2)] == ['preds']
    assert not part.exists()

def test_a_model_that_shows_addresses_is_the_same_in_another_process():
    "Its `repr` has that of a function"
    shown = [ShowsAddress() for _ in range(2)]
    assert repr(shown[0]) != repr(shown[1]) and predict._model_crc(shown[0]) == predict._model_crc(shown[1])

class ShowsAddress(nn.Module):
    def __init__(self):
        super().__init__()
        self.o = object()
    def extra_repr(self): return repr(self.o)
