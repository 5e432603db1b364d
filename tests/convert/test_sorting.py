"Sorting rows on disk"
import numpy as np
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.convert.readers import unnamed_file
from tsdisk.convert.sorting import Runs, StoredSeries

def sorted_by_runs(keys, sizes, block=1):
    "(rows in order, whether the runs were) of keys that are added a few at a time"
    with unnamed_file() as a, unnamed_file() as b:
        runs,at = Runs(a, [('series','i8'), ('time','i8')], 'i8'),0
        for n in sizes:
            part = keys[at:at+n]
            runs.add((part[:,0], part[:,1]), np.arange(at, at+len(part)))
            at += n
        rows = runs.mapped() if runs.in_order else runs.merged(b, block*runs.row.itemsize)
        return np.array(rows), runs.in_order

@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=1, max_size=200), st.integers(1, 50), st.integers(1, 60))
def test_rows_are_sorted_and_equal_keys_stay_in_order(keys, size, block):
    keys = np.array(keys)
    got,_ = sorted_by_runs(keys, [size]*(len(keys)//size+1), block)
    assert got['values'].tolist() == np.lexsort((keys[:,1], keys[:,0])).tolist()

def test_runs_in_order_are_not_merged():
    keys = np.stack([np.arange(100)//40, np.arange(100)], 1)
    rows,in_order = sorted_by_runs(keys, [30,30,40])
    assert in_order and rows['values'].tolist() == [*range(100)]
    assert not sorted_by_runs(keys[::-1], [30,30,40])[1]

def test_many_equal_keys_do_not_gather_in_one_block():
    with unnamed_file() as f:
        runs = Runs(f, [('time','i8')], 'i8')
        for i in range(10): runs.add((np.full(1000, 9-i//5),), np.arange(1000))
        assert not runs.in_order and max(map(len, runs.blocks(100*runs.row.itemsize))) < 1000

def test_a_stored_series_is_read_again_from_its_beginning():
    rows = np.arange(60.).reshape(30,2)
    series = StoredSeries(rows, 7*16)
    next(series)
    for _ in range(2): assert np.array_equal(np.concatenate([*series], 1), rows.T)
    assert [len(o) for o in StoredSeries(np.arange(5), 16)] == [2,2,1]

def test_rows_of_other_types_lose_no_digits():
    with unnamed_file() as f:
        runs = Runs(f, [('id','i8')], ('f4',(2,)))
        runs.add((np.arange(3),), np.zeros((3,2), 'f4'))
        with fails(ValueError, 'float64', 'float32', 'same types'): runs.add((np.arange(3),), np.full((3,2), 1/3))
        with fails(ValueError, 'float64', 'int64'): runs.add((np.arange(3)/2,), np.zeros((3,2), 'f4'))
        assert len(runs) == 3
