"Rows of several processes come together in whole files, and survive interruptions"
import json, pytest
from conftest import fails, filled, same
from tsdisk.train.writer import RowWriter, begin_run, claim_folder, open_run, publish_run, rows_done

@pytest.mark.parametrize('dtype', ['f4','<U6','bool','f8'])
def test_processes_write_one_array(tmp_path, dtype):
    part,x = tmp_path/'x.part',filled((10,3), dtype)
    claim_folder(part)
    begin_run(part, {})
    for rank,(a,b) in enumerate(((0,4), (4,10))):
        publish_run(part, tmp_path/'x', [4,6])
        assert not (tmp_path/'x').exists()
        with RowWriter(part, 10, rank) as w:
            for i in range(a, b): w.write('x', i, x[i:i+1])
            w.sync(b-a)
    publish_run(part, tmp_path/'x', [4,6])
    publish_run(part, tmp_path/'x', [4,6]) # As the process does that comes second
    same(open_run(tmp_path/'x').x, x)
    assert sorted(o.name for o in (tmp_path/'x').iterdir()) == ['run.json','x.npy']

def test_an_empty_note_of_a_power_cut_begins_the_run_anew(tmp_path):
    (tmp_path/'run.json').touch()
    begin_run(tmp_path, dict(n=1))
    assert json.loads((tmp_path/'run.json').read_text()) == dict(n=1)
    (tmp_path/'0.json').touch()
    assert rows_done(tmp_path, 0) == 0
    (tmp_path/'run.json').write_text('{"n":')
    with fails(ValueError, 'run.json is damaged', 'Delete the folder'): begin_run(tmp_path, dict(n=1))

def test_the_journal_holds_synced_rows_only(tmp_path):
    with RowWriter(tmp_path, 10, rank=3) as w:
        w.write('x', 0, filled((4,2)))
        w.sync_sometimes(4)
        assert w.done == rows_done(tmp_path, 3) == 0
        w.sync(4)
    assert RowWriter(tmp_path, 10, rank=3).done == 4 and rows_done(tmp_path, 2) == 0
    assert json.loads((tmp_path/'3.json').read_text()) == dict(rows=4, arrays=['x'])
    same(RowWriter(tmp_path, 10, rank=3).read('x', 1, 2), filled((4,2))[1:3])

def test_what_killed_processes_leave_is_not_published(tmp_path):
    part = tmp_path/'x.part'
    claim_folder(part)
    (part/'.run.json.0a1b.tmp').write_text('{"bs"')
    claim_folder(part) # Killed while it began: still a run
    begin_run(part, dict(bs=8))
    (part/'.0.json.0a1b.tmp').write_text('{"ro')
    with RowWriter(part, 2) as w:
        w.write('x', 0, filled((2,2)))
        w.sync(2)
    publish_run(part, tmp_path/'x', [2])
    assert sorted(o.name for o in (tmp_path/'x').iterdir()) == ['0.json','run.json','x.npy']

def test_a_finished_run_is_compared_too(tmp_path):
    begin_run(tmp_path, dict(bs=8, model=1))
    with fails(ValueError, 'a different bs, model', 'delete'): begin_run(tmp_path, dict(bs=4, model=2))
    begin_run(tmp_path, dict(bs=8))
