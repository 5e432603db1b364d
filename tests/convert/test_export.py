"Datasets written to .npy, HDF5 and parquet"
import json
import h5py, numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.convert import export
from tsdisk.convert.convert import convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.convert.readers import read_file
from tsdisk.disk.arrays import save_array
from tsdisk.folder.manifest import open_folder
from tsdisk.series.ragged import Ragged
from tsdisk.series.ragged_files import save_ragged

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def scaled_records(ragged, n=30):
    "Records of 16-bit integers with a scale, of one length or of many"
    rng = np.random.default_rng(0)
    packing = dict(scale=[.1,.2], offset=[0.,1.], names=['a','b'], units=['g','V'], fs=50)
    for i in range(n):
        X = rng.integers(-999, 999, size=(2,10+i*ragged)).astype('i2')
        yield dict(X=X, y='xy'[i%2], age=i, **packing)

@pytest.mark.parametrize('ragged', [False,True])
def test_what_is_written_back_is_what_was_read(tmp_path, ragged):
    import h5py, pyarrow.parquet as pq
    convert(list(scaled_records(ragged)), tmp_path/'set')
    want = [o['X']*np.array([[.1],[.2]])+[[0],[1]] for o in scaled_records(ragged)]
    to_npy(tmp_path/'set', tmp_path/'plain')
    to_hdf5(tmp_path/'set', tmp_path/'a.h5', compression='gzip')
    to_parquet(tmp_path/'set', tmp_path/'a.parquet')
    tab = pq.read_table(tmp_path/'a.parquet')
    assert tab['y'].to_pylist() == [*'xy']*15 and tab['age'].to_pylist() == [*range(30)]
    for i,o in enumerate(want): assert np.allclose(np.stack([tab[k][i].as_py() for k in 'ab']), o, atol=1e-4)
    if ragged:
        with h5py.File(tmp_path/'a.h5') as f:
            values,offsets = f['X/values'][:],f['X/offsets'][:]
            attrs = dict(f['X'].attrs)
        plain = Ragged(tmp_path/'plain/X/values.npy', tmp_path/'plain/X/offsets.npy')
        for i,o in enumerate(want):
            assert np.allclose(values[offsets[i]:offsets[i+1]].T, o, atol=1e-4) and np.allclose(plain[i], o, atol=1e-4)
        assert [*attrs['names']] == ['a','b']
    else:
        got = read_file(tmp_path/'a.h5')
        assert np.allclose(got['X'], want, atol=1e-4) and got['units'] == ['g','V'] and got['fs'] == 50
        assert np.allclose(np.load(tmp_path/'plain/X.npy'), want, atol=1e-4)

def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    convert(list(scaled_records(False)), tmp_path/'set')
    for f,name in ((to_hdf5,'a.h5'), (to_parquet,'a.parquet')):
        with monkeypatch.context() as m:
            m.setattr('tsdisk.convert.export.row_blocks', lambda *a: [(0,5), (5,'x')])
            with pytest.raises(TypeError): f(tmp_path/'set', tmp_path/name)
        assert not (tmp_path/name).exists() and not [*tmp_path.glob('.*.tmp')]

def test_what_is_known_of_recordings_goes_to_hdf5(tmp_path):
    import h5py
    annotations = [[.5,1.,'eyes open'], [2.,1.,'closed']]
    record = dict(X=x[0], annotations=annotations, subject=dict(age=30), keys=['a','b'])
    to_hdf5(convert([record], tmp_path/'set'), tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5') as f:
        attrs = f['X'].attrs
        assert json.loads(attrs['annotations']) == annotations and json.loads(attrs['subject']) == dict(age=30)
        assert [*attrs['keys']] == ['a','b']

def test_variables_of_one_name_are_columns_of_their_own(tmp_path):
    import pyarrow.parquet as pq
    convert([dict(X=o, names=['hr','hr','y'], y=float(i)) for i,o in enumerate(x)], tmp_path/'set')
    got = pq.read_table(to_parquet(tmp_path/'set', tmp_path/'a.parquet'))
    assert {'hr','hr_','y','y_'} <= {*got.column_names} and got['y'].to_pylist() == [*range(6)]
    for i,k in enumerate(('hr','hr_','y_')): assert np.allclose(got[k].to_pylist(), x[:,i])

@pytest.mark.parametrize('ragged', [False,True])
def test_small_blocks_give_the_same_files(tmp_path, monkeypatch, ragged):
    import pyarrow.parquet as pq
    dataset = convert(list(scaled_records(ragged)), tmp_path/'set')
    name = 'X/values' if ragged else 'X'
    whole = pq.read_table(to_parquet(dataset, tmp_path/'whole.parquet'))
    X = read_file(f"{to_hdf5(dataset, tmp_path/'whole.h5')}::{name}")['X']
    monkeypatch.setattr(export.row_blocks, '__defaults__', (700,))
    assert pq.read_table(to_parquet(dataset, tmp_path/'blocks.parquet')) == whole
    assert pq.ParquetFile(tmp_path/'blocks.parquet').num_row_groups > 1
    assert np.array_equal(read_file(f"{to_hdf5(dataset, tmp_path/'blocks.h5')}::{name}")['X'], X)

def test_a_dataset_is_not_overwritten(tmp_path):
    convert(list(scaled_records(False)), tmp_path/'set')
    with expect_fail(FileExistsError, 'give another folder'): to_npy(tmp_path/'set', tmp_path/'set')

def test_splits_and_strings_go_to_hdf5_in_a_new_folder(tmp_path):
    import h5py
    records = [dict(X=o, y='ab'[i%2], split=('train','valid')[i%2]) for i,o in enumerate(x)]
    path = to_hdf5(convert(records, tmp_path/'set'), tmp_path/'new/folder/a.h5')
    with h5py.File(path) as f:
        assert f['splits/train'][:].tolist() == [0,2,4] and f['splits/valid'][:].tolist() == [1,3,5]
        assert f['y'].asstr()[:].tolist() == [*'ababab']
    assert [o.name for o in path.parent.iterdir()] == ['a.h5']

def read_back(dataset, folder):
    "`X` of each export of a dataset"
    import pyarrow.parquet as pq
    to_npy(dataset, folder/'plain')
    yield np.load(folder/'plain/X.npy')
    with h5py.File(to_hdf5(dataset, folder/'a.h5')) as f: yield f['X'][:]
    columns = pq.read_table(to_parquet(dataset, folder/'a.parquet')).to_pydict()
    yield np.array([columns[o] for o in columns if o.startswith('X')]).swapaxes(0, 1)

@pytest.mark.parametrize('dtype,scale,offset,want', [('int16', .01, 0, 'f4'), ('int32', .01, 0, 'f8'), ('int16', .001, 101_325, 'f8')])
def test_exports_tell_all_stored_integers_apart(tmp_path, dtype, scale, offset, want):
    info = np.iinfo(dtype)
    x = np.array([[[info.min,info.min+1,info.max-1],[0,1,info.max]]]*3, dtype)
    dataset = convert([dict(X=o, scale=scale, offset=offset) for o in x], tmp_path/'set', n_workers=0)
    for values in read_back(dataset, tmp_path):
        assert np.array_equal(np.rint((values.astype('f8')-offset)/scale), x)
        if values.dtype != np.float64: assert want == 'f4'

def test_exports_warn_of_gaps_that_they_leave_out(tmp_path):
    times = np.datetime64('2024-01-01', 's')+np.array([0,1,2,10,11])
    with pytest.warns(UserWarning, match='1 series have gaps in time'):
        dataset = convert([dict(X=np.zeros((2,5), 'f4'), times=times)], tmp_path/'set', n_workers=0)
    for f,name in ((to_hdf5,'a.h5'), (to_parquet,'a.parquet')):
        with pytest.warns(UserWarning, match='does not say where the times of 1 series have gaps'): f(dataset, tmp_path/name)

def test_arrays_of_unequal_numbers_of_rows_go_to_one_file(tmp_path):
    x,y = np.random.default_rng(0).normal(size=(50,3,20)),np.array(['walk','sit','é'])
    ragged = save_ragged(tmp_path/'r', [np.full((2,n), n, 'f4') for n in (3,5)])
    arrays = {'train/X': save_array(tmp_path/'x.npy', x), 'test/X': x[:7], 'y': y, 'walks': ragged}
    assert to_hdf5(arrays, tmp_path/'all.h5', compression='gzip') == tmp_path/'all.h5'
    with h5py.File(tmp_path/'all.h5') as f:
        assert np.array_equal(f['train/X'], x) and np.array_equal(f['test/X'], x[:7]) and f['train/X'].compression == 'gzip'
        assert f['y'].asstr()[:].tolist() == y.tolist() and f['walks/offsets'][:].tolist() == [0,3,8]
        assert np.array_equal(f['walks/values'][:3], np.full((3,2), 3))
    with expect_fail(ValueError, 'no arrays'): to_hdf5({}, tmp_path/'none.h5')
    assert not (tmp_path/'none.h5').exists()
    convert(list(scaled_records(False)), tmp_path/'set')
    to_hdf5({'X': tmp_path/'set/X.npy'}, tmp_path/'set.h5') # Its manifest says what its integers stand for
    to_hdf5(tmp_path/'set', tmp_path/'whole.h5')
    with h5py.File(tmp_path/'set.h5') as a, h5py.File(tmp_path/'whole.h5') as b: assert np.array_equal(a['X'], b['X'])

def test_a_variable_named_like_a_column_of_targets_is_kept(tmp_path):
    import pyarrow.parquet as pq
    records = [dict(X=np.full((2,5), i), y=np.full((2,5), 9.+i), names=['y0','b']) for i in range(3)]
    table = pq.read_table(to_parquet(convert(records, tmp_path/'set'), tmp_path/'a.parquet'))
    values = {k: table[k].to_pylist()[2] for k in table.column_names if k != 'source'}
    assert sorted(values) == ['b','y0','y0_','y1'] and sorted(o[0] for o in values.values()) == [2,2,11,11] and values['b'] == [2]*5

@pytest.mark.parametrize('has_dates', [True,False])
@pytest.mark.parametrize('lengths', [(50,50), (50,40)])
def test_uneven_times_survive_parquet(tmp_path, has_dates, lengths):
    ticks = [np.cumsum(np.random.default_rng(i).integers(1, 10**10, n)).astype('m8[ns]') for i,n in enumerate(lengths)]
    start = np.datetime64('2024-01-01') if has_dates else np.timedelta64(0)
    records = [dict(X=np.arange(2.*len(o)).reshape(2,-1), names=['u','v'], times=start+o) for o in ticks]
    to_parquet(convert(records, tmp_path/'a'), tmp_path/'a.parquet')
    arrays,_ = open_folder(convert(tmp_path/'a.parquet', tmp_path/'b', n_workers=0))
    for i,o in enumerate(records):
        assert arrays['times'][i].ravel().tolist() == o['times'].astype('i8').tolist() and np.array_equal(arrays['X'][i], o['X'])
    assert ('start' in arrays) == has_dates and 'start_' not in arrays
