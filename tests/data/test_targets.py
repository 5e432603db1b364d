"Which column of a dataset is the target"
import numpy as np, pytest
from conftest import fails, ramp
from tsdisk.convert.convert import convert
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.manifest import save_folder

@pytest.fixture
def labeled(tmp_path):
    records = [dict(X=o, label='ab'[i%2], age=20.+i, fs=50+i) for i,o in enumerate(ramp(20))]
    return convert(records, tmp_path/'set')

def test_columns_that_may_be_targets_are_named(labeled, capsys):
    capsys.readouterr()
    for f in (TSDatasets.from_folder, TSDataLoaders.from_folder):
        f(labeled)
        said = capsys.readouterr().out
        assert "Columns that may be targets: label, age; give `y='label'`" in said

def test_a_column_is_the_target_on_request(labeled, capsys):
    capsys.readouterr()
    dls = TSDataLoaders.from_folder(labeled, y='label', bs=4, device='cpu', seed=0)
    x,y = dls.train.one_batch()
    assert list(dls.vocab) == ['a','b'] and y.tolist() == [int(o)%2 for o in dls.train.input_idxs]
    assert {*dls.train.dataset.info} == {'source','age','fs'}
    assert TSDatasets.from_folder(labeled, y='age')[3][1] == 23.
    assert capsys.readouterr().out == ''

def test_no_targets_on_request(labeled, capsys):
    capsys.readouterr()
    dls = TSDataLoaders.from_folder(labeled, y=None, bs=4, device='cpu')
    assert len(dls.one_batch()) == 1 and capsys.readouterr().out == ''

def test_a_column_that_does_not_exist_is_refused(labeled):
    with fails(ValueError, "'lable' is no column", "'label'"): TSDataLoaders.from_folder(labeled, y='lable')

def test_without_columns_nothing_is_said(tmp_path, capsys):
    save_folder(tmp_path/'X', ramp(9))
    save_folder(tmp_path/'both', ramp(9), np.arange(9))
    for o in ('X','both'): TSDatasets.from_folder(tmp_path/o)
    assert capsys.readouterr().out == ''

def test_columns_of_unequal_lengths_do_not_travel_with_the_rows(tmp_path):
    steps = [np.cumsum(np.random.default_rng(n).integers(1, 9, n)) for n in (50,70)]
    convert([dict(X=np.zeros((1,len(o))), times=o.astype('M8[s]')) for o in steps], tmp_path/'set')
    ds = TSDatasets.from_folder(tmp_path/'set')
    assert len(ds) == 2 and 'times' not in ds.info
