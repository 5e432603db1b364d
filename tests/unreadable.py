"Everything that reads files, while one of its calls fails: for processes that were started with the library of `unreadable.c`"
import contextlib, ctypes, errno, io, os, shutil, warnings
from pathlib import Path
import numpy as np
from kills import points
from tsdisk.convert.convert import convert
from tsdisk.convert.info import info
from tsdisk.convert.readers import read_file
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.reader import ReadOptions
from tsdisk.data.summary import summary
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.folder.results import fingerprint
from tsdisk.disk.headers import read_header
from tsdisk.disk.io import Aio, DiskFile, Preadv
from tsdisk.disk.shards import Shards
from tsdisk.disk.views import pack_array, unpack_array
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.labels import array_counts, train_vocab
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import array_stats, train_stats
from tsdisk.series.clocks import clocks_of
from tsdisk.series.ragged_files import open_ragged, save_ragged
from tsdisk.series.windows import Windows
from tsdisk.train.checkpoint import _read_newest, _save_checkpoint
from tsdisk.train.writer import begin_run, RowWriter

X = np.arange(40*2*8, dtype='f4').reshape(40, 2, 8)
rows = [3,1,30,3]

def records(n, steps=0):
    for i in range(n): yield dict(X=X[i,:,:steps or 3+i], y='ab'[i%2], fs=10.+i%2, start='2020-01-01', split='train' if i < n-2 else 'valid')

def prepare(at):
    "Files of each kind"
    save_array(at/'X.npy', X)
    save_array(at/'y.npy', np.arange(40)%3)
    save_ragged(at/'ragged', [X[i,:,:3+i%4] for i in range(9)])
    (at/'shards').mkdir()
    for i in range(4): np.save(at/f'shards/{i}.npy', X[10*i:10*i+10])
    save_folder(at/'saved', X, np.arange(40)%3, [[*range(0, 30, 2)], [31,35]])
    add_checksums(at/'saved')
    (at/'raw').mkdir()
    for i in range(4): np.save(at/f'raw/{i}.npy', X[i])
    np.savez(at/'raw.npz', X=X, y=np.arange(40)%3)
    np.savetxt(at/'table.csv', X[0].T, delimiter=',', header='a,b', comments='')
    np.save(at/'large.npy', np.ones((2,140_000), 'f8'))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name,steps,layout in (('dense',6,None), ('uneven',0,'ragged'), ('parts',6,'shards')):
            convert(records(8, steps), at/name, n_workers=0, layout=layout)
    _save_checkpoint(dict(version=1, w=[1]*999), at/'a.ckpt', check=True)
    (at/'run').mkdir()
    begin_run(at/'run', dict(n=10))
    with RowWriter(at/'run', 10) as w: w.write('preds', 0, X[:10])

# What readers return can be compared: lists, numbers and text

def values(a):
    if hasattr(a, 'offsets'): return [np.asarray(o).tolist() for o in a[:]]
    return np.asarray(a[:]).tolist()

def folder(path):
    arrays,splits = open_folder(path)
    clocks = clocks_of(as_source(arrays['X']).place())
    return {k: values(a) for k,a in arrays.items()}, {k: np.asarray(o).tolist() for k,o in splits.items()}, repr(clocks)

def batches(source, **read): return [o[0].tolist() for o in TSDataLoader(TSDatasets(source), bs=16, read=ReadOptions(**read))]

def direct(source, engine):
    "Rows of a source by one of the engines, some of them prefetched"
    engines,DiskFile.engines = DiskFile.engines,(engine,)
    try:
        s = source.direct(2)
        s.prefetch(rows[:2])
        return s.gather(rows).tolist()
    finally: DiskFile.engines = engines

def verified(path):
    "No faults; those that there are as an error"
    faults = verify(path)
    if faults: raise OSError('\n'.join(faults))
    return faults

def described(path):
    with contextlib.redirect_stdout(io.StringIO()) as out: info(path)
    return out.getvalue()

def statistics(path):
    s = train_stats(path)
    return s.mean.tolist(), s.std.tolist()

def converted(src, at, **kwargs):
    "What a conversion makes of files, in a folder that no call counts"
    to = at.parent/'converted'
    shutil.rmtree(to, ignore_errors=True)
    convert(src, to, n_workers=0, **kwargs)
    return folder(to)

readers = {}
readers['read_header'] = lambda at: repr(read_header(at/'X.npy'))
readers['open_array'] = lambda at: open_array(at/'X.npy').tolist()
readers['gather'] = lambda at: as_source(at/'X.npy').gather(rows).tolist()
readers['prefetch'] = lambda at: [(s := as_source(at/'X.npy')).prefetch(rows), s.gather(rows).tolist()]
readers['direct_aio'] = lambda at: direct(as_source(at/'X.npy'), Aio)
readers['direct_preadv'] = lambda at: direct(as_source(at/'X.npy'), Preadv)
readers['shards'] = lambda at: Shards(at/'shards').gather(rows).tolist()
readers['shards_direct'] = lambda at: direct(Shards(at/'shards'), Aio)
readers['ragged'] = lambda at: values(open_ragged(at/'ragged'))
readers['ragged_direct'] = lambda at: open_ragged(at/'ragged', most=5).direct(2).gather([3,1]).tolist()
readers['windows'] = lambda at: Windows([f'{at}/raw/{i}.npy' for i in range(4)], 2).gather([3,1,2]).tolist()
readers['unpickled'] = lambda at: values(unpack_array(pack_array(open_array(at/'X.npy'))))
readers['fingerprint'] = lambda at: fingerprint(open_array(at/'X.npy'))
readers['stats'] = lambda at: array_stats(at/'X.npy').mean.tolist()
readers['train_stats'] = lambda at: statistics(at/'saved/X.npy')
readers['counts'] = lambda at: repr(array_counts(at/'y.npy'))
readers['vocab'] = lambda at: train_vocab(at/'saved/y.npy').tolist()
for o in ('saved','dense','uneven','parts'):
    readers[f'folder_{o}'] = lambda at, o=o: folder(at/o)
    readers[f'verify_{o}'] = lambda at, o=o: verified(at/o)
    readers[f'info_{o}'] = lambda at, o=o: described(at/o)
readers['info_file'] = lambda at: described(at/'X.npy')
readers['info_inputs'] = lambda at: described(at/'raw')
readers['summary'] = lambda at: repr(summary(at/'saved'))
readers['batches'] = lambda at: batches(at/'X.npy')
readers['batches_direct'] = lambda at: batches(at/'X.npy', direct=True)
readers['batches_background'] = lambda at: batches(at/'X.npy', background=True)
readers['loader_of_folder'] = lambda at: [o[0].tolist() for o in TSDataLoaders.from_folder(at/'saved', bs=8, device='cpu').valid]
readers['read_npy'] = lambda at: values(read_file(at/'raw/0.npy'))
readers['read_large_npy'] = lambda at: values(read_file(at/'large.npy'))
readers['read_npz'] = lambda at: {k: values(v) for k,v in read_file(at/'raw.npz').items()}
readers['convert_npy'] = lambda at: converted(at/'raw', at)
readers['convert_one_npy'] = lambda at: converted(at/'X.npy', at)
readers['convert_large_npy'] = lambda at: converted(at/'large.npy', at)
readers['convert_npz'] = lambda at: converted(at/'raw.npz', at)
readers['convert_csv'] = lambda at: converted(at/'table.csv', at)
readers['convert_shards'] = lambda at: converted(at/'shards', at)
readers['checkpoint'] = lambda at: _read_newest(at/'a.ckpt')[0]['w']
readers['run'] = lambda at: [begin_run(at/'run', dict(n=10)), repr(RowWriter(at/'run', 10))]

# Faults

codes = errno.EIO, errno.EACCES, errno.ESTALE

def check(lib, name, at, most):
    "Let calls of a reader fail, one in each trial; (number of trials, what was wrong)"
    read = readers[name]
    want = read(at)
    lib.begin(os.fsencode(at), -1, 0)
    again = read(at)
    n,bad = lib.end(),[]
    if not n: return 0, ['it reads nothing']
    if again != want: return 0, [f'it returns something else each time: {again!r:.200} {want!r:.200}']
    tried = points(n, most)
    for i,k in enumerate(tried):
        for code in codes if len(tried) <= most//3 else [codes[i%3]]: bad += trial(lib, read, at, k, code, want)
    return len(tried), bad

def trial(lib, read, at, k, code, want):
    lib.begin(os.fsencode(at), k, code)
    error = got = None
    with warnings.catch_warnings(record=True):
        warnings.simplefilter('always')
        try: got = read(at)
        except Exception as e: error = e
        finally: lib.end()
    path,call = (os.fsdecode(o()) for o in (lib.failed_path, lib.failed_call))
    where = f'call {k}, {call} {os.path.relpath(path, at)}, {errno.errorcode[code]}'
    if not path: return [] # Another number of calls
    if error is None: return [] if got == want else [f'{where}: silently {got!r:.200}']
    said = str(error)
    if not isinstance(error, (OSError,ValueError)): return [f'{where}: {type(error).__name__}: {said:.300}']
    missing = [o for o in (os.path.basename(path), os.strerror(code)) if o not in said]
    return [f'{where}: no {missing} in {type(error).__name__}: {said:.300}'] if missing else []

def check_all(library, at, most):
    "(number of calls tried, what was wrong) by reader"
    lib = ctypes.CDLL(library)
    lib.begin.argtypes = ctypes.c_char_p, ctypes.c_long, ctypes.c_int
    lib.end.restype = ctypes.c_long
    lib.failed_path.restype = lib.failed_call.restype = ctypes.c_char_p
    at = Path(at)
    prepare(at)
    return {name: check(lib, name, at, most) for name in readers}
