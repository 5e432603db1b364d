"Folds of groups, groups stratified by class, and splits by the hash of a key"
import numpy as np
from conftest import fails, fresh
from hypothesis import given, settings, strategies as st
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.arrays import save_array
from tsdisk.order.folds import Folds, group_folds, hash_shares, hash_splits, stratified_group_splits
from tsdisk.order.leakage import check_leakage
from tsdisk.series.windows import Windows

@given(st.lists(st.integers(0, 9), min_size=20, max_size=200), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_each_group_validates_in_one_fold(groups, k, seed):
    groups = np.array(groups)
    if len(set(groups.tolist())) < k:
        with fails(ValueError, f'{k} splits need as many groups'): group_folds(groups, k, seed=seed)
        return
    folds = group_folds(groups, k, seed=seed)
    assert len(folds) == len([*folds]) == k and len(folds[:2]) == 2
    for train,valid in folds:
        assert len(valid) and sorted([*train, *valid]) == [*range(len(groups))] and not {*groups[train]} & {*groups[valid]}
    assert sorted(np.concatenate([o for _,o in folds])) == [*range(len(groups))]

def test_folds_are_balanced_and_random():
    groups = np.repeat(np.arange(200), np.random.default_rng(0).integers(1, 60, 200))
    folds = group_folds(groups, 5, seed=0)
    assert max(len(o)/len(groups) for _,o in folds) < .205
    same,other = group_folds(groups, 5, seed=0), group_folds(groups, 5, seed=1)
    assert np.array_equal(same[0][1], folds[0][1]) and not np.array_equal(other[0][1], folds[0][1])
    np.random.seed(3)
    a = group_folds(groups)
    np.random.seed(3)
    assert np.array_equal(group_folds(groups).fold, a.fold)

def test_folds_have_the_same_share_of_each_class():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(120), rng.integers(5, 40, 120))
    y = np.array(['a','b','c'])[np.where(groups < 12, 2, groups%2)] # c in a tenth of the groups only
    shares = lambda folds: np.array([[np.mean(y[o] == c) for c in 'abc'] for _,o in folds])
    even,plain = shares(group_folds(groups, 4, y, seed=0)), shares(group_folds(groups, 4, seed=0))
    assert np.ptp(even, axis=0).max() < .03 < np.ptp(plain, axis=0).max()

def test_whole_groups_are_held_out_by_class(tmp_path):
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(300), rng.integers(1, 30, 300))
    y = np.where(groups%10 == 0, rng.integers(1, 3, len(groups)), 0)
    splits = stratified_group_splits(save_array(tmp_path/'y.npy', y), groups, .2, .1, seed=0)
    assert [round(len(o)/len(y), 2) for o in splits] == [.7,.2,.1]
    for a,b in ((0,1),(0,2),(1,2)): assert not {*groups[splits[a]]} & {*groups[splits[b]]}
    for c in range(3): assert all(abs(np.mean(y[o] == c)-np.mean(y == c)) < .01 for o in splits)
    X = save_array(tmp_path/'X.npy', np.zeros((len(y),1,3), 'f4'))
    assert len(TSDatasets(X, y, splits=splits[:2]).valid) == len(splits[1])

def test_a_class_of_one_group_is_trained_on():
    groups = np.repeat(np.arange(20), 10)
    for seed in range(5):
        train,valid = stratified_group_splits((groups == 7)*1, groups, seed=seed)
        assert 7 in groups[train] and 7 not in groups[valid]

def test_rows_without_a_label_are_no_class():
    groups = np.repeat(np.arange(50), 4)
    y = np.where(groups%5 == 0, 1, -100)
    train,valid = stratified_group_splits(y, groups, seed=0)
    assert np.sum(y[valid] == 1) == 8 and np.sum(y[valid] == -100) == 32

keys = np.array([f'id{o}' for o in range(3000)])

def test_splits_by_key_stay_when_data_is_added():
    before,after = hash_splits(keys[:2000], .2, .1), hash_splits(keys, .2, .1)
    for a,b in zip(before, after): assert np.array_equal(b[b < 2000], a)
    order = np.random.default_rng(0).permutation(3000)
    for a,b in zip(after, hash_splits(keys[order], .2, .1)): assert {*keys[a]} == {*keys[order][b]}
    assert [round(len(o)/3000, 1) for o in after] == [.7,.2,.1]

def test_larger_shares_keep_what_is_held_out():
    train,valid = hash_splits(keys, .2)
    more = hash_splits(keys, .3, .1)
    assert {*valid} < {*more[1]} and not {*valid} & {*more[2]} and {*more[0]} < {*train}

def test_keys_are_the_same_in_every_form(tmp_path):
    numbers = np.repeat(np.arange(700, dtype='i4'), 3)
    expected = hash_splits(numbers)
    for o in (numbers.astype('u8'), numbers.astype('U'), numbers.astype('S9'), numbers.tolist(), save_array(tmp_path/'k.npy', numbers)):
        assert np.array_equal(hash_splits(o)[1], expected[1])
    assert len(expected[1])%3 == 0 and not np.array_equal(hash_splits(numbers, salt='b')[1], expected[1])
    assert fresh('from tsdisk.order.folds import hash_splits\nres = hash_splits(range(50))[1].tolist()') == hash_splits(range(50))[1].tolist()

def test_hashes_never_change():
    assert hash_shares(np.array(['ann','é','7'])).round(6).tolist() == [.247746, .345176, .302026]
    assert hash_shares(np.array([7]))[0] == hash_shares(np.array(['7']))[0]

def test_windows_of_whole_series_do_not_leak():
    w = Windows([np.zeros((n,1), 'f4') for n in range(50, 90)], size=20, stride=3)
    who = np.arange(40)//2
    y = np.arange(40)%4//2
    splits = [hash_splits(who, .3, .1, windows=w), stratified_group_splits(y, who, .2, .1, seed=0, windows=w)]
    splits += [*group_folds(who, 4, y, seed=0, windows=w)]
    for o in splits: assert not check_leakage(w, o) and sum(map(len, o)) == len(w) and all(map(len, o))
    assert abs(len(splits[1][1])/len(w)-.2) < .05

def test_what_cannot_be_split_is_refused():
    w = Windows([np.zeros((50,1), 'f4')]*4, size=20)
    with fails(ValueError, '`k`', 'at least 2'): group_folds([1,2,3], 1)
    with fails(ValueError, 'one label a row'): group_folds(np.zeros((3,2)))
    with fails(ValueError, '3 labels', '4'): group_folds([1,2,3,4], 2, y=[0,1,0])
    with fails(ValueError, '4 series', '3'): group_folds([1,2,3], 2, windows=w)
    with fails(ValueError, '4 series', '3'): hash_splits([1,2,3], windows=w)
    with fails(ValueError, '`valid_pct`'): hash_splits([1,2,3], 1.5)
    with fails(ValueError, '`test_pct`'): stratified_group_splits([0,1,0], [1,2,3], .5, .6)
    with fails(TypeError, 'strings or whole numbers', 'float64'): hash_splits([.5,1.,2.])
    with fails(ValueError, 'no rows', '`salt`'): hash_splits(['a']*10)
    with fails(IndexError, ''): Folds(np.zeros(4, 'i2'), 2)[2]
    assert repr(group_folds([1,2,3,3], 2, seed=0)) == 'Folds(2 folds of 4 rows)'

def test_splits_of_many_keys_are_bitmaps(monkeypatch):
    from tsdisk.disk.bitmap import BitRows
    from tsdisk.order import folds as module
    expected = hash_splits(keys, .2, .1)
    monkeypatch.setattr(module, 'listed_rows', 1000)
    splits = hash_splits(keys, .2, .1)
    for a,b in zip(splits, expected): assert isinstance(a, BitRows) and np.array_equal(a[:], b)

def test_folds_of_series_with_gaps():
    from tsdisk.series.clock import Clock
    day = 86400*10**9
    clocks = [Clock('2024-01-01', period='1d', jumps=[[9, 20*day]]) for _ in range(8)]
    w = Windows([np.zeros((n,1), 'f4') for n in range(20, 28)], size=5, clock=clocks)
    for o in [*group_folds(range(8), 4, seed=0, windows=w), hash_splits(keys[:8], .5, windows=w)]:
        assert sum(map(len, o)) == len(w) and not check_leakage(w, o)
