"Labels become codes as a dictionary makes them, losses leave out what has no label, and codes are drawn as labels"
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import Categorize, Category, L, TensorCategory
from fastai.basics import CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropyFlat
from hypothesis import given, strategies as st
from matplotlib.colors import to_rgb
from conftest import fails, filled, ramp, same
from test_missing_labels import made, padded_offsets
from tsdisk.data.batches import TSInput
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.labels import code_table, LabelIndex, Labels, LabelLoss, ToCategory, ToCode
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.series.ragged import Ragged

@pytest.mark.parametrize('vocab', [range(10), range(1, 11), [-3,0,200], [7], [-5,100_000], [-2**63,-2**63+1], [2**63-2,2**63-1], [False,True], [0.5,2]], ids=str)
@pytest.mark.parametrize('dtype', ['i1','u1','i2','u2','i4','u4','i8','?'])
def test_labels_of_all_types_become_their_places_in_the_vocabulary(vocab, dtype):
    "As a dictionary has them; those that are not there are told apart, whatever they are"
    keys,places = np.array(vocab),{k: i for i,k in enumerate(vocab)}
    low,high = (0,1) if dtype == '?' else (np.iinfo(dtype).min,np.iinfo(dtype).max)
    y = np.array([o for o in [*vocab,*vocab[::-1]] if low <= o <= high and o == int(o)], dtype)
    new = np.array([o for o in [0,1,-1,7,127,-129,255,256,99_999,low,high] if low <= o <= high and o not in places], dtype)
    assert ToCategory(keys).to_tensor(y).tolist() == [places[o] for o in y.tolist()]
    for o in new:
        with fails(ValueError, f"Label {o.item()!r} is not in the vocabulary"): ToCategory(keys).to_tensor(np.append(y[:1], o))
    assert ToCategory(keys, add_na=True).to_tensor(np.append(y, new)).tolist() == [places[o]+1 for o in y.tolist()] + [0]*len(new)

@given(st.lists(st.integers(-2**63, 2**63-1) | st.integers(-20, 20), min_size=1, max_size=20, unique=True), st.lists(st.integers(-25, 25)))
def test_codes_are_those_of_a_dictionary(labels, a):
    index,code = LabelIndex(np.array(labels, np.int64)),{k: i for i,k in enumerate(labels)}
    a = np.array([*a,*labels], np.int64)
    want = [code.get(o, -1) for o in a.tolist()]
    assert index.codes(a).tolist() == want
    got = index.as_codes(a)
    assert got is None or got.tolist() == want

def test_a_table_is_made_only_for_labels_close_together():
    assert code_table(np.array([7,3,4])).tolist() == [1,2,-1,-1,0,-1]
    assert all(code_table(np.array(o)) is None for o in ([0,10**6], [.5,1.], ['a','b'], [2**62+1,2**62+2]))

def test_strings_are_found_in_any_order_and_length():
    index = LabelIndex(['walk','é','sitting','a'])
    assert index.codes(np.array(['a','walk','b','sittingdown','é'])).tolist() == [3,0,-1,-1,1] and index.as_codes(np.array(['a'])) is None

def test_padding_of_labels_is_ignored_by_losses_and_left_out_when_decoded():
    cat = ToCategory(['dn','up'], ndim=3, pad='')
    b = cat.cast(cat.to_tensor(np.array([[['up','dn','']],[['up','up','up']]])))
    assert b.tolist() == [[1,0,-100],[1,1,1]]
    assert list(cat.decode(TensorCategory(b[0]))) == ['up','dn'] and type(cat.decode(b[0,0])) is Category
    loss = cat.loss_func(torch.randn(2,2,3), b)
    assert loss.isfinite()

@pytest.mark.parametrize('y', [np.array([*'aaab']), np.array([0,0,0,1]), np.array([5,5,5,-1], 'i1'), np.array([True]*3 + [False])], ids=str)
def test_label_unseen_in_training_is_an_error_not_class_0(y):
    with fails(ValueError, f'Label {y[3].item()!r} is not in the vocabulary', 'vocab='): TSDatasets(ramp(4), y, splits=[[0,1,2],[3]])

def test_label_missing_in_a_given_vocabulary_is_found_before_training():
    with fails(ValueError, "Label 'b' is not in the vocabulary"): TSDataLoaders.from_arrays(ramp(4), [*'aaab'], vocab=['a','c'], splits=[[0,1,2],[3]])

@pytest.mark.parametrize('vocab', ['ab', [], ['a','b','a'], [['a','b']]])
def test_a_vocabulary_is_a_list_of_distinct_labels(vocab):
    with fails(ValueError, '`vocab` must be a list of distinct labels'): TSDatasets(ramp(4), ['a','b','a','b'], vocab=vocab)

def test_unseen_labels_become_na_when_asked():
    dsets = TSDatasets(ramp(6), [*'abab','c','a'], tfms=[None,Categorize(add_na=True)], splits=[range(4),[4,5]])
    assert list(dsets.vocab) == ['#na#','a','b'] and dsets.c == 3
    assert dsets.valid.batch([0,1])[1].tolist() == [0,1] and dsets.decode(dsets[4])[1] == '#na#'
    given = TSDatasets(ramp(6), [*'ababca'], tfms=[None,Categorize(vocab=['a','b'], add_na=True)])
    assert list(given.vocab) == ['#na#','a','b']

def test_labels_of_steps_decode_to_labels():
    y = np.array([['up','dn']*6]*4)
    dsets = TSDatasets(ramp(4, 2, 12), y)
    labels = dsets.decode(dsets[0])[1]
    assert type(labels) is Labels and list(labels) == y[0].tolist()

def test_amounts_that_look_like_categories_are_told_of():
    with fails(ValueError, 'not in the vocabulary', 'cat=False'): TSDatasets(ramp(6), np.arange(6), splits=[[0,1,2],[3,4,5]])

def test_large_labels_stay_whole_numbers(tmp_path):
    values = [2**53, 2**53+1, 2**63, 2**63+1]
    y = values*5
    for o in (y, save_array(tmp_path/'y.npy', y), np.array(y, 'u8')):
        for kw in ({}, dict(vocab=values)):
            ds = TSDatasets(ramp(20), o, **kw)
            assert list(ds.vocab) == values and ds.batch(range(4))[1].tolist() == [0,1,2,3]
    for a,b in (('i8','u8'),('u8','i8')):
        ds = TSDatasets(ramp(4), np.array(y[:2]*2, a)).test_set((ramp(2), np.array(y[:2], b)), with_labels=True)
        assert ds.batch([0,1])[1].tolist() == [0,1]
        with fails(ValueError, str(2**53+2)): ds.test_set((ramp(1), np.array([2**53+2], b)), with_labels=True).batch([0])

def test_steps_without_a_label_inside_a_padded_series_stay_in_place():
    lengths = np.array([0,4,9])
    y = Ragged(np.array([1,-1,2,1,-1,-1,2,1,2]), lengths)
    ds = TSDatasets(Ragged(np.arange(9.), lengths), y, cat=True, no_label=-1)
    assert ds.c == 2 and ds.batch([0,1])[-1].tolist() == [[0,-100,1,0,-100],[-100,-100,1,0,1]]
    assert list(ds.target.decode(ds.batch([0,1])[-1][0])) == [1,None,2,1]

def padded(labels, **kw):
    series = Ragged(np.arange(5.), padded_offsets)
    return TSDatasets(series, Ragged(np.array(labels), padded_offsets), cat=True, **kw)

@pytest.mark.parametrize('dtype', ['i1','i8','u1','u2','u8','U3','S3'])
def test_padded_steps_have_no_label(dtype):
    y = np.array([0,1,1,0,1]).astype(dtype)
    ds = padded(y)
    want = [[0,1,-100],[1,0,1]]
    assert ds.batch([0,1])[-1].tolist() == want
    new = Ragged(np.arange(5.), padded_offsets),Ragged(y, padded_offsets)
    assert ds.test_set(new, with_labels=True).batch([0,1])[-1].tolist() == want

@pytest.mark.parametrize('labels,pad', [(np.array([0,255,1,0,1], 'u1'), '255'), (np.array(['a','','b','a','b']), "''")], ids=['u1','text'])
def test_a_class_that_is_the_padding_is_refused(labels, pad):
    with fails(ValueError, f'`vocab` holds {pad}', 'pads'): padded(labels)
    with fails(ValueError, f'Label {pad}', 'not in the vocabulary'): padded(labels, splits=[[1],[0]])
    assert padded(labels, no_label=labels[1].item()).batch([0,1])[-1].tolist() == [[0,-100,-100],[1,0,1]]

def test_a_vocabulary_can_not_hold_what_means_none():
    with fails(ValueError, "'?'", 'leave it out'): made(np.array(['a','?']*30), no_label='?', vocab=['a','?'])
    with fails(ValueError, '-100'): ToCategory([-100,0,1])
    with fails(ValueError, 'None of 48 training rows has a label'): made(np.full(60, -100))
    with fails(ValueError, "Label 'c' is not in the vocabulary"): made(np.array(['a','?','c']*20), no_label='?', vocab=['a'])

def test_unknown_and_missing_labels_are_told_apart():
    cat = ToCategory(['a','b'], add_na=True, no_label='?')
    assert cat(np.array(['b','?','z','a'])).tolist() == [2,-100,0,1] and cat.decode(cat(np.array(['?']))[0]) == 'no label'

@pytest.mark.parametrize('dtype', ['u1','i8','u4'])
def test_new_labels_of_another_dtype_are_padded_alike(dtype):
    o,y = [0,2,5],np.array([0,1,1,0,1])
    ds = TSDatasets(Ragged(np.arange(5.), o), Ragged(y, o), cat=True)
    test = ds.test_set((Ragged(np.arange(5.), o), Ragged(y.astype(dtype), o)), with_labels=True)
    assert test.batch([0,1])[-1].tolist() == [[0,1,-100],[1,0,1]]

# Losses

@pytest.mark.parametrize('axis,shape', [(-1,(4,3)), (1,(4,3,5))])
def test_a_batch_without_labels_has_no_loss_and_no_gradient(axis, shape):
    pred,loss = torch.randn(shape, requires_grad=True),LabelLoss(axis=axis)
    targ = torch.full((4,*shape[2:]), -100)
    loss(pred, targ).backward()
    assert loss(pred, targ) == 0 and (pred.grad == 0).all()
    targ[0] = 1
    assert torch.equal(loss(pred, targ), CrossEntropyLossFlat(axis=axis)(pred, targ))

averaged = [lambda **kw: CrossEntropyLossFlat(label_smoothing=.1, **kw), LabelSmoothingCrossEntropyFlat, FocalLossFlat]

@pytest.mark.parametrize('make', averaged)
@pytest.mark.parametrize('reduction', ['mean','sum','none'])
@pytest.mark.parametrize('axis,shape', [(-1,(6,3)), (1,(6,3,5))])
def test_losses_of_fastai_leave_out_what_has_no_label(make, reduction, axis, shape):
    pred,targ = torch.tensor(filled(shape), requires_grad=True),torch.arange(6*shape[-1]//(3 if axis == -1 else 1))%3
    targ = targ.reshape(6, *shape[2:])
    targ[::2] = -100
    loss = make(axis=axis, reduction=reduction)
    got,known = loss(pred, targ),targ != -100
    want = make(reduction=reduction)(pred.movedim(1, -1)[known], targ[known])
    if reduction == 'none': assert torch.allclose(got[known.flatten()], want) and (got[~known.flatten()] == 0).all()
    else: assert torch.allclose(got, want)
    got.sum().backward()
    assert (pred.grad.movedim(1, -1)[~known] == 0).all() and (pred.grad.movedim(1, -1)[known] != 0).any()

@pytest.mark.parametrize('make', averaged[1:])
def test_a_batch_without_labels_adds_nothing_to_an_averaged_loss(make):
    pred = torch.randn(4, 3, requires_grad=True)
    for reduction in ('mean','sum','none'):
        loss = make(reduction=reduction)(pred, torch.full((4,), -100))
        loss.sum().backward()
        assert (loss == 0).all() and (pred.grad == 0).all()

@pytest.mark.parametrize('space', [(3,5),(2,3,5),(2,3,4,5)], ids=str)
def test_the_loss_of_maps_pairs_each_point_with_its_label(space):
    y = torch.randint(0, 4, (6,*space))
    y[0].fill_(-100)
    pred = torch.randn(6, 4, *space)
    for reduction in ('mean','sum','none'):
        want = torch.nn.functional.cross_entropy(pred, y, reduction=reduction)
        assert torch.allclose(LabelLoss(axis=1, reduction=reduction)(pred, y).reshape(want.shape), want, atol=1e-5)

# Lists of labels and their codes

def test_numbers_between_the_labels_have_no_code():
    index = LabelIndex([2,1])
    assert len(index) == 2 and index.codes(np.array([[1.,1.5],[np.nan,2]])).tolist() == [[1,-1],[-1,0]]
    assert LabelIndex([.5,np.inf,-1]).codes(np.array([-1,0,3], 'i1')).tolist() == [2,-1,-1]

def test_labels_that_are_their_codes_are_not_copied():
    index,a = LabelIndex(range(3)),np.array([[2,0],[1,1]])
    assert index.as_codes(a) is a
    same(index.as_codes(a.astype('u1')), a)
    others = [3],[-1],[0,3],[0,-1],np.empty(0, int),np.array([1], 'u8'),[1.]
    for o in others: assert index.as_codes(np.asarray(o)) is None
    for o in ([1,0], [1,2], [0.,1.], ['0','1']): assert LabelIndex(o).as_codes(np.array([1])) is None

def test_an_unknown_label_is_shown_beside_the_first_of_the_vocabulary():
    first = f'Label 99 is not in the vocabulary {[*range(20)]}, '
    with fails(ValueError, first, 'regression', '`cat=False`'): ToCategory(range(50))(np.array([1,99]))
    with fails(ValueError, "Label 'c'", '`vocab=[…]`', '`no_label=…`'): ToCategory(['b','a'])(np.array(['a','c']))
    text = r"vocabulary \['b', 'a'\].*`#na#` with `[^`]*`$" # Nothing of regression
    with pytest.raises(ValueError, match=text): ToCategory(['b','a'])(np.array(['c']))

def test_a_mapping_names_the_labels_and_other_names_are_refused():
    cat = ToCategory({7: 'wake', 3: 'N1'})
    assert cat.c == 2 and cat(np.array([3,7,-100])).tolist() == [1,0,-100] and cat.decode(torch.tensor(1)) == 'N1'
    for o in (None, {}, {3: 'N1'}, {9: 'N2'}): cat.check_names(o)
    said = "Label 3 is 'N2' in these rows, and 'N1' in the training data"
    with fails(ValueError, said): cat.check_names({7: 'wake', 3: 'N2'})
    cat.set_vocab([5])
    assert cat.names is None and cat.c == 1 and cat(np.array([5])).tolist() == [0]
    cat.check_names({5: 'any'})

def test_strings_of_further_inputs_are_never_unknown():
    code = ToCode(['b','a'])
    got = code(np.array([['a','c'],['','b']]))
    assert type(got) is TSInput and got.tolist() == [[2,0],[0,1]] and list(code.vocab) == ['#na#','b','a']

# Labels to read

def test_labels_are_a_list_whose_parts_are_plain_lists():
    labels = Labels(np.array([[1,-100],[0,1]]), ['x','y'])
    assert list(labels) == ['y',None,'x','y'] and labels.text() == 'y, no label, x, y'
    part = labels[1:3]
    assert type(part) is L and part == [None,'x']

def test_runs_of_labels_are_drawn_where_they_are():
    codes = np.array([-100,-100,1,1,1,-100,0,0,12,12])
    ax = Labels(codes, [*range(13)], start=5).show()
    assert [(o.get_x(), o.get_width()) for o in ax.patches] == [(6.5,3), (10.5,2), (12.5,2)]
    assert [o.get_facecolor()[:3] for o in ax.patches] == [to_rgb(f'C{o}') for o in (1,0,2)]
    assert Labels(codes[:8], ['x','y']).show(ctx=plt.subplots()[1]).get_title().startswith('no label, no label, y, y')
    plt.close('all')
