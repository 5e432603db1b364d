"Files become part of a dataset together, or not at all"
import json, os
import numpy as np, pytest
from conftest import fails
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import save_folder
from tsdisk.folder.staged import files_of, remove_files, Staged

def X(v, n=6): return np.full((n,2,5), v, 'f4')

def test_no_file_outside_of_a_dataset_is_removed(tmp_path):
    (tmp_path/'thesis').write_text('mine')
    save_folder(tmp_path/'set', X(1))
    staged = Staged(tmp_path/'set', '.save')
    staged.begin()
    staged.seal(json.dumps(read_manifest(tmp_path/'set')), id=read_manifest(tmp_path/'set')['id'], replaced=['../thesis', str(tmp_path/'thesis')])
    staged.complete()
    assert (tmp_path/'thesis').read_text() == 'mine'

@pytest.fixture
def staged(tmp_path):
    "A dataset, and further rows that are written beside it: `X-2.npy`, which replaces `X.npy`"
    save_folder(tmp_path/'set', X(1))
    res = Staged(tmp_path/'set', '.save')
    res.begin()
    np.save(res.made/'X-2.npy', X(2))
    return res

def seal(staged):
    manifest = read_manifest(staged.dst)
    manifest['arrays']['X']['file'] = 'X-2.npy'
    staged.seal(json.dumps(manifest | dict(id='new')), id='new', replaced=['X.npy'])

def names(staged): return sorted(o.name for o in staged.dst.iterdir())
old,new = ['X.npy','tsdisk.json'],['X-2.npy','tsdisk.json']

def test_sealed_files_become_the_dataset_and_replaced_ones_go(staged):
    assert names(staged) == ['.save', *old]
    seal(staged)
    assert read_manifest(staged.dst)['id'] != 'new' and not staged.is_published() and staged.replaced() == ['X.npy']
    staged.publish()
    assert names(staged) == new and read_manifest(staged.dst)['id'] == 'new'

def test_what_was_not_sealed_is_removed(staged):
    assert not staged.complete()
    assert names(staged) == old

class Killed(Exception): pass

@pytest.mark.parametrize('step', range(4))
def test_a_kill_while_files_are_published_is_made_good(staged, monkeypatch, step):
    "Before each rename: of the new file, of the manifest, of the hidden folder; then none"
    seal(staged)
    replace,left = os.replace,[step]
    def dies(*args):
        if not left[0]: raise Killed
        left[0] -= 1
        replace(*args)
    with monkeypatch.context() as m:
        m.setattr(os, 'replace', dies)
        try: staged.publish()
        except Killed: assert step < 3
        else: assert step == 3
    again = Staged(staged.dst, '.save')
    assert again.complete() == (step < 3)
    assert names(again) == new and read_manifest(again.dst)['id'] == 'new'

def test_a_removal_that_was_interrupted_is_finished(staged):
    os.replace(staged.folder, staged.gone)
    staged.begin()
    assert names(staged) == ['.save', *old] and not [*staged.made.iterdir()]

def test_a_link_in_place_of_the_hidden_folder_is_refused(tmp_path):
    (tmp_path/'set').mkdir()
    (tmp_path/'set/.save').symlink_to(tmp_path)
    with fails(DamagedFile, '.save', 'symbolic link'): Staged(tmp_path/'set', '.save')

def test_notes_that_are_damaged_name_nothing(staged):
    for o in ('{', '{"replaced": ["../X.npy"]}', '[]'):
        (staged.folder/'notes.json').write_text(o)
        assert staged.notes == {} and staged.replaced() == []

def test_files_of_a_dataset_are_all_that_its_manifest_names():
    arrays = dict(X=dict(file='X.npy'), r=dict(file='r', layout='ragged'), s=dict(file='s', files=['s/0.npy','s/1.npy']))
    splits = dict(train=[0,3], valid='split_valid.npy', test=dict(bits='split_test_bits.npy', of=9, marked=True))
    found = files_of(dict(arrays=arrays, splits=splits, clock=dict(start='2024', jumps='jumps.npy', fs=3), made=dict(inputs='items.jsonl')))
    assert {*found} == {'X.npy','r/values.npy','r/offsets.npy','s/0.npy','s/1.npy','split_valid.npy','split_test_bits.npy','2024','jumps.npy','items.jsonl'}
    assert files_of({}) == []

def test_only_unused_files_of_ours_are_removed(tmp_path):
    save_folder(tmp_path/'set', X(1))
    (tmp_path/'set/old').mkdir()
    for o in ('set/old/values.npy', 'set/notes.txt', 'set/items-1.jsonl', 'outside.npy'): (tmp_path/o).touch()
    remove_files(tmp_path/'set', ['X.npy', 'old/values.npy', 'notes.txt', 'items-1.jsonl', 'gone.npy', '../outside.npy', str(tmp_path/'outside.npy')])
    assert sorted(o.name for o in (tmp_path/'set').iterdir()) == ['X.npy','notes.txt','tsdisk.json'] and (tmp_path/'outside.npy').exists()
