"A disk that fails, a file that may not be read, or a stale handle, in the middle of any reader: the error says which file, and why"
import os, shutil, subprocess, sys
from pathlib import Path
import pytest
from conftest import fresh

compiler = shutil.which('cc') or shutil.which('gcc')
pytestmark = pytest.mark.skipif(sys.platform != 'linux' or compiler is None, reason='calls of the system fail by a library, which a C compiler makes on Linux')
most = 300 if os.environ.get('TSDISK_LONG_TESTS') else 4 # Calls of each reader that fail, one at a time

@pytest.fixture(scope='module')
def found(tmp_path_factory):
    "(number of calls tried, what was wrong) by reader"
    d = tmp_path_factory.mktemp('unreadable').resolve()
    (d/'at').mkdir()
    library = str(d/'unreadable.so')
    subprocess.run([compiler, '-shared', '-fPIC', '-O1', '-o', library, Path(__file__).with_name('unreadable.c'), '-ldl'], check=True)
    code = """
    import faulthandler, torch
    from unreadable import check_all
    faulthandler.enable()
    torch.set_num_threads(2)
    res = check_all(*args)"""
    return fresh(code, library, str(d/'at'), most, env=dict(LD_PRELOAD=library))

rooms = dict(disk='read_header open_array gather prefetch direct_aio direct_preadv shards shards_direct unpickled fingerprint',
    series='ragged ragged_direct windows', statistics='stats train_stats counts vocab',
    folder='folder_saved folder_dense folder_uneven folder_parts verify_saved verify_dense verify_uneven verify_parts',
    info='info_saved info_dense info_uneven info_parts info_file info_inputs summary',
    data='batches batches_direct batches_background loader_of_folder',
    convert='read_npy read_large_npy read_npz convert_npy convert_one_npy convert_large_npy convert_npz convert_csv convert_shards',
    train='checkpoint run')

@pytest.mark.parametrize('room', rooms)
def test_errors_of_readers_name_the_file_and_the_cause(room, found):
    for name in rooms[room].split():
        n,wrong = found[name]
        assert n >= 4 and not wrong, f'{name}: {wrong[:20]}'

def test_every_reader_is_in_a_room(found): assert {*found} == {*' '.join(rooms.values()).split()}
