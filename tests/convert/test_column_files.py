"Columns of every layout grow, resume and end"
import numpy as np, pytest
from tsdisk.folder.checks import verify
from tsdisk.convert.column_files import apply_changes, column_types
from tsdisk.convert.convert import convert
from tsdisk.folder.manifest import open_folder
from conversion import write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Datasets

def test_shards_are_files_of_limited_size(raw, tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 5000)
    convert(raw, tmp_path/'set', layout='shards')
    X = open_folder(tmp_path/'set')[0]['X']
    assert len(X.paths) == 3
    assert np.array_equal(X[:], np.stack([np.load(o) for o in sorted(raw.rglob('*.npy'))]))
    assert verify(tmp_path/'set') == []

# Columns

@pytest.mark.parametrize('layout', column_types)
@pytest.mark.parametrize('cuts', [[], [1], [2,5], [1,2,3,4,5,6]])
def test_a_column_is_the_same_however_often_it_is_resumed(tmp_path, monkeypatch, layout, cuts):
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 60)
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
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 24)
    c = column_types['shards'](tmp_path, 'X', (3,), 'f4')
    c.add([np.zeros((2,3), 'f4')])
    assert [*c.files] == ['X/000000.npy']
    c.add([np.zeros((1,3), 'f4')])
    assert [*c.finish()] == ['X/000000.npy','X/000001.npy']
