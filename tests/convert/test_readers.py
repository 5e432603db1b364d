"Input files of any format: the registry, plain arrays, data frames"
import io, json, sys, zipfile
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from tsdisk.convert import readers as readers_module
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import Compressed, CompressedRows, Pieces, from_frame, open_npz, open_raw
from tsdisk.convert.readers import read_file, read_steps, split_compressed
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.tables import from_wide
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

# Selecting from a file

def test_rows_and_names_can_be_selected(tmp_path):
    np.savez(tmp_path/'a.npz', X=x, y=np.arange(6), names=np.array([*'abc']))
    assert np.array_equal(read_file(f'{tmp_path}/a.npz::y[2:4]'), [2,3])
    record = read_file(f'{tmp_path}/a.npz[2:4]')
    assert np.array_equal(record['X'], x[2:4]) and np.array_equal(record['y'], [2,3])
    assert record['names'].tolist() == [*'abc']
    np.save(tmp_path/'a[1:2].npy', x)
    (tmp_path/'a[1:2].npy').rename(tmp_path/'a.npy[1:2]')
    # A file of that name comes first
    with fails(ValueError, 'No reader for', 'a.npy[1:2]'): read_file(tmp_path/'a.npy[1:2]')

def test_each_file_of_a_pair_holds_one_array(tmp_path):
    np.savez(tmp_path/'a.npz', a=x, b=x)
    np.save(tmp_path/'a.npy', x)
    pair = dict(X=tmp_path/'a.npy', y=tmp_path/'a.npz')
    with fails(ValueError, 'a.npz holds several arrays', 'a.npz::name'): read_file(pair)
    assert np.array_equal(read_file(dict(X=tmp_path/'a.npy', y=f'{tmp_path}/a.npz::b'))['y'], x)

missing = [('h5py','hdf5','a.h5'), ('zarr','zarr','a.zarr'), ('xarray','netcdf','a.nc'), ('pyarrow','tables','a.csv'),
    ('wfdb','wfdb','a.hea'), ('scipy.io','matlab','a.mat')]

@pytest.mark.parametrize('module,extra,name', missing)
def test_a_missing_library_names_the_extra(tmp_path, module, extra, name, monkeypatch):
    (tmp_path/name).write_text('x\n1\n')
    loaded = [o for o in sys.modules if o == module or o.startswith(module+'.')]
    for o in loaded: monkeypatch.setitem(sys.modules, o, None)
    monkeypatch.setitem(sys.modules, module, None)
    with expect_fail(ImportError, f"pip install 'tsdisk[{extra}]'"): read_file(tmp_path/name)

# Long recordings

@pytest.mark.parametrize('large', [2**26, 100])
def test_a_recording_is_read_at_once_or_in_pieces(monkeypatch, large):
    monkeypatch.setattr(readers_module, 'large', large)
    got = read_steps(lambda start,stop: x[0,:,start:stop], (3,500), 4, piece=1000)
    if large > x[0].nbytes: return np.testing.assert_array_equal(got, x[0])
    assert isinstance(got, Pieces) and got.size == 1500
    pieces = [*got]
    assert {o.shape for o in pieces[:-1]} == {(3,83)} and np.array_equal(np.concatenate(pieces, 1), x[0])

# npz and raw files

def test_arrays_that_fit_are_used_in_place(tmp_path):
    np.savez(tmp_path/'a.npz', X=x, y=np.arange(6))
    np.savez_compressed(tmp_path/'b.npz', X=x)
    x.tofile(tmp_path/'a.bin')
    got = open_npz(tmp_path/'a.npz')
    assert isinstance(got['X'], np.memmap) and np.array_equal(got['X'], x)
    assert np.array_equal(open_npz(tmp_path/'b.npz')['X'], x)
    assert np.array_equal(open_raw(tmp_path/'a.bin', (-1,3,500)), x)
    dls = TSDataLoaders.from_arrays(got['X'], got['y'], splits=[range(6)], bs=6, shuffle=False, drop_last=False)
    assert np.array_equal(dls.train.one_batch()[0], x)
    np.savez(tmp_path/'p.npz', X=np.array([{}], dtype=object))
    with expect_fail(TypeError, 'never loaded'): open_npz(tmp_path/'p.npz')

def test_a_raw_file_has_the_size_of_its_shape(tmp_path):
    x.tofile(tmp_path/'a.bin')
    assert np.array_equal(open_raw(tmp_path/'a.bin', (2,3,500), start=4*6000), x[4:])
    words = '36,000 bytes after byte 0','6 rows (3, 500) of float32','not 5'
    with fails(ValueError, *words): open_raw(tmp_path/'a.bin', (5,3,500))
    with fails(ValueError, '6.66667 rows', 'not a whole number', '`start`'): open_raw(tmp_path/'a.bin', (-1,2,675))

odd_arrays = dict(fortran=np.asfortranarray(x), big_endian=x.astype('>f8'), number=np.float64(3), column=np.arange(6))

@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('lazy', [False, True])
@pytest.mark.parametrize('large', [2**26, 1])
def test_arrays_of_any_layout_are_equal(tmp_path, monkeypatch, save, lazy, large):
    monkeypatch.setattr(readers_module, 'large', large)
    save(tmp_path/'a.npz', X=x, **odd_arrays)
    got = open_npz(tmp_path/'a.npz', lazy=lazy)
    for k,v in dict(X=x, **odd_arrays).items():
        if isinstance(got[k], Compressed): assert got[k].shape == v.shape and got[k].dtype == v.dtype
        same = got[k][()] if v.ndim == 0 else got[k][0:len(v)]
        assert np.array_equal(same, v), k
    unpacked = save is np.savez_compressed and lazy and large == 1
    assert type(got['X']) is (CompressedRows if unpacked else np.memmap if save is np.savez else np.ndarray)

def test_a_file_without_arrays_is_an_empty_record(tmp_path):
    np.savez(tmp_path/'a.npz')
    assert read_file(tmp_path/'a.npz') == {}

def test_compressed_rows_are_split_and_metadata_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(readers_module, 'large', 4*2*x[0].nbytes)
    np.savez_compressed(tmp_path/'a.npz', X=np.concatenate([x]*5), y=np.arange(30), fs=50.)
    parts = [*split_compressed(read_file(tmp_path/'a.npz'))]
    assert [len(o['X']) for o in parts] == [2]*15 and {float(o['fs']) for o in parts} == {50.}
    assert np.array_equal(np.concatenate([o['X'] for o in parts]), np.concatenate([x]*5))
    assert np.concatenate([o['y'] for o in parts]).tolist() == [*range(30)]

def test_a_compressed_file_that_is_cut_short_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(readers_module, 'large', 1)
    np.savez_compressed(tmp_path/'a.npz', X=x)
    X = read_file(tmp_path/'a.npz')
    X.file = io.BytesIO(X.file.read()[:-100])
    assert np.array_equal(X[:5], x[:5])
    with fails(EOFError, 'ends before row 6 of 6'): X[5]

# Data frames and records

def test_a_frame_without_times_has_no_rate():
    import pandas as pd
    assert [*from_frame(pd.DataFrame(dict(a=[1.,2], b=[True,False])))] == ['X','names']
    dates = pd.to_datetime(['2024-01-01','2024-01-02','2024-01-03']).tz_localize('Europe/Berlin')
    got = from_frame(pd.DataFrame(dict(a=[1.,2,3], day=dates)))
    assert got['names'] == ['a'] and got['times'].tolist() == dates.as_unit('ns').asi8.tolist()

def test_frames_are_recordings_samples_or_series(tmp_path):
    import pandas as pd
    times = pd.date_range('2024-01-01', periods=50, freq='20ms')
    df = pd.DataFrame(dict(a=np.arange(50.), n=np.arange(50), who=['x']*50), index=times)
    for i,src in enumerate([df, [df, df[::-1]], [dict(X=df, y='rest')]]):
        arrays,_ = open_folder(convert(src, tmp_path/f'set{i}'))
        assert np.array_equal(arrays['X'][0], [np.arange(50)]*2) and len(arrays['X']) == (2 if i == 1 else 1)
    metadata = metadata_of(tmp_path/'set0')
    assert metadata['names'] == ['a','n'] and metadata['fs'] == 50
    assert metadata['start'].startswith('2024-01-01T00:00:00')
    assert arrays['y'].tolist() == ['rest']
    with_missing = df.astype({'n': 'Int64'})
    arrays,_ = open_folder(convert([tmp_path/'a.csv'], tmp_path/'set3', read=lambda p: with_missing, n_workers=0))
    assert arrays['X'].shape == (1,2,50)
    long = pd.concat([df.assign(who=o, t=range(50)) for o in 'ba']).sample(frac=1, random_state=0)
    arrays,_ = open_folder(convert(from_long(long, 'who', 't', vars=['a']), tmp_path/'set4'))
    assert arrays['who'].tolist() == ['a','b'] and np.array_equal(arrays['X'][1], [np.arange(50)])
    wide = pd.DataFrame(np.arange(12.).reshape(3,4)).rename(columns=str).assign(y=[*'abc'])
    arrays,_ = open_folder(convert(from_wide(wide, y='y'), tmp_path/'set5'))
    assert np.array_equal(arrays['X'][:,0], np.arange(12.).reshape(3,4)) and arrays['y'].tolist() == [*'abc']
    with expect_fail(ValueError, 'no numeric columns'): convert(df[['who']], tmp_path/'set6')
    convert(df, tmp_path/'set0') # The same again is done already
    assert len(open_folder(tmp_path/'set0')[0]['X']) == 1
    with expect_fail(FileExistsError, 'not empty'): convert(df[1:], tmp_path/'set0')

def test_what_may_be_empty_is_a_list(tmp_path):
    def records(as_list):
        beats = range if as_list else np.arange
        return [dict(X=x[i], beats=[*beats(k)] if as_list else beats(k)) for i,k in enumerate((3,0,4,0))]
    with expect_fail(ValueError, 'give it as a list if it may be empty'): convert(records(False), tmp_path/'set')
    convert(records(True), tmp_path/'set2')
    lines = [json.loads(o) for o in open(tmp_path/'set2/items.jsonl')]
    assert [o['beats'] for _,o in lines] == [[0,1,2], [], [0,1,2,3], []]

def test_suffixes_of_compressed_files_have_two_parts():
    from tsdisk.convert.readers import suffix_of
    assert [suffix_of(o) for o in ('a.CSV.gz','a.npy','a.b.npy','a.nii.gz')] == ['.csv.gz','.npy','.npy','.gz']

def test_files_without_their_bytes_are_named(tmp_path):
    (tmp_path/'empty.npy').touch()
    np.savez_compressed(tmp_path/'a.npz', X=np.random.default_rng(0).normal(size=(2,99)))
    data = bytearray((tmp_path/'a.npz').read_bytes())
    data[len(data)//2] ^= 255
    (tmp_path/'a.npz').write_bytes(data)
    for name,error in {'empty.npy': ValueError, 'a.npz': zipfile.BadZipFile}.items():
        with fails(error, tmp_path/name): convert(tmp_path/name, tmp_path/'set')
