"What means that there is no label"
import numpy as np, pytest
from conftest import fails, same
from tsdisk.order.no_label import has_label, no_label_values
from tsdisk.order.splits import stratified_splits

@pytest.mark.parametrize('labels,no_label,want', [
    ([0,-100,5], None, [1,0,1]), ([0,-1,255], [-1,255], [1,0,0]), (np.array([0,255,156], 'u1'), 255, [1,0,1]), (np.array([-100,3], 'i1'), 255, [0,1]),
    (['a','?','unscored'], ['?','unscored'], [1,0,0]), (np.array([b'a',b'?']), '?', [1,0]), ([1.,np.nan,-100.], None, [1,0,0]), ([1.,2.], np.nan, [1,1]),
    ([True,False], None, [1,1]), ([True,False], -1, [1,1]), ([True,False], [255,.5], [1,1]), ([True,False], 0, [1,0]),
    ([True,False], True, [0,1]), ([1,2], [np.inf,-np.inf], [1,1]), ([[1,-100],[2,3]], 3, [[1,0],[1,0]])], ids=str)
def test_labels_are_told_from_what_means_none(labels, no_label, want): same(has_label(labels, no_label), np.array(want, bool))

def test_values_of_another_kind_are_refused():
    with fails(TypeError, 'numbers', "'?'"): no_label_values(np.dtype('i4'), '?')
    with fails(TypeError, 'strings', '-1'): no_label_values(np.dtype('U3'), ['?',-1])

def test_stratified_splits_leave_out_rows_without_a_label():
    y = np.repeat([0,1,-100,9], [40,20,30,10])
    train,valid = stratified_splits(y, .25, seed=0, no_label=9)
    assert sorted(y[valid].tolist()) == [0]*10+[1]*5 and sorted(y[train].tolist()) == [0]*30+[1]*15
    assert (np.diff(train) > 0).all() and (np.diff(valid) > 0).all()
    with fails(ValueError, 'None of 3 rows has a label'): stratified_splits([-100]*3)
