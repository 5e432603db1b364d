"Every writer, killed at any moment, leaves the old dataset or the new one"
import errno, os, sys
from contextlib import suppress
from itertools import cycle
import numpy as np, pytest
from tsdisk.convert.convert import append, convert
from tsdisk.convert import export as exports
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.errors import remedies
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged
from tsdisk.train import checkpoint
from kills import begun, check_kills, check_synced, copy, files_in, points, refuse, run

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the changes of a process are seen on Linux')
long = bool(os.environ.get('TSDISK_LONG_TESTS')) # Up to 40 kills of each writer instead of 3
most = 40 if long else 3

def X(v, n=6): return np.full((n,2,5), v, 'f4')
def series(v, n): return [np.full((2,3+i), v, 'f4') for i in range(n)]
def files(at, v, n=3, steps=0):
    "Files to convert, of which those of an append come later"
    folder = at.parent/f'files{v}{"s"*bool(steps)}'
    folder.mkdir(exist_ok=True)
    paths = [folder/f'{i}.npy' for i in range(n)]
    for i,o in enumerate(paths):
        if not o.exists(): np.save(o, np.full((2,5+i*steps), v, 'f4'))
    return [*map(str, paths)]

def values(a):
    if hasattr(a, 'offsets'): return [np.asarray(o).tolist() for o in a[:]]
    return np.asarray(a[:]).tolist()

def dataset(at):
    "All that a reader of a dataset sees, and whether its bytes are those that were written"
    arrays,splits = open_folder(at)
    faults = verify(at) if (at/'tsdisk.json').exists() and 'checksums' in (at/'tsdisk.json').read_text() else []
    return {k: values(a) for k,a in arrays.items()}, {k: np.asarray(o).tolist() for k,o in splits.items()}, faults

def array(at): return open_array(at/'X.npy').tolist()
def ragged(at): return values(open_ragged(at))
def exported(at): return values(np.load(at/'out/X.npy')), values(np.load(at/'out/y.npy'))
def nothing(at): pass
def old_folder(at): save_folder(at, X(1), np.arange(6), [range(4), [5,4]])
def old_series(at): save_ragged(at, series(1, 4))
def converted(layout=None): return lambda at: convert(files(at, 1, steps=layout == 'ragged'), at, n_workers=0, layout=layout)
def appended(steps=0): return lambda at: append(at, files(at, 2, steps=steps), n_workers=0)
def replaced_folder(at):
    old_folder(at)
    save_folder(at, X(3), np.arange(6)*3, [range(3), [5,4]])
def export(at):
    with suppress(FileExistsError): to_npy(at/'set', at/'out')
def in_blocks(f):
    "A writer whose file is written by a library: it may be killed before each row"
    def write(at):
        rows = exports.DecodedArray.rows
        def announced(self, *args):
            sys.audit('rows', str(at))
            return rows(self, *args)
        exports.DecodedArray.rows = announced # In the child alone
        exports.row_blocks.__defaults__ = (1,)
        f(at)
    return write
def hdf5(at):
    import h5py
    try: f = h5py.File(at/'out/a.h5')
    except FileNotFoundError: return None
    with f: return {k: values(f[k]) for k in ('X','y','splits/train')}
def parquet(at):
    if not (at/'out/a.parquet').exists(): return None
    import pyarrow.parquet as pq
    return pq.ParquetFile(at/'out/a.parquet').read().to_pydict()
def with_other_exports(at):
    "A dataset, beside files that an export of another one wrote"
    save_folder(at/'set', X(2), np.arange(6)*2, [range(3), [5,4]])
    to_hdf5(at/'set', at/'out/a.h5')
    to_parquet(at/'set', at/'out/a.parquet')
    save_folder(at/'set', X(1, 9), np.arange(9), [range(3), [5,4]])

def stitch(at):
    from tsdisk.data.datasets import TSDatasets
    from tsdisk.series.windows import Windows
    from tsdisk.train.stitch import stitch_forecasts
    ds = TSDatasets(Windows([np.zeros((40,1), 'f4')]*2, 6, horizon=4))
    with suppress(FileExistsError): stitch_forecasts(np.arange(len(ds)*4, dtype='f4').reshape(-1, 1, 4), ds, at/'p')
def stitched(at): return str(ragged(at/'p')) # NaN is unequal to itself
def with_dataset(at): save_folder(at/'set', X(1), np.arange(6), [range(3), [5,4]])

def checkpointed(i): return lambda at: checkpoint._save_checkpoint(dict(version=1, at=i, w=[i]*999), at/'a.ckpt', check=True)
def predict(at):
    from fastai.basics import Learner, MSELossFlat, nn
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.train.predict import preds_to_disk
    dls = TSDataLoaders.from_arrays(X(1, 64), np.zeros(64, 'f4'), bs=8, device='cpu', splits=[range(32), range(32,64)])
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 1))
    nn.init.constant_(model[1].weight, .5)
    nn.init.constant_(model[1].bias, 0.)
    preds_to_disk(Learner(dls, model, loss_func=MSELossFlat()), dls.valid, at/'p', targs=True)

writers = {}
writers['checkpoint'] = (checkpointed(1), checkpointed(2), lambda at: checkpoint._read_newest(at/'a.ckpt')[0]['at'])
writers['preds_to_disk'] = (nothing, predict, lambda at: [values(np.load(at/f'p/{o}.npy')) for o in ('preds','targs')])
writers['save_array'] = (lambda at: save_array(at/'X.npy', X(1)), lambda at: save_array(at/'X.npy', X(2, 9)), array)
writers['save_folder'] = (nothing, lambda at: save_folder(at, X(2, 9), np.arange(9), [range(4), [5,4]]), dataset)
writers['save_folder_again'] = (old_folder, lambda at: save_folder(at, X(2, 9), np.arange(9), [range(4), [5,6,4]]), dataset)
writers['save_folder_thrice'] = (replaced_folder, lambda at: save_folder(at, X(2, 9), np.arange(9), [range(4), [5,6,4]]), dataset)
writers['save_targets'] = (lambda at: save_array(at/'X.npy', X(1)), lambda at: save_folder(at, y=np.arange(6)), dataset)
writers['save_splits'] = (old_folder, lambda at: save_folder(at, splits=[[5,4,1],[0,2]]), dataset)
writers['save_ragged'] = (nothing, lambda at: save_ragged(at, series(1, 4)), ragged)
writers['save_ragged_again'] = (old_series, lambda at: save_ragged(at, series(2, 6)), ragged)
writers['append_ragged'] = (old_series, lambda at: append_ragged(at, series(2, 2)[len(open_ragged(at))-4:]), ragged) # Those that are missing
writers['add_checksums'] = (old_folder, add_checksums, lambda at: (dataset(at), 'checksums' in (at/'tsdisk.json').read_text()))
writers['convert'] = (nothing, converted(), dataset)
writers['convert_iterable'] = (nothing, lambda at: convert((dict(X=X(i, 1)[0], y=i) for i in range(5)), at), dataset)
writers['convert_ragged'] = (nothing, converted('ragged'), dataset)
writers['convert_shards'] = (nothing, converted('shards'), dataset)
writers['append'] = (converted(), appended(), dataset)
writers['append_ragged_dataset'] = (converted('ragged'), appended(1), dataset)
writers['append_shards'] = (converted('shards'), appended(), dataset)
writers['append_to_saved'] = (lambda at: save_folder(at, X(1)), appended(), dataset)
writers['append_to_saved_again'] = (lambda at: [save_folder(at, X(i)) for i in range(2)], appended(), dataset)
writers['to_npy'] = (with_dataset, export, exported)
writers['to_hdf5'] = (with_dataset, in_blocks(lambda at: to_hdf5(at/'set', at/'out/a.h5')), hdf5)
writers['to_hdf5_again'] = (with_other_exports, in_blocks(lambda at: to_hdf5(at/'set', at/'out/a.h5')), hdf5)
writers['to_parquet'] = (with_dataset, in_blocks(lambda at: to_parquet(at/'set', at/'out/a.parquet')), parquet)
writers['to_parquet_again'] = (with_other_exports, in_blocks(lambda at: to_parquet(at/'set', at/'out/a.parquet')), parquet)
writers['stitch_forecasts'] = (nothing, stitch, stitched)

@pytest.mark.parametrize('name', writers)
def test_a_kill_leaves_the_old_or_the_new_and_a_rerun_completes_it(name, tmp_path): check_kills(tmp_path, *writers[name], most)

@pytest.mark.parametrize('name', writers)
def test_files_are_synced_before_they_get_their_names(name, tmp_path):
    prepare,write,_ = writers[name]
    at = tmp_path/'at'
    at.mkdir()
    prepare(at)
    _,log,error = run(lambda: write(at), at)
    assert not error and log and check_synced(log, at) == []

@pytest.mark.parametrize('name', writers)
def test_a_full_or_broken_disk_is_named_and_leaves_the_old(name, tmp_path):
    prepare,write,read = writers[name]
    start,at = begun(tmp_path, prepare)
    before = dataset_or_none(read, at)
    _,log,_ = run(lambda: write(at), at)
    after,left = dataset_or_none(read, at),files_in(at)
    written = [k for k,(what,_) in enumerate(log, 1) if what in ('write','fsync')]
    others = [k for k in range(1, len(log)+1) if k not in written]
    assert written
    some = zip([o[i-1] for o in (written,others) for i in points(len(o), most)], cycle([errno.ENOSPC,errno.EIO,errno.EDQUOT,errno.EROFS,errno.EACCES]))
    for k,code in some:
        copy(start, at)
        _,_,error = run(lambda: write(at), at, k, refuse(code))
        where = f'change {k}, {log[k-1]}, {errno.errorcode[code]}'
        assert dataset_or_none(read, at) in (before, after), where
        if not error: # Such as a temporary file that stays
            assert dataset_or_none(read, at) == after, f'{where}: no error, and not done'
            continue
        says = remedies[code].partition(' on its disk')[0] # `convert` says in its own words to make room
        assert str(at) in error[1] and (says in error[1] or k not in written), f'{where}: {error}'
        if log[k-1][1].endswith('.lock') and dataset_or_none(read, at) == after: continue # Done, but for its lock
        _,_,error = run(lambda: write(at), at)
        assert not error and dataset_or_none(read, at) == after and files_in(at) == left, f'{where}: {error}'

def test_points_are_spread_from_first_to_last():
    assert points(5, 9) == [1,2,3,4,5] and points(9, 3) == [1,5,9] and points(1, 3) == [1] and points(0, 3) == []

def dataset_or_none(read, at):
    try: return read(at)
    except FileNotFoundError: return None
