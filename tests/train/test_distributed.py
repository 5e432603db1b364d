"Many processes equal one: real processes of gloo report what one process reports, are killed, and are resumed in other numbers"
import json, os, random, signal, socket, subprocess, sys
from contextlib import suppress
import numpy as np, pytest
from conftest import here, on_cpu, test_folders

def environment():
    path = os.pathsep.join([*test_folders, *filter(None, [os.environ.get('PYTHONPATH')])])
    return {**on_cpu, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', 'MPLBACKEND': 'Agg', 'PYTHONFAULTHANDLER': '1'}

def free_port():
    "A port below those that systems hand out by themselves: it is used seconds later, and another test may get it meanwhile"
    with socket.socket() as s:
        while True:
            port = random.SystemRandom().randrange(20_000, 30_000)
            with suppress(OSError):
                s.bind(('127.0.0.1', port))
                return port

def launch(world_size, *args, env=()):
    "Start a script of the tests in several processes, as `torchrun` does, and wait for all of them: (exit statuses, texts)"
    common = {**environment(), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free_port()), 'WORLD_SIZE': str(world_size), **dict(env)}
    if world_size == 1: common.pop('WORLD_SIZE')
    command = [sys.executable, str(here/'ranks.py'), *map(str, args)]
    ranks = [common | (dict(RANK=str(r), LOCAL_RANK=str(r)) if world_size > 1 else {}) for r in range(world_size)]
    running = [subprocess.Popen(command, env=o, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for o in ranks]
    try: texts = [o.communicate(timeout=280)[1] for o in running]
    except subprocess.TimeoutExpired:
        for o in running: o.send_signal(signal.SIGABRT) # Each prints where its threads are
        stacks = [o.communicate()[1].partition('Extension modules:')[0][-4000:] for o in running]
        raise AssertionError('\n'.join(f'rank {r}: {o}' for r,o in enumerate(stacks)))
    finally:
        for o in running: o.kill()
    return [o.returncode for o in running], texts

def launched_well(world_size, *args, **kwargs):
    codes,texts = launch(world_size, *args, **kwargs)
    assert codes == [0]*world_size, '\n'.join(o[-2000:] for o in texts)

def differences(one, many, but=()):
    "Names of arrays of a file that differ by more than rounding"
    one,many = np.load(one),np.load(many)
    assert {*one.files} == {*many.files} and one.files
    return [k for k in one.files if k not in but and not alike(one[k], many[k])]

def alike(a, b):
    if a.shape != b.shape: return False
    return np.allclose(a, b, 1e-4, 1e-5, equal_nan=True) if a.dtype.kind == 'f' else bool((a == b).all())

@pytest.mark.slow
def test_many_ranks_report_what_one_process_reports(tmp_path):
    "Rows, losses, metrics, weights and predictions, in every order, of every kind of data"
    for n in (1,2,3): launched_well(n, tmp_path/str(n))
    files = sorted(o.name for o in (tmp_path/'1').glob('*.npz'))
    assert len(files) == 30
    but = ['valid_steps']
    found = {(n,o): differences(tmp_path/'1'/o, tmp_path/str(n)/o, but) for n in (2,3) for o in files}
    assert not {k: v for k,v in found.items() if v}

def rows_by_epoch(file):
    "The rows of each epoch, in order; every step must start where one ended"
    res = {}
    for o in map(json.loads, file.read_text().splitlines()):
        rows = res.setdefault(o['epoch'], [])
        assert o['start'] == len(rows)
        rows += o['rows']
    return res

@pytest.mark.slow
@pytest.mark.parametrize('global_bs,kills', [((24,24,24), (4,11,0)), ((24,30,16), (4,10,0))], ids=['same_steps','other_steps'])
def test_training_that_is_killed_resumes_with_any_number_of_ranks(global_bs, kills, tmp_path):
    "Killed in its first epoch with 2 ranks and in its second with 3, and finished by 1"
    launched_well(1, tmp_path/'whole', 'resumable', 24, 0)
    for world_size,bs,kill_at in zip((2,3,1), global_bs, kills):
        codes,texts = launch(world_size, tmp_path/'parts', 'resumable', bs, kill_at)
        assert codes == [-signal.SIGKILL if kill_at else 0]*world_size, '\n'.join(o[-2000:] for o in texts)
    whole,parts = [rows_by_epoch(tmp_path/o/'log.jsonl') for o in ('whole','parts')]
    assert parts == whole and [sorted(o) for o in parts.values()] == [[*range(150)]]*3
    but = ['drawn'] if global_bs == (24,24,24) else ['drawn','values','weights']
    assert not differences(tmp_path/'whole'/'resumable.npz', tmp_path/'parts'/'resumable.npz', but=but)

@pytest.mark.slow
def test_each_rank_resumes_its_own_random_numbers(tmp_path):
    launched_well(2, tmp_path/'whole', 'resumable', 24, 0)
    codes,_ = launch(2, tmp_path/'parts', 'resumable', 24, 4)
    assert codes == [-signal.SIGKILL]*2
    launched_well(2, tmp_path/'parts', 'resumable', 24, 0)
    assert not differences(tmp_path/'whole'/'resumable.npz', tmp_path/'parts'/'resumable.npz')
    drawn = np.load(tmp_path/'parts'/'resumable.npz')['drawn']
    assert drawn.shape == (2,4)

ended_early = '''
import os, sys, time, torch
from tsdisk.train.distributed import join_processes

def rank(i):
    os.environ.update(RANK=str(i), LOCAL_RANK=str(i))
    torch.set_num_threads(1)
    join_processes()
    torch.distributed.barrier()

def status(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

if not (failing := os.fork()):
    rank(1)
    if not (child := os.fork()): sys.exit(0) # It has the group, but none of its threads
    work = torch.distributed.all_reduce(torch.ones(10), async_op=True) # The other never joins
    sys.exit(5 if status(child) == 0 else 6)
rank(0)
print(status(failing))
os._exit(0)
'''

@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, 'fork'), reason="needs `os.fork`")
def test_a_rank_that_fails_ends_though_others_wait():
    meeting = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), WORLD_SIZE='2')
    run = subprocess.run([sys.executable, '-c', ended_early], env={**environment(), **meeting}, capture_output=True, text=True, timeout=100)
    assert run.stdout == '5\n', run.stderr[-2000:]

ended_at_once = '''
import os, sys, torch
from tsdisk.data.ranks import from_all_ranks
from tsdisk.train.distributed import join_processes

def rank(i):
    os.environ.update(RANK=str(i), LOCAL_RANK=str(i))
    torch.set_num_threads(1)
    join_processes()
    for o in os.listdir('/proc/self/task'): # Threads that are freeing tensors when Python ends
        if int(o) != os.getpid(): os.sched_setscheduler(int(o), os.SCHED_IDLE, os.sched_param(0))
    from_all_ranks([i])

os.sched_setaffinity(0, {*list(os.sched_getaffinity(0))[:1]})
for _ in range(4):
    children = []
    for i in range(2):
        if child := os.fork(): children.append(child)
        else: sys.exit(rank(i))
    codes = [os.waitpid(o, 0)[1] for o in children]
    assert codes == [0,0], codes
'''

@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, 'SCHED_IDLE'), reason="needs Linux's scheduler")
def test_ranks_that_end_at_once_end_well():
    "A thread of gloo that freed a tensor while Python ended aborted the process: 41 of 100 ended so"
    meeting = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), WORLD_SIZE='2')
    run = subprocess.run([sys.executable, '-c', ended_at_once], env={**environment(), **meeting}, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr[-2000:]
