"Quantiles of a sample lie within the stated error"
import numpy as np
from tsdisk.folder.sketch import Sample

def test_a_sample_needs_no_more_memory_with_more_values():
    s = Sample()
    for _ in range(300): s.add(np.zeros((100,8,1000), np.float32))
    assert s._most(8) <= s.held <= 2*s._most(8) and sum(o.nbytes for o in s.parts) <= 2*4*s.room and 0 < s.error < .01
