"Series side by side are cut at one time"
import numpy as np, pytest
from conftest import fails
from tsdisk.order.time_splits import walk_forward_splits
from tsdisk.order.timeline import Timeline
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

@pytest.mark.parametrize('fs', [100,44_100,3,62.4725,10**6,1/86400])
def test_the_last_k_steps_are_k_at_any_rate(fs):
    clock = [Clock('2024-01-01', fs), Clock('2024-01-01', fs)]
    t = Timeline(Windows(Ragged(np.zeros((1900,1)), [0,1000,1900]), 2, clock=clock))
    for k in range(1001): assert t.cut(k).tolist() == [1000-k, min(900, 1000-k)]
    w = Windows(np.zeros((1000,1)), 1, clock=clock[0])
    assert {len(valid) for _,valid in walk_forward_splits(w, 5, valid_size=7)} == {7}

def series(*lengths, **kwargs): return Windows(Ragged(np.zeros((sum(lengths),1)), np.cumsum([0, *lengths])), 2, **kwargs)

def test_without_a_clock_series_end_together():
    t = Timeline(series(10, 4, 7))
    assert t.most == 10 and t.cut(5).tolist() == [5,0,2] and t.held_out(5) == 14 and t.cut(0).tolist() == [10,4,7]

@pytest.mark.parametrize('clocks', [None, [Clock('2024-01-01', period='1d'), Clock('2024-01-05', period='1d'), Clock('2023-12-01', period='2h')]], ids=['steps','days'])
def test_the_last_steps_are_as_few_as_hold_out_so_many(clocks):
    t = Timeline(series(10, 4, 70, clock=clocks))
    for n in (1,2,9,30,84):
        k = t.last(n)
        assert t.held_out(k) >= n > (t.held_out(k-1) if k else 0)
    found = [t.held_out(k) for k in range(t.most+1)]
    assert found == sorted(found) and found[0] == 0 and found[-1] == 84

def test_series_are_cut_at_a_date():
    t = Timeline(series(10, 4, clock=[Clock('2024-01-01', period='1d'), Clock('2024-01-05', period='1d')]))
    for date,want in (('2023', [0,0]), ('2024-01-05', [4,0]), ('2024-01-05T00:00:01', [5,1]), ('2024-01-09', [8,4]), ('2025', [10,4])):
        assert t.cut_at(date).tolist() == want == t.cut_at(np.datetime64(date)).tolist()
    assert t.most == 10 and t.cut(3).tolist() == [7,3]

def test_a_date_needs_starts_and_rates():
    with fails(ValueError, "can't be cut at '2024'", '`clock`'): Timeline(series(10, 4)).cut_at('2024')

def test_a_series_without_a_start_is_told_of():
    with pytest.warns(UserWarning, match='1 of 2 series have no start'): t = Timeline(series(10, 4, clock=[Clock('2024-01-01', period='1d'), Clock(period='1d')]))
    assert t.cut(3).tolist() == [7,1]
