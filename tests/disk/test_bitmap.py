"Rows of a bitmap are those that were marked"
import pickle
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import mask, same
from tsdisk.disk.bitmap import BitRows, block_rows, blocks_of_bits, count_bits, rows_by_part
from tsdisk.folder.results import fingerprint

sizes = st.sampled_from([1,7,8,9,511,512,513,1024,1500])

@st.composite
def some_bits(draw):
    "A mask: few rows, most of them, runs, none or all"
    n,share,seed = draw(sizes),draw(st.sampled_from([0,.01,.5,.99,1])),draw(st.integers(0, 99))
    return np.random.default_rng(seed).random(n) < share

def rows_of(mask, marked=True):
    "`BitRows` of a mask, with the rows themselves or all others marked"
    bits = blocks_of_bits(len(mask))
    packed = np.packbits(mask if marked else ~mask, bitorder='little')
    bits.reshape(-1)[:len(packed)] = packed
    return BitRows(bits, len(mask), marked)

@given(some_bits(), st.booleans(), st.data())
def test_rows_are_those_where_a_mask_is_true(mask, marked, data):
    rows,want = rows_of(mask, marked),np.flatnonzero(mask)
    assert len(rows) == len(want)
    same(rows[:], want)
    if not len(want): return
    pos = np.array(data.draw(st.lists(st.integers(0, len(want)-1), max_size=20)), np.int64)
    same(np.asarray(rows[pos]), want[pos])
    a,b = sorted(data.draw(st.tuples(st.integers(0, len(want)), st.integers(0, len(want)))))
    same(np.asarray(rows[a:b]), want[a:b])
    assert rows[int(pos[0]) if len(pos) else -1] == want[pos[0] if len(pos) else -1]

@given(some_bits())
def test_bits_are_counted_block_by_block(mask):
    bits = rows_of(mask).bits
    want = [mask[i:i+block_rows].sum() for i in range(0, len(mask), block_rows)]
    for chunk in (1,2,2**13): assert count_bits(bits, chunk).tolist() == want

def test_rows_differ_where_one_bit_does():
    mask = np.arange(1500)%3 == 0
    other = mask.copy()
    other[1499] ^= True
    assert rows_of(mask) == rows_of(mask.copy()) != rows_of(other)

@given(st.lists(st.integers(0, 3), max_size=1100), st.integers(1, 64), st.sampled_from([2,3,5]))
def test_every_row_is_in_the_part_that_was_named(parts, chunk, k):
    parts = np.array(parts, np.int8)%k
    chunks = [parts[i:i+8*chunk] for i in range(0, len(parts), 8*chunk)]
    for i,rows in enumerate(rows_by_part(chunks, len(parts), k)): same(np.asarray(rows[:]), np.flatnonzero(parts == i))

def test_rows_may_be_in_no_part():
    parts = np.array([0,2,1,2,0])
    a,b = rows_by_part([parts], 5, 2, whole=False)
    assert a[:].tolist() == [0,4] and b[:].tolist() == [2]

@given(some_bits(), some_bits(), st.booleans())
def test_a_row_in_both_is_found_if_there_is_one(a, b, marked):
    n = min(len(a), len(b))
    a,b = a[:n],b[:n]
    row = rows_of(a, marked).common_row(rows_of(b, marked))
    assert row == next(iter(np.flatnonzero(a & b).tolist()), None)

def test_a_position_that_is_not_there_is_refused():
    rows = rows_of(np.arange(600)%2 == 0)
    for i in (300, -301, [0,300]):
        with pytest.raises(IndexError): rows[i]

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
