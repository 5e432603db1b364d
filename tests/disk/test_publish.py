"One writer at a time, and a file that is whole or not there"
import os, shutil, sys
from concurrent.futures import ThreadPoolExecutor
import pytest
from conftest import fails, fresh, unix
from tsdisk.disk.publish import atomic_folder, atomic_write, locked, make_folders, rename

def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    with locked(tmp_path/'set'):
        res = fresh("from tsdisk.disk.publish import locked\ntry:\n    with locked(args[0]): res = 'taken'\nexcept BlockingIOError as e: res = str(e)", tmp_path/'set')
    assert f'process {os.getpid()} on ' in res and ', since ' in res and 'wait until it has finished' in res
    assert not (tmp_path/'set').exists()

@unix
def test_threads_and_symbolic_links_do_not_break_the_lock(tmp_path):
    (tmp_path/'set').mkdir()
    (tmp_path/'set/kept').touch()
    (tmp_path/'link').symlink_to(tmp_path/'set')
    inside,most = [],[]
    def write(i):
        try:
            with locked(tmp_path/('set','link')[i%2]):
                inside.append(i)
                most.append(len(inside))
                inside.remove(i)
                return 1
        except BlockingIOError: return 0
    with ThreadPoolExecutor(8) as pool: n = sum(pool.map(write, range(400)))
    assert n and max(most) == 1 and not inside and [o.name for o in (tmp_path/'set').iterdir()] == ['kept']

@unix
def test_a_dead_holder_holds_nobody_and_a_child_holds_no_longer_than_its_parent(tmp_path):
    r,w = os.pipe()
    if not (pid := os.fork()):
        lock = locked(tmp_path)
        lock.__enter__()
        if not os.fork(): # A worker that outlives its parent
            os.close(r)
            os.read(os.open(tmp_path/'wait', os.O_RDONLY), 1)
            os._exit(0)
        os.write(w, b'x')
        os.kill(os.getpid(), 9)
    os.mkfifo(tmp_path/'wait') if not (tmp_path/'wait').exists() else None
    os.waitpid(pid, 0)
    assert (tmp_path/'.lock').exists()
    with locked(tmp_path): pass
    assert not (tmp_path/'.lock').exists()
    os.close(os.open(tmp_path/'wait', os.O_RDWR))

@unix
def test_litter_is_told_by_its_lock(tmp_path):
    with atomic_write(tmp_path/'a') as f: # A live writer
        f.write('slow')
        live = [o.name for o in tmp_path.iterdir()]
        (tmp_path/'.a.1.tmp').write_text('of a dead writer')
        (tmp_path/'.a.2.tmp').write_text('of another')
        with atomic_write(tmp_path/'a') as g: g.write('quick')
        assert [o.name for o in tmp_path.iterdir() if o.name != 'a'] == live and (tmp_path/'a').read_text() == 'quick'
    assert [o.name for o in tmp_path.iterdir()] == ['a'] and (tmp_path/'a').read_text() == 'slow'

# Whole, or not there

def killed_at(k, f):
    "Call `f` in a child that dies before its k-th change or sync of files; was it through before that?"
    if not (pid := os.fork()):
        left = [k]
        def dies(*args):
            if left[0] == 0: os._exit(7)
            left[0] -= 1
        def hook(event, args):
            if event in ('open','os.rename','os.remove','os.mkdir','os.rmdir','os.truncate','fcntl.flock'): dies()
        fsync = os.fsync
        os.fsync = lambda fd: (dies(), fsync(fd))
        sys.addaudithook(hook)
        try: f()
        except BaseException: os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0,7)
    return code == 0

def write_file(path):
    with atomic_write(path) as f:
        f.write('new')
        f.flush()
        f.write('er')

def write_folder(path):
    with atomic_folder(path) as d:
        (d/'below').mkdir()
        (d/'below/a').write_text('newer')

@unix
@pytest.mark.parametrize('old', [None,'old'])
def test_a_crash_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, old):
    path,seen,k = tmp_path/'a',[],0
    while True:
        path.unlink(missing_ok=True)
        if old: path.write_text(old)
        done = killed_at(k, lambda: write_file(path))
        seen.append(path.read_text() if path.exists() else None)
        assert seen[-1] in (old,'newer')
        write_file(path) # What is left is in the way of nobody, and is removed
        assert [o.name for o in tmp_path.iterdir()] == ['a'] and path.read_text() == 'newer'
        if done: break
        k += 1
    assert k > 4 and seen[0] == old and seen[-1] == 'newer'
    assert seen == sorted(seen, key=lambda o: o == 'newer') # Once it is there, it stays

@unix
def test_a_crash_at_any_step_leaves_no_folder_or_all_of_it(tmp_path):
    path,seen,k = tmp_path/'set',[],0
    while True:
        done = killed_at(k, lambda: write_folder(path))
        seen.append(path.exists())
        if path.exists():
            assert (path/'below/a').read_text() == 'newer'
            shutil.rmtree(path)
        write_folder(path)
        assert [o.name for o in tmp_path.iterdir()] == ['set']
        shutil.rmtree(path)
        if done: break
        k += 1
    assert k > 6 and not seen[0] and seen[-1] and seen == sorted(seen)

@pytest.mark.parametrize('error', [ValueError,KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path/'a').write_text('old')
    with pytest.raises(error):
        with atomic_write(tmp_path/'a') as f:
            f.write('new')
            raise error
    with pytest.raises(error):
        with atomic_folder(tmp_path/'set') as d:
            (d/'b').touch()
            raise error
    assert [o.name for o in tmp_path.iterdir()] == ['a'] and (tmp_path/'a').read_text() == 'old'

@pytest.mark.parametrize('mode,data', [('w','é\n'), ('wb',b'\xff\0')])
def test_text_is_utf_8_and_bytes_are_themselves(tmp_path, mode, data):
    with atomic_write(tmp_path/'a', mode) as f: f.write(data)
    assert (tmp_path/'a').read_bytes() == (data if mode == 'wb' else data.encode())

def test_a_folder_that_holds_something_is_not_replaced(tmp_path):
    (tmp_path/'empty').mkdir()
    write_folder(tmp_path/'empty')
    (tmp_path/'file').touch()
    for o,why in (('empty','is not empty'), ('file','is a file')):
        with fails(FileExistsError, o, why, 'give another folder'): write_folder(tmp_path/o)
    assert sorted(o.name for o in tmp_path.iterdir()) == ['empty','file']

def test_folders_are_made_with_those_above_and_renamed(tmp_path):
    for _ in range(2): make_folders(tmp_path/'a/b/c')
    assert (tmp_path/'a/b/c').is_dir()
    rename(tmp_path/'a/b', tmp_path/'d')
    assert (tmp_path/'d/c').is_dir() and not (tmp_path/'a/b').exists()

def test_a_lock_may_be_taken_again_by_its_thread(tmp_path):
    with locked(tmp_path/'set'):
        with locked(tmp_path/'set'): pass
        assert (tmp_path/'set/.lock').exists()
    assert not (tmp_path/'set').exists()

@pytest.mark.parametrize('hidden', [False,True])
def test_a_folder_that_was_there_goes_only_if_it_is_hidden_and_empty(tmp_path, hidden):
    (tmp_path/'set').mkdir()
    with locked(tmp_path/'set', hidden): (tmp_path/'set/a').touch()
    assert [o.name for o in (tmp_path/'set').iterdir()] == ['a']
    (tmp_path/'set/a').unlink()
    with locked(tmp_path/'set', hidden): pass
    assert (tmp_path/'set').exists() != hidden
