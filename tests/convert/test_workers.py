"Jobs run in any number of processes give their results in order, and their errors"
import os
from concurrent.futures import ThreadPoolExecutor
import pytest
from conftest import fails
from tsdisk.convert.workers import reading, run_jobs

def groups(n=7): return ((3*i, [(i,f'{i}.npy'), (i,f'{i}b.npy')]) for i in range(n))
def job(first, inputs): return first, [o for o,_ in inputs], os.getpid()
def fails_at_9(first, inputs): return 1//(first-9)

@pytest.mark.parametrize('workers', [0, 1, 3, None])
def test_results_come_in_the_order_of_the_groups(workers):
    res = [*run_jobs(job, groups(), workers)]
    assert [o[:2] for o in res] == [(3*i,[i,i]) for i in range(7)]
    assert (os.getpid() in {o[2] for o in res}) == (workers == 0)

def test_an_executor_may_be_given():
    with ThreadPoolExecutor(2) as pool: assert [o[0] for o in run_jobs(job, groups(), pool)] == [3*i for i in range(7)]

@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_comes_in_its_place(workers):
    res = run_jobs(fails_at_9, groups(), workers)
    assert [next(res) for _ in range(3)] == [-1,-1,-1]
    with fails(ZeroDivisionError): next(res)

def dies(first, inputs): os._exit(3) if first == 9 else None

def test_a_worker_that_dies_is_named_with_what_it_read():
    with fails(RuntimeError, 'A worker was killed', 'reading ', '.npy', 'use fewer workers'): [*run_jobs(dies, groups(), 1)]

@pytest.mark.parametrize('workers', [-1, 1.5, 'many'], ids=repr)
def test_numbers_of_processes_are_whole(workers):
    with fails(ValueError, '`n_workers` must be a number of processes', f'got {workers!r}'): run_jobs(job, groups(), workers)

def test_what_is_read_is_named_once_or_by_its_ends(): assert reading(0, [(1,'a')]) == 'reading a' and reading(0, [(1,'a'),(2,'b'),(3,'c')]) == 'reading a to c'
