"The header of a file, read at once with its size, is what NumPy reads; the array of a small file, too"
import os
import numpy as np, pytest
from numpy.lib import format as npy
from conftest import all_dtypes, fails, filled, same
from tsdisk.convert.readers import read_npy
from tsdisk.disk.arrays import save_array
from tsdisk.disk.headers import header_and_stat, read_header, usual_header
from tsdisk.disk.inside import DamagedFile

def save(path, a, version=(1,0)):
    with open(path, 'wb') as f: npy.write_array(f, a, version)
    return path

arrays = {o: filled((5,2,3), o) for o in all_dtypes}
arrays |= dict(big_endian=filled((4,3), '>f4'), fortran=np.asfortranarray(filled((4,3))), scalar=np.array(2.5), empty=np.zeros((0,3)), one=filled(7))
arrays['records'] = np.zeros(3, [('a','f4'), ('b','i2')])
arrays['many_fields'] = np.zeros(2, [(f'{k:050}','f4') for k in range(100)]) # A header of more than 4096 bytes

@pytest.mark.parametrize('version', [(1,0),(2,0)])
@pytest.mark.parametrize('name', arrays)
def test_headers_and_small_files_are_what_numpy_reads(tmp_path, name, version):
    path = save(tmp_path/'a.npy', arrays[name], version)
    header,stat = header_and_stat(path)
    assert header == read_header(path) and stat.st_size == os.path.getsize(path) and stat.st_ino == os.stat(path).st_ino
    got,expected = read_npy(path),np.load(path)
    same(got, expected)
    assert got.flags.writeable and got.flags.aligned
    with open(path, 'ab') as f: f.write(b'more')
    same(read_npy(path), expected)

def test_arrays_of_tsdisk_have_usual_headers(tmp_path):
    save_array(tmp_path/'a.npy', filled((5,3)))
    data = (tmp_path/'a.npy').read_bytes()
    assert usual_header(data[:4096]) == read_header(tmp_path/'a.npy') and usual_header(data[:4095]) is None

def test_what_is_no_array_is_named(tmp_path):
    good = save(tmp_path/'a.npy', filled((5,3))).read_bytes()
    for data,words in ((b'', 'not a `.npy` file'), (good[:9], 'damaged'), (good[:60], 'damaged'), (b'PK\3\4'+good, '`.npz` archive'), (good.replace(b"'shape': (5", b"'shape': (-"), 'damaged')):
        (tmp_path/'b.npy').write_bytes(data)
        with fails(ValueError, 'b.npy', words): header_and_stat(tmp_path/'b.npy')
    for o in (good[:150], good[:-1]):
        (tmp_path/'b.npy').write_bytes(o)
        with fails(ValueError, 'b.npy is truncated'): read_npy(tmp_path/'b.npy')
    with fails(FileNotFoundError, 'none.npy'): header_and_stat(tmp_path/'none.npy')
    with fails(IsADirectoryError, tmp_path): header_and_stat(tmp_path)

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='pipes are of Unix')
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path/'a.npy')
    with fails(DamagedFile, 'a.npy', 'pipe'): header_and_stat(tmp_path/'a.npy')
