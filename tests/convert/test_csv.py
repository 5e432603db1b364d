"Dialects of csv"
import bz2, gzip
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, metadata_of
from tsdisk.convert import csv as module
from tsdisk.convert.convert import convert
from tsdisk.convert.csv import find_decimal, find_separator, sniff
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

def test_numbers_may_be_names_if_they_count(tmp_path):
    header = 'label,' + ','.join(map(str, range(20)))
    assert sniff(written(tmp_path/'a.csv', f'{header}\na,' + ','.join(['0.5']*20))).names[1] == '0'
    with fails(ValueError, 'no header'): sniff(written(tmp_path/'b.csv', 'a,1,0.5,7\nb,2,0.5,8\n'))

def test_separators_and_decimal_signs_of_few_rows():
    assert [find_separator(o.split('\n')) for o in ('a;b\n1,5;2,5', 'a b\n1 2', 'a,b\n1,2', 'v\n1')] == [';',' ',',',',']
    assert find_decimal([['1,5']], ';') == ',' and find_decimal([['1','2']], ';') == '.'

def test_columns_without_a_name_are_numbered_by_position():
    assert module._distinct(['a','','','','b','']) == ['a','','Unnamed: 2','Unnamed: 3','b','Unnamed: 5']

@pytest.mark.parametrize('mark', ['\x0b','\x0c','\x1c','\x85','\u2028'])
def test_marks_within_a_line_above_the_names_do_not_end_it(tmp_path, mark):
    text = f'Notes: a{mark}b\nOwner: me\ntime,v\n' + ''.join(f'2024-01-0{i+1},{i}\n' for i in range(9))
    (tmp_path/'a.csv').write_text(text, encoding='utf-8')
    assert read_table(str(tmp_path/'a.csv'))['X'].tolist() == [[*range(9)]]

@pytest.mark.parametrize('above', ['Title;;;\n', 'Title;;;\n;;;\nof 2024;;;\n', ';;;\n'])
@pytest.mark.parametrize('units', ['', 's;m;m;m\n'])
def test_titles_padded_with_separators_are_no_names(tmp_path, above, units):
    got = read_table(written(tmp_path/'a.csv', f'{above}t;a;b;c\n{units}1;2;3;4\n2;3;4;5\n'))
    assert got['names'] == [*'tabc'] and got['X'].tolist() == [[1,2], [2,3], [3,4], [4,5]]
    assert got.get('units') == ([*'smmm'] if units else None)

@pytest.mark.parametrize('text,names', [('t;;\n1;2;3\n', ['t','','Unnamed: 2']), (';a;a\n;x;y\nt;;\n0;1;2\n', ['t','a x','a y'])])
def test_names_with_one_field_are_no_title(tmp_path, text, names): assert sniff(written(tmp_path/'a.csv', text)).names == names
