"What processes that train together get of each other: rows in the order of the ranks, means by weight"
import os
import numpy as np, pytest, torch
from conftest import fresh

ranks = pytest.mark.skipif(not hasattr(os, 'fork') or not torch.distributed.is_available(), reason='needs `os.fork` and gloo')
together = """
    import os, pickle, tempfile, torch
    import torch.distributed as dist
    from fastai.torch_core import TensorBase
    from tsdisk.data.ranks import from_all_ranks, gather_rows, mean_over_ranks
    code,n,folder = args
    torch.set_num_threads(1)
    rank = next((i for i in range(n) if i and not os.fork()), 0)
    dist.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=n)
    got = eval(code)
    with open(f'{folder}/{rank}', 'wb') as f: pickle.dump(got, f)
    dist.barrier()
    dist.destroy_process_group()
    if rank: os._exit(0)
    for _ in range(1, n): assert os.wait()[1] == 0
    res = []
    for i in range(n):
        with open(f'{folder}/{i}', 'rb') as f: res.append(pickle.load(f))"""

objects = """from_all_ranks(dict(a='abc'[rank])),
    *[gather_rows(torch.full((rank+1,2), rank).to(o)).float().tolist() for o in (torch.int64,torch.bfloat16,torch.float64,torch.uint8)],
    gather_rows(torch.arange(3) == rank).tolist(), type(gather_rows(TensorBase([1.]))).__name__,
    gather_rows(torch.full((1,rank), rank), -7).tolist(), gather_rows(torch.zeros(2*(rank == 1), 4).T.contiguous().T).shape,
    gather_rows(torch.arange(6).reshape(2, 3).T).tolist()"""

means = """[o.tolist() for v,w in (
    (torch.tensor(rank*1.), rank), (torch.tensor([rank, -rank], dtype=torch.float32), 1), (torch.tensor(float('nan') if rank == 1 else 5.), rank != 1),
    (torch.tensor(float('nan')), 0.)) for o in mean_over_ranks(v, w)]"""

@pytest.fixture(scope='module')
def found(tmp_path_factory):
    "What three ranks get, which must be equal"
    got = fresh(together, f'[[{objects}], {means}]', 3, str(tmp_path_factory.mktemp('ranks')))
    assert len(got) == 3 and len({*map(repr, got)}) == 1
    return got[0]

@ranks
def test_objects_and_rows_come_in_the_order_of_the_ranks(found):
    objects,*by_dtype,bools,kind,padded,few,turned = found[0]
    assert objects == [dict(a=o) for o in 'abc'] and by_dtype == [[[i,i] for i in (0,1,1,2,2,2)]]*4
    assert np.array_equal(np.reshape(bools, (3,3)), np.eye(3, dtype=bool)) and kind == 'TensorBase'
    assert padded == [[-7,-7],[1,-7],[2,2]] and few == (2,4) and turned == [[0,3],[1,4],[2,5]]*3

@ranks
def test_means_are_by_weight_and_leave_out_what_has_none(found):
    mean,*others = found[1]
    assert mean == pytest.approx(5/3) and others == [3, [1,-1], 3, 5, 2, 0, 0]
