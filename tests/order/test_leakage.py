"What windows of two splits share: against loops over all windows"
import tracemalloc, warnings
import numpy as np, pytest
from hypothesis import assume, given, strategies as st
from conftest import fails, filled
from order_cases import some_windows, steps_of, very_many_windows
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.rows import Ranges
from tsdisk.order.leakage import check_leakage, warn_leakage
from tsdisk.order.split_rows import RandomShare
from tsdisk.order.splits import group_splits, random_splits
from tsdisk.order.time_splits import time_splits
from tsdisk.series.clock import Clock
from tsdisk.series.crops import Crops
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

# What splits share

forms = st.sampled_from(['array','ranges','range','mask','step','share'])

@given(some_windows(), st.integers(2, 4), st.integers(0, 99), forms)
def test_what_splits_share_is_what_a_loop_finds(o, k, seed, form):
    w,_,all_windows = o
    n,rng = len(w),np.random.default_rng(seed)
    assume(n >= k)
    of = rng.integers(k+1, size=n) if form != 'ranges' else np.sort(rng.integers(k*2, size=n)) % k # One number is for rows in no split
    if form == 'range': of = np.sort(of)
    splits = [rng.permutation(np.flatnonzero(of == i)) if form == 'array' else np.flatnonzero(of == i) for i in range(k)]
    if form == 'step': splits = [range(i, n, k) for i in range(k)]
    if form == 'share': splits = [RandomShare(n, .3, seed, o) for o in (0,1)]
    assume(len(splits[0]))
    given = splits
    if form == 'mask': given = [of == i for i in range(k)]
    if form == 'range': given = [range(o[0], o[-1]+1) if len(o) else [] for o in splits]
    if form == 'ranges': given = [Ranges([(i,i+1) for i in o], n) for o in splits]
    steps = [steps_of(w, all_windows, o) for o in splits]
    want = {(i,j): steps[i] & steps[j] for j in range(len(steps)) for i in range(j) if steps[i] & steps[j]}
    leaks = check_leakage(w, given)
    assert {o.splits: (o.steps, o.n_series) for o in leaks} == {ij: (len(o), len({s for s,_ in o})) for ij,o in want.items()}
    for o in leaks:
        (s,first,stop),rows = o.at,[splits[i] for i in o.splits]
        assert (s, first) == min(want[o.splits]) and first < stop and not o.part and {(s, t) for t in range(first, stop)} <= want[o.splits]
        for i,r in zip(o.windows, rows): assert i in np.asarray(r) and {(s, t) for t in range(first, stop)} <= steps_of(w, all_windows, [i])
        assert f'share {o.steps:,} steps of {o.n_series:,} series: steps {first}:{stop} of series {s} are in window {o.windows[0]} and in window {o.windows[1]}' in repr(o)

def test_leaks_name_splits_of_a_dict():
    w = Windows(np.zeros(100), 10)
    [a] = check_leakage(w, dict(train=range(50), test=range(50, 60), other=range(80, 91)))
    assert a.splits == ('train','test') and (a.steps, a.at, a.windows) == (9, (0, 50, 51), (41, 50)) and repr(a).startswith('Splits train and test share 9 steps')
    with fails(ValueError, 'Row 3 is in split 1'): check_leakage(w, [range(5), [3]])

def test_windows_that_touch_share_nothing():
    for stride in (10,11,25):
        w = Windows(np.zeros(500), 10, stride=stride)
        assert not check_leakage(w, random_splits(len(w), seed=0)) and not check_leakage(w, [range(5), range(5, len(w))])
    assert check_leakage(Windows(np.zeros(500), 10, stride=9), [range(5), range(5, 50)])[0].steps == 1

def test_of_a_random_share_a_part_is_looked_at():
    w = Windows(np.zeros(6*10**6, 'i1'), 3)
    [leak] = check_leakage(w, random_splits(w.grid.n, .3, 1))
    assert leak.part and 'at least' in repr(leak) and leak.steps > 10**5
    assert abs(int(leak.windows[0])-int(leak.windows[1])) < 3

def test_it_is_said_once_and_with_the_way_out():
    w = Windows([np.zeros(60)]*2, 10, stride=3)
    with pytest.warns(UserWarning) as got:
        for _ in range(3): warn_leakage(w, [range(12), range(12, 34)])
    assert len(got) == 1
    for word in ('Splits 0 and 1 share 7 steps of 1 series', '`time_splits(windows)`', '`group_splits(windows)`', 'stride of at least 10 steps'):
        assert word in str(got[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        other = Windows([np.zeros(60)]*2, 10, stride=3)
        warn_leakage(other, time_splits(other, .4))
        warn_leakage(other, group_splits(other, .5, seed=0))
    with pytest.warns(UserWarning, match='share'): warn_leakage(other, random_splits(len(other), seed=0))

@pytest.fixture(scope='module')
def many(tmp_path_factory): return very_many_windows(tmp_path_factory.mktemp('many'))

@pytest.mark.parametrize('make,leaks', [(lambda w: time_splits(w, .2, .1), 0), (lambda w: group_splits(w, .2, .1, seed=0), 0),
    (lambda w: [range(len(w)//2), range(len(w)//2, len(w))], 1), (lambda w: random_splits(len(w), .2, 0), 1)])
def test_very_many_windows_are_checked_in_little_memory(many, make, leaks):
    splits = make(many)
    tracemalloc.start()
    found = check_leakage(many, splits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150*10**6 and len(found) == leaks, peak

def test_datasets_of_the_same_windows_are_looked_at_together():
    w = Windows(filled((2,300)).T, 10)
    one = lambda rows: TSDatasets(w, np.zeros(len(w)), splits=[rows,[]])
    with pytest.warns(UserWarning, match='Splits 0 and 1 share'): TSDataLoaders.from_dsets(one(range(100)).train, one(range(100, 200)).train, device='cpu')
    w = Windows(filled((2,300)).T, 10)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        TSDataLoaders.from_dsets(one(range(100)).train, one(range(120, 200)).train, device='cpu')

def test_times_of_other_series_are_compared_if_asked():
    days = Ragged(np.zeros((140,1)), [0,100,140])
    w = Windows(days, 7, clock=[Clock(o, period='1d') for o in ('2024-01-01', '2024-03-01')])
    shares = time_splits(w, .2, per_series=True)
    assert not check_leakage(w, shares)
    found, = check_leakage(w, shares, across=True)
    assert str(found.last)[:10] == '2024-04-01' and str(found.first)[:10] == '2024-03-21'
    assert 'time_splits' in repr(found)
    assert not check_leakage(w, time_splits(w, .2), across=True) and not check_leakage(w, time_splits(w, .2, .2), across=True)

def test_times_that_are_not_known_are_not_compared():
    with fails(ValueError, 'are not known'): check_leakage(Windows(np.zeros(100), 7), [range(40), range(60, 80)], across=True)

def test_a_series_without_a_start_is_no_reason_to_find_no_overlap():
    w = Windows(Ragged(np.zeros((140,1)), [0,100,140]), 7, clock=[Clock('2024-01-01', period='1d'), Clock(period='1d')])
    with fails(ValueError, 'are not known'): check_leakage(w, [range(94), range(94, len(w))], across=True)
    assert not check_leakage(w, [range(40), range(60, 90)], across=True) # All of the first series
    with pytest.warns(UserWarning, match='1 of 2 series have no start'): splits = time_splits(w, .2)
    assert [len(o) for o in splits] == [len(o) for o in time_splits(Windows(w.panel, 7), .2)]

def test_crops_of_one_series_are_told_a_remedy():
    with pytest.warns(UserWarning, match='use `Windows`, with `time_splits`'): random_splits(Crops(np.zeros((500,1)), 30, per_series=20), seed=0)
