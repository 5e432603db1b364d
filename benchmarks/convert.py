"Getting data onto disk, side by side: see README.md"
import os, shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
import numpy as np
from common import arguments, benchmark, groups, heads, in_order, intro, md_table, med, number, ours_bold, pick, ratio, run, say, times
from processes import drop_cache, seconds, timed

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

write_ways = {'tsdisk, `create_array`': with_tsdisk, '`write`': with_write, '`pwritev`': with_pwritev, '`open_memmap`': with_memmap,
    "map of a temporary file, then `np.save`, as in tsai's tutorial": as_in_the_tutorial, '`pwritev`, RWF_DONTCACHE': partial(with_pwritev, flags=0x80)}
plain = '`write`','`pwritev`','`pwritev`, RWF_DONTCACHE'

def measure_write(bench, gb):
    k,path,res = int(gb*1e9/piece.nbytes),bench.folder/'a.npy',[]
    names = [o for o in write_ways if 'DONTCACHE' not in o or has_dontcache(bench.folder)]
    for _,n in bench.turns(f'{gb:g} GB in chunks'):
        for o in bench.one_by_one(names):
            res.append(dict(way=o, beside=n, rate=k*piece.nbytes/1e9/seconds(partial(write_ways[o], path, k))))
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

def by_executor(src, dst, n_workers):
    "Each worker writes shards of its own, as on a cluster"
    from tsdisk.convert.convert import convert
    with ProcessPoolExecutor(n_workers) as pool, redirect_stdout(StringIO()): convert(src, dst, executor=pool)

files_ways = {'tsdisk, `convert`': (by_tsdisk, (0,1,2)), 'tsdisk, `convert(executor=)`': (by_executor, (1,2)),
    'pool, `np.save` of each': (by_hand, (1,2)), 'pool, `np.stack`, `np.save`': (stacked, (1,2))}

def measure_files(bench, k):
    src,dst,res = bench.folder/'files',bench.folder/'out',[]
    make_files(src, k)
    for _,n in bench.turns(f'{k:,} files'):
        for name,w in bench.one_by_one([(name,w) for name,(_,workers) in files_ways.items() for w in workers]):
            took,private = timed(partial(files_ways[name][0], src, dst, w))
            res.append(dict(way=name, workers=w, beside=n, rate=k/took, private=private))
            shutil.rmtree(dst)
    shutil.rmtree(src)
    return res

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

def files_of(path): return [path] if path.is_file() else [o for o in path.rglob('*') if o.is_file()]

def measure_stores(bench, gb):
    gb,res,dst = make_stores(bench.folder, gb),[],bench.folder/'out'
    jobs = {'read': read_store, 'convert': partial(by_tsdisk, dst=dst, n_workers=None)}
    for _,n in bench.turns('HDF5 and zarr in full'):
        for name,way in bench.one_by_one([(o,k) for o in ('a.h5','a.zarr') for k in jobs]):
            path = bench.folder/name
            for o in files_of(path): drop_cache(o)
            res.append(dict(store=name, way=way, beside=n, rate=gb/seconds(partial(jobs[way], path))))
            shutil.rmtree(dst, ignore_errors=True)
    return res

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

def measure_chunks(bench, gb):
    path,dst,res = make_chunks(bench.folder, gb),bench.folder/'out',[]
    jobs = {'once': read_once, 'convert': partial(by_tsdisk, dst=dst, n_workers=0)}
    for _,n in bench.turns('HDF5 in chunks'):
        for o in bench.one_by_one(jobs):
            res.append(dict(way=o, beside=n, took=seconds(partial(jobs[o], path))))
            shutil.rmtree(dst, ignore_errors=True)
    with counted_chunks() as found: by_tsdisk(path, dst, 0)
    shutil.rmtree(dst)
    return dict(times=res, unpacked=sum(found)/(int(gb*1e9/6400)*6400))

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

series_ways = {'tsdisk, `from_long`': series_by_tsdisk, 'pandas, `sort_values`, in memory': series_by_pandas}

def measure_series(bench, k):
    files,res = {o: bench.folder/f'{o}.parquet' for o in ('in order','shuffled')},[]
    for o,path in files.items(): make_series(path, k, o)
    for _,n in bench.turns(f'one series of {k:,} rows'):
        for way,o in bench.one_by_one([(way,o) for way in series_ways for o in files]):
            took,private = timed(partial(series_ways[way], files[o], bench.folder/'out'))
            res.append(dict(way=way, order=o, beside=n, rate=k/took/1e6, private=private))
            shutil.rmtree(bench.folder/'out')
    for o in files.values(): o.unlink()
    return res

# The report

def write_md(res, besides):
    rate = {k: pick(v, 'rate') for k,v in groups(in_order(res, write_ways), 'way', 'beside').items()}
    best = 'the best plain way of each round'
    for n in besides: rate[best,n] = [max(o) for o in zip(*(rate[k,n] for k in plain if (k,n) in rate))]
    ours = 'tsdisk, `create_array`'
    rows = [['a float32 array in chunks of 16 MB, synced', *heads('GB/s', besides), *heads('tsdisk is', besides)]]
    for name in dict.fromkeys(k for k,_ in rate):
        faster = ['' if name == ours else times(ratio(rate[ours,n], rate[name,n])) for n in besides]
        rows.append([ours_bold(name), *(number(med(rate[name,n])) for n in besides), *faster])
    return md_table(rows)

def files_md(res, besides, k):
    rows = [[f'{k:,} files of 24 kB', 'workers', *heads('files/s', besides), *heads('of the pool that saves each', besides), 'private MB']]
    for (name,w),rs in groups(in_order(res, files_ways, 'workers'), 'way', 'workers').items():
        rate = [pick(rs, 'rate', beside=n) for n in besides]
        pool = [pick(res, 'rate', way='pool, `np.save` of each', workers=w, beside=n) for n in besides]
        share = [f'{ratio(a, b):.2f}' if b else '' for a,b in zip(rate, pool)]
        rows.append([ours_bold(name), w or 'none', *(number(med(o)) for o in rate), *share, f"{max(pick(rs, 'private')):.0f}"])
    return md_table(rows)

stores = {'a.h5': 'HDF5, chunks of 3 MB', 'a.zarr': 'zarr, chunks of 3 MB, uncompressed'}

def stores_md(res, besides):
    rows = [['in full, from an empty cache', *heads('GB/s read by its library', besides), *heads('GB/s read and written by `convert`', besides), *heads('convert is', besides)]]
    for o,name in stores.items():
        a,b = [[pick(res, 'rate', store=o, way=k, beside=n) for n in besides] for k in ('read','convert')]
        rows.append([name, *(number(med(v)) for v in (*a, *b)), *(times(ratio(q, p)) for p,q in zip(a, b))])
    return md_table(rows)

def chunks_md(res, besides):
    once,ours = [[pick(res['times'], 'took', way=k, beside=n) for n in besides] for k in ('once','convert')]
    columns = [h for o in ('s once through, chunk by chunk', 's with `convert`, no workers', 'of once through') for h in heads(o, besides)]
    rows = [['HDF5 in chunks against rows: chunks of all samples and 20 steps', *columns, 'bytes unpacked per byte used']]
    shares = [f'{ratio(b, a):.2f}' for a,b in zip(once, ours)]
    return md_table(rows + [['gzip, one file', *(f'{med(v):.2f}' for v in (*once, *ours)), *shares, f"{res['unpacked']:.2f}"]])

def series_md(res, besides, k):
    rows = [[f'one series of {k:,} rows of 4 float64, parquet', 'rows', *heads('million rows/s', besides), 'private MB']]
    for (name,order),rs in groups(in_order(res, series_ways, 'order'), 'way', 'order').items():
        rows.append([ours_bold(name), order, *(number(med(pick(rs, 'rate', beside=n))) for n in besides), f"{max(pick(rs, 'private')):.0f}"])
    return md_table(rows)

def report(res):
    o,besides = res['options'],res['beside']
    return f"""# Getting data onto disk, side by side

{intro(res)}

Ways take turns, medians of {o['rounds']} rounds, ratios within a round. *Synced*: until `fsync` returns. `convert` also checks every item, makes checksums, keeps a journal and syncs; the pools do not.
*Private*: memory of the process that starts the workers, beyond what it had, at most.

{write_md(res['write'], besides)}

An array of {o['gb']:g} GB.

{files_md(res['files'], besides, o['files'])}

{stores_md(res['stores'], besides)}

Arrays of {o['store_gb']:g} GB.

{chunks_md(res['chunks'], besides)}

An array of {o['chunk_gb']:g} GB. `convert` also writes it, row by row, and checks and syncs it.

{series_md(res['series'], besides, o['rows'])}
"""

def main():
    args = arguments('convert', __doc__, 'one round of less data: a minute', (5,1), 9)
    quick = dict(gb=1, files=1000, store_gb=.25, chunk_gb=.13, rows=10**6)
    options = dict(rounds=args.rounds) | (quick if args.quick else dict(gb=4, files=5000, store_gb=1, chunk_gb=.5, rows=4*10**6))
    with benchmark(args, need=options['gb']*2.1e9+.5e9) as bench:
        say('writing data')
        bench.keep(options, report, write=measure_write(bench, options['gb']), files=measure_files(bench, options['files']),
            stores=measure_stores(bench, options['store_gb']), chunks=measure_chunks(bench, options['chunk_gb']), series=measure_series(bench, options['rows']))

if __name__ == '__main__': run(main)
