"Reading a file larger than memory: tsdisk beside the disk itself and other ways, in a memory limit; see README.md"
import argparse, json, mmap, os, random, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import mode
import numpy as np
from common import describe, drop_cache, io_read, machine, make_data, md_table, med, memory_limit, private_mb, read_ahead, temp_folder, Worker
from loaders import say

base,rows = (50,128),{25_600: (50,128), 6_000: (3,500), 512: (1,128)}

def view(path, row):
    "The file as rows of another shape"
    size = (path/'X.npy').stat().st_size - 4096
    return np.memmap(path/'X.npy', 'f4', 'r', 4096, (size//row, *rows[row]))

# The disk itself: most of what many threads get with `os.preadv`

def aligned(n):
    a = np.empty(n+4096, np.uint8)
    return a[-a.ctypes.data%4096:][:n]

def disk(path, row, threads, flags=0, hint=0):
    "Bytes a second step by step, of reads of `row` bytes at random places"
    X,n = path/'X.npy',((path/'X.npy').stat().st_size-4096)//row
    fd = os.open(X, os.O_RDONLY | flags)
    if not flags: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    unit = row if row%512 == 0 else -(-row//512)*512
    def work(args):
        buf,idxs = args
        for i in idxs: os.preadv(fd, [buf], 4096 + (i*row//512*512 if flags else i*row), hint)
    bufs,rng = [aligned(unit if flags else row) for _ in range(threads)],np.random.default_rng()
    k = max(1, min(64, 2**24//row//threads))
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                list(pool.map(work, [(b, rng.integers(0, n-1, k).tolist()) for b in bufs]))
                yield threads*k*row
        finally: os.close(fd)

def sequential(path, row, hint):
    "One thread, from start to end"
    with open(path/'X.npy', 'rb', buffering=0) as f:
        buf,at,size = aligned(2**20),0,(path/'X.npy').stat().st_size
        while True:
            os.preadv(f.fileno(), [buf], at, hint)
            at = at+2**20 if at+2**21 < size else 0
            yield 2**20

direct,dont_cache = getattr(os, 'O_DIRECT', 0),0x80
disks = {'rows': {f'{t} threads{o}': (disk, t, *a) for t in (8,16,32,64) for o,a in (('',()), (', O_DIRECT',(direct,)))},
    'blocks': {f'{t} readers{o}': (disk, t, *a) for t in (1,2,4,8) for o,a in ((', RWF_DONTCACHE',(0,dont_cache)), (', O_DIRECT',(direct,)))},
    'in order': {o: (sequential, a) for o,a in (('plain',0), ('RWF_DONTCACHE',dont_cache))}}

# Ways to get batches

def tsdisk(path, row, bs, shuffle, limited):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    from tsdisk.data.reader import ReadOptions
    X = view(path, row)
    dl = TSDataLoader(TSDatasets(X, splits=[range(len(X))]).train, bs=bs, shuffle=shuffle, read=ReadOptions(direct=None if limited else True))
    if not dl.direct: raise RuntimeError(f"The loader did not find that the data is larger than memory: {dl}")
    for _ in dl: yield bs*row # `len(b)` would take half as long as the batch

def memmap(path, row, bs, advice=None):
    X = view(path, row)
    if advice is not None: X._mmap.madvise(advice)
    for i in np.random.default_rng(0).permutation(len(X)).reshape(-1)[:len(X)//bs*bs].reshape(-1, bs): yield X[i].nbytes

def torch_items(path, row, bs):
    from torch.utils.data import DataLoader
    for _ in DataLoader(view(path, row), bs, shuffle=True): yield bs*row

def tsai_lazy(path, row, bs):
    from tsai.data.core import get_ts_dls
    X = view(path, row)
    dl = get_ts_dls(X, np.zeros(len(X)), splits=(list(range(len(X))), []), inplace=False, bs=bs, device='cpu', path=path).train
    for _ in dl: yield bs*row

def contestants(limited):
    "(group, name): (function, arguments after bs, read-ahead in KiB or None)"
    random_advice = getattr(mmap, 'MADV_RANDOM', None)
    return {('exact','tsdisk, `shuffle=True`'): (tsdisk, (True,limited), None), ('exact','`memmap[idx]`'): (memmap, (), None),
        ('exact','`memmap[idx]`, read-ahead 128 KiB'): (memmap, (), 128), ('exact','`memmap[idx]`, read-ahead 8 MiB'): (memmap, (), 8192),
        ('exact','`memmap[idx]`, MADV_RANDOM'): (memmap, (random_advice,), None), ('exact','torch, by item'): (torch_items, (), None),
        ('exact','tsai, lazy'): (tsai_lazy, (), None), ('block',"tsdisk, `shuffle='block'`"): (tsdisk, ('block',limited), None),
        ('in order','tsdisk, `shuffle=False`'): (tsdisk, (False,limited), None)}

# One measurement in a process of its own, within the limit

def rate(steps, secs, path):
    "MB/s that arrive and that are read, and cores in use; counted after a third of the time, when as much is read ahead as will be at the end"
    drop_cache(path/'X.npy')
    next(steps)
    until = time.perf_counter()+secs/3
    for n in steps:
        if time.perf_counter() > until: break
    used,was,cpu,start = 0,io_read(),time.process_time(),time.perf_counter()
    for n in steps:
        used += n
        took = time.perf_counter()-start
        if took > secs: break
    res = dict(used=used/took/1e6, read=(io_read()-was)/took/1e6, cores=(time.process_time()-cpu)/took, private=private_mb())
    steps.close()
    return res

def job(group, path):
    if group: (Path(group)/'cgroup.procs').write_text(str(os.getpid()))
    import torch
    import_module('tsdisk.data.loaders')
    torch.index_select(torch.zeros(9, 9), 0, torch.tensor([1]))
    return lambda f,args,row,secs: rate(f(path, row, *args), secs, path)

class Again:
    "A `Worker` that is started again when the system ended it for taking too much memory; the answer is then `{}`"
    def __init__(self, *args): self.args,self.worker = args,None
    def __enter__(self): return self
    def __exit__(self, *_):
        if self.worker: self.worker.stop()

    def __call__(self, *args):
        if self.worker is None:
            self.worker = Worker(*self.args)
            self.worker.result()
        try: return self.worker(*args)
        except (RuntimeError, OSError):
            self.worker.process.join(10)
            if self.worker.process.exitcode != -signal.SIGKILL: raise
            self.worker = None
            return {}

kinds = dict(exact='rows', block='blocks', **{'in order': 'in order'}) # How the disk is read for comparison

def reads(kind, row): return row if kind == 'rows' else 2**21 if kind == 'blocks' else 2**20

def disk_now(run, kind, how, row, secs):
    f,*args = disks[kinds[kind]][how]
    r = run(f, args, reads(kinds[kind], row), secs)
    return dict(kind=kind, row=row, name=how, mb=min(r.get('used', 0), r.get('read', 0)), **r) # What arrives, or what is read if less, for some came from the cache

def beside(run, kind, row, secs, jobs):
    "The results of some jobs, each with what the disk can do just before and after; and those of the disk"
    how = max(disks[kinds[kind]], key=lambda o: disk_now(run, kind, o, row, secs/2)['mb'])
    there,res = [disk_now(run, kind, how, row, secs)],[]
    for job in jobs:
        r = job()
        there.append(disk_now(run, kind, how, row, secs))
        res.append(dict(r, disk=(there[-2]['mb']+there[-1]['mb'])/2))
    return res,there

def measure(folder, limit, rounds, secs, quick):
    res,sizes = dict(disk=[], ways=[]),[25_600,512] if quick else [*rows]
    with memory_limit(limit) as group, Again(job, group, folder) as run:
        cs = contestants(group is not None)
        ours,others = [[o for o in cs.items() if (o[1][0] is tsdisk) == b] for b in (True,False)]
        for i in range(rounds):
            for row in sizes:
                for (kind,name),(f,args,_) in ours:
                    say(f'round {i+1} of {rounds}: {name}, {row} bytes')
                    ways,there = beside(run, kind, row, secs/2, [partial(run, f, (bs,*args), row, secs) for bs in (64,1024)])
                    res['ways'] += [dict(kind=kind, name=name, row=row, bs=bs, **r) for bs,r in zip((64,1024), ways)]
                    res['disk'] += there
                for (kind,name),(f,args,kib) in random.sample(others, len(others)):
                    say(f'round {i+1} of {rounds}: {name}, {row} bytes')
                    with read_ahead(folder, kib) as can:
                        if can: res['ways'].append(dict(kind=kind, name=name, row=row, bs=1024, **run(f, (1024,*args), row, secs)))
        res['limited'] = group is not None
    return res

# The report

def best(res, kind, row=None):
    "What was read from the disk in that way, in MB/s, and how"
    rs = [r for r in res['disk'] if r['kind'] == kind and row in (None, r['row'])]
    return med([r['mb'] for r in rs]), mode(r['name'] for r in rs), med([r['cores'] for r in rs if 'cores' in r])

def summary(res):
    "Medians of each way, and of its share of what the disk did just before and after"
    groups,out = {},[]
    for r in res['ways']: groups.setdefault((r['kind'], r['row'], r['name'], r['bs']), []).append(r)
    for (kind,row,name,bs),rs in groups.items():
        m = {k: med([r[k] for r in rs if k in r]) for k in ('used','read','cores','private')}
        m['of_disk'] = med([r['used']/r['disk'] for r in rs if 'used' in r]) if 'disk' in rs[0] else m['used']/best(res, kind, row)[0]
        out.append(dict(kind=kind, row=row, name=name, bs=bs, **m, times=m['read']/m['used']))
    return sorted(out, key=lambda r: (list(kinds).index(r['kind']), -r['row'], 'tsdisk' not in r['name'], r['name'], r['bs']))

titles = {'exact': 'Exact shuffle', 'block': 'Shuffled blocks', 'in order': 'In order'}

def report(res):
    out,o = summary(res),res['options']
    how = (f"in a memory control group of {o['limit']/1e9:.1f} GB, which counts the page cache" if res['limited'] else
        "**without a memory limit, which could not be set here: part of the file was in the page cache**")
    seq,block = best(res, 'in order'),best(res, 'block')
    text = [f"# A file larger than memory\n\n{describe(res['machine'])}\n\n{o['gb']:.0f} GB of float32 rows, {how}. Each way runs for {o['secs']:g} s, {o['rounds']} rounds, "
        "medians, from an empty page cache; all in the same process. *Of the disk*: beside the best that threads with `os.preadv` reach, just before and after, reading rows of that size or "
        "blocks of 2 MiB at random places, or in order. *Read / used*: bytes from the disk (`/proc/self/io`) for one byte that arrives. *Cores* counts waiting threads of torch too."]
    for kind,title in titles.items():
        if kind == 'block': text.append(f"Blocks of 2 MiB at random places: {block[0]:,.0f} MB/s ({block[1]}), {block[0]/seq[0]:.2f} of reading in order.")
        table = [['bytes a row', 'loader', 'bs', 'MB/s', 'samples/s', 'of the disk', 'read / used', 'cores']]
        for row in rows:
            if any((r['kind'],r['row']) == (kind,row) for r in res['disk']):
                v,name,cores = best(res, kind, row)
                table.append([f'{row:,}', f'*the disk: {name}*', '', f'{v:,.0f}', f'{v*1e6/row:,.0f}', '1.00', '', f'{cores:.1f}'])
            for r in [r for r in out if (r['kind'],r['row']) == (kind,row)]:
                name = f"**{r['name']}**" if 'tsdisk' in r['name'] else r['name']
                cells = f"{r['used']:,.0f}", f"{r['used']*1e6/row:,.0f}", f"{r['of_disk']:.2f}", f"{r['times']:.2f}", f"{r['cores']:.1f}"
                table.append([f'{row:,}', name, r['bs'], *(cells if r['used'] == r['used'] else ['out of memory',*['']*4])])
        text.append(f'## {title}\n\n{md_table(table, 2)}')
    return '\n\n'.join(text) + '\n'

def readme_md(res):
    "The table of the README: MB/s by the size of a row"
    out,sizes = summary(res),[o for o in rows if any(r['row'] == o for r in res['ways'])]
    mb = {(r['name'],r['row']): r['used'] for r in out if r['bs'] == 1024}
    table = [["MB/s from a file larger than memory", *(f'{o:,} bytes a row' for o in sizes)]]
    for name in ['`memmap[idx]`, read-ahead 8 MiB', '`memmap[idx]`, read-ahead 128 KiB', 'tsai, lazy', 'tsdisk, `shuffle=True`', "tsdisk, `shuffle='block'`"]:
        cells = [f'{v:,.0f}' if v > 10 else f'{v:.2g}' if v == v else 'out of memory' for v in (mb[name,o] for o in sizes)]
        table.append([f'**{name}**' if 'tsdisk' in name else name, *cells])
    table.append(['the disk, random rows', *(f"{best(res, 'exact', o)[0]:,.0f}" for o in sizes)])
    m,o = res['machine'],res['options']
    how = f"in {o['limit']/1e9:g} GB of memory" if res['limited'] else 'without a memory limit'
    return f"{md_table(table)}\n\n{o['gb']:g} GB of float32, {how}, batches of 1024; {m['cpu']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}; {m['date']}.\n"

def plot(res, path):
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    out,sizes = summary(res),[o for o in rows if any(r['row'] == o for r in res['ways'])]
    names = sorted((n for _,n in contestants(True) if any(r['name'] == n for r in out)), key=lambda o: 'tsdisk' in o)
    plt.rcParams.update({'font.size': 9.5, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.spines.left': False})
    fig,axs = plt.subplots(1, len(sizes), figsize=(4*len(sizes),3.4), sharey=True, layout='constrained', squeeze=False)
    for ax,row in zip(axs[0], sizes):
        mb = {r['name']: r['used'] for r in out if (r['row'],r['bs']) == (row,1024) and r['used'] == r['used']}
        ax.barh([o.replace('`','') for o in names], [mb.get(o, 0) for o in names], color=['#1b5e8c' if 'tsdisk' in o else '#bfc7cf' for o in names], height=.7)
        for i,o in enumerate(names): ax.text(mb.get(o, 0), i, (f' {mb[o]:,.0f}' if mb[o] > 10 else f' {mb[o]:.2g}') if o in mb else ' out of memory', va='center', color='#333333')
        v = best(res, 'exact', row)[0]
        ax.axvline(v, color='#555555', ls='--', lw=1)
        ax.set_title(f'{row:,} bytes a row', fontsize=9.5, loc='left')
        ax.set(xlabel='MB/s; dashed: the disk, random rows', xlim=(0, max(mb.values())*1.15))
        ax.tick_params(left=False, colors='#333333')
    fig.savefig(path, dpi=160)

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--quick', action='store_true', help='one round, two sizes of rows: about two minutes')
    p.add_argument('--gb', type=float, default=6, help='size of the file (default: %(default)s)')
    p.add_argument('--limit', type=float, default=1.5, help='GB of memory that may be used, page cache included (default: %(default)s)')
    p.add_argument('--tmp', help='where to put the file for the time being: the disk to measure')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the results')
    args = p.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start,(rounds,secs) = time.time(),(1,2) if args.quick else (3,2)
    with temp_folder(args.tmp, need=args.gb*1.05e9) as folder:
        say('writing data')
        make_data(folder, (int(args.gb*1e9)//25_600, *base))
        opts = dict(gb=args.gb, limit=args.limit*1e9, rounds=rounds, secs=secs)
        res = dict(machine=machine(), options=opts, **measure(folder, opts['limit'], rounds, secs, args.quick))
    say('')
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out/'cold.json').write_text(json.dumps(res, indent=1))
    (args.out/'cold.md').write_text(report(res))
    (args.out/'cold_readme.md').write_text(readme_md(res))
    plot(res, args.out/'cold.png')
    print(report(res))
    print(f'Took {time.time()-start:.0f} s; see {args.out}/cold.md, .json and .png')

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
