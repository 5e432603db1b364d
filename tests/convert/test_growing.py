"Arrays grow at their end"
import os
import numpy as np, pytest
from tsdisk.folder.checks import verify
from tsdisk.convert.growing import apply_changes, column_types, Growing
from tsdisk.convert.convert import append, convert
from tsdisk.folder.manifest import open_folder
from conftest import fails, ramp
from conversion import same, as_item, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Datasets

def test_shards_are_files_of_limited_size(raw, tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 5000)
    convert(raw, tmp_path/'set', layout='shards')
    X = open_folder(tmp_path/'set')[0]['X']
    assert len(X.paths) == 3
    assert np.array_equal(X[:], np.stack([np.load(o) for o in sorted(raw.rglob('*.npy'))]))
    assert verify(tmp_path/'set') == []

def test_open_readers_keep_seeing_the_old_rows(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:30], tmp_path/'set', label='folder')
    old,_ = open_folder(tmp_path/'set')
    was = np.array(old['X'])
    append(tmp_path/'set', paths[30:], label='folder')
    assert np.array_equal(old['X'], was) and len(old['X']) == 30
    new,_ = open_folder(tmp_path/'set')
    assert len(new['X']) == len(new['y']) == len(new['source']) == 60
    assert np.array_equal(new['X'][59], np.load(paths[59])) and verify(tmp_path/'set') == []

def test_files_grow_without_positioned_writes(raw, tmp_path, monkeypatch):
    convert(raw, tmp_path/'one', read=as_item, workers=0)
    monkeypatch.delattr(os, 'pwritev', raising=False)
    assert same(tmp_path/'one', convert(raw, tmp_path/'two', read=as_item, workers=0))
    append(tmp_path/'two', raw, read=as_item, workers=0)
    assert len(open_folder(tmp_path/'two')[0]['X']) == 120 and verify(tmp_path/'two') == []

# Files and columns

def test_rows_that_are_not_complete_are_cut_off(tmp_path):
    f = Growing(tmp_path/'a.npy', (3,), 'f4')
    f.write(ramp(4)[:,0].copy())
    crcs = f.sums.crcs[:]
    f.write(np.zeros((2,3), 'f4'))
    f.file.close()
    f = Growing(tmp_path/'a.npy', (3,), 'f4', 4, crcs)
    f.finish()
    assert np.array_equal(np.load(tmp_path/'a.npy'), ramp(4)[:,0])

def test_lost_rows_are_refused(tmp_path):
    with fails(FileNotFoundError, 'is gone, which held 2 rows'): Growing(tmp_path/'a.npy', (3,), 'f4', 2)
    Growing(tmp_path/'a.npy', (3,), 'f4').file.close()
    with fails(ValueError, 'is truncated: it should hold 2 rows'): Growing(tmp_path/'a.npy', (3,), 'f4', 2)

@pytest.mark.parametrize('layout', column_types)
@pytest.mark.parametrize('cuts', [[], [1], [2,5], [1,2,3,4,5,6]])
def test_a_column_is_the_same_however_often_it_is_resumed(tmp_path, monkeypatch, layout, cuts):
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 60)
    steps,files = [3,1,4,1,5,9,2],None
    if layout != 'ragged': steps = [1]*7
    for part in np.split(np.arange(7), cuts):
        c = column_types[layout](tmp_path, 'X', (2,3), 'f4', files)
        for i in part: c.add([np.full((steps[i],2,3), i, 'f4')], [steps[i]])
        files = apply_changes(files or {}, c.changes())
        assert c.changes() == {} and len(c) == part[-1]+1
        c.close()
    c = column_types[layout](tmp_path, 'X', (2,3), 'f4', files)
    checksums = c.finish()
    values = [np.load(tmp_path/o) for o in checksums if not o.endswith('offsets.npy')]
    assert np.array_equal(np.concatenate(values), np.repeat(np.arange(7), steps)[:,None,None]*np.ones((2,3)))
    assert len(values) == (4 if layout == 'shards' else 1) and c.entry()['shape'][0] == 7
    if layout == 'ragged': assert np.load(tmp_path/'X/offsets.npy').tolist() == [0, *np.cumsum(steps)]

def test_a_shard_that_is_exactly_full_is_not_followed_by_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.growing.shard_bytes', 24)
    c = column_types['shards'](tmp_path, 'X', (3,), 'f4')
    c.add([np.zeros((2,3), 'f4')])
    assert [*c.files] == ['X/000000.npy']
    c.add([np.zeros((1,3), 'f4')])
    assert [*c.finish()] == ['X/000000.npy','X/000001.npy']
