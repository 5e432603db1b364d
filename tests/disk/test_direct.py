"Rows of a file are read in few runs, ahead of their use"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, same
from tsdisk.disk.arrays import save_array
from tsdisk.disk.direct import check_same_file, copy_rows, FileRows, find_runs, ReadsAhead
from tsdisk.disk.io import DiskFile

@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300), st.booleans(), st.sampled_from([40,100,4000,25_600]), st.sampled_from([1,512,4096]))
def test_what_is_read_beside_the_rows_is_bounded(idxs, ordered, row, unit):
    idxs = np.array(sorted(set(idxs)) if ordered else idxs)
    first,last = find_runs(idxs, row, row, 4096, unit)
    rows = np.unique(idxs)
    assert all(((first <= o) & (o <= last)).any() for o in rows) and set(first) | set(last) <= set(rows)
    low,high = (4096+first*row)//unit*unit, -(-(4096+(last+1)*row)//unit)*unit
    assert (low[1:] > high[:-1]).all() # What touches is one read
    needed = sum(-(-(4096+(o+1)*row)//unit)*unit - (4096+o*row)//unit*unit for o in rows.tolist())
    assert (high-low).sum() <= needed + len(rows)*row*(8 if ordered or (np.diff(idxs) > 0).all() else .4)

@pytest.fixture
def rows(tmp_path):
    "80 rows of 12 bytes, one every 20 bytes from byte 7 on, and where they are"
    data = np.random.default_rng(0).integers(0, 256, 7+80*20, dtype=np.uint8)
    (tmp_path/'f').write_bytes(data.tobytes())
    return FileRows(DiskFile(tmp_path/'f'), 7, 20, 12), np.stack([data[7+i*20:][:12] for i in range(80)])

def copy_to(out): return lambda read, found, places: out.__setitem__(places, copy_rows(read.block, found, np.empty((len(places),12), 'u1')))

def collected(reads, idxs):
    out = np.zeros((len(idxs),12), 'u1')
    reads.collect(np.asarray(idxs), copy_to(out))
    return out

@pytest.mark.parametrize('idxs', [[0], [79], [5,3,4], [0,79,40], [7,7,7], [*range(80)]], ids=str)
def test_a_read_finds_its_rows_and_no_others(rows, idxs):
    place,values = rows
    read = place.read(np.array(idxs)).wait()
    at = read.find(np.arange(80))
    same(copy_rows(read.block, at[idxs], np.empty((len(idxs),12), 'u1')), values[idxs])
    there = np.flatnonzero(at >= 0)
    assert {*idxs} <= {*there} and (at[[i for i in range(80) if i not in there]] == -1).all()
    same(copy_rows(read.block, at[there], np.empty((len(there),12), 'u1')), values[there]) # Rows between them, too

@given(st.data())
def test_rows_are_collected_whatever_was_prefetched(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp()/'direct_rows'
    values = np.arange(80*12).reshape(80,12).astype('u1')
    if not path.exists(): path.write_bytes(values.tobytes())
    reads = ReadsAhead(FileRows(DiskFile(path), 0, 12, 12).read, data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(1, 5))):
        idxs = data.draw(st.lists(st.integers(0, 79), min_size=1, max_size=9))
        if data.draw(st.booleans()): reads.prefetch(np.array(idxs))
        else: same(collected(reads, idxs), values[idxs])
        assert len(reads.coming) <= reads.most

def test_memory_of_a_read_is_used_again(rows):
    place,values = rows
    reads = ReadsAhead(place.read)
    same(collected(reads, [1,2]), values[[1,2]])
    block, = reads.free
    reads.prefetch(np.array([3,4]))
    assert reads.coming[0].block is block and not reads.free
    same(collected(reads, [4,3]), values[[4,3]])
    reads.prefetch(np.array([5]))
    reads.reset()
    assert not reads.coming and not reads.free

@pytest.mark.parametrize('itemsize,at,shape', [(8,[0,80,8],(3,2)), (4,[4,0],(2,3)), (1,[3,1,0],(3,7)), (2,[2],(1,5))])
def test_rows_are_copied_from_any_byte(itemsize, at, shape):
    block = np.random.default_rng(0).integers(0, 256, 200, dtype=np.uint8)
    out = copy_rows(block, np.array(at), np.empty(shape, f'u{itemsize}'))
    for a,row in zip(at, out): assert row.tobytes() == block[a:][:row.nbytes].tobytes()

def test_rows_of_another_file_are_refused(tmp_path):
    x = save_array(tmp_path/'a.npy', np.arange(60, dtype='i4').reshape(20,3))
    def of(path): return FileRows(DiskFile(tmp_path/path), 4096, 12, 12)
    check_same_file(of('a.npy'), x)
    for name,values in (('other.npy', np.arange(60, dtype='i4').reshape(20,3)+1), ('short.npy', np.arange(57, dtype='i4').reshape(19,3))):
        save_array(tmp_path/name, values)
        with fails(OSError, name, 'is not the file that was opened', 'open it again'): check_same_file(of(name), x)
    save_array(tmp_path/'copy.npy', x)
    check_same_file(of('copy.npy'), x) # First, middle and last rows are equal
