"Names that a dataset gives lead to files below it, or are refused"
import ntpath, os, posixpath, pytest
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.disk.inside import check_regular, DamagedFile, inside, is_plain_name, open_regular

plain = ['X.npy', 'X/000000.npy', 'a-b_c.d', 'é.npy', 'with space.npy', '.hidden', 'a/.b', 'x'*255, '...', 'a..b']
not_plain = ['', '.', '..', '/', '/etc/passwd', '../a', 'a/..', 'a/../b', './a', 'a//b', 'a/', r'..\a', r'a\..\b', r'\a', 'C:a', r'c:\a', 'C:/a', 'a\0', 'a\nb',
    '\ud800', 'x'*256, 'é'*128, 'a/'+'x'*256, 'a/'*2049+'b', None, 3, b'a', ['a']]

@pytest.mark.parametrize('name', plain)
def test_names_below_a_folder_are_plain(name, tmp_path): assert is_plain_name(name) and inside(tmp_path, name) == tmp_path/name

@pytest.mark.parametrize('name', not_plain, ids=lambda o: repr(o)[:20])
def test_names_that_could_lead_elsewhere_are_not(name, tmp_path):
    assert not is_plain_name(name)
    with fails(DamagedFile, tmp_path, 'is not inside it', 'unless you know who made it'): inside(tmp_path, name)

@given(st.lists(st.sampled_from(['a','..','.','','C:','\\','/','~','X.npy']), min_size=1, max_size=5).map(''.join))
def test_no_plain_name_leads_out_of_its_folder(name):
    if not is_plain_name(name): return
    for lib in (posixpath, ntpath): assert lib.normpath(lib.join('/folder/of', name)).replace('\\', '/').startswith('/folder/of/')

@pytest.mark.parametrize('name', ['link', 'link/a', 'folder/link', 'folder/link/a'])
def test_nothing_is_written_through_a_link(tmp_path, name):
    (tmp_path/'set/folder').mkdir(parents=True)
    for o in ('set/link', 'set/folder/link'): (tmp_path/o).symlink_to(tmp_path)
    with fails(DamagedFile, 'link', 'symbolic link', 'nothing is written'): inside(tmp_path/'set', name)

def test_the_dataset_itself_may_be_a_link(tmp_path):
    (tmp_path/'real').mkdir()
    (tmp_path/'set').symlink_to(tmp_path/'real')
    assert inside(tmp_path/'set', 'X.npy') == tmp_path/'set/X.npy'

def test_files_and_links_to_them_are_read(tmp_path):
    (tmp_path/'a').write_bytes(b'abc')
    (tmp_path/'b').symlink_to(tmp_path/'a')
    for o in ('a','b'):
        with open_regular(tmp_path/o) as f: assert f.read() == b'abc'

def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path):
    with fails(IsADirectoryError, tmp_path, 'is a folder'): check_regular(tmp_path)
    with fails(FileNotFoundError, 'none'), open_regular(tmp_path/'none'): pass
    if not hasattr(os, 'mkfifo'): return
    os.mkfifo(tmp_path/'pipe')
    with fails(DamagedFile, 'pipe', 'not a file', 'Replace it'), open_regular(tmp_path/'pipe'): pass

def test_errors_while_a_file_is_read_name_it(tmp_path):
    (tmp_path/'a').touch()
    with fails(OSError, str(tmp_path/'a'), 'its disk failed'), open_regular(tmp_path/'a'): raise OSError(5, 'Input/output error')
