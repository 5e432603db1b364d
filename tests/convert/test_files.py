"Files are found in folders and by patterns, and a folder that can't be listed is an error"
import glob, os
import numpy as np, pytest
from conftest import fails
from tsdisk.convert.convert import append, convert
from tsdisk.convert.files import find_inputs
from tsdisk.convert.info import info
from tsdisk.folder.manifest import open_folder

@pytest.fixture
def raw(tmp_path):
    "Files in several folders, some of them hidden, a link, and a zarr store"
    for o in ('.','a','b','a/c','a/.h','.x','b/e/f','s.zarr','[q]'):
        (tmp_path/'raw'/o).mkdir(parents=True, exist_ok=True)
        for k in (1,2): np.save(tmp_path/f'raw/{o}/{k}.npy', np.full((2,3), k, 'f4'))
    (tmp_path/'raw/a/link').symlink_to(tmp_path/'raw/b')
    (tmp_path/'raw/a/broken').symlink_to('nowhere')
    (tmp_path/'raw/a/self').symlink_to('self')
    return tmp_path/'raw'

patterns = ['*','**','**/*.npy','a/**','a/**/*.npy','**/c/*','*/*.npy','./*.npy','b/e/**/*','.*','**/.*','a/.h/*','?/*.npy','[ab]/*','[[]q]/*','*/c','s*',
    'a/link/*','**/link/**/1.npy','nothing/*','1.npy/*','**/**/*.npy','a/*/1.npy']

@pytest.mark.parametrize('pattern', patterns)
def test_patterns_find_what_the_standard_library_finds(raw, pattern, monkeypatch):
    monkeypatch.chdir(raw)
    for o in (pattern, str(raw/pattern)):
        expected = {os.path.normpath(k) for k in glob.glob(o, recursive=True) if os.path.isfile(k) or k.endswith('.zarr')}
        if expected:
            found = find_inputs(o, any_suffix=True)
            assert {*found} <= expected and sorted(map(os.path.realpath, found)) == sorted({*map(os.path.realpath, expected)})
        else:
            with fails(FileNotFoundError, 'no files to read'): find_inputs(o, any_suffix=True)

def test_a_link_to_a_folder_above_is_followed_no_further(raw):
    (raw/'b/up').symlink_to('..')
    found = find_inputs(f'{raw}/b/**/*.npy')
    assert sorted(os.path.relpath(o, raw) for o in found) == [f'b/{o}{k}.npy' for o in ('','e/f/') for k in (1,2)]

@pytest.fixture
def closed(raw, monkeypatch):
    "A folder that the system does not list"
    scandir,folder = os.scandir,raw/'a'
    def refuse(path='.'):
        if not isinstance(path, int) and os.path.abspath(path) == str(folder): raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)
    monkeypatch.setattr(os, 'scandir', refuse)
    return folder

@pytest.mark.parametrize('pattern', ['', '**/*.npy', '*/*.npy', 'a/*', '**', '*/**', 'a/**/*.npy'])
def test_a_folder_that_cannot_be_listed_is_named(raw, closed, pattern, tmp_path):
    src = os.path.join(raw, pattern)
    for f in (find_inputs, info, lambda o: convert(o, tmp_path/'set'), lambda o: find_inputs([raw/'b', o]), lambda o: find_inputs(dict(X=o, y=raw/'b'))):
        with fails(PermissionError, closed, 'change its permissions'): f(src)
    assert not (tmp_path/'set').exists()
    convert(raw/'b', tmp_path/'set', n_workers=0)
    with fails(PermissionError, closed): append(tmp_path/'set', src)
    assert len(open_folder(tmp_path/'set')[0]['X']) == 4

def test_folders_that_a_pattern_does_not_lead_through_may_be_closed(raw, closed):
    assert len(find_inputs(f'{raw}/b/**/*.npy')) == 4 and len(find_inputs(f'{raw}/*.npy')) == 2

def names_in(folder): return sorted(os.path.relpath(o, folder) for o in find_inputs(folder))

def test_linked_folders_are_read_once(tmp_path):
    top,disk = tmp_path/'top',tmp_path/'disk'
    for o in (top/'b', top/'.store', disk, disk/'deep'):
        o.mkdir(parents=True)
        np.save(o/'1.npy', np.zeros((2,3), 'f4'))
    for link,to in dict(a_link='b', hidden='.store', x_deep=disk/'deep', y_disk=disk, z_same=disk, up='..').items(): (top/link).symlink_to(to)
    (top/'b/up').symlink_to('..')
    (disk/'deep/back').symlink_to(top)
    assert names_in(top) == ['b/1.npy','hidden/1.npy','x_deep/1.npy','y_disk/1.npy']

def test_links_that_lead_nowhere_are_named(raw, tmp_path, capsys):
    convert(raw/'a', tmp_path/'set', n_workers=0)
    assert 'broken: a link that leads nowhere' in capsys.readouterr().out

@pytest.mark.parametrize('way', [list, tuple])
def test_a_file_given_twice_is_refused(raw, tmp_path, way):
    for src in ([raw/'1.npy']*2, [raw, raw/'b/1.npy'], [f'{raw}/b/*.npy', str(raw/'b/1.npy')]):
        with fails(ValueError, '1.npy is given 2 times'): convert(way(src), tmp_path/'set')
    assert not (tmp_path/'set').exists()

def test_a_file_given_in_two_spellings_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(raw)
    (raw/'same').symlink_to('b')
    (raw/'b/e/latest.npy').symlink_to('../1.npy')
    for o in ('a/../b/1.npy', str(raw/'b/1.npy'), 'same/1.npy', 'b/e/latest.npy'):
        with fails(ValueError, 'b/1.npy is given 2 times'): convert(['b/1.npy','b/2.npy',o], tmp_path/'set')
    with fails(ValueError, 'b/1.npy is given 2 times, also as', 'latest.npy'): find_inputs(['b/1.npy','b/e/latest.npy'])
    with fails(ValueError, 'b/1.npy::x is given 2 times'): find_inputs(['b/1.npy::x', f'{raw}/b/1.npy::x'])
    with fails(ValueError, 'b/1.npy is given 2 times'): find_inputs(dict(X=['b/1.npy','same/1.npy'], y=['a/1.npy','a/2.npy']))
    assert not (tmp_path/'set').exists()

def test_links_to_files_that_are_listed_add_nothing(raw):
    (raw/'b/0.npy').symlink_to('1.npy')
    for src in (raw, f'{raw}/**/*.npy', f'{raw}/[ab]/**/*.npy'):
        left_out = {}
        found = {os.path.relpath(o, raw) for o in find_inputs(src, left_out=left_out)}
        assert 'b/1.npy' in found and not {'b/0.npy','a/link/1.npy'} & found
        assert left_out[str(raw/'b/0.npy')] == 'a link to a file that is listed'

def test_arrays_of_a_file_and_links_to_one_file_elsewhere_are_inputs(raw):
    for k in (3,4): (raw/f'b/{k}.npy').symlink_to('../a/1.npy')
    assert len(find_inputs(raw/'b')) == 6
    assert len(find_inputs([f'{raw}/2.npy::x', f'{raw}/2.npy::y'])) == 2

def test_names_in_errors_are_paths(tmp_path):
    for o in ('x/1','x/2','x/3','y/1','y/2'):
        (tmp_path/o).parent.mkdir(exist_ok=True)
        np.save(f'{tmp_path}/{o}.npy', np.ones((1,9)))
    with fails(ValueError, f"'{tmp_path}/3'"): find_inputs(dict(X=f'{tmp_path}/x/*.npy', y=f'{tmp_path}/y/*.npy'))
