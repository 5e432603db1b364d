"""What every source must do, yours too: `check_source(as_source(mine), expected)`

`expected` is a numpy array of what the source should hold; a few hundred rows are enough. `check_pickle` is for sources that worker
processes open again."""
import pickle, threading
import numpy as np
from tsdisk.disk.sources import Source, as_source

def _raises(err, f, word=''):
    try: f()
    except err as e: assert str(word) in str(e), f"{word!r} is not in the message: {e}"
    else: raise AssertionError(f"no {err} was raised")

def _same(got, want):
    assert isinstance(got, np.ndarray), f"got a {type(got).__name__}"
    assert got.shape == want.shape and got.dtype == want.dtype, f"got {got.shape} {got.dtype}, expected {want.shape} {want.dtype}"
    np.testing.assert_array_equal(got, want)

def check_shape(s, expected):
    "The source says what it holds"
    assert isinstance(s, Source) and as_source(s) is s
    assert tuple(s.shape) == expected.shape and np.dtype(s.dtype) == expected.dtype
    assert (len(s), s.ndim) == (len(expected), expected.ndim)
    assert s.row_bytes == expected.nbytes//len(expected) and 0 < s.nbytes <= expected.nbytes # Fewer where rows overlap
    assert str(len(s)) in repr(s) and str(s.dtype) in repr(s)

def check_views(s, expected):
    "Single rows and slices"
    n = len(expected)
    for i in {0, n-1, n//2, -1, -n}:
        for k in (i, np.int64(i)): _same(np.asarray(s[k]), np.asarray(expected[i]))
    for a,b,step in ((0,n,1), (1,n-1,1), (n-1,n,1), (2,2,1), (0,n,2), (None,None,-1), (n-1,0,-2)): _same(np.asarray(s[a:b:step]), expected[a:b:step])

def check_gather(s, expected, idxs):
    "Those rows, in that order, new or into `out`"
    want = expected[np.asarray(idxs, np.int64)]
    got = s.gather(idxs)
    _same(got, want)
    assert got.flags.c_contiguous and got.flags.writeable and type(got) is np.ndarray
    assert not np.shares_memory(got, expected)
    out = np.empty(want.shape, want.dtype)
    assert s.gather(idxs, out=out) is out
    _same(out, want)

def check_order(s, expected):
    "Any order, any form of row numbers"
    n,rng = len(expected),np.random.default_rng(0)
    for o in ([], [0], [n-1], [-1], [-n], [0]*5, [n-1,0,n-1], range(n), range(n-1, -1, -1), [*range(min(n, 3))]): check_gather(s, expected, o)
    for k in (1,2,7,64,n,3*n): check_gather(s, expected, rng.integers(-n, n, k))
    for a in (0, n//3): check_gather(s, expected, np.arange(a, n))
    few = rng.integers(0, min(n, 100), 9)
    for o in ('i1','i4','u1','u8'): check_gather(s, expected, few.astype(o))
    for o in (tuple(few.tolist()), few[::2], few[::-1]): check_gather(s, expected, o)

def check_out(s, expected):
    "Memory that is used again is overwritten, wherever it lies; what does not fit is refused"
    n,row = len(expected),expected.shape[1:]
    rng,buf = np.random.default_rng(1),np.empty((8, *row), expected.dtype)
    for k in (8,3,8):
        idxs = rng.integers(0, n, k)
        assert np.shares_memory(s.gather(idxs, out=buf[:k]), buf)
        _same(buf[:k], expected[idxs])
    size = expected.dtype.alignment
    for shift in {0, size, 3*size}: # Memory that is no more aligned than numpy asks
        raw = np.empty(buf.nbytes+128, 'u1')
        out = raw[-raw.ctypes.data%64 + shift:][:buf.nbytes].view(expected.dtype).reshape(buf.shape)
        _same(s.gather([0,n-1]*4, out=out), expected[[0,n-1]*4])
    fixed = buf.copy()
    fixed.flags.writeable = False
    other = np.dtype('f4' if expected.dtype != 'f4' else 'f8')
    for out in (buf[:7], fixed, np.empty(buf.shape, other), np.empty((16, *row), expected.dtype)[::2], np.empty((8, *row, 1), expected.dtype)):
        _raises(ValueError, lambda out=out: s.gather([0]*8, out=out), 'writable C-order array')

def check_errors(s, expected):
    "A row that is not there is named; what is no list of row numbers is refused"
    n = len(expected)
    for i in (n, -n-1, 10**12, -10**12): _raises(IndexError, lambda i=i: s.gather([0,i]), i)
    _raises(IndexError, lambda: s.gather([[0,0]]))
    for o in ([0.5], np.ones(n, bool), [False], ['a']): _raises((IndexError,TypeError,ValueError), lambda o=o: s.gather(o))

def check_prefetch(s, expected):
    "A hint never fails, and changes nothing"
    n = len(expected)
    for o in ([], [0], range(n), np.arange(n)[::-1], [-1], [n], [10**9], [2**62], [-2**62], np.array([2**63], 'u8')): assert s.prefetch(o) is None
    check_gather(s, expected, [n-1,0])

def check_reads_only(s, expected):
    "Writing into gathered rows changes no row of the source"
    if expected.dtype.kind in 'biuf':
        got = s.gather(range(len(expected)))
        got[...] = 1-got if expected.dtype.kind != 'b' else ~got
    _same(s.gather(range(len(expected))), expected)

def check_threads(s, expected):
    "Several threads may gather at once"
    errors = []
    def work(seed):
        try:
            for _ in range(5): check_gather(s, expected, np.random.default_rng(seed).integers(0, len(expected), 50))
        except Exception as e: errors.append(e)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not errors, errors[0]

def check_pickle(s, expected, most=4000):
    "A pickle is paths and numbers, and reads the same rows"
    for _ in range(2): # Before it was used and after
        data = pickle.dumps(s)
        assert most is None or len(data) < most, f"a pickle of {len(data)} bytes holds data"
        check_gather(pickle.loads(data), expected, [0,len(expected)-1,0])
        s.gather([0])

checks = [check_shape, check_views, check_order, check_out, check_errors, check_prefetch, check_reads_only, check_threads]

def check_source(source, expected):
    "All of the contract but pickles"
    for f in checks: f(source, np.asarray(expected))
