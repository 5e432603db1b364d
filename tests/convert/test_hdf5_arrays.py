"Arrays that are changed as they are read are indexed like numpy"
import numpy as np, pytest
from test_hdf5 import indices, x
from tsdisk.convert.hdf5_arrays import ReversedAxes, Transposed
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
