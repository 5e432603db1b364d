"Tables, stitched series and files of predictions: in the units of the data, or with a warning"
import warnings
from copy import deepcopy
import numpy as np, pytest, torch
from fastai.basics import Learner, nn, Transform
from fastai.callback.progress import *
from fasttransform import ItemTransform
from conftest import fails
from tsdisk.data.batches import TensorTarget
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.transforms import Standardize, StandardizeTarget
from tsdisk.series.clock import Clock
from tsdisk.series.windows import Windows
from tsdisk.train.forecasts import forecasts_to_frame, stitched_to_frame
from tsdisk.train.predict import preds_to_disk
from tsdisk.train.stitch import stitch_forecasts
from tsdisk.train.units import to_units

series = (np.cumsum(np.random.default_rng(1).normal(size=(300,2)), 0)*[1,100]+[0,5000]).astype('f4')
def windows(**kw): return Windows(series, 20, stride=3, clock=Clock('2024-01-01', period='1h'), **kw)

class Exp(Transform):
    def encodes(self, y:TensorTarget): return y/1000
    def decodes(self, y:TensorTarget): return y*1000

class ByInput(ItemTransform):
    "Scales targets by their own inputs"
    def encodes(self, b): return (b[0], TensorTarget(b[1]-float(b[0].mean()))) if len(b) > 1 else tuple(b)
    def decodes(self, b): return b[0], TensorTarget(b[1]+float(b[0].mean()))

def learner(tfms, flat=False, **kw):
    dls = TSDataLoaders.from_arrays(windows(horizon=4), bs=16, seed=0, device='cpu', batch_tfms=deepcopy(tfms), **kw)
    torch.manual_seed(0)
    return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(40, 8), *([] if flat else [nn.Unflatten(1, (2,4))])))

def quiet(f, *args, **kw):
    "A result without any warning"
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*(scaled|loss sees)')
        return f(*args, **kw)

scalings = dict(target=[StandardizeTarget()], both=[Standardize(),StandardizeTarget()], own=[Exp()], two=[Exp(),StandardizeTarget()])

@pytest.mark.parametrize('name', scalings)
def test_tables_are_in_the_units_of_the_data_or_warn(tmp_path, name):
    learn = learner(scalings[name])
    dl = learn.dls.valid
    with learn.no_bar():
        preds,_,decoded = learn.get_preds(with_decoded=True)
        out = quiet(preds_to_disk, learn, dl, tmp_path/'p', decoded=True)
    want = np.asarray(decoded).ravel()
    assert not np.allclose(want, preds.numpy().ravel(), rtol=.1)
    def values(preds, **kw): return quiet(forecasts_to_frame, preds, dl, **kw).value
    for o in (decoded, out.decoded, out.preds, out.preds[:], tmp_path/'p/decoded.npy', str(tmp_path/'p/preds.npy')): np.testing.assert_allclose(values(o), want, rtol=1e-4)
    for o in (preds, preds.numpy(), np.asarray(out.preds).copy()):
        np.testing.assert_allclose(values(o, decoded=False), want, rtol=1e-4)
        np.testing.assert_allclose(values(o, decoded=True), np.ravel(o))
        with pytest.warns(UserWarning, match=r'scaled by .*StandardizeTarget.*with_decoded=True.*decoded=False' if name != 'own' else 'scaled by Exp'):
            np.testing.assert_allclose(forecasts_to_frame(o, dl).value, np.ravel(o))
    np.testing.assert_allclose(values(out.preds, rows=[3,1]), np.asarray(decoded)[[3,1]].ravel(), rtol=1e-4)

@pytest.mark.parametrize('how', ['mean','last'])
@pytest.mark.parametrize('backwards', [False,True])
def test_stitched_forecasts_are_in_the_units_of_the_data_or_warn(tmp_path, how, backwards):
    rows = range(92, 59, -1) if backwards else range(60, 93)
    learn = learner(scalings['both'], splits=[range(50), rows])
    dl = learn.dls.valid
    with learn.no_bar():
        preds,_,decoded = learn.get_preds(with_decoded=True)
        out = quiet(preds_to_disk, learn, dl, tmp_path/'p', decoded=False)
    want = quiet(stitch_forecasts, decoded, dl, tmp_path/'a', how)
    for k,(o,kw) in enumerate([(out.preds, {}), (tmp_path/'p/preds.npy', {}), (preds, dict(decoded=False))]):
        got = quiet(stitch_forecasts, o, dl, tmp_path/f'{k}', how, **kw)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-4)
    assert np.nanmean(want[0][1]) > 1000
    with pytest.warns(UserWarning, match='scaled by StandardizeTarget'): stitch_forecasts(preds, dl, tmp_path/'w', how)
    np.testing.assert_allclose(quiet(stitched_to_frame, got, dl).value, quiet(stitched_to_frame, want, dl).value, rtol=1e-4)

def test_forecasts_beyond_the_data_are_decoded_without_targets(tmp_path):
    learn,ends = learner(scalings['both']),windows()
    dl = learn.dls.test_dl(ends, rows=ends.last)
    with learn.no_bar(): out = preds_to_disk(learn, dl, tmp_path/'p', decoded=True)
    table = quiet(forecasts_to_frame, out.preds, dl)
    np.testing.assert_allclose(table.value, np.ravel(out.decoded), rtol=1e-4)
    assert (table.value[table.variable == 1] > 1000).all()

def test_predictions_on_disk_that_are_scaled_warn(tmp_path):
    learn = learner(scalings['both'])
    with learn.no_bar():
        with pytest.warns(UserWarning, match='scaled by StandardizeTarget.*`targs`.*`decoded=True`'): out = preds_to_disk(learn, learn.dls.valid, tmp_path/'a', targs=True)
        assert [*out] == ['preds','targs']
        again = quiet(preds_to_disk, learn, learn.dls.valid, tmp_path/'a', targs=True, decoded=False)
        plain = learner([Standardize()])
        with plain.no_bar(): quiet(preds_to_disk, plain, plain.dls.valid, tmp_path/'b')
    ds = learn.dls.valid_ds
    np.testing.assert_allclose(to_units(again.targs, learn.dls.valid), ds.target.items.gather(np.asarray(ds.idxs)), rtol=1e-4)

def test_plain_loaders_and_datasets_take_forecasts_as_they_are(tmp_path):
    learn = learner([Standardize()])
    with learn.no_bar(): preds,_ = learn.get_preds()
    for o in (learn.dls.valid, learn.dls.valid_ds): np.testing.assert_allclose(quiet(forecasts_to_frame, preds, o).value, preds.ravel())
    assert quiet(forecasts_to_frame, preds, learn.dls.valid, decoded=False).value.tolist() == preds.ravel().tolist()

def test_transforms_of_the_targets_alone_are_undone_too():
    ds = TSDatasets(windows(horizon=4), tfms=[None,Exp()])
    scaled = torch.stack([y for _,y in ds])
    table = quiet(forecasts_to_frame, scaled.numpy(), ds, decoded=False)
    np.testing.assert_allclose(table.value, windows(horizon=4).target[:].ravel(), rtol=1e-4)
    with pytest.warns(UserWarning, match='scaled by Exp'): forecasts_to_frame(scaled.numpy(), ds)

def test_what_takes_inputs_to_decode_is_said(tmp_path):
    learn = learner([ByInput()])
    with learn.no_bar(): preds,_,decoded = learn.get_preds(with_decoded=True)
    with fails(ValueError, 'ByInput', 'needs the inputs', 'with_decoded=True'): forecasts_to_frame(preds, learn.dls.valid, decoded=False)
    assert quiet(forecasts_to_frame, decoded, learn.dls.valid).value.tolist() == decoded.ravel().tolist()

def test_labels_are_in_no_units(tmp_path):
    y = np.array([*'ab'*50])
    dls = TSDataLoaders.from_arrays(np.zeros((100,2,20), 'f4'), y, bs=16, seed=0, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(40, 2)))
    with learn.no_bar(): assert len(quiet(preds_to_disk, learn, dls.valid, tmp_path/'p').preds) == 20
