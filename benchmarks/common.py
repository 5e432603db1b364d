"What benchmarks share: the machine, made-up data, processes to measure in, Markdown"
import argparse, json, multiprocessing as mp, os, platform, shutil, signal, sys, tempfile, threading, time, warnings
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
import numpy as np

def read_proc(path, key):
    "What a file of `/proc` says after `key:`; empty where there is none"
    try: lines = Path(path).read_text().splitlines()
    except OSError: return ''
    return next((o.split(':', 1)[1].strip() for o in lines if o.startswith(key)), '')

def machine():
    "What the numbers depend on"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    ram = os.sysconf('SC_PHYS_PAGES')*os.sysconf('SC_PAGE_SIZE') if hasattr(os, 'sysconf') else 0
    return dict(date=date.today().isoformat(), cpu=read_proc('/proc/cpuinfo', 'model name') or platform.processor(), cores=cores, ram_gb=round(ram/1e9, 1),
        system=f'{platform.system()} {platform.release()}', python=platform.python_version(), load=round(os.getloadavg()[0], 1) if hasattr(os, 'getloadavg') else None,
        **{o: version(o) for o in ('torch','numpy','fastai','tsai','tsdisk')})

def describe(
    m:dict, # From `machine`
) -> str: # One line for a report
    libs = ', '.join(f'{o} {m[o]}' for o in ('python','torch','numpy','fastai','tsai','tsdisk'))
    return f"{m['date']} · {m['cpu']}, {m['cores']} cores, {m['ram_gb']} GB RAM, {m['system']}, load {m['load']} at the start · {libs}"

@contextmanager
def temp_folder(parent=None, need=2.5e9):
    "A folder that is gone at the end, also after Ctrl-C or a `kill`"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='tsdisk_bench_', dir=parent) as d:
        free = shutil.disk_usage(d).free
        if free < need: raise OSError(f"{need/1e9:.1f} GB are needed for the data, {free/1e9:.1f} GB are free: give another folder with `--tmp`")
        yield Path(d)

def make_data(
    path, # Folder to write `X.npy` and `y.npy` to
    shape, # (n, vars, steps) of `X`
) -> Path: # The folder
    "float32 noise whose first value is the row number, and integer labels: the row number modulo 10"
    from tsdisk.disk.arrays import create_array
    path,n,k = Path(path),shape[0],1000
    block = np.random.default_rng(0).standard_normal((k, *shape[1:]), np.float32)
    with create_array(path/'X.npy', shape) as X, create_array(path/'y.npy', (n,), 'int64') as y:
        for i in range(0, n, k):
            rows = np.arange(i, min(i+k, n))
            block[:len(rows),0,0] = rows
            X.append(block[:len(rows)])
            y.append(rows%10)
    return path

def open_data(path): return tuple(np.load(Path(path)/f'{o}.npy', mmap_mode='r') for o in 'Xy')

def _serve(conn, start_method, make, args):
    "Answer calls to what `make(*args)` returns until there are no more"
    mp.set_start_method(start_method, force=True) # For the workers of loaders: the default of the system again
    warnings.simplefilter('ignore')
    sys.stdout = open(os.devnull, 'w') # No progress bars
    f = make(*args)
    conn.send(None)
    while (call := conn.recv()) is not None: conn.send(f(*call))

class Worker:
    "A fresh process that measures one thing, undisturbed by what the others import, patch or leave in memory"
    def __init__(self,
        make, # Called once in that process; returns the function to call
        *args,
    ):
        self.conn,there = mp.Pipe()
        self.process = mp.get_context('spawn').Process(target=_serve, args=(there, mp.get_start_method(), make, args))
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) # Ctrl-C is for the parent, which ends the others
        self.process.start()
        signal.signal(signal.SIGINT, before)
        there.close()

    def result(self):
        try: return self.conn.recv()
        except EOFError: raise RuntimeError("A measuring process ended early: its own error stands above") from None

    def __call__(self, *args):
        self.conn.send(args)
        return self.result()
    def stop(self):
        try: self.conn.send(None)
        except OSError: pass
        self.process.join(10)
        if self.process.is_alive(): self.process.terminate()

@contextmanager
def workers(**makes):
    "A `Worker` for each name, all started at once and ready"
    os.environ['PYTHONWARNINGS'] = 'ignore'
    ws = {}
    try:
        for k,v in makes.items(): ws[k] = Worker(*v)
        for o in ws.values(): o.result()
        yield ws
    except BaseException:
        for o in ws.values(): o.process.terminate()
        raise
    finally:
        for o in ws.values(): o.stop()

def cpu_ticks():
    "(busy, all) ticks of all cores since the start of the machine; zeros where the system does not tell"
    t = [int(o) for o in (Path('/proc/stat').read_text().split('\n')[0].split()[1:9] if Path('/proc/stat').exists() else [0]*8)]
    return sum(t)-t[3]-t[4], sum(t)

class Quiet:
    "Waits until other programs leave the processor alone, and notes in `seen` which share they used"
    def __init__(self,
        budget:float, # Seconds of waiting in all
        most:float=0.1, # Share of the processor that others may use
    ): self.budget,self.most,self.seen = budget,most,[]

    def wait(self):
        while True:
            (a,b),_,(c,d) = cpu_ticks(), time.sleep(0.06), cpu_ticks()
            share = (c-a)/max(1, d-b)
            if share <= self.most or self.budget <= 0: return self.seen.append(round(share, 2))
            self.budget -= 0.06

def io_read():
    "Bytes read from disk so far by this process, by worker processes that ended (the system adds theirs) and by those there are"
    return sum(int(read_proc(f'/proc/{i}/io', 'read_bytes') or 0) for i in ['self', *(o.pid for o in mp.active_children())])

def private_mb():
    "Private memory of this process in MB (`RssAnon`): what cannot be given back as page cache can"
    return int((read_proc('/proc/self/status', 'RssAnon') or '0').split()[0])/1e3*1.024

@contextmanager
def peak_private():
    "A list whose last item is, at the end, the most private memory in use meanwhile, in MB"
    found,done = [private_mb()],threading.Event()
    def watch():
        while not done.wait(0.002): found[0] = max(found[0], private_mb())
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try: yield found
    finally:
        done.set()
        thread.join()
        found[0] = max(found[0], private_mb())

@contextmanager
def memory_limit(nbytes):
    "A memory control group, as the folder in which to write a process number to `cgroup.procs`; None where there is no right to make one"
    v1,v2 = Path('/sys/fs/cgroup/memory'),Path('/sys/fs/cgroup')
    parent,knob = (v1,'memory.limit_in_bytes') if (v1/'memory.limit_in_bytes').exists() else (v2,'memory.max')
    group = parent/f'tsdisk_{os.getpid()}'
    try:
        group.mkdir()
        (group/knob).write_text(str(int(nbytes)))
    except OSError: group = None
    try: yield group
    finally:
        for _ in range(50):
            try:
                if group: group.rmdir()
                break
            except OSError: time.sleep(.1) # Its processes are still ending

@contextmanager
def read_ahead(path, kib):
    "Another read-ahead of the disk for the time being, if `kib` is not None; False where there is no right to set it"
    dev = os.stat(path).st_dev
    knob = Path(f'/sys/class/bdi/{os.major(dev)}:{os.minor(dev)}/read_ahead_kb')
    try:
        before = knob.read_text()
        if kib is not None: knob.write_text(str(kib))
    except OSError: return (yield kib is None)
    try: yield True
    finally:
        if kib is not None: knob.write_text(before)

def drop_cache(path):
    "Let go of the cached pages of a file"
    with open(path, 'rb') as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

def seconds(f, least=0.):
    "Seconds of one call; the mean of as many calls as take `least` seconds"
    start,n = time.perf_counter(),0
    while True:
        f()
        n += 1
        took = time.perf_counter()-start
        if took >= least: return took/n

def med(o): return median(o) if len(o) else float('nan')

def md_table(
    rows, # Lists of cells; the first is the header
    left:int=1, # Columns of text, aligned left; the others hold numbers
) -> str: # Markdown
    head,*rows = [[str(c) for c in r] for r in rows]
    line = lambda r: '| ' + ' | '.join(r) + ' |'
    return '\n'.join(map(line, [head, ['---' if i < left else '---:' for i in range(len(head))], *rows]))

# The frame of a benchmark

def arguments(doc, quick, rounds, disk):
    "The arguments that benchmarks have; `rounds` of all, and with --quick"
    p = argparse.ArgumentParser(description=doc)
    p.add_argument('--quick', action='store_true', help=quick)
    p.add_argument('--rounds', type=int, help='rounds of each measurement: {}, or {} with --quick'.format(*rounds))
    p.add_argument('--tmp', help=f'where to put up to {disk} GB of data for the time being')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the results')
    args = p.parse_args()
    args.rounds,args.start = args.rounds or rounds[args.quick], time.time()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return args

def keep(args, name, res, report):
    "Write and print what came out"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out/f'{name}.json').write_text(json.dumps(res, indent=1))
    (args.out/f'{name}.md').write_text(report)
    print(report)
    print(f'Took {time.time()-args.start:.0f} s; see {args.out}/{name}.md and .json')
