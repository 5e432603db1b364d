"Panels show series wherever they lie, and read no more than they are asked for"
import copy, pickle
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, same
from layouts import laid_out, layouts, lens, random_steps, recordings
from tsdisk.series.panels import Dense, Panel, find_layout, join_neighbors
from tsdisk.series.several import as_panel
from tsdisk.series.windows import Windows

_samples = random_steps(4, 3, 30)
in_memory = dict(steps=random_steps(4, 3, 300)[:, :, 50:-50], swapped=random_steps(4, 30, 3).swapaxes(1, 2),
    fortran=np.asfortranarray(_samples), repeated=np.broadcast_to(random_steps(10, 2)[:, :1], (10,2)))

@pytest.mark.parametrize('kind', in_memory)
def test_arrays_in_memory_are_found_again_after_a_pickle(kind):
    x = in_memory[kind]
    w = Windows(x, 8)
    same(w.gather(range(len(w))), np.stack([np.asarray(w[i]) for i in range(len(w))]))
    for o in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w)): same(o.gather(range(len(w))), w.gather(range(len(w))))

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

class Like:
    "An array-like that notes the largest of its reads"
    def __init__(self, x): self.x,self.shape,self.dtype,self.most = x,x.shape,x.dtype,0
    def __getitem__(self, i):
        res = self.x[i]
        self.most = max(self.most, res.size)
        return res

class OneIndex(Like):
    def __init__(self, x, error):
        super().__init__(x)
        self.error = error
    def __getitem__(self, i):
        if isinstance(i, tuple): raise self.error('one index at a time')
        return super().__getitem__(i)

@pytest.mark.parametrize('axis,shape', [(2,(4,3,10_000)), (1,(4,10_000,3))])
def test_a_window_of_one_of_several_series_reads_its_steps_alone(axis, shape):
    x = random_steps(*shape)
    like,want = Like(x),Windows(x, 5, axis=axis)
    w = Windows(like, 5, axis=axis)
    same(w.gather([1,len(w)-1]), want.gather([1,len(w)-1]))
    assert 0 < like.most <= 15
    for got,expected in zip(w.blocks(range(100)), want.blocks(range(100))): same(np.unique(got), np.unique(expected))
    assert like.most <= 104*3

@pytest.mark.parametrize('error', [TypeError,KeyError,FileNotFoundError,AttributeError])
@pytest.mark.parametrize('axis,shape', [(2,(4,3,50)), (1,(4,50,3))])
def test_objects_that_take_one_index_give_whole_series(axis, shape, error):
    x = random_steps(*shape)
    rows = [0,len(Windows(x, 5, axis=axis))-1,7]
    same(Windows(OneIndex(x, error), 5, axis=axis).gather(rows), Windows(x, 5, axis=axis).gather(rows))

def test_windows_over_a_value_that_is_repeated():
    w = Windows(np.broadcast_to(np.float32(7), (50,3)), 6)
    same(w.gather([44,0]), np.full((2,3,6), 7, 'f4'))

@pytest.mark.parametrize('layout', layouts)
def test_segments_of_every_layout_are_those_of_the_series(tmp_path, layout):
    x,axis,xs = laid_out(layout, tmp_path, recordings(lens, 3))
    panel = as_panel(x, axis)
    assert (len(panel), panel.vars, str(panel.dtype)) == (len(xs), 3, 'float32')
    for i,o in enumerate(xs):
        assert panel.length(i) == len(o)
        same(np.asarray(panel[i]), o.T)
        same(np.asarray(panel.segment(i, 2, 6)), o[2:6].T)
    series,step = np.array([len(xs)-1, 0]), np.array([3,0])
    got = panel.segments(4).gather(panel.segment_rows(series, step, [2,0])).reshape(2, -1)
    keep = [0,1,2] if panel.steps_first else [2,0]
    want = [xs[i][a:a+4][:, keep] for i,a in zip(series, step)]
    same(got, np.stack([o if panel.steps_first else o.T for o in want]).reshape(2, -1))

@pytest.mark.parametrize('block', [5,1000])
@pytest.mark.parametrize('layout', layouts)
def test_blocks_hold_every_step_of_some_segments_once(tmp_path, layout, block, monkeypatch):
    x,axis,xs = laid_out(layout, tmp_path, recordings(lens, 3))
    monkeypatch.setattr(Panel, 'block_steps', block)
    panel = as_panel(x, axis)
    segments = [(0,0,7), (0,9,12)] if len(xs) == 1 else [(0,0,7), (1,0,7), (len(xs)-1,2,30)]
    got = [*panel.segment_blocks(*map(np.array, zip(*segments)))]
    assert max(o.shape[0]*o.shape[2] for o in got) <= max(block, 7)
    steps = np.concatenate([np.asarray(o).swapaxes(1, 2).reshape(-1, 3) for o in got])
    want = np.concatenate([xs[i][a:b] for i,a,b in segments])
    same(np.sort(steps, 0), np.sort(want, 0))

def test_layouts_are_found_from_strides():
    x = np.zeros((4,30,3), 'f4')
    assert find_layout(x) == (True, 12, 30, 1)
    assert find_layout(np.zeros((4,3,30), 'f4').swapaxes(1, 2)) == (False, 4, 90, 30)
    assert find_layout(x[:, :, :1].copy()) == (True, 4, 30, 0)
    for o in (x[:, ::2], x[:, ::-1], x[:, :, :2]): assert find_layout(o) is None

@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=1, max_size=8))
def test_joined_neighbors_hold_the_same_steps_in_the_same_order(pairs):
    first,n = np.array(pairs).T
    a,m = join_neighbors(first, n)
    def steps(first, n): return [i for a,k in zip(first.tolist(), n.tolist()) for i in range(a, a+k)]
    assert steps(a, m) == steps(first, n) and (a[1:] != (a+m)[:-1]).all()

@pytest.mark.parametrize('shape,axis,words', [((5,5,5), 0, 'is 1 or 2'), ((5,5), 2, 'one of the 2 axes'),
    ((1,2,3,4), None, 'got (1, 2, 3, 4)')])
def test_axes_that_no_series_has_are_refused(shape, axis, words):
    with fails(ValueError, words): Dense(np.zeros(shape), axis)
