"A conversion resumes after kills, interrupts and full disks"
import errno, os, random, shutil, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.disk.arrays import save_array
from tsdisk.folder.checks import verify
from tsdisk.convert import growing_npy
from tsdisk.convert.column_files import column_types
from tsdisk.convert.journal import Writer
from tsdisk.convert.convert import append, convert
from tsdisk.convert.inputs import Inputs
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder
from conversion import same, same_files, of_length, as_item, X, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Kills

class Killer:
    "Ends the process at one of the calls that change the disk"
    def __init__(self, at): self.at,self.n = at,0
    def step(self):
        self.n += 1
        if self.n == self.at: os._exit(9)
    def install(self):
        from tsdisk.convert import growing_npy
        from tsdisk.convert import journal as c
        c.note_every = 0
        for k in ('replace','fsync','mkdir','unlink','rmdir'):
            f = getattr(os, k)
            setattr(os, k, lambda *a, f=f, **kw: (self.step(), f(*a, **kw), self.step())[1])
        write = growing_npy.Growing.write
        def torn(s, data):
            self.step()
            if self.n+1 == self.at: data = memoryview(data).cast('B')[:len(memoryview(data).cast('B'))//2]
            if self.n+1 == self.at:
                growing_npy.write_at(s.file, data, s.start+s.sums.size)
                os._exit(9)
            write(s, data)
        growing_npy.Growing.write = torn
        take = c.Writer.take
        def noted(s, *args):
            take(s, *args)
            self.step()
        c.Writer.take = noted

def in_child(f, at):
    "Run a function in a child that ends itself at step `at`; its exit status, and the steps it made"
    r,w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            k = Killer(at)
            k.install()
            os.close(r)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            f()
            os.write(w, str(k.n).encode())
            os._exit(0)
        except BaseException as e:
            os.write(2, repr(e).encode())
            os._exit(1)
    os.close(w)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with os.fdopen(r) as o: return status, int(o.read() or 0)

each_layout = pytest.mark.parametrize('read,kwargs', [(None, {}), (as_item, {}), (None, dict(layout='shards'))], ids=column_types)
needs_fork = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs os.fork')
def groups_of_two(monkeypatch): # Many groups, so that a kill finds some done
    made = Inputs.groups
    def small(*args, **kwargs):
        for k,group in made(*args, **kwargs):
            for i in range(0, len(group), 2): yield k+i, group[i:i+2]
    monkeypatch.setattr(Inputs, 'groups', small)

@needs_fork
@each_layout
def test_a_conversion_killed_at_any_point_resumes_to_the_same_result(raw, tmp_path, monkeypatch, read, kwargs):
    groups_of_two(monkeypatch)
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 5000)
    go = lambda dst: convert(raw, tmp_path/dst, read=read, label='folder', n_workers=0, **kwargs)
    status,steps = in_child(lambda: go('whole'), -1)
    assert status == 0 and steps > 100
    # The last steps are those that rename files into place
    points = sorted({*random.Random(0).sample(range(1, steps), 14), *range(steps-9, steps+1)})
    for at in points:
        dst = tmp_path/f'k{at}'
        assert in_child(partial(go, dst.name), at)[0] == 9
        if not (dst/'tsdisk.json').exists():
            with expect_fail(FileNotFoundError): open_folder(dst)
        go(dst.name)
        assert same(tmp_path/'whole', dst), at
        shutil.rmtree(dst)

@needs_fork
def test_a_conversion_killed_twice_is_done_the_third_time(tmp_path):
    np.save(tmp_path/'X.npy', np.zeros((4,2,9)))
    go = lambda: convert(tmp_path/'X.npy', dst, n_workers=0)
    for first in range(1, 9):
        for second in range(1, 9):
            dst = tmp_path/f'{first}_{second}'
            assert [in_child(go, at)[0] for at in (first,second)] == [9,9]
            go()
            assert verify(dst) == [] and not [o for o in os.listdir(dst) if o.startswith('.convert')], (first,second)

def test_every_writer_finishes_a_removal(tmp_path):
    (tmp_path/'set/.convert.gone/made').mkdir(parents=True)
    save_folder(tmp_path/'set', np.zeros((4,2,9)))
    assert not (tmp_path/'set/.convert.gone').exists()

@needs_fork
def test_a_conversion_that_fails_at_once_may_be_killed_amid_its_removal(tmp_path):
    np.save(tmp_path/'X.npy', np.zeros((4,2,9)))
    bad = tmp_path/'bad'
    def read(path):
        if bad.exists() and dst.joinpath('.convert/journal.jsonl').exists(): raise ValueError('mine')
        return np.load(path)[0]
    go = lambda: convert(tmp_path/'X.npy', dst, read=read, n_workers=0)
    killed = 0
    for at in count(1):
        dst = tmp_path/f'{at}'
        bad.touch()
        if in_child(go, at)[0] == 1: break # It failed before that many steps
        killed += 1
        bad.unlink()
        go()
        assert verify(dst) == [], at
    assert killed > 20

@needs_fork
@each_layout
def test_a_conversion_whose_first_inputs_are_left_out_resumes(tmp_path, monkeypatch, read, kwargs):
    groups_of_two(monkeypatch)
    raw = write_raw(tmp_path/'raw')
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))][:12]
    def some(path):
        if path in paths[:6]: raise ValueError('mine')
        return np.load(path) if read is None else read(path)
    go = lambda dst: convert(paths, tmp_path/dst, read=some, on_error='skip', n_workers=0, **kwargs)
    steps = in_child(lambda: go('whole'), -1)[1]
    for at in range(1, steps, 3):
        assert in_child(partial(go, f'k{at}'), at)[0] == 9
        go(f'k{at}')
        assert same(tmp_path/'whole', tmp_path/f'k{at}'), at

@needs_fork
@each_layout
def test_a_killed_append_leaves_the_old_rows_and_resumes(raw, tmp_path, monkeypatch, read, kwargs):
    groups_of_two(monkeypatch)
    monkeypatch.setattr('tsdisk.convert.column_files.shard_bytes', 5000)
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:40], tmp_path/'base', read=read, n_workers=0, **kwargs)
    more = lambda dst: append(tmp_path/dst, paths[40:], read=read, n_workers=0)
    shutil.copytree(tmp_path/'base', tmp_path/'whole')
    status,steps = in_child(lambda: more('whole'), -1)
    assert status == 0 and verify(tmp_path/'whole') == []
    both = open_folder(tmp_path/'whole')[0]['X']
    assert len(both) == 60 and np.array_equal(both[59], (np.load(paths[59]) if read is None else of_length(paths[59])))
    for at in sorted({*random.Random(1).sample(range(1, steps), 12), *range(steps-9, steps+1)}):
        dst = tmp_path/f'k{at}'
        shutil.copytree(tmp_path/'base', dst)
        before = open_folder(dst)[0]['X'][3].copy()
        assert in_child(partial(more, dst.name), at)[0] == 9
        x = open_folder(dst)[0]['X']
        assert len(x) in (40,60) and np.array_equal(x[3], before) and verify(dst) == []
        more(dst.name)
        assert same(tmp_path/'whole', dst), at
        shutil.rmtree(dst)

program = '''
import time, numpy as np
from tsdisk.convert.convert import convert
def slow(p):
    time.sleep(.01)
    return np.load(p), int(p[-7:-4])
convert({raw!r}, {dst!r}, read=slow, n_workers=2)
'''

def linked(raw, folder, n):
    "Paths of all files, in n folders"
    for k in range(n): shutil.copytree(raw, folder/f'raw{k}', copy_function=os.link)
    return [str(folder/f'raw{k}'/o.relative_to(raw)) for k in range(n) for o in sorted(raw.rglob('*.npy'))]

@pytest.mark.parametrize('i', range(4))
def test_a_kill_from_outside_with_workers_loses_nothing(raw, tmp_path, i):
    dst,paths = tmp_path/'set',linked(raw, tmp_path, 6)
    code = program.format(raw=paths, dst=str(dst))
    p = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.time()+30
    while not (dst/'.convert/journal.jsonl').exists() and time.time() < until: time.sleep(.01)
    time.sleep([.1,.5,1.2,1.6][i])
    p.send_signal(signal.SIGKILL)
    p.wait()
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)
    convert(paths, tmp_path/'whole', read=lambda p: (np.load(p), int(p[-7:-4])), n_workers=0)
    assert same_files(dst, tmp_path/'whole')

# Ctrl-C, full disks and locks

def labelled(n, a=0): return [dict(X=X(i), y=i) for i in range(a, n)]
class Interrupt:
    "Raises KeyboardInterrupt at one of the calls of a function"
    def __init__(self, f, at): self.f,self.at,self.n = f,at,0
    def __call__(self, *args, **kwargs):
        self.n += 1
        if self.n == self.at: raise KeyboardInterrupt
        return self.f(*args, **kwargs)

@pytest.mark.parametrize('where', ['os.fsync','shutil.copyfileobj','tsdisk.convert.growing_npy.write_at'])
@pytest.mark.parametrize('at', [1,2,3,5,8,13,21])
def test_ctrl_c_at_any_point_loses_nothing(tmp_path, monkeypatch, where, at):
    monkeypatch.setattr('tsdisk.convert.journal.note_every', 0)
    groups_of_two(monkeypatch)
    items = labelled(60)
    convert(items, tmp_path/'whole')
    with monkeypatch.context() as m:
        owner,name = where.rsplit('.', 1)
        f = getattr(sys.modules[owner], name)
        m.setattr(where, Interrupt(f, at))
        with pytest.raises(KeyboardInterrupt): convert(items, tmp_path/'set')
    assert same(tmp_path/'whole', convert(items, tmp_path/'set'))
    arrays,_ = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'][:,0,0], np.arange(60)) and arrays['y'].tolist() == [*range(60)]

def test_an_append_interrupted_in_its_first_write_is_unfinished(tmp_path, monkeypatch):
    convert(labelled(5), tmp_path/'set')
    with monkeypatch.context() as m:
        m.setattr(shutil, 'copyfileobj', Interrupt(None, 1)) # After the rows, before what is known of them
        with pytest.raises(KeyboardInterrupt): append(tmp_path/'set', [*labelled(8)][5:])
    assert (tmp_path/'set/.convert').exists() and verify(tmp_path/'set') == []
    assert len(open_folder(tmp_path/'set')[0]['X']) == 5
    append(tmp_path/'set', [*labelled(8)][5:])
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == [*range(8)] and verify(tmp_path/'set') == []

def test_a_full_disk_is_a_clean_error_and_what_is_done_is_kept(raw, tmp_path, monkeypatch):
    write,left,paths = growing_npy.Growing.write,[3],linked(raw, tmp_path, 5)
    def full(self, data):
        if not left[0]: raise OSError(errno.ENOSPC, 'No space left on device')
        left[0] -= 1
        return write(self, data)
    monkeypatch.setattr(growing_npy.Growing, 'write', full)
    with expect_fail(OSError, 'is full. Completed work is kept'): convert(paths, tmp_path/'set', n_workers=0)
    monkeypatch.setattr(growing_npy.Growing, 'write', write)
    convert(paths, tmp_path/'set', n_workers=0)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 300 and verify(tmp_path/'set') == []

@pytest.mark.skipif(sys.platform != 'linux', reason='room is given back on Linux')
def test_a_recording_needs_its_room_on_disk_once(tmp_path, monkeypatch):
    used = lambda: sum(o.stat().st_blocks for o in tmp_path.rglob('*') if o.is_file())*512
    most,write = [0],growing_npy.Growing.write
    def seen(self, data):
        write(self, data)
        most[0] = max(most[0], used())
    monkeypatch.setattr(growing_npy.Growing, 'write', seen)
    x = np.random.default_rng(0).random((2,2**22), 'f4')
    pieces = lambda p: dict(X=(x[:,i:i+2**18] for i in range(0, 2**22, 2**18)))
    convert([str(tmp_path/'one.rec')], tmp_path/'set', read=pieces, n_workers=0)
    assert x.nbytes < most[0] < 1.4*x.nbytes, most
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'][0], x)

def test_one_writer_at_a_time(raw, tmp_path):
    from tsdisk.disk.publish import locked
    code = f"from tsdisk.convert.convert import convert; convert({str(raw)!r}, {str(tmp_path/'set')!r})"
    with locked(tmp_path/'set'):
        with expect_fail(BlockingIOError, 'being written by process'), ThreadPoolExecutor(1) as pool: pool.submit(convert, raw, tmp_path/'set').result()
        said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stderr
        assert 'BlockingIOError' in said and f'being written by process {os.getpid()} on' in said
    assert not (tmp_path/'set').exists()
    convert(raw, tmp_path/'set')
    assert not (tmp_path/'set/.lock').exists()

def test_statistics_kept_during_an_append_undo_nothing(tmp_path):
    from tsdisk.disk.publish import locked
    from tsdisk.folder.stats import train_stats
    convert(labelled(5), tmp_path/'set')
    with locked(tmp_path/'set'), ThreadPoolExecutor(1) as pool: pool.submit(train_stats, tmp_path/'set/X.npy').result() # While somebody appends
    assert 'stats' not in read_manifest(tmp_path/'set')
    train_stats(tmp_path/'set/X.npy')
    append(tmp_path/'set', [*labelled(8)][5:])
    assert 'stats' in read_manifest(tmp_path/'set') and len(open_folder(tmp_path/'set')[0]['X']) == 8
    assert verify(tmp_path/'set') == []

# Other inputs

def failing(items, at):
    for i,o in enumerate(items):
        if i == at: raise RuntimeError('the source broke')
        yield o

def test_an_iterable_resumes_only_with_the_same_records(tmp_path):
    with pytest.raises(RuntimeError): convert(failing(labelled(300), 200), tmp_path/'set')
    for other in (labelled(400, 100), labelled(10)):
        with expect_fail(ValueError, 'have changed or are gone'): convert((o for o in other), tmp_path/'set')
    convert((o for o in labelled(300)), tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == [*range(300)]
    with pytest.raises(RuntimeError): append(tmp_path/'set', failing(labelled(300), 200))
    with expect_fail(ValueError, 'have changed or are gone'): append(tmp_path/'set', (o for o in labelled(400, 100)))

def test_an_iterable_that_was_published_is_not_added_twice(tmp_path, monkeypatch):
    convert(labelled(3), tmp_path/'set')
    with monkeypatch.context() as m:
        m.setattr('tsdisk.convert.journal.Journal.publish', Interrupt(None, 1))
        with pytest.raises(KeyboardInterrupt): append(tmp_path/'set', (o for o in labelled(10)))
    with expect_fail(ValueError, 'complete except for the last steps'): append(tmp_path/'set', (o for o in labelled(10)))
    assert len(open_folder(tmp_path/'set')[0]['X']) == 13

def test_a_large_array_that_changed_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', 4096)
    save_array(tmp_path/'X.npy', np.ones((5000,2,10), 'f4'))
    with monkeypatch.context() as m:
        m.setattr('tsdisk.convert.journal.note_every', 0)
        take = Interrupt(Writer.take, 20)
        m.setattr(Writer, 'take', lambda *args: take(*args))
        with pytest.raises(KeyboardInterrupt): convert(tmp_path/'X.npy', tmp_path/'set', n_workers=0)
    save_array(tmp_path/'X.npy', np.full((5000,2,10), 7, 'f4'))
    with expect_fail(ValueError, 'have changed or are gone'): convert(tmp_path/'X.npy', tmp_path/'set', n_workers=0)
