"Loaders of series on disk, side by side: see README.md"
import argparse, json, os, random, signal, sys, time, timeit, warnings
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
import numpy as np
from common import describe, machine, make_data, md_table, med, open_data, peak_private, private_mb, Quiet, seconds, temp_folder, workers

shapes,sizes = [(20_000,50,128), (200_000,3,500), (1_000_000,1,128)],(64,1024)

# The contestants: functions of (folder, bs, quick) that give an iterable of shuffled batches `(xb, yb)`, a new epoch each time

class BareGather:
    "The ceiling: only the copy of X, into one buffer, in an order made beforehand"
    def __init__(self, path, bs, quick):
        import torch
        self.T,self.bs = torch.from_numpy(open_data(path)[0]),bs
        self.buf,self.idx = torch.empty(bs, *self.T.shape[1:]), torch.randperm(len(self.T))

    def __iter__(self):
        from torch import index_select
        for i in range(0, len(self.idx)-self.bs+1, self.bs): yield index_select(self.T, 0, self.idx[i:i+self.bs], out=self.buf), None

class ByHand:
    "The fewest lines that do what a loader does: a new order each epoch, labels, and two buffers in turn, as the batch before is still in use"
    def __init__(self, path, bs, quick):
        import torch
        (self.X,self.y),self.bs,self.rng = map(torch.from_numpy, open_data(path)), bs, np.random.default_rng(0)
        self.bufs = torch.empty(2, bs, *self.X.shape[1:])

    def __iter__(self):
        import torch
        idx = torch.from_numpy(self.rng.permutation(len(self.X)))
        for i,j in enumerate(range(0, len(idx)-self.bs+1, self.bs)):
            rows = idx[j:j+self.bs]
            yield torch.index_select(self.X, 0, rows, out=self.bufs[i%2]), torch.index_select(self.y, 0, rows)

def tsdisk_loader(path, bs, quick):
    from tsdisk.data.loaders import TSDataLoaders
    n = len(open_data(path)[0])
    return TSDataLoaders.from_arrays(path/'X.npy', path/'y.npy', splits=[range(n), []], bs=bs, device='cpu').train

def tsai_lazy(path, bs, quick):
    from tsai.data.core import get_ts_dls
    X,y = open_data(path)
    return get_ts_dls(X, y, splits=(list(range(len(X))), []), inplace=False, bs=bs, device='cpu', path=path).train

def tsai_itemify(path, bs, quick):
    from fastai.data.block import CategoryBlock, DataBlock
    from fastai.data.transforms import IndexSplitter, ItemGetter
    from tsai.data.core import TSTensorBlock
    from tsai.utils import itemify
    X,y = [o[:20_000 if quick else 200_000] for o in open_data(path)]
    block = DataBlock(blocks=(TSTensorBlock,CategoryBlock), getters=[ItemGetter(0),ItemGetter(1)], splitter=IndexSplitter([]))
    return block.dataloaders(itemify(X, y), bs=bs, num_workers=0, device='cpu').train

class Rows:
    "A torch dataset over arrays: one row, or those of a list"
    def __init__(self, path): self.X,self.y = open_data(path)
    def __len__(self): return len(self.X)
    def __getitem__(self, i): return self.X[i], self.y[i]

def torch_items(path, bs, quick, num_workers=0):
    from torch.utils.data import DataLoader
    return DataLoader(Rows(path), bs, shuffle=True, drop_last=True, num_workers=num_workers, persistent_workers=num_workers > 0)

def torch_batches(path, bs, quick):
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler
    rows = Rows(path)
    return DataLoader(rows, sampler=BatchSampler(RandomSampler(rows), bs, drop_last=True), batch_size=None)

contestants = {'bare gather (ceiling)': BareGather, 'a loop by hand': ByHand, 'tsdisk': tsdisk_loader, 'tsai, lazy': tsai_lazy, 'torch, by batch': torch_batches,
    'torch, by item': torch_items, 'torch, by item, 2 workers': partial(torch_items, num_workers=2), 'tsai, itemify + DataBlock': tsai_itemify}
ceiling,few = 'bare gather (ceiling)',('tsai, itemify + DataBlock',)

# One contestant in its own process

def check(dl, n, bs, most=None):
    "A first pass, which also warms up: every contestant gives the rows and labels it should"
    import torch
    seen = []
    for xb,yb in islice(dl, most):
        assert isinstance(xb, torch.Tensor) and xb.dtype == torch.float32 and xb.device.type == 'cpu' and len(xb) == bs
        rows = xb.as_subclass(torch.Tensor)[:,0,0].long()
        assert yb is None or (yb.dtype == torch.int64 and torch.equal(rows%10, yb.as_subclass(torch.Tensor)))
        seen.append(rows)
    rows = torch.cat(seen)
    assert len(rows) == bs*(most or n//bs) and len(rows.unique()) == len(rows) and not torch.equal(rows, rows.sort()[0])

def some_batches(dl, k):
    "Seconds that each of the `k` batches after the first takes"
    it = iter(dl)
    next(it)
    start = time.perf_counter()
    for _ in range(k): next(it)
    return (time.perf_counter()-start)/k

def contestant(name, quick):
    "A function that builds and measures one of the contestants"
    make,dls = contestants[name],{}
    import_module({'tsdisk': 'tsdisk.data.loaders', 'tsai': 'tsai.data.core'}.get(name.split(',')[0], 'torch.utils.data'))
    def build(path, shape, bs, most):
        start = time.perf_counter()
        dls[shape,bs] = make(path, bs, quick)
        took = time.perf_counter()-start
        warnings.simplefilter('ignore')
        check(dls[shape,bs], shape[0], bs, most)
        return took
    def rate(shape, bs, most):
        "Samples a second"
        dl = dls[shape,bs]
        if most: return bs/some_batches(dl, most)
        return shape[0]//bs*bs/seconds(lambda: [None for _ in dl], least=0.1 if quick else 0.4)
    return lambda job, *args: dict(build=build, rate=rate)[job](*args)

def n_batches(name, n, bs, quick):
    "Batches to time of a slow loader; None for whole epochs"
    if name in few: return max(2, 2048//bs)
    if n > (most := 20_000 if quick else 200_000) and 'by item' in name: return most//bs

def measure_loaders(folders, rounds, quick, quiet):
    "One result for each array, batch size and contestant, with the samples a second of every round"
    configs = [(s,bs) for s in folders for bs in sizes]
    res = {(s,bs,o): dict(X=list(s), bs=bs, loader=o, rates=[]) for s,bs in configs for o in contestants}
    with workers(**{o: (contestant, o, quick) for o in contestants}) as ws:
        for (s,bs,o),r in res.items():
            say(f'building {o}, {s}, bs {bs}')
            r['build'] = ws[o]('build', folders[s], s, bs, n_batches(o, s[0], bs, quick))
        for i in range(rounds):
            for s,bs in configs:
                say(f'round {i+1} of {rounds}: {s}, bs {bs}')
                for o in random.sample(list(contestants), len(contestants)):
                    quiet.wait()
                    res[s,bs,o]['rates'].append(ws[o]('rate', s, bs, n_batches(o, s[0], bs, quick)))
    return [summary(r, res) for r in res.values()]

def summary(r, res):
    "Medians; ratios are medians of the ratios within each round"
    s,bs = tuple(r['X']),r['bs']
    ratio = lambda a,b: med([p/q for p,q in zip(a['rates'], b['rates'])])
    return {**r, 'samples': med(r['rates']), 'gb': med(r['rates'])*np.prod(s[1:])*4/1e9, 'of_ceiling': ratio(r, res[s,bs,ceiling]),
        'tsdisk_is': ratio(res[s,bs,'tsdisk'], r)}

def loaders_md(res):
    rows = [['X', 'bs', 'loader', 'GB/s', 'samples/s', 'of the ceiling', 'tsdisk is', 'built in']]
    for r in res:
        times = f"{r['tsdisk_is']:.1f} ×" if r['loader'] not in ('tsdisk',ceiling) else ''
        rows.append([tuple(r['X']), r['bs'], f"**{r['loader']}**" if r['loader'] == 'tsdisk' else r['loader'], f"{r['gb']:.3g}", f"{r['samples']:,.0f}",
            f"{r['of_ceiling']:.2f}", times, f"{r['build']:.2g} s"])
    return md_table(rows, 3)

# Items

def items_job():
    import torch, tracemalloc
    from fastcore.foundation import L
    from tsdisk.disk.items import itemify
    makes = {'itemify': itemify, 'zip': lambda X,y: L(X, y).zip()}
    def memory(f):
        tracemalloc.start()
        o = f()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return len(o) and size
    def run(path, rounds):
        X,y = open_data(path)
        res = {f'{k} memory': memory(partial(v, X, y)) for k,v in makes.items()}
        kept,idxs = {k: v(X, y) for k,v in makes.items()},random.sample(range(len(X)), 1000)
        ways = {'itemify': 'o[i]', 'zip': 'o[i]', 'memmap': 'o[i]', 'itemify tensor': 't(o[i][0])', 'zip tensor': 't(o[i][0])', 'memmap tensor': 't(o[i])'}
        times = {k: [] for k in [*ways, *(f'{o} made' for o in makes), 'loop']}
        for _ in range(rounds):
            for k,v in makes.items(): times[f'{k} made'].append(seconds(partial(v, X, y)))
            for k,v in {**ways, 'loop': 'pass'}.items():
                t = timeit.Timer(f'for i in idxs: {v}', globals=dict(idxs=idxs, o={**kept, 'memmap': X}.get(k.split()[0]), t=torch.from_numpy))
                times[k].append(t.timeit(20)/20/len(idxs))
        res.update({k: med(v) for k,v in times.items()})
        return {k: v-res['loop'] if k in ways else v for k,v in res.items()}
    return run

def items_md(r):
    "Time in the unit that suits it"
    def t(k): return next(f'{r[k]*m:.3g} {u}' for m,u in ((1,'s'),(1e3,'ms'),(1e6,'µs'),(1e9,'ns')) if r[k]*m >= 1 or u == 'ns')
    def b(k): return next(f'{r[k]/m:.3g} {u}' for m,u in ((1e6,'MB'),(1e3,'kB')) if r[k] >= m or u == 'kB')
    rows = [['made in', t('itemify made'), t('zip made'), ''], ['memory', b('itemify memory'), b('zip memory'), '']]
    for name,k in (('one item, `o[i]`', ''), ('`torch.from_numpy` of its X', ' tensor')): rows.append([name, *(t(o+k) for o in ('itemify','zip','memmap'))])
    return md_table([['', '`itemify(X, y)`', '`L(X, y).zip()`', 'the memmap `X`'], *rows])

# Private memory

def memory_job(way):
    import torch
    from fastai.basics import CrossEntropyLossFlat, Learner, nn
    if way == 'tsdisk': from tsdisk.data.loaders import TSDataLoaders
    else: from tsai.data.core import get_ts_dls
    def dls_of(path, splits, bs):
        if way == 'tsdisk': return TSDataLoaders.from_arrays(path/'X.npy', path/'y.npy', splits=splits, bs=bs, device='cpu')
        lazy = way == 'tsai, lazy'
        X,y = open_data(path) if lazy else [np.load(path/f'{o}.npy') for o in 'Xy']
        return get_ts_dls(X, y, splits=splits, inplace=not lazy, bs=bs, device='cpu', path=path)
    def run(path, shape, bs=64):
        rows = np.random.default_rng(0).permutation(shape[0])
        splits,n_vars,kept,res = (rows[shape[0]//5:], rows[:shape[0]//5]),shape[1],{},{}
        model = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(n_vars, 10))
        def build(): kept['dls'] = dls_of(path, splits, bs)
        def epoch():
            for _ in kept['dls'].train: pass
        def preds():
            learn = Learner(kept['dls'], model, loss_func=CrossEntropyLossFlat(), path=path)
            kept['preds'] = learn.get_preds(ds_idx=0)
        model(torch.zeros(bs, *shape[1:]))
        before = private_mb()
        for f in (build, epoch, preds):
            with peak_private() as most: f()
            res[f.__name__] = most[0]-before
        assert len(kept['preds'][0]) == len(splits[0])
        return res
    return run

memory_ways = {'tsdisk': 'tsdisk', 'tsai, lazy': 'tsai, lazy (`inplace=False`)', 'np.load': "`np.load`, then tsai as it comes"}

def measure_memory(path, shape):
    with workers(**{o: (memory_job, o) for o in memory_ways}) as ws: return {k: w(path, shape) for k,w in ws.items()}

def memory_md(res):
    return md_table([['most private memory, MB more than after the imports', 'building loaders', 'an epoch', '`get_preds`'],
        *[[memory_ways[k], *(f'{v[o]:,.0f}' for o in ('build','epoch','preds'))] for k,v in res.items()]])

# Statistics

def stats_job():
    from tsdisk.folder.stats import array_stats
    def all_numpy(X):
        axes = (0,2)
        return X.mean(axes), X.std(axes), X.min(axes), X.max(axes), np.isnan(X).sum(axes)
    ways = {'tsdisk': array_stats, 'numpy two': lambda X: (X.mean(), X.std()), 'numpy all': all_numpy}
    def run(path, rounds):
        X,times,peaks = open_data(path)[0],{k: [] for k in ways},{}
        a,b = array_stats(X), all_numpy(X)
        for p,q in zip((a.mean, a.std, a.min, a.max, a.nans), b): assert np.allclose(p, q, rtol=1e-3, atol=1e-3)
        for k,f in ways.items():
            before = private_mb()
            with peak_private() as most: f(X)
            peaks[k] = most[0]-before
        for _ in range(rounds):
            for k,f in ways.items(): times[k].append(seconds(partial(f, X)))
        return {k: dict(gb=X.nbytes/1e9/med(v), mb=peaks[k]) for k,v in times.items()}
    return run

stats_ways = {'tsdisk': '`array_stats(X)`: mean, std, min, max, NaNs, quantiles of each variable', 'numpy two': 'numpy `X.mean(), X.std()`: two numbers for the whole array',
    'numpy all': 'numpy, the same as `array_stats`: five calls over axes (0, 2)'}

def stats_md(res):
    return md_table([['', *(f'{o}: GB/s' for o in res), *(f'{o}: extra memory, MB' for o in res)],
        *[[name, *(f"{r[k]['gb']:.2g}" for r in res.values()), *(f"{r[k]['mb']:,.0f}" for r in res.values())] for k,name in stats_ways.items()]])

# The picture and the report

def plot(res, path):
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    names = [o for o in contestants if o != ceiling][::-1]
    plt.rcParams.update({'font.size': 9.5, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.spines.left': False})
    fig,axs = plt.subplots(len(sizes), len(shapes), figsize=(11,5), sharey=True, sharex='col', layout='constrained')
    for ax,(bs,s) in zip(axs.flat, [(bs,s) for bs in sizes for s in shapes]):
        gb = {r['loader']: r['gb'] for r in res if (tuple(r['X']),r['bs']) == (s,bs)}
        ax.barh(names, [gb[o] for o in names], color=['#1b5e8c' if o == 'tsdisk' else '#bfc7cf' for o in names], height=0.7)
        for i,o in enumerate(names):
            look = dict(color='white', weight='bold', ha='right') if o == 'tsdisk' else dict(color='#333333')
            ax.text(gb[o], i, f' {gb[o]:.2g} ', va='center', **look)
        ax.axvline(gb[ceiling], color='#555555', ls='--', lw=1)
        ax.set_title(f"X {s[0]:,} × {s[1]} × {s[2]}, batches of {bs}", fontsize=9.5, loc='left', pad=14)
        ax.text(gb[ceiling], len(names)-0.42, f'bare copy {gb[ceiling]:.2g}', ha='right', color='#555555', fontsize=8)
        ax.tick_params(left=False, colors='#333333')
        ax.grid(axis='x', color='#eeeeee', lw=0.8)
        ax.set_axisbelow(True)
    for ax in axs[-1]: ax.set_xlabel('GB/s')
    fig.savefig(path, dpi=200)

def report(res):
    m,o = res['machine'],res['options']
    times,k = lambda s: ' × '.join(f'{i:,}' for i in s), max(len(r['rates']) for r in res['loaders'])
    most = f"{20_000 if o['quick'] else 200_000:,}"
    busy = '\n\n**The machine was busy: parallel copies wait for each other there, and the figures say little. Run it again.**' if med(res['others']) > 0.2 else ''
    slow = ', '.join(f'{n_batches(few[0], 0, bs, False)} batches of {bs}' for bs in sizes)
    return f"""# Loaders, side by side

{describe(m)}, other programs used {med(res['others']):.0%} of the processor (median){busy}

Shuffled batches of float32 X and integer labels as tensors on the CPU, from files in the page cache, {o['threads']} torch threads. GB/s counts X. Each contestant
runs in its own process, in turn, in random order; medians of {k} rounds, ratios within a round. A round is whole epochs, permutation included, except: the
*bare gather* copies X alone, into one buffer, in an order made beforehand; *a loop by hand* also makes the order, gathers labels and uses two buffers in turn
(a batch is lost at the next but one); *itemify + DataBlock* is slow, so {slow},
without its permutation, and built of {most} rows at most; where there are more, *by item* times {most} of them, likewise. Worker processes are started beforehand. *tsdisk is* says how many times as fast as that line tsdisk is.

{loaders_md(res['loaders'])}

## Items

X {times(shapes[1])}, int64 y; memory as `tracemalloc` counts it.

{items_md(res['items'])}

## Private memory

X {times(res['memory']['X'])} float32, {np.prod(res['memory']['X'])*4/1e9:.2g} GB, a random 80 % train, batches of 64; an epoch of the training rows, predictions for
the same rows by a linear model. `RssAnon`, sampled every 2 ms, in a fresh process each.

{memory_md(res['memory']['ways'])}

## Statistics

In the page cache; the memory is private memory beyond that before the call.

{stats_md(res['stats'])}
"""

def readme_md(res):
    "The table of the README: GB/s of each loader, and the memory of an epoch"
    m,configs = res['machine'],[(s,bs) for s in shapes for bs in sizes]
    gb = {(tuple(r['X']),r['bs'],r['loader']): r['gb'] for r in res['loaders']}
    rows = [['GB/s, shuffled batches', *(f"{' × '.join(f'{i:,}' for i in s)}, bs {bs}" for s,bs in configs)]]
    for o in contestants: rows.append([f'**{o}**' if o == 'tsdisk' else o, *(f'{gb[s,bs,o]:.2g}' for s,bs in configs)])
    ways = res['memory']['ways']
    peaks = ', '.join(f"{k} {max(v.values()):,.0f} MB" for k,v in ways.items())
    return f"""{md_table(rows)}

Files in the page cache, float32, labels included. Private memory at most, building loaders, an epoch and predictions on 2 GB: {peaks}.
{m['cpu']}, {m['cores']} cores, {m['ram_gb']} GB; torch {m['torch']}, fastai {m['fastai']}, tsai {m['tsai']}, numpy {m['numpy']}; {m['date']}.
"""

def say(s):
    if sys.stderr.isatty(): print(f'\r\033[K{s[:100]}', end='', file=sys.stderr, flush=True)

def run(
    folder, # Temporary folder
    rounds:int, # Rounds of each measurement
    quick:bool, # Shorter epochs, fewer rows for the slowest
) -> dict: # All results
    "Measure everything"
    import torch
    quiet,res = Quiet(15 if quick else 180), dict(machine=machine(), options=dict(rounds=rounds, quick=quick, threads=torch.get_num_threads()))
    say('writing data')
    folders = {s: make_data(folder/str(i), s) for i,s in enumerate(shapes)}
    res['loaders'] = measure_loaders(folders, rounds, quick, quiet)
    say('items')
    quiet.wait()
    with workers(job=(items_job,)) as w: res['items'] = w['job'](folders[shapes[1]], rounds)
    say('statistics')
    quiet.wait()
    with workers(job=(stats_job,)) as w: res['stats'] = {f'{np.prod(s)*4/1e9:.2g} GB': w['job'](folders[s], rounds) for s in shapes[:1 if quick else 2]}
    for p in folders.values():
        for o in p.iterdir(): o.unlink()
    res['others'] = quiet.seen
    say('private memory')
    shape = (80_000,50,128)
    res['memory'] = dict(X=shape, ways=measure_memory(make_data(folder/'memory', shape), shape))
    say('')
    return res

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--quick', action='store_true', help="under two minutes on 2 cores")
    p.add_argument('--rounds', type=int, help="rounds of each measurement: 9, or 3 with --quick")
    p.add_argument('--threads', type=int, help="torch threads; torch's own choice by default. One is steadier beside other programs")
    p.add_argument('--tmp', help="where to put 2 GB of data for the time being")
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help="folder of the results")
    args = p.parse_args()
    if args.threads: os.environ['OMP_NUM_THREADS'] = str(args.threads)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.time()
    with temp_folder(args.tmp) as folder: res = run(folder, args.rounds or (3 if args.quick else 9), args.quick)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out/'loaders.json').write_text(json.dumps(res, indent=1))
    text = report(res)
    (args.out/'loaders.md').write_text(text)
    (args.out/'readme.md').write_text(readme_md(res))
    plot(res['loaders'], args.out/'loaders.png')
    print(text)
    print(f'Took {time.time()-start:.0f} s; see {args.out}/loaders.md, .json and .png')

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
