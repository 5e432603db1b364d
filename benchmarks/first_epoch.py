"The first epoch of a file that fits in memory and is not cached yet: see README.md"
import time
from functools import partial
import numpy as np
from ceilings import fio, fio_engine, rate, sequential
from common import arguments, benchmark, groups, heads, in_order, intro, make_data, md_table, med, number, ours_bold, pick, row_shapes, run
from processes import Worker, drop_cache, private_mb, read_ahead

kib = 128 # Read-ahead: the choice of most distributions

def rows_of(path, row):
    "The file as rows of some bytes, mapped"
    return np.load(path/'X.npy', mmap_mode='r').reshape(-1, *row_shapes[row])

def tsdisk(path, row, bs, shuffle):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    X = rows_of(path, row)
    return TSDataLoader(TSDatasets(X, splits=[range(len(X))]).train, bs=bs, shuffle=shuffle)

class Memmap:
    "Batches of `memmap[idx]`, in another order each epoch"
    def __init__(self, path, row, bs): self.X,self.bs = rows_of(path, row),bs
    def __iter__(self):
        order = np.random.default_rng().permutation(len(self.X))
        for i in order[:len(order)//self.bs*self.bs].reshape(-1, self.bs): yield self.X[i]

ways = {'tsdisk, `shuffle=True`': (tsdisk, True), "tsdisk, `shuffle='block'`": (tsdisk, 'block'), 'tsdisk, `shuffle=False`': (tsdisk, False), '`memmap[idx]`': (Memmap,)}

def epochs(path, row, bs, make, *args):
    "A function that gives the seconds of two epochs, and how much private memory grew"
    dl = make(path, row, bs, *args)
    def run():
        before,times = private_mb(),[time.perf_counter()]
        for _ in range(2):
            for _ in dl: pass
            times.append(time.perf_counter())
        return *np.diff(times).tolist(), private_mb()-before
    return run

def disk(path, engine, secs):
    "MB/s of the disk from start to end: by one thread, or by fio where that is faster"
    found = [rate(path, sequential, 0, 2**21, secs)]
    if engine: found.append(fio(path, engine, 'read', 8, 2**21, secs))
    return max(min(r['used'], r['read']) for r in found if r)

def measure(bench, bs, secs):
    found,engine,path = dict(disk=[], ways=[]),fio_engine(bench.folder),bench.folder
    mb = (path/'X.npy').stat().st_size/1e6
    for _,n in bench.turns('first epochs'):
        found['disk'].append(dict(beside=n, mb=disk(path, engine, secs)))
        for row,k in bench.one_by_one([(row, k) for row in row_shapes for k in ways]):
            w = Worker(partial(epochs, path, row, bs, *ways[k])) # A fresh one: pages that a process maps stay in the cache
            w.result()
            drop_cache(path/'X.npy')
            first,second,grown = w()
            w.stop()
            found['ways'].append(dict(way=k, row=row, beside=n, first=mb/first, second=mb/second, private=grown))
    return found

def table(res):
    besides = res['beside']
    rows = [['bytes a row', '', *heads('first epoch, MB/s', besides), *heads('of the disk', besides), *heads('second epoch', besides), 'private MB, at most']]
    disk = {n: med(pick(res['disk'], 'mb', beside=n)) for n in besides}
    rows.append(['', '*the disk, in order*', *(number(disk[n]) for n in besides), *('1.00' for _ in besides), *('' for _ in besides), ''])
    for (row,k),rs in groups(in_order(res['ways'], ways, 'row'), 'row', 'way').items():
        first,second = ([med(pick(rs, o, beside=n)) for n in besides] for o in ('first','second'))
        shares = [f'{v/disk[n]:.2f}' for n,v in zip(besides, first)]
        rows.append([f'{row:,}', ours_bold(k), *map(number, first), *shares, *map(number, second), f"{max(pick(rs, 'private')):.0f}"])
    return md_table(rows, 2)

def report(res):
    o = res['options']
    where = f"a read-ahead of {kib} KiB, the default of distributions" if o['set'] else 'the read-ahead of this machine, which could not be set'
    return f"""# The first epoch

{intro(res)}

{o['gb']:g} GB of float32 rows, which fit in memory and are not in the page cache when the first epoch starts; batches of {o['bs']}; each in a fresh process; medians of {o['rounds']} rounds;
with {where}. *The disk*: the best of one thread and fio, from start to end. In a second epoch everything is cached.

{table(res)}
"""

def main():
    args = arguments('first_epoch', __doc__, 'one round of half a GB: a minute', (3,1), 3)
    gb = .5 if args.quick else 2
    with benchmark(args, need=gb*1.1e9) as bench, read_ahead(bench.folder, kib) as can:
        make_data(bench.folder, (int(gb*1e9)//384_000*15, *row_shapes[25_600])) # A multiple of all sizes of rows
        options = dict(rounds=args.rounds, gb=gb, bs=256, set=can)
        bench.keep(options, report, **measure(bench, options['bs'], .5 if args.quick else 2))

if __name__ == '__main__': run(main)
