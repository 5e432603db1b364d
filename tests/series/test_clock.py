"Clocks: durations, periods, gaps, drift, and what files say of them"
from datetime import datetime, timedelta, timezone
from fractions import Fraction
import numpy as np, pandas as pd, pytest
from fastcore.test import expect_fail
from hypothesis import given, settings, strategies as st
from tsdisk.series.clock import Clock, as_time, duration_text, nanosecond_stamps, nanoseconds, period_of
from tsdisk.series.clock_scan import ClockScan

@pytest.mark.parametrize('duration', ['36h', '36 hours', '1 day 12 hours', '1d12h', '1.5 D', 129600, timedelta(days=1.5), pd.Timedelta('36h'), np.timedelta64(36, 'h')])
def test_durations_of_any_form_are_the_same(duration): assert nanoseconds(duration) == 36*3600*10**9

@pytest.mark.parametrize('text', ['', 'h', '2 months', '1y', '3 h 4', '-', '1hh'])
def test_durations_without_a_fixed_unit_are_refused(text):
    with expect_fail(ValueError, 'A duration is a number and a unit'): nanoseconds(text)

@pytest.mark.parametrize('fs,period', [(1/86400, 86400*10**9), (360, Fraction(25*10**8, 900)), (128, 7812500), (1/3600, 3600*10**9), (44100, Fraction(10**9, 44100)),
    (1/60, 60*10**9)])
def test_periods_are_exact(fs, period): assert period_of(fs) == period

@pytest.mark.parametrize('fs', [0, -1, np.nan, np.inf])
def test_rates_are_positive(fs):
    with expect_fail(ValueError, '`fs` must be a number of steps per second above 0'): Clock(fs=fs)

@pytest.mark.parametrize('t', ['2024-03-31T10:00+02:00', '2024-03-31 08:00', '2024-03-31T08:00Z', '2024-03-31T06:30-01:30', datetime(2024, 3, 31, 8),
    datetime(2024, 3, 31, 8, tzinfo=timezone.utc), datetime(2024, 3, 31, 10, tzinfo=timezone(timedelta(hours=2))), np.datetime64('2024-03-31T08'), pd.Timestamp('2024-03-31T10', tz='Europe/Paris')])
def test_times_of_any_form_are_the_same(t): assert as_time(t) == np.datetime64('2024-03-31T08', 'ns')

@pytest.mark.parametrize('t', ['31.03.2024', '03/31/2024', 'd_1', '', 'now is the time'])
def test_times_in_other_formats_are_refused(t):
    with expect_fail(ValueError, 'A time is written like'): as_time(t)

def test_long_recordings_lose_no_nanosecond():
    clock = Clock('2000-01-01', fs=360)
    step = 360*86400*365*20 # 2.3e9
    assert clock.times(step) == np.datetime64('2000-01-01') + np.timedelta64(365*20, 'D')

@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 200), st.integers(2, 50)), min_size=1, max_size=5), st.sampled_from(['1s', '1h', '1d']), st.integers(1, 64))
def test_a_scan_finds_the_gaps_that_were_made(runs, period, piece):
    unit = int(nanoseconds(period))
    times,t = [],0
    for n,lost in runs:
        times += [t+i*unit for i in range(n)]
        t = times[-1] + (lost+1)*unit
    times = np.array(times).astype('M8[ns]')
    scan = ClockScan()
    piece = max(piece, runs[0][0]) # Its period is that of the first piece
    for i in range(0, len(times), piece): scan.add(times[i:i+piece])
    clock = scan.clock()
    if len(runs)-1 > max(1, len(times)//10): assert clock.fs is None
    else:
        assert (clock.times(np.arange(len(times))) == times).all()
        assert clock.gaps[:,0].tolist() == np.cumsum([n for n,_ in runs])[:-1].tolist()

@pytest.mark.parametrize('fs', [128, 360, 30, 99.5, 1000/3])
def test_the_rate_of_rounded_stamps_is_found(fs):
    times = (np.arange(5000)*1000/fs).astype(int)*10**6
    clock = Clock.from_times(times.astype('M8[ns]'))
    assert abs(clock.fs-fs) < 1e-3*fs and not len(clock.gaps)
    assert abs(clock.times(np.arange(5000)) - times.astype('M8[ns]')).max() <= np.timedelta64(5, 'ms')

def test_the_drift_of_a_device_is_followed():
    times = (np.arange(100_000)*10_001_000).astype('M8[ns]') # 10 ms, and a microsecond more
    scan = ClockScan()
    scan.add((np.arange(1000)*10_000_000).astype('M8[ns]'))
    scan.add(times[1000:])
    clock = scan.clock()
    steps = np.arange(1000, 100_000)
    assert abs(clock.times(steps)-times[1000:]).max() <= np.timedelta64(5_100, 'us')
    assert not len(clock.gaps) and len(clock.jumps) > 10

def test_missing_repeated_and_backward_times_are_counted():
    times = np.array(['2024-01-01', '2024-01-02', 'NaT', '2024-01-02', '2024-01-01', '2024-01-05'], 'M8[ns]')
    scan = ClockScan()
    scan.add(times[:4])
    scan.add(times[4:])
    assert scan.faults == ['1 missing', '2 repeated', '1 earlier than the one before']
    assert scan.uneven

def test_only_missing_times_are_an_error():
    with expect_fail(ValueError, 'all missing'): Clock.from_times(np.full(3, np.datetime64('NaT'), 'M8[ns]'))

def test_seconds_have_a_rate_and_no_start():
    clock = Clock.from_times(np.arange(100)/250)
    assert clock.start is None and clock.fs == 250
    assert clock.times(250) == np.timedelta64(1, 's')

def test_uneven_times_are_kept_as_they_are():
    times = np.cumsum(np.random.default_rng(0).integers(1, 10**9, 1000)).astype('M8[ns]')
    clock = Clock.from_times(times)
    assert clock.fs is None and (clock.times(np.arange(1000)) == times).all()
    with expect_fail(ValueError, 'needs a sampling rate'): clock.steps('1s')

def test_first_steps_agree_with_a_search():
    clock = Clock('2024-01-01', period='1h', jumps=[[10, 100*3600*10**9]])
    times = clock.times(np.arange(50))
    for t in times[[0, 3, 9, 10, 49]]:
        for shift in (-1, 0, 1):
            at = t + np.timedelta64(shift, 'm')
            assert clock.first_step(at, 50) == np.searchsorted(times, at)

@pytest.mark.parametrize('hz', [50,100,128,256,500,1000,1/60])
@pytest.mark.parametrize('start', [0,1577836800,-1577836800.5])
def test_seconds_of_any_size_keep_their_rate(hz, start):
    clock = Clock.from_times(start + np.arange(2000)/hz)
    assert clock.fs == hz and not len(clock.jumps)

@pytest.mark.parametrize('t', ['0001-01-01', '1500-06-01T10:00', '2300', datetime(1600, 1, 1), np.datetime64('9999', 'Y')])
def test_dates_that_nanoseconds_can_not_hold_are_refused(t):
    with expect_fail(ValueError, 'between 1678 and 2262'): as_time(t)
    assert as_time('1678-01-01') < as_time('2262-04-11')

def test_times_out_of_range_are_missing():
    least = np.iinfo('i8').min
    assert nanosecond_stamps([np.nan, np.inf, 1e10, 9e9]).tolist() == [least,least,least,9*10**18]
    assert nanosecond_stamps(np.array([10**10,1])).tolist() == [least,10**9]

@pytest.mark.parametrize('record,known', [({}, False), (dict(start='beginning'), False), (dict(start=5), False), (dict(fs=0), False), (dict(fs=[1,2]), False),
    (dict(start='2024-01-01', fs=None), True), (dict(fs=5, start='x'), True), (dict(start='NaT'), False)])
def test_metadata_that_is_no_time_is_ignored(record, known): assert (Clock.from_metadata(record) is not None) == known

@pytest.mark.parametrize('start', ['2024-01-01', '2024-01-01T00:00:00.000001', '2024-01-01T00:00:00.000000001', None])
def test_clocks_survive_their_metadata(start):
    clock = Clock(start, fs=360, jumps=[[100, 10**12]])
    other = Clock.from_metadata(clock.metadata())
    assert (other.times([0, 99, 100, 10**6]) == clock.times([0, 99, 100, 10**6])).all()

in_words = {'1ns': '1 ns', '1.5ms': '1.5 ms', '59s': '59 s', '61.5s': '1 min 1.5 s', '90s': '1 min 30 s', '119.97s': '2 min', '1h': '1 h', '25h': '1 d 1 h',
    '1d 59min 40s': '1 d 1 h', '1d 30s': '1 d 30 s', '10d 1h 20min': '10 d 1 h', '2w': '14 d', '282.7w': '1,978 d 22 h'}

@pytest.mark.parametrize('duration,text', in_words.items())
def test_durations_are_written_in_their_two_largest_units(duration, text):
    ns = nanoseconds(duration)
    assert duration_text(ns) == text and duration_text(-ns) == f'-{text}'
    assert duration_text(np.int64(ns)) == text

@given(st.integers(0, 2**63-1))
def test_a_duration_in_words_is_close_to_it(ns):
    text = duration_text(ns)
    assert nanoseconds(text.replace(',', '')) == pytest.approx(ns, rel=.03) and len(text.split()) in (2, 4)

def test_pandas_keeps_its_nanoseconds():
    assert nanoseconds(pd.Timedelta(2_777_777, 'ns')) == 2_777_777 and nanoseconds(pd.Timedelta(500, 'ns')) == 500
    text = '2024-01-31T12:00:00.123456789'
    assert as_time(pd.Timestamp(text)) == np.datetime64(text) == as_time(pd.Timestamp(text+'Z')) == as_time(pd.Timestamp(text, tz='UTC').tz_convert('Asia/Tokyo'))

@pytest.mark.parametrize('unit', 'YM')
def test_months_and_years_are_no_durations(unit):
    with expect_fail(ValueError, 'no fixed length'): nanoseconds(np.timedelta64(1, unit))

@pytest.mark.parametrize('times,faults', [(np.arange('2024-01-01', '2024-03-01', dtype='M8[D]')[::-1], dict(backward=59)),
    (np.array(['2024-01-01']*5, 'M8[D]'), dict(repeated=4)), (np.array([5.,4.,3.]), dict(backward=2))])
@pytest.mark.parametrize('size', [1,2,100])
def test_times_that_never_ascend_have_faults(times, faults, size):
    scan = ClockScan()
    for i in range(0, len(times), size): scan.add(times[i:i+size])
    assert dict(backward=scan.backward, repeated=scan.repeated) == dict(backward=0, repeated=0) | faults and scan.faults
