"The same training data at a quarter to eight times the memory: tsdisk beside other ways, from memory to disk; see README.md"
import os, time
from importlib import import_module
from pathlib import Path
import numpy as np
from ceilings import endless
from common import arguments, benchmark, figure, groups, heads, intro, make_data, md_table, med, number, ours_bold, row_shapes, run, say
from processes import Again, memory_limit, read_ahead, read_ahead_now

shares,row,bs = (.25, .5, 1, 2, 4, 8),6_000,256

# Ways to get shuffled batches: functions of (file, rows) that give the bytes of each

def mapped(file, n): return np.memmap(file, 'f4', 'r', 4096, (n, *row_shapes[row]))

def tsdisk(file, n, shuffle=True):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    for _ in TSDataLoader(TSDatasets(mapped(file, n), splits=[range(n)]).train, bs=bs, shuffle=shuffle): yield bs*row
def tsdisk_blocks(file, n): return tsdisk(file, n, 'block')

def indexed(X):
    "Batches of an array, by an index of rows in random order"
    for i in np.random.default_rng(0).permutation(len(X))[:len(X)//bs*bs].reshape(-1, bs): yield X[i].nbytes
def memmap(file, n): return indexed(mapped(file, n))
def in_memory(file, n): return indexed(np.fromfile(file, 'f4', n*row//4, offset=4096).reshape(n, *row_shapes[row]))

def torch_items(file, n):
    from torch.utils.data import DataLoader
    for _ in DataLoader(mapped(file, n), bs, shuffle=True): yield bs*row

def tsai_lazy(file, n):
    from tsai.data.core import get_ts_dls
    dl = get_ts_dls(mapped(file, n), np.zeros(n), splits=(list(range(n)), []), inplace=False, bs=bs, device='cpu', path=file.parent).train
    for _ in dl: yield bs*row

ways = {"tsdisk, `shuffle='block'`": tsdisk_blocks, 'tsdisk, `shuffle=True`': tsdisk, '`np.load`, then `X[idx]`': in_memory, 'memory map, `X[idx]`': memmap,
    'tsai, lazy': tsai_lazy, 'torch `DataLoader` over a memory map': torch_items}

# Measuring

def limited_data(group, path):
    "A function that calls others with the folder, in a process whose imports do not count in the memory control group"
    for o in ('tsai.data.core','tsdisk.data.loaders'): import_module(o)
    if group: (Path(group)/'cgroup.procs').write_text(str(os.getpid()))
    return lambda f, *args: f(path, *args)

def read_through(file, nbytes):
    "Read the data once, so that the page cache holds what fits"
    with open(file, 'rb', buffering=0) as f:
        buf = bytearray(2**22)
        while f.tell() < nbytes: f.readinto(buf)

def steady_rate(path, f, n, secs):
    "MB/s of batches once the page cache holds what fits: counted after a third of the time"
    read_through(path/'X.npy', 4096+n*row)
    steps,used,start = endless(f, path/'X.npy', n),0,time.perf_counter()
    for _ in steps:
        if (begun := time.perf_counter())-start > secs/3: break
    for k in steps:
        used += k
        if (took := time.perf_counter()-begun) > secs: break
    steps.close()
    return dict(mb=used/took/1e6)

def measure(bench, limit, secs, kib):
    found = []
    with memory_limit(limit) as group, Again(limited_data, group, bench.folder) as call, read_ahead(bench.folder, kib) as is_set:
        for _,beside in bench.turns('reading'):
            for share in shares:
                for name in bench.one_by_one(ways):
                    res = call(steady_rate, ways[name], int(share*limit)//row, secs)
                    found.append(dict(way=name, share=share, beside=beside, **res))
    return dict(found=found, limited=group is not None, read_ahead=kib if is_set else read_ahead_now(bench.folder))

# The report

def medians(res):
    "MB/s of each way, share and number of busy processes; NaN where the system ended it for its memory"
    return {k: med([r['mb'] for r in rs if 'mb' in r]) for k,rs in groups(res['found'], 'way', 'share', 'beside').items()}

def conditions(res):
    o,m = res['options'],res['machine']
    how = f"in {o['limit']/1e9:g} GB of memory on top of what the imports take, page cache included" if res['limited'] else '**without a memory limit**'
    ahead = f"read-ahead {res['read_ahead']} KiB" if res['read_ahead'] else 'read-ahead unknown'
    return f"float32 rows of {row:,} bytes, batches of {bs}, {how}; {ahead}; {m['cpu']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}; {m['date']}"

def report(res):
    mb = medians(res)
    head = ['MB/s', *(h for o in shares for h in heads(f'{o:g} × memory', res['beside']))]
    rows = [[ours_bold(k), *(number(mb[k,o,n], 2) or 'out of memory' for o in shares for n in res['beside'])] for k in ways]
    return f"""# The cliff

{intro(res)}

Shuffled batches of data of a quarter to eight times the memory: {conditions(res)}. Each way in turn, in random order, {res['options']['rounds']} rounds of {res['options']['secs']:g} s, medians;
the data is read once from start to end before, so that what fits is in the page cache.

{md_table([head, *rows])}
"""

colors = ['#1b5e8c','#5aa0cf','#b5543a','#8f8f8f','#b59a3a','#6f8f6f']

def plot(res, path):
    mb,first = medians(res),res['beside'][0]
    fig,((ax,),) = figure(1, 1, (6,4.6))
    for (name,f),color in zip(ways.items(), colors):
        y = [mb[name,o,first] for o in shares]
        ax.plot(shares, y, color=color, marker='o', ms=4, lw=2.4 if 'tsdisk' in name else 1.5, label=name.replace('`',''))
        if np.isnan(y[-1]) and not np.isnan(y).all():
            last = np.flatnonzero(~np.isnan(y))[-1]
            ax.plot(shares[last]*1.19, y[last], marker='x', ms=8, mew=2, color=color)
            ax.text(shares[last]*1.3, y[last], 'out of memory', color=color, va='center', zorder=3, bbox=dict(fc='white', ec='none', pad=1))
    ax.axvline(1, color='#999999', ls='--', lw=1)
    ax.set(xscale='log', yscale='log', xlabel='size of the data ÷ memory', ylabel='MB/s of shuffled batches')
    ax.set_xticks(shares, [f'{o:g}' for o in shares])
    ax.minorticks_off()
    ax.grid(axis='y', color='#eeeeee')
    ax.set_axisbelow(True)
    fig.legend(loc='outside lower center', ncols=2, frameon=False)
    fig.savefig(path, dpi=160)

def readme_md(res): return f"{shares[0]:g} to {shares[-1]:g} times the memory: {conditions(res)}; `python benchmarks/cliff.py`.\n"

def main():
    args = arguments('cliff', __doc__, 'one round, less memory: about two minutes', (3,1), 8.5,
        limit=dict(type=float, help='GB of memory that may be used, page cache included (default: 1, or 0.5 with --quick)'),
        ahead=dict(type=int, default=128, help='KiB that the kernel reads ahead; 128 is the default of distributions (default: %(default)s)'))
    limit = 1e9*(args.limit or (.5 if args.quick else 1))
    with benchmark(args, need=limit*shares[-1]*1.05) as bench:
        say('writing data')
        make_data(bench.folder, (int(limit*shares[-1])//row, *row_shapes[row]))
        options = dict(limit=limit, rounds=args.rounds, secs=1 if args.quick else 2)
        bench.keep(options, report, readme_md, plot, **measure(bench, limit, options['secs'], args.ahead))

if __name__ == '__main__': run(main)
