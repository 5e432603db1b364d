"Dates, strings and numbers of a column become times"
import numpy as np
from conftest import fails
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
