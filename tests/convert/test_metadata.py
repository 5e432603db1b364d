"What inputs say besides arrays becomes columns, splits and entries of the manifest"
import json
import numpy as np, pytest, torch
from conftest import filled
from fastcore.test import expect_fail
from tsdisk.disk.rows import Ranges
from tsdisk.folder.checks import verify
from tsdisk.folder.stats import train_stats
from tsdisk.order.split_rows import RandomShare, check_splits
from tsdisk.order.time_splits import time_splits
from tsdisk.series.windows import Windows
from tsdisk.convert.convert import append, convert
from tsdisk.convert.metadata import column_chunks, metadata_lines, read_lines, summarize
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.data.loaders import TSDataLoaders
from conversion import as_item, X, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Columns

def test_metadata_becomes_columns_or_an_entry_of_the_manifest(raw, tmp_path):
    convert(raw, tmp_path/'set', read=as_item)
    arrays,_ = open_folder(tmp_path/'set')
    n = [int(o.stem) for o in sorted(raw.rglob('*.npy'))]
    assert arrays['y'].tolist() == [o%4 for o in n] and arrays['y'].dtype == np.int64
    assert arrays['patient'].tolist() == [f'p{o//10}' for o in n] and arrays['age'].dtype == np.float64
    assert read_manifest(tmp_path/'set')['info'] == dict(fs=500, note=['x'])
    lines = [json.loads(o) for o in open(tmp_path/'set/items.jsonl')]
    assert [o['patient'] for _,o in lines] == arrays['patient'].tolist()

def test_columns_whose_names_differ_only_in_case_have_no_common_file(tmp_path):
    items = [dict(X=X(i), Age=i, age=-i) for i in range(3)]
    arrays,_ = open_folder(append(convert(items, tmp_path/'set'), items, again=True))
    assert {*arrays} == {'X','source','Age'} and arrays['Age'].tolist() == [0,1,2]*2
    assert '"age": -2' in next((tmp_path/'set').glob('items*.jsonl')).read_text()
    with expect_fail(ValueError, "another one differs only in case"): convert([dict(X=X(0), mask=X(1), Mask=X(2))], tmp_path/'bad')

def test_columns_are_made_in_chunks_however_many_rows_a_line_has(tmp_path):
    path = tmp_path/'items.jsonl'
    path.write_text('[7, {"k": "ab"}]\n[1, {"k": "c"}]\n[2, {"k": ""}]\n')
    chunks = [*column_chunks(path, 'k', '<U2', size=4)]
    assert [o.tolist() for o in chunks] == [['ab']*4, ['ab']*3+['c'], ['']*2] and all(o.dtype == '<U2' for o in chunks)

def test_keys_of_metadata_are_not_used_as_paths(tmp_path):
    victim = tmp_path/'victim.npy'
    np.save(victim, np.arange(100))
    odd = {str(tmp_path/'victim'): 1, 'a/b': 2, '..': 3, 'items': 4, 'tsdisk': 5, 'x': 6}
    items = [dict(X=X(i), parts=i, journal=i, **{k: v+i for k,v in odd.items()}) for i in range(3)]
    convert(items, tmp_path/'set')
    append(tmp_path/'set', items, again=True)
    arrays,_ = open_folder(tmp_path/'set')
    assert set(arrays) == {'X','source','parts','journal'} and arrays['parts'].tolist() == [0,1,2]*2
    assert np.load(victim).tolist() == [*range(100)]
    assert verify(tmp_path/'set') == []
    assert json.loads(open(next((tmp_path/'set').glob('items*.jsonl'))).readline())[1]['a/b'] == 2
    with expect_fail(ValueError, "can't be the name of a column"): convert([dict(X=X(0), **{'a/b': np.zeros(3)})], tmp_path/'bad')
    with expect_fail(ValueError, 'name of a split'): convert([dict(X=X(0), split='a/b')], tmp_path/'bad2')

def test_long_strings_are_no_columns(tmp_path):
    convert([dict(X=X(i), note='x'*(10+5000*(i == 3))) for i in range(5)], tmp_path/'set')
    assert 'note' not in open_folder(tmp_path/'set')[0]
    assert len(json.loads(open(tmp_path/'set/items.jsonl').readlines()[3])[1]['note']) == 5010

def test_numbers_that_no_column_holds_stay_in_the_metadata(tmp_path):
    assert 'id' not in open_folder(convert([dict(X=X(i), id=2**70+i) for i in range(3)], tmp_path/'set'))[0]

def test_appended_labels_may_be_longer(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:3], tmp_path/'set', label=lambda p: 'a')
    append(tmp_path/'set', paths[3:5], label=lambda p: 'longer')
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == ['a']*3+['longer']*2

# Splits

def test_splits_grow(tmp_path):
    save_folder(tmp_path/'set', np.zeros((100,2,10), 'f4'), splits=dict(train=range(80), valid=range(80,100)))
    append(tmp_path/'set', [dict(X=X(i), split=('train','valid','new')[i%3]) for i in range(6)])
    append(tmp_path/'set', [dict(X=X(i), split='train') for i in range(6, 8)])
    splits = {k: sorted(np.asarray(v[:] if hasattr(v, 'of') else v).tolist()) for k,v in open_folder(tmp_path/'set')[1].items()}
    assert splits == dict(train=[*range(80),100,103,106,107], valid=[*range(80,100),101,104], new=[102,105])
    assert verify(tmp_path/'set') == []
    save_folder(tmp_path/'odd', np.zeros((10,2,10), 'f4'), splits=dict(train=[0,3,5], valid=[1,2]))
    append(tmp_path/'odd', [dict(X=X(i), split='train') for i in range(2)])
    assert np.asarray(open_folder(tmp_path/'odd')[1]['train']).tolist() == [0,3,5,10,11]

@pytest.mark.parametrize('how', ['time','random'])
def test_splits_of_windows_stay_as_they_are(tmp_path, capsys, how):
    save_folder(tmp_path/'set', filled((6,2,50)))
    w = Windows(tmp_path/'set/X.npy', 20, stride=10)
    train_stats(tmp_path/'set/X.npy')
    splits = time_splits(w, .4) if how == 'time' else [RandomShare(len(w), .3, 0, o) for o in (0,1)]
    save_folder(tmp_path/'set', splits=dict(zip(('train','valid'), splits)))
    append(tmp_path/'set', [dict(X=filled((2,50), seed=i), split='train') for i in (1,2)], n_workers=0)
    arrays,got = open_folder(tmp_path/'set')
    assert len(arrays['X']) == 8 and [np.asarray(o).tolist() for o in got.values()] == [np.asarray(o).tolist() for o in splits]
    assert 'select windows, not the 6 rows' in capsys.readouterr().out
    assert train_stats(arrays['X']).error == .01 # Extended
    save_folder(tmp_path/'set', splits=dict(train=range(8)))

def test_ranges_of_rows_know_the_number_of_rows_after_an_append(tmp_path):
    splits = dict(train=Ranges([(0,30),(40,80)], 100), valid=Ranges([(30,40),(80,100)], 100))
    save_folder(tmp_path/'set', np.zeros((100,2,10), 'f4'), splits=splits)
    for n in (101,102):
        append(tmp_path/'set', [dict(X=X(n))], n_workers=0)
        got = open_folder(tmp_path/'set')[1]
        assert got == splits and [o.of for o in got.values()] == [n,n] and len(check_splits(got, n)) == 2
    append(tmp_path/'set', [dict(X=X(0), split='valid')], n_workers=0)
    got = open_folder(tmp_path/'set')[1]
    assert got == dict(train=splits['train'], valid=Ranges([(30,40),(80,100),(102,103)])) and len(check_splits(got, 103)) == 2

def test_splits_that_were_replaced_may_lack_a_name(tmp_path):
    convert([dict(X=X(i), split=o) for i,o in enumerate(['train','train','valid','test'])], tmp_path/'set', n_workers=0)
    save_folder(tmp_path/'set', splits=dict(train=range(3), valid=[3]))
    append(tmp_path/'set', [dict(X=X(4))], n_workers=0)
    append(tmp_path/'set', [dict(X=X(5), split='valid')], n_workers=0)
    assert {k: np.asarray(o).tolist() for k,o in open_folder(tmp_path/'set')[1].items()} == dict(train=[0,1,2], valid=[3,5])
    append(tmp_path/'set', [dict(X=X(6), split='test')], n_workers=0)
    assert open_folder(tmp_path/'set')[1]['test'] == range(6, 7) and verify(tmp_path/'set') == []

def test_rows_in_no_other_split_are_for_training(tmp_path):
    for i in range(10):
        (tmp_path/'raw').mkdir(exist_ok=True)
        np.save(tmp_path/f'raw/{i}.npy', np.full((2,9), i, 'f4'))
    convert(tmp_path/'raw', tmp_path/'set', split=lambda p: 'valid' if p[-5] in '37' else None)
    dls = TSDataLoaders.from_folder(tmp_path/'set', bs=2, device='cpu')
    assert sorted(torch.cat([b[0][:,0,0] for b in dls.train]).tolist()) == [0,1,2,4,5,6,8,9]
    assert torch.cat([b[0][:,0,0] for b in dls.valid]).tolist() == [3,7]
    convert(tmp_path/'raw', tmp_path/'set2', split=lambda p: 'valid' if p[-5] in '37' else 'test')
    with expect_fail(ValueError, "no `train`"): TSDataLoaders.from_folder(tmp_path/'set2')

def test_rows_appended_to_no_split_are_reported(tmp_path, capsys):
    for k in ('train','valid'):
        for i in range(3):
            (tmp_path/f'raw/{k}').mkdir(parents=True, exist_ok=True)
            np.save(tmp_path/f'raw/{k}/{i}.npy', np.ones((2,9), 'f4'))
    convert(tmp_path/'raw', tmp_path/'set', n_workers=0)
    append(tmp_path/'set', tmp_path/'raw/train', n_workers=0, split=lambda p: 'train')
    assert 'none of the splits' not in capsys.readouterr().out
    append(tmp_path/'set', np.ones((4,2,9), 'f4'))
    assert "4 of the appended rows are in none of the splits ['train', 'valid']" in capsys.readouterr().out

# Lines

def test_every_row_is_in_one_line(tmp_path):
    path = tmp_path/'items.jsonl'
    path.write_bytes(metadata_lines(dict(y=np.array([3,4]), fs=50.), 2) + metadata_lines(dict(y=5, fs=50.), 3) + metadata_lines(dict(y=6, fs=50.)))
    assert [*read_lines(path)] == [[1, dict(y=3, fs=50.)], [1, dict(y=4, fs=50.)], [3, dict(y=5, fs=50.)], [1, dict(y=6, fs=50.)]]
    assert np.concatenate([*column_chunks(path, 'y', 'i8', size=2)]).tolist() == [3,4,5,5,5,6]
    assert (got := summarize(path)).n == 6 and got.shared == dict(fs=50.) and got.dtypes == dict(y='<i8') and got.rest == []

def test_values_of_several_types_are_columns_only_if_numbers(tmp_path):
    path = tmp_path/'items.jsonl'
    rows = [dict(a=1, b=1, c=True, d=[1], e='x', f=None), dict(a=2., b='1', c=False, d=[2], e='xyz', f=1)]
    path.write_bytes(b''.join(map(metadata_lines, rows)))
    got = summarize(path)
    assert got.dtypes == dict(a='<f8', c='|b1', e='<U3') and got.rest == ['b','d','f']

def test_integers_among_floats_are_a_column_only_if_no_digit_is_lost(tmp_path):
    path = tmp_path/'items.jsonl'
    rows = [dict(a=2**53+1, b=2**53-1, c=2**63, d=2**53+1), dict(a=.5, b=.5, c=1, d=1)]
    path.write_bytes(b''.join(map(metadata_lines, rows)))
    got = summarize(path)
    assert got.dtypes == dict(b='<f8', d='<i8') and got.rest == ['a','c']

def test_the_rate_of_series_with_and_without_gaps_is_one(tmp_path):
    for fs in (30.,360.,62.4725):
        gap = dict(time_period=1/fs, time_jumps=[[500, 77*10**9]])
        with pytest.warns(UserWarning, match='1 series have gaps'):
            convert([dict(X=np.ones((1,1000)), fs=fs), dict(X=np.ones((1,1000)), **gap)], tmp_path/f'{fs}')
        assert read_manifest(tmp_path/f'{fs}')['clock']['fs'] == pytest.approx(fs, rel=1e-14) and not (tmp_path/f'{fs}/rates.npy').exists()
        if fs != 62.4725: assert Windows(open_folder(tmp_path/f'{fs}')[0]['X'], '1s').size == fs
