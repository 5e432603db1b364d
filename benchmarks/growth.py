"Time and memory of what should not grow with the rows: see README.md"
import json, resource, subprocess, sys, warnings
from importlib import import_module
from pathlib import Path
import numpy as np
from common import arguments, benchmark, chosen, intro, md_table, number, only, pick, run, say
from processes import timed

limit = 6 # GB of private memory that a measurement may use
patience = 300 # Seconds that it may take

# Data: sparse files, and small ones that are full

def sparse(path, shape, dtype, first=()):
    "A `.npy` that takes no room on disk: zeros, after some first values"
    from tsdisk.disk.headers import npy_header
    dtype = np.dtype(dtype)
    head = npy_header(shape, dtype) + np.asarray(first, dtype).tobytes()
    with open(path, 'wb') as f:
        f.write(head)
        f.truncate(4096 + int(np.prod(shape))*dtype.itemsize)
    return path

def full(path, n, dtype, values):
    "A `.npy` of n values, from a function of their numbers"
    from tsdisk.disk.arrays import create_array
    with create_array(path, (n,), dtype) as w:
        for i in range(0, n, 2**22): w.append(values(np.arange(i, min(i+2**22, n))).astype(dtype))
    return path

def patients(i): return (i//5000*2654435761 >> 8) % 200 # Runs of 5,000 rows of the same group
def make(folder, n):
    "The arrays of a size"
    folder.mkdir()
    (folder/'data').mkdir()
    sparse(folder/'data/X.npy', (n,1,1), 'f4')
    full(folder/'groups.npy', n, 'u1', patients)
    full(folder/'classes.npy', n, 'u1', lambda i: (i*2654435761 >> 12) % 10)
    sparse(folder/'ints.npy', (n,), 'i8', range(10))
    sparse(folder/'texts.npy', (n,), '<U5', ['rest','walk','run','sleep'])
    sparse(folder/'rows.npy', (n-n//5,), 'i8')
    if n <= 10**8: full(folder/'offsets.npy', n+1, 'i8', lambda i: i*24 + i%7)
    sparse(folder/'values.npy', (n*24+7,1), 'f4')
    return folder

# What is measured: functions of a folder and a number of rows; what they do before they `yield` is not measured

def opened(folder, n):
    from tsdisk.folder.manifest import open_folder
    yield
    return open_folder(folder/'data')

def datasets(folder, n):
    from tsdisk.all import TSDatasets, random_splits
    splits = random_splits(n, seed=1)
    yield
    TSDatasets(folder/'data/X.npy', splits=splits)

def loader(folder, **kwargs):
    from tsdisk.all import TSDataLoaders, random_splits
    n = len(np.load(folder/'data/X.npy', mmap_mode='r'))
    splits = random_splits(n, seed=1)
    yield
    dls = TSDataLoaders.from_arrays(folder/'data/X.npy', splits=splits, device='cpu', seed=1, **kwargs)
    next(iter(dls.train))
    dls.train.state_dict()

def shuffled(folder, n): yield from loader(folder, shuffle=True)
def in_blocks(folder, n): yield from loader(folder, shuffle='block')
def weighted(folder, n): yield from loader(folder, weights=np.load(folder/'classes.npy', mmap_mode='r'))
def stratified_order(folder, n): yield from loader(folder, y=folder/'classes.npy', cat=True, shuffle='stratified')

def split_by(f, *args, **kwargs):
    "A split, and the first rows of its parts at random places"
    from tsdisk.disk.rows import take_idxs
    parts = f(*args, **kwargs)
    for o in parts: np.asarray(take_idxs(o, np.random.default_rng(0).integers(len(o), size=64)))
    return parts

def random_split(folder, n):
    from tsdisk.all import random_splits
    yield
    split_by(random_splits, n, seed=1)

def time_split(folder, n):
    from tsdisk.all import time_splits
    yield
    split_by(time_splits, n)

def group_split(folder, n):
    from tsdisk.all import group_splits
    yield
    split_by(group_splits, folder/'groups.npy', seed=1)

def stratified_split(folder, n):
    from tsdisk.all import stratified_splits
    yield
    split_by(stratified_splits, folder/'classes.npy', seed=1)

def saved(folder, splits):
    from tsdisk.all import open_folder, save_folder
    splits = splits()
    yield
    save_folder(folder/'data', splits=splits)
    open_folder(folder/'data')

def saved_random_split(folder, n):
    from tsdisk.all import random_splits
    yield from saved(folder, lambda: random_splits(n, seed=1))

def saved_group_split(folder, n):
    from tsdisk.all import group_splits
    yield from saved(folder, lambda: group_splits(folder/'groups.npy', seed=1))

def state(folder, n):
    from tsdisk.all import TSDataLoader, TSDatasets
    rows = np.load(folder/'rows.npy', mmap_mode='r')
    yield
    dl = TSDataLoader(TSDatasets(folder/'data/X.npy', splits=[rows, range(1, 100)]).subset(0), shuffle=True, device='cpu')
    next(iter(dl))
    dl.state_dict()

def ragged(folder, n):
    from tsdisk.all import Ragged
    yield
    r = Ragged(folder/'values.npy', folder/'offsets.npy')
    repr(r), r.gather([5, 0, n-1])

def ragged_windows(folder, n):
    from tsdisk.all import Ragged, Windows
    r = Ragged(folder/'values.npy', folder/'offsets.npy')
    yield
    Windows(r, 8).gather([5, 0, n-1])

def split_of_ragged_windows(folder, n):
    from tsdisk.all import Ragged, Windows, group_splits
    w = Windows(Ragged(folder/'values.npy', folder/'offsets.npy'), 8)
    yield
    split_by(group_splits, w, seed=1)

def int_labels(folder, n):
    from tsdisk.all import array_vocab
    yield
    array_vocab(folder/'ints.npy')

def text_labels(folder, n):
    from tsdisk.all import array_vocab
    yield
    array_vocab(folder/'texts.npy')

ways = {'open a folder': opened, '`TSDatasets`': datasets, "first batch, `shuffle=True`": shuffled, "first batch, `shuffle='block'`": in_blocks,
    'first batch, `weights`': weighted, "first batch, `shuffle='stratified'`": stratified_order, '`random_splits`': random_split, '`time_splits`': time_split,
    '`group_splits`': group_split, '`stratified_splits`': stratified_split, 'save a random split': saved_random_split, 'save a group split': saved_group_split,
    'first batch and state, split an array': state, 'labels, integers': int_labels, 'labels, texts': text_labels, 'open ragged series': ragged,
    'windows over ragged series': ragged_windows, '`group_splits` of these windows': split_of_ragged_windows}
of_series = [o for o,f in ways.items() if 'ragged' in f.__name__]

# Each in a process of its own, with limits: what fails is a row, too

def measure_here(name, folder, n):
    "In this process: seconds, and MB of private memory beyond what it had"
    import_module('tsdisk.all') # Not measured
    resource.setrlimit(resource.RLIMIT_DATA, (limit*10**9,)*2)
    warnings.simplefilter('ignore')
    steps = ways[name](Path(folder), n)
    next(steps)
    took,private = timed(lambda: next(steps, None))
    print(json.dumps(dict(took=took, private=private)))

def measure(name, folder, n):
    code = f'from growth import measure_here\nmeasure_here({name!r}, {str(folder)!r}, {n})'
    try: done = subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired: return dict(failed=f'more than {patience} s')
    if not done.returncode: return json.loads(done.stdout.splitlines()[-1])
    last = (done.stderr.strip().splitlines() or ['killed'])[-1]
    return dict(failed=f'more than {limit} GB' if 'Memory' in last or 'alloc' in last or done.returncode < 0 else last[:80])

def cell(res, name, n):
    found = pick(res, 'failed', way=name, rows=n)
    if found: return [found[0], '']
    took,private = (pick(res, o, way=name, rows=n) for o in ('took','private'))
    return [number(min(took), 2), number(max(0, min(private)), 2)] if took else ['not measured', '']

def table(res):
    sizes = sorted({r['rows'] for r in res})
    head = ['', *(h for n in sizes for h in (f'10{_power(n)} rows: s', 'MB'))]
    return md_table([head, *([o, *(c for n in sizes for c in cell(res, o, n))] for o in ways)])

def _power(n): return str(round(np.log10(n))).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))

def report(res):
    return f"""# What should not grow with the rows

{intro(res)}

Sparse files of (n, 1, 1) float32; each in a process of its own that may use {limit} GB and {patience} s; the least of {res['options']['rounds']} rounds. *MB*: private memory beyond what the process had, at most.
Series have 24 steps on average, windows 8.

{table(res['growth'])}
"""

def main():
    sizes = dict(type=float, nargs='+', help='numbers of rows (default: 1e6 1e8 1e9, or 1e6 1e7 with --quick)')
    args = arguments('growth', __doc__, 'up to ten million rows: two minutes', (1,1), 4, sizes=sizes, only=only)
    sizes = [int(o) for o in args.sizes or ([1e6,1e7] if args.quick else [1e6,1e8,1e9])]
    names,res = chosen(ways, args),[]
    with benchmark(args, need=4e9, wait=0) as bench:
        for n in sizes:
            say(f'{n:,} rows: writing data')
            folder = make(bench.folder/str(n), n)
            for _ in bench.turns(f'{n:,} rows'):
                for name in names:
                    if name in of_series and n > 10**8: continue # The offsets alone take 8 GB of disk
                    res.append(dict(way=name, rows=n, **measure(name, folder, n)))
                    say(f'{name}: {res[-1]}')
        bench.keep(dict(rounds=args.rounds), report, growth=res)

if __name__ == '__main__': run(main)
