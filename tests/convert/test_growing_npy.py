"Arrays grow at their end"
import os
import numpy as np, pytest
from tsdisk.folder.checks import verify
from tsdisk.convert.growing_npy import Growing
from tsdisk.convert.convert import append, convert
from tsdisk.folder.manifest import open_folder
from conftest import fails, ramp
from conversion import same, as_item, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Datasets

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
    convert(raw, tmp_path/'one', read=as_item, n_workers=0)
    monkeypatch.delattr(os, 'pwritev', raising=False)
    assert same(tmp_path/'one', convert(raw, tmp_path/'two', read=as_item, n_workers=0))
    append(tmp_path/'two', raw, read=as_item, n_workers=0, again=True)
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

def test_a_header_that_was_written_in_part_is_written_again(tmp_path):
    f = Growing(tmp_path/'a.npy', (3,), 'f4')
    f.write(ramp(4)[:,0].copy())
    f.finish()
    with open(tmp_path/'a.npy', 'r+b') as file:
        file.seek(2048)
        file.write(bytes(2048))
    Growing(tmp_path/'a.npy', (3,), 'f4', 4, f.sums.crcs).finish()
    assert np.array_equal(np.load(tmp_path/'a.npy'), ramp(4)[:,0])

def test_a_file_that_has_no_size_yet_is_begun_again(tmp_path):
    (tmp_path/'a.npy').touch()
    f = Growing(tmp_path/'a.npy', (3,), 'f4')
    f.write(ramp(4)[:,0].copy())
    f.finish()
    assert np.array_equal(np.load(tmp_path/'a.npy'), ramp(4)[:,0])

def test_lost_rows_are_refused(tmp_path):
    with fails(FileNotFoundError, 'is gone; it held 2 rows'): Growing(tmp_path/'a.npy', (3,), 'f4', 2, [0])
    Growing(tmp_path/'a.npy', (3,), 'f4').file.close()
    with fails(ValueError, 'is truncated: it should hold 2 rows'): Growing(tmp_path/'a.npy', (3,), 'f4', 2, [0])
