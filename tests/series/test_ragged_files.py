"Series of any length are saved and added to, all of them or none"
import numpy as np, pytest
from conftest import fails, filled, same
from tsdisk.disk.arrays import open_array
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged

@pytest.fixture(scope='module')
def ragged(tmp_path_factory):
    xs = [filled((3,n)) for n in np.random.default_rng(0).integers(4, 40, 200)]
    return save_ragged(tmp_path_factory.mktemp('ragged'), xs), xs

def test_a_series_of_no_steps_is_named(tmp_path):
    with fails(ValueError, 'Series 1 has no steps'): save_ragged(tmp_path/'r', [np.zeros((2,5)), np.zeros((2,0))])
    assert not (tmp_path/'r'/'values.npy').exists()

@pytest.mark.parametrize('axis,other', [(-1,'(steps, vars), give `axis=0`'), (0,'(vars, steps), give `axis=-1`')])
def test_series_of_another_layout_are_named_with_their_shapes(tmp_path, axis, other):
    xs = [np.zeros((n,3) if axis else (3,n)) for n in (7,9)]
    with fails(ValueError, f'Series 1 has shape {xs[1].shape}, series 0 has {xs[0].shape}', other): save_ragged(tmp_path/'r', xs, axis=axis)
    assert not (tmp_path/'r'/'values.npy').exists()
    assert save_ragged(tmp_path/'r', xs, axis=-1-axis).lengths.tolist() == [7,9]

def test_appended_series_are_there_and_old_readers_go_on(ragged, tmp_path):
    xs = ragged[1][:20]
    old = save_ragged(tmp_path, xs)
    new = append_ragged(tmp_path, xs[:3])
    assert (len(old), len(new)) == (20,23)
    for i,o in enumerate([*xs, *xs[:3]]): same(np.asarray(new[i]), o)
    for i,o in enumerate(xs): same(np.asarray(old[i]), o)

def test_a_failed_append_leaves_what_was(ragged, tmp_path):
    xs = ragged[1][:5]
    save_ragged(tmp_path, xs)
    before = {o.name: o.read_bytes() for o in tmp_path.iterdir()}
    def broken():
        yield xs[0]
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): append_ragged(tmp_path, broken())
    with fails(ValueError, 'none was added'): append_ragged(tmp_path, [xs[0], xs[0][:2]])
    assert {o.name: o.read_bytes() for o in tmp_path.iterdir()} == before

def test_a_killed_append_leaves_what_was(ragged, tmp_path):
    xs = ragged[1][:5]
    save_ragged(tmp_path, xs)
    with open(tmp_path/'values.npy', 'ab') as f: f.write(b'half a series') # As a kill would leave it
    for i,o in enumerate(xs): same(np.asarray(open_ragged(tmp_path)[i]), o)
    new = append_ragged(tmp_path, [xs[1]])
    same(np.asarray(new[5]), xs[1])
    assert open_array(tmp_path/'values.npy').shape == (sum(o.shape[1] for o in xs)+xs[1].shape[1], 3)

def test_cut_values_are_refused(ragged, tmp_path):
    save_ragged(tmp_path, ragged[1][:5])
    with open(tmp_path/'values.npy', 'r+b') as f: f.truncate(4100)
    with fails(ValueError, 'truncated'): open_ragged(tmp_path)

def test_at_least_one_series_is_opened(ragged, tmp_path):
    save_ragged(tmp_path/'r', ragged[1][:3])
    with fails(ValueError, '`n`', '0'): open_ragged(tmp_path/'r', n=0)
    assert len(open_ragged(tmp_path/'r', n=2)) == 2
