"Orders are permutations, the same ones whichever way they are asked for"
import pickle
from math import isqrt
import numpy as np, pytest, torch
from hypothesis import given, strategies as st
from conftest import elsewhere, fails, same
from order_cases import chi2, cuts
from tsdisk.order.blocks import BlockOrder
from tsdisk.order.shuffle import ByWeight, GridPermutation, Order, Passes, order

@pytest.fixture(params=['kept','computed'])
def path(request, monkeypatch):
    "Both ways in which an order is made"
    if request.param == 'computed': monkeypatch.setattr(Order, 'small', 0)
    return request.param

@pytest.fixture
def computed(monkeypatch): monkeypatch.setattr(Order, 'small', 0)

sizes = [1,2,3,4,5,7,8,9,10,15,16,17,99,100,101,127,128,129,255,256,257,1000,1023,1024,1025,4096,32767,32768,32769,65535,65536,65537,10**5+3]

@pytest.mark.parametrize('n', sizes)
def test_order_is_a_permutation(path, n):
    for seed,epoch in ((0,0),(1,0),(0,1),(2**40,7)): same(np.sort(order(n, seed, epoch)[:]), np.arange(n))

@given(st.integers(1, 5000), st.integers(0, 2**64), st.integers(0, 2**33))
def test_any_seed_and_epoch_permute(path, n, seed, epoch): same(np.sort(order(n, seed, epoch)[:]), np.arange(n))

@pytest.mark.parametrize('off', [-1,0,1])
def test_order_is_a_permutation_on_both_sides_of_small(off):
    n = Order.small+off
    o = order(n, seed=3)
    assert isinstance(o.permutation, GridPermutation) == (off > 0)
    same(np.sort(o[:]), np.arange(n))

@given(st.integers(0, 5), cuts, st.lists(st.integers(-1000, 999)), st.lists(st.integers(0, 999)))
def test_ints_slices_and_arrays_agree(path, epoch, cut, idxs, plain):
    o = order(1000, 42, epoch)
    whole = o[:]
    same(o[cut], whole[cut])
    for i in idxs[:5]: assert o[i] == o[np.int64(i)] == whole[i]
    same(o[np.array(plain, int)], whole[np.array(plain, int)])
    same(o[np.array(idxs, int)], whole[np.array(idxs, int)])

def test_rows_that_were_given_out_can_be_changed(path):
    o = order(1000, 42)
    whole = o[:].copy()
    for a in (0,100): o[a:a+50][:] = 0
    same(o[:], whole)

def test_every_form_agrees(path):
    o = order(300, 5, 2)
    whole = np.array([o[i] for i in range(300)])
    same(np.asarray(o), whole)
    same(np.array(o, 'i4'), whole.astype('i4'))
    assert list(o) == whole.tolist() and len(o) == 300 and all(type(i) is int for i in [*o][:3])
    same(o[[3,1,3]], whole[[3,1,3]])
    same(o[np.arange(6).reshape(2, 3)], whole[:6].reshape(2, 3))
    same(o[np.arange(5, dtype='u1')], whole[:5])
    same(torch.as_tensor(np.asarray(o)).numpy(), whole)
    assert o[:].dtype == np.int64 and o[:0].shape == (0,) and o[[]].shape == (0,)

@pytest.mark.parametrize('i', [300, -301, [0,300], np.array([-301])], ids=str)
def test_position_out_of_range_is_an_index_error(path, i):
    with pytest.raises(IndexError): order(300)[i]

def test_same_seed_and_epoch_give_the_same_order_everywhere(path):
    a = order(2000, 7, 3)[:]
    same(order(2000, 7, 3)[:], a)
    same(order(2000, seed=7, epoch=3)[500:600], a[500:600])
    small = 0 if path == 'computed' else Order.small
    same(elsewhere("(setattr(m := __import__('tsdisk.order.shuffle').order.shuffle.Order, 'small', b), m(2000, 7, 3)[:])[1]", None, small), a)

def test_seeds_and_epochs_differ(path):
    orders = [order(1000, s, e)[:] for s in range(6) for e in range(6)]
    for i,a in enumerate(orders):
        for b in orders[:i]: assert (a == b).mean() < .02

def test_unshuffled_order_is_a_range(): assert order(5, shuffle=False) == range(5) and order(10**12, shuffle=False)[-1] == 10**12-1

def test_a_trillion_rows_cost_nothing_until_asked():
    o = order(10**12, 1)
    part = o[10**11:10**11+1000]
    assert part.min() >= 0 and part.max() < 10**12 and len(np.unique(part)) == 1000
    assert o[10**11+5] == part[5] and o[-1] == o[10**12-1]
    assert 'n=1000000000000' in repr(o) and str(o[0]) in repr(o)

# How well it shuffles, without a list. Each bound is about five standard deviations from what a fair shuffle gives

@pytest.mark.parametrize('n', [1009,4096,10_000,65_536,99_991])
def test_places_and_rows_are_independent(computed, n):
    k,counts,width = 12,0,isqrt(n-1)+1
    for epoch in range(10):
        o = order(n, 11, epoch)[:]
        counts = counts + np.histogram2d(np.arange(n), o, bins=k)[0]
        for m in (2,3,7,width): # Remainders, too: columns of the grid are one of them
            if m <= 16: assert chi2(np.bincount((np.arange(n)%m)*m + o%m, minlength=m*m)) < 6
            else: assert abs((np.arange(n)%m == o%m).mean() - 1/m) < 5*np.sqrt(1/m/n)
    assert chi2(counts) < 5

@pytest.mark.parametrize('n', [1009,10_000,65_536,99_991])
def test_displacements_are_those_of_a_shuffle(computed, n):
    moved = np.concatenate([(order(n, 5, e)[:]-np.arange(n))%n for e in range(10)])
    assert abs(chi2(np.histogram(moved, bins=50, range=(0, n))[0])) < 6
    assert abs((moved == 0).sum()-10) < 5*np.sqrt(10)

@pytest.mark.parametrize('n', [1009,10_000,65_536,99_991])
def test_neighbors_do_not_stay_together(computed, n):
    steps = np.concatenate([np.diff(order(n, 9, e)[:]) for e in range(10)])
    width = isqrt(n-1)+1
    for d in (1,-1,2,width,-width,width+1): assert (steps == d).sum() < 10+5*np.sqrt(10)
    assert abs(chi2(np.histogram(steps % n, bins=50, range=(0, n))[0])) < 6

@pytest.mark.parametrize('n', [2,3,5,6])
def test_small_orders_are_all_reached(computed, n):
    seen = np.zeros((n,n))
    for s in range(3000): seen[np.arange(n), order(n, s)[:]] += 1
    assert chi2(seen) < 5 and len({tuple(order(n, s)[:]) for s in range(3000)}) >= {2: 2, 3: 6, 5: 120, 6: 690}[n]

def test_two_epochs_are_independent(computed):
    n = 10_000
    a,b = order(n, 3, 0)[:],order(n, 3, 1)[:]
    assert abs(np.corrcoef(a, b)[0,1]) < 5/np.sqrt(n) and abs(np.corrcoef(a[:-1], b[1:])[0,1]) < 5/np.sqrt(n)

def test_small_parts_of_a_large_order_are_computed_together_and_none_is_kept_whole(monkeypatch):
    n,calls,at = 2*10**6,[],GridPermutation.at
    def counted(self, pos):
        calls.append(len(pos))
        return at(self, pos)
    monkeypatch.setattr(GridPermutation, 'at', counted)
    o,whole = order(n, seed=3),order(n, seed=3)[:]
    calls.clear()
    for a in range(0, 64*200, 64): same(o[a:a+64], whole[a:a+64])
    assert sum(k > 1000 for k in calls) == 1
    for a in (n-10, 5, n//2, n-64): same(o[a:a+70], whole[a:a+70])
    o[:]
    assert len(o.permutation.made[1]) <= GridPermutation.ahead

def test_an_order_pickles_as_three_numbers(path):
    o = order(10**6, seed=3, epoch=2)
    assert len(pickle.dumps(o)) < 200
    same(pickle.loads(pickle.dumps(o))[:1000], o[:1000])

# Epochs and weights

@given(st.integers(1, 300), st.integers(1, 700), st.integers(0, 9), st.sampled_from([False,True,'block']), cuts)
def test_epochs_of_any_size_are_cut_from_passes_over_all_rows(n, size, epoch, shuffle, cut):
    opts = dict(block=7, buffer=3) if shuffle == 'block' else {}
    passes = np.concatenate([order(n, 5, o, shuffle, **opts) for o in range((epoch+1)*size//n+1)])
    o = order(n, 5, epoch, shuffle, size=size, **opts)
    whole = np.asarray(o)
    same(whole, passes[epoch*size:(epoch+1)*size].astype(np.int64))
    same(np.asarray(o[cut], np.int64), whole[cut])
    same(np.asarray(pickle.loads(pickle.dumps(o))), whole)
    if shuffle: same(o[::-2], whole[::-2])
    if shuffle == 'block':
        assert o.buffers[-1] == size and (np.diff(o.buffers) > 0).all()
        for w,(a,b) in enumerate(zip([0,*o.buffers], o.buffers)): same(o.rows(w), np.sort(whole[a:b]))

def test_part_of_a_huge_pass_costs_nothing():
    for shuffle in (True,'block'): assert len(np.unique(order(10**9, 1, 7, shuffle, size=10**6)[:5000])) == 5000

@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.integers(1, 300), st.sampled_from([True,'block']))
def test_draws_are_within_one_of_what_weights_ask(weights, n, shuffle):
    w = np.array(weights) + (max(weights) == 0)
    o = ByWeight(w).draw(n, 3, 1)[np.arange(n)]
    assert (np.diff(o) >= 0).all() and (abs(np.bincount(o, minlength=len(w)) - w/w.sum()*n) < 1+1e-9).all() and (w[o] > 0).all()

def test_draws_of_many_epochs_are_as_often_as_weights_ask():
    w = np.random.default_rng(0).random(200)**4
    counts = sum(np.bincount(order(200, 1, e, weights=w), minlength=200) for e in range(2000))
    assert abs(counts/2000 - w/w.mean()).max() < .06 # Standard deviation at most .5/sqrt(2000)

def test_weights_of_other_rows_are_refused():
    with fails(ValueError, '3 weights', '4 rows'): order(4, weights=[1,2,3])
    with fails(ValueError, 'shuffle=True'): order(3, shuffle=False, weights=[1,2,3])

def test_passes_of_an_epoch_are_made_once_for_all_its_buffers():
    made = []
    def make(k):
        made.append(k)
        return BlockOrder(30, 0, k, block=5, buffer=2)
    o = Passes(150, 0, 30, make)
    for k in range(15): same(np.sort(o[10*k:10*k+10]), o.rows(k))
    assert len(made) <= 2*5
