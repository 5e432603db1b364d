"A seed gives the same batches, bit for bit, however and wherever they are read"
import os, subprocess, sys
from hashlib import blake2b
import numpy as np, pytest
from conftest import on_cpu, test_folders
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.arrays import save_array

n = 500
shuffled = dict(shuffle=True)
orders = dict(plain={}, shuffled=shuffled, stratified=dict(shuffle='stratified'), balanced=dict(shuffle='balanced'))
orders['blocks'] = dict(shuffle='block', read=dict(block_bytes=960, buffer_bytes=9600))
orders['part'] = shuffled | dict(partial_n=.3)
orders['part_of_blocks'] = dict(shuffle='block', partial_n=130)
orders['weights'] = shuffled | dict(weights=np.arange(n))
orders['drawn'] = orders['weights'] | dict(partial_n=100)

def digests(folder, order, read=None, epochs=2, **kwargs):
    "One text for each epoch"
    opts = orders[order]
    dset = TSDatasets(f'{folder}/X.npy', f'{folder}/y.npy')
    dl = TSDataLoader(dset, bs=32, seed=7, **{**opts, **kwargs, 'read': ReadOptions(**{**opts.get('read', {}), **(read or {})})})
    return [blake2b(b''.join(o.numpy().tobytes() for b in dl for o in b)).hexdigest() for _ in range(epochs)]

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    d = tmp_path_factory.mktemp('rows')
    save_array(d/'X.npy', np.random.default_rng(0).normal(size=(n,3,20)).astype('f4'))
    save_array(d/'y.npy', np.arange(n)%7%3)
    return d

@pytest.fixture(scope='module')
def spawned(folder):
    "The digests of another process, and of an epoch of spawned workers for one order"
    main = folder/'main.py'
    main.write_text("""
import multiprocessing, sys
from test_reproducible import digests, orders
if __name__ == '__main__':
    multiprocessing.set_start_method('spawn')
    for o in orders: print(o, *digests(sys.argv[1], o))
    print('blocks_spawned', *digests(sys.argv[1], 'blocks', epochs=1, num_workers=2))""")
    path = os.pathsep.join([*test_folders, os.environ.get('PYTHONPATH', '')])
    done = subprocess.run([sys.executable, main, folder], capture_output=True, text=True, env={**on_cpu, 'PYTHONPATH': path})
    assert done.returncode == 0, done.stderr[-2000:]
    return {k: o for k,*o in map(str.split, done.stdout.splitlines())}

ways = dict(forked=dict(num_workers=2), direct_workers=dict(num_workers=1, read=dict(direct=True)))
reads = dict(direct=dict(direct=True), one_thread=dict(direct=True, threads=1), cached=dict(direct=False), no_groups=dict(group_bytes=0))
reads |= dict(large_groups=dict(group_bytes=2**30, prefetch=0), few_lookups=dict(lookup_rows=32), background=dict(background=True, spare=0))
ways |= {k: dict(read=o) for k,o in reads.items()}

@pytest.mark.filterwarnings('ignore:Rows of .* one by one')
@pytest.mark.parametrize('order', orders)
def test_a_seed_gives_the_same_batches(folder, spawned, order):
    want = digests(folder, order)
    assert want[0] != want[1] or order == 'plain'
    assert digests(folder, order) == spawned[order] == want and spawned.get(f'{order}_spawned', want[:1]) == want[:1]
    for name,how in ways.items(): assert digests(folder, order, epochs=1, **how) == want[:1], name

@pytest.mark.skipif(not hasattr(os, 'posix_fadvise'), reason='files cannot be dropped from the page cache')
def test_a_cold_file_gives_the_same_batches(folder):
    want = digests(folder, 'shuffled')
    with open(folder/'X.npy', 'rb') as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert digests(folder, 'shuffled') == want
