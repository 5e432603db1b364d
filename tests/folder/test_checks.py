"Checksums find every damage and say which rows it is in"
import errno, json, os, numpy as np, pytest
from zlib import crc32
from hypothesis import given, strategies as st
from conftest import fails, filled
from tsdisk.disk.rows import Ranges
from tsdisk.folder.checks import Sums, add_checksums, as_hex, files_of, from_hex, verify
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import save_folder, write_manifest
from tsdisk.series.ragged_files import save_ragged

@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_sums_do_not_depend_on_how_bytes_are_cut(data, cuts):
    class Small(Sums): block = 16
    one,many = Small(),Small()
    one.add(data)
    ends = sorted({0, len(data), *(o for o in cuts if o < len(data))})
    for a,b in zip(ends, ends[1:]): many.add(data[a:b])
    assert (one.crcs, one.size) == (many.crcs, many.size) and one.size == len(data) and len(one.crcs) == -(-len(data)//16)
    assert from_hex(as_hex(one.crcs)) == one.crcs

@pytest.fixture
def dataset(tmp_path):
    splits = dict(train=Ranges([(0,50),(60,90)]), valid=[95,91])
    save_folder(tmp_path, filled((100,2,5)), np.arange(100), splits)
    add_checksums(tmp_path)
    return tmp_path

def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)

def test_files_of_arrays_and_splits_have_checksums(dataset):
    names = ['X.npy','y.npy','split_train_ranges.npy','split_valid.npy']
    assert files_of(read_manifest(dataset)) == names == [*read_manifest(dataset)['checksums']] and verify(dataset) == []

@pytest.mark.parametrize('name', ['X.npy','y.npy','split_train_ranges.npy','split_valid.npy'])
def test_every_flipped_bit_is_found(dataset, name):
    size = (dataset/name).stat().st_size
    for at in (9, size-1):
        flip(dataset/name, at)
        [fault] = verify(dataset)
        assert fault.startswith(f'{name} has changed: ') and ('its header' in fault) == (at == 9)
        flip(dataset/name, at)
    assert verify(dataset) == []

def test_files_of_other_sizes_are_named(dataset):
    (dataset/'y.npy').unlink()
    os.truncate(dataset/'X.npy', 5000)
    with open(dataset/'split_valid.npy', 'ab') as f: f.write(b'abc')
    faults = verify(dataset)
    assert 'y.npy is missing' in faults and 'split_valid.npy has 3 bytes too many' in faults
    assert any(o.startswith('X.npy is truncated: it has 5,000 bytes of') for o in faults)

def test_blocks_that_the_disk_cannot_read_are_named_with_all_other_faults(dataset, monkeypatch):
    def failing(data, *args):
        if len(data) == 4000: raise OSError(errno.EIO, 'Input/output error') # The rows of `X`
        return crc32(data, *args)
    flip(dataset/'y.npy', 4100)
    monkeypatch.setattr('tsdisk.folder.checks.crc32', failing)
    assert verify(dataset) == ["X.npy can't be read (Input/output error): rows 0 to 100", 'y.npy has changed: rows 0 to 100']
    write_manifest(dataset, checksums={})
    with fails(OSError, 'X.npy', 'its disk failed'): add_checksums(dataset)

def test_an_edited_manifest_is_noticed(dataset):
    data = json.loads((dataset/'tsdisk.json').read_text())
    (dataset/'tsdisk.json').write_text(json.dumps({**data, 'splits': {'train': [0,100]}}))
    assert verify(dataset) == ['tsdisk.json has changed: was it edited by hand?']

def test_damaged_steps_name_their_series(tmp_path):
    save_ragged(tmp_path/'X', [filled((2,n)) for n in (50,9,30)])
    write_manifest(tmp_path, arrays=dict(X=dict(file='X', role='X', layout='ragged', shape=[3], dtype='<f4')))
    add_checksums(tmp_path)
    flip(tmp_path/'X/values.npy', 4096)
    assert verify(tmp_path) == ['X/values.npy has changed: steps 0 to 89, of series 0 to 3']

def test_checksums_are_added_to_those_that_are_kept(dataset):
    kept = read_manifest(dataset)['checksums']
    flip(dataset/'X.npy', 5000)
    assert add_checksums(dataset) == kept and verify(dataset) != []

def test_what_has_no_checksums_is_refused(tmp_path):
    with fails(FileNotFoundError, 'give the folder of a dataset'): verify(tmp_path/'X.npy')
    with fails(FileNotFoundError, 'has no tsdisk.json'): add_checksums(tmp_path)
    save_folder(tmp_path, filled((5,1,4)))
    with fails(ValueError, 'has no checksums', '`add_checksums`'): verify(tmp_path)

def test_what_is_no_folder_is_named_with_what_to_give(dataset, tmp_path):
    for f in (verify, add_checksums):
        with fails(FileNotFoundError, 'nowhere does not exist'): f(tmp_path/'nowhere')
        with fails(NotADirectoryError, 'X.npy is a file', f'that of this file is {dataset}'): f(dataset/'X.npy')
        (tmp_path/'alone').mkdir(exist_ok=True)
        np.save(tmp_path/'alone/X.npy', filled((5,1,4)))
        with fails(NotADirectoryError, 'X.npy is a file', '`save_folder` makes one'): f(tmp_path/'alone/X.npy')
    save_folder(tmp_path/'alone')
    assert add_checksums(tmp_path/'alone') and verify(tmp_path/'alone') == []
