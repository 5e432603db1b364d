import subprocess, sys
from pathlib import Path
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.disk.arrays import save_array
from tsdisk.tools.cli import main
from tsdisk.convert.convert import convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.folder.manifest import open_folder
from tsdisk.convert.readers import read_file
from tsdisk.convert.info import info
from tsdisk.series.ragged import Ragged

@pytest.fixture
def raw(tmp_path):
    for i in range(12):
        p = tmp_path/f'raw/{"ab"[i%2]}/{i:02d}.npy'
        p.parent.mkdir(parents=True, exist_ok=True)
        np.save(p, np.full((2,9), i, 'f4'))
    return tmp_path/'raw'

def test_convert_verify_append_info(raw, tmp_path, capsys):
    dst = str(tmp_path/'set')
    assert main(['convert', str(raw/'a'), dst, '--workers', '1']) == 0 and main(['verify', dst]) == 0
    assert 'every byte is unchanged' in capsys.readouterr().out
    assert main(['append', dst, str(raw/'b')]) == 0
    assert len(open_folder(dst)[0]['X']) == 12
    with open(tmp_path/'set/X.npy', 'r+b') as f:
        f.seek(4100)
        f.write(b'\xff')
    capsys.readouterr()
    assert main(['verify', dst]) == 1 and capsys.readouterr().out == 'X.npy has changed: rows 0 to 12\n'
    assert main(['info', dst, str(raw/'a/00.npy')]) == 0 and 'X       12 x 2 x 9' in capsys.readouterr().out

def test_errors_are_one_line(raw, tmp_path, capsys):
    (raw/'a/bad.npy').write_text('no array')
    wrong = {'bad.npy could not be read': ['convert', str(raw), str(tmp_path/'set')], 'does not exist': ['info', str(tmp_path/'none')],
        'no files to read': ['convert', str(tmp_path/'*.xyz'), str(tmp_path/'s')], 'no checksums': ['verify', str(tmp_path)]}
    for why,args in wrong.items():
        assert main(args) == 1
        said = capsys.readouterr().err
        assert why in said and said.count('\n') == 1
    assert main(['convert', str(raw), str(tmp_path/'set'), '--skip']) == 0 and 'bad.npy' in capsys.readouterr().out

def test_a_file_alone_has_no_checksums(raw, tmp_path, capsys):
    assert main(['verify', str(raw/'a/00.npy')]) == 1 and 'give the folder of a dataset' in capsys.readouterr().err

def test_damaged_files_are_an_error_of_one_line(tmp_path, capsys):
    (tmp_path/'a.edf').write_bytes(b'0       '+b'x'*900)
    assert main(['info', str(tmp_path/'a.edf')]) == 1
    assert capsys.readouterr().err.count('\n') == 1

def test_long_tables(tmp_path, capsys):
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{"xyz"[i%3]},{i},{i*.5}\n' for i in range(30)))
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), '--id', 'who', '--time', 't']) == 0
    arrays,_ = open_folder(tmp_path/'set')
    assert arrays['who'].tolist() == [*'xyz'] and np.array_equal(arrays['X'][1], [np.arange(1, 30, 3)*.5])

def test_times_of_a_recording(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i},{i*.5}\n' for i in range(30)))
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), '--time', 't']) == 0
    assert open_folder(tmp_path/'set')[0]['X'].shape == (1,1,30)

def test_output_that_nobody_reads_is_no_error(raw):
    p = subprocess.Popen([sys.executable, '-m', 'tsdisk', 'info', *[str(raw/'a/00.npy')]*20], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    assert p.stderr.read() == b'' and p.wait() == 141

# Info

def test_info_lists_what_is_in_any_file(raw, tmp_path):
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
    convert(list(items(False)), tmp_path/'set')
    TSDataLoaders.from_folder(tmp_path/'set', splits=[range(30)], batch_tfms=Standardize())
    x = open_folder(tmp_path/'set')[0]['X'][:,1]*.2+1
    assert info(tmp_path/'set').vars[1][2:6] == tuple(f'{o:.4g}' for o in (x.min(), x.max(), x.mean(), x.std()))

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
    assert float(subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout) < 20

# Back to other formats

def items(ragged):
    rng = np.random.default_rng(0)
    said = dict(scale=[.1,.2], offset=[0.,1.], names=['a','b'], units=['g','V'], fs=50)
    for i in range(30): yield dict(X=rng.integers(-999, 999, size=(2,10+i*ragged)).astype('i2'), y='xy'[i%2], age=i, **said)

@pytest.mark.parametrize('ragged', [False,True])
def test_what_is_written_back_is_what_was_read(tmp_path, ragged):
    import h5py, pyarrow.parquet as pq
    convert(list(items(ragged)), tmp_path/'set')
    want = [o['X']*np.array([[.1],[.2]])+[[0],[1]] for o in items(ragged)]
    to_npy(tmp_path/'set', tmp_path/'plain'), to_hdf5(tmp_path/'set', tmp_path/'a.h5', compression='gzip'), to_parquet(tmp_path/'set', tmp_path/'a.parquet')
    tab = pq.read_table(tmp_path/'a.parquet')
    assert tab['y'].to_pylist() == [*'xy']*15 and tab['age'].to_pylist() == [*range(30)]
    for i,o in enumerate(want): assert np.allclose(np.stack([tab[k][i].as_py() for k in 'ab']), o, atol=1e-4)
    if ragged:
        with h5py.File(tmp_path/'a.h5') as f: values,offsets,attrs = f['X/values'][:],f['X/offsets'][:],dict(f['X'].attrs)
        plain = Ragged(tmp_path/'plain/X/values.npy', tmp_path/'plain/X/offsets.npy')
        for i,o in enumerate(want): assert np.allclose(values[offsets[i]:offsets[i+1]].T, o, atol=1e-4) and np.allclose(plain[i], o, atol=1e-4)
        assert [*attrs['names']] == ['a','b']
    else:
        got = read_file(tmp_path/'a.h5')
        assert np.allclose(got['X'], want, atol=1e-4) and got['units'] == ['g','V'] and got['fs'] == 50
        assert np.allclose(np.load(tmp_path/'plain/X.npy'), want, atol=1e-4)

def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    convert(list(items(False)), tmp_path/'set')
    for f,name in ((to_hdf5,'a.h5'), (to_parquet,'a.parquet')):
        with monkeypatch.context() as m:
            m.setattr('tsdisk.convert.export._steps', lambda *a: [(0,5), (5,'x')])
            with pytest.raises(TypeError): f(tmp_path/'set', tmp_path/name)
        assert not (tmp_path/name).exists() and not [*tmp_path.glob('.*.tmp')]
