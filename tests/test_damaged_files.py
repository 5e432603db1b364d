"Damaged and hostile files: only errors that say which file, never a change outside the dataset, a hang or a giant allocation"
import json, os, random, resource, shutil, signal, struct, traceback, warnings
from functools import partial
from pathlib import Path
import numpy as np, pytest
from hypothesis import given, settings, strategies as st
from tsdisk.convert.convert import append, convert
from tsdisk.convert.info import info
from tsdisk.convert.journal import Journal, Writer
from tsdisk.convert.metadata import column_chunks, split_ranges, summarize, time_table
from tsdisk.disk.arrays import open_array
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.headers import npy_header
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.shards import Shards
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.labels import train_counts
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import train_stats
from tsdisk.series.clocks import clocks_of
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged
from tsdisk.train.writer import begin_run, rows_done, RowWriter

inputs = int(os.environ.get('TSDISK_FUZZ_INPUTS', 5000)) # Of all tests of this file together

def share(part):
    "Settings of a test that tries a share of the inputs"
    return settings(max_examples=max(1, int(inputs*part)))

# Damage

odd_values = [None, True, -1, 0, 1, 7, 1.5, 2**31, 2**63, 10**30, 1e308, float('nan'), float('inf'), '', 'x', 'X.npy', '../thesis.txt', '/etc/passwd',
    'a/../../b', 'C:\\x', '\0', '\ud800', 'é'*300, 'X'*5000, '<f8', '|O', [], {}, [[]], [0], [0,2**60], [-1,1], ['x'], [1.5,float('nan')], {'file': '../x'}, {'a': {}}]

def places(o, at=()):
    "The places of all values in nested tables and lists"
    items = o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ()
    for k,v in items:
        yield (*at, k)
        yield from places(v, (*at, k))

def with_odd_value(data, r):
    "JSON with one value replaced, removed, renamed, repeated or nested"
    data = json.loads(data)
    *way,last = r.choice([*places(data)] or [()]) or (None,)
    inner = data
    for k in way: inner = inner[k]
    how = r.randrange(8)
    if last is None: return json.dumps(r.choice(odd_values)).encode()
    if how == 0: del inner[last]
    elif how == 1 and isinstance(inner, dict): inner[r.choice(['','x','../x','\0','X/y'])] = inner.pop(last)
    elif how == 2: inner[last] = nested(r.choice([3,70]))
    elif how == 3: inner[last] = [inner[last]]*r.choice([0,1,2,300])
    else: inner[last] = r.choice(odd_values)
    return json.dumps(data).encode()

def nested(depth): return [nested(depth-1)] if depth else 0

def with_damaged_bytes(data, r):
    "Bytes with a flipped bit, or some missing, repeated, or put in"
    data,at = bytearray(data),r.randrange(len(data)+1)
    stop,how = min(len(data), at+r.choice([1,2,10,1000])),r.randrange(6)
    if how < 2 and at < len(data): data[at] ^= 1 << r.randrange(8)
    elif how == 2: del data[at:stop]
    elif how == 3: del data[at:]
    elif how == 4: data[at:at] = data[at:stop]
    else: data[at:at] = r.choice([b'[', b'{', b'"', b',', b'-', b'9'*30, b'['*100_000, b'NaN', b'1e999', b'\0', b'\xff', b'null', b'()'])
    return bytes(data)

def damaged(data, seed):
    r = random.Random(seed)
    if seed%3: return with_damaged_bytes(data, r)
    lines = data.splitlines(keepends=True) if data.startswith(b'{"version": 1, "id"') or data.startswith(b'[') else [data]
    k = r.randrange(len(lines))
    lines[k] = with_odd_value(lines[k], r)+b'\n'
    return b''.join(lines)

# What may happen

def is_ours(e):
    "Was an error raised on purpose, by a line of tsdisk?"
    last = traceback.extract_tb(e.__traceback__)[-1]
    return isinstance(e, DamagedFile) or isinstance(e, (ValueError,TypeError,IndexError)) and 'tsdisk' in last.filename and 'raise ' in last.line

def tries(*calls):
    "Make calls, of which each may raise an error of ours or of the system"
    for f in calls:
        try: f()
        except OSError: pass
        except Exception as e:
            if not is_ours(e): raise

@pytest.fixture(autouse=True)
def limits():
    "Two GB more of address space than now; two minutes for each input"
    size = int(Path('/proc/self/statm').read_text().split()[0])*os.sysconf('SC_PAGE_SIZE')
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size+2*2**30, before[1]))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
    resource.setrlimit(resource.RLIMIT_AS, before)

seeds = st.integers(0, 2**40)

# Datasets

def records(n, steps=None):
    for i in range(n):
        X = np.arange(2.*(steps or 4+i)).reshape(2, -1)+i
        yield dict(X=X.astype('f4'), y='ab'[i%2], fs=10., start='2020-01-01', subject=i, names=['a','b'], units=['mV','s'], note=['x'], split='train' if i < n-2 else 'valid')

@pytest.fixture(scope='module')
def datasets(tmp_path_factory):
    "Datasets of each layout, with statistics and counts"
    d = tmp_path_factory.mktemp('datasets')
    convert(records(6, 5), d/'dense', n_workers=0)
    convert(records(6), d/'ragged', n_workers=0)
    convert(records(6, 5), d/'shards', n_workers=0, layout='shards')
    save_folder(d/'saved', np.arange(24).reshape(6,2,2).astype('i2'), np.arange(6), dict(train=[0,2,4], valid=range(5,6)))
    add_checksums(d/'saved')
    for o in ('dense','ragged','saved'):
        arrays,splits = open_folder(d/o)
        train_stats(arrays['X'], splits['train'])
        train_counts(arrays['y'], splits['train'])
    return d

def look(path):
    "Use everything that a dataset folder says"
    def results():
        arrays,splits = open_folder(path)
        X = as_source(arrays['X'])
        X.gather(np.arange(min(2, len(X))))
        clocks = clocks_of(X.place())
        if clocks is not None: clocks[0]
        train_stats(X, splits.get('train'))
        if 'y' in arrays: train_counts(arrays['y'], splits.get('train'))
    tries(lambda: info(path), lambda: verify(path), results)

@pytest.mark.parametrize('name', ['dense','ragged','shards','saved'])
def test_damaged_manifests(datasets, name):
    file = datasets/name/'tsdisk.json'
    good = file.read_bytes()
    @share(.1)
    @given(seeds)
    def check(seed):
        file.write_bytes(damaged(good, seed))
        look(datasets/name)
    try: check()
    finally: file.write_bytes(good)

# Arrays

def headers():
    "Headers of arrays, most of them with one entry that no array has"
    return st.fixed_dictionaries(dict(
        descr=st.sampled_from(['<f4', '<f4', '|O', '<U0', '<U999999999', '<M8[', 'x', '', [('a','<f4'),('b','|O')], [('a','<f4',(2,))], ('<f4',(2,)), 3, None, '<f4,'*50]),
        fortran_order=st.sampled_from([False, False, True, 0, 'no']),
        shape=st.sampled_from([(3,2), (3,2), (0,2), (), (3,0), (-3,2), (2**40,2**40), (3,2**62), (True,6), (3.,2), [3,2], 3, (3,)*40, ('3',2), (6,), (2**62,)])))

@share(.06)
@given(headers(), st.sampled_from([b'\x01\x00', b'\x01\x00', b'\x02\x00', b'\x03\x00', b'\xff\xff']), seeds)
def test_headers_that_no_array_has(tmp_path_factory, header, version, seed):
    text = repr(header).encode()
    length = struct.pack('<I' if version[0] > 1 else '<H', random.Random(seed).choice([len(text)]*4+[0,1,65535]))
    try_array(tmp_path_factory.getbasetemp()/'header.npy', b'\x93NUMPY'+version+length+text+bytes(24))

def try_array(file, data):
    file.write_bytes(data)
    tries(lambda: open_array(file), lambda: open_array(file, 2), lambda: Shards([file]), lambda: Shards([file], stack=True))

@share(.1)
@given(seeds)
def test_damaged_headers(tmp_path_factory, seed):
    data = npy_header((3,2), np.dtype('f4'), 128)+bytes(24)
    r = random.Random(seed)
    try_array(tmp_path_factory.getbasetemp()/'damaged.npy', with_damaged_bytes(data[:r.choice([90,128])], r)+data[128:])

odd_arrays = [np.zeros((2,1), int), np.array([0,-5]), np.array([0,3.,np.nan]), np.array([0,2**62]), np.array([0,2**63+5], 'u8'), np.array([0,9], 'i4'), np.array(['a','b']),
    np.array([3,1,2]), np.array([0,0,9]), np.array([0]), np.zeros((0,2)), np.array([[0,3],[2,9]]), np.array([[0,2**60]]), np.array([True,False]), np.array(7), np.zeros((2,3)),
    np.array([0,np.inf]), np.array(['2020'], 'M8[s]'), np.zeros(3, [('a','i4')]), np.array([-1,10**9]), np.arange(12).reshape(4,3), np.array([[2**62,1,1]]*3)]

@share(.06)
@given(st.sampled_from(['X/offsets.npy','X/values.npy','split_train.npy','split_valid.npy','jumps.npy','rates.npy','fs.npy','subject.npy']), st.sampled_from(odd_arrays), seeds)
def test_odd_arrays_in_datasets(odd_datasets, name, array, seed):
    for path in odd_datasets:
        file = path/name
        if not file.exists(): continue
        good = file.read_bytes()
        np.save(file, array) if seed%2 else file.write_bytes(with_damaged_bytes(good, random.Random(seed)))
        try: look(path)
        finally: file.write_bytes(good)

@pytest.fixture(scope='module')
def odd_datasets(tmp_path_factory):
    "Datasets whose times and splits are in files"
    d = tmp_path_factory.mktemp('odd')
    def uneven(n):
        for i,o in enumerate(records(n)):
            jumps = [[2, 10**9*(3+i)]]
            yield o | dict(fs=10.*(1+i%2), time_jumps=jumps, time_period=.1*(1+i%2), split='train' if i%2 else 'valid')
    convert(uneven(6), d/'a', n_workers=0)
    save_folder(d/'b', np.arange(24.).reshape(6,2,2), np.arange(6), dict(train=[0,2,4], valid=[5]))
    return [d/'a', d/'b']

# Files of work in progress

@pytest.fixture(scope='module', params=['convert','append','ragged','shards'])
def unfinished(request, tmp_path_factory):
    "A dataset that is converted, or appended to, up to a file that can't be read"
    kind,d = request.param,tmp_path_factory.mktemp('unfinished')
    files = [d/f'{i}.npy' for i in range(4)]
    for i,o in enumerate(files[:3]): np.save(o, np.arange(2.*(5+i*(kind == 'ragged'))).reshape(2, -1))
    files[3].write_text('broken')
    if kind != 'convert': convert(files[:3], d/'set', n_workers=0, layout='shards' if kind == 'shards' else None)
    work = partial(append, d/'set', files, again=True) if kind != 'convert' else partial(convert, files, d/'set')
    with pytest.raises(ValueError): work(n_workers=0)
    for o in files: o.unlink()
    assert (d/'set/.convert/journal.jsonl').read_bytes().count(b'\n') == 2
    return d/'set'

def copy_of(original):
    "A new copy of a folder, in the place of an earlier one"
    copy = original.with_name('copy')
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original, copy)
    return copy

@share(.04)
@given(seeds)
def test_damaged_journals(unfinished, seed):
    d = copy_of(unfinished)
    file = d/'.convert/journal.jsonl'
    file.write_bytes(damaged(file.read_bytes(), seed))
    tries(lambda: Writer(Journal(d)).close())
    assert {o.name for o in d.parent.iterdir()} == {'set','copy'}

@share(.04)
@given(seeds)
def test_damaged_metadata(datasets, tmp_path_factory, seed):
    file = tmp_path_factory.getbasetemp()/'items.jsonl'
    file.write_bytes(damaged((datasets/'dense/items.jsonl').read_bytes(), seed))
    def scan():
        n = summarize(file).n
        if n > 1000: return # More than the columns have: nothing reads on
        time_table(file)
        split_ranges(file)
        for k,dtype in summarize(file).dtypes.items(): [*column_chunks(file, k, dtype)]
    tries(scan)

@share(.04)
@given(seeds)
def test_damaged_notes_of_runs(tmp_path_factory, seed):
    d = tmp_path_factory.getbasetemp()/'run'
    d.mkdir(exist_ok=True)
    (d/'run.json').write_bytes(damaged(b'{"n": 10, "bs": 4, "dl": {"shape": [3, 4]}}', seed))
    (d/'0.json').write_bytes(damaged(b'{"rows": 8, "arrays": ["preds"]}', seed))
    tries(lambda: begin_run(d, dict(n=10)), lambda: rows_done(d))

@share(.04)
@given(seeds)
def test_damaged_names_of_ragged_files(ragged, seed):
    file = ragged/'ragged.json'
    good = file.read_bytes()
    file.write_bytes(damaged(good, seed))
    try: tries(lambda: open_ragged(ragged))
    finally: file.write_bytes(good)

@pytest.fixture(scope='module')
def ragged(tmp_path_factory):
    d = tmp_path_factory.mktemp('ragged')
    for _ in range(2): save_ragged(d, [np.zeros((2,3+i), 'f4') for i in range(4)])
    return d
