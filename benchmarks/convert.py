"Getting data onto disk, side by side: see README.md"
import os, random, shutil, sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
import numpy as np
from common import arguments, describe, drop_cache, keep, machine, md_table, med, peak_private, Quiet, seconds, temp_folder
from loaders import say

piece = np.random.default_rng(0).standard_normal((500,16,500), np.float32) # 16 MB

# One array, in chunks, until it is on the disk

def with_write(path, n):
    with open(path, 'wb', buffering=0) as f:
        for _ in range(n): f.write(piece)
        os.fsync(f.fileno())

def with_pwritev(path, n, flags=0):
    with open(path, 'wb', buffering=0) as f:
        for i in range(n):
            data,at = memoryview(piece).cast('B'),i*piece.nbytes
            while len(data):
                k = os.pwritev(f.fileno(), [data], at, flags)
                data,at = data[k:],at+k
        os.fsync(f.fileno())

def with_memmap(path, n):
    x = np.lib.format.open_memmap(path, 'w+', piece.dtype, (n*len(piece), *piece.shape[1:]))
    for i in range(n): x[i*len(piece):(i+1)*len(piece)] = piece
    x.flush()
    with open(path, 'rb') as f: os.fsync(f.fileno())

def as_in_the_tutorial(path, n):
    "tsai's tutorial 00: fill a map of a temporary file, then save that as an array"
    aside = path.with_suffix('.tmp')
    x = np.memmap(aside, piece.dtype, 'w+', shape=(n*len(piece), *piece.shape[1:]))
    for i in range(n): x[i*len(piece):(i+1)*len(piece)] = piece
    np.save(path, x)
    with open(path, 'rb') as f: os.fsync(f.fileno())
    aside.unlink()

def with_tsdisk(path, n):
    from tsdisk.disk.arrays import create_array
    with create_array(path, (n*len(piece), *piece.shape[1:])) as w:
        for _ in range(n): w.append(piece)

def has_dontcache(folder):
    try: with_pwritev(folder/'try', 1, 0x80)
    except (OSError,AttributeError): return False
    return True

def measure_write(folder, gb, rounds, quiet):
    n,ways = int(gb*1e9/piece.nbytes), {'tsdisk, `create_array`': with_tsdisk, '`write`': with_write, '`pwritev`': with_pwritev, '`open_memmap`': with_memmap,
        'map of a temporary file, then `np.save`, as in tsai\'s tutorial': as_in_the_tutorial}
    if has_dontcache(folder): ways['`pwritev`, RWF_DONTCACHE'] = partial(with_pwritev, flags=0x80)
    res,path = {k: [] for k in ways},folder/'a.npy'
    for i in range(rounds):
        say(f'round {i+1} of {rounds}: {gb:g} GB in chunks')
        for k in random.sample([*ways], len(ways)):
            quiet.wait()
            res[k].append(n*piece.nbytes/1e9/seconds(partial(ways[k], path, n)))
            path.unlink()
    return res

# Many small files

def make_files(folder, n):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n): np.save(folder/f'{i:05d}.npy', rng.standard_normal((12,500), np.float32))

def copy_one(src, dst): np.save(Path(dst)/Path(src).name, np.load(src))
def by_hand(src, dst, n_workers):
    "A process pool, and a file for each"
    dst.mkdir()
    files = sorted(src.glob('*.npy'))
    with ProcessPoolExecutor(n_workers) as pool: list(pool.map(partial(copy_one, dst=str(dst)), map(str, files), chunksize=64))

def stacked(src, dst, n_workers):
    "A process pool that gives back arrays, which are one in memory, then saved"
    dst.mkdir()
    with ProcessPoolExecutor(n_workers) as pool: x = np.stack(list(pool.map(np.load, sorted(src.glob('*.npy')), chunksize=64)))
    np.save(dst/'X.npy', x)

def by_tsdisk(src, dst, n_workers):
    from tsdisk.convert.convert import convert
    with redirect_stdout(StringIO()): convert(src, dst, n_workers=n_workers)

def measure_files(folder, n, rounds, quiet):
    src,dst = folder/'files',folder/'out'
    make_files(src, n)
    ways = {('tsdisk, `convert`', 0): by_tsdisk} | {(name,k): f for name,f in {'tsdisk, `convert`': by_tsdisk, 'pool, `np.save` of each': by_hand, 'pool, `np.stack`, `np.save`': stacked}.items() for k in (1,2)}
    res,private = {k: [] for k in ways},{k: 0 for k in ways}
    for i in range(rounds):
        say(f'round {i+1} of {rounds}: {n:,} files')
        for k in random.sample([*ways], len(ways)):
            quiet.wait()
            with peak_private() as peak:
                before = peak[0]
                took = seconds(partial(ways[k], src, dst, k[1]))
            res[k].append(n/took)
            private[k] = max(private[k], peak[0]-before)
            shutil.rmtree(dst)
    shutil.rmtree(src)
    return dict(rates=[[*k,v] for k,v in res.items()], private=[[*k,v] for k,v in private.items()])

# Files of other libraries in full

def make_stores(folder, gb):
    import h5py, zarr
    n = int(gb*1e9/piece.nbytes)
    z = zarr.create_array(str(folder/'a.zarr'), shape=(n*len(piece), *piece.shape[1:]), dtype='f4', chunks=(100, *piece.shape[1:]), compressors=None)
    with h5py.File(folder/'a.h5', 'w') as f:
        h = f.create_dataset('X', z.shape, 'f4', chunks=(100, *piece.shape[1:]))
        for i in range(n): h[i*len(piece):(i+1)*len(piece)] = z[i*len(piece):(i+1)*len(piece)] = piece
    return n*piece.nbytes/1e9

def read_store(path):
    "All of it, with its own library, 16 MB at a time"
    import h5py, zarr
    x = zarr.open(str(path), mode='r') if path.suffix == '.zarr' else h5py.File(path, 'r')['X']
    for i in range(0, x.shape[0], len(piece)): x[i:i+len(piece)]

def measure_stores(folder, gb, rounds, quiet):
    gb = make_stores(folder, gb)
    res = {(s,k): [] for s in ('a.h5','a.zarr') for k in ('read','convert')}
    for i in range(rounds):
        say(f'round {i+1} of {rounds}: HDF5 and zarr in full')
        for s in ('a.h5','a.zarr'):
            for k in ('read','convert'):
                quiet.wait()
                for o in [folder/s] if (folder/s).is_file() else [o for o in (folder/s).rglob('*') if o.is_file()]: drop_cache(o)
                res[s,k].append(gb/seconds(partial(read_store, folder/s) if k == 'read' else partial(by_tsdisk, folder/s, folder/'out', None)))
                shutil.rmtree(folder/'out', ignore_errors=True)
    return [[*k,v] for k,v in res.items()]

# HDF5 in chunks against rows

def make_chunks(folder, gb):
    "Samples whose chunks span all of them, and a few steps"
    import h5py
    n,rng = int(gb*1e9/6400),np.random.default_rng(0)
    with h5py.File(folder/'chunks.h5', 'w') as f:
        h = f.create_dataset('X', (n,4,400), 'f4', chunks=(n,1,20), compression='gzip', compression_opts=1)
        for i in range(0, 400, 20): h[:,:,i:i+20] = rng.integers(0, 50, (n,4,20))
    return folder/'chunks.h5'

def read_once(path):
    "All of it, chunk by chunk"
    import h5py
    with h5py.File(path, 'r') as f:
        x = f['X']
        for i in range(x.shape[1]):
            for k in range(0, x.shape[2], x.chunks[2]): x[:,i,k:k+x.chunks[2]]

def chunk_bytes(x, i):
    "Bytes of all chunks that an index touches"
    from tsdisk.convert.hdf5_arrays import full_index
    n = x.dtype.itemsize
    for size,c,o in zip(x.shape, x.chunks, full_index(i, x.ndim)):
        start,stop,_ = o.indices(size)
        n *= -(-stop//c)*c - start//c*c
    return n

@contextmanager
def counted_chunks():
    "A list of the bytes that h5py unpacks in each read"
    import h5py
    read,found = h5py.Dataset.__getitem__,[]
    def counted(self, i):
        if self.chunks: found.append(chunk_bytes(self, i))
        return read(self, i)
    h5py.Dataset.__getitem__ = counted
    try: yield found
    finally: h5py.Dataset.__getitem__ = read

def measure_chunks(folder, gb, rounds, quiet):
    path,res = make_chunks(folder, gb),dict(once=[], convert=[])
    for i in range(rounds):
        say(f'round {i+1} of {rounds}: HDF5 in chunks')
        for k in random.sample([*res], 2):
            quiet.wait()
            res[k].append(seconds(partial(read_once, path) if k == 'once' else partial(by_tsdisk, path, folder/'out', 0)))
            shutil.rmtree(folder/'out', ignore_errors=True)
    with counted_chunks() as found: by_tsdisk(path, folder/'out', 0)
    shutil.rmtree(folder/'out')
    used = int(gb*1e9/6400)*6400
    return res | dict(unpacked=sum(found)/used)

# One long series in the rows of a table

def make_series(path, n, order):
    import pyarrow as pa, pyarrow.parquet as pq
    rng = np.random.default_rng(0)
    steps = np.arange(n) if order == 'in order' else rng.permutation(n)
    with pq.ParquetWriter(path, pa.schema(dict(id=pa.int32(), t=pa.int64(), **{k: pa.float64() for k in 'abcd'}))) as w:
        for i in range(0, n, 10**6):
            t = steps[i:i+10**6]
            w.write_table(pa.table(dict(id=np.zeros(len(t), 'i4'), t=t, **{k: rng.random(len(t)) for k in 'abcd'})), row_group_size=250_000)

def series_by_tsdisk(path, dst):
    from tsdisk.convert.convert import convert
    from tsdisk.convert.long_tables import from_long
    with redirect_stdout(StringIO()): convert(from_long(path, 'id', 't'), dst)

def series_by_pandas(path, dst):
    "Sorted in memory"
    import pandas as pd
    dst.mkdir()
    np.save(dst/'X.npy', pd.read_parquet(path).sort_values(['id','t'])[[*'abcd']].to_numpy())

def measure_series(folder, n, rounds, quiet):
    files = {o: folder/f'{o}.parquet' for o in ('in order','shuffled')}
    for o,path in files.items(): make_series(path, n, o)
    ways = {'tsdisk, `from_long`': series_by_tsdisk, 'pandas, `sort_values`, in memory': series_by_pandas}
    res,private = {(k,o): [] for k in ways for o in files},{(k,o): 0 for k in ways for o in files}
    for i in range(rounds):
        say(f'round {i+1} of {rounds}: one series of {n:,} rows')
        for k,o in random.sample([*res], len(res)):
            quiet.wait()
            with peak_private() as peak:
                before = peak[0]
                took = seconds(partial(ways[k], files[o], folder/'out'))
            res[k,o].append(n/took/1e6)
            private[k,o] = max(private[k,o], peak[0]-before)
            shutil.rmtree(folder/'out')
    for o in files.values(): o.unlink()
    return [[*k,v,private[k]] for k,v in res.items()]

# The report

def write_rows(res):
    best = [max(o) for o in zip(*(v for k,v in res.items() if k.startswith(('`write','`pwritev'))))]
    ours = res['tsdisk, `create_array`']
    rows = [['a float32 array in chunks of 16 MB, synced', 'GB/s', 'tsdisk is']]
    for k,v in res.items(): rows.append([f'**{k}**' if 'tsdisk' in k else k, f'{med(v):.2f}', '' if 'tsdisk' in k else f'{med([a/b for a,b in zip(ours, v)]):.2f} ×'])
    return rows + [['the best plain way of each round', f'{med(best):.2f}', f'{med([a/b for a,b in zip(ours, best)]):.2f} ×']]

def files_rows(res, n):
    hand = {k: v for name,k,v in res['rates'] if name.endswith('of each')}
    private = {(name,k): v for name,k,v in res['private']}
    rows = [[f'{n:,} files of 24 kB', 'workers', 'files/s', 'of the pool that saves each', 'private MB']]
    for name,k,v in res['rates']:
        share = f'{med([a/b for a,b in zip(v, hand[k])]):.2f}' if k in hand else ''
        rows.append([f'**{name}**' if 'tsdisk' in name else name, k or 'none', f'{med(v):,.0f}', share, f'{private[name,k]:.0f}'])
    return rows

def store_rows(res):
    rate = {(s,k): v for s,k,v in res}
    rows = [['in full, from an empty cache', 'GB/s read by its library', 'GB/s read and written by `convert`', 'convert is']]
    for s,name in (('a.h5','HDF5, chunks of 3 MB'), ('a.zarr','zarr, chunks of 3 MB, uncompressed')):
        a,b = rate[s,'read'],rate[s,'convert']
        rows.append([name, f'{med(a):.2f}', f'{med(b):.2f}', f'{med([q/p for p,q in zip(a, b)]):.2f} ×'])
    return rows

def chunks_rows(res):
    once,ours = res['once'],res['convert']
    ratio = med([b/a for a,b in zip(once, ours)])
    rows = [['HDF5 in chunks against rows: chunks of all samples and 20 steps', 's once through, chunk by chunk', 's with `convert`, no workers', 'of once through', 'bytes unpacked per byte used']]
    return rows + [['gzip, one file', f'{med(once):.2f}', f'{med(ours):.2f}', f'{ratio:.2f}', f"{res['unpacked']:.2f}"]]

def series_rows(res, n):
    rows = [[f'one series of {n:,} rows of 4 float64, parquet', 'rows', 'million rows/s', 'private MB']]
    return rows + [[f'**{name}**' if 'tsdisk' in name else name, order, f'{med(v):.2f}', f'{private:.0f}'] for name,order,v,private in res]

def report(res):
    o = res['options']
    return f"""# Getting data onto disk, side by side

{describe(res['machine'])}, other programs used {med(res['others']):.0%} of the processor (median)

Ways take turns, medians of {o['rounds']} rounds, ratios within a round. *Synced*: until `fsync` returns. `convert` also checks every item, makes checksums, keeps a journal and syncs; the pools do not.
*Private*: memory of the process that starts the workers, beyond what it had, at most.

{md_table(write_rows(res['write']))}

An array of {o['gb']:g} GB.

{md_table(files_rows(res['files'], o['files']))}

{md_table(store_rows(res['stores']))}

Arrays of {o['store_gb']:g} GB.

{md_table(chunks_rows(res['chunks']))}

An array of {o['chunk_gb']:g} GB. `convert` also writes it, row by row, and checks and syncs it.

{md_table(series_rows(res['series'], o['rows']))}
"""

def main():
    args = arguments(__doc__, 'one round of less data: a minute', (5,1), 9)
    rounds = args.rounds
    quick = dict(gb=1, files=1000, store_gb=.25, chunk_gb=.13, rows=10**6)
    opts = dict(rounds=rounds) | (quick if args.quick else dict(gb=4, files=5000, store_gb=1, chunk_gb=.5, rows=4*10**6))
    res,quiet = dict(machine=machine(), options=opts),Quiet(20 if args.quick else 180)
    with temp_folder(args.tmp, need=opts['gb']*2.1e9+.5e9) as folder:
        res['write'] = measure_write(folder, opts['gb'], rounds, quiet)
        res['files'] = measure_files(folder, opts['files'], rounds, quiet)
        res['stores'] = measure_stores(folder, opts['store_gb'], rounds, quiet)
        res['chunks'] = measure_chunks(folder, opts['chunk_gb'], rounds, quiet)
        res['series'] = measure_series(folder, opts['rows'], rounds, quiet)
    res['others'] = quiet.seen
    say('')
    keep(args, 'convert', res, report(res))

if __name__ == '__main__':
    try: main()
    except KeyboardInterrupt: sys.exit(130)
