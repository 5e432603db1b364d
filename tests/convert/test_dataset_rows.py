"Rows of a dataset are copied with all that is known of them"
import numpy as np, pytest
from conftest import fails, ramp, same
from tsdisk.convert.convert import append, convert
from tsdisk.convert.dataset_rows import dataset_rows
from tsdisk.data.datasets import TSDatasets
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.checks import verify
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.series.windows import Windows
from conversion import rec

def write(folder, steps):
    "Twelve files with metadata, in folders of splits"
    for i in range(12):
        path = folder/f'{("train","valid")[i%2]}/{i:02}.npz'
        path.parent.mkdir(parents=True, exist_ok=True)
        X = np.full((2, steps(i)), i, 'i2')
        np.savez(path, X=X, names=['a','b'], units=['mV','°C'], scale=.5, offset=1., missing=-1, fs=100, start=f'2024-01-{i+1:02}',
            label='xyz'[i%3], age=20+i)
    return folder

@pytest.fixture(params=[lambda i: 50, lambda i: 30+i], ids=['dense','ragged'])
def made(request, tmp_path): return convert(write(tmp_path/'raw', request.param), tmp_path/'set', n_workers=0)

described = lambda made: {k: v for k,v in read_manifest(made)['arrays']['X'].items() if k not in ('file','shape')}

def test_a_part_keeps_all_that_is_known(made, tmp_path):
    rows = [11,0,3,5]
    part = convert(dataset_rows(made, rows), tmp_path/'part')
    old,new = open_folder(made),open_folder(part)
    assert {*new[0]} == {*old[0]} == {'X','source','label','age','start'}
    for i,row in enumerate(sorted(rows)):
        same(new[0]['X'][i], old[0]['X'][row])
        for k in ('source','label','age','start'): assert new[0][k][i] == old[0][k][row]
    assert described(part) == described(made) and read_manifest(part)['info'] == read_manifest(made)['info']
    assert {k: np.asarray(v).tolist() for k,v in new[1].items()} == dict(train=[0,1,2], valid=[3])
    assert str(Windows(new[0]['X'], 5).clocks[1].start)[:10] == '2024-01-07' and verify(part) == []

def test_a_whole_copy_has_the_same_arrays(made, tmp_path):
    copy = convert(dataset_rows(made), tmp_path/'copy')
    (old,splits),(new,others) = open_folder(made),open_folder(copy)
    for k in old:
        for i in range(12): same(new[k][i], old[k][i])
    assert {k: np.asarray(v).tolist() for k,v in splits.items()} == {k: np.asarray(v).tolist() for k,v in others.items()}

def test_datasets_are_joined(made, tmp_path):
    part = convert(dataset_rows(made, np.arange(12) < 3), tmp_path/'part')
    append(part, dataset_rows(made, range(3, 12)))
    (old,_),(new,_) = open_folder(made),open_folder(part)
    for k in old:
        for i in range(12): same(new[k][i], old[k][i])
    assert verify(part) == []

@pytest.mark.parametrize('steps', [(30,30,30), (30,40,35)], ids=['equal','unequal'])
def test_labels_and_times_of_steps_are_copied_as_they_are(tmp_path, steps):
    times = [np.arange(n)**1.5 + 1e3*i for i,n in enumerate(steps)]
    records = [dict(X=np.full((2,n), i, 'f4'), y=np.arange(n, dtype='i1'), times=o) for i,(n,o) in enumerate(zip(steps, times))]
    made = convert(records, tmp_path/'set', layout=dict(X='ragged', y='ragged', times='ragged'))
    part = convert(dataset_rows(made, [1,2]), tmp_path/'part')
    (old,_),(new,_) = open_folder(made),open_folder(part)
    for i in (0,1):
        for k in ('y','times'): assert new[k][i].dtype == old[k][i].dtype and np.array_equal(np.ravel(new[k][i]), np.ravel(old[k][i+1]))
        assert Windows(new['X'], 5).clocks[i].since_start(7) == round(times[i+1][7]*1e9) - round(times[i+1][0]*1e9)
    append(made, dataset_rows(part))
    assert len(open_folder(made)[0]['y']) == 5 and np.array_equal(np.ravel(open_folder(made)[0]['y'][4]), np.arange(steps[2]))

@pytest.mark.parametrize('y', [np.arange(9, dtype='i1'), np.linspace(0, 1, 9, dtype='f4'), np.array([*'abcabcabc']), np.ones((9,4), 'f4')],
    ids=['int8','float32','text','series'])
def test_arrays_of_save_folder_keep_their_dtype(tmp_path, y):
    save_folder(tmp_path/'set', ramp(9), y)
    arrays,_ = open_folder(convert(dataset_rows(tmp_path/'set', [1,4,8]), tmp_path/'part'))
    same(arrays['X'], ramp(9)[[1,4,8]])
    same(arrays['y'], y[[1,4,8]])

def test_no_rows_and_images_are_refused(tmp_path):
    save_folder(tmp_path/'set', ramp(9))
    with fails(ValueError, '`rows` is empty'): dataset_rows(tmp_path/'set', [])
    with fails(IndexError, '9'): dataset_rows(tmp_path/'set', [9])
    save_folder(tmp_path/'images', np.zeros((3,1,8,8), 'f4'))
    with fails(ValueError, '(3, 1, 8, 8)', '`save_folder`'): dataset_rows(tmp_path/'images')

@pytest.mark.parametrize('give', [str, lambda o: o], ids=['text','path'])
def test_the_folder_of_a_dataset_is_no_input(tmp_path, give):
    save_folder(tmp_path/'set', ramp(9))
    for f in (lambda: convert(give(tmp_path/'set'), tmp_path/'new'), lambda: append(tmp_path/'set', give(tmp_path/'set'))):
        with fails(ValueError, 'is a dataset already', '`dataset_rows('): f()

def test_records_in_memory_may_name_their_source(tmp_path):
    made = convert([dict(X=rec(0), source='a'), dict(X=rec(1))], tmp_path/'set')
    assert open_folder(made)[0]['source'].tolist() == ['a','item 1']

def test_classes_of_labels_are_copied(tmp_path):
    convert([dict(X=np.ones((4,1,6), 'f4'), y=np.array([0,1,-100,1]), classes=dict(ill=0, well=1))], tmp_path/'set', n_workers=0)
    convert(dataset_rows(tmp_path/'set', [1,3]), tmp_path/'part', n_workers=0)
    assert TSDatasets.from_folder(tmp_path/'part').vocab == ['ill','well'] and np.array_equal(open_folder(tmp_path/'part')[0]['y'], [1,1])
