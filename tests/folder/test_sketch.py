"Quantiles of a sample lie within the stated error"
import numpy as np
from tsdisk.folder.sketch import Sample

def test_a_sample_needs_no_more_memory_with_more_values():
    s = Sample()
    for _ in range(300): s.add(np.zeros((100,8,1000), np.float32))
    assert s._most(8) <= s.held <= 2*s._most(8) and sum(o.nbytes for o in s.parts) <= 2*4*s.room and 0 < s.error < .01

def test_all_values_of_a_block_are_drawn_equally_often():
    for n in (5,16,26,40):
        s = Sample(total=2**24+1) # One of 16 is taken
        counts = sum(np.bincount(s.draw((1,1,n))[0], minlength=n) for _ in range(8000))
        assert s.every == 16 and abs(counts-500).max() < 120, (n, counts)
