"System calls that fail are errors, and those that a signal interrupts are made again"
import ctypes, errno, os, pytest
from tsdisk.disk import libc as module
from tsdisk.disk.libc import has_libc, libc, system_call

pytestmark = pytest.mark.skipif(not has_libc, reason='it is for 64-bit Linux')
numbers = dict(x86_64=(39,3), aarch64=(172,57)).get(os.uname().machine if has_libc else '') # Of `getpid` and `close`
known = pytest.mark.skipif(numbers is None, reason='the numbers of calls on this machine are not known')

@known
def test_a_call_returns_what_the_system_does(): assert system_call(numbers[0]) == os.getpid()

@known
def test_a_failed_call_is_an_error_with_its_number():
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as e: system_call(numbers[1], 10**6)
    assert e.value.errno == errno.EBADF

def test_an_interrupted_call_is_made_again(monkeypatch):
    said = [errno.EINTR, errno.EINTR, 0]
    class Interrupted:
        def syscall(self, *args):
            ctypes.set_errno(said.pop(0))
            return -1 if said else args[1].value
    monkeypatch.setattr(module, 'libc', Interrupted())
    assert system_call(1, 7) == 7 and said == []

def test_results_have_64_bits(): assert libc.syscall.restype is ctypes.c_long
