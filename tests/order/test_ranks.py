"Processes that were launched together know their numbers and draw the same seeds"
import numpy as np, pytest
from conftest import fails, fresh
from tsdisk.order.ranks import drawn_seed, launched, process_group

names = 'RANK','WORLD_SIZE','SLURM_PROCID','SLURM_STEP_NUM_TASKS','TORCHELASTIC_RUN_ID','MASTER_ADDR','MASTER_PORT','SLURM_JOB_ID','SLURM_STEP_ID'

@pytest.fixture
def env(monkeypatch):
    "Sets variables of the environment, of which there are no others of a launch"
    for o in names: monkeypatch.delenv(o, raising=False)
    return lambda **kwargs: [monkeypatch.setenv(k, str(v)) for k,v in kwargs.items()]

def test_a_process_on_its_own_is_rank_0_of_1(env): assert launched() == (0,1) and process_group() is None

@pytest.mark.parametrize('variables,want', [(dict(RANK=1, WORLD_SIZE=3), (1,3)), (dict(SLURM_PROCID=2, SLURM_STEP_NUM_TASKS=4), (2,4)),
    (dict(RANK=1, WORLD_SIZE=3, SLURM_PROCID=0, SLURM_STEP_NUM_TASKS=1), (1,3)), (dict(RANK=1), (0,1)), (dict(SLURM_PROCID=0, SLURM_NTASKS=8), (0,1))],
    ids=['torchrun','srun','torchrun in a job','half','a batch script, not started by srun'])
def test_launchers_tell_ranks_by_the_environment(env, variables, want):
    env(**variables)
    assert launched() == want

def test_a_group_knows_better_than_the_environment():
    code = """
    import torch.distributed as dist
    from tsdisk.order.ranks import launched
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    res = launched()"""
    assert fresh(code, env=dict(RANK='3', WORLD_SIZE='5')) == (0,1)

def test_seeds_follow_the_global_generator_in_one_process(env):
    np.random.seed(3)
    first = drawn_seed()
    np.random.seed(3)
    assert drawn_seed() == first != drawn_seed()

def test_all_ranks_draw_the_same_seeds():
    code = """
    import numpy as np
    from tsdisk.all import random_splits, stratified_splits, group_splits, TSDataLoaders
    np.random.seed(args[0])
    y = np.arange(3000)%3
    dls = TSDataLoaders.from_arrays(np.zeros((3000,1,4), 'f4'), y, bs=8, device='cpu')
    splits = [random_splits(3000), random_splits(3000), stratified_splits(y), group_splits(np.arange(3000)//7)]
    res = [np.concatenate(o) for o in splits] + [np.asarray(dls.train.dataset.idxs), dls.train.seed, dls.train.rank, dls.valid.world_size]"""
    ranks = [fresh(code, r, env=dict(RANK=str(r), WORLD_SIZE='2', MASTER_PORT='29511', MASTER_ADDR='127.0.0.1')) for r in (0,1)]
    for a,b in zip(*[o[:-2] for o in ranks]): np.testing.assert_array_equal(a, b)
    assert [o[-2:] for o in ranks] == [[0,2],[1,2]] and not np.array_equal(ranks[0][0], ranks[0][1])

def test_a_launch_without_a_name_needs_a_seed(env):
    env(RANK=0, WORLD_SIZE=2)
    with fails(ValueError, 'give `seed`'): drawn_seed()
