"Crops differ by epoch and repeat by seed"
import numpy as np, pytest, torch
from conftest import fails, same
from tsdisk.data.reader import ReadOptions
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.disk.arrays import save_array
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows

@pytest.mark.parametrize('num_workers', [0,2])
def test_crops_differ_by_epoch_and_repeat_by_seed(tmp_path, num_workers):
    c = Crops(save_array(tmp_path/'x.npy', np.arange(5000, dtype='f4')), 7, per_series=50, seed=3)
    def passes(shuffle, seed=5, n=3):
        dl = TSDataLoader(TSDatasets(c), bs=16, shuffle=shuffle, seed=seed, num_workers=num_workers)
        return [torch.cat([b[0] for b in dl])[:,0,0].numpy() for _ in range(n)]
    a,b,_ = passes(True)
    assert set(a) != set(b) and len(set(a)) > 40
    for p,q in zip(passes(True), (a,b)): same(p, q)
    for p in passes(False): same(p, c.gather(range(50))[:,0,0])

@pytest.mark.filterwarnings('ignore:Rows of')
def test_crops_read_what_was_prefetched(tmp_path):
    x = np.random.default_rng(0).normal(size=(200_000,4)).astype('f4')
    c = Crops(save_array(tmp_path/'x.npy', x), 100, per_series=2000)
    loaders = [TSDataLoader(TSDatasets(c), bs=64, shuffle=True, seed=1, read=ReadOptions(direct=d)) for d in (False,True)]
    a,b = [torch.cat([o[0] for o in dl]) for dl in loaders]
    assert torch.equal(a, b)

def test_crops_of_other_seeds_are_others():
    a,b = [Crops(np.arange(10_000.), 5, per_series=50, seed=s).stored for s in (0,1)]
    assert (a.at_epoch(1).gather(range(50)) != b.at_epoch(0).gather(range(50))).mean() > .9
    with fails(ValueError, '`seed`'): Crops(np.zeros(100), 5, seed=-1)

def test_states_tell_other_windows_and_crops():
    x = np.zeros((300,2), 'f4')
    windows = Windows(x, 5, horizon=2, gap=3), Windows(x, 5, horizon=3, gap=2)
    crops = Crops(x, 5, per_series=40, seed=1), Crops(x, 5, per_series=40, seed=2)
    a,b,c,d = [TSDataLoader(TSDatasets(o), bs=8, shuffle=True, seed=1) for o in (*windows, *crops)]
    with fails(ValueError, 'data'): b.load_state_dict(a.state_dict())
    with fails(ValueError, 'data'): d.load_state_dict(c.state_dict())

def test_crops_at_an_epoch_are_whole_windows_of_that_epoch():
    x = np.arange(20_000, dtype='f4').reshape(10_000, 2)
    c = Crops(x, 5, per_series=9, horizon=2, known=[0], static=np.array([[1.]]))
    y = c.label(np.arange(10_000))
    later,rows = c.at_epoch(3),range(9)
    series,start = later.locate(rows)
    assert (start != c.locate(rows)[1]).any() and not series.any()
    xb,yb = later.gather(rows)
    same(xb[:,0,0], x[start,0])
    same(yb[:,1,1], x[start+6,1])
    same(np.asarray(later[4][0]), xb[4])
    same(y.at_epoch(3).gather(rows), start+4)
    assert len({id(o.stored) for o in (*later.inputs[:2], later.target, later)}) == 1
    assert later.inputs[2] is c.inputs[2] and c.at_epoch(3).grid.epoch == 3
