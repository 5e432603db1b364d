"Loaders of series on disk, side by side: see README.md"
import os, random, time, timeit, warnings
from functools import partial
from importlib import import_module
from itertools import islice
import numpy as np
from ceilings import bare_gathers
from common import (arguments, bars, benchmark, figure, heads, intro, make_data, md_table, med, number, of_best_way, open_data, ours_bold, pick, ratio, run,
    say, times)
from processes import private_mb, seconds, timed, workers

shapes,sizes = [(20_000,50,128), (200_000,3,500), (1_000_000,1,128)],(64,1024)

# The contestants: functions of (folder, bs) that give an iterable of shuffled batches `(xb, yb)`, a new epoch each time

def bare(path, bs, n_bufs=1):
    "The ceiling: ways to copy X alone, of which the fastest counts"
    import torch
    X = torch.from_numpy(open_data(path)[0])
    return bare_gathers(X, torch.randperm(len(X)), bs, n_bufs=n_bufs)

class ByHand:
    "The fewest lines that do what a loader does: a new order each epoch, labels, and two buffers in turn, as the batch before is still in use"
    def __init__(self, path, bs):
        import torch
        (self.X,self.y),self.bs,self.rng = map(torch.from_numpy, open_data(path)), bs, np.random.default_rng(0)
        self.bufs = torch.empty(2, bs, *self.X.shape[1:])

    def __iter__(self):
        import torch
        idx = torch.from_numpy(self.rng.permutation(len(self.X)))
        for i,j in enumerate(range(0, len(idx)-self.bs+1, self.bs)):
            rows = idx[j:j+self.bs]
            yield torch.index_select(self.X, 0, rows, out=self.bufs[i%2]), torch.index_select(self.y, 0, rows)

def tsdisk_loader(path, bs):
    from tsdisk.data.loaders import TSDataLoaders
    n = len(open_data(path)[0])
    return TSDataLoaders.from_arrays(path/'X.npy', path/'y.npy', splits=[range(n), []], bs=bs, device='cpu').train

def tsai_lazy(path, bs):
    from tsai.data.core import get_ts_dls
    X,y = open_data(path)
    return get_ts_dls(X, y, splits=(list(range(len(X))), []), inplace=False, bs=bs, device='cpu', path=path).train

def tsai_itemify(path, bs):
    from fastai.data.block import CategoryBlock, DataBlock
    from fastai.data.transforms import IndexSplitter, ItemGetter
    from tsai.data.core import TSTensorBlock
    from tsai.utils import itemify
    X,y = [o[:few_rows] for o in open_data(path)]
    block = DataBlock(blocks=(TSTensorBlock,CategoryBlock), getters=[ItemGetter(0),ItemGetter(1)], splitter=IndexSplitter([]))
    return block.dataloaders(itemify(X, y), bs=bs, num_workers=0, device='cpu').train

class Rows:
    "A torch dataset over arrays: one row, or those of a list"
    def __init__(self, path): self.X,self.y = open_data(path)
    def __len__(self): return len(self.X)
    def __getitem__(self, i): return self.X[i], self.y[i]

def torch_items(path, bs, num_workers=0):
    from torch.utils.data import DataLoader
    return DataLoader(Rows(path), bs, shuffle=True, drop_last=True, num_workers=num_workers, persistent_workers=num_workers > 0)

def torch_batches(path, bs):
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler
    rows = Rows(path)
    return DataLoader(rows, sampler=BatchSampler(RandomSampler(rows), bs, drop_last=True), batch_size=None)

ceiling,few = 'bare gather (ceiling)',('tsai, itemify + DataBlock',)
few_rows = 20_000 # For contestants that handle one at a time
contestants = {ceiling: bare, 'bare gather, two buffers in turn': partial(bare, n_bufs=2), 'a loop by hand': ByHand, 'tsdisk': tsdisk_loader,
    'tsai, lazy': tsai_lazy, 'torch, by batch': torch_batches, 'torch, by item': torch_items, 'torch, by item, 2 workers': partial(torch_items, num_workers=2),
    few[0]: tsai_itemify}

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
        dls[shape,bs] = make(path, bs)
        took = time.perf_counter()-start
        warnings.simplefilter('ignore')
        for dl in alternatives(dls[shape,bs]).values(): check(dl, shape[0], bs, most)
        return took
    def one_rate(dl, shape, bs, most):
        if most: return bs/some_batches(dl, most)
        return shape[0]//bs*bs/seconds(lambda: [None for _ in dl], least=0.1 if quick else 0.4)
    def rate(shape, bs, most):
        "Samples a second of each way"
        return {k: one_rate(dl, shape, bs, most) for k,dl in alternatives(dls[shape,bs]).items()}
    return lambda job, *args: dict(build=build, rate=rate)[job](*args)

def alternatives(dl): return dl if isinstance(dl, dict) else {'': dl}

def n_batches(name, n, bs):
    "Batches to time of a slow loader; None for whole epochs"
    if name in few: return max(2, 2048//bs)
    if n > few_rows and 'by item' in name: return few_rows//bs

def build(ws, folders):
    "Seconds to build each loader; a first pass checks and warms it"
    for s,bs,o in configs_of(contestants):
        say(f'building {o}, {s}, bs {bs}')
        yield dict(X=s, bs=bs, loader=o, took=ws[o]('build', folders[s], s, bs, n_batches(o, s[0], bs)))

def configs_of(names): return [(s,bs,o) for s in shapes for bs in sizes for o in names]

def measure_loaders(bench, folders, quick):
    "Samples a second of each array, batch size and contestant, and seconds to build them"
    rates = []
    with workers(**{o: (contestant, o, quick) for o in contestants}) as ws:
        built = [*build(ws, folders)]
        for _,n in bench.turns('loaders'):
            for s,bs,_ in configs_of([None]):
                for o in bench.one_by_one(contestants):
                    each = ws[o]('rate', s, bs, n_batches(o, s[0], bs))
                    rates.append(dict(X=s, bs=bs, loader=o, beside=n, each=each))
    return dict(loaders=rates, built=built)

def rates_of(res, s, bs, o, n): return of_best_way(pick(res['loaders'], 'each', X=s, bs=bs, loader=o, beside=n))
def gb_of(res, s, bs, o, n): return med(rates_of(res, s, bs, o, n))*np.prod(s[1:])*4/1e9

def loaders_md(res):
    besides = res['beside']
    rows = [['X', 'bs', 'loader', *heads('GB/s', besides), *heads('of the ceiling', besides), *heads('tsdisk is', besides), 'samples/s', 'built in']]
    for s,bs,o in configs_of(contestants):
        rate = {(k,n): rates_of(res, s, bs, k, n) for k in (o,ceiling,'tsdisk') for n in besides}
        share = [f'{ratio(rate[o,n], rate[ceiling,n]):.2f}' for n in besides]
        faster = ['' if o in ('tsdisk',ceiling) else times(ratio(rate['tsdisk',n], rate[o,n])) for n in besides]
        took, = pick(res['built'], 'took', X=s, bs=bs, loader=o)
        gb = [number(gb_of(res, s, bs, o, n)) for n in besides]
        rows.append([s, bs, ours_bold(o), *gb, *share, *faster, number(med(rate[o,besides[0]])), f'{took:.2g} s'])
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

# Single samples

def samples_job():
    "Processor time of single samples and of views, in turns, each over that of what it is compared with"
    import torch
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.disk.gather import tensor_view
    from tsdisk.disk.items import itemify
    def from_numpy(X):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return torch.from_numpy(X)
    def run(path, rounds):
        X,y = open_data(path)
        names = dict(X=X, y=y, items=itemify(X, y), dset=TSDatasets(X, y), tensor_view=tensor_view, from_numpy=from_numpy)
        pairs = {'items[7]': '(X[7], y[7])', 'tensor_view(X)': 'from_numpy(X)', 'dset[7]': '(from_numpy(X[7].copy()), from_numpy(y[7:8].copy()))'}
        timers = {o: timeit.Timer(o, globals=names, timer=time.process_time) for pair in pairs.items() for o in pair}
        found = {o: [] for o in timers}
        for _ in range(10*rounds):
            for k,t in timers.items(): found[k].append(t.timeit(300)/300)
        return {a: (med(found[a]), b, med(found[b])) for a,b in pairs.items()}
    return run

def samples_md(res):
    rows = [[f'`{a}`', f'{t*1e6:.3g} µs', f'`{b}`', f'{u*1e6:.3g} µs', f'{t/u:.2f}'] for a,(t,b,u) in res.items()]
    return md_table([['', '', 'compared with', '', 'ratio'], *rows])

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
            already = private_mb()-before
            res[f.__name__] = already + timed(f)[1]
        assert len(kept['preds'][0]) == len(splits[0])
        return res
    return run

memory_ways = {'tsdisk': 'tsdisk', 'tsai, lazy': 'tsai, lazy (`inplace=False`)', 'np.load': "`np.load`, then tsai as it comes"}

def measure_memory(path, shape):
    with workers(**{o: (memory_job, o) for o in memory_ways}) as ws: return {k: w(path, shape) for k,w in ws.items()}

def memory_md(res):
    return md_table([['most private memory, MB more than after the imports', 'building loaders', 'an epoch', '`get_preds`'],
        *[[memory_ways[k], *(f'{v[o]:,.0f}' for o in ('build','epoch','preds'))] for k,v in res.items()]])

# The picture and the report

def plot(res, path):
    names,first = [o for o in contestants if o != ceiling][::-1],res['beside'][0]
    fig,axs = figure(len(sizes), len(shapes), (11,5), sharey=True, sharex='col')
    for ax,(bs,s) in zip(axs.flat, [(bs,s) for bs in sizes for s in shapes]):
        top = gb_of(res, s, bs, ceiling, first)
        bars(ax, names, [gb_of(res, s, bs, o, first) for o in names], '')
        ax.axvline(top, color='#555555', ls='--', lw=1)
        ax.set_title(f"X {s[0]:,} × {s[1]} × {s[2]}, batches of {bs}", fontsize=9.5, loc='left', pad=14)
        ax.text(top, len(names)-0.42, f'bare gather {top:.2g}', ha='right', color='#555555', fontsize=8)
        ax.grid(axis='x', color='#eeeeee', lw=0.8)
        ax.set_axisbelow(True)
    for ax in axs[-1]: ax.set_xlabel('GB/s')
    fig.savefig(path, dpi=200)

def by(shape): return ' × '.join(f'{i:,}' for i in shape)

def report(res):
    o,shape = res['options'],res['memory']['X']
    busy = '\n\n**The machine was busy with other programs: run it again for figures that say something.**' if med(res['others']) > 0.2 else ''
    slow = ', '.join(f'{n_batches(few[0], 0, bs)} batches of {bs}' for bs in sizes)
    return f"""# Loaders, side by side

{intro(res)}{busy}

Shuffled batches of float32 X and integer labels as tensors on the CPU, from files in the page cache, {o['threads']} torch threads. GB/s counts X. Each contestant
runs in its own process, in turn, in random order; medians of {o['rounds']} rounds, ratios within a round. A round is whole epochs, permutation included, except: the
*bare gather*, the ceiling, copies X alone, into buffers that are used again, in an order made beforehand, in the way of these that is fastest over all rounds: all threads or one, one batch in a call or
several, or a call in each of two threads; with *two buffers in turn*, as for a model that uses one batch while the next is gathered; *a loop by hand* also makes
the order, gathers labels and uses two buffers in turn (a batch is overwritten two batches later); *itemify + DataBlock* is slow, so {slow},
without its permutation, and built of {few_rows:,} rows at most; where there are more, *by item* times {few_rows:,} of them, likewise. Worker processes are started beforehand. *tsdisk is* says how many times as fast as that line tsdisk is.

{loaders_md(res)}

## Items

X {by(shapes[1])}, int64 y; memory as `tracemalloc` counts it.

{items_md(res['items'])}

Processor time of single samples, cached; of `from_numpy` with its warning silenced for the call.

{samples_md(res['samples'])}

## Private memory

X {by(shape)} float32, {np.prod(shape)*4/1e9:.2g} GB, a random 80 % train, batches of 64; an epoch of the training rows, predictions for
the same rows by a linear model. `RssAnon`, sampled every 2 ms, in a fresh process each.

{memory_md(res['memory']['ways'])}
"""

def readme_md(res):
    "The table of the README: GB/s of each loader, and the memory of an epoch"
    m,besides = res['machine'],res['beside'][:2]
    configs = [(s,bs) for s in shapes for bs in sizes]
    rows = [['GB/s, shuffled batches', *(h for s,bs in configs for h in heads(f'{by(s)}, bs {bs}', besides))]]
    for o in contestants: rows.append([ours_bold(o) if o == 'tsdisk' else o, *(number(gb_of(res, s, bs, o, n), 2) for s,bs in configs for n in besides)])
    peaks = ', '.join(f"{k} {max(v.values()):,.0f} MB" for k,v in res['memory']['ways'].items())
    return f"""{md_table(rows)}

Files in the page cache, float32, labels included. Private memory at most, building loaders, an epoch and predictions on 2 GB: {peaks}.
{m['cpu']}, {m['cores']} cores, {m['ram_gb']} GB; torch {m['torch']}, fastai {m['fastai']}, tsai {m['tsai']}, numpy {m['numpy']}; {m['date']}.
"""

def measure_memory_of_2_gb(folder):
    shape = (80_000,50,128)
    say('private memory')
    return dict(X=shape, ways=measure_memory(make_data(folder/'memory', shape), shape))

def main():
    args = arguments('loaders', __doc__, 'about three minutes on 2 cores', (9,3), 2,
        threads=dict(type=int, help="torch threads; torch's own choice by default"))
    if args.threads: os.environ['OMP_NUM_THREADS'] = str(args.threads)
    import torch
    options = dict(rounds=args.rounds, quick=args.quick, threads=torch.get_num_threads())
    with benchmark(args, need=2.5e9) as bench:
        say('writing data')
        folders = {s: make_data(bench.folder/str(i), s) for i,s in enumerate(shapes)}
        res = measure_loaders(bench, folders, args.quick)
        say('items')
        bench.quiet.wait()
        with workers(job=(items_job,)) as w: res['items'] = w['job'](folders[shapes[1]], args.rounds)
        with workers(job=(samples_job,)) as w: res['samples'] = w['job'](folders[shapes[1]], args.rounds)
        for p in folders.values():
            for o in p.iterdir(): o.unlink()
        bench.keep(options, report, readme_md, plot, memory=measure_memory_of_2_gb(bench.folder), **res)

if __name__ == '__main__': run(main)
