"What float32 cannot tell apart is said before training; nothing is said of ordinary data"
import warnings
import numpy as np, pytest
from conftest import filled
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.precision import merged_share, rounding_share
from tsdisk.disk.packing import Packing
from tsdisk.disk.sources import Source
from tsdisk.series.windows import Windows

rng = np.random.default_rng(0)
noise = rng.normal(size=(200,2,60))
steps = np.arange(12_000).reshape(200, 1, 60)
lossy = dict(pressure=1e8 + noise, negative=-1e9 + noise, gps=(512_345_678 + rng.integers(-50, 50, (200,2,60))).astype('i4'), seconds=1.7e9 + steps,
    seconds_of_years=1.7e9 + steps*3600/60, nanoseconds=1_700_000_000*10**9 + steps*10**9, counter=(3*10**9 + steps).astype('u4'), huge=noise*1e300)
ordinary = dict(noise=noise, kelvin=290 + noise, pascal=101_325 + noise, far=9e4 + noise, farther=-9e4*3 + 3*noise, tiny=noise*1e-30,
    constant=np.full((9,1,9), 1e9), missing=np.full((9,2,9), np.nan), some=np.where(noise > 1, np.nan, noise),
    ints=rng.integers(-2**31, 2**31-1, (200,2,60)), adc=rng.integers(-2**23, 2**23, (200,2,60)).astype('i4'),
    small=filled((50,2,9), 'i2'), f4=(1e8+noise).astype('f4'), whole=np.round(noise*1000+10**6), ramp=300 + steps/12_000, clock=np.arange(600.).reshape(10, 1, 60))

def said(make):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        make()
    return [str(o.message) for o in found if 'float32' in str(o.message)]

@pytest.mark.parametrize('name', lossy)
def test_lost_digits_are_said(name):
    x = lossy[name]
    for make in (lambda: TSDatasets(x), lambda: TSDataLoaders.from_arrays(x, np.arange(len(x))%2, seed=0), lambda: TSDatasets(Windows(x, 30))):
        found = said(make)
        assert len(found) == 1 and '`X`' in found[0] and 'variable 0' in found[0] and 'a constant near their mean' in found[0]

@pytest.mark.parametrize('name', ordinary)
def test_nothing_is_said_of_ordinary_data(name):
    for make in (lambda: TSDatasets(ordinary[name]), lambda: TSDatasets(Windows(ordinary[name], 9))): assert said(make) == []

def test_only_the_variables_that_lose_digits_are_named():
    x = noise.copy()
    x[:,1] += 1e9
    found, = said(lambda: TSDatasets(x))
    assert 'variable 1' in found and 'variable 0' not in found
    assert said(lambda: TSDatasets(x, splits=[range(100)])) and not said(lambda: TSDatasets(x, sel_vars=[0]))
    found, = said(lambda: TSDatasets(np.tile(x[:,1:], (1,5,1))))
    assert 'variable 2' in found and 'and 2 more' in found

def test_packed_integers_and_targets_are_looked_at():
    degrees = lossy['gps']
    assert 'variable 0 (51.234' in said(lambda: TSDatasets(degrees, packing=Packing(1e-7)))[0]
    y = 1e9 + rng.normal(size=200)
    found, = said(lambda: TSDatasets(noise, y))
    assert '`y`' in found and not said(lambda: TSDatasets(noise, y-1e9)) and not said(lambda: TSDatasets(noise, np.arange(200)+10**9))

class Counted(Source):
    "Rows that are counted when they are read"
    shape,dtype = (10**6,2,500),np.dtype('f8')
    def __init__(self): self.read = 0
    def __getitem__(self, i): return self.gather([i])[0]
    def _gather(self, idxs, out):
        self.read += len(idxs)
        out[...] = idxs[:,None,None] + rng.normal(size=out.shape)

def test_only_a_few_rows_are_read():
    s = Counted()
    TSDatasets(s)
    assert 4 <= s.read <= 64

def test_shares_are_those_of_the_rounding():
    x = 1e7 + np.random.default_rng(1).normal(size=(20,1,500))
    error = x-x.astype('f4')
    assert rounding_share(x)[0] == pytest.approx(np.sqrt((error**2).mean())/x.std(), rel=1e-4)
    whole = np.array([[[2.**24, 2**24+1, 2**24+2]]])
    assert merged_share(whole)[0] == pytest.approx(1/3) and merged_share(np.append(whole, [[[0,1,2.5]]], 0)).tolist() == [0]
