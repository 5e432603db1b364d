"After a power cut at any moment, whatever the disk had not synced: the old dataset or the new one, whole"
import os, shutil, sys
from pathlib import Path
import pytest
from kills import Calls, points, run
from test_kills import dataset_or_none, writers

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the changes of a process are seen on Linux')
most = 800 if os.environ.get('TSDISK_LONG_TESTS') else 60 # States of each writer

# The log: what was made, written, synced, renamed and removed, found by a look at all files before each call

def files_below(root):
    "Inode of each file by its path, folders, and the bytes of each inode"
    found = {o.relative_to(root).as_posix(): o for o in Path(root).rglob('*') if o.name != '.lock'}
    inodes = {k: o.stat().st_ino for k,o in found.items() if o.is_file()}
    return inodes, {k for k,o in found.items() if o.is_dir()}, {inodes[k]: found[k].read_bytes() for k in inodes}

class Recorder(Calls):
    "Logs the calls of a process that change files below a folder, with what was written between them"
    def __init__(self, root, *args):
        self.looking = True
        self.inodes,_,self.bytes = files_below(root)
        super().__init__(root, *args)
        self.looking = False

    def heard(self, event, args):
        if self.looking or event not in ('os.rename','os.remove','os.rmdir','os.mkdir','os.link','rows'): return
        has_two = event in ('os.rename','os.link')
        path = self.path_of((args[0], *args[2:])) if has_two else self.path_of(args)
        if not path.startswith(self.root): return
        self.look()
        if event == 'rows': return
        paths = [self.inside(o) for o in ((path, args[1]) if has_two else (path,))]
        self.log.append((event[3:], *paths))
        if event not in ('os.rename','os.remove'): return
        inode = self.inodes.pop(paths[0], None) # A file may be made with the number of one that is gone
        if inode and has_two: self.inodes[paths[1]] = inode

    def inside(self, path): return os.path.relpath(path, self.root)
    def pwritev(self, *args): return self.write(*args)
    def fsync(self, fd):
        path = os.readlink(f'/proc/self/fd/{fd}')
        if not path.startswith(self.root): return
        self.look()
        self.log.append(('sync_folder', self.inside(path)) if os.path.isdir(path) else ('sync', os.fstat(fd).st_ino))

    def look(self):
        "Log files that are new, and bytes that were written, since the last look"
        self.looking = True
        inodes,_,data = files_below(self.root)
        known = {*self.inodes.values()}
        for k,i in inodes.items():
            if i not in known: self.log.append(('make', k, i))
        for i,o in data.items():
            if self.bytes.get(i) != o or i not in known: self.log.append(('write', i, o))
        self.inodes,self.bytes = inodes,data
        self.looking = False

# The disk after a power cut

class Disk:
    "Files in memory, on which a log is played"
    def __init__(self, files, folders, data):
        self.files,self.folders,self.bytes = dict(files),{*folders,'.'},dict(data)
        self.synced = dict(self.bytes)

    def play(self, call):
        name,*args = call
        getattr(self, name, lambda *_: None)(*args)

    def make(self, path, inode):
        if parent(path) in self.folders: self.files[path] = inode
        self.bytes[inode] = b''
        self.synced.pop(inode, None) # Of a removed file with this number
    def write(self, inode, data): self.bytes[inode] = data
    def sync(self, inode): self.synced[inode] = self.bytes.get(inode, b'')
    def remove(self, path): self.files.pop(path, None)
    def mkdir(self, path): self.folders |= {path} if parent(path) in self.folders else set()
    def rmdir(self, path):
        is_empty = not any(o.startswith(f'{path}/') for o in (*self.files, *self.folders))
        if is_empty and path != '.': self.folders -= {path}
    def link(self, old, new):
        if old in self.files: self.files[new] = self.files[old]
    def rename(self, old, new):
        if old in self.files: self.files[new] = self.files.pop(old)
        if old not in self.folders: return
        moved = lambda o: new + o[len(old):] if o == old or o.startswith(f'{old}/') else o
        self.files = {moved(k): v for k,v in self.files.items()}
        self.folders = {moved(o) for o in self.folders}

    def content(self, inode, lost):
        "The bytes of a file, of which those that were not synced are there, lost, or zeros"
        now,synced = self.bytes[inode],self.synced.get(inode, b'')
        if not lost: return now
        return synced if lost == 'lost' else synced[:len(now)] + bytes(max(0, len(now)-len(synced)))

    def save(self, root, lost):
        for o in sorted(self.folders): (root/o).mkdir(parents=True, exist_ok=True)
        for k,i in self.files.items():
            if parent(k) in self.folders: (root/k).write_bytes(self.content(i, lost))

def parent(path): return os.path.dirname(path) or '.'
names,two = ('make','rename','remove','mkdir','rmdir','link'),('rename','link')

def unsynced(log):
    "Numbers of the changes of names that no sync of their folder followed, nor that of a folder to which the file was renamed"
    res = []
    for i,(name,*args) in enumerate(log):
        if name == 'sync_folder':
            done = [log[j] for j in res if parent(log[j][-1 if log[j][0] in two else 1]) == args[0]]
            moved = [o[1] for o in done if o[0] == 'rename']
            res = [j for j in res if log[j] not in done and not (log[j][0] in ('make','mkdir') and holds(log[j][1], moved))]
        if name in names: res.append(i)
    return res

def holds(path, others): return any(o == path or o.startswith(f'{path}/') for o in others)

def power_cuts(log):
    "(number of calls that were made, calls that were dropped, what became of bytes that were not synced) of each power cut"
    for k in range(len(log)+1):
        loose = unsynced(log[:k])
        dropped = dict.fromkeys([(), tuple(loose), *((o,) for o in loose)]) # None, all, each; one by one from the end:
        dropped |= dict.fromkeys(tuple(loose[i:]) for i in range(len(loose)))
        for o in dropped:
            for lost in ('','lost','zeros'): yield k,o,lost

def after(start, log, cut, at):
    "Make the folder that a power cut leaves"
    k,dropped,lost = cut
    disk = Disk(*start)
    for i,o in enumerate(log[:k]):
        if i not in dropped: disk.play(o)
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    disk.save(at, lost)

cases = {k: v for k,v in writers.items() if not k.startswith('preds')} # These are whole once all rows are there

@pytest.mark.parametrize('name', cases)
def test_a_power_cut_leaves_the_old_or_the_new(name, tmp_path):
    prepare,write,read = cases[name]
    at,cut = tmp_path/'at',tmp_path/'cut'
    at.mkdir()
    prepare(at)
    old,start = dataset_or_none(read, at),files_below(at)
    _,log,error = run(lambda: (write(at), sys.audit('rows', str(at))), at, calls=Recorder)
    assert not error, error
    new,cuts = dataset_or_none(read, at),[*power_cuts(log)]
    assert old != new and cuts
    for i in points(len(cuts), most):
        after(start, log, cuts[i-1], cut)
        k,dropped,lost = cuts[i-1]
        where = f'call {k} of {len(log)}, {log[k-1][:3]!r:.100}, without {[log[o] for o in dropped]!r:.300}, bytes {lost or "kept"}'
        seen = dataset_or_none(read, cut)
        assert seen in (old, new), f'{where}: {seen!r:.300}'
        assert k < len(log) or seen == new, f'{where}: what was done is gone'

def test_the_disk_of_the_tests_loses_what_is_not_synced(tmp_path):
    "Else the test above could not fail"
    (tmp_path/'at').mkdir()
    def write(sync):
        with open(tmp_path/'at/a.tmp', 'w') as f:
            f.write('new')
            f.flush()
            if sync: os.fsync(f.fileno())
        os.replace(tmp_path/'at/a.tmp', tmp_path/'at/a')
    def states(sync):
        (tmp_path/'at/a').write_text('old')
        start = files_below(tmp_path/'at')
        _,log,_ = run(lambda: (write(sync), sys.audit('rows', str(tmp_path/'at'))), tmp_path/'at', calls=Recorder)
        for cut in power_cuts(log):
            after(start, log, cut, tmp_path/'cut')
            yield (tmp_path/'cut/a').read_text()
    assert {*states(sync=True)} == {'old','new'}
    assert {*states(sync=False)} == {'old','new','','\0\0\0'}

@pytest.mark.parametrize('write', ['array','folder','hdf5','parquet','checkpoint'])
def test_new_folders_survive(write, tmp_path, monkeypatch):
    "Each folder that is made, and those above it, is synced into the one that it lies in"
    import numpy as np
    from fastai.basics import Learner, nn
    from tsdisk.all import Checkpoint, TSDataLoaders, save_array, save_folder, to_hdf5, to_parquet
    X,path = np.zeros((4,2,3), 'f4'),tmp_path/'a'/'b'/'c'
    def checkpoint():
        dls = TSDataLoaders.from_arrays(X, np.zeros(4, 'f4'), splits=[range(3), range(3, 4)], bs=2, seed=1, device='cpu')
        learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(6, 1)), path=tmp_path, model_dir='a/b/c')
        with learn.no_bar(), learn.no_logging(): learn.fit(1, cbs=Checkpoint('fit'))
    save_folder(tmp_path/'given', X)
    writes = dict(array=lambda: save_array(path/'X.npy', X), folder=lambda: save_folder(path, X), checkpoint=checkpoint,
        hdf5=lambda: to_hdf5(tmp_path/'given', path/'X.h5'), parquet=lambda: to_parquet(tmp_path/'given', path/'X.parquet'))
    synced,fsync = [],os.fsync
    def noted(fd):
        synced.append(os.readlink(f'/proc/self/fd/{fd}'))
        fsync(fd)
    monkeypatch.setattr(os, 'fsync', noted)
    writes[write]()
    assert path.is_dir() and {str(o) for o in (tmp_path, tmp_path/'a', tmp_path/'a'/'b')} <= {*synced}
