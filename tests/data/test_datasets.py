"Rows become typed tensors, labels their places in a vocabulary; what cannot work is refused before training"
import pickle
import numpy as np, pytest, torch
from fastai.data.transforms import Categorize, MultiCategorize, RandomSplitter, RegressionSetup
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import TensorCategory
from fastcore.foundation import L
from fasttransform import Transform
from torch import nn
from conftest import epoch, fails, filled, ramp, rows, same
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import save_array
from tsdisk.data.batches import TensorTarget, TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.items import itemify
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.sampling import with_train
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.disk.sources import Source

# Types

@pytest.mark.parametrize('dtype', 'f2 f4 f8 i1 u1 i2 u2 i4 u4 i8 ?'.split())
def test_inputs_of_any_dtype_arrive_as_float32(tmp_path, dtype):
    x = filled((50,3,7), dtype)
    if dtype in ('i8','u4','i4'): x >>= 3
    dls = TSDataLoaders.from_arrays(save_array(tmp_path/'X.npy', x), splits=[range(40),range(40, 50)], bs=10, shuffle=False, device='cpu')
    for dl,part in zip(dls, (x[:40],x[40:])):
        for i,(xb,) in enumerate(dl):
            assert type(xb) is TSTensor and (xb.vars, xb.len) == (3,7)
            same(xb.numpy(), part[i*10:i*10+10].astype('f4'))
    same(dls.train_ds[3][0].numpy(), x[3].astype('f4'))

@pytest.mark.parametrize('shape', [(), (1,), (3,), (2,5), (1,5)], ids=str)
@pytest.mark.parametrize('dtype', ['f2','f4','f8'])
def test_float_targets_arrive_as_float32(dtype, shape):
    y = filled((20,*shape), dtype)
    dls = TSDataLoaders.from_arrays(ramp(20), y, splits=[range(10),range(10, 20)], bs=10, shuffle=False)
    yb = dls.train.one_batch()[1]
    assert type(yb) is TensorTarget and dls.cat is False and dls.c == 1 and type(dls.loss_func.func) is nn.MSELoss
    assert dls.d == {0: None, 1: shape and shape[0]}.get(len(shape), list(shape)) and getattr(dls, 'vocab', None) is None
    same(yb.numpy(), y[:10].astype('f4'))

labels = dict(strings=['walk','sit','run'], bytes=[b'b',b'a',b'cc'], bools=[True,False], ints=[0,1,2], gaps=[7,-3,1000], int8=np.array([-128,127,5], 'i1'), uint8=np.array([255,0,3], 'u1'),
    uint64=np.array([2**63,1], 'u8'), one=['only'], accents=['é','','日本'], many=np.arange(300))

@pytest.mark.parametrize('kind', labels)
def test_labels_become_places_in_the_sorted_vocabulary(tmp_path, kind):
    vals = np.asarray(labels[kind])
    y = np.r_[vals, np.random.default_rng(0).permutation(np.resize(vals, 600-len(vals)))]
    for o in (y, save_array(tmp_path/'y.npy', y)):
        dls = TSDataLoaders.from_arrays(ramp(600), o, splits=[range(500),range(500, 600)], bs=500, shuffle=False)
        want = np.unique(vals)
        assert dls.c == len(want) and list(dls.vocab) == want.tolist() and dls.cat is True and dls.d is None and isinstance(dls.loss_func, CrossEntropyLossFlat)
        for dl,part in zip(dls, (y[:500],y[500:])):
            yb = torch.cat([o[1] for o in dl])
            assert type(yb) is TensorCategory and yb.dtype == torch.int64
            same(want[yb.numpy()], part)
        assert [dls.vocab.o2i[o] for o in want.tolist()] == [*range(len(want))]

def test_lists_of_labels_are_labels():
    dls = TSDataLoaders.from_arrays(ramp(4), ['b','a','b','a'], splits=[range(4)], shuffle=False, bs=4)
    assert dls.one_batch()[1].tolist() == [1,0,1,0]

@pytest.mark.parametrize('dtype', ['i1','u1','i8','?'])
def test_classes_per_step(dtype):
    y = filled((20,3), dtype)%3 if dtype != '?' else filled((20,3), dtype)
    cat = TSDatasets(ramp(20), y, cat=True)
    assert cat.cat and cat.c == len(np.unique(y)) and type(cat[0][1]) is TensorCategory
    assert np.array(cat.vocab)[cat.batch(range(20))[1].numpy()].tolist() == y.tolist()
    gaps = TSDatasets(ramp(20), y.astype('i8')*10-7, cat=True)
    same(gaps.batch([5,2])[1].numpy(), cat.batch([5,2])[1].numpy())

@pytest.mark.parametrize('dtype', ['i1','u1','i8','?','f8'])
def test_several_numbers_a_row_are_targets_the_model_can_match(dtype):
    y = filled((20,3), dtype)
    dsets = TSDatasets(ramp(20), y)
    assert (dsets.cat, dsets.c, dsets.d) == (False,1,3)
    yb = dsets.batch(range(20))[1]
    same(yb.numpy(), y.astype('f4'))
    assert dsets.loss_func(yb, yb) == 0

def test_integers_are_numbers_when_told_so():
    dls = TSDataLoaders.from_arrays(ramp(20), np.arange(20), cat=False, splits=[range(10),range(10, 20)], shuffle=False, bs=10)
    assert (dls.cat, dls.c, dls.d) == (False,1,None) and dls.valid.one_batch()[1].tolist() == [*range(10, 20)]
    reg = TSDatasets(ramp(20), np.arange(20), tfms=[None,RegressionSetup()])
    assert not reg.cat and TSDatasets(ramp(20), np.arange(20.), tfms=[None,Categorize()]).c == 20

def test_floats_are_categories_when_told_so():
    ds = TSDatasets(ramp(4), [.5,.25,.5,1.], cat=True)
    assert list(ds.vocab) == [.25,.5,1.] and [o[1].item() for o in ds] == [1,0,1,2]

def test_vocab_is_that_of_the_training_rows_or_as_given():
    y = np.array(['b','c','b','c','b','b'])
    assert list(TSDatasets(ramp(6), y, splits=[[0,2,1],[4]]).vocab) == ['b','c']
    ds = TSDatasets(ramp(6), y, vocab=['c','z','b'], splits=[[0,2],[1,4]])
    assert list(ds.vocab) == ['c','z','b'] and ds.c == 3 and [o[1].item() for o in ds.valid] == [0,2]
    assert ds.decode(ds[1])[1] == 'c'
    assert list(TSDatasets(ramp(6), y, tfms=[None,Categorize(vocab=['c','b'])]).vocab) == ['b','c']

@pytest.mark.parametrize('X,y,kw,err,words', [
    (ramp(5)[:, 0], None, {}, ValueError, ('(n, vars, steps)','X[:, None]')),
    (np.array([[['a']]]), None, {}, TypeError, ('<U1',)), (ramp(5, dtype='c8'), None, {}, TypeError, ('complex64',)),
    (ramp(5, dtype='>f4'), None, {}, (TypeError,ValueError), ('endian',)), (ramp(5), np.arange(4), {}, ValueError, ('5 rows','has 4')),
    (ramp(5), [*'abcde'], dict(cat=False), TypeError, ('always categories',)), (ramp(5), np.zeros(5, 'M8[s]'), {}, TypeError, ('datetime64',)),
    (ramp(5), np.array([None]*5), {}, TypeError, ('dtype=str',)), (ramp(5), None, dict(splits=[range(6)]), IndexError, ('row 5',)),
    (ramp(5), None, dict(splits=[[0,1],[1]]), ValueError, ('Row 1',)), ('none.npy', None, {}, FileNotFoundError, ('none.npy',))])
def test_datasets_refuse_what_cannot_be_trained_on(X, y, kw, err, words):
    with fails(err, *words): TSDatasets(X, y, **kw)

# Datasets

class Poison(Source):
    "Rows that must not be read"
    def __init__(self, shape): self.shape,self.dtype = shape,np.dtype('f4')
    def __getitem__(self, i): raise AssertionError('X was read')
    _gather = lambda self, idxs, out: self[0]

ce,mse = nn.CrossEntropyLoss,nn.MSELoss
targets = dict(strings=(['b','a']*50, 2, None, True, ce), ints=(np.arange(100)%4, 4, None, True, ce), none=(None, 1, None, False, None),
    numbers=(np.arange(100.), 1, None, False, mse), vectors=(ramp(100)[:, :, 0], 1, 2, False, mse), series=(ramp(100), 1, [2,3], False, mse))

@pytest.mark.parametrize('kind', targets)
def test_what_a_model_needs_is_known_without_reading_inputs(kind):
    y,c,d,cat,loss = targets[kind]
    dls = TSDataLoaders.from_arrays(Poison((100,5,70)), y, bs=8, num_workers=0)
    for o in (dls, dls.train, dls.valid, dls.train_ds, dls.valid_ds):
        assert (o.vars, len(o) if o is dls else o.len, o.c, o.d, o.cat) == (5, 2 if o is dls else 70, c, d, cat)
    assert dls.len == 70 and dls.n_inp == 1 and len(dls.train) == 10 and len(dls.valid) == 3 and [len(o.dataset) for o in dls] == [80,20]
    assert loss is None or type(dls.loss_func.func) is loss
    for o in (dls, dls.train, dls.train_ds, dls.new_empty()): assert repr(o) and pickle.loads(pickle.dumps(o)).vars == 5
    with fails(AssertionError, 'X was read'): dls.one_batch()

split_forms = dict(ints=([5,3,9],[0,1]), arrays=(np.arange(8),np.array([9,8], 'u1')), masks=([i < 7 for i in range(10)],np.arange(10) >= 7),
    slices=(slice(0,7),slice(9,None,1)), ranges=(range(0, 10, 2),range(9, 0, -2)), tensors=(torch.tensor([1,2]),torch.arange(10) > 8), mixed=([4],slice(7,9)),
    three=(range(5),[5,6],[7]), one=(range(10),), empty=(range(10),slice(0,0)))

@pytest.mark.parametrize('form', split_forms)
def test_splits_of_any_form(form):
    splits = split_forms[form]
    dls = TSDataLoaders.from_arrays(ramp(10), np.arange(10.), splits=splits, bs=4, shuffle=False)
    want = [np.arange(10)[o if isinstance(o, slice) else np.asarray(o) if len(o) else []].tolist() for o in splits]
    assert [epoch(o)[0] for o in dls] == want and dls.n_inp == 1 and len(dls.loaders) == len(splits)

def test_default_split_holds_out_a_fifth_of_the_rows():
    a,b = [TSDataLoaders.from_arrays(ramp(100), np.arange(100.), bs=10, seed=4) for _ in range(2)]
    assert sorted(epoch(a.train)[0]+epoch(a.valid)[0]) == [*range(100)] and len(a.valid_ds) == 20
    assert epoch(a.valid) == epoch(b.valid) != epoch(TSDataLoaders.from_arrays(ramp(100), np.arange(100.), bs=10, seed=5).valid)
    assert len(TSDataLoaders.from_arrays(ramp(100), valid_pct=.5).valid_ds) == 50

@pytest.mark.parametrize('idxs', [[3,1,2], [-1,0], np.array([7,7]), slice(2,8,3), slice(None,None,-4), torch.tensor([4,2]), (5,), []], ids=str)
def test_several_samples_come_in_the_order_asked(idxs):
    dsets = TSDatasets(ramp(10), np.arange(10.), splits=[[9,8,7,6,5,4,3,2],[1,0]])
    for ds,have in ((dsets, np.arange(10)), (dsets.train, np.arange(9, 1, -1))):
        want = have[idxs if isinstance(idxs, slice) else np.asarray(idxs, int)].tolist()
        got = ds[idxs]
        assert isinstance(got, list) and [int(o[1]) for o in got] == want and [int(o[0][0,0]/6) for o in got] == want

def test_single_samples_and_iteration(tmp_path):
    dsets = TSDatasets(save_array(tmp_path/'X.npy', ramp(10)), np.array([*'ba'*5]), splits=[[4,2,1],[7]])
    x,y = dsets[7]
    assert type(x) is TSTensor and type(y) is TensorCategory and x.shape == (2,3) and y == 0 and len(dsets) == 10 and len(dsets.train) == 3
    same(x.numpy(), ramp(10)[7])
    same(dsets.valid[0][0].numpy(), ramp(10)[7])
    assert [int(o[0][0,0]/6) for o in dsets.train] == [4,2,1] and dsets.decode(dsets[7])[1] == 'a' and dsets[np.int64(7)][1] == dsets[-3][1] == 0
    for i in (10,-11,[0,10]):
        with pytest.raises(IndexError): dsets[i]
    with pytest.raises(IndexError): dsets.train[3]

def test_transforms_of_inputs_and_targets_work_on_batches():
    seen = []
    def double(x):
        seen.append(x.shape)
        return x*2
    dls = TSDataLoaders.from_arrays(ramp(20), np.arange(20.), tfms=[double,lambda y: y+1], splits=[range(10),range(10, 20)], bs=10, shuffle=False)
    xb,yb = dls.valid.one_batch()
    same(xb.numpy(), ramp(20)[10:]*2)
    assert yb.tolist() == [*range(11, 21)] and seen == [(10,2,3)] and dls.test_dl(ramp(3)).one_batch()[0].max() == 34

def test_transforms_know_their_split():
    class Train(Transform):
        split_idx = 0
        def encodes(self, x:TSTensor): return x+1000
    for kw in (dict(tfms=[Train()]), dict(batch_tfms=Train())):
        dls = TSDataLoaders.from_arrays(ramp(20), splits=[range(10),range(10, 20)], bs=10, shuffle=False, **kw)
        assert [o.one_batch()[0].min().item() for o in (dls.train, dls.valid, dls.test_dl(ramp(3)))] == [1000,60,0]

# New data

y10 = np.array([*'ababababab'])
test_forms = dict(array=lambda d: ramp(10), path=lambda d: d/'X.npy', text_path=lambda d: str(d/'X.npy'), memmap=lambda d: np.load(d/'X.npy', mmap_mode='r'),
    tensor=lambda d: torch.tensor(ramp(10)), items=lambda d: itemify(ramp(10)), labelled_items=lambda d: itemify(ramp(10), y10), samples=lambda d: [*ramp(10)],
    one_tuples=lambda d: [(x,) for x in ramp(10)], pairs=lambda d: [*zip(ramp(10), y10)], tensors=lambda d: [TSTensor(o) for o in ramp(10)],
    L=lambda d: L(*ramp(10)), dataset_samples=lambda d: TSDatasets(ramp(10))[:])

@pytest.mark.parametrize('form', test_forms)
def test_test_dl_takes_any_form_of_samples(tmp_path, form):
    save_array(tmp_path/'X.npy', ramp(10))
    dls = TSDataLoaders.from_arrays(ramp(40), ['a','b']*20, bs=4)
    dl = dls.test_dl(test_forms[form](tmp_path))
    bs = [*dl]
    assert [len(o) for o in bs] == [1,1,1] and not dl.shuffle and not dl.drop_last and len(dl) == 3
    same(torch.cat([o[0] for o in bs]).numpy(), ramp(10))

@pytest.mark.parametrize('form', ['pair','list','paths','items','pairs'])
def test_test_dl_takes_labels(tmp_path, form):
    save_array(tmp_path/'X.npy', ramp(10))
    save_array(tmp_path/'y.npy', y10)
    forms = dict(pair=(ramp(10), y10), list=(ramp(10), y10.tolist()), paths=(tmp_path/'X.npy', tmp_path/'y.npy'), items=itemify(ramp(10), y10), pairs=[*zip(ramp(10), y10)])
    dls = TSDataLoaders.from_arrays(ramp(40), ['b','a']*20, bs=4)
    x,y = [torch.cat(o) for o in zip(*dls.test_dl(forms[form], with_labels=True))]
    same(x.numpy(), ramp(10))
    assert type(y) is TensorCategory and y.tolist() == [0,1]*5

def test_test_dl_takes_a_choice_of_items():
    dls = TSDataLoaders.from_arrays(ramp(40), ['b','a']*20, bs=4)
    dl = dls.test_dl(itemify(ramp(10), y10)[[7,2,2]], with_labels=True, bs=2)
    assert [(rows(x), y.tolist()) for x,y in dl] == [([7,2],[1,0]),([2],[0])]

def test_test_dl_takes_longer_samples_of_the_same_variables():
    dls = TSDataLoaders.from_arrays(ramp(40), bs=4)
    assert dls.test_dl(ramp(10, 2, 99)).one_batch()[0].shape == (4,2,99)

@pytest.mark.parametrize('items,err,words', [(ramp(5, 3), ValueError, ('(vars, steps)','(3, 3)')), (ramp(5)[:, 0], ValueError, ('vars, steps)',)),
    ([ramp(1)[0],ramp(1, 2, 4)[0]], ValueError, ('shape',)),
    ('none.npy', FileNotFoundError, ('none.npy',)), (np.array([[['a']]]), (TypeError,ValueError), ())], ids=str)
def test_test_dl_refuses_other_samples(items, err, words):
    with fails(err, *words): TSDataLoaders.from_arrays(ramp(40), bs=4).test_dl(items)

def test_test_dl_refuses_labels_of_another_length():
    dls = TSDataLoaders.from_arrays(ramp(40), ['b','a']*20, bs=4)
    with fails(ValueError, '10', '9'): dls.test_dl((ramp(10), y10[:9]), with_labels=True)

@pytest.mark.parametrize('tfm', [MultiCategorize(), [Categorize(),RegressionSetup()], [lambda o: o, Categorize()]], ids=['multi','both','later'])
def test_transforms_that_are_not_supported_are_refused(tfm):
    with fails(ValueError, 'not supported here'): TSDatasets(ramp(4), [0,1,0,1], tfms=[None,tfm])

def test_datasets_made_apart_share_the_training_vocabulary():
    a,b = TSDatasets(ramp(50), [*'abc']*16+['a','b']), TSDatasets(ramp(20), [*'bc']*10)
    dls = TSDataLoaders.from_dsets(a, b, bs=10, device='cpu')
    assert dls.valid.one_batch()[1].tolist() == [1,2]*5 and dls.vocab == ['a','b','c']
    assert (dls.train_ds.split_idx, dls.valid_ds.split_idx) == (0,1)
    with fails(ValueError, "'d' is not in the vocabulary"): TSDataLoaders.from_dsets(a, TSDatasets(ramp(4), [*'bcdb']))
    with fails(ValueError, '(vars, steps)'): TSDataLoaders.from_dsets(a, TSDatasets(ramp(4, 3), [*'bcab']))
    with fails(ValueError, 'targets the other lacks'): TSDataLoaders.from_dsets(a, TSDatasets(ramp(4)))
    with fails(ValueError, 'one kind'): TSDataLoaders.from_dsets(a, TSDatasets(ramp(4), [.1]*4))

def test_a_fastai_splitter_splits():
    dls = TSDataLoaders.from_arrays(ramp(20), np.arange(20.), splits=RandomSplitter(.25, seed=1), bs=5)
    assert [len(o.dataset) for o in dls.loaders] == [15,5]

@pytest.mark.parametrize('items,words', [([], ('no samples',)), ((ramp(3),y10[:3]), ('with_labels=True',)), ([ramp(3),y10[:3]], ('with_labels=True',))], ids=['none','pair','list'])
def test_new_samples_that_are_no_samples(items, words):
    with fails(ValueError, *words): TSDataLoaders.from_arrays(ramp(40), bs=4).test_dl(items)

def test_new_samples_are_numbers():
    with fails(TypeError, 'complex'): TSDataLoaders.from_arrays(ramp(40), bs=4).test_dl(ramp(3).astype(complex))

def test_new_samples_for_a_single_loader():
    dls = TSDataLoaders.from_arrays(ramp(40), splits=[range(40)], bs=4)
    assert len(dls.loaders) == 1 and rows(dls.test_dl(ramp(6)).one_batch()[0]) == [0,1,2,3]

def test_datasets_made_apart_keep_what_is_missing_in_each():
    a,b = (TSDatasets(ramp(8), packing=Packing(missing=o)) for o in (1,5))
    dls = TSDataLoaders.from_dsets(a, b, bs=4, device='cpu')
    for ds,want in zip((dls.train_ds, dls.valid_ds), (1,5)): same(ds.batch(range(8))[0].isnan().numpy(), ramp(8) == want)

@pytest.mark.parametrize('names', [('test','train','valid'), ('valid','test','train'), ('train','other','valid')])
def test_splits_by_name_are_train_and_valid_first(names):
    rows = dict(train=range(12), valid=range(12, 16), test=range(16, 20), other=range(16, 20))
    dsets = TSDatasets(ramp(20), splits={k: rows[k] for k in names})
    assert [len(o) for o in dsets.splits] == [12,4,4] and list(dsets.splits[0]) == list(range(12))
    with fails(ValueError, "'train'", "['fit', 'valid']"): TSDatasets(ramp(20), splits=dict(fit=range(12), valid=range(12, 20)))

@pytest.mark.parametrize('name', ['validation','val','Valid','dev'])
def test_splits_for_validation_come_second_whatever_they_are_called(tmp_path, name):
    splits = {'test': range(8), 'train': range(8, 15), name: range(15, 20)}
    assert [o[0] for o in TSDatasets(ramp(20), splits=splits).splits] == [8,15,0]
    save_folder(tmp_path/'set', ramp(20), np.arange(20)%2, splits=splits)
    assert [*open_folder(tmp_path/'set')[1]] == ['train',name,'test']
    dls = TSDataLoaders.from_folder(tmp_path/'set', bs=4, device='cpu')
    assert [o.dataset.idxs[0] for o in dls.loaders] == [8,15,0]
    del splits['train']
    assert [len(o) for o in with_train(splits, 30, 'data')] == [17,5,8]

@pytest.mark.parametrize('dtype', 'i4 u1'.split())
def test_codes_of_new_data_are_integers(dtype):
    codes,y = np.arange(20).astype(dtype),np.arange(20)%2
    ds = TSDatasets((ramp(20),codes), y)
    assert ds.test_set((ramp(20),codes.astype('i8'))).batch([3])[1].tolist() == [3]
    with fails(TypeError, 'float64', 'give integers'): ds.test_set((ramp(20),codes+.7))
    with fails(TypeError, 'float64', 'give integers'): TSDataLoaders.from_dsets(ds, TSDatasets((ramp(20),codes+.7), y))
    floats = TSDatasets((ramp(20),codes+.5)).test_set((ramp(20),codes))
    assert floats.batch([3])[1].tolist() == [3.]

def test_new_targets_are_numbers_where_those_of_training_are():
    ds = TSDatasets(ramp(4), np.arange(4.))
    with fails(TypeError, 'holds numbers', '<U1'): ds.test_set((ramp(4), ['1','2','3','4']), with_labels=True)
