"Results of many numbers are kept in files beside the manifest, which stays small; those in manifests of earlier releases are found"
import json, os, shutil
import numpy as np, pytest
from conftest import elsewhere, filled
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.rows import Ranges
from tsdisk.disk.shards import Shards
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.labels import train_counts
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import train_stats
from tsdisk.folder import results
from tsdisk.folder.results import fingerprint

X = np.random.default_rng(0).normal(size=(20,300,4)).astype('f4')

def counted(monkeypatch):
    "Number of results that are computed"
    import tsdisk.folder.stats as stats
    calls,count = [],stats.array_stats
    monkeypatch.setattr(stats, 'array_stats', lambda *args, **kwargs: calls.append(1) or count(*args, **kwargs))
    return calls

def test_statistics_of_many_variables_stay_out_of_the_manifest(tmp_path, monkeypatch):
    save_folder(tmp_path, X)
    X_file,calls = open_folder(tmp_path)[0]['X'],counted(monkeypatch)
    before = (tmp_path/'tsdisk.json').stat().st_size
    made = [train_stats(X_file, range(k)) for k in range(10, 15)]
    assert (tmp_path/'tsdisk.json').stat().st_size < before+2000 and len(calls) == 5
    for k,st in zip(range(10, 15), made):
        for a,b in zip(train_stats(X_file, range(k)).to_dict().values(), st.to_dict().values()): np.testing.assert_array_equal(a, b)
    assert len(calls) == 5 and len(os.listdir(tmp_path/'results')) == 5

def test_files_of_old_results_are_removed_and_lost_ones_computed_again(tmp_path, monkeypatch):
    save_folder(tmp_path, X)
    X_file,calls = open_folder(tmp_path)[0]['X'],counted(monkeypatch)
    for k in range(34): train_stats(X_file, np.arange(20)[k%18:k%18+2] if k < 18 else np.arange(k-17+1))
    assert len(os.listdir(tmp_path/'results')) == 32
    for o in (tmp_path/'results').iterdir(): o.write_bytes(b'damaged')
    n = len(calls)
    assert np.isfinite(train_stats(X_file, np.arange(17)).mean).all() and len(calls) == n+1

def test_many_labels_are_kept_in_a_file(tmp_path):
    y = np.array([f'patient {i:05d}' for i in range(3000)])
    save_folder(tmp_path, np.zeros((3000,1,1), 'f4'), y)
    y_file = open_folder(tmp_path)[0]['y']
    for _ in range(2):
        labels,counts = train_counts(y_file)
        assert (labels == y).all() and (counts == 1).all() and labels.dtype == y.dtype
    assert len(json.dumps(read_manifest(tmp_path)['labels'])) < 200

def test_results_in_the_manifest_of_an_earlier_release_are_used(tmp_path, monkeypatch):
    save_folder(tmp_path, X)
    X_file = open_folder(tmp_path)[0]['X']
    with monkeypatch.context() as m:
        m.setattr(results, 'most_listed', 10**9)
        st = train_stats(X_file)
    assert not (tmp_path/'results').exists()
    calls = counted(monkeypatch)
    np.testing.assert_array_equal(train_stats(X_file).mean, st.mean)
    assert not calls

# Fingerprints

@pytest.fixture
def x(tmp_path): return save_array(tmp_path/'X.npy', filled((9,2,5)))

def test_fingerprint_follows_data_and_rows_alone(x, tmp_path):
    f = fingerprint(x)
    assert f == fingerprint(open_array(x.filename)) and len(f) == 32 and int(f, 16)
    assert len({f, *(fingerprint(x, o) for o in (range(9), range(8), range(0, 9, 2), [1,2], [2,1], np.array([1,3])))}) == 7
    assert fingerprint(x, [1,2]) == fingerprint(x, np.array([1,2], 'u1'))
    shutil.copy2(x.filename, tmp_path/'copy.npy')
    assert fingerprint(open_array(tmp_path/'copy.npy')) != f # Times can be set: another inode is another file

def test_fingerprint_is_the_same_in_another_process(x):
    s = Shards([x.filename])
    assert fingerprint(s, range(3)) == elsewhere('__import__("tsdisk.folder.results").folder.results.fingerprint(a, range(3))', s)

def test_fingerprint_of_many_files_notices_each(tmp_path):
    paths = [save_array(tmp_path/f'{i}.npy', np.zeros((2,3))).filename for i in range(70)]
    found = {fingerprint(Shards(paths))}
    for i in (0,33,69):
        save_array(paths[i], np.ones((2,3)))
        found.add(fingerprint(Shards(paths)))
    assert len(found) == 4

def test_other_ranges_are_other_data(x):
    a,b = (Ranges([(0,1),(2,3),(4,5),(6,7),(o,o+1)], 9) for o in (7,8))
    assert fingerprint(x, a) != fingerprint(x, b)
    assert fingerprint(x, a) == fingerprint(x, Ranges([(0,1),(2,3),(4,5),(6,8)], 9))
    assert fingerprint(x, Ranges([(0,8)])) != fingerprint(x, [0,8])
