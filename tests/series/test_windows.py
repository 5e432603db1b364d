"Windows and their targets are what a loop over the series would give"
import pickle
import numpy as np, pytest, torch
from fastai.callback import progress
from hypothesis import given, settings, strategies as st
from conftest import fails, filled, fresh, linux, same
from layouts import laid_out, layouts, lens, loop, recordings
from tsdisk.testing import checks
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import save_array
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.transforms import FillNaN, Standardize
from tsdisk.disk.rows import Ranges
from tsdisk.disk.shards import Shards
from tsdisk.convert.convert import convert
from tsdisk.folder.manifest import open_folder
from tsdisk.order.time_splits import time_splits
from tsdisk.series.clock import Clock
from tsdisk.series.ragged_files import save_ragged
from tsdisk.series.windows import Windows

@pytest.fixture(scope='module', params=layouts)
def panel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('panel')
    return laid_out(request.param, folder, recordings(lens, 3))

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

@pytest.mark.parametrize('check', checks, ids=lambda f: f.__name__)
def test_windows_keep_the_contract_of_sources(panel, check):
    x,axis,xs = panel
    want = np.stack([xs[s][a:a+5].T for s,a in loop(xs, 5, 2)])
    check(Windows(x, 5, 2, axis=axis), want)

def test_roles_and_static_covariates_are_inputs(tmp_path):
    xs = recordings([20,25], 4)
    static = np.array([[1.,2.],[3.,4.]], 'f4')
    names = ['load','temp','hour','day']
    w = Windows(save_ragged(tmp_path, xs, axis=0), 5, horizon=3, names=names, sel_vars=names[:3],
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
    xs = recordings([3000,2500,3000], 2)
    x,axis,xs = laid_out(layout, tmp_path, xs)
    w = Windows(x, 16, 3, 4, 2, axis=axis)
    dl = TSDataLoader(TSDatasets(w), bs=32, shuffle=shuffle, read=ReadOptions(direct=direct), seed=1)
    if direct: assert 'straight from disk' in repr(dl)
    got = [o for o in dl]
    def key(x, y): return np.concatenate([x.reshape(-1), y.reshape(-1)]).tobytes()
    want = {key(xs[s][a:a+16].T, xs[s][a+18:a+22].T) for s,a in loop(xs, 16, 3, 4, 2)}
    seen = [key(x.numpy(), y.numpy()) for xb,yb in got for x,y in zip(xb, yb)]
    assert len(seen) == len(w) == len(want) and set(seen) == want

def test_missing_values_become_masks():
    x = np.arange(40, dtype='i2').reshape(20, 2)
    x[3,1] = -32768
    xb,mask = TSDatasets(Windows(x, 5), mask=True, packing=Packing(missing=-32768)).batch([0,4])
    same(mask.numpy(), np.array([[[1,1,1,1,1],[1,1,1,0,1]], [[1]*5]*2], bool))
    assert torch.isnan(xb).sum() == 1 and xb[0,1,3].isnan()
    f = x.astype('f4')
    f[3,1] = np.nan
    same(TSDatasets(Windows(f, 5), mask=True).batch([0,4])[1].numpy(), mask.numpy())

@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 8), st.floats(.1, 1))
def test_valid_rows_are_those_of_a_loop(size, stride, least):
    xs = recordings([30,4,17], 2)
    for i,x in enumerate(xs): x[np.random.default_rng(i).random(x.shape) < .4] = np.nan
    w = Windows(xs, size, stride)
    ok = [i for i,(s,a) in enumerate(loop(xs, size, stride)) if (~np.isnan(xs[s][a:a+size])).mean() >= least-1e-9]
    assert w.valid_rows(least)[:].tolist() == ok

def test_windows_that_are_not_there_are_errors():
    w = Windows(recordings(lens, 2), 5, 2)
    with fails(IndexError, 'series 0 to 4'): w.window(-1, 0)
    with fails(IndexError, f'Row {len(w)}'): w.cover([0, len(w)])
    with fails(IndexError, f'0 to {len(w)-1}'): w.locate(len(w))
    with fails(ValueError, 'every 2 steps'): w.window(0, 3)

def test_states_of_other_windows_are_refused():
    w = Windows(recordings([40,40,40,40,40,40], 1), 4)
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

bad_steps = [(dict(size=0), "`size` must be"), (dict(size=5, stride=0), "`stride`"), (dict(size=2.5), "`size`"),
    (dict(size=31), "longest series has 30"), (dict(size=5, static=np.zeros((7,2))), "5 series and 7 rows")]
bad_vars = [(dict(targets=[0]), "give `horizon`"), (dict(sel_vars=[4]), "no variable 4"),
    (dict(sel_vars=['a']), "give `names`"), (dict(names=['a']), "1 names for 3"), (dict(sel_vars=[]), "at least one")]

@pytest.mark.parametrize('kwargs,words', bad_steps + [(dict(size=5, **o), words) for o,words in bad_vars])
def test_mistakes_are_named(kwargs, words):
    with fails(ValueError, words): Windows(recordings(lens, 3), **kwargs)

def test_view_of_batches_works_in_any_order_of_memory():
    xb = TSDatasets(Windows(filled((50,3)), 8)).batch([0,1])[0]
    assert not xb.is_contiguous() and xb.view(2, -1).shape == (2,24)
    same(xb.view(2, 24).numpy(), xb.numpy().reshape(2, 24))
    with pytest.raises(RuntimeError): xb.view(5, 5)

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
        w = Windows(path, 512, horizon=24)
        dls = TSDataLoaders.from_arrays(w, bs=64, shuffle=shuffle, read=ReadOptions(direct=direct), device='cpu')
        dl = dls.train
        dl.one_batch()
        before,res = rss_anon(),0
        for i,b in enumerate(dl):
            if i%50 == 0: res = max(res, rss_anon()-before)
            if i == 2000: break""", str(tmp_path/'x.npy'), shuffle, direct)
    assert grown < 150, f'{grown:.0f} MB'

def test_missing_codes_are_no_data_for_statistics():
    x = (np.random.default_rng(0).normal(size=(400,2))*10).astype('i2')
    x[::10] = -9999
    w,s = Windows(x, 10),Standardize()
    ds = TSDatasets(w, np.arange(len(w))%2, packing=Packing(missing=-9999), mask=True, splits=time_splits(w))
    dls = TSDataLoaders.from_dsets(ds, bs=16, device='cpu', batch_tfms=[s, FillNaN()])
    assert s.mean.abs().max() < 3 and 7 < s.std.min() and s.std.max() < 13
    xb,mask,_ = dls.one_batch()
    assert not torch.isnan(xb).any() and (xb[~mask] == 0).all()

def test_an_empty_copy_holds_no_data():
    w = Windows(np.zeros((400_000,2), 'f4'), 10)
    assert len(pickle.dumps(TSDatasets(w, splits=time_splits(w)).new_empty())) < 10_000

def test_a_transform_in_place_leaves_targets_and_masks_alone():
    def zero(x):
        x[..., 0] = 0
        return x
    w = Windows(np.arange(1, 30, dtype='f4'), 4)
    ds = TSDatasets(w, w, tfms=[zero, None])
    for b in (ds.batch([0]), next(iter(TSDataLoader(ds, bs=1)))):
        same(b[0][0,0].numpy(), np.array([0,2,3,4], 'f4'))
        same(b[1][0,0].numpy(), np.array([1,2,3,4], 'f4'))
    x = np.array([[[1,np.nan,3]]], 'f4')
    ds = TSDatasets(x, mask=True, tfms=[lambda x: x.nan_to_num_(0), None])
    same(ds.batch([0])[1].numpy(), np.array([[[True,False,True]]]))

def test_masks_know_nan_and_codes():
    x = np.array([[[1,np.nan,-9,4]]], 'f4')
    same(TSDatasets(x, mask=True, packing=Packing(missing=-9)).batch([0])[1].numpy(), np.array([[[True,False,False,True]]]))
    same(TSDatasets(np.array([[[True,False]]]), mask=True).batch([0])[1].numpy(), np.array([[[True,True]]]))

def test_static_integers_stay_so():
    w = Windows([np.zeros((9,2)), np.zeros((9,2))], 4, static=np.array([[16777217],[2]]))
    assert TSDatasets(w).batch([0])[1].tolist() == [[16777217]]
    strings = TSDatasets(Windows([np.zeros((9,2))]*2, 4, static=np.array([['b'],['a']])))
    assert strings.batch([0])[1].tolist() == [[2]] # A code, after `#na#` and 'a'

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
    y = w.over(np.array(['a','b','c'])[when])
    how = dict(splits=time_splits(w), bs=16, device='cpu', seed=1)
    dls = TSDataLoaders.from_arrays((w, w.over(x[::2], 2)), y, **how)
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

@pytest.mark.filterwarnings('ignore:.*have gaps in time')
def test_windows_of_the_first_series_of_a_dataset_have_their_times(tmp_path):
    convert([dict(X=filled((1,80)), start=f'2024-01-0{i+1}', fs=1., time_jumps=[[40, 77*10**9]] if i > 2 else []) for i in range(6)], tmp_path/'set')
    X = open_folder(tmp_path/'set')[0]['X']
    few,all_ = Windows(X[:4], 5),Windows(X, 5)
    assert len(few) == 3*76+72 and len(few.last) == 4 and len(time_splits(few)) == 2
    same(few.gather(np.arange(len(few))), all_.gather(np.arange(len(few))))
    assert few.clocks[3].start == np.datetime64('2024-01-04')

@pytest.mark.parametrize('n', [1,2,4])
def test_a_list_of_clocks_has_one_for_each_series(n):
    clocks = [Clock('2024-01-01', fs=1)]*n
    with fails(ValueError, '3 series', f'{n} clocks'): Windows([np.zeros(30)]*3, 10, clock=clocks).times(0)
    assert Windows([np.zeros(30)]*n, 10, clock=clocks).times(0)[0] == np.datetime64('2024-01-01')
