"Predictions of very many rows, on disk and in memory: see README.md"
import shutil
from functools import partial
from common import arguments, benchmark, groups, heads, in_order, intro, md_table, med, number, ours_bold, pick, run
from processes import Worker, timed

ours,theirs = 'tsdisk, `preds_to_disk`','fastai, `get_preds`'

def make(path, n):
    import numpy as np
    from tsdisk.disk.arrays import create_array
    with create_array(path, (n,1,4)) as w:
        for i in range(0, n, 2**20): w.append(np.random.default_rng(i).standard_normal((min(2**20, n-i),1,4), np.float32))
    return path

def learner(path, bs):
    "A function that predicts all rows with a linear model: their number, seconds and MB"
    import torch
    from fastai.basics import Learner, nn
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.train.predict import preds_to_disk
    torch.manual_seed(0)
    dls = TSDataLoaders.from_arrays(path, splits=[range(bs), []], bs=bs, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), loss_func=nn.MSELoss())
    def run(how, to):
        found = []
        def predict():
            dl = learn.dls.test_dl(path)
            found.append(len(preds_to_disk(learn, dl, to).preds if how == ours else learn.get_preds(dl=dl)[0]))
        took,private = timed(predict)
        shutil.rmtree(to, ignore_errors=True)
        return found[0], took, private
    return run

def measure(bench, n_rows, bs):
    path,res = make(bench.folder/'X.npy', n_rows),[]
    for _,n in bench.turns(f'{n_rows:,} rows'):
        for k in bench.one_by_one([ours,theirs]):
            w = Worker(partial(learner, str(path), bs)) # A fresh one, as memory that was used once stays with a process
            w.result()
            got,took,private = w(k, bench.folder/'preds')
            w.stop()
            if got != n_rows: raise RuntimeError(f"{k} gave {got} rows")
            res.append(dict(rows=n_rows, way=k, beside=n, took=took, private=private))
    path.unlink()
    return res

def table(res):
    besides,rows = res['beside'],[['rows', '', *heads('seconds', res['beside']), *heads('million rows/s', res['beside']), 'private MB, at most']]
    for (n_rows,k),rs in groups(in_order(res['preds'], (ours,theirs)), 'rows', 'way').items():
        took = [med(pick(rs, 'took', beside=n)) for n in besides]
        rows.append([f'{n_rows:,}', ours_bold(k), *(f'{o:.1f}' for o in took), *(number(n_rows/1e6/o) for o in took), f"{max(pick(rs, 'private')):.0f}"])
    return md_table(rows, 2)

def report(res):
    o = res['options']
    return f"""# Predictions of many rows

{intro(res)}

(n, 1, 4) float32 on disk, in the page cache; a linear model of two outputs; batches of {o['bs']:,}; each in a fresh process, in turn; medians of {o['rounds']} rounds. *Private*: memory of
the process beyond what it had, at most.

{table(res)}
"""

def main():
    args = arguments('predict', __doc__, 'a million rows, one round: half a minute', (3,1), 2)
    options = dict(rounds=args.rounds, bs=8192)
    with benchmark(args, need=2e9) as bench:
        preds = [r for n in ((10**6,) if args.quick else (5*10**6, 5*10**7)) for r in measure(bench, n, options['bs'])]
        bench.keep(options, report, preds=preds)

if __name__ == '__main__': run(main)
