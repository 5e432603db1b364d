"Covers of windows are those of a loop, for any number of windows"
import pickle, tracemalloc
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from conftest import same
from layouts import laid_out, layouts, lens, loop, random_steps, recordings
from tsdisk.folder.stats import array_stats
from tsdisk.folder.labels import array_vocab
from tsdisk.series.crops import CropGrid
from tsdisk.series.grid import FirstWindows, Grid, merge_segments
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

@pytest.fixture(scope='module', params=layouts)
def panel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('panel')
    return laid_out(request.param, folder, recordings(lens, 3))

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
    assert (a[0], b[0]) == (10**6%2505, 2600) and (a[1:] == 0).all() and b[-1] == (4*10**8-1)%2505 + 96

def test_stretches_that_do_not_touch_are_counted_once():
    x = random_steps(5000, 3)
    for xs in ([x], Ragged(x, [0,1000,1700,5000])):
        w = Windows(xs if isinstance(xs, Ragged) else x, 7, 50)
        rows = np.arange(0, len(w), 3)
        got,want = array_stats(w, rows),w.gather(rows)
        np.testing.assert_allclose(got.mean, want.mean((0,2), dtype='f8'), rtol=1e-5)
        assert got.count.tolist() == [len(rows)*7]*3

runs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 6)), min_size=1, max_size=9)

@given(runs)
def test_merged_segments_hold_the_same_steps(found):
    series,first,n = np.array(found).T
    got = [o.tolist() for o in merge_segments(series, first, first+n)]
    steps = [(s,t) for s,a,b in zip(*got) for t in range(a, b)]
    assert steps == sorted({(s,t) for s,a,k in found for t in range(a, a+k)})

def test_grids_know_their_settings_and_pickle():
    panel = Ragged(np.zeros((40,2)), [0,9,13,40])
    for g in (Grid(panel, 5, 2), CropGrid(panel, 5, 3, 7, epoch=2)):
        again = pickle.loads(pickle.dumps(g))
        assert again.settings == g.settings and len(again) == len(g) and again.moves == g.moves
        for a,b in zip(again.locate(np.arange(len(g))), g.locate(np.arange(len(g)))): same(a, b)

class VeryLong:
    "Series of billions of steps"
    lengths = np.array([2**33,10,2**31])
    def __len__(self): return len(self.lengths)
    def length(self, series): return self.lengths[series]

def test_billions_of_windows_of_one_series_are_counted():
    firsts = FirstWindows(VeryLong(), 1, 1)
    assert firsts.per_series().tolist() == [2**33,10,2**31] and firsts[3] == 2**33+10+2**31
