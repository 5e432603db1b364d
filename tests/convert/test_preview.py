"The plan of a conversion, its room on disk, and the range of its values, before work starts"
import shutil
from types import SimpleNamespace
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails
from conversion import as_item, write_raw, X
from test_columns_kept import write_csv
from tsdisk.convert import readers
from tsdisk.convert.convert import append, convert
from tsdisk.convert.plan import Outline
from tsdisk.convert.preview import count_inputs, hint_at_axes, outline_records, sample_records
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.checks import verify
from tsdisk.folder.manifest import open_folder

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

def test_the_plan_is_printed(raw, tmp_path, capsys):
    convert(raw, tmp_path/'set', read=as_item)
    assert '60 inputs: X ragged (3, steps) float32; with split, y, patient, fs, age, note' in capsys.readouterr().out

def test_many_variables_of_few_steps_get_a_hint(tmp_path):
    with pytest.warns(UserWarning, match='5,000 variables of 3 steps'): convert([np.ones((5000,3))], tmp_path/'set')

def test_what_is_left_out_is_printed_and_kept(tmp_path, capsys):
    (tmp_path/'a.rec').touch()
    read = lambda p: dict(X=np.ones((2,5)), left_out=dict(RESP='another rate: 4 Hz'))
    made = convert([str(tmp_path/'a.rec')], tmp_path/'set', read=read, n_workers=0)
    assert 'Left out: RESP (another rate: 4 Hz)' in capsys.readouterr().out
    assert read_manifest(tmp_path/'set')['info']['left_out'] == dict(RESP='another rate: 4 Hz')
    assert 'left out: RESP (another rate: 4 Hz)' in repr(made)

def test_an_append_says_that_it_adds_no_steps(tmp_path, capsys):
    made = convert([write_csv(tmp_path/f'day1/store_{i:03}.csv', i) for i in range(2)], tmp_path/'set', n_workers=0)
    capsys.readouterr()
    append(made, write_csv(tmp_path/'day2/store_000.csv', 50), n_workers=0)
    said = capsys.readouterr().out
    assert 'The dataset has rows from store_000.csv already' in said and 'never adds steps' in said
    append(made, write_csv(tmp_path/'day2/store_007.csv', 70), n_workers=0)
    assert 'already' not in capsys.readouterr().out
    assert open_folder(made)[0]['source'].tolist() == ['store_000.csv','store_001.csv','store_000.csv','store_007.csv']

def test_the_plan_says_how_to_halve_64_bits(tmp_path, capsys):
    file = write_csv(tmp_path/'a.csv')
    hint = "`dtype='float32'` halves `X`"
    for i,dtype in enumerate([None,'float32','float64']):
        convert(file, tmp_path/f'set{i}', dtype=dtype, n_workers=0)
        assert (hint in capsys.readouterr().out) == (dtype is None)

# Room on the disk

def test_room_is_checked_before_work_starts(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(1000, 1000, 1000))
    with expect_fail(OSError, 'needs 0.0 GB'): convert(raw, tmp_path/'set')
    assert not (tmp_path/'set').exists()

def rows_of_a_file(d):
    np.savez(d/'a.npz', X=np.zeros((5000,4,100), 'f4'))
    return d/'a.npz'

def compressed(d):
    np.savez_compressed(d/'a.npz', X=np.zeros((5000,4,100), 'f4'))
    return d/'a.npz'

def recording(d):
    h5py = pytest.importorskip('h5py')
    with h5py.File(d/'a.h5', 'w') as f: f['X'] = np.zeros((4,500_000), 'f4')
    return d/'a.h5'

def recordings(d): return [np.zeros((4,100_000+i), 'f4') for i in range(5)]
def in_memory(d): return np.zeros((5000,4,100), 'f4')

@pytest.mark.parametrize('kind', [rows_of_a_file, compressed, recording, recordings, in_memory])
def test_room_is_counted_for_all_rows_of_known_size(tmp_path, monkeypatch, kind):
    "Eight MB each"
    monkeypatch.setattr(readers, 'large', 2**20)
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', 2**20)
    free,src = shutil.disk_usage(tmp_path).free,kind(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(free, 0, 7_900_000))
    with expect_fail(OSError, 'make room'): convert(src, tmp_path/'set')
    assert not (tmp_path/'set').exists()
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(free, 0, 8_100_000))
    convert(src, tmp_path/'set')
    assert verify(tmp_path/'set') == []

def test_inputs_need_room_twice_where_it_is_not_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.journal.free_space', lambda *args: False)
    monkeypatch.setattr('tsdisk.convert.preview.free_space', lambda *args: False)
    for free,kind in ((15.9e6,in_memory), (9.5e6,recordings)):
        monkeypatch.setattr(shutil, 'disk_usage', lambda p, free=free: shutil._ntuple_diskusage(0, 0, int(free)))
        with expect_fail(OSError, 'make room'): convert(kind(tmp_path), tmp_path/'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 16_100_000))
    convert(in_memory(tmp_path), tmp_path/'set')
    with expect_fail(OSError, 'make room'): append(tmp_path/'set', np.ones((5050,4,100), 'f4'))

def test_rows_that_tfm_drops_need_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', 2**20)
    src = rows_of_a_file(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 2_000_000))
    assert open_folder(convert(src, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][::10]}))[0]['X'].shape == (504,4,100)

def test_room_is_checked_before_rows_are_appended(tmp_path, monkeypatch):
    convert(np.ones((5,4,100), 'f4'), tmp_path/'set')
    monkeypatch.setattr(shutil, 'disk_usage', lambda p: shutil._ntuple_diskusage(0, 0, 7_900_000))
    with expect_fail(OSError, 'make room'): append(tmp_path/'set', np.ones((5000,4,100), 'f4'))
    assert len(open_folder(tmp_path/'set')[0]['X']) == 5 and not (tmp_path/'set/.convert').exists()

# The range of values

@pytest.mark.parametrize('low,is_said', [(1000.,False), (100_000.,True)])
def test_steps_that_float32_cannot_tell_apart_are_said(tmp_path, recwarn, low, is_said):
    convert([dict(X=np.linspace(low, low+14.3, 500)[None])], tmp_path/'set', dtype='int16', n_workers=0)
    assert any("float32, which can't represent steps" in str(o.message) for o in recwarn) == is_said

def test_two_passes_need_inputs_that_can_be_read_twice(tmp_path):
    records = (X(i) for i in range(9))
    said = "`dtype='int16'` needs two passes",'an iterable allows only one'
    with fails(ValueError, *said): convert(records, tmp_path/'set', dtype='int16')

# Samples of the inputs

class Reader:
    "Reads numbers: each is as many records, and those below 0 can't be read"
    def __init__(self, skip=False): self.skip,self.read = skip,[]
    def records(self, o, copy=False):
        self.read.append(o)
        if o < 0: raise OSError(f'no {-o}')
        return (dict(X=np.zeros((2,o,i+1), 'f4'), i=i) for i in range(o))

def inputs_of(numbers): return SimpleNamespace(sample=lambda: numbers, metadata=lambda o: dict(y=o))

spaced = [(1, [0]), (2, [0,1]), (5, [0,1,2,3,4]), (9, [0,2,4,6,8]), (1000, [0,249,499,749,999])]

@pytest.mark.parametrize('n,read', spaced)
def test_five_inputs_from_the_first_to_the_last_are_read(n, read):
    job = Reader()
    found = sample_records(job, inputs_of([*range(1, n+1)]))
    assert job.read == [o+1 for o in read] and found[0]['X'].shape == (2,1,1) and found[0]['y'] == 1
    assert len(found) == sum(min(o, 50) for o in job.read)

def test_records_of_an_input_are_outlined_up_to_a_number_and_a_size():
    read = [*outline_records(Reader(), 9, dict(split='train'))]
    assert [(o['X'].shape, o['i'], o['split']) for o in read] == [((2,9,i+1), i, 'train') for i in range(9)]
    assert len([*outline_records(Reader(), 9, {}, most=4)]) == 4
    assert len([*outline_records(Reader(), 9, {}, nbytes=2*9*4*3)]) == 3 # 1 and 2 steps fit, 3 exceed it

def test_unreadable_samples_are_passed_over_and_the_last_is_named_if_all_are():
    assert len(sample_records(Reader(), inputs_of([-1,2,-3]))) == 2
    with fails(ValueError, 'Item 2 could not be read: OSError: no 3'): sample_records(Reader(), inputs_of([-1,-2,-3]))
    with fails(ValueError, 'nothing to convert'): sample_records(Reader(), inputs_of([0,0]))
    numbers = [-1]*7+[0,4]+[-1]*12
    with fails(ValueError, 'Item 20'): sample_records(Reader(), inputs_of(numbers))
    job = Reader(skip=True)
    assert len(sample_records(job, inputs_of(numbers))) == 4 and job.read[-2:] == [0,4]

shapes = [((256,32), True), ((255,8), False), ((400,50), True), ((400,51), False), ((5,300,1), True), ((3,5000), False),
    ((300,None), False)]

@pytest.mark.parametrize('shape,said', shapes, ids=str)
def test_many_variables_of_few_steps_are_perhaps_swapped(shape, said, recwarn):
    hint_at_axes(Outline(shape, np.dtype('f4'), 0))
    words = f'{shape[-2]:,} variables of {shape[-1]} steps'
    assert len(recwarn) == said and all(words in str(o.message) for o in recwarn)

def test_inputs_are_counted_in_words():
    said = [count_inputs(o) for o in (0,1,2,12_345)]
    assert said == ['0 inputs','1 input','2 inputs','12,345 inputs']
