"Every call that not all systems have is switched off here, and the plain path taken"
import mmap, os, time
import numpy as np, pytest
from pathlib import Path
from conftest import filled
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.tools.demo import private_memory
from tsdisk.disk.array_sources import as_source

x = np.arange(60, dtype='float32').reshape(10,2,3)

def test_arrays_without_folder_sync(tmp_path, monkeypatch):
    monkeypatch.delattr(os, 'O_DIRECTORY')
    assert (save_array(tmp_path/'x.npy', x) == x).all()

def test_prefetch_without_madvise(tmp_path, monkeypatch):
    s = as_source(save_array(tmp_path/'x.npy', x))
    monkeypatch.delattr(mmap, 'MADV_WILLNEED')
    assert s.prefetch([1,2]) is None and (s.gather([2,1]) == x[[2,1]]).all()

def in_cache(f, at):
    "Is the page at byte `at` of an open file in the kernel's cache?"
    try: return os.preadv(f.fileno(), [bytearray(4096)], at, os.RWF_NOWAIT) > 0
    except BlockingIOError: return False

@pytest.mark.skipif(not hasattr(os, 'RWF_NOWAIT'), reason='the system cannot say what is cached')
def test_prefetch_brings_rows_into_the_cache(tmp_path):
    row = 2**20
    save_array(tmp_path/'big.npy', np.zeros((64,4,row//16), 'float32'))
    with open(tmp_path/'big.npy', 'rb') as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        at = 4096 + 40*row + row//2
        assert not in_cache(f, at)
        as_source(tmp_path/'big.npy').prefetch([40])
        for _ in range(100):
            if in_cache(f, at): break
            time.sleep(.05)
        assert in_cache(f, at) and not in_cache(f, 4096 + 60*row)

def test_private_memory_without_proc(monkeypatch):
    def gone(self): raise OSError('no /proc here')
    monkeypatch.setattr(Path, 'read_text', gone)
    assert np.isnan(private_memory())

def test_open_array_on_a_plain_file(tmp_path):
    np.save(tmp_path/'x.npy', x)
    assert (open_array(str(tmp_path/'x.npy')) == x).all()

@pytest.mark.parametrize('there', [True, False])
def test_statistics_without_populate(tmp_path, monkeypatch, there):
    from tsdisk.folder.stats import array_stats
    import tsdisk.disk.array_sources
    X,calls = save_array(tmp_path/'x.npy', filled((3000,4,1000))),[]
    want,real = array_stats(np.asarray(X)),tsdisk.disk.array_sources.populate
    monkeypatch.setattr(tsdisk.disk.array_sources, 'populate', lambda *args: calls.append(args) or there and real(*args))
    assert array_stats(X) == want == array_stats(X, range(3000)) and array_stats(X, range(7, 2500)) == array_stats(np.asarray(X), range(7, 2500))
    assert len(calls) == (4 if not there else 8), 'asked once where the system cannot, else for each 32 MB'
