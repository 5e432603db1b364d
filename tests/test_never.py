"Faults that loaders of time series are known for, one test each: none of them may be ours"
import numpy as np, pytest, torch
from fastai.basics import Learner
from torch import nn
from conftest import fails
from tsdisk.disk.arrays import save_array
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.items import itemify
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.data.transforms import PerSample

def ramp(n, dtype='f4'): return (np.arange(n)[:,None,None]*np.ones((1,2,5))).astype(dtype)
def rows(dl): return torch.cat([b[0][:,0,0] for b in dl]).long().tolist()
def loaders(n, **kwargs): return TSDataLoaders.from_arrays(ramp(n), bs=64, device='cpu', **kwargs)

@pytest.mark.parametrize('n,bs,dtype', [(120,64,'i1'), (32_700,128,'i2'), (255,64,'u1')])
def test_small_integers_as_row_numbers_lose_no_batch(n, bs, dtype):
    dls = TSDataLoaders.from_arrays(ramp(n), splits=[np.arange(n).astype(dtype),[]], bs=bs, shuffle=False, device='cpu')
    assert rows(dls.train) == [*range(n)]

def test_unseen_labels_are_no_class():
    with fails(ValueError, "'c'", 'vocab'): [*TSDataLoaders.from_arrays(ramp(4), [*'abac'], splits=[[0,1,2],[3]], device='cpu').valid]

def test_stratified_batches_are_there():
    dl = TSDataLoader(TSDatasets(ramp(1000), np.repeat([0,1], [900,100])), bs=50, shuffle='stratified', seed=1)
    rare = [int(b[1].sum()) for b in dl]
    assert len(rare) == 20 and min(rare) >= 4 and max(rare) <= 6

def test_weights_are_not_ignored_without_shuffling():
    with fails(ValueError, 'random order'): loaders(100, shuffle=False, weights=np.ones(100))

def test_parts_of_an_epoch_are_as_many_rows_and_validation_is_whole():
    dls = loaders(1000, splits=[range(700),range(700, 1000)], partial_n=100, drop_last=False)
    assert len(rows(dls.train)) == 100 and rows(dls.valid) == [*range(700, 1000)]

@pytest.mark.parametrize('kw', [dict(partial_n=300), dict(weights=np.arange(1000)), dict(partial_n=.1, weights=np.arange(1000))], ids=['part','weights','both'])
def test_seeds_rule_weights_and_parts(kw):
    make = lambda seed: rows(loaders(1000, splits=[range(1000),[]], seed=seed, **kw).train)
    assert make(3) == make(3) != make(4)

def test_rows_of_a_batch_are_known_with_workers():
    dl = TSDataLoader(TSDatasets(ramp(300)), bs=32, shuffle=True, num_workers=2, seed=0)
    for b, in dl: assert dl.idxs.tolist() == b[:,0,0].long().tolist()

def test_two_ranks_do_not_double_rows():
    parts = [rows(TSDataLoader(TSDatasets(ramp(500)), bs=64, seed=0, rank=r, world_size=2)) for r in (0,1)]
    assert sorted(parts[0]+parts[1]) == [*range(500)]

@pytest.mark.parametrize('dtype', ['i1','i2','u1','i4','i8','f2','f8','?'])
def test_series_of_any_numbers_are_float32(dtype):
    b = TSDataLoaders.from_arrays(ramp(50, dtype), np.arange(50.), bs=10, device='cpu', shuffle=False, splits=[range(50),[]]).one_batch()
    assert b[0].dtype == b[1].dtype == torch.float32 and b[0][1,0,0] == 1, 'targets of float64 too'

def test_splits_of_any_kind_and_none_that_are_wrong():
    mask = np.arange(100) < 80
    for o in ([mask,~mask], [slice(0, 80),slice(80, 100)], [range(80),range(80, 100)], ([*range(80)],[*range(80, 100)])):
        dls = loaders(100, splits=o)
        assert (len(dls.train_ds),len(dls.valid_ds)) == (80,20)
    with fails(IndexError, 'row 100'): loaders(100, splits=[range(80),range(80, 101)])
    with fails(ValueError, 'one split only'): loaders(100, splits=[range(80),range(70, 100)])

def test_a_batch_is_never_the_file(tmp_path):
    save_array(tmp_path/'x.npy', ramp(64))
    for x in (tmp_path/'x.npy', np.load(tmp_path/'x.npy', mmap_mode='r+')):
        b, = next(iter(TSDataLoader(TSDatasets(x), bs=64)))
        b += 1
    assert np.array_equal(np.load(tmp_path/'x.npy'), ramp(64))

def test_new_data_and_single_samples():
    dls = TSDataLoaders.from_arrays(ramp(100), [*'ab']*50, bs=10, device='cpu')
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(10, 2)))
    assert len(learn.get_preds(dl=dls.test_dl(ramp(7)))[0]) == 7 and learn.predict(ramp(1)[0])[0] in 'ab'

def test_a_batch_decodes_by_its_own_statistics():
    x = np.random.default_rng(0).normal(size=(40,2,30)).cumsum(-1).astype('f4')
    dl = TSDataLoaders.from_arrays(x, bs=10, splits=[range(40),[]], shuffle=False, device='cpu', batch_tfms=PerSample()).train
    batches = [*dl]
    for i,b in enumerate(batches): assert np.allclose(dl.after_batch.decode(b)[0], x[i*10:i*10+10], atol=1e-4)

def test_rows_come_in_the_order_they_were_asked_for(tmp_path):
    X = save_array(tmp_path/'x.npy', ramp(100))
    for idxs in ([7,3,99,3], [*range(99, -1, -1)]):
        assert as_source(X).gather(idxs)[:,0,0].tolist() == idxs and [int(o[0][0,0]) for o in itemify(X)[idxs]] == idxs
