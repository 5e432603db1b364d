"Every call that not all systems have is switched off here, and the plain path taken"
import mmap, os
import numpy as np
from pathlib import Path
from tsdisk.arrays import open_array, save_array
from tsdisk.demo import private_memory
from tsdisk.sources import as_source

x = np.arange(60, dtype='float32').reshape(10,2,3)

def test_arrays_without_folder_sync(tmp_path, monkeypatch):
    monkeypatch.delattr(os, 'O_DIRECTORY')
    assert (save_array(tmp_path/'x.npy', x) == x).all()

def test_prefetch_without_madvise(tmp_path, monkeypatch):
    s = as_source(save_array(tmp_path/'x.npy', x))
    monkeypatch.delattr(mmap, 'MADV_WILLNEED')
    assert s.prefetch([1,2]) is None and (s.gather([2,1]) == x[[2,1]]).all()

def test_prefetch_reads_ahead(tmp_path):
    "On Linux the hint brings pages into the cache that were dropped from it"
    if not hasattr(mmap, 'MADV_WILLNEED') or not hasattr(os, 'posix_fadvise'): return
    big = save_array(tmp_path/'big.npy', np.zeros((64,4,2**16), 'float32'))
    s = as_source(tmp_path/'big.npy')
    with open(tmp_path/'big.npy', 'rb') as f: os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    s.prefetch(range(64))
    assert (s.gather([63,0]) == big[[63,0]]).all()

def test_private_memory_without_proc(monkeypatch):
    def gone(self): raise OSError('no /proc here')
    monkeypatch.setattr(Path, 'read_text', gone)
    assert np.isnan(private_memory())

def test_open_array_on_a_plain_file(tmp_path):
    np.save(tmp_path/'x.npy', x)
    assert (open_array(str(tmp_path/'x.npy')) == x).all()
