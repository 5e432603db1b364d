"GluonTS, Time-300B and MONSTER"
import gzip, json
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert import readers
from tsdisk.convert.public_datasets import from_monster, monster_folds, period_of_alias
from tsdisk.convert.convert import convert
from tsdisk.convert.info import info
from tsdisk.convert.readers import read_file
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clocks import clocks_of

# GluonTS

series = [dict(start='2014-01-01 00:00:00', target=[1.5,'NaN',3], item_id='T1', feat_static_cat=[0,7], feat_dynamic_real=[[1,2,3],[4,5,6]]),
    dict(start='2014-02-01 12:00:00', target=[None,5], item_id='T2', feat_static_cat=[1,8], feat_dynamic_real=[[1,2],[3,4]])]

def write_lines(path, entries=series):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = '\n'.join(json.dumps(o) for o in entries) + '\n'
    if path.suffix == '.gz': path.write_bytes(gzip.compress(text.encode()))
    else: path.write_text(text)
    return path

@pytest.mark.parametrize('name', ['data.json','data.jsonl','data.json.gz','data.JSONL.gz'])
def test_files_of_gluonts_are_read(name, tmp_path):
    (tmp_path/'metadata.json').write_text('{"freq": "1H", "prediction_length": 24}')
    path = write_lines(tmp_path/name)
    a,b = read_file(path)
    assert np.array_equal(a['X'], [[1.5,np.nan,3]], equal_nan=True) and np.array_equal(b['X'], [[np.nan,5]], equal_nan=True)
    assert a['start'] == '2014-01-01T00:00:00' and a['fs'] == 1/3600 and a['item_id'] == 'T1' and a['freq'] == '1H'
    assert a['feat_static_cat'].tolist() == [0,7] and a['feat_dynamic_real'].shape == (2,3)
    convert(path, tmp_path/'set', n_workers=0)
    arrays,_ = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'][1], [[np.nan,5]], equal_nan=True) and arrays['item_id'].tolist() == ['T1','T2']
    assert arrays['feat_static_cat'][:].tolist() == [[0,7],[1,8]] and arrays['feat_dynamic_real'][1].tolist() == [[1,2],[3,4]]
    assert clocks_of(as_source(arrays['X']).place())[1].times(1) == np.datetime64('2014-02-01T13:00')
    assert '1 x 3' in repr(info(path))

@pytest.mark.parametrize('where', ['metadata.json','metadata/metadata.json','train/metadata.json'])
def test_a_folder_of_gluonts_has_splits_and_a_frequency(where, tmp_path):
    for split in ('train','test'): write_lines(tmp_path/f'raw/{split}/data.json.gz')
    (tmp_path/'raw'/where).parent.mkdir(exist_ok=True)
    (tmp_path/'raw'/where).write_text('{"freq": "D"}')
    convert(tmp_path/'raw', tmp_path/'set', n_workers=0)
    arrays,splits = open_folder(tmp_path/'set')
    assert {k: [*v] for k,v in splits.items()} == dict(train=[2,3], test=[0,1])
    assert where.startswith('train') or metadata_of(tmp_path/'set')['fs'] == 1/86400

def test_a_corrected_frequency_is_read(tmp_path):
    write_lines(tmp_path/'data.json')
    for freq in ('D','H'):
        (tmp_path/'metadata.json').write_text(json.dumps(dict(freq=freq)))
        assert next(iter(read_file(tmp_path/'data.json')))['freq'] == freq

def test_other_files_of_json_are_no_inputs(tmp_path):
    np.save(tmp_path/'a.npy', np.ones((2,9)))
    for name,text in {'info.json': '{"site": 3}', 'list.json': '[1,2]', 'empty.json': '', 'labels.jsonl': '{"id": 1, "target": "left"}\n', 'meta.json': '{"files": {}}', 'b.json.gz': 'no gzip'}.items():
        (tmp_path/name).write_text(text)
    convert(tmp_path, tmp_path/'set', n_workers=0)
    assert open_folder(tmp_path/'set')[0]['X'].shape == (1,2,9)
    with fails(ValueError, 'info.json holds no series', 'target'): read_file(tmp_path/'info.json')

def test_series_of_several_variables_are_read(tmp_path):
    got, = read_file(write_lines(tmp_path/'a.jsonl', [dict(target=[[1,2,3],[4,5,6]], start='2020-01-06/2020-01-12', freq='W-SUN')]))
    assert got['X'].tolist() == [[1,2,3],[4,5,6]] and got['fs'] == 1/604800 and got['start'] == '2020-01-06'

odd = [({'target': []}, 'line 1: `target`'), ({'target': [[1],[1,2]]}, 'lists of them of the same length'), ({'target': ['x']}, '`target` must be a list of numbers'), ({'target': {'a': 1}}, '`target`'), ({'target': 5}, '`target`'),
    ({'target': [1], 'feat_static_cat': [1.5]}, '`feat_static_cat` must be a list of whole numbers'), ({'target': [1], 'feat_dynamic_real': [['x']]}, '`feat_dynamic_real`')]

@pytest.mark.parametrize('entry,words', odd)
def test_odd_series_are_named(entry, words, tmp_path):
    with fails(ValueError, 'a.jsonl', words): [*read_file(write_lines(tmp_path/'a.jsonl', [entry]))]

def test_damaged_lines_are_named(tmp_path):
    path = write_lines(tmp_path/'a.jsonl')
    path.write_text(path.read_text() + '{"target": [1,\n')
    with fails(ValueError, 'a.jsonl: line 3 is not JSON'): [*read_file(path)]
    path.write_text('{"target": [1]}\n[1]\n')
    with fails(ValueError, 'a.jsonl: line 2 has no `target`'): [*read_file(path)]

aliases = {'H': 3600, 'h': 3600, '1H': 3600, '30min': 1800, '15T': 900, 'S': 1, '10s': 10, 'D': 86400, '7D': 604800, 'W': 604800, 'W-MON': 604800, '100ms': .1,
    'M': None, 'ME': None, 'MS': None, 'B': None, 'Q': None, 'QS-OCT': None, 'Y': None, 'A-DEC': None, '': None, 'x': None, '0H': None}

@pytest.mark.parametrize('alias', aliases)
def test_only_frequencies_of_fixed_length_are_rates(alias): assert period_of_alias(alias) == pytest.approx(aliases[alias])

# Time-300B

def write_time300b(folder, scale=True, sizes=(700,400), dtype='float32'):
    "Series of 500, 1 and 599 values, in files of some sizes"
    folder.mkdir(parents=True)
    v = np.random.default_rng(0).normal(size=1100).astype(dtype)
    names = [f'data-{i+1}-of-{len(sizes)}.bin' for i in range(len(sizes))]
    for o,part in zip(names, np.split(v, np.cumsum(sizes)[:-1])): part.tofile(folder/o)
    places = [dict(offset=a, length=n) | (dict(mean=10.*i, std=2., id=f's{i}') if scale else {}) for i,(a,n) in enumerate([(0,500), (500,1), (501,599)])]
    meta = dict(num_sequences=3, dtype=dtype, files=dict(sorted(zip(names, map(int, sizes)))), scales=places)
    (folder/'meta.json').write_text(json.dumps(meta))
    return [v[a:a+n]*(2. if scale else 1) + (10.*i if scale else 0) for i,(a,n) in enumerate([(0,500), (500,1), (501,599)])]

@pytest.mark.parametrize('scale', [True,False])
@pytest.mark.parametrize('sizes', [(700,400), (1100,), (50,)*22])
def test_folders_of_time300b_are_read(scale, sizes, tmp_path):
    want = write_time300b(tmp_path/'raw/energy/one', scale, sizes)
    write_time300b(tmp_path/'raw/web', scale, sizes)
    convert(tmp_path/'raw', tmp_path/'set', n_workers=0)
    X = open_folder(tmp_path/'set')[0]['X']
    assert len(X) == 6 and X.dtype == np.float32
    for i in range(6): assert np.allclose(X[i][0], want[i%3], atol=1e-5)

def test_series_of_time300b_without_values_are_named(tmp_path):
    write_time300b(tmp_path/'raw', scale=False)
    path = tmp_path/'raw/meta.json'
    meta = json.loads(path.read_text())
    meta['scales'].insert(1, dict(offset=500, length=0))
    path.write_text(json.dumps(meta))
    got = [*read_file(path)]
    assert [o['X'].shape[1] for o in got] == [500,1,599] and got[0]['left_out'] == {'series 1': 'no values'} and 'left_out' not in got[1]

def test_categories_are_exact(tmp_path):
    got, = read_file(write_lines(tmp_path/'a.jsonl', [dict(target=[1], feat_static_cat=[16_777_217])]))
    assert got['feat_static_cat'].tolist() == [16_777_217] and got['feat_static_cat'].dtype == np.int64

def test_long_series_of_time300b_come_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, 'large', 1000)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (400,))
    want = write_time300b(tmp_path/'raw')
    got = [*read_file(tmp_path/'raw/meta.json')]
    assert not hasattr(got[0]['X'], 'shape') and got[0]['id'] == 's0'
    assert np.allclose(np.concatenate([*got[0]['X']], 1)[0], want[0], atol=1e-5)

@pytest.mark.parametrize('key,words', [('scales','lacks'), ('dtype','lacks'), ('files','lacks')])
def test_metadata_that_lacks_something_is_named(key, words, tmp_path):
    write_time300b(tmp_path/'raw')
    path = tmp_path/'raw/meta.json'
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k,v in meta.items() if k != key}))
    with fails(ValueError, 'meta.json', words, key): [*read_file(path)]
    path.write_text(json.dumps({**meta, 'scales': [dict(offset=1090, length=20)]}))
    with fails(ValueError, 'series 0 has 20 values from 1,090 on', '1,100'): [*read_file(path)]
    path.write_text('[1]')
    with fails(ValueError, 'meta.json'): [*read_file(path)]

def test_files_that_were_not_downloaded_whole_are_named(tmp_path):
    write_time300b(tmp_path/'raw')
    path = tmp_path/'raw/data-2-of-2.bin'
    path.write_bytes(path.read_bytes()[:-5])
    with fails(ValueError, 'data-2-of-2.bin', '1,595 bytes', '1,600', 'download'): [*read_file(tmp_path/'raw/meta.json')]
    path.unlink()
    with fails(FileNotFoundError, 'data-2-of-2.bin'): [*read_file(tmp_path/'raw/meta.json')]

# MONSTER

def write_monster(folder, x='X', y='y', n=20, folds=5):
    folder.mkdir(parents=True)
    X,labels = np.random.default_rng(0).normal(size=(n,3,50)).astype('f4'),np.arange(n)%4
    np.save(folder/f'Traffic_{x}.npy', X)
    np.save(folder/'Traffic_metadata.npy', np.arange(3))
    if y: np.save(folder/f'Traffic_{y}.npy', labels)
    for i in range(folds): np.savetxt(folder/f'test_indices_fold_{i}.txt', np.arange(i, n, folds), fmt='%d')
    return X, labels

@pytest.mark.parametrize('x,y', [('X','y'), ('X','Y'), ('x','y')])
def test_monster_is_used_where_it_lies(x, y, tmp_path):
    X,labels = write_monster(tmp_path/'Traffic', x, y)
    before = {o.name: o.stat().st_mtime_ns for o in (tmp_path/'Traffic').iterdir()}
    for fold in (0,3):
        path = from_monster(tmp_path/'Traffic', fold)
        arrays,splits = open_folder(path)
        assert np.array_equal(arrays['X'][:], X) and np.array_equal(arrays['y'][:], labels) and arrays['X'].filename.name == f'Traffic_{x}.npy'
        assert [*splits['test']] == [*range(fold, 20, 5)] and sorted([*splits['train'], *splits['test']]) == [*range(20)]
    assert {k: (path/k).stat().st_mtime_ns for k in before} == before
    dls = TSDataLoaders.from_folder(path, bs=4)
    assert dls.train.n == 16 and dls.valid.n == 4 and dls.c == 4
    other = TSDataLoaders.from_folder(path, splits=monster_folds(path)[1], bs=4)
    assert np.array_equal(other.valid.one_batch()[0].numpy(), X[1::5])

def test_monster_without_labels_or_folds_is_used(tmp_path):
    write_monster(tmp_path/'a', y=None, folds=0)
    arrays,splits = open_folder(from_monster(tmp_path/'a'))
    assert [*arrays] == ['X'] and not splits and monster_folds(tmp_path/'a') == []

def test_more_than_ten_folds_are_in_order(tmp_path):
    write_monster(tmp_path/'a', folds=12, n=24)
    assert [test.tolist() for _,test in monster_folds(tmp_path/'a')] == [[i,i+12] for i in range(12)]

def test_odd_folders_of_monster_are_named(tmp_path):
    X,_ = write_monster(tmp_path/'a')
    with fails(ValueError, '5 folds', 'fold=7'): from_monster(tmp_path/'a', 7)
    (tmp_path/'a/test_indices_fold_2.txt').write_text('3\n20\n')
    with fails(ValueError, 'test_indices_fold_2.txt', '0 to 19'): from_monster(tmp_path/'a')
    (tmp_path/'a/test_indices_fold_2.txt').write_text('x\n')
    with fails(ValueError, 'test_indices_fold_2.txt', 'row number'): from_monster(tmp_path/'a')
    (tmp_path/'a/test_indices_fold_2.txt').write_text('1.5\n')
    with fails(ValueError, 'test_indices_fold_2.txt'): from_monster(tmp_path/'a')
    np.save(tmp_path/'a/Traffic_y.npy', np.arange(3))
    with fails(ValueError, 'as many rows', '(3,)'): from_monster(tmp_path/'a')
    np.save(tmp_path/'a/Other_X.npy', X)
    with fails(ValueError, 'one file NAME_X.npy', 'Other_X.npy'): from_monster(tmp_path/'a')

def test_convert_says_how_to_use_monster(tmp_path):
    write_monster(tmp_path/'a')
    with fails(FileNotFoundError, 'Traffic_', 'MONSTER', 'from_monster'): convert(tmp_path/'a', tmp_path/'set')
    for o in 'xy': np.save(tmp_path/f'acc_{o}.npy', np.ones((2,9)))
    convert(tmp_path, tmp_path/'set', n_workers=0)
    assert open_folder(tmp_path/'set')[0]['X'].shape == (2,2,9)
    (tmp_path/'a/Traffic_X.csv').write_text('a,b\n1,2\n')
    with fails(FileNotFoundError, 'Traffic_', 'from_monster'): convert(f'{tmp_path}/a/*', tmp_path/'set2')
