"netCDF and xarray: the dimension of the steps, groups, packing, and what is left out"
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.netcdf import from_xarray
from tsdisk.convert.info import info
from tsdisk.convert.readers import read_file
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder

x = np.arange(200.).reshape(5,40)
day = np.datetime64('2000-01-01', 'ns')+np.arange(40)*np.timedelta64(1, 'D')

def dataset(dim='time', coords=True, **more):
    import xarray as xr
    coordinates = dict(basin=[*'abcde']) | ({dim: day} if coords else {})
    return xr.Dataset(dict(q=((dim,'basin'), x.T, dict(units='mm'))) | more, coordinates)

@pytest.mark.parametrize('name', ['time','date','Time','valid_time','datetime','day','hour of the year'])
@pytest.mark.parametrize('suffix', ['nc','zarr','h5'])
def test_dates_mark_the_dimension_of_the_steps(tmp_path, name, suffix):
    ds = dataset(name)
    ds.to_zarr(tmp_path/'a.zarr') if suffix == 'zarr' else ds.to_netcdf(tmp_path/f'a.{suffix}', engine='netcdf4')
    out = convert(tmp_path/f'a.{suffix}', tmp_path/'set', n_workers=0)
    arrays,_ = open_folder(out)
    assert np.array_equal(arrays['X'], x[:,None]) and arrays['basin'].tolist() == [*'abcde']
    assert metadata_of(out)['names'] == ['q'] and metadata_of(out)['units'] == ['mm']
    assert metadata_of(out)['start'].startswith('2000-01-01')

def test_an_array_of_zarr_is_a_recording_with_its_times(tmp_path):
    dataset('date').to_zarr(tmp_path/'a.zarr')
    got = read_file(f'{tmp_path}/a.zarr::q')
    assert np.array_equal(got['X'], x) and np.array_equal(got['times'], day)

def test_attributes_mark_it_too():
    ds = dataset('rec', coords=False)
    for attrs in (dict(axis='T'), dict(standard_name='time')):
        assert np.array_equal(from_xarray(ds.assign_coords(rec=('rec', np.arange(40.), attrs)))['X'], x[:,None])
    other = ds.assign_coords(seen=('rec', day))
    assert np.array_equal(from_xarray(other)['times'], day), 'a coordinate of another name'

def test_what_is_unclear_is_refused_with_a_way_out(tmp_path):
    ds = dataset('rec', coords=False)
    ds.to_netcdf(tmp_path/'a.nc')
    with fails(ValueError, 'a.nc', "['rec', 'basin'] may", "from_xarray(ds, steps='name')", 'read=lambda'): read_file(tmp_path/'a.nc')
    assert np.array_equal(from_xarray(ds, steps='rec')['X'], x[:,None])
    assert from_xarray(ds.rename(rec='Times'))['X'].shape == (5,1,40)
    assert from_xarray(ds.isel(basin=0))['X'].shape == (1,40)

def test_durations_and_units_of_time_are_seconds():
    ds = dataset(coords=False)
    assert from_xarray(ds.assign_coords(time=('time', np.arange(40), dict(units='ms'))))['times'][3] == pytest.approx(.003)
    assert from_xarray(ds.assign_coords(time=np.arange(40).astype('m8[m]').astype('m8[ns]')))['times'][2] == 120
    assert 'times' not in from_xarray(ds.assign_coords(time=np.arange(40)))

def test_a_time_variable_that_is_no_coordinate_counts(tmp_path):
    import xarray as xr
    when = ('rec', np.arange(40), dict(units='hours since 2000-01-01'))
    xr.Dataset(dict(q=(('rec','basin'), x.T), when=when)).to_netcdf(tmp_path/'a.nc')
    got = read_file(tmp_path/'a.nc')
    assert np.array_equal(got['X'], x[:,None]) and got['times'][1] == np.datetime64('2000-01-01T01') and 'left_out' not in got

def test_a_file_of_one_place_has_no_samples(tmp_path):
    ds = dataset().isel(basin=[0]).expand_dims(lon=[8.]).assign(crs=1)
    ds.q.attrs['grid_mapping'] = 'crs'
    ds.to_netcdf(tmp_path/'a.nc')
    got = read_file(tmp_path/'a.nc')
    assert np.array_equal(got['X'], x[:1]) and got['lon'] == 8 and got['basin'] == 'a' and got['left_out'] == dict(crs='describes other variables')

def test_variables_that_are_not_read_are_named_with_the_reason(tmp_path):
    ds = dataset(note=('time', ['x']*40), rain=('time', np.zeros(40)), area=('basin', np.arange(5.)), fixed=('other', np.zeros(3)), level=3)
    ds.to_netcdf(tmp_path/'a.nc')
    out = convert(tmp_path/'a.nc', tmp_path/'set', n_workers=0)
    assert metadata_of(out)['left_out'] == dict(note='text', rain="no dimension 'basin'", fixed="no dimension 'basin'")
    assert open_folder(out)[0]['area'].tolist() == [0,1,2,3,4] and metadata_of(out)['level'] == 3
    with fails(ValueError, "'note' holds text, not numbers"): read_file(f'{tmp_path}/a.nc::note')

def test_groups_of_netcdf_are_selected_by_name(tmp_path):
    ds = dataset()
    ds[['time','basin']].to_netcdf(tmp_path/'a.nc')
    ds.drop_vars(['time','basin']).to_netcdf(tmp_path/'a.nc', group='raw/left', mode='a')
    for name in ('raw/left','raw/left/q'):
        got = read_file(f'{tmp_path}/a.nc::{name}')
        assert np.array_equal(got['X'], x[:,None]) and np.array_equal(got['times'], day), 'with the coordinates of the root'
    with fails(ValueError, "variables in groups, ['raw', 'raw/left']: select one, as in"): read_file(tmp_path/'a.nc')
    with fails(KeyError, "has no 'p', it has ["): read_file(f'{tmp_path}/a.nc::raw/left/p')
    assert 'group: raw/left' in str(info(tmp_path/'a.nc'))

def test_packed_variables_keep_their_integers(tmp_path):
    v = np.where(x == 7, np.nan, x)
    ds = dataset(q=(('basin','time'), v), r=(('basin','time'), v*10))
    pack = dict(dtype='i2', _FillValue=-9999)
    ds.to_netcdf(tmp_path/'a.nc', encoding=dict(q=dict(pack, scale_factor=.5), r=dict(pack, scale_factor=2., add_offset=1.)))
    entry = read_manifest(convert(tmp_path/'a.nc', tmp_path/'set', n_workers=0))['arrays']['X']
    assert entry['dtype'] == '<i2' and (entry['scale'],entry['offset'],entry['missing']) == ([.5,2.],[0.,1.],-9999)
    assert open_folder(tmp_path/'set')[0]['X'][0,0,6:9].tolist() == [12,-9999,16]

def test_variables_with_different_packing_are_decoded(tmp_path):
    v = np.where(x == 7, np.nan, x)
    ds = dataset(q=(('basin','time'), v), r=(('basin','time'), v*10), n=(('basin','time'), x.astype('i4')))
    encoding = dict(q=dict(dtype='i2', _FillValue=-9999, scale_factor=.5), r=dict(dtype='i2', _FillValue=-1, scale_factor=2.))
    ds.to_netcdf(tmp_path/'a.nc', encoding=encoding)
    got = read_file(tmp_path/'a.nc')
    np.testing.assert_array_equal(got['X'], np.stack([v, v*10, x], 1))
    assert 'scale' not in got and got['X'].dtype == 'f8'

def test_variables_with_and_without_a_scale_keep_their_integers():
    import xarray as xr
    def v(**attrs): return 'time', np.int16([1,-2]), dict(_Unsigned='true', **attrs)
    for names in ('ab','ba'):
        made = dict(a=v(), b=v(scale_factor=.5, add_offset=3.))
        got = from_xarray(xr.Dataset({k: made[k] for k in names}))
        assert got['X'].dtype == 'u2' and dict(zip(names, got['scale'])) == dict(a=1, b=.5) and dict(zip(names, got['offset'])) == dict(a=0, b=3)
    assert 'scale' not in from_xarray(xr.Dataset(dict(a=v(), b=v())))

def test_a_coordinate_is_no_target():
    import xarray as xr
    values = dict(v=(('y','time'), np.zeros((3,9))))
    got = from_xarray(xr.Dataset(values, dict(y=[10.,20,30])))
    assert 'y' not in got and got['y_'].tolist() == [10,20,30]
    assert from_xarray(xr.Dataset(dict(v=(('site','time'), np.zeros((3,9))), y=('site', [1,0,1]))))['y'].tolist() == [1,0,1]

def test_packed_variables_of_an_open_dataset_are_decoded_once():
    import xarray as xr
    ds = xr.Dataset(dict(q=('time', np.int16([1,-9,3]), dict(scale_factor=.5, _FillValue=np.int16(-9)))))
    assert from_xarray(ds)['scale'] == [.5] and 'scale' not in from_xarray(xr.decode_cf(ds))
    assert from_xarray(xr.decode_cf(ds))['X'][0,0] == .5

def test_a_file_that_is_no_netcdf_is_refused(tmp_path):
    (tmp_path/'a.nc').write_bytes(b'no')
    with fails(ValueError, 'a.nc could not be opened by xarray'): read_file(tmp_path/'a.nc')
    with fails(FileNotFoundError, 'b.nc'): read_file(tmp_path/'b.nc')

def test_limits_of_packed_values_are_not_those_of_decoded_ones(tmp_path):
    import xarray as xr
    attrs = dict(scale_factor=.02, valid_range=np.uint16([7500,65535]))
    xr.Dataset(dict(lst=('time', np.uint16([14000,15000,14500,100]), attrs))).to_netcdf(tmp_path/'a.nc')
    with xr.open_dataset(tmp_path/'a.nc') as ds: got = from_xarray(ds)['X']
    np.testing.assert_allclose(np.asarray(got[:])[0,:3], [280,300,290], rtol=1e-6)
    stored = read_file(str(tmp_path/'a.nc'))
    assert np.asarray(stored['X'][:]).tolist() == [[14000,15000,14500,0]] and (stored['scale'], stored['missing']) == ([.02], 0)
    floats = xr.Dataset(dict(v=('time', np.array([1.,20.]), dict(valid_max=10.))))
    assert np.isnan(np.asarray(from_xarray(floats)['X'][:])).tolist() == [[False,True]]

def test_dates_of_samples_are_kept_and_other_coordinates_named(tmp_path):
    import xarray as xr
    day = np.datetime64('2000','ns')+np.arange(9)*np.timedelta64(1,'D')
    ds = xr.Dataset(dict(q=(('site','time'), np.zeros((3,9)))), dict(time=day, installed=('site', day[:3]), grid=(('site','k'), np.ones((3,2)))))
    got = from_xarray(ds)
    assert [o[:10] for o in got['installed'].tolist()] == ['2000-01-01','2000-01-02','2000-01-03']
    assert [*got['left_out']] == ['grid']

@pytest.mark.parametrize('n', [9,48])
def test_uneven_times_that_samples_share_are_times_of_each(tmp_path, n):
    import xarray as xr
    months = np.arange('2000-01', '2004-01', dtype='M8[M]').astype('M8[ns]')
    ds = xr.Dataset(dict(q=(('site','time'), np.arange(n*48.).reshape(n,48))), dict(time=months))
    arrays,_ = open_folder(convert(from_xarray(ds), tmp_path/'set'))
    assert arrays['times'].shape[0] == n and (np.asarray(arrays['times'][:]).reshape(n,48) == months.view('i8')).all()
    from tsdisk.series.windows import Windows
    w = Windows(arrays['X'], 12, clock=True)
    assert w.times(5)[0] == months[5]
