"Few files stay open, and those that nothing uses make room where descriptors run out"
import errno
from concurrent.futures import ThreadPoolExecutor
import pytest
from conftest import fails
from tsdisk.disk.open_files import OpenFiles

def test_the_least_recently_used_file_is_closed():
    files,opened = OpenFiles(),[]
    for k in (0,1,0,2,0,1): files.get(k, lambda k: opened.append(k) or k, 2)
    assert opened == [0,1,2,1] and [*files] == [0,1] and len(files) == 2

def test_garbage_is_collected_without_the_lock():
    files,was_free = OpenFiles(),[]
    def take():
        got = files.lock.acquire(timeout=5)
        if got: files.lock.release()
        return got
    class Waits: # As a loader does, for its thread that reads
        def __init__(self): self.itself = self
        def __del__(self):
            with ThreadPoolExecutor(1) as ex: was_free.append(ex.submit(take).result())
    def opener(k):
        if not was_free: raise OSError(errno.EMFILE, 'Too many open files')
        return k
    Waits()
    assert files.get(3, opener, 2) == 3 and was_free == [True]

@pytest.mark.parametrize('number', [errno.EMFILE,errno.EIO])
def test_other_errors_and_those_that_stay_are_raised(number):
    tries = []
    def opener(k):
        tries.append(k)
        raise OSError(number, 'mine')
    with fails(OSError, 'mine'): OpenFiles().get(3, opener, 2)
    assert len(tries) == (2 if number == errno.EMFILE else 1)
