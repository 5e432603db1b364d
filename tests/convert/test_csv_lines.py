"The first lines of a text are those of the file, in its encoding"
import bz2, codecs, gzip
import pytest
from conftest import fails
from tsdisk.convert.csv_lines import explain_compression, explain_encoding, find_encoding, first_bytes, first_lines, open_bytes, plain_suffix

pytest.importorskip('pyarrow')
text = 'time,Größe\n1,2\n3,4\n'

@pytest.mark.parametrize('encoding,given', [('utf-8',None), ('utf-8-sig',None), ('utf-16',None), ('utf-32',None), ('latin1','latin1'), ('utf-16-le','utf-16-le'), ('utf-8-sig','utf-8')])
def test_lines_are_read_in_the_encoding_of_a_mark_or_the_one_given(tmp_path, encoding, given):
    (tmp_path/'a.csv').write_bytes(text.encode(encoding))
    assert first_lines(tmp_path/'a.csv', given)[0] == text.splitlines()

@pytest.mark.parametrize('suffix,packed', [('.gz',gzip.compress), ('.bz2',bz2.compress)])
def test_compressed_files_are_read_as_they_were(tmp_path, suffix, packed):
    path = tmp_path/f'a.csv{suffix}'
    path.write_bytes(packed(text.encode()))
    assert first_lines(path) == (text.splitlines(), 'utf-8') and first_bytes(path) == (text.encode(), True)
    path.write_bytes(packed(text.encode())[:15])
    with fails(ValueError, 'a.csv', "can't be decompressed"): first_bytes(path)

def test_errors_of_the_system_stay_theirs(tmp_path):
    with fails(FileNotFoundError, 'none.csv'), explain_compression('none.csv'), open_bytes(tmp_path/'none.csv'): pass

@pytest.mark.parametrize('data,want', [(b'a\nb', ['a','b']), (b'a\r\nb\rc\n', ['a','b','c']), (b'', []), (b'\n\na', ['','','a']), (b'a\x0cb\n', ['a\x0cb'])])
def test_lines_end_as_those_of_any_system(tmp_path, data, want):
    (tmp_path/'a.csv').write_bytes(data)
    assert first_lines(tmp_path/'a.csv')[0] == want

def test_a_line_that_was_not_read_to_its_end_is_left_out(tmp_path):
    lines = [f'{i},'+'x'*1000 for i in range(200)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    assert first_lines(tmp_path/'a.csv', most=100)[0] == lines[:len(first_bytes(tmp_path/'a.csv')[0])//1003]
    head,complete = first_bytes(tmp_path/'a.csv', least=100)
    assert not complete and head.count(b'\n') >= 20
    (tmp_path/'b.csv').write_text('é'*100_000) # A letter is cut, and no line ends
    assert set(first_lines(tmp_path/'b.csv')[0][0]) == {'é'}

@pytest.mark.parametrize('data,encoding,err,words', [('Größe\n'.encode('latin1'), None, ValueError, ('is not in UTF-8','`encoding`')), ('a\n'.encode('utf-16-le'), None, ValueError, ('is not in UTF-8',)),
    (b'a\n', 'latin-99', ValueError, ("`encoding='latin-99'` is not known",))], ids=['latin1','without a mark','unknown'])
def test_another_encoding_is_named_with_a_remedy(tmp_path, data, encoding, err, words):
    (tmp_path/'a.csv').write_bytes(data)
    with fails(err, *words): first_lines(tmp_path/'a.csv', encoding)

def test_only_errors_of_encodings_are_explained():
    with fails(ValueError, 'a.csv is not in UTF-8'), explain_encoding('a.csv'): b'\xff'.decode()
    with fails(ValueError, 'mine'), explain_encoding('a.csv'): raise ValueError('mine')

@pytest.mark.parametrize('mark', ['UTF32_LE','UTF32_BE','UTF8','UTF16_LE','UTF16_BE'])
def test_marks_name_their_encodings(mark):
    data = getattr(codecs, f'BOM_{mark}')
    assert (data + 'a'.encode(mark.replace('_', '-').replace('UTF', 'utf-').lower())).decode(find_encoding(data + b'a\0\0\0'[:3])) == 'a'

@pytest.mark.parametrize('path,want', [('a.csv','.csv'), ('A.CSV.GZ','.csv'), ('a.b.txt.bz2','.txt'), ('d.x/a.tsv.zst','.tsv')])
def test_suffixes_are_those_of_the_format(path, want): assert plain_suffix(path) == want
