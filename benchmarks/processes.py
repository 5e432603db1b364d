"Processes to measure in, others that keep the machine busy meanwhile, and what they use of it"
import ctypes, multiprocessing as mp, os, signal, subprocess, sys, threading, time, warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
import numpy as np

# What the system says

def read_proc(path, key):
    "What a file of `/proc` says after `key:`; empty where there is none"
    try: lines = Path(path).read_text().splitlines()
    except OSError: return ''
    return next((o.split(':', 1)[1].strip() for o in lines if o.startswith(key)), '')

def cpu_ticks():
    "(busy, all) ticks of all cores since the start of the machine; zeros where the system does not tell"
    t = [int(o) for o in (Path('/proc/stat').read_text().split('\n')[0].split()[1:9] if Path('/proc/stat').exists() else [0]*8)]
    return sum(t)-t[3]-t[4], sum(t)

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

# A process for each contestant

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

def limited(group, path):
    "A function that calls others with the folder, within a memory control group if there is one"
    if group: (Path(group)/'cgroup.procs').write_text(str(os.getpid()))
    import torch
    import_module('tsdisk.data.loaders')
    torch.index_select(torch.zeros(9, 9), 0, torch.tensor([1]))
    return lambda f, *args: f(path, *args)

class Again:
    "A `Worker` that is started again when the system ended it for taking too much memory; the answer is then `{}`"
    def __init__(self, *args): self.args,self.worker = args,None
    def __enter__(self): return self
    def __exit__(self, *_):
        if self.worker: self.worker.stop()

    def __call__(self, *args):
        if self.worker is None:
            self.worker = Worker(*self.args)
            self.worker.result()
        try: return self.worker(*args)
        except (RuntimeError, OSError):
            self.worker.process.join(10)
            if self.worker.process.exitcode != -signal.SIGKILL: raise
            self.worker = None
            return {}

# Other programs

class Busy:
    "Processes of plain Python that keep a core busy each; they end with this one, however it ends"
    code = """
import ctypes, os, sys
if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9) # PR_SET_PDEATHSIG: the system ends it with its parent
if os.getppid() != int(sys.argv[1]): sys.exit()           # which was ended before that
while True: pass
"""
    def __init__(self): self.processes = []

    def run(self, n):
        "Let n of them run"
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(self.processes) < n: self.processes.append(subprocess.Popen([sys.executable, '-S', '-c', self.code, str(os.getpid())], **quiet))
        while len(self.processes) > n:
            o = self.processes.pop()
            o.kill()
            o.wait()

    @contextmanager
    def paused(self):
        "None of them runs"
        for o in self.processes: o.send_signal(signal.SIGSTOP)
        try: yield
        finally:
            for o in self.processes: o.send_signal(signal.SIGCONT)

class Quiet:
    "Waits until programs other than the busy processes leave the processor alone, and notes in `seen` which share they used"
    def __init__(self,
        busy:Busy, # Paused meanwhile
        budget:float, # Seconds of waiting in all
        most:float=0.1, # Share of the processor that others may use
    ): self.busy,self.budget,self.most,self.seen = busy,budget,most,[]

    def share(self, secs=0.06):
        "Share of the processor in use"
        before,all_before = cpu_ticks()
        time.sleep(secs)
        after,all_after = cpu_ticks()
        self.budget -= secs
        return (after-before)/max(1, all_after-all_before)

    def wait(self):
        with self.busy.paused():
            while (share := self.share()) > self.most and self.budget > 0: pass
        self.seen.append(round(share, 2))

# Limits and the disk

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

def read_ahead_knob(path):
    "The file of the system that holds the read-ahead of a disk, in KiB"
    dev = os.stat(path).st_dev
    return Path(f'/sys/class/bdi/{os.major(dev)}:{os.minor(dev)}/read_ahead_kb')

def read_ahead_now(path):
    "The read-ahead of a disk in KiB; None where the system does not tell"
    try: return int(read_ahead_knob(path).read_text())
    except OSError: return None

@contextmanager
def read_ahead(path, kib):
    "Another read-ahead of the disk for the time being, if `kib` is not None; False where there is no right to set it"
    knob = read_ahead_knob(path)
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

def touch_memory():
    "Use as much memory as shuffle buffers take, and let go of it: a virtual machine may have to get it back from its host first"
    np.empty(2**29, np.uint8)[::4096] = 1

def keep_memory():
    "Let this process keep what it frees, with the GNU C library, and have as much as shuffle buffers take from the start"
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if sys.platform == 'linux' else None
    if mallopt:
        mallopt(-4, 0)       # M_MMAP_MAX: large arrays come from the heap, too
        mallopt(-1, 2**31-1) # M_TRIM_THRESHOLD: whose end isn't given back
    touch_memory()

# Times

def seconds(f, least=0.):
    "Seconds of one call; the mean of as many calls as take `least` seconds"
    start,n = time.perf_counter(),0
    while True:
        f()
        n += 1
        took = time.perf_counter()-start
        if took >= least: return took/n

def timed(f):
    "Seconds of a call, and the private memory that it takes at most beyond what was in use before, in MB"
    with peak_private() as peak:
        before = peak[0]
        took = seconds(f)
    return took, peak[0]-before
