"Rows and steps without a label: in no vocabulary, no count and no loss"
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import Learner, mse, nn
from fastai.callback.progress import *
from conftest import fails, filled, same
from tsdisk.data.batches import KnownMSELossFlat
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.sampling import class_counts, row_classes
from tsdisk.data.transforms import StandardizeTarget
from tsdisk.folder.labels import array_counts, array_vocab, train_vocab
from tsdisk.folder.stats import array_stats
from tsdisk.disk.arrays import save_array
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows
from tsdisk.data.show import * # Registers how batches are drawn

rows = [(np.array([0,1,2,-100]*15), None), (np.array([0,1,2,-1]*15), -1), (np.array([0,1,2,255]*15, 'u1'), [255]), (np.array(['a','b','c','?']*15), '?'),
    (np.array(['a','b','c','','?']*12), ['?','']), (np.array([b'a',b'b',b'c',b'?']*15), '?'), (np.array([5,70_000,9,-100]*15), None)]
def made(y, n=60, **kw): return TSDataLoaders.from_arrays(filled((n,2,20)), y, bs=10, seed=0, device='cpu', **kw)

@pytest.mark.parametrize('y,no_label', rows, ids=lambda o: str(getattr(o, 'dtype', o)))
def test_rows_without_a_label_are_no_class(tmp_path, y, no_label):
    none = np.isin(y, [-100,-1,255]) if y.dtype.kind in 'iu' else np.isin(y, np.array(['?',''], y.dtype))
    for o in (y, save_array(tmp_path/'y.npy', y), tmp_path/'y.npy'):
        dls = made(o, no_label=no_label)
        assert dls.c == 3 and list(dls.vocab) == np.unique(y[~none]).tolist()
        ds = dls.train_ds
        same((ds.batch(range(len(ds)))[1] == -100).numpy(), none[np.asarray(ds.idxs)])
        same(class_counts(ds), np.unique(y[ds.idxs][~none[ds.idxs]], return_counts=True)[1])
        assert dls.cws.shape == (3,) and np.isfinite(dls.cws).all()
        same(array_vocab(o, no_label=no_label), np.unique(y[~none]))
        same(train_vocab(o, no_label=no_label), np.unique(y[~none]))
        same(array_counts(o, no_label=no_label)[1], np.unique(y[~none], return_counts=True)[1])

def test_labels_of_steps_may_be_missing():
    y = np.random.default_rng(0).integers(0, 3, (60,20))
    y[:, :5] = -100
    dls = made(y, cat=True)
    b = dls.one_batch()[1]
    assert dls.c == 3 and (b[:, :5] == -100).all() and (b[:, 5:] >= 0).all()
    assert dls.valid.decode_batch(dls.valid.one_batch())[0][1][:6] == [None]*5+[y[dls.valid_ds.idxs[0],5]]
    dls.show_batch(max_n=2)
    plt.close('all')

padded_offsets = [0,2,5]

def test_new_series_of_targets_are_padded_with_nan():
    X,y = (Ragged(np.arange(5.), padded_offsets) for _ in range(2))
    got = TSDatasets(X, y).test_set((X, y), with_labels=True).batch([0,1])[-1]
    same(got.isnan().numpy()[:,0], np.array([[False,False,True],[False]*3]))

@pytest.mark.parametrize('shuffle', ['stratified','balanced'])
def test_orders_by_class(shuffle):
    y = np.repeat([0,1,-100], [60,20,20])
    dls = made(y, 100, splits=[range(100)], shuffle=shuffle, drop_last=False)
    seen = torch.cat([b[1] for b in dls.train])
    counts = [(seen == o).sum().item() for o in (0,1,-100)]
    assert counts == ([60,20,20] if shuffle == 'stratified' else [50,50,0])
    assert row_classes(dls.train_ds)[1] == [0,1,None]

def test_weights_by_class_do_not_name_rows_without_a_label():
    dls = made(np.repeat([0,1,-100], [60,20,20]), 100, splits=[range(100)], shuffle=True, weights={0: 1, 1: 3}, drop_last=False)
    seen = torch.cat([b[1] for b in dls.train])
    assert ((seen == 0).sum(), (seen == 1).sum()) == (50,50)

# Losses

def test_targets_that_are_nan_do_not_train():
    loss,pred = KnownMSELossFlat(),torch.randn(4, 2, requires_grad=True)
    targ = torch.tensor([[1,np.nan],[np.nan,np.nan],[2,3],[np.nan,0]])
    known = ~targ.isnan()
    out = loss(pred, targ)
    assert torch.isclose(out, ((pred-targ)[known]**2).mean())
    out.backward()
    assert (pred.grad[~known] == 0).all() and (pred.grad[known] != 0).all()
    assert torch.equal(loss(pred, targ.nan_to_num()), nn.functional.mse_loss(pred, targ.nan_to_num()))
    assert loss(pred[:,:1], torch.full((4,), np.nan)) == 0
    loss.reduction = 'none'
    same(loss(pred, targ).detach().numpy(), torch.where(known, (pred-targ)**2, 0).flatten().detach().numpy())

class Flat(nn.Module):
    def __init__(self, n_in, n_out, shape=()):
        super().__init__()
        self.lin,self.shape = nn.Linear(n_in, n_out),shape
    def forward(self, x): return self.lin(x.flatten(1)).reshape(-1, *(self.shape or (self.lin.out_features,)))

def trained(dls, model, **kw):
    learn = Learner(dls, model, **kw)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn

@pytest.mark.parametrize('kind', ['rows','outputs','windows'])
def test_numbers_that_are_nan_never_make_the_loss_nan(kind):
    rng = np.random.default_rng(0)
    if kind == 'windows':
        x = rng.normal(size=(300,2)).astype('f4')
        x[100:110,1] = np.nan
        dls = TSDataLoaders.from_arrays(Windows(x, 10, horizon=3, sel_vars=[0]), bs=16, seed=0, batch_tfms=StandardizeTarget())
        learn = trained(dls, Flat(10, 6, (2,3)), metrics=mse)
    else:
        y = rng.normal(size=(60,3) if kind == 'outputs' else 60)
        y[rng.random(y.shape) < .3] = np.nan
        learn = trained(made(y, batch_tfms=StandardizeTarget()), Flat(40, y.shape[-1] if kind == 'outputs' else 1), metrics=mse)
    train,valid,metric = learn.recorder.values[0]
    assert np.isfinite([train,valid,metric]).all() and all(o.isfinite().all() for o in learn.model.parameters())
    assert metric == pytest.approx(valid, rel=1e-4)

@pytest.mark.parametrize('cat', [False,True])
def test_a_number_may_mean_no_target(cat):
    y = np.array([1.,2.,-999.,3.]*15)
    dls = made(y, no_label=-999, batch_tfms=None if cat else StandardizeTarget(), cat=cat)
    b = dls.valid.one_batch()[1]
    if cat: assert dls.c == 3 and (b == -100).sum() == (y[dls.valid_ds.idxs[:10]] == -999).sum()
    else:
        same(b.isnan().numpy(), y[dls.valid_ds.idxs[:len(b)]] == -999)
        want = y[dls.train_ds.idxs]
        assert dls.after_batch.fs[0].mean.item() == pytest.approx(want[want != -999].mean())
    with fails(ValueError, 'one `no_label`'): made(y, no_label=[-999,3])

def test_titles_say_that_there_is_no_label():
    dls = made(np.array([0,1,-100]*20))
    learn = Learner(dls, Flat(40, 2))
    with learn.no_bar(): learn.show_results(max_n=9, shuffle=False)
    titles = [o.get_title() for o in plt.gcf().axes if o.get_title()]
    none = dls.valid_ds.batch(range(9))[1] == -100
    assert [o.startswith('no label →') for o in titles] == none.tolist() and none.any()
    plt.close('all')

def test_statistics_of_targets_leave_nan_out():
    y = np.array([1.,np.nan,3.])
    assert array_stats(y).mean[0] == 2
