"Files become a dataset, and more of them are appended"
import gc, os, pydoc
from functools import partial
from inspect import signature
from pathlib import Path
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import linux
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.arrays import save_array
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.convert.convert import append, convert
from tsdisk.disk.fingerprint import versioned
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.data.loaders import TSDataLoaders
from conversion import files_of, same, rec, as_item, X, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# What comes out

def test_files_of_one_shape_are_rows_in_the_order_of_their_paths(raw, tmp_path, capsys):
    convert(raw, tmp_path/'set', label='folder')
    arrays,splits = open_folder(tmp_path/'set')
    paths = sorted(raw.rglob('*.npy'))
    assert np.array_equal(arrays['X'], np.stack([np.load(o) for o in paths]))
    assert arrays['y'].tolist() == [o.parent.name for o in paths]
    assert arrays['source'].tolist() == [str(o.relative_to(raw)) for o in paths]
    assert list(splits) == ['train','valid','test']
    for k,rows in splits.items(): assert {arrays['source'][i].split('/')[0] for i in rows} == {k} and len(rows) == 20
    assert '60 inputs: X dense (3, 20) float32; with source' not in capsys.readouterr().out

@linux
@pytest.mark.parametrize('n_workers', [0,2])
def test_a_conversion_ends_with_no_file_open_or_mapped(raw, tmp_path, n_workers):
    gc.disable() # Not only once garbage is collected
    try:
        convert(raw, tmp_path/'set', label='folder', n_workers=n_workers)
        links = [f'/proc/self/fd/{o}' for o in os.listdir('/proc/self/fd')]
        assert not [o for o in links if os.path.exists(o) and str(tmp_path) in os.readlink(o)]
        assert str(tmp_path) not in Path('/proc/self/maps').read_text()
    finally: gc.enable()

def test_an_iterable_gives_records(tmp_path):
    got = open_folder(convert((rec(i) for i in range(10)), tmp_path/'set'))[0]['X']
    assert np.array_equal(got, np.stack([rec(i) for i in range(10)]))

def stretch(o): return {**o, 'X': np.repeat(o['X'], 2, -1)[:2]}
def test_records_pass_through_tfm(raw, tmp_path):
    x = open_folder(convert(raw, tmp_path/'set', tfm=stretch, dtype='float16'))[0]['X']
    assert x.shape == (60,2,40) and x.dtype == np.float16

def doubled(o):
    o['X'] *= 2
    return o

def test_sampled_records_are_not_transformed_twice(tmp_path):
    for i,items in enumerate(([X(1) for _ in range(5)], (X(1) for _ in range(9)))):
        assert (open_folder(convert(items, tmp_path/str(i), tfm=doubled))[0]['X'] == 2).all()

# Faults and other work

def test_an_unreadable_file_stops_and_loses_nothing(raw, tmp_path):
    p = sorted(raw.rglob('*.npy'))[41]
    good = p.read_bytes()
    p.write_bytes(good[:100])
    with expect_fail(ValueError, f'{p.relative_to(raw)} could not be read') as _: convert(raw, tmp_path/'set', n_workers=2)
    with expect_fail(FileNotFoundError, 'is not finished'): open_folder(tmp_path/'set')
    with expect_fail(FileNotFoundError, 'is not finished'): TSDataLoaders.from_folder(tmp_path/'set')
    p.write_bytes(good)
    convert(raw, tmp_path/'set', n_workers=2)
    assert same(tmp_path/'set', convert(raw, tmp_path/'whole', n_workers=0))

def test_a_conversion_that_wrote_nothing_leaves_nothing(raw, tmp_path):
    convert(raw/'train', tmp_path/'set', label='folder')
    with expect_fail(ValueError, 'target is missing'): append(tmp_path/'set', raw/'valid')
    append(tmp_path/'set', raw/'valid', label='folder')
    assert len(open_folder(tmp_path/'set')[0]['y']) == 40
    with expect_fail(ValueError, 'does not fit'): convert(raw, tmp_path/'other', dtype='int8')
    assert not (tmp_path/'other').exists()

def test_other_inputs_or_options_do_not_resume(raw, tmp_path):
    paths = sorted(raw.rglob('*.npy'))
    paths[50].write_text('no array')
    for _ in range(2):
        with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set')
    with expect_fail(ValueError, 'was started with dtype=None'): convert(raw, tmp_path/'set', dtype='float16')
    np.save(paths[3], rec(1000))
    with expect_fail(ValueError, 'have changed or are gone'): convert(raw, tmp_path/'set')
    np.save(paths[50], rec(50))
    convert(raw, tmp_path/'set', resume=False)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'][3], rec(1000))
    made = read_manifest(tmp_path/'set')
    assert read_manifest(convert(raw, tmp_path/'set')) == made # Done is done
    for kwargs in (dict(dtype='float16'), dict(resume=False)):
        with expect_fail(FileExistsError, 'is not empty'): convert(raw, tmp_path/'set', **kwargs)

def times(o, k): return {**o, 'X': o['X']*k}
def test_functions_with_other_arguments_do_not_resume(raw, tmp_path):
    sorted(raw.rglob('*.npy'))[40].write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set', tfm=partial(times, k=1))
    with expect_fail(ValueError, 'was started with tfm'): convert(raw, tmp_path/'set', tfm=partial(times, k=10))

class Scaled:
    def __init__(self, k): self.k = k
    def __call__(self, o): return {**o, 'X': o['X']*self.k}

def power(o, p=1.): return {**o, 'X': o['X']**p}
factor = 2.
def by_factor(o): return {**o, 'X': o['X']*factor}
def test_another_function_is_noticed(tmp_path, monkeypatch):
    x,table = np.random.default_rng(0).random((20,2,30)), np.array([1.,2])
    def with_table(o): return {**o, 'X': o['X']*table[:,None]}
    def nested(k): return lambda o: (lambda v: {**o, 'X': v**k})(o['X'])
    pairs = [(lambda o: {**o, 'X': np.log(o['X'])}, lambda o: {**o, 'X': np.sqrt(o['X'])}), (Scaled(1.), Scaled(2.)), (nested(2), nested(3)),
        (partial(power, p=2.), partial(power, p=3.))]
    for i,(a,b) in enumerate(pairs):
        convert([*x], tmp_path/f'set{i}', tfm=a)
        convert([*x], tmp_path/f'set{i}', tfm=a) # Done already
        with expect_fail(FileExistsError, 'not empty'): convert([*x], tmp_path/f'set{i}', tfm=b)
    changes = [lambda: table.__setitem__(0, 9.), lambda: monkeypatch.setitem(globals(), 'factor', 3.), lambda: setattr(power, '__defaults__', (2.,))]
    for f,change in zip([with_table,by_factor,power], changes):
        convert([*x], tmp_path/f.__name__, tfm=f)
        convert([*x], tmp_path/f.__name__, tfm=f)
        change()
        with expect_fail(FileExistsError, 'not empty'): convert([*x], tmp_path/f.__name__, tfm=f)
    power.__defaults__ = (1.,)

def test_other_values_in_memory_are_noticed(tmp_path):
    x = np.random.default_rng(0).random((3000,2,30))
    convert(x, tmp_path/'set')
    convert(x, tmp_path/'set')
    x[1500] += 1
    with expect_fail(FileExistsError, 'not empty'): convert(x, tmp_path/'set')

# Append

def test_arrays_are_appended_to_a_saved_folder(tmp_path):
    x,y = np.random.default_rng(0).normal(size=(70,2,9)).astype('f4'),np.arange(70)%3
    save_folder(tmp_path/'set', x[:50], y[:50], splits=dict(train=range(40), valid=range(40,50)))
    append(tmp_path/'set', dict(X=x[50:60], y=y[50:60]))
    append(tmp_path/'set', (x[60:], y[60:]))
    arrays,splits = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y)
    assert list(splits['train']) == list(range(40)) and verify(tmp_path/'set') == []

def test_rows_that_do_not_fit_are_not_appended(tmp_path):
    x = np.zeros((5,2,9), 'f4')
    save_folder(tmp_path/'set', x, np.array(['a']*5))
    other_shape,longer = dict(X=np.zeros((3,2,8), 'f4'), y=np.array(['a']*3)),dict(X=x, y=np.array(['long']*5))
    for bad,why in ((other_shape, 'shape'), (dict(X=x), 'no `y`'), (longer, 'does not fit')):
        with expect_fail(ValueError, why): append(tmp_path/'set', bad)
        assert len(open_folder(tmp_path/'set')[0]['X']) == 5 and not (tmp_path/'set/.convert').exists()
    with expect_fail(FileNotFoundError, 'is not a dataset'): append(tmp_path/'none', x)

def test_an_append_without_targets_is_refused(raw, tmp_path):
    paths = [str(o) for o in sorted(raw.rglob('*.npy'))]
    convert(paths[:30], tmp_path/'set', label='folder')
    with expect_fail(ValueError, 'Its target is missing'): append(tmp_path/'set', paths[30:])
    assert len(open_folder(tmp_path/'set')[0]['y']) == 30
    append(tmp_path/'set', paths[30:], label='folder', resume=False)
    assert len(open_folder(tmp_path/'set')[0]['y']) == 60

def test_labels_next_to_a_dataset_cause_a_warning(tmp_path):
    convert([X(i) for i in range(5)], tmp_path/'set')
    save_array(tmp_path/'set/y.npy', np.arange(5))
    with pytest.warns(UserWarning, match='is not listed in'): open_folder(tmp_path/'set')

# Verify

def test_every_flipped_bit_is_found_and_named(raw, tmp_path):
    convert(raw, tmp_path/'set', read=as_item)
    rng = np.random.default_rng(0)
    for f in files_of(tmp_path/'set'):
        p = tmp_path/'set'/f
        for at in rng.integers(0, p.stat().st_size, 25):
            data = bytearray(p.read_bytes())
            data[at] ^= 1 << int(rng.integers(8))
            good = p.read_bytes()
            p.write_bytes(data)
            said = verify(tmp_path/'set')
            assert len(said) == 1 and said[0].startswith(f'{f} has changed'), (f, at, said)
            p.write_bytes(good)
    assert verify(tmp_path/'set') == []

def test_lost_and_short_files_are_named(raw, tmp_path):
    convert(raw, tmp_path/'set', label='folder')
    with open(tmp_path/'set/X.npy', 'r+b') as f: f.truncate(5000)
    (tmp_path/'set/y.npy').unlink()
    said = verify(tmp_path/'set')
    assert any(o.startswith('X.npy is truncated') for o in said) and 'y.npy is missing' in said

def test_a_folder_without_checksums_gets_them_when_asked(tmp_path):
    save_folder(tmp_path/'set', np.zeros((9,2,5)), np.arange(9))
    with expect_fail(ValueError, 'has no checksums'): verify(tmp_path/'set')
    add_checksums(tmp_path/'set')
    assert verify(tmp_path/'set') == []

def test_an_array_that_was_replaced_is_noticed(raw, tmp_path):
    convert(raw, tmp_path/'set')
    save_array(tmp_path/'set/X.npy', np.zeros((70,3,20), 'f4'))
    with expect_fail(ValueError, 'it was replaced'): open_folder(tmp_path/'set')

def test_the_manifest_and_splits_are_verified_too(tmp_path):
    convert([dict(X=X(i), split=('train','valid')[i%2]) for i in range(10)], tmp_path/'set')
    for name in ('split_train.npy','tsdisk.json'):
        p = tmp_path/'set'/name
        good = p.read_bytes()
        p.write_bytes(good.replace(b'"train"', b'"traiN"') if name == 'tsdisk.json' else good[:-1]+bytes([good[-1]^1]))
        assert verify(tmp_path/'set')[0].startswith(f'{name} has changed')
        p.write_bytes(good)
    assert verify(tmp_path/'set') == []

def test_a_manifest_that_cannot_be_is_named_by_verify(tmp_path):
    convert([dict(X=X(i)) for i in range(3)], tmp_path/'set')
    manifest = tmp_path/'set/tsdisk.json'
    manifest.write_bytes(manifest.read_bytes().replace(b'"dense"', b'"densE"'))
    with expect_fail(DamagedFile, "`arrays.X.layout` must be dense, ragged or shards, got 'densE'"): verify(tmp_path/'set')

def test_verify_of_an_unfinished_conversion(raw, tmp_path):
    sorted(raw.rglob('*.npy'))[50].write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set')
    with expect_fail(ValueError, 'is not finished'): verify(tmp_path/'set')

# Functions with a version

def test_a_versioned_function_may_be_rewritten(tmp_path):
    def made(version, double):
        f = versioned(version)(double)
        f.__qualname__ = 'double'
        return f
    items = [np.ones((2,9), 'f4')]*3
    convert(items, tmp_path/'set', tfm=made('1', lambda o: {**o, 'X': o['X']*2}))
    convert(items, tmp_path/'set', tfm=made('1', lambda o: {**o, 'X': o['X']+o['X']})) # Done already
    with expect_fail(FileExistsError, 'is not empty'): convert(items, tmp_path/'set', tfm=made('2', lambda o: {**o, 'X': o['X']*2}))

@pytest.mark.parametrize('f', [convert, append])
def test_help_lists_every_argument_with_what_it_is_for(f):
    lines = {o.split()[0].partition('=')[0]: o for o in pydoc.render_doc(f, renderer=pydoc.plaintext).splitlines() if o.startswith('      ')}
    arguments = [*signature(f).parameters]
    assert sorted(lines) == sorted(arguments) and all(len(o.split()) > 2 for o in lines.values())
    assert 'Function of an input' in lines['read'] and "on_error='stop'" in lines['on_error']

def test_the_same_arrays_by_other_names_are_other_inputs(tmp_path):
    a,y = np.ones((5,2,9), 'f4'), np.arange(5)
    convert(dict(X=a, label=y), tmp_path/'set')
    with expect_fail(FileExistsError): convert(dict(X=a, y=y), tmp_path/'set')
    assert 'label' in open_folder(tmp_path/'set')[0]
