"Labels of windows are those of a loop"
import numpy as np, pytest
from conftest import fails, filled, same
from layouts import laid_out, layouts, lens, loop, recordings
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.labels import array_vocab
from tsdisk.series.crops import Crops
from tsdisk.series.ragged_files import save_ragged
from tsdisk.series.windows import Windows

@pytest.fixture(scope='module', params=layouts)
def panel(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('panel')
    return laid_out(request.param, folder, recordings(lens, 3))

def test_labels_are_those_of_a_loop(panel, tmp_path):
    x,axis,xs = panel
    labels = [np.random.default_rng(i).integers(0, 3, len(o)) for i,o in enumerate(xs)]
    y = labels[0] if len(xs) == 1 else save_ragged(tmp_path, labels)
    w,want = Windows(x, 6, 2, axis=axis),loop(xs, 6, 2)
    i = np.random.default_rng(0).permutation(len(w))
    cut = np.stack([labels[s][a:a+6] for s,a in (want[j] for j in i)])
    same(w.over(y).gather(i), cut)
    for at in (-1,0,3): same(w.label(y, at).gather(i), cut[:, at])
    same(w.label(y, 'majority').gather(i), np.array([np.bincount(o).argmax() for o in cut]))
    same(w.label(y, lambda o: o.max(1)).gather(i), cut.max(1))
    names = np.array([f's{s}' for s in range(len(xs))])
    same(w.of_series(names).gather(i), names[[want[j][0] for j in i]])
    rows = range(0, len(w), 3)
    assert set(array_vocab(w.of_series(names), rows)) == {names[want[j][0]] for j in rows}
    assert set(cut[:, -1]) <= set(array_vocab(w.label(y)))

@pytest.mark.parametrize('names', [[3,7,9], ['a','bb','c']])
def test_preloaded_labels_of_steps_are_codes(names):
    y = np.array(names)[np.arange(200)//7%3]
    w = Windows(np.random.default_rng(0).random((200,2)).astype('f4'), 10, 10)
    ds = TSDatasets(w, w.over(y), cat=True, splits=[range(15), range(15, 20)])
    dls = TSDataLoaders.from_dsets(ds, bs=4, device='cpu')
    before = dls.valid.one_batch()[1]
    same(dls.preload().valid.one_batch()[1].numpy(), before.numpy())
    c = Crops(np.zeros((1,2,200), 'f4'), 10, per_series=20)
    dls = TSDataLoaders.from_dsets(TSDatasets(c, c.label(y[None][0])), bs=4, device='cpu')
    with fails(ValueError, "can't be preloaded"): dls.preload()

def test_labels_made_by_a_function_are_not_cut():
    w = Windows(np.zeros(30, 'f4'), 4)
    y = w.label(np.arange(30), lambda y: ['high' if o.max() > 20 else 'l' for o in y])
    with fails(ValueError, '<U4', "dtype='<U20'"): y.gather([0,25])

def test_labels_of_the_steps_of_samples():
    x,y = filled((4,3,20)),np.arange(80).reshape(4, 20)
    w = Windows(x, 5, 5)
    same(w.over(y).gather([5]), y[1,5:10][None])
    same(w.label(y).gather([0,15]), np.array([4,79]))

def test_labels_of_the_steps_of_a_single_series():
    x,y = np.zeros((1,2,100), 'f4'), np.arange(100)[None]//50
    w = Windows(x, 10)
    same(w.over(y).gather([3,45]), y[0,[np.arange(3, 13), np.arange(45, 55)]])
    same(w.label(y).gather([0,90]), np.array([0,1]))
    same(w.over(y[:,::2], 2).gather([3]), y[:,4:14:2])
    assert w.over(np.zeros((100,3))).shape == (91,3,10) and Windows(np.zeros((1,1,1)), 1).over(np.zeros((1,3))).shape == (1,3,1)
