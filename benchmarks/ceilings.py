"What the machine can do: bare gathers from memory, and reads of the disk itself by threads and by fio"
import json, os, random, shutil, subprocess, time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice, starmap
from statistics import mean
import numpy as np
from processes import drop_cache, io_read, private_mb

# Rows from memory

class BareGather:
    "Only the copy of rows, into one buffer or several in turn, in an order made beforehand: `group` batches in a call"
    n_bufs = 1
    def __init__(self, rows, order, bs, threads, group, n_bufs=None):
        import torch
        self.rows,self.bs,self.threads = rows,bs,threads
        self.parts = order[:len(order)//bs*bs].split(bs*group)
        self.bufs = [torch.empty(len(self.parts[0]), *rows.shape[1:]) for _ in range(n_bufs or self.n_bufs)]

    def gather(self, rows, buf):
        "The batches of one call"
        from torch import index_select
        return index_select(self.rows, 0, rows, out=buf if len(rows) == len(buf) else buf[:len(rows)]).split(self.bs)

    def calls(self):
        "From anywhere on, so that nothing is in a processor's cache from the last time"
        start = random.randrange(len(self.parts))
        return zip(self.parts[start:] + self.parts[:start], cycle(self.bufs))

    def gathered(self): return starmap(self.gather, self.calls())

    def __iter__(self):
        import torch
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try: yield from ((xb,None) for batches in self.gathered() for xb in batches)
        finally: torch.set_num_threads(before)

class PooledGather(BareGather):
    "The same, each call in one of several threads, while the batches of the call before are in use"
    ahead,n_bufs = 2,3

    def gathered(self):
        import torch
        calls = self.calls()
        with ThreadPoolExecutor(self.ahead, initializer=partial(torch.set_num_threads, 1)) as pool:
            coming = deque(pool.submit(self.gather, *o) for o in islice(calls, self.ahead))
            while coming:
                batches = coming.popleft().result()
                for o in islice(calls, 1): coming.append(pool.submit(self.gather, *o))
                yield batches

def bare_gathers(rows, order, bs, most=2**22, n_bufs=1):
    """Every way to gather: all threads or one, one batch in a call or several, up to `most` bytes; into one buffer, or into several in turn, as a loader
    must whose batches are in use while the next is gathered"""
    import torch
    threads,group = torch.get_num_threads(),max(1, most//(bs*rows[0].numel()*4))
    calls = {1: ''} | ({group: ', several batches in a call'} if group > 1 else {})
    res = {name+k: BareGather(rows, order, bs, t, n, n_bufs) for n,k in calls.items() for name,t in (('one thread',1), ('all threads',threads))}
    if threads > 1: res['calls in two threads'] = PooledGather(rows, order, bs, 1, group)
    return res

# The disk: one measurement of one way to read it, in a process that may have little memory

def endless(f, *args):
    "Epoch after epoch"
    while True: yield from f(*args)

def rate(path, f, *args):
    """`f` gives the bytes that arrive, step by step. MB/s that arrive and that are read, and cores in use; counted after a third of the time, when as much
    is read ahead as will be at the end"""
    *args,row,secs = args
    drop_cache(path/'X.npy')
    steps,until = endless(f, path, row, *args),time.perf_counter()+secs/3
    for _ in steps:
        if time.perf_counter() > until: break
    used,was,cpu,start = 0,io_read(),time.process_time(),time.perf_counter()
    for n in steps:
        used += n
        took = time.perf_counter()-start
        if took > secs: break
    res = dict(used=used/took/1e6, read=(io_read()-was)/took/1e6, cores=(time.process_time()-cpu)/took, private=private_mb())
    steps.close()
    return res

def aligned(n):
    a = np.empty(n+4096, np.uint8)
    return a[-a.ctypes.data%4096:][:n]

def in_sectors(n): return -(-n//512)*512

def random_reads(path, row, threads, flags=0, hint=0):
    "Threads with `os.preadv`, `row` bytes at random places each"
    X,n = path/'X.npy',((path/'X.npy').stat().st_size-4096)//row
    fd = os.open(X, os.O_RDONLY | flags)
    if not flags: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    def work(args):
        buf,idxs = args
        for i in idxs: os.preadv(fd, [buf], 4096 + (i*row//512*512 if flags else i*row), hint)
    bufs,rng = [aligned(in_sectors(row) if flags else row) for _ in range(threads)],np.random.default_rng()
    k = max(1, min(64, 2**24//row//threads))
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                list(pool.map(work, [(b, rng.integers(0, n-1, k).tolist()) for b in bufs]))
                yield threads*k*row
        finally: os.close(fd)

def sequential(path, row, hint):
    "One thread, from start to end, `row` bytes at a time"
    with open(path/'X.npy', 'rb', buffering=0) as f:
        buf,at,size = aligned(row),0,(path/'X.npy').stat().st_size
        while True:
            os.preadv(f.fileno(), [buf], at, hint)
            at = at+row if at+2*row < size else 0
            yield row

def fio(path, engine, pattern, depth, row, secs):
    "What `rate` gives, of fio: `depth` reads in flight, past the page cache, at any sector, as rows start at any"
    drop_cache(path/'X.npy')
    options = dict(name='disk', filename=path/'X.npy', rw=pattern, bs=in_sectors(row), blockalign=512, ioengine=engine, iodepth=depth,
        direct=1, norandommap=1, randrepeat=0, time_based=1, ramp_time=f'{secs*333:.0f}ms', runtime=f'{secs*1000:.0f}ms')
    command = ['fio', '--readonly', '--thread', '--output-format=json', *(f'--{k}={v}' for k,v in options.items())]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode: return {}
    res = json.loads(out.stdout[out.stdout.index('{'):])['jobs'][0]
    return dict(used=res['read']['iops']*row/1e6, read=res['read']['bw_bytes']/1e6, cores=(res['usr_cpu']+res['sys_cpu'])/100, private=0)

def fio_engine(path):
    "How fio may read here: `io_uring`, `libaio` where that is not permitted; None where neither is, or there is no fio"
    if not shutil.which('fio'): return None
    return next((o for o in ('io_uring','libaio') if fio(path, o, 'randread', 2, 4096, .05)), None)

# The disk: which way is best

direct,dont_cache = getattr(os, 'O_DIRECT', 0),0x80

def disk_ways(engine):
    "For each kind of reads, ways to make them: by threads, and by fio"
    rows = {f'{t} threads{o}': (rate, random_reads, t, *a) for t in (8,16,32,64) for o,a in (('',()), (', O_DIRECT',(direct,)))}
    blocks = {f"{t} thread{'s'*(t > 1)}{o}": (rate, random_reads, t, *a) for t in (1,2,4,8)
        for o,a in ((', RWF_DONTCACHE',(0,dont_cache)), (', O_DIRECT',(direct,)))}
    in_order = {f'1 thread{o}': (rate, sequential, a) for o,a in (('',0), (', RWF_DONTCACHE',dont_cache))}
    def by_fio(pattern, *depths): return {f'fio, {engine}, depth {o}': (fio, engine, pattern, o) for o in depths if engine}
    return {'exact': (rows, by_fio('randread', 32, 128)), 'block': (blocks, by_fio('randread', 8)), 'in order': (in_order, by_fio('read', 8))}

def bytes_a_read(kind, row): return row if kind == 'exact' else 2**21

class Disk:
    "What the disk delivers at the moment, by the best way to read it so: the ceiling"
    def __init__(self,
        call, # Runs a function of the folder, and what follows, where the loaders run
        path, # The folder
        secs:float, # Of a measurement
    ):
        self.call,self.secs,self.engine = call,secs,fio_engine(path)
        self.ways,self.chosen,self.found = disk_ways(self.engine),{},[]

    def one(self, kind, row, way, secs):
        r = self.call(*way, bytes_a_read(kind, row), secs)
        return dict(r, mb=min(r.get('used', 0), r.get('read', 0))) # What arrives, or what is read if less: some came from the cache

    def choose(self, kind, row):
        "The fastest number of threads, and all of fio"
        threads,fio = self.ways[kind]
        name = max(threads, key=lambda o: self.one(kind, row, threads[o], self.secs/2)['mb'])
        return {name: threads[name], **fio}

    def now(self, kind, row, beside):
        "MB/s that the disk delivers"
        key = kind,row,beside
        if key not in self.chosen: self.chosen[key] = self.choose(kind, row)
        each = {name: self.one(kind, row, way, self.secs) for name,way in self.chosen[key].items()}
        name = max(each, key=lambda o: each[o]['mb'])
        self.found.append(dict(kind=kind, row=row, beside=beside, name=name, each={k: v['mb'] for k,v in each.items()}, **each[name]))
        return each[name]['mb']

    def around(self, jobs, *key):
        "What each job returns, and the `disk` just before and after it"
        before = self.now(*key)
        for job in jobs:
            res = job()
            after = self.now(*key)
            yield dict(res, disk=mean((before, after)))
            before = after
