"Windows over one long series, side by side: see README.md"
import random, shutil, sys
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
import numpy as np
from cold import Again, beside, job
from common import arguments, describe, keep, machine, md_table, med, memory_limit, peak_private, Quiet, seconds, temp_folder, workers
from loaders import say, some_batches

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

class BareGather:
    "The ceiling: windows are copied as they lie, (bs, steps, vars), into one buffer, in an order made beforehand"
    def __init__(self, path, size, bs):
        import torch
        X = opened(path)
        self.n,v,self.bs = len(X)-size+1,X.shape[1],bs
        self.T = torch.from_numpy(X).as_strided((self.n, size*v), (v, 1))
        self.buf,self.idx = torch.empty(bs, size*v), torch.randint(self.n, (2**20,))

    def __iter__(self):
        from torch import index_select
        for i in range(0, len(self.idx)-self.bs+1, self.bs): yield index_select(self.T, 0, self.idx[i:i+self.bs], out=self.buf)

def tsdisk_loader(path, size, bs):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    from tsdisk.series.windows import Windows
    return TSDataLoader(TSDatasets(Windows(path/'X.npy', size)), bs=bs, shuffle=True, drop_last=True)

class Numpy:
    "`sliding_window_view[idx]`, in an order made beforehand"
    def __init__(self, path, size, bs):
        self.W,self.bs = np.lib.stride_tricks.sliding_window_view(opened(path), size, axis=0),bs
        self.idx = np.random.default_rng(0).integers(0, len(self.W), 2**20)

    def __iter__(self):
        from torch import from_numpy
        for i in range(0, len(self.idx)-self.bs+1, self.bs): yield from_numpy(self.W[self.idx[i:i+self.bs]])

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
        self.idx = np.random.default_rng(0).integers(0, len(opened(path))-size+1, 2**20).tolist()

    def __iter__(self):
        from torch import from_numpy
        for i in range(0, len(self.idx)-self.bs+1, self.bs):
            got = [self.track.read_window(0, k, self.size)['x'] for k in self.idx[i:i+self.bs]]
            yield from_numpy(np.stack(got).swapaxes(1, 2))

ceiling = 'bare gather (ceiling)'
contestants = {ceiling: BareGather, 'tsdisk': tsdisk_loader, '`sliding_window_view[idx]`': Numpy, 'tsai, TSUnwindowedDataset': tsai_unwindowed,
    'torch, by batch': torch_batches, 'torch, by item': torch_items}
try: contestants[f"litdata {version('litdata')}, `read_window`"] = Litdata
except PackageNotFoundError: pass

def contestant(name):
    "A function that measures one of the contestants: (windows a second, private memory that it took in MB)"
    import torch
    import_module({'tsdisk': 'tsdisk.data.loaders', 'tsai, TSUnwindowedDataset': 'tsai.data.unwindowed'}.get(name, 'torch.utils.data'))
    torch.index_select(torch.zeros(9, 9), 0, torch.tensor([1]))
    made = {}
    def rate(path, size, bs, k):
        with peak_private() as peak:
            before = peak[0]
            if (path,size,bs) not in made: made[path,size,bs] = contestants[name](path, size, bs)
            per = some_batches(made[path,size,bs], k)
        return bs/per, peak[0]-before
    return rate

def measure_warm(folders, rounds, quiet):
    res = {(k,bs,o): dict(kind=k, bs=bs, loader=o, rates=[], private=[]) for k in folders for bs in sizes for o in contestants}
    with workers(**{o: (contestant, o) for o in contestants}) as ws:
        for i in range(rounds+1): # The first warms up
            for k,path in folders.items():
                for bs in sizes:
                    say(f'round {i} of {rounds}: {k}, bs {bs}')
                    for o in random.sample(list(contestants), len(contestants)):
                        quiet.wait()
                        n = (2**18 if o in (ceiling,'tsdisk','`sliding_window_view[idx]`') else 2**14)//kinds[k][1]*4
                        rate,private = ws[o](path, kinds[k][0], bs, max(4, n//bs))
                        res[k,bs,o]['private'].append(private)
                        if i: res[k,bs,o]['rates'].append(rate)
    for (k,bs,o),r in res.items():
        ratio = lambda a,b: med([p/q for p,q in zip(a['rates'], b['rates'])])
        r |= dict(windows=med(r['rates']), of_ceiling=ratio(r, res[k,bs,ceiling]), tsdisk_is=ratio(res[k,bs,'tsdisk'], r), private=max(r['private']))
    return [*res.values()]

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

def measure_cold(folder, path, kind, limit, rounds, secs):
    size,n_vars = kinds[kind]
    row,res = size*n_vars*4,[]
    with memory_limit(limit) as group, Again(job, group, path) as run:
        for i in range(rounds):
            say(f'round {i+1} of {rounds}: larger than memory, {kind}')
            jobs = [partial(run, cold_tsdisk, (bs,True,group is not None), size, secs) for bs in sizes]
            ways,there = beside(run, 'exact', row, secs, jobs)
            res += [dict(name='tsdisk, `shuffle=True`', bs=bs, **r) for bs,r in zip(sizes, ways)]
            res += [dict(name='*the disk*', bs='', disk=r['mb'], **{k: r[k] for k in ('used','read','cores')}) for r in there]
            res.append(dict(name="tsdisk, `shuffle='block'`", bs=1024, **run(cold_tsdisk, (1024,'block',group is not None), size, secs)))
            res.append(dict(name='`sliding_window_view[idx]`', bs=1024, **run(cold_numpy, (1024,), size, secs)))
    return dict(limited=group is not None, kind=kind, row=row, ways=res)

# The report

def warm_md(res):
    rows = [['window', 'bs', 'loader', 'windows/s', 'GB/s', 'of the ceiling', 'tsdisk is', 'private MB']]
    for r in res:
        size,n_vars = kinds[r['kind']]
        times = '' if r['loader'] in ('tsdisk',ceiling) else f"{r['tsdisk_is']:.1f} ×"
        rows.append([r['kind'], r['bs'], f"**{r['loader']}**" if r['loader'] == 'tsdisk' else r['loader'], f"{r['windows']:,.0f}", f"{r['windows']*size*n_vars*4/1e9:.3g}",
            f"{r['of_ceiling']:.2f}", times, f"{r['private']:.0f}"])
    return md_table(rows, 3)

def cold_md(cold):
    rows = [['window', 'loader', 'bs', 'windows/s', 'MB/s', 'of the disk', 'read / used']]
    for c in cold:
        groups = {}
        for r in c['ways']: groups.setdefault((r['name'], r['bs']), []).append(r)
        for (name,bs),rs in groups.items():
            used,read = (med([r[k] for r in rs if k in r]) for k in ('used','read'))
            share = f"{med([r['used']/r['disk'] for r in rs if 'disk' in r]):.2f}" if name.startswith(('tsdisk, `shuffle=T','*')) else ''
            rows.append([c['kind'], f'**{name}**' if 'tsdisk' in name else name, bs, f"{used*1e6/c['row']:,.0f}", f'{used:,.0f}', share, f'{read/used:.2f}'])
    return md_table(rows, 2)

def report(res):
    o = res['options']
    how = f"in a memory control group of {o['limit']/1e9:.1f} GB" if all(c['limited'] for c in res['cold']) else '**without a memory limit, which could not be set here**'
    return f"""# Windows, side by side

{describe(res['machine'])}, other programs used {med(res['others']):.0%} of the processor (median)

Shuffled batches of windows, every step, over one float32 series (steps, vars) of {o['gb']:g} GB in the page cache, on the CPU. The *bare gather* copies windows as they lie, in an order made beforehand;
so does `sliding_window_view`. tsdisk gives them as (bs, vars, steps) without turning them round in memory; the others copy them into that order. Each in its own process, in turn, medians
of {o['rounds']} rounds, ratios within a round. *Private*: memory of the process beyond its start, at most.

{warm_md(res['warm'])}

{o['many']['n']:,} windows over 200,000 series: made in {o['many']['made']*1e3:.1f} ms, with {o['many']['mb']:.1f} MB; where the windows of a batch of 256 lie is found in {o['many']['found']*1e6:.0f} µs.

## Larger than memory

A series of {o['cold_gb']:g} GB, {how}, from an empty page cache. *Of the disk*: beside random reads of as many bytes by many threads, just before and after.

{cold_md(res['cold'])}
"""

def readme_md(res):
    "The table of the README: windows a second"
    configs = [(k,bs) for k in kinds for bs in sizes]
    rows = [['shuffled windows a second', *(f'{k}, bs {bs}' for k,bs in configs)]]
    rate = {(r['kind'],r['bs'],r['loader']): r['windows'] for r in res['warm']}
    for o in contestants: rows.append([f'**{o}**' if o == 'tsdisk' else o, *(f'{rate[k,bs,o]:,.0f}' for k,bs in configs)])
    for name in ('tsdisk, `shuffle=True`', "tsdisk, `shuffle='block'`", '`sliding_window_view[idx]`'):
        cells = []
        for k,bs in configs:
            rs = [r['used']*1e6/c['row'] for c in res['cold'] if c['kind'] == k for r in c['ways'] if (r['name'],r['bs']) == (name,bs) and 'used' in r]
            cells.append(f'{med(rs):,.0f}' if rs else '')
        rows.append([f"larger than memory: {f'**{name}**' if 'tsdisk' in name else name}", *cells])
    m,o = res['machine'],res['options']
    return f"""{md_table(rows)}

Windows of steps × variables, every step, float32; a series of {o['gb']:g} GB in the page cache, and one of {o['cold_gb']:g} GB in {o['limit']/1e9:g} GB of memory. {o['many']['n']:,} windows over 200,000 series are made
in {o['many']['made']*1e3:.0f} ms and {o['many']['mb']:.0f} MB. {m['cpu']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}, numpy {m['numpy']}; {m['date']}.
"""

def main():
    args = arguments(__doc__, 'two rounds, and no data larger than memory: under two minutes', (5,2), 5)
    rounds = args.rounds
    quiet,opts = Quiet(30 if args.quick else 180), dict(rounds=rounds, gb=.5, cold_gb=4, limit=1.2e9)
    res = dict(machine=machine(), options=opts, cold=[])
    with temp_folder(args.tmp, need=2.2e9 if args.quick else 4.2e9) as folder:
        say('writing data')
        folders = {k: make_series(folder/str(i), v, opts['gb']) for i,(k,(_,v)) in enumerate(kinds.items())}
        for path in folders.values():
            opened(path).max()
            if Litdata in contestants.values(): add_track(path)
        res['warm'] = measure_warm(folders, rounds, quiet)
        opts['many'] = very_many()
        for path in folders.values(): shutil.rmtree(path)
        for k in () if args.quick else kinds:
            path = make_series(folder/f'cold{kinds[k][1]}', kinds[k][1], opts['cold_gb'])
            res['cold'].append(measure_cold(folder, path, k, opts['limit'], min(rounds, 3), 2))
            (path/'X.npy').unlink()
    res['others'] = quiet.seen
    say('')
    keep(args, 'windows', res, report(res))
    if res['cold']: (args.out/'windows_readme.md').write_text(readme_md(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
