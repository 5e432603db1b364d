"Targets are classes or numbers, and what may be meant otherwise is said"
import warnings
import numpy as np, pytest
from fastai.basics import Categorize, EncodedMultiCategorize, MultiCategorize, RegressionSetup, ToTensor
from conftest import fails
from tsdisk.data.target_types import is_category, label_options, split_label_tfm, warn_of_missing_labels, warn_of_numbers, words_for_none
from tsdisk.disk.array_sources import as_source

def said(f, *args):
    "The warnings of a call"
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter('always')
        f(*args)
    return [str(o.message) for o in w]

@pytest.mark.parametrize('y,cat,want', [(np.arange(3), None, True), (np.array([True]), None, True), (np.array(['a']), None, True), (np.array([b'a']), True, True),
    (np.zeros(3), None, False), (np.zeros((3,2), 'i8'), None, False), (np.zeros((3,2), 'i8'), True, True), (np.arange(3), False, False), (np.zeros(3), True, True),
    (np.array([['a','b']]), None, True)], ids=str)
def test_integers_and_strings_of_rows_are_classes_unless_said_otherwise(y, cat, want): assert is_category(as_source(y), cat) == want

def test_strings_are_never_numbers_and_dates_are_no_targets():
    with fails(TypeError, 'Strings are always categories'): is_category(as_source(np.array(['a'])), False)
    for o in (np.zeros(3, 'M8[s]'), np.zeros(3, complex)):
        with fails(TypeError, 'Targets are numbers, booleans or strings', o.dtype): is_category(as_source(o))

X = as_source(np.zeros((6,2,9), 'f4'))

@pytest.mark.parametrize('y,where', [(np.ones((6,9), 'i8'), 'for each step, 1 different'), (np.ones((6,1,9), 'u1'), 'for each step'), (np.arange(6).reshape(6,1), 'in each row, 6 different'),
    (np.ones((6,1), bool), 'in each row')], ids=lambda o: str(getattr(o, 'shape', o)))
def test_few_whole_numbers_that_look_like_labels_are_said(y, where):
    text, = said(warn_of_numbers, as_source(y), X)
    assert where in text and '`cat=True`' in text and '`cat=False`' in text

@pytest.mark.parametrize('y', [np.ones((6,9)), np.ones((6,4), 'i8'), np.arange(6), np.arange(54).reshape(6,9), np.ones((0,9), 'i8')], ids=lambda o: f'{o.dtype} {o.shape}')
def test_numbers_that_are_no_labels_are_taken_without_a_word(y): assert said(warn_of_numbers, as_source(y), X) == []

@pytest.mark.parametrize('word', [*words_for_none, ' NaN ', 'None'])
def test_a_class_that_is_named_like_no_label_is_said(word):
    text, = said(warn_of_missing_labels, np.array(['walk', word]))
    assert f'{word!r} is one of the 2 classes' in text and f'`no_label={word!r}`' in text

def test_other_classes_are_not(): assert said(warn_of_missing_labels, np.array(['walk','nanny'])) == said(warn_of_missing_labels, np.array([0,-1])) == []

def test_the_first_transform_sets_the_type():
    tfm,rest = split_label_tfm([Categorize(), ToTensor])
    assert isinstance(tfm, Categorize) and [*map(type, rest)] == [ToTensor]
    assert isinstance(split_label_tfm(RegressionSetup)[0], RegressionSetup) and split_label_tfm(None)[0] is None
    assert split_label_tfm([ToTensor()])[0] is None

@pytest.mark.parametrize('tfms', [[ToTensor(),Categorize()], [Categorize(),RegressionSetup()], [MultiCategorize()], [EncodedMultiCategorize(vocab=['a'])]], ids=str)
def test_transforms_that_have_no_meaning_here_are_refused(tfms):
    with fails(ValueError, 'is not supported here', '(n, k) of 0 and 1'): split_label_tfm(tfms)

@pytest.mark.parametrize('tfm,cat,vocab,want', [(None, True, ['a'], (True,['a'],False)), (RegressionSetup(), None, None, (False,None,False)),
    (Categorize(vocab=['b','a'], sort=False), None, None, (True,['b','a'],False)), (Categorize(), None, ['x'], (True,['x'],False)),
    (Categorize(vocab=['a','b'], add_na=True), None, None, (True,['a','b'],True))], ids=str)
def test_options_come_from_the_transform(tfm, cat, vocab, want): assert label_options(tfm, cat, vocab) == want
