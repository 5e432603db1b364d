"Few descriptors, maps or threads, and epochs that end early: nothing fails, leaks or hangs"
import os
import numpy as np, pytest
from conftest import fresh, linux
from tsdisk.disk.arrays import save_array

pytestmark = linux

@pytest.fixture
def files(tmp_path):
    "An array, a dataset of it, and files of one sample each"
    from tsdisk.folder.checks import add_checksums
    from tsdisk.folder.manifest import save_folder
    x = np.arange(600*2*64, dtype='f4').reshape(600, 2, 64)
    save_array(tmp_path/'X.npy', x)
    save_folder(tmp_path/'set', x, np.arange(600)%2)
    add_checksums(tmp_path/'set')
    (tmp_path/'raw').mkdir()
    for i in range(200): np.save(tmp_path/f'raw/{i:03}.npy', x[i])
    return str(tmp_path)

# Everything that users do, in a process whose limits the code before it sets

work = """
import os, resource, sys, threading, warnings
warnings.simplefilter('ignore')
import numpy as np
from tsdisk.convert.convert import append, convert
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.shards import Shards
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.manifest import open_folder
from tsdisk.folder.stats import array_stats
from tsdisk.series.windows import Windows
import torch
d = args[0]
want = np.load(f'{d}/X.npy')
def rows(source, **kwargs):
    dl = TSDataLoader(TSDatasets(source), bs=32, **kwargs)
    return np.concatenate([o[0].numpy() for o in dl])
def check():
    for direct in (False,True):
        read = ReadOptions(direct=direct)
        assert np.array_equal(rows(f'{d}/X.npy', read=read), want)
        assert np.array_equal(np.sort(rows(f'{d}/X.npy', read=read, shuffle=True)[:,0,0]), want[:,0,0])
    assert np.array_equal(rows(f'{d}/X.npy', read=ReadOptions(background=True)), want)
    assert np.array_equal(rows(Shards(d+'/raw', stack=True)), want[:200])
    assert np.array_equal(rows(Windows([f'{d}/raw/{i:03}.npy' for i in range(200)], 2)), want[:200].swapaxes(1, 2))
    st = array_stats(open_array(f'{d}/X.npy'))
    assert np.allclose(st.mean, want.astype('f8').mean((0,2)))
    assert verify(d+'/set') == [] and len(open_folder(d+'/set')[0]['X']) == 600
    convert(d+'/raw', d+'/converted', n_workers=0)
    append(d+'/converted', [f'{d}/raw/000.npy'], n_workers=0, again=True)
    assert np.array_equal(open_folder(d+'/converted')[0]['X'], want[[*range(200),0]]) and verify(d+'/converted') == []
"""

def test_all_works_with_few_descriptors(files):
    assert fresh(work + """
resource.setrlimit(resource.RLIMIT_NOFILE, (64,64))
check()
assert np.array_equal(rows(Shards(d+'/raw', stack=True), num_workers=2), want[:200])
try: rows(Shards(d+'/raw', stack=True), read=ReadOptions(direct=True))
except ValueError as e: assert 'There are 200 files, and at most 20 are open at a time' in str(e)
else: assert False
res = len(os.listdir('/proc/self/fd'))""", files) < 64

def test_all_works_where_no_thread_can_be_started(files):
    assert fresh(work + """
torch.set_num_threads(4)
def start(self): raise RuntimeError("can't start new thread") # As Python does at the limit of the system
threading.Thread.start = start
check()
res = threading.active_count()""", files) == 1

def test_all_works_where_threads_run_out(files):
    assert fresh(work + """
torch.set_num_threads(4)
start = threading.Thread.start
def start_two(self):
    if threading.active_count() > 2: raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = start_two
check()
res = threading.active_count()""", files) <= 3

def test_files_of_loaders_that_are_gone_are_no_limit(files):
    assert fresh(work + """
import gc
from tsdisk.series.volumes import Volumes
gc.disable() # Loaders are in a cycle, and nothing collects it before descriptors run out
resource.setrlimit(resource.RLIMIT_NOFILE, (64,64))
for _ in range(5): assert np.array_equal(rows(Shards(d+'/raw', stack=True)), want[:200])
for _ in range(5):
    volumes = Volumes([f'{d}/raw/{i:03}.npy' for i in range(60)])
    volumes.itself = volumes
    assert all(np.array_equal(volumes.row(i), want[i]) for i in range(60))
res = True""", files)

# Epochs that end early

leaks = work + """
import gc, signal
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler) # A shell that runs the tests in the background ignores it
def private(): return next(int(o.split()[1]) for o in Path('/proc/self/status').read_text().splitlines() if o.startswith('RssAnon'))/1024
def held(): return len(os.listdir('/proc/self/fd')), threading.active_count(), Path('/proc/self/maps').read_text().count('.npy')
def end(how, dl):
    batches = iter(dl)
    for i,b in enumerate(batches):
        if i < 3: continue
        if how == 'break': break
        if how == 'error': raise ValueError('mine')
        if how == 'interrupt': os.kill(os.getpid(), signal.SIGINT)
def epochs(how, make, n):
    for _ in range(n):
        try: end(how, make())
        except (ValueError,KeyboardInterrupt): pass
def grown(how, make, n, warm=10):
    epochs(how, make, warm)
    gc.collect()
    before,mb = held(),private()
    epochs(how, make, n)
    gc.collect()
    return [b-a for a,b in zip(before, held())], private()-mb
"""

@pytest.mark.parametrize('how', ['whole','break','error','interrupt'])
def test_200_epochs_leak_nothing(files, how):
    res = fresh(leaks + f"""
X = TSDatasets(f'{{d}}/X.npy')
shards = TSDatasets(Shards(d+'/raw', stack=True))
ways = [(X, dict(read=ReadOptions(direct=False))), (X, dict(read=ReadOptions(direct=True))), (X, dict(read=ReadOptions(background=True))), (shards, dict())]
res = []
for dset,kwargs in ways:
    one = TSDataLoader(dset, bs=32, shuffle=True, **kwargs)
    for make in (lambda: one, one.new): res.append(grown({how!r}, make, 200))""", files, env=dict(MALLOC_MMAP_THRESHOLD_='65536')) # Freed blocks go back at once
    for counts,mb in res: assert max(counts) <= 1 and mb < 50, res # The data of each epoch would be 60

def test_epochs_of_workers_that_end_early_leak_nothing(files):
    res = fresh(leaks + """
dl = TSDataLoader(TSDatasets(f'{d}/X.npy'), bs=32, num_workers=2)
res = [grown(how, lambda: dl, 10, warm=2) for how in ('whole','break','error')]
import multiprocessing
res.append(len(multiprocessing.active_children()))""", files)
    *grown,children = res
    assert children == 0
    for counts,mb in grown: assert max(counts) <= 1 and mb < 20, res

def test_two_loaders_at_once_and_a_fork_after_threads(files):
    assert fresh(leaks + """
torch.set_num_threads(2)
X = TSDatasets(f'{d}/X.npy')
a,b = (TSDataLoader(X, bs=32, read=ReadOptions(direct=o)) for o in (True,False))
for p,q in zip(a, b, strict=True): assert torch.equal(p[0], q[0])
workers = TSDataLoader(X, bs=32, num_workers=2, read=ReadOptions(direct=True)) # Forked after threads were started
for p,q,r in zip(a, workers, workers.new(), strict=True): assert torch.equal(p[0], q[0]) and torch.equal(q[0], r[0])
res = True""", files)

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='There is no fork on this system')
def test_forked_processes_do_not_wait_for_threads_of_their_parent(tmp_path):
    "OpenMP's threads stay behind: an operator of torch in several threads would wait for them for ever"
    assert fresh("""
import os, signal
import numpy as np, torch
from tsdisk.all import convert, open_folder, save_array
from tsdisk.disk.array_sources import as_source
torch.set_num_threads(2)
d, = args
big = torch.zeros(1000, 4000)
s = as_source(save_array(f'{d}/X.npy', big.numpy()))
def read(i):
    import torch
    return dict(X=torch.index_select(torch.full((1000, 4000), i), 0, torch.arange(1000))[:2].numpy())
read(1)
want = s.gather(range(1000))
if not (pid := os.fork()):
    signal.alarm(60)
    os._exit(0 if (s.gather(range(1000)) == want).all() and len(s.gather([3])) == 1 else 1)
gathered = os.waitpid(pid, 0)[1]
signal.alarm(120)
convert([0,1,2], f'{d}/made', read=read, n_workers=2)
res = gathered, len(open_folder(f'{d}/made')[0]['X'])""", str(tmp_path)) == (0,3)
