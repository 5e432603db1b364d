"Splits are stored in as few bytes as each kind allows, and are the same when opened"
import numpy as np, pytest
from hypothesis import given, strategies as st
from conftest import fails, mask, same
from tsdisk.convert.convert import append
from tsdisk.disk.bitmap import rows_by_part
from tsdisk.disk.inside import DamagedFile
from tsdisk.disk.rows import Ranges
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder, write_manifest
from tsdisk.folder.split_files import grown_rows, open_split, save_split, split_file
from tsdisk.order.split_rows import RandomShare

def rows_of(n): return [RandomShare(n, .2, 5, o) for o in (False,True)], rows_by_part([mask(0, n, .3)], n, 2)

@pytest.mark.parametrize('which', [0,1], ids=['random','bitmap'])
def test_a_saved_split_is_the_same_split_and_grows(which, tmp_path):
    n = 5000
    train,valid = rows_of(n)[which]
    save_folder(tmp_path, np.zeros((n,1,2), 'f4'), splits=[train,valid])
    entries,found = read_manifest(tmp_path)['splits'],open_folder(tmp_path)[1]
    assert repr(found['train']) == repr(train) and np.array_equal(found['valid'], valid)
    assert sum(o.stat().st_size for o in tmp_path.glob('split_*')) < 11_000 and len(str(entries)) < 300
    append(tmp_path, np.zeros((3,1,2), 'f4'), split=lambda path: 'train', n_workers=0)
    grown = open_folder(tmp_path)[1]
    assert np.array_equal(grown['valid'], valid) and len(grown['train']) >= len(train)

def test_a_split_that_numpy_would_draw_otherwise_is_refused(tmp_path):
    save_folder(tmp_path, np.zeros((5000,1,2), 'f4'), splits=rows_of(5000)[0])
    entries = read_manifest(tmp_path)['splits']
    entries['train']['random']['tail'] += 1
    write_manifest(tmp_path, splits=entries)
    with fails(ValueError, 'draws other rows than the release that made this split'): open_folder(tmp_path)

@pytest.mark.parametrize('bits', [np.zeros((9,64), 'u1'), np.zeros((10,64), 'i1'), np.full((10,64), 255, 'u1')], ids=['short','signed','beyond'])
def test_a_bitmap_that_does_not_fit_is_damaged(bits, tmp_path):
    save_folder(tmp_path, np.zeros((5000,1,2), 'f4'), splits=rows_of(5000)[1])
    np.save(tmp_path/'split_valid_bits.npy', bits)
    with fails(DamagedFile, 'split_valid_bits.npy is damaged'): open_folder(tmp_path)

kinds = dict(range=range(3, 9), rows=np.array([5,1,3]), every_second=range(0, 20, 2), ranges=Ranges([(0,3),(5,9)], 20), random=RandomShare(20, .25, 1, True),
    shares=RandomShare(20, (.2,.1), 1, 2), bitmap=rows_by_part([mask(0, 700, .3)], 700, 2)[1], others=rows_by_part([mask(0, 700, .3)], 700, 2)[0])

@pytest.mark.parametrize('kind', kinds)
def test_rows_of_each_kind_are_the_same_when_opened(tmp_path, kind):
    rows = kinds[kind]
    entry = save_split(tmp_path, 'valid', rows, '-2')
    found,file = open_split(tmp_path, entry),split_file(entry)
    same(np.asarray(found[:], 'i8'), np.asarray(rows[:], 'i8'))
    assert [o.name for o in tmp_path.iterdir()] == [file]*(file is not None)
    if kind in ('range','random','shares'): assert file is None
    else: assert file.startswith('split_valid') and file.endswith('-2.npy')
    if kind not in ('rows','every_second'): assert type(found) is type(rows) and repr(found) == repr(rows)

@pytest.mark.parametrize('values,entry,word', [(np.ones(3), 's.npy', 'whole numbers, not float64'), (np.array([[0,3]], 'f4'), dict(ranges='s.npy', of=9), 'float32'),
    (np.array([[5,9],[0,3]]), dict(ranges='s.npy', of=9), ''), (np.zeros((2,64), 'u1'), dict(bits='s.npy', of=9, marked=True), 'a bitmap of 9 rows')])
def test_files_that_do_not_hold_rows_are_damaged(tmp_path, values, entry, word):
    np.save(tmp_path/'s.npy', values)
    with fails(DamagedFile, 's.npy is damaged', word): open_split(tmp_path, entry)

@given(st.integers(1, 600), st.sampled_from([0,.3,1]), st.lists(st.integers(1, 40), max_size=4))
def test_a_split_that_grows_keeps_its_rows_and_gets_the_new_ones(n, share, lengths):
    rows = rows_by_part([mask(1, n, share)], n, 2)[1]
    ends = n + 2*np.cumsum([0, *lengths])
    new = [(int(a), int(a)+k) for a,k in zip(ends, lengths)]
    grown = grown_rows(rows, new, int(ends[-1]))
    assert grown[:].tolist() == rows[:].tolist() + [i for a,b in new for i in range(a, b)] and grown.of == ends[-1]
