"Rows of several processes come together in whole files, and survive interruptions"
import json
import numpy as np, pytest
from conftest import fails, filled, same
from tsdisk.train import writer
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

@pytest.mark.parametrize('others', [filled((5,3)), filled((5,2), 'f8'), filled((5,1,2))], ids=['longer','f8','axes'])
def test_a_resumed_run_writes_the_same_rows(tmp_path, others):
    with RowWriter(tmp_path, 10) as w:
        w.write('x', 0, filled((5,2)))
        w.sync(5)
    for rank in range(2): # The same process again, or another one
        with RowWriter(tmp_path, 10, rank) as w, fails(ValueError, '`x` has rows of (2,) float32', 'one shape and dtype'):
            w.write('x', 5, others)
    with RowWriter(tmp_path, 10) as w: w.write('x', 5, filled((5,2), seed=1))
    same(RowWriter(tmp_path, 10).read('x', 0, 10), np.concatenate([filled((5,2)), filled((5,2), seed=1)]))

def test_processes_that_begin_at_once_must_agree(tmp_path, monkeypatch):
    a,b = RowWriter(tmp_path, 10, 0),RowWriter(tmp_path, 10, 1)
    a.write('x', 0, filled((5,2)))
    begun = writer._begin_file
    def begin_over(path, header): # As a process does that found the file empty a moment ago
        begun(path, header)
        with open(path, 'r+b') as f: f.write(header)
    monkeypatch.setattr(writer, '_begin_file', begin_over)
    b.write('x', 5, filled((5,3)))
    with fails(ValueError, 'one shape and dtype'): a.sync(5)
    assert a.done == 0
    for o in (a,b): o.__exit__()

def test_a_lost_header_is_written_again(tmp_path):
    (tmp_path/'x.npy').write_bytes(bytes(208)) # Its size was synced before a power cut, its bytes were not
    with RowWriter(tmp_path, 10) as w: w.write('x', 0, filled((10,2)))
    same(RowWriter(tmp_path, 10).read('x', 0, 10), filled((10,2)))

def test_holes_of_a_file_are_no_space_in_use(tmp_path):
    with RowWriter(tmp_path, 10) as w: w.write('x', 0, filled((1,2**20)))
    path = tmp_path/'x.npy'
    assert path.stat().st_size > 4*10*2**20 and writer._bytes_on_disk(path) < 3*4*2**20
