import functools, os
from collections import Counter
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
import h5py, numpy as np, pandas as pd, polars as pl, pytest, torch
from fasttransform import Transform
from conftest import elsewhere, fails, filled
from tsdisk.convert.annotations import LabelSteps
from tsdisk.convert.seen_inputs import SeenInputs
from tsdisk.disk import fingerprint as module
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.fingerprint import array_id, describe, digest, empty_digest, extend_digest, file_id
from tsdisk.disk.fingerprint import function_id, repr_id, versioned

@pytest.fixture
def X(tmp_path): return save_array(tmp_path/'X.npy', filled((9,2,5)))

# Digests, files and arrays

def test_digests_are_those_of_the_first_release():
    "Manifests and journals hold them"
    assert empty_digest == 'cae66941d9efbd404e4d88758ea67670'
    assert digest('train', 64, [1,2.5]) == '4ba1ed8dac58207e02f4e0698b176690'
    assert extend_digest(empty_digest, np.arange(6.).reshape(2,3), 'item 0') == '1d9f5a8e1861cc4aec3e9ef7762f30a9'

def test_digest_follows_parts_and_their_order():
    assert len({digest(), digest(1), digest('1'), digest(1, 2), digest(2, 1), digest([1,2])}) == 6
    assert len(digest()) == 32 and int(digest(), 16)

def test_file_id_is_that_of_the_file_whatever_is_read_of_it(tmp_path):
    (tmp_path/'a.npz').write_bytes(b'12345')
    os.utime(tmp_path/'a.npz', ns=(7,7))
    assert file_id(f'{tmp_path}/a.npz') == file_id(f'{tmp_path}/a.npz::X') == file_id(f'{tmp_path}/a.npz[10:20]') == (5,7)
    for o in (f'{tmp_path}/gone', 'a\0b', '<no path>'): assert file_id(o) == (0,0)

def test_array_id_sees_every_value_in_memory_and_the_file_of_those_on_disk(tmp_path):
    x = np.arange(9000.).reshape(3000,3)
    for i,j in ((0,0),(1023,2),(1024,0),(2999,2)):
        y = x.copy()
        y[i,j] += 1
        assert array_id(y) != array_id(x)
    assert array_id(x.astype('f4')) != array_id(x) != array_id(x.reshape(1000,9))
    np.save(tmp_path/'x.npy', x)
    m = np.load(tmp_path/'x.npy', mmap_mode='r')
    assert array_id(m) == [(3000,3), 'float64', file_id(str(tmp_path/'x.npy'))]

@pytest.mark.parametrize('i,seen', [(0,True),(5,False),(9,True)])
def test_array_id_of_arrays_in_other_files_sees_their_first_and_last_row(tmp_path, i, seen):
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        x = f.create_dataset('x', data=np.zeros((10,2)))
        before = array_id(x)
        x[i,0] = 7
        assert (array_id(x) != before) == seen

@pytest.mark.parametrize('i', [0,1500,2999])
@pytest.mark.parametrize('x', [torch.zeros(3000,2), torch.zeros(3000,2, dtype=torch.bfloat16), np.array([[None,'a']]*3000), np.zeros((3000,2), 'M8[s]')],
    ids=['tensor','bfloat16','objects','times'])
def test_array_id_sees_every_value_in_memory_of_any_type(x, i):
    before = array_id(x)
    assert array_id(x) == before
    x[i,0] = 7
    assert array_id(x) != before

def test_values_of_unequal_series_in_an_array_of_objects_count():
    x = np.empty(2, object)
    x[:] = [np.zeros(5000), np.zeros(10)]
    before = array_id(x)
    x[0][2500] = 1
    assert array_id(x) != before

def test_a_sequence_of_inputs_is_known_by_members_order_and_names(tmp_path):
    for o in 'ab': (tmp_path/o).write_text(o)
    a,b = (str(tmp_path/o) for o in 'ab')
    os.utime(a, ns=(1,1)), os.utime(b, ns=(2,2))
    def of(*inputs): return functools.reduce(lambda h,o: extend_digest(h, *o), inputs, empty_digest)
    x = np.ones((2,3))
    some = [of(), of((a,'a')), of((a,'a'), (b,'b')), of((b,'b'), (a,'a')), of((a,'other')), of((dict(X=a, y=b),'a')), of((x,'a')), of((2*x,'a')),
        of(((x,x[0]),'a')), of((dict(X=x, y=1),'a')), of((dict(X=x, y=2),'a')), of((dict(X=x, y=2.5),'a')), of(((x,'text'),'a')), of(((x,'other text'),'a'))]
    assert len({*some}) == len(some)
    was = of((a,'a'))
    os.utime(a, ns=(3,3))
    assert of((a,'a')) != was

@pytest.mark.parametrize('kind', [np.int64, np.int8, np.float32, np.float64, np.bool_, np.array, torch.tensor, lambda v: np.datetime64(v, 'D'), np.str_])
def test_labels_of_any_type_are_part_of_an_input(kind):
    x = np.ones((2,3))
    def of(v): return extend_digest(empty_digest, (x, kind(v)), 'item 0')
    assert of(0) != of(1) == of(1)
    assert SeenInputs().number((x, kind(0))) != SeenInputs().number((x, kind(1)))

@pytest.mark.parametrize('a,b', [([0,1], [0,2]), (date(2020, 1, 1), date(2020, 1, 2)), ({'y': 1}, {'y': 2}), (torch.tensor([0,5,0]), torch.tensor([0,6,0])),
    (pd.DataFrame({'y': [0,1,0]}), pd.DataFrame({'y': [0,2,0]}))])
def test_labels_of_many_parts_are_part_of_an_input(a, b):
    x = np.ones((2,3))
    assert SeenInputs().number((x, a)) == SeenInputs().number((x, a)) != SeenInputs().number((x, b))

def test_a_path_in_a_record_stands_for_its_file(tmp_path):
    path = tmp_path/'a'
    path.write_text('a')
    before = extend_digest(empty_digest, (path, 1), 'item 0')
    assert before == extend_digest(empty_digest, (str(path), 1), 'item 0')
    path.write_text('longer')
    assert extend_digest(empty_digest, (path, 1), 'item 0') != before

def test_labels_in_python_have_the_digest_of_the_first_release():
    assert extend_digest(empty_digest, (np.arange(6.), 1, 2.5, True, 'text'), 'item 0') == '6883bee86485a65467b7619b35601b22'

# Functions

class Scaled:
    def __init__(self, k): self.k = k
    def __call__(self, o): return o*self.k
    def method(self, o): return o*self.k

def power(o, p=1.): return o**p
factor = 2.
def by_factor(o): return o*factor
def uses_power(o): return power(o)+by_factor(o)
def nested(k): return lambda o: (lambda v: v**k)(o)
counts = Counter(a=1)
def by_counts(o): return o*counts['a']

@pytest.mark.parametrize('a,b', [(lambda o: np.log(o), lambda o: np.sqrt(o)), (Scaled(1.), Scaled(2.)),
    (Scaled(1.).method, Scaled(2.).method), (nested(2), nested(3)),
    (partial(power, p=2.), partial(power, p=3.)), (partial(power, p=np.ones(3)), partial(power, p=np.zeros(3))), (partial(power, 1), partial(by_factor, 1)),
    (nested({'a': [1,(2,)]}), nested({'a': [1,(3,)]})), (lambda o: o+1, lambda o: o+2)])
def test_other_functions_have_other_ids(a, b): assert function_id(a) != function_id(b) and function_id(a) == function_id(a)

def test_what_a_function_uses_is_part_of_it(monkeypatch):
    before = function_id(by_factor),function_id(uses_power),function_id(by_counts)
    monkeypatch.setitem(globals(), 'factor', 3.)
    assert function_id(by_factor) != before[0] and function_id(uses_power) != before[1]
    monkeypatch.setattr(power, '__defaults__', (2.,))
    monkeypatch.setitem(counts, 'a', 5)
    assert function_id(by_counts) != before[2]

by_list = lambda o: [v*factor for v in o]
by_inner = lambda o: (lambda v: [w*factor for w in v])(o)
def by_helpers(o): return by_uses(o)
def by_uses(o): return uses_power(o)
kept = {'walk','run'}
def by_set(o): return o in kept
half = partial(power, p=.5)
def by_half(o): return half(o)
shift = timedelta(1)
def by_shift(o): return o+shift
place = Path('a')
def by_path(o): return place/o
settings = SimpleNamespace(low=1)
def by_settings(o): return o-settings.low
key = b'x'
def by_bytes(o): return o+key
kernel = torch.zeros(3)
def by_kernel(o): return o@kernel
table = pd.DataFrame({'y': [0,1]})
def by_table(o): return o+table.y[1]

@pytest.mark.parametrize('f,name,value', [(by_list,'factor',3.), (by_inner,'factor',3.), (by_helpers,'factor',3.), (by_set,'kept',{'walk','sit'}),
    (by_half,'half',partial(power, p=.25)), (by_list,'factor',np.float32(2)), (by_half,'half',np.float32(2)),
    (by_shift,'shift',timedelta(2)), (by_path,'place',Path('b')), (by_settings,'settings',SimpleNamespace(low=2)), (by_bytes,'key',b'y'),
    (by_kernel,'kernel',torch.ones(3)), (by_table,'table',pd.DataFrame({'y': [0,2]}))])
def test_globals_count_in_whatever_part_of_a_function_they_are_used(monkeypatch, f, name, value):
    before = function_id(f)
    monkeypatch.setitem(globals(), name, value)
    assert function_id(f) != before

@pytest.mark.parametrize('a,b', [({'walk','run'}, {'sit','run'}), (frozenset('ab'), frozenset('ac')), (range(3), range(4)), (np.float32(2), np.float32(3)),
    (timedelta(1), timedelta(2)), (date(2020, 1, 1), date(2020, 1, 2)),
    (torch.zeros(2000), torch.ones(2000)), (torch.tensor(1.), torch.tensor(2.)), (torch.eye(3).to_sparse(), 2*torch.eye(3).to_sparse()),
    (torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)), (np.array(['a','b']*1000, object), np.array(['a','c']*1000, object)),
    (pd.Series([1,2]), pd.Series([1,3])), (pd.DataFrame({'a': [1,2]}), pd.DataFrame({'a': [1,3]})), (pd.DataFrame({'a': [1]}), pd.DataFrame({'b': [1]})),
    (pd.Series([1,2]), pd.Series([1,2], index=[1,0])), (pd.Index(['a','b']), pd.Index(['a','c'])), (pl.Series([1,2]), pl.Series([1,3])),
    (pl.DataFrame({'a': ['x','y']}), pl.DataFrame({'a': ['x','z']})),
    ([*range(2000)], [*range(1999), 0]), ({i: 0 for i in range(2000)}, {i: i//1999 for i in range(2000)})])
def test_values_of_any_plain_type_count(a, b):
    assert function_id(nested(a)) != function_id(nested(b)) and function_id(nested(a)) == function_id(nested(a))

def test_sets_in_the_code_count():
    f,g = (eval(f"lambda o: o in {{'walk','run',{name!r}}}") for name in ('sit','lie'))
    assert function_id(f) != function_id(g)

def called(code):
    "An object of a class whose methods are given as code"
    names = {}
    exec(code, names)
    return type('Tfm', (type('Base', (), {}),), {k: v for k,v in names.items() if callable(v)})()

@pytest.mark.parametrize('code', ['def __call__(self, o): return o*3', 'def __call__(self, o): return self.twice(o)\ndef twice(self, o): return o*2'])
def test_the_code_of_objects_that_are_called_counts(code):
    assert function_id(called(code)) == function_id(called(code)) != function_id(called(code.replace('return o*', 'return 1+o*')))

class Plus(Transform):
    def encodes(self, o:int): return o+1

def other_plus(k):
    class Plus(Transform):
        def encodes(self, o:int): return o+k
    return Plus()

def test_the_code_of_transforms_counts():
    before = function_id(Plus())
    assert Plus()(1) == 2 and function_id(Plus()) == before
    assert function_id(other_plus(1)) == function_id(other_plus(1)) != function_id(other_plus(2))
    assert elsewhere('__import__("tsdisk.disk.fingerprint").disk.fingerprint.function_id(__import__("test_fingerprint").Plus())', None) == before

def test_the_code_of_a_method_that_is_overridden_counts():
    def made(k):
        class Base:
            def __call__(self, o): return o*k
        class Sub(Base):
            def __call__(self, o): return super().__call__(o)+1
        return Sub()
    assert function_id(made(2)) == function_id(made(2)) != function_id(made(3))

@pytest.mark.parametrize('f,start', [(power,'<function power> power:'), (Scaled(2),'<test_fingerprint.Scaled object> Scaled:'), (save_array,'<function save_array>')])
def test_results_are_named_by_a_repr_without_addresses(f, start): assert repr_id(f).startswith(start) and (f is save_array) == (repr_id(f) == start)

def test_ids_are_the_same_in_another_process():
    code = 'str([__import__("tsdisk.disk.fingerprint").disk.fingerprint.function_id(getattr(__import__("test_fingerprint"), o)) for o in a])'
    names = ['power','by_factor','uses_power','Scaled','by_counts','by_list','by_set','by_half','by_helpers','by_kernel','by_table']
    assert elsewhere(code, names) == str([function_id(globals()[o]) for o in names])

def test_ids_hold_the_name_and_nothing_of_this_machine():
    assert function_id(None) is None and function_id('folder') == 'folder'
    assert function_id(power).startswith('power:') and function_id(partial(power, p=2)).startswith('power:')
    assert function_id(Scaled(1)).startswith('Scaled:')
    assert ' at 0x' not in repr(describe(uses_power)) and 'test_fingerprint.py' not in repr(describe(uses_power))

def test_functions_of_this_library_go_by_their_names(): assert describe(save_array) == ('tsdisk.disk.arrays','save_array')

@pytest.mark.parametrize('value', [dict, list, np.ndarray, torch.tensor(1.), np.float32(2), counts, object(), len])
def test_functions_may_hold_anything(value):
    f = partial(power, p=value)
    assert function_id(f) == function_id(partial(power, p=value))
    assert function_id(nested(value)) == function_id(nested(value))

def test_values_without_end_end():
    loop = []
    loop.append(loop)
    assert function_id(nested(loop)) and function_id(partial(power, p=list(range(10**6)))).startswith('power:')

# Functions with a version

def test_a_version_counts_instead_of_the_code():
    def made(version, change):
        if change:
            @versioned(version)
            def f(o): return o*2
        else:
            @versioned(version)
            def f(o): return o+o
        return f
    assert function_id(made('1', True)) == function_id(made('1', False)) == function_id(made(1, True)) != function_id(made('2', True))
    plain = made('1', True)
    del plain.tsdisk_version
    assert function_id(plain) != function_id(made('1', True))
    assert function_id(partial(made('1', True), 3)) == function_id(partial(made('1', False), 3)) != function_id(partial(made('1', True), 4))
    assert function_id(nested(made('1', True))) == function_id(nested(made('1', False))) != function_id(nested(made('2', True)))

def test_objects_of_a_class_with_a_version_keep_their_attributes():
    A = versioned('1')(type('Scale', (Scaled,), {}))
    B = versioned('1')(type('Scale', (Scaled,), {'more': 1}))
    assert function_id(A(2)) == function_id(B(2)) != function_id(A(3)) and function_id(A) == function_id(B)
    B.tsdisk_version = '2'
    assert function_id(A(2)) != function_id(B(2)) and function_id(A) != function_id(B)

def test_a_decorator_without_a_version_is_refused():
    with fails(TypeError, "@versioned('2')"): versioned(power)

def test_objects_of_tsdisk_count_without_their_code():
    assert len(describe(LabelSteps(['N','V']))) == 2 # Its name and its attributes

def test_large_maps_in_lists_are_not_read_whole(tmp_path, monkeypatch):
    maps = [open_array(save_array(tmp_path/f'{i}.npy', filled((5,2**20), seed=i)).filename) for i in range(2)]
    monkeypatch.setattr(module, '_checksum', lambda a: 1/0)
    assert describe(maps[:1]) != describe(maps[1:]) and describe(maps) == describe(list(maps))
