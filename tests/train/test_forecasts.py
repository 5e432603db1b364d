"Forecasts as a table, against the values and times of each window"
from importlib import import_module
import numpy as np, pytest
from conftest import filled
from fastcore.test import expect_fail
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.order.time_splits import time_splits
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows
from tsdisk.train.forecasts import forecasts_to_frame, stitched_to_frame
from tsdisk.train.stitch import stitch_forecasts

import_module('tsdisk.data.times') # Adds `times` to datasets

def some_windows(clock=None):
    x = np.arange(280.).reshape(140,2)
    return Windows(Ragged(x, [0,100,140]), 7, horizon=3, gap=1, stride=2, clock=clock)

clocks = [Clock('2024-01-01', period='1d', jumps=[[50, 100*86400*10**9]]), Clock('2024-03-01', period='1d')]

@pytest.mark.parametrize('split', [None,0,1])
def test_each_line_is_a_step_of_a_window(split):
    w = some_windows(clocks)
    dset = TSDatasets(w, splits=time_splits(w))
    if split is not None: dset = dset.subset(split)
    preds = w.target.gather(np.asarray(dset.idxs[:]) if not isinstance(dset.idxs, range) else np.arange(len(w)))
    table = forecasts_to_frame(preds, dset, series=['a','b'], names=['u','v'])
    assert len(table) == preds.size
    for i in (0, len(dset)//2, len(dset)-1):
        inputs,future = dset.times(i)
        lines = table.iloc[i*6:i*6+6]
        assert (lines.made_at == inputs[-1]).all() and (lines.time.to_numpy() == np.tile(future, 2)).all()
        assert lines.variable.tolist() == ['u']*3+['v']*3 and lines.step.tolist() == [1,2,3]*2
        assert (lines.value.to_numpy().reshape(2,3) == preds[i]).all()
        assert lines.series.iloc[0] == 'ab'[int(w.locate(int(np.asarray(dset.idxs[i])))[0])]

def test_steps_are_numbered_where_times_are_not_known():
    w = some_windows()
    table = forecasts_to_frame(w.target.gather(range(len(w))), TSDatasets(w), rows=[0,5])
    assert table.time.tolist() == [8,9,10]*2 + [18,19,20]*2 and table.made_at.tolist() == [6]*6 + [16]*6 and set(table.series) == {0}

def test_names_must_be_as_many_as_series():
    w = some_windows()
    with expect_fail(ValueError, 'There are 2 series and 1 names'): forecasts_to_frame(w.target.gather(range(len(w))), TSDatasets(w), series=['a'])

@pytest.mark.parametrize('horizon', [0,3])
def test_variables_have_the_names_that_the_windows_know(horizon):
    chosen = dict(targets=['price']) if horizon else dict(sel_vars=['price'])
    w = Windows(np.arange(80.).reshape(40,2), 7, horizon=horizon, names=['load','price'], **chosen)
    table = forecasts_to_frame(np.zeros((len(w),1,3)), TSDatasets(w))
    assert set(table.variable) == {'price'}
    table = forecasts_to_frame(np.zeros((len(w),1,3)), TSDatasets(w), names=['value'])
    assert set(table.variable) == {'value'}

def test_forecasts_that_are_nan_are_told_of():
    w = some_windows()
    preds = w.target.gather(range(len(w)))
    preds[3] = np.nan
    with pytest.warns(UserWarning, match=f'6 of {preds.size} forecasts are NaN.*FillNaN'): forecasts_to_frame(preds, TSDatasets(w))

def test_forecasts_of_another_shape_are_refused():
    w = some_windows()
    with expect_fail(ValueError, 'windows with a horizon of 3'): forecasts_to_frame(np.zeros((len(w),2,4)), TSDatasets(w))

uneven = [Clock.from_times(np.datetime64('2024-01-01', 'ns') + np.random.default_rng(i).integers(1, 10**6, n).cumsum()*10**6) for i,n in enumerate((100,40))]

def test_uneven_times_are_those_of_the_windows():
    series = [filled((n,2)) for n in (100,40)]
    w = Windows(series, 7, horizon=3, gap=1, stride=2, clock=uneven)
    dset = TSDatasets(w)
    table = forecasts_to_frame(w.target.gather(range(len(w))), dset)
    for i in (0, 5, len(w)-1):
        inputs,future = dset.times(i)
        lines = table.iloc[i*6:i*6+6]
        assert (lines.made_at == inputs[-1]).all() and (lines.time.to_numpy() == np.tile(future, 2)).all()

# Stitched forecasts

@pytest.mark.parametrize('clock', [clocks, uneven, None])
def test_each_line_of_a_stitched_table_is_a_forecast_step(clock, tmp_path):
    w = some_windows(clock)
    dset = TSDatasets(w)
    stitched = stitch_forecasts(w.target.gather(range(len(w))), dset, tmp_path/'s')
    table = stitched_to_frame(stitched, dset, series=['a','b'], names=['u','v'])
    assert len(table) == sum(int(np.isfinite(np.asarray(o)).sum()) for o in stitched) and not table.value.isna().any()
    for i,name in enumerate('ab'):
        values = np.asarray(stitched[i])
        steps = np.flatnonzero(~np.isnan(values[0]))
        lines = table[(table.series == name) & (table.variable == 'v')]
        times = steps if clock is None else w.clocks[i].times(steps)
        assert (lines.time.to_numpy() == times).all() and (lines.value.to_numpy() == values[1,steps]).all()
    alone = stitched_to_frame(tmp_path/'s', dset.subset(0), which=1, series=['a','b'], names=['u','v'])
    assert alone.equals(table[table.series == 'b'].reset_index(drop=True))

def test_stitched_series_of_other_windows_are_refused(tmp_path):
    w = some_windows()
    stitched = stitch_forecasts(w.target.gather(range(len(w))), TSDatasets(w), tmp_path/'s')
    other = Windows(np.zeros((140,2)), 7, horizon=3)
    with expect_fail(ValueError, 'There are 1 series of 140 steps, got 2 stitched ones'): stitched_to_frame(stitched, TSDatasets(other))
    with expect_fail(ValueError, '`Windows` with a horizon'): stitched_to_frame(stitched, TSDatasets(np.zeros((4,2,7))))

def test_forecasts_beyond_the_end_of_the_data():
    from tsdisk.data.loaders import TSDataLoaders
    series = [filled((n,2)) for n in (100,40)]
    w = Windows(series, 7, horizon=3, stride=2, clock=clocks)
    dls = TSDataLoaders.from_dsets(TSDatasets(w, splits=time_splits(w)), bs=8)
    ends = Windows(series, 7, clock=clocks)
    assert ends.last.tolist() == [ends.grid.first(1)-1, len(ends)-1]
    dl = dls.test_dl(ends, rows=ends.last)
    (x,) = dl.one_batch()
    assert len(dl.dataset) == 2 and [o.tolist() for o in x.cpu().numpy()] == [o[-7:].T.tolist() for o in series]
    preds = np.arange(12).reshape(2,2,3)
    table = forecasts_to_frame(preds, dl, series=['a','b'])
    assert table.value.tolist() == [*range(12)] and table.series.tolist() == ['a']*6+['b']*6
    for i,name in enumerate('ab'):
        n,c = len(series[i]),clocks[i]
        lines = table[table.series == name]
        assert (lines.made_at == c.times(n-1)).all() and lines.time.tolist()[:3] == [c.times(n-1)+np.timedelta64(k, 'D') for k in (1,2,3)]
    assert forecasts_to_frame(preds, dl, gap=1).time.iloc[0] == clocks[0].times(99)+np.timedelta64(2, 'D')
    with expect_fail(ValueError, '2 windows, got forecasts'): forecasts_to_frame(preds[:1], dl)

def test_unequal_series_without_a_window_have_no_last_one():
    w = Windows([filled((n,1)) for n in (20,9,5,10)], 10, stride=3)
    assert w.last.tolist() == [3,4] and w.locate(w.last)[1].tolist() == [9,0]

def test_steps_after_uneven_times_have_no_times():
    series = [filled((n,2)) for n in (100,40)]
    dset = TSDatasets(Windows(series, 7, clock=uneven))
    with expect_fail(ValueError, 'uneven'): forecasts_to_frame(np.zeros((len(dset),2,3)), dset)

def test_rows_of_new_samples_can_be_chosen():
    from tsdisk.data.loaders import TSDataLoaders
    X = filled((30,2,9))
    dls = TSDataLoaders.from_arrays(X, np.arange(30)%2, bs=8)
    dl = dls.test_dl((X,np.arange(30)%2), with_labels=True, rows=[3,7,21])
    x,y = dl.one_batch()
    assert np.array_equal(x.cpu().numpy(), X[[3,7,21]]) and y.tolist() == [1,1,1]
    assert len(dls.test_dl(X, rows=np.arange(30) < 4).dataset) == 4
    with expect_fail(IndexError, '`rows`'): dls.test_dl(X, rows=[30])
    with expect_fail(ValueError, '`rows`'): dls.test_dl(dls.valid_ds, rows=[0])

def test_windows_without_their_targets_are_refused_with_the_way_out():
    w = some_windows()
    dls = TSDataLoaders.from_arrays(w, bs=8, device='cpu')
    with expect_fail(ValueError, 'give it `Windows` without a horizon'): forecasts_to_frame(np.zeros((2,2,3)), dls.test_dl(w, rows=w.last))
    assert len(forecasts_to_frame(np.zeros((2,2,3)), dls.test_dl(w, rows=w.last, with_labels=True))) == 12

def known_windows(x): return Windows(x, 7, horizon=3, sel_vars=[0], targets=[0], known=[1], clock=clocks[0])

def test_forecasts_with_known_variables_are_refused_with_the_way_that_works():
    from tsdisk.data.loaders import TSDataLoaders
    x = filled((100,2))
    w = known_windows(x)
    dls = TSDataLoaders.from_arrays(w, bs=8, device='cpu')
    with expect_fail(ValueError, 'append the steps to forecast, NaN but for these'): forecasts_to_frame(np.zeros((1,1,3)), dls.test_dl(w, rows=w.last))
    ahead = np.array([[np.nan,k] for k in (1,2,3)], 'f4')
    new = known_windows(np.concatenate([x, ahead]))
    dl = dls.test_dl(new, rows=new.last, with_labels=True)
    inputs,known,_ = dl.one_batch()
    assert inputs[0,0].tolist() == x[-7:,0].tolist() and known[0,0].tolist() == [1,2,3]
    table = forecasts_to_frame(np.zeros((1,1,3)), dl)
    assert (table.made_at == clocks[0].times(99)).all() and table.time.tolist() == [clocks[0].times(99)+np.timedelta64(k, 'D') for k in (1,2,3)]

def test_rows_are_counted_from_the_end_or_masked():
    w = Windows(np.arange(100.)[:,None], 4, horizon=1, clock=Clock('2024-01-01', period='1d'))
    dset = TSDatasets(w, splits=[range(80), range(80, 96)]).subset(1)
    preds = w.target.gather(np.arange(80, 96))
    whole = forecasts_to_frame(preds, dset)
    mask = np.arange(16)%4 == 1
    for rows,positions in (([-1], [15]), (mask, np.flatnonzero(mask)), ([], [])):
        assert forecasts_to_frame(preds, dset, rows=rows).equals(whole.iloc[positions].reset_index(drop=True))
    assert whole.value.iloc[-1] == 99 and str(whole.time.iloc[-1]) == '2024-04-09 00:00:00'
    with expect_fail(IndexError, 'Item 16'): forecasts_to_frame(preds, dset, rows=[16])



@pytest.mark.parametrize('clock', [Clock(fs=1), Clock.from_times(np.cumsum(1. + np.arange(50)%3))], ids=['even','uneven'])
def test_steps_are_numbered_where_no_clock_knows_its_start(clock):
    w = Windows([np.zeros((50,1))]*2, 8, horizon=2, clock=[clock]*2)
    table = forecasts_to_frame(w.target.gather(range(len(w))), TSDatasets(w))
    assert table.time.iloc[:2].tolist() == [8,9] and table.made_at.iloc[0] == 7

@pytest.mark.parametrize('uneven', [False,True])
def test_times_are_missing_where_only_other_starts_are_known(uneven):
    times = np.datetime64('2024-01-01','s') + uneven_steps(uneven)
    known,unknown = Clock.from_times(times),Clock.from_times(uneven_steps(uneven).astype('f8'))
    w = Windows([np.zeros((50,1))]*2, 8, horizon=2, clock=[known,unknown])
    table = forecasts_to_frame(w.target.gather(range(len(w))), TSDatasets(w))
    first = table[table.series == 0]
    assert (first.time.iloc[:2].to_numpy() == times[8:10]).all() and table[table.series == 1].time.isna().all()

def uneven_steps(uneven): return np.cumsum(np.r_[0, 1 + np.arange(49)%3*uneven])

def test_parts_of_windows_are_refused():
    w = some_windows()
    parts = TSDatasets(w.inputs[0], w.target)
    with expect_fail(ValueError, 'parts of windows'): forecasts_to_frame(w.target.gather(range(len(w))), parts)
