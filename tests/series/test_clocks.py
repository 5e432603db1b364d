"Clocks of many series say what the clock of each says"
import pickle
import numpy as np, pytest
from conftest import fails
from tsdisk.series.clock import Clock
from tsdisk.series.clocks import as_clocks, Clocks

def test_clocks_of_series_without_a_start_or_a_rate():
    clocks = Clocks(np.array(['2024-01-01', 'NaT'], 'M8[ns]'), [1, np.nan])
    assert clocks[0].start == np.datetime64('2024-01-01') and clocks[1].start is None and clocks[1].fs is None
    assert clocks.fs_of_all is None and Clocks(fs=[2, 2]).steps('3s') == 6

hour = 3600*10**9
uneven = Clock.from_times(np.datetime64('2024-01-01') + np.array([0,1,5,7,100,108]))
even = [Clock('2024-01-01', period='1h', jumps=[[2,5*hour],[4,100*hour]]), Clock('2020-05-01', fs=3), Clock('2024-01-01', period='1h')]
forms = dict(list=even, shared=even[0], uneven=[*even, uneven])

@pytest.mark.parametrize('form', forms)
def test_times_of_many_are_those_of_each(form):
    clock = forms[form]
    of_each = [clock]*3 if isinstance(clock, Clock) else clock
    series,steps = (o.ravel() for o in np.meshgrid(range(len(of_each)), range(6), indexing='ij'))
    for clocks in (as_clocks(clock), pickle.loads(pickle.dumps(as_clocks(clock)))):
        want = np.array([of_each[i].since_start(k) for i,k in zip(series, steps)])
        assert abs(clocks.since_starts(series, steps)-want).max() <= 1 # Thirds of a second are rounded, or cut off
        for i,o in enumerate(of_each): assert (clocks[i].times(np.arange(6)) == o.times(np.arange(6))).all()
        assert clocks.knows_times(len(of_each)) and as_clocks(clocks) is clocks
        assert clocks.gaps(len(of_each)).tolist() == [[i,int(k)] for i,o in enumerate(of_each) for k in o.gaps[:,0]]

def test_nothing_is_known_of_no_clock(): assert as_clocks(None) is None and not Clocks(fs=3).knows_times(2) and Clocks().fs_of_all is None

def test_a_duration_is_one_number_of_steps_or_refused():
    assert Clocks(fs=[4,4]).steps('10s') == Clocks(fs=4).steps('10s') == 40
    with fails(ValueError, "`gap='10s'`", '2 to 4 steps per second', 'give a number of steps'): Clocks(fs=[4,2]).steps('10s', 'gap')

def test_rates_that_are_not_known_have_no_period():
    assert np.isnan(Clocks().periods_of(np.arange(3))).all()
    got = Clocks(fs=[2,np.nan,4]).periods_of(np.array([[0,1],[2,0]]))
    assert got[0,0] == got[1,1] == 5*10**8 and np.isnan(got[0,1]) and got[1,0] == 25*10**7
