"Statistics of a whole array, side by side: see README.md"
import random, sys
from functools import partial
import numpy as np
from common import arguments, describe, drop_cache, keep, machine, md_table, med, peak_private, Quiet, seconds, temp_folder
from loaders import say

def make(path, gb, shape=(12,1000)):
    from tsdisk.disk.arrays import create_array
    block = np.random.default_rng(0).standard_normal((1000, *shape), np.float32)
    n = int(gb*1e9/block.nbytes)
    with create_array(path, (n*len(block), *shape)) as w:
        for _ in range(n): w.append(block)
    return path

def read_all(path, size=2**24):
    "A plain sequential read"
    buf = memoryview(bytearray(size))
    with open(path, 'rb', buffering=0) as f:
        while f.readinto(buf): pass

def by_tsdisk(path):
    from tsdisk.folder.stats import array_stats
    return array_stats(path)

def mean_and_std_by_tsdisk(path):
    from tsdisk.folder.stats import array_stats
    return array_stats(path, ranges=False)

def opened(path): return np.load(path, mmap_mode='r')
def mean_std(path): return (x := opened(path)).mean(), x.std()
def mean_std_of_variables(path): return (x := opened(path)).mean((0,2)), x.std((0,2))
def torch_var_mean(path):
    import torch
    from tsdisk.disk.gather import tensor_view
    return torch.var_mean(tensor_view(opened(path)), dim=(0,2), correction=0)

ours = 'tsdisk, `array_stats`: count, NaNs, mean, std, min, max, quantiles of each variable'
ours_few = 'tsdisk, `array_stats(ranges=False)`: count, NaNs, mean, std of each variable'
warm = {ours: by_tsdisk, ours_few: mean_and_std_by_tsdisk, 'numpy, `X.mean()` and `X.std()`': mean_std, 'numpy, mean and std of each variable': mean_std_of_variables, 'torch, `var_mean` of each variable': torch_var_mean}
cold = {ours: by_tsdisk, 'a plain sequential read': read_all}

def measure(path, ways, rounds, quiet, cold):
    gb,res = path.stat().st_size/1e9,{k: dict(rates=[], private=[]) for k in ways}
    for i in range(rounds+1): # The first warms up
        say(f"round {i} of {rounds}, {'from an empty cache' if cold else 'in the page cache'}")
        for k in random.sample([*ways], len(ways)):
            quiet.wait()
            if cold: drop_cache(path)
            with peak_private() as peak:
                before = peak[0]
                took = seconds(partial(ways[k], path))
            if i: res[k]['rates'].append(gb/took)
            if i: res[k]['private'].append(peak[0]-before)
    return res

def rows(res, title):
    mine = [o for o in (ours, ours_few) if o in res]
    head = [[title, 'GB/s', *(f'the {o} is' for o in ('first','second')[:len(mine)]), 'private MB']]
    times = lambda k,v: [f"{med([a/b for a,b in zip(res[o]['rates'], v['rates'])]):.2f} ×" if k not in mine else '' for o in mine]
    return head + [[f'**{k}**' if k in mine else k, f"{med(v['rates']):.2f}", *times(k, v), f"{max(v['private']):.0f}"] for k,v in res.items()]

def report(res):
    o = res['options']
    return f"""# Statistics of a whole array, side by side

{describe(res['machine'])}, other programs used {med(res['others']):.0%} of the processor (median)

float32, 12 variables, 1,000 steps. Ways take turns, medians of {o['rounds']} rounds, ratios within a round. *Private*: memory of the process beyond what it had, at most.

{md_table(rows(res['warm'], f"{o['gb']:g} GB in the page cache"))}

{md_table(rows(res['cold'], f"{o['cold_gb']:g} GB from an empty page cache"))}
"""

def main():
    args = arguments(__doc__, 'two rounds of less data: a quarter of a minute', (7,2), 4)
    rounds = args.rounds
    opts = dict(rounds=rounds, gb=.5 if args.quick else 2, cold_gb=1 if args.quick else 4)
    res,quiet = dict(machine=machine(), options=opts),Quiet(20 if args.quick else 180)
    with temp_folder(args.tmp, need=opts['cold_gb']*1.1e9) as folder:
        for kind,ways,gb in (('warm', warm, opts['gb']), ('cold', cold, opts['cold_gb'])):
            path = make(folder/'X.npy', gb)
            res[kind] = measure(path, ways, rounds, quiet, kind == 'cold')
            path.unlink()
    res['others'] = quiet.seen
    say('')
    keep(args, 'stats', res, report(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
