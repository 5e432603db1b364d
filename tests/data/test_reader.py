"A reader gives the rows that are asked for, in groups, after it prefetched them in time"
import gc, threading, time
from dataclasses import FrozenInstanceError, replace
from functools import partial
import numpy as np, pytest, torch
from hypothesis import given, strategies as st
from conftest import fails, filled, ramp, same
from tsdisk.data import reader as module
from tsdisk.data.buffers import ColumnPool, Pools
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.epoch import Epoch
from tsdisk.data.epoch_options import Blocks
from tsdisk.data.loaders import TSDataLoader
from tsdisk.data.reader import NextBuffers, Reader, ReadOptions, past_cache, with_kept_codes
from tsdisk.disk.arrays import save_array
from tsdisk.disk.io import DiskFile
from tsdisk.disk.array_sources import ArraySource, as_source
from tsdisk.series.windows import Windows

class Noted(ArraySource):
    "Rows in memory that note what is prefetched and gathered"
    wants_prefetch = True
    def __init__(self, x):
        super().__init__(x)
        self.notes = []
    def prefetch(self, idxs): self.notes.append(('prefetch', np.asarray(idxs).tolist()))
    def _gather(self, idxs, out):
        self.notes.append(('gather', idxs.tolist()))
        super()._gather(idxs, out)

def spans(*lists): return [np.array(o) for o in lists]

# Options

@pytest.mark.parametrize('kw', [dict(block_bytes=0), dict(buffer_bytes=-1), dict(block_rows=.5), dict(lookup_rows=0), dict(prefetch=-1),
    dict(group_bytes=None), dict(spare=-1), dict(threads=0)], ids=str)
def test_sizes_that_cannot_be_are_refused(kw):
    with fails(ValueError, f'`{[*kw][0]}`', repr([*kw.values()][0])): ReadOptions(**kw)

def test_options_are_a_value():
    o = ReadOptions(direct=True)
    assert o == ReadOptions(direct=True) != ReadOptions() and hash(o) == hash(ReadOptions(direct=True))
    with pytest.raises(FrozenInstanceError): o.direct = False
    assert repr(replace(o, threads=4)) == 'ReadOptions(direct=True, threads=4)' and eval(repr(o)) == o

def test_loaders_pass_their_options_on(tmp_path):
    options = ReadOptions(direct=True, threads=3, prefetch=2, spare=1, group_bytes=0)
    dl = TSDataLoader(TSDatasets(save_array(tmp_path/'X.npy', ramp(100))), bs=10, read=options)
    source, = dl.open_reader().prefetched
    assert (source.most, source.threads, source.rows.file.engine.threads) == (3,3,3)
    assert len([*dl]) == 10 and dl.new().read is options and dl.pools.columns[0].stored.spare == 1

def test_each_number_of_threads_has_an_engine_of_its_own(tmp_path):
    path = save_array(tmp_path/'X.npy', ramp(100)).filename
    a,b,c,d = [DiskFile(path, o) for o in (3,3,2,None)]
    assert a.engine is b.engine and a.engine is not c.engine and [o.engine.threads for o in (a,c)] == [3,2]
    assert d.engine is DiskFile(path).engine and d.engine.threads == d.kind.threads

# Past the page cache

def test_small_sources_stay_in_the_page_cache(tmp_path, monkeypatch):
    big,small = [ArraySource(save_array(tmp_path/f'{n}.npy', ramp(n))) for n in (1000,10)]
    assert past_cache([big,small]) == [] and past_cache([big,small], direct=True) == [big]
    monkeypatch.setattr(module, 'free_memory', lambda: 0)
    assert past_cache([big,small]) == [big] and past_cache([big,small], direct=False) == []
    assert past_cache([ArraySource(ramp(1000))]) == []

def test_free_memory_is_asked_for_once_in_a_while(monkeypatch):
    asked = []
    monkeypatch.setattr(module, 'free_memory', lambda: asked.append(0) or 10**12)
    for _ in range(1000): past_cache([ArraySource(ramp(10))])
    assert 1 <= len(asked) <= 5

# Groups

@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=30), max_size=6), st.integers(1, 12), st.booleans(), st.booleans())
def test_groups_are_the_rows_asked_for_in_order(lists, k, pooled, prefetched):
    X = Noted(ramp(100)) if prefetched else ramp(100)
    columns = TSDatasets(X, np.arange(100)%7).reads()[0]
    r = Reader(columns)
    pools = Pools().fit(columns, k) if pooled else None
    got = [(x.clone(), y.clone()) for x,y in r.groups(spans(*lists), k, pools)]
    rows = np.array([i for o in lists for i in o], int)
    assert [len(x) for x,_ in got] == [len(o[i:i+k]) for o in lists for i in range(0, len(o), k)]
    if not lists: return
    same(torch.cat([x for x,_ in got]).numpy(), ramp(100)[rows])
    assert torch.cat([y for _,y in got]).tolist() == (rows%7).tolist()

@pytest.mark.parametrize('ahead', [0,1,4])
def test_groups_are_prefetched_some_groups_ahead(ahead):
    X = Noted(ramp(100))
    r = Reader(TSDatasets(X).reads()[0], ReadOptions(prefetch=ahead))
    list(r.groups(spans([0,1],[2,3],[4,5],[6,7],[8,9],[10]), 2))
    groups = [[0,1],[2,3],[4,5],[6,7],[8,9],[10]]
    at = {(kind,rows[0]): i for i,(kind,rows) in enumerate(X.notes)}
    assert [rows for kind,rows in X.notes if kind == 'prefetch'] == groups == [rows for kind,rows in X.notes if kind == 'gather']
    for i,group in enumerate(groups[:-1-ahead]): assert at['prefetch', groups[i+ahead][0]] < at['gather', group[0]] < at['prefetch', groups[i+ahead+1][0]]

@pytest.mark.parametrize('every', [1,2])
def test_a_shuffle_buffer_is_prefetched_while_the_one_before_it_is_used(every):
    X = Noted(ramp(100))
    r = Reader(TSDatasets(X).reads()[0], buffered=True)
    e = Epoch(100, bs=5, shuffle='block', seed=3, blocks=Blocks(5, 4))
    steps = range(0, len(e), every)
    batches = [e.positions(i, i+1) for i in steps]
    list(r.groups(batches, 5, buffers=NextBuffers(e, lambda pos: pos, 0, every)))
    prefetched = [rows for kind,rows in X.notes if kind == 'prefetch']
    assert [sorted(o) for o in prefetched] == [sorted(e.order.rows(k).tolist()) for k in range(5)]
    known = set()
    for kind,rows in X.notes:
        if kind == 'prefetch': known |= {*rows}
        else: assert {*rows} <= known # Never read before it was prefetched
    first_gather = next(i for i,(kind,_) in enumerate(X.notes) if kind == 'gather')
    assert first_gather == 1 # Before the first batch, all the disk is for the first buffer

def test_labels_of_a_span_are_read_at_once():
    y = Noted(np.arange(100)%3)
    y.wants_prefetch = False
    columns = TSDatasets(ramp(100), y, vocab=[0,1,2]).reads()[0]
    y.notes.clear()
    list(Reader(columns).groups(spans(range(30), range(30, 40)), 5))
    assert y.notes == [('gather', [*range(30)]), ('gather', [*range(30, 40)])]

@pytest.fixture
def in_file(tmp_path): return partial(save_array, tmp_path/'y.npy')

@pytest.mark.parametrize('y,dtype', [(np.arange(300)%3, 'int8'), (np.arange(300)-150, 'int16'), (np.array([*'abc'*100]), 'int8'), (np.array([*'ab'*150]) == 'a', 'int8'),
    (np.array([0]*299+[10**15]), 'int8')], ids=['few','many','strings','bools','far'])
def test_codes_are_kept_in_the_shortest_integers(in_file, y, dtype):
    column = TSDatasets(ramp(300), in_file(y)).tls[1]
    got,rows = with_kept_codes(column),np.array([299,0,7])
    assert got.codes.dtype == dtype and got.codes.nbytes == len(y)*np.dtype(dtype).itemsize
    same(got.read(rows).numpy(), column.read(rows).numpy())
    assert with_kept_codes(column) is got # The next epoch uses them again

def frozen(a):
    a.setflags(write=False) # Its base may change all the same
    return a

@pytest.mark.parametrize('y', [np.arange(300.), np.array([*'ab'*150]), frozen(np.array([*'ab'*150]))], ids=['floats','strings in memory','read-only strings'])
def test_other_columns_stay_as_they_are(y):
    column = TSDatasets(ramp(300), y).tls[1]
    assert with_kept_codes(column) is column

def test_labels_changed_in_memory_are_seen_in_the_next_epoch():
    y = np.arange(300)%3
    column,rows = TSDatasets(ramp(300), y).tls[1],np.arange(300)
    assert with_kept_codes(column).read(rows)[:3].tolist() == [0,1,2]
    y[:3] = 2,2,2
    assert with_kept_codes(column).read(rows)[:3].tolist() == [2,2,2]

def test_kept_codes_know_rows_without_a_label(in_file):
    y = in_file(np.array(['a','','b','']))
    column = TSDatasets(ramp(4), y, no_label='').tls[1]
    assert with_kept_codes(column).read(np.array([3,2,1,0])).tolist() == [-100,1,-100,0]

def test_labels_outside_the_vocabulary_matter_only_where_they_are_read(in_file):
    column = TSDatasets(ramp(4), in_file(np.array([*'abca'])), splits=[[0,1],[3]], vocab=['a','b']).tls[1]
    got = with_kept_codes(column)
    assert got.read(np.array([3,1])).tolist() == [0,1]
    with fails(ValueError, "Label 'c' is not in the vocabulary"): got.read(np.array([0,2]))

def test_a_new_vocabulary_needs_new_codes(in_file):
    column = TSDatasets(ramp(4), in_file(np.array([*'abab']))).tls[1]
    assert with_kept_codes(column).read(np.arange(4)).tolist() == [0,1,0,1]
    column.kind.set_vocab(['b','a'])
    assert with_kept_codes(column).read(np.arange(4)).tolist() == [1,0,1,0]

# How many rows

def test_groups_hold_whole_batches_of_some_bytes():
    r = Reader(TSDatasets(filled((100,3,50))).reads()[0], ReadOptions(group_bytes=90_000)) # Rows of 600 bytes
    assert r.bytes_per_row() == 600
    assert [r.group_rows(o) for o in (1,10,64,1000)] == [150,150,128,1000]

@pytest.mark.parametrize('row,spread,want', [(600, None, 600+1024), (1024, None, 1024), (600, 2.5, 1500)])
def test_rows_from_disk_take_whole_sectors(row, spread, want):
    X = Noted(np.zeros((10,1,row), 'u1'))
    X.sector = 512
    r = Reader(TSDatasets(X).reads()[0])
    assert r.sector == 512 and r.bytes_per_row(spread) == want

def test_small_rows_in_random_order_are_warned_of():
    X = Noted(np.zeros((10,1,64), 'u1'))
    columns = TSDatasets(X).reads()[0]
    Reader(columns).advise()
    X.sector = 512
    with pytest.warns(UserWarning, match='64 bytes .* one by one.* the more so the smaller the rows'): Reader(columns).advise()
    Reader(columns, buffered=True).advise()

@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('shuffle', [True,'block',False])
def test_buffers_of_an_epoch_are_freed_when_it_ends(tmp_path, shuffle):
    X = save_array(tmp_path/'X.npy', filled((2000,3,50)))
    if as_source(X).why_not_direct(): pytest.skip('files can not be read past the page cache here')
    dl = TSDataLoader(TSDatasets(X), bs=64, shuffle=shuffle, device='cpu', read=ReadOptions(direct=True))
    gc.collect()
    before = {id(o) for o in gc.get_objects() if isinstance(o, Reader)}
    gc.disable()
    try:
        assert sum(len(b[0]) for _ in range(3) for b in dl) >= 3*1984
        assert not [o for o in gc.get_objects() if isinstance(o, Reader) and id(o) not in before]
    finally: gc.enable()

# Threads

class Threads(ArraySource):
    "Rows in memory that note which thread gathers them"
    wants_threads = True
    def __init__(self, x):
        super().__init__(x)
        self.by,self.torch_threads = [],set()
    def _gather(self, idxs, out):
        self.by.append(threading.current_thread())
        self.torch_threads.add(torch.get_num_threads())
        time.sleep(.001)
        super()._gather(idxs, out)

class OneThread(Threads):
    wants_threads = False

def read_by(source, prefetch=4, n=600, **kwargs):
    "Threads that gather the rows of an epoch, which are checked"
    dl = TSDataLoader(TSDatasets(source), bs=10, device='cpu', read=ReadOptions(group_bytes=0, prefetch=prefetch), **kwargs)
    same(np.concatenate([o.numpy() for o, in dl]), source.array[:n])
    return {*source.by}

@pytest.fixture(params=[1,2,4])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)

def test_several_threads_read_groups(n_threads):
    found = read_by(Threads(ramp(600)))
    assert (len(found) > 1) == (n_threads > 1)
    assert threading.current_thread() in found

@pytest.mark.parametrize('source,prefetch', [(OneThread,4), (Threads,0), (Threads,1)])
def test_one_thread_reads_where_others_do_not_help(n_threads, source, prefetch):
    X = source(ramp(600))
    assert read_by(X, prefetch) == {threading.current_thread()} and X.torch_threads == {n_threads}

def test_at_most_three_groups_are_read_ahead(n_threads):
    source = Threads(ramp(600))
    for i,_ in enumerate(TSDataLoader(TSDatasets(source), bs=10, device='cpu', read=ReadOptions(group_bytes=0))): assert len(source.by) <= i+3
    assert i == 59

def test_windows_with_labels_of_their_series_are_read_by_threads():
    w = Windows(filled((5,3,100)), 10)
    r = Reader(TSDatasets(w, w.of_series(np.arange(5))).reads()[0])
    assert r._wants_threads(None) and not r.prefetched

def test_memory_for_a_gpu_is_taken_by_one_thread():
    columns = TSDatasets(filled((100,3,50))).reads()[0]
    r = Reader(columns)
    for rows in (10, 2**28//600+1): assert not r._wants_threads([ColumnPool(columns[0], rows, pin=True)])
    assert r._wants_threads([ColumnPool(columns[0], 10)])

@pytest.mark.parametrize('at', [0,1,7])
def test_an_error_comes_with_its_batch(n_threads, at):
    class Fails(Threads):
        def _gather(self, idxs, out):
            if idxs[0] == 10*at: raise OSError('no such row')
            super()._gather(idxs, out)
    got = []
    with fails(OSError, 'no such row'):
        for x, in TSDataLoader(TSDatasets(Fails(ramp(600))), bs=10, device='cpu', read=ReadOptions(group_bytes=0)): got.append(x)
    assert len(got) == at

@pytest.mark.parametrize('shuffle', [True,'block'])
def test_threads_change_no_batch(tmp_path, n_threads, shuffle):
    X,y = save_array(tmp_path/'X.npy', filled((3000,4,50))),np.arange(3000)%7
    def epochs(prefetch):
        dl = TSDataLoader(TSDatasets(X, y), bs=16, shuffle=shuffle, seed=3, device='cpu', read=ReadOptions(group_bytes=2**15, prefetch=prefetch))
        return [[(x.clone(), t.clone()) for x,t in dl] for _ in range(2)]
    for a,b in zip(epochs(4), epochs(0)):
        assert len(a) == len(b) and all(torch.equal(x, z) and torch.equal(t, u) for (x,t),(z,u) in zip(a, b))
