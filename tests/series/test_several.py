"A list of files is one panel; variables are chosen in any form"
import numpy as np
from conftest import fails, filled, same
from tsdisk.disk.shards import Shards
from tsdisk.series.windows import Windows

def test_a_list_of_paths_is_a_panel_and_keeps_its_axis(tmp_path):
    paths = [str(tmp_path/f'{i}.npy') for i in range(3)]
    for i,o in enumerate(paths): np.save(o, filled((12,12))+i)
    same(Windows(paths, 5, axis=1).gather([0]), (filled((12,12)))[None, :, :5])
    few = Shards.most
    Shards.most = 2
    try:
        same(Windows(paths, 5).gather([0]), filled((12,12))[:5].T[None])
        with fails(ValueError, 'axis=1'): Windows(paths, 5, axis=1)
    finally: Shards.most = few

def test_variables_are_chosen_by_number_name_or_mask():
    x = filled((30,3))
    same(Windows(x, 4, sel_vars=np.array([True,False,True])).gather([2]), x[2:6][:, [0,2]].T[None])
    with fails(TypeError, '1.7'): Windows(x, 4, sel_vars=[1.7])
    w,z = Windows(x, 4),filled((3,30))
    for sel in ([1,2,0], [2,2,0], [1,0], [-1], 1):
        got = w.over(z, sel_vars=sel, axis=1).gather([5])
        same(got, z[np.atleast_1d(sel)][:, 5:9][None])
    with fails(ValueError, 'no variable 5'): w.over(z, sel_vars=[5], axis=1)
    with fails(ValueError, '`every`'): w.over(z, 0, axis=1)
