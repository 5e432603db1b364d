"Predictions come in the units of their targets, however they are asked for; metrics see the targets that are known"
from types import SimpleNamespace
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import accuracy, CrossEntropyLossFlat, L1LossFlat, Learner, mae, nn, Transform
from fastai.callback.progress import *
from fastai.interpret import Interpretation
from fastai.metrics import F1Score
from fasttransform import ItemTransform
from conftest import fails
from test_missing_labels import Flat, made, trained
from tsdisk.data.batches import DecodedTarget, TensorTarget
from tsdisk.data.labels import LabelLoss
from tsdisk.data.learner import in_units, known_part, known_targets, like_targets, replaced, takes_inputs, target_of
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

# Targets that are not known

def test_another_loss_that_becomes_nan_is_said_once():
    y = np.random.default_rng(0).normal(size=60)
    y[::2] = np.nan
    with pytest.warns(UserWarning, match='some targets are missing') as found: trained(made(y), Flat(40, 1), loss_func=L1LossFlat())
    assert len([o for o in found if 'missing' in str(o.message)]) == 1

def accuracies(y, shape, axis):
    dls = made(y, cat=True, splits=[range(10),range(10, 60)])
    learn = Learner(dls, Flat(40, int(np.prod(shape)), shape), metrics=[lambda p,t: accuracy(p, t, axis=axis), F1Score(axis=axis, average='macro')])
    with learn.no_bar():
        loss,acc,f1 = learn.validate()
        preds,targs = learn.get_preds()
    return loss,acc,f1,preds,targs

@pytest.mark.parametrize('steps', [False,True])
def test_metrics_and_losses_see_what_has_a_label(steps):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, (60,4) if steps else 60)
    y[rng.random(y.shape) < .4] = -100
    y[20:30] = -100
    loss,acc,f1,preds,targs = accuracies(y, (3,4) if steps else (3,), 1)
    there = targs != -100
    right = preds.argmax(1)[there] == targs[there]
    assert acc == pytest.approx(right.float().mean().item(), rel=1e-5)
    from sklearn.metrics import f1_score
    assert f1 == pytest.approx(f1_score(targs[there], preds.argmax(1)[there], average='macro'))
    log = preds.log().movedim(1, -1)[there]
    assert loss == pytest.approx(-log.gather(1, targs[there][:,None]).mean().item(), rel=1e-4)

def test_known_parts():
    y = torch.tensor([[0,-100],[-100,-100]])
    assert known_part(torch.zeros(2, 3, 2), y.clamp(min=0)) is None
    pred,targ,n = known_part(torch.arange(12.).reshape(2, 3, 2), y)
    assert pred.tolist() == [[0,2,4]] and targ.tolist() == [0] and n == 2
    pred,targ,n = known_part(torch.zeros(2, 3, 2), torch.tensor([[0,1],[-100,-100]]))
    assert pred.shape == (1,3,2) and n == 1
    assert known_part(torch.zeros(2, 7), y) is None

class Two(nn.Module):
    "Returns scores of classes, and something else for each row"
    def __init__(self, n_out, shape=()):
        super().__init__()
        self.body = Flat(40, n_out, shape)
    def forward(self, x): return self.body(x), x.mean((1,2))

def two_outputs(y, n_out, shape=(), **kw):
    dls = made(y, splits=[range(10),range(10, 60)], **kw)
    def loss(p, t): return LabelLoss(axis=1 if shape else -1)(p[0], t)
    return Learner(dls, Two(n_out, shape), loss_func=loss, metrics=lambda p,t: accuracy(p[0], t, axis=1))

def test_metrics_of_models_with_several_outputs_see_what_has_a_label():
    y = np.where(np.arange(60)%4 == 3, -100, np.arange(60)%3)
    learn = two_outputs(y, 3)
    with learn.no_bar():
        _,acc = learn.validate()
        preds,targs = learn.get_preds(act=lambda o: o)
    known = targs != -100
    assert acc == pytest.approx(accuracy(preds[0][known], targs[known]).item(), rel=1e-5)

def test_metrics_that_can_not_leave_out_steps_say_so():
    y = np.random.default_rng(1).integers(0, 3, (60,4))
    y[:, 0] = -100
    learn = two_outputs(y, 12, (3,4), cat=True)
    with learn.no_bar(), pytest.warns(UserWarning, match=r'metrics count these.*targs == -100'): learn.validate()

def unlabelled(**kw):
    y = np.random.default_rng(1).integers(0, 3, 60)
    y[::2] = -100
    return Learner(made(y, splits=[range(10),range(10, 60)], **kw), Flat(40, 3), metrics=accuracy), y

def test_predictions_beside_targets_without_a_label_say_so_once():
    learn,_ = unlabelled()
    with learn.no_bar():
        with pytest.warns(UserWarning, match=r'have no label \(-100\).*targs\[known\]') as found:
            for _ in range(2): preds,targs = learn.get_preds()
        assert len([o for o in found if 'no label' in str(o.message)]) == 1
        acc = learn.validate()[1]
    known = targs != -100
    assert accuracy(preds[known], targs[known]) == pytest.approx(acc) and accuracy(preds, targs) < acc

def test_reports_leave_out_rows_without_a_label(capsys):
    from fastai.interpret import ClassificationInterpretation
    from sklearn.metrics import precision_score
    learn,y = unlabelled()
    with learn.no_bar():
        report = ClassificationInterpretation.from_learner(learn)
        capsys.readouterr()
        report.print_classification_report()
        got = [o for o in capsys.readouterr().out.splitlines() if o.strip()]
        preds,targs = learn.get_preds()
    known = targs != -100
    want = precision_score(targs[known], preds.argmax(1)[known], average=None, labels=[0,1,2], zero_division=0)
    assert [float(o.split()[1]) for o in got[-6:-3]] == pytest.approx(want, abs=.006) and int(got[-1].split()[-1]) == known.sum()

def test_reports_of_other_loaders_are_those_of_fastai(capsys, monkeypatch):
    from fastai.basics import CategoryMap, DataLoaders, TfmdDL
    from fastai.interpret import ClassificationInterpretation
    from tsdisk.data import learner as module
    monkeypatch.setattr(module, 'known_targets', None) # It is not asked
    class Rows(list): vocab = CategoryMap([*'abc'])
    rows = Rows((torch.eye(3)[i%3], torch.tensor(i%3)) for i in range(12))
    dls = DataLoaders(*(TfmdDL(rows, bs=6) for _ in range(2)))
    model = nn.Linear(3, 3, bias=False)
    model.weight.data = torch.eye(3)
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat())
    with learn.no_bar(): ClassificationInterpretation.from_learner(learn).print_classification_report()
    assert capsys.readouterr().out.split()[4:9] == ['a','1.00','1.00','1.00','4']

def test_targets_are_known_unless_they_are_nan_or_stand_for_no_label():
    for y,want in (([1.,np.nan,-100], [1,0,1]), ([0,-100,-1], [1,0,1]), ([True,False], [1,1])):
        known = known_targets(TensorTarget(torch.tensor(y)))
        assert type(known) is torch.Tensor and known.tolist() == [bool(o) for o in want]

def test_known_parts_of_several_predictions_and_of_numbers():
    y = torch.tensor([[1.,np.nan],[3,4]])
    for pred in (torch.arange(4.), torch.arange(4.).reshape(2, 2), torch.arange(4.).reshape(1, 4)):
        p,t,n = known_part(pred, y)
        assert (p.tolist(), t.tolist(), n) == ([0,2,3],[1,3,4],2)
    (a,b,other),t,n = known_part((torch.arange(3.), torch.arange(6).reshape(3, 2), 'same'), torch.tensor([0,-100,1]))
    assert (a.tolist(), b.tolist(), other, t.tolist(), n) == ([0,2],[[0,1],[4,5]],'same',[0,1],1)

def test_metrics_of_training_batches_see_what_has_a_label():
    y = np.random.default_rng(0).integers(0, 3, (60,4))
    y[:15] = -100 # Batches without a label, too
    y[20:45,:2] = -100
    def right(preds, targs): return accuracy(preds, targs, axis=1)
    dls = made(y, cat=True, splits=[range(50),range(50, 60)], shuffle=False)
    learn = Learner(dls, Flat(40, 12, (3,4)), metrics=right)
    learn.recorder.train_metrics = True
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 0.)
        preds,targs = learn.get_preds(0)
    known = targs != -100
    assert learn.recorder.metric_names == ['epoch','train_loss','train_right','valid_loss','valid_right','time']
    assert learn.recorder.values[0][1] == pytest.approx((preds.argmax(1) == targs)[known].float().mean().item())

def test_metrics_of_numbers_weigh_each_target_that_is_known():
    y = np.random.default_rng(0).normal(size=(60,3))
    y[25:][np.random.default_rng(1).random((35,3)) < .4] = np.nan
    learn = Learner(made(y, splits=[range(10),range(10, 60)]), Flat(40, 3), metrics=mae)
    with learn.no_bar():
        got = learn.validate()[1]
        preds,targs = learn.get_preds()
    known = ~targs.isnan()
    assert got == pytest.approx((preds-targs)[known].abs().mean().item(), rel=1e-5)

def test_a_loss_that_is_nan_though_nothing_is_missing_is_not_blamed_on_the_data(recwarn):
    learn = Learner(made(np.arange(60.)), Flat(40, 1))
    learn.model.lin.weight.data.fill_(np.nan)
    with learn.no_bar(): assert np.isnan(learn.validate()[0])
    assert not [o for o in recwarn if 'loss is NaN' in str(o.message) or not str(o.message)]

def test_what_is_replaced_comes_back_after_an_error():
    learn = Learner(made(np.arange(60.)), Flat(40, 1))
    learn.pred = 'before'
    with fails(ZeroDivisionError), replaced(learn, 'pred', 'now'): assert 1/0 and learn.pred == 'now'
    with replaced(learn, 'pred', 'now'): assert learn.pred == 'now'
    assert learn.pred == 'before'

# What decodes predictions

def test_flat_predictions_take_the_shape_of_targets_of_several_axes():
    flat = torch.arange(12.).reshape(2, 6)
    assert like_targets(flat, (2,3)).tolist() == flat.reshape(2, 2, 3).tolist()
    others = (flat, (6,)),(flat[:,:1], ()),(flat, (2,4)),(flat.reshape(2, 3, 2), (2,3))
    for preds,shape in others: assert like_targets(preds, shape) is preds

def test_targets_are_found_where_they_are_numbers():
    def targets(y): return target_of(made(y, splits=[range(50),range(50, 60)]))
    y = np.arange(60.)
    assert targets(np.arange(60)%2) is None and targets(None) is None
    assert targets(y).items[3] == 3
    dls = made(y)
    plain = SimpleNamespace(loaders=[SimpleNamespace(dataset=[]), dls.valid])
    assert target_of(plain) is dls.valid_ds.target and target_of(SimpleNamespace(loaders=plain.loaders[:1])) is None

def test_transforms_that_need_inputs_to_decode_are_found():
    for tfms in ([Standardize(),StandardizeTarget()], [ByInput()], [LogTarget(),ByInput()]):
        want = any(isinstance(o, ByInput) for o in tfms)
        dls = made(np.arange(1., 61), batch_tfms=tfms)
        assert takes_inputs(dls.valid) == want and not takes_inputs(dls.valid_ds)

def test_predictions_are_decoded_by_the_transforms_of_batches_and_then_of_the_column():
    dls = made(np.arange(1., 61), tfms=[None,LogTarget()], batch_tfms=StandardizeTarget.from_stats([5], [2]))
    preds = torch.tensor([[0.],[.5]])
    got = in_units(dls.valid, dls.valid_ds.target, preds)
    assert type(got) is DecodedTarget and got.flatten().tolist() == pytest.approx(np.exp([5,6]).tolist())
    without = in_units(dls.valid_ds, dls.valid_ds.target, preds)
    assert without.flatten().tolist() == pytest.approx(np.exp([0,.5]).tolist())
    assert in_units(dls.valid, None, preds).flatten().tolist() == [5,6]

def test_targets_may_be_asked_for_without_predictions():
    learn = learner('by_input')
    with learn.no_bar():
        _,targs = learn.get_preds()
        preds,again = learn.get_preds(with_decoded=True, with_preds=False)
    assert preds is None and torch.equal(again, targs)
