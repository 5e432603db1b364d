"Splits by class, group and time: against loops over all windows"
import tracemalloc, warnings
from collections import Counter
from datetime import timedelta
import numpy as np, pytest
from hypothesis import assume, example, given, strategies as st
from sklearn.model_selection import TimeSeriesSplit
from conftest import fails, same
from order_cases import as_lists, chi2, held, pcts, some_windows, steps_of, tests, very_many_windows
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.rows import Ranges
from tsdisk.order.codes import CodeOf
from tsdisk.order.folds import group_folds, stratified_group_splits
from tsdisk.order.leakage import check_leakage
from tsdisk.order.split_rows import RandomShare, check_splits
from tsdisk.order.splits import group_splits, predefined_splits, random_splits, stratified_splits
from tsdisk.order.time_splits import time_splits, walk_forward_splits
from tsdisk.order.timeline import Timeline
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

def expect(naive, make):
    "What a loop finds; where that leaves a split empty, the error"
    if all(naive): return as_lists(make()) == naive
    with fails(ValueError, 'none is left for'): make()
    return True

# By time

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

# By date

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

@pytest.mark.parametrize('fs', [100,44_100,3,62.4725,10**6,1/86400])
def test_the_last_k_steps_are_k_at_any_rate(fs):
    clock = [Clock('2024-01-01', fs), Clock('2024-01-01', fs)]
    t = Timeline(Windows(Ragged(np.zeros((1900,1)), [0,1000,1900]), 2, clock=clock))
    for k in range(1001): assert t.cut(k).tolist() == [1000-k, min(900, 1000-k)]
    w = Windows(np.zeros((1000,1)), 1, clock=clock[0])
    assert {len(valid) for _,valid in walk_forward_splits(w, 5, valid_size=7)} == {7}

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

# Walk forward

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

# By group

def check_groups(groups, sizes, splits, valid, test):
    "Each group is in one split, each share as near as one group more would bring it"
    total,seen = sum(sizes.values()),[Counter(groups[i] for i in o) for o in splits]
    assert sum(seen, Counter()) == Counter({g: n for g,n in sizes.items() if n}) and sum(map(len, seen)) == len([n for n in sizes.values() if n]) and all(seen)
    for k,part in enumerate(held(total, valid, test)[:len(splits)-1], 1):
        lack = part - sum(seen[k].values())
        if len(seen[0]) > 1 and len(seen[k]) > 1:
            for g,n in seen[0].items(): assert abs(lack-n) >= abs(lack), (g, n, lack)
        if len(seen[k]) > 1: assert -lack < max(sizes.values())/2

@given(st.lists(st.integers(0, 12), min_size=3, max_size=150), pcts, tests, st.integers(0, 99))
def test_no_group_is_in_two_splits(groups, valid, test, seed):
    assume(valid+test < 1 and len(set(groups)) > 1+(test > 0))
    splits = group_splits(groups, valid, test, seed)
    for o in splits: assert (np.diff(o) > 0).all()
    check_groups(groups, Counter(groups), as_lists(splits), valid, test)
    assert as_lists(group_splits(np.array(groups, 'u1'), valid, test, seed)) == as_lists(splits)

@given(some_windows(), pcts, tests, st.integers(0, 99), st.booleans())
def test_windows_of_a_group_are_in_one_split(o, valid, test, seed, labelled):
    w,lengths,all_windows = o
    labels = ['abc'[i%3] for i in range(len(lengths))] if labelled else [*range(len(lengths))]
    groups = [labels[s] for s,_ in all_windows]
    assume(valid+test < 1 and len(set(groups)) > 1+(test > 0))
    splits = group_splits(labels, valid, test, seed, windows=w) if labelled else group_splits(w, valid, test, seed)
    assert all(isinstance(o, Ranges) and o.of == len(w) for o in splits) and sorted(sum(as_lists(splits), [])) == [*range(len(w))]
    check_groups(groups, Counter(groups), as_lists(splits), valid, test)
    assert not check_leakage(w, splits)

def test_shares_of_groups_are_near_and_seeds_differ():
    groups = np.repeat(np.arange(200), np.random.default_rng(0).integers(5, 50, 200))
    for seed in range(20):
        a,b,c = group_splits(groups, .2, .1, seed)
        assert abs(len(b)/len(groups)-.2) < .01 and abs(len(c)/len(groups)-.1) < .01
    assert as_lists(group_splits(groups, seed=1)) == as_lists(group_splits(groups, seed=1)) != as_lists(group_splits(groups, seed=2))
    state = np.random.get_state()
    a = group_splits(groups)[1]
    assert a.tolist() != group_splits(groups)[1].tolist()
    np.random.set_state(state)
    same(group_splits(groups)[1], a)

def test_every_group_is_held_out_alike():
    held = np.zeros(20)
    for s in range(1000): held[group_splits(np.arange(20), .2, seed=s)[1]] += 1
    assert held.sum() == 4000 and abs(held-200).max() < 5*np.sqrt(1000*.2*.8)

def test_a_huge_group_trains():
    groups = np.repeat([0,1,2], [100,10,10])
    for s in range(9): assert set(groups[group_splits(groups, .1, seed=s)[0]]) >= {0}

def test_impossible_groups_are_refused(tmp_path):
    with fails(ValueError, 'It takes 2 groups', 'got 1', '`time_splits`'): group_splits(['a']*5)
    with fails(ValueError, 'It takes 3 groups', 'got 2'): group_splits(['a','b'], .2, .2)
    w = Windows([np.zeros(20)]*3, 5)
    with fails(ValueError, '3 series and 2 groups'): group_splits(['a','b'], windows=w)
    with fails(ValueError, '`groups` must be one label a row', '(2, 2)'): group_splits(np.zeros((2,2)))
    with fails(ValueError, 'It takes 2 groups'): group_splits(Windows([np.zeros(20),np.zeros(3)], 5)) # The other has no windows

@pytest.mark.parametrize('groups', [np.array([1,np.nan,2,np.nan]), np.array(['a','','b','']), np.array([b'a',b'',b'b',b'']),
    np.array(['2020','NaT','2021','NaT'], 'M8[D]')], ids=['numbers','strings','bytes','dates'])
def test_rows_without_a_group_are_refused(groups):
    for split in (group_splits, group_folds, lambda o: stratified_group_splits([0,1,0,1], o)):
        with fails(ValueError, '2 of 4 rows have no group', 'leave them out'): split(groups)

# By class

@given(st.lists(st.integers(0, 6), min_size=4, max_size=200), pcts, tests, st.integers(0, 99))
def test_each_class_has_its_share(y, valid, test, seed):
    n = Counter(y)
    m = sum(k for k in n.values() if k > 1)
    assume(valid+test < 1 and m > 2)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try: splits = stratified_splits(np.array(y), valid, test, seed)
        except ValueError as e:
            assert 'Too few rows' in str(e) and held(m, valid, test)[0] >= m - sum(k > 1 for k in n.values()) # Each class keeps a row to train on
            return
    train,*rest = as_lists(splits)
    assert sorted(sum(as_lists(splits), [])) == [*range(len(y))] and all((np.diff(o) > 0).all() for o in splits)
    assert set(y) == {y[i] for i in train}
    for rows,total in zip(rest, held(m, valid, test)):
        got = Counter(y[i] for i in rows)
        for c,k in n.items(): assert abs(got[c] - k*(total/m)*(k > 1)) < 1+1e-9 or valid+test > .5, (c, k, got[c])
        assert len(rows) == total or valid+test > .5 # Else a class may not have a row left to train on
        assert not any(got[c] for c,k in n.items() if k == 1)

def test_shares_are_exact_where_they_can_be():
    y = np.repeat(['a','b','c'], [70,20,10])[np.random.default_rng(0).permutation(100)]
    want = [Counter(a=49, b=14, c=7), Counter(a=14, b=4, c=2), Counter(a=7, b=2, c=1)]
    for seed in range(9): assert [Counter(y[o]) for o in stratified_splits(y, .2, .1, seed)] == want

def test_totals_fit_where_classes_are_small():
    y = np.arange(300)//3 # A hundred classes of three
    for seed in range(5):
        train,valid = stratified_splits(y, .2, seed=seed)
        assert len(train) == 240 and len(valid) == 60 and np.bincount(y[valid]).max() == 1

@pytest.mark.parametrize('dtype', ['i1','u8','f4','?','<U5','S3','M8[s]'])
def test_labels_of_any_dtype_and_on_disk(tmp_path, dtype):
    y = np.arange(60) % 2 if dtype == '?' else np.arange(60) % 3
    y = (y == 1) if dtype == '?' else y.astype('i8').astype(dtype)
    a,path = stratified_splits(y, .2, seed=3)[1],tmp_path/'y.npy'
    save_array(path, y)
    for form in (path, str(path), open_array(path), y.tolist() if dtype[0] != 'M' else y): same(stratified_splits(form, .2, seed=3)[1], a)
    same(group_splits(path, .4, seed=1)[1], group_splits(y, .4, seed=1)[1])

@pytest.mark.parametrize('dtype', ['>U5','S7','>i4','>f8'])
def test_labels_of_another_byte_order_or_width_are_the_same(dtype):
    y = np.repeat([11,12,17,25], 25)
    if dtype[-2] in 'US': y = y.astype('U2' if 'U' in dtype else 'S2')
    for split in (group_splits, stratified_splits): assert as_lists(split(y.astype(dtype), .3, seed=0)) == as_lists(split(y, .3, seed=0))
    labels = np.unique(y)
    same(CodeOf(labels)(y.astype(dtype)), CodeOf(labels)(y))

def test_labels_of_windows_are_labels():
    w = Windows(np.zeros((2,1,50), 'f4'), 5, stride=5)
    train,valid = stratified_splits(w.of_series(np.array(['x','y'])), .2, seed=0)
    assert [int((o < 10).sum()) for o in (train,valid)] == [8,2] == [int((o >= 10).sum()) for o in (train,valid)]

def test_classes_of_one_row_train_and_it_is_said():
    y = np.array([0]*10 + [1] + [2]*10 + [3])
    with pytest.warns(UserWarning, match='2 of 4, such as 1'): splits = stratified_splits(y, .5, seed=0)
    assert {10,21} <= set(splits[0].tolist()) and len(splits[1]) == 10

def test_splits_by_class_depend_on_the_seed_alone():
    y = np.arange(500) % 5
    assert as_lists(stratified_splits(y, seed=1)) == as_lists(stratified_splits(y, seed=1)) != as_lists(stratified_splits(y, seed=2))
    np.random.seed(4)
    a = stratified_splits(y)[1]
    np.random.seed(4)
    same(stratified_splits(y)[1], a)
    same(stratified_splits(y, .2, .3, seed=7)[1], stratified_splits(y, .2, seed=7)[1]) # A test split leaves those to validate as they are

def test_impossible_splits_by_class_are_refused():
    with fails(ValueError, '`y` must be one label a row', '(4, 2)'): stratified_splits(np.zeros((4,2)))
    with fails(ValueError, 'Too few rows', '4 rows of 4 classes'), pytest.warns(UserWarning, match='4 of 4'): stratified_splits(np.arange(4))
    with fails(ValueError, 'Too few rows'): stratified_splits([1,1], .2, .2)

# At random

@given(st.integers(2, 300), st.floats(.001, .999), st.integers(0, 99))
def test_random_splits_are_what_they_were(n, pct, seed):
    valid = np.zeros(n, bool)
    valid[np.random.default_rng(seed).choice(n, min(max(1, round(n*pct)), n-1), replace=False, shuffle=False)] = True
    for a,b in zip(random_splits(n, pct, seed), (~valid,valid)): same(a, np.flatnonzero(b))

def test_a_share_of_many_rows_is_what_it_was():
    same(random_splits(10**9, .2, 0)[1][100_000_000:100_000_005], np.array([499511543, 499511545, 499511298, 499512309, 499512129]))
    assert repr(random_splits(10**9, .2, 0)[1]) == 'RandomShare(1000000000, 0.2, 0, True)'

@given(st.integers(3, 5000), pcts, st.sampled_from([.1,.25]), st.integers(0, 2**40), st.booleans())
def test_three_random_splits_hold_every_row_once(n, valid, test, seed, shares):
    made = [RandomShare(n, (valid,test), seed, o) for o in range(3)] if shares else random_splits(n, valid, seed, test)
    same(np.sort(np.concatenate([o[:] for o in made])), np.arange(n))
    assert [len(o[:]) for o in made] == [len(o) for o in made]
    if not shares:
        assert tuple(map(len, made[1:])) == held(n, valid, test)
        if len(made[1]) == held(n, valid, 0)[0]: same(made[1], random_splits(n, valid, seed)[1])

def test_three_shares_of_many_rows_are_splits():
    made = random_splits(10**9, .1, 5, .2)
    assert check_splits(made, 10**9) == list(made) and sum(map(len, made)) == 10**9
    for o,p in zip(made, (.7,.1,.2)): assert abs(len(o)/10**9-p) < .001
    same(made[1][:1000], random_splits(10**9, .1, 5)[1][:1000])
    with fails(ValueError, 'in split 1'): check_splits([RandomShare(3000, (.1,.2), 1, 0), RandomShare(3000, (.1,.2), 1, 0)], 3000)

def test_random_splits_of_windows_warn_if_they_share_steps():
    w = Windows(np.zeros(100), 10, stride=5)
    with pytest.warns(UserWarning, match=r'Splits 0 and 1 share .* use `time_splits\(windows\)` or a stride of at least 10 steps'): splits = random_splits(w, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert as_lists(random_splits(w, seed=0)) == as_lists(random_splits(len(w), seed=0)) == as_lists(splits) # Once is enough
        random_splits(Windows(np.zeros(100), 10, stride=10))

@given(st.integers(2, 300), st.floats(.001, .999), st.integers(0, 99))
def test_random_splits_share_out_all_rows(n, pct, seed):
    train,valid = random_splits(n, pct, seed)
    assert sorted([*train,*valid]) == [*range(n)] and len(train) and len(valid)
    assert abs(len(valid)-n*pct) <= .5 or len(valid) in (1,n-1)
    assert (np.diff(train) > 0).all() and (np.diff(valid) > 0).all()
    same(random_splits(n, pct, seed)[1], valid)

def test_random_splits_differ_by_seed_and_hold_out_every_row_alike():
    held = np.zeros(50)
    for s in range(2000): held[random_splits(50, .2, s)[1]] += 1
    assert abs(chi2(held)) < 5
    assert any(not np.array_equal(random_splits(50)[1], random_splits(50)[1]) for _ in range(5))

@pytest.mark.parametrize('n,pct,word', [(10, 0, 'between 0 and 1'), (10, 1, 'between 0 and 1'), (10, 20, 'got 20'), (10, -.1, 'between'), (1, .2, 'at least 2 rows'), (0, .2, 'at least 2 rows')])
def test_impossible_random_splits_are_refused(n, pct, word):
    with fails(ValueError, word): random_splits(n, pct)

# Given beforehand

@pytest.mark.parametrize('which', [['valid','train','test','train'], ['VALID','Train','TEST','train'], [1,0,2,0], np.array(['valid','train','test','train'], 'S5'), [1.,0.,2.,0.]], ids=str)
def test_names_and_numbers_are_splits(which):
    assert {k: v.tolist() for k,v in predefined_splits(which).items()} == dict(train=[1,3], valid=[0], test=[2]) and [*predefined_splits(which)] == ['train','valid','test']

def test_training_comes_first_then_validation():
    assert [*predefined_splits(['dev','validation','a','train'])] == ['train','validation','a','dev'] and [*predefined_splits([True,False])] == ['train','valid']
    assert [*predefined_splits([3,0,1])] == ['train','valid','3']

def test_series_given_beforehand():
    w = Windows([np.zeros(n) for n in (10,20,7,4,12)], 5, stride=2)
    splits = predefined_splits(['test','train','train','valid','test'], windows=w)
    assert {k: set(w.locate(np.asarray(o))[0].tolist()) for k,o in splits.items()} == dict(train={1,2}, valid=set(), test={0,4}) # One series has no windows
    assert sum(map(len, splits.values())) == len(w)
    with fails(ValueError, '5 series and 1 names'): predefined_splits(['train'], windows=w)
    with fails(ValueError, "named 'train'", "['x', 'y']"): predefined_splits(['x','y'])

@pytest.fixture(scope='module')
def many(tmp_path_factory): return very_many_windows(tmp_path_factory.mktemp('many'))

@pytest.mark.parametrize('make,most', [(lambda w: time_splits(w, .2, .1, gap=24), 60), (lambda w: group_splits(w, .2, .1, seed=0), 60),
    (lambda w: group_splits(np.arange(len(w.panel))//7, seed=0, windows=w), 60), (lambda w: walk_forward_splits(w, 2)[1], 80),
    (lambda w: predefined_splits(np.arange(len(w.panel)) % 5 == 0, windows=w), 60), (lambda w: random_splits(len(w), .2, 0, .1), 5)])
def test_splits_of_very_many_windows_take_little_memory(many, make, most):
    assert len(many) > 490_000_000
    tracemalloc.start()
    splits = make(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most*10**6 and sum(map(len, [*splits.values()] if isinstance(splits, dict) else splits)) > 200_000_000, peak

# Durations

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

# Uneven times

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
