"Lines of a journal fit, or are damaged"
import json, pytest
from conftest import fails
from tsdisk.convert.journal_schema import check_files, head, line, parse_line, spec
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.schema import Misfit

column = dict(layout='dense', trail=[2,5], dtype='<f4')
first = dict(id='ab12', specs=dict(X=column | dict(target=None, names=['a','b'], scale=.1)), items=0, n=3, options=None, append=False, files=dict(X={'X.npy': [4,[1,2]]}))
later = dict(sources=1, seen='x', items=2, done=dict(X={'X.npy': [4,0,[1]]}), faults=[['a.csv','why']])

def parsed(data, check): return parse_line(json.dumps(data).encode(), 'journal.jsonl', check)

def test_lines_that_fit_are_parsed(): assert parsed(first, head) == first and parsed(later, line) == later

@pytest.mark.parametrize('check,data,words', [(head, first | dict(id='../x'), '`id` must be letters and digits'), (head, first | dict(append=1), '`append`'), (head, first | dict(n=-1), '`n`'),
    (head, first | dict(specs={'../X': column}), '`specs` must be'), (head, first | dict(specs=dict(X=column | dict(dtype='|O'))), 'specs.X.dtype'),
    (head, first | dict(files=dict(X={'../X.npy': [4,[]]})), 'files.X'), (head, first | dict(files=dict(X={'X.npy': [4,[2**32]]})), 'checksums.0'),
    (line, later | dict(done=dict(X={'X.npy': [4,[1]]})), 'a list of 3'), (line, later | dict(faults=[['a']]), 'faults.0'), (line, later | dict(sources=1.5), '`sources`')])
def test_lines_that_do_not_are_damaged(check, data, words):
    with fails(DamagedFile, 'journal.jsonl is damaged', words, '`resume=False`'): parsed(data, check)

def test_half_a_line_is_damaged():
    with fails(DamagedFile, 'journal.jsonl'): parse_line(json.dumps(later).encode()[:-5], 'journal.jsonl', line)

@pytest.mark.parametrize('change,words', [(dict(trail=[2,0]), 'trail.1'), (dict(trail=[2**40,2**40]), 'bytes a row'), (dict(layout='sparse'), 'dense, ragged or shards'), (dict(classes={'a': 'b'}), 'classes')])
def test_columns_that_no_file_could_hold_are_refused(change, words):
    spec(column)
    with fails(Misfit, words): spec(column | change)

whole = dict(dense=['X.npy'], ragged=['X/values.npy','X/offsets.npy'], shards=['X/0.npy','X/1.npy'])

@pytest.mark.parametrize('layout', whole)
def test_columns_have_the_files_of_their_layout(layout):
    specs = dict(X=dict(layout=layout))
    check_files('j', specs, dict(X=dict.fromkeys(whole[layout])))
    check_files('j', specs, {})
    wrong = [[], *(o for k,o in whole.items() if k not in (layout,'shards') and layout != 'shards'), whole['ragged'][:1] if layout == 'ragged' else []]
    for o in wrong:
        with fails(DamagedFile, 'j is damaged', f"do not make a column 'X', {layout}"): check_files('j', specs, dict(X=dict.fromkeys(o)))
