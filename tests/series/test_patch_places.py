"Patches lie within their rows, cover what they should, and depend on nothing but their number"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import elsewhere, same
from tsdisk.series.patch_places import AnyPlaces, fixed_shares, GridPlaces, random_shares

def test_random_shares_are_even_and_depend_on_every_key():
    a = random_shares(np.arange(100_000), 1, 2)
    assert (a >= 0).all() and (a < 1).all() and np.histogram(a, 10, (0,1))[0].min() > 9500 # 10,000 expected, standard deviation 95
    for keys in ((1,), (1,3), (2,2), (2,1)): assert abs(np.corrcoef(a, random_shares(np.arange(100_000), *keys))[0,1]) < .02
    same(random_shares(np.array([7,3], 'i2'), 1, 2), a[[7,3]])

def test_random_shares_are_those_of_any_process(): same(elsewhere('__import__("tsdisk.series.patch_places").series.patch_places.random_shares(a, 5, 6)', np.arange(9)), random_shares(np.arange(9), 5, 6))

@given(st.integers(1, 60), st.integers(1, 4))
def test_fixed_shares_are_distinct_and_spread(per_row, ndim):
    shares = fixed_shares(np.arange(per_row), per_row, ndim)
    assert shares.shape == (per_row,ndim) and (shares > 0).all() and (shares < 1).all()
    assert len({*map(tuple, shares.tolist())}) == per_row

def test_one_fixed_patch_is_in_the_middle(): same(fixed_shares(np.zeros(2, int), 1, 3), np.full((2,3), .5))

rooms = st.lists(st.integers(0, 12), min_size=1, max_size=3)

@given(rooms, st.integers(1, 4), st.integers(1, 5), st.none() | st.integers(0, 9), st.booleans())
def test_patches_fit_into_their_rows(room, n, per_row, epoch, unequal):
    room = np.array([room]*n) + np.arange(n)[:,None] if unequal else np.array(room)
    places = AnyPlaces(n, room, per_row, 3, epoch)
    rows,starts = places.locate(np.arange(len(places)))
    same(rows, np.repeat(np.arange(n), per_row))
    assert (starts >= 0).all() and (starts <= (room[rows] if unequal else room)).all()
    some = np.arange(len(places))[::-2]
    same(places.locate(some)[1], starts[some]) # Whatever is asked for with them
    same(places.at_epoch(epoch).locate(some)[1], starts[some])

def test_random_patches_reach_every_place_and_move_with_epoch_and_seed():
    places = AnyPlaces(1000, [2,1], seed=0, epoch=0)
    found = {tuple(o) for o in places.locate(np.arange(1000))[1].tolist()}
    assert found == {(i,j) for i in range(3) for j in range(2)}
    others = [places.at_epoch(1), AnyPlaces(1000, [2,1], seed=1, epoch=0)]
    for o in others: assert .1 < (o.locate(np.arange(1000))[1] == places.locate(np.arange(1000))[1]).all(1).mean() < .25 # 1/6 expected

@given(st.lists(st.tuples(*[st.integers(0, 9)]*2), min_size=1, max_size=4), st.tuples(*[st.integers(1, 4)]*2), st.booleans())
def test_a_grid_is_that_of_loops(room, every, unequal):
    places = GridPlaces(len(room), room if unequal else room[0], every)
    want = []
    for i in range(len(room)):
        r = room[i if unequal else 0]
        axes = [[*range(0, m, e)]+[m] for m,e in zip(r, every)]
        want += [(i, a, b) for a in axes[0] for b in axes[1]]
    rows,starts = places.locate(np.arange(len(places)))
    assert [*zip(rows.tolist(), *starts.T.tolist())] == want

@pytest.mark.parametrize('a,b,equal', [(AnyPlaces(9, [3], 2, 1), AnyPlaces(9, [3], 2, 1, epoch=4), True), (AnyPlaces(9, [3], 2, 1), AnyPlaces(9, [3], 2, 2), False),
    (AnyPlaces(9, [3], 2, 1), AnyPlaces(9, [3], 3, 1), False), (GridPlaces(9, [3], [1]), GridPlaces(9, [3], [2]), False)])
def test_settings_tell_places_apart(a, b, equal): assert (a.settings == b.settings) == equal
