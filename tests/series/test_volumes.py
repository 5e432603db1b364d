"Rows of unequal shapes, few of whose files are open"
import pickle
from pathlib import Path
import numpy as np, pytest
from conftest import fails, same
from tsdisk.disk.arrays import save_array
from tsdisk.folder.stats import array_stats
from tsdisk.series.patches import Patches
from tsdisk.series.volumes import outlines, rows_of, Volumes

def test_volumes_of_unequal_shapes_open_few_files(tmp_path):
    sizes = [(8,9),(5,12),(30,4)]
    xs = [np.random.default_rng(i).normal(size=(2,*o)).astype('f4') for i,o in enumerate(sizes)]
    paths = [save_array(tmp_path/f'{i}.npy', o).filename for i,o in enumerate(xs)]
    p = Patches(paths, (5,4), per_row=4)
    p.rows.most = 1
    for q in (p, p.at_epoch(0), p.at_epoch(9)):
        rows,starts = q.places.locate(np.arange(12))
        got = q.gather(range(12))
        for i in range(12): same(got[i], xs[rows[i]][:, starts[i,0]:starts[i,0]+5, starts[i,1]:starts[i,1]+4])
    assert len(p.rows.open) == 1
    grid = Patches(xs, (5,4), every=(5,4))
    assert len(grid) == 2*3 + 1*3 + 6*1
    found = np.unique(grid.gather(range(len(grid))))
    assert len(found) == sum(o.size for o in xs)
    same(grid.of_rows([7,8,9]), np.repeat([7,8,9], [6,3,6]))
    assert [len(o) for o in p.split_rows([[0,2],[1]])] == [8,4]
    assert array_stats(p).mean == pytest.approx(np.mean(np.concatenate([o.reshape(2, -1) for o in xs], 1), 1), abs=1e-5)

def test_replaced_volumes_are_an_error(tmp_path):
    paths = [save_array(tmp_path/f'{i}.npy', np.zeros((1,4,4+i))).filename for i in range(2)]
    v = Volumes(paths)
    Path(paths[1]).unlink()
    save_array(paths[1], np.zeros((1,9,9)))
    with fails(OSError, 'was replaced'): v.cut_row(1, (0,))

def test_rows_are_the_arrays_in_memory_and_on_disk(tmp_path):
    xs = [np.arange(n*3, dtype='i2').reshape(n,3) for n in (4,2,7)]
    paths = [save_array(tmp_path/f'{i}.npy', o).filename for i,o in enumerate(xs)]
    for v in (Volumes(xs), Volumes(paths), Volumes([*map(str, paths)]), pickle.loads(pickle.dumps(Volumes([xs[0],*paths[1:]])))):
        assert len(v) == 3 and v.dtype == 'i2' and v.nbytes == 13*3*2 and v.shapes.tolist() == [[4,3],[2,3],[7,3]]
        assert '3 arrays of 2-7 x 3, int16' in repr(v)
        for i,o in enumerate(xs): same(v.row(i), o)
        same(v.cut_row(2, (slice(5,7),1)), xs[2][5:7,1])

@pytest.mark.parametrize('arrays,err,words', [([], ValueError, ('the list is empty',)), ([np.zeros((2,3)),np.zeros(3)], ValueError, ('array 1 is (3,) float64', 'array 0 is (2, 3) float64')),
    ([np.zeros(3),np.zeros(3, 'f4')], ValueError, ('array 1 is (3,) float32',)), ([np.float32(1)], ValueError, ('as many axes',)), ([[1,2]], TypeError, ('got list',))], ids=str)
def test_arrays_that_do_not_go_together_are_refused(arrays, err, words):
    with fails(err, *words): outlines(arrays)

def test_a_list_is_of_unequal_rows_and_the_rest_are_sources():
    assert isinstance(rows_of([np.zeros(3)]), Volumes) and rows_of(np.zeros((3,2))).shape == (3,2)
