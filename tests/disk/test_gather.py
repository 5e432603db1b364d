"Rows are copied as NumPy would copy them, whatever the layout, in the faster of two ways"
from functools import partial
from types import SimpleNamespace
import numpy as np, pytest, torch
from conftest import all_dtypes, filled, same
from tsdisk.disk import gather
from tsdisk.disk.arrays import save_array
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.gather import copy_lines, copy_values, Faster, RowCopier, tensor_view, word_size

@pytest.mark.parametrize('dtype', ['f4','f8','i1','u1','i8','?'])
def test_tensor_view_shares_memory(dtype):
    a = filled((5,4), dtype)
    a.flags.writeable = False
    t = tensor_view(a)
    same(t.numpy(), a)
    assert t.data_ptr() == a.ctypes.data

def test_tensor_view_keeps_its_array_alive():
    t = tensor_view(np.arange(100_000)+1)
    [np.zeros(100_000, int) for _ in range(5)]
    same(t.numpy(), np.arange(100_000)+1)

def test_both_ways_of_copying_agree(tmp_path, monkeypatch):
    "One thread and many"
    big = filled((2000,3,70))
    for way in (0,1):
        monkeypatch.setattr(Faster, '__call__', lambda self, n, *ways, way=way: ways[way]())
        for a in (big, save_array(tmp_path/'b.npy', big)): same(as_source(a).gather(np.arange(1999, -1, -1)), big[::-1])

class Ways:
    "Two ways of a work that take some time each, on a clock of their own"
    def __init__(self, monkeypatch, *took):
        self.now,self.took,self.done = 0,list(took),[]
        monkeypatch.setattr(gather, 'time', SimpleNamespace(perf_counter=lambda: self.now))

    def __iter__(self): return iter([partial(self.work, 0), partial(self.work, 1)])
    def work(self, way):
        self.now += self.took[way]
        self.done.append(way)

def test_the_faster_way_is_taken(monkeypatch):
    ways,f = Ways(monkeypatch, 1.3, 1),Faster()
    for _ in range(60): f(1, *ways)
    assert ways.done == [0,1]*3 + [1]*10 + [0,1]*3 + [1]*20 + [0,1]*3 + [1]*12 # More and more

def test_the_first_way_stays_where_both_take_about_as_long(monkeypatch):
    ways,f = Ways(monkeypatch, 1.1, 1),Faster()
    for _ in range(20): f(1, *ways)
    assert ways.done == [0,1]*3 + [0]*10 + [0,1]*2

def test_a_way_that_is_much_slower_is_seldom_tried(monkeypatch):
    ways,f = Ways(monkeypatch, 10, 1),Faster()
    for _ in range(1012): f(1, *ways)
    assert ways.done == [0,1]*3 + [1]*10 + [0,1]*3 + [1]*990

def test_the_first_way_is_left_as_soon_as_it_gets_slow(monkeypatch):
    ways,f = Ways(monkeypatch, 1, 1.5),Faster()
    for _ in range(10): f(1, *ways)
    ways.took[0] = 100
    f(1, *ways)
    ways.took[0] = 1 # Once is no reason
    f(1, *ways)
    ways.took[0] = 100
    for _ in range(4): f(1, *ways)
    assert ways.done[6:] == [0]*4 + [0,0] + [0,0,1,1]

def test_reading_leaves_the_threads_of_others_alone(monkeypatch):
    monkeypatch.setattr(torch, 'set_num_threads', None)
    s = as_source(filled((2000,3,70)))
    for _ in range(10): s.gather(range(2000))

layouts = dict(plain=lambda a: a, fortran=np.asfortranarray, reversed=lambda a: a[::-1], every_second=lambda a: a[::2], backwards=lambda a: a[..., ::-1],
    swapped=lambda a: a.swapaxes(0, -1), repeated=lambda a: np.broadcast_to(a[:1], a.shape), one_column=lambda a: a[:,:1])

def unaligned(a):
    "The same array, one byte further in memory"
    memory = np.empty(a.nbytes+1, 'u1')
    res = memory[1:].view(a.dtype).reshape(a.shape)
    res[...] = a
    return res

@pytest.mark.parametrize('layout', [*layouts, 'unaligned'])
@pytest.mark.parametrize('dtype', all_dtypes)
def test_copied_rows_are_those_that_numpy_indexes(dtype, layout):
    for shape in ((40,), (40,3), (40,2,5)):
        a = filled(shape, dtype)
        if layout == 'one_column' and a.ndim == 1: continue
        a = unaligned(a) if layout == 'unaligned' else layouts[layout](a)
        for idxs in (np.arange(len(a)), np.arange(len(a))[::-1].copy(), np.array([len(a)-1,0,0,1]), np.zeros(0, np.int64)):
            outs = np.empty((len(idxs), *a.shape[1:]), a.dtype), unaligned(np.empty((len(idxs), *a.shape[1:]), a.dtype))
            for out in outs:
                RowCopier(a)(idxs, out)
                assert out.tobytes() == a[idxs].tobytes()

@pytest.mark.parametrize('a,want', [(np.zeros((3,2), 'f8'), 8), (np.zeros((3,3), 'f4'), 4), (np.zeros((3,3), 'i2'), 2), (np.zeros((3,5), 'i1'), 1),
    (np.zeros((3,2), 'f4')[::-1], 0), (np.zeros((3,4), 'f4')[:,::2], 0), (np.zeros(3), 0), (np.zeros((3,0)), 0), (np.zeros((3,3), 'f4')[:,:2], 4),
    (unaligned(np.zeros((3,2))), 1)], ids=str)
def test_the_longest_word_divides_rows_and_their_places(a, want): assert word_size(a) == want

@pytest.mark.parametrize('n', [1,2,7])
def test_copies_that_are_shared_out_are_whole(monkeypatch, n):
    monkeypatch.setattr(gather, 'PIECE_BYTES', 8)
    monkeypatch.setattr(gather, 'thread_count', lambda: n)
    table = torch.arange(60).reshape(20,3)
    rows,to = torch.tensor([19,0,7,7,3,11,2]),torch.zeros(7, 3, dtype=torch.int64)
    copy_lines(table, rows, to)
    assert (to == table[rows]).all()
    as_floats = torch.zeros(20, 3)
    copy_values(table, as_floats)
    assert (as_floats == table).all()
