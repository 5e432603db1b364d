"What the tests of loaders share: a loader of rows that tell their number, and the rows of its batches"
from itertools import islice
import numpy as np
from conftest import ramp, rows
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader

small = dict(block_bytes=300, buffer_bytes=2000) # Options for `shuffle='block'`

def loader(n=100, y=True, dtype='f4', **kw): return TSDataLoader(TSDatasets(ramp(n, dtype=dtype), np.arange(n, dtype='f8') if y else None), **kw)

def after(dl, k=None):
    "Rows of the next k batches, or of all"
    return [rows(o[0]) for o in (dl if k is None else islice(dl, k))]
