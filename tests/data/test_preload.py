"Preloaded batches are those from disk, and data that does not fit is left there"
import pickle
import numpy as np, pytest, torch
from conftest import fails, filled, ramp
from tsdisk.data import loaders
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.disk.array_sources import ArraySource

@pytest.mark.parametrize('shuffle', [False,True,'block'])
def test_preloaded_batches_are_those_from_disk(tmp_path, block, shuffle):
    X,y = save_array(tmp_path/'X.npy', filled((300,2,9), 'i2')),save_array(tmp_path/'y.npy', np.array([*'abc'*100]))
    rows = np.random.default_rng(0).permutation(300)[:200]
    def dls(): return TSDataLoaders.from_arrays(X, y, bs=16, seed=1, shuffle=shuffle, splits=[rows, range(0)], device='cpu')
    a,b = dls().train,dls().preload().train
    assert 'preloaded' in repr(b) and b.preloaded.columns[0].values.dtype == torch.int16
    for _ in range(2):
        for p,q in zip(a, b, strict=True): assert all(torch.equal(u, v) and type(u) is type(v) and u.dtype == v.dtype for u,v in zip(p, q, strict=True))

def test_preloading_says_what_it_takes_and_reads_nothing_later(capsys, tmp_path, monkeypatch):
    X = save_array(tmp_path/'X.npy', filled((300,2,9)))
    dls = TSDataLoaders.from_arrays(X, np.arange(300.), bs=16, seed=1, device='cpu')
    assert dls.preload() is dls and '2.4e-05 GB' in capsys.readouterr().out
    monkeypatch.delattr(ArraySource, '_gather')
    assert sum(len(b[0]) for dl in dls for b in dl) >= 295
    state = dls.train.state_dict()
    other = pickle.loads(pickle.dumps(dls.train))
    assert not other.preloaded and other.state_dict() == state

def test_data_that_does_not_fit_is_not_preloaded(monkeypatch):
    monkeypatch.setattr(loaders, 'free_memory', lambda: 20_000)
    dls = TSDataLoaders.from_arrays(ramp(5000), splits=[range(4000), range(4000,5000)], device='cpu')
    with fails(ValueError, '0.00012 GB', '2e-05 GB are free on cpu', 'leave them'): dls.preload()
    assert not dls.train.preloaded

def test_labels_that_no_split_uses_may_be_unknown():
    dls = TSDataLoaders.from_arrays(ramp(5), ['a','b','a','b','z'], splits=[[0,1],[2,3]], bs=2, device='cpu').preload()
    assert dls.valid.one_batch()[1].tolist() == [0,1]

def test_a_split_without_rows_has_no_batches():
    dls = TSDataLoaders.from_dsets(TSDatasets(np.zeros((20,1,4), 'f4'), np.arange(20)), bs=8, device='cpu').preload()
    assert len([*dls.train]) == 2 and [*dls.valid] == []
