"A page about a dataset: of every layout, in units, from the command line"
import numpy as np, pytest
import matplotlib
from conftest import fails, filled
from tsdisk.disk.arrays import save_array
from tsdisk.tools.cli import main
from tsdisk.convert.convert import convert
from tsdisk.disk.sidecar import read_manifest
from tsdisk.data.summary import summary
from tsdisk.folder.manifest import save_folder, write_manifest

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
    with fails(TypeError, 'needs numbers'): summary(tmp_path/'text.npy')

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

def test_at_most_thirty_variables_and_classes_are_drawn(tmp_path):
    convert([dict(X=o, y=f'{i%35:02}') for i,o in enumerate(filled((120,40,5)))], tmp_path/'set')
    fig = summary(tmp_path/'set')
    assert titles(fig)[1:] == ['values, the first 30 of 40','rows of 35 classes']
    assert [len(o.get_yticklabels()) for o in fig.axes[1:]] == [30,30]
    assert [o.get_width() for o in fig.axes[2].patches] == [4]*15 + [3]*15

def test_samples_are_drawn_at_random_but_the_same_for_a_seed(tmp_path):
    save_array(tmp_path/'x.npy', x)
    drawn = [titles(summary(tmp_path/'x.npy', n=4, seed=o))[0] for o in (1,1,2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0].split()) == 5

@pytest.mark.parametrize('ragged', [False,True])
def test_whole_numbers_of_steps_are_classes_if_close_together(tmp_path, ragged):
    def labels(i): return np.where(np.arange(40-i*ragged) < 10, -100, i%2)
    for name,far in (('classes',1), ('counts',1000)): convert([dict(X=o[:, :40-i*ragged], y=labels(i)*far) for i,o in enumerate(x[:20])], tmp_path/name)
    assert titles(summary(tmp_path/'classes'))[-1] == 'steps of 2 classes'
    assert titles(summary(tmp_path/'counts'))[-1] == 'targets'

def test_integers_with_a_scale_are_no_classes(tmp_path):
    save_folder(tmp_path, x, filled((60,40), 'i2')%100)
    manifest = read_manifest(tmp_path)
    manifest['arrays']['y']['scale'] = .1
    write_manifest(tmp_path, **manifest)
    assert titles(summary(tmp_path))[-1] == 'targets'
