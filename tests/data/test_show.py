"Batches and predictions are drawn as they are: recorded, seen, right and wrong"
import json, numpy as np, pytest, torch
import matplotlib.pyplot as plt
from fastai.basics import Category, Learner
from fastai.callback.progress import *
from fastai.interpret import Interpretation
from fastcore.foundation import L
from matplotlib.colors import same_color
from torch import nn
from conftest import filled, ramp, same, wave_names, waves
from tsdisk.data.augment import Jitter
from tsdisk.disk.arrays import save_array
from tsdisk.folder.manifest import save_folder
from tsdisk.order.time_splits import time_splits
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.axes import round_steps, time_label
from tsdisk.data.show import plot_top_losses, show_batch, show_grid, show_results
from tsdisk.series.clock import Clock
from tsdisk.series.crops import Crops
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows
from tsdisk.data.labels import Labels
from tsdisk.data.batches import TensorTarget, TSMask, TSTensor
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.transforms import Standardize
from tsdisk.data.warp import TimeWarp

pytestmark = pytest.mark.usefixtures('quiet')
x = filled((60,3,40))
def series(steps=40): return TSTensor(torch.tensor(filled((2,steps))))
def ends(ax): return [(int(o.get_xdata()[0]), int(o.get_xdata()[-1])) for o in ax.lines]

@pytest.mark.parametrize('n,kw,shape', [(1,{},(1,1)), (5,{},(2,3)), (5,dict(ncols=2),(3,2)), (5,dict(nrows=2),(2,3)), (4,dict(nrows=1),(1,4))], ids=str)
def test_a_grid_has_the_rows_and_columns_asked_for(n, kw, shape):
    axs = show_grid(n, **kw)
    assert len(axs) == n and axs[0].get_gridspec().get_geometry() == shape
    assert sum(o.axison for o in plt.gcf().axes) == n

def test_targets_are_drawn_over_their_steps():
    samples = [(series(),TensorTarget(torch.zeros(1,k))) for k in (40,12)] + [(series(),TensorTarget(torch.tensor([1.5,2])))]
    axs = show_batch(series()[None], None, samples, max_n=3)
    assert [ends(o) for o in axs] == [[(0,39)]*3, [(0,39)]*2+[(40,51)], [(0,39)]*2]
    assert [o.get_title() for o in axs] == ['','','1.5, 2']

def test_at_most_max_n_samples_are_drawn_or_those_axes_that_are_given():
    samples = [(series(),Category('a'))]*5
    assert len(show_batch(series()[None], None, samples, max_n=2)) == 2
    axs = show_grid(4)
    assert show_batch(series()[None], None, samples, ctxs=axs) is axs and all(o.get_title() == 'a' for o in axs)

def test_predictions_stand_next_to_their_targets():
    y = torch.zeros(3)
    mask = TSMask(torch.arange(40) < 30)
    samples = [(series(),mask,Category('a')),(series(),mask,Category('b'))]
    axs = show_results(series()[None], y, samples, [(Category('a'),),(Category('a'),)])
    assert [(o.get_title(), o.title.get_color()) for o in axs] == [('a → a','k'),('b → a','r')]
    assert all(len(o.patches) == 1 for o in axs)
    ax, = show_results(series()[None], y, [(series(),TensorTarget(torch.tensor(1.)))], [(TensorTarget(torch.tensor(2.5)),)])
    assert (ax.get_title(), ax.title.get_color()) == ('1 → 2.5','k')
    ax, = show_results(series()[None], None, [(series(),)], [(Category('a'),)])
    assert ax.get_title() == '→ a'

def test_predicted_series_and_steps_are_drawn_over_the_targets():
    targ = TensorTarget(torch.zeros(1,12))
    ax, = show_results(series()[None], targ[None], [(series(),targ)], [(torch.ones(1,12),)])
    assert ends(ax)[2:] == [(40,51)]*2 and [o.get_color() for o in ax.lines[2:]] == ['k','r']
    a,b = (Labels(np.repeat([0,1], o), ['x','y']) for o in ([20,20],[30,10]))
    ax, = show_results(series()[None], targ, [(series(),a)], [(b,)])
    assert ax.get_title() == '75% of steps right' and len(ax.patches) == 4

def test_losses_are_added_to_titles_which_keep_their_color():
    samples = [(series(),Category('b'))]
    ax, = plot_top_losses(series()[None], torch.zeros(1), samples, [(Category('a'),)], None, torch.tensor([1.23456]))
    assert (ax.get_title(), ax.title.get_color()) == ('b → a (1.23)','r')

@pytest.mark.parametrize('workers', [0, 2])
def test_what_was_recorded_is_above_what_is_seen(workers):
    dls = TSDataLoaders.from_arrays(x*50+20, np.arange(60.), bs=16, seed=1, num_workers=workers, device='cpu', batch_tfms=Standardize())
    axs = dls.show_seen(3)
    assert len(axs) == 2*len(show_grid(3))
    tfm = dls.after_batch.fs[0]
    for top,low in zip(axs[:3], axs[3:]):
        a,b = (np.stack([o.get_ydata() for o in ax.lines]) for ax in (top, low))
        assert (abs(a[None]-(x*50+20)) < 1e-3).all((1,2)).sum() == 1 and np.allclose(b, (a-tfm.mean.numpy())/tfm.std.numpy(), atol=1e-4)

# With a Learner

def wave_learner():
    dls = TSDataLoaders.from_arrays(*waves(150), bs=32, seed=1, device='cpu')
    return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(120, 3)))

@pytest.mark.parametrize('kind', ['labels','numbers'])
def test_the_largest_losses_are_drawn_worst_first(kind):
    learn = wave_learner()
    if kind == 'numbers': learn = Learner(TSDataLoaders.from_arrays(ramp(50), np.arange(50.), bs=10), nn.Sequential(nn.Flatten(), nn.Linear(6, 1)))
    with learn.no_bar():
        interp = Interpretation.from_learner(learn)
        interp.plot_top_losses(4)
    shown = [float(o.get_title().split('(')[1].strip(')')) for o in plt.gcf().axes[:4]]
    np.testing.assert_allclose(shown, interp.top_losses(4)[0], rtol=.01)

kinds = dict(labels=waves(50)[1], numbers=filled(50), vectors=filled((50,3)), series=filled((50,1,20)), steps=np.arange(3000).reshape(50, 60)%3, none=None)

@pytest.mark.parametrize('kind', kinds)
def test_batches_and_results_are_shown(kind):
    y = kinds[kind]
    dls = TSDataLoaders.from_arrays(waves(50)[0], y, bs=16, device='cpu', cat=True if kind == 'steps' else None)
    dls.show_batch(max_n=5)
    axs = plt.gcf().axes
    assert sum(bool(o.lines) for o in axs) == 5 and all(len(o.lines[0].get_xdata()) == 60 for o in axs[:5])
    if kind == 'labels': assert {o.get_title() for o in axs[:5]} <= set(wave_names)
    dls.show_batch(max_n=2, unique=True)
    a,b = plt.gcf().axes[:2]
    same(a.lines[0].get_ydata(), b.lines[0].get_ydata())
    out = dict(labels=3, numbers=1, vectors=3, series=20, steps=180).get(kind)
    if out is None: return
    shape = dict(series=(1,20), steps=(3,60), numbers=()).get(kind, (out,))
    model = nn.Sequential(nn.Flatten(), nn.Linear(120, out), nn.Unflatten(1, shape) if len(shape) == 2 else nn.Flatten(0) if kind == 'numbers' else nn.Identity())
    learn = Learner(dls, model)
    with learn.no_bar(): learn.show_results(max_n=4)
    axs = plt.gcf().axes
    assert sum(bool(o.lines) for o in axs) == 4
    if kind == 'labels':
        for o in axs[:4]:
            targ,pred = o.get_title().split(' → ')
            assert o.title.get_color() == ('k' if targ == pred else 'r')

def test_grid_has_an_axis_for_each_plot():
    for n,ncols in ((1,3),(3,3),(7,3),(4,1)): assert len(show_grid(n, ncols)) == n == sum(o.axison for o in plt.gcf().axes)

def test_what_is_shown_is_in_the_units_of_the_data():
    x = filled((40,1,30))*50+1000
    dls = TSDataLoaders.from_arrays(x, ['a','b']*20, splits=[range(20),range(20, 40)], shuffle=False, bs=20, device='cpu', batch_tfms=Standardize())
    dls.valid.show_batch(max_n=3)
    for i in range(3): np.testing.assert_allclose(plt.gcf().axes[i].lines[0].get_ydata(), x[20+i, 0], rtol=1e-4)

def test_results_without_targets_are_shown():
    learn = wave_learner()
    with learn.no_bar(): learn.show_results(dl=learn.dls.test_dl(waves(60)[0]), max_n=2)
    assert all(o.get_title().startswith('→ ') for o in plt.gcf().axes[:2])

def test_steps_of_classes_are_drawn_and_compared():
    y = np.array(['up','dn','flat'])[np.random.default_rng(0).integers(0, 3, (40,12))]
    dls = TSDataLoaders.from_arrays(ramp(40, 2, 12), y, bs=8, seed=0)
    dls.show_batch(max_n=2)
    assert all(o.patches for o in plt.gcf().axes[:2])
    learn = Learner(dls, nn.Conv1d(2, 3, 1))
    with learn.no_bar(): learn.fit(1)
    with learn.no_bar(): learn.show_results(max_n=2)
    assert all('of steps right' in o.get_title() for o in plt.gcf().axes[:2])

def test_a_forecast_is_drawn_after_its_input():
    dls = TSDataLoaders.from_arrays(ramp(40, 2, 30), ramp(40, 1, 10), bs=8, seed=0)
    dls.show_batch(max_n=1)
    past,target = plt.gcf().axes[0].lines[0], plt.gcf().axes[0].lines[-1]
    assert target.get_xdata()[0] == past.get_xdata()[-1]+1 == 30

def test_rows_of_plots_may_be_given():
    wave_learner().dls.show_batch(max_n=4, nrows=2)
    assert len(plt.gcf().axes) == 4

def test_few_labels_a_sample_are_compared_in_the_title():
    y = np.array(['up','dn'])[np.random.default_rng(0).integers(0, 2, (40,3))]
    dls = TSDataLoaders.from_arrays(ramp(40, 2, 12), y, bs=8, seed=0)
    assert type(dls.decode_batch(dls.one_batch())[0][1][:2]) is L
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.Unflatten(1, (2,3))))
    with learn.no_bar(): learn.show_results(max_n=2)
    assert all(len(o.get_title().split(', ')) == 5 for o in plt.gcf().axes[:2])

@pytest.mark.parametrize('times,label', [(np.arange('2024-01-01', '2024-03-01', dtype='M8[D]'), '2024-01-04'), (np.arange('2024-01-01', '2024-01-03', dtype='M8[h]'), '01-01 03:00'),
    (np.arange(0, 9000, 1000).astype('M8[ms]'), '00:00:03.000'), (np.arange(9).astype('m8[m]'), '180 s')])
def test_times_are_labelled_by_the_span_of_a_plot(times, label):
    times = times.astype('M8[ns]') if times.dtype.kind == 'M' else times
    assert time_label(times, 3) == label and time_label(times, 3.5) == time_label(times, -1) == time_label(times, 10**4) == ''

def test_a_row_is_plotted_with_its_dates():
    w = Windows(np.arange(400.)[:,None], '4d', horizon='1d', clock=Clock('2024-01-01', period='1h'))
    ax = TSDatasets(w).show_row(5)
    assert ax.xaxis.get_major_formatter()(0, 0) == '01-01 05:00' and ax.xaxis.get_major_formatter()(96, 0) == '01-05 05:00'
    assert [len(o.get_xdata()) for o in ax.lines] == [96,24]
    plain = TSDatasets(np.zeros((3,1,9))).show_row(1)
    assert 'FuncFormatter' not in type(plain.xaxis.get_major_formatter()).__name__

def test_ticks_are_at_round_times():
    hours = np.arange('2024-03-01T05', '2024-03-04T05', dtype='M8[h]').astype('M8[ns]')
    for n,want in ((72, ['00','00','00']), (10, ['06','09','12']), (24, ['06','12','18','00'])):
        assert [str(hours[i])[11:13] for i in round_steps(hours[:n])] == want
    uneven = hours[[0,1,2,30,31,60,61]]
    assert round_steps(uneven).tolist() == [3,4,5]
    assert len(round_steps(hours[:1])) == 0

def test_names_are_those_of_the_variables_that_are_read(tmp_path):
    X = save_array(tmp_path/'X.npy', np.zeros((20,3,5), 'f4'))
    save_folder(tmp_path)
    manifest = json.loads((tmp_path/'tsdisk.json').read_text())
    del manifest['crc32']
    manifest['arrays']['X']['names'] = ['a','b','c']
    (tmp_path/'tsdisk.json').write_text(json.dumps(manifest))
    w = Windows(np.zeros((50,3)), 5, names=['a','b','c'], sel_vars=['c'])
    names = [TSDatasets(o).var_names for o in (X, X[:, ::-2], X.transpose(0, 2, 1), np.zeros((4,3,5)), w, Windows(np.zeros((50,3)), 5))]
    assert names == [[['a','b','c']], [['c','a']], [None], [None], [['c']], [None]]

def test_results_have_dates_and_a_legend():
    w = Windows(filled((900,2)), 48, horizon=12, names=['sun','wind'], targets='sun', clock=Clock('2024-01-01', period='1h'))
    dls = TSDataLoaders.from_arrays(w, splits=time_splits(w), bs=8, seed=0)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(96, 12), nn.Unflatten(1, (1,12))))
    with learn.no_bar(): learn.show_results(max_n=2, shuffle=False)
    fig,first = plt.gcf(),dls.valid_ds.times(0)[0]
    assert dates_of(fig.axes[0], [0]) == [time_label(first, 0)] and '-' in dates_of(fig.axes[0], [0])[0]
    assert [o.get_text() for o in fig.legends[0].texts] == ['sun','wind','measured','predicted']
    assert fig.legends[0].legend_handles[2].get_color() == fig.axes[0].lines[2].get_color() == 'k'
    dls.show_batch(max_n=2)
    assert [o.get_text() for o in plt.gcf().legends[0].texts] == ['sun','wind','target']
    assert same_color(*(o.get_color() for o in (plt.gcf().legends[0].legend_handles[2], plt.gcf().axes[0].lines[2])))

# Dates

def dates_of(ax, steps): return [ax.xaxis.get_major_formatter()(o, None) for o in steps]

def test_a_batch_of_windows_has_its_dates():
    w = Windows(filled((900,1)), 48, horizon=12, gap=3, clock=Clock('2024-01-01', period='1h'))
    dls = TSDataLoaders.from_arrays(w, bs=8, seed=0, batch_tfms=[Jitter(.1), Standardize()])
    for dl in dls:
        dl.show_batch(max_n=3)
        rows = dl.idxs[:3]
        for i,ax in zip(rows, plt.gcf().axes):
            inputs,future = dl.dataset.times(int(i))
            assert dates_of(ax, [0,47,48,59]) == [str(o)[5:16].replace('T', ' ').removesuffix(' 00:00') for o in (*inputs[[0,-1]], *future[[0,-1]])]
        assert len({tuple(dates_of(o, [0])) for o in plt.gcf().axes[:3]}) == 3 or dl is dls.valid

def test_steps_that_augmentations_move_have_no_dates():
    w = Windows(filled((900,1)), 48, horizon=12, clock=Clock('2024-01-01', period='1h'))
    dls = TSDataLoaders.from_arrays(w, bs=8, seed=0, batch_tfms=TimeWarp())
    dls.show_batch(max_n=2)
    assert dates_of(plt.gcf().axes[0], [0]) != ['01-01 00:00'] and '-' not in dates_of(plt.gcf().axes[0], [0])[0]
    dls.valid.show_batch(max_n=2, nrows=2)
    assert '-' in dates_of(plt.gcf().axes[1], [0])[0] and plt.gcf().axes[0].get_gridspec().get_geometry() == (2,1)
    crops = Crops(filled((900,1)), 48, per_series=8, clock=Clock('2024-01-01', period='1h'))
    TSDataLoaders.from_arrays(crops, splits=[range(8),[]], bs=8).show_batch()
    assert '-' not in dates_of(plt.gcf().axes[0], [0])[0]

def test_a_horizon_as_long_as_the_input_is_drawn_after_it():
    w = Windows(ramp(1, 2, 400)[0].T, 12, horizon=12)
    dls = TSDataLoaders.from_arrays(w, bs=8, seed=0)
    dls.show_batch(max_n=1)
    assert {*ends(plt.gcf().axes[0])} == {(0,11),(12,23)}
    assert {*ends(dls.train_ds.show_row(0))} == {(0,11),(12,23)}
    learn = Learner(dls, nn.Conv1d(2, 2, 1), loss_func=nn.MSELoss())
    with learn.no_bar(): learn.show_results(max_n=1)
    assert {*ends(plt.gcf().axes[0])} == {(0,11),(12,23)}

def test_labels_of_steps_after_padding_are_drawn_at_their_steps():
    offsets = [0,10,30]
    y = Ragged(np.repeat([0,1], 15), offsets)
    ds = TSDatasets(Ragged(np.arange(30.), offsets, side='left'), y, cat=True)
    x,_,codes = (o[0] for o in ds.batch([0,1]))
    targ = ds.target.decode(codes)
    assert (len(targ), targ.start) == (10,10)
    ax = targ.show()
    assert [o.get_x() for o in ax.patches] == [9.5]
    pred = Labels(np.repeat([1,0], 10), ds.vocab) # Wrong in the padding
    show_results(x[None], codes[None], [(x,targ)], [(pred,)], ctxs=[plt.subplots()[1]])
    assert plt.gca().get_title() == '100% of steps right'
    plt.close('all')

def test_crops_that_are_seen_are_those_recorded():
    crops = Crops(filled((900,1)), 48, per_series=8)
    dls = TSDataLoaders.from_arrays(crops, splits=[range(8),[]], bs=8, device='cpu')
    for _ in range(2):
        axs = dls.show_seen(2)
        for top,low in zip(axs[:2], axs[2:]): same(top.lines[0].get_ydata(), low.lines[0].get_ydata())
    plt.close('all')

def test_results_without_targets_show_masks_too():
    x = TSTensor(filled((1,2,20)))
    mask = TSMask(torch.arange(20) < 12)
    ax = plt.subplots()[1]
    show_results(x, None, [(x[0],mask)], [(Category('a'),)], ctxs=[ax])
    assert [(o.get_x(), o.get_width()) for o in ax.patches] == [(11.5,8)]
    plt.close('all')
