"Packed integers mean what xarray reads, and attributes of any kind are read or left out"
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.hdf5_attributes import coding_of, read_attributes
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.disk.packing import Packing
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder

v = np.round(np.random.default_rng(0).random((5,40))*20-5, 2)
v[0,3] = np.nan

def decoded(path):
    "The values of a dataset, as loaders see them"
    X = open_folder(path)[0]['X']
    return Packing.from_entry(read_manifest(path)['arrays']['X']).decode(np.asarray(X))

def stored(attrs, values):
    "What `read_hdf5` makes of an array with attributes"
    coding = coding_of(attrs, np.asarray(values).dtype)
    return coding.recode(np.asarray(values)).tolist(), coding.packing()

@pytest.mark.parametrize('zarr_format', [2,3])
@pytest.mark.parametrize('group', [None,'a/b'])
@pytest.mark.parametrize('dated', [False,True])
def test_zarr_of_xarray_keeps_its_integers_and_their_scale(tmp_path, zarr_format, group, dated):
    import xarray as xr
    time = np.datetime64('2000-01-01', 'ns')+np.arange(40)*np.timedelta64(1, 'D')
    ds = xr.Dataset(dict(t=(('basin','time'), v, dict(units='K'))), dict(time=time) if dated else {})
    packing = dict(t=dict(dtype='i2', scale_factor=.01, add_offset=5., _FillValue=-32767))
    ds.to_zarr(tmp_path/'a.zarr', group=group, zarr_format=zarr_format, encoding=packing)
    for i,name in enumerate([f'{group}/t' if group else 't', group or '']):
        convert(f'{tmp_path}/a.zarr'+(f'::{name}' if name else ''), tmp_path/f'set{i}', n_workers=0)
        entry = read_manifest(tmp_path/f'set{i}')['arrays']['X']
        assert entry['dtype'] == '<i2' and entry['missing'] == -32767 and 'K' in entry['units']
        np.testing.assert_allclose(decoded(tmp_path/f'set{i}').reshape(5,40), v, atol=1e-5)
        assert ('start' in metadata_of(tmp_path/f'set{i}')) == dated

@pytest.mark.parametrize('zarr_format', [2,3])
def test_missing_floats_of_zarr_are_nan(tmp_path, zarr_format):
    import xarray as xr
    xr.Dataset(dict(t=(('basin','time'), v))).to_zarr(tmp_path/'a.zarr', zarr_format=zarr_format, encoding=dict(t=dict(_FillValue=-9999.)))
    np.testing.assert_array_equal(read_file(f'{tmp_path}/a.zarr::t')['X'], v)

def test_the_fill_value_of_a_plain_zarr_array_is_a_number(tmp_path):
    import zarr
    zarr.create_array(str(tmp_path/'a.zarr'), data=np.array([[0,1,2]]), zarr_format=2)
    assert read_file(tmp_path/'a.zarr')['X'].tolist() == [[0,1,2]] and 'missing' not in read_file(tmp_path/'a.zarr')

def test_packed_hdf5_is_stored_as_it_is(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['t'] = np.where(np.isnan(v), -9999, np.rint((v-5)/.01)).astype('>i2')
        f['t'].attrs.update(scale_factor=.01, add_offset=5., _FillValue=np.int16([-9999]), units='K')
    convert(f'{tmp_path}/a.h5::t', tmp_path/'set', n_workers=0)
    assert read_manifest(tmp_path/'set')['arrays']['X']['dtype'] == '<i2'
    np.testing.assert_allclose(decoded(tmp_path/'set')[0], v, atol=1e-5)

def test_all_missing_numbers_become_one():
    attrs = dict(_FillValue=np.uint8(255), missing_value=np.uint8([254,255]), valid_range=np.uint8([0,201]))
    assert stored(attrs, np.uint8([1,254,255,201,202])) == ([1,255,255,201,255], dict(scale=1., offset=0., missing=255))

def test_a_number_outside_of_the_valid_range_stands_for_missing_values():
    assert stored(dict(valid_min=np.int16(0)), np.int16([-5,7])) == ([-32768,7], dict(scale=1., offset=0., missing=-32768))
    got,packing = stored(dict(scale_factor=-.5, valid_max=10.), np.int16([-30,-20,5]))
    assert got == [packing['missing'],-20,5], 'a range of values, whose scale is negative'

def test_the_sign_bit_of_unsigned_numbers_counts():
    got = stored(dict(_Unsigned='true', _FillValue=np.int8(-1), scale_factor=2.), np.int8([1,-1,-2]))
    assert got == ([1,255,254], dict(scale=2., offset=0., missing=255))
    assert coding_of(dict(_Unsigned='true'), '>i2').recode(np.array([-1], '>i2')).tolist() == [65535]

def test_a_valid_range_of_unsigned_numbers_is_unsigned():
    attrs = dict(_Unsigned='true', _FillValue=np.int16(-1), valid_range=np.int16([0,-6]), scale_factor=.5)
    assert stored(attrs, np.int16([1,-6,-5,-1]))[0] == [1,65530,65535,65535]
    assert stored(attrs | dict(valid_range=np.float32([0,10])), np.int16([20,21]))[0] == [20,65535], 'of values'

def test_a_fill_value_of_unsigned_numbers_may_be_unsigned():
    got = stored(dict(_Unsigned='true', _FillValue=np.uint8(255), missing_value=np.int8(-2)), np.int8([1,-1,-2]))
    assert got == ([1,254,254], dict(scale=1., offset=0., missing=254))

@pytest.mark.parametrize('dtype', ['f4','f8'])
def test_the_ends_of_a_valid_range_of_floats_are_valid(dtype):
    number = np.dtype(dtype).type
    ends = np.arange(0, 3000, 29)
    for end in ends:
        coding = coding_of(dict(scale_factor=number(.01), valid_min=number(-.01*end), valid_max=number(.01*end)), 'i2')
        assert (coding.low,coding.high) == (-end,end)

def test_packed_floats_are_decoded():
    coding = coding_of(dict(scale_factor=.5, missing_value=-999.9), 'f4')
    np.testing.assert_array_equal(coding.decode(np.float32([1,-999.9,3])), np.float32([.5,np.nan,1.5]))
    assert coding_of(dict(units='m'), 'f4') is None and coding_of(dict(_FillValue=0), bool) is None

def test_a_scale_that_is_no_number_is_refused(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['t'] = np.int16([[1,2]])
        f['t'].attrs['scale_factor'] = 'one tenth'
    with fails(ValueError, 'a.h5: t: The attribute `scale_factor` must be a number'): read_file(tmp_path/'a.h5')

def test_columns_beside_the_input_are_decoded(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['y'] = np.zeros((3,2,5), 'f4'),np.int16([10,-1,30])
        f['y'].attrs.update(scale_factor=.1, _FillValue=np.int16(-1))
    np.testing.assert_allclose(read_file(tmp_path/'a.h5')['y'], [1,np.nan,3])

def test_attributes_that_are_no_numbers_or_strings_are_left_out(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['time'] = np.zeros((3,40)),np.arange(40.)
        f['time'].make_scale('time')
        f['X'].dims[1].attach_scale(f['time'])
        more = dict(ref=f['X'].ref, empty=h5py.Empty('f4'), site='north', latin='Zürich'.encode('latin-1'), cx=1j, fs=np.array([50]))
        f['X'].attrs.update(more)
        f['X'].attrs['pair'] = np.array((1,2.), [('a','i4'),('b','f4')])
        got = read_attributes(f['X'].attrs)
    assert got == dict(site='north', latin='Zürich', fs=50)
    metadata = metadata_of(convert(f'{tmp_path}/a.h5::X', tmp_path/'set', n_workers=0))
    assert metadata['site'] == 'north' and metadata['left_out'] == dict(time='scale of a dimension')

def test_rates_are_numbers_and_names_are_lists():
    assert read_attributes(dict(fs='100', channels='ecg')) == dict(fs=100., names=['ecg'])
    assert read_attributes(dict(fs='fast')) == dict(fs_='fast')

def test_files_of_a_pair_keep_what_they_say_of_their_numbers(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        for k,v in dict(X=np.int16([[[1,-9]],[[3,4]]]), y=np.int16([1,-9])).items():
            f[k] = v
            f[k].attrs.update(scale_factor=.5, _FillValue=np.int16(-9), units='mV')
    got = read_file(dict(X=f'{tmp_path}/a.h5::X', y=f'{tmp_path}/a.h5::y'))
    assert (got['scale'],got['missing'],got['units'],got['X'].dtype) == (.5,-9,'mV','i2')
    np.testing.assert_array_equal(got['y'], [.5,np.nan])

def test_names_of_variables_come_from_their_coordinate(tmp_path):
    import xarray as xr
    xr.Dataset(dict(X=(('time','channel'), v.T)), dict(channel=[*'abcde'])).to_zarr(tmp_path/'a.zarr')
    for name in ('','::X'):
        got = read_file(f'{tmp_path}/a.zarr{name}')
        assert got['names'] == [*'abcde'] and got['X'].shape == (5,40)

@pytest.mark.parametrize('dtype', ['u1','<u2','>u4'])
def test_stored_unsigned_numbers_that_are_signed(dtype):
    size = 2**(8*np.dtype(dtype).itemsize)
    coding = coding_of(dict(_Unsigned='false', scale_factor=.5, _FillValue=np.array(size-9, dtype)), dtype)
    assert coding.dtype.kind == 'i' and coding.codes == [-9]
    assert coding_of(dict(_Unsigned='false', scale_factor=.5), 'i2').dtype.kind == 'i'
