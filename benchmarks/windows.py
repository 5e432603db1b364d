"Windows over one long series, side by side: see README.md"
import shutil, time
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
import numpy as np
from ceilings import Disk, bare_gathers, rate
from common import arguments, benchmark, groups, heads, intro, md_table, med, number, of_best_way, ours_bold, pick, ratio, run, say, times
from processes import Again, limited, memory_limit, peak_private, seconds, workers

kinds,sizes = {'96 × 4': (96,4), '512 × 16': (512,16)},(64,1024)

def make_series(path, n_vars, gb):
    "float32 noise, (steps, vars)"
    from tsdisk.disk.arrays import create_array
    steps,k = int(gb*1e9)//(4*n_vars),10**6
    block = np.random.default_rng(0).standard_normal((k, n_vars), np.float32)
    path.mkdir()
    with create_array(path/'X.npy', (steps, n_vars)) as w:
        for i in range(0, steps, k): w.append(block[:steps-i])
    return path

def whole(file): return dict(x=np.load(file))
def add_track(path):
    "The same series as litdata stores it"
    from litdata import optimize
    from litdata.streaming.temporal import TemporalArrayLoader
    kwargs = dict(chunk_bytes='4GB', num_workers=1, item_loader=TemporalArrayLoader(), start_method='fork', verbose=False)
    with redirect_stdout(StringIO()): optimize(whole, [str(path/'X.npy')], str(path/'track'), **kwargs)

def opened(path): return np.load(path/'X.npy', mmap_mode='r')

# The contestants: functions of (folder, steps of a window, bs) that give an iterable of shuffled batches of windows

def bare(path, size, bs):
    "The ceiling: ways to copy windows as they lie, (bs, steps*vars), of which the fastest counts"
    import torch
    X = opened(path)
    n,n_vars = len(X)-size+1,X.shape[1]
    return bare_gathers(torch.from_numpy(X).as_strided((n, size*n_vars), (n_vars, 1)), torch.randint(n, (2**20,)), bs)

def tsdisk_loader(path, size, bs):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    from tsdisk.series.windows import Windows
    return TSDataLoader(TSDatasets(Windows(path/'X.npy', size)), bs=bs, shuffle=True, drop_last=True)

class Numpy:
    "`sliding_window_view[idx]`, in an order made beforehand"
    def __init__(self, path, size, bs): self.W,self.bs = np.lib.stride_tricks.sliding_window_view(opened(path), size, axis=0),bs
    def __iter__(self):
        from torch import from_numpy
        for i in np.random.default_rng().integers(0, len(self.W), (2**20//self.bs, self.bs)): yield from_numpy(self.W[i])

class Items:
    "A torch dataset written by hand: one window, (vars, steps), or those of a list"
    def __init__(self, path, size): self.W = np.lib.stride_tricks.sliding_window_view(opened(path), size, axis=0)
    def __len__(self): return len(self.W)
    def __getitem__(self, i): return self.W[i] if isinstance(i, list) else np.array(self.W[i])

def by_batch(dataset, bs):
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler
    return DataLoader(dataset, sampler=BatchSampler(RandomSampler(dataset, True, 2**20), bs, drop_last=True), batch_size=None)

def torch_items(path, size, bs):
    from torch.utils.data import DataLoader, RandomSampler
    dataset = Items(path, size)
    return DataLoader(dataset, bs, sampler=RandomSampler(dataset, True, 2**20), drop_last=True)

def torch_batches(path, size, bs): return by_batch(Items(path, size), bs)
def tsai_unwindowed(path, size, bs):
    from tsai.data.unwindowed import TSUnwindowedDataset
    return by_batch(TSUnwindowedDataset(opened(path), window_size=size, split=None), bs)

class Litdata:
    "litdata's `read_window`, one after the other, put together to batches, in an order made beforehand"
    def __init__(self, path, size, bs):
        from litdata import StreamingDataset
        from litdata.streaming.temporal import TemporalArrayLoader
        self.track,self.size,self.bs = StreamingDataset(str(path/'track'), item_loader=TemporalArrayLoader()),size,bs
        self.n = len(opened(path))-size+1

    def __iter__(self):
        from torch import from_numpy
        for i in np.random.default_rng().integers(0, self.n, (2**20//self.bs, self.bs)):
            got = [self.track.read_window(0, int(k), self.size)['x'] for k in i]
            yield from_numpy(np.stack(got).swapaxes(1, 2))

ceiling = 'bare gather (ceiling)'
contestants = {ceiling: bare, 'tsdisk': tsdisk_loader, '`sliding_window_view[idx]`': Numpy, 'tsai, TSUnwindowedDataset': tsai_unwindowed,
    'torch, by batch': torch_batches, 'torch, by item': torch_items}
try: contestants[f"litdata {version('litdata')}, `read_window`"] = Litdata
except PackageNotFoundError: pass

def endless(dl):
    "Batches of one epoch after another"
    while True: yield from dl

def batches_a_second(dl, secs):
    "Counted after a quarter of the time, in which a loader begins to gather ahead"
    it,n,start = endless(dl),0,time.perf_counter()
    next(it)
    while time.perf_counter()-start < secs/4: next(it)
    start = time.perf_counter()
    while (took := time.perf_counter()-start) < secs:
        next(it)
        n += 1
    return n/took

def contestant(name):
    "A function that measures one of the contestants: windows a second of each way, and private memory that it took in MB"
    import torch
    import_module({'tsdisk': 'tsdisk.data.loaders', 'tsai, TSUnwindowedDataset': 'tsai.data.unwindowed'}.get(name, 'torch.utils.data'))
    torch.index_select(torch.zeros(9, 9), 0, torch.tensor([1]))
    made = {}
    def measure(path, size, bs, secs):
        with peak_private() as peak:
            before = peak[0]
            if (path,size,bs) not in made: made[path,size,bs] = contestants[name](path, size, bs)
            dl = made[path,size,bs]
            each = {k: bs*batches_a_second(o, secs) for k,o in (dl if isinstance(dl, dict) else {name: dl}).items()}
        return dict(each=each, private=peak[0]-before)
    return measure

def measure_warm(bench, folders, secs):
    res = []
    with workers(**{o: (contestant, o) for o in contestants}) as ws:
        for k,path in folders.items():
            for w in ws.values():
                for bs in sizes: w(path, kinds[k][0], bs, 0) # Warms up
        for _,n in bench.turns('in the page cache'):
            for k,path in folders.items():
                for bs in sizes:
                    for o in bench.one_by_one(contestants): res.append(dict(kind=k, bs=bs, loader=o, beside=n, **ws[o](path, kinds[k][0], bs, secs)))
    return res

def very_many():
    "500 million windows over 200,000 series: seconds and MB to make them, seconds to find where a batch of 256 lies"
    import tracemalloc
    from tsdisk.series.ragged import Ragged
    from tsdisk.series.windows import Windows
    n,k = 200_000,2600
    r = Ragged(np.zeros((n*k,1), np.float16), np.arange(n+1)*k)
    w = Windows(r, 96)
    idxs = [np.random.default_rng(i).integers(0, len(w), 256) for i in range(50)]
    made,found = [seconds(partial(Windows, r, 96)) for _ in range(9)],[seconds(partial(w.stored.segment_rows, i)) for i in idxs]
    tracemalloc.start()
    again = Windows(r, 96)
    mb = tracemalloc.get_traced_memory()[1]/1e6
    return dict(n=len(again), made=med(made), mb=mb, found=med(found))

# Larger than memory

def cold_tsdisk(path, size, bs, shuffle, limited):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    from tsdisk.data.reader import ReadOptions
    from tsdisk.series.windows import Windows
    w = Windows(path/'X.npy', size)
    dl = TSDataLoader(TSDatasets(w), bs=bs, shuffle=shuffle, read=ReadOptions(direct=None if limited else True))
    if not dl.direct: raise RuntimeError(f"The loader did not find that the data is larger than memory: {dl}")
    for _ in dl: yield bs*w.stored.row_bytes

def cold_numpy(path, size, bs):
    for b in Numpy(path, size, bs): yield b.nbytes

cold_ways = {'tsdisk, `shuffle=True`': (64,1024), "tsdisk, `shuffle='block'`": (1024,), '`sliding_window_view[idx]`': (1024,)}

def measure_cold(bench, path, kind, limit, rounds, secs):
    size,n_vars = kinds[kind]
    row,ways = size*n_vars*4,[]
    with memory_limit(limit) as group, Again(limited, group, path) as call:
        disk = Disk(call, path, secs/2)
        for _,n in bench.turns(f'larger than memory, {kind}', rounds):
            exact,block,view = cold_ways
            def tsdisk(bs, shuffle): return partial(call, rate, cold_tsdisk, bs, shuffle, group is not None, size, secs)
            found = disk.around([tsdisk(bs, True) for bs in sizes], 'exact', row, n)
            ways += [dict(name=exact, bs=bs, beside=n, **r) for bs,r in zip(sizes, found)]
            ways.append(dict(name=block, bs=1024, beside=n, **tsdisk(1024, 'block')()))
            ways.append(dict(name=view, bs=1024, beside=n, **call(rate, cold_numpy, 1024, size, secs)))
    return dict(limited=group is not None, kind=kind, row=row, ways=ways, disk=disk.found)

# The report

def configs(): return [(k,bs) for k in kinds for bs in sizes]

def warm_md(res):
    besides = res['beside']
    rows = [['window', 'bs', 'loader', *heads('windows/s', besides), *heads('of the ceiling', besides), *heads('tsdisk is', besides), 'GB/s', 'private MB']]
    for k,bs,o in [(*c,o) for c in configs() for o in contestants]:
        rate = {(name,n): of_best_way(pick(res['warm'], 'each', kind=k, bs=bs, loader=name, beside=n)) for name in (o,ceiling,'tsdisk') for n in besides}
        windows = [med(rate[o,n]) for n in besides]
        share = [f'{ratio(rate[o,n], rate[ceiling,n]):.2f}' for n in besides]
        faster = ['' if o in ('tsdisk',ceiling) else times(ratio(rate['tsdisk',n], rate[o,n])) for n in besides]
        private = max(pick(res['warm'], 'private', kind=k, bs=bs, loader=o))
        rows.append([k, bs, ours_bold(o), *map(number, windows), *share, *faster, number(windows[0]*np.prod(kinds[k])*4/1e9), f'{private:.0f}'])
    return md_table(rows, 3)

def ceiling_md(res):
    "How fast each way to copy windows was"
    rows = [['windows/s', *(h for k,bs in configs() for h in heads(f'{k}, bs {bs}', res['beside']))]]
    found = {(*c,n): pick(res['warm'], 'each', kind=c[0], bs=c[1], loader=ceiling, beside=n) for c in configs() for n in res['beside']}
    names = dict.fromkeys(o for each in found.values() for r in each for o in r)
    return md_table(rows + [[o, *(number(med([r[o] for r in each if o in r])) for each in found.values())] for o in names])

def cold_md(res):
    besides = res['beside']
    rows = [['window', 'loader', 'bs', *heads('windows/s', besides), *heads('of the disk', besides), 'MB/s', 'read / used']]
    for c in res['cold']:
        disk = [med(pick(c['disk'], 'mb', beside=n)) for n in besides]
        rows.append([c['kind'], '*the disk*', '', *(number(o*1e6/c['row']) for o in disk), *['1.00' for _ in besides], number(disk[0]), ''])
        for (name,bs),rs in groups(c['ways'], 'name', 'bs').items():
            used = [med(pick(rs, 'used', beside=n)) for n in besides]
            near = [[r['used']/r['disk'] for r in rs if r['beside'] == n and {'used','disk'} <= {*r}] for n in besides]
            share = [f'{med(v):.2f}' if v else '' for v in near]
            windows = [number(v*1e6/c['row']) or 'out of memory' for v in used]
            times_read = number(med(pick(rs, 'read'))/med(pick(rs, 'used')))
            rows.append([c['kind'], ours_bold(name), bs, *windows, *share, number(used[0]), times_read])
    return md_table(rows, 2)

def report(res):
    o = res['options']
    how = f"in a memory control group of {o['limit']/1e9:.1f} GB" if all(c['limited'] for c in res['cold']) else '**without a memory limit, which could not be set here**'
    return f"""# Windows, side by side

{intro(res)}

Shuffled batches of windows, every step, over one float32 series (steps, vars) of {o['gb']:g} GB in the page cache, on the CPU. The *bare gather*, the ceiling, copies windows as they lie, into
buffers that are used again, in an order made beforehand; it is the way of those below that is fastest over all rounds. `sliding_window_view` copies them in an order made beforehand, too.
tsdisk gives them as (bs, vars, steps) without turning them round in memory; the others copy them into that order. Each in its own process, in turn, medians
of {o['rounds']} rounds, ratios within a round. *Private*: memory of the process beyond its start, at most.

{warm_md(res)}

Ways of the bare gather: windows are copied by all threads of torch or by one, a batch or several in a call, or by two threads with a call each.

{ceiling_md(res)}

{o['many']['n']:,} windows over 200,000 series: made in {o['many']['made']*1e3:.1f} ms, with {o['many']['mb']:.1f} MB; where the windows of a batch of 256 lie is found in {o['many']['found']*1e6:.0f} µs.
""" + (f"""
## Larger than memory

A series of {o['cold_gb']:g} GB, {how}, from an empty page cache. *The disk*: random reads of as many bytes, by threads or by fio, whichever is faster. *Of the disk*: beside those just before and after.

{cold_md(res)}
""" if res['cold'] else '')

def readme_md(res):
    "The table of the README: windows a second"
    besides = res['beside'][:2]
    columns = [(*c,n) for c in configs() for n in besides]
    rows = [['shuffled windows a second', *(h for k,bs in configs() for h in heads(f'{k}, bs {bs}', besides))]]
    for o in contestants:
        found = [of_best_way(pick(res['warm'], 'each', kind=k, bs=bs, loader=o, beside=n)) for k,bs,n in columns]
        rows.append([ours_bold(o), *(number(med(v)) for v in found)])
    cold = {c['kind']: c for c in res['cold']}
    for name in cold_ways if cold else ():
        found = [pick(cold[k]['ways'], 'used', name=name, bs=bs, beside=n) for k,bs,n in columns]
        cells = [number(med(v)*1e6/cold[k]['row']) for v,(k,_,_) in zip(found, columns)]
        rows.append([f"larger than memory: {ours_bold(name)}", *cells])
    m,o = res['machine'],res['options']
    return f"""{md_table(rows)}

Windows of steps × variables, every step, float32; a series of {o['gb']:g} GB in the page cache, and one of {o['cold_gb']:g} GB in {o['limit']/1e9:g} GB of memory. {o['many']['n']:,} windows over 200,000 series are made
in {o['many']['made']*1e3:.0f} ms and {o['many']['mb']:.0f} MB. {m['cpu']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}, numpy {m['numpy']}; {m['date']}.
"""

def main():
    args = arguments('windows', __doc__, 'two rounds, and no data larger than memory: under two minutes', (5,2), 5)
    options = dict(rounds=args.rounds, gb=.5, cold_gb=4, limit=1.2e9)
    with benchmark(args, need=2.2e9 if args.quick else 4.2e9) as bench:
        say('writing data')
        folders = {k: make_series(bench.folder/str(i), v, options['gb']) for i,(k,(_,v)) in enumerate(kinds.items())}
        for path in folders.values():
            opened(path).max()
            if Litdata in contestants.values(): add_track(path)
        warm,cold = measure_warm(bench, folders, .1 if args.quick else .3),[]
        options['many'] = very_many()
        for path in folders.values(): shutil.rmtree(path)
        for k in () if args.quick else kinds:
            path = make_series(bench.folder/f'cold{kinds[k][1]}', kinds[k][1], options['cold_gb'])
            cold.append(measure_cold(bench, path, k, options['limit'], min(args.rounds, 3), 2))
            (path/'X.npy').unlink()
        bench.keep(options, report, readme_md if cold else None, warm=warm, cold=cold)

if __name__ == '__main__': run(main)
