"An input that a dataset has is known again, in whatever order and company"
import os
from pathlib import Path
import numpy as np, pytest
from conftest import elsewhere, fails
from tsdisk.convert.convert import append, convert
from tsdisk.convert.seen_inputs import how_read, SeenInputs
from tsdisk.disk.inside import DamagedFile
from tsdisk.folder.checks import verify
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.disk.sidecar import read_manifest

def write(path, k):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full((2,5), k, 'f4'))
    return str(path)

@pytest.fixture
def files(tmp_path): return [write(tmp_path/f'raw/{"ab"[i%2]}/{i}.npy', i) for i in range(6)]
def values(at): return np.asarray(open_folder(at)[0]['X'])[:,0,0].tolist()

def made(tmp_path, files, n=4):
    "A dataset of the first files: some converted, some appended"
    convert(files[:n-1], tmp_path/'set', n_workers=0)
    append(tmp_path/'set', files[n-1:n], n_workers=0)
    return tmp_path/'set'

def test_the_same_inputs_in_another_order_are_known(tmp_path, files, capsys):
    dst = made(tmp_path, files)
    for o in ([3,2,1,0], [1,3], [0], [3]):
        append(dst, [files[i] for i in o], n_workers=0)
        assert f'Nothing was appended: the dataset has the rows of {len(o)} input' in capsys.readouterr().out
    assert values(dst) == [0,1,2,3]

def test_a_list_with_some_inputs_that_are_there_is_refused(tmp_path, files):
    dst = made(tmp_path, files)
    for o in ([4,0], [0,4], [4,3,5], [5,2,1,0,4]):
        n = sum(i < 4 for i in o)
        with fails(ValueError, f'has the rows of {n} of the {len(o)} inputs already', f'{[i for i in o if i < 4][0]}.npy', 'leave these out'):
            append(dst, [files[i] for i in o], n_workers=0)
    assert values(dst) == [0,1,2,3]
    append(dst, [files[4], files[0]], n_workers=0, again=True)
    append(dst, files[5], n_workers=0)
    assert values(dst) == [0,1,2,3,4,0,5]

def test_paths_may_be_given_in_any_form(tmp_path, files, monkeypatch):
    dst = made(tmp_path, files, n=6)
    (tmp_path/'link').symlink_to(tmp_path/'raw')
    monkeypatch.chdir(tmp_path/'raw')
    forms = [tmp_path/'raw', 'a', Path('b'), '*/*.npy', f'{tmp_path}/raw/**/*.npy', ['b/1.npy','a/0.npy'], [Path('a/2.npy')], 'b/../a/4.npy', (Path(o) for o in files[::-1]),
        ['b', 'a/2.npy'], tmp_path/'link', '../link/b/3.npy']
    for o in forms: append(dst, o, n_workers=0)
    assert values(dst) == [0,1,2,3,4,5]

def test_inputs_of_many_appends_are_known(tmp_path, files, monkeypatch):
    monkeypatch.setattr('tsdisk.convert.journal.most_earlier', 2)
    dst = made(tmp_path, files, n=2)
    for i in range(5): append(dst, write(tmp_path/f'more/{i}.npy', i+10), n_workers=0)
    append(dst, files[:2], n_workers=0)
    append(dst, tmp_path/'more', n_workers=0)
    assert values(dst) == [0,1,10,11,12,13,14]

def test_a_changed_file_is_another_input(tmp_path, files):
    dst = made(tmp_path, files)
    write(Path(files[1]), 7)
    os.utime(files[1], ns=(0, 10**18))
    append(dst, files[1], n_workers=0)
    assert values(dst) == [0,1,2,3,7]

def changing(at, path):
    "A reader that rewrites the file at `path` after it has read the one `at`, once they are converted: before, a sample is read"
    seen = []
    def read(o):
        a = np.load(o)
        seen.append(o)
        if o == at and seen.count(o) == 2: np.save(path, np.load(path).repeat(2, 0))
        return a[:2]
    return read

def test_a_file_that_changes_after_it_was_read_is_another_input(tmp_path, files):
    convert(files[:3], tmp_path/'set', read=changing(files[2], files[1]), n_workers=0)
    made = read_manifest(tmp_path/'set')['made']
    numbers = np.load(tmp_path/'set'/made['inputs'])
    assert [SeenInputs(how_read(made['options'])).number(o) in numbers for o in files[:3]] == [True,False,True]

def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, files):
    with fails(ValueError, '1.npy could not be read', 'changed while it was read'):
        convert(files[:3], tmp_path/'set', read=changing(files[1], files[1]), n_workers=0)
    convert(files[:3], tmp_path/'set', read=changing('', ''), n_workers=0, resume=False)
    assert values(tmp_path/'set') == [0,1,2]

def negated(o): return {**o, 'X': -o['X']}
def test_other_functions_make_other_rows(tmp_path, files):
    dst = made(tmp_path, files)
    append(dst, files[:2], n_workers=0, tfm=negated)
    append(dst, files[1::-1], n_workers=0, tfm=negated)
    assert values(dst) == [0,1,2,3,0,-1]

def test_files_that_were_moved_are_known_together(tmp_path, files):
    convert(files, tmp_path/'set2', n_workers=0)
    (tmp_path/'raw').rename(tmp_path/'moved')
    append(tmp_path/'set2', [o.replace('/raw/', '/moved/') for o in files], n_workers=0)
    assert len(values(tmp_path/'set2')) == 6

def test_arrays_in_memory_are_known(tmp_path):
    items = [np.full((2,5), i, 'f4') for i in range(4)]
    convert(items[:3], tmp_path/'set')
    append(tmp_path/'set', items[:3])
    with fails(ValueError, 'rows of 2 of the 2 inputs', '`again=True`'): append(tmp_path/'set', items[2:0:-1]) # May be other recordings of the same values
    with fails(ValueError, 'rows of 1 of the 2 inputs', 'item 1'): append(tmp_path/'set', [items[3], items[0]])
    assert values(tmp_path/'set') == [0,1,2]
    append(tmp_path/'set', [dict(X=items[0], subject='b')])
    append(tmp_path/'set', [dict(X=items[0], subject='c')])
    append(tmp_path/'set', [dict(X=items[0], subject='b')])
    assert values(tmp_path/'set') == [0,1,2,0,0]

def test_parts_of_one_mapped_file_are_told_apart(tmp_path):
    np.save(tmp_path/'a.npy', np.arange(60.).reshape(6,2,5))
    x = np.load(tmp_path/'a.npy', mmap_mode='r')
    convert(x[:2], tmp_path/'set')
    append(tmp_path/'set', x[2:4])
    append(tmp_path/'set', x[4:6])
    append(tmp_path/'set', x[2:4])
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], x)

def test_arrays_of_one_hdf5_file_are_told_apart(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        for k in (1,2):
            x = np.zeros((4,2,5))
            x[1:3] = k
            f[f'x{k}'] = x
        convert(f['x1'], tmp_path/'set', n_workers=0)
        append(tmp_path/'set', f['x2'], n_workers=0)
        append(tmp_path/'set', f['x1'], n_workers=0)
    assert values(tmp_path/'set') == [0,1,1,0,0,2,2,0]

def test_a_large_file_is_known_whole_and_in_company(tmp_path):
    np.save(tmp_path/'large.npy', np.zeros((3000,4,2000), 'f4'))
    np.save(tmp_path/'new.npy', np.ones((2,4,2000), 'f4'))
    convert(tmp_path/'large.npy', tmp_path/'set', n_workers=0)
    assert read_manifest(tmp_path/'set')['made']['sources'] > 1
    append(tmp_path/'set', [tmp_path/'large.npy'], n_workers=0)
    with fails(ValueError, 'rows of 1 of the 2 inputs'): append(tmp_path/'set', [tmp_path/'new.npy', tmp_path/'large.npy'], n_workers=0)
    append(tmp_path/'set', tmp_path/'new.npy', n_workers=0)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 3002

def test_inputs_that_were_skipped_may_be_appended(tmp_path, files):
    good = Path(files[2]).read_bytes()
    Path(files[2]).write_bytes(good[:-1])
    convert(files[:3], tmp_path/'set', n_workers=0, on_error='skip')
    append(tmp_path/'set', files[3:5], n_workers=0)
    Path(files[2]).write_bytes(good)
    with fails(ValueError, 'rows of 1 of the 2 inputs already', '1.npy'): append(tmp_path/'set', files[1:3], n_workers=0)
    append(tmp_path/'set', files[2], n_workers=0)
    assert values(tmp_path/'set') == [0,1,3,4,2]

@pytest.mark.parametrize('repeatable', [True, False])
def test_inputs_are_known_after_a_resumed_conversion(tmp_path, repeatable):
    items = [np.full((2,5), i, 'f4') for i in range(5)]
    broken = [*items[:3], np.zeros((0,5), 'f4'), items[4]]
    src = lambda x: x if repeatable else iter(x)
    with fails(ValueError, 'could not be read'): convert(src(broken), tmp_path/'set', n_workers=0)
    convert(src(items), tmp_path/'set', n_workers=0)
    with fails(ValueError, 'rows of 5 of the 5 inputs'): append(tmp_path/'set', items[::-1], n_workers=0)
    assert values(tmp_path/'set') == [0,1,2,3,4]

def test_a_dataset_of_an_earlier_version_knows_lists_in_their_order(tmp_path, files):
    dst = made(tmp_path, files)
    without = {k: o for k,o in read_manifest(dst)['made'].items() if k != 'inputs'}
    write_manifest(dst, made=without)
    append(dst, files[:3], n_workers=0)
    with fails(ValueError, 'rows of 3 of the 4 inputs'): append(dst, files[:4], n_workers=0)
    append(dst, files[4], n_workers=0)
    append(dst, [files[5]], n_workers=0)
    append(dst, [files[5], files[4]], n_workers=0)
    assert values(dst) == [0,1,2,3,4,5] and verify(dst) == []

def test_the_file_of_numbers_belongs_to_the_dataset(tmp_path, files):
    dst = made(tmp_path, files)
    name = read_manifest(dst)['made']['inputs']
    assert [o.name for o in dst.glob('items.inputs*')] == [name] and name in read_manifest(dst)['checksums'] and verify(dst) == []
    whole = (dst/name).read_bytes()
    (dst/name).write_bytes(whole[:-1]+bytes([whole[-1]^1]))
    assert any(name in o for o in verify(dst))
    np.save(dst/name, np.zeros(3))
    with fails(DamagedFile, name, 'numbers of inputs'): append(dst, files, n_workers=0)
    (dst/name).write_bytes(whole)
    save_folder(dst, X=np.ones((3,2,5), 'f4'), y=np.arange(3))
    assert not [*dst.glob('items*')] and 'made' not in read_manifest(dst)

def test_numbers_do_not_depend_on_the_process(tmp_path):
    path = write(tmp_path/'a.npy', 1)
    assert SeenInputs('f').number(path) == elsewhere("__import__('tsdisk.convert.seen_inputs', fromlist=['x']).SeenInputs('f').number(a)", path)
