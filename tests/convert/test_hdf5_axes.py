"The dates in a file say which axis holds the steps, and when"
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.hdf5_axes import real_dates
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

x = np.random.default_rng(0).normal(size=(4,50)).astype('f4')
day = np.datetime64('2000-01-01', 'ns')+np.arange(50)*np.timedelta64(1, 'D')

def write_hdf5(path, name, units=None, dims=('step','other')):
    import h5py
    with h5py.File(path, 'w') as f:
        f['X'],f[name] = x.T,np.arange(50.)
        if units: f[name].attrs['units'] = units
        f[name].make_scale(name)
        f['X'].dims[0].attach_scale(f[name])
    return path

def test_the_dated_axis_of_hdf5_comes_last(tmp_path):
    write_hdf5(tmp_path/'a.h5', 'when', 'days since 2000-01-01')
    for i,name in enumerate(['','::X']):
        out = convert(f'{tmp_path}/a.h5{name}', tmp_path/f'set{i}', n_workers=0)
        assert np.array_equal(open_folder(out)[0]['X'][0], x)
        assert metadata_of(out)['start'].startswith('2000-01-01T00:00') and 1/metadata_of(out)['fs'] == pytest.approx(86400)

def test_a_usual_name_marks_the_axis_of_the_steps(tmp_path):
    write_hdf5(tmp_path/'a.h5', 'Time')
    got = read_file(f'{tmp_path}/a.h5::X')
    assert np.array_equal(got['X'], x) and 'times' not in got and got['left_out'] == dict(Time='scale of a dimension')
    assert read_file(write_hdf5(tmp_path/'b.h5', 'depth'))['X'].shape == (50,4)

def test_times_that_cant_be_decoded_are_left_out_with_the_reason(tmp_path):
    write_hdf5(tmp_path/'a.h5', 'time', 'months since 2000-01-01')
    got = read_file(f'{tmp_path}/a.h5::X')
    assert np.array_equal(got['X'], x) and "units 'months since 2000-01-01'" in got['left_out']['time']

def test_two_axes_of_dates_are_unclear(tmp_path):
    import zarr
    z = zarr.open_group(str(tmp_path/'a.zarr'), mode='w')
    for o in ('made','valid'): z.create_array(o, data=np.arange(5), dimension_names=[o], attributes=dict(units='days since 2000-01-01'))
    z.create_array('q', data=np.zeros((5,5)), dimension_names=['made','valid'])
    with fails(ValueError, "unclear which axis holds the steps, ['made', 'valid'] may"): read_file(f'{tmp_path}/a.zarr::q')
    with fails(ValueError, "unclear which dimension holds the steps", "from_xarray(ds, steps='name')"): read_file(tmp_path/'a.zarr')

def test_an_array_of_dates_beside_the_input_gives_the_times(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['stamps'] = x,np.arange(50)
        f['stamps'].attrs['units'] = b'minutes since 2000-01-01'
    got = read_file(tmp_path/'a.h5')
    assert np.array_equal(got['times'], day[0]+np.arange(50)*np.timedelta64(1, 'm')) and 'stamps' not in got

def test_missing_dates_are_faults_not_dates(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['stamps'] = x,np.where(np.arange(50) == 7, -1, np.arange(50))
        f['stamps'].attrs.update(units='minutes since 2000-01-01', _FillValue=-1)
    assert np.flatnonzero(np.isnat(read_file(tmp_path/'a.h5')['times'])).tolist() == [7]

@pytest.mark.parametrize('calendar', ['noleap','360_day','julian'])
def test_other_calendars_are_refused(tmp_path, calendar):
    import xarray as xr
    time = xr.date_range('2001-01-01', periods=50, calendar=calendar, use_cftime=True)
    xr.Dataset(dict(q=(('time','site'), x.T)), dict(time=time)).to_netcdf(tmp_path/'a.nc')
    with fails(ValueError, 'a.nc', f"follow the calendar '{calendar}'", "drop_vars('time')"): read_file(tmp_path/'a.nc')

def test_dates_out_of_range_are_refused():
    import xarray as xr
    with fails(ValueError, 'not within the years 1678 to 2261'): real_dates(np.array(['2300-01-01'], 'M8[s]'), 'time')
    dates = xr.date_range('2001-01-01', periods=2, calendar='standard', use_cftime=True).values
    assert np.array_equal(real_dates(dates, 'time'), np.array(['2001-01-01','2001-01-02'], 'M8[us]'))

def test_missing_dates_of_cftime_are_missing():
    import cftime
    dates = np.array([np.nan, cftime.DatetimeGregorian(2001, 1, 2)], 'O')
    assert np.isnat(real_dates(dates, 'time')).tolist() == [True,False]

def test_strings_of_dates_and_seconds_are_times(tmp_path):
    import h5py
    with h5py.File(write_hdf5(tmp_path/'a.h5', 'time', 'ms'), 'a') as f: f['time'][:] = np.arange(50)*20
    assert np.allclose(read_file(f'{tmp_path}/a.h5::X')['times'], np.arange(50)*.02)
    with h5py.File(tmp_path/'b.h5', 'w') as f: f['X'],f['date'] = x,np.datetime_as_string(day).astype('S')
    assert np.array_equal(read_file(tmp_path/'b.h5')['times'], day)

def test_coordinates_of_zarr_are_no_columns(tmp_path):
    import xarray as xr
    xr.Dataset(dict(X=(('time','place'), x.T)), dict(time=day, place=np.arange(4))).to_zarr(tmp_path/'a.zarr')
    got = read_file(tmp_path/'a.zarr')
    assert np.array_equal(got['X'], x) and np.array_equal(got['times'], day) and 'time' not in got and 'place' not in got

def test_times_of_other_arrays_are_named(tmp_path):
    import h5py
    with h5py.File(write_hdf5(tmp_path/'a.h5', 'when', 'days since 2000-01-01'), 'a') as f:
        f['temperature'],f['later'] = np.ones(50),np.arange(50.)*2
        f['later'].make_scale('later')
        f['temperature'].dims[0].attach_scale(f['later'])
        f['X'].dims[0].label = 'steps' # The name of its scale is another
    record = read_file(tmp_path/'a.h5')
    assert record['left_out'] == {'later': 'scale of a dimension'} and len(record['times']) == 50
