"Times of the rows of a dataset"
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.convert.convert import convert
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.times import row_times
from tsdisk.folder.manifest import open_folder
from tsdisk.series.ragged import Ragged

days = np.arange('2024-01-01', '2024-04-01', dtype='M8[D]')

@pytest.mark.filterwarnings('ignore:.* gaps in time')
@pytest.mark.parametrize('lengths', [(60,60), (60,50)], ids=['dense','ragged'])
def test_rows_have_the_times_of_their_files(tmp_path, lengths):
    keep = [np.arange(lengths[0]), np.r_[:10,30:30+lengths[1]-10]]
    convert([dict(X=np.zeros((1,len(o))), times=days[o], y=float(i)) for i,o in enumerate(keep)], tmp_path/'set')
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[[1],[0]], bs=1)
    assert (dls.train_ds.times(0) == days[keep[1]]).all() and (dls.valid_ds.times(0) == days[keep[0]]).all()

def test_rows_of_seconds_have_time_deltas(tmp_path):
    convert([dict(X=np.zeros((1,9)), fs=4.) for _ in range(2)], tmp_path/'set')
    assert TSDatasets(open_folder(tmp_path/'set')[0]['X']).times(1)[4] == np.timedelta64(1, 's')

def test_the_times_of_some_steps_are_not_guessed(tmp_path):
    convert([dict(X=np.zeros((1,9)), fs=4.) for _ in range(2)], tmp_path/'set')
    with expect_fail(ValueError, 'are not known'): TSDatasets(open_folder(tmp_path/'set')[0]['X'], sel_steps=slice(2, 5)).times(1)

def test_arrays_in_memory_have_no_times():
    with expect_fail(ValueError, 'are not known'): TSDatasets(np.zeros((2,1,9))).times(0)

@pytest.mark.filterwarnings('ignore:.* gaps in time')
@pytest.mark.parametrize('some', [dict(sel_vars=[0]), dict(sel_vars=[1], sel_steps=slice(0, 60))], ids=str)
def test_samples_with_gaps_in_time_are_selected_too(tmp_path, some):
    X = np.arange(240.).reshape(2, 2, 60)
    convert([dict(X=x, times=days[o]) for x,o in zip(X, (np.arange(60), np.r_[:10,30:80]))], tmp_path/'set')
    ds = TSDatasets(tmp_path/'set'/'X.npy', **some)
    assert len(ds) == 2 and (ds.batch([0,1])[0].numpy() == X[:,some['sel_vars']]).all()

@pytest.mark.parametrize('side,want', [('left',slice(-5,None)), ('right',slice(5))])
def test_times_of_series_that_are_cut_are_those_of_the_steps_left(tmp_path, side, want):
    convert([dict(X=np.zeros((1,n)), times=days[:n]) for n in (9,4)], tmp_path/'set')
    r = open_folder(tmp_path/'set')[0]['X']
    ds = TSDatasets(Ragged(r.panel.source, r.offsets, most=5, side=side))
    assert (ds.times(0) == days[:9][want]).all() and (ds.times(1) == days[:4]).all()

def test_new_rows_may_be_of_equal_lengths():
    ragged,dense = Ragged(np.zeros((9,2)), [0,4,9]),np.zeros((3,2,6))
    for train,new in ((ragged,dense), (dense,ragged)): assert row_times(TSDatasets(train).test_set(new), 0) is None
