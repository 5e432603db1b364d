"Columns of strings: numbers, times, marks of missing values"
from datetime import datetime
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails
from tsdisk.series.clock import Clock
from tsdisk.convert.text_columns import as_number, is_missing, is_unnamed, known_format, numbers_of, scaled_times, text_kind, time_formats, time_scale, times_of

@pytest.mark.parametrize('mark', ['?','-','NA','n/a','N/A','nan','NaN','None','NULL','null','.','','  ',' Na '])
def test_marks_are_missing_values(mark):
    assert is_missing(mark) and np.array_equal(numbers_of(['1', mark], 'x'), [1, np.nan], equal_nan=True)

@given(st.floats(allow_nan=False, width=64), st.sampled_from('.,'))
def test_a_number_is_read_as_it_was_written(x, decimal): assert as_number(repr(x).replace('.', decimal), decimal) == x

@pytest.mark.parametrize('text', ['1_000','1 000','0x10','1,5','1.2.3','e5','--1','12:30','north'])
def test_other_strings_are_no_numbers(text): assert as_number(text) is None

def test_the_other_decimal_sign_is_no_number():
    assert as_number('1.5', ',') is None and as_number('1.234,5', ',') is None and as_number('7', ',') == 7

def test_most_values_decide_and_others_are_errors():
    assert text_kind(['1','2','x']) == 'number' and text_kind(['1','x','y']) == 'text'
    with fails(ValueError, "'hr'", "'x'", 'line 2'): numbers_of(['1', 'x'], 'hr', lambda i: f'line {i+1}')

days = st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(lambda o: o.replace(microsecond=0))

@given(st.lists(days, min_size=1, max_size=5), st.sampled_from(['%Y-%m-%d %H:%M:%S','%d.%m.%Y %H:%M:%S','%b %d %Y %H:%M:%S','%Y/%m/%d %H:%M:%S','%Y-%m-%dT%H:%M:%S']))
def test_times_in_known_formats_are_what_was_written(times, format):
    strings = [o.strftime(format) for o in times]
    assert times_of(strings, known_format(strings, 't'), 't').tolist() == np.array(times, 'M8[ns]').tolist()

@given(st.lists(days, min_size=1, max_size=5))
def test_days_are_never_taken_for_months(times):
    strings = [o.strftime('%d/%m/%Y') for o in times]
    if len(formats := time_formats(strings)) == 1:
        assert times_of(strings, formats[0], 't').tolist() == np.array([o.date() for o in times], 'M8[ns]').tolist()
    else:
        with fails(ValueError, 'time_format', repr(strings[0])): known_format(strings, 't')

@pytest.mark.parametrize('strings', [['d_1','d_10'], ['9:05','10:05'], ['01/02/2020','02/02/2020'], ['Q1 2020'], ['1st of May']])
def test_strings_that_do_not_sort_in_order_of_time_are_refused(strings):
    with fails(ValueError, 'time_format', repr(strings[0])): known_format(strings, 't')

def test_times_with_zones_become_utc():
    got = times_of(['2020-01-01T00:00:00+02:00', '2020-01-01T00:00:00Z', 'NA'], 'ISO8601', 't')
    assert got[:2].tolist() == np.array(['2019-12-31T22:00','2020-01-01T00:00'], 'M8[ns]').tolist() and np.isnat(got[2])

def test_units_of_time_make_times_of_numbers():
    assert scaled_times(np.array([0,250.]), time_scale('ms')).tolist() == [0,.25]
    since = scaled_times(np.array([10**12, 10**12+1]), time_scale('ms since 1970-01-01'))
    assert since.tolist() == np.array(['2001-09-09T01:46:40.000','2001-09-09T01:46:40.001'], 'M8[ns]').tolist()
    with pytest.raises(ValueError): time_scale('month')

@pytest.mark.parametrize('unit,size', [('s',10**9), ('ms',10**6), ('us',10**3)])
@pytest.mark.parametrize('kind', ['i8','f8'])
def test_whole_numbers_since_a_date_are_exact(unit, size, kind):
    numbers = 1577836800*10**9//size + np.arange(1000)
    got = scaled_times(numbers.astype(kind), time_scale(f'{unit} since 1970-01-01'))
    assert np.array_equal(got.astype('i8'), numbers*size)

@pytest.mark.parametrize('hz', [50,100,128,256,1000])
def test_fractions_of_seconds_since_a_date_keep_their_rate(hz):
    got = scaled_times(1577836800 + np.arange(2000)/hz, time_scale('s since 1970-01-01'))
    assert Clock.from_times(got).fs == hz and abs(got.astype('i8')-1577836800*10**9 - np.arange(2000)*1e9/hz).max() <= 500

@pytest.mark.parametrize('numbers', [np.array([0, 1577836800*10**9]), np.array([np.nan, 1.6e18]), np.array([np.inf]), np.array([-2**62])])
def test_times_that_nanoseconds_can_not_hold_are_refused(numbers):
    with fails(ValueError, 'time_unit', '1678'): scaled_times(numbers, time_scale('us since 1970-01-01'))

def test_single_floats_are_as_exact_as_they_can_be():
    assert scaled_times(np.float32([19000.5, np.nan]), time_scale('d since 1970-01-01'))[0] == np.datetime64('2022-01-08T12')

def test_only_columns_without_a_name_are_the_index_of_pandas():
    assert [o for o in ('','Unnamed: 0','Unnamed: 0.1','__index_level_0__','index','0','level') if is_unnamed(o)] == ['','Unnamed: 0','Unnamed: 0.1','__index_level_0__']
