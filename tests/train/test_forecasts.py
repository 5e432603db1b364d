"Forecasts as a table, against the values and times of each window"
from importlib import import_module
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.data.datasets import TSDatasets
from tsdisk.order.time_splits import time_splits
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows
from tsdisk.train.forecasts import forecasts_to_frame

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

def test_forecasts_of_another_shape_are_refused():
    w = some_windows()
    with expect_fail(ValueError, 'windows with a horizon of 3'): forecasts_to_frame(np.zeros((len(w),2,4)), TSDatasets(w))
