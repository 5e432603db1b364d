"Learners of processes that share their steps: what is gathered, weighed, and refused"
import numpy as np, pytest
from fastai.basics import CrossEntropyLossFlat, Learner, MSELossFlat, nn, tensor
from conftest import fails, fresh
from tsdisk.all import TSDataLoaders
from tsdisk.data import shared_steps
from tsdisk.data.shared_steps import as_rank, check_same_rows, counted_rows, loss_weight, shares_steps

def loaders(n=13, **kwargs):
    X = np.arange(n*4, dtype='f4').reshape(n, 1, 4)
    return TSDataLoaders.from_arrays(X, np.arange(n)%2, splits=[range(n-3), range(n-3, n)], bs=2, seed=1, device='cpu', **kwargs)

def learner(dls, **kwargs): return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), **kwargs)

def test_one_process_shares_nothing():
    dls = loaders()
    assert not any(shares_steps(o) for o in (dls.train, dls.valid, [1]))
    assert as_rank(dls.train) is dls.train and as_rank([1]) == [1]
    mean,(rows,) = dls.train.to_detach((tensor(2., requires_grad=True), [tensor([1,2])]))
    assert mean == 2 and not mean.requires_grad and rows.tolist() == [1,2]

def test_repeated_rows_do_not_count():
    "13 shuffled rows for 3 ranks of 2: the last step has one row, and each rank a batch"
    parts = [loaders(16).train.new(rank=r, world_size=3, drop_last=False) for r in range(3)]
    assert [[(len(b[0]), counted_rows(dl, len(b[0]))) for b in dl] for dl in parts] == [[(2,2),(2,2),(1,0)], [(2,2),(2,2),(1,0)], [(2,2),(2,2),(1,1)]]

def test_losses_weigh_what_they_are_means_of():
    dls = loaders()
    learn = learner(dls, loss_func=CrossEntropyLossFlat())
    learn.dl,learn.xb,learn.yb = dls.valid,(),(tensor([0,1,1,-100]),)
    assert loss_weight(learn) == 3
    learn.loss_func = CrossEntropyLossFlat(weight=tensor([1.,4.]))
    assert loss_weight(learn) == 9
    learn.yb = (tensor([[1.,np.nan],[2.,3.]]),)
    learn.loss_func = MSELossFlat()
    assert loss_weight(learn) == 3

def test_ranks_of_other_rows_are_refused(monkeypatch):
    one,other = loaders().train,loaders(14).train
    monkeypatch.setattr(shared_steps, 'from_all_ranks', lambda state: [state, other.state_dict() | dict(seed=1)])
    with fails(ValueError, 'The ranks disagree on', 'and a `seed`'): check_same_rows(one)
    monkeypatch.setattr(shared_steps, 'from_all_ranks', lambda state: [state, state])
    check_same_rows(one)

alone = """
import numpy as np
from tsdisk.all import *
from fastai.basics import Learner, nn
X = np.zeros((40,1,4), 'f4')
dls = TSDataLoaders.from_arrays(X, np.arange(40)%2, bs=4, seed=1, device='cpu', **args[0])
learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
res = None
try:
    with learn.no_bar(), learn.no_logging(): getattr(learn, args[1])(*args[2:])
except ValueError as e: res = str(e)
"""

@pytest.mark.parametrize('method,args', [('fit',(1,)), ('validate',()), ('get_preds',())])
def test_processes_that_do_not_know_each_other_are_refused(method, args):
    env = dict(RANK='1', WORLD_SIZE='2', MASTER_PORT='29511')
    why = fresh(alone, {}, method, *args, env=env)
    assert '2 processes were launched' in why and 'DistributedTraining()' in why and '`rank=0, world_size=1`' in why

def test_processes_that_are_told_so_train_models_of_their_own():
    assert fresh(alone, dict(rank=0, world_size=1), 'fit', 1, env=dict(SLURM_PROCID='1', SLURM_STEP_NUM_TASKS='2')) is None
