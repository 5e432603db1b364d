"Each chunk of a file is unpacked once, in constant memory"
import errno
from math import prod
import numpy as np, pytest
from conftest import fresh, linux
from tsdisk.convert import hdf5_arrays, hdf5_chunks, readers
from tsdisk.convert.hdf5_chunks import ChunkReader, FileArray, FileSamples, UnpackedChunks, from_array_like, read_unpacked
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import Pieces, read_file
from tsdisk.folder.manifest import open_folder

@pytest.fixture
def small(monkeypatch):
    "Limits of a few kB, so that small files are large"
    for module in (readers, hdf5_chunks): monkeypatch.setattr(module, 'large', 2**13)
    monkeypatch.setattr(hdf5_chunks, 'at_once', 2**9)
    monkeypatch.setattr(hdf5_chunks, 'block_bytes', 2**11)
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', 2**12)

def bytes_touched(x, i):
    "Bytes of all chunks that an index touches"
    n = x.dtype.itemsize
    for size,c,o in zip(x.shape, x.chunks, hdf5_arrays.full_index(i, len(x.shape))):
        start,stop,_ = o.indices(size)
        n *= -(-stop//c)*c - start//c*c if stop > start else 0
    return n

@pytest.fixture
def unpacked(monkeypatch):
    "Bytes unpacked by h5py and zarr so far, in a list of one number"
    import h5py, zarr
    count = [0]
    for library in (h5py.Dataset, zarr.Array):
        def counted(self, i, get=library.__getitem__):
            if len(self.shape) > 1 and self.chunks: count[0] += bytes_touched(self, i)
            return get(self, i)
        monkeypatch.setattr(library, '__getitem__', counted)
    return count

def write(path, v, chunk, **kwargs):
    import h5py, zarr
    if path.suffix == '.zarr': zarr.open_group(str(path), mode='w').create_array('X', data=v, chunks=chunk, **kwargs)
    else:
        with h5py.File(path, 'w') as f: f.create_dataset('X', data=v, chunks=chunk)

samples,recording = (800,4,20),(4,16_000)
layouts = [(samples, (800,1,2)), (samples, (10,1,20)), (samples, (1,4,20)), (samples, (80,2,5)), (samples, None),
    (recording, (1,16_000)), (recording, (4,100)), (recording, (2,4000)), (recording, None)]

@pytest.mark.parametrize('suffix', ['.h5','.mat','.zarr'])
@pytest.mark.parametrize('shape,chunk', layouts, ids=str)
def test_a_conversion_unpacks_each_chunk_once(tmp_path, small, unpacked, shape, chunk, suffix):
    if suffix == '.zarr' and chunk is None: chunk = shape
    v = np.arange(prod(shape), dtype='f4').reshape(shape)
    turned = suffix == '.mat'
    write(tmp_path/f'a{suffix}', v.T if turned else v, chunk[::-1] if turned and chunk else chunk)
    unpacked[0] = 0
    convert(tmp_path/f'a{suffix}', tmp_path/'set', n_workers=0)
    X = open_folder(tmp_path/'set')[0]['X']
    assert np.array_equal(np.stack([X[i] for i in range(len(X))]).reshape(shape), v)
    assert unpacked[0] <= 1.3*v.nbytes

def test_shards_of_zarr_are_read_by_the_chunks_in_them(tmp_path, small, unpacked):
    v = np.arange(prod(samples), dtype='f4').reshape(samples)
    write(tmp_path/'a.zarr', v, (100,1,4), shards=(800,4,20))
    unpacked[0] = 0
    convert(tmp_path/'a.zarr', tmp_path/'set', n_workers=0)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], v) and unpacked[0] <= 1.3*v.nbytes

def doubled(o): return {**o, 'X': o['X']*2}

@pytest.mark.parametrize('chunk', [(800,1,2), (10,1,20)], ids=str)
def test_a_transform_gets_arrays_of_some_rows(tmp_path, small, chunk):
    v = np.arange(prod(samples), dtype='f4').reshape(samples)
    write(tmp_path/'a.h5', v, chunk)
    convert(tmp_path/'a.h5', tmp_path/'set', tfm=doubled, n_workers=0)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], 2*v)

@pytest.mark.parametrize('n_workers', [0,2])
def test_inputs_begin_with_chunks(tmp_path, small, n_workers):
    from tsdisk.convert.inputs import list_inputs
    v = np.arange(prod(samples), dtype='f4').reshape(samples)
    write(tmp_path/'a.h5', v, (9,4,20))
    paths,n = list_inputs(str(tmp_path/'a.h5'))
    starts = [int(o.rpartition('[')[2].split(':')[0]) for o in paths]
    assert n == 800 and len(starts) > 9 and not any(o%9 for o in starts)
    assert np.array_equal(open_folder(convert(tmp_path/'a.h5', tmp_path/'set', n_workers=n_workers))[0]['X'], v)

def test_netcdf_follows_chunks_in_any_order_of_dimensions(tmp_path, small):
    import xarray as xr
    v = np.arange(40*200, dtype='f4').reshape(200,40)
    ds = xr.Dataset(dict(q=(('time','site'), v), r=(('time','site'), v+.5)))
    ds.to_netcdf(tmp_path/'a.nc', encoding={k: dict(chunksizes=(1,40)) for k in 'qr'})
    assert read_file(tmp_path/'a.nc')['X'].reader.chunks == (40,1,1)
    assert np.array_equal(open_folder(convert(tmp_path/'a.nc', tmp_path/'set', n_workers=0))[0]['X'], np.stack([v.T, v.T+.5], 1))

@linux
def test_memory_is_bounded_where_chunks_span_all_samples(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        d = f.create_dataset('X', (50_000,2,400), 'f4', chunks=(50_000,1,20))
        for i in range(0, 400, 20): d[:,:,i:i+20] = np.full((50_000,2,20), i, 'f4')
    grown = fresh("""
    from threading import Thread, Event
    from conftest import rss_anon
    import h5py
    from tsdisk.convert.convert import convert
    before,peak,done = rss_anon(),[0],Event()
    def watch():
        while not done.wait(.01): peak[0] = max(peak[0], rss_anon())
    Thread(target=watch, daemon=True).start()
    convert(*args, n_workers=0)
    done.set()
    res = peak[0]-before""", str(tmp_path/'a.h5'), str(tmp_path/'set'))
    X = open_folder(tmp_path/'set')[0]['X']
    assert grown < 130, '160 MB of values'
    assert (X[777] == np.arange(0, 400, 20).repeat(20)).all()

# Parts

def test_a_recording_comes_in_pieces_of_whole_chunks(small):
    v = np.arange(4*5000, dtype='i2').reshape(4,5000)
    pieces = from_array_like(WithChunks(v, (4,70)))
    assert isinstance(pieces, Pieces) and pieces.piece_shape == (4,None) and pieces.dtype == 'i2'
    got = [*pieces]
    assert {o.shape[1]%70 for o in got[:-1]} == {0} and np.array_equal(np.concatenate(got, 1), v)

class WithChunks:
    "An array with chunks"
    def __init__(self, x, chunks): self.x,self.shape,self.dtype,self.chunks = x,x.shape,x.dtype,chunks
    def __getitem__(self, i): return self.x[i]

x = np.random.default_rng(0).normal(size=(23,3,50)).astype('f4')

@pytest.mark.parametrize('chunk', [(23,1,7), (4,2,50), (1,1,1), (100,100,100)], ids=str)
@pytest.mark.parametrize('axis', [0,2])
def test_an_unpacked_copy_holds_all_values(chunk, axis):
    clipped = tuple(map(min, chunk, x.shape))
    copy = UnpackedChunks(x, clipped, axis)
    for start,stop in [(0,x.shape[axis]), (2,5), (5,6), (22,23)]:
        assert np.array_equal(read_unpacked(copy, axis, start, stop), x.take(range(start, stop), axis))

@linux
def test_a_full_disk_is_known_as_one():
    "The system refuses to write more than a limit, as a full disk does"
    code = fresh('''
    import resource, numpy as np
    from tsdisk.convert.hdf5_chunks import ChunkReader, FileArray, UnpackedChunks
    x = np.ones((400,2,500))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
    res = []
    for write in (lambda: UnpackedChunks(x, (400,1,7), 0), lambda: FileArray(ChunkReader(x))._on_disk()):
        try: write()
        except OSError as e: res.append(e.errno)''')
    assert code == [errno.EFBIG]*2

indices = [3, -1, slice(2,9), ..., (..., slice(5,9)), (slice(1,3), 2), (2,1), [3,1], slice(None,None,2), None]

@pytest.mark.parametrize('chunk', [None, (4,3,50), (23,1,7)], ids=str)
@pytest.mark.parametrize('i', indices, ids=str)
def test_samples_of_a_file_are_indexed_like_numpy(small, chunk, i):
    rows = FileSamples(ChunkReader(WithChunks(x, chunk)))
    assert np.array_equal(rows[i], x[i]) and np.array_equal(rows.select_rows(slice(3,20))[1:5], x[4:8])
    assert np.array_equal(np.asarray(rows), x) and len(rows) == 23 and str(rows) == '(23, 3, 50) float32, on disk'

def test_rows_of_a_matrix_are_read_along_chunks(small):
    v = np.arange(6000.).reshape(1000,6)
    a = from_array_like(WithChunks(v, (7,6)), recording=False)
    assert isinstance(a, FileArray) and np.array_equal(a[5:20, 1], v[5:20, 1]) and np.array_equal(a.values, v)
