"Values fit another dtype, or are refused"
import numpy as np, pytest
from conftest import fails, filled, same
from tsdisk.disk.arrays import save_array
from tsdisk.disk.casts import cast_exactly

kept = [(np.array([1.5,np.inf,-np.inf,np.nan]), 'f4'), (np.array([0,255]), 'u1'), (np.array([-128,127]), 'i1'), (np.array([True,False]), 'i1'),
    (np.array([0,1]), '?'), (np.array([2**24,-5]), 'f4'), (np.array([2.**60,3.]), 'f4'), (np.array(['ab']), 'U3'), (np.array([5], 'u1'), 'f2'),
    (np.array(['2020-01-01T00'], 'M8[h]'), 'M8[D]'), (np.array([2**53,-2**53]), 'f8')]

@pytest.mark.parametrize('a,dtype', kept, ids=lambda o: getattr(o, 'dtype', o))
def test_cast_that_keeps_the_values_is_made(tmp_path, a, dtype): same(save_array(tmp_path/'a.npy', a, dtype), a.astype(dtype))

def test_floats_are_rounded_to_the_announced_precision(tmp_path):
    a = filled((10,3), 'f8')
    same(save_array(tmp_path/'a.npy', a, 'f2'), a.astype('f2'))

@pytest.mark.filterwarnings('error')
def test_complex_numbers_are_not_made_real(tmp_path):
    with fails(ValueError, 'complex', 'without losing data'): save_array(tmp_path/'x.npy', np.ones(3, complex), 'float32')

def test_dates_out_of_range_are_refused_and_missing_ones_kept(tmp_path):
    for o in ('2300-01-01', '1500-01-01'):
        with fails(ValueError, 'without losing data'): save_array(tmp_path/'t.npy', np.array([o], 'M8[D]'), 'M8[ns]')
    with fails(ValueError, 'without losing data'): save_array(tmp_path/'t.npy', np.array([10**6], 'm8[D]'), 'm8[ns]')
    for unit in ('s','ns','D'): same(save_array(tmp_path/'t.npy', np.array(['NaT','2024-01-01'], 'M8[ns]'), f'M8[{unit}]'), np.array(['NaT','2024-01-01'], f'M8[{unit}]'))
    with fails(ValueError, 'without losing data'): save_array(tmp_path/'t.npy', np.array(['NaT','2024-01-01T00:00:01'], 'M8[s]'), 'M8[D]')

dtypes = [np.dtype(o) for o in '? i1 u1 i2 u2 i4 u4 i8 u8 f2 f4 f8'.split()]
corners = [-2**63, -2**31-1, -129, -1, 0, 1, 127, 128, 255, 256, 2**24+1, 2**31, 2**53+1, 2**63-1, 2**64-1]

def fits(x, dtype):
    "Are all of the values, as Python counts them, values of a dtype? Floats may lose precision to floats"
    y = x.astype(dtype)
    if x.dtype.kind == y.dtype.kind == 'f': return bool((np.isfinite(y) == np.isfinite(x)).all())
    if x.dtype.kind == 'f' or (dtype.kind == 'b' and x.dtype.kind != 'b'): return x.dtype.kind != 'f' and {*x.tolist()} <= {0,1}
    return all(np.isfinite(y)) and [int(o) for o in y.tolist()] == [int(o) for o in x.tolist()]

@pytest.mark.filterwarnings('ignore:invalid value', 'ignore:overflow')
@pytest.mark.parametrize('dtype', dtypes, ids=str)
@pytest.mark.parametrize('of', dtypes, ids=str)
def test_values_are_cast_as_numpy_casts_them_or_refused(of, dtype):
    some = [o for o in corners if of.kind == 'f' or o in (0,1) or of.kind in 'iu' and np.iinfo(of).min <= o <= np.iinfo(of).max]
    if of.kind == 'f': some = [.5, -3., 1e4, 1e30, np.inf, np.nan]
    for o in some:
        x = np.array([0,o]).astype(of)
        if fits(x, dtype): same(cast_exactly(x, dtype), x.astype(dtype))
        else:
            with fails(ValueError, f'A chunk of {of}', f'does not fit in {dtype}', 'without losing data'): cast_exactly(x, dtype)

@pytest.mark.parametrize('dtype', ['f4','i8'])
def test_what_is_cast_is_in_c_order(dtype):
    y = cast_exactly(np.asfortranarray(np.arange(12, dtype='i4').reshape(3,4)), np.dtype(dtype))
    assert y.flags.c_contiguous
    same(y, np.arange(12).reshape(3,4).astype(dtype))
