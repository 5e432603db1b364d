import json, os, signal, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails
from tsdisk.convert.convert import convert
from tsdisk.convert.export import to_hdf5, to_parquet
from tsdisk.folder.manifest import open_folder, read_manifest
from tsdisk.convert.readers import from_xarray, open_npz, open_raw, read_file
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.ragged import Ragged
from tsdisk.convert.tables import LongTable, from_long, from_wide, read_table

aeon_data = Path(__import__('aeon').__file__).parent/'datasets/data'
x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def info(d): return {**read_manifest(d)['info'], **{k: v for k,v in read_manifest(d)['arrays']['X'].items() if k in ('names','units','scale','offset','missing')}}

# Archives

@pytest.mark.parametrize('name', ['BasicMotions','JapaneseVowels','GunPoint','ACSF1','CardanoSentiment','PickupGestureWiimoteZ'])
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

def test_tsf_files_are_read_as_aeon_reads_them(tmp_path):
    from aeon.datasets import load_from_tsf_file
    path = aeon_data/'m1_yearly_dataset/m1_yearly_dataset.tsf'
    df,_ = load_from_tsf_file(str(path))
    arrays,_ = open_folder(convert(path, tmp_path/'set'))
    assert len(arrays['X']) == len(df) and arrays['series_name'].tolist() == df.series_name.tolist()
    for i in range(len(df)): assert np.allclose(arrays['X'][i][0], df.series_value.iloc[i])
    assert info(tmp_path/'set')['frequency'] == 'yearly'

def test_damaged_text_names_the_sample(tmp_path):
    for text,why in (('@data\n1,2:3,4,5\n', 'variables of sample 0'), ('@data\n1,2\n1,x\n', 'sample 1'), ('1,2,3\n', 'no line `@data`')):
        (tmp_path/'a.ts').write_text(text)
        with expect_fail(ValueError, why): [*read_file(tmp_path/'a.ts')]

# Recordings

def write_wfdb(d, i, **kwargs):
    import wfdb
    wfdb.wrsamp(f'r{i}', fs=250, units=['mV']*3, sig_name=['I','II','V1'], p_signal=x[i].T.astype('f8'), fmt=['16']*3, adc_gain=[100.]*3, baseline=[0]*3, write_dir=str(d), **kwargs)

def test_wfdb_keeps_integers_and_gain(tmp_path):
    import wfdb
    (tmp_path/'raw').mkdir()
    for i in range(6): write_wfdb(tmp_path/'raw', i, comments=[f'age: {i}'])
    wfdb.wrann('r0', 'atr', np.array([10,400]), ['N','V'], write_dir=str(tmp_path/'raw'))
    convert(tmp_path/'raw', tmp_path/'set')
    X,said = open_folder(tmp_path/'set')[0]['X'],info(tmp_path/'set')
    assert X.dtype == np.int16 and said['names'] == ['I','II','V1'] and said['units'] == ['mV']*3 and said['fs'] == 250 and said['scale'] == [.01]*3
    for i in range(6): assert np.array_equal(X[i], wfdb.rdrecord(str(tmp_path/f'raw/r{i}'), physical=False).d_signal.T)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(6)], shuffle=False, bs=6, drop_last=False)
    want = np.stack([wfdb.rdrecord(str(tmp_path/f'raw/r{i}')).p_signal.T for i in range(6)])
    assert np.allclose(dls.train.one_batch()[0], want, atol=1e-5)
    items = [json.loads(o)[1] for o in open(tmp_path/'set/items.jsonl')]
    assert items[0]['annotations'] == dict(step=[10,400], symbol=['N','V']) and items[3]['comments'] == ['age: 3']

def test_missing_samples_of_wfdb_arrive_as_nan(tmp_path):
    import wfdb
    p = x[0].T.astype('f8').copy()
    p[7,1] = np.nan
    wfdb.wrsamp('r', fs=250, units=['mV']*3, sig_name=['a','b','c'], p_signal=p, fmt=['16']*3, write_dir=str(tmp_path))
    convert(tmp_path/'r.hea', tmp_path/'set')
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(1)], shuffle=False, bs=1, drop_last=False)
    got = dls.train.one_batch()[0].numpy()
    assert np.isnan(got[0,1,7]) and np.isnan(got).sum() == 1

def test_wfdb_formats_may_differ_within_a_record(tmp_path):
    import wfdb
    p = x[0].T.astype('f8').copy()
    p[7,0],p[9,1] = np.nan,np.nan
    wfdb.wrsamp('r', fs=250, units=['mV']*2, sig_name=['a','b'], p_signal=p[:,:2], fmt=['80','16'], write_dir=str(tmp_path))
    got = next(iter(TSDataLoaders.from_folder(convert(tmp_path/'r.hea', tmp_path/'set'), splits=[range(1)], shuffle=False, bs=1, drop_last=False).train))[0].numpy()
    want = wfdb.rdrecord(str(tmp_path/'r')).p_signal.T
    assert np.isnan(want[0,7]) and np.isnan(want[1,9]) and np.allclose(got[0], want, atol=1e-5, equal_nan=True)

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_edf_keeps_integers_units_and_annotations(tmp_path, kind):
    import edfio
    Signal,File = (edfio.EdfSignal,edfio.Edf) if kind == 'edf' else (edfio.BdfSignal,edfio.Bdf)
    for i in range(3):
        signals = [Signal(x[i,k].astype('f8'), 100, label=f'ch{k}', physical_dimension='uV', physical_range=(-200,200)) for k in range(3)]
        File(signals, annotations=[edfio.EdfAnnotation(1, 2, 'spindle')] if i == 1 else []).write(tmp_path/f'{i}.{kind}')
    convert(f'{tmp_path}/*.{kind}', tmp_path/'set')
    X,said = open_folder(tmp_path/'set')[0]['X'],info(tmp_path/'set')
    assert X.dtype == (np.int16 if kind == 'edf' else np.int32) and said['names'] == ['ch0','ch1','ch2'] and said['units'] == ['uV']*3 and said['fs'] == 100
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(3)], shuffle=False, bs=3, drop_last=False)
    assert np.allclose(dls.train.one_batch()[0], x[:3], atol=400/2**16)
    assert json.loads(open(tmp_path/'set/items.jsonl').readlines()[1])[1]['annotations'] == [[1.0, 2.0, 'spindle']]

@pytest.mark.parametrize('kind', ['edf','bdf'])
def test_recordings_with_gaps_are_not_joined(tmp_path, kind):
    import edfio
    Signal,File = (edfio.EdfSignal,edfio.Edf) if kind == 'edf' else (edfio.BdfSignal,edfio.Bdf)
    path = tmp_path/f'a.{kind}'
    File([Signal(np.arange(200.), 100, label='c')], annotations=[edfio.EdfAnnotation(1, 0, 'x')]).write(path)
    assert read_file(path)['fs'] == 100
    raw = path.read_bytes()
    assert raw[192:197] == f'{kind.upper()}+C'.encode()
    path.write_bytes(raw[:196] + b'D' + raw[197:])
    with fails(ValueError, 'a.'+kind, 'discontinuous', 'gaps', '`read`'): read_file(path)

@pytest.mark.parametrize('kind', ['wfdb','edf','h5','parquet'])
def test_long_recordings_come_in_pieces(tmp_path, kind, monkeypatch):
    import h5py, pyarrow as pa, pyarrow.parquet as pq
    from tsdisk.convert import readers as importers
    from tsdisk.convert import recordings
    from tsdisk.convert import tables
    for o in (importers,recordings,tables): monkeypatch.setattr(o, 'large', 1000)
    monkeypatch.setattr(importers.in_pieces, '__defaults__', (1000,))
    if kind == 'wfdb': write_wfdb(tmp_path, 0)
    if kind == 'edf':
        import edfio
        edfio.Edf([edfio.EdfSignal(o.astype('f8'), 100, label=f'c{i}') for i,o in enumerate(x[0])]).write(tmp_path/'a.edf')
    if kind == 'h5':
        with h5py.File(tmp_path/'a.h5', 'w') as f: f['X'] = x[0]
    if kind == 'parquet': pq.write_table(pa.table({f'c{i}': o for i,o in enumerate(x[0])}), tmp_path/'a.parquet')
    got = read_file(next(tmp_path.glob('*.hea' if kind == 'wfdb' else f'*.{kind}')))
    assert not hasattr(got['X'], 'shape')
    pieces = [*got['X']]
    scale,offset = (np.reshape(got.get(k, v), (-1,1)) for k,v in (('scale',1.), ('offset',0.)))
    assert np.allclose(np.concatenate(pieces, 1)*scale+offset, x[0], atol=2e-2) and (kind == 'parquet' or len(pieces) > 1 or kind in ('wfdb','edf'))
    convert(next(tmp_path.glob('*.hea' if kind == 'wfdb' else f'*.{kind}')), tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['X'][0].shape == (3,500)

def test_signals_of_other_rates_are_named(tmp_path):
    import edfio
    edfio.Edf([edfio.EdfSignal(x[0,0].astype('f8'), 100, label='eeg'), edfio.EdfSignal(x[0,1,:50].astype('f8'), 10, label='temp')]).write(tmp_path/'a.edf')
    got = read_file(tmp_path/'a.edf')
    assert got['names'] == ['eeg'] and got['left_out'] == ['temp']
    assert read_file(f'{tmp_path}/a.edf::temp')['fs'] == 10
    with expect_fail(KeyError, "no signal 'x', it has ['eeg', 'temp']"): read_file(f'{tmp_path}/a.edf::x')

# Trees of arrays

@pytest.mark.parametrize('large', [2**26, 1000])
def test_hdf5_and_zarr_in_full(tmp_path, large, monkeypatch):
    import h5py, zarr
    from tsdisk.convert import readers as importers
    monkeypatch.setattr(importers, 'large', large)
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', large)
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'],f['y'] = x,np.arange(6)
        f['X'].attrs.update(units='g', sampling_rate=50, channels=['a','b','c'])
        f.attrs['site'] = 'north'
        f['raw/left'] = x*2
    z = zarr.open_group(str(tmp_path/'a.zarr'), mode='w')
    for k,v in dict(X=x, y=np.arange(6)).items(): z.create_dataset(k, data=v, shape=v.shape) if not hasattr(z, 'create_array') else z.create_array(k, data=v)
    z['X'].attrs.update(units='g', sampling_rate=50, channels=['a','b','c'])
    for src in ('a.h5','a.zarr'):
        arrays,_ = open_folder(convert(tmp_path/src, tmp_path/f'set_{src}'))
        assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], np.arange(6))
        assert info(tmp_path/f'set_{src}')['names'] == ['a','b','c'] and info(tmp_path/f'set_{src}')['fs'] == 50
    assert info(tmp_path/'set_a.h5')['site'] == 'north'
    assert np.array_equal(open_folder(convert(f'{tmp_path}/a.h5::raw/left', tmp_path/'left', layout='dense'))[0]['X'], x*2)
    with expect_fail(KeyError, "it has ['X', 'raw/left', 'y']"): read_file(f'{tmp_path}/a.h5::none')

def test_large_arrays_of_hdf5_are_never_whole_in_memory(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        d = f.create_dataset('X', (3000,3,5000), 'f4', chunks=(10,3,5000))
        for i in range(0, 3000, 100): d[i:i+100] = i
    code = f"""
from tsdisk.convert.convert import convert
import re
def anon(): return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024
import h5py, numpy
before = anon()
convert({str(tmp_path/'a.h5')!r}, {str(tmp_path/'set')!r}, workers=0)
print('grew', anon()-before)
"""
    out = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    assert float(out.split('grew')[1]) < 120
    X = open_folder(tmp_path/'set')[0]['X']
    assert X.shape == (3000,3,5000) and (X[250] == 200).all() and (X[2999] == 2900).all()

def test_many_hdf5_files_under_a_small_limit_of_open_files(tmp_path):
    import h5py
    (tmp_path/'raw').mkdir()
    for i in range(300):
        with h5py.File(tmp_path/f'raw/{i:03d}.h5', 'w') as f: f['X'] = x[i%6]
    code = f"from tsdisk.convert.convert import convert; convert({str(tmp_path/'raw')!r}, {str(tmp_path/'set')!r}, workers=2)"
    subprocess.run(['bash', '-c', f'ulimit -n 64; exec "$0" -c "$1"', sys.executable, code], check=True, capture_output=True)
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], np.concatenate([x]*50))

def test_matlab_axes_are_turned_round(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.mat', 'w') as f: f['X'] = x.T
    assert np.array_equal(read_file(tmp_path/'a.mat')['X'], x)
    from scipy.io import savemat
    savemat(tmp_path/'old.mat', dict(X=x))
    with expect_fail(ValueError, 'older than 7.3'): read_file(tmp_path/'old.mat')

def test_netcdf_variables_become_those_of_the_series(tmp_path):
    import xarray as xr
    ds = xr.Dataset(dict(temp=(('site','time'), x[:,0], dict(units='K')), wind=(('time','site'), x[:,1].T, dict(units='m/s')), height=('site', np.arange(6.)), name=('site', [*'abcdef'])))
    ds.to_netcdf(tmp_path/'a.nc')
    arrays,_ = open_folder(convert(tmp_path/'a.nc', tmp_path/'set'))
    assert np.array_equal(arrays['X'], x[:,:2]) and np.array_equal(arrays['height'], np.arange(6.)) and arrays['name'].tolist() == [*'abcdef']
    assert info(tmp_path/'set')['names'] == ['temp','wind'] and info(tmp_path/'set')['units'] == ['K','m/s']
    assert np.array_equal(open_folder(convert(from_xarray(ds), tmp_path/'set2'))[0]['X'], x[:,:2])
    one = ds.isel(site=0)
    assert np.array_equal(from_xarray(one)['X'], x[0,:2])
    with expect_fail(ValueError, "no dimension 'day'"): from_xarray(ds, steps='day')

# Arrays

def test_arrays_that_fit_are_used_in_place(tmp_path):
    np.savez(tmp_path/'a.npz', X=x, y=np.arange(6))
    np.savez_compressed(tmp_path/'b.npz', X=x)
    x.tofile(tmp_path/'a.bin')
    got = open_npz(tmp_path/'a.npz')
    assert isinstance(got['X'], np.memmap) and np.array_equal(got['X'], x) and np.array_equal(open_npz(tmp_path/'b.npz')['X'], x)
    assert np.array_equal(open_raw(tmp_path/'a.bin', (-1,3,500)), x)
    dls = TSDataLoaders.from_arrays(got['X'], got['y'], splits=[range(6)], bs=6, shuffle=False, drop_last=False)
    assert np.array_equal(dls.train.one_batch()[0], x)
    np.savez(tmp_path/'p.npz', X=np.array([{}], dtype=object))
    with expect_fail(TypeError, 'never loaded'): open_npz(tmp_path/'p.npz')

# Tables

def table(n=40, seed=0):
    import pyarrow as pa
    rng = np.random.default_rng(seed)
    n_steps = rng.integers(5, 30, n)
    who,t = np.repeat(np.arange(n), n_steps), np.concatenate([np.arange(o) for o in n_steps])
    rows = rng.permutation(len(who))
    series = [np.stack([np.sin(np.arange(k)+i), np.cos(np.arange(k)*i)]) for i,k in enumerate(n_steps)]
    a,b = (np.concatenate([o[k] for o in series]) for k in (0,1))
    return series, pa.table(dict(who=[f'p{o}' for o in who[rows]], t=t[rows], a=a[rows], b=b[rows], sick=(who%3)[rows]))

@pytest.mark.parametrize('kind', ['csv','parquet'])
@pytest.mark.parametrize('part', [2**26, 1000])
def test_long_tables_in_any_order_give_whole_series(tmp_path, kind, part, monkeypatch):
    import pyarrow.csv as csv, pyarrow.parquet as pq
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', 2000) # Dealt out many times
    series,tab = table()
    for i in range(3):
        one = tab.slice(i*len(tab)//3, (i+1)*len(tab)//3-i*len(tab)//3)
        csv.write_csv(one, tmp_path/f'{i}.csv') if kind == 'csv' else pq.write_table(one, tmp_path/f'{i}.parquet')
    src = LongTable(f'{tmp_path}/*.{kind}', 'who', 't', y='sick', part=part)
    assert (src.parts > 1) == (part == 1000)
    arrays,_ = open_folder(convert(src, tmp_path/'set'))
    assert sorted(arrays['who'].tolist()) == sorted(f'p{i}' for i in range(40)) and info(tmp_path/'set')['names'] == ['a','b']
    for i,o in enumerate(arrays['who'].tolist()): assert np.allclose(arrays['X'][i], series[int(o[1:])]) and arrays['y'][i] == int(o[1:])%3

def test_long_tables_take_as_much_memory_whatever_their_size(tmp_path):
    code = """
import threading, numpy as np, pyarrow as pa, pyarrow.csv
import tsdisk.convert.readers
tsdisk.convert.readers.large = 2**22
from tsdisk.convert.convert import convert
from tsdisk.tools.demo import private_memory
from tsdisk.convert.tables import LongTable
rng,seen = np.random.default_rng(0),[]
def rows(n): return pa.table(dict(who=pa.array([f'patient{o}' for o in rng.integers(0, 1000, n)]), t=rng.integers(0, 2**40, n), **{k: rng.random(n) for k in 'abc'}))
def watch():
    while True: wait.wait(.002) or seen.append(private_memory())
wait = threading.Event()
threading.Thread(target=watch, daemon=True).start()
for size in (1, 10, 40):
    with pa.csv.CSVWriter('a.csv', rows(1).schema) as w:
        for _ in range(size): w.write_table(rows(20_000))
    table,before = LongTable('a.csv', 'who', 't'),private_memory()
    seen.clear()
    convert(table, f'{size}')
    print(table.parts, (max(seen)-before)/2**20)
"""
    out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    parts,most = np.array([o.split() for o in out.splitlines()], 'f8').T
    assert parts[0] == 1 and parts[2] > 30 and (most < 30).all(), f'{most} MB; the last file has 64'

def test_what_is_missing_of_a_series_is_the_same_in_all_its_steps():
    import pandas as pd
    got = [*from_long(pd.DataFrame(dict(who=[*'aabb'], v=np.arange(4.), age=[np.nan,np.nan,30,30], site=['n','n',None,None])), 'who', y='age', beside=['site'])]
    assert [o['who'] for o in got] == ['a','b'] and np.isnan(got[0]['y']) and got[1]['y'] == 30 and [o['site'] for o in got] == ['n','']

def test_texts_of_a_table_may_be_bytes_or_categories(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    who = np.array([f'patient {i%7}' for i in range(700)])
    tab = pa.table(dict(who=pa.array(who).dictionary_encode(), site=pa.array([b'north']*700, pa.binary()), v=np.arange(700.)))
    pq.write_table(tab, tmp_path/'a.parquet')
    for part in (2**26, 1000):
        got = {o['who']: o for o in LongTable(tmp_path/'a.parquet', 'who', beside=['site'], part=part)}
        assert sorted(got) == sorted({*who}) and got['patient 3']['site'] == 'north' and np.array_equal(got['patient 3']['X'][0], np.arange(3., 700, 7))

def test_a_target_in_another_encoding_says_so(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=[*'ab'], y=[*'é1'], v=[1.,2])).to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', 'id', y='y')]

def test_a_long_frame_is_dealt_out_too(tmp_path):
    series,tab = table()
    src = LongTable(tab.to_pandas(), 'who', 't', y='sick', part=1000)
    assert src.parts > 1
    for o in src: assert np.array_equal(o['X'], series[int(o['who'][1:])])

def test_lines_of_a_csv_may_be_longer_than_a_megabyte(tmp_path):
    steps = np.random.default_rng(0).random((3,60_000))
    lines = [','.join(['y', *(f't{i}' for i in range(60_000))]), *(','.join(['1', *map(str, o)]) for o in steps)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    assert len(lines[1]) > 2**20 and np.array_equal(np.concatenate([o['X'][:,0] for o in from_wide(tmp_path/'a.csv', y='y')]), steps)

def test_what_differs_among_steps_is_not_known_of_a_series(tmp_path):
    import pyarrow.parquet as pq
    pq.write_table(table()[1], tmp_path/'a.parquet')
    with expect_fail(ValueError, "'a' differs among the steps"): [*from_long(tmp_path/'a.parquet', 'who', 't', vars=['b'], y='a')]
    with expect_fail(ValueError, "no column 'nobody'"): from_long(tmp_path/'a.parquet', 'nobody')

@pytest.mark.parametrize('late,column', [(0,'id'), (999_000,'id'), (0,'é')])
def test_a_table_in_another_encoding_says_so(tmp_path, late, column):
    import pandas as pd
    df = pd.DataFrame({column: ['e']*late + ['é']*1000, 'v': np.arange(late+1000.)})
    df.to_csv(tmp_path/'a.csv', index=False, encoding='latin-1')
    with expect_fail(ValueError, 'not in UTF-8'): [*from_long(tmp_path/'a.csv', column)]

@pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGKILL')
def test_rows_that_are_dealt_out_leave_nothing_behind_when_killed(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(id=np.arange(100_000)%7, v=np.arange(100_000.))).to_parquet(tmp_path/'a.parquet')
    (tmp_path/'tmp').mkdir()
    code = f"""
import os, signal
from tsdisk.convert.tables import LongTable
next(iter(LongTable({str(tmp_path/'a.parquet')!r}, 'id', part=100_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    out = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TMPDIR': str(tmp_path/'tmp')})
    assert out.returncode == -signal.SIGKILL and not [*(tmp_path/'tmp').iterdir()]

def test_wide_tables(tmp_path):
    import pyarrow as pa, pyarrow.csv as csv
    csv.write_csv(pa.table({'label': [*'abcabc'], **{f't{i}': x[:,0,i].astype('f8') for i in range(20)}}), tmp_path/'a.csv')
    arrays,_ = open_folder(convert(from_wide(tmp_path/'a.csv', y='label'), tmp_path/'set'))
    assert np.allclose(arrays['X'][:,0], x[:,0,:20]) and arrays['y'].tolist() == [*'abcabc']

def test_integers_of_a_csv_may_turn_out_to_be_floats(tmp_path):
    (tmp_path/'a.csv').write_text('v\n'+'1\n'*400_000+'1.5\n')
    assert read_file(tmp_path/'a.csv')['X'][0,-1] == 1.5

def test_a_table_a_recording_says_when_and_how_fast(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = np.datetime64('2024-01-01T00:00:00', 'ns') + np.arange(50)*np.timedelta64(20, 'ms')
    for i in range(3): pq.write_table(pa.table(dict(time=t, a=x[i,0,:50], b=x[i,1,:50])), tmp_path/f'{i}.parquet')
    X = open_folder(convert(f'{tmp_path}/*.parquet', tmp_path/'set'))[0]['X']
    assert np.allclose(X, x[:3,:2,:50]) and info(tmp_path/'set')['fs'] == 50 and info(tmp_path/'set')['start'].startswith('2024-01-01T00:00:00')

def test_a_column_that_starts_late_is_there(tmp_path):
    (tmp_path/'a.csv').write_text('t,a,b\n' + ''.join(f'{i},{i},\n' for i in range(200_000)) + '1,1,1.5\n'*10)
    got = read_file(tmp_path/'a.csv')
    assert got['names'] == ['t','a','b'] and np.isnan(got['X'][2]).sum() == 200_000 and got['X'][2,-1] == 1.5

def test_a_column_of_times_is_no_variable(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i/50},{i*2}\n' for i in range(30)))
    assert read_file(tmp_path/'a.csv')['names'] == ['t','v']
    got = read_table(tmp_path/'a.csv', time='t')
    assert got['names'] == ['v'] and np.array_equal(got['X'], [np.arange(30)*2]) and 'fs' not in got
    with expect_fail(ValueError, "no column 'when' for `time`"): read_table(tmp_path/'a.csv', time='when')

@pytest.mark.parametrize('large', [0, 2**26])
def test_times_that_go_back_are_said(tmp_path, large, monkeypatch):
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', large)
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{o},{i},{i*.5}\n' for o in 'xy' for i in range(30)))
    with pytest.warns(UserWarning, match='times of a table go back'):
        got = read_table(tmp_path/'a.csv', time='t')['X']
        assert (got if large else np.concatenate([*got], 1)).shape == (1,60)

def test_frames_are_recordings_samples_or_series(tmp_path):
    import pandas as pd
    df = pd.DataFrame(dict(a=np.arange(50.), n=np.arange(50), who=['x']*50), index=pd.date_range('2024-01-01', periods=50, freq='20ms'))
    for i,src in enumerate([df, [df, df[::-1]], [dict(X=df, y='rest')]]):
        arrays,_ = open_folder(convert(src, tmp_path/f'set{i}'))
        assert np.array_equal(arrays['X'][0], [np.arange(50)]*2) and len(arrays['X']) == (2 if i == 1 else 1)
    said = info(tmp_path/'set0')
    assert said['names'] == ['a','n'] and said['fs'] == 50 and said['start'].startswith('2024-01-01T00:00:00') and arrays['y'].tolist() == ['rest']
    arrays,_ = open_folder(convert([tmp_path/'a.csv'], tmp_path/'set3', read=lambda p: df.astype({'n': 'Int64'}), workers=0))
    assert arrays['X'].shape == (1,2,50)
    long = pd.concat([df.assign(who=o, t=range(50)) for o in 'ba']).sample(frac=1, random_state=0)
    arrays,_ = open_folder(convert(from_long(long, 'who', 't', vars=['a']), tmp_path/'set4'))
    assert arrays['who'].tolist() == ['a','b'] and np.array_equal(arrays['X'][1], [np.arange(50)])
    wide = pd.DataFrame(np.arange(12.).reshape(3,4)).rename(columns=str).assign(y=[*'abc'])
    arrays,_ = open_folder(convert(from_wide(wide, y='y'), tmp_path/'set5'))
    assert np.array_equal(arrays['X'][:,0], np.arange(12.).reshape(3,4)) and arrays['y'].tolist() == [*'abc']
    with expect_fail(ValueError, 'no column of numbers'): convert(df[['who']], tmp_path/'set6')
    convert(df, tmp_path/'set0') # The same again is done already
    assert len(open_folder(tmp_path/'set0')[0]['X']) == 1
    with expect_fail(FileExistsError, 'not empty'): convert(df[1:], tmp_path/'set0')

def test_what_may_be_empty_is_a_list(tmp_path):
    items = lambda as_list: [dict(X=x[i], beats=[*range(k)] if as_list else np.arange(k)) for i,k in enumerate((3,0,4,0))]
    with expect_fail(ValueError, 'give what may be empty as a list'): convert(items(False), tmp_path/'set')
    convert(items(True), tmp_path/'set2')
    assert [json.loads(o)[1]['beats'] for o in open(tmp_path/'set2/items.jsonl')] == [[0,1,2], [], [0,1,2,3], []]

def test_what_is_known_of_recordings_goes_to_hdf5(tmp_path):
    import h5py
    items = [dict(X=o, annotations=[[.5,1.,'eyes open'],[2.,1.,'closed']], subject=dict(age=30), keys=['a','b']) for o in x[:1]]
    to_hdf5(convert(items, tmp_path/'set'), tmp_path/'a.h5')
    with h5py.File(tmp_path/'a.h5') as f:
        said = f['X'].attrs
        assert json.loads(said['annotations'])[0] == [.5,1.,'eyes open'] and json.loads(said['subject']) == dict(age=30) and [*said['keys']] == ['a','b']

def test_variables_of_one_name_are_columns_of_their_own(tmp_path):
    import pyarrow.parquet as pq
    convert([dict(X=o, names=['hr','hr','y'], y=float(i)) for i,o in enumerate(x)], tmp_path/'set')
    got = pq.read_table(to_parquet(tmp_path/'set', tmp_path/'a.parquet'))
    assert {'hr','hr_','y','y_'} <= {*got.column_names} and got['y'].to_pylist() == [*range(6)]
    for i,k in enumerate(('hr','hr_','y_')): assert np.allclose(got[k].to_pylist(), x[:,i])

def test_columns_of_texts_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('a,b\n1,2\n3,-\n')
    assert read_file(tmp_path/'a.csv')['left_out'] == ['b']

def test_a_clock_of_dates_says_start_and_rate(tmp_path):
    import xarray as xr
    t = np.datetime64('2024-01-01', 'ns')+np.arange(500)*np.timedelta64(20, 'ms')
    got = from_xarray(xr.Dataset(dict(a=(('site','time'), x[:,0])), coords=dict(time=t)))
    assert got['fs'] == 50 and got['start'].startswith('2024-01-01T00:00:00')

@pytest.mark.parametrize('groups', ['many','one'])
def test_parquet_is_never_whole_in_memory(tmp_path, groups):
    code = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, sys
from tsdisk.tools.demo import private_memory
from tsdisk.convert.tables import read_table
rng = np.random.default_rng(0)
block = lambda: pa.table({f'v{k}': rng.random(2**18) for k in range(4)})
with pq.ParquetWriter('a.parquet', block().schema) as w:
    if sys.argv[1] == 'one': w.write_table(pa.concat_tables([block() for _ in range(20)]), row_group_size=10**8)
    else:
        for _ in range(20): w.write_table(block())
parts = read_table('a.parquet')['X']
next(parts)
before,most,n = private_memory(),0,0
for o in parts: most,n = max(most, private_memory()-before),n+o.shape[1]
print(n, most)
"""
    n,most = map(float, subprocess.run([sys.executable, '-c', code, groups], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split())
    assert n == 20*2**18-2**16 and most < 60e6, 'the file has 168 MB'

def test_labels_of_hdf5_of_fixed_width(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f: f['X'],f['y'],f['site'] = x, np.array([b'a',b'b']*3), 'north'
    assert open_folder(convert(tmp_path/'a.h5', tmp_path/'set'))[0]['y'].tolist() == ['a','b']*3

# Without the libraries

@pytest.mark.parametrize('module,extra,name', [('h5py','hdf5','a.h5'), ('zarr','zarr','a.zarr'), ('xarray','netcdf','a.nc'), ('pyarrow','tables','a.csv'), ('wfdb','wfdb','a.hea'), ('edfio','edf','a.edf')])
def test_a_missing_library_names_the_extra(tmp_path, module, extra, name, monkeypatch):
    (tmp_path/name).write_text('x\n1\n')
    for o in [o for o in sys.modules if o == module or o.startswith(module+'.')]: monkeypatch.setitem(sys.modules, o, None)
    monkeypatch.setitem(sys.modules, module, None)
    with expect_fail(ImportError, f"pip install 'tsdisk[{extra}]'"): read_file(tmp_path/name)
