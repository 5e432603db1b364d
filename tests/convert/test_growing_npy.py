"Arrays grow at their end"
import os, time, warnings
import numpy as np, pytest
from tsdisk.folder.checks import verify
from tsdisk.convert.growing_npy import Growing
from tsdisk.convert.convert import append, convert
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.arrays import open_array
from tsdisk.disk.headers import npy_header, read_header
from tsdisk.folder.manifest import open_folder, save_folder
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

# Files that are not those of the manifest

def array(n, value=1): return np.full((n,2,5), value, 'f4')
def converted(d): convert(array(6), d)
def saved(d): save_folder(d, array(6))
def with_header(n):
    "A change of the number of rows in a header"
    def change(path):
        _,dtype,_,start = read_header(path)
        with open(path, 'r+b') as f: f.write(npy_header((n,2,5), dtype, start))
    return change
def replaced_by(n, value=7): return lambda path: np.save(path, array(n, value))
def bytes_in(d): return {o.relative_to(d): o.read_bytes() for o in d.rglob('*') if o.is_file()}

changes = dict(larger=replaced_by(9), smaller=replaced_by(4), header_says_more=with_header(9), header_says_less=with_header(4))

@pytest.mark.parametrize('make', [converted,saved])
@pytest.mark.parametrize('change', changes)
def test_rows_that_the_manifest_does_not_know_are_an_error_that_changes_nothing(tmp_path, make, change):
    make(tmp_path)
    changes[change](tmp_path/'X.npy')
    before = bytes_in(tmp_path)
    rows = 9 if change in ('larger','header_says_more') else 4
    with fails(ValueError, f'X.npy has {rows} rows, tsdisk.json says 6', '`save_folder`'): append(tmp_path, array(2))
    assert bytes_in(tmp_path) == before

@pytest.mark.parametrize('layout,file', [('ragged','X/offsets.npy'), ('shards','X/000000.npy')])
def test_series_and_shards_that_the_manifest_does_not_know_are_an_error(tmp_path, layout, file):
    convert([dict(X=o) for o in array(6)], tmp_path, layout=layout)
    np.save(tmp_path/file, np.arange(0, 45, 5) if layout == 'ragged' else array(9))
    before = bytes_in(tmp_path)
    with fails(ValueError, f'{file} has 9 rows, tsdisk.json says {6+(layout == "ragged")}'): append(tmp_path, [dict(X=o) for o in array(2, 2)])
    assert bytes_in(tmp_path) == before

def test_other_values_than_those_of_the_checksums_are_an_error(tmp_path):
    converted(tmp_path)
    replaced_by(6)(tmp_path/'X.npy')
    with fails(ValueError, 'X.npy is damaged', 'not those that were written', '`save_folder`'): append(tmp_path, array(2))
    assert (np.load(tmp_path/'X.npy') == 7).all()

def test_a_dataset_whose_files_were_replaced_is_appended_to_once_it_is_saved_again(tmp_path):
    for make in (saved, converted):
        make(tmp_path)
        replaced_by(9)(tmp_path/'X.npy')
        save_folder(tmp_path)
        append(tmp_path, array(2))
        X = open_folder(tmp_path)[0]['X']
        assert X[:,0,0].tolist() == [7]*9+[1]*2 and verify(tmp_path) == []
        for o in tmp_path.iterdir(): o.unlink()

def test_an_append_that_wrote_headers_before_it_was_killed_is_started_over(tmp_path, monkeypatch):
    from tsdisk.convert.journal import Journal
    converted(tmp_path)
    with monkeypatch.context() as m:
        m.setattr(Journal, 'publish', lambda *_: os._exit(9))
        if not (pid := os.fork()): append(tmp_path, array(2, 3))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9 and read_header(tmp_path/'X.npy')[0][0] == 8
    (tmp_path/'.convert/tsdisk.json').unlink()
    append(tmp_path, array(1, 4), resume=False)
    assert open_folder(tmp_path)[0]['X'][:,0,0].tolist() == [1]*6+[4] and verify(tmp_path) == []

# Readers beside a writer

def test_a_file_that_a_writer_opens_is_not_changed_before_rows_are_added(tmp_path):
    "Else readers that look at it for the first time would take it for another one"
    f = Growing(tmp_path/'a.npy', (2,4), 'f4')
    f.write(np.ones((5,2,4), 'f4'))
    f.finish()
    killed = Growing(tmp_path/'a.npy', (2,4), 'f4', 5, f.sums.crcs)
    for again in (False,True):
        dl = TSDataLoader(TSDatasets(open_array(tmp_path/'a.npy', 5)), bs=5)
        time.sleep(.02)
        writer = Growing(tmp_path/'a.npy', (2,4), 'f4', 5, f.sums.crcs)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert [(x == 1).all().item() for x, in dl] == [True]
        killed.write(np.full((9,2,4), 2, 'f4'))
    writer.write(np.full((1,2,4), 3, 'f4'))
    writer.finish()
    assert open_array(tmp_path/'a.npy')[:,0,0].tolist() == [1]*5+[3]

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
