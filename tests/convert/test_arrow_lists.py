"Lists of a column become the series of their rows"
import numpy as np
from conftest import fails
from tsdisk.convert.arrow_lists import list_arrays
from tsdisk.convert.tables import from_wide, read_table

def test_integers_stay_integers_and_missing_values_are_nan(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    pq.write_table(pa.table(dict(x=pa.array([[1,2],[3,4]], pa.list_(pa.int16(), 2)))), tmp_path/'a.parquet')
    assert next(read_table(tmp_path/'a.parquet'))['X'].dtype == np.int16
    pq.write_table(pa.table(dict(x=pa.array([[1,None],[3,4]]))), tmp_path/'b.parquet')
    assert np.array_equal(next(read_table(tmp_path/'b.parquet'))['X'][:,0], [[1,np.nan],[3,4]], equal_nan=True)
    pq.write_table(pa.table(dict(x=pa.array([[1.,2.],None]))), tmp_path/'c.parquet')
    with fails(ValueError, "'x'", 'row 1'): [*read_table(tmp_path/'c.parquet')]

def test_lists_of_one_length_are_variables_of_a_series(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    pq.write_table(pa.table(dict(a=[[1.,2],[3,4]], b=[[5.,6],[7,8]], c=[[1],[2]])), tmp_path/'a.parquet')
    got = next(read_table(tmp_path/'a.parquet'))
    assert got['names'] == ['a','b'] and got['X'].tolist() == [[[1,2],[5,6]], [[3,4],[7,8]]] and got['left_out'] == {'c': 'lists'}
    assert next(from_wide(tmp_path/'a.parquet', steps=['c']))['X'].tolist() == [[[1]], [[2]]]
    with fails(ValueError, "'b'", 'not as long'): [*from_wide(tmp_path/'a.parquet', steps=['c','b'])]

def test_lists_of_lists_have_several_variables(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    pq.write_table(pa.table(dict(a=[[[1.,2],[3,4]], [[5.],[6]]])), tmp_path/'a.parquet')
    assert [o['X'].tolist() for o in read_table(tmp_path/'a.parquet')] == [[[1,2],[3,4]], [[5],[6]]]
    pq.write_table(pa.table(dict(a=[[[1.,2],[3]]])), tmp_path/'b.parquet')
    with fails(ValueError, "'a'", 'differ in length'): [*read_table(tmp_path/'b.parquet')]

def test_lists_of_lists_of_lists_are_no_series(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    deep = [[[[1,2],[3,4]],[[5,6],[7,8]]]]*2
    with fails(ValueError, "'x'", 'list of numbers'): list_arrays(pa.array(deep), 'x')
    pq.write_table(pa.table(dict(a=[[1.,2],[3,4]], x=deep)), tmp_path/'a.parquet')
    got = next(iter(read_table(tmp_path/'a.parquet')))
    assert got['X'].tolist() == [[[1,2]],[[3,4]]] and got['left_out']['x'].startswith('lists of list')
