"The plan of an epoch: every row once, the same steps for any number of ranks, any part of an order by itself, and a state that gives it all back"
import json, pickle
from dataclasses import FrozenInstanceError, replace
import numpy as np, pytest
from hypothesis import assume, given, strategies as st
from conftest import fails, same
from tsdisk.data.epoch import Epoch, rank_rows
from tsdisk.data.epoch_options import Blocks, block_sizes, check_ranks, check_shuffle, epoch_size
from tsdisk.disk.rows import unroll_intervals
from tsdisk.order.shuffle import ByWeight
from tsdisk.order.strata import Classes

class Lengths:
    "Lengths of series by their positions"
    def __call__(self, pos): return np.asarray(pos)*7919%13

def by_classes(n, shuffle):
    classes = Classes(np.arange(n)*7%3 if n > 2 else np.zeros(n, int))
    return dict(shuffle=shuffle, classes=classes, shares=tuple(classes.shares('balanced' if shuffle == 'balanced' else None)))

def in_order(n): return dict(shuffle=False)
def shuffled(n): return dict(shuffle=True)
def blocks(n): return dict(shuffle='block', blocks=Blocks(3, 2))
def places(n): return dict(shuffle='block', blocks=Blocks(4, 3, np.random.default_rng(n).permutation(n)))
def stratified(n): return by_classes(n, 'stratified')
def lengths(n): return dict(shuffle=True, length_of=Lengths())
def weights(n): return dict(shuffle=True, weights=ByWeight(1+np.arange(n)%4))
def weighted_blocks(n): return dict(shuffle='block', blocks=Blocks(3, 2), weights=ByWeight(1+np.arange(n)%4))
def balanced(n): return by_classes(n, 'balanced')

orders = {f.__name__: f for f in (in_order, shuffled, blocks, places, stratified, lengths)}
drawn = {f.__name__: f for f in (weights, weighted_blocks, balanced)}
every = {**orders, **drawn}

@st.composite
def epochs(draw, kinds=every, partial=True):
    "Any epoch of up to 200 rows, on its first rank"
    n = draw(st.integers(1, 200))
    size = draw(st.one_of(st.none(), st.integers(1, 500))) if partial else None
    world_size = draw(st.integers(1, 6))
    global_bs = draw(st.one_of(st.none(), st.integers(world_size, 60)))
    return Epoch(n, bs=draw(st.integers(1, 40)), seed=draw(st.integers(0, 2**32)), epoch=draw(st.integers(0, 9)), size=size,
        drop_last=draw(st.booleans()), world_size=world_size, global_bs=global_bs, **kinds[draw(st.sampled_from(sorted(kinds)))](n))

def all_positions(e): return e.positions(0, len(e))
def on_ranks(e): return [replace(e, rank=r) for r in range(e.world_size)]
def of_one(e): return replace(e, bs=e.rows_of_step, world_size=1, rank=0, global_bs=None)
def counted(e, step):
    "The rows of each rank that count in a step"
    return [o.positions(step, step+1)[:n] for o,n in zip(on_ranks(e), e.rank_sizes(step))]

# Rows

@given(epochs(orders, partial=False))
def test_each_row_comes_exactly_once(e):
    one = replace(of_one(e), drop_last=False)
    assert sorted(all_positions(one)) == [*range(e.n)]

@given(epochs(orders), st.integers(2, 6))
def test_parts_of_epochs_continue_until_all_rows_came(e, k):
    e = replace(of_one(e), drop_last=False, epoch=0)
    assume(e.length_of is None and e.classes is None) # Which rearrange or count within an epoch
    rows = np.concatenate([all_positions(replace(e, epoch=i)) for i in range(k)])
    for i in range(0, len(rows)-e.n+1, e.n): assert sorted(rows[i:i+e.n]) == [*range(e.n)]

@given(epochs(drawn))
def test_drawn_rows_are_rows_of_the_dataset(e):
    got = all_positions(replace(of_one(e), drop_last=False))
    assert len(got) == e.size and got.dtype == np.int64 and 0 <= got.min() and got.max() < e.n

@given(epochs())
def test_an_epoch_has_as_many_steps_as_it_says(e):
    one = of_one(e)
    sizes = [len(one.positions(i, i+1)) for i in range(len(e))]
    rest = 0 if e.drop_last else e.size%e.rows_of_step
    assert sizes == [e.rows_of_step]*(e.size//e.rows_of_step) + [rest]*(rest > 0)

@given(epochs())
def test_the_same_numbers_give_the_same_positions(e):
    same(all_positions(replace(e)), all_positions(e))
    assert replace(e) == e and replace(e, seed=e.seed+1) != e

@given(epochs(dict(shuffled=orders['shuffled'])))
def test_seeds_and_epochs_have_orders_of_their_own(e):
    assume(e.n > 20 and len(e) and e.size >= e.n)
    e = of_one(e)
    others = [replace(e, seed=e.seed+1), replace(e, epoch=e.epoch+1)]
    for o in others: assert not np.array_equal(o.order[:], e.order[:])

# Ranks

@given(epochs())
def test_parts_of_the_ranks_make_the_global_batch(e):
    assume(e.shuffle)
    one,in_blocks = of_one(e),e.shuffle == 'block'
    assert {len(o) for o in on_ranks(e)} == {len(one)}
    most = -(-e.rows_of_step//e.world_size)
    for i in range(len(one)):
        whole,parts = one.positions(i, i+1),[o.positions(i, i+1) for o in on_ranks(e)]
        assert all(1 <= len(o) <= most for o in parts) and {*np.concatenate(parts)} == {*whole}
        got = np.concatenate(counted(e, i))
        same(*(np.sort(o) if in_blocks else o for o in (got, whole)))

@given(epochs(dict(in_order=in_order)))
def test_in_order_each_row_comes_once_and_counts(e):
    one = of_one(e)
    rows = [o for i in range(len(e)) for o in counted(e, i)]
    if rows: same(np.concatenate(rows), all_positions(one))
    assume(e.size >= e.world_size and e.rows_of_step >= 2*e.world_size)
    assert all(len(o) for o in rows)
    assert sum(len(all_positions(o)) for o in on_ranks(e)) == len(all_positions(one))

@given(epochs(), st.data())
def test_a_range_of_steps_is_that_slice_of_the_whole(e, data):
    e = replace(e, rank=data.draw(st.integers(0, e.world_size-1)))
    steps = [e.positions(i, i+1) for i in range(len(e))]
    a = data.draw(st.integers(0, len(e)))
    b = data.draw(st.integers(a, len(e)))
    want = np.concatenate([np.empty(0, np.int64), *steps[a:b]])
    same(e.positions(a, b), want)

@given(epochs())
def test_batch_size_and_world_size_may_be_traded(e):
    "Two ranks of 8 rows have the order of one of 16; so do states"
    assert of_one(e).settings() == e.settings() and of_one(e).state(3) == e.state(3)

@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(0, 1000), st.integers(1, 9))
def test_steps_are_shared_evenly(sizes, first, world_size):
    starts = first + np.append(0, np.cumsum(sizes))
    parts = [rank_rows(starts, r, world_size) for r in range(world_size)]
    n = np.stack([stop-first for first,stop in parts])
    assert (n.max(0)-n.min(0) <= 1).all() and n.sum(0).tolist() == sizes
    assert sorted(np.concatenate([unroll_intervals(*o)[1] for o in parts])) == [*range(first, starts[-1])]

@given(epochs())
def test_no_rank_has_more_rows_in_a_smaller_step(e):
    full = rank_rows(np.array([0,e.rows_of_step]), np.arange(e.world_size), e.world_size)
    most = full[1]-full[0]
    for step in range(len(e)):
        sizes = e.rank_sizes(step)
        assert (sizes <= most).all() and np.ptp(sizes) <= 1 and sizes.sum() == np.diff(e.step_starts(step, step+1))
        assert [len(o) for o in counted(e, step)] == sizes.tolist()

# Shuffle buffers

@given(epochs({k: every[k] for k in ('blocks','places','weighted_blocks')}), st.data())
def test_rows_of_steps_are_in_the_shuffle_buffers_they_need(e, data):
    assume(len(e))
    a = data.draw(st.integers(0, len(e)-1))
    b = data.draw(st.integers(a+1, len(e)))
    need = e.buffers(a, b)
    assert 0 <= need.start < need.stop <= len(e.buffer_ends)
    have = {int(i) for k in need for i in e.order.rows(k)}
    for o in on_ranks(e): assert {*o.positions(a, b).tolist()} <= have

@given(epochs({k: every[k] for k in ('blocks','places')}, partial=False))
def test_shuffle_buffers_hold_each_row_once(e):
    rows = np.concatenate([e.order.rows(k) for k in range(len(e.buffer_ends))])
    assert sorted(rows) == [*range(e.n)] and e.buffer_ends[-1] == e.n
    need = [e.buffers(i, i+1) for i in range(len(e))]
    assert all(p.start <= q.start and p.stop <= q.stop for p,q in zip(need, need[1:]))

@given(epochs({k: every[k] for k in ('blocks','places','weighted_blocks')}))
def test_ranks_read_their_rows_of_a_shuffle_buffer(e):
    rows = [np.concatenate([o.buffer_rows(k) for k in range(len(e.buffer_ends))] or [[]]) for o in on_ranks(e)]
    for o,got in zip(on_ranks(e), rows): assert {*all_positions(o).tolist()} <= {*got.tolist()}
    if e.world_size > 1 and not e.drop_last: assert sum(map(len, rows)) == sum(len(all_positions(o)) for o in on_ranks(e))

@pytest.mark.parametrize('world_size', [1,2,3,5,8])
def test_ranks_read_blocks_of_their_own(world_size):
    "Blocks that each rank needs of 1,200: together at most 1.1 times all, and about the same for each"
    e = Epoch(1200*40, bs=256, shuffle='block', blocks=Blocks(40, 72), world_size=world_size, seed=3)
    need = [len({(k,int(b)) for k in range(len(o.buffer_ends)) for b in np.unique(o.buffer_rows(k)//40)}) for o in on_ranks(e)]
    assert 1200 <= sum(need) <= 1.1*1200 and max(need) <= 1.15*1200/world_size

@pytest.mark.parametrize('kind', ['in_order','shuffled','stratified','weights','lengths'])
@pytest.mark.parametrize('size', [None,30,200])
def test_other_orders_have_no_shuffle_buffers(kind, size): assert Epoch(50, size=size, **every[kind](50)).buffer_ends is None

@pytest.mark.parametrize('row_bytes', [1, 40, 512, 6_400, 25_600, 10**6, 10**9])
def test_blocks_and_shuffle_buffers_stay_within_their_bytes(row_bytes):
    rows,buffer = block_sizes(row_bytes)
    assert 1 <= rows <= 2**13 and buffer >= 1
    assert rows == 1 or rows*row_bytes <= 7*2**18
    assert buffer == 1 or rows*buffer*row_bytes <= 2**27
    assert buffer <= 73

# State

@given(epochs(), st.data())
def test_a_state_gives_the_rest_of_the_epoch_back(e, data):
    assume(len(e))
    step = data.draw(st.integers(0, len(e)-1))
    state = json.loads(json.dumps(e.state(step, split='range(0, 9)', data=[1,2])))
    other,first = replace(e, seed=5, epoch=17).resume(state, split='range(0, 9)', data=[1,2])
    assert (other.seed, other.epoch, other.start) == (e.seed, e.epoch, e.step_starts(step, step)[0])
    same(other.positions(first, len(other)), e.positions(step, len(e)))
    assert len(json.dumps(state)) < 1000

@given(epochs({k: every[k] for k in every if k != 'lengths'}), st.data())
def test_a_state_gives_the_rest_to_any_number_of_ranks_and_rows(e, data):
    "Twice: by other ranks with other batches, and by others again in the middle of these"
    e = replace(e, drop_last=False)
    assume(len(e))
    step = data.draw(st.integers(0, len(e)-1))
    state = e.state(step)
    for _ in range(2):
        before = int(e.step_starts(step, step)[0])
        e = replace(e, start=0, rank=0, world_size=data.draw(st.integers(1, 5)), global_bs=data.draw(st.integers(5, 50)), seed=1)
        e,step = e.resume(state)
        assert int(e.step_starts(step, step)[0]) == before and step < len(e)
        stop = data.draw(st.integers(step+1, len(e)))
        rest,in_blocks = np.asarray(of_one(e).order[before:]),e.shuffle == 'block'
        for i in range(step, len(e)):
            got = np.concatenate(counted(e, i))
            want,rest = rest[:len(got)],rest[len(got):]
            same(*(np.sort(o) if in_blocks else o for o in (got, want)))
        assert not len(rest)
        state,step = e.state(min(stop, len(e)-1)),min(stop, len(e)-1)

@pytest.mark.parametrize('change,word', [(dict(n=99), 'rows = 100, this one has 99'), (dict(drop_last=True), 'drop_last'),
    (dict(size=50), 'rows_of_an_epoch'), (dict(shuffle=False), 'shuffle'), (dict(length_of=Lengths()), 'by_length'),
    (dict(shuffle='block', blocks=Blocks(3, 2)), 'shuffle')], ids=lambda o: str(list(o)) if isinstance(o, dict) else o)
def test_a_state_of_other_settings_is_refused_by_name(change, word):
    e = Epoch(100, bs=8, shuffle=True)
    with fails(ValueError, word): replace(e, **change).resume(e.state(2))

def test_batches_of_similar_lengths_depend_on_their_size():
    e = Epoch(100, bs=8, shuffle=True, length_of=Lengths())
    assert replace(e, bs=4, world_size=2).resume(e.state(2))[1] == 2
    with fails(ValueError, 'by_length = 8, this one has 9'): replace(e, bs=9).resume(e.state(2))

def test_a_state_of_other_data_is_refused():
    e = Epoch(100, bs=8, shuffle=True)
    with fails(ValueError, 'data = [1], this one has [2]'): e.resume(e.state(2, data=[1]), data=[2])
    with fails(ValueError, 'split', '`seed` or `splits`'): e.resume(e.state(2), split=7)
    with fails(ValueError, 'blocks = [3, 2, 2]'): replace(e, shuffle='block', blocks=Blocks(3, 4)).resume(replace(e, shuffle='block', blocks=Blocks(3, 2)).state(0))

@pytest.mark.parametrize('change,word', [(dict(version=1), 'version'), (dict(row=104), 'row 104, but an epoch has 100 rows'), (dict(step=-1), '`step` must be a whole number of at least 0, got -1'), (dict(epoch=-1), '`epoch` must be a whole number of at least 0, got -1')], ids=str)
def test_states_of_no_step_are_refused(change, word):
    e = Epoch(100, bs=8)
    with fails(ValueError, word): e.resume({**e.state(2), **change})

# A value

def test_an_epoch_cannot_be_changed():
    e = Epoch(10)
    with pytest.raises(FrozenInstanceError): e.n = 5
    assert (e.size, len(e), e.order) == (10, 1, range(10))

@given(epochs())
def test_an_epoch_can_be_pickled(e):
    want = all_positions(e)
    for o in (e, replace(e)): same(all_positions(pickle.loads(pickle.dumps(o))), want)

def test_positions_of_others_keep_steps_and_ranks():
    e = Epoch(10, bs=2, seed=1, shuffle=True, world_size=2)
    for own in (np.array([9,3,3,1,0]), range(9, 4, -1)):
        o = e.with_order(own)
        assert len(o) == 2 and [r.positions(0, 2).tolist() for r in on_ranks(o)] == [[own[0],own[1],own[4]], [own[2],own[3],own[4]]]
    one = of_one(e).with_order([4,4,2])
    assert one.positions(0, 1).tolist() == [4,4,2]

def test_a_billion_rows_take_no_time():
    e = Epoch(10**9, bs=64, seed=1, shuffle=True, epoch=7)
    assert len(e) == 15_625_000 and len(e.positions(9_999_999, 10_000_001)) == 128

# Options

@pytest.mark.parametrize('shuffle', ['blocks','random',1,None,'',2.])
def test_orders_that_do_not_exist_are_refused(shuffle):
    with fails(ValueError, "`shuffle` must be True, False, 'block', 'stratified' or 'balanced'", repr(shuffle)): check_shuffle(shuffle)

def test_orders_that_exist_are_taken():
    for o in (True, False, np.True_, 'block', 'stratified', 'balanced'): check_shuffle(o)
    for o in (True, np.True_, 'block'): check_shuffle(o, weights=[1])
    for o in ('stratified','balanced'):
        with fails(ValueError, repr(o), '`weights`'): check_shuffle(o, weights=[1])
    with fails(ValueError, '`weights`', 'shuffle=True'): check_shuffle(False, weights=[1])

def test_an_order_by_class_needs_classes():
    with fails(ValueError, 'classes'): Epoch(10, shuffle='balanced').order

@pytest.mark.parametrize('rank,world_size', [(2,2), (-1,1), (0,0)])
def test_ranks_that_do_not_exist_are_refused(rank, world_size):
    with fails(ValueError, 'rank', f'got {rank} of {world_size}'): check_ranks(rank, world_size, 1)
    with fails(ValueError, 'rank', f'got {rank} of {world_size}'): Epoch(10, rank=rank, world_size=world_size)

@given(st.integers(1, 10**6), st.floats(1e-6, 1))
def test_a_share_of_an_epoch_is_at_least_one_row(n, share):
    assert 1 <= epoch_size(share, n) <= n and abs(epoch_size(share, n)-share*n) <= 1 and epoch_size(1., n) == epoch_size(None, n) == n
