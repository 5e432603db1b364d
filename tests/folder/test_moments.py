"Statistics of parts add up, turn with the scale, and survive JSON"
import json, numpy as np, pytest
from conftest import fails, filled
from tsdisk.folder.moments import Stats, shares
from tsdisk.folder.stats import array_stats

def test_stats_of_parts_add_up(tmp_path):
    x = filled((900,3,40)).astype('f8')+[[1e8],[0],[-5]]
    x[:10,1] = np.nan
    whole,parts = array_stats(x), array_stats(x[:10])+array_stats(x[10:300])+array_stats(x[300:])
    for o in ('count','nans','min','max'): assert np.array_equal(getattr(whole, o), getattr(parts, o))
    for o in ('mean','std'): np.testing.assert_allclose(getattr(parts, o), getattr(whole, o), rtol=1e-7)
    flat = np.sort(x.swapaxes(0, 1).reshape(3, -1), 1)
    for i in range(3): assert abs(np.searchsorted(flat[i], parts.quantiles[:,i])/whole.count[i]-shares).max() <= parts.error

@pytest.mark.parametrize('a,b', [([0.]*385 + [1.]*615, [0.]*385 + [1.]*615), ([0.]*300 + [1.]*700, [1.]*100 + [5.]*300), ([2.]*50, [2.]*80), ([2.]*50, [3.]*150),
    (np.minimum(filled(3000), .2), np.minimum(filled(2000, seed=1), .2)), (filled(3000)//1, filled(2000, seed=1)//.5),
    (np.array([np.nan]), [1.]*9 + [4.])], ids=range(7))
def test_merged_quantiles_of_values_that_repeat_lie_within_the_stated_error(a, b):
    both = np.sort(np.append(a, b)[~np.isnan(np.append(a, b))])
    got = array_stats(np.asarray(a)) + array_stats(np.asarray(b))
    for share,q in zip(shares, got.quantiles[:,0]):
        low,high = (np.searchsorted(both, q+e, side)/len(both) for e,side in ((-1e-6,'left'), (1e-6,'right')))
        assert low-got.error-1/len(both) <= share <= high+got.error+1/len(both), (share, q, low, high)

def test_stats_in_units_turn_with_a_negative_scale():
    x = filled((100,2,30), 'i2')
    st,want = array_stats(x).in_units([2,-.5], [1,0]), array_stats(x*np.array([[2],[-.5]])+[[1],[0]])
    for o in Stats.names: np.testing.assert_allclose(getattr(st, o), getattr(want, o), atol=1e-4*abs(want.max).max())

def test_stats_print_and_survive_json():
    x = filled((30,3,20))
    x[:, 1] = np.nan
    st = array_stats(x)
    assert Stats.from_dict(json.loads(json.dumps(st.to_dict()))) == st and st != array_stats(x[1:])
    assert all(o in repr(st) for o in (*Stats.names[:6], 'median')) and f'{st.mean[2]:.6g}' in repr(st) and len(repr(st).splitlines()) == 4
    assert len(repr(array_stats(filled((2,50,3)))).splitlines()) == 22

def test_stats_without_quantiles_are_stats():
    x = filled((30,3,20))
    some,all = array_stats(x, ranges=False),array_stats(x)
    assert some == array_stats(x, ranges=False) and some != all and all != some and all != None
    for o in ('median','iqr'):
        with fails(ValueError, 'no quantiles', '`ranges=True`'): getattr(some, o)

def test_huge_values_have_a_mean_and_a_deviation():
    st = array_stats(np.array([[[1e40,1e40+1e37,1e40-1e37]],[[1e40]*3]]))
    np.testing.assert_allclose([st.mean[0], st.std[0]], [1e40, 1e37/3**.5], rtol=1e-6)
