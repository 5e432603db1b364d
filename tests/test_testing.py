"The conformance suite lets sources that keep the contract pass, and names each fault of another"
import numpy as np, pytest
from conftest import filled
from tsdisk.disk.array_sources import ArraySource, as_source
from tsdisk.testing import check_errors, check_gather, check_order, check_out, check_pickle, check_prefetch, check_reads_only, check_shape, check_source
from tsdisk.testing import check_threads, check_views, checks

x = filled((40,3,5))

def test_a_source_that_keeps_the_contract_passes(): check_source(as_source(x), x)

class Other(ArraySource):
    "A source with one fault"
    def __reduce__(self): return type(self),(self.array,)

class Reversed(Other):
    def _gather(self, idxs, out): super()._gather(idxs[::-1].copy(), out)
class Added(Other):
    def __getitem__(self, i): return self.array[i]+1
class Double(Other):
    def __init__(self, x):
        super().__init__(x)
        self.dtype = np.dtype('f8')
class Longer(Other):
    def __init__(self, x):
        super().__init__(x)
        self.shape = len(x)+1, *x.shape[1:]
class Wraps(Other):
    def gather(self, idxs, out=None): return super().gather(np.asarray(idxs)%len(self), out)
class Ignores(Other):
    def gather(self, idxs, out=None): return super().gather(idxs)
class Writes(Other):
    def _gather(self, idxs, out):
        super()._gather(idxs, out)
        self.array[0] += 1
class Refuses(Other):
    def prefetch(self, idxs): raise IndexError('no such row')
class Changes(Other):
    def __reduce__(self): return type(self),(self.array*2,)

faults = [(Reversed,check_order), (Added,check_views), (Double,check_shape), (Longer,check_shape), (Wraps,check_errors), (Ignores,check_out),
    (Writes,check_reads_only), (Refuses,check_prefetch), (Changes,check_pickle)]

@pytest.mark.parametrize('kind,check', faults, ids=lambda o: o.__name__)
def test_a_fault_is_found_by_the_check_of_its_name(kind, check):
    kwargs = dict(most=None) if check is check_pickle else {}
    check(Other(x.copy()), x, **kwargs)
    with pytest.raises((AssertionError,IndexError,ValueError)): check(kind(x.copy()), x.copy(), **kwargs)

def test_other_values_are_found_by_a_gather():
    check_gather(as_source(x), x, [3,0,3])
    with pytest.raises(AssertionError): check_gather(as_source(x), x+1, [3,0,3])

def test_threads_that_get_rows_of_each_other_are_found():
    class Mixes(Other):
        def gather(self, idxs, out=None): # As with one buffer for all threads
            self.last = np.asarray(idxs)
            import time
            time.sleep(.001)
            return super().gather(self.last, out)
    check_threads(as_source(x), x)
    with pytest.raises(AssertionError): check_threads(Mixes(x), x)

def test_large_pickles_are_refused():
    check_pickle(as_source(x), x, most=None)
    with pytest.raises(AssertionError): check_pickle(as_source(filled((4000,3,50))), filled((4000,3,50)))

def test_all_checks_are_in_the_suite():
    assert {check_shape, check_views, check_order, check_out, check_errors, check_prefetch, check_reads_only, check_threads} <= {*checks}
