"The workers of an executor write the same bytes as one process, and may be killed"
import os, signal, subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.convert import cluster, column_files, growing_npy
from tsdisk.convert.cluster import copy_rows
from tsdisk.convert.column_files import DenseColumn, ShardedColumn
from tsdisk.convert.convert import append, convert
from tsdisk.disk.executors import tasks_at_once
from tsdisk.disk.arrays import save_array, write_at
from tsdisk.folder.checks import crc_of_both, Sums, sums_within, verify
from tsdisk.folder.manifest import open_folder
from tsdisk.folder.stats import array_stats
from conversion import as_item, mapped, number, rec, same, same_files, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

@pytest.fixture(scope='module')
def dask_client():
    distributed = pytest.importorskip('distributed')
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:
        with distributed.Client(workers) as client: yield client

@pytest.fixture
def client(dask_client):
    dask_client.wait_for_workers(2) # One that a test killed starts again
    return dask_client

def large(p): return np.full((4,2**15), number(p), 'f4') # 512 kB: groups end within blocks of checksums

# Checksums

@pytest.mark.parametrize('cut', [0, 1, 1000, Sums.block-1, Sums.block, Sums.block+1, 2*Sums.block, 9_999_999, 10**7])
@pytest.mark.parametrize('n', [0, 1, Sums.block, 5*10**6])
def test_checksums_of_stretches_are_joined(cut, n):
    data = np.random.default_rng(0).bytes(10**7)
    whole,ours = Sums(),Sums()
    whole.add(data)
    ours.add(data[:cut])
    for part in (data[cut:cut+n], data[cut+n:]):
        theirs = sums_within(ours.size)
        theirs.add(part)
        ours.extend(theirs.crcs, len(part))
    assert (ours.crcs, ours.size) == (whole.crcs, whole.size)

def test_the_checksum_of_nothing_changes_nothing(): assert crc_of_both(12345, 0, 0) == 12345

# The same bytes

@pytest.mark.parametrize('read', [None, as_item, mapped, large])
def test_dask_writes_the_same(raw, tmp_path, client, read):
    convert(raw, tmp_path/'one', read=read, n_workers=0)
    dst = convert(raw, tmp_path/'dask', read=read, executor=client.get_executor())
    assert same(tmp_path/'one', dst) and not verify(tmp_path/'dask')

@pytest.mark.parametrize('pool', [ProcessPoolExecutor, ThreadPoolExecutor])
@pytest.mark.parametrize('read,layout', [(as_item,None), (mapped,'shards'), (large,None), (large,'shards'), (large,'ragged')])
def test_pools_write_the_same(raw, tmp_path, pool, read, layout, monkeypatch):
    monkeypatch.setattr(column_files, 'shard_bytes', 5_000_000 if read is large else 1000)
    convert(raw, tmp_path/'one', read=read, layout=layout, n_workers=0)
    with pool(3) as executor: dst = convert(raw, tmp_path/'set', read=read, layout=layout, executor=executor)
    assert same(tmp_path/'one', dst) and not verify(tmp_path/'set')

@pytest.mark.parametrize('read,layout', [(as_item,None), (mapped,None), (mapped,'shards')])
def test_an_append_writes_the_same(raw, tmp_path, read, layout, monkeypatch):
    monkeypatch.setattr(column_files, 'shard_bytes', 1000)
    src = [str(o) for o in sorted(raw.rglob('*.npy'))]
    with ThreadPoolExecutor(3) as executor:
        for name,kw in dict(one=dict(n_workers=0), set=dict(executor=executor)).items():
            convert(src[:25], tmp_path/name, read=read, layout=layout, **kw)
            old = open_folder(tmp_path/name)[0]['X']
            append(tmp_path/name, src[25:], read=read, **kw)
            assert len(old) == 25 and len(open_folder(tmp_path/name)[0]['X']) == 60
    assert same(tmp_path/'one', tmp_path/'set') and not verify(tmp_path/'set')

def test_records_in_memory_are_written_the_same(tmp_path):
    convert((rec(i) for i in range(99)), tmp_path/'one')
    with ThreadPoolExecutor(3) as executor: assert same(tmp_path/'one', convert((rec(i) for i in range(99)), tmp_path/'set', executor=executor))

def test_the_calling_process_writes_no_rows(raw, tmp_path, monkeypatch):
    def write(file, data, at, keep=True):
        assert at == 0 or len(memoryview(data).cast('B')) < 2**16, 'Rows pass through the calling process'
        write_at(file, data, at, keep)
    monkeypatch.setattr(growing_npy, 'write_at', write)
    with ThreadPoolExecutor(2) as executor: dst = convert(raw, tmp_path/'set', read=large, executor=executor)
    assert len(open_folder(dst)[0]['X']) == 60

def test_dask_counts_the_same(tmp_path, client):
    x = save_array(tmp_path/'X.npy', np.random.default_rng(0).normal(size=(3000,3,200)))
    assert array_stats(x, executor=client.get_executor()) == array_stats(x)

# Faults

def some_fail(p):
    if number(p) in (7,33): raise ValueError('unreadable')
    return mapped(p)

def test_faulty_inputs_are_skipped_or_stop(raw, tmp_path):
    src = [str(o) for o in sorted(raw.rglob('*.npy'), key=number)]
    convert(src, tmp_path/'one', read=some_fail, on_error='skip', n_workers=0)
    with ThreadPoolExecutor(3) as executor:
        assert same(tmp_path/'one', convert(src, tmp_path/'skip', read=some_fail, on_error='skip', executor=executor))
        with expect_fail(ValueError, 'Done and kept: 7 inputs before it'): convert(src, tmp_path/'set', read=some_fail, executor=executor)
        assert same(tmp_path/'one', convert(src, tmp_path/'set', read=some_fail, on_error='skip', executor=executor))

def test_an_error_waits_for_copies_in_progress(raw, tmp_path):
    running,most = [],[]
    def slow(*args):
        running.append(args)
        most.append(len(running))
        time.sleep(.3)
        try: return copy_rows(*args)
        finally: running.pop()
    class Slow(ThreadPoolExecutor):
        def submit(self, f, *args): return super().submit(slow if f is copy_rows else f, *args)
    src = [str(o) for o in sorted(raw.rglob('*.npy'), key=number)]
    with Slow(4) as executor:
        with expect_fail(MemoryError): convert(src, tmp_path/'set', read=no_memory, executor=executor)
        assert most and not running

def no_memory(p):
    if number(p) == 33: raise MemoryError
    return mapped(p)

# Kills

def once(path, what):
    "Kill this process, the first time it comes here"
    mark = Path(path).with_suffix(f'.{what}')
    if mark.exists(): return
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)

def dies(p):
    if number(p) in (20,41): once(p, 'died')
    return large(p)

@pytest.mark.parametrize('layout', ['dense','shards'])
def test_what_a_killed_worker_of_dask_was_reading_is_read_by_another(raw, tmp_path, client, layout):
    convert(raw, tmp_path/'one', read=large, layout=layout, n_workers=0)
    dst = convert(raw, tmp_path/'set', read=dies, layout=layout, executor=client.get_executor())
    assert same_files(tmp_path/'one', dst) and not verify(dst) and len([*raw.rglob('*.died')]) == 2

def die_while_copying(mark):
    "In a worker of dask: the next copy ends in the middle of a write"
    def write(file, data, at, keep=True):
        write_at(file, data[:len(data)//2], at, keep)
        once(mark, 'died')
        write_at(file, data, at, keep)
    cluster.write_at = write

def live_on(): cluster.write_at = write_at

def test_what_a_killed_worker_of_dask_was_writing_is_written_by_another(raw, tmp_path, client):
    convert(raw, tmp_path/'one', read=large, n_workers=0)
    client.run(die_while_copying, tmp_path/'mark')
    dst = convert(raw, tmp_path/'set', read=large, executor=client.get_executor())
    client.wait_for_workers(2)
    client.run(live_on)
    assert same(tmp_path/'one', dst) and not verify(tmp_path/'set') and (tmp_path/'mark.died').exists()

def always_dies(p):
    if number(p) == 30 and not Path(p).with_suffix('.mended').exists(): os.kill(os.getpid(), signal.SIGKILL)
    return large(p)

def test_an_input_that_kills_each_worker_is_an_error(raw, tmp_path, client):
    def allow(failures, dask_scheduler): dask_scheduler.allowed_failures = failures
    client.run_on_scheduler(allow, 1)
    src = [str(o) for o in sorted(raw.rglob('*.npy'), key=number)]
    with expect_fail(RuntimeError, 'A worker was killed'): convert(src, tmp_path/'set', read=always_dies, executor=client.get_executor())
    (raw/'train/a/030.mended').touch()
    convert(src, tmp_path/'set', read=always_dies, executor=client.get_executor())
    convert(src, tmp_path/'one', read=always_dies, n_workers=0)
    assert same(tmp_path/'one', tmp_path/'set')

def test_after_a_kill_in_a_pool_another_pool_resumes(raw, tmp_path):
    src = [str(o) for o in sorted(raw.rglob('*.npy'), key=number)]
    with ProcessPoolExecutor(2) as pool:
        with expect_fail(RuntimeError, 'A worker was killed'): convert(src, tmp_path/'set', read=always_dies, executor=pool)
    (raw/'train/a/030.mended').touch()
    with ProcessPoolExecutor(3) as pool: convert(src, tmp_path/'set', read=always_dies, executor=pool)
    convert(src, tmp_path/'one', read=always_dies, n_workers=0)
    assert same(tmp_path/'one', tmp_path/'set')

def test_after_a_kill_of_the_caller_another_call_resumes(raw, tmp_path):
    code = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_cluster import slowly
from tsdisk.convert import journal
from tsdisk.convert.convert import convert
journal.note_every = 0
with ThreadPoolExecutor(3) as pool: convert({str(raw)!r}, {str(tmp_path/'set')!r}, read=slowly, executor=pool)
"""
    p = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.DEVNULL)
    log = tmp_path/'set/.convert/journal.jsonl'
    while p.poll() is None and not (log.exists() and log.read_bytes().count(b'\n') > 4): time.sleep(.01)
    p.kill()
    p.wait()
    assert log.exists(), 'It ended before it was killed'
    with ThreadPoolExecutor(2) as pool: convert(raw, tmp_path/'set', read=slowly, executor=pool)
    convert(raw, tmp_path/'one', read=slowly, n_workers=0)
    assert same(tmp_path/'one', tmp_path/'set')

def slowly(p):
    time.sleep(.02)
    return large(p)

# Tasks

def test_a_copy_that_comes_too_late_makes_no_file(tmp_path):
    column = DenseColumn(tmp_path/'set', 'X', (3,), 'f4')
    (tmp_path/'part').write_bytes(bytes(36))
    places = {'X': (str(tmp_path/'part'), column.stretches(0, 36))}
    column.close()
    column.values.path.unlink()
    with expect_fail(FileNotFoundError): copy_rows(places)
    assert not column.values.path.exists()

def test_a_copy_of_a_short_file_is_an_error(tmp_path):
    column = DenseColumn(tmp_path, 'X', (3,), 'f4')
    (tmp_path/'part').write_bytes(bytes(24))
    with expect_fail(EOFError, 'was cut short'): copy_rows({'X': (str(tmp_path/'part'), column.stretches(0, 36))})

def test_rows_for_shards_go_where_they_would_be_appended(tmp_path, monkeypatch):
    monkeypatch.setattr(column_files, 'shard_bytes', 100)
    ours,theirs = ShardedColumn(tmp_path/'a', 'X', (3,), 'f4'),ShardedColumn(tmp_path/'b', 'X', (3,), 'f4')
    rows = np.arange(40*3, dtype='f4').reshape(40,3)
    ours.add([rows])
    (tmp_path/'part').write_bytes(rows.tobytes())
    theirs.adopt(copy_rows({'X': (str(tmp_path/'part'), theirs.stretches(0, rows.nbytes))})['X'])
    assert ours.finish() == theirs.finish() and len(ours.files) == 5

class Counting(ThreadPoolExecutor):
    "Says that it has n workers"
    def __init__(self, n):
        super().__init__(4)
        self.num_workers,self.most = n,0
        self.pending = set()

    def submit(self, f, *args):
        future = super().submit(f, *args)
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)
        self.most = max(self.most, len(self.pending))
        return future

def test_tasks_in_progress_follow_the_executor(raw, tmp_path):
    with Counting(1) as one: convert(raw, tmp_path/'one', read=slowly, executor=one)
    with Counting(20) as many: convert(raw, tmp_path/'many', read=slowly, executor=many)
    assert one.most <= 6 and many.most > 15 and same(tmp_path/'one', tmp_path/'many')

def test_the_workers_of_dask_are_counted(client): assert tasks_at_once(client.get_executor()) == 2
