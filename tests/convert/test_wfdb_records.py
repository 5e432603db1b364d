"Records of WFDB"
import json, shutil
from functools import partial
import numpy as np, pytest, wfdb
from conftest import fails, metadata_of
from hospital import all_rows, as_float, in_small_pieces, integers, unpacked, write_signals, write_wfdb
from tsdisk.convert.convert import convert
from tsdisk.convert.wfdb_records import read_wfdb
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

@pytest.fixture
def in_pieces(monkeypatch): in_small_pieces(monkeypatch)

def test_wfdb_keeps_integers_and_gain(tmp_path):
    raw = tmp_path/'raw'
    raw.mkdir()
    for i in range(6): write_wfdb(raw, i, comments=[f'age: {i}'])
    wfdb.wrann('r0', 'atr', np.array([10,400]), ['N','V'], write_dir=str(raw))
    convert(raw, tmp_path/'set')
    X,metadata = open_folder(tmp_path/'set')[0]['X'],metadata_of(tmp_path/'set')
    assert X.dtype == np.int16 and metadata['names'] == ['I','II','V1'] and metadata['units'] == ['mV']*3
    assert metadata['fs'] == 250 and metadata['scale'] == [.01]*3
    for i in range(6): assert np.array_equal(X[i], wfdb.rdrecord(f'{raw}/r{i}', physical=False).d_signal.T)
    physical = np.stack([wfdb.rdrecord(f'{raw}/r{i}').p_signal.T for i in range(6)])
    assert np.allclose(all_rows(tmp_path/'set', 6), physical, atol=1e-5)
    lines = [json.loads(o)[1] for o in open(tmp_path/'set/items.jsonl')]
    assert lines[0]['annotations'] == dict(step=[10,400], symbol=['N','V']) and lines[3]['comments'] == ['age: 3']

def test_challenge_records_hold_their_signals_in_matlab_files(tmp_path):
    v = np.random.default_rng(0).integers(-999, 999, (50,2)).astype('<i2')
    for i in range(2):
        (tmp_path/f'g1/A{i}').parent.mkdir(exist_ok=True)
        (tmp_path/f'g1/A{i}.mat').write_bytes(b'x'*24 + v.tobytes())
        lines = [f'A{i}.mat 16+24 1000/mV 16 0 28 -1716 0 {o}' for o in ('I','II')]
        (tmp_path/f'g1/A{i}.hea').write_text('\n'.join([f'A{i} 2 500 50', *lines, '#Age: 74', '#Dx: 426783006']) + '\n')
    convert(tmp_path, tmp_path/'set', n_workers=0)
    assert np.allclose(all_rows(tmp_path/'set', 2)[1], v.T/1000, atol=1e-6) and metadata_of(tmp_path/'set')['comments'] == ['Age: 74','Dx: 426783006']

# Several rates

def test_the_fastest_signals_are_kept_and_others_named(tmp_path):
    v = integers('16', (100,7)) # Frames of 4 samples of an electrocardiogram, 2 of a pressure, 1 of breathing
    path = write_signals(tmp_path, 'r', '16', v, ['x4 100/mV 16 0 0 0 0 ECG', 'x2 10/mmHg 16 0 0 0 0 ABP', ' 5/NU 16 0 0 0 0 RESP'])
    got = read_file(path)
    assert got['names'] == ['ECG'] and got['fs'] == 400
    assert got['left_out'] == {'ABP': 'another rate: 200 Hz', 'RESP': 'another rate: 100 Hz'}
    assert np.allclose(unpacked(got)[0], as_float(v[:,:4].ravel(), '16', 100), equal_nan=True)
    abp = read_file(f'{path}::ABP')
    assert abp['fs'] == 200 and 'left_out' not in abp and np.allclose(unpacked(abp)[0], as_float(v[:,4:6].ravel(), '16', 10), equal_nan=True)
    with fails(KeyError, "no signal 'II'", 'RESP'): read_file(f'{path}::II')

# Several segments

def write_segments(folder, gains=(100,100), layout=True):
    "A record of two segments and a gap of 10 frames; the second segment lacks a signal in a variable layout"
    one,two = integers('16', (30,2)),integers('16', (20,1 if layout else 2), 1)
    write_signals(folder, 's1', '16', one, [f' {gains[0]}/mV 16 0 0 0 0 I', f' {gains[0]}/mV 16 0 0 0 0 II'])
    write_signals(folder, 's2', '16', two, [f' {gains[1]}/mV 16 0 0 0 0 {o}' for o in (['II'] if layout else ['I','II'])])
    (folder/'r_layout.hea').write_text('r_layout 2 100 0\n~ 0 100/mV 16 0 0 0 0 I\n~ 0 100/mV 16 0 0 0 0 II\n')
    lines = ['r/4 2 100 60 12:00:00.5 31/01/2020', 'r_layout 0', 's1 30', '~ 10', 's2 20'] if layout else ['r/2 2 100 50', 's1 30', 's2 20']
    (folder/'r.hea').write_text('\n'.join(lines) + '\n')
    a,b = as_float(one, '16', gains[0]),as_float(two, '16', gains[1])
    return np.concatenate([a, np.stack([np.full(20, np.nan), b[:,0]], 1) if layout else b]).T

def test_segments_are_one_series_with_a_jump_at_the_gap(tmp_path):
    want = write_segments(tmp_path)
    got = read_file(tmp_path/'r.hea')
    assert got['X'].dtype == np.int16 and got['names'] == ['I','II'] and np.allclose(unpacked(got), want, equal_nan=True)
    assert got['start'] == '2020-01-31T12:00:00.500000' and got['time_period'] == .01 and got['time_jumps'] == [[30,400_000_000]]
    with pytest.warns(UserWarning, match='1 series have gaps'): convert(tmp_path/'r.hea', tmp_path/'set', n_workers=0)
    assert np.allclose(all_rows(tmp_path/'set', 1)[0], want, atol=1e-5, equal_nan=True)

def test_segments_of_a_fixed_layout_are_joined(tmp_path, in_pieces):
    want = write_segments(tmp_path, layout=False)
    got = read_file(tmp_path/'r.hea')
    assert got['fs'] == 100 and 'time_jumps' not in got and np.allclose(unpacked(got), want, equal_nan=True)

@pytest.mark.parametrize('layout', [True,False])
def test_segments_of_other_gains_come_in_physical_units(layout, tmp_path):
    want = write_segments(tmp_path, (100,250), layout)
    got = read_file(tmp_path/'r.hea')
    if layout: assert 'scale' not in got and got['X'].dtype == np.float32
    assert np.allclose(unpacked(got), want, atol=1e-5, equal_nan=True)

def test_segments_of_other_units_are_refused(tmp_path):
    write_segments(tmp_path)
    path = tmp_path/'s2.hea'
    path.write_text(path.read_text().replace('/mV', '/uV'))
    with fails(ValueError, 'r.hea', "'II'", 'mV', 'uV', 'one by one'): read_file(tmp_path/'r.hea')

def test_a_gap_at_the_start_moves_the_start(tmp_path):
    write_segments(tmp_path)
    (tmp_path/'r.hea').write_text('r/5 2 100 160 12:00:00 31/01/2020\nr_layout 0\n~ 100\ns1 30\n~ 10\ns2 20\n')
    got = read_file(tmp_path/'r.hea')
    assert got['start'] == '2020-01-31T12:00:01' and got['time_jumps'] == [[30,400_000_000]]

def test_a_folder_leaves_out_segments_and_layouts_by_name(tmp_path, capsys):
    want = write_segments(tmp_path)
    (tmp_path/'lost_layout.hea').write_text('lost_layout 1 100 0\n~ 0 100/mV 16 0 0 0 0 I\n')
    with pytest.warns(UserWarning, match='gaps'): convert(tmp_path, tmp_path/'set', n_workers=0)
    said = capsys.readouterr().out
    assert 'Left out, 4 files' in said and 'lost_layout.hea: it is the layout' in said and 's1.hea: it is a segment of r' in said
    assert np.allclose(all_rows(tmp_path/'set', 1)[0], want, atol=1e-5, equal_nan=True)

def test_a_layout_by_itself_is_refused(tmp_path):
    write_segments(tmp_path)
    with fails(ValueError, 'r_layout.hea is not a record', 'layout'): convert(tmp_path/'r_layout.hea', tmp_path/'set')
    (tmp_path/'alone').mkdir()
    shutil.move(tmp_path/'r_layout.hea', tmp_path/'alone')
    with fails(FileNotFoundError, 'no recordings', 'r_layout.hea'): convert(tmp_path/'alone', tmp_path/'set')

# Annotations

def test_annotators_are_chosen_by_name(tmp_path):
    write_signals(tmp_path, 'r', '16', integers('16', (300,1)), [''])
    wfdb.wrann('r', 'atr', np.array([10,200]), ['N','+'], aux_note=['','(AFIB'], write_dir=str(tmp_path))
    wfdb.wrann('r', 'qrs', np.array([11]), ['V'], write_dir=str(tmp_path))
    assert read_file(tmp_path/'r.hea')['annotations'] == dict(step=[10,200], symbol=['N','+'], note=['','(AFIB'])
    got = read_wfdb(tmp_path/'r.hea', annotators=['qrs','atr'])
    assert got['annotations'] == dict(step=[11], symbol=['V']) and got['annotations_atr']['step'] == [10,200]
    assert 'annotations' not in read_wfdb(tmp_path/'r.hea', annotators='ecg')
    convert(tmp_path/'r.hea', tmp_path/'set', read=partial(read_wfdb, annotators='qrs'), n_workers=0)
    assert metadata_of(tmp_path/'set')['annotations'] == dict(step=[11], symbol=['V'])

def test_annotations_count_steps_of_the_record(tmp_path):
    write_signals(tmp_path, 'r', '16', integers('16', (300,4)), ['x4'])
    wfdb.wrann('r', 'atr', np.array([10,200]), ['N','V'], write_dir=str(tmp_path))
    assert read_file(tmp_path/'r.hea')['annotations']['step'] == [40,800]
    wfdb.wrann('r', 'atr', np.array([10,200]), ['N','V'], fs=1000, write_dir=str(tmp_path)) # Milliseconds
    assert read_file(tmp_path/'r.hea')['annotations']['step'] == [4,80]

def test_annotations_after_a_gap_find_their_step(tmp_path):
    write_segments(tmp_path)
    wfdb.wrann('r', 'atr', np.array([5,35,42]), ['N','N','V'], fs=100, write_dir=str(tmp_path))
    assert read_file(tmp_path/'r.hea')['annotations']['step'] == [5,30,32]

def write_two_segments(folder):
    "m.hea, a record of two segments of 100 steps at 100 Hz that starts on 1 May 2020"
    values = np.arange(200)[:,None]
    for i in range(2):
        wfdb.wrsamp(f's{i}', fs=100, units=['mV'], sig_name=['I'], d_signal=values[i*100:][:100], fmt=['16'], adc_gain=[200.],
            baseline=[0], write_dir=str(folder))
    (folder/'m.hea').write_text('m/2 1 100 200 12:00:00 01/05/2020\ns0 100\ns1 100\n# age: 5\n')
    return values.T/200

def test_functions_of_wfdb_get_the_name_that_they_append_the_suffix_to(tmp_path):
    X = write_two_segments(tmp_path)
    path = convert(tmp_path/'m.hea', tmp_path/'set', read=lambda p: wfdb.rdrecord(p, m2s=True), n_workers=0)
    assert np.allclose(open_folder(path)[0]['X'][0], X)
    assert (metadata_of(path)['start'], metadata_of(path)['comments']) == ('2020-05-01T12:00:00', ['age: 5'])

def test_a_reader_that_takes_the_path_of_a_header_is_called_once(tmp_path):
    write_two_segments(tmp_path)
    paths = []
    def read(p):
        paths.append(p)
        return wfdb.rdrecord(p.removesuffix('.hea'), m2s=True)
    convert(tmp_path/'m.hea', tmp_path/'set', read=read, n_workers=0)
    assert {*paths} == {str(tmp_path/'m.hea')}

@pytest.mark.parametrize('missing', ['s1.dat','s1.hea','m.hea.atr'])
def test_other_missing_files_of_a_header_are_named(missing, tmp_path):
    write_two_segments(tmp_path)
    (tmp_path/missing).unlink(missing_ok=True)
    def read(p): return open(f'{p}.atr') if missing == 'm.hea.atr' else wfdb.rdrecord(p, m2s=True)
    with fails(ValueError, missing): convert(tmp_path/'m.hea', tmp_path/'set', read=read, n_workers=0)

def test_records_without_physical_values_say_how_to_read_them(tmp_path):
    write_two_segments(tmp_path)
    with fails(ValueError, 'physical=True, smooth_frames=True'):
        convert(tmp_path/'s0.hea', tmp_path/'set', read=lambda p: wfdb.rdrecord(p, physical=False), n_workers=0)

def test_the_header_of_a_record_is_read_once(tmp_path, monkeypatch):
    wfdb.wrsamp('r', fs=100, units=['mV']*2, sig_name=['a','b'], p_signal=np.random.default_rng(0).normal(size=(50,2)), fmt=['16']*2, write_dir=str(tmp_path))
    rdheader,read = wfdb.rdheader,[]
    def counted(*args, **kwargs):
        read.append(args)
        return rdheader(*args, **kwargs)
    monkeypatch.setattr(wfdb, 'rdheader', counted) # Not the one inside `wfdb.rdrecord`
    assert read_wfdb(str(tmp_path/'r.hea'))['X'].shape == (2,50) and len(read) == 1
