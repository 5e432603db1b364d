"The same rows for PyTorch's loader, Keras, TensorFlow and numpy: as `TSDatasets.batch` gives them, in the order of a `TSDataLoader`"
import os, pickle, textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
os.environ.setdefault('KERAS_BACKEND', 'torch') # Before Keras is imported
import numpy as np, pytest, torch
from aeon.datasets import load_basic_motions
from torch.utils.data import ConcatDataset, DataLoader, DistributedSampler, Subset
from torchdata.stateful_dataloader import StatefulDataLoader
from conftest import fails, filled, fresh, linux, ramp, rows, same
from tsdisk.disk.packing import Packing
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.data.datasets import TSDatasets
from tsdisk.frameworks import BatchOrder
from tsdisk.data.loaders import TSDataLoader
from tsdisk.series.ragged_files import save_ragged
from tsdisk.disk.array_sources import ArraySource
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore:.*torch.jit.script.*')
n = 50

@pytest.fixture
def dset(tmp_path):
    "50 rows, each with its number as target"
    save_array(tmp_path/'X.npy', ramp(n))
    return TSDatasets(tmp_path/'X.npy', np.arange(n).astype('f4'))

@pytest.fixture(scope='module')
def motions(tmp_path_factory):
    "Recordings of a wrist in four activities, on disk, 40 to train on and 40 to validate"
    d = tmp_path_factory.mktemp('motions')
    X,y = load_basic_motions()
    return TSDatasets(save_array(d/'X.npy', X.astype('f4')), y.astype(str), splits=[range(40), range(40, 80)])

def tf():
    pytest.importorskip('keras') # Its backend imports triton, which aborts if it comes after TensorFlow
    return pytest.importorskip('tensorflow', reason='TensorFlow is over a gigabyte, and asks for an older h5py: pip install tensorflow-cpu runs these')

def ids(batches):
    "Rows of each batch, after a check that each is whole and with its own target"
    res = []
    for x,y in batches:
        same(x, np.float32(ramp(1) + 6*np.array(rows(x))[:,None,None]))
        assert rows(x) == np.asarray(y).tolist()
        res.append(rows(x))
    return res

orders = [dict(), dict(shuffle=True), dict(shuffle='block'), dict(shuffle=True, drop_last=True), dict(shuffle=True, partial_n=.5),
    dict(shuffle=True, weights=np.arange(n)), dict(shuffle=True, rank=1, world_size=3), dict(shuffle='block', rank=0, world_size=2)]

@pytest.mark.parametrize('opts', orders, ids=str)
def test_all_give_the_batches_of_a_loader_epoch_after_epoch(dset, opts):
    dl = TSDataLoader(dset, 8, device='cpu', seed=3, **opts)
    arrays,keras,torch_rows = dset.numpy(8, seed=3, **opts),dset.keras(8, seed=3, channels_last=False, **opts),dset.torch()
    torch_dl = DataLoader(torch_rows, batch_sampler=torch_rows.batches(8, seed=3, **opts), collate_fn=torch_rows.collate)
    for _ in range(3):
        want = ids(dl)
        assert ids(arrays) == ids(torch_dl) == ids(keras) == want and len(arrays) == len(torch_dl) == len(keras) == len(want)
        keras.on_epoch_end()

# What datasets hold

def int16(d):
    "Integers that count tenths from 20 on, -1 for what is missing"
    x = np.random.default_rng(0).integers(0, 99, (n,2,12)).astype('i2')
    x[3,1,4:] = -1
    return TSDatasets(save_array(d/'X.npy', x), filled((n,)), packing=Packing(.1, 20, -1), mask=True)

def ragged(d): return TSDatasets(save_ragged(d/'r', [filled((2,k), seed=k) for k in range(3, 53)]), np.arange(n)%3)
def windows(d): return TSDatasets(Windows(filled((100,3)), 24, horizon=6, stride=2), splits=[range(30)])
def several(d): return TSDatasets((save_array(d/'X.npy', filled((n,2,12))), filled((n,5)), np.arange(n)), filled((n,3)))
def strings(d): return TSDatasets(save_array(d/'X.npy', filled((n,2,12), 'f8')), np.array(['walk','rest'])[np.arange(n)%2], splits=[range(40)])
def unlabelled(d): return TSDatasets(save_array(d/'X.npy', filled((n,2,12), '?')))
def targets(d):
    r = save_ragged(d/'y', [filled((1,k%5+1), seed=k) for k in range(n)])
    return TSDatasets(save_array(d/'X.npy', filled((n,2,12))), r)

kinds = [int16, ragged, windows, several, strings, unlabelled, targets]
by_name = dict(argvalues=kinds, ids=lambda f: f.__name__)

def want(dset, k=16):
    "Batches as `dset.batch` gives them"
    return [[o.numpy() for o in dset.batch(range(i, min(i+k, len(dset))))] for i in range(0, len(dset), k)]

def check(got, dset):
    for a,b in zip(got, want(dset), strict=True):
        for p,q in zip(a, b, strict=True): same(p, q)

def flat(b): return [*b[0], *b[1:]] if isinstance(b[0], tuple) else b

@pytest.mark.parametrize('make', **by_name)
def test_columns_are_those_of_the_dataset(tmp_path, make):
    dset = make(tmp_path)
    dset = dset if not dset.splits[-1:] or len(dset.splits[0]) == len(dset) else dset.train
    check(dset.numpy(16), dset)
    check(map(flat, dset.keras(16, channels_last=False)), dset)
    t = dset.torch()
    check(DataLoader(t, 16), dset)
    check(DataLoader(t, 16, collate_fn=t.collate), dset)
    check(DataLoader(t, batch_size=None, sampler=t.batches(16)), dset)

@pytest.mark.parametrize('make', **by_name)
def test_columns_are_those_of_the_dataset_in_tensorflow(tmp_path, make):
    tf()
    dset = make(tmp_path)
    dset = dset if len(dset.splits[0]) == len(dset) else dset.train
    check(map(flat, dset.tf(16, channels_last=False).as_numpy_iterator()), dset)
    moved = [*map(flat, dset.tf(16).as_numpy_iterator())]
    check([[o.swapaxes(1, 2) if o.ndim == 3 else o for o in b] for b in moved], dset)

def test_integers_come_in_their_units_with_a_mask(tmp_path):
    dset = int16(tmp_path)
    stored = open_array(tmp_path/'X.npy')[:8]
    (x,mask),y = dset.keras(8, channels_last=True)[0]
    assert x.shape == (8,12,2) and x.dtype == np.float32 and mask.dtype == bool
    same(mask, (stored != -1).swapaxes(1, 2))
    np.testing.assert_allclose(x[mask], (stored*.1+20).swapaxes(1, 2)[mask], rtol=1e-6)
    assert np.isnan(x[~mask]).all()

def test_a_batch_of_series_is_as_long_as_its_longest(tmp_path):
    dset = ragged(tmp_path)
    assert [x.shape[2] for x,_,_ in dset.numpy(10)] == [12,22,32,42,52]
    (x,mask),y = dset.keras(10)[1]
    assert x.shape == (10,22,2) and mask.shape == (10,22) and mask.sum(1).tolist() == [*range(13, 23)] and y.dtype == np.int64

def test_transforms_of_the_dataset_are_done_for_its_split(dset):
    from fasttransform import Transform
    class Add(Transform):
        split_idx = 0
        def encodes(self, x): return x+1000
    both = TSDatasets(dset.tls[0].items, np.arange(n)%2, tfms=[[Add()], None], splits=[range(40), range(40, n)])
    for part,plus in (both.train,1000),(both.valid,0):
        x = dset.tls[0].items.gather(np.asarray(part.idxs)) + np.float32(plus)
        same(next(iter(part.numpy(len(part))))[0], x)
        same(part.keras(len(part), channels_last=False)[0][0], x)
        same(next(iter(DataLoader(part.torch(), len(part))))[0], x)

def test_crops_are_others_each_epoch(tmp_path):
    dset = TSDatasets(Crops(filled((5,2,400)), 10, per_series=4))
    t,k,still = dset.torch(),dset.keras(20, shuffle=True, seed=0),dset.keras(20)
    dl = DataLoader(t, batch_sampler=t.batches(20, shuffle=True, seed=0), collate_fn=t.collate, num_workers=1)
    like = TSDataLoader(dset, 20, True, seed=0, device='cpu')
    a,b = [next(iter(dl))[0] for _ in range(2)]
    for o in (a,b): same(o, next(iter(like))[0].numpy())
    first,unmoved = k[0][0],still[0][0]
    for o in (k,still): o.on_epoch_end()
    assert not np.array_equal(a, b) and not np.array_equal(np.sort(first, 0), np.sort(k[0][0], 0))
    same(np.asarray(still[0][0]), np.asarray(unmoved))

def test_a_dataset_of_several_splits_is_an_error(motions):
    for f in (motions.torch, motions.numpy, motions.keras):
        with fails(ValueError, '[40, 40] rows', '`dset.train`', '`dset.subset(i)`'): f()

# numpy

def test_arrays_stay_as_they_are_while_they_are_held(dset):
    held = [b for _ in range(3) for b in dset.numpy(4, shuffle=True, seed=0)]
    held += [(x[1:],y[1:]) for x,y in dset.numpy(4, channels_last=True)]
    for x,y in held: assert (rows(x) if x.shape[1] == 2 else (x[:,0,0]/6).astype(int).tolist()) == y.tolist()
    ids(held[:-13])

def test_variables_come_last_if_asked(dset):
    x,_ = next(iter(dset.numpy(4, channels_last=True)))
    same(np.ascontiguousarray(x), ramp(4).swapaxes(1, 2))

def test_a_pass_goes_on_where_a_state_was_taken(dset):
    a,b = (dset.numpy(8, shuffle='block', seed=s) for s in (1,2))
    ids(a)
    it = iter(a)
    for _ in range(3): next(it)
    b.load_state_dict(pickle.loads(pickle.dumps(a.state_dict())))
    assert ids(b) == ids(it) and ids(a) == ids(b)

@linux
def test_private_memory_does_not_grow_with_the_data(tmp_path):
    save_array(tmp_path/'X.npy', (filled((500,10,100), seed=i) for i in range(80))) # 160 MB
    code = """
        import keras
        from conftest import rss_anon
        from torch.utils.data import DataLoader
        from tsdisk.data.datasets import TSDatasets
        import tsdisk.frameworks
        dset,res = TSDatasets(args[0]),[]
        for batches in dset.numpy(64, True), DataLoader(dset.torch(), 64, shuffle=True), dset.keras(64, True):
            next(iter(batches))
            before,most = rss_anon(),0
            for b in batches: most = max(most, rss_anon())
            res.append(most-before)"""
    assert max(fresh(code, str(tmp_path/'X.npy'), env=dict(KERAS_BACKEND='torch'))) < 40

# PyTorch

class Counted(ArraySource):
    reads = 0
    def _gather(self, rows, out):
        self.reads += 1
        super()._gather(rows, out)

def test_a_batch_is_one_read_and_plain_tensors():
    X = Counted(ramp(n))
    t = TSDatasets(X, np.arange(n)).torch()
    for b in DataLoader(t, 10), DataLoader(t, 10, collate_fn=t.collate):
        X.reads = 0
        for x,y in b: assert type(x) is type(y) is torch.Tensor and (x.dtype,y.dtype) == (torch.float32,torch.int64)
        assert X.reads == 5

def test_samples_are_tuples_of_tensors(dset):
    t = dset.torch()
    x,y = t[-1]
    same(x, ramp(n)[-1])
    assert len(t) == n and y == n-1 and y.shape == ()
    assert [len(o) for o in t[[3,1]]] == [2,2] and t[[3,1]][1].tolist() == [3,1]
    with fails(IndexError, 'there are 50'): t[n]

def test_each_row_comes_once_from_a_plain_loader(dset):
    got = ids(DataLoader(dset.torch(), batch_size=8, shuffle=True))
    assert sorted(sum(got, [])) == [*range(n)] and sum(got, []) != [*range(n)]

@pytest.mark.parametrize('context', ['fork','spawn'])
def test_workers_read_the_same(dset, context):
    t = dset.torch()
    opts = dict(collate_fn=t.collate, num_workers=2, multiprocessing_context=context)
    assert ids(DataLoader(t, batch_sampler=t.batches(8, shuffle=True, seed=0), **opts)) == ids(dset.numpy(8, True, seed=0))

def test_it_pickles_without_its_data(tmp_path):
    save_array(tmp_path/'X.npy', np.zeros((100_000,2,8), 'f4'))
    t = TSDatasets(tmp_path/'X.npy', save_array(tmp_path/'y.npy', np.arange(100_000)%3)).torch()
    assert len(pickle.dumps(t)) < 5_000 and pickle.loads(pickle.dumps(t))[[99_999]][0].shape == (1,2,8)

def test_parts_and_sums_of_datasets_are_collated_too(dset):
    t = dset.torch()
    assert ids(DataLoader(Subset(t, [5,7,9]), 2, collate_fn=t.collate)) == [[5,7],[9]]
    assert ids(DataLoader(ConcatDataset([Subset(t, [5]), Subset(t, [7])]), 2, collate_fn=t.collate)) == [[5,7]]

def test_a_distributed_sampler_shares_rows(dset):
    t = dset.torch()
    got = [ids(DataLoader(t, 5, sampler=DistributedSampler(t, 2, i, seed=1), collate_fn=t.collate)) for i in range(2)]
    assert sorted(sum(map(lambda o: sum(o, []), got), [])) == [*range(n)]

@pytest.mark.parametrize('shuffle', [True,'block'])
def test_processes_share_each_batch(dset, shuffle):
    whole = [*BatchOrder(dset, 10, shuffle, seed=1)]
    parts = [[*BatchOrder(dset, 5, shuffle, seed=1, rank=i, world_size=2)] for i in range(2)]
    assert [sorted(a+b) for a,b in zip(*parts)] == [sorted(o) for o in whole]

@pytest.fixture
def joined(tmp_path):
    "Two processes that make orders, and only then join a group, as those that Lightning launches"
    def run(code):
        code = """
import numpy as np, torch.distributed as dist
from tsdisk.all import TSDatasets, random_splits
from tsdisk.frameworks import BatchOrder
rank,group = args
dset = TSDatasets(np.zeros((50,1,4), 'f4')).train
def join(): dist.init_process_group('gloo', init_method=f'file://{group}', rank=rank, world_size=2)
""" + textwrap.dedent(code)
        with ThreadPoolExecutor(2) as ex: return [*ex.map(partial(fresh, code), range(2), [str(tmp_path/'group')]*2)]
    return run

def test_orders_made_before_the_launch_are_shared(joined):
    (n_steps,a,alone,rest,error),(_,b,_,other_rest,_) = joined("""
        order = BatchOrder(dset, 5, True)
        alone = BatchOrder(dset, 5, True, seed=1, rank=0, world_size=1)
        within = BatchOrder(dset, 5, True, seed=1)
        batches = iter(within)
        for _ in range(3): next(batches)
        within.load_state_dict(within.state_dict())
        begun = BatchOrder(dset, 5, True, seed=1)
        batches = iter(begun)
        first = [next(batches)]
        join()
        if rank == 0: len(order), order.state_dict() # These need no other rank
        assert sorted(sum([*first, *batches], [])) == [*range(50)], 'a pass ends as it began'
        res = [len(order), [*order], [*alone], [*within]]
        try: order.batch_size
        except ValueError as e: res.append(str(e))""")
    assert n_steps == 5 and sorted(sum(a+b, [])) == [*range(50)]
    assert sorted(sum(alone, [])) == [*range(50)] and sorted(sum(rest+other_rest, [])) == sorted(sum(alone[3:], []))
    assert 'rank 0 of 2' in error and 'use_distributed_sampler=False' in error

def test_a_learner_says_that_its_loaders_were_made_before_the_launch(joined):
    errors = joined("""
        from tsdisk.all import Learner, DistributedTraining, TSDataLoaders, nn
        dls = TSDataLoaders.from_arrays(np.zeros((50,1,4), 'f4'), np.zeros(50, 'f4'), bs=5, seed=1, device='cpu')
        join()
        learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), loss_func=nn.MSELoss(), cbs=DistributedTraining())
        try:
            with learn.no_bar(), learn.no_logging(): res = learn.fit(1)
        except ValueError as e: res = str(e)""")
    assert all('2 processes were launched after this loader was made' in o for o in errors), errors

def test_orders_of_other_splits_are_refused(joined):
    errors = joined("""
        dset = TSDatasets(np.zeros((50,1,4), 'f4'), splits=random_splits(50)).train
        order = BatchOrder(dset, 5, True, seed=1)
        join()
        try: res = next(iter(order))
        except ValueError as e: res = str(e)""")
    assert all('The ranks disagree on' in o for o in errors)

def test_loaders_made_before_the_launch_are_refused(joined):
    "Lightning's trainer launches processes after loaders were made: each trained on all rows without a word"
    results = joined("""
        from tsdisk.all import TSDataLoader
        opts = dict(bs=5, shuffle=True, seed=1, device='cpu')
        before = TSDataLoader(dset, **opts)
        derived = before.new(bs=10)
        whole = TSDataLoader(dset, **opts, rank=0, world_size=1)
        unshuffled = TSDataLoader(dset, 5, device='cpu')
        join()
        res = [len([*o]) for o in (TSDataLoader(dset, **opts), whole, whole.new(bs=10), unshuffled)]
        for o in (before, derived):
            try: next(iter(o))
            except ValueError as e: res.append('launched after this loader was made' in str(e))
        del before.as_launched # As one that an older version has pickled
        res.append(len([*before]))""")
    assert results == [[5,10,5,10,True,True,10]]*2

@pytest.mark.parametrize('workers', [0,2])
@pytest.mark.parametrize('own', [True,False])
def test_a_stateful_loader_goes_on_within_an_epoch(dset, workers, own):
    t = dset.torch()
    def make(seed):
        opts = dict(batch_sampler=t.batches(4, shuffle='block', seed=seed)) if own else dict(batch_size=4, shuffle=True)
        return StatefulDataLoader(t, collate_fn=t.collate, num_workers=workers, **opts)
    a,b = make(1),make(2)
    ids(a)
    it = iter(a)
    for _ in range(5): next(it)
    state = a.state_dict()
    rest = ids(it)
    b.load_state_dict(state)
    assert ids(b) == rest and len(rest) == 8
    if own: assert ids(a) == ids(b)

def test_the_order_goes_on_with_an_epoch_that_is_set(dset):
    def order(): return BatchOrder(dset, 8, True, seed=0)
    a,b = order(),order()
    epochs = [[*a] for _ in range(3)]
    b.set_epoch(2)
    assert [*b] == epochs[2] and epochs[0] != epochs[1]
    b.set_epoch(1)
    it = iter(b)
    for _ in range(4): next(it)
    c = order()
    c.load_state_dict(b.state_dict())
    c.set_epoch(1) # As trainers do at the start of the epoch in which they go on
    assert [*c] == epochs[1][4:]

def test_batches_given_as_a_sampler_of_rows_are_an_error(dset):
    t = dset.torch()
    with fails(IndexError, '(4, 8)', '`batch_sampler`', '`batch_size=None`'): next(iter(DataLoader(t, 4, sampler=t.batches(8))))

def test_wrong_options_are_errors_before_work_starts(dset):
    t = dset.torch()
    with fails(TypeError, 'num_workers'): t.batches(8, num_workers=2)
    with fails(TypeError, 'num_workers'): dset.keras(8, num_workers=2)
    with fails(TypeError, 'nothing'): dset.numpy(8, nothing=2)
    for f in (t.batches, dset.numpy, dset.keras):
        with fails(ValueError, '`bs`', 'got 0'): f(0)
        with fails(ValueError, "'stratified'", "got 'blocks'"): f(8, shuffle='blocks')
        with fails(ValueError, 'same `seed`'): f(8, rank=0, world_size=2)

def net(): return torch.nn.Sequential(torch.nn.Conv1d(6, 16, 9), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool1d(1), torch.nn.Flatten(), torch.nn.Linear(16, 4))

def test_a_plain_loop_learns(motions):
    torch.manual_seed(0)
    t,v = motions.train.torch(),motions.valid.torch()
    model = net()
    opt = torch.optim.Adam(model.parameters(), 1e-2)
    dl = DataLoader(t, batch_sampler=t.batches(8, shuffle=True, seed=0), collate_fn=t.collate)
    for _ in range(15):
        for x,y in dl:
            torch.nn.functional.cross_entropy(model(x), y).backward()
            opt.step()
            opt.zero_grad()
    x,y = v[range(40)]
    assert (model(x).argmax(1) == y).float().mean() > .9

@pytest.mark.parametrize('where', ['main','workers'])
def test_what_does_not_fit_in_memory_is_read_straight_from_disk(tmp_path, monkeypatch, where):
    save_array(tmp_path/'X.npy', ramp(4000))
    dset = TSDatasets(tmp_path/'X.npy', np.arange(4000).astype('f4'))
    want = ids(dset.numpy(100, True, seed=0))
    monkeypatch.setattr('tsdisk.data.reader.free_memory', lambda: 0)
    t,k = dset.torch(),dset.keras(100, True, seed=0, channels_last=False)
    opts = dict(num_workers=2, multiprocessing_context='fork') if where == 'workers' else {}
    t[5] # Its reader is not for other processes
    assert ids(DataLoader(t, batch_sampler=t.batches(100, shuffle=True, seed=0), collate_fn=t.collate, **opts)) == want == ids(k)
    assert all(next(iter(o.read.readers.kept.values())).prefetched for o in (t,k))

# Keras

def keras_net():
    import keras
    keras.utils.set_random_seed(0)
    L = keras.layers
    model = keras.Sequential([L.Input((100,6)), L.Conv1D(16, 9, activation='relu'), L.GlobalMaxPooling1D(), L.Dense(4)])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=['accuracy'])
    return model

def test_keras_fits_evaluates_and_predicts(motions):
    train,valid = motions.train.keras(8, shuffle=True, seed=0),motions.valid.keras(16)
    model = keras_net()
    seen = model.fit(train, validation_data=valid, epochs=15, verbose=0).history
    assert train.epoch == 15 and seen['val_accuracy'][-1] > .9
    pred = model.predict(valid, verbose=0)
    y = np.concatenate([o for _,o in valid])
    assert pred.shape == (40,4) and (pred.argmax(1) == y).mean() == pytest.approx(model.evaluate(valid, verbose=0)[1])

def test_keras_sees_each_row_once_an_epoch(dset):
    import keras
    class Seen(keras.Model):
        def call(self, x): return x[:,0,:1]
        def train_step(self, b):
            seen.extend((b[0][:,0,0]/6).int().tolist())
            return {}
    seen,train = [],dset.keras(8, shuffle=True, seed=0)
    model = Seen()
    model.compile(loss='mse')
    model.fit(train, epochs=2, verbose=0, shuffle=False)
    model.fit(train, epochs=3, initial_epoch=2, verbose=0)
    like = BatchOrder(dset, 8, True, seed=0)
    want = [sum(like, []) for _ in range(4)]
    assert seen[:2*n] == want[0]+want[1] and sorted(seen[2*n:]) == [*range(n)] and train.epoch == 3
    assert model.predict(train, verbose=0)[:,0].tolist() == [float(6*i) for i in want[3]]

def test_keras_goes_on_with_an_epoch_that_is_set(dset):
    a,b = (dset.keras(8, shuffle=True, seed=0, channels_last=False) for _ in range(2))
    for _ in range(2):
        first = ids(a)
        a.on_epoch_end()
    b.epoch = 1
    assert ids(b) == first and ids(a) != first
    with pytest.raises(IndexError): a[7]

def test_keras_says_where_variables_are(dset):
    import keras
    assert dset.keras(4)[0][0].shape == (4,3,2)
    keras.config.set_image_data_format('channels_first')
    try: assert dset.keras(4)[0][0].shape == (4,2,3) and dset.keras(4, channels_last=True)[0][0].shape == (4,3,2)
    finally: keras.config.set_image_data_format('channels_last')

def test_missing_libraries_are_named():
    code = """
        import sys, numpy as np
        from tsdisk.data.datasets import TSDatasets
        import tsdisk.frameworks
        res = []
        def said(f):
            try: f()
            except ImportError as e: res.append(str(e))
        sys.modules.update(keras=None, tensorflow=None)
        dset = TSDatasets(np.zeros((4,1,2), 'f4'))
        for f in dset.keras, dset.tf: said(f)
        del sys.modules['keras']
        said(dset.keras)"""
    keras,tf,backend = fresh(code, env=dict(KERAS_BACKEND='tensorflow'))
    assert "pip install 'tsdisk[keras]'" in keras and "pip install 'tsdisk[tf]'" in tf
    assert 'KERAS_BACKEND' in backend and "pip install" not in backend

# TensorFlow

def test_tensorflow_gets_the_batches_of_a_loader_epoch_after_epoch(dset):
    tf()
    for opts in orders:
        like,got = dset.numpy(8, seed=3, **opts),dset.tf(8, seed=3, channels_last=False, **opts)
        assert got.cardinality() == len(like)
        for _ in range(2): assert ids(got.as_numpy_iterator()) == ids(like)

def test_tensorflow_knows_shapes(motions, tmp_path):
    tf()
    x,y = motions.train.tf(8).element_spec
    assert x.shape.as_list() == [None,100,6] and (x.dtype.name,y.dtype.name) == ('float32','int64') and y.shape.as_list() == [None]
    assert motions.train.tf(8, drop_last=True).element_spec[0].shape.as_list() == [8,100,6]
    (x,mask),y = ragged(tmp_path).tf(8).element_spec
    assert x.shape.as_list() == [None,None,2] and mask.shape.as_list() == [None,None] and mask.dtype.name == 'bool'

def test_tensorflow_repeats_with_another_order(dset):
    tf()
    got = sum(ids(dset.tf(10, True, seed=0, channels_last=False).repeat(2).as_numpy_iterator()), [])
    assert sorted(got[:n]) == sorted(got[n:]) == [*range(n)] and got[:n] != got[n:]

def test_keras_fits_from_tensorflow():
    tf()
    code = """
        import numpy as np, test_frameworks as t
        from aeon.datasets import load_basic_motions
        from tsdisk.data.datasets import TSDatasets
        X,y = load_basic_motions()
        dset = TSDatasets(X.astype('f4'), y.astype(str), splits=[range(40), range(40, 80)])
        res = [t.keras_net().fit(train, validation_data=valid, epochs=15, verbose=0).history['val_accuracy'][-1] for train,valid in [
            (dset.train.tf(8, True, seed=0), dset.valid.tf(8)), (dset.train.keras(8, True, seed=0), dset.valid.keras(8))]]"""
    assert min(fresh(code, env=dict(KERAS_BACKEND='tensorflow'))) > .8
