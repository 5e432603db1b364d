"Blocks of rows in any order, the rows of a few of them shuffled together"
import pickle
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import same
from order_cases import cuts
from tsdisk.order.blocks import BlockOrder
from tsdisk.order.shuffle import order

sizes = [(1,1,1), (2,1,1), (5,10,3), (100,1,1), (100,1,7), (1000,7,3), (1000,1000,1), (999,10,1), (1024,16,64), (1025,16,64), (50,3,17)]

@pytest.mark.parametrize('n,block,buffer', sizes)
def test_block_order_is_a_permutation_of_whole_buffers(n, block, buffer):
    for seed,epoch in ((0,0),(5,0),(0,3)):
        o = BlockOrder(n, seed, epoch, block, buffer)
        whole = np.asarray(o)
        same(np.sort(whole), np.arange(n))
        assert o.stops[-1] == n and (np.diff([0,*o.stops]) > 0).all()
        for w,(a,b) in enumerate(zip([0,*o.stops], o.stops)):
            same(np.sort(whole[a:b]), o.rows(w))
            assert set(o.piece_of(np.arange(a, b))) == {w} and len(np.unique(o.rows(w)//block)) <= buffer

@given(st.integers(1, 400), st.integers(1, 50), st.integers(1, 9), cuts, st.lists(st.integers(0, 10**6)))
def test_any_part_of_a_block_order_is_that_of_the_whole(n, block, buffer, cut, idxs):
    o = BlockOrder(n, 3, 1, block, buffer)
    whole = np.asarray(o)
    same(o[cut], whole[cut])
    idxs = np.array(idxs, np.int64)%n
    same(o[idxs], whole[idxs])
    assert o[-1] == whole[-1] and list(o) == whole.tolist() and o[:0].shape == (0,)

def test_block_orders_differ_by_seed_and_epoch_alone():
    def made(seed, epoch): return tuple(order(1000, seed, epoch, 'block', block=10, buffer=5))
    assert len({made(s, e) for s in range(4) for e in range(4)}) == 16 and made(3, 2) == made(3, 2)
    o = order(1000, 3, 2, 'block', block=10, buffer=5)
    assert tuple(pickle.loads(pickle.dumps(o))) == made(3, 2) and 'buffer=5' in repr(o)

def test_every_row_comes_anywhere_in_an_epoch():
    at = np.array([np.argsort(BlockOrder(100, 0, e, 10, 2))[[0,37,99]] for e in range(2000)])
    for o in at.T: assert np.histogram(o, 10, (0,100))[0].min() > 140 # 200 expected, 14 standard deviation

def test_places_are_given_instead_of_positions():
    places = np.random.default_rng(0).permutation(100)
    a,b = [BlockOrder(100, 1, 0, 8, 3, places=o) for o in (None,places)]
    same(np.asarray(b), places[np.asarray(a)])
    same(b.rows(1), places[a.rows(1)])

def test_a_billion_rows_in_blocks_cost_nothing():
    o = order(10**9, 7, 0, 'block', block=4096, buffer=64)
    part = o[5*10**8:5*10**8+1000]
    assert len(np.unique(part)) == 1000 and len(np.unique(part//4096)) <= 128 and o.blocks.nbytes + o.stops.nbytes < 3e6

def deviation(o, labels, bs=64):
    "How far the shares of the classes in a batch are from those of the whole, on average"
    k = labels.max()+1
    shares = [np.bincount(labels[b], minlength=k)/len(b) for b in np.split(np.asarray(o), range(bs, len(o), bs))]
    return np.abs(np.array(shares) - np.bincount(labels)/len(labels)).mean()

def test_batches_of_class_sorted_rows_are_mixed():
    labels = np.arange(100_000)//10_000 # Ten classes, one after the other, in 250 blocks
    exact = deviation(order(100_000, 1), labels)
    blocks = deviation(order(100_000, 1, 0, 'block', block=400, buffer=72), labels)
    in_order = deviation(range(100_000), labels)
    assert exact < .031 and blocks < 1.5*exact and in_order > 5*exact, (exact, blocks, in_order)

@pytest.mark.parametrize('buffer,world_size', [(6,2), (6,3), (24,8), (1,1), (72,4), (24,24)])
def test_places_by_lane_are_those_that_sorting_gives(buffer, world_size):
    o = BlockOrder(30_000, 0, 0, 40, buffer)
    for a,b in ((0,64), (5,6), (100,612), (1001,1050)):
        places = np.arange(a, b)
        lane = places%o.lanes
        same(o.arranged(a, b, world_size), places[np.argsort(lane%world_size + lane/o.lanes, kind='stable')])
