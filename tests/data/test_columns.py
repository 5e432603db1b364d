"Columns are made once, of inputs in any form; stored integers become values wherever they come from; labels learn their vocabulary from the training rows"
import pickle
import numpy as np, pytest, torch
from fastai.data.transforms import Categorize, MultiCategorize, RegressionSetup
from fastcore.basics import noop
from conftest import fails, filled, ramp, same
from tsdisk.convert.convert import convert
from tsdisk.data.labels import ToCategory
from tsdisk.data.batches import TensorTarget, ToInput, ToMask, ToSeries, ToSteps, ToTarget, ToTargets, TSTensor
from tsdisk.data.columns import (as_series, Column, input_columns, is_category, label_options, pad_targets, sample_sources, shared_packing,
    split_label_tfm, target_column)
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.samples import select
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.disk.packing import Packing
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.sources import Source
from tsdisk.disk.sidecar import packing_of
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

lengths = np.array([0,3,4,9])
def short(dtype='f4', **kw): return Ragged(filled((9,2), dtype), lengths, **kw)

# One column

@pytest.mark.parametrize('dtype', ['f4','i2','?'])
def test_rows_are_read_typed_and_transformed_in_turn(dtype):
    x = filled((20,2,5), dtype)
    col,rows = Column(as_source(x), ToSeries(), tfms=lambda t: t*2),np.array([7,0,7])
    stored = col.read(rows)
    same(stored.numpy(), x[rows])
    typed = col.typed(stored)
    assert type(typed) is TSTensor and typed.dtype == torch.float32
    same(col.transformed(typed).numpy(), x[rows].astype('f4')*2)

def test_a_column_with_memory_of_its_own_shares_none():
    col = Column(as_source(ramp(4)), ToSeries())
    t = col.read(np.array([1]))
    assert col.typed(t).data_ptr() == t.data_ptr() != col.typed(t, own=True).data_ptr()

def test_columns_know_what_their_kind_knows():
    y = target_column(as_source([*'abca']), as_source(ramp(4)), vocab='a b c'.split())
    assert y.vocab == [*'abc'] and y.c == 3 and y.is_category and not y.is_mask
    assert 'ArraySource(shape=(4,)' in repr(y) and 'TensorCategory' in repr(y)
    assert pickle.loads(pickle.dumps(y)).vocab == y.vocab

def test_new_rows_keep_type_and_transforms():
    col = Column(as_source(filled((4,2,5), 'i2')), ToSeries(Packing(.5, missing=-1)), tfms=noop)
    floats,other = col.new(as_source(ramp(3))),col.new(as_source(filled((4,2,5), 'i2')), Packing(2.))
    assert (floats.packing, other.packing) == (Packing(missing=-1), Packing(2.)) and col.packing == Packing(.5, missing=-1)
    assert floats.extra == other.extra == col.extra and col.new_empty().items.shape == (0,2,5)

@pytest.mark.parametrize('packing,stored', [(Packing(), 0), (Packing(.5), 0), (Packing(.5, 10), -20), (Packing(.5, 1e9), -2**15), (Packing(.5, 10, 0), 0)], ids=str)
def test_packed_series_are_padded_as_they_are_stored(packing, stored):
    col = Column(short('i2'), ToSeries(packing.check(2)))
    assert (col.read(np.array([1,2]))[0,1:] == stored).all()

def test_packed_series_padded_with_nan_are_padded_with_what_is_missing():
    r = Ragged(np.ones((5,1), 'i2'), [0,2,5], value=np.nan)
    same(TSDatasets(r, packing=Packing(.5, 20, missing=-1)).batch([0,1])[0].numpy(), np.float32([[[20.5,20.5,np.nan]],[[20.5]*3]]))
    with fails(ValueError, 'NaN', '`missing`'): TSDatasets(r, packing=Packing(.5, 20))

# Sources of a sample

def test_inputs_of_windows_are_several_sources():
    w = Windows(ramp(1, 3, 40)[0].T.copy(), 5, horizon=2, known=[2], static=filled((1,4)))
    inputs,y = sample_sources(w)
    assert [o.shape[1:] for o in inputs] == [(3,5),(1,2),(4,)] and y.shape[1:] == (3,2)
    more,own = sample_sources((w, filled((len(w),7))), np.arange(len(w)))
    assert [o.shape[1:] for o in more[3:]] == [(7,)] and own.shape == (len(w),)
    of_windows = sample_sources(w, Windows(filled(40), 5, horizon=2))[1]
    assert of_windows.shape == (len(w),1,5)

def test_windows_with_a_horizon_may_be_a_further_input():
    a,b = (filled((50,1), dtype, seed) for seed,dtype in enumerate(('f4','f8')))
    ds = TSDatasets((Windows(a, 5, horizon=2), Windows(b, 5, horizon=2)))
    assert [o.shape for o in ds.batch([0,7])] == [(2,1,5),(2,1,5),(2,1,2)]
    same(ds.batch([7])[1].numpy(), np.float32(b[7:12].T[None]))

def test_sources_are_made_of_anything():
    for x in (ramp(4), torch.tensor(ramp(4)), ramp(4).tolist(), as_source(ramp(4))):
        (s,),y = sample_sources(x)
        assert isinstance(s, Source) and s.shape == (4,2,3) and y is None

@pytest.mark.parametrize('x,err,words', [(ramp(4)[0], ValueError, ('(2, 3)','X[:, None]')), (np.zeros(4), ValueError, ('(4,)',)), (np.zeros((1,1,1), 'U1'), TypeError, ('<U1',)),
    (ramp(4).astype('>f4'), ValueError, ('big endian','save_array')), ((), ValueError, ('(0,)',))], ids=str)
def test_what_is_no_series_is_refused(x, err, words):
    with fails(err, *words): sample_sources(x)
    if not isinstance(x, tuple):
        with fails(err, *words): as_series(x)

# Inputs

def test_inputs_have_types_of_their_own():
    w = Windows(filled((40,3), 'i2'), 5, horizon=2, known=[2], static=np.arange(4)[None])
    cols = input_columns(w.inputs, Packing([.1,.2,.3], missing=-1), mask=True)
    assert [type(o.kind) for o in cols] == [ToSeries,ToInput,ToInput,ToMask]
    assert [o.packing for o in cols] == [Packing([.1,.2,.3], [0]*3, -1), Packing([.3], [0], -1), Packing(), Packing(missing=-1)]
    assert [o.kind.dtype for o in cols] == [torch.float32,torch.float32,torch.int64,torch.bool]

@pytest.mark.parametrize('mask,kinds', [(None, [ToSeries,ToSteps]), (True, [ToSeries,ToSteps]), (False, [ToSeries])])
def test_series_of_unequal_lengths_come_with_a_mask(mask, kinds): assert [type(o.kind) for o in input_columns([short()], mask=mask)] == kinds

def test_other_series_come_with_a_mask_when_asked():
    assert [[type(o.kind) for o in input_columns([as_source(ramp(4))], mask=m)] for m in (None,False,True)] == [[ToSeries],[ToSeries],[ToSeries,ToMask]]

def test_inputs_of_other_lengths_are_refused():
    with fails(ValueError, '[4, 9]'): input_columns([as_source(ramp(4)), as_source(ramp(9))])

def test_floats_of_a_packed_array_are_values():
    for dtype in ('f4','f8'): assert input_columns([as_source(ramp(4, dtype=dtype))], Packing(.1, missing=-1))[0].packing == Packing(missing=-1)
    assert input_columns([as_source(ramp(4))], Packing([.1]*9))[0].packing == Packing() # Nor is its number of variables of interest

def test_another_number_of_scales_is_refused():
    with fails(ValueError, '`scale`', '2 variables'): TSDatasets(ramp(4, dtype='i2'), packing=Packing([1,2,3]))
    with fails(ValueError, '`offset`', '3 variables'): TSDatasets(Windows(filled((40,3), 'i2'), 5, sel_vars=[0]), packing=Packing(1, [1,2]))

# Targets

@pytest.mark.parametrize('y,cat', [([*'ab'],True), ([True,False],True), ([1,2],True), ([1.,2.],False), ([[1,2],[3,4]],False), ([['a'],['b']],True)], ids=str)
def test_categories_are_known_by_their_dtype_and_dimensions(y, cat): assert is_category(as_source(y)) is cat

def test_transforms_say_what_targets_are():
    assert split_label_tfm(None) == (None, []) and label_options(None, True, ['a']) == (True,['a'],False)
    tfm,rest = split_label_tfm([Categorize, noop])
    assert isinstance(tfm, Categorize) and rest == [noop] and label_options(tfm, False) == (True,None,False)
    assert label_options(Categorize(vocab=['b','a'], add_na=True)) == (True,['a','b'],True)
    assert label_options(RegressionSetup(), True) == (False,None,False)
    with fails(ValueError, '`MultiCategorize` is not supported here'): split_label_tfm(MultiCategorize())

@pytest.mark.parametrize('y,kind', [(np.arange(3.),ToTarget), (np.arange(3),ToCategory), (ramp(3),ToTarget), (Ragged(np.arange(9.), lengths),ToTargets),
    (Ragged(np.arange(9.).astype('U3'), lengths),ToCategory)], ids=lambda o: type(o).__name__)
def test_targets_have_a_type_of_their_own(y, kind): assert type(target_column(as_source(y), short()).kind) is kind

@pytest.mark.parametrize('side,most', [('left',None), ('right',2)])
def test_targets_of_each_step_are_padded_as_their_series_are(side, most):
    X,y = short(side=side, most=most),Ragged(np.arange(9.), lengths)
    got = pad_targets(y, X, cat=False)
    assert np.isnan(got.value) and (got.side, got.most) == (side, most)
    alone = pad_targets(Ragged(np.arange(9.), [0,1,4,9], side='right'), X, cat=False)
    assert (alone.side, alone.most) == ('right', None)

@pytest.mark.parametrize('y,cat,words', [(short('i2'), None, ('float','cat=True')), (short('i2'), True, ('2 variables','int16')), (Ragged(filled(9, '?'), lengths), True, ('bool',))], ids=str)
def test_targets_that_cannot_be_padded_are_refused(y, cat, words):
    with fails(ValueError, *words): target_column(y, short(), cat=cat)

def test_forecasts_are_unpacked_as_their_series_are():
    w = Windows(filled((40,3), 'i2'), 5, horizon=2, targets=[2,0])
    assert shared_packing(w.target, w, Packing([.1,.2,.3], [1,2,3])) == Packing([.3,.1], [3,1])
    ds = TSDatasets(w, packing=Packing([.1,.2,.3]))
    same(ds.batch([4])[1].numpy(), ds.target.packing.decode(torch.from_numpy(w.gather([4])[1])).numpy())

@pytest.mark.parametrize('dtype', ['f4','i2'])
def test_what_is_missing_in_series_is_missing_in_their_forecasts_and_known_inputs(dtype):
    x = np.ones((50,2), dtype)
    x[20] = -999
    ds = TSDatasets(Windows(x, 5, horizon=2, known=[1]), packing=Packing(missing=-999))
    xb,known,yb = ds.batch(range(len(ds)))
    assert xb.isnan().any() and yb.isnan().any() and (yb.nan_to_num(1) == 1).all()
    if dtype == 'f4': assert known.isnan().any() and (known.nan_to_num(1) == 1).all()

@pytest.mark.parametrize('y', [[*'abca'], [1.,2.,3.,4.], np.arange(4)], ids=str)
def test_targets_of_their_own_are_not_unpacked(tmp_path, y):
    "Lists and paths too"
    for o in (y, np.asarray(y), save_array(tmp_path/'y.npy', np.asarray(y)), tmp_path/'y.npy'):
        ds = TSDatasets(ramp(4, dtype='i2'), o, packing=Packing(.5))
        assert ds.target.packing == Packing() and (ds.cat or ds[1][1] == 2)

# The vocabulary

def test_labels_learn_from_the_training_rows():
    y = target_column(as_source([*'cabac']), as_source(ramp(5)))
    assert y.kind.vocab is None
    y.learn([[1,2,3],[]])
    assert y.vocab == ['a','b']
    with fails(ValueError, "'c'"): y.check_labels([0])
    given = target_column(as_source([*'cab']), as_source(ramp(3)), vocab=['b','a'])
    with fails(ValueError, "'c'"): given.learn([[0,1],[2]])
    given.learn([[1],[2]])
    assert given.vocab == ['b','a']

# Packings in manifests

@pytest.fixture
def packed(tmp_path):
    "Folders of the same values, stored in two ways"
    x = filled((12,2,8)).clip(-2, 2)
    for name,scale,missing in (('a',.01,-9), ('b',.001,-8)):
        counts = np.rint(x/scale).astype('i2')
        counts[3,0,:2] = missing
        convert([dict(X=o, scale=[scale]*2, missing=missing, y='ab'[i%2]) for i,o in enumerate(counts)], tmp_path/name)
    x[3,0,:2] = np.nan
    return tmp_path,x

@pytest.mark.parametrize('mode', ['r','r+','c'])
def test_packings_are_found_however_files_are_open(packed, mode):
    X = np.load(packed[0]/'a/X.npy', mmap_mode=mode)
    want = Packing([.01]*2, missing=-9)
    for o in (as_source(X), as_source(X[3:,1:]), Windows(X, 4), select(X, [1])): assert packing_of(o).scale == (.01,.01) and packing_of(o).missing == -9
    assert as_source(X).place().read_only is (mode == 'r')
    np.testing.assert_allclose(TSDatasets(X).batch(range(12))[0], packed[1], atol=.006)
    assert TSDatasets(X).tls[0].packing == want.check(2)

def test_packings_are_found_by_the_first_of_several_files(tmp_path):
    for name in 'ab': convert([dict(X=filled((2,50), 'i2'), scale=[.1,.2])], tmp_path/name, layout='ragged')
    files = [tmp_path/o/'X/values.npy' for o in 'ab']
    w = Windows(files, 5)
    assert packing_of(w) == Packing([.1,.2]) and w.place().files == files
    assert packing_of(as_source(filled((3,2,5), 'i2'))) == Packing() == packing_of(as_source(ramp(3)))

def test_what_is_given_goes_before_what_the_manifest_says(packed):
    X = packed[0]/'a/X.npy'
    assert TSDatasets(X, packing=Packing(missing=-5)).tls[0].packing == Packing([.01]*2, [0]*2, -5)
    assert TSDatasets(X, packing=Packing(2.)).tls[0].packing == Packing([2.]*2, [0]*2, -9)

def test_new_data_is_unpacked_as_its_own_manifest_says(packed):
    d,x = packed
    dsets = TSDatasets(Windows(d/'a/X.npy', 4, horizon=2), mask=True)
    new = dsets.test_set(Windows(d/'b/X.npy', 4, horizon=2), with_labels=True)
    for a,b in zip(dsets.batch([0,30]), new.batch([0,30])): np.testing.assert_allclose(a, b, atol=.006)
    w = Windows(x, 4, horizon=2)
    missing = [i for i in range(len(w)) if np.isnan(w[i][0]).any()]
    assert missing and not new.batch(missing)[1].all() and torch.equal(new.batch(missing)[1], dsets.batch(missing)[1])
    floats = TSDatasets(x, mask=True).test_set(d/'b/X.npy')
    np.testing.assert_allclose(floats.batch(range(12))[0], x, atol=.006)
    assert torch.equal(floats.batch([3])[1], ~torch.tensor(x[[3]]).isnan())

def test_datasets_made_apart_keep_their_packing(packed):
    d,x = packed
    a,b = (TSDatasets(d/o/'X.npy', np.array([*'ab'*6])) for o in 'ab')
    same(b.like(a).batch([5,3])[0].numpy(), b.batch([5,3])[0].numpy())
    raw = TSDatasets((x*100).round().clip(-999, 999).astype('f4')).test_set(x)
    assert raw.tls[0].packing == Packing()
    plain = TSDatasets(np.ones((2,2,8), 'i2'), ['a','b']).like(a)
    assert plain.tls[0].packing == a.tls[0].packing

# Made once

def test_default_splits_make_no_second_dataset():
    class Counting(TSDatasets):
        made = []
        def __init__(self, *args, **kwargs):
            self.made.append(1)
            super().__init__(*args, **kwargs)
    class Loaders(TSDataLoaders): _dsets_type = Counting
    dls = Loaders.from_arrays(ramp(40), np.arange(40.), bs=8, valid_pct=.25, seed=3, packing=Packing(missing=-1))
    assert Counting.made == [1] and [len(o) for o in (dls.train_ds, dls.valid_ds)] == [30,10]
    assert type(dls.valid.one_batch()[1]) is TensorTarget
