"Rows of separated values are read as strings, and rows of another width are refused"
import weakref
import numpy as np, pytest
from conftest import fails
from test_csv import written
from tsdisk.convert import csv_rows
from tsdisk.convert.csv import sniff
from tsdisk.convert.csv_rows import text_batches
from tsdisk.convert.tables import from_wide, read_table

def test_lines_of_a_csv_may_be_longer_than_a_megabyte(tmp_path):
    steps = np.random.default_rng(0).random((3,60_000))
    lines = [','.join(['y', *(f't{i}' for i in range(60_000))]), *(','.join(['1', *map(str, o)]) for o in steps)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    got = np.concatenate([o['X'][:,0] for o in from_wide(tmp_path/'a.csv', y='y')])
    assert len(lines[1]) > 2**20 and np.array_equal(got, steps)

def test_comments_with_as_many_fields_as_a_row_are_skipped(tmp_path):
    written(tmp_path/'a.csv', 'id,v,w\na,1,2\n # repaired, by Bob, today\nb,3,4\n#c,5,6\n')
    got = read_table(tmp_path/'a.csv', comment='#', vars=['w'])
    assert got['X'].tolist() == [[2,4]]
    assert next(text_batches(tmp_path/'a.csv', sniff(tmp_path/'a.csv', comment='#'), ['v','id'])).to_pydict() == dict(v=['1','3'], id=['a','b'])
    written(tmp_path/'b.csv', 'id,v\n#1,5\n#2,6\n')
    assert next(text_batches(tmp_path/'b.csv', sniff(tmp_path/'b.csv', decimal='.', sep=','), ['id'])).to_pydict() == dict(id=['#1','#2'])

def test_strings_may_hold_separators_and_line_breaks(tmp_path):
    got = read_table(written(tmp_path/'a.csv', 'a,note,b\n1,"x, y\nz",2\n3,"u",4\n'))
    assert got['X'].tolist() == [[1,3], [2,4]] and got['left_out'] == {'note': 'text'}

def test_no_thread_of_pyarrow_holds_python_when_a_reader_is_left(tmp_path, monkeypatch):
    "It would abort the program if it ended then"
    (tmp_path/'a.csv').write_text('a,b\n' + ''.join(f'{i},{2*i}\n' for i in range(300_000)))
    dialect,made,late = sniff(tmp_path/'a.csv'),[],0
    handler = csv_rows._comment_handler
    def watched(dialect):
        res = handler(dialect)
        made.append(weakref.ref(res))
        return res
    monkeypatch.setattr(csv_rows, '_comment_handler', watched)
    for _ in range(300):
        batches = text_batches(tmp_path/'a.csv', dialect, ['a'])
        assert next(batches)['a'][0].as_py() == '0'
        batches.close()
        late += made.pop()() is not None
    assert not late

@pytest.mark.parametrize('short', ['150         300', '150', '150 1 # 300'])
def test_a_short_row_between_spaces_does_not_move_values_to_other_columns(tmp_path, short):
    lines = ['t v w', *(f'{i} {i} {2*i}' for i in range(200))]
    (tmp_path/'a.txt').write_text('\n'.join(lines)+'\n')
    assert read_table(str(tmp_path/'a.txt'))['X'][2,150] == 300
    lines[151] = short
    (tmp_path/'a.txt').write_text('\n'.join(lines)+'\n')
    for kw in ({}, dict(vars=['v'])):
        with fails(ValueError, 'a.txt', 'row 151 ', 'fewer than 3 fields'): read_table(str(tmp_path/'a.txt'), **kw)

@pytest.mark.parametrize('fields', [4,5,7])
def test_a_long_row_between_spaces_is_told_of(tmp_path, fields):
    lines = ['t v w', *(f'{i} {i} {2*i}' for i in range(200))]
    lines[151] = ' '.join(map(str, range(fields)))
    (tmp_path/'a.txt').write_text('\n'.join(lines))
    said = ['row 151 ', 'more than 3 fields'] if fields == 4 else ['line 152', f'saw {fields}']
    with fails(ValueError, 'a.txt', *said): read_table(str(tmp_path/'a.txt'))
    lines[151] = '150 150 300  '
    (tmp_path/'a.txt').write_text('\n'.join(lines))
    assert read_table(str(tmp_path/'a.txt'))['X'].shape[1] == 200

@pytest.mark.parametrize('text', ['a\tb\tc\n1\t2\t3\n\t\n4\t5\t6\n', 'a,b,c\n1,2,3\n%4,5\n6,7,8\n', 'a;b;c\n1,5;2;3\n#4;5,5\n6;7;8\n'])
def test_short_rows_are_no_comments(tmp_path, text):
    with fails(ValueError, 'Expected 3 columns, got 2'): read_table(written(tmp_path/'a.csv', text))

# Batches of strings

def batches(path, columns, **kw): return [o.to_pydict() for o in text_batches(path, sniff(path, **kw), columns)]

@pytest.mark.parametrize('sep', [',',' '])
def test_columns_come_as_they_are_asked_for(tmp_path, sep):
    path = written(tmp_path/'a.csv', 'a,b,c\n1,NA,2.50\n0x1,-,"z z"\n'.replace(',', sep))
    assert batches(path, ['c','a']) == [dict(c=['2.50','z z'], a=['1','0x1'])]
    assert batches(path, ['b']) == [dict(b=['NA','-'])]

@pytest.mark.parametrize('sep', [',',' '])
def test_a_large_file_comes_in_many_batches(tmp_path, monkeypatch, sep):
    monkeypatch.setattr(csv_rows, 'large', 2**16)
    path = written(tmp_path/'a.csv', f'a{sep}b\n' + ''.join(f'{i}{sep}{2*i}\n' for i in range(3000)))
    got = batches(path, ['b'])
    assert len(got) > 5 and [o for b in got for o in b['b']] == [str(2*i) for i in range(3000)]

@pytest.mark.parametrize('text', ['a,b\n', 'a b\n', '# only\n# comments\na,b\n'])
def test_a_file_of_names_has_no_rows(tmp_path, text):
    path = written(tmp_path/'a.csv', text)
    assert [o for b in batches(path, ['a'], sep=' ' if ' b' in text else ',') for o in b['a']] == []

def test_blank_lines_and_remarks_between_rows_are_skipped(tmp_path):
    path = written(tmp_path/'a.csv', 'a,b\n1,2\n\n# moved to the roof\n  \n3,4\n')
    assert batches(path, ['a','b']) == [dict(a=['1','3'], b=['2','4'])]

def test_a_row_that_differs_is_refused_with_file_and_remedy(tmp_path):
    path = written(tmp_path/'a.csv', 'a,b\n1,2\n3,4,5\n')
    said = 'a.csv: ','Expected 2 columns, got 3','give `sep`, `skip_rows` or `comment`'
    with fails(ValueError, *said): batches(path, ['a'], sep=',', decimal='.')
    late = written(tmp_path/'b.csv', 'a,b\n' + '1,2\n'*100_000)
    late.write_bytes(late.read_bytes() + b'\xff,1\n')
    with fails(ValueError, 'b.csv is not in UTF-8'): batches(late, ['a'])
