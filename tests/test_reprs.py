"What objects show of themselves at a prompt and in a notebook"
import inspect, pkgutil, re
from importlib import import_module
import numpy as np, pytest, tsdisk
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.arrays import create_array, save_array
from tsdisk.disk.basics import short_path, Shown, short_repr
from tsdisk.disk.shards import Shards
from tsdisk.series.ragged_files import save_ragged
from tsdisk.series.windows import Windows

def public_classes():
    for m in pkgutil.walk_packages(tsdisk.__path__, 'tsdisk.'):
        if m.name.endswith('__main__'): continue
        try: module = import_module(m.name)
        except ImportError: continue # An optional package is missing
        for o in map(vars(module).get, getattr(module, '__all__', ())):
            if inspect.isclass(o) and o.__module__ == m.name: yield o

def test_every_public_class_has_a_repr():
    classes = [*public_classes()]
    assert len(classes) > 150 and [o.__name__ for o in classes if o.__repr__ is object.__repr__] == ['ForWorkers'] # It only adds to others

def test_shown_names_what_an_object_keeps():
    class Kept(Shown):
        def __init__(self, name, x, f, other=3): self.name,self.x,self.f,self._y = name,x,f,other
    class Others(Shown):
        def __init__(self): self.a,self._b = [1]*1000,2
    assert repr(Kept('n', np.zeros((2,3)), np.mean)) == "Kept(name='n', x=float64 (2, 3), f=mean)"
    assert repr(Others()) == 'Others(a=[1, 1, 1, 1, 1, 1, ...])' and len(short_repr('x'*10**6)) <= 40

@pytest.fixture
def X(tmp_path): return save_array(tmp_path/'X.npy', np.zeros((50,3,40), 'f4'))

def cells(o): return re.findall(r'<t[dh]>(.*?)</t[dh]>', o._repr_html_())

def test_sources_show_their_size_and_where_they_lie(X, tmp_path):
    assert cells(as_source(X)) == ['rows','50','row','3 x 40','dtype','float32','size','24 kB','place',short_path(tmp_path/'X.npy')]
    assert cells(as_source(np.zeros((4,2))))[-1] == 'memory'
    save_array(tmp_path/'s/000000.npy', X)
    save_array(tmp_path/'s/000001.npy', X)
    assert cells(Shards(tmp_path/'s'))[-1] == f"…/s/000000.npy and 1 more file"
    ragged = save_ragged(tmp_path/'r', [np.zeros((2,n)) for n in (3,5)])
    assert '3 to 5' in cells(ragged) and cells(ragged)[-1].startswith('…/r/')

def test_windows_show_their_series(X, tmp_path):
    w = Windows(X, size=10, horizon=2)
    got = dict(zip(cells(w)[::2], cells(w)[1::2]))
    assert got['rows'] == f'{len(w):,}' and got['series'] == '50' and got['place'] == short_path(tmp_path/'X.npy') and got['size'] == '24 kB'

def test_writers_show_how_far_they_are(tmp_path):
    with create_array(tmp_path/'w.npy', (9,4), 'f4') as w:
        w[:3] = np.ones((3,4), 'f4')
        assert cells(w) == ['rows','3 of 9','row','4','dtype','float32','size','144 B','place',short_path(tmp_path/'w.npy')]
        w[3:] = np.ones((6,4), 'f4')

def test_datasets_and_loaders_show_their_columns(X, tmp_path):
    dls = TSDataLoaders.from_arrays(X, np.arange(50)%3, bs=8, seed=0)
    ds = TSDatasets(X, np.arange(50)%3, splits=[range(40), range(40, 50)])
    for o in (ds, dls.train, dls):
        found = cells(o)
        assert 'TSTensor' in found and 'TensorCategory' in found and short_path(tmp_path/'X.npy') in found and 'memory' in found
    assert '40 in split 0' in ds._repr_html_() and dls._repr_html_().count('TSDataLoader:') == 2
