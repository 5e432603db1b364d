"Splits of very many rows: no lists, the same rows as small splits have, little memory"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, fresh, linux, mask
from tsdisk.disk.bitmap import BitRows, rows_by_part
from tsdisk.order import splits as splits_module
from tsdisk.order.shuffle import ByWeight
from tsdisk.order.split_rows import check_rows, check_splits
from tsdisk.order.splits import group_splits, predefined_splits, stratified_splits
from tsdisk.series.grid import FirstWindows, Grid
from tsdisk.series.ragged import Ragged

@pytest.fixture
def many(monkeypatch): monkeypatch.setattr(splits_module, 'listed_rows', 0)

def test_a_row_in_two_bitmaps_is_found():
    a,b = rows_by_part([mask(0, 3000, .3)], 3000, 2)
    assert check_splits([a,b], 3000) == [a,b]
    with fails(ValueError, f'Row {b[0]} is in split 1'): check_splits([b,b], 3000)
    with fails(ValueError, f'Row {b[5]} is in split 1'): check_splits([b,[int(b[5])]], 3000)
    with fails(IndexError, 'It has row'): check_rows(a, 10, 'It')

@pytest.mark.parametrize('test_pct', [0, .1])
def test_groups_are_split_alike_in_lists_and_in_bitmaps(test_pct, many, monkeypatch):
    groups = np.random.default_rng(0).integers(0, 50, 300_000)
    big = group_splits(groups, .2, test_pct, seed=3)
    monkeypatch.undo()
    small = group_splits(groups, .2, test_pct, seed=3)
    for a,b in zip(big, small): assert isinstance(a, BitRows) and isinstance(b, np.ndarray) and np.array_equal(a, b)

def test_given_splits_are_alike_in_lists_and_in_bitmaps(many):
    which = np.random.default_rng(0).choice(['train','TEST','val'], 300_000)
    found = predefined_splits(which)
    assert [*found] == ['train','val','test']
    for k,rows in found.items(): assert isinstance(rows, BitRows) and np.array_equal(rows, np.flatnonzero(np.char.lower(which) == k))

@pytest.mark.parametrize('labels', [np.array(['rest','walk','run','?']), np.array([7,-3,10**12,-100]), np.array([0,1,2,-100], 'i1')], ids=['texts','far apart','small'])
def test_shares_of_classes_are_exact_in_bitmaps(labels, many):
    y = labels[np.random.default_rng(0).choice(4, 600_000, p=[.7,.25,.0001,.0499])]
    splits = stratified_splits(y, .2, .1, seed=0, no_label='?' if y.dtype.kind == 'U' else None)
    train,valid,test = map(np.asarray, splits)
    assert isinstance(splits[0], BitRows) and not (y[np.concatenate([train,valid,test])] == labels[3]).any()
    for c in labels[:3]:
        n,*found = ((y[o] == c).sum() for o in (slice(None),train,valid,test))
        assert sum(found) == n and abs(found[1]-.2*n) <= 1 and abs(found[2]-.1*n) <= 1
    assert abs(valid.mean()/len(y) - .5) < .01 and len(check_splits(splits, len(y))) == 3
    assert all(a == b for a,b in zip(splits, stratified_splits(y, .2, .1, seed=0, no_label='?' if y.dtype.kind == 'U' else None)))
    assert splits[1] != stratified_splits(y, .2, .1, seed=1, no_label='?' if y.dtype.kind == 'U' else None)[1]

@given(seed=st.integers(0, 99), n=st.integers(1, 400), draws=st.integers(1, 300), dtype=st.sampled_from(['f8','f4','u1']))
def test_weights_draw_as_from_the_sums_of_all(seed, n, draws, dtype):
    w = np.random.default_rng(seed).integers(0, 9, n).astype(dtype)*(.1 if dtype != 'u1' else 1)
    w[seed%n] = 1
    sums = np.cumsum(w, dtype='f8')
    found = ByWeight(w).draw(draws, seed)
    want = np.searchsorted(sums, (np.arange(draws)+found.start)*(sums[-1]/draws), 'right')
    assert found[np.arange(draws)].tolist() == np.minimum(want, np.searchsorted(sums, sums[-1])).tolist()

@given(seed=st.integers(0, 99), n=st.integers(1, 300), span=st.integers(1, 12), stride=st.integers(1, 5))
def test_first_windows_are_those_of_the_list(seed, n, span, stride):
    offsets = np.append(0, np.cumsum(np.random.default_rng(seed).integers(1, 20, n)))
    r = Ragged(np.zeros(offsets[-1]), offsets)
    grid,lazy = Grid(r, span, stride),FirstWindows(r, span, stride)
    assert lazy[np.arange(n+1)].tolist() == grid.firsts.starts.tolist() and lazy[-1] == len(grid)
    assert lazy.per_series().tolist() == grid.per_series.tolist()
    if len(grid): assert lazy.series(np.arange(len(grid))).tolist() == grid.series(np.arange(len(grid))).tolist()

memory = """
import threading, time, numpy as np
from conftest import rss_anon
from tsdisk.all import *
how,folder,n = args
y = np.memmap(folder + '/y.u1', 'u1', 'w+', shape=(n,))
for i in range(0, n, 2**20): y[i:i+2**20] = np.arange(i, min(i+2**20, n))//1000*7919 % 250
y = np.memmap(folder + '/y.u1', 'u1', 'r', shape=(n,))
X = create_array(folder + '/X.npy', (n,1,1), 'u1')
def saved(): save_folder(folder, splits=random_splits(n, seed=1)), open_folder(folder)
def weighted(): next(iter(TSDataLoader(TSDatasets(folder + '/X.npy'), weights=y, shuffle=True, seed=1, device='cpu')))
def stratified(): next(iter(TSDataLoader(TSDatasets(folder + '/X.npy', y), shuffle='stratified', seed=1, device='cpu')))
def windows():
    m = 3*10**6
    save_array(folder + '/offsets.npy', np.arange(m+1)*24 + np.arange(m+1)%7)
    values = np.memmap(folder + '/values.npy', 'f4', 'w+', shape=(m*24+7,1))
    w = Windows(Ragged(values, folder + '/offsets.npy'), 8)
    found[0] = rss_anon()
    group_splits(w, seed=1)
def folds():
    from tsdisk.order.folds import group_folds
    group_folds(y, 5, np.memmap(folder + '/y.u1', 'u1', 'r', shape=(n,)), seed=1)[0]
def make(): 
    with X as w:
        for i in range(0, n, 2**20): w.append(np.zeros((min(2**20, n-i),1,1), 'u1'))
if how in ('saved','weighted','stratified'): make()
ways = dict(groups=lambda: group_splits(y, seed=1), classes=lambda: stratified_splits(y, seed=1), saved=saved, weighted=weighted, stratified=stratified, windows=windows, folds=folds)
found,done = [rss_anon()],threading.Event()
def watch():
    while not done.wait(.002): found.append(rss_anon())
t = threading.Thread(target=watch, daemon=True)
t.start()
ways[how]()
done.set(), t.join()
res = max(found)-found[0]
"""

@linux
@pytest.mark.parametrize('how,most', [('groups',60), ('classes',60), ('saved',60), ('weighted',90), ('stratified',60), ('windows',90), ('folds',60)])
def test_splits_and_weights_take_little_memory(how, most, tmp_path): # Lists of 10⁷ rows take 80 MB, and took 400 in all
    assert fresh(memory, how, str(tmp_path), 10**7) < most
