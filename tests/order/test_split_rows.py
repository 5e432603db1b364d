"Rows of splits are in one form, or refused"
import pickle
import numpy as np, pytest, torch
from fastai.data.transforms import RandomSplitter
from fastcore.foundation import L
from hypothesis import assume, example, given, strategies as st
from conftest import fails, fresh, linux, same
from order_cases import some_ranges
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.rows import Ranges
from tsdisk.order.split_rows import RandomShare, check_rows, check_splits
from tsdisk.order.splits import group_splits, random_splits
from tsdisk.order.time_splits import walk_forward_splits
from tsdisk.series.windows import Windows

# Splits

forms = dict(ints=[7,2,5], tuple=(7,2,5), array=np.array([7,2,5]), small=np.array([7,2,5], 'u1'), tensor=torch.tensor([7,2,5]), L=L(7,2,5), iter=iter([7,2,5]))
masks = [i in (2,5,7) for i in range(10)]

@pytest.mark.parametrize('form', forms)
def test_rows_keep_their_order(form): assert [int(i) for i in check_splits([[0,1], forms[form]], 10)[1]] == [7,2,5]

@pytest.mark.parametrize('way', [list, tuple, L, np.array, torch.tensor])
def test_mask_gives_its_rows(way): assert check_splits([[0], way(masks)], 10)[1].tolist() == [2,5,7]

@given(st.slices(10))
def test_slices_stay_ranges(cut):
    rows = range(10)[cut]
    if not len(rows): return
    got = check_splits([cut], 10)[0]
    assert isinstance(got, range) and got == rows
    assert check_splits([rows], 10)[0] == rows

def test_rows_on_disk_are_splits(tmp_path):
    train,valid = save_array(tmp_path/'t.npy', np.arange(8)[::-1]),save_array(tmp_path/'m.npy', np.arange(10) > 7)
    assert [o.tolist() for o in check_splits([open_array(tmp_path/'t.npy'), valid], 10)] == [[*range(7, -1, -1)],[8,9]] and len(train) == 8

def test_many_splits_and_empty_ones():
    got = check_splits([range(3), [], slice(3,5), np.array([9]), range(0), np.zeros(10, bool)], 10)
    assert [len(o) for o in got] == [3,0,2,1,0,0]

def test_splits_of_a_billion_rows_stay_small(): assert check_splits([range(9*10**6), slice(9*10**6,None)], 10**7) == [range(9*10**6), range(9*10**6, 10**7)]

@pytest.mark.parametrize('splits,err,words', [
    ([range(8),[8,10]], IndexError, ('Split 1 has row 10','rows 0 to 9')), ([[0,-1]], IndexError, ('row -1',)), ([range(11)], IndexError, ('row 10',)),
    ([range(9, -2, -1)], IndexError, ('row -1',)), ([np.array([10], 'u1')], IndexError, ('row 10',)),
    ([range(8),[9,7]], ValueError, ('Row 7 is in split 1','one split only')), ([range(4, -1, -1),slice(4,6)], ValueError, ('Row 4',)),
    ([[0],[1],[2,0]], ValueError, ('Row 0 is in split 2',)), ([masks,range(5, 6)], ValueError, ('Row 5',)), ([range(0, 10, 2),range(9, 5, -1)], ValueError, ('Row 6 is in split 1',)),
    ([[True,False,True]], ValueError, ('a mask of 3 rows','has 10')), ([np.ones(11, bool)], ValueError, ('a mask of 11',)),
    ([[[0,1]]], ValueError, ('shape (1, 2)',)), ([np.zeros((2,2), int)], ValueError, ('shape',)), ([[.5]], TypeError, ('float64',)), ([['a']], TypeError, ('row numbers',)),
    ([], ValueError, ('train on, is empty',)), ([[]], ValueError, ('empty',)), ([slice(0,0),[1]], ValueError, ('empty',)), ([np.zeros(10, bool),[1]], ValueError, ('empty',))])
def test_bad_splits_are_refused(splits, err, words):
    with fails(err, *words): check_splits(splits, 10)

# A share of very many rows

@given(st.integers(2, 5000), st.floats(.01, .99), st.integers(0, 2**40))
def test_shares_hold_every_row_once(n, pct, seed):
    both = [RandomShare(n, pct, seed, o) for o in (False,True)]
    same(np.sort(np.concatenate([o[:] for o in both])), np.arange(n))
    assert [len(o[:]) for o in both] == [len(o) for o in both]

def test_share_can_be_asked_in_any_way():
    o = RandomShare(5000, .3, 7, True)
    whole = o[:]
    same(o[::-3], whole[::-3])
    same(o[np.array([3,1498,3])], whole[[3,1498,3]])
    assert o[-1] == whole[-1] and o[5] == whole[5] and [*o[2:4]] == whole[2:4].tolist()
    same(pickle.loads(pickle.dumps(o))[:], whole)
    with pytest.raises(IndexError): o[len(o)]

@pytest.mark.parametrize('n', [2048, 5000])
def test_masks_and_negative_positions_of_a_share_are_those_of_an_array(n):
    o = RandomShare(n, .3, 7, True)
    whole = o[:]
    same(o[whole%2 == 0], whole[whole%2 == 0])
    same(o[[-1,0,-len(o)]], whole[[-1,0,-len(o)]])
    same(o[[[1,2],[3,-4]]], whole[[[1,2],[3,-4]]])
    for i in ([len(o)], [-len(o)-1]):
        with fails(IndexError, f'there are {len(o)}'): o[i]

def test_a_share_takes_seeds_of_numpy(): same(RandomShare(5000, .3, np.int64(7), True)[:], RandomShare(5000, .3, 7, True)[:])

def test_shares_differ_by_seed_and_spread_evenly():
    a,b = (RandomShare(10**6, .2, seed, True)[:] for seed in (0,1))
    assert abs(np.isin(a, b).mean()-.2) < .01
    assert abs(np.corrcoef(a[:-1]%1024, a[1:]%1024)[0,1]) < .01 and np.bincount(a//1024, minlength=976)[:976].std() == 0
    assert abs(np.bincount(a%1024, minlength=1024)/(10**6/1024)-.2).max() < .08

@linux
def test_splits_of_very_many_rows_take_no_memory():
    mb,size,rows = fresh("""
        import pickle
        from conftest import rss_anon
        from tsdisk.order.split_rows import RandomShare, check_splits
        from tsdisk.order.splits import random_splits
        before = rss_anon()
        splits = check_splits(random_splits(300_000_000, seed=1), 300_000_000)
        res = rss_anon()-before, len(pickle.dumps(splits)), sum(map(len, splits))""")
    assert mb < 5 and size < 20_000 and rows == 300_000_000

def test_shares_of_other_sizes_or_seeds_are_refused():
    a,b = (RandomShare(3000, .2, seed, held) for seed,held in ((0,False),(1,True)))
    with fails(ValueError, 'in split 1'): check_splits([a,b], 3000)
    with fails(ValueError, 'in split 1'): check_splits([a,a], 3000)
    with fails(IndexError, 'rows 0 to 99'): check_splits([a], 100)

# Other forms

def test_splitters_and_dicts_are_splits():
    train,valid = check_splits(RandomSplitter(.3, seed=1), 10)
    assert sorted([*train,*valid]) == [*range(10)] and len(valid) == 3
    assert check_splits(dict(train=range(3), valid=[4]), 5)[0] == range(3)

@pytest.mark.parametrize('splits', [np.ones(10, bool), range(10), slice(5), 'ab'], ids=repr)
def test_one_choice_of_rows_is_not_splits(splits):
    with fails(TypeError, '`[train, valid]`'): check_splits(splits, 10)

@pytest.mark.parametrize('o', [slice(80, 1000), slice(-101, None), slice(101, None)], ids=str)
def test_slices_out_of_range_are_refused(o):
    with fails(IndexError, 'the data has 100 rows'): check_splits([o], 100)
    assert check_splits([slice(-20, None)], 100) == [range(80, 100)]

def test_folds_are_not_splits():
    folds = [(np.arange(5), np.arange(5, 10))]*3
    with fails(ValueError, 'Split 0', 'next(folds)'): check_splits(folds, 10)

# One form

some_rows = st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda o: range(o[0], o[0]+o[1])) | st.lists(st.integers(0, 49), max_size=3)

@given(st.lists(some_ranges | some_rows, min_size=1, max_size=4))
@example([[(0,10),(15,18)], [(20,30)]])
@example([[(0,40)], [(3,4),(10,11)]])
@example([[(0,10)], [9]])
def test_rows_in_two_splits_are_found(splits):
    splits = [Ranges(o) if len(o) and isinstance(o[0], tuple) else o for o in splits]
    sets = [set(np.asarray(o).tolist()) for o in splits]
    assume(sets[0])
    if len(set.union(*sets)) == sum(map(len, sets)):
        for a,b in zip(check_splits(splits, 50), splits): assert np.asarray(a).tolist() == np.asarray(b).tolist()
        return
    with pytest.raises(ValueError, match='Row .* is in split .* and in an earlier one') as e: check_splits(splits, 50)
    row,i = [int(o) for o in str(e.value).replace(':', '').split() if o.isdigit()]
    assert row in sets[i] and any(row in o for o in sets[:i])

def test_ranges_are_checked_and_stay_ranges():
    r = Ranges([(2,5),(8,9)], 10)
    assert check_rows(r, 10, 'It') is r and check_rows(Ranges([(3,3)]), 10, 'It') == range(0)
    with fails(IndexError, 'It has row 9, the data has rows 0 to 8'): check_rows(Ranges([(2,5),(8,10)]), 9, 'It')
    with fails(ValueError, 'It was made for 10 rows, the data has 11'): check_rows(r, 11, 'It')
    with fails(TypeError, '`[train, valid]`'): check_splits(r, 10)
    with fails(ValueError, 'Split 0', 'next(folds)', 'folds[0]'): check_splits(walk_forward_splits(Windows(np.zeros(100), 5)), 96)

def test_ranges_meet_any_choice_of_rows():
    train = random_splits(2**21, seed=0)[0]
    np.testing.assert_array_equal((Ranges([(5,2**21)]) & train)[:1000], np.asarray(train[:2000])[np.asarray(train[:2000]) >= 5][:1000])
    np.testing.assert_array_equal(Ranges([(2,5)]) & (np.arange(10) > 3), [4])
    assert not len(Ranges([]) & np.arange(5)) and not len(Ranges([]) & Ranges([(1,3)]))

@pytest.mark.parametrize('splits', [group_splits([*'aabbccdd'], seed=0), [[6,3,1,0],range(4,6),[2]], [range(4),Ranges([(4,5)]),[]]], ids=['groups','lists','ranges'])
def test_splits_of_fewer_rows_warn(splits):
    n = sum(map(len, splits))
    with pytest.warns(UserWarning, match=f'share out the first {n} of 20 rows'): TSDatasets(np.zeros((20,1,4), 'f4'), splits=splits)

@pytest.mark.parametrize('splits', [[range(20)], [range(9),range(9,20)], [range(9),range(10,20)], [range(5,9),[9]], [range(9)]], ids=str)
def test_other_choices_of_rows_do_not_warn(splits, recwarn):
    TSDatasets(np.zeros((20,1,4), 'f4'), splits=splits)
    assert not len(recwarn)
