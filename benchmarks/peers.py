"The same rows as other libraries keep and read them, beside tsdisk: in the page cache, and from data larger than memory; see README.md"
import ctypes, gc, logging, os, random, shutil, signal, time
from collections import namedtuple
from contextlib import contextmanager, ExitStack
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice, product
from pathlib import Path
import numpy as np
from fastcore.basics import chunked
from common import (arguments, bars, benchmark, figure, groups, heads, intro, make_data, md_table, med, number, open_data, pick,
    row_shapes, run, say, times)
from processes import Again, drop_cache, io_read, memory_limit, read_ahead

# Writing what each library reads: functions of the folder of the `.npy` and of where to write

def litdata_rows(path, k, i):
    import torch
    X,y = open_data(path)
    for a,b in zip(X[i:i+k], y[i:i+k].tolist()): yield dict(X=torch.from_numpy(a.copy()), y=b)

def write_litdata(path, out):
    from litdata import optimize
    n = len(open_data(path)[0])
    k = -(-n//64)
    optimize(partial(litdata_rows, path, k), list(range(0, n, k)), str(out), num_workers=2, chunk_bytes='64MB', start_method='fork', verbose=False)

def write_streaming(path, out):
    from streaming import MDSWriter
    X,y = open_data(path)
    shape = ','.join(map(str, X.shape[1:]))
    with MDSWriter(out=str(out), columns=dict(X=f'ndarray:float32:{shape}', y='int64'), size_limit=2**26) as w:
        for a,b in zip(X, y): w.write(dict(X=a, y=b))

def write_datasets(path, out):
    import pyarrow as pa
    from datasets import Features, List, Value
    from datasets.arrow_writer import ArrowWriter
    X,y = open_data(path)
    size = X[0].size
    out.mkdir()
    with ArrowWriter(features=Features(X=List(Value('float32'), length=size), y=Value('int64')), path=str(out/'data.arrow')) as w:
        for i in range(0, len(X), 1000):
            xs = pa.FixedSizeListArray.from_arrays(pa.array(X[i:i+1000].ravel()), size)
            w.write_table(pa.table(dict(X=xs, y=pa.array(y[i:i+1000]))))
        w.finalize()

def write_tensordict(path, out):
    import torch
    from tensordict import TensorDict
    X,y = map(torch.from_numpy, open_data(path))
    TensorDict(dict(X=X, y=y), batch_size=[len(X)]).memmap_(str(out), copy_existing=True)

def write_h5py(path, out):
    import h5py
    out.mkdir()
    with h5py.File(out/'data.h5', 'w') as f: f['X'],f['y'] = open_data(path)

def write_zarr(path, out):
    import zarr
    X,y = open_data(path)
    g,k = zarr.open_group(out, mode='w'), max(1, 2**18//X[0].nbytes)
    g.create_array('y', data=np.array(y))
    a = g.create_array('X', shape=X.shape, dtype=X.dtype, chunks=(k, *X.shape[1:]), compressors=None)
    for i in range(0, len(X), 256*k): a[i:i+256*k] = X[i:i+256*k]

def write_grain(path, out):
    from array_record.python.array_record_module import ArrayRecordWriter
    X,y = open_data(path)
    out.mkdir()
    k = 2**24//X[0].nbytes
    for j,i in enumerate(range(0, len(X), k)):
        w = ArrayRecordWriter(str(out/f'{j:05}.array_record'), 'group_size:1,uncompressed')
        for a,b in zip(X[i:i+k], y[i:i+k]): w.write(b.tobytes() + a.tobytes())
        w.close()

# Reading: functions of (folder, shape of a row, batch size, ...) that give batches of X and y, every row once an epoch

class Rows:
    "A torch dataset that is asked for all rows of a batch at once, in the order in which they lie"
    def __init__(self, X, y): self.X,self.y = X,y
    def __len__(self): return len(self.y)
    def __getitems__(self, idxs):
        import torch
        idxs = np.sort(idxs)
        return torch.from_numpy(self.X[idxs]), torch.from_numpy(self.y[idxs])

def same(b): return b

def torch_dl(ds, bs, num_workers, **kwargs):
    from torch.utils.data import DataLoader
    return DataLoader(ds, bs, num_workers=num_workers, persistent_workers=num_workers > 0, **kwargs)

def tsdisk(path, shape, bs, shuffle, direct=None):
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.data.reader import ReadOptions
    n = len(open_data(path)[0])
    return TSDataLoaders.from_arrays(path/'X.npy', path/'y.npy', splits=[range(n), []], bs=bs, shuffle=shuffle, read=ReadOptions(direct=direct), device='cpu').train

class Tensors:
    "Batches of arrays, which a function gives for each pass, as tensors over the same memory"
    def __init__(self, arrays): self.arrays = arrays
    def __iter__(self):
        import torch
        return (tuple(map(torch.from_numpy, b)) for b in self.arrays())

def rows_of(path):
    from tsdisk.data.datasets import TSDatasets
    import_module('tsdisk.frameworks')
    return TSDatasets(path/'X.npy', path/'y.npy')

def tsdisk_torch(path, shape, bs, num_workers):
    rows = rows_of(path).torch()
    return torch_dl(rows, bs, num_workers, shuffle=True, drop_last=True, collate_fn=rows.collate)

def tsdisk_numpy(path, shape, bs): return Tensors(rows_of(path).numpy(bs, shuffle=True, drop_last=True).__iter__)
def tsdisk_keras(path, shape, bs): return Tensors(rows_of(path).keras(bs, shuffle=True, drop_last=True, channels_last=False).__iter__)
def tsdisk_tf(path, shape, bs): return Tensors(rows_of(path).tf(bs, shuffle=True, drop_last=True, channels_last=False).as_numpy_iterator)

def litdata(path, shape, bs, num_workers, **kwargs):
    from litdata import StreamingDataLoader, StreamingDataset
    ds = StreamingDataset(str(path), shuffle=True, drop_last=True, **kwargs)
    return StreamingDataLoader(ds, batch_size=bs, num_workers=num_workers, persistent_workers=num_workers > 0)

def streaming(path, shape, bs, num_workers):
    from streaming import StreamingDataset
    return torch_dl(StreamingDataset(local=str(path), shuffle=True, batch_size=bs), bs, num_workers, drop_last=True)

def datasets(path, shape, bs, num_workers):
    import torch
    from datasets import Dataset
    from torch.utils.data import BatchSampler, RandomSampler
    ds = Dataset.from_file(str(path/'data.arrow')).with_format('arrow')
    def tensors(b): return torch.from_numpy(b['X'].combine_chunks().flatten().to_numpy().reshape(-1, *shape)), torch.from_numpy(b['y'].to_numpy())
    return torch_dl(ds, None, num_workers, sampler=BatchSampler(RandomSampler(ds), bs, drop_last=True), collate_fn=tensors)

def tensordict(path, shape, bs, num_workers):
    from tensordict import TensorDict
    return torch_dl(TensorDict.load_memmap(str(path)), bs, num_workers, shuffle=True, drop_last=True, collate_fn=same)

def by_batch(X, y, bs, num_workers): return torch_dl(Rows(X, y), bs, num_workers, shuffle=True, drop_last=True, collate_fn=same)

def h5py(path, shape, bs, num_workers):
    from h5py import File
    f = File(path/'data.h5')
    return by_batch(f['X'], f['y'][:], bs, num_workers)

def zarr(path, shape, bs, num_workers):
    from zarr import open_group
    g = open_group(path, mode='r')
    return by_batch(g['X'].oindex, g['y'][:], bs, num_workers)

def memmap(path, shape, bs, num_workers): return by_batch(*open_data(path), bs, num_workers)

def grain(path, shape, bs, num_threads):
    import torch
    from grain import MapDataset, ReadOptions
    from grain.sources import ArrayRecordDataSource
    def parse(b): return np.frombuffer(b, 'f4', offset=8).reshape(shape), np.frombuffer(b, 'i8', 1)[0]
    ds = MapDataset.source(ArrayRecordDataSource([str(o) for o in sorted(path.iterdir())])).shuffle(seed=42).repeat().map(parse)
    for b in ds.to_iter_dataset(ReadOptions(num_threads=num_threads)).batch(bs, drop_remainder=True): yield [torch.from_numpy(o) for o in b]

def in_ram(path, shape, bs):
    import torch
    X,y = [np.load(path/f'{o}.npy') for o in 'Xy']
    while True:
        for i in np.random.permutation(len(X))[:len(X)//bs*bs].reshape(-1, bs): yield torch.from_numpy(X[i]), torch.from_numpy(y[i])

# The contestants; where there are several options, the fastest counts

Peer = namedtuple('Peer', 'package module write batches options shuffle how')
workers = [dict(num_workers=o) for o in (0,2)]
peers = {'tsdisk, `shuffle=True`': Peer('tsdisk', 'tsdisk.data.loaders', None, tsdisk, [dict(shuffle=True)], 'rows', '`TSDataLoaders.from_arrays` over the `.npy` files'),
    "tsdisk, `shuffle='block'`": Peer('tsdisk', 'tsdisk.data.loaders', None, tsdisk, [dict(shuffle='block')], 'blocks', 'likewise'),
    "tsdisk in torch's `DataLoader`": Peer('torch', 'torch', None, tsdisk_torch, workers, 'rows', '`DataLoader(rows, bs, shuffle=True, collate_fn=rows.collate)` with `rows = dset.torch()`'),
    'tsdisk, arrays': Peer('numpy', 'numpy', None, tsdisk_numpy, [{}], 'rows', '`dset.numpy(bs, shuffle=True)`'),
    'tsdisk for Keras': Peer('keras', 'keras', None, tsdisk_keras, [{}], 'rows', '`dset.keras(bs, shuffle=True)`, batches by their numbers'),
    'tsdisk for tf.data': Peer('tensorflow', 'tensorflow', None, tsdisk_tf, [{}], 'rows', '`dset.tf(bs, shuffle=True)`'),
    'torch, by batch': Peer('torch', 'torch', None, memmap, workers, 'rows',
        'memory maps of the `.npy` files; a dataset whose `__getitems__` takes the sorted rows of a batch, `X[rows]`, in a `DataLoader`'),
    'tensordict': Peer('tensordict', 'tensordict', write_tensordict, tensordict, workers, 'rows',
        '`TensorDict.memmap_`; `DataLoader(TensorDict.load_memmap(path), collate_fn=lambda b: b)`, which indexes once for a batch'),
    'HF datasets': Peer('datasets', 'datasets', write_datasets, datasets, workers, 'rows',
        "an Arrow file with lists of fixed length, 1,000 rows a record batch; `Dataset.from_file(path).with_format('arrow')`, a `BatchSampler` as the sampler "
        'of a `DataLoader`, tensors from the values of the table of a batch'),
    'h5py': Peer('h5py', 'h5py', write_h5py, h5py, workers, 'rows', 'a contiguous dataset; read as *torch, by batch*, labels in memory'),
    'zarr': Peer('zarr', 'zarr', write_zarr, zarr, workers, 'rows',
        'format 3, chunks of whole rows, 256 KiB, not compressed; read as *torch, by batch*, by `X.oindex[rows]`, labels in memory'),
    'grain': Peer('grain', 'grain', write_grain, grain, [dict(num_threads=o) for o in (0,16)], 'rows', '`ArrayRecord` files of 16 MB, `group_size:1,uncompressed`; '
        '`MapDataset.source(...).shuffle(seed).repeat().map(parse).to_iter_dataset(ReadOptions(num_threads)).batch(bs)`'),
    'litdata': Peer('litdata', 'litdata', write_litdata, litdata, [dict(o, batch_decode=b) for o,b in zip(workers[:1]+workers, (0,'all','all'))], 'blocks',
        '`optimize` into chunks of 64 MB; `StreamingDataset(path, shuffle=True)` in a `StreamingDataLoader`'),
    'mosaicml-streaming': Peer('mosaicml-streaming', 'streaming', write_streaming, streaming, workers, 'blocks',
        '`MDSWriter`, `ndarray:float32` of a given shape, shards of 64 MiB; `StreamingDataset(local=path, shuffle=True, batch_size=bs)` in a `DataLoader`'),
    'numpy array in RAM (aeon)': Peer('numpy', 'numpy', None, in_ram, [{}], 'rows',
        'the whole array (n, channels, timepoints) in memory, as aeon takes it; `X[rows]` of a permutation. Not for data larger than memory')}
ours = [k for k,v in peers.items() if v.package == 'tsdisk']
ahead = dict(rows=128, blocks=8192) # Read-ahead of the disk in KiB: Linux's own choice, and one that suits reading in order

def release(package):
    try: return version(package)
    except PackageNotFoundError: return version(f'{package}-cpu') # Another build of TensorFlow

# One library in its own process

@contextmanager
def within(group):
    "This process in a control group for the time being"
    mine = [o.split(':', 2) for o in Path('/proc/self/cgroup').read_text().splitlines()]
    home = group.parent/next(c for _,b,c in mine if b == ('memory' if group.parent.name == 'memory' else '')).lstrip('/')
    def enter(o): (o/'cgroup.procs').write_text(str(os.getpid()))
    enter(group)
    try: yield
    finally: enter(home)

def fill_cache(path):
    with open(path, 'rb', buffering=0) as f:
        while f.read(2**22): pass

def epochs(dl):
    "X and y, batch after batch, epoch after epoch"
    while True:
        for b in dl: yield (b['X'],b['y']) if hasattr(b, 'keys') else b

def check(batches, path, shape, bs):
    "Batches hold rows as they are in the `.npy`, with their labels, none twice, in no order"
    import torch
    (X,_),seen = open_data(path),[]
    for xb,yb in islice(batches, min(4, len(X)//bs)):
        assert isinstance(xb, torch.Tensor) and xb.dtype == torch.float32 and xb.shape == (bs, *shape) and xb.device.type == 'cpu'
        x,y = [np.asarray(o.as_subclass(torch.Tensor)) for o in (xb,yb)]
        seen += x[:,0,0].astype(int).tolist()
        assert np.array_equal(x, X[seen[-bs:]]) and y.dtype == np.int64 and np.array_equal(y, np.array(seen[-bs:])%10)
    assert len({*seen}) == len(seen) and seen != sorted(seen)

def rate(batches, row, secs, before):
    "MB/s that arrive after `before` seconds and a batch; bytes read for one that arrives, from the start"
    n,was,start = 0,io_read(),time.perf_counter()
    first = None
    for xb,_ in batches:
        n,now = n+len(xb)*row,time.perf_counter()
        if first is None:
            if now-start > before: first = n,now
        elif now-first[1] > secs: break
    return dict(used=(n-first[0])/(now-first[1])/1e6, times=(io_read()-was)/n)

def contestant(name, folder, limit):
    "A function that writes the data of a library, and checks or measures its batches"
    p = peers[name]
    path = folder/(p.package if p.write else 'npy')
    libc = ctypes.CDLL(None)
    logging.disable(logging.WARNING)
    os.register_at_fork(after_in_child=partial(libc.prctl, 1, signal.SIGKILL)) # Its workers end with it, when it takes too much memory
    def write():
        if p.write: p.write(folder/'npy', path)
    def measure(row, bs, opts, secs, cold):
        if p.package == 'tsdisk' and cold and not limit: opts = dict(opts, direct=True)
        with ExitStack() as stack:
            if cold and limit: stack.enter_context(within(stack.enter_context(memory_limit(limit)))) # Another each time: shared memory that is left behind would count
            for o in path.rglob('*'):
                if o.is_file(): (drop_cache if cold else fill_cache)(o)
            dl = p.batches(path, row_shapes[row], bs, **opts)
            if p.package == 'tsdisk' and bool(dl.direct) != cold: raise RuntimeError(f"The loader did not see whether the data fits in memory: {dl}")
            batches = epochs(dl)
            try: return rate(batches, row, secs, secs/2 if cold else 0) if secs else check(batches, folder/'npy', row_shapes[row], bs)
            finally:
                batches.close()
                del batches,dl
                gc.collect()
                libc.malloc_trim(0)
    def run(job, *args):
        try:
            import_module(p.module)
            return dict(write=write, measure=measure)[job](*args) or {}
        except Exception as e: return {} if 'killed' in str(e) else dict(error=f'{type(e).__name__}: {e}'.split('\n')[0])
    return run

class Contest:
    "Measures contestants, each in its own process; one that fails is left out from then on, with the reason in `failed`"
    def __init__(self, bench, processes, options): self.bench,self.processes,self.o,self.failed = bench,processes,options,{}

    def call(self, name, *args):
        if name in self.failed: return {}
        try: r = self.processes[name](*args)
        except (RuntimeError, OSError) as e: r = dict(error=str(e))
        if 'error' in r: self.failed[name] = r.pop('error')
        return r

    def one(self, part, row, name, bs, opts):
        "What a contestant does with some options"
        if part == 'warm': self.bench.quiet.wait()
        with read_ahead(self.bench.folder, ahead[peers[name].shuffle]):
            r = self.call(name, 'measure', row, bs, opts, self.o['secs'], part == 'cold')
        return dict(part=part, row=row, name=name, bs=bs, opts=opts, **r)

    def turn(self, part, row, names, best, **turn):
        "Each of the contestants once; the fastest options in `best`, all of them where it knows none"
        for k,bs in [(k,bs) for k in random.sample(names, len(names)) for bs in self.o['sizes']]:
            key = k,bs,turn['beside']
            if part == 'warm' and key not in best: self.call(k, 'measure', row, bs, peers[k].options[0], 0, False) # Checks
            top = max((self.one(part, row, k, bs, o) for o in best.get(key, peers[k].options)), key=lambda r: r.get('used', 0))
            best[key] = [top['opts']]
            if k not in self.failed: yield top | turn

    def rounds(self, part, row):
        "As many formats on disk at a time as fit; tsdisk takes part in every round"
        folder,gb = self.bench.folder,self.o['warm_gb' if part == 'warm' else 'gb']
        others = [k for k in self.processes if k not in ours and not (part == 'cold' and peers[k].batches is in_ram)]
        say(f'{part}, {row} bytes: writing data')
        make_data(folder/'npy', (int(gb*1e9)//row, *row_shapes[row]))
        for g,names in enumerate(chunked(random.sample(others, len(others)), max(1, int(self.o['disk']/gb/1.15e9)-1))):
            for k in names:
                say(f'{part}, {row} bytes: writing data, {k}')
                self.call(k, 'write')
            best = {}
            for i,n in self.bench.turns(f'{part}, {row} bytes', self.o['rounds']):
                yield from self.turn(part, row, [*ours, *names], best, group=g, round=i, beside=n)
            for k in names: shutil.rmtree(folder/peers[k].package, ignore_errors=True)
        shutil.rmtree(folder/'npy')

# The report

def summary(res):
    "Medians of each contestant; `tsdisk_is` is the median of the ratios within each round"
    def turn(r): return *(r[k] for k in ('part','row','bs','group','round','beside')), peers[r['name']].shuffle
    base,out = {turn(r): r['used'] for r in res['results'] if r['name'] in ours and 'used' in r},[]
    for key,rs in groups(res['results'], 'part', 'row', 'bs', 'name').items():
        faster = [dict(beside=r['beside'], ratio=base[turn(r)]/r['used']) for r in rs if 'used' in r and turn(r) in base]
        by = {n: dict(used=med(pick(rs, 'used', beside=n)), tsdisk_is=med(pick(faster, 'ratio', beside=n))) for n in res['beside']}
        out.append(dict(zip(('part','row','bs','name'), key), by=by, opts=rs[-1]['opts'], times=med(pick(rs, 'times'))))
    first = res['beside'][0]
    return sorted(out, key=lambda r: (-r['row'], r['bs'], r['name'] not in ours, -np.nan_to_num(r['by'][first]['used'])))

def table(res, out, part):
    besides = res['beside']
    cells = [['bytes a row', 'bs', 'loader', 'shuffles', 'options', *heads('samples/s', besides), *heads('tsdisk is', besides), 'MB/s', 'read / used']]
    for r in [r for r in out if r['part'] == part]:
        mine,used = r['name'] in ours,[r['by'][n]['used'] for n in besides]
        opts = '' if mine else ', '.join(f'{k}={v}' for k,v in r['opts'].items())
        faster = ['' if mine else times(r['by'][n]['tsdisk_is']) for n in besides]
        samples = [number(v*1e6/r['row']) or 'out of memory' for v in used]
        name = f"**{r['name']}**" if mine else r['name']
        cells.append([f"{r['row']:,}", r['bs'], name, peers[r['name']].shuffle, opts, *samples, *faster, number(used[0]), number(r['times'])])
    return md_table([c[:None if part == 'cold' else -1] for c in cells], 5)

def report(res):
    out,o,m = summary(res),res['options'],res['machine']
    limit = (f"in a memory control group of {o['limit']/1e9:g} GB, which counts the page cache and all that is allocated after the imports" if o['limited'] else
        '**without a memory limit, which could not be set here: part of the data was in the page cache**')
    versions = ', '.join(f'{k} {v}' for k,v in res['versions'].items() if k not in m)
    ra = f"{ahead['rows']} KiB for *rows*, {ahead['blocks']:,} KiB for *blocks*" if o['read_ahead'] else 'as it was, for it could not be set'
    how = '\n'.join(f' - **{k}**: {p.how}.' for k,p in peers.items() if any(r['name'] == k for r in out))
    missing = '\n\nLeft out: ' + '; '.join(f'{k} ({v})' for k,v in res['failed'].items()) + '.' if res['failed'] else ''
    return f"""# Other libraries, side by side

{intro(res)}

{versions}.

The same float32 rows and a label each, kept and read as each library's documentation says for a local disk, in shuffled batches of tensors on the CPU, every row once an epoch. Each library
runs in its own process, in random order, for {o['secs']:g} s; medians of {o['rounds']} round{'s'*(o['rounds'] > 1)}. The first round tries all options (worker processes, threads), the table names the fastest.
*Shuffles*: *rows* puts any row after any other, *blocks* mixes rows of parts of the data. *tsdisk is*: how many times as fast tsdisk is with the same kind of shuffle, in the same round.

## In the page cache

{o['warm_gb']:g} GB. First batches were compared with the array.

{table(res, out, 'warm')}

## Larger than memory

{o['gb']:g} GB, {limit}, from an empty page cache, after {o['secs']/2:g} s or a first batch. *Read / used*: bytes read from the disk
(`/proc/self/io`, those of worker processes too) for one byte that arrives, read-ahead included. Read-ahead of the disk: {ra}.

{table(res, out, 'cold')}

## How each was used

{how}{missing}
"""

def readme_md(res):
    "The table of the README: samples a second of each library"
    o,m,bs = res['options'],res['machine'],res['options']['sizes'][-1]
    got = {(r['part'],r['row'],r['name']): r['by'] for r in summary(res) if r['bs'] == bs}
    parts = [(p,row) for p in ('warm','cold') for row in o['rows']]
    rows = [['samples/s, shuffled', *(h for p,row in parts for h in heads(f"{row:,} bytes, {'cached' if p == 'warm' else 'from disk'}", res['beside']))]]
    def cell(p, row, k, n): return number(got[p,row,k][n]['used']*1e6/row) or 'out of memory' if (p,row,k) in got else ''
    for k in [*ours, *(k for k in peers if k not in ours)]:
        if any((p,row,k) in got for p,row in parts):
            rows.append([f'**{k}**' if k in ours else k, *(cell(p, row, k, n) for p,row in parts for n in res['beside'])])
    libs = ', '.join(f'{k} {v}' for k,v in res['versions'].items() if k != 'tsdisk')
    return f"""{md_table(rows)}

{o['warm_gb']:g} GB in the page cache, {o['gb']:g} GB in {o['limit']/1e9:g} GB of memory; batches of {bs}, labels included; {m['cpu']}, {m['cores']} cores; {libs}; {m['date']}.
"""

def plot(res, path):
    sizes,bs,first = res['options']['rows'],res['options']['sizes'][-1],res['beside'][0]
    out = [r for r in summary(res) if r['bs'] == bs]
    names = [k for k in [*peers][::-1] if any(r['name'] == k for r in out)]
    fig,axs = figure(2, len(sizes), (4*len(sizes)+1,7), sharey=True)
    for ax,(part,row) in zip(axs.flat, product(('warm','cold'), sizes)):
        mb = {r['name']: r['by'][first]['used'] for r in out if (r['part'],r['row']) == (part,row)}
        bars(ax, [o.replace('`','') for o in names], [mb.get(o, np.nan) for o in names], 'none')
        ax.set_title(f"{row:,} bytes a row, {'in the page cache' if part == 'warm' else 'larger than memory'}", fontsize=9.5, loc='left')
        ax.set_xlabel(f'MB/s, batches of {bs}')
    fig.savefig(path, dpi=160)

def options_of(args):
    few = dict(gb=1, warm_gb=.25, secs=1, rows=[6_000], sizes=[1024])
    o = few if args.quick else dict(gb=2, warm_gb=.5, secs=2, rows=[*row_shapes], sizes=[64,1024])
    return o | dict(gb=args.gb or o['gb'], rounds=args.rounds, sizes=args.bs or o['sizes'], limit=args.limit*1e9, disk=10e9)

def main():
    args = arguments('peers', __doc__, 'one round, one size of rows, less data: under three minutes', (3,1), 10,
        gb=dict(type=float, help='size of the data larger than memory (default: 2, or 1 with --quick)'),
        limit=dict(type=float, default=.6, help='GB of memory that may be used for it, page cache included (default: %(default)s)'),
        bs=dict(type=int, nargs='+', help='batch sizes: 64 and 1024, or 1024 with --quick'),
        only=dict(nargs='+', metavar='PACKAGE', help='these beside tsdisk; all by default'))
    o,missing = options_of(args),{k: 'not installed' for k,v in peers.items() if not find_spec(v.module.split('.')[0])}
    names = [k for k,v in peers.items() if k not in missing and (k in ours or not args.only or v.package in args.only)]
    with benchmark(args, need=min(o['disk'], 1.15e9*o['gb']*len(names))) as bench, ExitStack() as stack:
        os.environ.update(TMPDIR=str(bench.folder), PYTHONWARNINGS='ignore', KERAS_BACKEND='torch')
        with read_ahead(bench.folder, ahead['rows']) as can, memory_limit(o['limit']) as group: o.update(limited=group is not None, read_ahead=can)
        limit = o['limit'] if o['limited'] else None
        contest = Contest(bench, {k: stack.enter_context(Again(contestant, k, bench.folder, limit)) for k in names}, o)
        found = [r for part,row in product(('warm','cold'), o['rows']) for r in contest.rounds(part, row)]
        versions = {o: release(o) for o in dict.fromkeys(peers[k].package for k in names)}
        bench.keep(o, report, readme_md, plot, versions=versions, failed={**missing, **contest.failed}, results=found)

if __name__ == '__main__': run(main)
