"`.npy` files: whole or not there at all, whatever happens while they are written"
import io, os, signal, subprocess, sys
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
import numpy as np, pytest, torch
from fastcore.foundation import L
from hypothesis import given, strategies as st
from numpy.lib import format as npy
from conftest import all_dtypes, fails, filled, fresh, linux, same
from tsdisk.disk.arrays import create_array, open_array, save_array
from tsdisk.disk.headers import data_start, read_header
from tsdisk.series.ragged_files import save_ragged

x = filled((100,3,50))

def left(path): return [o.name for o in path.iterdir() if o.name.endswith('.tmp')]

@pytest.fixture
def old(tmp_path):
    "A path at which an older file lies; whatever the test does to it must leave this file as it is, and no other"
    path = tmp_path/'a.npy'
    save_array(path, np.arange(7))
    was = path.read_bytes()
    yield path
    assert path.read_bytes() == was
    assert [o.name for o in tmp_path.iterdir()] == ['a.npy']

# Contents

@pytest.mark.parametrize('shape', [(5,), (5,1), (6,3,7), (2,3,4,5)])
@pytest.mark.parametrize('dtype', all_dtypes)
def test_file_holds_the_data_at_byte_4096(tmp_path, dtype, shape):
    path,a = tmp_path/'a.npy',filled(shape, dtype)
    with create_array(path, shape, dtype) as w: w[:] = a
    same(np.load(path), a)
    same(open_array(path), a)
    same(save_array(path, a), a)
    assert path.read_bytes()[4096:] == a.tobytes() and data_start == 4096
    assert read_header(path) == (shape, np.dtype(dtype), False, 4096)
    assert open_array(path).mode == 'r' and open_array(path).offset == 4096

@pytest.mark.parametrize('version', [(1,0), (2,0)])
def test_open_array_reads_any_npy_numpy_writes(tmp_path, version):
    with open(tmp_path/'a.npy', 'wb') as f: npy.write_array(f, x, version=version)
    same(open_array(tmp_path/'a.npy'), x)
    same(open_array(str(tmp_path/'a.npy')), x)

def test_opened_array_refuses_writes(tmp_path):
    a = save_array(tmp_path/'a.npy', x)
    with fails(ValueError, 'read-only'): a[0] = 0

def test_unknown_length_grows_with_append(tmp_path):
    with create_array(tmp_path/'a.npy', (None,3,50)) as w:
        for i in range(0, 100, 7): w.append(x[i:i+7])
        assert len(w) == 100 and w.shape == x.shape
    same(np.load(tmp_path/'a.npy'), x)

def test_unknown_length_takes_slices(tmp_path):
    with create_array(tmp_path/'a.npy', (None,3,50)) as w: w[60:],w[:60] = x[60:],x[:60]
    same(np.load(tmp_path/'a.npy'), x)

def test_single_rows_and_views_are_written(tmp_path):
    with create_array(tmp_path/'a.npy', (6,3,50)) as w:
        w[5],w[4] = x[5],x[4].tolist()
        w[np.int64(3)] = x[3]
        w[0:3] = np.asfortranarray(x)[:3]
    same(np.load(tmp_path/'a.npy'), x[:6])

def test_folders_are_made_and_links_followed(tmp_path):
    save_array(tmp_path/'a/b/c.npy', x)
    (tmp_path/'link.npy').symlink_to(tmp_path/'a/b/c.npy')
    save_array(tmp_path/'link.npy', x[:5])
    assert (tmp_path/'link.npy').is_symlink()
    same(open_array(tmp_path/'a/b/c.npy'), x[:5])

# Chunks in any order

n = 24
cuts = st.lists(st.integers(1, n-1), unique=True).map(sorted).map(lambda o: [*zip([0,*o], [*o,n])])
extra = st.lists(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted), max_size=3)
pieces = st.tuples(cuts, extra).flatmap(lambda o: st.permutations(o[0] + [tuple(e) for e in o[1]]))

@given(pieces)
def test_slices_in_any_order_make_the_array(tmp_path, slices):
    a = np.arange(2*n).reshape(n, 2)
    with create_array(tmp_path/'a.npy', a.shape, a.dtype) as w:
        for i,j in slices: w[i:j] = a[i:j]
    same(np.load(tmp_path/'a.npy'), a)
    assert not left(tmp_path)

@given(st.lists(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted), max_size=6), st.booleans())
def test_first_hole_is_named(tmp_path, slices, known):
    path = tmp_path/'a.npy'
    path.unlink(missing_ok=True)
    size = n if known else max((j for i,j in slices if i < j), default=0)
    done = np.zeros(size, bool)
    for i,j in slices: done[i:j] = True
    def write():
        with create_array(path, (n if known else None,2), 'i2') as w:
            for i,j in slices: w[i:j] = np.ones((j-i,2), 'i2')
    if done.all() and size: write()
    else:
        i = int(done.argmin()) if size else 0
        j = next((k for k in range(i, size) if done[k]), size)
        with fails(ValueError, f'rows {i}:{j} of {size}' if size else 'no row was written'): write()
    assert path.exists() == bool(done.all() and size) and not left(tmp_path)

# Nothing is lost

def test_hole_leaves_the_old_file(old):
    with fails(ValueError, 'rows 60:100 of 100 were never written'):
        with create_array(old, (100,3,50)) as w: w[:60] = x[:60]

@pytest.mark.parametrize('err', [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exception_leaves_the_old_file(old, err):
    with pytest.raises(err):
        with create_array(old, x.shape) as w:
            w[:] = x
            raise err

def test_failing_generator_leaves_the_old_file(old):
    def chunks():
        yield x
        raise RuntimeError('disk pulled out')
    with fails(RuntimeError, 'pulled'): save_array(old, chunks())

@linux
def test_full_disk_leaves_the_old_file(old):
    assert fresh("""
        import numpy as np, resource, signal
        from tsdisk.disk.arrays import save_array
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,100_000))
        try: save_array(args[0], np.ones((100,1000)))
        except OSError as e: res = type(e).__name__""", old) == 'OSError'

def test_old_file_can_be_read_until_the_new_one_is_whole(tmp_path):
    was = save_array(tmp_path/'a.npy', x)
    with create_array(tmp_path/'a.npy', x.shape) as w:
        w[:] = -x
        same(open_array(tmp_path/'a.npy'), x)
    same(open_array(tmp_path/'a.npy'), -x)
    same(was, x)

def test_array_can_be_saved_over_itself(tmp_path):
    a = save_array(tmp_path/'a.npy', x)
    same(save_array(tmp_path/'a.npy', a[::2]), x[::2])

@pytest.mark.parametrize('first', ['finished','stopped'])
def test_writer_used_again_remembers_nothing(tmp_path, first):
    path = tmp_path/'a.npy'
    w = create_array(path, (4,), 'i8')
    with pytest.raises(RuntimeError) if first == 'stopped' else nullcontext():
        with w:
            w[:] = np.arange(4)
            if first == 'stopped': raise RuntimeError
    with fails(ValueError, 'rows 0:3 of 4 were never written'):
        with w: w[3:] = [9]
    if first == 'finished': same(open_array(path), np.arange(4))

@pytest.mark.parametrize('again', [False,True])
def test_killed_process_leaves_the_old_file(tmp_path, again):
    path = tmp_path/'a.npy'
    if again: save_array(path, np.arange(7))
    code = """import sys, time, numpy as np
from tsdisk.disk.arrays import create_array
with create_array(sys.argv[1], (100,3,50)) as w:
    w[:99] = np.ones((99,3,50))
    print('writing', flush=True)
    time.sleep(60)"""
    p = subprocess.Popen([sys.executable,'-c',code,str(path)], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b'writing\n' and left(tmp_path)
    p.send_signal(signal.SIGKILL)
    p.wait()
    p.stdout.close()
    if again: same(open_array(path), np.arange(7))
    else: assert not path.exists()
    same(save_array(path, x), x)

def test_target_appears_once_it_is_whole(tmp_path):
    seen = []
    def chunks():
        for i in range(0, 100, 10):
            seen.append((tmp_path/'a.npy').exists())
            yield x[i:i+10]
    save_array(tmp_path/'a.npy', chunks())
    assert not any(seen) and len(seen) == 10 and (tmp_path/'a.npy').exists()

# What is refused while writing

@pytest.mark.parametrize('chunk', [x[:, :2], x[:, :, :49], x[0], np.float32(1), x[..., None], x.reshape(100, 150)], ids=lambda o: str(o.shape))
def test_wrong_row_shape_is_refused(old, chunk):
    with fails(ValueError, "must have shape ('k', 3, 50)", chunk.shape):
        with create_array(old, (None,3,50)) as w: w.append(chunk)

lossy = [(np.array([1.5]), 'i2'), (np.array([1e300]), 'f4'), (np.array([70000.], 'f4'), 'f2'), (np.array([2**40]), 'i1'), (np.array([-1]), 'u8'),
    (np.array([2**63], 'u8'), 'i8'), (np.array([256]), 'u1'), (np.array([2]), '?'), (np.array([0.5]), '?'), (np.array(['abcd']), 'U3'),
    (np.array([b'abcd']), 'S3'), (np.array(['é']), 'S3'), (np.array(['1']), 'f4'), (np.array([2**53+1]), 'f4'), (np.array([1+1j]), 'f8'),
    (np.array(['2020-01-01T12'], 'M8[h]'), 'M8[D]'), (np.array([np.nan]), 'i4'), (np.array([2**53+1]), 'f8'), (np.array([2**64-1], 'u8'), 'f8')]

@pytest.mark.parametrize('a,dtype', lossy, ids=lambda o: getattr(o, 'dtype', o))
def test_lossy_cast_is_refused(old, a, dtype):
    with fails(ValueError, 'without losing data'):
        with create_array(old, (1,), dtype) as w: w[:] = a
    with fails(ValueError, 'without losing data'): save_array(old, a, dtype)

def test_one_bad_value_at_the_end_of_a_large_chunk_is_found(old):
    a = np.zeros((5_000_000,2), 'i8')
    a[-1,-1] = 128
    with fails(ValueError, 'int8'): save_array(old, a, 'i1')

def test_too_many_rows_are_refused(old):
    with fails(ValueError, 'Rows 90:110 were given', 'announced with 100 rows'):
        with create_array(old, (100,3,50)) as w:
            w.append(x[:90])
            w.append(x[:20])
    with fails(ValueError, 'Rows 95:105'):
        with create_array(old, (100,3,50)) as w: w[95:105] = x[:10]

@pytest.mark.parametrize('i,k', [(slice(0,5), 4), (slice(5,3), 2), (slice(0,None), 99), (slice(None), 99)])
def test_slice_and_chunk_of_unequal_length_are_refused(old, i, k):
    with fails(ValueError, 'the chunk has'):
        with create_array(old, (100,3,50)) as w: w[i] = x[:k]

@pytest.mark.parametrize('i', [slice(-5,-1), slice(0,10,2), slice(9,None,-1), -1], ids=str)
def test_slice_with_step_or_from_the_end_is_refused(old, i):
    with fails(IndexError, 'w[i:j]'):
        with create_array(old, (10,3,50)) as w: w[i] = x[0] if isinstance(i, int) else x[:10][i]

def test_writing_outside_the_block_is_refused(tmp_path):
    w = create_array(tmp_path/'a.npy', (3,), 'i8')
    with fails(ValueError, 'with create_array'): w.append(np.arange(3))
    with w: w.append(np.arange(3))
    with fails(ValueError, 'with create_array'): w.append(np.arange(3))
    same(open_array(tmp_path/'a.npy'), np.arange(3))

@pytest.mark.parametrize('shape,dtype,err,word', [((0,3), 'f4', ValueError, 'at least one row'), ((5,0), 'f4', ValueError, 'at least one row'),
    ((-1,3), 'f4', ValueError, 'at least one row'), ((5,), '>f4', ValueError, 'Big-endian'), ((5,), 'O', TypeError, 'never loaded'),
    ((10**12,3,50), 'f4', OSError, 'are free'), ((10**17,3,50), 'f8', OSError, 'are free')])
def test_impossible_array_is_refused_before_any_work(old, shape, dtype, err, word):
    with fails(err, word):
        with create_array(old, shape, dtype): pytest.fail('the block was entered')

def test_target_that_is_a_folder_is_refused(tmp_path):
    with fails(IsADirectoryError, 'is a folder'): save_array(tmp_path, x)
    assert not list(tmp_path.iterdir())

# What is refused while opening

def _npz(p):
    with open(p, 'wb') as f: np.savez(f, x)
def npy_header(p, **kw):
    f = io.BytesIO()
    npy.write_array_header_1_0(f, dict(shape=(100,3,50), fortran_order=False, descr='<f4') | kw)
    p.write_bytes(f.getvalue() + x.tobytes())

bad = dict(
    missing=(lambda p: None, FileNotFoundError, 'does not exist'),
    folder=(lambda p: p.mkdir(), IsADirectoryError, 'is a folder'),
    text=(lambda p: p.write_text('time,value\n1,2'), ValueError, 'is not a `.npy` file'),
    npz=(_npz, ValueError, '`.npz` archive'),
    empty=(lambda p: p.write_bytes(b''), ValueError, 'is not a `.npy` file'),
    cut_header=(lambda p: (np.save(p, x), os.truncate(p, 60)), ValueError, 'damaged or unknown'),
    version=(lambda p: p.write_bytes(b'\x93NUMPY\x09\x00' + bytes(100)), ValueError, 'damaged or unknown'),
    truncated=(lambda p: (np.save(p, x), os.truncate(p, 40_000)), ValueError, 'announces 100 rows', 'holds 66'),
    one_byte_short=(lambda p: (np.save(p, x), os.truncate(p, p.stat().st_size-1)), ValueError, 'announces 100 rows', 'holds 99'),
    longer=(lambda p: (np.save(p, x), os.truncate(p, p.stat().st_size+3)), ValueError, '3 bytes longer'),
    objects=(lambda p: np.save(p, np.array(['a',None]), allow_pickle=True), TypeError, 'pickles are never loaded'),
    fortran=(lambda p: np.save(p, np.asfortranarray(x)), ValueError, 'Fortran order', 'save_array(new_path'),
    big_endian=(lambda p: np.save(p, x.astype('>f4')), ValueError, 'big endian', 'save_array(new_path'),
    no_rows=(lambda p: np.save(p, x[:0]), ValueError, 'holds no data'),
    no_steps=(lambda p: np.save(p, x[:, :, :0]), ValueError, 'holds no data'),
    no_bytes=(lambda p: np.save(p, np.array(['',''])[:0]), ValueError, 'holds no data'),
    single=(lambda p: np.save(p, np.float32(1)), ValueError, 'single value'),
    code=(lambda p: npy_header(p, descr="__import__('os')"), ValueError, 'damaged or unknown'))

@pytest.mark.parametrize('kind', bad)
def test_bad_file_is_refused_with_its_own_message(tmp_path, kind):
    make,err,*words = bad[kind]
    make(tmp_path/'a.npy')
    with fails(err, *words, 'a.npy'): open_array(tmp_path/'a.npy')

def test_every_message_of_open_array_is_different(tmp_path):
    def said(kind):
        make,err,*_ = bad[kind]
        (tmp_path/kind).mkdir()
        make(tmp_path/kind/'a.npy')
        with pytest.raises(err) as e: open_array(tmp_path/kind/'a.npy')
        return str(e.value).replace(str(tmp_path/kind), '')
    assert len({said(o) for o in bad}) == len(bad)

@pytest.mark.parametrize('kind', ['fortran','big_endian'])
def test_line_in_the_message_converts_the_file(tmp_path, kind):
    path = tmp_path/'a.npy'
    bad[kind][0](path)
    with pytest.raises(ValueError) as e: open_array(path)
    eval(str(e.value).split('`')[-2], dict(save_array=save_array, np=np, new_path=tmp_path/'b.npy'))
    same(open_array(tmp_path/'b.npy'), x)

def test_one_dimensional_fortran_file_opens(tmp_path):
    npy_header(tmp_path/'a.npy', shape=(15000,), fortran_order=True)
    same(open_array(tmp_path/'a.npy'), x.reshape(-1))

# Size does not matter

@linux
def test_a_terabyte_opens_at_no_cost(tmp_path):
    n = 10**12//(3*50*4)
    with open(tmp_path/'a.npy', 'wb') as f:
        npy.write_array_header_1_0(f, dict(shape=(n,3,50), fortran_order=False, descr='<f4'))
        f.truncate(f.tell() + n*3*50*4)
    grown,shape,total = fresh("""
        from conftest import rss_anon
        from tsdisk.disk.arrays import open_array
        before = rss_anon()
        a = [open_array(args[0]) for _ in range(20)][0]
        total = float(a[-1].sum() + a[len(a)//2].sum())
        res = rss_anon()-before, a.shape, total""", tmp_path/'a.npy')
    assert grown < 10 and shape == (n,3,50) and total == 0

@linux
def test_writing_takes_memory_for_chunks_only(tmp_path):
    grown,size = fresh("""
        import numpy as np
        from conftest import rss_anon
        from tsdisk.disk.arrays import create_array, open_array, save_array
        path,n = args[0],50
        before,peak,chunk = rss_anon(),[],np.ones((100,100,250), 'f4')
        with create_array(path, (None,100,250)) as w:
            for i in range(n):
                w.append(chunk)
                peak.append(rss_anon())
        a = save_array(path, (o for i in range(n) if not peak.append(rss_anon()) for o in (chunk*2,)))
        save_array(path, a, 'f2')
        res = max(*peak, rss_anon())-before, a.nbytes""", tmp_path/'a.npy')
    (tmp_path/'a.npy').unlink()
    assert size == 500*10**6 and grown < 60, f'{grown:.0f} MB for 10 MB chunks'

@linux
def test_one_chunk_larger_than_memory_is_written_in_parts(tmp_path):
    grown = fresh("""
        import numpy as np, threading, time
        from conftest import rss_anon
        from tsdisk.disk.arrays import save_array
        big,peak,on = np.broadcast_to(np.ones(1), (500_000,100)),[rss_anon()],[1]
        watch = lambda: [(peak.append(rss_anon()), time.sleep(.005)) for _ in iter(lambda: bool(on), False)]
        t = threading.Thread(target=watch)
        t.start()
        save_array(args[0], big, 'f4')
        on.clear()
        t.join()
        res = max(peak)-peak[0]""", tmp_path/'a.npy')
    assert grown < 100, f'{grown:.0f} MB for a chunk of 400 MB'

# save_array

table = filled((40,3), 'f8')
forms = dict(array=lambda: table, fortran=lambda: np.asfortranarray(table), big_endian=lambda: table.astype('>f8'), view=lambda: filled((80,3,2), 'f8')[::2,:,0],
    tensor=lambda: torch.tensor(table), rows=lambda: table.tolist(), tuples=lambda: [*map(tuple, table.tolist())], chunks=lambda: [table[:7], table[7:]],
    generator=lambda: (table[i:i+7] for i in range(0, 40, 7)), rows_in_chunks=lambda: iter([o.tolist() for o in (table[:30],table[30:])]),
    tensors=lambda: (torch.tensor(table[i:i+9]) for i in range(0, 40, 9)))

@pytest.mark.parametrize('form', forms)
def test_save_array_takes_any_array_like(tmp_path, form):
    want = filled((80,3,2), 'f8')[::2,:,0] if form == 'view' else table
    same(save_array(tmp_path/'a.npy', forms[form]()), want)
    same(save_array(tmp_path/'a.npy', forms[form](), 'f4'), want.astype('f4'))

def test_save_array_takes_memmap_and_table_columns(tmp_path):
    import pandas as pd
    np.save(tmp_path/'f.npy', np.asfortranarray(table))
    same(save_array(tmp_path/'a.npy', np.load(tmp_path/'f.npy', mmap_mode='r')), table)
    df = pd.DataFrame(table, columns=list('abc'))
    same(save_array(tmp_path/'a.npy', df), table)
    same(save_array(tmp_path/'a.npy', df.a), table[:,0])

@pytest.mark.parametrize('data', [['sit','walk'], np.array(['é','日本','']), np.array([b'ab',b'c'])], ids=str)
def test_save_array_keeps_strings(tmp_path, data): same(save_array(tmp_path/'a.npy', data), np.asarray(data))

@pytest.mark.parametrize('data,err,word', [([], ValueError, 'no rows'), (np.zeros((0,3)), ValueError, 'no rows'), (iter([]), ValueError, 'no chunk'),
    (np.float32(3), ValueError, 'no rows'), ([None,'a'], TypeError, 'never loaded'), (np.array([{}]), TypeError, 'never loaded'),
    (iter([table[:3],table[:3,:2]]), ValueError, "('k', 3)"), (iter([np.array(['a']),np.array(['bc'])]), ValueError, 'losing')])
def test_save_array_refuses_what_it_cannot_store(old, data, err, word):
    with fails(err, word): save_array(old, data)

def test_many_chunks_are_noted_as_few_runs(tmp_path):
    sizes = [*accumulate(np.random.default_rng(0).integers(1, 9, 500).tolist())]
    with create_array(tmp_path/'a.npy', (None,), 'i8') as w:
        for i,j in zip([0,*sizes], sizes): w[i:j] = np.arange(i, j)
        assert len(w.written.starts) == len(w.written.stops) == 1

@pytest.mark.parametrize('n', [np.int64(4), np.uint8(4), torch.tensor(4)], ids=repr)
def test_row_counts_may_be_numpy_ints(tmp_path, n):
    with create_array(tmp_path/'a.npy', (n,np.int32(3))) as w: w.append(np.ones((4,3)))
    same(np.load(tmp_path/'a.npy'), np.ones((4,3), 'f4'))

def test_row_counts_that_are_no_ints_are_refused(old):
    before = old.read_bytes()
    with fails(TypeError, 'float'): create_array(old, (10.,3))
    assert old.read_bytes() == before

def test_small_integers_do_not_wrap_around(tmp_path):
    data = np.arange(24576*2, dtype='f4').reshape(-1, 2)
    a,b = np.array([0,8192], np.int16)
    with create_array(tmp_path/'a.npy', (24576,2)) as w: w[16384:24576],w[b:16384],w[a:b] = data[16384:],data[8192:16384],data[:8192]
    same(open_array(tmp_path/'a.npy'), data)

def test_one_number_or_row_fills_many(tmp_path):
    with create_array(tmp_path/'a.npy', (6,2)) as w: w[:],w[1:3],w[np.int8(5)] = 0,[1,2],7
    same(open_array(tmp_path/'a.npy'), np.array([[0,0],[1,2],[1,2],[0,0],[0,0],[7,7]], 'f4'))

def test_a_shape_may_be_a_number(tmp_path):
    with create_array(tmp_path/'a.npy', 3, 'i8') as w: w.append([1,2,3])
    same(open_array(tmp_path/'a.npy'), np.arange(1, 4))

@pytest.mark.parametrize('data', [L(1,2,3), range(1, 4), (1,2,3)], ids=repr)
def test_any_sequence_of_numbers_is_saved(tmp_path, data): same(save_array(tmp_path/'a.npy', data), np.arange(1, 4))

def test_lists_of_arrays_and_of_tensors_are_chunks(tmp_path):
    for f in (np.ones, torch.ones): assert save_array(tmp_path/'a.npy', [f((2,3))]*5).shape == (10,3)

@pytest.mark.parametrize('data', ['x.npy', Path('x.npy'), b'x'], ids=repr)
def test_a_path_is_no_data(tmp_path, data):
    with fails(TypeError, 'open a file first'): save_array(tmp_path/'a.npy', data)

def test_masks_are_not_dropped(tmp_path):
    with fails(TypeError, 'filled'): save_array(tmp_path/'a.npy', np.ma.masked_array(np.ones(3), [0,1,0]))
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('dtype', [str, 'U', 'S', bytes])
def test_strings_need_a_width(tmp_path, dtype):
    with fails(ValueError, 'fixed width', "'<U10'"): create_array(tmp_path/'s.npy', (3,), dtype)

@pytest.mark.parametrize('how', ['kept','uncached','refused','no flags','no pwritev'])
def test_large_arrays_are_written_the_same_in_every_way(tmp_path, monkeypatch, how):
    import errno, os
    from tsdisk.disk import arrays
    if how != 'kept': monkeypatch.setattr(arrays, 'uncached', 1)
    if how == 'no pwritev': monkeypatch.delattr(os, 'pwritev')
    calls,pwritev = [],getattr(os, 'pwritev', None)
    def _pwritev(fd, data, at, flags=0):
        calls.append(flags)
        if flags and how == 'refused': raise OSError(errno.EOPNOTSUPP, 'no such flag')
        if flags and how == 'no flags': raise NotImplementedError('pwritev2: flags unavailable on this platform')
        return pwritev(fd, data, at, 0 if how == 'uncached' else flags)
    monkeypatch.setattr(arrays, '_refusals_cache', set())
    if how in ('uncached','refused','no flags'): monkeypatch.setattr(os, 'pwritev', _pwritev)
    x = np.random.default_rng(0).normal(size=(1000,3,50)).astype('f4')
    assert np.array_equal(save_array(tmp_path/'a.npy', (x[i:i+77] for i in range(0, 1000, 77))), x)
    if how == 'uncached': assert 0x80 in calls
    if how in ('refused','no flags'): assert calls.count(0x80) == 1 and len(arrays._refusals_cache) == 1

def test_a_header_of_any_garbage_is_an_error_that_says_so(tmp_path):
    np.save(tmp_path/'a.npy', np.zeros((5,2)))
    good,said = (tmp_path/'a.npy').read_bytes(),[]
    for at in range(10, 80):
        for bit in range(8):
            (tmp_path/'a.npy').write_bytes(good[:at]+bytes([good[at]^1<<bit])+good[at+1:])
            try: open_array(tmp_path/'a.npy')
            except (ValueError,TypeError) as e: said.append(str(e))
    assert len(said) > 200 and all('a.npy' in o for o in said), [o for o in said if 'a.npy' not in o][:3]

@pytest.mark.parametrize('dtype', [np.array(['a','b']), 'nope', 7], ids=['labels','no name','number'])
def test_what_is_no_dtype_is_refused_by_all_writers(tmp_path, dtype):
    X = np.ones((2,5), 'f4')
    for write in (create_array, save_array):
        with fails(TypeError, "can't have dtype", 'give one of NumPy'): write(tmp_path/'X.npy', (3,) if write is create_array else X, dtype)
    with fails(TypeError, "can't have dtype"): save_ragged(tmp_path/'series', [X], dtype)
    assert not [o for o in tmp_path.rglob('*') if o.is_file()]

def test_a_row_is_written_once_to_an_array_that_grows(tmp_path):
    with create_array(tmp_path/'a.npy', (None,3,50)) as w: w[0:] = x[0]
    same(np.load(tmp_path/'a.npy'), x[:1])
    with create_array(tmp_path/'b.npy', (None,3,50)) as w: w[0:],w[1:] = 7,x[1:4]
    same(np.load(tmp_path/'b.npy'), np.concatenate([np.full((1,3,50), 7, 'f4'), x[1:4]]))

def test_only_rows_that_a_file_holds_are_opened(tmp_path):
    save_array(tmp_path/'a.npy', x[:10])
    for rows,text in ((0,'must be 1 or more, got 0'), (-1,'got -1'), (11,'holds 10 rows, but 11 are needed')):
        with fails(ValueError, text): open_array(tmp_path/'a.npy', rows)
    same(open_array(tmp_path/'a.npy', 10), x[:10])
