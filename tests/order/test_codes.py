"Labels are counted and numbered as NumPy does it"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, same
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import save_array
from tsdisk.order.codes import (code_blocks, CodeOf, count_blocks, count_groups, count_labels, distinct, label_blocks, label_column,
    merge_labels)
from tsdisk.series.windows import Windows

@given(seed=st.integers(0, 99), n=st.integers(1, 700), dtype=st.sampled_from(['u1','i8','<U3','S5','f4','?','i2']), k=st.integers(1, 300))
def test_labels_and_codes_are_those_of_numpy(seed, n, dtype, k):
    y = np.random.default_rng(seed).integers(0, k, n).astype(dtype)
    labels,counts,codes = np.unique(y, return_counts=True, return_inverse=True)[0], *np.unique(y, return_counts=True, return_inverse=True)[:0:-1]
    for found in (distinct(y), count_labels(as_source(y))):
        same(found[0], labels)
        assert found[1].tolist() == counts.tolist()
    assert CodeOf(labels)(y).tolist() == codes.reshape(-1).tolist()

labels_of = dict(bytes='u1', numbers='i8', far='i8', negative='i2', truth='?', text='<U4', other_order='>U3', raw='S3', floats='f8', dates='M8[D]')

def labels_like(kind, numbers):
    "Labels of a kind, equal where the numbers are"
    a = np.array(numbers, 'i8')
    if kind in ('bytes','negative','truth'): return (a%2 if kind == 'truth' else a-20*(kind == 'negative')).astype(labels_of[kind])
    if kind == 'far': return a*10**16 - 2**61
    return a.astype(labels_of[kind]) if kind != 'dates' else a.view('M8[D]')

@pytest.mark.parametrize('kind', labels_of)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(1, 70))
def test_labels_of_codes_are_the_labels(kind, numbers, k):
    y = labels_like(kind, numbers)
    blocks = [y[i:i+k] for i in range(0, len(y), k)]
    labels,counts = count_blocks(blocks, y.dtype)
    y = y.astype(labels.dtype) # In the byte order of the machine
    same(labels, np.unique(y))
    same(counts, np.unique(y, return_counts=True)[1].astype('i8'))
    codes = code_blocks(labels, blocks, len(y))
    same(labels[codes], y)
    assert codes.dtype == np.uint8

def test_codes_are_the_same_where_strings_share_a_bucket():
    y = np.array([f'{i:06}' for i in range(5000)])[np.random.default_rng(0).permutation(5000)]
    labels,counts = distinct(y)
    assert CodeOf(labels).table is None # 5000 strings in 65,536 buckets
    same(labels, np.sort(y))
    same(labels[code_blocks(labels, [y[:7],y[7:]], 5000)], y)
    assert (counts == 1).all()

def test_labels_without_a_width_and_of_no_rows():
    for y in (np.zeros(3, '<U0'), np.array(['','','']), np.zeros(0, 'i8'), np.zeros(0, 'U3')):
        labels,counts = count_labels(as_source(y))
        same(labels, np.unique(y))
        assert counts.sum() == len(y) and len(code_blocks(labels, [y], len(y))) == len(y)

@given(st.lists(st.lists(st.integers(0, 9), max_size=20), min_size=2, max_size=2))
def test_labels_of_two_parts_are_those_of_the_whole(parts):
    a,b = (np.array(o, 'i8') for o in parts)
    labels,counts = merge_labels(*distinct(a), *distinct(b))
    whole = np.unique(np.append(a, b), return_counts=True)
    same(labels, whole[0])
    assert counts.tolist() == whole[1].tolist()

@pytest.mark.parametrize('rows', [1,3,100])
def test_blocks_of_labels_are_those_of_the_file(tmp_path, rows):
    y = save_array(tmp_path/'y.npy', np.arange(10))
    blocks = [*label_blocks(as_source(y), rows)]
    assert max(map(len, blocks)) <= rows
    same(np.concatenate(blocks), np.arange(10))

def test_one_label_a_row_or_a_series():
    w = Windows([np.zeros((9,1)), np.zeros((7,1))], 3)
    assert len(label_column([0,1], 'groups', w)) == 2 and len(label_column(np.arange(5), 'labels')) == 5
    with fails(ValueError, 'labels must be one label a row', '(3, 2)'): label_column(np.zeros((3,2)), 'labels')
    with fails(ValueError, '2 series and 3 groups'): label_column([0,1,2], 'groups', w)

@pytest.mark.parametrize('y,word', [(np.array([1,np.nan,np.nan]), 'nan'), (['a','',''], "''"), (np.array(['NaT','2024','NaT'], 'M8[Y]'), 'NaT')], ids=str)
def test_rows_without_a_group_are_counted(y, word):
    with fails(ValueError, '2 of 3 rows have no group', word): count_groups(as_source(y))
    groups,counts = count_groups(as_source(np.array([3,1,3])))
    assert (groups.tolist(), counts.tolist()) == ([1,3],[1,2])
