"HDF5 arrays of strings, tables, series and references become records, or are refused before anything is written"
import h5py, numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.hdf5_types import StackedFields, kind_of
from tsdisk.convert.info import info
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

x = np.arange(4*3*50.).reshape(4,3,50)

def write(path, **arrays):
    "An HDF5 file of arrays, or of functions that write one"
    import h5py
    with h5py.File(path, 'w') as f:
        for k,v in arrays.items():
            if callable(v): v(f, k)
            else: f[k] = v
    return path

def series(*values, dtype='f4', shape=None):
    import h5py
    def f(file, name):
        o = file.create_dataset(name, shape or (len(values),), h5py.vlen_dtype(dtype))
        for i,v in zip(np.ndindex(o.shape), values): o[i] = v
    return f

def references(*values):
    import h5py
    def f(file, name):
        refs = [file.create_dataset(f'of_{name}/{i}', data=v).ref for i,v in enumerate(values)]
        file.create_dataset(name, data=np.array(refs, dtype=object), dtype=h5py.ref_dtype)
    return f

def test_arrays_of_any_length_are_series_with_their_labels(tmp_path):
    path = write(tmp_path/'a.h5', X=series(*(np.arange(5+i) for i in range(3))), y=['a','b','c'], age=[1,2,3], site='north', other=np.zeros((7,7)))
    out = convert(path, tmp_path/'set', n_workers=0)
    arrays,_ = open_folder(out)
    assert [arrays['X'][i].tolist() for i in range(3)] == [[[*range(5+i)]] for i in range(3)]
    assert arrays['y'].tolist() == ['a','b','c'] and arrays['age'].tolist() == [1,2,3]
    assert metadata_of(out)['site'] == 'north' and metadata_of(out)['left_out'] == dict(other='shape (7, 7), not 3 rows')
    assert len(open_folder(convert(f'{path}::X', tmp_path/'set2', n_workers=0))[0]['X']) == 3 and 'X' in str(info(path))

def test_several_variables_of_any_length(tmp_path):
    path = write(tmp_path/'a.h5', X=series([0,1],[2,3],[4],[5], shape=(2,2)))
    assert [o['X'].tolist() for o in read_file(path)] == [[[0,1],[2,3]],[[4],[5]]]
    with fails(ValueError, 'different lengths, [2, 1]'): [*read_file(write(tmp_path/'b.h5', X=series([0,1],[2], shape=(1,2))))]

def test_each_series_of_several_variables_has_its_own_label(tmp_path):
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        x = f.create_dataset('X', (3,2), h5py.vlen_dtype('f4'))
        for i in range(3): x[i,0] = x[i,1] = np.full(5+i, i)
        f['y'],f['age'] = np.arange(3),np.array([30,40,50])
    found = [(o['X'].shape, o['y'], o['age']) for o in read_file(tmp_path/'a.h5')]
    assert found == [((2,5),0,30), ((2,6),1,40), ((2,7),2,50)]

def test_attributes_of_series_count(tmp_path):
    import h5py
    path = write(tmp_path/'a.h5', X=series([0,-9,2],[5], dtype='i2'))
    with h5py.File(path, 'a') as f: f['X'].attrs.update(scale_factor=.5, _FillValue=np.int16(-9), units='mV', fs=100)
    first,second = read_file(path)
    assert (first['scale'],first['missing'],first['units'],first['fs']) == (.5,-9,'mV',100) and second['X'].tolist() == [[5]]

def test_referenced_arrays_are_series_in_order(tmp_path):
    path = write(tmp_path/'a.h5', X=references(x[0], x[1,:,:20], x[2,:,:9]))
    X = open_folder(convert(path, tmp_path/'set', n_workers=0))[0]['X']
    assert [X[i].shape for i in range(3)] == [(3,50),(3,20),(3,9)] and np.array_equal(X[1], x[1,:,:20])

def refused():
    "(words of the error, function that writes an X)"
    import h5py
    def regions(f, k):
        a = f.create_dataset('a', data=np.zeros(5))
        f.create_dataset(k, data=np.array([a.regionref[1:3]], dtype=h5py.regionref_dtype), dtype=h5py.regionref_dtype)
    def group(f, k): f[k] = np.array([f.create_group('g').ref], dtype=h5py.ref_dtype)
    return [('holds region references', regions), ('is the group /g', group), ('holds opaque values', np.zeros((3,4), 'V5')),
        ('refers to nothing', lambda f,k: f.create_dataset(k, (3,), dtype=h5py.ref_dtype)), ('holds strings', np.array([b'a',b'b'])),
        ('holds no values', h5py.Empty('f4')), ('holds no values', np.zeros((3,0))), ('is a single value', 3.),
        ('no numeric fields', np.zeros(5, [('s','S3')])), ('element 1 of X', series([1,2],[])), ('element 0 of X', references(['a']))]

@pytest.mark.parametrize('words,X', refused(), ids=[o for o,_ in refused()])
def test_what_cant_be_a_series_is_refused_by_name(tmp_path, words, X):
    path = write(tmp_path/'a.h5', X=X)
    for src in (str(path), f'{path}::X'):
        with fails(ValueError, 'a.h5', words): convert(src, tmp_path/'set', n_workers=0)
        assert not (tmp_path/'set'/'tsdisk.json').exists()
    if 'element 1' in words: return # `info` reads the first series
    with fails(ValueError, words): info(f'{path}::X')
    assert 'X' in str(info(path))

def test_fields_of_a_table_are_variables(tmp_path):
    table = np.zeros(50, [('t','i8'),('note','S3'),('x','f4'),('v','f4',(2,))])
    table['x'],table['v'] = np.arange(50),np.arange(100).reshape(50,2)
    out = convert(write(tmp_path/'a.h5', X=table), tmp_path/'set', n_workers=0)
    X = open_folder(out)[0]['X'][0]
    assert metadata_of(out)['names'] == ['t','x','v_0','v_1'] and metadata_of(out)['left_out'] == dict(note='text')
    assert np.array_equal(X[1], np.arange(50)) and np.array_equal(X[2:], np.arange(100).reshape(50,2).T)

def test_a_table_of_two_axes_holds_samples(tmp_path):
    import h5py
    table = np.zeros((4,6), [('a','i4'),('b','f4')])
    table['b'] = np.arange(24).reshape(4,6)
    path = write(tmp_path/'a.h5', X=table, y=np.arange(4))
    got = read_file(path)
    assert got['X'].shape == (4,2,6) and np.array_equal(got['X'][:,1], table['b']) and got['y'].tolist() == [0,1,2,3]
    with h5py.File(path) as f: assert np.array_equal(StackedFields(f['X'])[1:3, 1, ::2], table['b'][1:3, ::2])

def test_enumerations_and_booleans_are_numbers(tmp_path):
    import h5py
    kinds = h5py.enum_dtype(dict(A=0, B=1), 'i1')
    path = write(tmp_path/'a.h5', X=lambda f,k: f.create_dataset(k, data=[[0,1,1]], dtype=kinds), flag=np.array([[True,False,True]]))
    got = read_file(path)
    assert got['X'].tolist() == [[0,1,1]] and got['X'].dtype == 'i1' and got['flag'].tolist() == [[True,False,True]]

def test_strings_of_any_kind_are_labels(tmp_path):
    import h5py
    for i,y in enumerate([['a','é','c','d'], np.array([b'a','é'.encode('latin-1'),b'c',b'd']), np.array([o.encode() for o in 'aécd'], dtype=h5py.string_dtype('utf-8', 8))]):
        assert read_file(write(tmp_path/f'{i}.h5', X=x, y=y))['y'].tolist() == ['a','é','c','d']

def test_a_group_says_what_became_of_its_arrays(tmp_path):
    pair = np.array((1,2.), [('a','i4'),('b','f4')])
    path = write(tmp_path/'a.h5', X=x, y=np.arange(4), channels=['p','q','r'], fs=100., start='2020-01-01', weights=np.arange(3.),
        big=np.zeros(2000), matrix=np.zeros((7,2)), pair=pair, times=np.arange(3), deep=lambda f,k: f.create_dataset('g/z', data=[1.]))
    got = read_file(path)
    assert (got['names'],got['fs'],got['start'],got['weights']) == (['p','q','r'],100,'2020-01-01',[0,1,2]) and got['y'].tolist() == [0,1,2,3]
    assert got['left_out'] == dict(big='shape (2000,), not 4 rows', matrix='shape (7, 2), not 4 rows', pair='a table',
        times='its name has a meaning in records', g='a group: select it by name')
    assert 'Left out' not in got and np.array_equal(open_folder(convert(path, tmp_path/'set', n_workers=0))[0]['X'], x)

def test_the_only_array_of_numbers_is_the_input(tmp_path):
    path = write(tmp_path/'a.h5', signal=x, y=[*'abcd'], site='north')
    assert np.array_equal(read_file(path)['X'], x)
    with fails(ValueError, "several arrays, ['raw/a', 'raw/b']", 'a.h5::raw/a'): read_file(f"{write(tmp_path/'a.h5', **{'raw/a': x, 'raw/b': x})}::raw")
    assert np.array_equal(read_file(write(tmp_path/'b.h5', **{'raw/X': x, 'raw/y': np.arange(4)}))['X'], x), 'in the only group'

def test_links_in_circles_and_to_nowhere_are_ignored(tmp_path):
    import h5py
    path = write(tmp_path/'a.h5', X=x)
    with h5py.File(path, 'a') as f: f['g/up'],f['gone'] = h5py.SoftLink('/'),h5py.SoftLink('/nowhere')
    assert np.array_equal(read_file(path)['X'], x) and info(path).rows[0].shape == (4,3,50)

def test_files_that_are_no_hdf5_or_zarr_are_refused(tmp_path):
    (tmp_path/'a.h5').write_bytes(b'no')
    (tmp_path/'a.zarr').mkdir()
    for o in ('a.h5','a.zarr'):
        with fails(ValueError, f'{o} could not be opened'): read_file(tmp_path/o)
    for o in ('b.h5','b.zarr'):
        with fails(FileNotFoundError, f'{o} does not exist'): read_file(tmp_path/o)

def test_kinds_of_zarr(tmp_path):
    import zarr
    z = zarr.open_group(str(tmp_path/'a.zarr'), mode='w')
    z.create_array('X', data=x)
    z.create_array('y', data=np.array([*'abcd']))
    assert (kind_of(z['X']),kind_of(z['y'])) == ('numbers','strings') and read_file(tmp_path/'a.zarr')['y'].tolist() == [*'abcd']

def test_virtual_arrays_whose_files_are_gone_are_refused(tmp_path):
    for i in range(2): write(tmp_path/f'{i}.h5', X=x[i])
    layout = h5py.VirtualLayout((2,*x.shape[1:]), x.dtype)
    for i in range(2): layout[i] = h5py.VirtualSource(f'{i}.h5', 'X', shape=x.shape[1:])
    path = write(tmp_path/'all.h5', X=lambda f, k: f.create_virtual_dataset(k, layout, fillvalue=0))
    assert np.array_equal(read_file(path)['X'], x[:2])
    (tmp_path/'1.h5').unlink()
    with fails(ValueError, 'X', 'values of files that are gone'): read_file(path)
