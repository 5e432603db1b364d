"Signals of one segment: storage formats, headers, frames and skew"
import numpy as np, pytest, wfdb
from conftest import fails, same
from hospital import all_rows, as_float, bits_of, encoders, in_small_pieces, integers, unpacked, write_signals, x
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.wfdb_segments import read_header, Segment, Signal, signals_of, unify_missing

@pytest.fixture
def in_pieces(monkeypatch): in_small_pieces(monkeypatch)

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

damaged = {'': 'no signals', '# only a comment\n': 'no signals', 'r 0 100 5\n': 'no signals', 'r 2 100 5\nr.dat 16\n': 'states 2 signals, but lists 1',
    'r 1 100 500\nr.dat 16\n': 'damaged', 'r 1 100 5\nr.dat 17\n': 'damaged', 'r x\nr.dat 16\n': 'r.hea', 'r 1 100 5\nelsewhere.dat 16\n': 'elsewhere.dat',
    'r/2 1 100 10\ns1 5\ns2 5\n': 's1.hea', 'r/1 1 100 0\n~ 10\n': 'all of its segments are gaps'}

@pytest.mark.parametrize('text', damaged)
def test_damaged_headers_are_named(text, tmp_path):
    write_signals(tmp_path, 'r', '16', np.zeros((5,1), int), [''])
    (tmp_path/'r.hea').write_text(text)
    with fails((ValueError,FileNotFoundError), damaged[text]): read_file(tmp_path/'r.hea')

# Frames

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

# A segment by itself

codes = dict([('16',-2**15), ('80',-2**7), ('212',-2**11), ('310',-2**9), ('24',-2**23), ('32',-2**31), ('8',None)])

@pytest.mark.parametrize('fmt,code', codes.items())
@pytest.mark.parametrize('bits', [16,32])
def test_the_code_of_a_missing_value_becomes_the_smallest_integer(fmt, code, bits):
    x = np.array([1, -2, code or 0], 'i8')
    want = np.array([1, -2, 0 if code is None else -2**(bits-1)], f'i{bits//8}')
    same(unify_missing(x, fmt, bits), want)

def test_signals_are_described_as_their_header_says(tmp_path):
    lines = ['x2:3 100(7)/uV 16 50 0 0 0 a',' 0 16 50 0 0 0 a','x1']
    path = write_signals(tmp_path, 'r', '16', integers('16', (50,4)), lines)
    a,b,c = signals_of(read_header(str(path))).values()
    assert a == Signal('a', 0, 2, 100., 7., 'uV', '16', 3, False)
    assert b == Signal('a', 1, 1, 200., 50., 'mV', '16', 0, False)
    assert (c.name, c.number, c.unit, c.gain) == ('signal 2', 2, 'mV', 200.)
    assert [*signals_of(read_header(str(path)))] == ['a','a (2)','signal 2']

def test_steps_beyond_the_end_are_missing(tmp_path):
    v = np.arange(40).reshape(20, 2)
    s = Segment(str(write_signals(tmp_path, 'r', '16', v, ['',''])))
    a,b = s.signals.values()
    same(s.read([b,a], 18, 22, 16), np.array([[37,39,-2**15,-2**15], [36,38,-2**15,-2**15]], 'i2'))
    same(s.read([a], 30, 32, 32), np.full((1,2), -2**31, 'i4'))
    assert s.frames == 20 and s.samples == {}

def test_steps_begin_and_end_within_frames_of_several_samples(tmp_path):
    v = np.arange(60).reshape(10, 6)
    s = Segment(str(write_signals(tmp_path, 'r', '16', v, ['x4','x2'])))
    a,b = s.signals.values()
    of_a,of_b = v[:,:4].ravel().astype('i2'),v[:,4:].ravel().astype('i2')
    for start,stop in ((0,40), (3,5), (5,6), (39,40), (6,17)): same(s.read([a], start, stop, 16)[0], of_a[start:stop])
    same(s.read([b], 1, 6, 16)[0], of_b[1:6])

def test_what_can_not_be_read_in_parts_is_decoded_once(tmp_path, monkeypatch):
    v,path = write_differences(tmp_path, 100)
    s,decode,calls = Segment(str(path)),Segment.decode,[]
    def counted(self, signals, **frames):
        calls.append([o.number for o in signals])
        return decode(self, signals, **frames)
    monkeypatch.setattr(Segment, 'decode', counted)
    a,b = s.signals.values()
    for start,signals in ((0,[a]), (50,[a,b]), (90,[b])):
        want = v.T[[o.number for o in signals], start:start+10].astype('i2')
        same(s.read(signals, start, start+10, 16), want)
    assert calls == [[0],[1]]

def test_a_segment_of_segments_is_refused(tmp_path):
    write_signals(tmp_path, 's1', '16', np.zeros((5,1), int), [''])
    (tmp_path/'r.hea').write_text('r/1 1 100 5\ns1 5\n')
    said = 'r.hea is a segment, but lists segments itself'
    with fails(ValueError, said, 'on its own'): Segment(str(tmp_path/'r.hea'))
