"EDF and BDF"
import json
import edfio, numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from hospital import all_rows, unpacked, x
from tsdisk.convert import readers
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

def edf_classes(kind): return (edfio.EdfSignal,edfio.Edf) if kind == 'edf' else (edfio.BdfSignal,edfio.Bdf)

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_edf_keeps_integers_units_and_annotations(tmp_path, kind):
    Signal,File = edf_classes(kind)
    spindle = edfio.EdfAnnotation(1, 2, 'spindle')
    for i in range(3):
        described = dict(physical_dimension='uV', physical_range=(-200,200))
        signals = [Signal(x[i,k].astype('f8'), 100, label=f'ch{k}', **described) for k in range(3)]
        File(signals, annotations=[spindle] if i == 1 else []).write(tmp_path/f'{i}.{kind}')
    convert(f'{tmp_path}/*.{kind}', tmp_path/'set')
    X,metadata = open_folder(tmp_path/'set')[0]['X'],metadata_of(tmp_path/'set')
    assert X.dtype == (np.int16 if kind == 'edf' else np.int32) and metadata['names'] == ['ch0','ch1','ch2']
    assert metadata['units'] == ['uV']*3 and metadata['fs'] == 100
    assert np.allclose(all_rows(tmp_path/'set', 3), x[:3], atol=400/2**16)
    lines = [json.loads(o)[1] for o in open(tmp_path/'set/items.jsonl')]
    assert lines[1]['annotations'] == [[1.0, 2.0, 'spindle']]

def test_signals_of_other_rates_are_named(tmp_path):
    eeg = edfio.EdfSignal(x[0,0].astype('f8'), 100, label='eeg')
    temp = edfio.EdfSignal(x[0,1,:50].astype('f8'), 10, label='temp')
    edfio.Edf([temp, eeg]).write(tmp_path/'a.edf')
    got = read_file(tmp_path/'a.edf')
    assert got['names'] == ['eeg'] and got['left_out'] == {'temp': 'another rate: 10 Hz'}
    assert read_file(f'{tmp_path}/a.edf::temp')['fs'] == 10
    with expect_fail(KeyError, "no signal 'x', it has ['temp', 'eeg']"): read_file(f'{tmp_path}/a.edf::x')

# Files that are written byte by byte

def field(v, width): return v.ljust(width)[:width] if isinstance(v, bytes) else str(v).encode('latin-1').ljust(width)[:width]

def signal(label, samples, unit='uV', physical=(-500,500), digital=(-2**15,2**15-1)):
    "What the header says of a signal"
    return dict(label=label, unit=unit, physical=physical, digital=digital, samples=samples)

def annotated(*strings, width=60):
    "The annotations of a data record"
    return b''.join(o.encode() + b'\0' for o in strings).ljust(width, b'\0')

notes = signal('EDF Annotations', 30, '', (-1,1))

def write_edf(path, signals, records, kind='EDF+C', recording='', date='24.04.89', time='22.30.00', duration='1', stated=None, version='0'):
    "An EDF file; `records` are lists of what each signal has in a data record, integers or bytes"
    n,width = len(signals),3 if path.suffix == '.bdf' else 2
    head = [(version if width == 2 else b'\xffBIOSEMI', 8), ('X X X X', 80), (recording, 80), (date, 8), (time, 8), (256*(n+1), 8), (kind, 44),
        (len(records) if stated is None else stated, 8), (duration, 8), (n, 4)]
    columns = [[(o['label'], 16) for o in signals], [('', 80)]*n, [(o['unit'], 8) for o in signals]]
    columns += [[(o[k][i], 8) for o in signals] for k in ('physical','digital') for i in (0,1)]
    columns += [[('', 80)]*n, [(o['samples'], 8) for o in signals], [('', 32)]*n]
    header = b''.join(field(*o) for column in [head, *columns] for o in column)
    data = b''.join(v if isinstance(v, bytes) else np.asarray(v, '<i4').view('u1').reshape(-1, 4)[:,:width].tobytes() for record in records for v in record)
    path.write_bytes(header + data)
    return path

def counts(i, n=10): return np.arange(i*n, (i+1)*n)

# Channels

@pytest.mark.parametrize('empty', [dict(digital=(0,0)), dict(physical=(0,0)), dict(physical=('0','0.0')), dict(samples=0)])
def test_blank_channels_are_left_out_by_name(empty, tmp_path):
    signals = [signal('Fp1', 10), {**signal('-', 10), **empty}, signal('Fp2', 10), {**signal('-', 10), **empty}]
    blank = [0]*signals[1]['samples']
    path = write_edf(tmp_path/'a.edf', signals, [[counts(i), blank, -counts(i), blank] for i in range(5)], kind='')
    got = read_file(path)
    assert got['names'] == ['Fp1','Fp2'] and [*got['left_out']] == ['-','- (2)']
    assert got['X'].tolist() == [[*range(50)], [*range(0,-50,-1)]]
    assert 'no samples' in got['left_out']['-'] if 'samples' in empty else 'blank' in got['left_out']['-']
    with fails(ValueError, 'a.edf', 'no signal with values', "'-'"): read_file(f'{path}::-')
    convert(path, tmp_path/'set', n_workers=0)
    assert [*metadata_of(tmp_path/'set')['left_out']] == ['-','- (2)']

def test_letters_that_are_not_ascii_and_decimal_commas_are_read(tmp_path):
    signals = [signal('Größe'.encode(), 10, b'\xb5V', ('-187,5','187,5')), signal('b', 10, 'µV'.encode())]
    got = read_file(write_edf(tmp_path/'a.edf', signals, [[counts(0), counts(0)]]))
    assert got['names'] == ['Größe','b'] and got['units'] == ['µV','µV'] and np.isclose(got['scale'][0], 375/65535)

def test_negative_gain_turns_a_signal_over(tmp_path):
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10, physical=(500,-500), digital=(-500,500))], [[counts(0)]]))
    assert np.allclose(unpacked(got), -counts(0))

def test_integers_of_24_bits_have_a_sign(tmp_path, monkeypatch):
    v = np.random.default_rng(0).integers(-2**23, 2**23, (40,2,10))
    signals = [signal(o, 10, digital=(-2**23,2**23-1)) for o in 'ab']
    path = write_edf(tmp_path/'a.bdf', signals, list(v), '24BIT')
    assert np.array_equal(read_file(path)['X'], v.swapaxes(0, 1).reshape(2, -1))
    monkeypatch.setattr(readers, 'large', 100)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (200,))
    assert np.array_equal(np.concatenate([*read_file(path)['X']], 1), v.swapaxes(0, 1).reshape(2, -1))

# Time

dates = {('24.04.89','22.30.00',''): '1989-04-24T22:30:00', ('01.02.03','04.05.06',''): '2003-02-01T04:05:06', ('01/02/84','04:05:06',''): '2084-02-01T04:05:06',
    ('24.04.89','22.30.00','Startdate 24-APR-2089 X X X'): '2089-04-24T22:30:00', ('24.04.89','22.30.00','Startdate 24-okt-1999'): '1989-04-24T22:30:00',
    ('24.04.89','22.30.00','Startdate X X X X'): None, ('00.00.00','00.00.00',''): None, ('','',''): None, ('24.04.89','',''): None, ('yy.xx.89','22.30.00',''): None,
    ('31.02.03','04.05.06',''): None, ('24.04.89','24.00.00',''): None}

@pytest.mark.parametrize('said', dates)
def test_odd_dates_give_no_start(said, tmp_path):
    date,time,recording = said
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(0)]], recording=recording, date=date, time=time))
    assert got.get('start') == dates[said] and got['fs'] == 10

def test_records_may_last_fractions_of_a_second(tmp_path):
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(0)]]*2, duration='0.04'))
    assert got['fs'] == 250 and got['X'].shape == (1,20)

def test_a_duration_of_zero_gives_no_rate(tmp_path):
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(0)]]*2, duration='0'))
    assert 'fs' not in got and got['X'].shape == (1,20)

def with_gaps(path, onsets, kind='EDF+D', **kwargs):
    strings = [[f'+{o}\x14\x14'] + (['+11.5\x152\x14spindle\x14'] if i == 3 else []) for i,o in enumerate(onsets)]
    records = [[counts(i), annotated(*o)] for i,o in enumerate(strings)]
    return write_edf(path, [signal('a', 10), notes], records, kind, **kwargs)

def test_gaps_of_discontinuous_files_are_jumps(tmp_path):
    path = with_gaps(tmp_path/'a.edf', [0,1,10,11,12.5])
    got = read_file(path)
    assert got['X'].tolist() == [[*range(50)]] and got['time_period'] == .1 and got['time_jumps'] == [[20,10*10**9],[40,12_500_000_000]]
    assert got['start'] == '1989-04-24T22:30:00' and got['annotations'] == [[11.5,2,'spindle']]
    with pytest.warns(UserWarning, match='1 series have gaps in time, 2 in all, the longest of 8.1 s'): convert(path, tmp_path/'set', n_workers=0)

def test_a_fraction_of_a_second_before_the_first_sample_is_in_the_start(tmp_path):
    got = read_file(with_gaps(tmp_path/'a.edf', [.25,1.25,2.25,3.25,4.25], 'EDF+C'))
    assert got['start'] == '1989-04-24T22:30:00.250000' and got['fs'] == 10 and got['annotations'] == [[11.25,2,'spindle']]

def test_the_annotation_that_keeps_time_may_have_text(tmp_path):
    records = [[counts(i), annotated(f'+{o}\x14\x14Recording starts\x14')] for i,o in enumerate([.5,1.5,9.5])]
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10), notes], records, 'EDF+D'))
    assert got['start'] == '1989-04-24T22:30:00.500000' and got['time_jumps'] == [[20,9*10**9]]
    assert got['annotations'] == [[o,None,'Recording starts'] for o in (0,1,9)]

def test_discontinuous_files_without_gaps_have_a_rate(tmp_path):
    got = read_file(with_gaps(tmp_path/'a.edf', [0,1,2,3,4]))
    assert got['fs'] == 10 and 'time_jumps' not in got

def test_discontinuous_files_that_do_not_say_when_are_refused(tmp_path):
    path = write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(0)]]*2, 'EDF+D')
    with fails(ValueError, 'a.edf', 'discontinuous', '`read`'): read_file(path)

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_both_formats_may_be_discontinuous(tmp_path, kind):
    Signal,File = edf_classes(kind)
    path = tmp_path/f'a.{kind}'
    File([Signal(np.arange(200.), 100, label='c')], annotations=[edfio.EdfAnnotation(1, 0, 'x')]).write(path)
    raw = path.read_bytes()
    assert read_file(path)['fs'] == 100 and raw[192:197] == f'{kind.upper()}+C'.encode()
    late = raw[:196] + b'D' + raw[197:].replace(b'+1\x14\x14\0', b'+9\x14\x14\0')
    path.write_bytes(late)
    got = read_file(path)
    assert got['time_jumps'] == [[100,9*10**9]] and got['X'].shape == (1,200) and got['annotations'] == [[1.,0.,'x']]

# Ends

def test_unfinished_recordings_are_read_to_the_last_whole_record(tmp_path):
    path = write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(i)] for i in range(5)], stated=-1)
    assert read_file(path)['X'].shape == (1,50) and 'left_out' not in read_file(path)
    path.write_bytes(path.read_bytes()[:-7])
    got = read_file(path)
    assert got['X'].tolist() == [[*range(40)]] and got['left_out'] == {'the end': '13 bytes of an incomplete data record'}

def test_what_a_truncated_file_lacks_is_named(tmp_path):
    path = write_edf(tmp_path/'a.edf', [signal('a', 10)], [[counts(i)] for i in range(5)])
    path.write_bytes(path.read_bytes()[:-30])
    got = read_file(path)
    assert got['X'].shape == (1,30) and got['left_out'] == {'the end': 'missing: 3 of 5 data records are complete'}

def test_damaged_annotations_leave_the_signals(tmp_path):
    records = [[counts(0), annotated('+0\x14\x14')], [counts(1), annotated('+x\x14\x14')]]
    got = read_file(write_edf(tmp_path/'a.edf', [signal('a', 10), notes], records))
    assert got['X'].shape == (1,20) and got['left_out'] == {'annotations': 'damaged in 1 data records, the first of them 1'}

damaged = [(b'', 'is not an EDF'), (b'PK\3\4'+b' '*400, 'is not an EDF'), (b'0'.ljust(192)+b' '*64, 'signals of'), (b'0'.ljust(252)+b'2   ', 'ends within its header')]

@pytest.mark.parametrize('raw,words', damaged)
def test_files_that_are_no_edf_are_named(raw, words, tmp_path):
    (tmp_path/'a.edf').write_bytes(raw)
    with fails(ValueError, 'a.edf', words): read_file(tmp_path/'a.edf')

@pytest.mark.parametrize('bad', [dict(samples='x'), dict(physical=('x','1')), dict(digital=('','1')), dict(physical=('nan','1'))])
def test_numbers_that_are_none_are_named(bad, tmp_path):
    path = write_edf(tmp_path/'a.edf', [{**signal('Fp1', 10), **bad}], [[counts(0)]])
    with fails(ValueError, [*bad][0], "'Fp1'", 'a.edf', 'must be a number'): read_file(path)

# Files without a recording

def hypnogram(path): return write_edf(path, [notes], [[annotated('+0\x14\x14', '+0\x1530\x14Sleep stage W\x14')]], duration='0')

def test_annotations_alone_are_no_recording(tmp_path):
    with fails(ValueError, 'a-Hypnogram.edf is not a recording', 'annotations only', 'read_annotated'): convert(hypnogram(tmp_path/'a-Hypnogram.edf'), tmp_path/'set')

def test_a_folder_leaves_out_files_without_recordings(tmp_path, capsys):
    hypnogram(tmp_path/'a-Hypnogram.edf')
    write_edf(tmp_path/'b.edf', [signal('a', 10)], [])
    write_edf(tmp_path/'a-PSG.edf', [signal('a', 10)], [[counts(0)]])
    convert(tmp_path, tmp_path/'set', n_workers=0)
    said = capsys.readouterr().out
    assert 'Left out, 2 files' in said and 'a-Hypnogram.edf: it holds annotations only' in said and 'b.edf: it has no data' in said
    assert open_folder(tmp_path/'set')[0]['X'].shape == (1,1,10)

def test_a_recording_of_no_length_is_refused(tmp_path):
    with fails(ValueError, 'a.edf is not a recording', 'no data'): read_file(write_edf(tmp_path/'a.edf', [signal('a', 10)], []))
