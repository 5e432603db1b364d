"Classes that integers stand for: their names in `vocab`, and labels of steps that are not taken for numbers without a word"
import warnings
import numpy as np, pytest, torch
from fastai.basics import Categorize, CrossEntropyLossFlat, Learner, load_learner, nn, RegressionSetup
from fastai.callback.progress import *
from conftest import fails
from tsdisk.convert.annotations import LabelSteps
from tsdisk.convert.convert import append, convert
from tsdisk.convert.info import info
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder
from tsdisk.series.windows import Windows
from tsdisk.train.predict import preds_to_disk

stages = ['wake','N1','N2']
def record(seed, n=40, names=stages):
    "A recording with an annotation each second, at 4 Hz"
    rng = np.random.default_rng(seed)
    notes = [[float(i), 1., names[(i+seed)%2]] for i in range(n//4-1)]
    return dict(X=rng.normal(size=(2,n)).astype('f4'), fs=4., annotations=notes)

@pytest.fixture(params=['dense','ragged'])
def folder(tmp_path, request):
    "Eight recordings; no step is labelled N2, and the last four steps of each have no label"
    records = [record(i, 40 + 4*i*(request.param == 'ragged')) for i in range(8)]
    convert(records, tmp_path/'set', tfm=LabelSteps(stages), n_workers=0)
    return tmp_path/'set'

def test_labels_of_annotations_are_classes_with_names(folder):
    assert read_manifest(folder)['arrays']['y']['classes'] == dict(wake=0, N1=1, N2=2)
    dls = TSDataLoaders.from_folder(folder, splits=[range(6),range(6, 8)], bs=2, val_bs=2, shuffle=False, device='cpu')
    assert list(dls.vocab) == stages and dls.c == 3 and dls.cat and isinstance(dls.loss_func, CrossEntropyLossFlat)
    b = dls.valid.one_batch()
    y = open_folder(folder)[0]['y']
    stored = np.asarray(y[7]).reshape(-1)
    assert b[-1][1,-len(stored):].tolist() == stored.tolist() and stored[-1] == -100
    names = [o for o in dls.valid.decode_batch(b)[1][-1] if o is not None]
    assert names == [stages[o] for o in stored if o != -100]
    assert 'classes of y: 0 wake, 1 N1, 2 N2' in info(folder).notes
    items = (folder/'items.jsonl').read_text()
    assert '"classes"' not in items and '"annotations"' in items

def test_labels_of_windows_have_the_names_of_their_steps(folder):
    X,y = (open_folder(folder)[0][o] for o in 'Xy')
    w = Windows(X, 8, stride=4)
    for target in (w.over(y), w.label(y), w.label(y, 'majority')):
        ds = TSDatasets(w, target)
        assert list(ds.vocab) == stages and ds.c == 3 and ds.cat
    assert list(TSDatasets(w, w.label(y, lambda a: a.max(1))).vocab) == [0,1]

def test_options_still_decide(tmp_path):
    convert([record(i) for i in range(8)], tmp_path/'set', tfm=LabelSteps(stages), n_workers=0)
    X,y = (open_folder(tmp_path/'set')[0][o] for o in 'Xy')
    for kw in (dict(cat=False), dict(tfms=[None,RegressionSetup()])):
        ds = TSDatasets(X, y, **kw)
        assert not ds.cat and ds[0][1].dtype == torch.float32
    assert list(TSDatasets(X, y, vocab={0: 'a', 1: 'b'}, cat=True).vocab) == ['a','b']
    assert list(TSDatasets(X, y, tfms=[None,Categorize(add_na=True)]).vocab) == ['#na#',*stages]
    assert list(TSDatasets(X, y, vocab=[0,1], cat=True).vocab) == [0,1]

def test_names_survive_predictions_and_export(tmp_path):
    convert([record(i) for i in range(8)], tmp_path/'set', tfm=LabelSteps(stages), n_workers=0)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(6),range(6, 8)], bs=2, device='cpu')
    learn = Learner(dls, nn.Conv1d(2, 3, 1), path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        out = preds_to_disk(learn, dls.valid, tmp_path/'p', decoded=True)
        assert set(out.decoded.ravel().tolist()) <= {*stages} and out.decoded.shape == (2,40)
        assert set(learn.predict(np.zeros((2,40), 'f4'))[0]) <= {*stages}
    learn.export(tmp_path/'learn.pkl')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert list(load_learner(tmp_path/'learn.pkl').dls.vocab) == stages

def test_merged_classes_and_other_numbers(tmp_path):
    tfm = LabelSteps(dict(wake=7, N1=3, N2=3))
    convert([record(i, names=['wake','N2']) for i in range(3)], tmp_path/'set', tfm=tfm, n_workers=0)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(3)], bs=3, device='cpu')
    y = dls.train.one_batch()[1]
    assert list(dls.vocab) == ['N1/N2','wake'] and dls.c == 2 and set(y.unique().tolist()) == {-100,0,1}

def test_appended_rows_have_the_same_classes(folder):
    append(folder, [record(9)], tfm=LabelSteps(stages), n_workers=0)
    assert read_manifest(folder)['arrays']['y']['classes'] == dict(wake=0, N1=1, N2=2)
    with fails(Exception, 'Its `classes` are', "'N1': 0"): append(folder, [record(10)], tfm=LabelSteps(stages[::-1][1:]+['N2']), n_workers=0)

def test_other_rows_with_other_names_are_refused(tmp_path):
    for name,order in (('a', stages),('b', ['N1','wake','N2'])): convert([record(i) for i in range(4)], tmp_path/name, tfm=LabelSteps(order), n_workers=0)
    dls = TSDataLoaders.from_folder(tmp_path/'a', splits=[range(3),[3]], bs=2, device='cpu')
    X,y = (open_folder(tmp_path/'b')[0][o] for o in 'Xy')
    with fails(ValueError, "Label 0 is 'N1' in these rows, and 'wake' in the training data"): dls.test_dl((X, y), with_labels=True)
    with fails(ValueError, "Label 0 is 'N1'"): TSDataLoaders.from_dsets(dls.train_ds, TSDatasets(X, y))
    assert len(dls.test_dl((X, np.asarray(y)), with_labels=True).one_batch()) == 2

def test_classes_of_rows_and_of_folders_that_disagree(tmp_path):
    y = np.array([0,1,-100,1])
    convert([dict(X=np.ones((4,1,6), 'f4'), y=y, classes=dict(ill=0, well=1))], tmp_path/'set', n_workers=0)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(4)], bs=4, shuffle=False, device='cpu')
    assert list(dls.vocab) == ['ill','well'] and dls.train.one_batch()[1].tolist() == [0,1,-100,1]
    w = Windows(np.ones((4,1,6), 'f4'), 3)
    assert list(TSDatasets(w, w.of_series(open_folder(tmp_path/'set')[0]['y'])).vocab) == ['ill','well']
    with fails(ValueError, 'distinct names'): TSDatasets(np.ones((4,1,6), 'f4'), y, vocab={0: 'a', 1: 'a'})

def test_metadata_that_is_called_classes_stays_metadata(tmp_path):
    convert([dict(X=np.ones((1,6), 'f4'), y=i, classes='ill and well') for i in range(3)], tmp_path/'set', n_workers=0)
    assert read_manifest(tmp_path/'set')['info']['classes'] == 'ill and well'
    assert TSDatasets.from_folder(tmp_path/'set').vocab == [0,1,2]

# Integers without names

X = np.zeros((20,3,8), 'f4')
labels = np.arange(160).reshape(20,8)%3
unknown = np.where(labels == 2, -100, labels)
images,pixels = np.zeros((20,1,4,5), 'f4'),np.arange(400).reshape(20,4,5)%2
looks_like_labels = dict(steps=(X, labels), unknown=(X, unknown), bools=(X, labels > 1), column=(X, labels[:,:1]), bytes=(X, labels.astype('u1')))
looks_like_labels |= dict(pixels=(images, pixels), variable=(X, labels[:,None]))
counts = np.arange(160).reshape(20,8)
is_clear = dict(floats=(X, labels.astype('f4')), several=(X, labels[:,:5]%2), counts=(X, counts), forecasts=(X, X.astype('i2')), rows=(X, labels[:,0]))

def warned(*args, **kw):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        ds = TSDatasets(*args, **kw)
    return ds, [str(o.message) for o in found if 'regression' in str(o.message)]

@pytest.mark.parametrize('name', looks_like_labels)
def test_integers_that_look_like_labels_of_steps_are_said(tmp_path, name):
    X,y = looks_like_labels[name]
    for o in (y, save_array(tmp_path/'y.npy', y)):
        ds,found = warned(X, o)
        assert not ds.cat and len(found) == 1 and '`cat=True`' in found[0] and '`cat=False`' in found[0]
        assert f'{len(np.unique(y))} different' in found[0] and ('in each row' in found[0]) == (name == 'column')
        for kw in (dict(cat=False), dict(cat=True), dict(tfms=[None,RegressionSetup()]), dict(tfms=[None,Categorize()])): assert not warned(X, o, **kw)[1]

@pytest.mark.parametrize('name', is_clear)
def test_other_targets_are_taken_without_a_word(name): assert not warned(*is_clear[name])[1]

def test_labels_of_windows_that_are_integers_are_said():
    w = Windows(np.zeros((100,2), 'f4'), 10)
    for y in (np.arange(100)//30, np.arange(100)[:,None]//30):
        ds,found = warned(w, w.over(y))
        assert not ds.cat and len(found) == 1 and 'for each step' in found[0]
    assert not warned(w, w.label(np.arange(100)//30))[1]
    assert not warned(w, w)[1] and not warned(Windows(np.zeros((100,1), 'i2'), 10, horizon=10))[1]

# Strings that stand for no label

@pytest.mark.parametrize('none', ['', 'nan', 'None', ' ?', b'NaN'])
def test_a_class_whose_name_says_there_is_no_label_is_said(tmp_path, none):
    y = np.array([*'abc'*6, none, none]) if isinstance(none, str) else np.array([b'a', b'b', none]*6 + [b'c']*2)
    def labels_with(y, **kw):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter('always')
            ds = TSDatasets(X, y, **kw)
        return len(ds.vocab), [str(o.message) for o in found]
    for o in (y, save_array(tmp_path/'y.npy', y)):
        n,(said,) = labels_with(o)
        assert n == 4 and said.startswith(f'{str(np.array(none).astype("U"))!r} is one of the 4 classes') and '`no_label=' in said
        assert labels_with(o, no_label=none) == (3, [])
        assert labels_with(o, vocab=np.unique(y).tolist()) == (4, [])
    assert labels_with(np.array([*'abcd'*5])) == (4, [])

@pytest.mark.parametrize('none', [None, float('nan')])
def test_missing_labels_among_strings_are_named(none):
    y = np.array(['a', none, *'b'*18], object)
    with fails(TypeError, f'Row 1 is {none!r}', "write '' instead", "`no_label=''`"): TSDatasets(X, y)
    if none is not None: # NumPy makes a string of it
        with pytest.warns(UserWarning, match="'nan' is one of the 3 classes"): TSDatasets(X, list(y))
