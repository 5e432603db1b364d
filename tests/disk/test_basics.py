"What every room uses: progress that is shown where it helps, sizes for people, checks of arguments"
import os, sys, time, weakref
from types import SimpleNamespace
import numpy as np, pytest
from conftest import fails, unix
from tsdisk.disk.basics import (address_of, files_text, html_facts, html_table, human, KeepLast, one_of, progress, reset_after_fork, short_path,
    short_repr, Shown, whole_number)

def test_progress_yields_everything_and_passes_errors_on(capsys):
    assert list(progress(iter(range(5)))) == list(progress(range(5), 5, wait=0)) == [*range(5)]
    with fails(ZeroDivisionError): list(progress((1//o for o in (1,0)), 2, wait=0))

def test_progress_is_shown_on_stderr_of_a_terminal_only(capsys, monkeypatch):
    for _ in progress(range(3), 3, wait=0, unit='inputs'): time.sleep(.01)
    assert capsys.readouterr() == ('','')
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    for _ in progress(range(3), 3, wait=0, unit='inputs'): time.sleep(.01)
    out,err = capsys.readouterr()
    assert out == '' and '33%  1 of 3' in err and 'inputs a second' in err and err.endswith('\n')
    for _ in progress(iter(range(3)), wait=0): pass
    assert '1 done' in capsys.readouterr().err

def test_an_error_starts_a_line_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    with fails(ZeroDivisionError): list(progress((1//o for o in (1,0)), 2, wait=-1))
    assert capsys.readouterr().err.endswith('\n')

@pytest.mark.parametrize('n,text', [(0,'0 B'), (999,'999 B'), (1000,'1 kB'), (208_400,'208 kB'), (999_800,'1 MB'), (52_400_000_000,'52.4 GB'), (3*10**15,'3e+03 TB')])
def test_sizes_are_to_be_read(n, text): assert human(n) == text

# Checks of arguments

@pytest.mark.parametrize('value', [3, np.int64(3), np.uint8(3), True+2])
def test_whole_numbers_of_any_kind_are_taken(value):
    got = whole_number(value, 'n', 3)
    assert got == 3 and type(got) is int

@pytest.mark.parametrize('value', [2, -1, 3., np.float32(3), '3', None, [3]], ids=repr)
def test_what_is_no_whole_number_or_too_small_is_refused(value):
    with fails(ValueError, '`n` must be a whole number, at least 3', f'got {value!r}'): whole_number(value, 'n', 3)

@pytest.mark.parametrize('value', ['a', None, True, 2])
def test_allowed_values_are_taken(value): assert one_of(value, 'how', ('a',None,True,2)) is value

@pytest.mark.parametrize('value', ['b', 1, False, 2., np.arange(2)], ids=repr)
def test_values_that_are_not_allowed_are_refused_with_those_that_are(value):
    with fails(ValueError, "`how` must be 'a', None, True or 2, got"): one_of(value, 'how', ('a',None,True,2))
    with fails(ValueError, "`how` must be 'a', got"): one_of(value, 'how', ['a'])

# Results that are kept

def test_the_last_results_are_kept():
    kept,made = KeepLast(2),[]
    def get(key): return kept(key, lambda: made.append(key) or f'of {key}')
    assert [get(o) for o in 'abaacab'] == [f'of {o}' for o in 'abaacab']
    assert made == [*'abcab'] and len(kept.kept) == 2

def test_a_result_that_fails_is_not_kept():
    kept = KeepLast()
    with fails(ZeroDivisionError): kept(1, lambda: 1//0)
    assert kept(1, lambda: 5) == 5

@unix
def test_objects_are_reset_in_forked_children_alone():
    class Counts:
        n = 0
        def reset(self): self.n += 1
    o = Counts()
    reset_after_fork(o)
    if not (pid := os.fork()): os._exit(o.n)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1 and o.n == 0
    gone = weakref.ref(o)
    del o
    assert gone() is None # It is not kept alive

# Words

class Point(Shown):
    def __init__(self, x, y=2): self.x,self._hidden = x,y

class Unlike(Shown):
    def __init__(self, *args): self.a,self.b,self._c,self.d,self.e,self.f = range(6)

def test_objects_show_the_arguments_that_they_keep():
    assert repr(Point(1)) == 'Point(x=1)' and repr(Unlike()) == 'Unlike(a=0, b=1, d=3, e=4)'
    assert repr(Point(np.zeros((2,3), 'f4'))) == 'Point(x=float32 (2, 3))' and repr(Point(test_allowed_values_are_taken)) == 'Point(x=test_allowed_values_are_taken)'

@pytest.mark.parametrize('value', ['x'*200, [*range(1000)], {i: i for i in range(100)}, b'x'*99])
def test_long_values_are_shortened(value): assert len(short_repr(value)) <= 40

def test_files_are_named_by_the_last_parts_of_their_paths():
    files = ['/home/me/data/X.npy', '/home/me/data/1.npy', 'b', 'c']
    assert files_text(None) == 'memory' and short_path(files[0]) == os.path.join('…','data','X.npy')
    for n,more in ((1,''), (2,' and 1 more file'), (4,' and 3 more files')): assert files_text(SimpleNamespace(files=files[:n])) == f'{short_path(files[0])}{more}'

def test_tables_escape_what_they_show():
    for o in (html_facts('<a>', {'<b>': '<c>'}), html_table(['<a>'], [['<b>'],['<c>']])):
        assert not any(f'<{tag}>' in o for tag in 'ac') and '&lt;c&gt;' in o
    assert html_table(['a'], [[1],[2]]) == '<table><tr><th>a</th></tr><tr><td>1</td></tr><tr><td>2</td></tr></table>'

def test_addresses_are_those_of_first_values():
    a = np.arange(6, dtype='f8')
    assert address_of(a[2:]) == address_of(a)+16 and address_of(a[::-1]) == address_of(a)+40
