"Damaged and hostile files: only errors that say which file, never a change outside the dataset, a hang or a giant allocation"
import json, os, random, resource, shutil, struct, traceback, warnings
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
from tsdisk.folder.labels import array_counts, train_counts
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import array_stats, train_stats
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

def look(path, stats=train_stats, counts=train_counts):
    "Use everything that a dataset folder says"
    def results():
        arrays,splits = open_folder(path)
        X = as_source(arrays['X'])
        X.gather(np.arange(min(2, len(X))))
        clocks = clocks_of(X.place())
        if clocks is not None: clocks[0]
        stats(X, splits.get('train'))
        if 'y' in arrays: counts(arrays['y'], splits.get('train'))
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

odd_arrays = [np.array(o) for o in ([0,-5], [0,3.,np.nan], [0,2**62], ['a','b'], [3,1,2], [0,0,9], [0], [[0,3],[2,9]], [[0,2**60]],
    [True,False], 7, [0,np.inf], [-1,10**9], [[2**62,1,1]]*3)]
odd_arrays += [np.zeros((2,1), int), np.zeros((0,2)), np.zeros((2,3)), np.arange(12).reshape(4,3), np.zeros(3, [('a','i4')])]
odd_arrays += [np.array([0,2**63+5], 'u8'), np.array([0,9], 'i4'), np.array(['2020'], 'M8[s]')]

@share(.06)
@given(st.sampled_from(['X/offsets.npy','X/values.npy','split_train.npy','split_valid.npy','jumps.npy','rates.npy','fs.npy','subject.npy']), st.sampled_from(odd_arrays), seeds)
def test_odd_arrays_in_datasets(odd_datasets, name, array, seed):
    for path in odd_datasets:
        file = path/name
        if not file.exists(): continue
        good = file.read_bytes()
        np.save(file, array) if seed%2 else file.write_bytes(with_damaged_bytes(good, random.Random(seed)))
        try: look(path, array_stats, array_counts)
        finally: file.write_bytes(good)

@pytest.fixture(scope='module')
def odd_datasets(tmp_path_factory):
    "Datasets whose times and splits are in files"
    d = tmp_path_factory.mktemp('odd')
    def uneven(n):
        for i,o in enumerate(records(n)):
            jumps = [[2, 10**9*(3+i)]]
            yield o | dict(fs=10.*(1+i%2), time_jumps=jumps, time_period=.1*(1+i%2), split='train' if i%2 else 'valid')
    with pytest.warns(UserWarning): convert(uneven(6), d/'a', n_workers=0)
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
    def resume():
        journal = Journal(d)
        if journal.head: Writer(journal).close() # Otherwise a new journal is begun
    tries(resume)
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

def test_metadata_of_no_rows(tmp_path):
    (tmp_path/'items.jsonl').write_bytes(b'')
    times = time_table(tmp_path/'items.jsonl')
    assert times.fs.shape == (0,) and times.jumps.shape == (0,3)

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

# States

def loader(seed=3):
    from tsdisk.data.loaders import TSDataLoaders
    return TSDataLoaders.from_arrays(np.zeros((20,1,4), 'f4'), np.arange(20.), splits=(range(16), range(16,20)), bs=4, device='cpu', seed=seed).train

@share(.06)
@given(seeds)
def test_damaged_states_of_loaders(state_of_loader, seed):
    dl,good = state_of_loader
    def load(): dl.load_state_dict(json.loads(with_odd_value(good, random.Random(seed))))
    tries(load)

@pytest.fixture(scope='module')
def state_of_loader():
    dl = loader()
    next(iter(dl))
    return dl, json.dumps(dl.state_dict()).encode()

# Names that lead out of a dataset

@pytest.fixture
def thesis(tmp_path):
    "A file that must stay as it is"
    file = tmp_path/'thesis.npy'
    np.save(file, np.full((4,1,3), 7, 'f4'))
    before = file.read_bytes()
    yield file
    assert file.read_bytes() == before

def rewrite(file, change):
    data = json.loads(file.read_text())
    change(data)
    data.pop('crc32', None)
    file.write_text(json.dumps(data))

@pytest.fixture
def victim(tmp_path):
    "A dataset from a download, whose next append does what its files say"
    convert(np.zeros((4,1,3), 'f4'), tmp_path/'set', n_workers=0)
    return tmp_path/'set'

names = ['../thesis.npy', '{}/thesis.npy', 'X/../../thesis.npy']

@pytest.mark.parametrize('name', names)
def test_no_file_outside_is_removed(thesis, victim, name):
    name = name.format(thesis.parent)
    rewrite(victim/'tsdisk.json', lambda m: m['made'].update(instead_of=[name]))
    (victim/'.convert.done').mkdir()
    with pytest.raises(DamagedFile, match='instead_of'): append(victim, np.zeros((2,1,3), 'f4'), n_workers=0)

@pytest.mark.parametrize('name', ['notes.txt', 'X.npy', 'tsdisk.json', 'sub/../X.npy', 'out/thesis.npy'])
def test_only_unused_files_of_the_dataset_are_removed(thesis, victim, name):
    from tsdisk.folder.staged import remove_files
    (victim/'notes.txt').write_text('mine')
    (victim/'out').symlink_to(thesis.parent)
    np.save(victim/'old.npy', np.zeros(3))
    before = {o.name for o in victim.iterdir()}
    remove_files(victim, [name, 'old.npy'])
    assert {o.name for o in victim.iterdir()} == before-{'old.npy'}

@pytest.mark.parametrize('name', names)
@pytest.mark.parametrize('where', ['arrays.X.file', 'splits.train', 'clock.jumps', 'checksums'])
def test_no_file_outside_is_read(thesis, victim, name, where):
    def change(m):
        inner,path = m,name.format(thesis.parent)
        *way,last = where.split('.')
        for k in way: inner = inner.setdefault(k, {})
        inner[last] = {path: m['checksums'].pop('X.npy')} if last == 'checksums' else path
    rewrite(victim/'tsdisk.json', change)
    with pytest.raises(DamagedFile, match='name of a file in the same folder'): open_folder(victim)

def test_links_are_read_but_never_written_through(thesis, victim):
    (victim/'X.npy').unlink()
    (victim/'X.npy').symlink_to(thesis)
    assert open_folder(victim)[0]['X'][0,0,0] == 7
    rewrite(victim/'tsdisk.json', lambda m: m['checksums'].pop('X.npy'))
    with pytest.raises(DamagedFile, match='nothing is written through one'): append(victim, np.zeros((2,1,3), 'f4'), n_workers=0)

def test_links_to_values_are_not_appended_to(tmp_path, thesis):
    save_ragged(tmp_path/'r', [np.zeros((2,5), 'f4')]*2)
    shutil.copy(tmp_path/'r/values.npy', tmp_path/'values.npy')
    (tmp_path/'r/values.npy').unlink()
    (tmp_path/'r/values.npy').symlink_to(tmp_path/'values.npy')
    before = (tmp_path/'values.npy').read_bytes()
    assert len(open_ragged(tmp_path/'r')) == 2
    with pytest.raises(DamagedFile, match='nothing is written through one'): append_ragged(tmp_path/'r', [np.zeros((2,3), 'f4')])
    assert (tmp_path/'values.npy').read_bytes() == before

@pytest.mark.parametrize('kind', ['.convert', '.convert/made', '.convert/journal.jsonl', '.convert/items.jsonl', 'X.npy'])
def test_links_in_an_unfinished_conversion_are_refused(tmp_path, thesis, kind):
    d = tmp_path/'set'
    (d/'.convert/made').mkdir(parents=True)
    head = dict(version=1, id='ab', items=0, specs=dict(X=dict(layout='dense', trail=[1,3], dtype='<f4', target=None)), options={})
    (d/'.convert/journal.jsonl').write_text(json.dumps(head)+'\n')
    (d/'.convert/items.jsonl').touch()
    if kind == 'X.npy': (d/'.convert/made/X.npy').symlink_to(thesis)
    else:
        os.replace(d/kind, tmp_path/'elsewhere')
        (d/kind).symlink_to(tmp_path/'elsewhere')
    with pytest.raises(DamagedFile, match='symbolic link'): Writer(Journal(d)).close()

def test_rows_of_predictions_are_not_written_through_links(tmp_path, thesis):
    (tmp_path/'run').mkdir()
    (tmp_path/'run/preds.npy').symlink_to(thesis)
    with RowWriter(tmp_path/'run', 4) as w:
        with pytest.raises(DamagedFile, match='symbolic link'): w.write('preds', 0, np.zeros((2,3), 'f4'))

@pytest.mark.parametrize('name', ['X.npy','tsdisk.json'])
def test_pipes_and_devices_are_no_files(victim, name):
    (victim/name).unlink()
    os.mkfifo(victim/name)
    with pytest.raises(DamagedFile, match='a pipe, a device or a socket'): open_folder(victim)
    (victim/name).unlink()
    (victim/name).symlink_to('/dev/zero')
    with pytest.raises(DamagedFile, match='a pipe, a device or a socket'): open_folder(victim)

def test_lengths_of_headers_and_journals_are_not_believed(tmp_path, unfinished):
    (tmp_path/'x.npy').write_bytes(b'\x93NUMPY\x02\x00' + struct.pack('<I', 2**32-1) + bytes(100))
    with pytest.raises(DamagedFile, match='bytes, and 100 are left'): open_array(tmp_path/'x.npy')
    d = copy_of(unfinished)
    lines = (d/'.convert/journal.jsonl').read_text().splitlines()
    (d/'.convert/journal.jsonl').write_text('\n'.join([lines[0], json.dumps(json.loads(lines[1]) | dict(items=2**60))])+'\n')
    with pytest.raises(DamagedFile, match='it should have 1,152,921,504,606,846,976 bytes'): Writer(Journal(d))

# Single bits

@pytest.mark.parametrize('name', ['dense','ragged','saved'])
def test_every_flipped_bit_is_found(datasets, name):
    path,r = datasets/name,random.Random(0)
    files = [path/'tsdisk.json', *(path/o for o in json.loads((path/'tsdisk.json').read_text())['checksums'])]
    for i in range(inputs//25):
        file = files[0] if i%2 else r.choice(files)
        good = file.read_bytes()
        bit = r.randrange(len(good)*8)
        file.write_bytes(good[:bit//8]+bytes([good[bit//8] ^ 1 << bit%8])+good[bit//8+1:])
        try: assert verify(path), (file.name, bit)
        except DamagedFile: pass
        finally: file.write_bytes(good)
    assert not verify(path)

def test_manifests_without_a_checksum_of_their_own_are_still_verified(victim):
    rewrite(victim/'tsdisk.json', lambda m: None)
    assert not verify(victim)
