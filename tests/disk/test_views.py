"Which part of which file an array is a view of"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import elsewhere, fails, same
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.views import file_of, map_file, pack_array, unpack_array

big = np.arange(7*5*6, dtype='i4').reshape(7, 5, 6)
rows,mid,last = st.slices(7),st.slices(5),st.slices(6)
views = st.tuples(rows, mid, last) | st.tuples(rows, st.integers(0, 4)) | st.tuples(rows, mid, st.integers(0, 5))

@given(st.lists(views, min_size=1, max_size=1) | st.lists(rows, min_size=2, max_size=3))
def test_any_view_is_found_again_in_its_file(tmp_path, cuts):
    path = tmp_path/'a.npy'
    if not path.exists(): save_array(path, big)
    a,b = open_array(path),big
    for o in cuts: a,b = a[o],b[o]
    same(unpack_array(pack_array(a)), b)
    if not b.size: return
    where = file_of(a)
    assert where[0] == str(path)
    again = map_file(*where)
    same(again, b)
    assert again.filename == str(path) and not again.flags.writeable
    same(map_file(*file_of(again)), b)

def test_transposed_reshaped_and_recast_views_are_found(tmp_path):
    a = save_array(tmp_path/'a.npy', big)
    for v in (a.T, a.reshape(35, 6)[::-3], a.view('u1')[:, 2:, 5], np.broadcast_to(a[0], (4,5,6)), a[:, None, ::-2], a.swapaxes(0, 2)[2:]):
        same(unpack_array(pack_array(v)), v)

@pytest.mark.parametrize('name', ['rows','steps','reversed','whole','row'])
def test_view_is_the_same_in_another_process(tmp_path, name):
    save_array(tmp_path/'a.npy', big)
    cut = dict(rows=np.s_[2:5], steps=np.s_[:, 1, ::2], reversed=np.s_[::-1, :, ::-3], whole=np.s_[:], row=np.s_[3])[name]
    a = open_array(tmp_path/'a.npy')[cut]
    same(elsewhere("__import__('tsdisk.disk.views').disk.views.unpack_array(a)+0", pack_array(a)), big[cut])

def test_arrays_in_memory_are_packed_as_they_are(tmp_path):
    a = save_array(tmp_path/'a.npy', big)
    copy = np.load(tmp_path/'a.npy', mmap_mode='c')
    copy[0] = -1
    for o in (big, a+1, np.array(a), copy): assert file_of(o) is None and unpack_array(pack_array(o)) is o

def test_file_that_shrank_is_refused_when_mapped_again(tmp_path):
    where = pack_array(save_array(tmp_path/'a.npy', big)[3:])
    save_array(tmp_path/'a.npy', big[:2])
    with fails(ValueError, 'was replaced since it was opened'): unpack_array(where)
    with fails(ValueError, 'has shrunk'): map_file(*where[:-1])

def test_empty_views_are_pickled(tmp_path):
    X = save_array(tmp_path/'x.npy', np.zeros((9,3,20), 'f4'))
    for o in (X[9:], X[3:3], X[:,:0], X[5:5,::-1]): same(unpack_array(pack_array(o)), np.array(o))
