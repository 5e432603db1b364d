"Datasets written to .npy, HDF5 and parquet"
import json
import numpy as np, pytest
from tsdisk.convert.convert import convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.convert.readers import read_file
from tsdisk.series.ragged import Ragged

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def scaled_records(ragged, n=30):
    "Records of 16-bit integers with a scale, of one length or of many"
    rng = np.random.default_rng(0)
    packing = dict(scale=[.1,.2], offset=[0.,1.], names=['a','b'], units=['g','V'], fs=50)
    for i in range(n): yield dict(X=rng.integers(-999, 999, size=(2,10+i*ragged)).astype('i2'), y='xy'[i%2], age=i, **packing)

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
        with h5py.File(tmp_path/'a.h5') as f: values,offsets,attrs = f['X/values'][:],f['X/offsets'][:],dict(f['X'].attrs)
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
            m.setattr('tsdisk.convert.export._steps', lambda *a: [(0,5), (5,'x')])
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
