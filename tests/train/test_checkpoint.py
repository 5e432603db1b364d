"Training goes on after a kill as if nothing had happened"
import os, pickle, subprocess, sys
from contextlib import suppress
import numpy as np, pytest, torch
from fastai.basics import Learner, accuracy, set_seed
from fastai.callback.core import Callback, CancelFitException
from fastai.callback import tracker
from fastai.callback.schedule import *
from fastai.callback.mixup import MixUp
from fastai.callback.training import GradientAccumulation, ShortEpochCallback
from fastai.optimizer import OptimWrapper, SGD
from functools import partial
from torch import nn
from conftest import fails, filled, on_cpu, test_folders
from tsdisk.train import checkpoint
from tsdisk.train.checkpoint import Checkpoint
from tsdisk.data.loaders import TSDataLoaders

pytestmark = pytest.mark.filterwarnings('ignore')

def learner(path, cbs=None, **kw):
    "640 rows to train on: 20 batches an epoch"
    set_seed(0)
    y = np.arange(800)%3
    X = filled((800,2,30)) + y[:,None,None].astype('f4')/2
    dls = TSDataLoaders.from_arrays(X, y, splits=[range(640), range(640,800)], bs=32, seed=1, device='cpu')
    body = nn.Conv1d(2, 8, 5),nn.BatchNorm1d(8),nn.ReLU(),nn.AdaptiveMaxPool1d(1)
    net = nn.Sequential(*body, nn.Flatten(), nn.Dropout(.3), nn.Linear(8, 3))
    return Learner(dls, net, metrics=accuracy, path=path, cbs=cbs, **kw)

class Stop(Callback):
    "Ends training at some batch, as Ctrl-C does"
    order = 80
    def __init__(self, at): self.at = at
    def after_batch(self):
        if self.training and self.train_iter == self.at: raise KeyboardInterrupt

class Once(Callback):
    "Counts batches"
    def __init__(self): self.n = 0
    def after_batch(self): self.n += self.training

def train(learn, n=3, cbs=None, way='fit_one_cycle', **kw):
    with learn.no_bar(), learn.no_logging(): getattr(learn, way)(n, 1e-2, cbs=cbs, **kw)
    return learn

def stopped(path, at, every=5, n=3, cbs=(), way='fit_one_cycle', **kw):
    with pytest.raises(KeyboardInterrupt): train(learner(path, **kw), n, [Checkpoint('a', every), Stop(at), *cbs], way)

def resumed(learn, cbs=()):
    "The rest of a fit, after a check that not all of it is made anew"
    count,path = Once(),file_of(learn.path)
    assert path.exists()
    train(learn, cbs=[Checkpoint('a', 5), count, *cbs])
    assert 0 < count.n < learn.train_iter
    return learn

def equal(a, b):
    for p,q in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True): assert torch.equal(p, q)
    for o in ('values','iters','losses','lrs'): assert getattr(a.recorder, o) == getattr(b.recorder, o)
    assert getattr(a.recorder, 'hps', None) == getattr(b.recorder, 'hps', None)

def file_of(path): return path/'models'/'a.ckpt'

@pytest.mark.parametrize('at,after', [(3,0), (7,5), (20,15), (21,20), (27,25), (48,45), (60,55)])
@pytest.mark.parametrize('way', ['fit','fit_one_cycle'])
def test_training_goes_on_bit_equal(tmp_path, at, after, way):
    stopped(tmp_path, at, way=way)
    assert file_of(tmp_path).exists() == (after > 0)
    count = Once()
    again = train(learner(tmp_path), cbs=[Checkpoint('a', 5), count], way=way)
    equal(again, train(learner(tmp_path/'whole'), way=way))
    assert count.n == 60-after and sorted(o.name for o in file_of(tmp_path).parent.iterdir()) == ['a.ckpt','a.previous.ckpt']

def test_training_is_stopped_again_and_again(tmp_path):
    for at in (9,13,22,41,59): stopped(tmp_path, at)
    equal(resumed(learner(tmp_path)), train(learner(tmp_path/'whole')))

adamw = partial(OptimWrapper, opt=torch.optim.AdamW)
sgd = partial(OptimWrapper, opt=torch.optim.SGD, momentum=.9)

@pytest.mark.parametrize('opt', [adamw,sgd], ids=['adamw','sgd'])
def test_torchs_optimizers_go_on(tmp_path, opt):
    stopped(tmp_path, 27, opt_func=opt)
    equal(resumed(learner(tmp_path, opt_func=opt)), train(learner(tmp_path/'whole', opt_func=opt)))

def test_accumulated_gradients_are_not_lost(tmp_path):
    def cbs(): return [GradientAccumulation(96)]
    for at in (22,28,42):
        stopped(tmp_path/str(at), at, cbs=cbs())
        equal(resumed(learner(tmp_path/str(at)), cbs()), train(learner(tmp_path/'whole'), cbs=cbs()))

class Looks(Callback):
    "Takes batches from the loader now and then, as those do who show some"
    def after_batch(self):
        if self.training and self.train_iter%7 == 0: self.dls.train.one_batch()

@pytest.mark.parametrize('make', [Looks, MixUp, lambda: ShortEpochCallback(.5)], ids=['looks','mixup','short'])
def test_other_callbacks_do_not_disturb(tmp_path, make):
    stopped(tmp_path, 27, cbs=[make()])
    equal(resumed(learner(tmp_path), [make()]), train(learner(tmp_path/'whole'), cbs=make()))

def test_workers_go_on_bit_equal(tmp_path):
    def with_workers(path):
        learn = learner(path)
        learn.dls.loaders[0] = learn.dls.train.new(num_workers=1)
        return learn
    with pytest.raises(KeyboardInterrupt): train(with_workers(tmp_path), cbs=[Checkpoint('a', 5), Stop(27)])
    equal(resumed(with_workers(tmp_path)), train(learner(tmp_path/'whole')))

@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')
@pytest.mark.parametrize('opt', [{}, dict(opt_func=adamw)], ids=['fastai','torch'])
def test_training_on_a_gpu_goes_on(tmp_path, opt):
    def on_gpu(path):
        learn = learner(path, **opt)
        learn.dls.to('cuda')
        return learn.to_fp16()
    with suppress(KeyboardInterrupt): train(on_gpu(tmp_path), cbs=[Checkpoint('a', 5), Stop(27)])
    again,whole = train(on_gpu(tmp_path), cbs=Checkpoint('a', 5)),train(on_gpu(tmp_path/'whole'))
    pairs = zip(again.model.parameters(), whole.model.parameters(), strict=True)
    for p,q in pairs: assert torch.allclose(p, q, atol=1e-3)

class Logged(Callback):
    "What other callbacks see after each epoch"
    order = 90
    def __init__(self): self.seen = []
    def after_epoch(self): self.seen.append((self.epoch, list(self.recorder.values[-1])))

def test_callbacks_go_through_the_same_epochs(tmp_path):
    def cbs():
        slower = tracker.ReduceLROnPlateau(patience=0, min_delta=9, factor=2)
        return [slower, tracker.SaveModelCallback(fname='best', monitor='accuracy'), Logged()]
    stopped(tmp_path, 47, cbs=cbs(), way='fit')
    count = cbs()
    again = train(learner(tmp_path), cbs=[Checkpoint('a', 5), *count], way='fit')
    other = cbs()
    whole = train(learner(tmp_path/'whole'), cbs=other, way='fit')
    assert again.recorder.lrs == whole.recorder.lrs and len(set(whole.recorder.lrs)) == 2
    assert count[2].seen == other[2].seen
    for p,q in zip(again.model.parameters(), whole.model.parameters(), strict=True): assert torch.equal(p, q)
    best,other = (torch.load(o/'models'/'best.pth', weights_only=True) for o in (tmp_path, tmp_path/'whole'))
    assert best.keys() == other.keys() and all(torch.equal(best[o], other[o]) for o in best)
    assert 'save' not in vars(again) and {o.name for o in (tmp_path/'models').iterdir()} == {'best.pth','a.ckpt','a.previous.ckpt'}

def test_models_are_not_saved_while_epochs_pass_by(tmp_path):
    class Keep(Callback):
        def after_epoch(self):
            self.learn.save('last')
            saved.append((tmp_path/'models'/'last.pth').exists())
    saved = []
    stopped(tmp_path, 47)
    train(learner(tmp_path), cbs=[Checkpoint('a'), Keep()])
    assert saved == [False,False,True]

def test_a_script_of_several_fits_goes_on_in_the_one_that_was_stopped(tmp_path):
    def script(path, at=999):
        learn,n = learner(path),Once()
        with suppress(KeyboardInterrupt):
            train(learn, 2, [Checkpoint('one', 5), n])
            learn.save('stage1')
            train(learn, 2, [Checkpoint('two', 5), n, Stop(at)])
        return learn,n.n
    script(tmp_path, 27)
    saved = (tmp_path/'models'/'stage1.pth').read_bytes()
    again,n = script(tmp_path)
    assert n == 15 and torch.load(tmp_path/'models'/'stage1.pth', weights_only=False).keys() and len(saved) > 1000
    equal(again, script(tmp_path/'whole')[0])
    assert script(tmp_path)[1] == 0
    a,b = (learner(o).load('stage1').model.state_dict() for o in (tmp_path,tmp_path/'whole'))
    assert all(torch.equal(a[k], b[k]) for k in a)

def test_a_fit_that_ended_is_passed_by(tmp_path, capsys):
    whole,logged = train(learner(tmp_path), cbs=Checkpoint('a')),Logged()
    again = train(learner(tmp_path), cbs=[Checkpoint('a'), logged])
    equal(again, whole)
    assert 'already finished' in capsys.readouterr().out
    assert [v for _,v in logged.seen] == [list(o) for o in whole.recorder.values]
    assert again.validate() == whole.validate() and 'save' not in vars(again)

def test_a_fit_that_was_stopped_early_is_passed_by(tmp_path):
    def cbs():
        early = tracker.EarlyStoppingCallback(min_delta=9, patience=1)
        return [Checkpoint('a'), early, tracker.SaveModelCallback(monitor='accuracy')]
    whole = train(learner(tmp_path), cbs=cbs())
    again = train(learner(tmp_path), cbs=cbs())
    assert len(whole.recorder.values) == 2
    equal(again, whole)

class Cancels(Callback):
    "Ends the fit at some batch, as a callback does that watches the clock"
    def __init__(self, at, event):
        self.at = at
        setattr(self, event, self.end)
    def end(self):
        if self.training and self.train_iter == self.at: raise CancelFitException

@pytest.mark.parametrize('event', ['before_batch','after_pred','after_batch'])
@pytest.mark.parametrize('at', [1,27,39])
def test_a_fit_that_a_callback_ended_amid_an_epoch_goes_on(tmp_path, at, event):
    train(learner(tmp_path), cbs=[Checkpoint('a'), Cancels(at, event)])
    count = Once()
    again = train(learner(tmp_path), cbs=[Checkpoint('a'), count])
    assert count.n == 60-at
    if event == 'after_pred': return # The batch that was not learned from is in the statistics of the batchnorm
    whole = train(learner(tmp_path/'whole'))
    a,b = again.model.state_dict(),whole.model.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

def test_weights_that_are_not_finite_replace_no_checkpoint(tmp_path, capsys):
    class Breaks(Callback):
        def after_pred(self):
            if self.training and self.train_iter == 33: self.learn.pred = self.learn.pred*float('nan')
    train(learner(tmp_path), cbs=[Breaks(), Checkpoint('a', 5), tracker.TerminateOnNaNCallback()])
    kept = torch.load(file_of(tmp_path))
    assert 'not overwritten' in capsys.readouterr().out and not kept['done']
    assert all(o.isfinite().all() for o in kept['model'].values())
    equal(train(learner(tmp_path), cbs=Checkpoint('a')), train(learner(tmp_path/'whole')))

def two_groups(net): return [[*net[:3].parameters()],[*net[3:].parameters()]]

@pytest.mark.parametrize('at', [7,27,999])
def test_fine_tune_goes_on_in_the_fit_that_was_stopped(tmp_path, at):
    def run(path, *cbs):
        learn = learner(path, cbs=[Checkpoint('a', 5), *cbs], splitter=two_groups)
        with learn.no_bar(), learn.no_logging(), suppress(KeyboardInterrupt): learn.fine_tune(1, 1e-2)
        return learn
    class Late(Callback):
        "Ends training at some batch of all fits"
        order,n = 80,0
        def after_batch(self):
            self.n += self.training
            if self.n == at: raise KeyboardInterrupt
    run(tmp_path, Late())
    count = Once()
    again = run(tmp_path, count)
    assert count.n == {7: 35, 27: 15, 999: 0}[at]
    equal(again, run(tmp_path/'whole'))

others = [(dict(opt_func=SGD), 'optimizer'), (dict(way='fit'), 'schedules'),
    (dict(splitter=two_groups), 'parameters=[6], but this fit has parameters=[4, 2]')]

@pytest.mark.parametrize('other,words', others)
def test_a_fit_that_is_another_is_refused(tmp_path, other, words):
    stopped(tmp_path, 27)
    other = dict(other)
    way,learn = other.pop('way', 'fit_one_cycle'),learner(tmp_path, **other)
    before = [o.clone() for o in learn.model.parameters()]
    with fails(ValueError, words, 'a.ckpt', 'delete the file'): train(learn, cbs=Checkpoint('a'), way=way)
    assert all(torch.equal(a, b) for a,b in zip(before, learn.model.parameters()))

def test_other_models_and_other_data_leave_the_model_as_it_was(tmp_path):
    stopped(tmp_path, 27)
    learn = learner(tmp_path)
    learn.model[6] = nn.Linear(8, 5)
    with fails(ValueError, 'a.ckpt', 'another model'): train(learn, cbs=Checkpoint('a'))
    learn = learner(tmp_path)
    learn.dls = TSDataLoaders.from_dsets(*[o.dataset for o in learn.dls.loaders], partial_n=50, seed=1, device='cpu')
    before = [o.clone() for o in learn.model.parameters()]
    with fails(ValueError, 'rows_of_an_epoch'): train(learn, cbs=Checkpoint('a'))
    assert all(torch.equal(a, b) for a,b in zip(before, learn.model.parameters()))

# Damage

def flipped(file, bit):
    "The bytes of a file with one bit changed"
    data = bytearray(file.read_bytes())
    data[bit//8] ^= 1 << bit%8
    return bytes(data)

def test_every_flipped_bit_is_found_and_the_checkpoint_before_resumes(one_thread, tmp_path, recwarn):
    stopped(tmp_path, 27)
    file,read = file_of(tmp_path),checkpoint._read_checkpoint
    newest,data = read(file)['train_iter'],file.read_bytes()
    assert (newest, read(file.with_name('a.previous.ckpt'))['train_iter']) == (25, 20)
    for bit in np.random.default_rng(0).integers(0, 8*(len(data)-32), 60):
        file.write_bytes(flipped(file, bit))
        with fails(ValueError, 'a.ckpt', 'its checksum does not match', 'delete the file'): read(file)
        file.write_bytes(data)
    file.write_bytes(flipped(file, 8000))
    again = train(learner(tmp_path), cbs=Checkpoint('a', 5))
    assert any('resumes from the one before it, a.previous.ckpt' in str(o.message) for o in recwarn)
    equal(again, train(learner(tmp_path/'whole')))
    assert [read(o)['done'] for o in sorted(file.parent.iterdir())] == [True, False]

def test_a_checkpoint_that_is_deleted_starts_the_fit_again(tmp_path):
    stopped(tmp_path, 27)
    file_of(tmp_path).unlink()
    stopped(tmp_path, 2)
    assert [*file_of(tmp_path).parent.iterdir()] == []

def test_a_checkpoint_without_checksum_loads(one_thread, tmp_path):
    stopped(tmp_path, 27)
    torch.save(torch.load(file_of(tmp_path), weights_only=True), file_of(tmp_path))
    equal(resumed(learner(tmp_path)), train(learner(tmp_path/'whole')))

def test_a_full_disk_names_the_checkpoint_and_leaves_the_old(one_thread, tmp_path, monkeypatch):
    stopped(tmp_path, 27)
    before,at = file_of(tmp_path).read_bytes(),[0]
    write = checkpoint._Summed.write
    def full(self, data):
        at[0] += 1
        if at[0] > 9: self.file = open('/dev/full', 'wb', buffering=0)
        return write(self, data)
    monkeypatch.setattr(checkpoint._Summed, 'write', full)
    with fails(OSError, 'No space left', 'make room', 'a.ckpt'): train(learner(tmp_path), cbs=Checkpoint('a', 5))
    assert file_of(tmp_path).read_bytes() == before and {o.name for o in file_of(tmp_path).parent.iterdir()} == {'a.ckpt','a.previous.ckpt'}
    monkeypatch.undo()
    equal(train(learner(tmp_path), cbs=Checkpoint('a', 5)), train(learner(tmp_path/'whole')))

def test_folders_of_checkpoints_are_made(tmp_path):
    train(learner(tmp_path), 1, cbs=Checkpoint('runs/1/a'))
    assert (tmp_path/'models'/'runs'/'1'/'a.ckpt').exists()

def test_other_passes_are_left_alone(tmp_path):
    stopped(tmp_path, 27)
    before = file_of(tmp_path).read_bytes()
    learn = learner(tmp_path, cbs=Checkpoint('a', 1))
    with learn.no_bar(), learn.no_logging():
        learn.get_preds()
        learn.validate()
        learn.lr_find(show_plot=False, num_it=15)
        learn.tta(n=1)
    assert file_of(tmp_path).read_bytes() == before
    learn.remove_cbs([o for o in learn.cbs if isinstance(o, Checkpoint)])
    assert train(learn, cbs=[Checkpoint('a'), n := Once()]) and n.n == 35

def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    class Odd(nn.Linear):
        def get_extra_state(self): return tmp_path
        def set_extra_state(self, s): pass
    learn = learner(tmp_path)
    learn.model[-1] = Odd(8, 3)
    with fails(ValueError, "can't be read again"): train(learn, cbs=Checkpoint('a', 5))
    assert not file_of(tmp_path).exists()

def test_a_random_split_without_seed_is_refused(tmp_path):
    def unseeded():
        learn = learner(tmp_path)
        np.random.seed()
        learn.dls = TSDataLoaders.from_arrays(filled((800,2,30)), np.arange(800)%3, bs=32, device='cpu')
        return learn
    with suppress(KeyboardInterrupt): train(unseeded(), cbs=[Checkpoint('a', 5), Stop(27)])
    with fails(ValueError, 'split', 'seed'): train(unseeded(), cbs=Checkpoint('a'))

@pytest.mark.parametrize('every', [0, -1, 'x', 1.5])
def test_bad_intervals_are_refused(every):
    with fails(ValueError, 'every', repr(every)): Checkpoint('a', every)

def test_a_fit_of_other_length_is_refused(tmp_path):
    stopped(tmp_path, 27)
    with fails(ValueError, 'n_epoch=3', 'n_epoch=4', 'delete'): train(learner(tmp_path), 4, Checkpoint('a'))
    assert file_of(tmp_path).exists()

@pytest.mark.parametrize('content', [b'', b'nothing', pickle.dumps(os.getcwd), 'cut', 'model'])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content):
    stopped(tmp_path, 27)
    for o in file_of(tmp_path).parent.glob('*.previous.ckpt'): o.unlink()
    if content == 'cut': content = file_of(tmp_path).read_bytes()[:-1000]
    if content == 'model': torch.save(learner(tmp_path).model.state_dict(), file_of(tmp_path))
    else: file_of(tmp_path).write_bytes(content)
    with fails(ValueError, 'checkpoint', 'delete'): train(learner(tmp_path), 3, Checkpoint('a'))

def test_other_loaders_are_refused(tmp_path):
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    dl = DataLoader([(torch.ones(3), torch.ones(1))]*8, bs=4)
    learn = Learner(DataLoaders(dl, dl), nn.Linear(3, 1), loss_func=nn.MSELoss(), path=tmp_path)
    with fails(TypeError, 'TSDataLoader', 'DataLoader'): train(learn, 1, Checkpoint('a'))

code = """
import sys, numpy as np, torch
from pathlib import Path
sys.path[:0] = sys.argv[1].split(':')
from test_checkpoint import learner, train, Callback
from tsdisk.train import checkpoint
from tsdisk.train.checkpoint import Checkpoint
class Slow(Callback):
    def after_batch(self):
        if self.training: print(self.train_iter, flush=True)
        if sys.argv[3] == 'slow': __import__('time').sleep(.02)
torch.set_num_threads(1)
learn = train(learner(Path(sys.argv[2])), cbs=[Checkpoint('a', 3), Slow()])
torch.save(learn.model.state_dict(), Path(sys.argv[2])/'model.pth')
"""

def test_a_killed_process_loses_nothing(tmp_path):
    def start(*args):
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return subprocess.Popen([sys.executable,'-c',code, ':'.join(test_folders), *args], env=on_cpu, **pipes)
    for k in (12,17,30):
        with start(tmp_path, 'slow') as p:
            for line in p.stdout:
                if line.startswith(f'{k}'):
                    p.kill()
                    break
        assert file_of(tmp_path).exists()
    first = []
    for path in (tmp_path, tmp_path/'whole'):
        with start(path, 'fast') as p: first.append([o for o in p.stdout if o[0].isdigit()][0].strip())
    a,b = [torch.load(o/'model.pth', weights_only=True) for o in (tmp_path,tmp_path/'whole')]
    assert all(torch.equal(a[k], b[k]) for k in b) and int(first[0]) > 25 and first[1] == '1'

def test_a_checkpoint_that_only_some_ranks_see_is_refused(monkeypatch):
    from tsdisk.train import checkpoint
    found = dict(epoch=1, train_iter=4)
    monkeypatch.setattr(checkpoint, 'from_all_ranks', lambda o: [o,None])
    with fails(ValueError, 'different checkpoints', '[(1, 4), None]', 'all of them share'): checkpoint._check_all_see(found)
    monkeypatch.setattr(checkpoint, 'from_all_ranks', lambda o: [o,o])
    checkpoint._check_all_see(found)
    checkpoint._check_all_see(None)

@pytest.mark.parametrize('at', [1,4])
def test_the_fit_after_a_finished_one_has_its_own_orders(tmp_path, at):
    def script(path, at=999):
        learn = learner(path)
        train(learn, 2, Checkpoint('one'))
        with suppress(KeyboardInterrupt): train(learn, 2, [Checkpoint('two'), Stop(at)])
        return learn
    script(tmp_path, at) # Before the second fit saves anything
    again = script(tmp_path)
    assert again.dls.train.epoch == 3
    equal(again, script(tmp_path/'whole'))

def test_a_finished_fit_of_other_data_is_refused(tmp_path):
    train(learner(tmp_path), cbs=Checkpoint('a'))
    other = learner(tmp_path)
    other.dls.loaders[0] = other.dls.valid.new(shuffle=True) # 160 other rows
    with fails(ValueError, 'saved by a loader with'): train(other, cbs=Checkpoint('a'))
