"Stored integers stand for the values that scale, offset and `missing` say, in arrays and in tensors alike"
import json, pickle
import numpy as np, pytest, torch
from hypothesis import given, strategies as st
from conftest import fails, filled, same
from tsdisk.convert.scaled_integers import real_units
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.packing import Packing

counts = Packing([.5,-.01,2.], [0.,3.,-1.], -7)

def test_packings_are_equal_whatever_their_numbers_came_in():
    for o in (Packing((.5,-.01,2), (0,3,-1), -7), Packing(np.array([.5,-.01,2.]), np.array([0,3,-1]), -7), pickle.loads(pickle.dumps(counts))):
        assert o == counts and hash(o) == hash(counts)
    assert Packing(.5) == Packing(.5, 0) != Packing([.5]) and Packing() == Packing(None, None, None)

def test_an_offset_needs_a_scale():
    with fails(ValueError, '`offset`', '`scale`', 'offset=3'): Packing(offset=3)

@pytest.mark.parametrize('packing', [Packing(.1), Packing([.1]), Packing(.1, [0]), Packing([.1]*3), Packing(.1, [0]*3)], ids=str)
def test_single_numbers_are_those_of_all_variables(packing): assert packing.check(3) == Packing([.1]*3, [0.]*3)

@pytest.mark.parametrize('scale,offset,words', [([.1,.2], None, ('`scale`','3 variables','(0.1, 0.2)')), (.1, [1,2], ('`offset`','3 variables','(1.0, 2.0)')),
    ([[.1]*3], None, ('`scale`','3 variables')), ([], None, ('`scale`','3 variables'))], ids=str)
def test_another_number_of_variables_is_refused(scale, offset, words):
    with fails(ValueError, *words): Packing(scale, offset).check(3)

def test_without_a_scale_any_number_of_variables_is_right(): assert Packing(missing=-1).check(9) == Packing(missing=-1)

@pytest.mark.parametrize('dtype', 'i1 u1 i2 u2 i4 i8 ? f2 f4 f8'.split())
@pytest.mark.parametrize('packing', [counts, Packing([.5,-.01,2.]), Packing(.25, 1), Packing(missing=-7), Packing()], ids=str)
def test_arrays_and_tensors_are_decoded_alike(packing, dtype):
    x = filled((20,3,9), dtype)
    x = x if x.dtype.kind in 'bf' else x%50
    if x.dtype.kind in 'if': x[::3,1,::2] = -7
    want = x.astype('f8')
    if packing.scale is not None: want = want*np.reshape(packing.scale, (-1,1)) + np.reshape(packing.offset, (-1,1))
    if packing.missing is not None: want[x == packing.missing] = np.nan
    got = packing.decode(x)
    assert got.dtype == np.float32
    same(got, want.astype('f4'))
    of_tensor = packing.decode(torch.from_numpy(x))
    assert of_tensor.dtype == torch.float32
    np.testing.assert_allclose(of_tensor.numpy(), want, 1e-5, 1e-5)
    same(packing.decode(x[3]), got[3])
    same(packing.decode(np.ascontiguousarray(x.swapaxes(1, 2)), axis=-1), got.swapaxes(1, 2))

@pytest.mark.parametrize('dtype', ['i4','u4','i8'])
def test_large_counts_keep_their_digits(dtype):
    x = (2**30 + np.arange(-50, 50, dtype='i8')).astype(dtype).reshape(1,2,50)
    packing = Packing(.25, -2**28)
    want = packing.decode(x)
    assert len(np.unique(want)) == 100
    same(packing.decode(torch.from_numpy(x)).numpy(), want)
    same(TSDatasets(x, packing=packing).batch([0])[0].numpy(), want)

def test_what_is_stored_stays_as_it_is():
    for packing in (counts, Packing(missing=-7), Packing()):
        for a in (np.full((3,2), -7, 'i2'), np.full((3,2), -7, 'f4')):
            packing.decode(a)
            packing.decode(torch.from_numpy(a))
            assert (a == -7).all()

def test_decoding_is_that_of_conversions():
    x = filled((3,50), 'i2')
    same(counts.decode(x), real_units(x, counts.scale, counts.offset, counts.missing))

def test_values_are_present_unless_nan_or_missing():
    x = np.array([[1,np.nan,-7],[0,-7,2]])
    for a in (x, torch.tensor(x)):
        assert counts.present(a).tolist() == [[True,False,False],[True,False,True]]
        assert Packing().present(a).tolist() == [[True,False,True],[True,True,True]]

def test_some_variables_have_their_own_scales():
    assert counts.select([2,0]) == Packing([2.,.5], [-1.,0.], -7) and counts.select(None) is counts
    assert Packing(.5).select([1]) == Packing(.5) and Packing(missing=1).select([0]) == Packing(missing=1)

@given(st.floats(-1e6, 1e6), st.sampled_from(['i1','i2','u2','i4']))
def test_the_nearest_integers_are_those_a_value_is_stored_as(value, dtype):
    got,info = counts.nearest(value, np.dtype(dtype)),np.iinfo(dtype)
    assert got.dtype == dtype and got.shape == (3,)
    for k,scale,offset in zip(got.tolist(), counts.scale, counts.offset):
        around = [o for o in (k-1, k, k+1) if info.min <= o <= info.max]
        assert k == min(around, key=lambda o: (round(abs(o*scale+offset-value), 9), o != k))

def test_what_is_not_given_is_what_the_manifest_says():
    assert Packing().with_defaults(counts) == counts == counts.with_defaults(Packing(9., 9., 9))
    assert Packing(missing=-1).with_defaults(counts) == Packing(counts.scale, counts.offset, -1)
    assert Packing(.1).with_defaults(counts) == Packing(.1, 0., -7)

def test_floats_have_no_scale():
    assert counts.for_dtype(np.dtype('f8')) == Packing(missing=-7)
    assert all(counts.for_dtype(np.dtype(o)) is counts for o in ('i2','i8','?'))

@pytest.mark.parametrize('dtype,missing', [('u1',300), ('u1',-1), ('i2',2**16), ('i4',-2**31-1)])
def test_numbers_that_an_array_cannot_hold_mark_nothing(dtype, missing):
    a = np.array([[0,missing%2**(8*np.dtype(dtype).itemsize)%128]], dtype) # What the number would wrap around to, where it is small
    packing,dtype = Packing(missing=missing),np.dtype(dtype)
    assert packing.for_dtype(dtype) == Packing() and packing.check_missing(np.dtype('f4')) is packing
    with fails(ValueError, f'`missing={missing}`', str(np.iinfo(dtype).min), str(np.iinfo(dtype).max)): packing.check_missing(dtype)
    with fails(ValueError, f'`missing={missing}`'): TSDatasets(np.zeros((4,2,3), dtype), packing=packing)
    with fails(ValueError, f'`no_label={missing}`'): TSDatasets(np.zeros((4,2,3)), a.T.repeat(2, 0), cat=False, no_label=missing)
    floats = TSDatasets(np.zeros((4,2,3)), packing=packing, mask=True)
    x,mask = floats.test_set(np.broadcast_to(a[:, :, None], (1,2,3))).batch([0])
    assert mask.all() and x[0,:,0].tolist() == a[0].tolist()

@pytest.mark.parametrize('packing', [counts, Packing(.1), Packing()], ids=str)
def test_manifests_keep_packings(packing): assert Packing.from_entry(json.loads(json.dumps(packing.to_entry()))) == packing

def test_entries_without_a_scale_are_not_packed():
    assert Packing.from_entry(dict(file='X.npy', shape=[3,2], missing=-1)) == Packing() == Packing.from_entry({})

def test_missing_values_are_found_whatever_type_the_number_has():
    for kind in (float, np.float32, np.float64): assert np.isnan(Packing(missing=kind(-999.9)).decode(np.full((1,2), -999.9, 'f4'))).all()
    assert Packing(missing=np.int16(-7)) == Packing(missing=-7) and type(Packing(missing=np.int16(-7)).missing) is int
