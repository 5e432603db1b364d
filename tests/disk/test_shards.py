"Rows of many files are those of one array, and few files are open at a time"
import os, pickle
import numpy as np, pytest
from conftest import elsewhere, fails, filled, fresh, linux, same
from tsdisk.testing import checks
from tsdisk.disk import identity, shards
from tsdisk.disk.arrays import save_array
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoader
from tsdisk.disk.shards import Joined, Shards
from tsdisk.disk.array_sources import ArraySource
from tsdisk.series.windows import Windows

x = filled((120,3,25))

def _files(d, sizes=(50,1,30,39)):
    ends = np.cumsum(sizes)
    for i,(a,b) in enumerate(zip(ends-sizes, ends)): save_array(d/f'{i:04}.npy', x[a:b])
    return d

def _few_open(d):
    s = Shards(_files(d))
    s.most = 2
    return s

def _one_each(d):
    for i,o in enumerate(x): save_array(d/f'{i:04}.npy', o)
    return Shards(d, stack=True)

kinds = dict(folder=lambda d: Shards(_files(d)), list=lambda d: Shards([str(o) for o in sorted(_files(d).iterdir())]), few_open=_few_open, one_each=_one_each,
    joined=lambda d: Joined([ArraySource(x[:70]), ArraySource(x[70:])]))

@pytest.mark.parametrize('check', checks, ids=lambda f: f.__name__)
@pytest.mark.parametrize('kind', kinds)
def test_shards_keep_the_contract_of_sources(tmp_path, kind, check): check(kinds[kind](tmp_path), x)

@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('direct', [False,True])
@pytest.mark.parametrize('shuffle', [False,True,'block'])
@pytest.mark.parametrize('num_workers', [0,2])
def test_loaders_over_shards_give_every_row_once(tmp_path, shuffle, direct, num_workers):
    how = dict(shuffle=shuffle, num_workers=num_workers, read=ReadOptions(direct=direct))
    dl = TSDataLoader(TSDatasets(Shards(_files(tmp_path)), np.arange(120.)), bs=16, seed=1, **how)
    seen = [(xb.numpy().copy(),yb.numpy().copy()) for xb,yb in dl]
    rows = np.concatenate([y for _,y in seen]).astype(int)
    assert sorted(rows) == [*range(120)]
    same(np.concatenate([o for o,_ in seen]), x[rows])

def test_workers_that_are_spawned_open_the_files_themselves(tmp_path):
    s = _few_open(tmp_path)
    s.gather([0,60,119])
    same(elsewhere('a.gather([119,3])', s), x[[119,3]])

@linux
def test_an_epoch_over_many_files_has_few_open(tmp_path):
    for i in range(1500): np.save(tmp_path/f'{i:05}.npy', np.full((3,8), i, 'f4'))
    most = fresh("""
        import os, resource
        from pathlib import Path
        from tsdisk.all import *
        from tsdisk.disk.shards import Shards
        resource.setrlimit(resource.RLIMIT_NOFILE, (512,512))
        def count(): return len(os.listdir('/proc/self/fd')), Path('/proc/self/maps').read_text().count('.npy')
        res,seen = (0,0),[]
        for xb, in TSDataLoader(TSDatasets(Shards(args[0], stack=True)), bs=64, shuffle=True, seed=1):
            res = tuple(map(max, res, count()))
            seen += xb[:,0,0].int().tolist()
        assert sorted(seen) == [*range(1500)]
        res = list(res)""", str(tmp_path))
    assert most[0] <= 300 and most[1] <= 300, most

@linux
@pytest.mark.slow
def test_more_files_than_maps_are_allowed_are_trained_from_and_converted(tmp_path):
    (tmp_path/'raw').mkdir()
    np.save(tmp_path/'raw/0.npy', np.zeros((1,4), 'f4'))
    head = (tmp_path/'raw/0.npy').read_bytes()[:128]
    for i in range(70_000):
        with open(f'{tmp_path}/raw/{i:06}.npy', 'wb', buffering=0) as f: f.write(head + np.full(4, i, 'f4').tobytes())
    (tmp_path/'raw/0.npy').unlink()
    most = fresh("""
        import os, resource
        from pathlib import Path
        from tsdisk.all import *
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024,1024))
        def count(): return len(os.listdir('/proc/self/fd')), len(Path('/proc/self/maps').read_text().splitlines())
        res,seen,before = (0,0),np.zeros(70_000, bool),count()[1] # Libraries are some thousand maps
        dl = TSDataLoader(TSDatasets(Shards(args[0]+'/raw', stack=True)), bs=1000, shuffle=True, seed=1)
        for i,(xb,) in enumerate(dl):
            seen[xb[:,0,0].int().numpy()] = True
            res = tuple(map(max, res, count()))
        assert seen.all()
        X = open_folder(convert(args[0]+'/raw', args[0]+'/set'))[0]['X']
        assert np.array_equal(X[:,0,0], np.arange(70_000))
        res = [res[0], res[1]-before]""", str(tmp_path))
    assert most[0] <= 300 and most[1] <= 1000, most

@linux
def test_windows_over_many_files_have_few_open(tmp_path):
    paths = []
    for i in range(600):
        paths.append(tmp_path/f'{i:05}.npy')
        np.save(paths[-1], np.arange(10+i%7, dtype='f4')[:,None]+1000*i)
    w = Windows(paths, 8)
    before = len(os.listdir('/proc/self/fd'))
    i = np.random.default_rng(0).permutation(len(w))
    got = w.gather(i)
    series,start = w.locate(i)
    same(got[:,0,0], (start+1000*series).astype('f4'))
    assert len(os.listdir('/proc/self/fd')) <= before+Shards.most+5

def test_files_that_do_not_fit_are_named(tmp_path):
    _files(tmp_path)
    save_array(tmp_path/'9999.npy', x[:, :2])
    with fails(ValueError, '9999.npy', '(2, 25)', '(3, 25)'): Shards(tmp_path)
    with open(tmp_path/'9999.npy', 'wb') as f: f.write(b'nothing')
    with fails(ValueError, '9999.npy is not a'): Shards(tmp_path)
    np.save(tmp_path/'9999.npy', x)
    with open(tmp_path/'9999.npy', 'r+b') as f: f.truncate(3000)
    with fails(ValueError, '9999.npy is truncated'): Shards(tmp_path)
    with fails(FileNotFoundError, 'no `.npy` files'): Shards(tmp_path/'none')

def test_few_files_are_open_where_few_may_be(tmp_path):
    for i in range(100): np.save(tmp_path/f'{i:03}.npy', np.full((4,3), i, 'f4'))
    x,filled_up,error = fresh("""
        import os, resource, numpy as np
        from tsdisk.disk.shards import Shards
        resource.setrlimit(resource.RLIMIT_NOFILE, (64,64))
        s,held = Shards(args[0]),[]
        def hold_all(but=0):
            try:
                while True: held.append(open(os.devnull))
            except OSError: pass
            for _ in range(but): held.pop().close()
        first = s.gather(np.arange(400))
        hold_all(but=3)
        res = [first, s.gather(np.arange(400))]
        s.open.reset()
        hold_all()
        try: s.gather([0])
        except OSError as e: res.append(str(e))
        held.clear()""", tmp_path)
    expected = np.repeat(np.arange(100), 4)
    assert (x[:,0] == expected).all() and (filled_up[:,0] == expected).all()
    assert 'ulimit -n' in error and '000.npy' in error

def test_shards_that_are_made_again_see_files_that_changed(tmp_path):
    for i in range(5): np.save(tmp_path/f'{i}.npy', np.full((4,3), i, 'f4'))
    old = Shards(tmp_path)
    np.save(tmp_path/'3.npy', np.full((6,3), 9, 'f4'))
    os.utime(tmp_path/'3.npy', ns=(1, 1))
    new = Shards(tmp_path)
    assert len(old) == 20 and len(new) == 22 and (np.asarray(new[12:18]) == 9).all()
    with fails(OSError, '3.npy was replaced or rewritten'): old[12]

@pytest.mark.parametrize('empty', range(3))
def test_files_without_rows_are_passed_over(tmp_path, empty):
    for i in range(3): np.save(tmp_path/f'{i}.npy', np.full((0 if i == empty else 5, 3, 20), i, 'f4'))
    s = Shards(tmp_path)
    want = np.repeat([o for o in range(3) if o != empty], 5).astype('f4')
    for o in (s, s.direct(8), pickle.loads(pickle.dumps(s))): same(o.gather(range(10))[:,0,0], want)
    assert s.why_not_direct() is None
    dl = TSDataLoader(TSDatasets(s), bs=5, read=ReadOptions(direct=True))
    same(np.concatenate([o.numpy() for o, in dl])[:,0,0], want)

def test_inodes_may_have_64_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, 'file_id_of', lambda stat, f=identity.file_id_of: f(stat)._replace(inode=2**63+1))
    monkeypatch.setattr(shards, 'file_id_of', identity.file_id_of)
    s = Shards(_files(tmp_path))
    same(s.gather([0,119]), x[[0,119]])

@pytest.mark.parametrize('names,first,second', [(['1','2','10'],'10','2'), (['a9','a10','b1'],'a10','a9'), (['01','02','10'],None,None),
    (['a','b10','c'],None,None), (['2024-9-30','2024-10-1'],'2024-10-1','2024-9-30')])
def test_files_whose_names_are_not_in_the_order_of_their_numbers_are_told_of(tmp_path, recwarn, names, first, second):
    for i,o in enumerate(names): save_array(tmp_path/f'{o}.npy', x[i:i+1])
    assert len(Shards(tmp_path)) == len(names)
    said = [str(o.message) for o in recwarn]
    assert len(said) == (first is not None) and all(f'{first}.npy before {second}.npy' in o and 'list of files' in o for o in said)
    recwarn.clear()
    same(Shards([tmp_path/f'{o}.npy' for o in names])[:], x[:len(names)])
    assert not recwarn.list
