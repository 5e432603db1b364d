"Predictions of very many rows, on disk and in memory: see README.md"
import random, shutil, sys, time
from functools import partial
from common import Quiet, Worker, arguments, describe, keep, machine, md_table, med, peak_private, temp_folder
from loaders import say

ours,theirs = 'tsdisk, `preds_to_disk`','fastai, `get_preds`'

def make(path, n):
    import numpy as np
    from tsdisk.disk.arrays import create_array
    with create_array(path, (n,1,4)) as w:
        for i in range(0, n, 2**20): w.append(np.random.default_rng(i).standard_normal((min(2**20, n-i),1,4), np.float32))
    return path

def learner(path, bs):
    "A function that predicts all rows with a linear model; gives seconds and MB"
    import torch
    from fastai.basics import Learner, nn
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.train.predict import preds_to_disk
    torch.manual_seed(0)
    dls = TSDataLoaders.from_arrays(path, splits=[range(bs), []], bs=bs, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), loss_func=nn.MSELoss())
    def run(how, to):
        with peak_private() as peak:
            before,start = peak[0],time.time()
            dl = learn.dls.test_dl(path)
            res = preds_to_disk(learn, dl, to).preds if how == ours else learn.get_preds(dl=dl)[0]
            took = time.time()-start
        n = len(res)
        del res
        shutil.rmtree(to, ignore_errors=True)
        return n,took,peak[0]-before
    return run

def measure(folder, n, bs, rounds, quiet):
    path,res = make(folder/'X.npy', n),{k: dict(took=[], private=[]) for k in (ours,theirs)}
    for i in range(rounds):
        for k in random.sample([*res], 2):
            say(f"round {i+1} of {rounds}, {n:,} rows, {k}")
            w = Worker(partial(learner, str(path), bs)) # A fresh one, as memory that was used once stays with a process
            w.result()
            quiet.wait()
            got,took,private = w(k, folder/'preds')
            w.stop()
            if got != n: raise RuntimeError(f"{k} gave {got} rows")
            res[k]['took'].append(took)
            res[k]['private'].append(private)
    path.unlink()
    return res

def rows(all_res):
    head = [['rows','','seconds','rows a second','private MB, at most']]
    return head + [[f'{int(n):,}', f'**{k}**' if k == ours else k, f"{med(v['took']):.1f}", f"{int(n)/med(v['took'])/1e6:.2f} M", f"{max(v['private']):.0f}"]
        for n,res in all_res.items() for k,v in res.items()]

def report(res):
    o = res['options']
    return f"""# Predictions of many rows

{describe(res['machine'])}, other programs used {med(res['others']):.0%} of the processor (median)

(n, 1, 4) float32 on disk, in the page cache; a linear model of two outputs; batches of {o['bs']:,}; each in a fresh process, in turn; medians of {o['rounds']} rounds. *Private*: memory of
the process beyond what it had, at most.

{md_table(rows(res['rows']))}
"""

def main():
    args = arguments(__doc__, 'a million rows, one round: half a minute', (3,1), 2)
    opts,res = dict(rounds=args.rounds, bs=8192),dict(machine=machine())
    quiet = Quiet(20 if args.quick else 120)
    with temp_folder(args.tmp, need=2e9) as folder:
        res['rows'] = {n: measure(folder, n, opts['bs'], args.rounds, quiet) for n in ((10**6,) if args.quick else (5*10**6, 5*10**7))}
    res.update(options=opts, others=quiet.seen)
    say('')
    keep(args, 'predict', res, report(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
