"Errors of the system name the file and a remedy"
import errno, os, pytest
from conftest import fails
from tsdisk.disk.errors import named_error, naming, remedies

def test_errors_name_the_file_and_a_remedy(tmp_path):
    with fails(OSError, 'No space left', 'make room', 'X.npy') as e:
        with naming(tmp_path/'.X.npy.0.tmp'): raise OSError(errno.ENOSPC, 'No space left on device')
    assert e.value.errno == errno.ENOSPC and e.value.filename == str(tmp_path/'X.npy')
    with fails(PermissionError, 'change its permissions', '/there'):
        with naming(tmp_path/'X.npy'), naming(tmp_path): raise PermissionError(errno.EACCES, 'Permission denied', '/there')
    with pytest.raises(BlockingIOError, match='^mine$'):
        with naming(tmp_path): raise BlockingIOError('mine')

@pytest.mark.parametrize('number', remedies, ids=errno.errorcode.get)
def test_errors_keep_their_type_and_number_and_get_a_remedy_once(number):
    before = OSError(number, os.strerror(number))
    error = named_error(before, '/data/X.npy')
    assert type(error) is type(before) and (error.errno, error.filename) == (number, '/data/X.npy')
    assert error.strerror == f'{os.strerror(number)}: {remedies[number]}'
    assert named_error(error, '/other') is error

@pytest.mark.parametrize('error', [OSError('no number'), FileNotFoundError(errno.ENOENT, 'No such file', 'a')], ids=repr)
def test_errors_that_say_all_are_left_as_they_are(error): assert named_error(error, 'b') is error

def test_an_error_without_a_remedy_gets_its_file():
    error = named_error(OSError(errno.ENOTDIR, 'Not a directory'), 'b')
    assert type(error) is NotADirectoryError and str(error) == "[Errno 20] Not a directory: 'b'"

@pytest.mark.parametrize('path,named', [('d/.X.npy.0.tmp','d/X.npy'), ('d/.X.npy.1a2b3c4d.tmp','d/X.npy'), ('d/X.0.tmp','d/X.0.tmp'), ('d/.a.tmp','d/.a.tmp'),
    ('d/.X.npy.0.part','d/.X.npy.0.part')])
def test_temporary_files_are_reported_by_their_final_name(path, named): assert named_error(OSError(errno.EIO, 'x'), path).filename == named

def test_the_first_error_is_the_cause():
    with pytest.raises(OSError) as e:
        with naming('a'): raise OSError(errno.EIO, 'x')
    assert e.value.__cause__.strerror == 'x' and e.value.filename == 'a'
    with fails(ValueError, 'mine'), naming('a'): raise ValueError('mine')
