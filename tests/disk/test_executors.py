"Tasks run ahead of the use of their results, which come in order"
import pickle
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace
import pytest
from conftest import fails
from tsdisk.disk import executors
from tsdisk.disk.executors import in_order, is_executor, processors, TasksAhead, tasks_at_once

class ByHand:
    "Tasks that end when a test says so"
    def __init__(self): self.futures = []
    def submit(self, *args):
        self.futures.append(Future())
        self.futures[-1].args = args
        return self.futures[-1]

def doing(*args): return f'reading {args[0]}'

@pytest.mark.parametrize('ahead', [1,3,100])
def test_results_come_in_the_order_of_tasks(ahead):
    with ThreadPoolExecutor(4) as pool:
        results = in_order(lambda *o: pool.submit(pow, *o), ((i,2) for i in range(50)), lambda: ahead, doing)
        assert [*results] == [i*i for i in range(50)]

def test_so_many_tasks_are_in_progress_as_may_be():
    submitted,most = [],[3]
    class Ends(Future): # When its result is asked for
        def result(self): return len(submitted)
    def submit(i):
        submitted.append(i)
        return Ends()
    results = in_order(submit, zip(range(9)), lambda: most[0], doing)
    assert [next(results), next(results)] == [3,4]
    most[0] = 5
    assert [*results] == [7,8,9,9,9,9,9]

@pytest.mark.parametrize('settle', [False,True])
def test_after_an_error_tasks_in_progress_are_cancelled_or_waited_for(settle):
    by_hand,waited = ByHand(),[]
    def tasks():
        try: yield from zip(range(9))
        finally: waited.append('closed')
    def submit(i):
        f = by_hand.submit(i)
        if i == 0: f.set_exception(ZeroDivisionError('task 0'))
        f.result = lambda timeout=None, get=f.result: (waited.append(i), get(0))
        return f
    with fails(ZeroDivisionError, 'task 0'): [*in_order(submit, tasks(), lambda: 3, doing, settle)]
    others = by_hand.futures[1:]
    assert waited[:2] == [0,'closed'] and all(o.cancelled() != settle for o in others)
    assert waited[2:] == ([o.args[0] for o in others] if settle else [])

class KilledWorker(Exception): pass # As dask names it

@pytest.mark.parametrize('error', [BrokenExecutor('dead'), KilledWorker('dead')], ids=repr)
def test_a_killed_worker_is_an_error_that_says_what_it_did(error):
    def submit(*args):
        f = Future()
        f.set_exception(error)
        return f
    with fails(RuntimeError, 'A worker was killed', 'reading a.csv', 'use fewer workers'): [*in_order(submit, [('a.csv',)], lambda: 1, doing)]

def test_a_function_that_cannot_be_sent_is_an_error_that_says_so():
    with ProcessPoolExecutor(1) as pool, fails(ValueError, '`read` and `tfm` must be functions of a module'):
        [*in_order(pool.submit, [(lambda: 1,)], lambda: 1, doing)]
    def other(*args): raise AttributeError('it has no such attribute')
    with fails(AttributeError, 'no such'): [*in_order(other, [(1,)], lambda: 1, doing)]
    def unpicklable(*args): raise pickle.PicklingError("can't pickle it")
    with fails(ValueError, "can't pickle it"): [*in_order(unpicklable, [(1,)], lambda: 1, doing)]

def test_tasks_at_once_are_those_that_an_executor_names():
    for n in (1,3):
        with ThreadPoolExecutor(n) as pool: assert is_executor(pool) and tasks_at_once(pool) == n
    assert tasks_at_once(SimpleNamespace(num_workers=5, _max_workers=2)) == 5
    assert tasks_at_once(SimpleNamespace(num_workers=0)) == tasks_at_once(object()) == processors() >= 1
    assert not is_executor(3)

def test_an_executor_that_grows_is_asked_again(monkeypatch):
    now,pool = [0.],SimpleNamespace(num_workers=2)
    monkeypatch.setattr(executors, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    ahead = TasksAhead(pool)
    assert ahead() == 5
    pool.num_workers = 4
    now[0] = .9
    assert ahead() == 5
    now[0] = 1.
    assert ahead() == 9
