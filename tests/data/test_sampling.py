"What a dataset adds to the plan of an epoch: rows, weights, classes, places in the file, and checksums that tell them apart"
import pickle, tracemalloc, zlib
import numpy as np, pytest
from conftest import fails, linux, ramp, same
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.reader import ReadOptions
from tsdisk.data.sampling import DatasetRows, Sampling, class_counts, row_classes, row_groups, row_weights, with_train
from tsdisk.disk.rows import Ranges

labels = np.array([*'abbcccabbc'])
def dataset(split=range(10), y=labels): return TSDatasets(ramp(10), y, splits=[split], vocab=[*'abc']).train

@pytest.mark.parametrize('split', [range(10), range(2, 9), np.array([7,3,3,9]), range(9, -1, -2), Ranges([(1,4),(6,9)])], ids=str)
def test_positions_become_rows_of_the_arrays(split):
    r = DatasetRows(dataset(split))
    want = np.asarray(split)
    same(r.rows(np.arange(len(want))[::-1]), want[::-1].astype(np.int64))
    for pos in ([len(want)], [-len(want)-1]):
        with fails(IndexError, f'there are {len(want)}'): r.rows(pos)

def test_fewer_rows_can_be_used():
    r = DatasetRows(dataset(), n=4)
    with fails(IndexError, 'there are 4'): r.rows([4])
    assert Sampling(dataset(), n=4).size == 4

@pytest.mark.parametrize('split,places,spread', [(range(10), None, 1), (range(0, 10, 3), None, 2.5), (np.array([1,5,9]), None, 3),
    (np.array([9,5,1]), [2,1,0], 3), (range(9, -1, -1), None, 1), (np.array([0,10**6]), None, 8), (range(0), None, 1), (np.array([], int), None, 1)], ids=str)
def test_places_and_spread_of_a_split(split, places, spread):
    ds = dataset()
    ds.idxs = split
    r = DatasetRows(ds)
    assert (None if r.places is None else r.places.tolist()) == places and r.spread == spread

def test_blocks_follow_the_file():
    read = ReadOptions(block_bytes=240, buffer_bytes=960) # Rows of 24 bytes
    assert DatasetRows(dataset()).blocks(read).rows == 10
    apart = DatasetRows(dataset(np.array([9,1,4]))).blocks(read)
    assert (apart.rows, apart.buffer) == (3,4) and apart.places.tolist() == [1,2,0]

def test_weights_and_groups_are_for_rows_or_for_the_array():
    ds = dataset(np.array([7,3]))
    for f in (row_weights, row_groups):
        same(f([1.,2.], ds), np.array([1.,2.]))
        same(f(np.arange(10.), ds), np.array([7.,3.]))
        assert f(None, ds) is None
    with fails(ValueError, '`weights`', '2 rows of the dataset, or 10', '(3,)'): row_weights([1,2,3], ds)
    with fails(ValueError, 'one for each of 2 rows'): row_groups([1,2,3], ds)

def test_classes_are_labels_or_groups():
    ds = dataset(range(5, 10))
    assert class_counts(ds).tolist() == [1,2,2]
    classes,names = row_classes(ds)
    assert names == ['a','b','c'] and classes.counts.tolist() == [1,2,2]
    same(np.sort(classes.rows[:1]), np.array([1], classes.rows.dtype))
    for chunk in (1,2,100): same(row_classes(ds, chunk=chunk)[0].rows, classes.rows)
    classes,names = row_classes(ds, row_groups([*'xxyyy'], ds))
    assert names == ['x','y'] and classes.counts.tolist() == [2,3]
    with fails(ValueError, 'give `groups`'): row_classes(TSDatasets(ramp(10)))

@linux
@pytest.mark.parametrize('split', [None, 'shuffled'])
def test_groups_take_a_few_bytes_a_row(split):
    n = 3_000_000
    ds = TSDatasets(np.zeros((n,1,1), 'i1'), splits=split and [np.random.default_rng(0).permutation(n).astype(np.int32)]).train
    groups = np.tile(np.arange(4, dtype='i1'), n//4)
    tracemalloc.start()
    s = Sampling(ds, groups=groups)
    counts,names,checksum = s.classes[0].counts,s.classes[1],s.checksums['groups']
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.tolist() == [n//4]*4 and names == [0,1,2,3] and checksum == zlib.crc32(groups if split is None else groups[ds.idxs])
    assert peak < 8*n

@linux
def test_values_of_the_rows_of_a_split_are_taken_when_asked():
    n = 2_000_000
    ds = TSDatasets(np.zeros((n,1,1), 'i1'), splits=[np.arange(n, dtype=np.int32)[::-1].copy()]).train
    values = np.arange(n) % 4
    for rows in (None,n//2):
        tracemalloc.start()
        s = Sampling(ds, weights=values, groups=values, n=rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert s.groups[:3].tolist() == [3,2,1] and len(s.weights) == (rows or n)
        assert peak < 12*n

def test_nothing_is_read_before_an_order_needs_it(monkeypatch):
    monkeypatch.setattr('tsdisk.data.sampling.row_classes', lambda *_: 1/0)
    s = Sampling(dataset(), weights=dict(a=1, b=2, c=3))
    e = s.epoch(ReadOptions(), shuffle=True, bs=4)
    assert len(e) == 3 and e.state(1, **s.fingerprint())['step'] == 1
    with pytest.raises(ZeroDivisionError): s.drawing(e)

def test_what_was_found_is_found_once_and_not_pickled():
    s = Sampling(dataset(np.array([7,3,1])), weights=[1,2,3], groups=[0,1,1])
    found = s.by_weight,s.by_weight_in_file,s.classes,s.checksums
    assert (s.by_weight,s.by_weight_in_file,s.classes,s.checksums) == found
    other = pickle.loads(pickle.dumps(s))
    assert {*vars(other)} == {'dataset','n','size','weights','groups','given'} and other.fingerprint() == s.fingerprint()

@pytest.mark.parametrize('change', [dict(split=range(9)), dict(split=np.arange(10)), dict(split=np.arange(10)[::-1].copy()), dict(weights=np.ones(10)),
    dict(weights=np.arange(10)), dict(weights=dict(a=1, b=2, c=3))], ids=str)
def test_other_rows_and_weights_have_other_fingerprints(change):
    plain = Sampling(dataset()).fingerprint()
    other = Sampling(dataset(change.get('split', range(10))), weights=change.get('weights')).fingerprint()
    assert other != plain and other['data'] == plain['data'] == [10,2,3,'<f4']

def test_weights_of_classes_name_each_class():
    s = Sampling(dataset(), weights=dict(a=1, b=2))
    with fails(ValueError, 'must name each class', "['a', 'b']"): s.drawing(s.epoch(ReadOptions(), shuffle=True))
    s = Sampling(dataset(), weights=dict(a=1, b=2, c=0))
    assert s.drawing(s.epoch(ReadOptions(), shuffle=True)).shares == (.2, .8, 0.)
    with fails(ValueError, "shuffle='block'", 'weight for each row'): s.drawing(s.epoch(ReadOptions(), shuffle='block'))

def test_rows_of_no_split_are_for_training():
    train,test = with_train(dict(test=[1,3]), 5, 'data')
    assert train.tolist() == [0,2,4] and test == [1,3]
    assert with_train(dict(valid=[1], train=[0]), 2, 'data') == [[0],[1]]
    with fails(ValueError, 'data has the splits', "'test'", 'no `train`'): with_train(dict(test=[0,1]), 2, 'data')

def test_weights_and_groups_are_of_the_same_rows_in_another_loader():
    order = np.random.default_rng(0).permutation(40)
    ds = TSDatasets(np.arange(40.)[:,None,None], splits=[order]).train
    dl = TSDataLoader(ds, bs=8, shuffle=True, weights=np.arange(40) < 10, seed=0)
    for o in (dl, dl.new(bs=4), dl.new(bs=4).new()): assert np.concatenate([np.asarray(x).ravel() for x, in o]).max() < 10
    dl = TSDataLoader(ds, bs=8, shuffle='stratified', groups=np.arange(40)//20)
    same(dl.new().sampling.groups[:], dl.sampling.groups[:])
