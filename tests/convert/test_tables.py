"Tables of recordings and samples"
import subprocess, sys
from functools import partial
import numpy as np, pandas as pd, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.readers import from_frame, read_file
from tsdisk.convert.record_times import with_clock
from tsdisk.convert.table_files import open_table
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def test_lines_of_a_csv_may_be_longer_than_a_megabyte(tmp_path):
    steps = np.random.default_rng(0).random((3,60_000))
    lines = [','.join(['y', *(f't{i}' for i in range(60_000))]), *(','.join(['1', *map(str, o)]) for o in steps)]
    (tmp_path/'a.csv').write_text('\n'.join(lines))
    got = np.concatenate([o['X'][:,0] for o in from_wide(tmp_path/'a.csv', y='y')])
    assert len(lines[1]) > 2**20 and np.array_equal(got, steps)

def test_wide_tables(tmp_path):
    import pyarrow as pa, pyarrow.csv as csv
    steps = {f't{i}': x[:,0,i].astype('f8') for i in range(20)}
    csv.write_csv(pa.table({'label': [*'abcabc'], **steps}), tmp_path/'a.csv')
    arrays,_ = open_folder(convert(from_wide(tmp_path/'a.csv', y='label'), tmp_path/'set'))
    assert np.allclose(arrays['X'][:,0], x[:,0,:20]) and arrays['y'].tolist() == [*'abcabc']

def test_integers_of_a_csv_may_turn_out_to_be_floats(tmp_path):
    (tmp_path/'a.csv').write_text('v\n'+'1\n'*400_000+'1.5\n')
    assert read_file(tmp_path/'a.csv')['X'][0,-1] == 1.5

def test_times_give_start_and_rate_of_a_recording(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    t = np.datetime64('2024-01-01T00:00:00', 'ns') + np.arange(50)*np.timedelta64(20, 'ms')
    for i in range(3): pq.write_table(pa.table(dict(time=t, a=x[i,0,:50], b=x[i,1,:50])), tmp_path/f'{i}.parquet')
    X = open_folder(convert(f'{tmp_path}/*.parquet', tmp_path/'set'))[0]['X']
    metadata = metadata_of(tmp_path/'set')
    assert np.allclose(X, x[:3,:2,:50]) and metadata['fs'] == 50 and metadata['start'].startswith('2024-01-01T00:00:00')

def test_a_column_that_starts_late_is_there(tmp_path):
    (tmp_path/'a.csv').write_text('t,a,b\n' + ''.join(f'{i},{i},\n' for i in range(200_000)) + '1,1,1.5\n'*10)
    got = read_file(tmp_path/'a.csv')
    assert got['names'] == ['t','a','b'] and np.isnan(got['X'][2]).sum() == 200_000 and got['X'][2,-1] == 1.5

def test_a_column_of_times_is_no_variable(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i/50},{i*2}\n' for i in range(30)))
    assert read_file(tmp_path/'a.csv')['names'] == ['t','v']
    got = read_table(tmp_path/'a.csv', time='t')
    assert got['names'] == ['v'] and np.array_equal(got['X'], [np.arange(30)*2]) and 'fs' not in got
    with expect_fail(ValueError, "no column 'when' for `time`"): read_table(tmp_path/'a.csv', time='when')

@pytest.mark.parametrize('large', [0, 2**26])
def test_times_that_go_back_cause_one_warning(tmp_path, large, monkeypatch):
    import tsdisk.convert.tables
    monkeypatch.setattr(tsdisk.convert.tables, 'large', large)
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{o},{i},{i*.5}\n' for o in 'xy' for i in range(30)))
    with pytest.warns(UserWarning, match='The times in column .* go backwards'):
        got = read_table(tmp_path/'a.csv', time='t')['X']
        assert (got if large else np.concatenate([*got], 1)).shape == (1,60)

def test_columns_of_strings_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('a,b,t,u\n1,x,2020-01-01,2020-01-01\n3,-,2020-01-02,2020-01-02\n')
    assert read_file(tmp_path/'a.csv')['left_out'] == {'b': 'text', 'u': 'dates'}

@pytest.mark.parametrize('groups', ['many','one'])
def test_parquet_is_never_whole_in_memory(tmp_path, groups):
    code = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, sys
from tsdisk.tools.demo import private_memory
from tsdisk.convert.tables import read_table
rng = np.random.default_rng(0)
block = lambda: pa.table({f'v{k}': rng.random(2**18) for k in range(4)})
with pq.ParquetWriter('a.parquet', block().schema) as w:
    if sys.argv[1] == 'one': w.write_table(pa.concat_tables([block() for _ in range(20)]), row_group_size=10**8)
    else:
        for _ in range(20): w.write_table(block())
parts = read_table('a.parquet')['X']
next(parts)
before,most,n = private_memory(),0,0
for o in parts: most,n = max(most, private_memory()-before),n+o.shape[1]
print(n, most)
"""
    command = [sys.executable, '-c', code, groups]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    n,most = map(float, done.stdout.split())
    assert n == 20*2**18-2**16 and most < 60e6, 'the file has 168 MB'

@pytest.mark.parametrize('name', ['a.csv','a.tsv','a.parquet'])
def test_a_table_is_read_by_its_suffix(tmp_path, name):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1,2,3], b=[.5,1.,None]))
    if name.endswith('parquet'): df.to_parquet(tmp_path/name)
    else: df.to_csv(tmp_path/name, sep='\t' if name.endswith('tsv') else ',', index=False)
    got = read_file(tmp_path/name)
    assert got['names'] == ['a','b'] and np.array_equal(got['X'], [[1,2,3], [.5,1,np.nan]], equal_nan=True)

def test_columns_that_are_missing_are_named(tmp_path):
    (tmp_path/'a.csv').write_text('y,t0,t1\n1,2,3\n')
    words = "no column 'nobody' for {}, it has ['y', 't0', 't1']"
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', metadata=['nobody'])]
    with expect_fail(ValueError, words.format('`y` or `metadata`')): [*from_wide(tmp_path/'a.csv', y='nobody')]
    with expect_fail(ValueError, words.format('`steps`')): [*from_wide(tmp_path/'a.csv', steps=['nobody'])]

# Numbers, and columns that are none

marks = ['?','-','NA','N/A','nan','None','Null','null','.','']

@pytest.mark.parametrize('mark', marks)
@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_marks_of_missing_values_are_nan(tmp_path, mark, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=['1',mark,'3'], b=[1.5,2.5,3.5]))
    got = read_any(df, tmp_path, kind)
    assert got['names'] == ['a','b'] and np.array_equal(got['X'], [[1,np.nan,3], [1.5,2.5,3.5]], equal_nan=True)

def read_any(df, folder, kind):
    if kind == 'frame': return from_frame(df)
    path = folder/f'a.{kind}'
    df.to_csv(path, index=False) if kind == 'csv' else getattr(df, f'to_{kind}')(path)
    return read_table(path)

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_text_among_numbers_is_an_error_that_says_where(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=['1','2','high','4'], b=[1.5,2.5,3.5,4.5]))
    with fails(ValueError, "'a'", "'high'", 'line 4' if kind == 'csv' else 'row 2'): read_any(df, tmp_path, kind)

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_what_is_left_out_is_named_with_the_reason(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2.], site=pd.Categorical(['n','s']), e=[None,None], when=['01/02/2020','02/02/2020']))
    got = read_any(df, tmp_path, kind)
    assert got['names'] == ['a'] and [*got['left_out']] == ['site','e','when']
    assert got['left_out']['site'] == 'text' and got['left_out']['e'] == 'no values' and 'may be dates' in got['left_out']['when']

@pytest.mark.parametrize('kind', ['csv','parquet','feather','frame'])
def test_an_index_of_pandas_is_no_variable(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2,3,4], b=[5.,6,7,8])).iloc[[0,2,3]]
    path = tmp_path/f'a.{kind}'
    if kind == 'csv': df.to_csv(path)
    elif kind == 'parquet': df.to_parquet(path)
    elif kind == 'feather': df.reset_index().rename(columns={'index': '__index_level_0__'}).to_feather(path)
    got = from_frame(df) if kind == 'frame' else read_table(path)
    assert got['names'] == ['a','b']
    assert kind == 'frame' or [*got['left_out'].values()] == ['index of pandas']

@pytest.mark.parametrize('kind', ['csv','parquet','frame'])
def test_an_index_of_dates_is_the_time(tmp_path, kind):
    import pandas as pd
    df = pd.DataFrame(dict(a=[1.,2,3]), pd.date_range('2020', periods=3, tz='Europe/Berlin'))
    path = tmp_path/f'a.{kind}'
    if kind != 'frame': getattr(df, f'to_{kind}')(path)
    got = from_frame(df) if kind == 'frame' else read_table(path)
    assert got['names'] == ['a'] and 'left_out' not in got
    assert got['times'].tolist() == (np.arange(3)*np.timedelta64(1, 'D') + np.datetime64('2019-12-31T23', 'ns')).tolist()

def test_gaps_and_repeated_times_are_known(tmp_path):
    import pandas as pd
    keep = np.r_[0:1500, 3500:5000]
    pd.DataFrame(dict(t=pd.date_range('2020', periods=5000, freq='h')[keep], v=keep*1.)).to_csv(tmp_path/'a.csv', index=False)
    with pytest.warns(UserWarning, match='1 series have gaps in time, 1 in all'): convert(tmp_path/'a.csv', tmp_path/'set', n_workers=0)
    assert 'fs' not in metadata_of(tmp_path/'set') and read_manifest(tmp_path/'set')['clock']['gaps'][:2] == [1,1]

def test_times_of_a_large_file_are_scanned_as_it_is_read(tmp_path, monkeypatch):
    import pandas as pd
    from tsdisk.convert import tables
    monkeypatch.setattr(tables, 'large', 100)
    times = pd.date_range('2020', periods=200_000, freq='s')
    pd.DataFrame(dict(t=times, v=np.arange(200_000.))).to_csv(tmp_path/'a.csv', index=False)
    convert(tmp_path/'a.csv', tmp_path/'set', n_workers=0)
    metadata = metadata_of(tmp_path/'set')
    assert metadata['fs'] == 1 and metadata['start'].startswith('2020-01-01') and np.array_equal(open_folder(tmp_path/'set')[0]['X'][0], [np.arange(200_000)])

def test_times_of_numbers_have_a_unit_if_it_is_given(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{1577836800000+20*i},{i}\n' for i in range(30)))
    assert 'times' not in read_table(tmp_path/'a.csv', time='t')
    assert np.allclose(read_table(tmp_path/'a.csv', time='t', time_unit='ms')['times'], np.arange(30)*.02, rtol=0, atol=1e-12)
    got = read_table(tmp_path/'a.csv', time='t', time_unit='ms since 1970-01-01')
    assert got['times'][0] == np.datetime64('2020-01-01') and got['times'][1]-got['times'][0] == np.timedelta64(20, 'ms')

def test_milliseconds_since_1970_give_the_exact_rate(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{1577836800000+i},{i}\n' for i in range(5000)))
    read = partial(read_table, time='t', time_unit='ms since 1970-01-01')
    convert(tmp_path/'a.csv', tmp_path/'set', read=read, n_workers=0)
    assert metadata_of(tmp_path/'set')['fs'] == 1000 and 'time_period' not in metadata_of(tmp_path/'set')

def test_large_integers_stay_exact_among_missing_ones(tmp_path):
    import pandas as pd
    ns = 1577836800*10**9 + np.arange(300)*10**6 + 1
    column = pd.DataFrame(dict(t=pd.array([*ns[:5], None, *ns[6:]], 'Int64')))
    def times(unit):
        table = open_table(column)
        table.as_times('t', time_unit=unit)
        return next(table.batches(['t'])).column(0).to_numpy(zero_copy_only=False)
    dates,seconds = times('ns since 1970-01-01'),times('ns')
    assert np.isnat(dates[5]) and np.array_equal(np.delete(dates, 5).astype('i8'), np.delete(ns, 5))
    assert np.isnan(seconds[5]) and np.array_equal(np.rint(np.delete(seconds, 5)*1e9), np.delete(ns-ns[0], 5))

def test_times_may_be_decimals(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    from decimal import Decimal
    pq.write_table(pa.table(dict(t=[Decimal(i)/4 for i in range(8)], v=np.arange(8.))), tmp_path/'a.parquet')
    assert np.array_equal(read_table(tmp_path/'a.parquet', time='t', time_unit='s')['times'], np.arange(8)/4)

@pytest.mark.parametrize('size', [100, 2**26])
def test_seconds_have_no_date_in_files_of_any_size(tmp_path, monkeypatch, size):
    from tsdisk.convert import tables
    monkeypatch.setattr(tables, 'large', size)
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i},{i}\n' for i in range(300)))
    convert(tmp_path/'a.csv', tmp_path/'set', read=partial(read_table, time='t', time_unit='s'), n_workers=0)
    assert 'start' not in metadata_of(tmp_path/'set') and metadata_of(tmp_path/'set')['fs'] == 1

def test_times_of_a_day_have_no_date(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n9:05,1\n10:05,2\n')
    with fails(ValueError, "'9:05'", 'time_format'): read_table(tmp_path/'a.csv', time='t')
    assert read_table(tmp_path/'a.csv', time='t', time_format='%H:%M')['times'].tolist() == [32700, 36300]

def test_variables_that_are_selected_are_kept_without_values(tmp_path):
    (tmp_path/'a.csv').write_text('a,b,c\n1,,2\n3,,4\n')
    assert read_table(tmp_path/'a.csv')['left_out'] == {'b': 'no values'}
    got = read_table(tmp_path/'a.csv', vars=['c','b'])
    assert got['names'] == ['c','b'] and got['X'][0].tolist() == [2,4] and np.isnan(got['X'][1]).all()

# Wide tables

@pytest.mark.parametrize('strings', [['x','2','3'], ['x','y','3'], ['x','y','z']])
@pytest.mark.parametrize('column', ['t0','t1','t2'])
def test_a_step_never_vanishes(tmp_path, strings, column):
    import pandas as pd
    df = pd.DataFrame({'label': [*'abc'], **{f't{i}': [1.,2.,3.] for i in range(3)}}).astype({column: object})
    df[column] = strings
    for src in (df, tmp_path/'a.csv'):
        df.to_csv(tmp_path/'a.csv', index=False)
        with fails(ValueError, repr(column)): [*from_wide(src, y='label')]

def test_a_step_without_values_stays_and_a_trailing_comma_is_none(tmp_path):
    (tmp_path/'a.csv').write_text(',label,t0,t1,t2,\n0,a,1,,3,\n1,b,1,NA,4,\n')
    got, = from_wide(tmp_path/'a.csv', y='label')
    assert np.array_equal(got['X'][:,0], [[1,np.nan,3], [1,np.nan,4]], equal_nan=True) and got['y'].tolist() == ['a','b']
    assert got['left_out'] == {'': 'index of pandas', 'Unnamed: 5': 'no values'}

def test_files_of_a_table_need_the_same_columns(tmp_path):
    (tmp_path/'a.csv').write_text('y,t0,t1\n1,2,3\n')
    (tmp_path/'b.csv').write_text('t1,t0,y\n6,5,4\n')
    assert np.concatenate([o['X'] for o in from_wide(tmp_path, y='y')])[:,0].tolist() == [[2,3], [5,6]]
    (tmp_path/'c.csv').write_text('y,t0\n1,2\n')
    with fails(ValueError, 'c.csv', "no column 't1'"): [*from_wide(tmp_path, y='y')]

def test_keys_of_folders_are_metadata(tmp_path):
    import pandas as pd
    for site in 'ns':
        folder = tmp_path/f'data/year=2020/site={site}'
        folder.mkdir(parents=True)
        pd.DataFrame(dict(a=[1.,2], b=[3.,4])).to_parquet(folder/'p.parquet')
    (tmp_path/'data/_SUCCESS').write_text('')
    arrays,_ = open_folder(convert(tmp_path/'data', tmp_path/'set', n_workers=0))
    assert arrays['site'].tolist() == ['n','s'] and arrays['X'].shape == (2,2,2)
    got = [*from_wide(tmp_path/'data', y='site')]
    assert [o['y'].tolist() for o in got] == [['n','n'], ['s','s']] and got[0]['year'].tolist() == ['2020']*2

@pytest.mark.parametrize('unit', ['ns','seconds'])
def test_uneven_times_of_a_large_table_are_kept(tmp_path, monkeypatch, unit):
    since = np.cumsum(np.random.default_rng(0).integers(1, 10**6, 500))*10**6
    time = dict(time_unit='s') if unit == 'seconds' else {}
    pd.DataFrame(dict(t=since/1e9 if time else np.datetime64('2024-01-01','ns')+since, v=np.arange(500.))).to_csv(tmp_path/'a.csv', index=False)
    read = partial(read_table, time='t', **time)
    small,_ = open_folder(convert(str(tmp_path/'a.csv'), tmp_path/'small', read))
    monkeypatch.setattr('tsdisk.convert.tables.large', 100)
    large,_ = open_folder(convert(str(tmp_path/'a.csv'), tmp_path/'large', read))
    for k in ('X','times'): assert [*large[k][0].ravel()] == [*small[k][0].ravel()]
    assert len(small['times'][0].ravel()) == 500

def test_true_and_false_are_classes_in_a_csv_as_in_parquet(tmp_path):
    (tmp_path/'a.csv').write_text('sick,t0,t1\nTrue,1,2\nFalse,3,4\n')
    got, = from_wide(tmp_path/'a.csv', y='sick')
    assert got['y'].dtype == bool and got['y'].tolist() == [True,False]
    (tmp_path/'b.csv').write_text('sick,t0,t1\n1,1,2\n0,3,4\n')
    assert next(from_wide(tmp_path/'b.csv', y='sick'))['y'].dtype == np.int64

def test_integers_that_floats_do_not_tell_apart_are_refused_by_name(tmp_path):
    pd.DataFrame(dict(stamp=[2**53+1, 2**53+2], v=[1.,2.])).to_parquet(tmp_path/'a.parquet')
    with fails(ValueError, "'stamp'", '`time_unit`'): read_table(str(tmp_path/'a.parquet'))
    assert read_table(str(tmp_path/'a.parquet'), vars=['v'])['X'].tolist() == [[1,2]]

def test_keys_of_folders_are_kept_whatever_their_names(tmp_path):
    folder = tmp_path/'fs=7/names=q'
    folder.mkdir(parents=True)
    (folder/'a.csv').write_text('t,v\n2024-01-01,1\n2024-01-02,2\n')
    got = with_clock(read_table(folder/'a.csv'))
    assert got['fs_'] == '7' and got['names_'] == 'q' and got['names'] == ['v'] and got['fs'] == 1/86400

big = 2**53+1
lost = 'integers beyond 2**53'

@pytest.mark.parametrize('text', [f'v,w\n{big},1\n', f'v\n{big}\n', f'v,w\n{big},1\nNA,2\n', f'v,on\n{big},True\n'])
def test_integers_of_a_csv_that_lose_digits_are_refused(tmp_path, text):
    (tmp_path/'a.csv').write_text(text)
    with fails(ValueError, "'v'", lost): read_table(tmp_path/'a.csv', vars=['v','w'] if 'w' in text else ['v'])

def test_large_floats_of_a_csv_may_be_written_without_a_point(tmp_path):
    (tmp_path/'a.csv').write_text(f'v,w\n{2**60},1\n123456789012345680000,2\n1e300,3\n')
    assert read_table(tmp_path/'a.csv')['X'][0].tolist() == [2.**60, 123456789012345680000., 1e300]

def test_stamps_of_a_csv_keep_their_nanoseconds_among_missing_ones(tmp_path):
    ns = 1577836800*10**9 + 1
    (tmp_path/'a.csv').write_text(f't,v\n0,0\n{ns},1\nNA,2\n{ns+6},3\n')
    times = read_table(tmp_path/'a.csv', time='t', time_unit='ns since 1970-01-01')['times']
    assert times[[1,3]].astype('i8').tolist() == [ns,ns+6] and np.isnat(times[2])

@pytest.mark.parametrize('kind', ['csv','parquet'])
def test_metadata_that_would_lose_digits_is_refused(tmp_path, kind):
    df = pd.DataFrame(dict(id=pd.array([big,None], 'Int64'), t0=[1.,2], t1=[3.,4]))
    df.to_csv(tmp_path/'a.csv', index=False) if kind == 'csv' else df.to_parquet(tmp_path/'a.parquet')
    with fails(ValueError, lost): next(from_wide(tmp_path/f'a.{kind}', metadata=['id']))

@pytest.mark.parametrize('values', [[big,big+2], pd.array([big,None], 'Int64'), [str(big),'1']], ids=['ints','nullable','text'])
def test_integers_of_a_frame_that_lose_digits_are_refused(values):
    with fails(ValueError, "'a'", lost): from_frame(pd.DataFrame(dict(a=values)))

@pytest.mark.parametrize('kind', ['parquet','arrow'])
def test_columns_of_one_name_are_refused_with_the_file(tmp_path, kind):
    import pyarrow as pa, pyarrow.parquet as pq
    tab = pa.Table.from_arrays([pa.array([1.,2.])]*3, ['a','a','b'])
    if kind == 'parquet': pq.write_table(tab, tmp_path/'a.parquet')
    else:
        with pa.ipc.new_file(tmp_path/'a.arrow', tab.schema) as f: f.write_table(tab)
    with fails(ValueError, f'a.{kind}', "several columns 'a'", 'rename'): read_table(tmp_path/f'a.{kind}', vars=['b'])

days = pd.date_range('2024', periods=3)

def test_an_index_of_durations_is_the_time():
    got = from_frame(pd.DataFrame(dict(a=[1.,2,3]), days-days[0]))
    assert with_clock(got)['fs'] == 1/86400 and 'start' not in with_clock(got)

@pytest.mark.parametrize('names', [['who','t'], [None,None]])
def test_levels_of_an_index_are_never_lost(names):
    df = pd.DataFrame(dict(a=[1.,2,3]), pd.MultiIndex.from_product([['x'], days], names=names))
    with fails(ValueError, 'several levels', 'from_long'): from_frame(df)
    left_out = next(from_wide(df))['left_out']
    assert [*left_out] == (names if names[0] else ['level_0','level_1'])

def test_an_index_named_like_a_column_is_refused():
    df = pd.DataFrame(dict(who=[1.,2,3]), pd.Index([7,8,9], name='who'))
    with fails(ValueError, "several columns 'who'"): next(from_wide(df))

def test_a_small_parquet_file_of_many_rows_is_read_in_pieces(tmp_path, monkeypatch):
    pd.DataFrame(dict(id=np.zeros(300_000), v=np.ones(300_000))).to_parquet(tmp_path/'a.parquet')
    monkeypatch.setattr('tsdisk.convert.tables.large', 2**20)
    assert (tmp_path/'a.parquet').stat().st_size < 2**16
    pieces = [o.shape for o in read_table(tmp_path/'a.parquet')['X']]
    assert len(pieces) > 1 and sum(k for _,k in pieces) == 300_000
    assert from_long(tmp_path/'a.parquet', 'id', partition_bytes=2**20).n_partitions > 4
