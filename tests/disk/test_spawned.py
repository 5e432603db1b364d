"What spawned worker processes are sent: a few kB, whatever the splits, labels, weights and series"
import os, pickle, traceback
from multiprocessing import reduction
from multiprocessing.context import set_spawning_popen
import numpy as np, pytest, torch
from conftest import same
from tsdisk.all import Ragged, Standardize, TSDataLoaders, Windows, group_splits, random_splits, save_array
from tsdisk.disk import spawned

n = 20_000
rng = np.random.default_rng(0)
order = rng.permutation(n)
splits = order[:n-100], order[n-100:]
offsets = np.append(0, np.cumsum(rng.integers(8, 20, n)))

@pytest.fixture
def starting():
    "A process that is said to start: this one reads what it is sent"
    popen = pytest.importorskip('multiprocessing.popen_spawn_posix').Popen
    res = popen.__new__(popen)
    res._fds = []
    set_spawning_popen(res)
    yield res
    set_spawning_popen(None)

def in_a_child(f, *args):
    "Calls `f` in another process: it closes files that it was sent, which are those of this process, too, if it reads them itself"
    if not (child := os.fork()):
        torch.set_num_threads(1) # As in a worker: those of OpenMP do not live here
        try: f(*args)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def loader(X, y=None, splits=splits, **kwargs):
    kwargs = dict(splits=splits, shuffle=True, num_workers=2, seed=0, device='cpu', bs=32) | kwargs
    return TSDataLoaders.from_arrays(X, y, **kwargs).train

def of_rows(tmp_path, y=None, **kwargs):
    X = save_array(tmp_path/'X.npy', np.arange(n*8, dtype='f4').reshape(n,2,4))
    return loader(X, save_array(tmp_path/'y.npy', np.arange(n)%3) if y is None else y, **kwargs)

def of_windows(tmp_path):
    w = Windows(Ragged(save_array(tmp_path/'v.npy', np.arange(offsets[-1], dtype='f4')[:,None]), offsets), 8)
    return loader(w, splits=group_splits(w, seed=0))

cases = dict(random=lambda o: of_rows(o, splits=random_splits(n, seed=0)), array=of_rows, blocks=lambda o: of_rows(o, shuffle='block'),
    labels=lambda o: of_rows(o, np.array([*'abc'])[np.arange(n)%3]), strata=lambda o: of_rows(o, shuffle='stratified'),
    weights=lambda o: of_rows(o, weights=np.arange(n)%5), windows=of_windows, statistics=lambda o: of_rows(o, batch_tfms=Standardize()))

@pytest.mark.parametrize('case', cases)
def test_workers_are_sent_paths_and_numbers(case, tmp_path, starting):
    set_spawning_popen(None)
    dl = cases[case](tmp_path)
    dl.steps = dl.plan().with_order(dl.get_idxs()) # As at the start of an epoch
    assert case == 'statistics' or len(pickle.dumps(dl)) > 40_000, 'elsewhere a pickle is whole'
    set_spawning_popen(starting)
    sent = bytes(reduction.ForkingPickler.dumps(dl.fake_l))
    assert len(sent) < 2500 # With torch's queues, 1.5 kB, less than 4 kB
    pos = dl.steps.positions(3, 5)
    batch = dl.dataset.batch(pos)
    def check():
        there = pickle.loads(sent).d
        same(there.steps.positions(3, 5), pos)
        for a,b in zip(batch, there.dataset.batch(pos), strict=True): same(a, b)
    in_a_child(check)

def test_an_array_is_written_once_and_again_when_it_has_changed(starting):
    files = len(spawned._files)
    a = np.arange(1000)
    def check(sent, a):
        got = spawned._unpacked(sent)
        same(got, a)
        got[1] = 9 # In memory of its own
    for _ in range(2): in_a_child(check, spawned._packed(a), a)
    f = spawned._files[id(a)][2]
    a[0] = 7
    in_a_child(check, spawned._packed(a), a)
    assert f is not spawned._files[id(a)][2] and len(spawned._files) == files+1
    del a
    assert len(spawned._files) == files
