"Training on a GPU: is the model ever waiting for data? See README.md"
import argparse, json, signal, sys, time
from functools import partial
from itertools import islice
from pathlib import Path
import numpy as np, torch
from torch import nn
from common import describe, machine, make_data, md_table, med, open_data, temp_folder
from loaders import Rows, say

# The ways to feed a model: functions of (folder, bs, device) that give an iterable of batches `(xb, yb)` on the device

def one_batch(path, bs, device):
    "The ceiling: a batch that is there already, again and again"
    X,y = open_data(path)
    return [(torch.from_numpy(X[:bs].copy()).to(device), torch.from_numpy(y[:bs].copy()).to(device))]*(len(X)//bs)

def tsdisk(path, bs, device, how):
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.data.reader import ReadOptions
    n = len(open_data(path)[0])
    direct = ReadOptions(direct=True)
    opts = dict(disk=dict(read=direct), blocks=dict(read=direct, shuffle='block')).get(how, {})
    dls = TSDataLoaders.from_arrays(path/'X.npy', path/'y.npy', splits=[range(n), range(0)], bs=bs, device=device, seed=0, **opts)
    return (dls.preload() if how == 'preload' else dls).train

class Moved:
    "torch's loader, with its pinned memory, then to the device"
    def __init__(self, path, bs, device, workers):
        from torch.utils.data import DataLoader
        self.device = device
        self.dl = DataLoader(Rows(path), bs, shuffle=True, drop_last=True, num_workers=workers, pin_memory=device.type == 'cuda', persistent_workers=workers > 0)
    def __iter__(self): return ([o.to(self.device, non_blocking=True) for o in b] for b in self.dl)

def tsai_lazy(path, bs, device):
    from tsai.data.core import get_ts_dls
    X,y = open_data(path)
    return get_ts_dls(X, y, splits=(list(range(len(X))), []), inplace=False, bs=bs, device=device, path=path).train

ways = {'one batch, repeated': one_batch, 'tsdisk, cached': partial(tsdisk, how='cached'), 'tsdisk, from disk': partial(tsdisk, how='disk'),
    'tsdisk, from disk in blocks': partial(tsdisk, how='blocks'), 'tsdisk, `preload()`': partial(tsdisk, how='preload'), 'torch, by item': partial(Moved, workers=0),
    'torch, by item, 8 workers': partial(Moved, workers=8), 'tsai, lazy': tsai_lazy}
ceiling = 'one batch, repeated'

# Steps of training

def inception(c_in, c_out):
    "InceptionTime (Fawaz et al. 2020), as tsai has it"
    from tsai.models.InceptionTime import InceptionTime
    return InceptionTime(c_in, c_out)

def sync(device):
    if device.type == 'cuda': torch.cuda.synchronize(device)

def steps(model, opt, batches, k):
    "Train on k batches"
    for xb,yb in islice(batches, k):
        xb = xb.as_subclass(torch.Tensor)
        loss = nn.functional.cross_entropy(model(xb), yb.as_subclass(torch.Tensor))
        loss.backward()
        opt.step()
        opt.zero_grad()

def forever(dl):
    while True: yield from dl

def step_times(path, bs, device, rounds, secs):
    "Seconds of a step of each way, round by round"
    model = inception(open_data(path)[0].shape[1], 10).to(device)
    opt = torch.optim.Adam(model.parameters())
    feeds,res = {k: forever(f(path, bs, device)) for k,f in ways.items()},{k: [] for k in ways}
    steps(model, opt, feeds[ceiling], 5)
    sync(device)
    start = time.perf_counter()
    steps(model, opt, feeds[ceiling], 5)
    sync(device)
    k = max(5, int(secs*5/(time.perf_counter()-start)))
    for o in feeds.values(): steps(model, opt, o, 3)
    for i in range(rounds):
        for name,feed in feeds.items():
            say(f'round {i+1} of {rounds}: {name}, bs {bs}')
            sync(device)
            start = time.perf_counter()
            steps(model, opt, feed, k)
            sync(device)
            res[name].append((time.perf_counter()-start)/k)
    for o in feeds.values(): o.close()
    return res

# Copies to the device

def copying(dl, device):
    "GB/s of the copies of an epoch, while they are under way, as the device's own clock has it"
    if device.type != 'cuda': return float('nan')
    from torch.profiler import ProfilerActivity, profile
    nbytes = 0
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for xb, in dl: nbytes += xb.nbytes
        sync(device)
    us = sum(o.self_device_time_total for o in seen.key_averages() if 'Memcpy HtoD' in o.key)
    return nbytes/1e3/us if us else float('nan')

def copies(path, bs, device, rounds):
    """GB/s of batches of X alone: of a plain copy from page-locked memory, of the loader's copies while they are under way, of a gather into page-locked memory
    and nothing else, and of a loader and nothing else"""
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.data.loaders import TSDataLoader
    X = open_data(path)[0]
    pinned,n = torch.empty(bs, *X.shape[1:], pin_memory=device.type == 'cuda'),len(X)//bs
    there,T,rows = torch.empty_like(pinned, device=device),torch.from_numpy(X),torch.randperm(len(X))
    dl = TSDataLoader(TSDatasets(X), bs=bs, shuffle=True, drop_last=True, device=device, seed=0)
    def plain():
        for _ in range(n): there.copy_(pinned, non_blocking=True)
    def gather():
        for i in range(n): torch.index_select(T, 0, rows[i*bs:(i+1)*bs], out=pinned)
    def loader():
        for _ in dl: pass
    ways,res = dict(plain=plain, gather=gather, loader=loader),dict(plain=[], copying=[], gather=[], loader=[])
    for _ in range(rounds+1):
        for k,f in ways.items():
            sync(device)
            start = time.perf_counter()
            f()
            sync(device)
            res[k].append(n*bs*X[0].nbytes/1e9/(time.perf_counter()-start))
        res['copying'].append(copying(dl, device))
    return {k: v[1:] for k,v in res.items()}

# The report

def step_table(res, *columns):
    "A row for each loader, and for each of the columns one for each batch size: (its name, function of the times of the loader and of one batch)"
    sizes,times = res['options']['sizes'],{(r['bs'],k): v for r in res['steps'] for k,v in r['times'].items()}
    rows = [['loader', *(f'bs {b}: {name}' for name,_ in columns for b in sizes)]]
    return md_table(rows + [[f'**{k}**' if 'tsdisk' in k else k, *(f(times[b,k], times[b,ceiling]) for _,f in columns for b in sizes)] for k in ways])

def ms(times, _): return f'{med(times)*1e3:.2f}'
def of_one(times, one): return f'{med([p/q for p,q in zip(times, one)]):.2f}'

def report(res):
    o = res['options']
    sent = [['batch', 'plain copy, GB/s', "the loader's copies, GB/s", 'of the plain copy', 'bare gather, GB/s', 'loader alone, GB/s', 'of plain copy or bare gather, whichever is slower']]
    for r in res['copies']:
        share = med([p/q for p,q in zip(r['copying'], r['plain'])]), med([p/min(q, g) for p,q,g in zip(r['loader'], r['plain'], r['gather'])])
        rates = [f'{med(r[k]):.1f}' for k in ('plain','copying','gather','loader')]
        sent.append([f"{r['bs']} rows, {r['mb']:.1f} MB", *rates[:2], f'{share[0]:.2f}', *rates[2:], f'{share[1]:.2f}'])
    return f"""# Training on a GPU

{describe(res['machine'])} · {res['device']}

X {' × '.join(map(str, o['shape']))} float32, int64 labels. InceptionTime, Adam; the time of a step with each loader, and its ratio to that of the same step with one batch that
is on the device already, medians of {o['rounds']} rounds, in turns. *From disk* reads past the page cache.

{step_table(res, ('ms a step', ms), ('of one batch', of_one))}

## Copies to the device

Batches of X alone, shuffled, files in the page cache. *Plain copy*: `copy_` of as many bytes from page-locked memory, the same again and again. *The loader's copies*: their rate while they
are under way, by PyTorch's profiler. *Bare gather*: `index_select` of the same rows into page-locked memory. *Loader alone*: an epoch in which nothing else is done, which is both.

{md_table(sent)}
"""

def readme_md(res):
    "The table of the README"
    o,m = res['options'],res['machine']
    times = [v for r in res['steps'] if r['bs'] == o['sizes'][0] for v in r['times'][ceiling]]
    return f"""{step_table(res, ('time of a step', of_one))}

InceptionTime, X {' × '.join(map(str, o['shape']))} float32, labels; {res['device']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}; {m['date']}. The step that is 1 takes {min(times)*1e3:.1f} to {max(times)*1e3:.1f} ms
at batches of {o['sizes'][0]}, from turn to turn: so much of the ratios there is chance.
"""

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--quick', action='store_true', help='fewer rounds, fewer rows')
    p.add_argument('--bs', type=int, nargs='+', default=[64,256,1024], help='batch sizes (default: %(default)s)')
    p.add_argument('--device', default='cuda', help="'cpu' only shows that this program runs")
    p.add_argument('--tmp', help='where to put the data for the time being')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the results')
    args = p.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.device == 'cuda' and not torch.cuda.is_available(): sys.exit('There is no GPU here, and this measures nothing else')
    device,(rounds,secs) = torch.device(args.device),(3,.2) if args.quick else (25,.2) # Short turns: a machine is faster now, slower then
    shape = (6_000 if args.quick else 80_000,12,500)
    with temp_folder(args.tmp, need=np.prod(shape)*4.2) as path:
        say('writing data')
        make_data(path, shape)
        name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu'
        res = dict(machine=machine(), device=name, options=dict(rounds=rounds, shape=shape, sizes=args.bs), steps=[], copies=[])
        for bs in args.bs:
            res['copies'].append(dict(bs=bs, mb=bs*np.prod(shape[1:])*4/1e6, **copies(path, bs, device, min(rounds, 5))))
            res['steps'].append(dict(bs=bs, times=step_times(path, bs, device, rounds, secs)))
    say('')
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out/'gpu.json').write_text(json.dumps(res, indent=1))
    (args.out/'gpu.md').write_text(report(res))
    (args.out/'gpu_readme.md').write_text(readme_md(res))
    print(report(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
