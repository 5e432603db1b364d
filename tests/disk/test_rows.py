import numpy as np, pytest
from hypothesis import given, strategies as st
from tsdisk.disk.rows import merge_intervals, Ranges

intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=20)

@given(intervals)
def test_merged_intervals_hold_the_same_numbers_and_are_apart(some):
    first = np.array([a for a,_ in some], np.int64)
    stop = np.array([a+k for a,k in some], np.int64)
    a,b = merge_intervals(first, stop)
    members = lambda first,stop: {i for lo,hi in zip(first.tolist(), stop.tolist()) for i in range(lo, hi)}
    assert members(a, b) == members(first, stop)
    assert (a < b).all() and (a[1:] > b[:-1]).all()

@pytest.mark.parametrize('some,merged', [([], []), ([(0,3)], [(0,3)]), ([(0,3),(3,5)], [(0,5)]), ([(0,3),(4,5)], [(0,3),(4,5)]),
    ([(4,5),(0,9),(1,2)], [(0,9)]), ([(0,9),(1,2),(9,10)], [(0,10)])])
def test_intervals_that_touch_or_overlap_are_merged(some, merged):
    first,stop = np.array(some, np.int64).reshape(-1, 2).T
    assert [*zip(*map(np.ndarray.tolist, merge_intervals(first, stop)))] == merged

def test_ranges_that_touch_are_one():
    assert Ranges([(0,2),(2,5),(7,9)]).pairs.tolist() == [[0,5],[7,9]] and Ranges([(3,3)]).pairs.shape == (0,2)
