"What `info` lists of files and datasets"
import json, subprocess, sys
from pathlib import Path
import numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fresh
from tsdisk.convert.convert import convert
from tsdisk.convert.info import info, spark
from tsdisk.disk.arrays import save_array
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.folder.stats import train_stats

@pytest.fixture
def raw(tmp_path):
    "Twelve files in folders a and b"
    for i in range(12):
        p = tmp_path/f'raw/{"ab"[i%2]}/{i:02d}.npy'
        p.parent.mkdir(parents=True, exist_ok=True)
        np.save(p, np.full((2,9), i, 'f4'))
    return tmp_path/'raw'

def scaled_records(n=30):
    "Records of 16-bit integers with a scale"
    rng = np.random.default_rng(0)
    packing = dict(scale=[.1,.2], offset=[0.,1.], names=['a','b'], units=['g','V'], fs=50)
    for i in range(n): yield dict(X=rng.integers(-999, 999, size=(2,10)).astype('i2'), y='xy'[i%2], age=i, **packing)

def test_info_lists_what_is_in_any_file(tmp_path):
    import h5py, xarray as xr, zarr
    x = np.random.default_rng(0).normal(size=(20,3,50)).astype('f4')
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['X'] = x
        f.create_dataset('raw/left', data=x, chunks=(5,3,50), compression='gzip')
    xr.Dataset(dict(temp=(('site','time'), x[:,0], dict(units='K')))).to_netcdf(tmp_path/'a.nc')
    z = zarr.open_group(str(tmp_path/'a.zarr'), mode='w')
    getattr(z, 'create_array', getattr(z, 'create_dataset', None))('X', data=x)
    np.savez(tmp_path/'a.npz', X=x)
    (tmp_path/'a.ts').write_text('@classLabel true a b\n@data\n1,2,3:a\n')
    said = {o: str(info(tmp_path/o)) for o in ('a.h5','a.nc','a.zarr','a.npz','a.ts')}
    assert 'raw/left  20 x 3 x 50  float32  12 kB  chunks 5 x 3 x 50, gzip' in said['a.h5']
    assert 'site 20 x time 50' in said['a.nc'] and ' K' in said['a.nc']
    assert '20 x 3 x 50' in said['a.zarr'] and 'in place' in said['a.npz'] and 'y: a' in said['a.ts']
    with expect_fail(ValueError, 'no known format'): info(Path(__file__))

def test_info_of_a_dataset_shows_itself(raw, tmp_path):
    got = convert(raw, tmp_path/'set', label='folder', split=lambda p: 'train' if p < str(raw/'b') else 'valid')
    assert 'splits: train 6, valid 6' in str(got) and open_folder(got)[0]['X'].shape == (12,2,9)
    html = got._repr_html_()
    assert html.count('<table>') == 2 and '12 x 2 x 9' in html
    (raw/'b/11.npy').write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set2')
    assert 'Not finished' in str(info(tmp_path/'set2'))

def test_info_says_the_statistics_that_were_kept(tmp_path):
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.data.transforms import Standardize
    convert(list(scaled_records()), tmp_path/'set')
    TSDataLoaders.from_folder(tmp_path/'set', splits=[range(30)], batch_tfms=Standardize())
    x = open_folder(tmp_path/'set')[0]['X'][:,1]*.2+1
    assert info(tmp_path/'set').vars[1].cells()[2:6] == tuple(f'{o:.4g}' for o in (x.min(), x.max(), x.mean(), x.std()))

def test_info_reads_little(tmp_path):
    save_array(tmp_path/'X.npy', (np.zeros((1000,3,1000), 'f4') for _ in range(8)))
    code = f"""
import re
from tsdisk.convert.info import info
def anon(): return int(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])/1024
info({str(tmp_path)!r})
before = anon()
info({str(tmp_path)!r})
print(anon()-before)
"""
    grown = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    assert float(grown) < 20

def test_one_array_of_a_file_is_described_with_its_variables(tmp_path):
    import h5py
    x = np.arange(40.).reshape(2,20)
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['raw/left'] = x
        f['raw/left'].attrs.update(units='mV', channels=['I','II'], sampling_rate=50)
    got = info(f'{tmp_path}/a.h5::raw/left')
    assert got.rows[0][:3] == ('X', (2,20), 'float64') and got.notes == ['fs: 50']
    assert [o[:4] for o in got.vars] == [('I','mV',0,19), ('II','mV',20,39)]

def test_ranges_are_those_of_decoded_samples(tmp_path):
    X = np.array([[0,10,-99], [5,-99,-99]], 'i2')
    convert([dict(X=X, scale=[.5,2.], offset=[1.,0.], missing=-99, names=['a','b'])], tmp_path/'set')
    assert [o[2:4] for o in info(tmp_path/'set').vars] == [(1,6), (10,10)]

def test_long_tables_of_variables_are_cut(tmp_path):
    save_array(tmp_path/'X.npy', np.zeros((3,25,4), 'f4'))
    got = info(tmp_path)
    assert len(got.vars) == 25 and '… 5 more' in str(got) and str(got).count('▁▁▁▁') == 20

def test_info_says_how_to_resume(raw, tmp_path):
    (raw/'b/11.npy').write_text('no')
    with expect_fail(ValueError, 'could not be read'): convert(raw, tmp_path/'set')
    assert 'call `convert` again with the same arguments to resume' in str(info(tmp_path/'set'))
    convert(raw, tmp_path/'set', on_error='skip', resume=False)
    assert 'inputs left out: 1, such as b/11.npy' in str(info(tmp_path/'set'))

def test_headers_of_npy_files(tmp_path):
    np.save(tmp_path/'a.npy', np.asfortranarray(np.zeros((3,4))))
    (row,) = info(tmp_path/'a.npy').rows
    assert row.shape == (3,4) and row.stored == 'data from byte 128, Fortran order'
    with expect_fail(FileNotFoundError, 'b.npy does not exist'): info(tmp_path/'b.npy')

def test_info_is_the_path_of_what_it_describes(raw):
    assert str(info(raw/'a/00.npy').path) == str(raw/'a/00.npy') and np.load(info(raw/'a/00.npy')).shape == (2,9)

def test_info_knows_all_formats_by_itself(tmp_path):
    (tmp_path/'a.csv').write_text('a,b\n1,2\n3,4\n')
    (tmp_path/'a.ts').write_text('@data\n1,2,3\n')
    code = 'from tsdisk.convert.info import info\nres = [info(o).rows[0].shape for o in args]'
    shapes = fresh(code, tmp_path/'a.csv', tmp_path/'a.ts')
    assert shapes == [(2,2), (1,3)]

def test_folders_and_patterns_are_described_as_convert_sees_them(raw, tmp_path):
    (raw/'notes.txt').write_text('x')
    for src in (raw, str(raw/'**/*.npy')):
        got = info(src)
        assert got.rows == info(raw/'a/00.npy').rows and got.notes[0].startswith('files that `convert` reads: .npy 12, ')
        assert got.notes[1] == 'the first one is described: …/a/00.npy'
    assert info(f"{raw/'a/00.npy'}[0:1]").rows[0].shape == (1,9)
    with expect_fail(FileNotFoundError, 'no files to read'): info(raw/'*.csv')
    (tmp_path/'empty').mkdir()
    with expect_fail(FileNotFoundError, 'X.npy'): info(tmp_path/'empty')

def test_info_as_plain_values(tmp_path):
    convert(list(scaled_records(3)), tmp_path/'set')
    got = info(tmp_path/'set').as_dict()
    assert got['path'] == str(tmp_path/'set') and got['arrays'][0]['shape'] == (3,2,10)
    assert [o['name'] for o in got['variables']] == ['a','b'] and 'checksums: yes, see `tsdisk verify`' in got['notes']

def test_figures_are_numbers_for_programs(tmp_path):
    def figures(): return [[o[k] for k in ('low','high','mean','std')] for o in json.loads(json.dumps(info(tmp_path/'set').as_dict(), allow_nan=False))['variables']]
    x = np.random.default_rng(0).normal(size=(4,3,50)).astype('f4')
    x[:,1] = np.nan
    x[0,2,0] = np.inf
    save_folder(tmp_path/'set', x)
    assert figures() == [[x[:,0].min(), x[:,0].max(), None, None], [None]*4, [x[:,2].min(), None, None, None]]
    stats = train_stats(open_folder(tmp_path/'set')[0]['X'])
    assert figures()[0] == [x[:,0].min(), x[:,0].max(), stats.mean[0], stats.std[0]]
    assert 'inf' in str(info(tmp_path/'set'))

@pytest.mark.parametrize('suffix', ['.csv','.parquet','large'])
def test_gaps_of_a_table_are_in_days_and_hours(tmp_path, monkeypatch, suffix):
    import pandas as pd
    from tsdisk.convert import tables
    if suffix == 'large': monkeypatch.setattr(tables, 'large', 100)
    steps = np.r_[0:100, 110:500, 900:1000]
    frame = pd.DataFrame(dict(time=pd.date_range('2024-01-01', periods=1000, freq='1h')[steps], a=np.arange(590.)))
    path = tmp_path/f'a{".csv" if suffix == "large" else suffix}'
    frame.to_parquet(path) if suffix == '.parquet' else frame.to_csv(path, index=False)
    what = 'times of the first 590 steps' if suffix == 'large' else 'times'
    assert info(path).notes == [f'{what}: from 2024-01-01T00:00:00, every 1 h, 2 gaps, the longest 16 d 17 h']
    with pytest.warns(UserWarning, match='the longest of 16 d 17 h:'): convert(path, tmp_path/'set', n_workers=0)
    assert 'gaps in time: 2, in 1 series, the longest of 16 d 17 h' in info(tmp_path/'set').notes

def test_uneven_times_of_a_table_are_no_list(tmp_path):
    import pandas as pd
    pd.DataFrame(dict(time=pd.to_datetime(['2024-01-01','2024-02-01','2024-02-03','2024-03-09']), a=np.arange(4.))).to_csv(tmp_path/'a.csv', index=False)
    assert info(tmp_path/'a.csv').notes == ['times: from 2024-01-01T00:00:00, at uneven times']

def test_the_rate_of_slow_steps_is_said_as_a_period(tmp_path):
    for name,fs in (('hours',1/3600),('fast',250.)): convert([dict(X=np.ones((1,9)), start='2024-01-01', fs=fs)], tmp_path/name, n_workers=0)
    assert 'fs: 0.0002778, a step every 1 h' in info(tmp_path/'hours').notes and 'fs: 250.0' in info(tmp_path/'fast').notes

@pytest.mark.parametrize('kept', ['X.npy', 'results/stats-gone.npy'])
def test_statistics_that_the_manifest_does_not_hold_itself_are_not_needed(tmp_path, kept):
    save_folder(tmp_path/'set', np.arange(24.).reshape(6,2,2), np.arange(6))
    train_stats(tmp_path/'set/X.npy')
    known = info(tmp_path/'set')
    stats = read_manifest(tmp_path/'set')['stats']
    (file,by_rows), = stats.items()
    write_manifest(tmp_path/'set', stats={file: dict.fromkeys(by_rows, kept)}) # Their file, as the manifest names it
    assert 'low and high: from cached statistics' in known.notes and known.vars[0].mean
    res = info(tmp_path/'set')
    assert 'low and high: from five samples' in res.notes and res.vars[0].mean is None and len(res.vars) == 2

def test_info_of_many_variables_whose_statistics_have_a_file(tmp_path):
    save_folder(tmp_path/'set', np.random.default_rng(0).random((4,500,3)), np.arange(4))
    train_stats(tmp_path/'set/X.npy')
    by_rows, = read_manifest(tmp_path/'set')['stats'].values()
    assert all(isinstance(o, str) for o in by_rows.values())
    assert len(info(tmp_path/'set').vars) == 200

def test_a_dataset_of_one_value_a_row_is_listed(tmp_path):
    save_folder(tmp_path/'set', np.arange(9.), np.arange(9))
    got = info(tmp_path/'set')
    assert [o.shape for o in got.rows] == [(9,), (9,)] and not got.vars and 'X' in str(got)

def test_statistics_of_images_are_described(tmp_path):
    save_folder(tmp_path/'set', np.arange(9*3*4*5., dtype='f4').reshape(9,3,4,5))
    train_stats(open_folder(tmp_path/'set')[0]['X'])
    assert [o.low for o in info(tmp_path/'set').vars] == [5.*i for i in range(12)]

def test_a_negative_scale_turns_the_range_round(tmp_path):
    convert([dict(X=np.array([[1,2,9]], 'i2'), scale=-.5, offset=1.)], tmp_path/'set')
    train_stats(open_folder(tmp_path/'set')[0]['X'])
    o, = info(tmp_path/'set').vars
    assert (o.low,o.high) == (-3.5,.5) and o.mean == pytest.approx(-1) and o.std > 1

def test_infinite_values_leave_the_rest_of_a_line():
    assert spark([1,np.inf,2,-np.inf,3,np.nan]) == '▁ ▅ █ ' and spark([np.nan,np.inf]) == '  '

def test_arrays_of_npz_are_described_without_their_values(tmp_path):
    arrays = dict(a=np.ones((2,3), '>f4'), b=np.asfortranarray(np.ones((4,5))), c=np.ones(3))
    np.savez(tmp_path/'a.npz', **arrays), np.savez_compressed(tmp_path/'b.npz', **arrays)
    for name,stored in (('a','in place'), ('b','compressed')):
        found = info(tmp_path/f'{name}.npz').rows
        assert [(o.name, o.shape, o.nbytes, o.stored) for o in found] == [(k, v.shape, v.nbytes, stored) for k,v in arrays.items()]

def test_uneven_times_of_a_large_table_are_described(tmp_path, monkeypatch):
    from tsdisk.convert import tables
    times = np.datetime64('2024-01-01', 'ns') + np.cumsum(np.random.default_rng(0).integers(1, 10**9, 2000)).astype('m8[ns]')
    times[1500:] += np.timedelta64(1, 'h')
    (tmp_path/'a.csv').write_text('time,v\n' + ''.join(f'{t},{i}.5\n' for i,t in enumerate(times)))
    monkeypatch.setattr(tables, 'large', 1000)
    assert any('1 gap' in o for o in info(tmp_path/'a.csv').notes)

def test_uneven_times_that_samples_share_are_described(tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(.1, 2, 50))
    times[30:] += 3600
    from tsdisk.convert.notes import times_in_words
    said = times_in_words(dict(times=times), np.zeros((4,1,50)))
    assert said['times'].startswith('at uneven times, 1 gap, the longest 1 h')
