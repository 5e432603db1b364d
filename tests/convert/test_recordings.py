"WFDB, EDF, BDF, .ts and .tsf"
import json
from pathlib import Path
import aeon, numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from tsdisk.convert import chunks, readers
from tsdisk.convert.readers import read_file
from tsdisk.convert import tables
from tsdisk.convert.convert import convert
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.folder.manifest import open_folder
from tsdisk.series.ragged import Ragged

aeon_data = Path(aeon.__file__).parent/'datasets/data'
x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def all_rows(dataset, n):
    "Inputs of a dataset as a model gets them, (n, vars, steps)"
    dls = TSDataLoaders.from_folder(dataset, splits=[range(n)], shuffle=False, bs=n, drop_last=False)
    return dls.train.one_batch()[0].numpy()

# Text formats

archives = ['BasicMotions','JapaneseVowels','GunPoint','ACSF1','CardanoSentiment','PickupGestureWiimoteZ']

@pytest.mark.parametrize('name', archives)
def test_ts_files_are_read_as_aeon_reads_them(name, tmp_path):
    from aeon.datasets import load_from_ts_file
    path = aeon_data/name/f'{name}_TRAIN.ts'
    X,y = load_from_ts_file(str(path))
    arrays,_ = open_folder(convert(path, tmp_path/'set'))
    assert len(arrays['X']) == len(X) and isinstance(arrays['X'], Ragged) == isinstance(X, list)
    for i in range(len(X)): assert np.allclose(arrays['X'][i], X[i], atol=1e-6, equal_nan=True)
    assert [str(o).lower() for o in arrays['y'].tolist()] == [str(o) for o in y.astype(arrays['y'].dtype).tolist()]

def test_ts_files_of_train_and_test_are_splits(tmp_path):
    arrays,splits = open_folder(convert(f'{aeon_data}/ItalyPowerDemand/*.ts', tmp_path/'set'))
    assert {k: len(v) for k,v in splits.items()} == dict(train=67, test=1029) and len(arrays['X']) == 1096
    assert {arrays['source'][i] for i in splits['train']} == {'ItalyPowerDemand_TRAIN.ts'}

def test_times_of_ts_files_are_left_out(tmp_path):
    got = [*read_file(aeon_data/'UnitTest/UnitTestTimeStamps_TRAIN.ts')]
    assert got and all(o['X'].ndim == 2 and np.isfinite(o['X']).all() for o in got)

def test_targets_of_ts_files_are_numbers(tmp_path):
    (tmp_path/'a.ts').write_text('@targetLabel true\n@data\n# A comment\n\n1,2:2.5\n3,4:-1\n')
    got = [*read_file(tmp_path/'a.ts')]
    assert [o['y'] for o in got] == [2.5,-1.] and np.array_equal(np.stack([o['X'] for o in got]), [[[1,2]], [[3,4]]])

def test_tsf_files_are_read_as_aeon_reads_them(tmp_path):
    from aeon.datasets import load_from_tsf_file
    path = aeon_data/'m1_yearly_dataset/m1_yearly_dataset.tsf'
    df,_ = load_from_tsf_file(str(path))
    arrays,_ = open_folder(convert(path, tmp_path/'set'))
    assert len(arrays['X']) == len(df) and arrays['series_name'].tolist() == df.series_name.tolist()
    for i in range(len(df)): assert np.allclose(arrays['X'][i][0], df.series_value.iloc[i])
    assert metadata_of(tmp_path/'set')['frequency'] == 'yearly'

def test_damaged_text_names_the_sample(tmp_path):
    damaged = [
        ('@data\n1,2:3,4,5\n', 'sample 0: the variables have [2, 3] steps'),
        ('@data\n1,2\n1,x\n', "sample 1 can't be read"),
        ('1,2,3\n', 'no line `@data`')]
    for text,why in damaged:
        (tmp_path/'a.ts').write_text(text)
        with expect_fail(ValueError, why): [*read_file(tmp_path/'a.ts')]
    (tmp_path/'a.tsf').write_text('@attribute name string\n@horizon 8\n@data\nT1:1,2\n1,2\n')
    with fails(ValueError, 'a.tsf: series 1 has 0 attributes', 'the header declares 1'): [*read_file(tmp_path/'a.tsf')]

# WFDB

def write_wfdb(folder, i, **kwargs):
    import wfdb
    kwargs |= dict(units=['mV']*3, sig_name=['I','II','V1'], fmt=['16']*3, adc_gain=[100.]*3, baseline=[0]*3)
    wfdb.wrsamp(f'r{i}', fs=250, p_signal=x[i].T.astype('f8'), write_dir=str(folder), **kwargs)

def test_wfdb_keeps_integers_and_gain(tmp_path):
    import wfdb
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
    import wfdb
    p = x[0].T.astype('f8').copy()
    p[7,1] = np.nan
    variables = dict(units=['mV']*3, sig_name=['a','b','c'], fmt=['16']*3)
    wfdb.wrsamp('r', fs=250, p_signal=p, write_dir=str(tmp_path), **variables)
    got = all_rows(convert(tmp_path/'r.hea', tmp_path/'set'), 1)
    assert np.isnan(got[0,1,7]) and np.isnan(got).sum() == 1

def test_wfdb_formats_may_differ_within_a_record(tmp_path):
    import wfdb
    p = x[0].T.astype('f8').copy()
    p[7,0] = p[9,1] = np.nan
    variables = dict(units=['mV']*2, sig_name=['a','b'], fmt=['80','16'])
    wfdb.wrsamp('r', fs=250, p_signal=p[:,:2], write_dir=str(tmp_path), **variables)
    got = all_rows(convert(tmp_path/'r.hea', tmp_path/'set'), 1)
    want = wfdb.rdrecord(str(tmp_path/'r')).p_signal.T
    assert np.isnan(want[0,7]) and np.isnan(want[1,9]) and np.allclose(got[0], want, atol=1e-5, equal_nan=True)

# EDF and BDF

def edf_classes(kind):
    import edfio
    return (edfio.EdfSignal,edfio.Edf) if kind == 'edf' else (edfio.BdfSignal,edfio.Bdf)

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_edf_keeps_integers_units_and_annotations(tmp_path, kind):
    import edfio
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

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_recordings_with_gaps_are_not_joined(tmp_path, kind):
    import edfio
    Signal,File = edf_classes(kind)
    path = tmp_path/f'a.{kind}'
    File([Signal(np.arange(200.), 100, label='c')], annotations=[edfio.EdfAnnotation(1, 0, 'x')]).write(path)
    assert read_file(path)['fs'] == 100
    raw = path.read_bytes()
    assert raw[192:197] == f'{kind.upper()}+C'.encode()
    path.write_bytes(raw[:196] + b'D' + raw[197:])
    with fails(ValueError, 'a.'+kind, 'discontinuous', 'gaps', '`read`'): read_file(path)

def test_signals_of_other_rates_are_named(tmp_path):
    import edfio
    eeg = edfio.EdfSignal(x[0,0].astype('f8'), 100, label='eeg')
    temp = edfio.EdfSignal(x[0,1,:50].astype('f8'), 10, label='temp')
    edfio.Edf([eeg, temp]).write(tmp_path/'a.edf')
    got = read_file(tmp_path/'a.edf')
    assert got['names'] == ['eeg'] and got['left_out'] == ['temp']
    assert read_file(f'{tmp_path}/a.edf::temp')['fs'] == 10
    with expect_fail(KeyError, "no signal 'x', it has ['eeg', 'temp']"): read_file(f'{tmp_path}/a.edf::x')

# All formats of long recordings

def write_recording(folder, kind):
    import edfio, h5py, pyarrow as pa, pyarrow.parquet as pq
    path = folder/f'a.{kind}'
    if kind == 'wfdb':
        write_wfdb(folder, 0)
        return folder/'r0.hea'
    signals = [edfio.EdfSignal(o.astype('f8'), 100, label=f'c{i}') for i,o in enumerate(x[0])]
    if kind == 'edf': edfio.Edf(signals).write(path)
    if kind == 'h5':
        with h5py.File(path, 'w') as f: f['X'] = x[0]
    if kind == 'parquet': pq.write_table(pa.table({f'c{i}': o for i,o in enumerate(x[0])}), path)
    return path

@pytest.mark.parametrize('kind', ['wfdb','edf','h5','parquet'])
def test_long_recordings_come_in_pieces(tmp_path, kind, monkeypatch):
    for o in (readers, tables, chunks): monkeypatch.setattr(o, 'large', 1000)
    for o in ('at_once','block_bytes'): monkeypatch.setattr(chunks, o, 1000)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (1000,))
    path = write_recording(tmp_path, kind)
    got = read_file(path)
    assert not hasattr(got['X'], 'shape')
    pieces = [*got['X']]
    scale,offset = (np.reshape(got.get(k, v), (-1,1)) for k,v in (('scale',1.), ('offset',0.)))
    assert np.allclose(np.concatenate(pieces, 1)*scale+offset, x[0], atol=2e-2)
    assert kind == 'parquet' or len(pieces) > 1
    convert(path, tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['X'][0].shape == (3,500)
