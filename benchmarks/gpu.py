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
    from tsdisk.loaders import TSDataLoaders
    n = len(open_data(path)[0])
    opts = dict(disk=dict(direct=True), blocks=dict(direct=True, shuffle='block')).get(how, {})
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

class Marks:
    "Notes when the device starts and ends copying, for all loaders made while it is in use"
    def __init__(self, device): self.device,self.seen,self.nbytes = device,[],0
    def __enter__(self):
        from tsdisk import loaders
        self.module,self.before,marks = loaders,loaders.ToDevice,self
        class Marked(loaders.ToDevice):
            def send(self, host):
                if self.stream is None: return super().send(host)
                start,end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record(self.stream)
                res = super().send(host)
                end.record(self.stream)
                marks.seen.append((start,end))
                marks.nbytes += sum(o.nbytes for b in host for o in b)
                return res
        loaders.ToDevice = Marked
        return self
    def __exit__(self, *_): self.module.ToDevice = self.before
    def rate(self):
        "GB/s while copies are under way; forgets them"
        sync(self.device)
        res = self.nbytes/1e6/sum(a.elapsed_time(b) for a,b in self.seen) if self.seen else float('nan')
        self.seen,self.nbytes = [],0
        return res

def copies(path, bs, device, rounds):
    "GB/s of batches of X alone: by a plain copy from page-locked memory, of the loader's copies while they are under way, and of a loader and nothing else"
    from tsdisk.datasets import TSDatasets
    from tsdisk.loaders import TSDataLoader
    X = open_data(path)[0]
    pinned,n = torch.empty(bs, *X.shape[1:], pin_memory=device.type == 'cuda'),len(X)//bs
    there,res = torch.empty_like(pinned, device=device),dict(plain=[], copying=[], loader=[])
    def timed(f):
        sync(device)
        start = time.perf_counter()
        f()
        sync(device)
        return n*bs*X[0].nbytes/1e9/(time.perf_counter()-start)
    def plain():
        for _ in range(n): there.copy_(pinned, non_blocking=True)
    with Marks(device) as marks:
        dl = TSDataLoader(TSDatasets(X), bs=bs, shuffle=True, drop_last=True, device=device, seed=0)
        def loader():
            for _ in dl: pass
        for _ in range(rounds+1):
            for k,f in (('plain',plain), ('loader',loader)): res[k].append(timed(f))
            res['copying'].append(marks.rate())
    return {k: v[1:] for k,v in res.items()}

# The report

def report(res):
    o,sizes = res['options'],res['options']['sizes']
    rows = [['loader', *(f'bs {b}: ms a step' for b in sizes), *(f'bs {b}: of one batch' for b in sizes)]]
    times = {(r['bs'],k): v for r in res['steps'] for k,v in r['times'].items()}
    ratio = lambda b,k: med([p/q for p,q in zip(times[b,k], times[b,ceiling])])
    for k in ways: rows.append([f'**{k}**' if 'tsdisk' in k else k, *(f'{med(times[b,k])*1e3:.2f}' for b in sizes), *(f'{ratio(b, k):.2f}' for b in sizes)])
    sent = [['batch', 'plain copy, GB/s', "the loader's copies, GB/s", 'of the plain copy', 'loader alone, GB/s', 'of the plain copy']]
    for r in res['copies']:
        cells = [c for k in ('copying','loader') for c in (f"{med(r[k]):.1f}", f"{med([p/q for p,q in zip(r[k], r['plain'])]):.2f}")]
        sent.append([f"{r['bs']} rows, {r['mb']:.1f} MB", f"{med(r['plain']):.1f}", *cells])
    return f"""# Training on a GPU

{describe(res['machine'])} · {res['device']}

X {' × '.join(map(str, o['shape']))} float32, int64 labels. InceptionTime, Adam; the time of a step with each loader, and its ratio to that of the same step with one batch that
is on the device already, medians of {o['rounds']} rounds, in turns. *From disk* reads past the page cache.

{md_table(rows)}

## Copies to the device

Batches of X alone, shuffled, files in the page cache, beside `copy_` of as many bytes from page-locked memory, the same again and again. *The loader's copies*: their rate while
they are under way, by events on their stream. *Loader alone*: an epoch in which nothing else is done, rows gathered from the page cache included.

{md_table(sent)}
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
    device,(rounds,secs) = torch.device(args.device),(2,.3) if args.quick else (5,1)
    shape = (6_000 if args.quick else 80_000,12,500)
    with temp_folder(args.tmp, need=np.prod(shape)*4.2) as path:
        say('writing data')
        make_data(path, shape)
        name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu'
        res = dict(machine=machine(), device=name, options=dict(rounds=rounds, shape=shape, sizes=args.bs), steps=[], copies=[])
        for bs in args.bs:
            res['copies'].append(dict(bs=bs, mb=bs*np.prod(shape[1:])*4/1e6, **copies(path, bs, device, rounds)))
            res['steps'].append(dict(bs=bs, times=step_times(path, bs, device, rounds, secs)))
    say('')
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out/'gpu.json').write_text(json.dumps(res, indent=1))
    (args.out/'gpu.md').write_text(report(res))
    print(report(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
