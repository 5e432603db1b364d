"The page cache: what is there, and having the rest read"
import math, os, subprocess, sys
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np, pytest
from conftest import drop_from_cache, linux, on_cpu
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.arrays import create_array, open_array
from tsdisk.disk.page_cache import cached_share, fill_cache, fill_in_background

def on_disk(path, nbytes=2**25):
    "A file that is not in the page cache"
    path.write_bytes(os.urandom(nbytes))
    drop_from_cache(path)
    return path

@linux
def test_what_is_cached_is_seen(tmp_path):
    path = on_disk(tmp_path/'a')
    assert cached_share(path) < .1
    path.read_bytes()
    assert cached_share(path) == 1

@linux
def test_half_a_file_is_seen(tmp_path):
    path = on_disk(tmp_path/'a')
    with open(path, 'rb') as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_RANDOM) # Nothing more than asked for
        f.read(2**24)
    assert .4 < cached_share(path) < .6

@linux
def test_files_are_read(tmp_path):
    paths = [on_disk(tmp_path/o) for o in 'ab']
    fill_cache(paths)
    for o in paths:
        o.read_bytes() # Waits for what was asked for
        assert cached_share(o) == 1

@linux
def test_no_hint_is_longer_than_disks_allow(tmp_path, monkeypatch):
    "The system cuts hints to the longest request of the disk, which is 128 KiB for some"
    path,asked = tmp_path/'a',[]
    path.write_bytes(bytes(2**20+1))
    monkeypatch.setattr(os, 'posix_fadvise', lambda fd, start, n, advice: asked.append((start,n)))
    fill_cache([path])
    assert asked == [(i, 2**17) for i in range(0, 2**20+1, 2**17)]

@linux
def test_one_thread_has_files_read_unless_they_are_cached(tmp_path):
    paths = [on_disk(tmp_path/o) for o in 'ab']
    thread = fill_in_background(paths)
    thread.join(60)
    for o in paths: o.read_bytes()
    assert not thread.is_alive() and fill_in_background(paths, every=0) is None

def test_small_and_empty_files(tmp_path):
    for n in (0,1,5000):
        (tmp_path/'a').write_bytes(bytes(n))
        fill_cache([tmp_path/'a'])
        assert not cached_share(tmp_path/'a') < 1

def test_other_systems_do_without(tmp_path, monkeypatch):
    path = tmp_path/'a'
    path.write_bytes(bytes(10))
    for o in ('posix_fadvise','RWF_NOWAIT'): monkeypatch.delattr(os, o, raising=False)
    fill_cache([path])
    fill_in_background([path]).join(60)
    assert math.isnan(cached_share(path))

def test_a_file_system_that_says_nothing_is_asked_to_read(tmp_path, monkeypatch):
    def refuse(*_): raise OSError(95, 'Operation not supported')
    paths = [tmp_path/'a']
    paths[0].write_bytes(bytes(10))
    monkeypatch.setattr(os, 'preadv', refuse, raising=False)
    monkeypatch.setattr(os, 'RWF_NOWAIT', 8, raising=False)
    assert math.isnan(cached_share(paths[0]))
    fill_in_background(paths).join(60)

other_user = """
import os, sys
from tsdisk.disk.page_cache import cached_share, fill_in_background
path = sys.argv[1]
cached_share(path) # Imports what others may not read
os.setresuid(65534, 65534, 65534)
assert cached_share(path) < .1
fill_in_background([path]).join(60)
"""

@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='only root can become another user')
def test_files_of_others_are_read_too():
    "`mincore` says of them that all is in memory"
    with TemporaryDirectory() as d: # pytest's own folders are closed to others
        os.chmod(d, 0o755)
        path = on_disk(Path(d)/'a')
        path.chmod(0o644)
        subprocess.run([sys.executable, '-c', other_user, str(path)], check=True, env=on_cpu)

# In loaders

@pytest.fixture(scope='module')
def large(tmp_path_factory):
    "An array of 64 MiB in a file"
    path = tmp_path_factory.mktemp('large')/'X.npy'
    with create_array(path, (2**14,4,256)) as w:
        for i in range(16): w.append(np.full((2**10,4,256), i, 'f4'))
    return path

@pytest.fixture
def asked(monkeypatch):
    "Paths of files that are asked for"
    res = []
    monkeypatch.setattr('tsdisk.data.reader.fill_in_background', res.append)
    return res

@pytest.mark.parametrize('shuffle', [True, 'block', False])
def test_an_epoch_has_its_file_read(large, asked, shuffle):
    dl = TSDataLoader(TSDatasets(open_array(large)), bs=4096, shuffle=shuffle, read=ReadOptions(direct=False))
    assert sum(len(o[0]) for o in dl) == 2**14
    assert asked == [[large]]

@pytest.mark.parametrize('kw', [dict(partial_n=1000), dict(read=ReadOptions(direct=True))], ids=['few rows','past the cache'])
def test_other_epochs_do_not(large, asked, kw):
    for _ in TSDataLoader(TSDatasets(open_array(large)), bs=4096, shuffle='block', **kw): pass
    assert asked == []

@pytest.mark.parametrize('shuffle,world_size,read_whole', [('block',1,True), ('block',2,False), (True,2,True)])
def test_a_rank_reads_its_own_blocks_but_any_shuffled_row(large, asked, shuffle, world_size, read_whole):
    "On several machines, each read all of the file where a part was needed"
    opts = dict(shuffle=shuffle, read=ReadOptions(direct=False), rank=0, world_size=world_size, seed=1)
    assert sum(len(o[0]) for o in TSDataLoader(TSDatasets(open_array(large)), bs=512, **opts)) == 2**14//world_size
    assert asked == [[large]]*read_whole

def test_a_part_of_a_file_is_not_all_of_it(large, asked):
    for _ in TSDataLoader(TSDatasets(np.load(large, mmap_mode='r')[100:]), bs=4096, shuffle=True, read=ReadOptions(direct=False)): pass
    assert asked == []

@linux
def test_an_epoch_over_a_removed_file_keeps_its_rows(large, tmp_path):
    path = tmp_path/'X.npy'
    path.write_bytes(large.read_bytes())
    dl = TSDataLoader(TSDatasets(open_array(path)), bs=4096, shuffle=True, read=ReadOptions(direct=False))
    path.unlink()
    with pytest.warns(UserWarning, match='was replaced or removed'): rows = sum(len(o[0]) for o in dl)
    assert rows == 2**14
