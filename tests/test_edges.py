"Values, shapes, sizes and paths at the edges: right from file to batch, or an error that says what to do"
import os, pickle, warnings
import numpy as np, pytest
from conftest import fails, fresh, same
from tsdisk.convert.convert import append, convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.convert.info import info
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.reader import ReadOptions
from tsdisk.data.transforms import Standardize
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import create_array, open_array, save_array
from tsdisk.disk.headers import npy_header
from tsdisk.disk.items import itemify
from tsdisk.disk.shards import Shards
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.labels import train_vocab
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import array_stats, train_stats
from tsdisk.order.splits import random_splits
from tsdisk.order.time_splits import time_splits
from tsdisk.series.ragged import Ragged
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged
from tsdisk.series.windows import Windows

rng = np.random.default_rng(0)
noise = rng.normal(size=(20,2,16))

def edge(*values, dtype='f4'):
    "Noise with some values in it"
    x = noise.astype(dtype)
    x[3,1,:len(values)] = values
    return x

def ends(dtype):
    info = np.finfo(dtype) if np.dtype(dtype).kind == 'f' else np.iinfo(dtype)
    res = np.zeros((20,2,16), dtype)
    res[3,1,:3] = info.min, info.max, info.max
    return res

def raw(dtype): return noise.astype(dtype)

values = {o: ends(o) for o in 'i1 u1 i2 u2 i4 u4 i8 u8 f2 f4'.split()}
values |= dict(nan=edge(np.nan), inf=edge(np.inf, -np.inf), all_nan=np.full((20,2,16), np.nan, 'f4'), half=edge(65504, -65504, 6e-8, np.inf, dtype='f2'))
values |= dict(subnormal=edge(1e-45, -1e-40), subnormal_f8=edge(5e-324, dtype='f8'), bools=noise > 0, one_row=raw('f4')[:1], few_rows=raw('f4')[:3])
values |= dict(fortran=np.asfortranarray(raw('f4')), reversed=raw('f4')[::-1,:,::-1], big_endian=raw('>f4'), big_endian_ints=(noise*9).astype('>i2'))

def batches(dl): return np.concatenate([o[0].numpy() for o in dl])

@pytest.mark.filterwarnings('ignore:Models get')
@pytest.mark.parametrize('name', values)
def test_values_are_the_same_in_file_batch_and_dataset(tmp_path, name):
    x = values[name]
    y = np.arange(len(x))%2
    file,native = tmp_path/'X.npy',x.astype(x.dtype.newbyteorder('='))
    same(save_array(file, x), native)
    for s in (as_source(file), as_source(file).direct(len(x))): same(s.gather(range(len(x))), native)
    for direct in (False,True): same(batches(TSDataLoader(TSDatasets(file, y), bs=64, read=ReadOptions(direct=direct))), native.astype('f4'))
    save_folder(tmp_path/'saved', x, y)
    add_checksums(tmp_path/'saved')
    convert(file, tmp_path/'converted', n_workers=0)
    for d in ('saved','converted'):
        same(open_folder(tmp_path/d)[0]['X'], native)
        assert verify(tmp_path/d) == []
    same(np.load(to_npy(tmp_path/'converted', tmp_path/'exported')/'X.npy'), native)

@pytest.mark.parametrize('name', [o for o in values if o not in ('inf','half')])
def test_statistics_are_those_of_numpy_in_float64(tmp_path, name):
    x = values[name]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        st = array_stats(save_array(tmp_path/'X.npy', x))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore') # Of numpy, for variables without values
        wide = x.astype('f8')
        np.testing.assert_array_equal(st.nans, np.isnan(wide).sum((0,2)))
        same([st.min,st.max], [np.nanmin(wide, (0,2)),np.nanmax(wide, (0,2))])
        scale = np.nan_to_num(np.nanmax(abs(wide), (0,2)))*1e-6
        for ours,theirs in ((st.mean,np.nanmean(wide, (0,2))), (st.std,np.nanstd(wide, (0,2)))):
            assert np.isnan(ours).tolist() == np.isnan(theirs).tolist() and (np.nan_to_num(abs(ours-theirs)) <= scale).all()

@pytest.mark.parametrize('name', ['inf','half','all_nan'])
def test_values_without_a_finite_mean_are_not_standardized(name):
    splits = [range(15),range(15, 20)]
    with fails(ValueError, 'has no finite mean', 'leave it out or repair it'): TSDataLoaders.from_arrays(values[name], splits=splits, batch_tfms=Standardize())

@pytest.mark.parametrize('most', [1e39, np.finfo('f8').max])
def test_values_that_float32_makes_infinite_are_said(most):
    x = np.full((20,2,16), most)*noise/10
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        TSDatasets(x)
    assert len(found) == 1 and 'variable 0' in str(found[0].message) and 'which float32 makes infinite: divide by a constant' in str(found[0].message)

dtypes = dict(structured=[('a','f4'),('b','i2')], complex='c8', dates='M8[s]', texts='U5', objects='O')

@pytest.mark.parametrize('name', dtypes)
def test_rows_that_are_no_numbers_are_refused(tmp_path, name):
    x = np.zeros((6,2,5), dtypes[name])
    calls = [lambda: TSDatasets(x), lambda: array_stats(x), lambda: convert(x, tmp_path/'converted', n_workers=0)]
    if name != 'texts': calls.append(lambda: TSDatasets(noise[:6], x[:,0,0]))
    for f in calls:
        with fails((TypeError,ValueError), str(x.dtype)): f()
    assert [o for o in tmp_path.rglob('*.npy')] == []

def test_more_than_64_bits_are_refused():
    x = np.zeros((6,2,5), np.longdouble)
    if x.dtype.itemsize == 8: pytest.skip('these are 64 bits here')
    for f in (lambda: TSDatasets(x), lambda: TSDatasets(noise[:6], x[:,0,0])):
        with fails(ValueError, str(x.dtype), "save_array(path, x, 'f8')"): f()

def test_structured_rows_are_gathered(tmp_path):
    x = np.zeros(30, dtypes['structured'])
    x['a'],x['b'] = np.arange(30),np.arange(30)[::-1]
    save_array(tmp_path/'X.npy', x)
    for s in (as_source(tmp_path/'X.npy'), as_source(tmp_path/'X.npy').direct(5)): same(s.gather([3,29,0]), x[[3,29,0]])

# Shapes

@pytest.mark.parametrize('shape', [(5,2,0), (5,0,4), (0,2,4)])
def test_arrays_without_values_are_refused(tmp_path, shape):
    x,empty = np.zeros(shape, 'f4'),str(shape)
    np.save(tmp_path/'raw.npy', x)
    calls = [lambda: open_array(tmp_path/'raw.npy'), lambda: save_array(tmp_path/'X.npy', x), lambda: save_folder(tmp_path/'saved', x),
        lambda: convert(x, tmp_path/'c', n_workers=0), lambda: convert(tmp_path/'raw.npy', tmp_path/'c', n_workers=0)]
    if shape[0]: calls += [lambda: TSDatasets(x), lambda: array_stats(x), lambda: TSDatasets(noise[:5], x)]
    for f in calls:
        with fails(ValueError, empty): f()
    assert not (tmp_path/'X.npy').exists()

def test_series_without_steps_are_refused(tmp_path):
    one,none = np.ones((2,3), 'f4'),np.ones((2,0), 'f4')
    with fails(ValueError, 'Series 1 has no steps', 'leave it out'): save_ragged(tmp_path/'r', [one,none,one])
    save_ragged(tmp_path/'r', [one])
    with fails(ValueError, '(2, 0)', 'none was added'): append_ragged(tmp_path/'r', [one,none])
    assert len(open_ragged(tmp_path/'r')) == 1
    with fails(ValueError, 'no series may be empty'): Ragged(np.ones((8,2), 'f4'), np.array([0,3,3,8]))
    with fails(ValueError, 'item 1', '(2, 0)'): convert([dict(X=one),dict(X=none)], tmp_path/'set', n_workers=0)
    assert len(Windows([np.ones((14,2), 'f4'), np.ones((0,2), 'f4')], 8)) == 7

def test_one_row_cannot_be_split():
    with fails(ValueError, 'at least 2 rows'): random_splits(1)

@pytest.mark.parametrize('shuffle', [False, True, 'block'])
@pytest.mark.parametrize('n', [1,3])
def test_fewer_rows_than_a_batch_are_one_batch(n, shuffle):
    b, = TSDataLoader(TSDatasets(noise[:n]), bs=64, shuffle=shuffle)
    assert sorted(b[0][:,0,0].tolist()) == sorted(noise[:n,0,0].astype('f4').tolist())

# Sizes: sparse files, so nothing of their size is read or written

def sparse(path, shape, marks, dtype='i1'):
    "A file that holds zeros but for the first value of some rows"
    row = int(np.prod(shape[1:]))*np.dtype(dtype).itemsize
    with open(path, 'wb') as f:
        f.write(npy_header(shape, np.dtype(dtype)))
        f.truncate(4096+shape[0]*row)
        for i,v in marks.items():
            f.seek(4096+i*row)
            f.write(np.array(v, dtype).tobytes())
    return path

@pytest.mark.parametrize('n', [2**31+5, 2**32+5])
def test_billions_of_rows(tmp_path, n):
    at = [0, 2**31-1, 2**31, n-1]
    file = sparse(tmp_path/'X.npy', (n,1,1), dict(zip(at, [3,4,5,6])))
    s = as_source(file)
    assert s.shape == (n,1,1) and [itemify(s.array)[i][0].item() for i in at] == [3,4,5,6]
    for o in (s, s.direct(8)): assert o.gather([*at,-1])[:,0,0].tolist() == [3,4,5,6,6]
    assert array_stats(s, range(n-1000, n)).max == 6
    train = TSDatasets(file, splits=[at,[]]).train
    for kw in (dict(), dict(read=ReadOptions(direct=True)), dict(num_workers=1)): assert batches(TSDataLoader(train, bs=2, **kw))[:,0,0].tolist() == [3,4,5,6]
    for splits in (random_splits(n, seed=1), time_splits(n)):
        assert sum(map(len, splits)) == n
        for shuffle in (True,'block'):
            dl = TSDataLoader(TSDatasets(file, splits=splits).train, bs=64, shuffle=shuffle, seed=1)
            batch, = next(iter(dl))
            assert len(dl) == -(-len(splits[0])//64) and len({*dl.idxs.tolist()}) == 64 and max(dl.idxs) > 2**24 and batch.shape == (64,1,1)

@pytest.mark.slow
def test_rows_over_two_gigabytes(tmp_path):
    steps = 2**31+8
    file = sparse(tmp_path/'X.npy', (2,1,steps), {0: 3})
    with open(file, 'r+b') as f:
        f.seek(-1, 2)
        f.write(b'\7')
    for s in (as_source(file), as_source(file).direct(1)):
        row, = s.gather([1])
        assert row.shape == (1,steps) and row[0,-1] == 7 and row[0,0] == 0
        del row
    assert Windows(open_array(file).reshape(-1, 1), 8).gather([2*steps-8])[0,0,-1] == 7
    most = fresh("""
        import threading, time
        from tsdisk.folder.stats import array_stats
        from conftest import rss_anon
        before,seen = rss_anon(),[]
        def watch():
            while True:
                seen.append(rss_anon())
                time.sleep(.02)
        threading.Thread(target=watch, daemon=True).start()
        st = array_stats(args[0], range(1, 2))
        assert st.max == 7 and st.count == args[1]
        res = max(seen)-before""", file, steps)
    assert most < 1500, 'MB, where a row is 2147'

# Paths

names = dict(unicode='Größe 日本', spaces=' a  b ', newline='a\nb', quotes='tab\t"\'', marks='50%20#?[1]*{x}$HOME', colons='a::b', latin=os.fsdecode(b'latin-\xe9'), long='x'*200)

def use_all(d):
    "Write, read, convert and export in a folder"
    x,y = noise.astype('f4'),np.arange(20)%2
    save_array(d/'X.npy', x)
    save_array(d/'y.npy', y)
    for kw in (dict(), dict(read=ReadOptions(direct=True)), dict(num_workers=1)): same(batches(TSDataLoader(TSDatasets(d/'X.npy', d/'y.npy'), bs=8, **kw)), x)
    same(pickle.loads(pickle.dumps(as_source(d/'X.npy'))).gather(range(20)), x)
    assert train_vocab(d/'y.npy').tolist() == [0,1] and train_stats(d/'X.npy') == array_stats(x)
    save_folder(d/'saved', x, y, random_splits(20, seed=0))
    add_checksums(d/'saved')
    assert len(TSDataLoaders.from_folder(d/'saved', bs=8, device='cpu').train) == 2
    save_ragged(d/'ragged', x)
    append_ragged(d/'ragged', x[:1])
    same(open_ragged(d/'ragged').gather([20]), x[:1])
    (d/'raw').mkdir()
    for i in range(4): np.save(d/f'raw/{i}.npy', x[i])
    same(Shards(d/'raw', stack=True).gather([3,0]), x[[3,0]])
    convert(d/'raw', d/'set', n_workers=1)
    append(d/'set', [d/'raw/0.npy'], n_workers=0, again=True)
    same(open_folder(d/'set')[0]['X'], x[[0,1,2,3,0]])
    assert verify(d/'set') == verify(d/'saved') == [] and info(d/'set').rows[0].shape == (5,2,16)
    to_npy(d/'set', d/'exported')
    to_parquet(d/'set', d/'a.parquet')
    to_hdf5(d/'set', d/'a.h5')
    for o in ('a.h5','a.parquet'):
        if o == 'a.parquet' and 'latin' in str(d): continue # pyarrow reads only paths of UTF-8
        convert(d/o, d/f'from {o}', n_workers=0)
        same(np.asarray(open_folder(d/f'from {o}')[0]['X']).reshape(5, 2, 16), x[[0,1,2,3,0]])

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', names)
def test_paths_of_any_characters(tmp_path, name):
    d = tmp_path/names[name]
    d.mkdir()
    use_all(d)

@pytest.mark.filterwarnings('ignore')
def test_folders_that_are_symbolic_links(tmp_path):
    (tmp_path/'there').mkdir()
    (tmp_path/'link').symlink_to(tmp_path/'there')
    use_all(tmp_path/'link')

def test_files_opened_by_relative_paths_are_found_after_chdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = noise.astype('f4')
    save_array('X.npy', x)
    save_folder('set', x)
    save_ragged('ragged', x)
    os.mkdir('raw')
    for i in range(4): np.save(f'raw/{i}.npy', x[i])
    opened = [open_folder('set')[0]['X'], np.load('X.npy', mmap_mode='r'), 'X.npy', Shards('raw', stack=True), open_ragged('ragged'), Windows([f'raw/{i}.npy' for i in range(4)], 1)]
    dsets = [TSDatasets(o) for o in opened]
    with create_array('new.npy', (3,2)) as w:
        monkeypatch.chdir('/')
        w[:] = np.ones((3,2))
    assert (tmp_path/'new.npy').exists()
    for dset in dsets:
        want = batches(TSDataLoader(dset, bs=8))
        for kw in (dict(read=ReadOptions(direct=True)), dict(num_workers=1)): same(batches(TSDataLoader(dset, bs=8, **kw)), want)
        again = pickle.loads(pickle.dumps(dset))
        same(batches(TSDataLoader(again, bs=8)), want)
        assert train_stats(dset.tls[0].items) == array_stats(dset.tls[0].items)
