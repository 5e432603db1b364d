"What all threads and one thread make of the same work, alone and beside busy processes: see README.md"
import shutil
from functools import partial
import numpy as np
from common import arguments, benchmark, chosen, groups, heads, intro, make_data, md_table, med, number, only, pick, ratio, row_shapes, run, say
from processes import keep_memory, seconds, workers

n_files = 4000

# Kinds of work: functions of (folder, seconds, threads, ...) that give what they do in a second

def per_second(amount, f, secs):
    "What a function does in a second if it does `amount` in a call; it is called for `secs` seconds, or once"
    return amount/seconds(f, secs)

def batches(path, secs, threads, name, row, bs, **kwargs):
    "MB of float32, in whole epochs"
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    X = np.load(path/name, mmap_mode='r').reshape(-1, *row_shapes[row])
    dl = TSDataLoader(TSDatasets(X, splits=[range(len(X))]).train, bs=bs, **kwargs)
    def epoch():
        for _ in dl: pass
    return per_second(dl.n//bs*bs*row/1e6, epoch, secs)

def past_the_cache(*args, **kwargs):
    from tsdisk.data.reader import ReadOptions
    return batches(*args, read=ReadOptions(direct=True), **kwargs)

def statistics(path, secs, threads, **kwargs):
    "MB of an array"
    from tsdisk.folder.stats import array_stats
    return per_second((path/'X.npy').stat().st_size/1e6, partial(array_stats, path/'X.npy', **kwargs), secs)

def predictions(path, secs, threads):
    "Thousands of rows, of a model that torch runs on one thread: others, even a small `Linear` on some processors, share it among threads that wait for each other"
    from fastai.basics import Learner, Lambda, nn
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.train.predict import preds_to_disk
    X = np.load(path/'X.npy', mmap_mode='r').reshape(-1, *row_shapes[6_000])
    dls = TSDataLoaders.from_arrays(X, splits=[range(64), []], device='cpu')
    learn = Learner(dls, nn.Sequential(Lambda(lambda x: x[:,0,:2]), nn.PReLU()), loss_func=nn.MSELoss())
    def predict():
        preds_to_disk(learn, learn.dls.test_dl(X, bs=1024), path/f'preds{threads}')
        shutil.rmtree(path/f'preds{threads}')
    return per_second(len(X)/1e3, predict, secs)

def conversion(path, secs, threads):
    "Files; one thread is that of the process itself, all are the default, a worker process for each processor"
    from tsdisk.convert.convert import convert
    def make():
        convert(path/'files', path/f'out{threads}', n_workers=0 if threads == 1 else None)
        shutil.rmtree(path/f'out{threads}')
    return per_second(n_files, make, secs)

def per_row(row, f, **kwargs): return {f'{row:,} bytes, bs {bs}': partial(f, row=row, bs=bs, **kwargs) for bs in (64,1024)}
def per_rows(f, **kwargs): return {k: v for row in row_shapes for k,v in per_row(row, f, **kwargs).items()}
def named(title, jobs): return {f'{title}, {k}': v for k,v in jobs.items()}

jobs = named('shuffled, cached', per_rows(batches, name='X.npy', shuffle=True))
jobs |= named('shuffled in blocks, from disk', per_rows(past_the_cache, name='X.npy', shuffle='block'))
jobs |= named('int16 as float32, cached', per_row(6_000, batches, name='short.npy', shuffle=True))
jobs |= {'`array_stats`': statistics, '`array_stats(ranges=False)`': partial(statistics, ranges=False)}
jobs |= {'`preds_to_disk`, 6,000 bytes a row': predictions, f'`convert` of {n_files:,} files': conversion}

def units(job): return 'thousand rows/s' if 'preds' in job else 'files/s' if 'convert' in job else 'MB/s'

# Measuring

def write(path, gb):
    make_data(path, (int(gb*1e9)//384_000*15, *row_shapes[25_600])) # A multiple of all sizes of rows
    np.save(path/'short.npy', np.random.default_rng(0).integers(-999, 999, (int(gb*1e9)//6_000, *row_shapes[6_000]), np.int16))
    (path/'files').mkdir()
    for i in range(n_files): np.save(path/f'files/{i:05d}.npy', np.full((12,500), i, np.float32))

def worker(path, threads):
    "A function that does a kind of work with that many threads, or as many as torch chooses"
    import torch
    if threads: torch.set_num_threads(threads)
    keep_memory()
    return lambda job, secs: jobs[job](path, secs, threads)

ways = {'all threads, the default': None, 'one thread': 1}

def measure(bench, secs, names):
    res = []
    with workers(**{k: (worker, bench.folder, n) for k,n in ways.items()}) as ws:
        for _,n in bench.turns('all kinds of work'):
            for job in names:
                for w in ws.values(): w(job, 0) # Warms up: after other work, the first to read from disk would be slower, whichever it is
                for k in bench.one_by_one(ways): res.append(dict(job=job, way=k, beside=n, rate=ws[k](job, secs)))
    return res

def table(res):
    besides,rows = res['beside'],[['', 'in', *heads('all threads', res['beside']), *heads('one thread', res['beside']), *heads('all of one', res['beside'])]]
    for (job,),rs in groups(res['rates'], 'job').items():
        rate = {k: [pick(rs, 'rate', way=k, beside=n) for n in besides] for k in ways}
        rows.append([job, units(job), *(number(med(o)) for k in ways for o in rate[k]), *(f'{ratio(a, b):.2f}' for a,b in zip(*rate.values()))])
    return md_table(rows, 2)

def report(res):
    o = res['options']
    return f"""# All threads and one

{intro(res)}

{o['gb']:g} GB of float32 rows, batches on the CPU, no model but a layer of one weight, for predictions. The two ways take turns, {o['secs']:g} s each, in a process each;
medians of {o['rounds']} rounds, ratios within a round. *One thread*: after `torch.set_num_threads(1)`; for `convert`, without worker processes.

{table(res)}
"""

def main():
    args = arguments('threads', __doc__, 'two rounds of less data: a minute', (5,2), 2, only=only)
    names = chosen(jobs, args)
    options = dict(rounds=args.rounds, gb=.5 if args.quick else 1, secs=.3 if args.quick else 1)
    with benchmark(args, need=options['gb']*2e9) as bench:
        say('writing data')
        write(bench.folder, options['gb'])
        bench.keep(options, report, rates=measure(bench, options['secs'], names))

if __name__ == '__main__': run(main)
