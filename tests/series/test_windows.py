"Windows, their targets and crops are what a loop over the series would give"
import copy, pickle, tracemalloc
from functools import partial
import numpy as np, pytest, torch
from fastai.callback import progress
from hypothesis import given, settings, strategies as st
from conftest import fails, filled, fresh, linux, same
from source_conformance import checks
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.series.ragged import Ragged, append_ragged, open_ragged, save_ragged
from tsdisk.disk.rows import Ranges
from tsdisk.disk.shards import Shards
from tsdisk.order.splits import time_splits
from tsdisk.folder.stats import array_stats, array_vocab
from tsdisk.data.transforms import FillNaN, Standardize
from tsdisk.series.windows import Crops, Windows

lens = [30,7,19,12,30]

def _series(lens, n_vars, dtype='f4'): return [filled((n, n_vars), dtype)+(i*2e4+np.arange(n*n_vars).reshape(n, n_vars)).astype(dtype) for i,n in enumerate(lens)]

# Each layout gives, of a list of series (steps, vars), what `Windows` takes, and the axis
def _one(d, xs): return save_array(d/'one.npy', xs[0]), None
def _vars_first(d, xs): return save_array(d/'vars.npy', np.ascontiguousarray(xs[0].T)), 1
def _samples(d, xs): return save_array(d/'samples.npy', np.stack([xs[0].T, xs[-1].T])), None
def _samples_steps(d, xs): return save_array(d/'steps.npy', np.stack([xs[0], xs[-1]])), 1
def _part_of_steps(d, xs): return save_array(d/'part.npy', np.stack([np.pad(o.T, ((0,0),(2,3))) for o in (xs[0], xs[-1])]))[:, :, 2:-3], None
def _list(d, xs): return [save_array(d/f'{i}.npy', o) for i,o in enumerate(xs)], None
def _paths(d, xs): return [(save_array(d/f'{i}.npy', o), d/f'{i}.npy')[1] for i,o in enumerate(xs)], None
def _shards(d, xs): return (_paths(d, xs), Shards(d))[1], None
def _list_vars(d, xs): return [np.ascontiguousarray(o.T) for o in xs], 1
def _ragged(d, xs): return save_ragged(d/'ragged', xs, axis=0), None
def _some_vars(d, xs): return save_array(d/'wide.npy', np.concatenate([xs[0]]*2, 1))[:, :xs[0].shape[1]], None
def _zarr(d, xs):
    import zarr
    z = zarr.open_array(str(d/'z.zarr'), mode='w', shape=xs[0].shape, chunks=(5,1), dtype=xs[0].dtype)
    z[:] = xs[0]
    return z, None
layouts = dict(one=(_one,[0]), vars_first=(_vars_first,[0]), samples=(_samples,[0,-1]), samples_steps=(_samples_steps,[0,-1]),
    part_of_steps=(_part_of_steps,[0,-1]), list=(_list,None), paths=(_paths,None), shards=(_shards,None), list_vars=(_list_vars,None),
    ragged=(_ragged,None), some_vars=(_some_vars,[0]), zarr=(_zarr,[0]))

@pytest.fixture(scope='module', params=layouts)
def panel(request, tmp_path_factory):
    make,which = layouts[request.param]
    xs = _series(lens, 3)
    return *make(tmp_path_factory.mktemp('panel'), xs), [xs[i] for i in which] if which else xs

def loop(xs, size, stride=1, horizon=0, gap=0):
    "(series, start) of every window, by a loop"
    span = size + (gap+horizon if horizon else 0)
    return [(s,t) for s,x in enumerate(xs) for t in range(0, len(x)-span+1, stride)]

@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 11), st.integers(0, 4), st.integers(0, 3), st.sampled_from([None, [0], [2,0]]),
    st.sampled_from([None, [1], [1,2]]))
def test_windows_are_those_of_a_loop(panel, size, stride, horizon, gap, sel, targets):
    x,axis,xs = panel
    w = Windows(x, size, stride, horizon, gap, sel_vars=sel, targets=targets if horizon else None, axis=axis)
    want = loop(xs, size, stride, horizon, gap)
    assert len(w) == len(want) and w.shape == (len(want), len(sel or range(3)), size)
    i = np.random.default_rng(0).integers(0, len(w), 40)
    series,start = w.locate(i)
    assert [*zip(series.tolist(), start.tolist())] == [want[j] for j in i]
    same(w.window(series, start), i)
    v,t = [slice(None) if o is None else o for o in (sel, targets)]
    xw = np.stack([xs[s][a:a+size][:, v].T for s,a in zip(series, start)])
    if not horizon:
        same(w.gather(i), xw)
        return same(np.asarray(w[int(i[0])]), xw[0])
    yw = np.stack([xs[s][a+size+gap:a+size+gap+horizon][:, t].T for s,a in zip(series, start)])
    for got,expected in zip(w.gather(i), (xw,yw)): same(got, expected)
    for got,expected in zip(w[int(i[-1])], (xw[-1],yw[-1])): same(np.asarray(got), expected)
    b = TSDatasets(w).batch(i)
    same(b[0].numpy(), xw)
    same(b[1].numpy(), yw)

@settings(max_examples=10)
@given(st.integers(2, 9), st.integers(1, 11), st.integers(0, 3))
def test_cover_is_every_step_of_a_window_once(panel, size, stride, horizon):
    x,axis,xs = panel
    w = Windows(x, size, stride, horizon, 1, axis=axis)
    want,rng = loop(xs, size, stride, horizon, 1),np.random.default_rng(size)
    for rows in (range(len(w)), range(len(w)//3, len(w)//2+1), rng.permutation(len(w))[:len(w)//3+1]):
        steps = sorted({(want[i][0], t) for i in rows for t in range(want[i][1], want[i][1]+w.span)})
        series,first,stop = w.cover(rows)
        assert [(s,t) for s,a,b in zip(series.tolist(), first.tolist(), stop.tolist()) for t in range(a, b)] == steps
        assert not ((series[1:] == series[:-1]) & (first[1:] <= stop[:-1])).any()
        if not horizon:
            vals = np.stack([xs[s][t] for s,t in steps])
            got = array_stats(w, rows)
            np.testing.assert_allclose(got.mean, vals.mean(0, dtype='f8'), rtol=1e-5)
            np.testing.assert_allclose(got.std, vals.std(0, dtype='f8'), rtol=1e-4)
            assert got.count.tolist() == [len(vals)]*3
            np.testing.assert_array_equal(array_vocab(w, rows), np.unique(vals))

@pytest.mark.parametrize('check', checks, ids=lambda f: f.__name__)
def test_windows_keep_the_contract_of_sources(panel, check):
    x,axis,xs = panel
    want = np.stack([xs[s][a:a+5].T for s,a in loop(xs, 5, 2)])
    check(Windows(x, 5, 2, axis=axis), want)

def test_labels_are_those_of_a_loop(panel, tmp_path):
    x,axis,xs = panel
    labels = [np.random.default_rng(i).integers(0, 3, len(o)) for i,o in enumerate(xs)]
    y = labels[0] if len(xs) == 1 else save_ragged(tmp_path, labels)
    w,want = Windows(x, 6, 2, axis=axis),loop(xs, 6, 2)
    i = np.random.default_rng(0).permutation(len(w))
    cut = np.stack([labels[s][a:a+6] for s,a in (want[j] for j in i)])
    same(w.over(y).gather(i), cut)
    for at in (-1,0,3): same(w.label(y, at).gather(i), cut[:, at])
    same(w.label(y, 'majority').gather(i), np.array([np.bincount(o).argmax() for o in cut]))
    same(w.label(y, lambda o: o.max(1)).gather(i), cut.max(1))
    names = np.array([f's{s}' for s in range(len(xs))])
    same(w.of_series(names).gather(i), names[[want[j][0] for j in i]])
    rows = range(0, len(w), 3)
    assert set(array_vocab(w.of_series(names), rows)) == {names[want[j][0]] for j in rows}
    assert set(cut[:, -1]) <= set(array_vocab(w.label(y)))

@pytest.mark.parametrize('every', [2,3,6])
def test_slower_arrays_are_read_over_the_same_time(every):
    fast,slow = np.arange(60.)[:,None],np.arange(60//every)[:,None]*float(every)
    w = Windows(fast, 12, 1, horizon=5)
    got = w.over(slow, every).gather(range(len(w)))
    start = np.arange(len(w))
    same(got[:, 0, 0], (start//every*every).astype(float)) # In force when the window begins
    assert got.shape == (len(w), 1, 12//every) and (got[:, 0, -1] <= start+11).all() # Nothing of later

def test_roles_and_static_covariates_are_inputs(tmp_path):
    xs = _series([20,25], 4)
    static = np.array([[1.,2.],[3.,4.]], 'f4')
    w = Windows(save_ragged(tmp_path, xs, axis=0), 5, horizon=3, names=['load','temp','hour','day'], sel_vars=['load','temp','hour'],
        targets='load', known=['hour','day'], static=static)
    ds = TSDatasets(w)
    xb,future,stat,yb = ds.batch(range(len(w)))
    want = loop(xs, 5, 1, 3)
    assert ds.n_inp == 3 and ds.vars == 3 and ds.d == [1,3]
    same(xb.numpy(), np.stack([xs[s][a:a+5, :3].T for s,a in want]))
    same(future.numpy(), np.stack([xs[s][a+5:a+8, 2:].T for s,a in want]))
    same(stat.numpy(), static[[s for s,_ in want]])
    same(yb.numpy(), np.stack([xs[s][a+5:a+8, :1].T for s,a in want]))
    assert len(ds.reads()[0]) == 2 # One read for all that is cut from the series

@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('direct', [False,True])
@pytest.mark.parametrize('shuffle', [False,True,'block'])
@pytest.mark.parametrize('layout', ['one','samples','ragged'])
def test_loaders_give_every_window_once(tmp_path, layout, shuffle, direct):
    xs = _series([3000,2500,3000], 2)
    make,which = layouts[layout]
    x,axis = make(tmp_path, xs)
    xs = [xs[i] for i in which] if which else xs
    w = Windows(x, 16, 3, 4, 2, axis=axis)
    dl = TSDataLoader(TSDatasets(w), bs=32, shuffle=shuffle, read=ReadOptions(direct=direct), seed=1)
    if direct: assert 'straight from disk' in repr(dl)
    got = [o for o in dl]
    key = {np.concatenate([xs[s][a:a+16].T.reshape(-1), xs[s][a+18:a+22].T.reshape(-1)]).tobytes() for s,a in loop(xs, 16, 3, 4, 2)}
    seen = [np.concatenate([xb[i].numpy().reshape(-1), yb[i].numpy().reshape(-1)]).tobytes() for xb,yb in got for i in range(len(xb))]
    assert len(seen) == len(w) == len(key) and set(seen) == key

@pytest.mark.parametrize('num_workers', [0,2])
def test_crops_differ_by_epoch_and_repeat_by_seed(tmp_path, num_workers):
    c = Crops(save_array(tmp_path/'x.npy', np.arange(5000, dtype='f4')), 7, per_series=50, seed=3)
    def passes(shuffle, seed=5, n=3):
        dl = TSDataLoader(TSDatasets(c), bs=16, shuffle=shuffle, seed=seed, num_workers=num_workers)
        return [torch.cat([b[0] for b in dl])[:,0,0].numpy() for _ in range(n)]
    a,b,_ = passes(True)
    assert set(a) != set(b) and len(set(a)) > 40
    for p,q in zip(passes(True), (a,b)): same(p, q)
    for p in passes(False): same(p, c.gather(range(50))[:,0,0])

@pytest.mark.filterwarnings('ignore:Rows of')
def test_crops_read_what_was_announced(tmp_path):
    c = Crops(save_array(tmp_path/'x.npy', np.random.default_rng(0).normal(size=(200_000,4)).astype('f4')), 100, per_series=2000)
    a,b = [torch.cat([o[0] for o in TSDataLoader(TSDatasets(c), bs=64, shuffle=True, seed=1, read=ReadOptions(direct=d))]) for d in (False,True)]
    assert torch.equal(a, b)

def test_reconstruction_has_targets_of_its_own():
    w = Windows(np.arange(50, dtype='f4'), 10)
    dl = TSDataLoader(TSDatasets(w, w), bs=4)
    xb,yb = dl.one_batch()
    assert len(dl.dataset.reads()[0]) == 1 and torch.equal(xb.as_subclass(torch.Tensor), yb.as_subclass(torch.Tensor))
    xb.zero_()
    assert yb.sum() > 0

def test_missing_values_become_masks():
    x = np.arange(40, dtype='i2').reshape(20, 2)
    x[3,1] = -32768
    xb,mask = TSDatasets(Windows(x, 5), mask=True, missing=-32768).batch([0,4])
    same(mask.numpy(), np.array([[[1,1,1,1,1],[1,1,1,0,1]], [[1]*5]*2], bool))
    assert torch.isnan(xb).sum() == 1 and xb[0,1,3].isnan()
    f = x.astype('f4')
    f[3,1] = np.nan
    same(TSDatasets(Windows(f, 5), mask=True).batch([0,4])[1].numpy(), mask.numpy())

@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 8), st.floats(.1, 1))
def test_valid_rows_are_those_of_a_loop(size, stride, least):
    xs = _series([30,4,17], 2)
    for i,x in enumerate(xs): x[np.random.default_rng(i).random(x.shape) < .4] = np.nan
    w = Windows(xs, size, stride)
    ok = [i for i,(s,a) in enumerate(loop(xs, size, stride)) if (~np.isnan(xs[s][a:a+size])).mean() >= least-1e-9]
    assert w.valid_rows(least)[:].tolist() == ok

def test_selected_variables_and_steps_are_read_alone(tmp_path):
    x = save_array(tmp_path/'X.npy', filled((50,5,40)))
    ds = TSDatasets(x, sel_vars=[3,1], sel_steps=slice(10,-5))
    same(ds.batch([7,0])[0].numpy(), x[[7,0]][:, [3,1], 10:-5])
    assert ds.tls[0].items.stored.row_bytes == 2*25*4
    assert (ds.vars, ds.len) == (2,25)
    same(TSDatasets(x, sel_vars=[2]).batch([3])[0].numpy(), x[[3]][:, [2]])

def test_half_a_billion_windows_take_no_time_and_memory(tmp_path):
    steps,n = 200_000*2600,200_000
    values = np.lib.format.open_memmap(tmp_path/'values.npy', 'w+', 'f2', (steps,1)) # A hole in the file system
    offsets = np.arange(n+1)*2600
    r = Ragged(values, offsets)
    tracemalloc.start()
    w = Windows(r, 96)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(w) == n*2505 > 500_000_000 and peak < 5e6
    i = np.random.default_rng(0).integers(0, len(w), 256)
    series,start = w.locate(i)
    same(series*2505 + start, i)
    s,a,b = w.cover(range(10**6, 4*10**8))
    assert len(s) == 4*10**8//2505 - 10**6//2505 + 1

def test_blocks_of_a_slower_array_end_with_their_series():
    w = Windows(Ragged(np.arange(20.), [0,10,20]), 8)
    slow = w.over(Ragged(np.array([0.,1,10,11]), [0,2,4]), every=4)
    assert sorted(np.concatenate([o.ravel() for o in slow.blocks(range(3))])) == [0,1]

def test_windows_over_a_value_that_is_repeated():
    w = Windows(np.broadcast_to(np.float32(7), (50,3)), 6)
    same(w.gather([44,0]), np.full((2,3,6), 7, 'f4'))

def test_windows_that_are_not_there_are_errors():
    w = Windows(_series(lens, 2), 5, 2)
    with fails(IndexError, 'series 0 to 4'): w.window(-1, 0)
    with fails(IndexError, f'Row {len(w)}'): w.cover([0, len(w)])
    with fails(IndexError, f'0 to {len(w)-1}'): w.locate(len(w))
    with fails(ValueError, 'every 2 steps'): w.window(0, 3)

def test_states_of_other_windows_are_refused():
    w = Windows(_series([40,40,40,40,40,40], 1), 4)
    ranges = [(i*37, i*37+20) for i in range(6)]
    other = [*ranges[:4], (4*37, 4*37+22), (5*37, 5*37+18)] # As many rows, and the same first ones
    a,b = [TSDataLoader(TSDatasets(w, splits=[Ranges(o)]).train, bs=8, shuffle=True, seed=1) for o in (ranges,other)]
    with fails(ValueError, 'split'): b.load_state_dict(a.state_dict())

def test_pickles_are_small(tmp_path):
    w = Windows(save_ragged(tmp_path, [filled((2,n)) for n in range(5, 400)]), 4, horizon=2, known=[1])
    assert len(pickle.dumps(w)) < 4000
    back = pickle.loads(pickle.dumps(w))
    for a,b in zip(back.gather([3,700]), w.gather([3,700])): same(a, b)
    assert len(TSDatasets(back).reads()[0]) == 1

@pytest.mark.parametrize('kwargs,words', [(dict(size=0), "`size` must be"), (dict(size=5, stride=0), "`stride`"), (dict(size=31), "longest series has 30"),
    (dict(size=2.5), "`size`"),
    (dict(size=5, targets=[0]), "give `horizon`"), (dict(size=5, sel_vars=[4]), "no variable 4"), (dict(size=5, sel_vars=['a']), "give `names`"),
    (dict(size=5, names=['a']), "1 names for 3"),
    (dict(size=5, sel_vars=[]), "at least one"), (dict(size=5, static=np.zeros((7,2))), "5 series and 7 rows")])
def test_mistakes_are_named(kwargs, words):
    with fails(ValueError, words): Windows(_series(lens, 3), **kwargs)

def test_view_of_batches_works_in_any_order_of_memory():
    xb = TSDatasets(Windows(filled((50,3)), 8)).batch([0,1])[0]
    assert not xb.is_contiguous() and xb.view(2, -1).shape == (2,24)
    same(xb.view(2, 24).numpy(), xb.numpy().reshape(2, 24))
    with pytest.raises(RuntimeError): xb.view(5, 5)

# Ragged series

@pytest.fixture(scope='module')
def ragged(tmp_path_factory):
    xs = [filled((3,n)) for n in np.random.default_rng(0).integers(4, 40, 200)]
    return save_ragged(tmp_path_factory.mktemp('ragged'), xs), xs

@pytest.mark.parametrize('side', ['left','right'])
@pytest.mark.parametrize('most', [None,12])
def test_ragged_batches_are_padded(ragged, side, most):
    r,xs = ragged
    r = Ragged(r.panel.source.array, r.offsets, value=-1, side=side, most=most)
    for seed in range(5):
        i = np.random.default_rng(seed).integers(0, 200, 16)
        i[0] = (0,199)[seed%2]
        cut = [xs[j] if most is None else xs[j][:, :most] if side == 'right' else xs[j][:, -most:] for j in i]
        longest = max(o.shape[1] for o in cut)
        got,mask = r.gather(i), np.empty(r.mask.batch_shape(i), bool)
        r.mask._gather(i, mask)
        assert got.shape == (16,3,longest) and mask.shape == (16,longest)
        for a,m,c in zip(got, mask, cut):
            k = c.shape[1]
            same(a[:, :k] if side == 'right' else a[:, longest-k:], c)
            assert (a[:, k:] == -1).all() if side == 'right' else (a[:, :longest-k] == -1).all()
            same(m, np.arange(longest) < k if side == 'right' else np.arange(longest) >= longest-k)

@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('direct', [False,True])
@pytest.mark.parametrize('num_workers', [0,2])
@pytest.mark.parametrize('shuffle', [False,True,'block'])
def test_ragged_loaders_give_every_series_once(ragged, shuffle, num_workers, direct):
    r,xs = ragged
    dl = TSDataLoader(TSDatasets(r, np.arange(200.)), bs=16, shuffle=shuffle, seed=1, num_workers=num_workers, read=ReadOptions(direct=direct))
    seen = []
    for xb,mask,yb in dl:
        assert isinstance(xb, TSTensor) and xb.shape[2] == mask.shape[1] == int(mask.sum(1).max())
        for x,m,y in zip(xb, mask, yb):
            same(x[:, m].numpy(), xs[int(y)])
            seen.append(int(y))
    assert sorted(seen) == [*range(200)] and (shuffle or seen == sorted(seen))

@pytest.mark.parametrize('side', ['left','right'])
@pytest.mark.parametrize('most', [None,12])
def test_ragged_series_straight_from_disk_are_the_same(ragged, side, most):
    r = Ragged(ragged[0].panel.source.array, ragged[0].offsets, value=-1, side=side, most=most)
    direct,rng = r.direct(4),np.random.default_rng(0)
    for told in (True,False):
        for _ in range(5):
            i = rng.integers(0, 200, 16)
            if told: direct.prefetch([*i[:9], 500])
            if told: direct.prefetch(i[5:])
            a,b = [np.full(r.batch_shape(i), 7, 'f4') for _ in range(2)]
            r._gather(i, a)
            direct._gather(i, b)
            same(b, a)
        assert len(direct.reads.coming) <= 4
    with fails(OSError, 'in memory'): Ragged(np.zeros((20,2)), [0,9,20]).direct(1)

@linux
@pytest.mark.parametrize('shuffle,direct', [(True,True), (True,False), (False,True)])
def test_memory_of_an_epoch_of_windows_is_bounded(tmp_path, shuffle, direct):
    save_array(tmp_path/'x.npy', (filled((100_000,16))+i for i in range(40))) # 256 MB, and 130 GB of windows
    grown = fresh("""
        import warnings
        from conftest import rss_anon
        from tsdisk.all import *
        path,shuffle,direct = args
        warnings.simplefilter('ignore')
        dls = TSDataLoaders.from_arrays(Windows(path, 512, horizon=24), bs=64, shuffle=shuffle, read=ReadOptions(direct=direct), device='cpu')
        dl = dls.train
        dl.one_batch()
        before,res = rss_anon(),0
        for i,b in enumerate(dl):
            if i%50 == 0: res = max(res, rss_anon()-before)
            if i == 2000: break""", str(tmp_path/'x.npy'), shuffle, direct)
    assert grown < 150, f'{grown:.0f} MB'

@pytest.mark.filterwarnings('ignore:Splits')
@pytest.mark.parametrize('layout', ['one','vars_first','samples','part_of_steps','list','ragged','zarr'])
def test_preloaded_windows_are_the_same(tmp_path, layout, capsys):
    xs = _series([300,250,300], 2)
    make,which = layouts[layout]
    x,axis = make(tmp_path, [xs[i] for i in which] if which else xs)
    for cut in (partial(Windows, size=16, stride=3), partial(Crops, size=16, per_series=30)):
        w = cut(x, horizon=4, gap=2, axis=axis, targets=[1])
        splits = range(0, len(w)//2), range(len(w)//2, len(w))
        a,b = [TSDataLoaders.from_arrays(w, w.target, splits=splits, bs=8, seed=1, device='cpu') for _ in range(2)]
        if layout in ('list','zarr') and type(w) is Crops:
            with fails(ValueError, 'save_ragged'): b.preload()
            continue
        b.preload()
        for p,q in ((a.train,b.train), (a.valid,b.valid)):
            for _ in range(2):
                for u,v in zip(p, q):
                    for s,t in zip(u, v): same(t.numpy(), s.numpy())
        if layout not in ('one','ragged'): return
        (a,*_),(b,*_) = (o.preloaded.columns for o in (b.train,b.valid))
        assert a is b and a.values.flat.numel()*4 == w.nbytes

def _random(*shape): return np.random.default_rng(0).random(shape).astype('f4')
in_memory = dict(steps=_random(4, 3, 300)[:, :, 50:-50], swapped=_random(4, 30, 3).swapaxes(1, 2), fortran=np.asfortranarray(_random(4, 3, 30)),
    repeated=np.broadcast_to(_random(10, 2)[:, :1], (10,2)))

@pytest.mark.parametrize('kind', in_memory)
def test_arrays_in_memory_are_found_again_after_a_pickle(kind):
    x = in_memory[kind]
    w = Windows(x, 8)
    same(w.gather(range(len(w))), np.stack([np.asarray(w[i]) for i in range(len(w))]))
    for o in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w)): same(o.gather(range(len(w))), w.gather(range(len(w))))

def test_missing_codes_are_no_data_for_statistics():
    x = (np.random.default_rng(0).normal(size=(400,2))*10).astype('i2')
    x[::10] = -9999
    w,s = Windows(x, 10),Standardize()
    ds = TSDatasets(w, np.arange(len(w))%2, missing=-9999, mask=True, splits=time_splits(w))
    with pytest.warns(UserWarning, match='FillNaN'): dls = TSDataLoaders.from_dsets(ds, bs=16, device='cpu', batch_tfms=[s, FillNaN()])
    assert s.mean.abs().max() < 3 and 7 < s.std.min() and s.std.max() < 13
    xb,mask,_ = dls.one_batch()
    assert not torch.isnan(xb).any() and (xb[~mask] == 0).all()

@pytest.mark.parametrize('names', [[3,7,9], ['a','bb','c']])
def test_preloaded_labels_of_steps_are_codes(names):
    y = np.array(names)[np.arange(200)//7%3]
    w = Windows(np.random.default_rng(0).random((200,2)).astype('f4'), 10, 10)
    dls = TSDataLoaders.from_dsets(TSDatasets(w, w.over(y), cat=True, splits=[range(15), range(15, 20)]), bs=4, device='cpu')
    before = dls.valid.one_batch()[1]
    same(dls.preload().valid.one_batch()[1].numpy(), before.numpy())
    c = Crops(np.zeros((1,2,200), 'f4'), 10, per_series=20)
    with fails(ValueError, "can't be preloaded"): TSDataLoaders.from_dsets(TSDatasets(c, c.label(y[None][0])), bs=4, device='cpu').preload()

def test_an_empty_copy_holds_no_data():
    w = Windows(np.zeros((400_000,2), 'f4'), 10)
    assert len(pickle.dumps(TSDatasets(w, splits=time_splits(w)).new_empty())) < 10_000

def test_a_list_of_paths_is_a_panel_and_keeps_its_axis(tmp_path):
    paths = [str(tmp_path/f'{i}.npy') for i in range(3)]
    for i,o in enumerate(paths): np.save(o, filled((12,12))+i)
    same(Windows(paths, 5, axis=1).gather([0]), (filled((12,12)))[None, :, :5])
    few = Shards.most
    Shards.most = 2
    try:
        same(Windows(paths, 5).gather([0]), filled((12,12))[:5].T[None])
        with fails(ValueError, 'axis=1'): Windows(paths, 5, axis=1)
    finally: Shards.most = few

def test_variables_are_chosen_by_number_name_or_mask():
    x = filled((30,3))
    same(Windows(x, 4, sel_vars=np.array([True,False,True])).gather([2]), x[2:6][:, [0,2]].T[None])
    with fails(TypeError, '1.7'): Windows(x, 4, sel_vars=[1.7])
    w,z = Windows(x, 4),filled((3,30))
    for sel in ([1,2,0], [2,2,0], [1,0], [-1], 1): same(w.over(z, sel_vars=sel, axis=1).gather([5]), z[sel if isinstance(sel, list) else [sel]][:, 5:9][None])
    with fails(ValueError, 'no variable 5'): w.over(z, sel_vars=[5], axis=1)
    with fails(ValueError, '`every`'): w.over(z, 0, axis=1)

def test_no_whole_series_is_read_for_a_window():
    class Counted:
        shape,dtype,most = (100_000,3),np.dtype('f4'),0
        def __getitem__(self, i):
            res = np.zeros(self.shape, 'f4')[i]
            Counted.most = max(Counted.most, res.size)
            return res
    w = Windows(Counted(), 5)
    w.gather([1,2])
    w[5]
    assert Counted.most <= 15
    for _ in w.blocks(range(100)): pass
    assert Counted.most <= 104*3
    Counted.most = 0
    several = Windows([Counted(), Counted()], 5)
    several[5]
    for _ in several.blocks(range(100)): pass
    assert 0 < Counted.most <= 104*3

def test_a_transform_in_place_leaves_targets_and_masks_alone():
    def zero(x):
        x[..., 0] = 0
        return x
    w = Windows(np.arange(1, 30, dtype='f4'), 4)
    for b in (TSDatasets(w, w, tfms=[zero, None]).batch([0]), next(iter(TSDataLoader(TSDatasets(w, w, tfms=[zero, None]), bs=1)))):
        same(b[0][0,0].numpy(), np.array([0,2,3,4], 'f4'))
        same(b[1][0,0].numpy(), np.array([1,2,3,4], 'f4'))
    x = np.array([[[1,np.nan,3]]], 'f4')
    same(TSDatasets(x, mask=True, tfms=[lambda x: x.nan_to_num_(0), None]).batch([0])[1].numpy(), np.array([[[True,False,True]]]))

def test_new_data_is_read_as_the_training_data_was(ragged):
    x = filled((20,2,10))
    dls = TSDataLoaders.from_arrays(x, sel_vars=[1,0], sel_steps=slice(2, 8), bs=4, device='cpu', seed=1)
    same(dls.test_dl(x[:3]).one_batch()[0].numpy(), x[:3][:, [1,0], 2:8])
    r = Ragged(ragged[0].panel.source.array, ragged[0].offsets, value=-1, side='left', most=5)
    dls = TSDataLoaders.from_arrays(r, np.arange(200.), splits=[range(100), range(100, 200)], bs=4, device='cpu')
    xb,mask = dls.test_dl(ragged[1][:3]).one_batch()
    same(xb.numpy(), r.gather([0,1,2]))
    static = filled((20,3))
    dls = TSDataLoaders.from_arrays((x, static), np.arange(20.), bs=4, device='cpu', seed=1)
    for items in ((x[:3], static[:3]), [*zip(x[:3], static[:3])]):
        for a,b in zip(dls.test_dl(items).one_batch(), (x[:3], static[:3])): same(a.numpy(), b)
    assert len(dls.test_dl(((x[:3], static[:3]), np.arange(3.)), with_labels=True).one_batch()) == 3

def test_masks_know_nan_and_codes():
    x = np.array([[[1,np.nan,-9,4]]], 'f4')
    same(TSDatasets(x, mask=True, missing=-9).batch([0])[1].numpy(), np.array([[[True,False,False,True]]]))
    same(TSDatasets(np.array([[[True,False]]]), mask=True).batch([0])[1].numpy(), np.array([[[True,True]]]))

def test_labels_made_by_a_function_are_not_cut():
    w = Windows(np.zeros(30, 'f4'), 4)
    y = w.label(np.arange(30), lambda y: ['high' if o.max() > 20 else 'l' for o in y])
    with fails(ValueError, '<U4', "dtype='<U20'"): y.gather([0,25])

def test_crops_of_other_seeds_are_others():
    a,b = [Crops(np.arange(10_000.), 5, per_series=50, seed=s).stored for s in (0,1)]
    assert (a.at_epoch(1).gather(range(50)) != b.at_epoch(0).gather(range(50))).mean() > .9
    with fails(ValueError, '`seed`'): Crops(np.zeros(100), 5, seed=-1)

def test_states_tell_other_windows_and_crops():
    x = np.zeros((300,2), 'f4')
    a,b,c,d = [TSDataLoader(TSDatasets(o), bs=8, shuffle=True, seed=1) for o in (Windows(x, 5, horizon=2, gap=3), Windows(x, 5, horizon=3, gap=2),
        Crops(x, 5, per_series=40, seed=1), Crops(x, 5, per_series=40, seed=2))]
    with fails(ValueError, 'data'): b.load_state_dict(a.state_dict())
    with fails(ValueError, 'data'): d.load_state_dict(c.state_dict())

@pytest.mark.parametrize('dtype', ['u1','u4','u8','i4'])
def test_offsets_of_any_integers(dtype):
    x = np.arange(20, dtype='f4')[:,None]
    r = Ragged(x, np.array([0,3,10,13,20], dtype))
    same(r.gather([1])[0,0], np.arange(3, 10, dtype='f4'))
    assert len(Windows(r, 5)) == 6

def test_prefetch_takes_nothing(ragged):
    for s in (ragged[0], ragged[0].direct(2), Windows(ragged[0], 3), Crops(ragged[0], 3)): s.prefetch([])

def test_a_series_of_no_steps_is_named(tmp_path):
    with fails(ValueError, 'Series 1 has no steps'): save_ragged(tmp_path/'r', [np.zeros((2,5)), np.zeros((2,0))])
    assert not (tmp_path/'r'/'values.npy').exists()

def test_stretches_that_do_not_touch_are_counted_once():
    x = _random(5000, 3)
    for xs in ([x], Ragged(x, [0,1000,1700,5000])):
        w = Windows(xs if isinstance(xs, Ragged) else x, 7, 50)
        rows = np.arange(0, len(w), 3)
        got,want = array_stats(w, rows),w.gather(rows)
        np.testing.assert_allclose(got.mean, want.mean((0,2), dtype='f8'), rtol=1e-5)
        assert got.count.tolist() == [len(rows)*7]*3

def test_labels_of_the_steps_of_samples():
    x,y = filled((4,3,20)),np.arange(80).reshape(4, 20)
    w = Windows(x, 5, 5)
    same(w.over(y).gather([5]), y[1,5:10][None])
    same(w.label(y).gather([0,15]), np.array([4,79]))

def test_static_integers_stay_so():
    w = Windows([np.zeros((9,2)), np.zeros((9,2))], 4, static=np.array([[16777217],[2]]))
    assert TSDatasets(w).batch([0])[1].tolist() == [[16777217]]
    with fails(TypeError, 'categories as integers'): TSDatasets(Windows([np.zeros((9,2))], 4, static=np.array([['a']])))

def test_many_files_are_announced_if_they_do_not_fit(tmp_path, monkeypatch):
    from tsdisk.data import reader
    for i in range(4): np.save(tmp_path/f'{i}.npy', filled((50,3,20)))
    s,told = Shards(tmp_path),[]
    s.most = 2
    monkeypatch.setattr(reader, 'free_memory', lambda: 0)
    monkeypatch.setattr(Shards, 'prefetch', lambda self, idxs: told.extend(idxs))
    for _ in TSDataLoader(TSDatasets(s), bs=16): pass
    assert told == [*range(200)]

def test_segmentation_and_several_inputs_train():
    from fastai.basics import CrossEntropyLossFlat, Learner, nn
    rng = np.random.default_rng(0)
    when = np.repeat(rng.integers(0, 3, 200), 20)
    x = (when[:,None] + rng.normal(size=(4000,2))/5).astype('f4')
    w = Windows(x, 40, 10)
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(4, 3, 3, padding=1)
        def forward(self, a, b): return self.conv(torch.cat([a, b.repeat_interleave(2, -1)], 1))
    dls = TSDataLoaders.from_arrays((w, w.over(x[::2], 2)), w.over(np.array(['a','b','c'])[when]), splits=time_splits(w), bs=16, device='cpu', seed=1)
    assert (dls.c, dls.train.dataset.n_inp, dls.vocab) == (3, 2, ['a','b','c'])
    learn = Learner(dls, Both(), loss_func=CrossEntropyLossFlat(axis=1))
    learn.remove_cb(progress.ProgressCallback)
    with learn.no_logging(): learn.fit(8, 1e-1)
    p,t = learn.get_preds()
    assert (p.argmax(1) == t).float().mean() > .9 and t.shape[1:] == (40,)
    dls.show_batch(max_n=2)
    learn.show_results(max_n=2)

def test_a_random_split_of_overlapping_windows_warns_once(recwarn):
    w = Windows(np.zeros((500,2), 'f4'), 10)
    rows = [np.arange(0, 491, 2), np.arange(1, 491, 2)]
    with pytest.warns(UserWarning, match='time_splits'): TSDatasets(w, splits=rows)
    n = len(recwarn)
    TSDatasets(w, splits=rows)
    TSDatasets(Windows(np.zeros((500,2), 'f4'), 10, 10), splits=[range(0, 50, 2), range(1, 50, 2)])
    TSDatasets(w, splits=time_splits(w))
    assert len(recwarn) == n

def test_windows_are_held_out_by_time_unless_told_otherwise():
    w = Windows([np.zeros((100,2), 'f4'), np.zeros((50,2), 'f4')], 5)
    dls = TSDataLoaders.from_arrays(w, bs=4, device='cpu')
    same(np.asarray(dls.valid.dataset.idxs), np.asarray(time_splits(w)[1]))

def test_batches_of_like_length_are_little_padded(tmp_path):
    lengths = np.random.default_rng(0).integers(10, 400, 4000)
    r = save_ragged(tmp_path, (np.zeros((1,n), 'f4') for n in lengths))
    def padding(**options):
        dl = TSDataLoader(TSDatasets(r), bs=32, shuffle=True, seed=1, read=ReadOptions(**options))
        real,all_ = np.sum([[int(m.sum()), m.numel()] for _,m in dl], axis=0)
        return 1-real/all_
    assert padding() < .1 < .3 < padding(by_length=False)

def test_appended_series_are_there_and_old_readers_go_on(ragged, tmp_path):
    xs = ragged[1][:20]
    old = save_ragged(tmp_path, xs)
    new = append_ragged(tmp_path, xs[:3])
    assert (len(old), len(new)) == (20,23)
    for i,o in enumerate([*xs, *xs[:3]]): same(np.asarray(new[i]), o)
    for i,o in enumerate(xs): same(np.asarray(old[i]), o)

def test_a_failed_append_leaves_what_was(ragged, tmp_path):
    xs = ragged[1][:5]
    save_ragged(tmp_path, xs)
    before = {o.name: o.read_bytes() for o in tmp_path.iterdir()}
    def broken():
        yield xs[0]
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): append_ragged(tmp_path, broken())
    with fails(ValueError, 'none was added'): append_ragged(tmp_path, [xs[0], xs[0][:2]])
    assert {o.name: o.read_bytes() for o in tmp_path.iterdir()} == before

def test_a_killed_append_leaves_what_was(ragged, tmp_path):
    xs = ragged[1][:5]
    save_ragged(tmp_path, xs)
    with open(tmp_path/'values.npy', 'ab') as f: f.write(b'half a series') # As a kill would leave it
    for i,o in enumerate(xs): same(np.asarray(open_ragged(tmp_path)[i]), o)
    new = append_ragged(tmp_path, [xs[1]])
    same(np.asarray(new[5]), xs[1])
    assert open_array(tmp_path/'values.npy').shape == (sum(o.shape[1] for o in xs)+xs[1].shape[1], 3)

def test_cut_values_are_refused(ragged, tmp_path):
    save_ragged(tmp_path, ragged[1][:5])
    with open(tmp_path/'values.npy', 'r+b') as f: f.truncate(4100)
    with fails(ValueError, 'truncated'): open_ragged(tmp_path)

@pytest.mark.parametrize('offsets,words', [([0,5,3], 'must ascend'), ([1,5], 'from 0'), ([0,5,30], 'at most the 20 steps'), ([0], 'n+1 integers'),
    ([0.,5.], 'n+1 integers'), ([0,5,5], 'no series may be empty')])
def test_bad_offsets_are_refused(offsets, words):
    with fails(ValueError, words): Ragged(np.zeros((20,2)), offsets)

# Targets of series of any length

@pytest.fixture
def steps_and_labels(tmp_path):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(2, int(n))).astype('f4') for n in rng.integers(10, 40, 60)]
    save_ragged(tmp_path/'x', xs), save_ragged(tmp_path/'codes', [(o[0] > 0).astype('i4')+3 for o in xs])
    save_ragged(tmp_path/'names', [np.where(o[0] > 0, 'up', 'down') for o in xs])
    return tmp_path,xs

@pytest.mark.parametrize('kind,side,most', [('codes','right',None), ('names','left',None), ('codes','left',20)])
def test_labels_of_steps_are_padded_with_what_losses_leave_out(steps_and_labels, kind, side, most):
    d,xs = steps_and_labels
    X,y = open_ragged(d/'x', side=side, most=most),open_ragged(d/kind)
    dls = TSDataLoaders.from_arrays(X, y, splits=[range(40), range(40,60)], bs=8, val_bs=20, cat=True, num_workers=0)
    xb,mask,yb = dls.valid.one_batch()
    assert dls.c == 2 and yb.shape == mask.shape == xb.shape[::2] and torch.equal(yb != -100, mask.as_subclass(torch.Tensor))
    assert type(yb[mask]) is type(yb) and np.array_equal(yb[mask], (xb[:,0] > 0)[mask])
    logits = torch.randn(20, 2, yb.shape[1])
    want = torch.nn.functional.cross_entropy(logits.swapaxes(1, 2)[mask.as_subclass(torch.Tensor)], torch.as_tensor(yb)[mask.as_subclass(torch.Tensor)])
    assert torch.allclose(dls.loss_func(logits, yb), want)

def test_as_many_targets_as_each_sample_has(tmp_path):
    rng = np.random.default_rng(0)
    x,ys = rng.normal(size=(50,2,30)).astype('f4'),[rng.normal(size=int(n)).astype('f4') for n in rng.integers(1, 6, 50)]
    y = save_ragged(tmp_path/'y', ys)
    dls = TSDataLoaders.from_arrays(x, y, splits=[range(30), range(30,50)], bs=8, val_bs=20, num_workers=0)
    xb,yb = dls.valid.one_batch()
    pred = torch.randn(20, 5)
    want = np.mean(np.concatenate([(pred[i,:len(o)].numpy()-o)**2 for i,o in enumerate(ys[30:])]))
    assert yb.shape == (20,1,5) and torch.allclose(dls.loss_func(pred, yb), torch.tensor(want))
    with pytest.raises(ValueError, match='must be floats'): TSDataLoaders.from_arrays(x, save_ragged(tmp_path/'z', [o.astype('i4') for o in ys]))
