"Splits of very many rows: no lists, the same rows as small splits have, little memory"
import pickle
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, fresh, linux, same
from tsdisk.convert.convert import append
from tsdisk.disk.bitmap import BitRows, rows_by_part
from tsdisk.disk.fingerprint import fingerprint
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.order import splits as splits_module
from tsdisk.order.codes import CodeOf, count_labels, distinct
from tsdisk.order.shuffle import ByWeight
from tsdisk.order.split_rows import RandomShare, check_rows, check_splits
from tsdisk.order.splits import group_splits, predefined_splits, stratified_splits
from tsdisk.disk.array_sources import as_source
from tsdisk.series.grid import FirstWindows, Grid
from tsdisk.series.ragged import Ragged

@pytest.fixture
def many(monkeypatch): monkeypatch.setattr(splits_module, 'listed_rows', 0)

def mask(seed, n, share): return np.random.default_rng(seed).random(n) < share

@given(seed=st.integers(0, 99), n=st.integers(1, 5000), share=st.sampled_from([0, .001, .2, .5, .97, 1]), marked=st.booleans())
def test_a_bitmap_acts_like_the_list_of_its_rows(seed, n, share, marked):
    m = mask(seed, n, share)
    rows = BitRows(rows_by_part([m], n, 2)[1].bits, n, marked)
    want = np.flatnonzero(m == marked)
    same(rows[:], want)
    assert len(rows) == len(want) and list(rows) == want.tolist()
    if not len(want): return
    pos = np.random.default_rng(seed).integers(-len(want), len(want), 50)
    same(rows[pos], want[pos])
    a,b = sorted(np.random.default_rng(seed+1).integers(0, len(want)+1, 2).tolist())
    same(rows[a:b], want[a:b])
    assert pickle.loads(pickle.dumps(rows)) == rows

def test_bitmaps_of_one_choice_have_one_identity_and_others_another(tmp_path):
    a,b,c = (rows_by_part([mask(o, 3000, .3)], 3000, 2)[1] for o in (1,1,2))
    x = np.lib.format.open_memmap(tmp_path/'X.npy', 'w+', 'f4', (3000,))
    assert a == b != c and repr(a) != repr(a.__class__(a.bits, 3000, False))
    assert fingerprint(x, a) == fingerprint(x, b) != fingerprint(x, c)

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

@given(seed=st.integers(0, 99), n=st.integers(1, 700), dtype=st.sampled_from(['u1','i8','<U3','S5','f4','?','i2']), k=st.integers(1, 300))
def test_labels_and_codes_are_those_of_numpy(seed, n, dtype, k):
    y = np.random.default_rng(seed).integers(0, k, n).astype(dtype)
    labels,counts,codes = np.unique(y, return_counts=True, return_inverse=True)[0], *np.unique(y, return_counts=True, return_inverse=True)[:0:-1]
    for found in (distinct(y), count_labels(as_source(y))):
        same(found[0], labels)
        assert found[1].tolist() == counts.tolist()
    assert CodeOf(labels)(y).tolist() == codes.reshape(-1).tolist()

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
    assert lazy[np.arange(n+1)].tolist() == grid.firsts.tolist() and lazy[-1] == len(grid)
    assert lazy.per_series().tolist() == grid.per_series.tolist()
    if len(grid): assert lazy.series(np.arange(len(grid))).tolist() == grid.series(np.arange(len(grid))).tolist()

def rows_of(n): return [RandomShare(n, .2, 5, o) for o in (False,True)], rows_by_part([mask(0, n, .3)], n, 2)

@pytest.mark.parametrize('which', [0,1], ids=['random','bitmap'])
def test_a_saved_split_is_the_same_split_and_grows(which, tmp_path):
    n = 5000
    train,valid = rows_of(n)[which]
    save_folder(tmp_path, np.zeros((n,1,2), 'f4'), splits=[train,valid])
    entries,found = read_manifest(tmp_path)['splits'],open_folder(tmp_path)[1]
    assert repr(found['train']) == repr(train) and np.array_equal(found['valid'], valid)
    assert sum(o.stat().st_size for o in tmp_path.glob('split_*')) < 11_000 and len(str(entries)) < 300
    append(tmp_path, np.zeros((3,1,2), 'f4'), split=lambda path: 'train', n_workers=0)
    grown = open_folder(tmp_path)[1]
    assert np.array_equal(grown['valid'], valid) and len(grown['train']) >= len(train)

def test_a_split_that_numpy_would_draw_otherwise_is_refused(tmp_path):
    save_folder(tmp_path, np.zeros((5000,1,2), 'f4'), splits=rows_of(5000)[0])
    entries = read_manifest(tmp_path)['splits']
    entries['train']['random']['tail'] += 1
    write_manifest(tmp_path, splits=entries)
    with fails(ValueError, 'draws other rows than the release that made this split'): open_folder(tmp_path)

@pytest.mark.parametrize('bits', [np.zeros((9,64), 'u1'), np.zeros((10,64), 'i1'), np.full((10,64), 255, 'u1')], ids=['short','signed','beyond'])
def test_a_bitmap_that_does_not_fit_is_damaged(bits, tmp_path):
    save_folder(tmp_path, np.zeros((5000,1,2), 'f4'), splits=rows_of(5000)[1])
    np.save(tmp_path/'split_valid_bits.npy', bits)
    with fails(DamagedFile, 'split_valid_bits.npy is damaged'): open_folder(tmp_path)

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
