"Records of WFDB"
import json, shutil
from functools import partial
import numpy as np, pytest, wfdb
from conftest import fails, metadata_of
from hospital import all_rows, bits_of, encoders, unpacked, write_signals, write_wfdb, x
from tsdisk.convert import readers
from tsdisk.convert.convert import convert
from tsdisk.convert.wfdb_records import read_wfdb
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

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

def test_missing_samples_of_wfdb_arrive_as_nan(tmp_path):
    p = x[0].T.astype('f8').copy()
    p[7,1] = np.nan
    variables = dict(units=['mV']*3, sig_name=['a','b','c'], fmt=['16']*3)
    wfdb.wrsamp('r', fs=250, p_signal=p, write_dir=str(tmp_path), **variables)
    got = all_rows(convert(tmp_path/'r.hea', tmp_path/'set'), 1)
    assert np.isnan(got[0,1,7]) and np.isnan(got).sum() == 1

def test_wfdb_formats_may_differ_within_a_record(tmp_path):
    p = x[0].T.astype('f8').copy()
    p[7,0] = p[9,1] = np.nan
    variables = dict(units=['mV']*2, sig_name=['a','b'], fmt=['80','16'])
    wfdb.wrsamp('r', fs=250, p_signal=p[:,:2], write_dir=str(tmp_path), **variables)
    got = all_rows(convert(tmp_path/'r.hea', tmp_path/'set'), 1)
    want = wfdb.rdrecord(str(tmp_path/'r')).p_signal.T
    assert np.isnan(want[0,7]) and np.isnan(want[1,9]) and np.allclose(got[0], want, atol=1e-5, equal_nan=True)

# Storage formats

@pytest.fixture
def in_pieces(monkeypatch):
    "Recordings come in small pieces"
    monkeypatch.setattr(readers, 'large', 1000)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (700,))

def integers(fmt, shape, seed=0):
    "Integers of a storage format, one of them its code of a missing value"
    half = 2**(bits_of[fmt]-1)
    res = np.random.default_rng(seed).integers(1-half, half, shape)
    res[7,0] = -half
    return res

def as_float(v, fmt, gain=200, zero=0): return np.where(v == -2**(bits_of[fmt]-1), np.nan, (v-zero)/gain)

@pytest.mark.parametrize('fmt', encoders)
def test_every_format_is_exact_and_its_missing_values_are_nan(fmt, tmp_path):
    v = integers(fmt, (301,2))
    got = read_file(write_signals(tmp_path, 'r', fmt, v, ['','']))
    assert got['X'].dtype == (np.int32 if bits_of[fmt] > 16 else np.int16) and got['X'].shape == (2,301)
    want = as_float(v, fmt).T
    assert np.isnan(want).sum() == 1 and np.allclose(unpacked(got), want, rtol=1e-12, equal_nan=True)
    assert np.allclose(all_rows(convert(tmp_path/'r.hea', tmp_path/'set', n_workers=0), 1)[0], want, rtol=1e-6, equal_nan=True)

@pytest.mark.parametrize('fmt', encoders)
def test_every_format_is_the_same_in_pieces(fmt, tmp_path, in_pieces):
    v = integers(fmt, (1003,3))
    got = read_file(write_signals(tmp_path, 'r', fmt, v, ['','','']))
    assert not hasattr(got['X'], 'shape')
    assert np.allclose(unpacked(got), as_float(v, fmt).T, rtol=1e-12, equal_nan=True)

def write_differences(folder, n):
    v = np.cumsum(np.random.default_rng(0).integers(-9, 9, (n,2)), 0)
    return v, write_signals(folder, 'r', '8', np.diff(v, axis=0, prepend=0).astype('i1').tobytes(), ['',''], f'{{name}} {{n}} 100 {n}')

def test_differences_are_summed(tmp_path):
    v,path = write_differences(tmp_path, 300)
    assert np.allclose(unpacked(read_file(path)), v.T/200)

def test_differences_are_summed_over_pieces(tmp_path, in_pieces):
    v,path = write_differences(tmp_path, 1000)
    assert np.allclose(unpacked(read_file(path)), v.T/200)

@pytest.mark.parametrize('fmt,bits', [('508',8), ('516',16), ('524',24)])
def test_compressed_formats_are_exact(fmt, bits, tmp_path, in_pieces):
    v = np.random.default_rng(0).integers(1-2**(bits-1), 2**(bits-1), (1000,2))
    v[5,1] = -2**(bits-1)
    wfdb.wrsamp('r', fs=100, units=['mV']*2, sig_name=['a','b'], d_signal=v, fmt=[fmt]*2, adc_gain=[200.]*2, baseline=[3]*2, write_dir=str(tmp_path))
    want = np.where(v == -2**(bits-1), np.nan, (v-3)/200).T
    assert np.allclose(unpacked(read_file(tmp_path/'r.hea')), want, rtol=1e-12, equal_nan=True)

def test_a_compressed_record_without_length_says_what_to_write(tmp_path):
    v = np.arange(40).reshape(20,2)
    wfdb.wrsamp('r', fs=100, units=['mV']*2, sig_name=['a','b'], d_signal=v, fmt=['516']*2, adc_gain=[200.]*2, baseline=[0]*2, write_dir=str(tmp_path))
    text = (tmp_path/'r.hea').read_text()
    (tmp_path/'r.hea').write_text(text.replace('r 2 100 20', 'r 2 100'))
    with fails(ValueError, 'r.hea', 'number of samples', 'fourth', 20): read_file(tmp_path/'r.hea')
    (tmp_path/'r.hea').write_text(text)
    assert read_file(tmp_path/'r.hea')['X'].shape == (2,20)

def test_formats_of_several_files_share_their_missing_value(tmp_path):
    a,b = integers('80', (50,1)),integers('24', (50,1), 1)
    for o,v,fmt in (('a',a,'80'), ('b',b,'24')): write_signals(tmp_path, o, fmt, v, [''])
    (tmp_path/'r.hea').write_text('r 2 100 50\na.dat 80 10\nb.dat 24 1000\n')
    got = read_file(tmp_path/'r.hea')
    want = np.stack([as_float(a, '80', 10)[:,0], as_float(b, '24', 1000)[:,0]])
    assert got['X'].dtype == np.int32 and np.allclose(unpacked(got), want, rtol=1e-12, equal_nan=True)

# Headers

def test_optional_fields_have_the_values_that_the_format_prescribes(tmp_path):
    v = integers('16', (100,2))
    got = read_file(write_signals(tmp_path, 'r', '16', v, ['',''], '{name} {n}'))
    assert got['fs'] == 250 and got['units'] == ['mV']*2 and got['names'] == ['signal 0','signal 1'] and 'start' not in got
    assert np.allclose(unpacked(got), as_float(v, '16').T, equal_nan=True)

def test_the_zero_of_the_converter_is_the_baseline(tmp_path):
    v = integers('16', (100,2))
    got = read_file(write_signals(tmp_path, 'r', '16', v, [' 0 16 50 0 0 0 a',' 100(7)/uV 16 50 0 0 0 b c']))
    assert got['names'] == ['a','b c'] and got['units'] == ['mV','uV']
    want = [as_float(v[:,0], '16', 200, 50), as_float(v[:,1], '16', 100, 7)]
    assert np.allclose(unpacked(got), want, equal_nan=True)

@pytest.mark.parametrize('encoding', ['utf-8','latin-1'])
def test_letters_that_are_not_ascii_stay(encoding, tmp_path):
    path = write_signals(tmp_path, 'r', '16', integers('16', (100,2)), [' 100/µV 16 0 0 0 0 Größe',' 100/mV 16 0 0 0 0 b'])
    path.write_bytes((path.read_text('utf-8') + '# Müller\n').encode(encoding))
    got = read_file(path)
    assert got['units'] == ['µV','mV'] and got['names'] == ['Größe','b'] and got['comments'] == ['Müller']

@pytest.mark.parametrize('head,size', [('{name} {n}',100), ('{name} {n} 125',100)])
def test_a_length_that_is_not_stated_is_that_of_the_file(head, size, tmp_path, in_pieces):
    v = integers('212', (1000,2))
    got = read_file(write_signals(tmp_path, 'r', '212', v, ['',''], head))
    assert np.allclose(unpacked(got), as_float(v, '212').T, equal_nan=True)

def test_lines_of_windows_and_comments_above_are_read(tmp_path):
    v = integers('16', (100,2))
    path = write_signals(tmp_path, 'r', '16', v, ['',''])
    path.write_bytes(b'# first\r\n\r\n' + path.read_bytes().replace(b'\n', b'\r\n'))
    assert np.allclose(unpacked(read_file(path)), as_float(v, '16').T, equal_nan=True)
    convert(tmp_path, tmp_path/'set', n_workers=0)

def test_a_length_of_zero_is_refused_with_advice_that_works(tmp_path):
    path = write_signals(tmp_path, 'r', '16', integers('16', (100,1)), [''], '{name} {n} 125 0')
    with fails(ValueError, 'r.hea states 0 samples', 'remove the 0'): read_file(path)
    path.write_text(path.read_text().replace('125 0', '125'))
    assert unpacked(read_file(path)).shape == (1,100)

def test_challenge_records_hold_their_signals_in_matlab_files(tmp_path):
    v = np.random.default_rng(0).integers(-999, 999, (50,2)).astype('<i2')
    for i in range(2):
        (tmp_path/f'g1/A{i}').parent.mkdir(exist_ok=True)
        (tmp_path/f'g1/A{i}.mat').write_bytes(b'x'*24 + v.tobytes())
        lines = [f'A{i}.mat 16+24 1000/mV 16 0 28 -1716 0 {o}' for o in ('I','II')]
        (tmp_path/f'g1/A{i}.hea').write_text('\n'.join([f'A{i} 2 500 50', *lines, '#Age: 74', '#Dx: 426783006']) + '\n')
    convert(tmp_path, tmp_path/'set', n_workers=0)
    assert np.allclose(all_rows(tmp_path/'set', 2)[1], v.T/1000, atol=1e-6) and metadata_of(tmp_path/'set')['comments'] == ['Age: 74','Dx: 426783006']

damaged = {'': 'no signals', '# only a comment\n': 'no signals', 'r 0 100 5\n': 'no signals', 'r 2 100 5\nr.dat 16\n': 'states 2 signals, but lists 1',
    'r 1 100 500\nr.dat 16\n': 'damaged', 'r 1 100 5\nr.dat 17\n': 'damaged', 'r x\nr.dat 16\n': 'r.hea', 'r 1 100 5\nelsewhere.dat 16\n': 'elsewhere.dat',
    'r/2 1 100 10\ns1 5\ns2 5\n': 's1.hea', 'r/1 1 100 0\n~ 10\n': 'all of its segments are gaps'}

@pytest.mark.parametrize('text', damaged)
def test_damaged_headers_are_named(text, tmp_path):
    write_signals(tmp_path, 'r', '16', np.zeros((5,1), int), [''])
    (tmp_path/'r.hea').write_text(text)
    with fails((ValueError,FileNotFoundError), damaged[text]): read_file(tmp_path/'r.hea')

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

@pytest.mark.parametrize('fmt', ['16','61','212'])
def test_pieces_may_begin_within_a_frame(fmt, tmp_path, in_pieces):
    v = integers(fmt, (301,8))
    got = read_file(write_signals(tmp_path, 'r', fmt, v, ['x4','x4']))
    assert not hasattr(got['X'], 'shape')
    want = np.stack([as_float(v[:,o].ravel(), fmt) for o in (slice(0,4), slice(4,8))])
    assert np.allclose(unpacked(got), want, equal_nan=True)

@pytest.mark.parametrize('pieces', [False,True])
def test_skewed_signals_are_aligned_and_their_end_is_missing(pieces, tmp_path, request):
    if pieces: request.getfixturevalue('in_pieces')
    v = integers('16', (300,4))
    got = unpacked(read_file(write_signals(tmp_path, 'r', '16', v, ['x2:3','x2'])))
    a,b = (as_float(v[:,o], '16').ravel() for o in (slice(0,2), slice(2,4)))
    assert np.isnan(got[0,-6:]).all() and np.allclose(got[0,:-6], a[6:], equal_nan=True) and np.allclose(got[1], b, equal_nan=True)

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
