"Forecasts that overlap become series again, in memory that does not grow"
import tracemalloc
import numpy as np, pytest
from conftest import fails, filled
from tsdisk.data.datasets import TSDatasets
from tsdisk.order.split_rows import RandomShare
from tsdisk.order.splits import random_splits
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows
from tsdisk.train import stitch
from tsdisk.train.stitch import stitch_forecasts

def brute(preds, w, rows, how, n):
    "Forecasts put together one by one"
    out = [[{} for _ in range(int(w.panel.length(s)))] for s in range(n)]
    for p,i in zip(preds, rows):
        s,start = w.locate(i)
        for h in range(w.horizon): out[int(s)][int(start)+w.span-w.horizon+h][int(start)] = p[:,h]
    pick = (lambda o: np.mean([*o.values()], axis=0)) if how == 'mean' else lambda o: o[max(o)]
    return [np.stack([pick(o) if o else np.full(preds.shape[1], np.nan) for o in series]).T for series in out]

options = [dict(), dict(stride=3), dict(gap=2, stride=2), dict(stride=9), dict(targets=[1])]

@pytest.mark.parametrize('how', ['mean','last'])
@pytest.mark.parametrize('kw', options, ids=str)
@pytest.mark.parametrize('pick', ['all','late','random'])
@pytest.mark.parametrize('step', [2**14,7])
def test_forecasts_are_stitched(tmp_path, monkeypatch, how, kw, pick, step):
    monkeypatch.setattr(stitch._stitched, '__defaults__', (step,))
    series = [filled((k,2), seed=k) for k in (40,9,33,12)]
    w = Windows(series, 6, horizon=4, **kw)
    n = len(w)
    rows = dict(all=np.arange(n), late=np.arange(n//2, n), random=np.random.default_rng(0).permutation(n)[:n//2])[pick]
    ds = TSDatasets(w, splits=[range(n//2, n) if pick == 'late' else range(n) if pick == 'all' else rows, []]).subset(0)
    preds = filled((len(rows), len(kw.get('targets', [0,1])), 4))
    res = stitch_forecasts(preds, ds, tmp_path/'s', how)
    assert len(res) == 4
    want = brute(preds.astype('f8'), w, rows, how, 4)
    for a,b in zip(res, want): np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

def test_stitching_takes_little_memory_and_any_direction(tmp_path):
    w = Windows(np.broadcast_to(np.zeros((1,1), 'f4'), (4_000_000,1)), 8, stride=200, horizon=4)
    tracemalloc.start()
    stitch_forecasts(np.ones((len(w),1,4), 'f4'), TSDatasets(w), tmp_path/'s')
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    w = Windows(filled((60,2)), 6, horizon=4)
    preds = filled((51,2,4))
    def of(rows): return TSDatasets(w, splits=[rows, []]).subset(0)
    a = stitch_forecasts(preds, of(range(51)), tmp_path/'a')[0]
    b = stitch_forecasts(preds[::-1], of(range(50, -1, -1)), tmp_path/'b')[0]
    np.testing.assert_array_equal(a, b)
    assert sorted(o.name for o in tmp_path.iterdir()) == ['a','b','s']

@pytest.mark.parametrize('how,want', dict(mean=[5,10,10,20], last=[10,20,20,20]).items())
def test_a_window_that_comes_twice_counts_twice(tmp_path, how, want):
    w = Windows(filled((54,1)), 4, horizon=3)
    ds = TSDatasets(w, splits=[np.array([5,5,6]), []]).subset(0)
    res = stitch_forecasts(np.array([0,10,20], 'f4')[:,None,None]*np.ones((3,1,3), 'f4'), ds, tmp_path/'s', how)[0]
    assert res[0,9:13].tolist() == want

def test_what_can_not_be_stitched(tmp_path):
    w = Windows(filled((60,2)), 6, horizon=4)
    ds = TSDatasets(w)
    crops = Crops([filled((60,2))]*2, 6, horizon=4)
    arrays,no_horizon = TSDatasets(filled((51,2,4)), filled((51,2,4))),TSDatasets(Windows(filled((60,2)), 6))
    for bad,words in ((arrays,'Windows'), (no_horizon,'Windows'), (TSDatasets(crops),'Crops')):
        with fails(ValueError, words): stitch_forecasts(filled((51,2,4)), bad, tmp_path/'s')
    with fails(ValueError, "'mean' or 'last'"): stitch_forecasts(filled((51,2,4)), ds, tmp_path/'s', 'median')
    with fails(ValueError, '51 windows with a horizon of 4'): stitch_forecasts(filled((50,2,4)), ds, tmp_path/'s')
    stitch_forecasts(filled((51,2,4)), ds, tmp_path/'s')
    with fails(FileExistsError, 'give another folder'): stitch_forecasts(filled((51,2,4)), ds, tmp_path/'s')

def test_rows_of_a_random_share_are_sorted(tmp_path):
    w = Windows(np.arange(5*2**20+50, dtype='f4')[:,None], 4, horizon=1, stride=5)
    ds = TSDatasets(w, splits=random_splits(w, .01, seed=0)).subset(1)
    assert isinstance(ds.idxs, RandomShare)
    res = stitch_forecasts(w.target.gather(np.asarray(ds.idxs)), ds, tmp_path/'s')[0][0]
    known = ~np.isnan(res)
    assert known.sum() == len(ds) and (res[known] == np.flatnonzero(known)).all()

def test_steps_before_the_first_forecast_take_no_memory(tmp_path):
    w = Windows(np.broadcast_to(np.zeros((1,1), 'f4'), (4_000_000,1)), 8, horizon=4)
    n = len(w)
    ds = TSDatasets(w, splits=[range(100), np.r_[n//2-9:n//2, n-9:n]]).subset(1)
    tracemalloc.start()
    res = stitch_forecasts(np.ones((18,1,4), 'f4'), ds, tmp_path/'s')[0][0]
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()
    assert (~np.isnan(res)).sum() == 24 and res[-12:].tolist() == [1]*12
