"What the tests share: settings, fresh processes, memory, errors by their words"
import os, pickle, subprocess, sys, textwrap
from contextlib import contextmanager
from pathlib import Path
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE') # Before torch is there: threads that wait for each other do not spin on processors that other tests need
import numpy as np, pytest
from fastai.torch_core import default_device
from hypothesis import HealthCheck, settings

settings.register_profile('tsdisk', deadline=None, derandomize=True, database=None, max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile('tsdisk')
on_cpu = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''} # For other processes

here = Path(__file__).parent
test_folders = [str(o) for o in (here, *here.iterdir()) if o.is_dir() and o.name != '__pycache__'] # Where other processes find test modules
linux = pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='private memory is read from /proc')
unix = pytest.mark.skipif(not hasattr(os, 'fork'), reason='locks of Unix')

def rss_anon():
    "Private memory of this process, in MB"
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(o.split()[1]) for o in lines if o.startswith('RssAnon'))/1024

_run = """import io, os, pickle, sys
out,sys.stdout = os.fdopen(os.dup(1), 'wb'),sys.stderr
os.dup2(2, 1)
code,args = pickle.load(sys.stdin.buffer)
ns = dict(args=args)
exec(code, ns)
out.write(pickle.dumps(ns['res']))"""

def fresh(code, *args, env=None):
    "`res` after running `code` on `args` in a process of its own"
    path = os.pathsep.join([*test_folders, *filter(None, [os.environ.get('PYTHONPATH')])])
    env = {**on_cpu, 'PYTHONPATH': path, 'PYTHONWARNINGS': 'ignore', 'MPLBACKEND': 'Agg', **(env or {})}
    done = subprocess.run([sys.executable,'-c',_run], input=pickle.dumps((textwrap.dedent(code), args)), capture_output=True, env=env)
    assert not done.returncode, done.stderr.decode()[-3000:]
    return pickle.loads(done.stdout)

def elsewhere(expr, *args):
    "The value of an expression of `a`, `b`, ... in a process that gets `args` as pickles"
    return fresh(f'import numpy as np\n{", ".join("abcd"[:len(args)])}, = args\nres = {expr}', *args)

@contextmanager
def fails(err, *words):
    "An `err` whose message holds all `words`"
    with pytest.raises(err) as e: yield e
    missing = [o for o in words if str(o) not in str(e.value)]
    assert not missing, f"no {missing} in: {e.value}"

def metadata_of(dataset):
    "Metadata that all rows of a dataset share, and those of its variables"
    from tsdisk.convert.readers import variable_metadata
    from tsdisk.disk.sidecar import read_manifest
    manifest = read_manifest(dataset)
    return manifest['info'] | {k: v for k,v in manifest['arrays']['X'].items() if k in variable_metadata}

def drop_from_cache(path):
    "Have no page of a file in memory; skips the test where the system keeps them, or does not say"
    from tsdisk.disk.page_cache import cached_share
    with open(path, 'rb') as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if not cached_share(path) < .1: pytest.skip('The files of this file system stay in memory')

def filled(shape, dtype='f4', seed=0):
    "Values of any dtype, no two rows alike for most"
    rng,dtype = np.random.default_rng(seed),np.dtype(dtype)
    if dtype.kind in 'US': return rng.integers(0, 10**6, shape).astype(f'U{dtype.itemsize}').astype(dtype)
    if dtype.kind in 'mM': return rng.integers(-10**9, 10**9, shape).astype('i8').view(dtype)
    if dtype.kind == 'b': return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in 'iu':
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder('='), endpoint=True).astype(dtype)
    return rng.normal(size=shape).astype(dtype)

def mask(seed, n, share):
    "A share of n rows, at random"
    return np.random.default_rng(seed).random(n) < share

def same(a, b):
    "Equal in shape, dtype and every value"
    a,b = np.asarray(a),np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{a.shape} {a.dtype}, expected {b.shape} {b.dtype}"
    np.testing.assert_array_equal(a, b)

def ramp(n, v=2, s=3, dtype='f4'):
    "Every value tells its row, variable and step"
    return np.arange(n*v*s).reshape(n, v, s).astype(dtype)

wave_names = ['fast','medium','slow']

def waves(n, seed=0):
    "Series (n, 2, 60) of three frequencies, in noise, and their names: easy to tell apart"
    rng = np.random.default_rng(seed)
    kind = np.r_[range(3), rng.integers(0, 3, n-3)]
    t = np.arange(60)*(kind[:,None,None]*2+1)/10 + rng.uniform(0, 6, (n,2,1))
    return (np.sin(t) + rng.normal(0, .3, (n,2,60))).astype('f4'), np.array(wave_names)[kind]

def rows(xb):
    "The rows of `ramp` in a batch"
    return (np.asarray(xb)[:,0,0]/6).astype(int).tolist()

def epoch(dl):
    "(rows, sizes of batches) of one epoch, after a check that each row is whole and with its own target"
    bs = [[o.numpy().copy() for o in b] for b in dl]
    if not bs: return [],[]
    x,*y = map(np.concatenate, zip(*bs))
    ids = rows(x)
    same(x, np.float32(ramp(1) + 6*np.array(ids)[:,None,None]))
    for o in y: assert o.tolist() == ids
    return ids,[len(o[0]) for o in bs]

all_dtypes = 'f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 ? <U5 S3 M8[s]'.split()

@pytest.fixture(autouse=True)
def device(request):
    "Where there is a GPU, only tests that say so use it"
    default_device(None if request.node.get_closest_marker('gpu') else False)

@pytest.fixture(params=[0, 5000, 5001, 6*2**20], ids=['single','few','thread','many'])
def block(request, monkeypatch):
    "Batches gathered one by one, a few at once, many at once; a few in a thread: the default options, and a function that changes others"
    from functools import partial
    from tsdisk.data import loader
    from tsdisk.data.reader import ReadOptions
    options = partial(ReadOptions, group_bytes=request.param, background=request.param == 5001)
    monkeypatch.setattr(loader, 'ReadOptions', options)
    return options

@pytest.fixture
def quiet():
    "No bars, no figures left open"
    import matplotlib
    matplotlib.use('Agg')
    yield
    import matplotlib.pyplot as plt
    plt.close('all')

@pytest.fixture(scope='module')
def one_thread():
    "Small networks train faster so, most of all on a busy machine"
    import torch
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)
