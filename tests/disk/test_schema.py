"JSON that fits a schema is taken, and what does not fit is named by its place"
import gc, json, weakref
from math import inf, nan
import pytest
from hypothesis import given, settings, strategies as st
from conftest import fails
from tsdisk.disk import schema
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.schema import anything, either, file_name, finite, list_of, Misfit, nothing, number, parse_json, read_json, string
from tsdisk.disk.schema import table, table_of, whole

kinds = dict(string=(string, ['', 'a'], [1, None, [], True]), nothing=(nothing, [None], [0, '', False]), anything=(anything, [None, 1, [[]]], []))
kinds |= dict(file_name=(file_name, ['X.npy','a/b'], ['', '../a', 3]), number=(number, [0, 1.5, -2**63, 2**64-1, inf, nan], [True, '1', 2**64, None]))
kinds |= dict(finite=(finite, [0, -1.5, 1e308], [inf, nan, -inf, True, '1']), whole=(whole(), [0, 2**63-1], [-1, 2**63, 1., True, None]))
kinds |= dict(from_two_to_four=(whole(2, 4), [2, 4], [1, 5]), list_of=(list_of(whole()), [[], [1,2]], [(1,), {}, 1, [1,'a'], [-1]]))
kinds |= dict(pair=(list_of(string, 2), [['a','b']], [['a'], ['a','b','c'], 'ab']), table_of=(table_of(whole()), [{}, {'a': 1}], [[], {'a': 'b'}]))
kinds |= dict(table_of_files=(table_of(whole(), file_name), [{'a/b': 1}], [{'../a': 1}]), either=(either(nothing, whole()), [None, 3], ['a', -1]))
kinds['table'] = table(dict(a=string), b=whole()), [{'a': ''}, {'a': '', 'b': 1}, {'a': '', 'c': []}], [{}, {'b': 1}, {'a': 1}, {'a': '', 'b': None}, [], None]

@pytest.mark.parametrize('name', kinds)
def test_schemas_take_what_fits_and_nothing_else(name):
    check,good,bad = kinds[name]
    for o in good: check(o)
    for o in bad:
        with pytest.raises(Misfit): check(o)

@pytest.mark.parametrize('check,value,words', [(whole(), -1, 'it must be a whole number of at least 0, got -1'),
    (whole(1, 3), 'a', "it must be a whole number from 1 to 3, got 'a'"), (list_of(string), ['a',1], '`1` must be a string, got 1'),
    (list_of(string, 2), ['a'], "it must be a list of 2, got ['a']"), (table(dict(a=string, b=string)), {}, 'it must be a table with a, b, got {}'),
    (table({}, a=list_of(table_of(whole()))), {'a': [{}, {'x': None}]}, '`a.1.x` must be a whole number of at least 0, got None'),
    (either(string, number), None, 'it must be a string or a number, got None'), (either(nothing, list_of(string)), ['a',3], '`1` must be a string, got 3'),
    (string, ['x'*200], f"it must be a string, got ['{'x'*58}…")])
def test_misfits_say_where_what_is_allowed_and_what_was_there(check, value, words):
    with pytest.raises(Misfit) as e: check(value)
    assert str(e.value) == words

plain = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda o: st.lists(o, max_size=3) | st.dictionaries(st.text(), o, max_size=3), max_leaves=6)

@settings(max_examples=20)
@given(plain)
def test_parsed_json_is_what_was_written(value):
    text = json.dumps(value)
    assert parse_json(text, 'a.json') == parse_json(text.encode(), 'a.json') == value

def deep(n): return '['*n + ']'*n

def test_a_schema_that_does_not_fit_keeps_nothing_of_its_callers():
    class Held: pass
    def caller():
        held = Held()
        either(nothing, whole())(3)
        return weakref.ref(held)
    gc.disable()
    try: assert caller()() is None
    finally: gc.enable()

@pytest.mark.parametrize('data,words', [('', 'Expecting value'), ('{"a": 1', 'Expecting'), (b'\xff', 'utf-8'), ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
    ('[{"a": 1, "a": 1}]', 'is there twice'), (deep(65), 'nested more than 64 levels deep'), (deep(10**5), 'nested more than 64 levels deep'), ('"a"', 'must be a whole number')])
def test_damaged_json_is_told_by_its_file(data, words):
    with fails(DamagedFile, 'a.json is damaged', words, 'Convert it again'): parse_json(data, 'a.json', whole(), 'Convert it again')

def test_as_many_levels_as_allowed_are_taken(): assert json.dumps(parse_json(deep(64), 'a.json')) == deep(64)

def test_files_are_read_and_checked_up_to_a_size(tmp_path, monkeypatch):
    (tmp_path/'a.json').write_text('{"a": 1}')
    assert read_json(str(tmp_path/'a.json'), table(dict(a=whole()))) == {'a': 1}
    with fails(DamagedFile, 'a.json', 'a table with b', 'Restore it from a copy'): read_json(tmp_path/'a.json', table(dict(b=whole())))
    monkeypatch.setattr(schema, 'most_bytes', 7)
    with fails(DamagedFile, 'a.json', 'more than 7 bytes'): read_json(tmp_path/'a.json')
    with fails(FileNotFoundError, 'b.json'): read_json(tmp_path/'b.json')
