"Reading a file larger than memory: tsdisk beside the disk itself and other ways, in a memory limit; see README.md"
import mmap
from functools import partial
from statistics import mode
import numpy as np
from ceilings import Disk, rate
from common import arguments, bars, benchmark, figure, groups, heads, intro, make_data, md_table, med, number, ours_bold, pick, row_shapes, run, say
from processes import Again, limited, memory_limit, read_ahead, read_ahead_now, touch_memory

def view(path, row):
    "The file as rows of another shape"
    size = (path/'X.npy').stat().st_size - 4096
    return np.memmap(path/'X.npy', 'f4', 'r', 4096, (size//row, *row_shapes[row]))

# Ways to get batches: functions of (folder, bytes of a row, batch size, ...) that give the bytes of each

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
    for i in np.random.default_rng(0).permutation(len(X))[:len(X)//bs*bs].reshape(-1, bs): yield X[i].nbytes

def torch_items(path, row, bs):
    from torch.utils.data import DataLoader
    for _ in DataLoader(view(path, row), bs, shuffle=True): yield bs*row

def tsai_lazy(path, row, bs):
    from tsai.data.core import get_ts_dls
    X = view(path, row)
    dl = get_ts_dls(X, np.zeros(len(X)), splits=(list(range(len(X))), []), inplace=False, bs=bs, device='cpu', path=path).train
    for _ in dl: yield bs*row

ours = {('exact','tsdisk, `shuffle=True`'): True, ('block',"tsdisk, `shuffle='block'`"): 'block', ('in order','tsdisk, `shuffle=False`'): False}
default,large = 128,8192 # Read-ahead in KiB: the choice of most distributions, and of machines for large files
others = {'`memmap[idx]`': (memmap, (), [None,default,large]), '`memmap[idx]`, MADV_RANDOM': (memmap, (getattr(mmap, 'MADV_RANDOM', None),), [None]),
    'torch, by item': (torch_items, (), [None]), 'tsai, lazy': (tsai_lazy, (), [None,default])} # Read-ahead None: that of the machine

def at_read_ahead(name, kib): return name if kib is None else f"{name}, read-ahead {'128 KiB' if kib == default else '8 MiB'}"

def other_ways(machine_kib):
    "(name, function, arguments, read-ahead) of the others; none twice"
    return [(at_read_ahead(name, kib), f, args, kib) for name,(f,args,kibs) in others.items() for kib in kibs if kib is None or kib != machine_kib]

# Measuring

def rate_of_ours(path, *args):
    "The rate of tsdisk, into memory that is ready"
    touch_memory()
    return rate(path, tsdisk, *args)

def measure_ours(call, disk, row, n, secs, limited):
    for (kind,name),shuffle in ours.items():
        jobs = {bs: partial(call, rate_of_ours, bs, shuffle, limited, row, secs) for bs in (64,1024)}
        for bs,r in zip(jobs, disk.around(jobs.values(), kind, row, n)): yield dict(kind=kind, name=name, row=row, bs=bs, beside=n, **r)

def measure_others(call, bench, row, n, secs, machine_kib):
    bs = 64 if bench.args.quick else 1024 # A batch of 1024 may take seven seconds
    for name,f,args,kib in bench.one_by_one(other_ways(machine_kib)):
        with read_ahead(bench.folder, kib or machine_kib) as can:
            if kib and not can: continue
            found = call(rate, f, bs, *args, row, secs)
        yield dict(kind='exact', name=name, row=row, bs=bs, beside=n, read_ahead=kib or machine_kib, **found)

def measure(bench, limit, secs, machine_kib):
    ways = []
    with memory_limit(limit) as group, Again(limited, group, bench.folder) as call:
        disk = Disk(call, bench.folder, secs/2)
        for _,n in bench.turns('reading'):
            for row in [25_600,512] if bench.args.quick else row_shapes:
                ways += [dict(r, read_ahead=machine_kib) for r in measure_ours(call, disk, row, n, secs, group is not None)]
                ways += measure_others(call, bench, row, n, secs, machine_kib)
    return dict(disk=disk.found, ways=ways, limited=group is not None, fio=disk.engine)

# The report

def best(res, kind, row, beside):
    "MB/s of the disk in one kind of reads, and the way that was mostly the fastest"
    where = dict(kind=kind, row=row, beside=beside)
    return med(pick(res['disk'], 'mb', **where)), mode(pick(res['disk'], 'name', **where))

def summary(res):
    "Medians of each way, and of its share of what the disk did just before and after"
    out = []
    for (kind,row,name,bs,beside),rs in groups(res['ways'], 'kind', 'row', 'name', 'bs', 'beside').items():
        m = {k: med(pick(rs, k)) for k in ('used','read','cores','private')}
        near = [r['used']/r['disk'] for r in rs if 'used' in r and 'disk' in r]
        m['of_disk'] = med(near) if near else m['used']/best(res, kind, row, beside)[0]
        out.append(dict(kind=kind, row=row, name=name, bs=bs, beside=beside, read_ahead=rs[0]['read_ahead'], times=m['read']/m['used'], **m))
    return out

titles = {'exact': 'Exact shuffle', 'block': 'Shuffled blocks', 'in order': 'In order'}

def disk_rows(res, kind, row):
    "The ceiling, then the ways of reading that compete for it"
    besides = res['beside']
    mb = [best(res, kind, row, n)[0] for n in besides]
    yield [f'{row:,}', '*the disk*', '', '', *map(number, mb), *['1.00' for _ in besides], number(mb[0]*1e6/row), '', '']
    found = [r for r in res['disk'] if (r['kind'],r['row']) == (kind,row)]
    for name in sorted({k for r in found for k in r['each']}):
        each = [[r['each'][name] for r in found if r['beside'] == n and name in r['each']] for n in besides]
        share = [f'{med(v)/m:.2f}' if v else '' for v,m in zip(each, mb)]
        yield [f'{row:,}', f'*{name}*', '', '', *(number(med(v)) for v in each), *share, '', '', '']

def way_rows(out, besides, kind, row):
    rows = sorted([r for r in out if (r['kind'],r['row']) == (kind,row)], key=lambda r: ('tsdisk' not in r['name'], r['name'], r['bs']))
    for (name,bs),rs in groups(rows, 'name', 'bs').items():
        by,first = {r['beside']: r for r in rs},rs[0]
        mb = [number(by[n]['used']) or 'out of memory' for n in besides]
        shares = [f"{by[n]['of_disk']:.2f}" if by[n]['used'] == by[n]['used'] else '' for n in besides]
        last = [number(first['used']*1e6/row), number(first['times']), number(first['cores'], 2)]
        yield [f'{row:,}', ours_bold(name.split(', read-ahead')[0]), bs, first['read_ahead'] or '', *mb, *shares, *last]

def table(res, out, kind):
    besides = res['beside']
    head = ['bytes a row', 'loader', 'bs', 'read-ahead, KiB', *heads('MB/s', besides), *heads('of the disk', besides), 'samples/s', 'read / used', 'cores']
    sizes = [o for o in row_shapes if any(r['row'] == o for r in res['ways'])]
    return md_table([head, *(r for o in sizes for r in (*disk_rows(res, kind, o), *way_rows(out, besides, kind, o)))], 2)

def limit_words(res):
    "How much memory there was"
    if not res['limited']: return '**without a memory limit, which could not be set here: part of the file was in the page cache**'
    return f"in a memory control group of {res['options']['limit']/1e9:.1f} GB, which counts the page cache"

def report(res):
    out,o = summary(res),res['options']
    tables = '\n\n'.join(f'## {title}\n\n{table(res, out, kind)}' for kind,title in titles.items())
    fio = f"and fio with {res['fio']} (32 and 128 reads in flight for rows, 8 for blocks)" if res['fio'] else '(fio is not installed, or not permitted)'
    return f"""# A file larger than memory

{intro(res)}

{o['gb']:g} GB of float32 rows, {limit_words(res)}. Each way runs for {o['secs']:g} s, {o['rounds']} rounds, medians, from an empty page cache; all in the same process.
*The disk*, the ceiling: the best of threads with `os.preadv` {fio}, in every turn; the competitors stand below it.
They read rows of that size or blocks of 2 MiB at random places, or in order, from the same file within the same limit. *Of the disk*: tsdisk beside the ceiling just before and after, others beside its median.
*Read-ahead*: that of the kernel, which memory maps use; {default} KiB is the default of distributions, and {res['options']['read_ahead'] or 'an unknown number of'} KiB that of this machine.
*Read / used*: bytes from the disk (`/proc/self/io`) for one byte that arrives. *Cores* counts waiting threads of torch too. The last three columns are of the first number of busy processes.

{tables}
"""

readme_ways = {at_read_ahead('`memmap[idx]`', large): large, at_read_ahead('`memmap[idx]`', default): default, at_read_ahead('tsai, lazy', default): default,
    'tsdisk, `shuffle=True`': None, "tsdisk, `shuffle='block'`": None}

def largest_batches(out): return [max(rs, key=lambda r: r['bs']) for rs in groups(out, 'kind', 'row', 'name', 'beside').values()]

def found_at(out, name, kib):
    "What was measured at a read-ahead, which may be that of the machine"
    return [r for r in out if r['name'] == name or kib and (r['name'],r['read_ahead']) == (name.split(', read-ahead')[0],kib)]

def readme_md(res):
    "The table of the README: MB/s by the size of a row"
    out,sizes = largest_batches(summary(res)),[o for o in row_shapes if any(r['row'] == o for r in res['ways'])]
    besides = res['beside'][:2]
    columns = [(o,n) for o in sizes for n in besides]
    rows = [['MB/s from a file larger than memory', *(h for o in sizes for h in heads(f'{o:,} bytes a row', besides))]]
    for name,kib in readme_ways.items():
        mb = {(r['row'],r['beside']): r['used'] for r in found_at(out, name, kib)}
        rows.append([ours_bold(name), *(number(mb[c], 2) or 'out of memory' if c in mb else '' for c in columns)])
    rows.append(['the disk, random rows', *(number(best(res, 'exact', *c)[0]) for c in columns)])
    m,o = res['machine'],res['options']
    how = f"in {o['limit']/1e9:g} GB of memory" if res['limited'] else 'without a memory limit'
    return f"""{md_table(rows)}

{o['gb']:g} GB of float32, {how}, batches of 1024; read-ahead of this machine: {o['read_ahead']} KiB; {m['cpu']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}; {m['date']}.
"""

def plot(res, path):
    first = res['beside'][0]
    out,sizes = [r for r in largest_batches(summary(res)) if r['beside'] == first],[o for o in row_shapes if any(r['row'] == o for r in res['ways'])]
    names = sorted(dict.fromkeys(r['name'] for r in out), key=lambda o: 'tsdisk' in o)
    fig,axs = figure(1, len(sizes), (4*len(sizes),3.4), sharey=True)
    for ax,row in zip(axs.flat, sizes):
        mb = {r['name']: r['used'] for r in out if r['row'] == row}
        bars(ax, [o.replace('`','') for o in names], [mb.get(o, np.nan) for o in names], 'out of memory')
        ax.axvline(best(res, 'exact', row, first)[0], color='#555555', ls='--', lw=1)
        ax.set_title(f'{row:,} bytes a row', fontsize=9.5, loc='left')
        ax.set_xlabel('MB/s; dashed: the disk, random rows')
    fig.savefig(path, dpi=160)

def main():
    args = arguments('cold', __doc__, 'one round, two sizes of rows: about two minutes', (3,1), 6,
        gb=dict(type=float, default=6, help='size of the file (default: %(default)s)'),
        limit=dict(type=float, default=1.5, help='GB of memory that may be used, page cache included (default: %(default)s)'))
    with benchmark(args, need=args.gb*1.05e9) as bench:
        say('writing data')
        make_data(bench.folder, (int(args.gb*1e9)//25_600, *row_shapes[25_600]))
        options = dict(gb=args.gb, limit=args.limit*1e9, rounds=args.rounds, secs=1 if args.quick else 2, read_ahead=read_ahead_now(bench.folder))
        res = measure(bench, options['limit'], options['secs'], options['read_ahead'])
        bench.keep(options, report, readme_md, plot, **res)

if __name__ == '__main__': run(main)
