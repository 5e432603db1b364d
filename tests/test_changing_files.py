"Files that change while they are open, and disks that fail, end in an error that names the file"
import os, signal, threading, time
import numpy as np, pytest
from conftest import fails, fresh, linux, same
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.headers import npy_header
from tsdisk.series.ragged import Ragged

def sparse_series(path, n=7, steps=100_000_000):
    "A file of 5.6 GB, of which little is on disk: the first ten steps of series i hold i+1"
    with open(path, 'wb') as f:
        f.write(npy_header((n*steps,2), np.dtype('f4')))
        f.truncate(4096+n*steps*8)
        for i in range(n):
            f.seek(4096+i*steps*8)
            f.write(np.full((10,2), i+1, 'f4').tobytes())
    return np.arange(0, n*steps+1, steps)

@pytest.mark.parametrize('dtype', ['i4','u4','i8'])
def test_offsets_of_few_bytes_reach_all_of_a_large_file(tmp_path, dtype):
    offsets = sparse_series(tmp_path/'values.npy').astype(dtype)
    r = Ragged(open_array(tmp_path/'values.npy'), save_array(tmp_path/'offsets.npy', offsets), most=10)
    want = np.arange(1, 8).astype('f4')
    same(r.gather(range(7))[:,0,0], want)
    same(r.direct(2).gather(range(7))[:,0,0], want)
    r.prefetch(range(7))

def test_reads_go_on_after_an_interrupt_at_any_place(tmp_path):
    X = save_array(tmp_path/'X.npy', np.zeros((4000,3,64), 'f4'))
    tried = fresh("""
        import faulthandler, sys
        from tsdisk.disk.array_sources import as_source
        s,ours = as_source(args[0]),('tsdisk','concurrent','threading')
        def trace(frame, event, arg):
            global left
            if not any(o in frame.f_code.co_filename for o in ours): return None
            frame.f_trace_opcodes = True
            if event == 'opcode': left -= 1
            if event == 'opcode' and left == 0: raise KeyboardInterrupt
            return trace
        faulthandler.dump_traceback_later(60, exit=True) # A hang ends here
        res,left = 0,0
        while left <= 0:
            r,res = s.direct(2),res+7
            left = res
            try:
                sys.settrace(trace)
                r.prefetch([1,50,3000])
                r.gather([1,50,3000])
            except KeyboardInterrupt: pass
            finally: sys.settrace(None)
            r.gather([1,50,3000])
            s.direct(2).gather([1])""", str(X.filename))
    assert tried > 500
