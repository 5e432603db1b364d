"Statistics of a whole array, side by side: see README.md"
from functools import partial
import numpy as np
from common import arguments, benchmark, groups, heads, in_order, intro, md_table, med, number, ours_bold, pick, ratio, run, say, times
from processes import drop_cache, timed

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

def by_tsdisk(path, **kwargs):
    from tsdisk.folder.stats import array_stats
    return array_stats(path, **kwargs)

def opened(path): return np.load(path, mmap_mode='r')
def mean_std(path): return (x := opened(path)).mean(), x.std()
def mean_std_of_variables(path): return (x := opened(path)).mean((0,2)), x.std((0,2))
def all_of_variables(path):
    x,axes = opened(path),(0,2)
    return x.mean(axes), x.std(axes), x.min(axes), x.max(axes), np.isnan(x).sum(axes)

def torch_var_mean(path):
    import torch
    from tsdisk.disk.gather import tensor_view
    return torch.var_mean(tensor_view(opened(path)), dim=(0,2), correction=0)

ours = 'tsdisk, `array_stats`: count, NaNs, mean, std, min, max, quantiles of each variable'
ours_few = 'tsdisk, `array_stats(ranges=False)`: count, NaNs, mean, std of each variable'
ways = {ours: by_tsdisk, ours_few: partial(by_tsdisk, ranges=False), 'numpy, `X.mean()` and `X.std()`': mean_std,
    'numpy, mean and std of each variable': mean_std_of_variables, 'numpy, mean, std, min, max, NaNs of each variable': all_of_variables,
    'torch, `var_mean` of each variable': torch_var_mean, 'a plain sequential read': read_all}
warm,cold = [o for o in ways if ways[o] is not read_all],[ours,'a plain sequential read']

def check(path):
    "Both find the same"
    st = by_tsdisk(path)
    for a,b in zip((st.mean, st.std, st.min, st.max, st.nans), all_of_variables(path)): assert np.allclose(a, b, rtol=1e-3, atol=1e-3)

def measure(bench, path, names, from_disk):
    gb,res = path.stat().st_size/1e9,[]
    for o in names: ways[o](path) # Warms up
    for _,n in bench.turns('from an empty cache' if from_disk else 'in the page cache'):
        for o in bench.one_by_one(names):
            if from_disk: drop_cache(path)
            took,private = timed(partial(ways[o], path))
            res.append(dict(way=o, beside=n, rate=gb/took, private=private))
    return res

def table(res, besides, title):
    res = in_order(res, ways)
    rate = {k: pick(v, 'rate') for k,v in groups(res, 'way', 'beside').items()}
    names = [*groups(res, 'way')]
    mine = [o for o, in names if 'tsdisk' in o]
    rows = [[title, *heads('GB/s', besides), *(h for o in ('first','second')[:len(mine)] for h in heads(f'the {o} is', besides)), 'private MB']]
    for name, in names:
        faster = [times(ratio(rate[o,n], rate[name,n])) if name not in mine else '' for o in mine for n in besides]
        rows.append([ours_bold(name), *(number(med(rate[name,n])) for n in besides), *faster, f"{max(pick(res, 'private', way=name)):.0f}"])
    return md_table(rows)

def report(res):
    o = res['options']
    return f"""# Statistics of a whole array, side by side

{intro(res)}

float32, 12 variables, 1,000 steps. Ways take turns, medians of {o['rounds']} rounds, ratios within a round. *Private*: memory of the process beyond what it had, at most.

{table(res['warm'], res['beside'], f"{o['gb']:g} GB in the page cache")}

{table(res['cold'], res['beside'], f"{o['cold_gb']:g} GB from an empty page cache")}
"""

def main():
    args = arguments('stats', __doc__, 'two rounds of less data: a quarter of a minute', (7,2), 4)
    options = dict(rounds=args.rounds, gb=.5 if args.quick else 2, cold_gb=1 if args.quick else 4)
    res = {}
    with benchmark(args, need=options['cold_gb']*1.1e9) as bench:
        for kind,names,gb in (('warm',warm,options['gb']), ('cold',cold,options['cold_gb'])):
            say('writing data')
            path = make(bench.folder/'X.npy', gb)
            if kind == 'warm': check(path)
            res[kind] = measure(bench, path, names, kind == 'cold')
            path.unlink()
        bench.keep(options, report, **res)

if __name__ == '__main__': run(main)
