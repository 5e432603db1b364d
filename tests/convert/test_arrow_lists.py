"Lists of a column become the series of their rows"
import numpy as np, pyarrow as pa, pytest
from conftest import fails, same
from tsdisk.convert.arrow_lists import lengths_of, list_arrays, lists_together, shape_column, stacked_lists
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

# Arrays of a column

of_one_length = [([[1,2],[3,4]], 'i8'), ([[1,None],[3,4]], 'f8'), ([[True,False],[True,True]], 'f8')]

@pytest.mark.parametrize('values,dtype', of_one_length, ids=['int','missing','bool'])
def test_lists_of_one_length_are_one_array(values, dtype):
    got = list_arrays(pa.array(values), 'x')
    same(got, np.array(values, dtype))
    same(list_arrays(pa.array(values, pa.list_(pa.array(values[0]).type, 2)), 'x'), np.array(values, dtype))

def test_rows_of_a_part_of_a_column_are_its_own():
    lists = pa.array([[1.,2,3],[4.],[5.,6],[7.]])
    assert [o.tolist() for o in list_arrays(lists[1:3], 'x')] == [[4],[5,6]]
    nested = pa.array([[[1.,2]],[[3.],[4.]],[[5.,6],[7,8]]])
    assert [o.tolist() for o in list_arrays(nested[1:], 'x')] == [[[3],[4]],[[5,6],[7,8]]]
    assert lengths_of(pa.array([[1],None,[],[2,3]])).tolist() == [1,0,0,2]

@pytest.mark.parametrize('values,row', [([[1],[]], 1), ([None,[1]], 0), ([[[1.]],[[]]], 1), ([[[1.]],[[2.]],[]], 2)])
def test_a_row_without_values_is_named(values, row):
    said = f'no values in row {row} of a batch of {len(values)}'
    with fails(ValueError, "'x'", said): list_arrays(pa.array(values), 'x')

def test_inner_lists_of_other_lengths_are_counted():
    lists = pa.array([[[1,2],[3,4]], [[5,6],[7,8,9]]])
    with fails(ValueError, "'x' differ in length: 3 values instead of 2"): list_arrays(lists, 'x')

def test_a_column_of_shapes_gives_flat_lists_their_axes():
    flat,shapes = pa.array([[1,2,3,4],[5,6,7,8]]),pa.array([[2,2],[2,2]])
    same(list_arrays(flat, 'x', shapes), np.arange(1, 9).reshape(2, 2, 2))
    got = list_arrays(pa.array([[1,2,3,4],[5,6]]), 'x', pa.array([[2,2],[2,1]]))
    assert [o.tolist() for o in got] == [[[1,2],[3,4]],[[5],[6]]]
    assert shape_column('x', ['x','x._np_shape']) == 'x._np_shape' and shape_column('x', ['x','y._np_shape']) is None

def test_columns_of_one_length_are_stacked_and_others_left_alone():
    a,b,short = np.ones((2,3)),np.zeros((2,2,3)),np.ones((2,1))
    assert stacked_lists(dict(a=a, b=b)).shape == (2,3,3) and stacked_lists(dict(a=a))[:,0].tolist() == a.tolist()
    rows = [np.ones(3),np.ones((2,4))]
    assert [o.shape for o in stacked_lists(dict(a=rows, b=rows))] == [(2,3),(4,4)]
    assert lists_together(dict(a=a, s=short, b=b)) == ['a','b']
    assert lists_together(dict(s=short, target=a)) == ['target']
    with fails(ValueError, "'s' are not as long as those in 'a'"): stacked_lists(dict(a=a, b=b, s=short))

def test_shapes_of_another_size_than_the_lists_are_refused():
    shapes = pa.array([[2,2],[2,2]])
    for values,row,n in (([[1,2,3],[4,5,6,7,8]], 0, 3), ([[1,2,3,4],[5]], 1, 1)):
        said = f"'x' has {n} values in row {row} of a batch, but the shape [2, 2]"
        with fails(ValueError, said): list_arrays(pa.array(values), 'x', shapes)
