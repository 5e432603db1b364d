"Dates, strings and numbers of a column become times"
from datetime import date, datetime
import numpy as np, pyarrow as pa
from conftest import fails, same
from tsdisk.convert.arrow_times import time_reader
from tsdisk.convert.table_files import open_table
from tsdisk.convert.tables import read_table

def test_times_of_numbers_have_a_unit_if_it_is_given(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{1577836800000+20*i},{i}\n' for i in range(30)))
    assert 'times' not in read_table(tmp_path/'a.csv', time='t')
    assert np.allclose(read_table(tmp_path/'a.csv', time='t', time_unit='ms')['times'], np.arange(30)*.02, rtol=0, atol=1e-12)
    got = read_table(tmp_path/'a.csv', time='t', time_unit='ms since 1970-01-01')
    assert got['times'][0] == np.datetime64('2020-01-01') and got['times'][1]-got['times'][0] == np.timedelta64(20, 'ms')

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

def test_times_of_a_day_have_no_date(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n9:05,1\n10:05,2\n')
    with fails(ValueError, "'9:05'", 'time_format'): read_table(tmp_path/'a.csv', time='t')
    assert read_table(tmp_path/'a.csv', time='t', time_format='%H:%M')['times'].tolist() == [32700, 36300]

def test_stamps_of_a_csv_keep_their_nanoseconds_among_missing_ones(tmp_path):
    ns = 1577836800*10**9 + 1
    (tmp_path/'a.csv').write_text(f't,v\n0,0\n{ns},1\nNA,2\n{ns+6},3\n')
    times = read_table(tmp_path/'a.csv', time='t', time_unit='ns since 1970-01-01')['times']
    assert times[[1,3]].astype('i8').tolist() == [ns,ns+6] and np.isnat(times[2])

# Readers of a column

def read(values, *args, **kw):
    "(times, what they are)"
    column = values if isinstance(values, pa.Array) else pa.array(values)
    reader,kind = time_reader(column, 't', *args, **kw)
    return reader(column, 'row {}'.format).to_pandas().to_numpy(), kind

def seconds(values, **kw): return read(values, **kw)[0].tolist()

def test_what_times_are_follows_from_type_unit_and_format():
    cases = [([1,2], {}), ([1,2], dict(time_unit='s')), ([1,2], dict(time_unit='s since 2020-01-01'))]
    cases += [([date(2020,1,1)], {}), (['2020-01-01'], {}), (['9:05'], dict(time_format='%H:%M'))]
    cases += [(['1','2'], {}), ([20200131], dict(time_format='%Y%m%d'))]
    assert [read(o, **kw)[1] for o,kw in cases] == ['order','seconds','dates','dates','dates','seconds','order','dates']

def test_seconds_count_from_the_first_time_that_is_there():
    assert seconds([250,500,0], time_unit='ms') == [0,.25,-.25]
    got = seconds([None,np.nan,3.,5.], time_unit='min')
    assert np.isnan(got[:2]).all() and got[2:] == [0,120]
    assert seconds(['1,5','2,5'], time_unit='s', decimal=',') == [0,1]
    assert seconds(['0:00','23:59'], time_format='%H:%M') == [0,86340]

def test_dates_are_in_nanoseconds_of_utc():
    zone = pa.array([datetime(2020,1,1)], pa.timestamp('s', 'Europe/Berlin'))
    want = np.array(['2020-01-01'], 'M8[ns]')
    for o in (zone, [datetime(2020,1,1)], ['2020-01-01T01:00:00+01:00']): same(read(o)[0], want)
    with fails(ValueError, "'t' must be between 1678 and 2262"): read([date(1500,1,1)])

def test_whole_numbers_may_be_written_as_dates():
    got,_ = read([20200131], time_format='%Y%m%d')
    same(got, np.array(['2020-01-31'], 'M8[ns]'))

def test_columns_that_are_no_times_are_refused_by_name():
    with fails(ValueError, "'t'", 'time_format'): read(['x1','x2'])
    with fails(ValueError, "'t'"): read([[1,2]])
    with fails(ValueError, "'t'", "'2020-13-01'", 'row 1'): read(['2020-01-01','2020-13-01'], time_format='%Y-%m-%d')
