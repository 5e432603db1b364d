"Windows, crops and their covers where time has gaps"
import pickle, warnings
import numpy as np, pytest
from fastcore.test import expect_fail
from hypothesis import given, strategies as st
from tsdisk.convert.convert import convert
from tsdisk.disk.array_sources import as_source
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clock import Clock
from tsdisk.series.clocks import clocks_of
from tsdisk.series.crops import Crops
from tsdisk.series.grid import GapGrid
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

hour = 3600*10**9
def gappy(at, fs=1/3600): return Clock('2024-01-01', fs, jumps=[[o, (o+100*(k+1))*hour] for k,o in enumerate(at)])

def brute(lengths, span, stride, gaps):
    "Places of windows, one by one"
    gaps = {tuple(o) for o in gaps}
    return [(s, i) for s,n in enumerate(lengths) for i in range(0, n-span+1, stride) if not any((s, o) in gaps for o in range(i+1, i+span))]

@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 8), st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 39)), max_size=6, unique=True))
def test_windows_are_those_of_a_loop_without_the_ones_across_gaps(lengths, span, stride, gaps):
    gaps = sorted((s, o) for s,o in gaps if s < len(lengths) and o < lengths[s])
    if not gaps: return
    panel = Ragged(np.zeros((sum(lengths), 1)), np.cumsum([0, *lengths]))
    grid,want = GapGrid(panel, span, stride, gaps), brute(lengths, span, stride, gaps)
    assert len(grid) == len(want)
    if not want: return
    numbers = np.arange(len(grid))
    assert [*zip(*(o.tolist() for o in grid.locate(numbers)))] == want
    assert (grid.count_before(*grid.locate(numbers)) == numbers).all()
    assert (grid.first(np.arange(len(lengths)+1)) == [sum(s < k for s,_ in want) for k in range(len(lengths)+1)]).all()
    for a,b in ((0, len(want)), (len(want)//3, len(want)//2+1)):
        steps = {(s, i) for s,start in want[a:b] for i in range(start, start+span)}
        series,first,stop = grid.cover(range(a, b))
        assert {(int(s), i) for s,f,e in zip(series, first, stop) for i in range(f, e)} == steps
    again = pickle.loads(pickle.dumps(grid))
    assert (again.locate(numbers)[1] == grid.locate(numbers)[1]).all() and again.settings == grid.settings

def test_the_values_of_windows_are_on_one_side_of_a_gap():
    x = np.arange(100.)
    w = Windows(x, 6, horizon=2, stride=3, clock=gappy([20,41]))
    inputs,target = w.gather(range(len(w)))
    starts = inputs[:,0,0]
    assert (inputs[:,0] == starts[:,None]+np.arange(6)).all() and (target[:,0] == starts[:,None]+[6,7]).all()
    for gap in (20,41): assert not ((starts < gap) & (starts+8 > gap)).any()
    assert len(w) == len(brute([100], 8, 3, [(0,20),(0,41)]))

def test_gaps_can_be_ignored():
    assert len(Windows(np.zeros(100), 6, clock=None)) == 95
    assert len(Windows(np.zeros(100), 6, clock=gappy([20]))) == 90

def test_windows_that_fit_nowhere_say_why():
    with expect_fail(ValueError, 'none fits between the 3 gaps in time: give `clock=None`'): Windows(np.zeros(40), 20, clock=gappy([10,20,30]))

def test_numbers_and_places_of_windows_agree():
    w = Windows(np.zeros((100,2)), 6, clock=gappy([20]))
    assert w.window(*w.locate(range(len(w)))).tolist() == [*range(len(w))]
    with expect_fail(ValueError, 'and cross no gap'): w.window(0, 18)

@pytest.mark.parametrize('size,steps', [('1d', 24), ('90min', None), (np.timedelta64(2, 'D'), 48), (12, 12)])
def test_sizes_may_be_durations(size, steps):
    make = lambda: Windows(np.zeros(100), size, stride='2h', horizon='3h', clock=Clock(period='1h'))
    if steps is None:
        with expect_fail(ValueError, '`size=.90min.` is 1.5 steps of 1 h'.replace('.90min.', "'90min'")): make()
    else:
        w = make()
        assert (w.size, w.stride, w.horizon) == (steps, 2, 3)

def test_a_duration_needs_a_rate():
    with expect_fail(ValueError, 'needs a sampling rate'): Windows(np.zeros(100), '1d')

def test_times_of_windows_are_those_of_their_steps():
    clock = gappy([20])
    w = Windows(np.zeros(100), 6, horizon=2, gap=1, clock=clock)
    for i in (0, 5, 12, len(w)-1):
        first = int(w.locate(i)[1])
        inputs,target = w.times(i)
        assert (inputs == clock.times(np.arange(first, first+6))).all() and (target == clock.times(np.arange(first+7, first+9))).all()
    with expect_fail(ValueError, 'are not known'): Windows(np.zeros(9), 3).times(0)

@pytest.mark.parametrize('epoch', [0,3])
def test_crops_cross_no_gap_and_use_all_places(epoch):
    c = Crops(np.arange(60.), 6, per_series=3000, seed=1, clock=gappy([20,41])).at_epoch(epoch)
    starts = c.locate(range(len(c)))[1]
    assert {*starts.tolist()} == {i for _,i in brute([60], 6, 1, [(0,20),(0,41)])}
    assert (c.gather(range(50))[:,0,0] == starts[:50]).all()

@pytest.mark.filterwarnings('ignore:.* gaps in time')
@pytest.mark.parametrize('ragged', [False,True])
def test_a_dataset_tells_its_windows_of_gaps(tmp_path, ragged):
    days = np.arange('2024-01-01', '2024-03-01', dtype='M8[D]')
    keep = [np.r_[:20,25:45+5*ragged], np.arange(3, 43)]
    convert([dict(X=np.arange(60.)[None,o], times=days[o]) for o in keep], tmp_path/'set')
    w = Windows(open_folder(tmp_path/'set')[0]['X'], '4d', horizon='1d')
    assert len(w) == len(brute(map(len, keep), 5, 1, [(0,20)]))
    for i in (0, 15, 16, len(w)-1): assert (np.diff(np.concatenate(w.times(i))) == np.timedelta64(1, 'D')).all()
    assert w.times(len(w)-1)[1][0] == days[42]

def test_uneven_times_of_a_dataset_reach_its_windows(tmp_path):
    rng = np.random.default_rng(0)
    ticks = [np.cumsum(rng.integers(1, 10**9, n)).astype('M8[ns]') for n in (50,70)]
    convert([dict(X=np.zeros((1,len(o))), times=o) for o in ticks], tmp_path/'set')
    w = Windows(open_folder(tmp_path/'set')[0]['X'], 5)
    assert (w.times(w.window(1, 30)) == ticks[1][30:35]).all()

@pytest.mark.parametrize('stride', [1,3])
def test_windows_with_values_are_found_between_gaps(stride):
    x = np.arange(100.)
    x[[5,30,31,60]] = np.nan
    w = Windows(x, 6, stride=stride, clock=gappy([20,41]))
    valid = w.valid_rows(1.)
    want = [i for i in range(len(w)) if np.isfinite(w[i]).all()]
    assert valid[:].tolist() == want and 0 < len(want) < len(w)

@given(st.lists(st.integers(3, 40), min_size=1, max_size=4), st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 39)), max_size=6, unique=True))
def test_covers_end_at_gaps(lengths, span, gaps):
    gaps = np.array(sorted((s, o) for s,o in gaps if s < len(lengths) and o < lengths[s])).reshape(-1, 2)
    clocks = [Clock('2024-01-01', 1/3600, jumps=[[o, (o+100*(k+1))*hour] for k,o in enumerate(gaps[gaps[:,0] == s,1].tolist())]) for s in range(len(lengths))]
    x = Ragged(np.zeros((sum(lengths), 1)), np.cumsum([0, *lengths]))
    if len(gaps) and not brute(lengths, span, 1, gaps.tolist()): return
    w = Windows(x, span, clock=clocks)
    for rows in (range(len(w)), range(len(w)//3, len(w)//2+1)):
        series,first,stop = w.cover(rows)
        found = {(s, i) for s,a,b in zip(series.tolist(), first.tolist(), stop.tolist()) for i in range(a, b)}
        assert found == {(int(s), int(i)) for s,start in zip(*w.locate(rows)) for i in range(start, start+span)}
        inside = [(s, g) for s,g in gaps.tolist() for t,a,b in zip(series, first, stop) if s == t and a < g < b]
        assert not inside and (np.diff(series*1000+first) > 0).all() and (stop > first).all()

def test_covers_of_crops_end_at_gaps():
    c = Crops(np.zeros(100), 6, per_series=20, clock=gappy([20,60]))
    assert [o.tolist() for o in c.cover(range(20))] == [[0,0,0],[0,20,60],[20,60,100]]
    assert [o.tolist() for o in Crops(np.zeros(100), 6, clock=None).cover([0])] == [[0],[0],[100]]

# The last windows

def ends_of(w):
    "(rows, words of the warning of `last`, empty if there is none)"
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        rows = w.last
    return rows.tolist(),''.join(str(o.message) for o in found)

hourly = Clock('2024-01-01', 1/3600)
def gap_at(step): return Clock('2024-01-01', 1/3600, jumps=[[step, (step+24)*hour]])

def test_last_windows_that_end_days_before_the_data_are_told():
    series = [np.zeros(n) for n in (100,76,100,60)]
    clocks = [hourly, gap_at(70), hourly, gap_at(20)] # All but the last end at the same time
    rows,said = ends_of(Windows(series, 12, clock=clocks))
    assert len(rows) == 4 and 'of 2 of 4 series end before 2024-01-05 03:00, that of series 1 at 2024-01-03 21:00' in said
    assert 'fill_gaps' in said and 'made_at' in said and 'stride' not in said

def test_last_windows_that_reach_the_end_are_told_of_nothing():
    for clock in (None, hourly, [hourly]*2, Clock('2024-01-01', 1/3600, jumps=[[20, 50*hour]])):
        assert ends_of(Windows([np.zeros(100)]*2, 12, clock=clock))[1] == ''
    assert ends_of(Windows([np.zeros(100), np.zeros(40)], 12))[1] == '' # Of unknown times
    assert ends_of(Windows([np.zeros(100)]*2, 12, horizon=3, stride=5, clock=hourly))[1] == ''

def test_a_stride_that_leaves_the_last_steps_is_told():
    said = ends_of(Windows([np.zeros(100), np.zeros(40)], 12, stride=5))[1]
    assert 'of 2 of 2 series end before the data, that of series 1 at step 36' in said and '`stride=1`' in said

@pytest.mark.parametrize('horizon', [0,3])
def test_a_gap_close_to_the_end_of_a_single_series_is_told(horizon):
    w = Windows(np.zeros(100), 12, horizon=horizon, clock=gap_at(95))
    rows,said = ends_of(w)
    assert rows == [len(w)-1] and '1 of 1 series' in said and 'series 0 at 2024-01-04 22:00' in said

def test_uneven_times_and_crops_have_last_windows():
    times = np.datetime64('2024-01-01') + np.cumsum(np.random.default_rng(0).integers(1, 10**6, 60)).astype('m8[s]')
    assert len(ends_of(Windows([np.zeros(60)]*2, 12, clock=[Clock.from_times(times), hourly]))[0]) == 2
    assert ends_of(Crops([np.zeros(100)]*2, 12, clock=[gap_at(95), hourly]))[1] == ''

# Datasets that grow

def grown(folder):
    "A dataset of two series with a gap, whose values are followed by those of an append that was killed"
    when = lambda at: np.datetime64('2024-01-01')+np.append(np.arange(at), np.arange(at+50, 130)).astype('m8[h]')
    convert([dict(X=np.zeros((1,80), 'f4'), times=when(o)) for o in (30,40)], folder, layout='ragged')
    X = open_folder(folder)[0]['X']
    with open(folder/'X/values.npy', 'ab') as f: f.write(bytes(800))
    return X

@pytest.mark.filterwarnings('ignore:2 series have gaps')
def test_windows_avoid_gaps_while_their_file_grows(tmp_path):
    want = Windows(grown(tmp_path/'set'), 5)
    got = Windows(open_folder(tmp_path/'set')[0]['X'], 5)
    assert len(got) == len(want) == 2*(76-4) and Windows(open_folder(tmp_path/'set')[0]['X'], '5h').span == 5

def test_the_first_rows_of_a_file_have_its_clocks_and_others_have_not(tmp_path):
    convert([dict(X=np.zeros((1,80), 'f4'), start=f'2024-01-0{i+1}', fs=1.) for i in range(6)], tmp_path/'set')
    X = open_folder(tmp_path/'set')[0]['X']
    assert clocks_of(as_source(X[:4]).place())[3].start == np.datetime64('2024-01-04')
    for o in (X[2:], X[::2], X[:,:,:9], X[::-1]):
        for s in (as_source(o), pickle.loads(pickle.dumps(as_source(o)))): assert clocks_of(s.place()) is None
