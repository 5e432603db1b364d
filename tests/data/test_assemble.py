"Batches are made of what was read, in whole groups or one by one"
import numpy as np, pytest, torch
from fastai.torch_core import TensorCategory
from conftest import filled, ramp, same
from loader_cases import loader
from tsdisk.data.assemble import Assembler
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.device import split
from tsdisk.data.loaders import TSDataLoader

def test_no_y_gives_inputs_alone(block):
    bs = list(loader(100, y=False, bs=32))
    assert [type(o) for o in bs] == [tuple]*4 and [len(o) for o in bs] == [1]*4
    same(torch.cat([o[0] for o in bs]).numpy(), ramp(100))

def test_batches_for_another_loader_are_cast_and_typed_whatever_was_before(monkeypatch):
    from fastai.distributed import DistributedDL
    monkeypatch.setattr(DistributedDL, '_broadcast', lambda self,t,rank: t)
    dl = TSDataLoader(TSDatasets(filled((40,2,10), 'i2'), np.arange(40)), bs=10)
    next(iter(dl)) # On the CPU
    dl.device = torch.device('meta')
    x,y = next(iter(DistributedDL(dl, rank=0, world_size=2)))
    assert (type(x),x.dtype,type(y)) == (TSTensor,torch.float32,TensorCategory)

@pytest.mark.parametrize('dtype', ['f4','i2'])
@pytest.mark.parametrize('whole_groups', [True,False])
def test_batches_are_those_of_the_dataset(whole_groups, dtype):
    dset = TSDatasets(filled((20,2,5), dtype), np.array([*'abcd']*5), mask=True)
    make = Assembler(dset, whole_groups)
    columns = make.group([o.read(np.arange(20)) for o in dset.reads()[0]])
    batches = [make.finish(b) for b in split(columns, 8, make.types)]
    for i,b in enumerate(batches):
        want = dset.batch(range(8*i, min(8*i+8, 20)))
        assert [type(o) for o in b] == [type(o) for o in want]
        for o,w in zip(b, want): same(o.numpy(), w.numpy())
    assert [len(b[0]) for b in batches] == [8,8,4]
