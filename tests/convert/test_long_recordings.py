"Long recordings of all formats"
import numpy as np, pytest
from hospital import write_wfdb, x
from tsdisk.convert import hdf5_chunks, readers, tables
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

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
    for o in (hdf5_chunks, readers, tables): monkeypatch.setattr(o, 'large', 1000)
    monkeypatch.setattr(hdf5_chunks, 'at_once', 1000)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (1000,))
    path = write_recording(tmp_path, kind)
    got = read_file(path)
    assert not hasattr(got['X'], 'shape')
    pieces = [*got['X']]
    scale,offset = (np.reshape(got.get(k, v), (-1,1)) for k,v in (('scale',1.), ('offset',0.)))
    assert np.allclose(np.concatenate(pieces, 1)*scale+offset, x[0], atol=2e-2)
    assert kind in ('h5','parquet') or len(pieces) > 1
    convert(path, tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['X'][0].shape == (3,500)
