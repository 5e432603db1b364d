"Training on a GPU: is the model ever waiting for data? See README.md"
import sys, time
from functools import partial
from itertools import islice
import numpy as np, torch
from torch import nn
from common import arguments, benchmark, busy_words, intro, make_data, md_table, med, open_data, ours_bold, pick, ratio, run, say
from loaders import Rows

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

def timed_steps(model, opt, feed, k, device):
    "Seconds of one of k steps"
    sync(device)
    start = time.perf_counter()
    steps(model, opt, feed, k)
    sync(device)
    return (time.perf_counter()-start)/k

def measure_steps(bench, bs, device, secs):
    "Seconds of a step of each way, in turns of about `secs` seconds"
    path,res = bench.folder,[]
    model = inception(open_data(path)[0].shape[1], 10).to(device)
    opt = torch.optim.Adam(model.parameters())
    feeds = {k: forever(f(path, bs, device)) for k,f in ways.items()}
    for _ in range(2): step = timed_steps(model, opt, feeds[ceiling], 5, device)
    k = max(5, int(secs/step))
    for o in feeds.values(): steps(model, opt, o, 3)
    for _,n in bench.turns(f'steps, bs {bs}'):
        res += [dict(bs=bs, way=name, beside=n, took=timed_steps(model, opt, feed, k, device)) for name,feed in feeds.items()]
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

def copy_jobs(path, bs, device):
    """Ways to move batches of X alone: a plain copy from page-locked memory, a gather into page-locked memory and nothing else, a loader and nothing else.
    With the loader, and the bytes of an epoch"""
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
    return dict(plain=plain, gather=gather, loader=loader), dl, n*bs*X[0].nbytes

def measure_copies(bench, bs, device, rounds):
    "GB/s of each, and of the loader's copies while they are under way"
    jobs,dl,nbytes = copy_jobs(bench.folder, bs, device)
    res = []
    def once(f):
        sync(device)
        start = time.perf_counter()
        f()
        sync(device)
        return nbytes/1e9/(time.perf_counter()-start)
    for f in jobs.values(): once(f) # Warms up
    for _,n in bench.turns(f'copies, bs {bs}', rounds):
        res.append(dict(bs=bs, mb=nbytes/1e6/len(dl), beside=n, **{k: once(f) for k,f in jobs.items()}, copying=copying(dl, device)))
    return res

# The report

def step_table(res, *columns):
    "A row for each loader, and for each of the columns one for each batch size: (its name, function of the times of the loader and of one batch)"
    configs = [(bs,n) for bs in res['options']['sizes'] for n in res['beside']]
    rows = [['loader', *(f'bs {bs}: {name}{busy_words(n)}' for name,_ in columns for bs,n in configs)]]
    took = {(k,bs,n): pick(res['steps'], 'took', way=k, bs=bs, beside=n) for k in ways for bs,n in configs}
    return md_table(rows + [[ours_bold(k), *(f(took[k,bs,n], took[ceiling,bs,n]) for _,f in columns for bs,n in configs)] for k in ways])

def ms(times, _): return f'{med(times)*1e3:.2f}'
def of_one(times, one): return f'{ratio(times, one):.2f}'

def copies_md(res):
    rows = [['batch', 'plain copy, GB/s', "the loader's copies, GB/s", 'of the plain copy', 'bare gather, GB/s', 'loader alone, GB/s', 'of plain copy or bare gather, whichever is slower']]
    for bs,n in [(bs,n) for bs in res['options']['sizes'] for n in res['beside']]:
        rs = [r for r in res['copies'] if (r['bs'],r['beside']) == (bs,n)]
        share = med([r['copying']/r['plain'] for r in rs]), med([r['loader']/min(r['plain'], r['gather']) for r in rs])
        rates = [f'{med(pick(rs, k)):.1f}' for k in ('plain','copying','gather','loader')]
        rows.append([f"{bs} rows, {rs[0]['mb']:.1f} MB{busy_words(n)}", *rates[:2], f'{share[0]:.2f}', *rates[2:], f'{share[1]:.2f}'])
    return md_table(rows)

def report(res):
    o = res['options']
    return f"""# Training on a GPU

{intro(res)}

{res['device']}.

X {' × '.join(map(str, o['shape']))} float32, int64 labels. InceptionTime, Adam; the time of a step with each loader, and its ratio to that of the same step with one batch that
is on the device already, medians of {o['rounds']} rounds, in turns. *From disk* reads past the page cache.

{step_table(res, ('ms a step', ms), ('of one batch', of_one))}

## Copies to the device

Batches of X alone, shuffled, files in the page cache. *Plain copy*: `copy_` of as many bytes from page-locked memory, the same again and again. *The loader's copies*: their rate while they
are under way, by PyTorch's profiler. *Bare gather*: `index_select` of the same rows into page-locked memory. *Loader alone*: an epoch in which nothing else is done, which is both.

{copies_md(res)}
"""

def readme_md(res):
    "The table of the README"
    o,m = res['options'],res['machine']
    took = pick(res['steps'], 'took', way=ceiling, bs=o['sizes'][0], beside=res['beside'][0])
    return f"""{step_table(res, ('time of a step', of_one))}

InceptionTime, X {' × '.join(map(str, o['shape']))} float32, labels; {res['device']}, {m['cores']} cores; torch {m['torch']}, tsai {m['tsai']}; {m['date']}. The step that is 1 takes {min(took)*1e3:.1f} to {max(took)*1e3:.1f} ms
at batches of {o['sizes'][0]}, from turn to turn: so much of the ratios there is chance.
"""

def main():
    sizes = dict(type=int, nargs='+', default=[64,256,1024], help='batch sizes (default: %(default)s)')
    where = dict(default='cuda', help="'cpu' only shows that this program runs")
    args = arguments('gpu', __doc__, 'fewer rounds, fewer rows', (25,3), 2, bs=sizes, device=where)
    if args.device == 'cuda' and not torch.cuda.is_available(): sys.exit('There is no GPU here, and this measures nothing else')
    device,secs,shape = torch.device(args.device),.2,(6_000 if args.quick else 80_000,12,500) # Short turns: a machine is faster now, slower then
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu'
    with benchmark(args, need=np.prod(shape)*4.2) as bench:
        say('writing data')
        make_data(bench.folder, shape)
        copies = [r for bs in args.bs for r in measure_copies(bench, bs, device, min(args.rounds, 5))]
        times = [r for bs in args.bs for r in measure_steps(bench, bs, device, secs)]
        bench.keep(dict(rounds=args.rounds, shape=shape, sizes=args.bs), report, readme_md, device=name, copies=copies, steps=times)

if __name__ == '__main__': run(main)
