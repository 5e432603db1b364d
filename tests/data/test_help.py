"What help and signatures say of datasets and loaders"
import io, inspect, os, re
from contextlib import redirect_stdout
import numpy as np, pytest
from fastai.basics import Transform
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.windows import Windows

X,y = np.zeros((40,2,9), 'f4'),np.arange(40)%2
ways = [TSDataLoaders.from_arrays, TSDataLoaders.from_folder, TSDataLoaders.from_dsets]

def help_of(f):
    with redirect_stdout(io.StringIO()) as out: help(f)
    return out.getvalue()

@pytest.mark.parametrize('f', ways, ids=lambda f: f.__name__)
def test_help_lists_each_argument_once(f):
    text = help_of(f)
    *groups,rest = re.split(r"\n\s*\n\s+[^\n]*:\n", text)
    assert 'Batches:' in text and "Options of fastai's loaders:" in text
    listed = re.findall(r'^      (\w+)', '\n'.join(groups[1:]), re.M) + re.findall(r'\w+', rest)
    assert sorted(listed) == sorted(o for o in inspect.signature(f).parameters if o != 'cls')
    described = [o for o in '\n'.join(groups[1:]).splitlines() if o.strip()]
    assert all(len(o.split(None, 1)) == 2 for o in described)

@pytest.mark.parametrize('cls', [Windows, TSDatasets, TSDataLoader], ids=lambda o: o.__name__)
def test_help_of_a_class_says_what_each_argument_is_for(cls):
    described = re.findall(r'^ \|\s{8}(\w+)\S* +\S', help_of(cls).partition('Arguments:')[2], re.M)
    own = [o for o,p in inspect.signature(cls).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert described[:len(own)] == own

def test_groups_are_those_of_what_is_made():
    text = help_of(TSDataLoaders.from_arrays).partition('Data and splits:')[2]
    places = [text.index(o) for o in ('valid_pct=0.2', 'Columns:', 'sel_vars', 'Batches:', 'partial_n', 'fastai', 'pin_memory')]
    assert places == sorted(places) and 'Inputs (n, vars, steps): array, path or source' in text

def test_what_is_listed_is_accepted_and_what_is_refused_is_not_listed():
    listed = inspect.signature(TSDataLoaders.from_arrays).parameters
    for k,p in inspect.signature(TSDataLoader.__init__).parameters.items():
        if k in ('self','dataset'): continue
        assert k in listed and len(TSDataLoaders.from_arrays(X, y, **{k: p.default}).train) >= 0, k
    for k in ('create_item','create_batch','retain','do_batch','after_item','before_batch'):
        assert k not in listed and k not in inspect.signature(TSDataLoader).parameters
        with pytest.raises((TypeError,ValueError), match=k): TSDataLoaders.from_arrays(X, y, **{k: lambda *o: o})

def test_signature_of_datasets_is_its_own():
    names = [*inspect.signature(TSDatasets).parameters]
    assert names == [*inspect.signature(TSDatasets.__init__).parameters][1:] and names[:2] == ['X','y'] and 'tls' not in names

class Where(Transform):
    "Notes in which process it runs"
    def __init__(self): self.pids = set()
    def encodes(self, x:TSTensor):
        self.pids.add(os.getpid())
        return x

def test_transforms_run_in_this_process_as_help_says():
    of_rows,of_batches = Where(),Where()
    dls = TSDataLoaders.from_arrays(X, y, bs=8, tfms=[of_rows, None], batch_tfms=of_batches, num_workers=2, device='cpu')
    assert sum(len(b[0]) for b in dls.train) == 32 and of_rows.pids == of_batches.pids == {os.getpid()}
    assert 'Transforms run in this process' in help_of(TSDataLoaders.from_arrays)

def test_a_plain_function_gets_every_tensor_as_help_says():
    seen = []
    def note(o):
        seen.append(type(o).__name__)
        return o
    dls = TSDataLoaders.from_arrays((X, np.zeros((40,3), 'f4')), y, bs=8, batch_tfms=note, device='cpu')
    dls.train.one_batch()
    assert seen[-3:] == ['TSTensor','TSInput','TensorCategory'] and '`y` too' in help_of(TSDataLoaders.from_arrays)
