"Work that several threads share"
import gc, multiprocessing as mp, os, subprocess, sys, threading, time, weakref
import numpy as np, pytest, torch
from tsdisk.disk import threads
from tsdisk.disk.threads import Task, map_ahead, one_thread, share_out, tasks_ahead, thread_count

@pytest.fixture(autouse=True)
def same_threads_after():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

@pytest.fixture(params=[1,2,4])
def n_threads(request):
    "As many threads of torch"
    torch.set_num_threads(request.param)
    return request.param

def in_threads(n, f):
    "Call a function in n threads at the same time"
    barrier = threading.Barrier(n)
    def call():
        barrier.wait()
        f()
    started = [threading.Thread(target=call) for _ in range(n)]
    for o in started: o.start()
    for o in started: o.join()

def test_a_task_is_done_once():
    done = []
    tasks = [Task(done.append, i) for i in range(200)]
    in_threads(4, lambda: [o() for o in tasks])
    assert sorted(done) == [*range(200)]

def test_every_thread_gets_the_result():
    task,found = Task(lambda: object()),[]
    in_threads(4, lambda: found.append(task.result()))
    assert len(found) == 4 and len(set(found)) == 1

def test_a_task_holds_no_memory_once_it_is_done():
    a = np.empty(10)
    gone = weakref.ref(a)
    task = Task(np.sum, a)
    task.result()
    del a
    gc.collect()
    assert gone() is None

def test_all_pieces_are_done_once(n_threads):
    found = np.zeros(1000, int)
    def count(i): found[i] += 1
    share_out(count, 1000)
    assert (found == 1).all()
    share_out(count, 0)
    assert (found == 1).all()

def test_pieces_are_done_by_several_threads():
    torch.set_num_threads(3)
    both = threading.Barrier(3, timeout=60)
    share_out(lambda i: both.wait(), 3) # Ends only if three threads are in it at a time
    assert both.broken is False

def test_an_error_comes_after_all_pieces(n_threads):
    done = []
    def work(i):
        if i == 2: raise ValueError('piece 2')
        done.append(i)
    with pytest.raises(ValueError, match='piece 2'): share_out(work, 6)
    assert sorted(done) == [0,1,3,4,5]
    assert torch.get_num_threads() == n_threads

def test_operators_stay_in_their_thread(n_threads):
    found = []
    share_out(lambda i: found.append(torch.get_num_threads()), 8)
    found += map_ahead(lambda i: torch.get_num_threads(), range(8))
    assert found == [1]*16
    assert torch.get_num_threads() == n_threads

def test_a_task_may_share_out_work(n_threads):
    found = []
    share_out(lambda i: share_out(found.append, 3), 5)
    assert sorted(found) == sorted([0,1,2]*5)

def test_one_thread_ends_with_an_error(n_threads):
    with pytest.raises(ZeroDivisionError), one_thread(): 1/0
    assert thread_count() == n_threads

def test_results_come_in_order_from_a_bounded_number_of_items(n_threads):
    taken = []
    def items():
        for i in range(100):
            taken.append(i)
            yield i
    for i,o in enumerate(map_ahead(lambda x: x*x, items())):
        assert o == i*i
        assert len(taken) <= i + tasks_ahead()
    assert i == 99 and tasks_ahead() == (1 if n_threads == 1 else 2*n_threads)

@pytest.mark.parametrize('most,want', [(0,1), (1,1), (3,3), (100,8)])
def test_fewer_items_are_held_where_that_is_asked(n_threads, most, want):
    taken = []
    def items():
        for i in range(50):
            taken.append(i)
            yield i
    for i,o in enumerate(map_ahead(lambda x: x*x, items(), most)): assert o == i*i and len(taken) <= i + min(want, tasks_ahead())
    assert i == 49

def test_what_is_left_of_an_iteration_is_not_begun(monkeypatch):
    torch.set_num_threads(4)
    offered,begun = [],[]
    monkeypatch.setattr(threads._helpers_cache, 'offer', lambda tasks, n: offered.extend(tasks))
    results = map_ahead(begun.append, iter(range(100)))
    next(results)
    results.close()
    for o in offered: o()
    assert begun == [0] and len(offered) == tasks_ahead()

def test_as_many_items_are_begun_ahead_whenever_a_result_is_used():
    torch.set_num_threads(4)
    taken = []
    def items():
        for i in range(50):
            taken.append(i)
            yield i
    for i,_ in enumerate(map_ahead(str, items(), 3)):
        time.sleep(.001)
        assert len(taken) == min(50, i+3)

@pytest.mark.parametrize('error', [KeyboardInterrupt,SystemExit])
def test_an_interrupt_does_not_wait_for_its_turn(monkeypatch, error):
    torch.set_num_threads(2)
    def end(task):
        task.finished = True
        task.done.release()
    def of_another_thread(tasks, n): # Which takes a second
        if tasks[0].call[1] > 0: return
        tasks[0].untaken.acquire()
        threading.Timer(1, end, tasks).start()
    monkeypatch.setattr(threads._helpers_cache, 'offer', of_another_thread)
    def work(i): raise error()
    with pytest.raises(error): next(map_ahead(work, range(9)))

def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have():
    task = Task(str, 1)
    task.untaken.acquire() # A thread of the parent has begun it
    task.process -= 1
    with pytest.raises(RuntimeError, match='forked'): task.wait()

def test_a_result_is_not_kept_once_it_was_taken(n_threads):
    class Large: pass
    kept = []
    for o in map_ahead(lambda i: Large(), range(20)):
        kept.append(weakref.ref(o))
        del o
        assert sum(k() is not None for k in kept) == 0

def test_the_error_of_an_item_comes_in_its_place(n_threads):
    results = map_ahead(lambda x: 1//x, [1,1,0,1])
    assert [next(results), next(results)] == [1,1]
    with pytest.raises(ZeroDivisionError): next(results)

def test_an_iteration_may_end_early(n_threads):
    for o in map_ahead(lambda x: x, iter(int, 1)): break
    assert [*map_ahead(str, range(3))] == ['0','1','2']

def _shared_in_child(conn):
    found = []
    share_out(found.append, 50)
    conn.send(sorted(found))

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='There is no fork on this system')
def test_a_forked_process_has_threads_of_its_own():
    share_out(lambda i: None, 10) # Threads of this process
    here,there = mp.Pipe()
    child = mp.get_context('fork').Process(target=_shared_in_child, args=(there,))
    child.start()
    assert here.poll(60)
    assert here.recv() == [*range(50)]
    child.join()

interrupted = '''
import os, signal
import torch
from tsdisk.disk import threads
from tsdisk.disk.threads import share_out
signal.signal(signal.SIGINT, signal.default_int_handler) # A shell that runs the tests in the background ignores it
torch.set_num_threads(2)
def work(i):
    if i == 0: os.kill(os.getpid(), signal.SIGINT)
    sum(range(10**5))
try: share_out(work, 20)
except KeyboardInterrupt: pass
else: raise SystemExit('not interrupted')
done = []
share_out(done.append, 20)
assert sorted(done) == [*range(20)], done
assert torch.get_num_threads() == 2
'''

def test_ctrl_c_leaves_the_threads_in_order(): subprocess.run([sys.executable, '-c', interrupted], check=True, timeout=120)

left = '''
import torch
from tsdisk.disk.threads import map_ahead
torch.set_num_threads(3)
values,rows = torch.rand(10**6),torch.randint(0, 10**6, (2*10**7,))
for o in map_ahead(lambda i: values.index_select(0, rows), iter(range(100))): break
'''

def test_python_ends_well_amid_work():
    "It aborted: a thread that leaves torch while Python ends is a `std::terminate`"
    runs = [subprocess.run([sys.executable, '-c', left], capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert [(o.returncode, o.stderr) for o in runs] == [(0, '')]*2

more_threads_than_listed = '''
import threading
from tsdisk.disk.threads import Helpers, Task
start = threading.Thread.start
def interrupted(self):
    start(self)
    threading.Thread.start = start
    raise KeyboardInterrupt
threading.Thread.start = interrupted
helpers = Helpers()
try: helpers.offer([], 2)
except KeyboardInterrupt: assert not helpers.threads
tasks = [Task(int) for _ in range(4)]
helpers.offer(tasks, 2)
assert [o.result() for o in tasks] == [0]*4 and len(helpers.threads) == 2
'''

reads_at_exit = '''
import atexit, sys
import numpy as np
from tsdisk.disk.io import DiskFile, Incoming
def read(): return len(Incoming(file, np.array([0]), np.array([4096])).wait().block)
atexit.register(lambda: print(read())) # It runs after those that are registered by reading
file = DiskFile(sys.argv[1])
assert read() == 4096
'''

@pytest.mark.parametrize('code,printed', [(more_threads_than_listed, ''), (reads_at_exit, '4096\n')], ids=['interrupted','reads'])
def test_python_ends_after_ctrl_c_and_reads_until_then(tmp_path, code, printed):
    np.save(tmp_path/'x.npy', np.arange(10**5))
    run = subprocess.run([sys.executable, '-c', code, str(tmp_path/'x.npy')], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, printed), run.stderr

def test_without_threadpoolctl_work_is_done_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, 'threadpoolctl', None)
    assert threads._openmp_setters() == []
    monkeypatch.setattr(threads, '_torch_setter', lambda: threads.noop)
    before = torch.get_num_threads()
    with one_thread(): assert torch.get_num_threads() == before
    test_all_pieces_are_done_once(2)
