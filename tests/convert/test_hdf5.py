"HDF5, MATLAB, zarr, netCDF and xarray"
import subprocess, sys
import h5py, numpy as np, pytest, zarr
from fastcore.test import expect_fail
from conftest import fails, filled, metadata_of
from tsdisk.convert import hdf5_chunks, readers
from tsdisk.convert.readers import read_file
from tsdisk.convert.convert import convert
from tsdisk.convert.hdf5_chunks import FileSamples
from tsdisk.convert.netcdf import from_xarray, StackedVariables
from tsdisk.convert.jobs import Job
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

# Trees of arrays

@pytest.mark.parametrize('large', [2**26, 1000])
def test_hdf5_and_zarr_in_full(tmp_path, large, monkeypatch):
    import h5py, zarr
    for o in (readers, hdf5_chunks): monkeypatch.setattr(o, 'large', large)
    monkeypatch.setattr(hdf5_chunks, 'at_once', large//4)
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', large)
    attrs = dict(units='g', sampling_rate=50, channels=['a','b','c'])
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['y'] = x,np.arange(6)
        f['X'].attrs.update(attrs)
        f.attrs['site'] = 'north'
        f['raw/left'] = x*2
    z = zarr.open_group(str(tmp_path/'a.zarr'), mode='w')
    for k,v in dict(X=x, y=np.arange(6)).items():
        if hasattr(z, 'create_array'): z.create_array(k, data=v)
        else: z.create_dataset(k, data=v, shape=v.shape)
    z['X'].attrs.update(attrs)
    for src in ('a.h5','a.zarr'):
        arrays,_ = open_folder(convert(tmp_path/src, tmp_path/f'set_{src}'))
        assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], np.arange(6))
        metadata = metadata_of(tmp_path/f'set_{src}')
        assert metadata['names'] == ['a','b','c'] and metadata['fs'] == 50
    assert metadata_of(tmp_path/'set_a.h5')['site'] == 'north'
    left = convert(f'{tmp_path}/a.h5::raw/left', tmp_path/'left', layout='dense')
    assert np.array_equal(open_folder(left)[0]['X'], x*2)
    with expect_fail(KeyError, "it has ['X', 'raw/left', 'y']"): read_file(f'{tmp_path}/a.h5::none')

def test_large_arrays_of_hdf5_are_never_whole_in_memory(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        d = f.create_dataset('X', (3000,3,5000), 'f4', chunks=(10,3,5000))
        for i in range(0, 3000, 100): d[i:i+100] = i
    code = f"""
from tsdisk.convert.convert import convert
import re
def anon(): return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024
import h5py, numpy
before = anon()
convert({str(tmp_path/'a.h5')!r}, {str(tmp_path/'set')!r}, n_workers=0)
print('grew', anon()-before)
"""
    out = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    assert float(out.split('grew')[1]) < 120
    X = open_folder(tmp_path/'set')[0]['X']
    assert X.shape == (3000,3,5000) and (X[250] == 200).all() and (X[2999] == 2900).all()

def test_many_hdf5_files_under_a_small_limit_of_open_files(tmp_path):
    import h5py
    (tmp_path/'raw').mkdir()
    for i in range(300):
        with h5py.File(tmp_path/f'raw/{i:03d}.h5', 'w') as f: f['X'] = x[i%6]
    args = str(tmp_path/'raw'),str(tmp_path/'set')
    code = f'from tsdisk.convert.convert import convert; convert(*{args}, n_workers=2)'
    few_files = 'ulimit -n 64; exec "$0" -c "$1"'
    subprocess.run(['bash', '-c', few_files, sys.executable, code], check=True, capture_output=True)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], np.concatenate([x]*50))

def test_labels_of_hdf5_of_fixed_width(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'] = x
        f['y'] = np.array([b'a',b'b']*3)
        f['site'] = 'north'
    assert open_folder(convert(tmp_path/'a.h5', tmp_path/'set'))[0]['y'].tolist() == ['a','b']*3

@pytest.mark.parametrize('name', ['a.h5','a.mat'])
def test_a_file_says_which_arrays_to_select_from(tmp_path, name):
    import h5py
    with h5py.File(tmp_path/name, 'w') as f: f['left'],f['right'] = x,x
    with fails(ValueError, "several arrays, ['left', 'right']", f'{name}::left'): read_file(tmp_path/name)
    with h5py.File(tmp_path/name, 'w') as f: f.create_group('empty')
    with fails(ValueError, f'{name} holds no arrays'): read_file(tmp_path/name)
    with h5py.File(tmp_path/name, 'w') as f: f['left'] = x
    with fails(KeyError, "has no 'right', it has ['left']"): read_file(f'{tmp_path}/{name}::right')
    (tmp_path/name).unlink()

indices = [2, -1, slice(1, 4), ..., (..., slice(5, 9)), (slice(1, 3), 2), (2, 1), (1, ..., slice(7)),
    (slice(2), slice(1), slice(3))]

# xarray and netCDF

@pytest.mark.parametrize('i', [*indices, [3,1]], ids=str)
def test_stacked_variables_are_indexed_like_numpy(i):
    import xarray as xr
    ds = xr.Dataset({f'v{k}': (('site','time'), x[:,k]) for k in (1,2)})
    ds = xr.Dataset(dict(v0=(('time','site'), x[:,0].T))).merge(ds)
    stacked = StackedVariables(ds, [*ds.data_vars], ('site','time'))
    assert stacked.shape == x.shape and stacked.dtype == x.dtype and np.array_equal(stacked[i], x[i])

def test_samples_of_a_large_netcdf_file_are_in_the_right_order_of_axes(tmp_path, monkeypatch):
    import xarray as xr
    for o in ('large','at_once'): monkeypatch.setattr(hdf5_chunks, o, 1000)
    xr.Dataset({f'v{k}': (('site','time'), x[:,k]) for k in range(3)}).to_netcdf(tmp_path/'a.nc')
    X = read_file(tmp_path/'a.nc')['X']
    assert isinstance(X, FileSamples) and isinstance(X.reader.x, StackedVariables) and all(np.array_equal(a, b) for a,b in zip(X, x, strict=True))
    series = open_folder(convert(tmp_path/'a.nc', tmp_path/'set', layout='ragged', n_workers=0))[0]['X']
    assert np.array_equal(series[4], x[4])

def test_netcdf_variables_become_those_of_the_series(tmp_path):
    import xarray as xr
    ds = xr.Dataset(dict(temp=(('site','time'), x[:,0], dict(units='K'))))
    ds = ds.assign(height=('site', np.arange(6.)), name=('site', [*'abcdef']))
    ds['wind'] = xr.DataArray(x[:,1].T, dims=('time','site'), attrs=dict(units='m/s'))
    ds.to_netcdf(tmp_path/'a.nc')
    arrays,_ = open_folder(convert(tmp_path/'a.nc', tmp_path/'set'))
    assert np.array_equal(arrays['X'], x[:,:2])
    assert np.array_equal(arrays['height'], np.arange(6.)) and arrays['name'].tolist() == [*'abcdef']
    metadata = metadata_of(tmp_path/'set')
    assert metadata['names'] == ['temp','wind'] and metadata['units'] == ['K','m/s']
    assert np.array_equal(open_folder(convert(from_xarray(ds), tmp_path/'set2'))[0]['X'], x[:,:2])
    one = ds.isel(site=0)
    assert np.array_equal(from_xarray(one)['X'], x[0,:2])
    with expect_fail(ValueError, "no dimension 'day'"): from_xarray(ds, steps='day')

def test_variables_of_other_dimensions_are_refused():
    import xarray as xr
    ds = xr.Dataset(dict(a=(('site','time'), x[:,0]), b=(('day','time'), x[:,1]), c=('site', [*'abcdef'])))
    with fails(ValueError, "dimensions ['day', 'site'] besides 'time'", 'give `samples`'): from_xarray(ds)
    words = "'b' has the dimensions","not ('site', 'time')",'`vars` without it'
    with fails(ValueError, *words): from_xarray(ds, samples='site')
    strings = ds[['c']].expand_dims(time=3)
    with fails(ValueError, "No numeric variable has the dimension 'time'", "['c']"): from_xarray(strings)
    assert from_xarray(ds, samples='site', vars=['a'])['c'].tolist() == [*'abcdef']

def test_dates_are_the_times_of_the_record():
    import xarray as xr
    t = np.datetime64('2024-01-01', 'ns')+np.arange(500)*np.timedelta64(20, 'ms')
    got = from_xarray(xr.Dataset(dict(a=(('site','time'), x[:,0])), coords=dict(time=t)))
    assert np.array_equal(got['times'], t)

# Open arrays

def write_packed(path):
    "X of 20 rows, scaled, with a rate; y, scaled, and a recording whose steps come first"
    with h5py.File(path, 'w') as f:
        f.create_dataset('X', data=filled((20,3,50), 'i2'), chunks=(20,1,10), compression='gzip')
        f['X'].attrs.update(scale_factor=.5, fs=100.)
        f['y'] = np.arange(20, dtype='i2')
        f['y'].attrs['scale_factor'] = .25
        f['flow'] = np.arange(80.).reshape(40,2)
        f['day'] = np.arange(40)
        f['day'].attrs['units'] = 'days since 2024-01-01'
        f['day'].make_scale('time')
        f['flow'].dims[0].attach_scale(f['day'])

def same_dataset(a, b):
    "Do two datasets hold the same arrays and say the same of them?"
    one,two = open_folder(a),open_folder(b)
    assert one[0].keys() == two[0].keys() and metadata_of(a) == metadata_of(b)
    for k in one[0].keys()-{'source'}: np.testing.assert_array_equal(one[0][k][:], two[0][k][:])
    return True

def test_an_open_array_is_read_as_its_path_is(tmp_path):
    write_packed(tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5') as f:
        for name in ('X','flow'):
            want = convert(f"{tmp_path/'a.h5'}::{name}", tmp_path/f'{name}-path', n_workers=0)
            assert same_dataset(want, convert(f[name], tmp_path/f'{name}-open', n_workers=0))
            assert same_dataset(want, convert('any', tmp_path/f'{name}-read', read=lambda p, x=f[name]: x, n_workers=0))
        want = convert(f"{tmp_path/'a.h5'}::X", tmp_path/'tfm-path', tfm=lambda o: o, n_workers=0)
        assert same_dataset(want, convert(f['X'], tmp_path/'tfm-open', tfm=lambda o: o, n_workers=0))

def test_open_arrays_of_a_pair_a_mapping_and_a_file_have_their_packing(tmp_path):
    write_packed(tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5', 'a') as f:
        del f['flow']
        del f['day']
        given = dict(pair=(f['X'], f['y']), mapping=dict(X=f['X'], y=f['y'], site='north'), file=f)
        for k,o in given.items():
            arrays = open_folder(convert(o, tmp_path/k, n_workers=0))[0]
            assert metadata_of(tmp_path/k)['scale'] == .5 and metadata_of(tmp_path/k)['fs'] == 100
            np.testing.assert_array_equal(arrays['y'][:], np.arange(20)/4)
        labels = convert((f['X'], ['a','b']*10), tmp_path/'labels', n_workers=0)
        assert open_folder(labels)[0]['y'][:].tolist() == ['a','b']*10

def test_large_open_arrays_follow_their_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_chunks, 'at_once', 1)
    write_packed(tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5') as f:
        record, = Job(lambda o: o).records(f['X'])
        assert isinstance(record['X'], FileSamples) and (record['X'][:] == f['X'][:]).all()

@pytest.mark.parametrize('name', ['X','deep/X'])
def test_open_arrays_of_zarr_are_read_as_their_paths_are(name, tmp_path):
    group = zarr.open_group(tmp_path/'a.zarr')
    x = group.create_array(name, shape=(5,2,30), dtype='i2', chunks=(5,1,30))
    x[:] = filled((5,2,30), 'i2')
    x.attrs['scale_factor'] = .5
    want = convert(f"{tmp_path/'a.zarr'}::{name}", tmp_path/'path', n_workers=0)
    assert same_dataset(want, convert(zarr.open_group(tmp_path/'a.zarr')[name], tmp_path/'open', n_workers=0))
    assert metadata_of(want)['scale'] == .5

def test_open_arrays_of_a_generator_have_their_packing(tmp_path):
    write_packed(tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5', 'a') as f:
        for i in range(3): f[f's{i}'] = np.arange(20, dtype='i2').reshape(2,10)+i
        for i in range(3): f[f's{i}'].attrs['scale_factor'] = .5
        for kind in (list, iter):
            def read(p, kind=kind): return kind([f[f's{i}'] for i in range(3)])
            path = convert('any', tmp_path/kind.__name__, read=read, n_workers=0)
            assert metadata_of(path)['scale'] == .5 and open_folder(path)[0]['X'][:, 0, 0].tolist() == [0,1,2]

def test_an_open_group_of_zarr_is_read_as_its_path_is(tmp_path):
    group = zarr.open_group(tmp_path/'a.zarr')
    for name,a in dict(X=filled((5,2,30), 'i2'), y=np.arange(5)).items(): group.create_array(name, data=a)
    group['X'].attrs['scale_factor'] = .5
    want = convert(tmp_path/'a.zarr', tmp_path/'path', n_workers=0)
    assert same_dataset(want, convert(group, tmp_path/'open', n_workers=0)) and metadata_of(want)['scale'] == .5
