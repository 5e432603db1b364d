"The manifest and the folder: what is written comes back, damage is refused, and results are kept with what they were computed from"
import math, os, shutil
import numpy as np, pytest
from hypothesis import assume, given, strategies
from conftest import elsewhere, fails, filled, same
from tsdisk.convert.convert import convert
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import save_array
from tsdisk.disk.rows import Ranges
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.folder.results import cached_result
from tsdisk.folder.stats import train_stats
from tsdisk.order.split_rows import check_splits
from tsdisk.order.splits import random_splits
from tsdisk.order.time_splits import time_splits
from tsdisk.series.clocks import clocks_of
from tsdisk.series.windows import Windows

@pytest.fixture
def X(tmp_path): return save_array(tmp_path/'X.npy', filled((300,3,20)))

def test_cached_result_computes_once_and_passes_errors_on(X):
    calls = []
    def f():
        calls.append(1)
        return dict(a=[1,2])
    assert cached_result(X, 'mine', f) == cached_result(X, 'mine', f) == cached_result(X[:], 'mine', f) == dict(a=[1,2]) and len(calls) == 1
    cached_result(X, 'mine', f, range(3))
    cached_result(X, 'other', f)
    assert len(calls) == 3
    with fails(ZeroDivisionError): cached_result(X, 'bad', lambda: 1/0)
    assert 'bad' not in read_manifest(os.path.dirname(X.filename))

# The manifest

def test_unknown_entries_are_kept(tmp_path):
    write_manifest(tmp_path, units=dict(acc='g'), future=[1,{'é': None}])
    write_manifest(tmp_path, rate=10)
    save_folder(tmp_path, filled((5,1,4)))
    train_stats(tmp_path/'X.npy')
    m = read_manifest(tmp_path)
    assert (m['units'], m['future'], m['rate'], m['version']) == (dict(acc='g'), [1,{'é': None}], 10, 1) and 'stats' in m and 'arrays' in m

def test_manifest_is_replaced_whole_or_not_at_all(tmp_path):
    write_manifest(tmp_path, a=1)
    was = (tmp_path/'tsdisk.json').read_bytes()
    with pytest.raises(TypeError): write_manifest(tmp_path, b=object())
    assert (tmp_path/'tsdisk.json').read_bytes() == was and [o.name for o in tmp_path.iterdir()] == ['tsdisk.json']

def test_many_processes_writing_leave_a_whole_manifest(tmp_path):
    from multiprocessing import get_context
    write_manifest(tmp_path, mine=1)
    with get_context('spawn').Pool(2) as pool: pool.map(_write_often, [(tmp_path, f'k{i}') for i in range(4)])
    m = read_manifest(tmp_path)
    assert m['mine'] == 1 and [o.name for o in tmp_path.iterdir()] == ['tsdisk.json'] and all(len(v) == 1000 for k,v in m.items() if k[0] == 'k')

def _write_often(o):
    for _ in range(20): write_manifest(o[0], **{o[1]: 'x'*1000})

def test_newer_manifest_is_refused(X, tmp_path):
    write_manifest(tmp_path)
    text = (tmp_path/'tsdisk.json').read_text().replace('"version": 1', '"version": 2')
    (tmp_path/'tsdisk.json').write_text(text)
    for f in (read_manifest, open_folder, write_manifest, TSDataLoaders.from_folder):
        with fails(ValueError, 'newer tsdisk', 'pip install -U'): f(tmp_path)
    assert (tmp_path/'tsdisk.json').read_text() == text

@pytest.mark.parametrize('text', ['{"a": ', '', '[1]', 'null', '"x"'])
def test_damaged_manifest_is_refused(tmp_path, text):
    (tmp_path/'tsdisk.json').write_text(text)
    with fails(ValueError, 'is damaged', 'tsdisk.json'): read_manifest(tmp_path)

# The folder

forms = dict(ranges=[range(80),range(80, 100)], slices=[slice(0,80),slice(80,100)], steps=[range(0, 100, 2),range(1, 100, 2)],
    backwards=[range(99, 19, -1),range(20)], rows=[np.array([5,3,99]),[1,2],range(50, 60)], masks=[np.arange(100) < 70,np.arange(100) >= 70],
    from_the_end=[slice(None,-20),slice(-20,None)], slice_steps=[slice(None,None,2),slice(1,None,2)])

@pytest.mark.parametrize('form', forms)
def test_folder_gives_back_arrays_and_splits(tmp_path, form):
    x,y,form = filled((100,2,5)),filled(100, 'f8'),dict(zip(('train','valid','test'), forms[form]))
    save_folder(tmp_path/'d', x, y, form)
    arrays,splits = open_folder(tmp_path/'d')
    same(arrays['X'], x)
    same(arrays['y'], y)
    assert all(type(o) is np.memmap for o in arrays.values()) and list(splits) == list(form)
    for a,b in zip(check_splits(list(splits.values()), 100), check_splits(list(form.values()), 100)): assert list(a) == list(b)
    dls = TSDataLoaders.from_folder(tmp_path/'d', bs=10)
    assert [len(o.dataset) for o in dls] == [len(o) for o in check_splits(list(form.values()), 100)]

def test_training_rows_are_those_named_train(tmp_path):
    save_folder(tmp_path, filled((10,1,4)), np.arange(10.), dict(valid=range(2), train=range(2, 10)))
    dls = TSDataLoaders.from_folder(tmp_path, bs=2)
    assert (len(dls.train_ds), len(dls.valid_ds)) == (8,2)

def test_folder_without_manifest_goes_by_names(tmp_path):
    save_array(tmp_path/'X.npy', filled((10,1,4)))
    assert list(open_folder(tmp_path)[0]) == ['X'] and open_folder(tmp_path)[1] == {}
    np.save(tmp_path/'y.npy', np.arange(10))
    assert list(open_folder(tmp_path)[0]) == ['X','y']
    same(open_folder(str(tmp_path))[0]['y'], np.arange(10))

def test_arrays_already_there_are_registered(tmp_path):
    save_array(tmp_path/'X.npy', filled((10,1,4)))
    save_folder(tmp_path, y=[1.,2.]*5, splits=dict(train=range(9), valid=range(9, 10)))
    m = read_manifest(tmp_path)
    assert m['arrays']['X'] == dict(file='X.npy', role='X', shape=[10,1,4], dtype='<f4') and m['arrays']['y']['shape'] == [10]
    assert m['splits'] == dict(train=[0,9], valid=[9,10])

def test_folder_can_be_moved(tmp_path):
    save_folder(tmp_path/'a', filled((10,1,4)), splits=dict(train=[1,2,3], valid=[4]))
    st = train_stats(tmp_path/'a/X.npy')
    shutil.move(tmp_path/'a', tmp_path/'b')
    arrays,splits = open_folder(tmp_path/'b')
    same(arrays['X'], filled((10,1,4)))
    assert splits['train'].tolist() == [1,2,3] and train_stats(arrays['X']) == st

def test_what_is_no_dataset_is_refused(tmp_path):
    with fails(FileNotFoundError, 'is not a folder'): open_folder(tmp_path/'typo')
    (tmp_path/'x.csv').touch()
    with fails(FileNotFoundError, 'no `X.npy`', 'x.csv'): open_folder(tmp_path)

def test_folder_opens_in_another_process(tmp_path):
    save_folder(tmp_path, filled((10,1,4)), [*'ab'*5], dict(train=[1,2], valid=[3]))
    arrays,splits = elsewhere("[{k: np.array(v) for k,v in o.items()} for o in __import__('tsdisk.folder.manifest').folder.manifest.open_folder(a)]", tmp_path)
    same(arrays['X'], filled((10,1,4)))
    assert splits['train'].tolist() == [1,2] and math.prod(arrays['y'].shape) == 10

@pytest.mark.parametrize('test_pct', [0,.1])
def test_splits_are_saved_as_they_were_made(test_pct, tmp_path):
    made = random_splits(100, seed=0, test_pct=test_pct)
    save_folder(tmp_path, filled((100,2,5)), splits=made)
    saved = open_folder(tmp_path)[1]
    assert [*saved] == ['train','valid','test'][:len(made)] and all(np.array_equal(a, b) for a,b in zip(saved.values(), made))
    for bad,words in (([[0],[1],[2],[3]], ['their names','folds']), ([[0,1],[1]], ['Row 1']), ([[0],[100]], ['100'])):
        with pytest.raises((ValueError,IndexError)) as e: save_folder(tmp_path/'b', filled((100,2,5)), splits=bad)
        assert all(o in str(e.value) for o in words) and not (tmp_path/'b').exists()

def test_a_folder_without_training_rows_is_refused(tmp_path):
    with fails(ValueError, "'train'"): save_folder(tmp_path, filled((20,2,5)), splits=dict(valid=range(10), test=range(10, 20)))
    assert not list(tmp_path.iterdir())

def test_new_inputs_never_meet_old_targets_or_splits(tmp_path):
    save_folder(tmp_path, filled((10,1,4)), [*'ab'*5], dict(train=range(8), valid=range(8, 10)))
    with fails(FileExistsError, 'y.npy', 'give `y` too'): save_folder(tmp_path, filled((20,1,4)))
    assert open_folder(tmp_path)[0]['X'].shape == (10,1,4)
    save_folder(tmp_path, filled((20,1,4)), [*'ab'*10])
    assert open_folder(tmp_path)[1] == {}
    with fails(ValueError, 'as many rows of `y`', "'y': 5"): save_folder(tmp_path, y=[1.]*5)

@pytest.mark.parametrize('how', ['given','put in place'])
def test_new_inputs_never_meet_old_times(tmp_path, how):
    records = [dict(X=filled((2,50)), start='2024-01-01', time_period=.01, time_jumps=[[20,10**9]], place='Bern') for _ in range(4)]
    with pytest.warns(UserWarning, match='have gaps'): convert(records, tmp_path/'set', n_workers=0)
    assert len(clocks_of(as_source(tmp_path/'set/X.npy').place()).gaps(4)) == 4
    save_folder(tmp_path/'set', splits=dict(train=range(4))) # The same rows
    assert {'clock','info','faults','made'} <= {*read_manifest(tmp_path/'set')}
    if how == 'given': save_folder(tmp_path/'set', filled((9,2,25)))
    else:
        np.save(tmp_path/'set/X.npy', filled((9,2,25)))
        save_folder(tmp_path/'set', splits=dict(train=range(9)))
    assert clocks_of(as_source(open_folder(tmp_path/'set')[0]['X']).place()) is None
    assert not {'clock','info','faults','made'} & {*read_manifest(tmp_path/'set')} and not (tmp_path/'set/jumps.npy').exists()

def test_targets_alone_are_no_dataset(tmp_path):
    with fails(ValueError, 'needs an `X`'): save_folder(tmp_path, y=[1.,2.])

@pytest.mark.parametrize('version', ['null', '"1"'])
def test_manifest_with_an_odd_version_is_damaged(tmp_path, version):
    (tmp_path/'tsdisk.json').write_text(f'{{"version": {version}}}')
    with fails(ValueError, 'is damaged'): read_manifest(tmp_path)

@pytest.mark.parametrize('y,err,word', [(np.zeros(5, 'i8'), ValueError, '10 and 5'), (np.array([None]*10), TypeError, '`y` has dtype object')], ids=['short','objects'])
def test_folder_is_checked_before_it_is_written(tmp_path, y, err, word):
    with fails(err, word): save_folder(tmp_path/'d', np.zeros((10,2,3), 'f4'), y)
    assert not (tmp_path/'d').exists()

# Splits of windows

some_ranges = strategies.sets(strategies.integers(0, 49), max_size=10).map(lambda o: [*zip(*[iter(sorted(o))]*2)])

@given(some_ranges, some_ranges)
def test_ranges_come_back_from_a_folder(tmp_path_factory, a, b):
    train = Ranges(a, 60)
    assume(len(train))
    path,splits = tmp_path_factory.mktemp('d'),dict(train=train, valid=Ranges([o for o in b if not set(range(*o)) & set(train)], 60))
    save_folder(path, filled((4,1,5)), splits=splits)
    got = open_folder(path)[1]
    for k,o in splits.items(): assert np.asarray(got[k]).tolist() == np.asarray(o).tolist()
    assert isinstance(got['train'], Ranges) and got['train'] == splits['train'] and got['train'].of == 60

def test_splits_of_windows_are_saved_as_ranges(tmp_path):
    w = Windows(save_array(tmp_path/'X.npy', filled((6,2,100))), 10, stride=3)
    splits = dict(zip(('train','valid','test'), time_splits(w, .3, .2)))
    save_folder(tmp_path, splits=splits)
    assert open_folder(tmp_path)[1] == splits and read_manifest(tmp_path)['splits']['valid'] == {'ranges': 'split_valid_ranges.npy', 'of': len(w)}
    assert np.load(tmp_path/'split_train_ranges.npy').shape == (6,2)
    with fails(ValueError, f'made for {len(w)} rows', 'the data has 6'): check_splits(open_folder(tmp_path)[1], 6)
    save_folder(tmp_path, splits=dict(train=Ranges([(0,2),(3,5)]), valid=[5])) # Rows, of X
    assert open_folder(tmp_path)[1]['train'] == Ranges([(0,2),(3,5)]) and open_folder(tmp_path)[1]['valid'].tolist() == [5]
    with fails(IndexError, 'row 6'): save_folder(tmp_path, splits=dict(train=Ranges([(0,2),(3,7)])))
