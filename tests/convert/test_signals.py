"Which signals of a file are read together"
import pytest
from conftest import fails
from tsdisk.convert.signals import choose_signals, named_errors, numbered

def test_names_that_repeat_are_numbered(): assert numbered(['a','-','-','a','-']) == ['a','-','- (2)','a (2)','- (3)']

def test_every_signal_is_kept_or_has_a_reason():
    kept,left_out = choose_signals(['a','b','b','c'], [1,500,500,250.5], {1: 'blank'}, None, 'x')
    assert kept == [2] and left_out == dict(a='another rate: 1 Hz', b='blank', c='another rate: 250.5 Hz')
    assert choose_signals(['a','b','b','c'], [1,500,500,250.5], {1: 'blank'}, 'c', 'x') == ([3], {})
    with fails(ValueError, 'x has no signal with values', "'a': 'blank'"): choose_signals(['a'], [1], {0: 'blank'}, None, 'x')

@pytest.mark.parametrize('error', [KeyError('fs'), IndexError(3), ZeroDivisionError(), TypeError('int'), UnicodeDecodeError('ascii', b'', 0, 1, 'x')])
def test_errors_of_libraries_name_the_file(error):
    with fails(ValueError, 'a.hea is damaged', type(error).__name__), named_errors('a.hea'): raise error

def test_errors_of_the_system_stay_as_they_are():
    with fails(FileNotFoundError, 'b.dat'), named_errors('a.hea'): open('b.dat')
