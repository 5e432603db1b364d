"What a manifest says is found for every file that it describes, however the file is opened"
import json
import numpy as np, pytest
from conftest import fails, filled, same
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.packing import Packing
from tsdisk.disk.shards import Shards
from tsdisk.disk.sidecar import described, names_of, packing_of
from tsdisk.folder.manifest import open_folder
from tsdisk.folder.stats import array_stats
from tsdisk.series.ragged_files import open_ragged, save_ragged
from tsdisk.series.windows import Windows

def describe(folder, file='X.npy', **entry):
    folder.mkdir(parents=True, exist_ok=True)
    (folder/'tsdisk.json').write_text(json.dumps(dict(version=1, arrays=dict(X=dict(file=file, role='X') | entry))))

@pytest.fixture
def linked(tmp_path):
    "A dataset whose array is a link to a file of another name, as in the download cache of Hugging Face"
    save_array(tmp_path/'blobs/1234', np.full((4,1,9), 100, 'i2'))
    describe(tmp_path/'set', shape=[4,1,9], dtype='<i2', scale=.01, names=['lead'])
    (tmp_path/'set/X.npy').symlink_to(tmp_path/'blobs/1234')
    return tmp_path/'set'

def test_links_are_described_by_the_manifest_next_to_them(linked):
    X = open_folder(linked)[0]['X']
    assert packing_of(as_source(X)) == Packing(.01) and names_of(as_source(X)) == ['lead']
    same(TSDataLoaders.from_folder(linked, bs=4).one_batch()[0], np.ones((3,1,9), 'f4'))
    array_stats(X)
    assert [o.name for o in (linked.parent/'blobs').iterdir()] == ['1234'] # Results are stored next to the link

def test_links_to_shards_and_to_folders_are_described_by_the_manifest_next_to_them(tmp_path):
    for i in range(2): save_array(tmp_path/f'blobs/{i}', filled((3,2,9), 'i2'))
    names = ['X/000000.npy','X/000001.npy']
    describe(tmp_path/'set', 'X', layout='shards', files=names, shape=[6,2,9], scale=.5)
    (tmp_path/'set/X').mkdir()
    for i in range(2): (tmp_path/'set'/names[i]).symlink_to(tmp_path/f'blobs/{i}')
    assert packing_of(Shards(tmp_path/'set/X')) == Packing(.5)
    save_ragged(tmp_path/'big', [filled((2,9), 'i2')])
    describe(tmp_path/'ragged', 'X', layout='ragged', shape=[1,2,9], scale=.25)
    (tmp_path/'ragged/X').symlink_to(tmp_path/'big')
    assert packing_of(open_ragged(tmp_path/'ragged/X')) == Packing(.25)

def test_a_link_to_a_file_of_a_dataset_is_described_by_that(linked, monkeypatch):
    (linked/'X.npy').unlink()
    save_array(linked/'X.npy', np.ones((4,1,9), 'i2'))
    (linked.parent/'x.npy').symlink_to(linked/'X.npy')
    assert packing_of(as_source(linked.parent/'x.npy')) == packing_of(Shards([linked.parent/'x.npy'])) == Packing(.01)
    monkeypatch.chdir(linked)
    for path in ('X.npy', '../set/X.npy', '../x.npy'):
        assert described(open_array(path).filename).folder.samefile(linked)
        assert packing_of(as_source(path)) == packing_of(Shards([path])) == Packing(.01)

def test_files_of_unlike_manifests_are_refused(tmp_path):
    for name,scale in dict(a=.01, b=.5, c=.01).items():
        save_array(tmp_path/name/'X.npy', np.full((50,1), 100, 'i2'))
        describe(tmp_path/name, scale=scale, names=[f'lead {scale}'])
    a,b,c = (tmp_path/o/'X.npy' for o in 'abc')
    assert packing_of(Windows([a,c], 5)) == Packing(.01) and names_of(Windows([a,c], 5)) == ['lead 0.01']
    for s in (Windows([a,b], 5), Shards([a,b])):
        with fails(ValueError, 'different values', a, b): packing_of(s)
        assert names_of(s) is None
    (tmp_path/'c/tsdisk.json').unlink()
    with fails(ValueError, 'different values', a, c): packing_of(Shards([a,c]))

def test_the_only_variable_of_a_file_of_one_axis_has_its_name(tmp_path):
    describe(tmp_path, names=['lead'])
    assert names_of(as_source(save_array(tmp_path/'X.npy', np.zeros(50, 'f4')))) == ['lead']
