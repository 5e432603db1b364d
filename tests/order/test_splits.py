"Splits by class and group, at random and given beforehand: against loops over all windows"
import tracemalloc, warnings
from collections import Counter
import numpy as np, pytest
from hypothesis import assume, given, strategies as st
from conftest import fails, same
from order_cases import as_lists, chi2, held, pcts, some_windows, tests, very_many_windows
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.rows import Ranges
from tsdisk.order.codes import CodeOf
from tsdisk.order.folds import group_folds, stratified_group_splits
from tsdisk.order.leakage import check_leakage
from tsdisk.order.split_rows import RandomShare, check_splits
from tsdisk.order.splits import group_splits, predefined_splits, random_splits, stratified_splits
from tsdisk.order.time_splits import time_splits, walk_forward_splits
from tsdisk.series.windows import Windows

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
    with fails(ValueError, '3 series and 2 `groups`'): group_splits(['a','b'], windows=w)
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
    assert [*predefined_splits(['dev','validation','a','train'])] == ['train','dev','validation','a'] and [*predefined_splits([True,False])] == ['train','valid']
    assert [*predefined_splits([3,0,1])] == ['train','valid','3']

def test_series_given_beforehand():
    w = Windows([np.zeros(n) for n in (10,20,7,4,12)], 5, stride=2)
    splits = predefined_splits(['test','train','train','valid','test'], windows=w)
    assert {k: set(w.locate(np.asarray(o))[0].tolist()) for k,o in splits.items()} == dict(train={1,2}, valid=set(), test={0,4}) # One series has no windows
    assert sum(map(len, splits.values())) == len(w)
    with fails(ValueError, '5 series and 1 `which`'): predefined_splits(['train'], windows=w)
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

@pytest.mark.parametrize('valid,test', [(1e-4,0), (.0014,0), (1e-4,.2), (.2,.0007)])
def test_small_shares_of_many_rows_are_kept(valid, test):
    n = 2**21
    made = random_splits(n, valid, 0, test)
    for o,pct in zip(made[1:], (valid,test)): assert abs(len(o)-n*pct) < 5*(n*pct)**.5
    assert sum(map(len, made)) == n and check_splits(made, n)
    same(made[1][:9], random_splits(n, valid, 0, test)[1][:9])
