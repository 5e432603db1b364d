"Steps that were probably taken for variables"
import warnings
import numpy as np, pytest
from conftest import filled
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows

def said(make):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        make()
    return [str(o.message) for o in found if 'taken for variables' in str(o.message)]

swapped = filled((20,1000,3))
of_samples = dict(dataset=TSDatasets, second=lambda x: TSDatasets((x, filled((20,2)))), selected=lambda x: TSDatasets(x, sel_vars=[0]),
    loaders=lambda x: TSDataLoaders.from_arrays(x, np.arange(20)%2, seed=0))
of_series = dict(windows=lambda x: Windows(x, 2), crops=lambda x: Crops(x, 2), long=lambda x: Windows(x[0].T, 2),
    windows_in_dataset=lambda x: TSDatasets(Windows(x, 2)))
makers = of_samples | of_series

@pytest.mark.parametrize('name', makers)
def test_swapped_axes_are_said_once(name):
    found = said(lambda: makers[name](swapped))
    assert len(found) == 1 and '1,000 variables of 3 steps' in found[0]
    assert ('swapaxes(1, 2)' if name in of_samples else '`axis=1`') in found[0]

ordinary = [lambda: TSDatasets(filled((20,3,1000))), lambda: TSDatasets(filled((20,255,3))), lambda: TSDatasets(filled((20,256,33))),
    lambda: TSDatasets(filled((5,321,2000)), sel_steps=slice(0, 24)), lambda: TSDatasets(Windows(filled((2000,321)), 24)),
    lambda: Windows(swapped, 2, axis=1), lambda: Windows(filled((4,1000,3)), 2, axis=2), lambda: Windows(filled((1000,3)), 2)]
@pytest.mark.parametrize('make', ordinary, ids=range(8))
def test_ordinary_shapes_are_not(make): assert said(make) == []
