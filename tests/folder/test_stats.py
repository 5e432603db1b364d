"Statistics are those of NumPy, in one pass and constant memory; they are kept with the file"
import os, warnings
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np, pytest, torch, tsdisk.folder.results, tsdisk.folder.stats
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp
from conftest import fails, filled, fresh, linux, same
from tsdisk.convert.convert import append, convert
from tsdisk.convert.info import info
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.transforms import Standardize
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.folder.moments import Stats, shares
from tsdisk.folder.stats import array_stats, train_stats
from tsdisk.series.windows import Windows

# Statistics

def brute(x, idxs=slice(None)):
    "The same by numpy, in extended precision"
    a = np.asarray(x)[idxs]
    a = (a[None,None] if a.ndim == 1 else a.T[None] if a.ndim == 2 else a).astype(np.longdouble)
    a = a.swapaxes(0, 1).reshape(a.shape[1], -1)
    k = (~np.isnan(a)).sum(1)
    with np.errstate(all='ignore'):
        mean = np.where(k > 0, np.nansum(a, 1)/k, np.nan)
        std = np.sqrt(np.nansum((a-mean[:,None])**2, 1)/k)
    low,high = (f(np.where(np.isnan(a), fill, a), 1) for f,fill in ((np.min, np.inf), (np.max, -np.inf)))
    none = k == 0
    low[none],high[none],std[none] = np.nan,np.nan,np.nan
    return Stats(k, a.shape[1]-k, mean, std, low, high)

def check(x, idxs=None, got=None):
    want = brute(x, slice(None) if idxs is None else np.asarray(idxs))
    got = array_stats(x, idxs) if got is None else got
    for o in ('count','nans','min','max'): np.testing.assert_array_equal(getattr(got, o), getattr(want, o).astype('f8'), o)
    eps = np.finfo('f4').eps*np.maximum(abs(want.max), abs(want.min)).astype('f8') if np.asarray(x).dtype == 'f4' else 0
    scale = want.std.astype('f8')
    for o in ('mean','std'):
        a,b = getattr(got, o),getattr(want, o).astype('f8')
        assert (np.isnan(a) == np.isnan(b)).all() and a.dtype == 'f8'
        off = np.nan_to_num(abs(a-b))
        assert (off <= np.nan_to_num(1e-6*scale + 1e-12*abs(want.mean.astype('f8')) + 1e-3*eps)).all(), f'{o}: {a}, numpy gives {b}'

shapes = [(1,1,1), (1,3,50), (7,1,1), (50,3,40), (2000,2,30), (3,2,5000), (5,2,3,4), (1000,4), (1,4), (999,), (1,)]

@pytest.mark.parametrize('shape', shapes, ids=str)
@pytest.mark.parametrize('dtype', 'f2 f4 f8 i1 u1 i2 u2 i4 u4 i8 ?'.split())
def test_stats_are_those_of_numpy(shape, dtype):
    x = filled(shape, dtype)
    if dtype == 'i8': x //= 2**12
    check(x)

@pytest.mark.parametrize('dtype', 'f2 f4 f8 i2 u1'.split())
@pytest.mark.parametrize('nans', [0, .3, 1])
def test_quantiles_of_what_fits_are_those_of_numpy(dtype, nans):
    x = filled((60,3,50), dtype)
    if x.dtype.kind == 'f': x[np.random.default_rng(0).random(x.shape) < nans] = np.nan
    st = array_stats(x)
    with np.errstate(all='ignore'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        want = np.nanquantile(x.astype('f8').swapaxes(0, 1).reshape(3, -1), shares, axis=1)
    np.testing.assert_allclose(st.quantiles, want, atol=2e-6*(np.nanmax(np.nan_to_num(want))-np.nanmin(np.nan_to_num(want))+1e-9))
    assert st.error == 0 and np.array_equal(st.quantiles[[0,-1]], [st.min,st.max], equal_nan=True)

@pytest.mark.parametrize('shape', [(4000,2,700), (3_000_000,2), (40,1,100_000), (4,3,10**6)], ids=str)
def test_quantiles_of_more_lie_within_the_stated_error(shape):
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    x[:len(x)//3] *= 20 # Not the same from beginning to end
    st = array_stats(x)
    flat = np.sort(x.swapaxes(0, 1).reshape(shape[1], -1), 1)
    for v,q in zip(flat, st.quantiles.T):
        rank = np.searchsorted(v, q)/len(v)
        assert 0 < abs(rank-shares).max() <= st.error < .006
    np.testing.assert_allclose(st.median, st.quantile(.5))
    np.testing.assert_allclose(st.iqr, st.quantile([.25,.75])[1]-st.quantile([.25,.75])[0])
    assert (st.quantile(.123) >= st.quantile(.12)).all() and (st.quantile(0) == st.min).all() and (st.quantile(1) == st.max).all()
    assert array_stats(x) == st, 'the same sample each time'

@pytest.mark.parametrize('by', ['all','steps'])
def test_stats_of_all_or_of_each_step(by, tmp_path):
    x = filled((300,3,20))
    x[3,1,7] = np.nan
    st = array_stats(save_array(tmp_path/'x.npy', x), [*range(250)], by=by)
    axes,shape = ((0,1,2),(1,)) if by == 'all' else (0,(3,20))
    for name,f in dict(mean=np.nanmean, std=np.nanstd, min=np.nanmin, max=np.nanmax, median=np.nanmedian).items():
        got = getattr(st, name)
        assert got.shape == shape
        np.testing.assert_allclose(got, f(x[:250].astype('f8'), axes).reshape(shape), rtol=1e-5, atol=1e-5)
    assert st.nans.sum() == 1 and st.count.sum() == 250*60-1 and 'mean' in repr(st)
    with fails(ValueError, "'vars', 'all' or 'steps'"): array_stats(x, by='var')
    with fails(ValueError, 'samples (n, vars, steps)'): array_stats(x[:, :, 0], by='steps')

def test_what_is_added_to_a_dataset_is_added_to_its_statistics(tmp_path, monkeypatch):
    x = filled((80,2,30))
    for k in ('train','valid'):
        (tmp_path/f'a/{k}').mkdir(parents=True)
        (tmp_path/f'b/{k}').mkdir(parents=True)
        for i in range(20): np.save(tmp_path/f'a/{k}/{i:02d}.npy', x[i+40*(k == 'valid')])
        for i in range(20): np.save(tmp_path/f'b/{k}/{i:02d}.npy', x[i+20+40*(k == 'valid')])
    f = convert(tmp_path/'a', tmp_path/'set', n_workers=0)
    TSDataLoaders.from_folder(f, batch_tfms=Standardize())
    train_stats(tmp_path/'set/X.npy')
    append(f, tmp_path/'b', n_workers=0)
    import tsdisk.folder.stats
    monkeypatch.setattr(tsdisk.folder.stats, 'array_stats', None) # Not needed any more
    st = TSDataLoaders.from_folder(f, batch_tfms=Standardize()).after_batch.fs[0]
    np.testing.assert_allclose(st.mean[:,0], x[:40].astype('f8').mean((0,2)), rtol=1e-5, atol=1e-5)
    got = train_stats(tmp_path/'set/X.npy')
    np.testing.assert_allclose(got.std, x.astype('f8').std((0,2)), rtol=1e-6)
    assert got.count[0] == 80*30 and got.error == .01

@pytest.mark.parametrize('layout,file', [('shards','000000.npy'), ('ragged','values.npy')])
def test_statistics_of_shards_and_of_series_are_kept_and_added_to(tmp_path, monkeypatch, layout, file):
    x = [filled((2,30+i%5*(layout == 'ragged')), seed=i) for i in range(40)]
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 2000)
    convert(x[:25], tmp_path/'set', layout=layout)
    opened = lambda: open_folder(tmp_path/'set')[0]['X']
    assert layout == 'ragged' or len(opened().paths) > 3
    st = train_stats(opened())
    with monkeypatch.context() as m:
        m.setattr(tsdisk.folder.stats, 'array_stats', None)
        assert train_stats(opened()) == st
    append(tmp_path/'set', x[25:])
    monkeypatch.setattr(tsdisk.folder.stats, 'array_stats', None) # Not needed any more
    got,values = train_stats(opened()),np.concatenate(x, 1).astype('f8')
    assert got.count.tolist() == [values.shape[1]]*2 and 'from cached statistics' in str(info(tmp_path/'set'))
    for o in ('mean','std','min','max'): np.testing.assert_allclose(getattr(got, o), getattr(values, o)(1), rtol=1e-6)
    p = tmp_path/'set/X'/file
    np.save(p, np.load(p)+1)
    with fails(TypeError, 'not callable'): train_stats(opened())

@given(hnp.arrays(st.sampled_from(['f4','f8']), hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    elements=st.one_of(st.just(np.nan), st.floats(-1e3, 1e3, width=32))), st.floats(-1e5, 1e5, width=32))
def test_stats_of_anything_are_those_of_numpy(x, shift):
    assume(not np.isnan(x).all())
    check(x + np.asarray(shift, x.dtype))

@pytest.mark.parametrize('dtype,offset', [('f4', 101_325), ('f8', 101_325), ('f8', 1e8), ('f8', -1.7e9), ('f8', 1e12), ('i8', 10**15), ('f4', 1e8)])
def test_small_spread_on_a_large_offset_keeps_its_digits(dtype, offset):
    x = (np.random.default_rng(0).normal(0, 20 if dtype != 'f8' else .5, (3000,2,30)) + offset).astype(dtype)
    check(x)

def test_drift_far_from_the_first_block_keeps_its_digits():
    x = (np.random.default_rng(0).normal(size=(4000,1,500)) + np.linspace(0, 1e4, 4000)[:,None,None]).astype('f4')
    check(x)
    check(np.concatenate([np.zeros((3000,1,500), 'f4'), 1e4+filled((3000,1,500))]))

def test_nans_are_counted_and_left_out():
    x = filled((500,4,60))
    x[:, 1] = np.nan                # Never there
    x[::3, 2, :30] = np.nan         # Often not there
    x[:400, 3] = np.nan             # Missing at first
    st = array_stats(x)
    check(x, got=st)
    assert st.nans.tolist() == [0,30_000,167*30,24_000] and np.isnan([st.mean[1],st.std[1],st.min[1],st.max[1]]).all()

@pytest.mark.parametrize('dtype,offset,spread', [('f4', 101_325, .5), ('f8', 1.7e9, .5), ('f8', 101_325.3, 1e-3), ('f4', -1e-20, 1e-23)])
@pytest.mark.parametrize('shape,missing', [((6000,2,500), np.s_[:4000,1]), ((2,2,3_000_000), np.s_[:,1,:2_500_000])], ids=['rows','steps'])
def test_a_variable_far_from_0_that_is_missing_at_first_keeps_its_digits(dtype, offset, spread, shape, missing):
    x = (np.random.default_rng(0).normal(size=shape)*spread + offset).astype(dtype)
    x[missing] = np.nan
    for o in (x[:,1:], x): check(o)

def test_infinities_show_in_range_and_spoil_no_other_variable():
    x = filled((100,3,20))
    x[5,1,3],x[6,1,3],x[7,2,0] = np.inf,-np.inf,np.nan
    st,want = array_stats(x),brute(x)
    assert (st.min[1], st.max[1]) == (-np.inf, np.inf) and not np.isfinite(st.mean[1]) and not np.isfinite(st.std[1])
    np.testing.assert_allclose(st.mean[[0,2]], want.mean[[0,2]].astype('f8'), rtol=1e-6)
    assert st.nans.tolist() == [0,0,1] and st.count.tolist() == [2000,2000,1999]

def test_constant_variable_has_no_spread():
    for v in (0, .1, 1e8, -3): assert array_stats(np.full((5000,2,30), v, 'f4')).std.max() <= abs(v)*1e-7

@pytest.mark.parametrize('idxs', [range(50), range(10, 300, 7), range(99, 0, -3), [7,3,299], np.array([299,0,150]), np.random.default_rng(0).permutation(300)[:200],
    np.arange(5, dtype='u1'), [4,4,4,9]], ids=lambda o: f'{type(o).__name__}{len(o)}')
def test_stats_of_some_rows(tmp_path, idxs):
    x = filled((300,3,20))
    x[7,1,:5] = np.nan
    for o in (x, save_array(tmp_path/'x.npy', x)): check(x, idxs, array_stats(o, idxs))

def test_a_mask_selects_rows():
    x,mask = filled((20,2,5)),np.arange(20) > 12
    check(x, np.flatnonzero(mask), array_stats(x, mask))

def test_any_source_has_stats(tmp_path):
    import zarr
    x = filled((200,3,20))
    z = zarr.open_array(str(tmp_path/'x.zarr'), mode='w', shape=x.shape, chunks=(50,3,20), dtype='f4')
    z[:] = x
    class Rows:
        shape,dtype = x.shape,x.dtype
        def __getitem__(self, i): return x[i]
    disk = save_array(tmp_path/'x.npy', x)
    for o in (z, Rows(), torch.tensor(x), tmp_path/'x.npy', disk, disk[:]): check(x, got=array_stats(o))

@pytest.mark.parametrize('cut', [np.s_[::2], np.s_[:, 1], np.s_[:, 1:], np.s_[:, :, 3:9], np.s_[::-1], np.s_[:, :, ::-3], np.s_[:, ::-1]], ids=str)
def test_any_view_has_stats(tmp_path, cut):
    x = filled((200,3,20))
    for idxs in (None, range(0, 100, 3), [5,2]): check(x[cut], idxs, array_stats(save_array(tmp_path/'x.npy', x)[cut], idxs))

@pytest.mark.parametrize('x,idxs,err,word', [(np.array(['a']), None, TypeError, '<U1'), (filled((5,), 'M8[s]'), None, TypeError, 'datetime64'),
    (filled((5,2)), [], ValueError, 'no rows'), (filled((5,2)), range(0), ValueError, 'no rows'), (filled((5,2)), [5], IndexError, '5'), (filled((5,2)), range(6), IndexError, '')])
def test_stats_refuse_what_they_cannot_count(x, idxs, err, word):
    with fails(err, word): array_stats(x, idxs)

@linux
def test_memory_does_not_grow_with_the_array(tmp_path):
    chunk = filled((1000,6,500))
    save_array(tmp_path/'x.npy', (chunk+i for i in range(50)))
    grown,peak,size,mean = fresh("""
        import numpy as np, torch, resource
        from conftest import rss_anon
        from tsdisk.disk.arrays import open_array
        from tsdisk.disk.array_sources import as_source
        from tsdisk.folder.stats import array_stats
        x = open_array(args[0])
        array_stats(x, range(20))
        before,peak,gather = rss_anon(),[],type(as_source(x)).gather
        for rows in (None, np.random.default_rng(0).permutation(len(x))[:20_000], range(0, len(x), 3)):
            st = array_stats(x, rows)
            peak.append(rss_anon())
            if rows is None: mean = st.mean
        array_stats(x[:, :3, ::2])
        res = rss_anon()-before, max(peak)-before, x.nbytes, mean""", tmp_path/'x.npy')
    (tmp_path/'x.npy').unlink()
    assert size == 600*10**6 and max(grown, peak) < 100, f'{grown:.0f} MB, {peak:.0f} MB'
    np.testing.assert_allclose(mean, chunk.astype('f8').mean((0,2))+24.5, rtol=1e-6)

@pytest.mark.parametrize('shift', [0, .5, 1e8, -1e8])
@pytest.mark.parametrize('size', [1, 1e-21, 1e-30, 1e25])
@pytest.mark.parametrize('dtype', ['f4','f8'])
def test_mean_and_deviation_alone_are_those_of_everything(shift, size, dtype):
    a = filled((500,4,40), 'f8')
    a[:,1] = np.sign(a[:,1]) # Its sum may be 0, its squares none
    a[:,2] = 0
    a[::7,3,::3] = np.nan
    x = ((a+shift)*size).astype(dtype)
    every,few = array_stats(x),array_stats(x, ranges=False)
    for o in ('count','nans','mean','std'): same(getattr(few, o), getattr(every, o))
    assert np.isnan(few.min).all() and np.isnan(few.max).all() and few.quantiles is None and 'mean' in repr(few)
    check(x, got=every)
    both = few+array_stats(x[:1], ranges=False)
    assert (both.count == every.count+array_stats(x[:1]).count).all() and np.isnan(both.max).all()

def test_symmetric_values_whose_squares_vanish():
    x = np.tile(np.array([1,-1], 'f4')*np.float32(1e-25), (10,1,50))
    for ranges in (True,False): np.testing.assert_allclose(array_stats(x, ranges=ranges).std, 1e-25, rtol=1e-6)

# Kept beside the file

@pytest.fixture
def X(tmp_path): return save_array(tmp_path/'X.npy', filled((300,3,20)))

def entries(X, kind='stats'): return read_manifest(os.path.dirname(X.filename)).get(kind, {}).get(os.path.basename(X.filename), {})

def poison(X, kind='stats'):
    "Change what is kept, so that it shows whether it is used"
    path = os.path.dirname(X.filename)
    kept = entries(X, kind)
    for o in kept.values(): o.update(mean=[7.]*3)
    write_manifest(path, **{kind: {os.path.basename(X.filename): kept}})

def test_stats_are_computed_once(X):
    st = train_stats(X)
    assert st == array_stats(X) == train_stats(X) and len(entries(X)) == 1
    poison(X)
    for o in (X, open_array(X.filename), str(X.filename), open_array(X.filename)[:]): assert train_stats(o).mean.tolist() == [7,7,7]

def test_each_choice_of_rows_is_kept_apart(X):
    for rows in (range(100), range(50), [3,1,2], np.array([5,6]), slice(0,60), np.arange(300) > 50, torch.arange(7)):
        assert train_stats(X, rows) == array_stats(X, rows) == train_stats(X, rows)
    assert len(entries(X)) == 7
    poison(X)
    assert train_stats(X, range(100)).mean[0] == 7 and train_stats(X, range(101)).mean[0] != 7 and train_stats(X, np.array([5,7])).mean[0] != 7

def test_only_the_last_few_are_kept(X):
    for i in range(1, 40): train_stats(X, range(i))
    assert len(entries(X)) == 32
    poison(X)
    assert train_stats(X, range(19)).mean[0] == 7

def test_stats_that_were_computed_in_another_way_are_computed_again(X, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(tsdisk.folder.results, 'versions', {})
        train_stats(X)
    poison(X)
    assert train_stats(X) == array_stats(X)

@pytest.mark.parametrize('how', ['saved','in place','touched'])
def test_stats_are_computed_again_when_the_file_changes(X, how):
    train_stats(X)
    poison(X)
    if how == 'saved': save_array(X.filename, np.array(X)+1)
    elif how == 'in place':
        w = np.lib.format.open_memmap(X.filename, 'r+')
        w[:] += 1
        w.flush()
    else: os.utime(X.filename)
    again = open_array(X.filename)
    assert train_stats(again) == array_stats(again) and train_stats(again).mean[0] != 7

@pytest.mark.parametrize('cut', [np.s_[:100], np.s_[::2], np.s_[:, 1:], np.s_[:, :, ::-1], np.s_[::-1]], ids=str)
def test_stats_of_a_part_of_a_file_are_not_taken_for_those_of_the_file(X, cut):
    train_stats(X)
    poison(X)
    assert train_stats(X[cut]) == array_stats(X[cut])

def test_views_of_another_shape_or_dtype_are_kept_apart(X):
    train_stats(X)
    for v in (X.reshape(100, 3, 60), X.view('i4')): assert train_stats(v) == array_stats(v) == train_stats(v)

def test_arrays_in_memory_are_not_kept(X, tmp_path):
    x = np.array(X)
    for o in (x, torch.tensor(x), np.load(X.filename, mmap_mode='c')): assert train_stats(o) == array_stats(x)
    assert not (tmp_path/'tsdisk.json').exists()

stats_and_vocab = """
    from tsdisk.disk.arrays import open_array
    X = open_array(d/'X.npy')
    res = train_stats(X) == array_stats(X) == train_stats(X), train_vocab(d/'y.npy').tolist()"""

@linux
@pytest.mark.parametrize('why', ['read-only','full'])
def test_folder_that_cannot_be_written_is_no_obstacle(why):
    with TemporaryDirectory() as d:
        save_array(Path(d)/'X.npy', filled((300,3,20)))
        save_array(Path(d)/'y.npy', ['a','b']*150)
        os.chmod(d, 0o555 if why == 'read-only' else 0o755)
        refuse = dict(full="""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0,0))""", **{'read-only': """
    if os.getuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534) # Root may write anywhere"""})[why]
        assert fresh("""
    import os, resource, torch
    from pathlib import Path
    from tsdisk.folder.stats import array_stats, train_stats
    from tsdisk.folder.labels import train_vocab
    d = Path(args[0])""" + refuse + stats_and_vocab, d) == (True,['a','b'])
        os.chmod(d, 0o755)
        assert sorted(os.listdir(d)) == ['X.npy','y.npy']

@pytest.mark.parametrize('scale', [1e-30, 1e-21, 1e-12, 1e12, 1e17, 1e19])
def test_statistics_at_any_scale(scale):
    x = (filled((300,2,40))*scale).astype('f4')
    st = array_stats(x)
    np.testing.assert_allclose(st.std, x.astype('f8').std((0,2)), rtol=1e-6)
    np.testing.assert_allclose(st.mean, x.astype('f8').mean((0,2)), rtol=1e-5, atol=scale*1e-7)

def test_one_small_variable_beside_a_large_one():
    x = filled((300,2,40))*np.array([[1e-22],[1.]], 'f4')
    np.testing.assert_allclose(array_stats(x).std, x.astype('f8').std((0,2)), rtol=1e-6)

def test_statistics_of_big_endian_data():
    x = filled((30,2,40))
    assert array_stats(x.astype('>f4')) == array_stats(x.astype('f8'))

def test_nans_among_the_values_are_told_of():
    x = filled((50,3,20))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        Standardize(array_stats(x))
    x[:5, 1, :4] = np.nan
    with pytest.warns(UserWarning, match='0.02 of the values of variable 1 are NaN'): Standardize(array_stats(x))

def test_statistics_of_windows_and_ragged_series_are_kept(tmp_path, monkeypatch):
    from tsdisk.folder import stats
    from tsdisk.series.ragged_files import open_ragged, save_ragged
    save_array(tmp_path/'x.npy', filled((500,3)))
    save_ragged(tmp_path/'r', [filled((3,n), seed=n) for n in (50,9,30)])
    def made(o): return dict(plain=Windows(tmp_path/'x.npy', 20, stride=7), wide=Windows(tmp_path/'x.npy', 30, stride=7),
        some=Windows(tmp_path/'x.npy', 20, stride=7, sel_vars=[2,0]), ragged=open_ragged(tmp_path/'r'), of_ragged=Windows(open_ragged(tmp_path/'r'), 8))[o]
    names,rows = ('plain','wide','some','ragged','of_ragged'),dict(ragged=[0,2])
    want = {o: array_stats(made(o), rows.get(o, range(10))) for o in names}
    for o in names: assert train_stats(made(o), rows.get(o, range(10))) == want[o]
    def again(*args, **kwargs): raise AssertionError('computed again')
    with monkeypatch.context() as m:
        m.setattr(stats, 'array_stats', again)
        for o in names: assert train_stats(made(o), rows.get(o, range(10))) == want[o]
        with pytest.raises(AssertionError, match='again'): train_stats(made('plain'), range(11))
    save_ragged(tmp_path/'r', [filled((3,n), seed=n) for n in (49,10,30)])
    assert train_stats(made('ragged'), [0,2]) == array_stats(made('ragged'), [0,2]) != want['ragged']

def test_several_arrays_in_one_call():
    a,b = filled((50,3,4)),filled((20,2))
    assert array_stats((a,b)) == (array_stats(a),array_stats(b))

def test_samples_of_a_random_split_are_counted_in_few_blocks():
    "Some steps of arrays (n, vars, steps): rows that are not neighbors come together"
    x = filled((20_000,3,12))
    w,rows = Windows(x[:,:,2:8], 6, 6, sel_vars=[1,0]),np.sort(np.random.default_rng(0).permutation(20_000)[:9000])
    blocks = [*w.blocks(rows)]
    assert len(blocks) < 20
    same(np.concatenate(blocks), x[rows][:,[1,0],2:8])

@pytest.mark.parametrize('mode,kept', [('r',True), ('r+',False), ('c',False)])
def test_results_of_arrays_that_may_change_are_not_kept(tmp_path, mode, kept):
    save_folder(tmp_path, filled((20,2,5)))
    x = np.load(tmp_path/'X.npy', mmap_mode=mode)
    assert train_stats(x) == array_stats(x) and ('stats' in read_manifest(tmp_path)) == kept

def test_infinite_values_warn_of_nothing(recwarn):
    x = np.random.default_rng(0).normal(size=(2000,2,50)).astype('f4')
    x[1500:1502,1,0] = np.inf,-np.inf
    stats = array_stats(x)
    assert (stats.min[1],stats.max[1]) == (-np.inf,np.inf) and np.isfinite([stats.mean[0], stats.std[0]]).all()
    assert not [str(o) for o in recwarn if o.category is RuntimeWarning]

@pytest.mark.parametrize('mean', [0,1000])
def test_nans_and_infinities_among_numbers(mean):
    x = np.random.default_rng(0).normal(mean, size=(500,4,64)).astype('f4')
    x[::3,1,::5] = np.nan
    x[:,2] = np.nan
    x[7,3,:2] = np.inf,np.nan
    before = x.copy()
    stats = array_stats(x)
    assert stats.nans.tolist() == np.isnan(x).sum((0,2)).tolist() and np.array_equal(x, before, equal_nan=True)
    with np.errstate(all='ignore'), warnings.catch_warnings():
        warnings.simplefilter('ignore') # Means of nothing
        for k,f in dict(mean=np.nanmean, std=np.nanstd).items():
            np.testing.assert_allclose(getattr(stats, k)[:3], f(x[:,:3].astype('f8'), (0,2)), rtol=1e-5, atol=1e-5)
        for k,f in dict(min=np.nanmin, max=np.nanmax).items(): np.testing.assert_array_equal(getattr(stats, k), f(x, (0,2)))
    assert stats.max[3] == np.inf and not np.isfinite(stats.mean[3])
