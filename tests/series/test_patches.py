"Patches are what NumPy cuts, at places that depend on the epoch and the seed alone"
import h5py, numpy as np, pickle, pytest
from hypothesis import given, settings, strategies as st
from conftest import fails, same
from tsdisk.disk.array_sources import ArraySource
from tsdisk.disk.arrays import save_array
from tsdisk.disk.shards import Shards
from tsdisk.folder.stats import array_stats
from tsdisk.series.crops import Crops
from tsdisk.series.patches import GridPlaces, Patches, stretches
from tsdisk.testing import check_source

@st.composite
def shapes_and_sizes(draw):
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    size = [draw(st.integers(1, o)) for o in shape[-draw(st.integers(1, len(shape))):]]
    return (draw(st.integers(1, 5)),*shape), tuple(size)

def values(shape): return np.arange(np.prod(shape), dtype='i4').reshape(shape)

def cut(x, row, start, size):
    where = [slice(a, a+n) for a,n in zip(start, size)]
    return x[(row, ..., *where)]

@settings(max_examples=40, deadline=None)
@given(shapes_and_sizes(), st.integers(1, 3), st.integers(0, 3), st.sampled_from([None,0,5]))
def test_patches_are_parts_of_their_rows(found, per_row, seed, epoch):
    shape,size = found
    x = values(shape)
    p = Patches(x, size, per_row, seed)
    if epoch is not None: p = p.at_epoch(epoch)
    assert p.shape == (shape[0]*per_row, *shape[1:len(shape)-len(size)], *size)
    rows,starts = p.places.locate(np.arange(len(p)))
    same(rows, np.repeat(np.arange(shape[0]), per_row))
    got = p.gather(range(len(p)))
    for i in range(len(p)): same(got[i], cut(x, rows[i], starts[i], size))
    same(p.over(x*2).gather(range(len(p))), got*2)

@settings(max_examples=40, deadline=None)
@given(shapes_and_sizes(), st.integers(1, 4))
def test_grids_cover_every_value(found, every):
    shape,size = found
    every = tuple(min(every, o) for o in size)
    x = values(shape)
    p = Patches(x, size, every=every)
    assert set(p.gather(range(len(p))).ravel().tolist()) == set(range(x.size))
    assert p.at_epoch(3) is p
    per_row = len(p)//shape[0]
    same(p.places.locate(np.arange(len(p)))[0], np.repeat(np.arange(shape[0]), per_row))

def test_patches_are_a_source(tmp_path):
    x = save_array(tmp_path/'x.npy', np.random.default_rng(0).normal(size=(9,2,6,7,8)).astype('f4'))
    p = Patches(x, (3,4,5), per_row=6)
    check_source(p, p.gather(range(len(p))))
    same(Patches(x, (3,4,5)).gather([4]), np.asarray(x)[[4], :, 2:5, 2:6, 2:7])
    assert p.stored is p and p.place().files == [tmp_path/'x.npy']
    assert len(pickle.dumps(p)) < 4000

@pytest.mark.parametrize('kind', ['shards','hdf5','list','paths'])
def test_rows_may_come_from_anything(tmp_path, kind):
    x = np.random.default_rng(1).normal(size=(4,1,9,8)).astype('f4')
    paths = [save_array(tmp_path/f'{i}.npy', o).filename for i,o in enumerate(x)]
    with h5py.File(tmp_path/'x.h5', 'w') as f: f['x'] = x
    if kind == 'shards': rows = Shards(paths, stack=True)
    elif kind == 'hdf5': rows = h5py.File(tmp_path/'x.h5')['x']
    else: rows = list(x) if kind == 'list' else paths
    p,q = (Patches(o, (3,4), per_row=3).at_epoch(2) for o in (x,rows))
    same(p.gather(range(12)), q.gather(range(12)))
    q.prefetch([0,11,12])
    same(np.asarray(p[5]), np.asarray(pickle.loads(pickle.dumps(q))[5]))
    assert array_stats(q).mean == pytest.approx(x.mean(), abs=1e-5)

def test_epochs_differ_and_fixed_places_are_central():
    p = Patches(np.zeros((500,1,101,61)), (1,1), seed=1)
    (_,a),(_,b),(_,fixed) = (o.places.locate(np.arange(500)) for o in (p.at_epoch(0), p.at_epoch(1), p))
    assert (a != b).any(1).mean() > .9
    same(a, p.at_epoch(0).places.locate(np.arange(500))[1])
    assert (fixed == [50,30]).all()
    assert abs(np.corrcoef(a.T)[0,1]) < .15
    assert (Patches(np.zeros((500,1,101,61)), (1,1), seed=2).at_epoch(0).places.locate(np.arange(500))[1] != a).any()

def test_what_does_not_fit_is_refused():
    x = np.zeros((3,1,8,8))
    with fails(ValueError, 'do not fit'): Patches(x, (9,4))
    with fails(ValueError, 'for the last axes'): Patches(x, (1,1,1,1))
    with fails(ValueError, '`size`'): Patches(x, (4,.5))
    with fails(ValueError, '`per_row`'): Patches(x, 4, per_row=0)
    with fails(ValueError, 'one of them'): Patches(x, 4, per_row=2, every=2)
    with fails(ValueError, 'differ on axes that are not cut'): Patches([np.zeros((1,8,8)), np.zeros((2,8,8))], 4)
    with fails(ValueError, 'need as many axes'): Patches([np.zeros((1,8,8)), np.zeros((8,8))], 4)
    with fails(ValueError, 'as large on the last 2 axes'): Patches(x, 4).over(np.zeros((3,8,7)))
    with fails(TypeError, 'holds arrays or paths'): Patches([1,2], 4)

def test_a_size_of_several_axes_makes_patches_of_crops():
    x = values((4,1,6,6))
    p = Crops(x, (2,3), per_row=2, seed=5)
    assert type(p) is Patches
    same(p.at_epoch(1).gather([3]), Patches(x, (2,3), 2, 5).at_epoch(1).gather([3]))

def test_stretches_hold_the_patch_and_little_else():
    x = np.zeros((2,1,50,300,5000), 'u1')
    start,stop = stretches(x[1, :, 3:6, 10:14, 70:90])
    assert len(start) == 3 and (stop-start == 3*5000+20).all()
    far = np.zeros((2,1,50,300,50_000), 'u1')[1, :, 3:6, 10:14, 70:90]
    start,stop = stretches(far)
    assert len(start) == 12 and (stop-start == 20).all()
    assert start[1]-start[0] == 50_000

def test_grids_of_one_patch_are_the_row():
    same(GridPlaces(3, [0,0], [2,2]).locate(np.arange(3))[1], np.zeros((3,2), np.int64))
    assert isinstance(Patches(values((2,1,3,3)), 3, every=1).rows, ArraySource)
