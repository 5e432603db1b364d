"Arrays, lists, tables and objects that look like arrays are sources of rows, or are refused"
import numpy as np, pytest, torch
from fastcore.foundation import L
from conftest import fails, filled, same
from source_cases import Half, Ints, save_npy, Slow, x
from tsdisk.testing import check_order
from tsdisk.disk.array_sources import ArraySource, LikeSource, as_source

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
