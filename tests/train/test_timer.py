"Where the time of training went: waiting for data, or the model's"
import pickle, time
from contextlib import suppress
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import Learner, Transform, load_learner
from fastai.callback.core import Callback
from fastai.callback.schedule import *
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from torch import nn
from conftest import fails, filled, linux
from tsdisk.data.batches import TSTensor
from tsdisk.data.reader import ReadOptions
from tsdisk.data.transforms import Standardize
from tsdisk.train import timer as module
from tsdisk.disk.arrays import save_array
from tsdisk.train.checkpoint import Checkpoint
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.sources import Source
from tsdisk.train.timer import DataTimer, disk_bytes

pytestmark = [pytest.mark.usefixtures('quiet','one_thread'), pytest.mark.filterwarnings('ignore')]

nap = .05
x,y = filled((600,2,30)),np.arange(600)%3

class SlowRows(Source):
    "Rows that take a nap to come"
    def __init__(self, x): self.x,self.shape,self.dtype = x,x.shape,x.dtype
    def __getitem__(self, i): return self.x[i]
    def _gather(self, idxs, out):
        time.sleep(nap)
        out[...] = self.x[idxs]

class SlowModel(nn.Module):
    def forward(self, x):
        time.sleep(nap)
        return x

def learner(X=x, y=y, model=None, path=None, cbs=None, n=480, **kw):
    "15 batches of 32 rows to train on, 4 to validate"
    splits = [range(n),range(n, len(X))]
    dls = TSDataLoaders.from_arrays(X, y, splits=splits, **{'bs': 32, 'seed': 0, 'device': 'cpu', **kw})
    head = nn.Flatten(),nn.Linear(X.shape[1]*X.shape[2], 3)
    return Learner(dls, nn.Sequential(*head, *([model] if model else [])), path=path, cbs=cbs)

def fit(learn, timer=None, n=1, way='fit'):
    with learn.no_bar(), learn.no_logging(): getattr(learn, way)(n, cbs=timer)
    return timer

# Verdicts

def test_a_slow_loader_and_a_slow_model_are_told_apart():
    read = ReadOptions(group_bytes=0) # A nap for each batch
    loader,model = fit(learner(SlowRows(x), read=read), DataTimer()), fit(learner(model=SlowModel(), read=read), DataTimer())
    a,b = loader.epochs[0],model.epochs[0]
    assert a['waiting'] >= 15*nap and b['model'] >= 15*nap
    assert a['waiting'] > 1.5*b['waiting'] and b['model'] > 1.5*a['model']
    assert loader.df().waited['all'] > .5 > model.df().waited['all']
    assert 'times as fast' in loader.verdict and 'larger batches' in loader.verdict

def test_the_verdict_follows_from_the_shares():
    timer = DataTimer()
    assert 'No batch' in timer.verdict and 'No batch' in repr(timer)
    def said(waiting, read):
        timer.epochs = [dict(epoch=0, samples=10, waiting=waiting, model=1-waiting, used=1e6, read=read)]
        return timer.verdict
    timer.tips = 'COLD','WARM'
    assert said(.03, 1e6) == 'The model waited 3% of the time for data: the loader is not the bottleneck.'
    assert said(.75, 1e6).endswith('4.0 times as fast. COLD')
    assert said(.75, 1e4).endswith('WARM') and said(.75, np.nan).endswith('COLD')
    assert '1000.0 times' in said(1., 0)

direct = ReadOptions(direct=True)
ways = dict(fits={}, shuffled=dict(read=direct), blocks=dict(read=direct, shuffle='block'), workers=dict(num_workers=2))
cold_words = dict(fits='fit in memory', shuffled="shuffle='block'", blocks='doctor', workers='fit in memory')

@pytest.mark.parametrize('way', ways)
def test_advice_goes_by_the_loader(tmp_path, way):
    kw,cold = ways[way],cold_words[way]
    warm = 'num_workers' if way == 'workers' else 'larger batches'
    X = save_array(tmp_path/'X.npy', x)
    if 'read' in kw and as_source(X).why_not_direct(): pytest.skip('files can not be read past the page cache here')
    tips = module._tips(learner(X, **kw).dls.train)
    assert cold in tips[0] and warm in tips[1] and ('shuffle=' in tips[0]) == ('shuffle=' in cold)

def test_rows_are_preloaded_on_a_gpu_alone(monkeypatch):
    dl = learner().dls.train
    assert 'preload' not in module._memory_tip(dl)
    monkeypatch.setattr(module, 'on_gpu', lambda device: True)
    assert '`dls.preload()` keeps them there' in module._memory_tip(dl)

def test_advice_knows_preloaded_rows():
    learn = learner()
    learn.dls.preload()
    assert 'preload' not in module._tips(learn.dls.train)[1]

class SlowRow(Transform):
    "Takes a nap for each batch of series"
    def encodes(self, x:TSTensor):
        time.sleep(nap)
        return x

@pytest.mark.parametrize('kw', [dict(batch_tfms=[Standardize(), SlowRow()]), dict(tfms=[SlowRow(), None], batch_tfms=Standardize())])
def test_a_slow_transform_is_named_instead_of_the_disk(kw):
    timer = fit(learner(**kw), DataTimer())
    assert {*timer.tfms} == {'SlowRow','Standardize'} and timer.tfms['SlowRow'] >= 15*nap
    assert 'ms a batch are in `SlowRow`:' in timer.verdict and 'disk' not in timer.verdict

def test_a_slow_source_is_not_taken_for_a_transform():
    timer = fit(learner(SlowRows(x), read=ReadOptions(group_bytes=0), batch_tfms=Standardize()), DataTimer())
    assert [*timer.tfms] == ['Standardize'] and timer.tfms['Standardize'] < 15*nap and 'Standardize' not in timer.verdict

def test_transforms_are_timed_in_training_alone():
    learn,timer = learner(batch_tfms=SlowRow()),DataTimer()
    fit(learn, timer)
    before = dict(timer.tfms)
    fit(learn)
    learn.validate()
    assert timer.tfms == before and learn.dls.train.stopwatch is None

def test_the_fewest_transforms_that_take_most_of_the_time_are_named():
    assert module._slowest(dict(a=1., b=60., c=2.)) == ['b'] and module._slowest(dict(a=30., b=40., c=1.)) == ['b','a']

# Numbers

def test_samples_and_bytes_are_those_of_the_batches(tmp_path):
    X = save_array(tmp_path/'X.npy', x.astype('f2'))
    timer = fit(learner(X), DataTimer(), 2)
    for i,o in enumerate(timer.epochs): assert (o['epoch'], o['samples'], o['used']) == (i, 480, 480*(2*30*2+8))
    df = timer.df()
    assert df.index.tolist() == [0,1,'all'] and len(timer.points.sums) == timer.points.n == 30
    assert df.secs['all'] == pytest.approx(df.secs[0]+df.secs[1])
    assert df.samples_s['all'] == pytest.approx(960/df.secs['all'])
    assert df.used_mb_s[0] == pytest.approx(480*128/1e6/df.secs[0])

def test_windows_count_as_they_are_read():
    from tsdisk.series.windows import Windows
    w = Windows(filled((700,3)), 20, 1, horizon=5)
    dls = TSDataLoaders.from_arrays(w, splits=[range(320), range(400, 600)], bs=32, device='cpu')
    timer = fit(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(60, 15), nn.Unflatten(1, (3,5)))), DataTimer())
    assert timer.epochs[0]['used'] == 320*25*3*4

def test_series_of_unequal_lengths_count_by_their_mean():
    from tsdisk.series.ragged import Ragged
    steps = 10+np.arange(64)%20
    X = Ragged(filled((steps.sum(),2)), np.append(0, steps.cumsum()))
    dls = TSDataLoaders.from_arrays(X, splits=[range(64), range(0)], bs=16, device='cpu', drop_last=False)
    assert module._row_bytes(dls.train)*64 == pytest.approx(X.panel.nbytes, rel=.05)

@linux
@pytest.mark.parametrize('workers', [0,2])
def test_bytes_from_disk_are_told_from_cached_ones(tmp_path, workers):
    X = save_array(tmp_path/'X.npy', filled((600,16,256)))
    if as_source(X).why_not_direct(): pytest.skip('files can not be read past the page cache here')
    def hits(direct):
        timer = fit(learner(X, y, read=ReadOptions(direct=direct), num_workers=workers), DataTimer())
        return timer.df().cache_hits['all'],timer.epochs[0]['read'],480*16*256*4
    got,read,used = hits(True)
    assert got < .1 and used*.95 < read < 2*used
    hits(False)
    assert hits(False)[0] > .9

def test_disk_bytes_never_fall():
    a = disk_bytes()
    assert a != a or disk_bytes() >= a >= 0

def test_validation_is_not_counted(capsys):
    learn,timer = learner(cbs=(timer := DataTimer())),timer
    with learn.no_bar():
        learn.validate()
        assert not timer.epochs
        learn.fit(1)
        assert capsys.readouterr().out.count('The model waited') == 1
        before = repr(timer)
        learn.validate()
        learn.get_preds()
    assert repr(timer) == before and timer.points.n == 15 and not capsys.readouterr().out

def test_what_is_kept_is_bounded():
    timer = DataTimer()
    timer.epochs = [dict(batches=0, waiting=0., model=0.)]
    for i in range(20_011): timer._count(0., 1., 1.+2*(i >= 10_000))
    assert timer.most/2 <= len(timer.points.sums) <= timer.most and timer.points.n == 20_011
    np.testing.assert_allclose(np.sum(timer.points.sums, 0), [20_011, 2*10_011])
    assert timer.epochs == [dict(batches=20_011, waiting=20_011., model=2.*10_011)]
    assert len(pickle.dumps(timer)) < 200_000

@pytest.mark.parametrize('most', [4,2000])
def test_the_plot_shows_every_batch(monkeypatch, most):
    monkeypatch.setattr(DataTimer, 'most', most)
    timer = fit(learner(), DataTimer())
    ax = timer.plot()
    assert ax.get_xlim() == (0,15) and [o.get_label() for o in ax.collections] == ['model','waiting for data']
    own = plt.subplots()[1]
    assert timer.plot(own) is own
    with fails(ValueError, 'No batch', 'cbs=timer'): DataTimer().plot()

# Together with others

class Event:
    "Stands for an event of a GPU that is behind: it is passed when a later moment is asked for"
    made = []
    def __init__(self):
        self.at,self.behind = len(self.made),True
        self.made.append(self)
    def query(self): return len(self.made)-self.at > 7
    def elapsed_time(self, b): return 1e3*(b.at-self.at)

def test_moments_of_a_device_that_is_behind_are_all_counted(monkeypatch):
    monkeypatch.setattr(module, '_mark', lambda device: Event())
    behind = []
    class Look(Callback):
        order = 3000
        def after_batch(self): behind.append(len(timer.now.marks))
    timer,learn = DataTimer(),learner()
    fit(learn, [timer,Look()], 2)
    assert [(o['waiting'],o['model']) for o in timer.epochs] == [(15,15)]*2 and 2 <= max(behind[:15]) <= 5

def test_finding_a_learning_rate_and_fits_in_a_row(tmp_path, capsys):
    learn,timer = learner(path=tmp_path, cbs=(timer := DataTimer())),timer
    with learn.no_bar():
        learn.lr_find(num_it=20, show_plot=False, stop_div=False)
        assert timer.points.n == 19 and len(timer.epochs) == 2 and 'model waited' not in capsys.readouterr().out
        learn.fine_tune(2)
    assert timer.points.n == 30 and capsys.readouterr().out.count('The model waited') == 2

class Stop(Callback):
    def __init__(self, at): self.at = at
    def after_batch(self):
        if self.training and self.train_iter == self.at: raise KeyboardInterrupt

def test_an_interrupted_fit_can_be_asked():
    timer,learn = DataTimer(),learner()
    with suppress(KeyboardInterrupt): fit(learn, [timer,Stop(20)], 3)
    assert timer.points.n == 19 and 'The model waited' in repr(timer) and timer.df().index.tolist() == [0,1,'all']
    pickle.loads(pickle.dumps(timer)).plot()
    assert fit(learn, timer).points.n == 15

def test_epochs_that_a_checkpoint_passes_by_are_not_counted(tmp_path):
    with suppress(KeyboardInterrupt): fit(learner(path=tmp_path), [Checkpoint('a', 5), Stop(38)], 4)
    timer = DataTimer()
    fit(learner(path=tmp_path), [Checkpoint('a', 5), timer], 4)
    assert timer.points.n == 60-35 and [o['epoch'] for o in timer.epochs] == [2,3]
    assert timer.epochs[0]['samples'] == 10*32
    timer = DataTimer()
    fit(learner(path=tmp_path), [Checkpoint('a', 5), timer], 4)
    assert not timer.epochs and 'No batch' in repr(timer)

def test_other_loaders_are_timed():
    dl = DataLoader([(torch.ones(3), torch.ones(1))]*40, bs=4, n_inp=1)
    timer = fit(Learner(DataLoaders(dl, dl), nn.Linear(3, 1), loss_func=nn.MSELoss()), DataTimer())
    assert timer.points.n == 10 and timer.epochs[0]['samples'] == 40 and np.isnan(timer.df().used_mb_s['all'])
    timer.epochs[0]['waiting'] = 9.
    assert '–' in repr(timer) and 'TSDataLoaders' in timer.verdict

def test_a_learner_with_a_timer_is_exported(tmp_path):
    learn = learner(path=tmp_path, cbs=DataTimer())
    fit(learn)
    learn.export()
    again = load_learner(tmp_path/'export.pkl')
    assert repr(again.data_timer) == repr(learn.data_timer) and again.data_timer.points.n == 15

@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')
def test_waiting_on_a_gpu_is_when_it_has_nothing_to_do():
    class Deep(nn.Module):
        "Work that is queued in no time and takes long"
        def __init__(self): super().__init__(), setattr(self, 'w', nn.Parameter(torch.eye(4096)))
        def forward(self, x):
            with torch.no_grad():
                a = self.w
                for _ in range(100): a = a@self.w
            return x + 0*a[0,0]
    busy = fit(learner(model=Deep(), device='cuda'), DataTimer())
    idle = fit(learner(SlowRows(x), device='cuda'), DataTimer())
    assert busy.df().waited['all'] < .5 < idle.df().waited['all'] and busy.points.n == idle.points.n == 15
