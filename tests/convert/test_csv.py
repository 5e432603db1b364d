"Dialects of csv"
import bz2, gzip, weakref
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, metadata_of
from tsdisk.convert import csv as module, csv_rows
from tsdisk.convert.convert import convert
from tsdisk.convert.csv import find_decimal, find_separator, sniff
from tsdisk.convert.csv_rows import text_batches
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.readers import read_file
from tsdisk.convert.tables import read_table
from tsdisk.folder.manifest import open_folder

def written(path, text, encoding='utf-8'):
    path.write_bytes(text.encode(encoding))
    return path

dialects = {'semicolon': 'time;a;b\n2012-01-01;1.5;2\n2012-01-02;2.5;3\n', 'decimal comma': '"";"a";"b"\n"2012-01-01";1,5;2,0\n"2012-01-02";2,5;3,0\n',
    'tab': 'time\ta\tb\n2012-01-01\t1,5\t2\n2012-01-02\t2,5\t3\n', 'bar': 'time|a|b\n2012-01-01|1.5|2\n2012-01-02|2.5|3\n',
    'spaces': 'time  a   b\n2012-01-01  1.5 2\n2012-01-02 2.5  3\n', 'single quotes': "'time';'a';'b'\n'2012-01-01';1.5;2\n'2012-01-02';2.5;3\n",
    'comments': '# station 12\n# m/s\n\ntime,a,b\n2012-01-01,1.5,2\n2012-01-02,2.5,3\n', 'preamble': 'Station: 12\nOwner: me, you\n\ntime,a,b\n2012-01-01,1.5,2\n2012-01-02,2.5,3\n',
    'Excel': 'sep=;\ntime;a;b\n2012-01-01;1,5;2\n2012-01-02;2,5;3\n', 'comments between': 'time,a,b\n2012-01-01,1.5,2\n# moved\n2012-01-02,2.5,3\n',
    'end of line': 'time,a,b\r\n2012-01-01,1.5,2\r\n2012-01-02,2.5,3\r\n', 'a separator at the end': 'time,a,b\n2012-01-01,1.5,2,\n2012-01-02,2.5,3,\n'}

@pytest.mark.parametrize('dialect', dialects)
@pytest.mark.parametrize('encoding', ['utf-8','utf-8-sig','utf-16'])
def test_dialects_give_the_same_record(tmp_path, dialect, encoding):
    got = read_table(written(tmp_path/'a.csv', dialects[dialect], encoding))
    assert got['names'] == ['a','b'] and got['X'].tolist() == [[1.5,2.5], [2,3]]
    assert got['times'].tolist() == np.array(['2012-01-01','2012-01-02'], 'M8[ns]').tolist()

@pytest.mark.parametrize('suffix', ['.gz','.bz2','.zst'])
def test_compressed_files_are_found_and_read(tmp_path, suffix):
    import pyarrow as pa
    text = dialects['semicolon'].encode()
    if suffix == '.zst':
        with pa.output_stream(tmp_path/'a.csv.zst', compression='zstd') as f: f.write(text)
    else: (tmp_path/f'a.csv{suffix}').write_bytes((gzip if suffix == '.gz' else bz2).compress(text))
    X = open_folder(convert(tmp_path, tmp_path/'set', n_workers=0))[0]['X']
    assert np.array_equal(X, [[[1.5,2.5], [2,3]]])
    (tmp_path/f'b.csv{suffix}').write_bytes(text)
    with fails(ValueError, 'b.csv', 'decompressed'): read_table(tmp_path/f'b.csv{suffix}')

numbers = st.floats(-1e6, 1e6).map(lambda o: round(o, 3))

@given(st.integers(1, 4), st.integers(1, 6), st.data(), st.sampled_from([',',';','\t','|']), st.sampled_from('.,'), st.booleans(), st.sampled_from(['','# note; a, b\n','\n']))
def test_any_table_survives_any_dialect(tmp_path_factory, n_columns, n_rows, data, sep, decimal, quoted, above):
    rows = data.draw(st.lists(st.lists(numbers, min_size=n_columns, max_size=n_columns), min_size=n_rows, max_size=n_rows))
    names = [f'v{i}' for i in range(n_columns)]
    def cell(x):
        text = str(x).replace('.', decimal)
        return f'"{text}"' if quoted or sep == decimal else text
    lines = [sep.join(names), *(sep.join(map(cell, row)) for row in rows)]
    path = written(tmp_path_factory.mktemp('csv')/'a.csv', above + '\n'.join(lines) + '\n')
    try: got = read_table(path)
    except ValueError as e:
        assert 'decimal' in str(e)
        got = read_table(path, decimal=decimal, sep=sep)
    assert got['names'] == names and np.array_equal(got['X'], np.array(rows).T)

def test_units_below_the_names_are_kept(tmp_path):
    written(tmp_path/'a.csv', 'time,u,v\ns,m/s,[degC]\n0,1,2\n1,3,4\n')
    assert metadata_of(convert(tmp_path/'a.csv', tmp_path/'set', n_workers=0))['units'] == ['s','m/s','degC']
    assert 'units' not in read_table(written(tmp_path/'b.csv', 'time,u,v\n0,1,2\n1,3,4\n'))

@pytest.mark.parametrize('below', ['', ',,,\n', 'timestamp,,,\n'])
def test_several_levels_of_names_are_joined(tmp_path, below):
    head = f'physical_quantity,power,power,voltage\ntype,active,reactive,\n{below}'
    got = read_table(written(tmp_path/'a.csv', head + ''.join(f'2012-01-01 00:00:0{i},{i},2,3\n' for i in range(5))))
    assert got['names'] == ['power active','power reactive','voltage'] and got['X'].tolist() == [[0,1,2,3,4], [2]*5, [3]*5] and len(got['times']) == 5

def test_levels_of_names_that_pandas_writes(tmp_path):
    import pandas as pd
    columns = pd.MultiIndex.from_product([['power','voltage'], ['mean','max']], names=['quantity','of'])
    pd.DataFrame(np.arange(12.).reshape(3,4), pd.date_range('2020', periods=3, name='t'), columns).to_csv(tmp_path/'a.csv')
    got = read_table(tmp_path/'a.csv')
    assert got['names'] == ['power mean','power max','voltage mean','voltage max'] and np.array_equal(got['X'], np.arange(12.).reshape(3,4).T) and len(got['times']) == 3

@pytest.mark.parametrize('text,words', [('a;b\n"1,500";2\n"2,500";3\n', None), ('a\tb\n1,500\t2\n2,500\t3\n', 'decimal='), ('a;b\n1,5;2.5\n2,5;3.5\n', 'decimal='),
    ('a,b\n1,2\n3,4,5\n6,7\n', 'sep'), ('0.5,1\n1,2\n2,3\n', 'no header'), ('', 'no rows'), ('a,b\n', 'no rows'), ('a,b\nx,y\n', 'no numeric columns')])
def test_what_is_not_told_is_refused_with_a_remedy(tmp_path, text, words):
    written(tmp_path/'a.csv', text)
    if words is None: assert read_table(tmp_path/'a.csv')['X'].tolist() == [[1.5,2.5], [2,3]]
    else:
        with fails(ValueError, words, 'a.csv'): read_table(tmp_path/'a.csv')

@pytest.mark.parametrize('encoding', ['latin1','utf-16-le','cp1252'])
def test_other_encodings_must_be_named(tmp_path, encoding):
    written(tmp_path/'a.csv', 'Höhe;b\n1;2\n', encoding)
    with fails(ValueError, 'a.csv', 'not in UTF-8', 'partial(read_table, encoding=', '--encoding'): read_table(tmp_path/'a.csv')
    assert read_table(tmp_path/'a.csv', encoding=encoding)['names'] == ['Höhe','b']
    with fails(ValueError, "encoding='klingon'"): read_table(tmp_path/'a.csv', encoding='klingon')

def test_what_is_given_is_not_guessed(tmp_path):
    written(tmp_path/'a.csv', 'x\ny,z\na,b\n1,2\n')
    assert read_table(tmp_path/'a.csv', skip_rows=2)['names'] == ['a','b']
    written(tmp_path/'b.csv', '!x,y\n!z\na,b\n1,2\n3,4\n')
    assert read_table(tmp_path/'b.csv', comment='!')['X'].tolist() == [[1,3], [2,4]]

def test_comments_with_as_many_fields_as_a_row_are_skipped(tmp_path):
    written(tmp_path/'a.csv', 'id,v,w\na,1,2\n # repaired, by Bob, today\nb,3,4\n#c,5,6\n')
    got = read_table(tmp_path/'a.csv', comment='#', vars=['w'])
    assert got['X'].tolist() == [[2,4]]
    assert next(text_batches(tmp_path/'a.csv', sniff(tmp_path/'a.csv', comment='#'), ['v','id'])).to_pydict() == dict(v=['1','3'], id=['a','b'])
    written(tmp_path/'b.csv', 'id,v\n#1,5\n#2,6\n')
    assert next(text_batches(tmp_path/'b.csv', sniff(tmp_path/'b.csv', decimal='.', sep=','), ['id'])).to_pydict() == dict(id=['#1','#2'])

def test_names_that_repeat_never_become_equal(tmp_path):
    written(tmp_path/'a.csv', 'x,x,x.1,,\n1,2,3,4,5\n6,7,8,9,10\n')
    names = sniff(tmp_path/'a.csv').names
    assert names[:3] == ['x','x.2','x.1'] and len({*names}) == len(names)

def test_a_separator_that_is_given_wins_over_the_first_line(tmp_path):
    written(tmp_path/'a.csv', 'sep=;\na,b;c\n1,2;3\n4,5;6\n')
    assert sniff(tmp_path/'a.csv', sep=',', decimal='.').names == ['a','b;c'] and sniff(tmp_path/'a.csv', decimal=',').names == ['a,b','c']

def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path/'a.csv').write_bytes(b'\xef\xbb\xbfv,w\n1,2\n3,4\n')
    for encoding in (None,'utf-8','UTF-8','utf-8-sig'): assert read_table(tmp_path/'a.csv', encoding=encoding)['names'] == ['v','w']

def test_strings_may_hold_separators_and_line_breaks(tmp_path):
    got = read_table(written(tmp_path/'a.csv', 'a,note,b\n1,"x, y\nz",2\n3,"u",4\n'))
    assert got['X'].tolist() == [[1,3], [2,4]] and got['left_out'] == {'note': 'text'}

def test_numbers_may_be_names_if_they_count(tmp_path):
    header = 'label,' + ','.join(map(str, range(20)))
    assert sniff(written(tmp_path/'a.csv', f'{header}\na,' + ','.join(['0.5']*20))).names[1] == '0'
    with fails(ValueError, 'no header'): sniff(written(tmp_path/'b.csv', 'a,1,0.5,7\nb,2,0.5,8\n'))

def test_separators_and_decimal_signs_of_few_rows():
    assert [find_separator(o.split('\n')) for o in ('a;b\n1,5;2,5', 'a b\n1 2', 'a,b\n1,2', 'v\n1')] == [';',' ',',',',']
    assert find_decimal([['1,5']], ';') == ',' and find_decimal([['1','2']], ';') == '.'

def test_the_line_of_a_wrong_cell_is_named(tmp_path):
    written(tmp_path/'a.csv', '# note\nt,v\n' + ''.join(f'{i},{i}\n' for i in range(50_000)) + '1,high\n')
    with fails(ValueError, "'v'", "'high'", 'line 50003', 'a.csv'): read_file(tmp_path/'a.csv')

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

def test_columns_without_a_name_are_numbered_by_position():
    assert module._distinct(['a','','','','b','']) == ['a','','Unnamed: 2','Unnamed: 3','b','Unnamed: 5']

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

@pytest.mark.parametrize('mark', ['\x0b','\x0c','\x1c','\x85','\u2028'])
def test_marks_within_a_line_above_the_names_do_not_end_it(tmp_path, mark):
    text = f'Notes: a{mark}b\nOwner: me\ntime,v\n' + ''.join(f'2024-01-0{i+1},{i}\n' for i in range(9))
    (tmp_path/'a.csv').write_text(text, encoding='utf-8')
    assert read_table(str(tmp_path/'a.csv'))['X'].tolist() == [[*range(9)]]

@pytest.mark.parametrize('text', ['a\tb\tc\n1\t2\t3\n\t\n4\t5\t6\n', 'a,b,c\n1,2,3\n%4,5\n6,7,8\n', 'a;b;c\n1,5;2;3\n#4;5,5\n6;7;8\n'])
def test_short_rows_are_no_comments(tmp_path, text):
    with fails(ValueError, 'Expected 3 columns, got 2'): read_table(written(tmp_path/'a.csv', text))

@pytest.mark.parametrize('above', ['Title;;;\n', 'Title;;;\n;;;\nof 2024;;;\n', ';;;\n'])
@pytest.mark.parametrize('units', ['', 's;m;m;m\n'])
def test_titles_padded_with_separators_are_no_names(tmp_path, above, units):
    got = read_table(written(tmp_path/'a.csv', f'{above}t;a;b;c\n{units}1;2;3;4\n2;3;4;5\n'))
    assert got['names'] == [*'tabc'] and got['X'].tolist() == [[1,2], [2,3], [3,4], [4,5]]
    assert got.get('units') == ([*'smmm'] if units else None)

@pytest.mark.parametrize('text,names', [('t;;\n1;2;3\n', ['t','','Unnamed: 2']), (';a;a\n;x;y\nt;;\n0;1;2\n', ['t','a x','a y'])])
def test_names_with_one_field_are_no_title(tmp_path, text, names): assert sniff(written(tmp_path/'a.csv', text)).names == names

@pytest.mark.parametrize('units,differ', [('V', True), ('mV', False), (None, False)])
def test_files_of_a_table_need_the_same_units(tmp_path, units, differ):
    written(tmp_path/'a.csv', 'id;v\n;mV\n1;2\n1;3\n')
    written(tmp_path/'b.csv', f'v;id\n{units};\n4;2\n5;2\n' if units else 'v;id\n4;2\n5;2\n')
    table = from_long(tmp_path/'*.csv', 'id')
    if differ:
        with fails(ValueError, "'v' is in V", 'b.csv', 'in mV', 'same units'): [*table]
    else: assert [o['units'] for o in table] == [['mV']]*2
