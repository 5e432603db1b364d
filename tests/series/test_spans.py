"All that a window needs is read once"
from functools import partial
import numpy as np, pytest, torch
from conftest import fails, filled, same
from layouts import laid_out, recordings
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.loader import TSDataLoader
from tsdisk.disk.arrays import save_array
from tsdisk.series.crops import Crops
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

@pytest.mark.filterwarnings('ignore:Splits')
@pytest.mark.parametrize('layout', ['one','vars_first','samples','part_of_steps','list','ragged','zarr'])
def test_preloaded_windows_are_the_same(tmp_path, layout, capsys):
    xs = recordings([300,250,300], 2)
    x,axis,_ = laid_out(layout, tmp_path, xs)
    for cut in (partial(Windows, size=16, stride=3), partial(Crops, size=16, per_series=30)):
        w = cut(x, horizon=4, gap=2, axis=axis, targets=[1])
        splits = range(0, len(w)//2), range(len(w)//2, len(w))
        a,b = [TSDataLoaders.from_arrays(w, w.target, splits=splits, bs=8, seed=1, device='cpu') for _ in range(2)]
        if layout in ('list','zarr') and type(w) is Crops:
            with fails(ValueError, 'save_ragged'): b.preload()
            continue
        b.preload()
        for p,q in ((a.train,b.train), (a.valid,b.valid)):
            for _ in range(2):
                for u,v in zip(p, q):
                    for s,t in zip(u, v): same(t.numpy(), s.numpy())
        if layout in ('one','ragged'):
            loaded = b.train.preloaded.columns[0]
            assert loaded is b.valid.preloaded.columns[0] and loaded.values.flat.numel()*4 == w.nbytes

def test_reconstruction_has_targets_of_its_own():
    w = Windows(np.arange(50, dtype='f4'), 10)
    dl = TSDataLoader(TSDatasets(w, w), bs=4)
    xb,yb = dl.one_batch()
    assert len(dl.dataset.reads()[0]) == 1 and torch.equal(xb.as_subclass(torch.Tensor), yb.as_subclass(torch.Tensor))
    before = yb.clone()
    xb.zero_()
    assert torch.equal(yb, before) and before.sum() > 0

def test_selected_variables_and_steps_are_read_alone(tmp_path):
    x = save_array(tmp_path/'X.npy', filled((50,5,40)))
    ds = TSDatasets(x, sel_vars=[3,1], sel_steps=slice(10,-5))
    same(ds.batch([7,0])[0].numpy(), x[[7,0]][:, [3,1], 10:-5])
    assert ds.tls[0].items.stored.row_bytes == 2*25*4
    assert (ds.vars, ds.len) == (2,25)
    same(TSDatasets(x, sel_vars=[2]).batch([3])[0].numpy(), x[[3]][:, [2]])

def test_blocks_of_a_slower_array_end_with_their_series():
    w = Windows(Ragged(np.arange(20.), [0,10,20]), 8)
    slow = w.over(Ragged(np.array([0.,1,10,11]), [0,2,4]), every=4)
    assert sorted(np.concatenate([o.ravel() for o in slow.blocks(range(3))])) == [0,1]

@pytest.mark.parametrize('every', [2,3,6])
def test_slower_arrays_are_read_over_the_same_time(every):
    fast,slow = np.arange(60.)[:,None],np.arange(60//every)[:,None]*float(every)
    w = Windows(fast, 12, 1, horizon=5)
    got = w.over(slow, every).gather(range(len(w)))
    start = np.arange(len(w))
    same(got[:, 0, 0], (start//every*every).astype(float)) # In force when the window begins
    assert got.shape == (len(w), 1, 12//every) and (got[:, 0, -1] <= start+11).all() # Nothing of later
