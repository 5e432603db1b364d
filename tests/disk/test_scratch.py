"Temporary arrays: zeros, in memory if small, else in a file that no folder shows"
import os
from tempfile import TemporaryFile
import numpy as np, pytest
from conftest import all_dtypes, filled, fresh, linux, same
from tsdisk.disk import scratch as module
from tsdisk.disk.scratch import array_in, scratch

@pytest.mark.parametrize('dtype', all_dtypes)
def test_small_and_large_arrays_are_zeros_to_write_to(dtype, monkeypatch):
    for small in (0, 10**6):
        monkeypatch.setattr(module, 'small', small)
        a,b = scratch((5,3), dtype),scratch((5,3), np.dtype(dtype))
        same(a, np.zeros((5,3), dtype))
        a[...] = x = filled((5,3), dtype)
        same(a, x)
        same(b, np.zeros((5,3), dtype)) # Of its own

@linux
def test_a_large_array_is_no_private_memory_and_leaves_nothing_behind(tmp_path):
    grown,total,left = fresh("""
        import os, tempfile
        tempfile.tempdir = str(args[0])
        from conftest import rss_anon
        from tsdisk.disk.scratch import scratch
        before = rss_anon()
        a = scratch((50,2**18), 'f8') # 100 MB
        a += 1
        res = rss_anon()-before, a.sum(), os.listdir(args[0])""", tmp_path)
    assert grown < 20 and total == 50*2**18 and left == []

def test_without_room_for_a_file_it_is_in_memory(monkeypatch):
    monkeypatch.setattr(module, 'small', 0)
    def full(*_): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'posix_fallocate', full, raising=False)
    same(scratch((2,3), 'i2'), np.zeros((2,3), 'i2'))
    monkeypatch.delattr(os, 'posix_fallocate')
    same(scratch((2,3), 'i2'), np.zeros((2,3), 'i2'))

@pytest.mark.parametrize('private', [False,True])
def test_changes_reach_a_file_unless_they_are_private(private):
    x = filled((4,3), 'i4')
    with TemporaryFile() as f:
        f.write(x.tobytes())
        f.flush()
        a = array_in(f.fileno(), 'i4', (4,3), private=private)
        same(a, x)
        a[1] = 7
        f.seek(0)
        again = np.frombuffer(f.read(), 'i4').reshape(4,3)
    same(again, x if private else a)
    same(a[1], np.full(3, 7, 'i4')) # Also once the file is closed
