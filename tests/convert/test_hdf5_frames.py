"Frames of pandas in HDF5 are tables of columns with their index as times"
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.hdf5_frames import JoinedVariables
from tsdisk.convert.info import info
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

hours = np.datetime64('2024-01-01')+np.arange(6).astype('m8[h]')

def write(path, kind='datetime64', stamps=None, key='building1/meter', transposed=True, **attrs):
    "What `DataFrame.to_hdf` writes: columns of two dtypes, and one of strings"
    import h5py
    with h5py.File(path, 'w') as f:
        g = f.create_group(key)
        g.attrs.update(dict(pandas_type=np.bytes_('frame'), nblocks=np.int64(3)) | attrs)
        g['axis0'] = np.bytes_(['power','state','volt','note'])
        g['axis1'] = hours.astype('M8[ns]').astype('i8') if stamps is None else stamps
        g['axis1'].attrs['kind'] = np.bytes_(kind)
        values = np.arange(12.).reshape(6,2)
        for i,(items,v) in enumerate([(['power','volt'], values if transposed else values.T), (['state'], np.arange(6)[:,None])]):
            g[f'block{i}_items'],g[f'block{i}_values'] = np.bytes_(items),v
        if not transposed: g['block0_values'].attrs['transposed'] = False
        g['block2_items'] = np.bytes_(['note'])
        o = g.create_dataset('block2_values', (1,), h5py.vlen_dtype('u1'))
        o[0] = np.arange(9)
    return path

@pytest.mark.parametrize('transposed', [True,False])
def test_a_frame_has_columns_and_times(tmp_path, transposed):
    path = write(tmp_path/'a.h5', transposed=transposed)
    for i,src in enumerate([path, f'{path}::building1/meter']):
        out = convert(src, tmp_path/f'set{i}', n_workers=0)
        assert open_folder(out)[0]['X'][0].tolist() == [[0,2,4,6,8,10],[1,3,5,7,9,11],[0,1,2,3,4,5]]
        metadata = metadata_of(out)
        assert metadata['names'] == ['power','volt','state'] and metadata['left_out'] == dict(note='no numbers')
        assert metadata['start'].startswith('2024-01-01T00:00') and 1/metadata['fs'] == pytest.approx(3600)
    assert 'building1/meter/block0_values' in str(info(path))

def test_the_unit_of_an_index_is_read(tmp_path):
    path = write(tmp_path/'a.h5', 'datetime64[us]', hours.astype('M8[us]').astype('i8'))
    assert np.array_equal(read_file(path)['times'], hours)
    assert 'times' not in read_file(write(tmp_path/'b.h5', 'integer', np.arange(6)))

@pytest.mark.parametrize('kind', ['datetime64','datetime64[ns]','datetime64[us, UTC]','timedelta64[ns]'])
def test_columns_of_dates_are_left_out(tmp_path, kind):
    import h5py
    with h5py.File(write(tmp_path/'a.h5'), 'a') as f: f['building1/meter/block1_values'].attrs['value_type'] = np.bytes_(kind)
    got = read_file(tmp_path/'a.h5')
    assert got['names'] == ['power','volt'] and got['left_out'] == dict(state='no numbers', note='no numbers')

def test_other_formats_name_the_function_of_pandas(tmp_path):
    for kind in ('frame_table','series'):
        with fails(ValueError, 'a.h5', kind, "pandas.read_hdf(path, '/building1/meter')"): read_file(write(tmp_path/'a.h5', pandas_type=kind))
    with fails(ValueError, 'pandas.read_hdf'): read_file(write(tmp_path/'a.h5', nblocks=9))

def test_several_frames_are_told_apart(tmp_path):
    import h5py
    with h5py.File(write(tmp_path/'a.h5'), 'a') as f: f.copy('building1/meter', 'building2')
    with fails(ValueError, "['building1/meter', 'building2']: select one, as in"): read_file(tmp_path/'a.h5')

@pytest.mark.parametrize('i', [slice(0, 2), (slice(1, 3), slice(2, 5)), (2, slice(None)), Ellipsis, (slice(None), slice(1, 2)), (..., slice(0, 3))], ids=str)
def test_joined_blocks_are_indexed_as_one_array(i):
    class InFile(np.ndarray): chunks = (1,4)
    blocks = [(np.arange(2.*6).reshape(2,6)+k).view(InFile) for k in (0,100)]
    joined = JoinedVariables(blocks)
    assert np.array_equal(joined[i], np.concatenate(blocks)[i])
