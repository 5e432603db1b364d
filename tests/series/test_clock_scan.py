"Pauses of uneven times; rates and jumps are tested with clocks"
import tracemalloc
from functools import partial
import numpy as np, pytest
from conftest import fails, same
from tsdisk.convert import tables
from tsdisk.convert.convert import convert
from tsdisk.convert.dataset_rows import dataset_rows
from tsdisk.convert.record_times import fill_gaps
from tsdisk.disk.rows import in_slices
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clock import Clock
from tsdisk.series.clock_scan import ClockScan, find_pauses, scan_times
from tsdisk.series.clocks import as_clocks
from tsdisk.series.windows import Windows

rng = np.random.default_rng(0)
def jittered(n=1000, pauses=(), length=3600*10**9):
    "Nanoseconds of steps about 20 ms apart, with pauses before some of them"
    waits = rng.normal(20e6, 4e6, n).clip(10**6).astype('i8')
    waits[list(pauses)] += length
    return 10**18 + np.cumsum(waits)

def dates(stamps): return stamps.astype('M8[ns]')

@pytest.mark.parametrize('pauses', [[], [1], [400], [400,401,999], [5,10,15]])
@pytest.mark.parametrize('piece', [1,7,1000])
def test_pauses_are_found_whatever_the_pieces(pauses, piece):
    stamps = jittered(pauses=pauses)
    want = np.stack([np.array(pauses, int), stamps[pauses]-stamps[0]], 1)
    same(find_pauses(lambda: in_slices(stamps, piece)), want)

def test_a_slower_part_is_no_pause():
    slow = np.cumsum(rng.normal(60e9, 5e9, 300).astype('i8'))
    for parts in ((jittered(700),slow), (slow,jittered(700))):
        both = np.concatenate([parts[0], parts[0][-1]+parts[1]-parts[1][0]+10**9])
        assert not len(find_pauses(partial(in_slices, both)))

def test_repeated_times_are_no_pauses_and_earlier_ones_are():
    trades = np.sort(rng.integers(0, 1000, 20_000))*10**9 # Twenty in each second
    assert not len(find_pauses(lambda: [trades]))
    trades[5000:] -= 60*10**9
    assert find_pauses(lambda: [trades])[:,0].tolist() == [5000]

def test_missing_times_are_no_pauses():
    stamps = jittered(pauses=[400])
    stamps[[100,700]] = np.iinfo('i8').min
    assert find_pauses(lambda: in_slices(stamps, 50))[:,0].tolist() == [400]

def test_clocks_of_uneven_times_tell_their_gaps():
    stamps = jittered(pauses=[400])
    clock = Clock.from_times(dates(stamps))
    same(clock.gaps, np.array([[400, stamps[400]-stamps[399]]]))
    assert 'at uneven times, 1 gap, the longest 1 h' in repr(clock)
    same((dates(stamps)-clock.start)[clock.gaps[:,0]], (clock.jumps[:,1]).astype('m8[ns]'))
    assert as_clocks([clock,Clock(fs=50),clock]).gaps(3).tolist() == [[0,400],[2,400]]
    assert as_clocks(clock).gaps(2).tolist() == [[0,400],[1,400]]

@pytest.mark.parametrize('layout', ['dense','ragged'])
def test_no_window_of_a_converted_dataset_runs_across_a_pause(tmp_path, layout):
    times = [jittered(pauses=o) for o in ([400],[],[10,990])]
    X = rng.normal(size=(3,1,1000)).astype('f4')
    with pytest.warns(UserWarning, match='2 series have gaps in time, 3 in all: windows do not run across them$'):
        convert([dict(X=x, times=dates(t)) for x,t in zip(X, times)], tmp_path/'set', layout=layout)
    w = Windows(open_folder(tmp_path/'set')[0]['X'], 50)
    assert len(w) == 3*951 - 49 - (10 + 10)
    same(w.clocks[2].times(990), dates(times[2])[990])
    assert len(Windows(open_folder(tmp_path/'set')[0]['X'], 50, clock=None)) == 3*951

def test_a_large_table_has_pauses(tmp_path, monkeypatch):
    times = jittered(20_000, pauses=[12_345])
    lines = [f'{t},{i%7}.5' for i,t in enumerate(dates(times))]
    (tmp_path/'a.csv').write_text('\n'.join(['time,x',*lines]))
    monkeypatch.setattr(tables, 'large', 1000)
    with pytest.warns(UserWarning, match='1 series have gaps in time, 1 in all'): convert(tmp_path/'a.csv', tmp_path/'set', layout='ragged')
    w = Windows(open_folder(tmp_path/'set')[0]['X'], 10)
    assert len(w) == 20_000-9-9

def test_samples_that_share_uneven_times_share_their_pauses(tmp_path):
    with pytest.warns(UserWarning, match='4 series have gaps in time, 4 in all'):
        convert([dict(X=np.zeros((4,1,1000), 'f4'), times=dates(jittered(pauses=[400])))], tmp_path/'set')
    assert len(Windows(open_folder(tmp_path/'set')[0]['X'], 50)) == 4*(951-49)

def test_even_and_uneven_series_in_one_dataset(tmp_path):
    even = dict(X=np.zeros((1,1000), 'f4'), start='2024-01-01', fs=50.)
    gappy = np.delete(np.arange(1001), 700)*20*10**6
    with pytest.warns(UserWarning, match='2 series have gaps'):
        convert([dict(X=np.zeros((1,1000), 'f4'), times=dates(jittered(pauses=[400]))), even,
            dict(X=np.zeros((1,1000), 'f4'), times=dates(gappy))], tmp_path/'set')
    w = Windows(open_folder(tmp_path/'set')[0]['X'], 50)
    assert w.clocks.gaps(3).tolist() == [[0,400],[2,700]]
    assert w.clocks[2].gaps[:,0].tolist() == [700] and w.clocks[0].gaps[:,0].tolist() == [400]

def test_rows_copied_from_a_dataset_keep_their_pauses(tmp_path):
    some = [dict(X=np.zeros((1,1000), 'f4'), times=dates(jittered(pauses=o))) for o in ([], [400], [500])]
    with pytest.warns(UserWarning, match='2 series have gaps'): convert(some, tmp_path/'a')
    with pytest.warns(UserWarning, match='1 series have gaps'): convert(dataset_rows(tmp_path/'a', [0,2]), tmp_path/'b')
    w = Windows(open_folder(tmp_path/'b')[0]['X'], 50)
    assert w.clocks.gaps(2).tolist() == [[1,500]]

def test_uneven_times_are_not_filled():
    with fails(ValueError, 'uneven'): fill_gaps(dict(X=np.zeros((1,1000)), times=dates(jittered(pauses=[400]))))

def test_a_record_may_give_its_uneven_times_as_a_clock(tmp_path):
    times = dates(jittered(pauses=[400]))
    seconds = (times-times[0]).astype('f8')/1e9
    given = [Clock.from_times(times), Clock('2024-01-01', stamps=seconds), Clock(stamps=times)]
    with pytest.warns(UserWarning, match='3 series have gaps'):
        convert([dict(X=np.zeros((1,1000), 'f4'), clock=o) for o in given], tmp_path/'set')
    w = Windows(open_folder(tmp_path/'set')[0]['X'], 50)
    assert len(w) == 3*(951-49)
    for i,start in enumerate((times[0], np.datetime64('2024-01-01', 'ns'), times[0])):
        same(w.clocks[i].times(np.arange(1000)), start + (times-times[0]))

@pytest.mark.parametrize('unit', ['s','ms'])
@pytest.mark.parametrize('lost', [1,20,590])
@pytest.mark.parametrize('piece', [100,20_000])
def test_stamps_that_count_periods_show_the_steps_that_were_lost(unit, lost, piece):
    kept = np.sort(np.random.default_rng(lost).permutation(20_000)[lost:])
    kept -= kept[0]
    times = np.datetime64('2024-01-01', unit) + kept.astype(f'm8[{unit}]')
    scan = ClockScan()
    for o in in_slices(times, piece): scan.add(o)
    same(scan.clock().times(np.arange(len(times))), times.astype('M8[ns]'))
    assert scan.clock().gaps[:,0].tolist() == (np.flatnonzero(np.diff(kept) > 1)+1).tolist()

def test_a_stamp_that_is_a_period_early_or_late_is_no_gap():
    steps = np.arange(5000)
    steps[1000] -= 1
    steps[3000] += 1
    assert not len(Clock.from_times(np.datetime64('2024-01-01') + steps.astype('m8[s]')).gaps)

@pytest.mark.parametrize('dates', [False, True])
@pytest.mark.parametrize('uneven', [False, True])
def test_times_of_long_recordings_take_a_few_times_their_memory(dates, uneven):
    n = 3*2**20
    times = np.cumsum(np.random.default_rng(0).exponential(size=n)) if uneven else np.arange(n)/250
    if dates: times = (times*1e9).astype('M8[ns]')
    tracemalloc.start()
    clock = Clock.from_times(times)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6*times.nbytes and (clock.stamps is not None if uneven else clock.fs == 250)

def test_times_that_become_even_later_stay_uneven():
    waits = np.r_[np.random.default_rng(0).exponential(size=100), np.ones(5000)]
    assert not scan_times(np.cumsum(waits)).uneven and scan_times(np.cumsum(waits), piece=100).uneven
    faulty = np.cumsum(np.r_[waits, 0, -1])
    assert scan_times(faulty, piece=100).faults == scan_times(faulty).faults == ['1 repeated', '1 earlier than the one before']

@pytest.mark.parametrize('unit', ['ms','us','ns'])
def test_numbers_that_cannot_be_seconds_are_refused(unit, tmp_path):
    dates = np.arange('2024-01-01', '2024-03-01', dtype='M8[D]').astype(f'M8[{unit}]')
    for dtype in ('i8','f8'):
        np.savez(tmp_path/'a.npz', X=np.ones((1,60)), times=dates.astype(dtype))
        with fails(ValueError, 'count seconds', f"times.astype('M8[{unit}]')"): convert(tmp_path/'a.npz', tmp_path/'set')
        with fails(ValueError, 'count seconds'): Clock.from_times(dates.astype(dtype))
    assert Clock.from_times(dates).start == dates[0]
