"Arrays that are changed as they are read are indexed like numpy"
from types import SimpleNamespace
import numpy as np, pytest
from conftest import same
from test_hdf5 import indices, x
from tsdisk.convert.hdf5_arrays import chunk_shape, Elementwise, full_index, ReversedAxes, Transposed
from tsdisk.convert.readers import read_file

@pytest.mark.parametrize('i', [2, ..., slice(1,4), (slice(None), 1), (..., slice(2,3)), (1,2)], ids=str)
def test_swapped_axes_are_indexed_like_numpy(i):
    assert np.array_equal(Transposed(x, (2,0,1))[i], x.transpose(2,0,1)[i]) and np.array_equal(ReversedAxes(x)[i], x.T[i])

def test_matlab_axes_are_turned_round(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.mat', 'w') as f: f['X'] = x.T
    assert np.array_equal(read_file(tmp_path/'a.mat')['X'], x)
    from scipy.io import savemat
    savemat(tmp_path/'old.mat', dict(X=x))
    assert np.array_equal(read_file(tmp_path/'old.mat')['X'], x)

@pytest.mark.parametrize('i', indices, ids=str)
def test_arrays_in_reverse_order_are_indexed_like_numpy(tmp_path, i):
    import h5py
    with h5py.File(tmp_path/'a.mat', 'w') as f:
        f['X'] = x.T
        assert np.array_equal(ReversedAxes(f['X'])[i], x[i])

# The parts

short = [(2, (2,'','')), (..., ('','','')), ((...,1), ('','',1)), ((1,...,2), (1,'',2)), ((1,2,3), (1,2,3)),
    ((1,2,3,...), (1,2,3)), ((), ('','',''))]

@pytest.mark.parametrize('i,want', short, ids=str)
def test_an_index_gets_a_slice_for_each_axis_it_leaves_out(i, want):
    assert full_index(i, 3) == tuple(slice(None) if o == '' else o for o in want)

def stored(chunks): return SimpleNamespace(shape=(5,3,8), chunks=chunks, dtype=np.dtype('i2'), __getitem__=None)

def test_chunks_are_no_larger_than_their_array():
    assert chunk_shape(stored((9,2,8))) == (5,2,8)
    assert [chunk_shape(o) for o in (stored(None), stored(()), stored(((2,3),(3,),(8,))), x)] == [None]*4
    class Uneven:
        @property
        def chunks(self): raise NotImplementedError
    assert chunk_shape(Uneven()) is None
    assert chunk_shape(SimpleNamespace(shape=(0,3), chunks=(4,3))) == (1,3)

def test_chunks_follow_the_axes():
    assert Transposed(stored((2,1,4)), (2,0,1)).chunks == (4,2,1) and ReversedAxes(stored((2,1,4))).chunks == (4,1,2)
    assert Transposed(stored(None), (2,0,1)).chunks == (8,1,1) # A row of the file
    assert Elementwise(stored((2,1,4)), abs, 'f4').chunks == (2,1,4) and Elementwise(x, abs, 'f4').chunks is None

@pytest.mark.parametrize('i', indices, ids=str)
def test_values_are_changed_as_they_are_read(i):
    read = []
    def doubled(a):
        read.append(a.size)
        return a.astype('f8')*2
    view = Elementwise(x, doubled, 'f4')
    same(view[i], x[i]*2)
    assert read == [x[i].size] and (view.shape, view.ndim, len(view), view.dtype) == ((6,3,500), 3, 6, 'f4')

def test_views_have_the_name_and_attributes_of_what_they_show(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['g/X'] = x
        f['g/X'].attrs['fs'] = 5
        views = Transposed(f['g/X'], (1,0,2)),ReversedAxes(f['g/X']),Elementwise(f['g/X'], abs, 'f4')
        for view in views: assert view.name == '/g/X' and view.attrs['fs'] == 5
    for view in (ReversedAxes(x), Elementwise(x, abs, 'f4')): assert (view.name, view.attrs) == ('the array', {})
