"Writers in child processes that are killed, or whose calls fail, at their n-th change of a file"
import os, pickle, re, shutil, signal, sys
from pathlib import Path

changes = {'os.rename','os.remove','os.rmdir','os.mkdir','os.truncate','os.link','os.symlink'} # Audit events of changes; `open` for writing is another

class Calls:
    "Counts the changes of files below a folder in this process, and acts at one of them"
    def __init__(self, root, target, act):
        self.root,self.target,self.act = str(root),target,act
        self.n,self.log = 0,[]
        self.write = os.pwritev
        sys.addaudithook(self.heard)
        os.pwritev,os.fsync = self.pwritev,self.fsync

    def __call__(self, what, path, half=None):
        if not str(path).startswith(self.root): return
        self.n += 1
        self.log.append((what, str(path)))
        if self.n == self.target: self.act(half, what, path)

    def heard(self, event, args):
        if event == 'open':
            path,_,flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, (str,os.PathLike)): self('open', path)
        elif event == 'rows': self('write', args[0]) # By a library, as a test announces
        elif event in changes: self(event, self.path_of(args))

    def path_of(self, args):
        "The path of a call, which may be relative to an open folder"
        path,fd = args[0],args[-1]
        if isinstance(path, int): return os.readlink(f'/proc/self/fd/{path}')
        inside = isinstance(fd, int) and fd > 2 and not os.path.isabs(path)
        return os.path.join(os.readlink(f'/proc/self/fd/{fd}'), path) if inside else path

    def pwritev(self, fd, data, at, *flags):
        write = lambda: self.write(fd, [memoryview(data[0])[:len(data[0])//2]], at)
        self('write', os.readlink(f'/proc/self/fd/{fd}'), write)
        return self.write(fd, data, at, *flags)

    def fsync(self, fd):
        "Count a sync; a kill loses nothing that was not synced, so the disk need not be waited for"
        self('fsync', os.readlink(f'/proc/self/fd/{fd}'))

def kill(half, *_):
    "End this process at once, in the middle of a write"
    if half: half()
    os.kill(os.getpid(), signal.SIGKILL)

def refuse(code):
    "Fail with an error of the system, which names the file of calls that are given a path"
    def fail(half, what, path): raise OSError(code, os.strerror(code), *[path][:what not in ('write','fsync')])
    return fail

def run(write, root, target=-1, act=kill, calls=Calls):
    "Run `write()` in a child that acts at its change number `target`; (exit status, log of changes, error or None)"
    r,w = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid: _child(write, calls, root, target, act, w)
    os.close(w)
    with open(r, 'rb') as f: sent = f.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, *(pickle.loads(sent) if sent else ([], None))

def _child(write, calls, root, target, act, w):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    error = None
    try:
        import torch
        torch.set_num_threads(1)
        calls = calls(root, target, act)
        try: write()
        except BaseException as e: error = type(e).__name__, str(e)
        calls.target = -1
        with open(w, 'wb') as f: f.write(pickle.dumps((calls.log, error)))
    finally: os._exit(0)

def files_in(folder):
    "Names of all files and folders, without the tags of generations"
    names = (str(o.relative_to(folder)) for o in Path(folder).rglob('*'))
    return sorted(re.sub(r'\.[0-9a-f]{8}(?=\.|$)', '', o) for o in names if not o.endswith('ragged.json'))

def copy(old, new):
    "Replace a folder by a copy of another"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(old, new)

def points(n, most):
    "At most so many of the numbers 1 to n, evenly spread"
    k = min(n, most)
    return sorted({1 + i*(n-1)//max(1, k-1) for i in range(k)})

def begun(work, prepare):
    "Two folders: what a writer begins with, and a copy that it may change"
    start,at = work/'start',work/'at'
    start.mkdir()
    prepare(start)
    copy(start, at)
    return start,at

def check_kills(work, prepare, write, read, most):
    "Kill a writer at some of its changes: after each, readers see the old state or the new one, and a rerun ends as if nothing had happened; how many were tried"
    start,at = begun(work, prepare)
    old = _seen(read, at)
    status,log,error = run(lambda: write(at), at)
    assert (status, error) == (0, None), (status, error)
    new,left = _seen(read, at),files_in(at)
    assert old != new, 'the writer changes nothing'
    tried = points(len(log), most)
    assert tried, 'no change was seen'
    for k in tried:
        copy(start, at)
        status,_,_ = run(lambda: write(at), at, k)
        where = f'change {k} of {len(log)}, {log[k-1][0]} {Path(log[k-1][1]).relative_to(at)}'
        assert status == -signal.SIGKILL, f'{where}: no kill'
        assert _seen(read, at) in (old, new), f'{where}: neither old nor new, but {_seen(read, at)!r:.300}'
        if _seen(read, at) == new and {*files_in(at)} - {'.lock'} == {*left}: continue # It had done all, but for its lock
        status,_,error = run(lambda: write(at), at)
        assert not error, f'{where}: the rerun fails: {error}'
        assert _seen(read, at) == new, f'{where}: the rerun ends as {_seen(read, at)!r:.300}'
        assert files_in(at) == left, f'{where}: left over {sorted({*files_in(at)} ^ {*left})}'
    return len(tried)

def _seen(read, at):
    "What a reader sees; None where there is nothing to see"
    try: return read(at)
    except FileNotFoundError: return None

def check_synced(log, at):
    "Was every file synced after its last change, before it got its name? The names of those that were not"
    dirty,bad = set(),[]
    for what,path in log:
        if what in ('open','write') and not path.endswith('.lock'): dirty.add(path)
        if what == 'fsync': dirty.discard(path)
        if what == 'os.rename' and path in dirty: bad.append(path)
    return bad
