"Batches and predictions are drawn as they are: recorded, seen, right and wrong"
import numpy as np, pytest, torch
import matplotlib.pyplot as plt
from fastai.basics import Category
from conftest import filled
from tsdisk.data.batches import Labels, TensorTarget, TSMask, TSTensor
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.show import plot_top_losses, show_batch, show_grid, show_results
from tsdisk.data.transforms import Standardize

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

def test_losses_are_added_to_titles_which_keep_their_colour():
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
