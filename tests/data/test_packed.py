"What the manifest says of stored integers reaches every function that reads them"
import json, pickle
import h5py, numpy as np, pyarrow.parquet as pq, pytest, torch
from fastai.basics import Learner, nn
from fastai.callback.progress import *
from conftest import fails, same
from tsdisk.convert.convert import append, convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet

from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.summary import Overview, summary
from tsdisk.data.transforms import Clip, FillNaN, Log, Normalize, RobustScale, Standardize
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.packing import Packing
from tsdisk.disk.sidecar import packing_of, read_manifest
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import array_stats, train_stats
from tsdisk.series.windows import Windows, count_present
from tsdisk.train.predict import preds_to_disk

scale,offset,missing = [.01,.5,-2.],[1.,-3.,7.],-999

def records(n=30, seed=0):
    a = np.random.default_rng(seed).integers(-900, 900, (n,3,40)).astype('i2')
    a[:,0,:4] = missing
    return a

def decoded(a):
    x = a*np.array(scale)[:,None] + np.array(offset)[:,None]
    return np.where(a == missing, np.nan, x)

@pytest.fixture(scope='module')
def packed(tmp_path_factory):
    d = tmp_path_factory.mktemp('packed')
    convert([dict(X=o, scale=scale, offset=offset, missing=missing, y=i%2) for i,o in enumerate(records())], d/'set')
    return d/'set', records()

measures = dict(mean=np.nanmean, std=np.nanstd, min=np.nanmin, max=np.nanmax, median=np.nanmedian)

def close(st, x, names=measures):
    x = x.swapaxes(0, 1).reshape(x.shape[1], -1) if x.ndim == 3 else x
    for name,f in ((o,measures[o]) for o in names):
        np.testing.assert_allclose(getattr(st, name), f(x, 1), rtol=1e-3, atol=1e-3, err_msg=name)
    assert st.nans.tolist() == np.isnan(x).sum(1).tolist()

# Statistics

def test_statistics_are_in_units_and_leave_out_what_is_missing(packed):
    d,a = packed
    X,x = open_folder(d)[0]['X'],decoded(a)
    for o in (X, d/'X.npy', as_source(X), X[:]): close(array_stats(o), x)
    for f in (array_stats, train_stats):
        close(f(X), x)
        close(f(X, range(10)), x[:10])
        close(f(X, [5,2]), x[[5,2]])
        close(f(Windows(X, 40, 40)), x)
        close(f(Windows(X, 40, 40, sel_vars=[2,0])), x[:,[2,0]])
    close(train_stats(X), x) # Kept by now
    close(array_stats(X[:,1:]), x[:,1:])
    close(array_stats(X[:,::-2, 5:30]), x[:,::-2, 5:30])
    close(array_stats(X[3:,:,::2]), x[3:,:,::2])
    close(array_stats(X, by='all'), x.reshape(1, -1))
    st = array_stats(X, by='steps')
    np.testing.assert_allclose(st.mean[1:], x.mean(0)[1:], rtol=1e-4)
    assert (st.nans[0,:4] == 30).all() and np.isnan(st.mean[0,:4]).all()
    close(array_stats(X, tfm=lambda t: t.abs()), np.abs(x))
    close(array_stats(X, packing=Packing()), a.astype('f8'))
    close(array_stats(X, missing=-5, packing=Packing()), np.where(a == -5, np.nan, a))

def test_counts_kept_by_earlier_versions_are_not_taken_for_units(packed, tmp_path):
    d,a = packed
    save_folder(tmp_path/'s', a)
    before = train_stats(tmp_path/'s/X.npy') # Kept as stored
    manifest = json.loads((tmp_path/'s/tsdisk.json').read_text())
    manifest['arrays']['X'] |= dict(scale=scale, offset=offset, missing=missing)
    (tmp_path/'s/tsdisk.json').write_text(json.dumps(manifest))
    close(before, a.astype('f8'))
    close(train_stats(tmp_path/'s/X.npy'), decoded(a))

def test_statistics_of_packed_datasets_grow(tmp_path):
    def recs(n, seed): return [dict(X=o, scale=scale, offset=offset, missing=missing) for o in records(n, seed)]
    convert(recs(20, 0), tmp_path/'s')
    train_stats(tmp_path/'s/X.npy')
    append(tmp_path/'s', recs(10, 1))
    x = decoded(np.concatenate([records(20, 0), records(10, 1)]))
    close(train_stats(tmp_path/'s/X.npy'), x, ['mean','std','min','max'])
    kinds = [o for o in read_manifest(tmp_path/'s') if o.startswith('stats')]
    assert kinds == ['stats but -999']

def test_views_whose_variables_cannot_be_told_are_refused(packed):
    X = open_folder(packed[0])[0]['X']
    for o in (X.swapaxes(1, 2), X[:,0], X.reshape(30, 120)):
        with fails(ValueError, 'a scale for each variable'): array_stats(o)
    close(array_stats(X[:,0][:,None], packing=Packing(.01, 1., missing)), decoded(packed[1])[:,:1])

# Transforms

@pytest.mark.parametrize('tfm', [Standardize,RobustScale,Normalize], ids=lambda o: o.__name__)
def test_transforms_take_such_statistics(packed, tfm):
    d,_ = packed
    X = open_folder(d)[0]['X']
    batches = [TSDataLoaders.from_folder(d, splits=[range(30)], bs=30, shuffle=False, batch_tfms=o).train.one_batch()[0] for o in (tfm(array_stats(X)), tfm())]
    np.testing.assert_allclose(batches[0], batches[1], atol=1e-4)
    if tfm is Standardize: np.testing.assert_allclose(np.nanstd(batches[0], (0,2)), 1, rtol=1e-3)

def test_statistics_behind_functions_are_of_units(packed):
    d,a = packed
    dls = TSDataLoaders.from_folder(d, splits=[range(30)], bs=30, shuffle=False, batch_tfms=[Log(),Standardize()])
    x = decoded(a)
    want = np.log1p(np.abs(x))*np.sign(x)
    np.testing.assert_allclose(dls.after_batch.fs[1].mean[:,0], np.nanmean(want, (0,2)), rtol=1e-3)
    clip = TSDataLoaders.from_folder(d, splits=[range(30)], bs=30, batch_tfms=Clip(share=.1)).after_batch.fs[0]
    np.testing.assert_allclose(clip.high[:,0], np.nanquantile(x, .9, (0,2)), rtol=.02)

# Windows, masks

def test_windows_know_what_is_missing(packed):
    d,a = packed
    X = open_folder(d)[0]['X']
    w = Windows(X, 10)
    rows = np.asarray(w.valid_rows(1.))
    assert rows.tolist() == [i for i in range(len(w)) if (w[i] != missing).all()] and 0 < len(rows) < len(w)
    assert len(w.valid_rows(1., missing=12_345)) == len(w)
    same(count_present(X[3]), (a[3] != missing).sum(0))
    same(count_present(np.asarray(a[3])), np.full(40, 3))
    ds = TSDatasets(w, mask=True)
    x,mask = ds.batch(range(40))
    assert torch.equal(mask, ~x.isnan()) and not mask.all()

def test_further_inputs_and_targets_have_their_own_packing(packed, tmp_path):
    d,a = packed
    convert([dict(X=o[:1], scale=.25, offset=100.) for o in records(30, 5)], tmp_path/'z')
    Z = open_folder(tmp_path/'z')[0]['X']
    z = records(30, 5)[:,:1]*.25 + 100
    ds = TSDatasets((d/'X.npy', Z), Z)
    np.testing.assert_allclose(ds.batch([4,9])[1], z[[4,9]], rtol=1e-5)
    np.testing.assert_allclose(ds.batch([4,9])[2], z[[4,9]], rtol=1e-5)
    new = ds.test_set(((d/'X.npy', Z), Z), with_labels=True).batch([1])
    np.testing.assert_allclose(new[1], z[[1]], rtol=1e-5)
    np.testing.assert_allclose(new[2], z[[1]], rtol=1e-5)
    assert TSDatasets((d/'X.npy', records(30, 5))).batch([0])[1].dtype == torch.int64

# Pictures, exports, copies

def test_summaries_and_plots_are_in_units(packed):
    d,a = packed
    close(Overview(d).stats, decoded(a))
    lines = summary(d, n=1).axes[0].lines
    row = int(np.sort(np.random.default_rng(0).choice(30, 1, replace=False))[0])
    for o,want in zip(lines, decoded(a)[row]): np.testing.assert_allclose(o.get_ydata(), want, rtol=1e-4)
    dls = TSDataLoaders.from_folder(d, splits=[range(30)], bs=4, shuffle=False, batch_tfms=[Standardize(),FillNaN()])
    dls.show_batch(max_n=1)
    shown = dls.train.decode(dls.train.one_batch())[0]
    np.testing.assert_allclose(shown[0,1], decoded(a)[0,1], rtol=1e-3, atol=1e-3)

def test_exports_are_in_units(packed, tmp_path):
    d,a = packed
    x = decoded(a).astype('f4')
    np.testing.assert_allclose(np.load(to_npy(d, tmp_path/'n')/'X.npy'), x, rtol=1e-5)
    with h5py.File(to_hdf5(d, tmp_path/'x.h5')) as f: np.testing.assert_allclose(f['X'][:], x, rtol=1e-5)
    table = pq.read_table(to_parquet(d, tmp_path/'x.parquet'))
    np.testing.assert_allclose(np.array(table.column('X1').to_pylist()), x[:,1], rtol=1e-5)

def test_a_copy_of_a_folder_keeps_what_integers_stand_for(packed, tmp_path):
    d,a = packed
    X = open_folder(d)[0]['X']
    save_folder(tmp_path/'copy', X, splits=[range(20),range(20, 30)])
    assert packing_of(as_source(open_folder(tmp_path/'copy')[0]['X'])) == packing_of(as_source(X))
    save_folder(tmp_path/'some', X[:,[2,0][0]:], np.arange(30))
    close(array_stats(tmp_path/'some/X.npy'), decoded(a)[:,2:])
    save_folder(tmp_path/'copy', splits=[range(10),range(10, 30)]) # Other splits alone
    close(array_stats(tmp_path/'copy/X.npy'), decoded(a))
    save_folder(tmp_path/'copy', decoded(a))
    assert 'scale' not in read_manifest(tmp_path/'copy')['arrays']['X']

def test_predictions_are_of_values_in_units(packed, tmp_path):
    d,a = packed
    dls = TSDataLoaders.from_folder(d, splits=[range(20),range(20, 30)], bs=8, batch_tfms=FillNaN())
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))
        def forward(self, x): return x.as_subclass(torch.Tensor).mean(2) + self.w
    learn = Learner(dls, Mean())
    with learn.no_bar(): got = preds_to_disk(learn, dls.valid, tmp_path/'p', act=lambda o: o)
    np.testing.assert_allclose(got.preds, np.nan_to_num(decoded(a)[20:]).mean(2), rtol=1e-3, atol=1e-3)

def test_a_source_that_was_pickled_knows_its_packing(packed):
    X = open_folder(packed[0])[0]['X']
    want = Packing(scale[1:], offset[1:], missing)
    for o in (as_source(X[:,1:]), Windows(X[:,1:], 5)): assert packing_of(pickle.loads(pickle.dumps(o))) == packing_of(o) == want
