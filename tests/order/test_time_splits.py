"Splits by time: against loops over all windows"
from datetime import timedelta
import numpy as np, pytest
from hypothesis import assume, example, given, strategies as st
from sklearn.model_selection import TimeSeriesSplit
from conftest import fails
from order_cases import as_lists, expect, held, pcts, some_windows, steps_of, tests
from tsdisk.disk.rows import Ranges
from tsdisk.order.leakage import check_leakage
from tsdisk.order.split_rows import check_splits
from tsdisk.order.time_splits import time_splits, walk_forward_splits
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

@given(some_windows(), pcts, tests, st.integers(0, 6))
@example((Windows([np.zeros(1),np.zeros(5)], 1), [1,5], [(0,0)]+[(1,i) for i in range(5)]), .2, .2, 0)
def test_windows_cut_by_series_are_those_of_a_loop(o, valid, test, gap):
    assume(valid+test < 1)
    w,lengths,all_windows = o
    naive = [[],[],[]][:2+(test > 0)]
    for i,(s,a) in enumerate(all_windows):
        n,(v,t) = lengths[s],held(lengths[s], valid, test)
        ends = [n-v-t, n-t, n] if test else [n-v, n]
        for k,(first,stop) in enumerate(zip([0,*ends], ends)):
            if a >= first and a+w.span <= stop-gap*(stop < n or k+1 < len(ends)): naive[k].append(i)
    assert expect(naive, lambda: time_splits(w, valid, test, gap, per_series=True))

def last_steps(lengths, n):
    "The smallest k so that the last k steps of each series are at least n in all"
    return next(k for k in range(max(lengths)+1) if sum(min(k, o) for o in lengths) >= n)

@given(some_windows(), pcts, tests, st.integers(0, 6))
def test_windows_by_time_are_cut_where_series_end_together(o, valid, test, gap):
    assume(valid+test < 1)
    w,lengths,all_windows = o
    v,t = held(sum(lengths), valid, test)
    assume(v+t < sum(lengths))
    ks = [last_steps(lengths, n) for n in ((v+t, t) if test else (v,))]
    naive = [[] for _ in range(len(ks)+1)]
    for i,(s,a) in enumerate(all_windows):
        cuts = [max(0, lengths[s]-k) for k in ks]
        for j,(first,stop) in enumerate(zip([0,*cuts], [*(c-gap for c in cuts), lengths[s]])):
            if a >= first and a+w.span <= stop: naive[j].append(i)
    assert expect(naive, lambda: time_splits(w, valid, test, gap))

@given(some_windows(), pcts, tests, st.integers(0, 6))
def test_no_step_is_in_two_splits_by_time_and_gaps_lie_between(o, valid, test, gap):
    assume(valid+test < 1)
    w,_,all_windows = o
    try: splits = time_splits(w, valid, test, gap)
    except ValueError as e:
        assert 'none is left' in str(e)
        return
    steps = [steps_of(w, all_windows, o) for o in splits]
    for s in range(len(w.panel)):
        mine = [[t for k,t in o if k == s] for o in steps]
        mine = [o for o in mine if o]
        for a,b in zip(mine, mine[1:]): assert min(b)-max(a) > gap
    assert all(isinstance(o, Ranges) and o.of == len(w) for o in splits) and not check_leakage(w, splits) and check_splits(splits, len(w)) == list(splits)

@given(st.integers(3, 400), pcts, tests, st.integers(0, 6))
def test_rows_by_time_are_ranges_in_order(n, valid, test, gap):
    assume(valid+test < 1)
    v,t = held(n, valid, test)
    ends = [n-v-t, n-t, n] if test else [n-v, n]
    naive = [[*range(a, b-gap*(b < n))] for a,b in zip([0,*ends], ends)]
    assert expect(naive, lambda: time_splits(n, valid, test, gap))
    if all(naive): assert all(isinstance(o, range) for o in time_splits(np.int64(n), valid, test, gap))

def test_what_is_held_out_does_not_depend_on_the_gap():
    w = Windows(np.zeros(100), 7, stride=3)
    assert time_splits(w, .3)[1] == time_splits(w, .3, gap=20)[1] and len(time_splits(w, .3, gap=20)[0]) < len(time_splits(w, .3)[0])

def test_series_too_short_to_split_by_time_may_be_held_out_whole():
    with fails(ValueError, 'none is left for validation', '`group_splits(windows)`'): time_splits(Windows([np.zeros(40),np.zeros(45)], 20))
    for few in (np.zeros(40), [np.zeros(40),np.zeros(5)]):
        with pytest.raises(ValueError) as e: time_splits(Windows(few, 20))
        assert 'group_splits' not in str(e.value)

@pytest.mark.parametrize('kw,err,words', [
    (dict(x=np.zeros(9)), TypeError, ('number of rows, or `Windows`','ndarray')), (dict(x=10.), TypeError, ('float',)), (dict(x=10, gap=-1), ValueError, ('`gap`','got -1')),
    (dict(x=10, gap=1.5), ValueError, ('`gap`','1.5')), (dict(x=10, valid_pct=0), ValueError, ('`valid_pct`','between 0 and 1')), (dict(x=1), ValueError, ('1 rows','validation')),
    (dict(x=10, valid_pct=.5, test_pct=.5), ValueError, ('`test_pct`','0.5')), (dict(x=10, test_pct=-.1), ValueError, ('`test_pct`',)), (dict(x=10, gap=9), ValueError, ('for training','smaller `gap`'))])
def test_impossible_splits_by_time_are_refused(kw, err, words):
    with fails(err, *words): time_splits(**kw)

days = lambda *starts: [Clock(o, period='1d') for o in starts]

def dates_of(w, rows): return {t for i in np.asarray(rows) for t in w.times(int(i))}

@given(st.lists(st.tuples(st.integers(12, 60), st.integers(0, 50)), min_size=1, max_size=4), pcts, tests, st.integers(1, 3), st.booleans())
def test_no_day_trains_that_another_series_validates(series, valid, test, stride, gaps):
    assume(valid+test < 1)
    first = np.datetime64('2024-01-01')
    clocks = [Clock(first+np.timedelta64(o, 'D'), period='1d', jumps=[[9, 20*86400*10**9]] if gaps else ()) for _,o in series]
    lengths = [n for n,_ in series]
    w = Windows(Ragged(np.zeros((sum(lengths),1)), np.cumsum([0,*lengths])), 3, stride=stride, clock=clocks)
    try: splits = time_splits(w, valid, test)
    except ValueError as e:
        assert 'none is left' in str(e)
        return
    dates = [dates_of(w, o) for o in splits]
    for a,b in zip(dates, dates[1:]): assert max(a) < min(b)

def test_windows_are_cut_at_a_date():
    w = Windows(Ragged(np.zeros((140,1)), [0,100,140]), 5, clock=days('2024-01-01', '2024-03-01'))
    train,valid,test = time_splits(w, at=['2024-03-15', '2024-04-01'])
    assert max(dates_of(w, train)) == np.datetime64('2024-03-14') and min(dates_of(w, valid)) == np.datetime64('2024-03-15')
    assert max(dates_of(w, valid)) == np.datetime64('2024-03-31') and min(dates_of(w, test)) == np.datetime64('2024-04-01')

@pytest.mark.parametrize('at,words', [('31.3.2024', ('A time is written like',)), (['2024-04-01','2024-03-01'], ('two that ascend',)), (['2024']*3, ('two that ascend',)),
    ('2030', ('none is left for validation',))])
def test_impossible_dates_are_refused(at, words):
    w = Windows(np.zeros(100), 5, clock=days('2024-01-01')[0])
    with fails(ValueError, *words): time_splits(w, at=at)

def test_a_date_needs_a_clock():
    with fails(ValueError, 'starts or rates are not known', '`clock`'): time_splits(Windows(np.zeros(100), 5), at='2024')
    with fails(TypeError, '`at` cuts `Windows` by date'): time_splits(100, at='2024')

def test_folds_move_along_the_calendar():
    w = Windows(Ragged(np.zeros((140,1)), [0,100,140]), 5, clock=days('2024-01-01', '2024-03-01'))
    folds = walk_forward_splits(w, 3)
    assert len(folds) == 3
    for train,valid in folds: assert max(dates_of(w, train)) < min(dates_of(w, valid))

@given(st.integers(2, 200), st.integers(2, 8), st.none() | st.integers(1, 30), st.integers(0, 5), st.none() | st.integers(1, 40))
def test_folds_of_rows_are_those_of_scikit_learn(n, k, size, gap, most):
    theirs = TimeSeriesSplit(k, max_train_size=most, test_size=size, gap=gap)
    try: folds = [[a.tolist(), b.tolist()] for a,b in theirs.split(np.zeros(n))]
    except ValueError:
        with fails(ValueError, 'none is left'): walk_forward_splits(n, k, size, gap, most)
    else: assert [as_lists(o) for o in walk_forward_splits(n, k, size, gap, most)] == folds

@given(some_windows(80), st.integers(1, 5), st.none() | st.integers(1, 20), st.integers(0, 5), st.none() | st.integers(1, 40))
def test_folds_of_windows_are_those_of_a_loop(o, k, size, gap, most):
    w,lengths,all_windows = o
    folds = [([],[]) for _ in range(k)]
    for f,(train,valid) in enumerate(folds):
        for i,(s,a) in enumerate(all_windows):
            step = max(lengths)//(k+1) if size is None else size
            cut,end = (max(0, lengths[s]-o*step) for o in (k-f, k-f-1))
            if a >= (0 if most is None else cut-gap-most) and a+w.span <= cut-gap: train.append(i)
            if a >= cut and a+w.span <= end: valid.append(i)
    if not all(a and b for a,b in folds):
        with fails(ValueError, 'none is left'): walk_forward_splits(w, k, size, gap, most)
        return
    got = walk_forward_splits(w, k, size, gap, most)
    assert [as_lists(o) for o in got] == [[*map(list, o)] for o in folds]
    for o in got: assert not check_leakage(w, o) and not steps_of(w, all_windows, o[0]) & steps_of(w, all_windows, o[1])

@pytest.mark.parametrize('kw,words', [(dict(n_splits=0), ('`n_splits`','at least 1')), (dict(valid_size=0), ('`valid_size`',)), (dict(max_train=0), ('`max_train`',)),
    (dict(gap=-2), ('`gap`','-2')), (dict(n_splits=200), ('none is left for',)), (dict(valid_size=20), ('for training',))])
def test_impossible_folds_are_refused(kw, words):
    with fails(ValueError, *words): walk_forward_splits(100, **kw)

def two_rates():
    "Half a year in hours and in steps of 10 minutes, the second from March"
    series = [np.zeros((n,1), 'f4') for n in (24*180, 6*24*120)]
    return Windows(series, 12, stride=5, clock=[Clock('2024-01-01', period='1h'), Clock('2024-03-01', period='10min')])

def last_and_first(w, train, valid):
    "The last time that trains and the first that validates, over all series"
    times = lambda rows: [w.times(int(i)) for i in rows]
    return max(o[-1] for o in times(train)), min(o[0] for o in times(valid))

@pytest.mark.parametrize('gap', ['36h', np.timedelta64(36, 'h'), timedelta(hours=36)])
def test_a_gap_of_a_duration_separates_series_of_any_rate(gap):
    w = two_rates()
    a,b = last_and_first(w, *time_splits(w, at='2024-05-01', gap=gap))
    assert np.timedelta64(36, 'h') < b-a < np.timedelta64(42, 'h')
    for train,valid in walk_forward_splits(w, 3, valid_size='10d', gap=gap, max_train='20d'):
        a,b = last_and_first(w, train, valid)
        assert np.timedelta64(36, 'h') < b-a < np.timedelta64(42, 'h')
        first,last = w.times(int(train[0]))[0],w.times(int(valid[-1]))[-1]
        assert a-first < np.timedelta64(20, 'D') and np.timedelta64(9, 'D') < last-b < np.timedelta64(10, 'D')

def test_a_duration_is_as_many_steps_where_rates_agree():
    w = Windows(np.zeros((500,1), 'f4'), 10, clock=Clock(fs=4))
    assert time_splits(w, .2, gap='10s') == time_splits(w, .2, gap=40) == time_splits(w, .2, gap='9.9s')
    folds = walk_forward_splits(w, 3, valid_size='20s', gap='5s', max_train='30s')
    assert folds == walk_forward_splits(w, 3, valid_size=80, gap=20, max_train=120)

@pytest.mark.parametrize('split', [time_splits, walk_forward_splits])
def test_durations_need_a_clock(split):
    with fails(ValueError, "gap='36h'", 'number of rows'): split(100, gap='36h')
    with fails(ValueError, "gap='36h'", 'sampling rates', '`clock`'): split(Windows(np.zeros((500,1)), 10), gap='36h')
    uneven = Clock.from_times(np.datetime64('2024-01-01') + np.arange(500)**2)
    with fails(ValueError, "gap='36h'", 'sampling rates'): split(Windows(np.zeros((500,1)), 10, clock=uneven), gap='36h')
    with fails(ValueError, 'A duration is a number and a unit', 'soon'): split(Windows(np.zeros((500,1)), 10, clock=Clock(fs=1)), gap='soon')
    with fails(ValueError, 'shorter than 0'): split(Windows(np.zeros((500,1)), 10, clock=Clock(fs=1)), gap=timedelta(-1))

def test_series_of_uneven_times_are_cut_at_one_time():
    waits = np.random.default_rng(0).integers(1, 1000, (3,100)).cumsum(1).astype('m8[h]')
    starts = np.array(['2024-01-01','2030-01-01','2020-01-01'], 'M8[ns]')
    clocks = [Clock.from_times(a+o) for a,o in zip(starts, waits)] + [Clock('2026-01-01', period='7d')]
    w = Windows([np.zeros((100,1))]*4, 5, clock=clocks)
    for splits in (time_splits(w, .2), time_splits(w, at='2030-03-01'), *walk_forward_splits(w, 2, valid_size=60)):
        a,b = last_and_first(w, *splits)
        assert a < b and not check_leakage(w, splits, across=True)
    by_series = time_splits(w, .2, per_series=True)
    assert check_leakage(w, by_series, across=True)

def test_a_shared_clock_jumps_in_all_series():
    clock = Clock('2024-01-01', period='1h', jumps=[[50, 1000*3600*10**9]])
    w = Windows([np.zeros((100,1))]*2, 5, clock=clock)
    got = w.clocks.since_starts(np.array([0,1]), np.array([60,60]))//(3600*10**9)
    assert got.tolist() == [1010,1010]
    a,b = last_and_first(w, *time_splits(w, at='2024-02-12'))
    assert a < np.datetime64('2024-02-12') <= b
