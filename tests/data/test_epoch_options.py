"Options of an epoch are checked before it begins"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.data.epoch_options import block_sizes, Blocks, check_ranks, check_shuffle, epoch_size

@pytest.mark.parametrize('shuffle', [True, False, np.True_, 'block', 'stratified', 'balanced'])
def test_orders_with_and_without_weights(shuffle):
    check_shuffle(shuffle)
    if shuffle in (True,'block'): check_shuffle(shuffle, [1,2])
    else:
        with fails(ValueError, '`weights` draw' if shuffle is False else 'leave out `weights`'): check_shuffle(shuffle, [1,2])

@pytest.mark.parametrize('shuffle', [None, 1, 0, 'blocks', '', [True]], ids=repr)
def test_other_orders_are_refused(shuffle):
    with fails(ValueError, "`shuffle` must be True, False, 'block', 'stratified' or 'balanced'", f'got {shuffle!r}'): check_shuffle(shuffle)

@pytest.mark.parametrize('rank,world_size,seed,words', [(2,2,0,'`rank` must be 0 to `world_size`-1, got 2 of 2'), (-1,2,0,'got -1 of 2'), (0,0,0,'got 0 of 0'),
    (0,1,-1,'`seed` must be 0 or more, got -1'), (0,2,None,'the same `seed`')])
def test_ranks_that_can_not_be_are_refused(rank, world_size, seed, words):
    with fails(ValueError, words): check_ranks(rank, world_size, seed)

def test_ranks_share_a_seed_and_one_needs_none(): assert check_ranks(0, 1) is check_ranks(1, 2, 0) is None

@pytest.mark.parametrize('partial_n,n,want', [(None,100,100), (30,100,30), (300,100,300), (np.int64(30),100,30), (.25,100,25), (np.float32(.5),10,5), (1.,10,10),
    (.001,10,1), (1,10,1), (30,0,0), (.5,0,0)])
def test_an_epoch_has_all_rows_some_or_a_share(partial_n, n, want):
    got = epoch_size(partial_n, n)
    assert got == want and type(got) is int

@pytest.mark.parametrize('partial_n', [0, -3, 0., -.1, 1.5, True, '10', float('nan')], ids=repr)
def test_sizes_that_can_not_be_are_refused(partial_n):
    with fails(ValueError, '`partial_n` must be a number of rows', f'got {partial_n!r}'): epoch_size(partial_n, 100)

@given(st.floats(.01, 2**31), st.integers(1, 2**24), st.integers(1, 2**30), st.integers(1, 2**14))
def test_blocks_and_buffers_are_not_larger_than_asked(row, block, buffer, most):
    rows,blocks = block_sizes(row, block, buffer, most)
    assert 1 <= rows <= most and (rows == 1 or rows*row <= block)
    assert blocks >= 1 and (blocks == 1 or blocks*rows*row <= buffer)

def test_rows_of_a_usual_size_are_read_in_blocks_of_megabytes():
    assert block_sizes(4000) == (458, 73) and block_sizes(1) == (8192, 73) and block_sizes(10**9) == (1,1)

def test_blocks_are_equal_whatever_their_places(): assert Blocks(3, 4, np.arange(3)) == Blocks(3, 4) != Blocks(3, 5)
