"Distinct labels and their counts, in one pass; they are kept with the file"
import os, numpy as np, pytest
from conftest import fails, filled, same
from tsdisk.convert.convert import append, convert
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.array_sources import LikeSource
from tsdisk.folder.labels import array_counts, array_vocab, class_weights, train_counts, train_vocab
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder
from tsdisk.series.ragged_files import save_ragged

def entries(X, kind):
    "The results in the manifest that were computed from a file"
    folder,name = os.path.split(X.filename)
    return read_manifest(folder).get(kind, {}).get(name, {})

def test_counts_and_class_weights(tmp_path):
    y = np.array(['b','a','c','a'])[np.random.default_rng(0).integers(0, 4, 5000)]
    for o in (y, save_array(tmp_path/'y.npy', y)):
        for rows in (None, range(0, 5000, 3)):
            got,want = array_counts(o, rows),np.unique(y if rows is None else y[::3], return_counts=True)
            assert np.array_equal(got[0], want[0]) and np.array_equal(got[1], want[1])
    w = class_weights(got[1])
    assert np.allclose(w*got[1], w[0]*got[1][0]) and np.isclose((w*got[1]).sum()/got[1].sum(), 1)
    with fails(ValueError, 'Each class needs a row'): class_weights([3,0])
    with fails(ValueError, 'more than 10'): array_counts(np.arange(20), max_n=10)

labels = [filled(500, 'i1'), filled((50,9), 'u2')%7, filled(300, '?'), filled(400)//1, np.array([*'cab'*50]), np.array(['é','','zz']), np.array([b'b',b'a']*9)]
@pytest.mark.parametrize('y', labels, ids=lambda o: o.dtype.str)
def test_vocab_is_what_is_there_sorted(tmp_path, y):
    if y.dtype == 'i1': y = y[y != -100] # No label
    on_disk = save_array(tmp_path/'y.npy', y)
    for o in (y, on_disk):
        same(array_vocab(o), np.unique(y))
        same(train_vocab(o), np.unique(y))
        same(train_vocab(o, [2,0,1]), np.unique(y[:3]))
        same(train_vocab(o, range(2)), np.unique(y[:2]))

def test_too_many_labels_are_refused():
    same(array_vocab(np.arange(100)%10, max_n=10), np.arange(10))
    with fails(ValueError, 'more than 10 distinct', 'cat=False'): array_vocab(np.arange(100), max_n=10)

def test_too_many_labels_are_noticed_before_all_is_read(monkeypatch):
    seen = []
    class Many(LikeSource):
        def _read(self, rows):
            seen.append(len(rows))
            return rows
    y = np.arange(10**6)
    src = Many(y)
    with fails(ValueError, 'more than 100,000 distinct'): array_counts(src)
    assert sum(seen) < 10**6

def test_counts_of_labels_are_kept_and_appended_to(tmp_path, monkeypatch):
    x,y = filled((90,2,5)),np.array([*'abc'*30])
    d = tmp_path/'set'
    convert([(o, v) for o,v in zip(x, y)], d)
    for rows in (None, range(60)): train_counts(d/'y.npy', rows)
    labels,n = train_counts(d/'y.npy')
    assert [*labels] == [*'abc'] and n.tolist() == [30]*3 and n.dtype == np.int64 and entries(open_array(d/'y.npy'), 'labels')
    append(d, [(o, v) for o,v in zip(x, [*'cd'*45])])
    y = open_folder(d)[0]['y']
    assert len(y) == 180
    monkeypatch.setattr('tsdisk.folder.labels.array_counts', lambda *_: 1/0) # All is there
    labels,n = train_counts(y)
    assert [*labels] == [*'abcd'] and n.tolist() == [30,30,75,45] and [*train_vocab(y)] == [*'abcd']

def test_vocab_is_kept_and_keeps_its_dtype(tmp_path):
    for i,y in enumerate((np.array(['b','a','b']), np.array([3,1,2], 'u1'), np.array([True,False,True]), np.array([.5,.25,.5], 'f4'))):
        y = save_array(tmp_path/f'y{i}.npy', y)
        same(train_vocab(y), np.unique(y))
        same(train_vocab(y), np.unique(y))
        assert len(entries(y, 'labels')) == 1

@pytest.mark.parametrize('rows', [None, [2,0]])
def test_labels_of_series_of_any_length_are_counted_without_padding(tmp_path, rows):
    series = [np.array([1,1,2]), np.array([3]), np.array([1,-100])]
    r = save_ragged(tmp_path, series)
    want = np.unique(np.concatenate([series[i] for i in rows or range(3)]), return_counts=True)
    for found,expected in zip(array_counts(r, rows), want): assert found.tolist() == expected[1:].tolist()
