"Row numbers that are computed are those of a list"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, same
from tsdisk.disk.items import itemify
from tsdisk.disk.rows import Positions, Ranges, as_positions, merge_intervals, true_runs, unroll_intervals

intervals = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 12)), max_size=12)

@given(intervals)
def test_merged_intervals_hold_the_same_numbers_and_do_not_touch(pairs):
    first = np.array([a for a,_ in pairs], np.int64)
    stop = first + np.array([n for _,n in pairs], np.int64)
    a,b = merge_intervals(first, stop)
    assert [i for s,e in zip(a.tolist(), b.tolist()) for i in range(s, e)] == sorted({i for s,n in pairs for i in range(s, s+n)})
    assert (a[1:] > b[:-1]).all()

@pytest.mark.parametrize('some,merged', [([], []), ([(0,3)], [(0,3)]), ([(0,3),(3,5)], [(0,5)]), ([(4,5),(0,9),(1,2)], [(0,9)])])
def test_intervals_that_touch_or_overlap_are_merged(some, merged):
    first,stop = np.array(some, np.int64).reshape(-1, 2).T
    assert [*zip(*map(np.ndarray.tolist, merge_intervals(first, stop)))] == merged

def test_intervals_are_unrolled_in_the_order_given():
    which,member = unroll_intervals(np.array([3,9,4]), np.array([5,9,6]))
    same(which, np.array([0,0,2,2]))
    same(member, np.array([3,4,4,5]))

@given(st.lists(st.booleans(), max_size=30))
def test_members_of_true_runs_are_where_a_mask_is_true(mask):
    runs = true_runs(np.array(mask, bool))
    same(unroll_intervals(*runs.T)[1], np.flatnonzero(np.array(mask, bool)))
    assert (runs[1:,0] > runs[:-1,1]).all()

def test_ranges_that_touch_are_one():
    r = Ranges([(0,2), (2,5), (7,8)])
    same(r.pairs, np.array([[0,5], [7,8]]))
    assert len(Ranges([])) == 0 and Ranges([]) == Ranges([(3,3)])

@pytest.mark.parametrize('mask', [np.ones(50, bool), [True]*99, np.zeros(101, bool), np.array([False])], ids=len)
def test_a_mask_of_another_length_is_refused(mask):
    for f in (itemify(np.zeros((100,3))), Positions(100)):
        with fails(IndexError, f'mask of {len(mask)}', '100'): f[mask]

def test_positions_are_whole_numbers():
    for i in ([1.9], np.array([1.,2.]), ['1']):
        with fails(IndexError, 'integers'): as_positions(i, 9)
    same(as_positions([], 9), np.zeros(0, np.int64))
    same(as_positions(np.array([3,-1], 'i1'), 9), np.array([3,8]))
