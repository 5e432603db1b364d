"Metadata, classes and gaps in words"
import numpy as np, pytest
from tsdisk.convert.notes import class_notes, clock_notes, metadata_notes, times_in_words

def test_metadata_is_a_line_for_each_entry():
    assert metadata_notes(dict(site='A', fs=250., n=3)) == ['site: A', 'fs: 250.0', 'n: 3']
    assert metadata_notes(dict(fs=1/3600)) == ['fs: 0.0002778, a step every 1 h']
    line, = metadata_notes(dict(text='x'*500))
    assert line == 'text: ' + 'x'*100

def test_what_was_left_out_is_named():
    line, = metadata_notes(dict(left_out=dict(comment='text', id='text')))
    assert line.startswith('left out: ') and 'comment' in line and 'id' in line and 'text' in line

def test_classes_have_their_numbers(): assert class_notes(dict(X=dict(), y=dict(classes={'walk': 0, 'run': 5}))) == ['classes of y: 0 walk, 5 run']

@pytest.mark.parametrize('clock,want', [({}, []), (dict(gaps=(3,0,0)), []), (dict(gaps=(2,1500,3600*10**9)), ['gaps in time: 1,500, in 2 series, the longest of 1 h']),
    (dict(gaps=(1,1,0)), ['gaps in time: 1, in 1 series'])], ids=str)
def test_gaps_are_counted(clock, want): assert clock_notes(clock) == want

def test_times_become_words_and_a_start_stays_as_it_is():
    X,record = np.zeros((1,4)),dict(start='2024-01-01', fs=1., site='A')
    assert times_in_words(record, X) is record
    got = times_in_words(dict(times=np.datetime64('2024-01-01') + np.arange(4)*np.timedelta64(60, 's'), site='A'), X)
    assert {*got} == {'site','times'} and '2024-01-01' in got['times'] and not got['times'].startswith('Clock')

def test_times_that_do_not_fit_are_left_for_the_conversion():
    record = dict(times=np.arange(3.), site='A')
    assert times_in_words(record, np.zeros((1,4))) is record
