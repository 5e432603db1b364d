"What changes a file that is open, and what does not"
import os, time
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.headers import npy_header
from tsdisk.disk.identity import block_bytes, block_starts, check_open, FileWatch, most_blocks, open_file, sample_file

shape = 200,8,16

@pytest.fixture
def X(tmp_path):
    save_array(tmp_path/'X.npy', np.zeros(shape, 'f4'))
    res = open_array(tmp_path/'X.npy')
    open_file(res).checksum()
    return res

def write_at(x, at, data):
    "Write into a file, at a later time than that of the last write"
    stat = os.stat(x.filename)
    with open(x.filename, 'r+b') as f:
        f.seek(at)
        f.write(data)
    os.utime(x.filename, ns=(stat.st_atime_ns, stat.st_mtime_ns+10**9))

def append_rows(x, n=1): write_at(x, 4096+x.nbytes, bytes(n*x[0].nbytes))
def touch(x): write_at(x, 4096, bytes(4))
def set_old_time(x):
    stat = os.stat(x.filename)
    write_at(x, 4096, b'1234')
    os.utime(x.filename, ns=(stat.st_atime_ns, stat.st_mtime_ns))
def copy_over(x):
    "As `cp -p` of a disk that numbers its files anew: another inode with the same size, time and bytes"
    stat,data = os.stat(x.filename),x.filename.read_bytes()
    x.filename.with_name('new').write_bytes(data)
    os.replace(x.filename.with_name('new'), x.filename)
    os.utime(x.filename, ns=(stat.st_atime_ns, stat.st_mtime_ns))

changes = dict(nothing=(lambda x: None, None), first_block=(lambda x: write_at(x, 4096, b'1234'), 'rewritten'),
    last_bytes=(lambda x: write_at(x, 4096+x.nbytes-1, b'1'), 'rewritten'), old_time=(set_old_time, 'rewritten'), same_bytes=(touch, 'touched'),
    rows_after=(append_rows, 'appended'), properties=(lambda x: os.chmod(x.filename, 0o600), None), copied=(copy_over, None),
    another_name=(lambda x: os.link(x.filename, x.filename.with_name('b')), None), cut=(lambda x: os.truncate(x.filename, 9000), 'truncated'),
    removed=(lambda x: os.unlink(x.filename), 'replaced'), replaced=(lambda x: save_array(x.filename, np.ones(shape, 'f4')), 'replaced'),
    header=(lambda x: write_at(x, 0, npy_header((100,*shape[1:]), x.dtype)), 'touched'))

@pytest.mark.parametrize('what', changes)
def test_what_happened_to_a_file_is_found(X, what):
    change,found = changes[what]
    change(X)
    assert open_file(X).change() == found
    again = found if found in ('truncated','rewritten','replaced') else None
    assert open_file(X).change() == again # What does no harm is told of once

@pytest.mark.parametrize('what', [k for k,(_,found) in changes.items() if found])
def test_an_error_or_a_warning_names_the_file_and_the_change(X, what):
    change,found = changes[what]
    change(X)
    if found in ('truncated','rewritten'):
        with fails(OSError, 'X.npy', 'since it was opened'): check_open(open_file(X))
    elif found == 'appended': assert check_open(open_file(X)) is None
    else:
        with pytest.warns(UserWarning, match='X.npy was'): check_open(open_file(X), allow_replaced=False)

def test_a_replaced_file_is_no_warning_within_an_epoch(X, recwarn):
    save_array(X.filename, np.ones(shape, 'f4'))
    check_open(open_file(X))
    assert not recwarn.list and not open_file(X).is_named()

def test_without_a_checksum_a_file_that_was_written_to_counts_as_rewritten(tmp_path):
    X = save_array(tmp_path/'X.npy', np.zeros(shape, 'f4'))
    assert open_file(X).digest is None and open_file(X).is_named()
    touch(X)
    assert open_file(X).change() == 'rewritten' and open_file(X).checksum() is None

@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(2, most_blocks))
def test_the_first_and_last_bytes_are_sampled(start, n, blocks):
    starts = block_starts(start, start+n, blocks)
    assert starts[0] == start and starts[-1] == max(start, start+n-block_bytes)
    assert len(starts) <= blocks and starts == sorted({*starts})
    if n <= blocks*block_bytes and len(starts) == blocks: assert max(b-a for a,b in zip(starts, starts[1:])) <= block_bytes

def test_a_checksum_is_of_its_part_of_the_file(X):
    start,stop = 4096,4096+X.nbytes
    before,whole = sample_file(X.filename, start, stop),sample_file(X.filename)
    write_at(X, 10, b'1')
    assert sample_file(X.filename, start, stop)[1] == before[1] and sample_file(X.filename)[1] != whole[1]
    with fails(FileNotFoundError, 'none.npy'): sample_file(X.filename.with_name('none.npy'))

def test_arrays_in_memory_and_open_for_writing_have_no_file(tmp_path):
    np.save(tmp_path/'a.npy', np.zeros(3))
    for o in (np.zeros(3), np.load(tmp_path/'a.npy', mmap_mode='r+')): assert open_file(o) is None

def test_views_share_the_file_of_their_array(X): assert open_file(X[3:, ::2]) is open_file(X)

def test_files_are_watched_from_the_start_of_an_epoch(X, monkeypatch):
    watch = FileWatch(lambda: [X[:100], X[100:], np.zeros(3)])
    write_at(X, 4096, b'1234')
    assert watch.look() is None # A second has not passed
    watch.next = time.monotonic()
    with fails(OSError, 'was rewritten'): watch.look()
    with fails(OSError, 'was rewritten'): FileWatch(lambda: [X])
