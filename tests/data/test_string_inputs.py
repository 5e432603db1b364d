"Further inputs that are strings: codes for embeddings, in a vocabulary of the training rows"
import numpy as np, pickle, pytest, torch
from conftest import fails
from fastai.basics import CrossEntropyLossFlat, L, Learner, Module, nn
from fastai.callback.progress import ProgressCallback
from tsdisk.data.batches import TSInput
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.series.windows import Windows

rng = np.random.default_rng(0)
X = rng.normal(size=(60,3,20)).astype('f4')
sites = np.array(['south','north','east'])[np.arange(60)%3]
sites[50] = 'west' # Only in validation
y = np.arange(60)%2
splits = [range(40), range(40, 60)]

@pytest.mark.parametrize('form', [np.asarray, list, lambda a: a.astype('S9'), 'file'], ids=['array','list','bytes','file'])
def test_strings_become_codes_of_the_training_rows(tmp_path, form):
    codes = save_array(tmp_path/'c.npy', sites) if form == 'file' else form(sites)
    ds = TSDatasets((X,codes), y, splits=splits)
    assert [str(o) if isinstance(o, str) else o.decode() for o in ds.tls[1].vocab[1:]] == ['east','north','south'] and ds.tls[1].vocab[0] == '#na#'
    dls = TSDataLoaders.from_dsets(ds, bs=60)
    x,c,t = dls.valid.one_batch()
    assert type(c) is TSInput and c.dtype == torch.int64 and dls.c == 2 and list(dls.vocab) == [0,1]
    assert c.tolist() == [0 if s == 'west' else 1 + ['east','north','south'].index(s) for s in sites[40:]]
    assert ds.input_vocabs[0] is None and len(ds.input_vocabs[1]) == 4

class Net(Module):
    def __init__(self, n): self.emb,self.out = nn.Embedding(n, 4),nn.Linear(7, 2)
    def forward(self, x, c): return self.out(torch.cat([x.mean(-1), self.emb(c)], 1))

def test_a_model_embeds_them_and_new_samples_too():
    dls = TSDataLoaders.from_arrays((X,sites), y, splits=splits, bs=8)
    learn = Learner(dls, Net(len(dls.input_vocabs[1])))
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging(): learn.fit(1)
    assert learn.get_preds()[0].shape == (20,2)
    new = [(X[0],'north'), (X[1],'mars')]
    for items in ((X[:2], np.array(['north','mars'])), new): assert dls.test_dl(items).one_batch()[1].tolist() == [2,0]
    again = pickle.loads(pickle.dumps(dls.new_empty())).test_dl((X[:2], ['south','east']))
    assert again.one_batch()[1].tolist() == [3,1]

def test_static_strings_of_series_and_known_strings_of_steps():
    w = Windows([rng.normal(size=(50,2)).astype('f4') for _ in range(4)], size=10, stride=10)
    kinds = ['a','b','a','c']
    ds = TSDatasets((w, w.of_series(kinds)), np.arange(len(w))%2, splits=[range(15), range(15, 20)])
    assert next(iter(TSDataLoaders.from_dsets(ds, bs=20, shuffle=False, drop_last=False).train))[1].tolist() == [1]*5+[2]*5+[1]*5
    static = Windows([rng.normal(size=(50,2)).astype('f4') for _ in range(4)], size=10, stride=10, static=kinds)
    assert TSDatasets(static, splits=[range(15), range(15, 20)]).input_vocabs == [None,['#na#','a','b']]
    steps = np.array([['mon','tue']*10]*60)
    b = TSDataLoaders.from_arrays((X,steps), y, splits=splits, bs=4).one_batch()
    assert b[1].shape == (4,20) and b[1][0].tolist() == [1,2]*10

def test_without_targets_there_are_no_classes():
    dls = TSDataLoaders.from_arrays((X,sites), splits=splits, bs=8)
    assert dls.c == 1 and len(dls.one_batch()) == 2 and not hasattr(dls.train_ds, 'vocab')
    with fails(ValueError, 'need a label for each row'): TSDataLoaders.from_arrays((X,sites), splits=splits, bs=8, shuffle='stratified').one_batch()

def test_training_rows_without_strings_are_no_error():
    dls = TSDataLoaders.from_arrays((X, np.where(np.arange(60)%2, sites, '')), y, splits=splits, bs=8)
    assert min(o for b in dls.train for o in b[1].tolist()) >= 0

def test_objects_are_refused():
    with fails(TypeError, ''): TSDatasets((X, [None]*60), y)

def test_they_show_as_strings():
    ds = TSDatasets((X,sites), y, splits=splits)
    assert ds.tls[1].decode(ds[0][1]) == 'south' and L(ds.decode(ds[0]))[1] == 'south'
