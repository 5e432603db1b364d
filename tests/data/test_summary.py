"A page about a dataset: of every layout, in units, from the command line"
import numpy as np, pytest
import matplotlib
from conftest import fails, filled
from tsdisk.disk.arrays import save_array
from tsdisk.tools.cli import main
from tsdisk.convert.convert import convert
from tsdisk.folder.manifest import read_manifest
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.show import show_grid
from tsdisk.data.summary import summary
from tsdisk.data.transforms import Standardize

matplotlib.use('Agg')
x = filled((60,3,40))
def titles(fig): return [o.get_title() for o in fig.axes]

def test_classes_and_what_is_missing(tmp_path):
    a = x.copy()
    a[::5,1] = np.nan
    convert([dict(X=o, y='ab'[i%2], names=['I','II','V1']) for i,o in enumerate(a)], tmp_path/'set')
    fig = summary(tmp_path/'set')
    assert titles(fig)[1:] == ['values','missing','rows of 2 classes'] and titles(fig)[0].startswith('samples')
    assert [o.get_text() for o in fig.axes[1].get_yticklabels()] == ['I','II','V1'] and [o.get_width() for o in fig.axes[2].patches] == pytest.approx([0,20,0])
    assert '60 × 3 × 40 float32' in fig._suptitle.get_text() and 'stats' in read_manifest(tmp_path/'set')

def test_numbers_series_and_lone_files(tmp_path):
    save_array(tmp_path/'x.npy', x)
    assert titles(summary(tmp_path/'x.npy'))[1:] == ['values']
    save_array(tmp_path/'long.npy', x[:,:,0])
    assert titles(summary(tmp_path/'long.npy')) == ['the first steps','values']
    convert([dict(X=o[:, :10+i], y=float(i)) for i,o in enumerate(x[:30])], tmp_path/'ragged')
    assert titles(summary(tmp_path/'ragged'))[1:] == ['values','lengths','targets']
    save_array(tmp_path/'text.npy', np.array(['a','b']))
    with fails(TypeError, 'of numbers'): summary(tmp_path/'text.npy')

@pytest.mark.parametrize('ragged', [False,True])
def test_integers_are_drawn_in_units(tmp_path, ragged):
    counts = filled((30,2,40), 'i2')%1000
    counts[3,0,:7] = -2**15
    convert([dict(X=o[:, :40-i*ragged], scale=[.01,2], offset=[5,0], missing=-2**15) for i,o in enumerate(counts)], tmp_path/'set')
    fig = summary(tmp_path/'set', n=30)
    real = counts*[[.01],[2.]]+[[5],[0.]]
    line = fig.axes[0].lines[1].get_ydata()
    assert np.allclose(line, real[0,1,:40], atol=1e-3) and np.isnan(np.concatenate([o.get_ydata() for o in fig.axes[0].lines])).sum() == 7
    assert titles(fig)[2] == 'missing'

def test_from_the_command_line(tmp_path, capsys):
    save_array(tmp_path/'x.npy', x)
    assert main(['info', str(tmp_path/'x.npy'), '--plot', str(tmp_path/'a.png')]) == 0 and (tmp_path/'a.png').stat().st_size > 5000
    assert main(['info', str(tmp_path/'x.npy'), str(tmp_path/'x.npy'), '--plot']) == 1 and 'one dataset' in capsys.readouterr().err

@pytest.mark.parametrize('workers', [0, 2])
def test_what_was_recorded_is_above_what_is_seen(workers):
    dls = TSDataLoaders.from_arrays(x*50+20, np.arange(60.), bs=16, seed=1, num_workers=workers, device='cpu', batch_tfms=Standardize())
    axs = dls.show_seen(3)
    assert len(axs) == 2*len(show_grid(3))
    tfm = dls.after_batch.fs[0]
    for top,low in zip(axs[:3], axs[3:]):
        a,b = (np.stack([o.get_ydata() for o in ax.lines]) for ax in (top, low))
        assert (abs(a[None]-(x*50+20)) < 1e-3).all((1,2)).sum() == 1 and np.allclose(b, (a-tfm.mean.numpy())/tfm.std.numpy(), atol=1e-4)
