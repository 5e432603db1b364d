"Labels of steps from annotations"
import pickle
from functools import partial
import edfio, numpy as np, pytest, wfdb
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.convert.annotations import LabelSteps, read_annotated, read_annotations, step_labels
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clock import Clock

spans = st.lists(st.tuples(st.integers(-5, 60), st.integers(1, 30), st.sampled_from('abc')), max_size=8)

@given(spans, st.sampled_from([1,2,3.,7,100,250,62.4725]))
def test_a_step_has_the_last_label_that_covers_it(spans, fs):
    spans = [(a/4, n/4, o) for a,n,o in spans]
    n = int(12*fs)
    want = [next((o for a,d,o in sorted(spans, key=lambda o: -o[0]) if a <= i/fs+.1/fs and i/fs+.1/fs < a+d), '') for i in range(n)]
    starts = [a for a,*_ in spans]
    if len({*starts}) == len(starts): assert step_labels(spans, n, fs).tolist() == want

def test_neighboring_spans_leave_no_step_without_label():
    spans = [(i/3, 1/3, str(i%10)) for i in range(3000)]
    assert (step_labels(spans, 250_000, 250) != '').all()

def test_classes_are_numbers_and_others_have_none():
    spans = [(0,1,'W'), (1,1,'N1'), (2,1,'?'), (4,1,'W ')]
    assert step_labels(spans, 12, 2, classes=['N1','W']).tolist() == [1,1,0,0,-100,-100,-100,-100,1,1,-100,-100]
    assert step_labels(spans, 6, 1, {'W': 7}).tolist() == [7,-100,-100,-100,7,-100]
    assert step_labels([], 3, 1).tolist() == ['']*3 and step_labels([], 3, 1, ['W']).tolist() == [-100]*3

@pytest.mark.parametrize('numbers,dtype', [((0,1),'i1'), ((127,),'i1'), ((128,),'i2'), ((-129,),'i2'), ((2**20,),'i4'), ((-2**40,),'i8')])
def test_labels_are_the_smallest_integers_that_hold_the_classes_and_none(numbers, dtype):
    classes = {str(o): o for o in numbers}
    labels = step_labels([(i,1,k) for i,k in enumerate(classes)], 3, 1, classes)
    assert labels.dtype == dtype and labels.tolist() == [*numbers, *[-100]*(3-len(numbers))]
    assert step_labels([], 3, 1, classes).dtype == dtype # So that records without any are stored alike

def test_points_last_until_the_next_one_that_is_named():
    spans = [(1,None,'sleep'), (2,0,'noise'), (3,None,'wake')]
    assert step_labels(spans, 5, 1).tolist() == ['','sleep','noise','wake','wake']
    assert step_labels(spans, 5, 1, ['wake','sleep']).tolist() == [-100,1,1,0,0]
    assert step_labels(spans, 5, 1, ['sleep'], window=(1,1)).tolist() == [0,0,-100,-100,-100]

def test_symbols_of_wfdb_are_at_steps_and_rhythms_in_notes():
    beats = dict(step=[2,4,7], symbol=['N','+','V'], note=['','(AFIB',''])
    assert step_labels(beats, 9, 360).tolist() == ['','','N','N','(AFIB','(AFIB','(AFIB','V','V']
    assert step_labels(beats, 9, 360, ['(AFIB']).tolist() == [-100]*4 + [0]*5
    assert step_labels(beats, 9, 10, ['N','V'], window=(.1,.2)).tolist() == [-100,0,0,0,-100,-100,1,1,1]

@pytest.mark.parametrize('classes,labels', [
    ({'(N': 0, '(AFIB': 1}, [0]*4 + [1]*4 + [-100]*4), (['(AFIB'], [-100]*4 + [0]*4 + [-100]*4),
    (['N','V'], [-100]*2 + [0]*4 + [-100]*4 + [1]*2)])
def test_an_annotation_that_is_not_listed_ends_the_one_of_its_kind(classes, labels):
    notes = dict(step=[0,2,4,6,7,8,10], symbol=['+','N','+','A','~','+','V'], note=['(N','','(AFIB','','','(AFL',''])
    assert step_labels(notes, 12, 1, classes).tolist() == labels

def test_windows_of_listed_beats_are_not_cut_by_others():
    assert step_labels(dict(step=[2,4], symbol=['N','A']), 6, 1, ['N'], window=(1,3)).tolist() == [-100] + [0]*4 + [-100]

def test_gaps_are_allowed_for():
    clock = Clock(fs=10, jumps=[[20,10*10**9]])
    assert step_labels([(1,.5,'a'), (3,4,'gap'), (9.9,.3,'b')], 40, clock=clock).tolist() == ['']*10 + ['a']*5 + ['']*5 + ['b']*2 + ['']*18

# During a conversion

stages = ['Sleep stage W','Sleep stage 1']

def write_night(folder, i, apart=0):
    "A recording of 4 s and its hypnogram, which starts `apart` s later"
    import datetime as dt
    start = dt.datetime(2001, 1, 1, 23, 0, i)
    recording = edfio.Recording(startdate=start.date())
    eeg = edfio.EdfSignal(np.random.default_rng(i).normal(size=400), 100, label='EEG')
    path = folder/f'SC40{i}1E0-PSG.edf'
    edfio.Edf([eeg], recording=recording, starttime=start.time()).write(path)
    notes = [edfio.EdfAnnotation(*o) for o in ((0,1,stages[0]), (1,2,stages[1]), (3,1,'Sleep stage ?'))]
    later = (start+dt.timedelta(seconds=apart)).time()
    edfio.Edf([], recording=recording, starttime=later, annotations=notes).write(folder/f'SC40{i}1EC-Hypnogram.edf')
    return path

def hypnogram(path): return path.replace('E0-PSG', 'EC-Hypnogram')

def test_only_annotations_that_are_no_labels_are_said_to_be_in_items_alone(tmp_path, capsys):
    records = [dict(X=np.ones((1,4), 'f4'), fs=1., annotations=[[i, 2., 'a']]) for i in range(3)]
    for name,tfm in (('labelled', LabelSteps(['a'])), ('not', None)):
        convert(records, tmp_path/name, tfm=tfm, n_workers=0)
        assert ('Kept only in items.jsonl' in capsys.readouterr().out) == (tfm is None)
        assert '"annotations"' in (tmp_path/name/'items.jsonl').read_text()

def test_a_hypnogram_labels_each_step(tmp_path):
    for i in range(3): write_night(tmp_path, i)
    read = partial(read_annotated, file=hypnogram)
    convert(f'{tmp_path}/*-PSG.edf', tmp_path/'set', read=read, tfm=LabelSteps(stages), n_workers=2)
    arrays,_ = open_folder(tmp_path/'set')
    want = [0]*100 + [1]*200 + [-100]*100
    assert arrays['y'].shape == (3,400) and arrays['y'].dtype == 'i1' and (np.asarray(arrays['y'][:]) == want).all()
    y = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(3)], bs=3).train.one_batch()[1]
    assert (np.asarray(y) == want).all()

def test_a_hypnogram_that_starts_later_is_moved(tmp_path):
    path = write_night(tmp_path, 0, apart=1)
    record = LabelSteps(stages)(read_annotated(str(path), hypnogram))
    assert record['y'].tolist() == [-100]*100 + [0]*100 + [1]*200
    assert read_annotations(hypnogram(str(path)))[0] == [0,1,'Sleep stage W']

def test_labels_of_series_of_different_lengths_are_ragged(tmp_path):
    for i,n in enumerate((300,500)):
        wfdb.wrsamp(f'r{i}', fs=100, units=['mV'], sig_name=['I'], d_signal=np.arange(n)[:,None], fmt=['16'], adc_gain=[200.], baseline=[0], write_dir=str(tmp_path))
        wfdb.wrann(f'r{i}', 'atr', np.array([50,200]), ['N','V'], write_dir=str(tmp_path))
    convert(tmp_path, tmp_path/'set', tfm=LabelSteps({'N': 0, 'V': 1}), n_workers=0)
    y = open_folder(tmp_path/'set')[0]['y']
    for i,n in enumerate((300,500)): assert np.asarray(y[i]).reshape(-1).tolist() == [-100]*50 + [0]*150 + [1]*(n-200)

def test_labels_of_long_recordings_need_no_values(tmp_path, monkeypatch):
    from tsdisk.convert import readers
    monkeypatch.setattr(readers, 'large', 100)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (200,))
    notes = [edfio.EdfAnnotation(1, 2, 'a')]
    signals = [edfio.EdfSignal(np.arange(400.), 100, label=o) for o in 'xy']
    edfio.Edf(signals, annotations=notes).write(tmp_path/'a.edf')
    record = read_file(tmp_path/'a.edf')
    assert not hasattr(record['X'], 'shape') and LabelSteps(['a'])(record)['y'].tolist() == [-100]*100 + [0]*200 + [-100]*100
    convert(tmp_path/'a.edf', tmp_path/'set', tfm=LabelSteps(['a']), n_workers=0)
    assert np.asarray(open_folder(tmp_path/'set')[0]['y'][0]).reshape(-1).tolist() == [-100]*100 + [0]*200 + [-100]*100

def test_what_labels_lack_is_said(tmp_path):
    path = write_night(tmp_path, 0)
    with fails(ValueError, 'no `annotations`', 'read_annotated'): LabelSteps(stages)(read_file(path))
    with fails(ValueError, 'sampling rate'): LabelSteps(stages)(dict(X=np.ones((1,5)), start='2020-01-01', annotations=[]))
    with fails(FileNotFoundError, 'SC4001E0-PSG.edf', 'nowhere'): read_annotated(str(path), lambda p: 'nowhere')
    (tmp_path/'a.txt').touch()
    with fails(ValueError, 'not a file of annotations', '.hea'): read_annotations(tmp_path/'a.txt')
    assert pickle.loads(pickle.dumps(LabelSteps(stages, (1,1)))).window == (1,1)

def test_a_file_of_annotations_that_does_not_exist_is_named(tmp_path):
    (tmp_path/'r.hea').write_text('r 1 100 300\nr.dat 16\n')
    for name in ('r.qrs','none.edf'):
        with fails(FileNotFoundError, name): read_annotations(tmp_path/name)

def test_annotations_of_wfdb_are_read_by_their_file(tmp_path):
    wfdb.wrsamp('r', fs=100, units=['mV'], sig_name=['I'], d_signal=np.arange(300)[:,None], fmt=['16'], adc_gain=[200.], baseline=[0], write_dir=str(tmp_path))
    wfdb.wrann('r', 'qrs', np.array([50]), ['N'], write_dir=str(tmp_path))
    assert read_annotations(tmp_path/'r.qrs') == dict(step=[50], symbol=['N'])
    assert read_annotated(str(tmp_path/'r.hea'), lambda p: p.replace('.hea', '.qrs'))['annotations']['step'] == [50]

def test_labels_of_steps_at_uneven_times(tmp_path):
    times = np.datetime64('2024-01-01', 'ns') + np.cumsum(np.random.default_rng(0).integers(1, 10**9, 500)).astype('m8[ns]')
    since = (times-times[0]).astype('f8')/1e9
    record = dict(X=np.zeros((1,500)), times=times, fs=1., annotations=[[100.,50.,'b']])
    convert([record], tmp_path/'set', tfm=LabelSteps(['a','b']))
    y = open_folder(tmp_path/'set')[0]['y'][0]
    assert ((y == 1) == ((since >= 100) & (since < 150))).all() and (y == 1).any()
