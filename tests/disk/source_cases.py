"What the tests of sources share: rows, and objects that give them in ways of their own"
import numpy as np
from conftest import filled
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.sources import Source

x = filled((120,6,25))

class Ints:
    "Gives single rows only"
    shape,dtype = x.shape,x.dtype
    def __getitem__(self, i):
        if not isinstance(i, (int,np.integer)): raise TypeError('one row at a time')
        return x[i]

class Slow(Ints):
    "Takes slices, no lists"
    def __getitem__(self, i):
        if isinstance(i, list): raise TypeError('no lists')
        return x[i]

class Half(Source):
    "Written by a user: half of another source's values"
    def __init__(self, path): self.path,self.shape,self.dtype = path,x.shape,x.dtype
    def __getitem__(self, i): return open_array(self.path)[i]/2
    def _gather(self, idxs, out): np.multiply(open_array(self.path)[idxs], .5, out=out)

def save_npy(d, a=x): return save_array(d/'x.npy', a)
