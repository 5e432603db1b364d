"""Trains and predicts in one process, or in several that `torchrun` starts; what the first rank reports is compared by `test_distributed`

    torchrun --nproc-per-node 2 tests/ranks.py FOLDER
"""
import json, os, signal, sys, warnings
from pathlib import Path
import numpy as np
from fastai.callback.core import Callback
from fastai.callback.training import GradientAccumulation
from fastai.distributed import * # Adds `distrib_ctx`
from fastai.metrics import F1Score, Precision, R2Score, accuracy, mae, rmse
from tsdisk.all import *
from tsdisk.train.writer import open_run
from tsdisk.data.ranks import from_all_ranks
from tsdisk.order.ranks import launched, process_group

warnings.filterwarnings('ignore')
n,n_valid = 203,53
splits = range(n-n_valid), range(n-n_valid, n)

def arrays():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n,2,12)).astype('f4')
    return X, (X[:,0].mean(1) > 0) + (X[:,1].mean(1) > .3).astype(int)

def everywhere(o): return from_all_ranks(o) if process_group() else [o]

class Rows(Callback):
    "The rows of each step, of all ranks; repeated ones are left out"
    def __init__(self): self.steps = dict(train=[], valid=[])
    def before_batch(self):
        dl = self.learn.dl
        counts = dl.steps.rank_sizes(dl.at[1]-1)[dl.rank]
        parts = everywhere(dl.input_idxs[:counts].tolist())
        rows = [i for part in parts for i in part]
        self.steps['train' if self.training else 'valid'].append(sorted(rows) if dl.shuffle == 'block' else rows) # Ranks take lanes

def weights_of(model): return np.concatenate([p.detach().double().flatten().numpy() for p in model.parameters()])

def model(n_in=24, n_out=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(n_in, 16), nn.ReLU(), nn.Linear(16, n_out))

def learner(dls, metrics=accuracy, n_out=3, n_in=24, **kwargs):
    return Learner(dls, model(n_in, n_out), metrics=metrics, lr=.05, opt_func=SGD, **kwargs)

def fitted(learn, epochs=2, cbs=()):
    "What training gave: rows, losses, metrics, weights"
    rows = Rows()
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, cbs=[*L(cbs), DistributedTraining(), rows])
    return reported(learn, rows)

def reported(learn, rows):
    res = {f'{k}_rows': np.array([i for o in v for i in o]) for k,v in rows.steps.items()}
    res |= {f'{k}_steps': np.array([len(o) for o in v]) for k,v in rows.steps.items()}
    return res | dict(values=np.array(learn.recorder.values, float), losses=np.array(learn.recorder.losses, float), weights=weights_of(learn.model))

def loaders(X, y, **kwargs): return TSDataLoaders.from_arrays(X, y, device='cpu', **{**dict(splits=splits, global_bs=24, seed=1), **kwargs})

# What is done in one process, and in several

def train(**kwargs):
    def run(folder): return fitted(learner(loaders(*arrays(), **kwargs), [accuracy, F1Score(average='macro'), Precision(average='macro')]))
    return run

def regression(folder):
    X,y = arrays()
    return fitted(learner(loaders(X, X[:,0].mean(1)), [rmse, mae, R2Score()], n_out=1))

def missing_targets(folder):
    "Dense targets of which some are missing, and one part of a step has none"
    X,_ = arrays()
    y = X.mean(1)
    y[::3] = np.nan
    y[5,:7] = np.nan
    return fitted(learner(loaders(X, y, shuffle=False), rmse, n_out=12))

def unlabelled(folder):
    X,y = arrays()
    y = np.where(np.arange(n)%4 < 2, y, -100)
    return fitted(learner(loaders(X, y), [accuracy, F1Score(average='macro')]))

def few_labels(folder):
    "Most steps have no label at all"
    X,y = arrays()
    return fitted(learner(loaders(X, np.where(np.arange(n) < 10, y, -100))))

def class_weights_in_the_loss(folder):
    dls = loaders(*arrays())
    return fitted(learner(dls, loss_func=CrossEntropyLossFlat(weight=tensor([1.,2.,5.]))))

def windows(folder):
    X = np.random.default_rng(2).normal(size=(6,2,200)).astype('f4')
    w = Windows(X, 12, 3, horizon=2)
    return fitted(learner(TSDataLoaders.from_arrays(w, global_bs=24, seed=1, device='cpu'), mae, n_out=4))

class OfInputs(nn.Module):
    "A model of what a function makes of the inputs"
    def __init__(self, f, n_in):
        super().__init__()
        self.f = f
        self.body = model(n_in)
    def forward(self, *xs): return self.body(self.f(*xs))

def sums(x, mask): return x.sum(-1) # Padded steps are 0
def joined(a, b): return torch.cat([a.flatten(1), b.float()], 1)

def ragged(folder):
    rng = np.random.default_rng(3)
    lengths = rng.integers(3, 30, n)
    values = rng.normal(size=(lengths.sum(),2)).astype('f4')
    dls = loaders(Ragged(values, np.append(0, np.cumsum(lengths))), arrays()[1])
    return fitted(Learner(dls, OfInputs(sums, 2), metrics=accuracy, lr=.05, opt_func=SGD))

def two_inputs(folder):
    X,y = arrays()
    return fitted(Learner(loaders((X, X[:,:,0].copy()), y), OfInputs(joined, 26), metrics=accuracy, lr=.05, opt_func=SGD))

class Models(Callback):
    "Is the model wrapped for training in parallel?"
    in_parallel = False
    def before_batch(self): self.in_parallel |= isinstance(self.model, nn.parallel.DistributedDataParallel)

def predictions(folder):
    X,y = arrays()
    dls = loaders(X, y)
    learn = learner(dls, [accuracy, F1Score(average='macro')])
    fitted(learn, 1)
    with learn.no_bar(), learn.no_logging():
        inputs,preds,targs,decoded,losses = learn.get_preds(with_input=True, with_decoded=True, with_loss=True)
        test_preds,_ = learn.get_preds(dl=dls.test_dl(X[:31]))
        values = learn.validate()
        learn.validate(dl=dls.valid)
        models = Models()
        learn.add_cbs([DistributedTraining(), models])
        out = preds_to_disk(learn, dls.valid, folder/'preds', targs=True)
        if process_group(): process_group().barrier()
        out = open_run(folder/'preds')
    return dict(inputs=inputs, preds=preds, targs=targs, decoded=decoded, losses=losses, test_preds=test_preds, values=np.array(values, float),
        written=np.array(out.preds), written_targs=np.array(out.targs), in_parallel=np.array(models.in_parallel))

def accumulated(folder):
    "Steps of the optimizer after 40 rows or more, of all ranks together"
    return fitted(learner(loaders(*arrays(), global_bs=15)), cbs=GradientAccumulation(40))

def of_unequal_lengths(folder):
    "Inputs of a step are padded as those of one process are"
    lengths = np.random.default_rng(3).integers(3, 30, n)
    values = np.random.default_rng(4).normal(size=(lengths.sum(),2)).astype('f4')
    learn = Learner(loaders(Ragged(values, np.append(0, np.cumsum(lengths))), arrays()[1], val_bs=60), OfInputs(sums, 2), metrics=accuracy)
    fitted(learn, 1)
    with learn.no_bar(): (x,mask),*_ = learn.get_preds(with_input=True)
    return dict(sums=x.sum(-1), steps=mask.sum(-1))

def steps(cat):
    "Targets of each step, of which each rank has other longest series"
    def run(folder):
        rng = np.random.default_rng(3)
        lengths = rng.integers(3, 30, n)
        lengths[-1] = 60
        offsets = np.append(0, np.cumsum(lengths))
        values = rng.normal(size=(offsets[-1],2)).astype('f4')
        y = (values[:,0] > 0)+1 if cat else 1+values[:,0]
        dls = loaders(Ragged(values, offsets), Ragged(y, offsets), cat=cat, val_bs=60)
        torch.manual_seed(0)
        model = OfInputs(lambda x, mask: x.as_subclass(torch.Tensor), 2)
        model.body = nn.Conv1d(2, 2 if cat else 1, 1)
        def of_steps(p, t): return accuracy(p, t, axis=1)
        learn = Learner(dls, model, metrics=of_steps if cat else rmse, lr=.05, opt_func=SGD)
        res = fitted(learn, 1)
        with learn.no_bar(): targs = learn.get_preds()[1]
        return res | dict(targs=targs)
    return run

def regression_in_units(folder):
    X,_ = arrays()
    dls = loaders(X, 5+3*X[:,0].mean(1), batch_tfms=[Standardize(), StandardizeTarget()])
    learn = learner(dls, n_out=1, metrics=mae)
    res = fitted(learn, 1)
    with learn.no_bar(): res['decoded'] = learn.get_preds(with_decoded=True)[2]
    return res

def shown(folder):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    learn = learner(loaders(*arrays(), val_bs=32))
    fitted(learn, 1)
    with learn.no_bar(): learn.show_results(shuffle=False, max_n=4)
    return dict(titles=np.array([ax.get_title() for ax in plt.gcf().axes]))

def accelerated(folder):
    "fastai's way, by Accelerate; one process alone trains without"
    learn = learner(loaders(*arrays()), [accuracy, F1Score(average='macro')])
    rows = Rows()
    with learn.distrib_ctx(cpu=True, sync_bn=False), learn.no_bar(), learn.no_logging(): learn.fit(2, cbs=rows)
    return reported(learn, rows)

def prepared(folder):
    "The loader of Accelerate is the loader itself: it has this rank's rows"
    from accelerate import Accelerator
    dl = loaders(*arrays(), drop_last=False).train
    dl = Accelerator(cpu=True).prepare(dl)
    rows = [(dl.at[1], *dl.input_idxs.tolist()) for _ in dl]
    ranks = everywhere(rows)
    return dict(rows=np.array([i for step in zip(*ranks) for part in step for i in part[1:]]))

def prepared_batches(folder):
    "Batches for PyTorch's loader are shared once: by themselves, or by Accelerate"
    from accelerate import Accelerator
    from torch.utils.data import DataLoader
    X = np.arange(180, dtype='f4')[:,None,None] # 36 batches: Accelerate repeats rows where ranks would have unequally many
    rows,acc = TSDatasets(X, np.arange(180.)).torch(), Accelerator(cpu=True)
    def loader(**kwargs): return DataLoader(rows, batch_sampler=rows.batches(5, shuffle=True, **kwargs), collate_fn=rows.collate)
    def came(dl): return np.sort([int(i) for part in everywhere([b[0].flatten().tolist() for b in dl]) for b in part for i in b])
    own,by_accelerate = came(loader()), came(acc.prepare(loader(rank=0, world_size=1)))
    try: refused = acc.prepare(loader()) is None
    except ValueError as e: refused = 'shared again' in str(e)
    return dict(own=own, by_accelerate=by_accelerate, refused=np.array(refused or launched()[1] == 1))

tasks = dict(shuffled=train(), in_blocks=train(shuffle='block', read=ReadOptions(block_bytes=400, buffer_bytes=4000)), in_order=train(shuffle=False),
    stratified=train(shuffle='stratified'), balanced=train(shuffle='balanced'), by_weight=train(weights=np.arange(n)%5), partial=train(partial_n=70),
    last_step=train(drop_last=False), last_row=train(splits=[range(145), range(145, 194)], drop_last=False), odd=train(global_bs=25),
    workers=train(num_workers=1), few_rows=train(splits=[range(1), range(1, 2)], drop_last=False),
    accumulated=accumulated, of_unequal_lengths=of_unequal_lengths, regression=regression, missing_targets=missing_targets, unlabelled=unlabelled,
    class_weights=class_weights_in_the_loss, windows=windows, ragged=ragged, two_inputs=two_inputs, predictions=predictions,
    in_units=regression_in_units, shown=shown, steps_cat=steps(True), steps_numbers=steps(False),
    few_labels=few_labels, accelerated=accelerated, prepared=prepared, prepared_batches=prepared_batches)

def run_all(folder, names):
    "Run tasks and save what the first rank reports"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        res = tasks[name](folder)
        if launched()[0] == 0: np.savez(folder/f'{name}.npz', **{k: np.asarray(v) for k,v in res.items()})

# Training that is killed and resumed

class Log(Callback):
    "Writes the rows of each step to a file, and kills all processes at a given one, after its checkpoint"
    order = Checkpoint.order+1
    def __init__(self, file, kill_at): self.file,self.kill_at = file,kill_at

    def after_batch(self):
        if not self.training: return
        dl = self.learn.dl
        epoch,step = dl.at
        count = dl.steps.rank_sizes(step-1)[dl.rank]
        parts = everywhere(dl.input_idxs[:count].tolist())
        if launched()[0] == 0:
            start = int(dl.steps.step_starts(step-1, step)[0])
            with open(self.file, 'a') as f: f.write(json.dumps(dict(epoch=epoch, start=start, rows=sum(parts, []))) + '\n')
        if process_group(): process_group().barrier()
        if self.train_iter == self.kill_at: os.kill(os.getpid(), signal.SIGKILL)

class Drawing(nn.Module):
    "A layer that draws random numbers and keeps the last ones, but changes nothing"
    def forward(self, x):
        if self.training: self.last = torch.rand(4)
        return x

def resumable(folder, global_bs, kill_at):
    "Train three epochs, or what is left of them"
    drawing = Drawing()
    dls = loaders(*arrays(), global_bs=global_bs, drop_last=False)
    learn = Learner(dls, nn.Sequential(drawing, model()), lr=.05, opt_func=Adam, metrics=accuracy, path=folder)
    cbs = [DistributedTraining(), Checkpoint('fit', every=2), Log(folder/'log.jsonl', kill_at)]
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(3, cbs=cbs)
    drawn = np.stack(everywhere(drawing.last.numpy()))
    return dict(values=np.array(learn.recorder.values, float), weights=weights_of(learn.model), drawn=drawn)

if __name__ == '__main__':
    torch.set_num_threads(1)
    folder,*args = sys.argv[1:]
    if args[:1] == ['resumable']: tasks = dict(resumable=lambda folder: resumable(folder, *map(int, args[1:])))
    run_all(folder, args[:1] or tasks)
