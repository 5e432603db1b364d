"A loader yields every row once, as stored, in memory that is never taken from whoever still holds it"
import copy, gc, io, json, random, threading, time, weakref
import numpy as np, pytest, torch
from fastai.torch_core import set_seed
from fastcore.basics import first
from fasttransform import Pipeline, Transform
from hypothesis import given, strategies as st
from conftest import epoch, fails, filled, ramp, rows, same
from loader_cases import after, loader, small
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.reader import ReadOptions
from tsdisk.data.transforms import Standardize
from tsdisk.disk.arrays import save_array
from tsdisk.disk.array_sources import ArraySource
from tsdisk.order.shuffle import order

one_by_one = ReadOptions(group_bytes=0)

# Every row once

@pytest.mark.parametrize('bs', [1,32,64,128,200])
@pytest.mark.parametrize('n', [1,100,120,127,128,32700,32767,32768])
def test_unshuffled_yields_every_row_once_in_order(tmp_path, n, bs):
    X,y = save_array(tmp_path/'X.npy', ramp(n)),save_array(tmp_path/'y.npy', np.arange(n, dtype='f8'))
    dl = TSDataLoader(TSDatasets(X, y), bs=bs)
    ids,sizes = epoch(dl)
    assert ids == [*range(n)] and sizes == [bs]*(n//bs) + [n%bs]*(n%bs > 0) and len(dl) == len(sizes) and dl.n == n

@pytest.mark.parametrize('split', [range(10, 90), np.arange(99, -1, -3), [5,3,99,0], range(80, 10, -7), np.array([9,4,200], 'u1'), slice(200,None,9)], ids=str)
def test_rows_of_a_split_come_in_its_order(block, split):
    dsets = TSDatasets(ramp(300), np.arange(300.), splits=[split])
    for _ in range(2): assert epoch(TSDataLoader(dsets.train, bs=7))[0] == np.arange(300)[split].tolist()

@given(st.integers(1, 300), st.integers(1, 350), st.booleans(), st.booleans(), st.sampled_from([0,500,2**20]))
def test_sizes_are_those_of_any_loader(n, bs, shuffle, drop_last, group_bytes):
    dl = loader(n, bs=bs, shuffle=shuffle, drop_last=drop_last, seed=0, read=ReadOptions(group_bytes=group_bytes))
    ids,sizes = epoch(dl)
    want = [len(o) for o in np.split(np.arange(n), range(bs, n, bs)) if len(o) == bs or not drop_last]
    assert sizes == want and len(dl) == len(want) and len(set(ids)) == len(ids) == sum(want)
    if not drop_last: assert sorted(ids) == [*range(n)]
    if not shuffle: assert ids == [*range(sum(want))]

def test_shuffled_epochs_are_different_permutations(block):
    dl = loader(500, bs=32, shuffle=True, seed=3)
    epochs = [epoch(dl)[0] for _ in range(6)]
    assert all(sorted(o) == [*range(500)] for o in epochs) and len(set(map(tuple, epochs))) == 6
    for i,o in enumerate(epochs): assert o == order(500, 3, i)[:].tolist()

def test_seed_makes_epochs_repeatable():
    def epochs(bs=32, **kw):
        dl = loader(500, bs=bs, shuffle=True, **kw)
        return [epoch(dl)[0] for _ in range(2)]
    assert epochs(seed=3) == epochs(seed=3) == epochs(seed=3, bs=50) != epochs(seed=4)
    def seeded():
        set_seed(5)
        return epochs()
    assert seeded() == seeded() and epochs() != epochs()

@pytest.mark.parametrize('shuffle', [False,True])
def test_workers_change_nothing(tmp_path, shuffle):
    X,y = save_array(tmp_path/'X.npy', ramp(333)),save_array(tmp_path/'y.npy', np.arange(333.))
    res = []
    for k in range(4):
        dl = TSDataLoader(TSDatasets(X, y), bs=16, shuffle=shuffle, seed=1, num_workers=k)
        res.append([epoch(dl) for _ in range(2)])
    assert res[0] == res[1] == res[2] == res[3] and sorted(res[0][0][0]) == [*range(333)]
    assert (res[0][0] == res[0][1]) == (not shuffle)

@pytest.mark.parametrize('y', [np.arange(40_000)%3, np.arange(40_000)%300 - 7, np.arange(40_000)%2 + 2**40, (np.arange(40_000)%3).astype('u1')], ids=['short','negative','long','bytes'])
def test_labels_of_a_long_pass_are_those_of_the_array(y, tmp_path):
    "They are looked up in shorter numbers, made anew for each pass; those of other rows may be anything"
    vocab,y = np.unique(y),np.append(y, y.max()+1)
    def right(dl): return all((vocab[labels.numpy()] == y[x.flatten().long().numpy()]).all() for x,labels in dl)
    for o in (save_array(tmp_path/'y.npy', y), y):
        dl = TSDataLoaders.from_arrays(np.arange(len(y), dtype='f4')[:,None,None], o, vocab=vocab, splits=[range(40_000), []], bs=100, seed=0).train
        assert right(dl) and right(dl)
    y[:40_000] = y[:40_000][::-1].copy()
    assert right(dl)

def test_transforms_may_draw_batches_to_set_themselves_up():
    class Center(Transform):
        def setups(self, dl): self.mean = first(dl)[0].mean()
        def encodes(self, x:TSTensor): return x-self.mean if hasattr(self, 'mean') else x
    dl,plain = (TSDataLoaders.from_arrays(ramp(40), splits=[range(40), []], bs=20, batch_tfms=o, device='cpu', seed=3).train for o in (Center(),None))
    assert dl.state_dict() == plain.state_dict() and dl.state_dict()['step'] == 0 # That batch is of no pass
    assert abs(dl.one_batch()[0].mean()) < 1e-3 and dl.epoch == 0

def test_stopping_in_the_middle_leaves_the_loader_whole(block):
    dl = loader(500, bs=8, shuffle=True, seed=0)
    for i,_ in enumerate(dl):
        if i == 3: break
    dl.one_batch()
    assert sorted(epoch(dl)[0]) == [*range(500)]

def test_number_of_rows_near_the_range_of_small_integers_loses_none():
    for n,bs in ((120,64),(127,64),(128,64),(255,64),(256,64),(32700,128),(32767,128),(65535,128)):
        for dtype in ('i1','u1','i2','u2','i4','i8'):
            idxs = np.arange(n) if n-1 > np.iinfo(dtype).max else np.arange(n, dtype=dtype)
            ids,_ = epoch(TSDataLoader(TSDatasets(ramp(n), splits=[idxs]).train, bs=bs))
            assert ids == [*range(n)]

# Memory that is used again

weight = torch.ones((), requires_grad=True)
keepers = dict(tensor=lambda xb: xb, slice=lambda xb: xb[1:3], row=lambda xb: xb[0], steps=lambda xb: xb[..., ::2], flat=lambda xb: xb.view(-1),
    turned=lambda xb: xb.transpose(0, 2), plain=lambda xb: xb.as_subclass(torch.Tensor), detached=lambda xb: xb.detach(), data=lambda xb: xb.data,
    expanded=lambda xb: xb[None].expand(3, *xb.shape), numpy=lambda xb: xb.numpy(), strided=lambda xb: xb.numpy()[::2, 1:],
    asarray=lambda xb: np.asarray(xb)[1:], memory=lambda xb: memoryview(xb.numpy()), dlpack=torch.from_dlpack,
    np_dlpack=lambda xb: np.from_dlpack(xb.as_subclass(torch.Tensor)), storage=lambda xb: xb.untyped_storage(), graph=lambda xb: (xb*weight).sum())

def value(o):
    "What is seen through whatever holds a batch"
    if isinstance(o, torch.UntypedStorage): return torch.empty(0).set_(o, 0, (24,)).numpy().copy()
    if getattr(o, 'grad_fn', None): return torch.autograd.grad(o, weight, retain_graph=True)[0].numpy() # The graph holds the batch
    return o.numpy().copy() if isinstance(o, torch.Tensor) else np.array(o)

@pytest.mark.parametrize('dtype', ['f4','i2'])
@pytest.mark.parametrize('how', keepers)
def test_batches_that_are_held_are_never_overwritten(block, how, dtype):
    dl,kept = loader(2000, bs=4, shuffle=True, seed=0, dtype=dtype),[]
    for i,(xb,_) in enumerate(dl):
        if i%5 in (0,3):
            o = keepers[how](xb)
            kept.append((o, value(o)))
        del xb
    for o,was in kept: same(value(o), was)
    assert len(kept) == 200

@pytest.mark.parametrize('dtype', ['f4','f8'])
def test_targets_that_are_held_are_never_overwritten(block, dtype):
    y = ramp(2000, 3, 4, dtype)+5
    kept = [(yb,i) for i,(_,yb) in enumerate(TSDataLoader(TSDatasets(ramp(2000), y), bs=8)) if i%3]
    for yb,i in kept: same(yb.numpy(), y[i*8:i*8+8].astype('f4'))

def test_all_batches_of_several_epochs_can_be_kept(block):
    dl = loader(600, bs=16)
    kept = [[*dl] for _ in range(4)]
    for o in kept: same(torch.cat([xb for xb,_ in o]).numpy(), ramp(600))

@pytest.mark.parametrize('seed', range(4))
def test_any_pattern_of_keeping_and_dropping_is_safe(block, seed):
    rng,dl,kept = random.Random(seed),loader(800, bs=8, shuffle=True, seed=seed, dtype='f8' if seed%2 else 'f4'),[]
    its = [iter(dl) for _ in range(3)] # Interleaved, each at its own pace
    while its:
        it = rng.choice(its)
        b = next(it, None)
        if b is None: its.remove(it)
        elif rng.random() < .5: kept.append((b[0][rng.randrange(len(b[0])):], b[1]))
        if rng.random() < .1: kept.append(dl.one_batch())
        if rng.random() < .2: del kept[:rng.randrange(len(kept)+1)]
        for xb,yb in kept[-5:]: assert rows(xb) == yb[-len(xb):].long().tolist()
    for xb,yb in kept: assert rows(xb) == yb[-len(xb):].long().tolist()

def test_interleaved_iterators_are_independent(block):
    dl = loader(300, bs=16)
    for a,b in zip(dl, dl):
        assert a[0].data_ptr() != b[0].data_ptr()
        same(a[0].numpy(), b[0].numpy())

def test_two_threads_may_read_from_one_loader(block):
    dl,errors = loader(3000, bs=8, shuffle=True, seed=0),[]
    def work():
        try:
            for _ in range(3): assert sorted(epoch(dl)[0]) == [*range(3000)]
        except BaseException as e: errors.append(e)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not errors, errors[0]

def test_blocks_are_used_again_when_nobody_holds_them():
    dl = TSDataLoader(TSDatasets(filled((600,10,100)), np.arange(600.)), bs=10, read=one_by_one)
    for _ in range(2): assert len({xb.data_ptr() for xb,_ in dl}) <= 5 # One in use, one let go, three being read
    assert len({xb.data_ptr() for xb,_ in [*dl]}) == 60

def test_blocks_that_come_back_are_not_hoarded():
    dl = loader(600, bs=10, read=one_by_one)
    kept = [*dl]
    pool = dl.pools.columns[0].stored
    assert len(pool.out) == 60
    del kept
    gc.collect()
    assert len(pool.out) == 0 and len(pool.free) <= dl.read.spare == 4

def test_writing_into_a_batch_changes_no_data(tmp_path):
    save_array(tmp_path/'X.npy', ramp(100))
    was = (tmp_path/'X.npy').read_bytes()
    for X in (tmp_path/'X.npy', np.load(tmp_path/'X.npy', mmap_mode='r+'), ramp(100), torch.tensor(ramp(100))):
        dsets = TSDatasets(X)
        dl = TSDataLoader(dsets, bs=100) # One batch is all the data
        for _ in range(2):
            for xb, in dl: same(xb.numpy(), ramp(100)), xb.mul_(0)
        dsets[3][0].zero_(), dsets.batch([3,4])[0].zero_()
        same(dsets[3][0].numpy(), ramp(100)[3])
    assert (tmp_path/'X.npy').read_bytes() == was

# fastai's options

def test_new_keeps_what_is_not_changed():
    dl = loader(100, bs=16, shuffle=True, seed=5, drop_last=True)
    new = dl.new()
    assert type(new) is TSDataLoader and (new.bs, new.shuffle, new.drop_last, new.seed, new.dataset) == (16,True,True,5,dl.dataset) and epoch(new) == epoch(dl)
    assert epoch(dl.new(shuffle=False, bs=30, drop_last=False)) == ([*range(100)],[30,30,30,10])
    assert epoch(dl.new(seed=6))[0] != epoch(dl.new())[0] and epoch(dl.new(loader(7).dataset, drop_last=False))[1] == [7]
    tfm = dl.new(after_batch=Pipeline([lambda o: o*2]))
    assert tfm.one_batch()[0].max() > 600 and epoch(tfm.new(after_batch=None))[1] == [16]*6

def test_batch_size_may_change_between_epochs(block):
    dl = loader(500, bs=16, dtype='i4')
    for bs in (16,50,7,500,16):
        dl.bs = bs
        assert epoch(dl)[0] == [*range(500)] and epoch(dl)[1][0] == bs

def test_steps_of_a_loader_can_be_overridden():
    class Twice(TSDataLoader):
        def get_idxs(self): return [i for i in range(self.n) for _ in range(2)]
    dl = Twice(TSDatasets(ramp(10), np.arange(10.)), bs=3)
    assert epoch(dl)[0] == [i for i in range(10) for _ in range(2)]
    class Backwards(TSDataLoader):
        def shuffle_fn(self, idxs): return idxs[::-1]
    assert epoch(Backwards(TSDatasets(ramp(10), np.arange(10.)), bs=3, shuffle=True))[0] == [*range(9, -1, -1)]
    assert epoch(TSDataLoader(TSDatasets(ramp(10)), bs=3, get_idxs=lambda: np.array([4,2])))[0] == [4,2]

@pytest.mark.parametrize('bs', [np.int8(64), np.int64(5), torch.tensor(7)], ids=repr)
def test_batch_sizes_may_be_numpy_ints(bs):
    dl = TSDataLoader(TSDatasets(ramp(1000)), bs=bs)
    assert [i for x, in dl for i in rows(x)] == [*range(1000)]

def test_the_first_batch_is_read_alone(monkeypatch):
    sizes = []
    gather = ArraySource._gather
    monkeypatch.setattr(ArraySource, '_gather', lambda self, idxs, out: sizes.append(len(idxs)) or gather(self, idxs, out))
    dl = TSDataLoader(TSDatasets(ramp(10_000)), bs=10, shuffle=True)
    dl.one_batch()
    assert sizes == [10]
    sizes.clear()
    assert len([*dl]) == 1000 and sizes[0] == 10 and sorted(sizes)[:5] == [10,20,40,80,160] and sum(sizes) == 10_000

def test_a_saved_batch_holds_its_rows_only():
    dl = TSDataLoader(TSDatasets(ramp(10_000), np.arange(10_000.)), bs=10)
    for b,_ in zip(dl, range(50)):
        f = io.BytesIO()
        torch.save(b, f)
        assert f.tell() < 5000

def test_batches_are_apart_for_autograd():
    "Changing one in place leaves the graph of another as it was"
    dl = iter(TSDataLoader(TSDatasets(ramp(64)), bs=8))
    next(dl)
    w = torch.ones(6, requires_grad=True)
    a,b = next(dl)[0].as_subclass(torch.Tensor), next(dl)[0].as_subclass(torch.Tensor)
    loss = (a.flatten(1)*w).sum()
    b.add_(1)
    loss.backward()
    assert w.grad.tolist() == a.flatten(1).sum(0).tolist()

# Parts, weights, ranks

@pytest.mark.parametrize('shuffle', [False,True,'block'])
@pytest.mark.parametrize('part,size', [(64,64), (.1,50), (30,30), (700,700), (1.,500)])
def test_parts_of_epochs_go_on_until_all_rows_came(block, shuffle, part, size):
    dl = loader(500, bs=16, shuffle=shuffle, seed=3, partial_n=part)
    k = 500*3//size
    ids = [o for _ in range(k) for o in epoch(dl)[0]]
    assert len(dl) == -(-size//16) and len(ids) == k*size and (size == 500 or f'{size} an epoch' in repr(dl))
    passes = [ids[i:i+500] for i in range(0, len(ids)-499, 500)]
    assert all(sorted(o) == [*range(500)] for o in passes) and (passes[0] != passes[1] or not shuffle)

@pytest.mark.parametrize('part', [0, -1, 0., 1.5, True, '10', np.nan])
def test_bad_parts_are_refused(part):
    with fails(ValueError, 'partial_n', repr(part)): loader(partial_n=part)

@pytest.mark.parametrize('shuffle', [True,'block'])
@pytest.mark.parametrize('split', [range(300), range(100, 300), np.random.default_rng(0).permutation(300)[:200]], ids=['all','some','random'])
def test_rows_come_by_their_weights(block, shuffle, split):
    w = np.random.default_rng(1).random(300)**3*(np.arange(300)%3 > 0)
    dsets,k = TSDatasets(ramp(300), np.arange(300.), splits=[split]),20
    own = w[np.asarray(split)]
    for weights in (w, own):
        dl = TSDataLoader(dsets.train, bs=16, shuffle=shuffle, weights=weights, seed=1, read=block(**small))
        epochs = [np.bincount(epoch(dl)[0], minlength=300)[np.asarray(split)] for _ in range(k)]
        want = own/own.sum()*len(split)
        assert all((abs(o-want) < 1+1e-9).all() and o.sum() == len(split) for o in epochs) and abs(np.mean(epochs, 0)-want).max() < .5
        assert (epochs[0] != epochs[1]).any() and 'by weight' in repr(dl)

def test_equal_weights_are_a_shuffle(): assert sorted(epoch(loader(300, shuffle=True, weights=np.full(300, .1)))[0]) == [*range(300)]

@pytest.mark.parametrize('weights,err,word', [([1,2], ValueError, 'shape (2,)'), (np.ones((100,2)), TypeError, '(100, 2)'), (-np.ones(100), ValueError, '0 or more'),
    (np.zeros(100), ValueError, 'not all'), (np.full(100, np.nan), ValueError, 'finite'), (['a']*100, TypeError, '<U1')], ids=str)
def test_bad_weights_are_refused(weights, err, word):
    with fails(err, word): loader(weights=weights, shuffle=True)

@pytest.mark.parametrize('shuffle', [False,True,'block'])
@pytest.mark.parametrize('n,drop_last', [(500,False), (500,True), (512,False), (481,False), (3,False)])
def test_ranks_share_the_batches_of_one_process(block, shuffle, n, drop_last):
    ds,opts = TSDatasets(ramp(n), np.arange(float(n))),dict(shuffle=shuffle, seed=1, drop_last=drop_last, read=block(**small))
    one = TSDataLoader(ds, bs=32, **opts)
    some = [TSDataLoader(ds, bs=8, rank=r, world_size=4, **opts) for r in range(4)]
    assert {len(o) for o in some} == {len(one)} and 'part 3 of 4' in repr(some[3])
    for _ in range(2):
        steps = [[rows(b[0]) for b in o] for o in some]
        whole = [rows(b[0]) for b in one]
        parts = [[r for part in o for r in part] for o in zip(*steps, strict=True)]
        arranged = sorted if shuffle == 'block' else list # Ranks take the rows of their lanes
        if not shuffle and n > 3: assert sum(parts, []) == sum(whole, []) # A last step of one row takes some from the one before
        else: assert all(arranged(p) == arranged(w) or len(w) < 4 and set(p) == set(w) for p,w in zip(parts, whole, strict=True))
    for k in (0,2): assert len({len(o) for o in (s[k] for s in steps if len(s) > k+1)}) <= 1

def test_a_state_counts_rows_not_batches():
    it = iter(dl := loader(100, bs=16, shuffle=True, seed=1))
    for _ in range(2): next(it)
    other = loader(100, bs=10, shuffle=True, seed=2)
    other.load_state_dict(dl.state_dict())
    assert len(other) == 10
    assert [r for b in other for r in rows(b[0])] == [r for b in it for r in rows(b[0])]
    assert len(other) == 10 and sorted(epoch(other)[0]) == [*range(100)]

def test_rows_in_order_that_were_taken_from_a_step_come_once_after_a_resume():
    "A last step of one row takes three from the step before: the state says where it starts"
    ds = TSDatasets(ramp(17), np.arange(17.))
    def part(rank, world_size, bs): return TSDataLoader(ds, bs=bs, seed=1, rank=rank, world_size=world_size)
    four = [part(r, 4, 2) for r in range(4)]
    came = [r for dl in four for b in [o for o in dl][:2] for r in rows(b[0])]
    its = [iter(o) for o in four]
    for it in its: next(it), next(it)
    one = part(0, 1, 8)
    one.load_state_dict(four[0].state_dict())
    assert sorted(came + [r for b in one for r in rows(b[0])]) == [*range(17)]

def test_loaders_for_all_rows_make_others_for_all_rows(monkeypatch):
    dl = loader(20, bs=4, rank=0, world_size=1)
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    made = dl.new(shuffle=False), dl.new(TSDatasets(ramp(8), np.arange(8.)))
    assert [(o.rank, o.world_size) for o in made] == [(0,1),(0,1)]

def test_ranks_take_up_the_state_of_one_process():
    ds = TSDatasets(ramp(500), np.arange(500.))
    one = TSDataLoader(ds, bs=32, shuffle=True, seed=1)
    it = iter(one)
    for _ in range(5): next(it)
    state,ranks = one.state_dict(),[TSDataLoader(ds, bs=16, shuffle=True, seed=9, rank=o, world_size=2) for o in range(2)]
    for o in ranks: o.load_state_dict(state)
    for b,p,q in zip(it, *ranks, strict=True): assert rows(b[0]) == rows(p[0]) + rows(q[0])

@pytest.mark.parametrize('workers', [0,2])
def test_fastais_distributed_loader_gives_each_rank_its_rows(workers, monkeypatch):
    from fastai.distributed import DistributedDL
    monkeypatch.setattr(DistributedDL, '_broadcast', lambda self,t,rank: t)
    dl = loader(100, bs=16, shuffle=True, seed=2, num_workers=workers)
    epoch(dl)
    ranks = [[*DistributedDL(dl.new(), rank=o, world_size=2)] for o in range(2)]
    assert {type(b[0]).__name__ for o in ranks for b in o} == {'TSTensor'} and [len(b[0]) for b in ranks[0]] == [16,16,16,2]
    assert sorted(r for o in ranks for b in o for r in rows(b[0])) == [*range(100)]

def test_ranks_are_shared_once(monkeypatch):
    from fastai.distributed import DistributedDL
    monkeypatch.setattr(DistributedDL, '_broadcast', lambda self,t,rank: t)
    with fails(ValueError, 'rank', 'world_size'): next(iter(DistributedDL(loader(seed=1, rank=0, world_size=2), rank=0, world_size=2)))

def test_weights_of_the_array_go_with_its_rows_in_any_order():
    dsets = TSDatasets(ramp(100), np.arange(100.), splits=[np.random.default_rng(0).permutation(100)])
    assert set(epoch(TSDataLoader(dsets.train, shuffle=True, weights=np.arange(100) < 30))[0]) == {*range(30)}

def test_fewer_rows_can_be_asked_for(): assert epoch(TSDataLoader(TSDatasets(ramp(100)), bs=10, n=50))[0] == [*range(50)]
def test_a_state_of_another_shuffle_is_refused(monkeypatch):
    dl = loader(shuffle=True, seed=1)
    state = json.loads(json.dumps(dl.state_dict()))
    dl.load_state_dict(state)
    monkeypatch.setattr('tsdisk.data.epoch.permutation_check', lambda: 7)
    with fails(ValueError, 'other releases of torch and numpy'): dl.load_state_dict(state)

@pytest.mark.parametrize('opts', [dict(shuffle='block'), dict(shuffle='balanced'), dict(weights=np.arange(100)+1.), dict(weights={0: 1, 1: 2}),
    dict(shuffle='balanced', groups=np.arange(100)//5), dict(shuffle='block', partial_n=10)], ids=lambda o: '-'.join(o))
def test_fewer_rows_can_be_asked_for_in_any_order(opts):
    split = np.random.default_rng(0).permutation(100)
    ds = TSDatasets(ramp(100), np.arange(100)%2, splits=[split]).train
    dl = TSDataLoader(ds, bs=4, seed=0, n=20, **{'shuffle': True, **opts})
    got = [i for x,_ in dl for i in rows(x)]
    assert len(got) == opts.get('partial_n', 20) and {*got} <= {*split[:20].tolist()}
    if opts == dict(shuffle='block'): assert sorted(got) == sorted(split[:20])
    if opts == dict(shuffle='balanced'): assert np.allclose(dl.cws, 10/np.bincount(split[:20]%2))

def test_no_rows_have_no_parts(): assert epoch(TSDataLoader(TSDatasets(ramp(10), splits=[range(10), range(0)]).valid, shuffle=True, partial_n=3)) == ([], [])

# In a thread

class Broken(ArraySource):
    "Cannot read some rows"
    def _gather(self, idxs, out):
        if (idxs > 250).any(): raise OSError('bad sector')
        super()._gather(idxs, out)

def test_a_thread_tells_of_errors(block):
    dl,got = TSDataLoader(TSDatasets(Broken(ramp(300))), bs=10),[]
    with fails(OSError, 'bad sector'):
        for b in dl: got += rows(b[0])
    assert got == [*range(len(got))] and (len(got) > 100 or not dl.read.background)

def test_a_thread_ends_with_its_pass():
    def threads(): return {o for o in threading.enumerate() if o.name.startswith('tsdisk_ahead')}
    dl,others = loader(500, bs=10, shuffle=True, read=ReadOptions(group_bytes=0, background=True)),threads()
    it = iter(dl)
    next(it)
    assert len(threads()-others) == 1
    it.close()
    assert not threads()-others
    for _ in dl: pass
    assert not threads()-others

def test_memory_in_a_thread_is_used_again():
    dl = TSDataLoader(TSDatasets(filled((600,10,100)), np.arange(600.)), bs=10, read=ReadOptions(group_bytes=0, background=True))
    for _ in range(3): assert len({xb.data_ptr() for xb,_ in dl}) <= 5

# Where it is

def short(o): return str({k: 'n' if k == 'weights' else v for k,v in o.items()} if isinstance(o, dict) else o)

@pytest.mark.filterwarnings('ignore:Rows of .* one by one')
@pytest.mark.parametrize('direct,drop_last', [(False,True), (True,False)], ids=['cached','direct'])
@pytest.mark.parametrize('shuffle,opts', [*((o, dict(partial_n=p)) for o in (False,True,'block') for p in (None,200)),
    *((o, dict(weights=np.arange(450), partial_n=p)) for o in (True,'block') for p in (None,500))], ids=short)
def test_a_pass_goes_on_where_its_state_was_taken(tmp_path, block, shuffle, opts, drop_last, direct):
    X,y = save_array(tmp_path/'X.npy', ramp(500)),save_array(tmp_path/'y.npy', np.arange(500.))
    dsets = TSDatasets(X, y, splits=[np.random.default_rng(0).permutation(500)[:450]])
    def make(): return TSDataLoader(dsets.train, bs=16, shuffle=shuffle, drop_last=drop_last, read=block(direct=direct, **small), **opts)
    dl = make()
    for stop in {0,1,5,len(dl)-1,len(dl)}:
        it,other = iter(dl),make()
        for _ in range(stop): next(it)
        state = json.loads(json.dumps(dl.state_dict()))
        assert len(json.dumps(state)) < 1000
        other.load_state_dict(state)
        assert other.state_dict() == dl.state_dict()
        assert after(other) == (after(it) if 0 < stop < len(dl) else after(dl))
        for _ in range(2): assert after(other) == after(dl)

@pytest.mark.parametrize('shuffle', [True,'block'])
def test_workers_go_on_where_a_state_was_taken(shuffle):
    one,two = [TSDataLoader(TSDatasets(ramp(300), np.arange(300.)), bs=16, shuffle=shuffle, num_workers=o, read=ReadOptions(**small)) for o in (0,2)]
    it = iter(one)
    for _ in range(5): next(it)
    two.load_state_dict(one.state_dict())
    assert after(two) == after(it) and two.state_dict() == one.state_dict()

def test_states_of_a_billion_rows(tmp_path):
    X = np.lib.stride_tricks.as_strided(np.zeros(4, 'f4'), (10**9,1,4), (0,0,4))
    for shuffle in (True,'block'):
        dl = TSDataLoader(TSDatasets(X), bs=64, shuffle=shuffle)
        dl.load_state_dict({**dl.state_dict(), 'seed': 5, 'epoch': 7, 'row': 64*9_999_999})
        start = time.perf_counter()
        it = iter(dl)
        next(it)
        assert time.perf_counter()-start < 2 # Milliseconds, but other programs may be busy
        assert (dl.state_dict()['epoch'], dl.state_dict()['step']) == (7,10_000_000)

@pytest.mark.parametrize('change,word', [(dict(shuffle=False), 'shuffle = True'), (dict(drop_last=True), 'drop_last = False'), (dict(n=90), 'rows = 100')], ids=str)
def test_a_state_of_another_loader_is_refused(change, word):
    state = loader(bs=16, shuffle=True).state_dict()
    with fails(ValueError, word): loader(**{'bs': 16, 'shuffle': True, **change}).load_state_dict(state)

@pytest.mark.parametrize('change,word', [(dict(version=99), 'version'), (dict(row=999), 'row 999'), (dict(row=-1), '`row` must be a whole number of at least 0, got -1'), (dict(step=-1), '`step` must be a whole number of at least 0, got -1'), (dict(epoch=-3), '`epoch` must be a whole number of at least 0, got -3')], ids=str)
def test_bad_states_are_refused(change, word):
    dl = loader(bs=16)
    with fails(ValueError, word): dl.load_state_dict({**dl.state_dict(), **change})

@pytest.mark.filterwarnings('ignore:Rows of .* one by one')
@pytest.mark.parametrize('direct', [False,True], ids=['cached','direct'])
@pytest.mark.parametrize('shuffle', [False,True,'block'])
def test_passes_side_by_side_are_apart(tmp_path, shuffle, direct):
    read = ReadOptions(direct=direct, group_bytes=0, **small)
    X = save_array(tmp_path/'X.npy', ramp(500))
    one,two = [TSDataLoader(TSDatasets(X), bs=16, shuffle=shuffle, seed=1, read=read, partial_n=81) for _ in range(2)]
    assert [*zip(after(one), after(one))] == [(rows(a[0]), rows(b[0])) for a,b in zip(two, two)]
    it = iter(two)
    next(it)
    two.one_batch()
    next(it)
    assert (two.state_dict()['epoch'], two.state_dict()['step']) == (2,2)

def test_a_state_says_what_comes_next():
    dl = loader(100, bs=16, shuffle=True, seed=4)
    def at(): return dl.state_dict()['epoch'],dl.state_dict()['step']
    assert at() == (0,0)
    it = iter(dl)
    assert at() == (0,0)
    next(it)
    assert at() == (0,1)
    for _ in it: pass
    assert at() == (1,0) and dl.state_dict()['seed'] == 4

@pytest.fixture
def no_garbage_collection():
    gc.disable()
    yield
    gc.enable()

@pytest.mark.parametrize('tfms', [[], [Standardize]])
def test_loaders_are_freed_when_they_are_dropped(no_garbage_collection, block, tfms):
    splits = range(200),range(200, 300)
    dls = TSDataLoaders.from_arrays(ramp(300), np.arange(300.), splits=splits, bs=32, device='cpu', batch_tfms=[o() for o in tfms])
    for dl in dls: sum(1 for _ in dl)
    dls.one_batch()
    gone = [weakref.ref(o) for o in (dls, *dls, dls.train.dataset, dls.train.pools)]
    del dl, dls
    assert [o() for o in gone] == [None]*5

@pytest.mark.parametrize('num_workers', [0,2])
def test_a_copy_reads_for_itself(no_garbage_collection, num_workers):
    "With workers, a copy read by the link of the loader that it was made of, and failed"
    dl = loader(100, bs=16, shuffle=True, seed=4, num_workers=num_workers)
    dl.epoch = 2
    copied = copy.copy(dl)
    expected = epoch(dl)
    del dl
    assert epoch(copied) == expected
    gone = weakref.ref(copied)
    del copied
    assert gone() is None

def test_ranks_have_as_many_batches_each():
    "Where the rows of a step are not shared evenly, and fewer are left for the last step"
    dls = TSDataLoaders.from_arrays(ramp(127), splits=[range(64), range(64,127)], global_bs=64, seed=0, device='cpu')
    assert [len(list(dls.valid.new(rank=r, world_size=6))) for r in range(6)] == [1]*6

def test_a_pass_within_a_pass_leaves_the_rows_of_the_outer_one():
    X = ramp(60)
    dl = TSDataLoader(TSDatasets(X), bs=8, shuffle=True, seed=3)
    for k,(x,) in enumerate(dl):
        if k == 1: dl.one_batch()
        else: assert dl.idxs.tolist() == rows(x)
        if k == 3: break

def test_an_order_that_is_an_iterator_is_shared_by_workers_and_refused_by_ranks():
    def dl(**kw): return TSDataLoader(TSDatasets(ramp(24)), bs=4, get_idxs=lambda: iter(range(24)), **kw)
    assert epoch(dl(num_workers=2)) == epoch(dl()) and epoch(dl())[0] == [*range(24)]
    with fails(ValueError, 'give a list'): epoch(dl(rank=0, world_size=2, seed=0))

def test_a_state_is_of_its_groups():
    def dl(groups): return TSDataLoader(TSDatasets(ramp(24)), bs=4, shuffle='stratified', seed=0, groups=groups)
    a = dl(np.arange(24)%3)
    next(iter(a))
    dl(np.arange(24)%3).load_state_dict(a.state_dict())
    for groups in (np.arange(24)//6, (np.arange(24)%3).astype(str)):
        with fails(ValueError, 'groups'): dl(groups).load_state_dict(a.state_dict())
