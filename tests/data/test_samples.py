"New samples in any form are the same inputs, targets and rows; selections and padding are those of training"
import numpy as np, pytest, torch
from fastcore.foundation import L
from conftest import fails, filled, ramp, same
from tsdisk.convert.convert import convert
from tsdisk.data.columns import sample_sources
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.samples import is_folder, new_data, select, selection, stack_samples, stack_series, whole_data
from tsdisk.disk.arrays import save_array
from tsdisk.disk.items import itemify
from tsdisk.disk.array_sources import as_source
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

x,static,labels = ramp(10),filled((10,4)),np.array([*'ababababab'])

def arrays_of(data, n_inputs):
    "(inputs, targets) that `new_data` gives, as arrays of the rows asked for"
    X,y,rows = data
    inputs,y = sample_sources(X, y)
    rows = range(len(inputs[0])) if rows is None else rows
    assert len(inputs) == n_inputs
    return [o.gather(rows) for o in inputs], None if y is None else y.gather(rows)

@pytest.fixture
def folder(tmp_path):
    save_folder(tmp_path, x, labels)
    return tmp_path

pairs = dict(pair=lambda d: (x,labels), lists=lambda d: (x.tolist(),[*labels]), paths=lambda d: (d/'X.npy',d/'y.npy'),
    tensors=lambda d: (torch.tensor(x),labels), sources=lambda d: (as_source(x),labels))
either = dict(items=lambda d: itemify(x, labels), samples=lambda d: [*zip(x, labels)], L=lambda d: L(zip(x, labels)), folder=lambda d: d, text=str)

@pytest.mark.parametrize('form', {**pairs, **either})
def test_one_input_with_labels_in_any_form(folder, form):
    (got,),y = arrays_of(new_data({**pairs, **either}[form](folder), 1, True), 1)
    same(got.astype('f4'), x)
    assert y.tolist() == labels.tolist()

@pytest.mark.parametrize('form', either)
def test_labels_that_are_not_asked_for_are_left_out(folder, form):
    (got,),y = arrays_of(new_data(either[form](folder)), 1)
    same(got, x)
    assert y is None

several = dict(pair=lambda d: ((x,static),labels), sources=lambda d: ((as_source(x),as_source(static)),labels), items=lambda d: itemify(x, static, labels),
    samples=lambda d: [*zip(x, static, labels)])

@pytest.mark.parametrize('form', several)
def test_several_inputs_in_any_form(folder, form):
    items = several[form](folder)
    got,y = arrays_of(new_data(items, 2, True), 2)
    for a,b in zip(got, (x,static)): same(a, b)
    assert y.tolist() == labels.tolist()
    got,y = arrays_of(new_data(items[0] if form in ('pair','sources') else items, 2), 2)
    for a,b in zip(got, (x,static)): same(a, b)
    assert y is None

def test_a_choice_of_items_is_that_of_their_rows():
    (got,),y = arrays_of(new_data(itemify(x, labels)[[7,2,2]], 1, True), 1)
    same(got, x[[7,2,2]])
    assert y.tolist() == [*'baa']

@pytest.mark.parametrize('items', [itemify(x), x, (x,), [*x]], ids=['items','array','tuple','list'])
def test_labels_that_are_not_there_are_an_error(items):
    with fails(ValueError, 'the pair `(X, y)`'): TSDatasets(x, labels).test_set(items, with_labels=True)

def test_windows_bring_their_targets():
    w = Windows(filled((40,3)), 5, horizon=2)
    new = TSDatasets(w).test_set(Windows(filled((30,3)), 5, horizon=2), with_labels=True)
    assert [o.shape for o in new.batch([0,1])] == [(2,3,5),(2,3,2)]
    with fails(ValueError, '2 inputs, got 1'): TSDatasets((w,filled((len(w),2)))).test_set(w)

def test_new_inputs_and_labels_have_as_many_rows():
    both = TSDatasets((x,static), labels)
    with fails(ValueError, '[10, 9, 10]'): both.test_set(((x,static[:9]),labels), with_labels=True)
    with fails(ValueError, '[10, 10, 8]'): both.test_set(((x,static),labels[:8]), with_labels=True)

def test_a_folder_has_a_manifest(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    assert is_folder(folder) and is_folder(str(folder)) and not is_folder(other) and not is_folder(folder/'X.npy') and not is_folder(x)

def test_labels_of_a_folder_are_of_the_column_of_training(tmp_path):
    for name,k in (('a',0),('b',100)): convert([dict(X=o, y=i, z=i+k+.5) for i,o in enumerate(x)], tmp_path/name)
    convert([dict(X=o, y=i) for i,o in enumerate(x)], tmp_path/'other')
    ds = TSDatasets.from_folder(tmp_path/'a', y='z').new_empty()
    assert ds.test_set(tmp_path/'b', with_labels=True).batch([2])[1].tolist() == [102.5] and len(ds.test_set(tmp_path/'other')) == 10
    with fails(ValueError, "no column 'z'", "'source', 'y'"): ds.test_set(tmp_path/'other', with_labels=True)

def test_a_pair_without_labels_is_a_list_of_samples(): assert whole_data((x,labels)) is None and whole_data((x,static), n_inputs=2) is not None

# Lists

def test_samples_of_unequal_lengths_are_padded_as_in_training():
    series = [filled((2,n)) for n in (3,5,1)]
    padding = TSDatasets(Ragged(np.zeros((5,2)), [0,2,5], value=-1, side='left', most=4)).ragged
    r = stack_series(series, padding)
    assert (r.value, r.side, r.most) == (-1,'left',4) and r.lengths.tolist() == [3,5,1]
    for a,b in zip([r[i] for i in range(3)], series): same(a, b)
    assert isinstance(stack_series(series[:1]*2, padding), Ragged) and stack_series(series[:1]*2).shape == (2,2,3)

@pytest.mark.parametrize('shapes,padded', [([(2,3),(2,4)],True), ([(2,3),(3,3)],False), ([(3,),(4,)],False)], ids=['steps','vars','flat'])
def test_samples_of_several_shapes_are_refused_unless_they_are_padded(shapes, padded):
    series = [filled(o) for o in shapes]
    with fails(ValueError, 'one shape', 'with_labels=True'): stack_series(series)
    padding = dict(value=0, side='right', most=None)
    if padded: assert len(stack_series(series, padding)) == 2
    else:
        with fails(ValueError, 'one shape'): stack_series(series, padding)

def test_elements_that_are_not_used_are_not_stacked():
    cols = stack_samples([(x[0],None),(x[1],'a')], most=1)
    assert len(cols) == 1 and cols[0].shape == (2,2,3)
    with fails(ValueError, 'no samples'): stack_samples([], most=1)

@pytest.mark.parametrize('with_labels', [False,True])
def test_samples_of_a_dataset_with_a_mask_are_new_samples(with_labels):
    X = filled((9,2,10))
    ds = TSDatasets(X, X*100, mask=True)
    new = ds.test_set([ds[4],ds[1]], with_labels=with_labels)
    for a,b in zip(new.batch([0,1]), ds.batch([4,1])): same(np.asarray(a), np.asarray(b))

# Selections

@pytest.mark.parametrize('vars,steps', [([1,0],None), (None,slice(1,3)), ([2],slice(-4,None)), (slice(1),slice(0,5)), (np.array([True,False,True]),None)], ids=str)
def test_selections_are_those_of_numpy(tmp_path, vars, steps):
    x = filled((6,3,5))
    want = x[:, slice(None) if vars is None else vars][..., slice(None) if steps is None else steps]
    for o in (x, save_array(tmp_path/'x.npy', x), tmp_path/'x.npy'): same(select(o, vars, steps).gather([4,1]), want[[4,1]])

@pytest.mark.parametrize('X,kw,words', [(ramp(4), dict(steps=slice(0, 3, 2)), ('steps in a row','slice(0, 3, 2)')), (ramp(4), dict(steps=[1,2]), ('steps in a row','[1, 2]')),
    (ramp(4), dict(steps=slice(9,None)), ('none of 3 steps',)), ((ramp(4),ramp(4)), dict(vars=[0]), ('arrays (n, vars, steps)',)), (Windows(ramp(4), 2), dict(vars=[0]), ('`Windows` has its own',)),
    (Ragged(filled((9,2)), [0,3,9]), dict(vars=[0]), ('Ragged',)), (ramp(4), dict(vars=[2]), ('no variable 2',))], ids=str)
def test_selections_that_cannot_be_read_are_refused(X, kw, words):
    with fails(ValueError, *words): select(X, **kw)

def test_raw_samples_are_selected_and_others_are_not(tmp_path):
    s = selection(x, [1], slice(1,None))
    assert s.shape == (2,3) and s.apply(x).shape == (10,1,2)
    for raw in (x, save_array(tmp_path/'x.npy', x), tmp_path/'x.npy', as_source(x)): same(s.apply(raw).gather([3]), x[[3]][:, [1], 1:])
    for chosen in (x[:, [1], 1:], Windows(filled((9,1)), 2), (x,static)): assert s.apply(chosen) is chosen
    assert selection(x) is None

def test_selections_of_samples_of_any_length():
    X = filled((6,3,20))
    for kw in (dict(sel_steps=slice(2,10)), dict(sel_vars=[2,0]), dict(sel_vars=[1], sel_steps=slice(-8,None))):
        ds = TSDatasets(X, **kw)
        vars,steps = kw.get('sel_vars', slice(None)), kw.get('sel_steps', slice(None))
        for new in (X[..., :15], np.concatenate([X,X], 2)): same(ds.test_set(new).batch([4])[0].numpy(), new[[4]][:, vars][..., steps])
    with fails(ValueError, 'none of 2 steps'): TSDatasets(X, sel_steps=slice(2,10)).test_set(X[..., :2])

def test_selections_are_checked_before_training():
    with fails(ValueError, 'arrays (n, vars, steps)'): selection((x,static), [0])
    with fails(ValueError, 'no variable 2'): TSDatasets(x, sel_vars=[2])

def test_more_than_inputs_and_target_is_left_alone():
    ds = TSDatasets(filled((4,1,5)), np.array([0,1,0,1]))
    test = ds.test_set([(ds.tls[0].items[i], y, 9) for i,y in enumerate([1,0])], with_labels=True)
    assert test.batch([0,1])[-1].tolist() == [1,0]

# Variables by name

values = dict(a=1, b=2, c=3)

def named(path, names):
    "A dataset folder whose variables have these names, and a value each"
    convert([dict(X=np.full((len(names),4), [[values[o]] for o in names], 'i2'), names=[*names], scale=[.5**values[o] for o in names]) for _ in range(6)], path)
    return path

def test_new_samples_are_read_in_the_order_of_the_training_variables(tmp_path):
    a,b,other = (named(tmp_path/o, o) for o in ('abc','cab','ab'))
    want = TSDatasets.from_folder(a).batch([0])[0].numpy()
    for ds in (TSDatasets.from_folder(a, mask=True), TSDatasets.from_folder(a).new_empty()):
        new = ds.test_set(b)
        same(new.batch([0])[0].numpy(), want)
        assert new.var_names[0] == ['a','b','c']
        with fails(ValueError, '(vars, steps)'): ds.test_set(other)
    both = [open_folder(o)[0]['X'] for o in (a,b)]
    pair = TSDatasets(both[0], both[0]).test_set((both[1],both[1]), with_labels=True)
    for o in pair.batch([0]): same(o.numpy(), want)
    some = TSDatasets.from_folder(a, sel_vars=['b','c'])
    for o in (a,b): same(some.test_set(o).batch([0])[0].numpy(), want[:, 1:])
    with fails(ValueError, "['a', 'b']", "['b', 'c']"): some.test_set(other)

def test_other_variables_are_refused(tmp_path):
    a,b,other = (named(tmp_path/o, o) for o in ('ab','ba','ac'))
    ds = TSDatasets.from_folder(a)
    with fails(ValueError, "['a', 'c']", "['a', 'b']", '`write_manifest`'): ds.test_set(other)
    for o in (b,other):
        with fails(ValueError, "['a', 'b']", '`sel_vars`'): TSDataLoaders.from_dsets(ds, TSDatasets.from_folder(o))
    valid = TSDataLoaders.from_dsets(ds, TSDatasets.from_folder(b, sel_vars=['a','b'])).valid_ds
    same(valid.batch([0])[0].numpy(), ds.batch([0])[0].numpy())
    w = [Windows(filled((9,2)), 3, names=o) for o in (['a','b'],['b','a'],None)]
    with fails(ValueError, "['b', 'a']"): TSDatasets(w[0]).test_set(w[1])
    assert len(TSDatasets(w[0]).test_set(w[2])) == len(TSDatasets(w[2]).test_set(w[1])) == 7
