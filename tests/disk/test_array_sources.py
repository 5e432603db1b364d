"Arrays, lists, tables and objects that look like arrays are sources of rows, or are refused"
import numpy as np, pytest, torch
from fastcore.foundation import L
from conftest import drop_from_cache, fails, filled, linux, same
from source_cases import Half, Ints, save_npy, Slow, x
from tsdisk.testing import check_order
from tsdisk.disk import array_sources
from tsdisk.disk.array_sources import ArraySource, LikeSource, as_source, will_need

def test_as_source_picks_the_kind(tmp_path):
    assert type(as_source(save_npy(tmp_path))) is type(as_source(tmp_path/'x.npy')) is type(as_source(torch.tensor(x))) is type(as_source([1,2])) is ArraySource
    assert type(as_source(Slow())) is LikeSource and type(as_source(Half(tmp_path))) is Half

def test_strings_kept_as_objects_are_sources():
    import pandas as pd
    for o in (np.array(['b','ab','b'], object), pd.Series(['b','ab','b'])): check_order(as_source(o), np.array(['b','ab','b']))
    with fails(TypeError, 'Row 1 is', 'other rows are strings'): as_source(pd.Series(['b',None]))

def test_table_columns_are_sources():
    import pandas as pd
    df = pd.DataFrame(x[:, 0])
    check_order(as_source(df), x[:, 0])
    check_order(as_source(df[3]), x[:, 0, 3])

@pytest.mark.parametrize('o,err,word', [(np.array(['a',None]), TypeError, 'Row 1 is None'), (['a',None], TypeError, 'no_label'), (3, TypeError, 'int'),
    (np.float32(3), ValueError, 'at least one axis'), (torch.tensor(3), ValueError, 'at least one axis'), ({'a': 1}, TypeError, 'dict'), (None, TypeError, 'NoneType'),
    ('missing.npy', FileNotFoundError, 'missing.npy')], ids=str)
def test_what_is_no_source_is_refused(o, err, word):
    with fails(err, word): as_source(o)

def test_rows_of_any_object_are_read_sorted_and_once():
    asked = []
    class Log(Ints):
        def __getitem__(self, i):
            asked.append(i)
            return x[i]
    same(as_source(Log()).gather([9,2,9,5,-120]), x[[9,2,9,5,0]])
    assert asked == [[0,2,5,9]]
    asked.clear()
    as_source(Log()).gather([4,3,5,3])
    assert asked == [slice(3,6)]

def test_other_sequences_are_rows():
    for o in (L('b','a'), ('b','a'), ['b','a']): assert as_source(o).gather([1]).tolist() == ['a']

def test_masks_are_not_dropped():
    with fails(TypeError, 'filled'): as_source(np.ma.masked_array(np.ones(3), [0,1,0]))

def test_one_row_by_an_unsigned_number():
    a = filled((300,2,3))
    same(ArraySource(a).gather_one(np.uint8(255)), a[255:256])

class Declared:
    "An object that decodes what it reads, as variables of netCDF4 do"
    dtype,shape = np.dtype('i2'),(6,4)
    def __init__(self, values): self.values = values
    def __len__(self): return len(self.values)
    def __getitem__(self, i): return self.values[i]

def test_values_that_are_not_what_an_object_declares_are_refused():
    decoded = np.arange(24.).reshape(6, 4)/10
    for o in (decoded, np.ma.masked_less(np.arange(24, dtype='i2').reshape(6, 4), 9)):
        s = as_source(Declared(o))
        for read in (lambda s=s: s[0], lambda s=s: s[1:3], lambda s=s: s.gather([0,2,5])):
            with fails(TypeError, 'int16, but they are float64' if o is decoded else 'Masked'): read()
    same(as_source(Declared(np.ma.masked_array(np.arange(24, dtype='i2').reshape(6, 4)))).gather([5]), np.arange(20, 24, dtype='i2')[None])

class Hints:
    "A map that notes what the system is asked to read"
    def __init__(self): self.asked = []
    def madvise(self, advice, start, n): self.asked.append((start, start+n))

def test_no_hint_is_longer_than_disks_allow(tmp_path, monkeypatch):
    "The system cuts hints to the longest request of the disk, which is 128 KiB for some"
    X,hints = save_npy(tmp_path),Hints()
    monkeypatch.setattr(array_sources, 'mmap_of', lambda x: hints)
    will_need(X, np.array([5_000,10**6]), np.array([300_000,10**6+1]))
    assert hints.asked == [(4096, 135168), (135168, 266240), (266240, 300000), (999424, 1000001)]

@linux
def test_a_pass_has_the_disk_read_ahead_of_it_unless_the_file_is_cached(tmp_path, monkeypatch):
    path,asked = tmp_path/'x.npy',[]
    np.save(path, filled((25_000,1000)))
    drop_from_cache(path)
    monkeypatch.setattr(array_sources, 'will_need', lambda x, start, stop: asked.append((int(start[0]), int(stop[0]))))
    def read():
        asked.clear()
        for _ in as_source(path).blocks(range(25_000), 2**20): pass
        return asked
    mib,nbytes = 262*4000,10**8 # A block, and all of them
    assert read() == [(i*32*mib, min((i+2)*32*mib, nbytes)) for i in range(3)]
    path.read_bytes()
    assert read() == []

@pytest.mark.parametrize('error', [FileNotFoundError, PermissionError])
def test_a_pass_over_a_mapped_file_does_not_need_to_open_it_again(tmp_path, monkeypatch, error):
    def refuse(*_): raise error
    X,y = save_npy(tmp_path),[]
    monkeypatch.setattr(array_sources, 'cached_share', refuse)
    for o in as_source(X).blocks(range(len(X)), 1000): y.append(o.copy())
    assert np.array_equal(np.concatenate(y), x)
