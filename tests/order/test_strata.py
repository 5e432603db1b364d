"Orders by classes: batches hold them in their shares, rows come as often as they should, and it is the same order everywhere"
import pickle, numpy as np, pytest, torch
from hypothesis import given, strategies as st
from conftest import fails, filled
from tsdisk.folder.manifest import save_folder
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.datasets import TSDatasets
from tsdisk.folder.labels import class_weights
from tsdisk.order.strata import Classes, Strata

codes = np.random.default_rng(0).choice(4, 5000, p=[.9,.07,.02,.01])

@given(st.lists(st.integers(0, 5), min_size=1, max_size=400), st.integers(0, 5), st.data())
def test_any_part_of_any_order(codes, epoch, data):
    codes,n = np.array(codes),len(codes)
    classes = Classes(codes, 7)
    for how in (None,'balanced'):
        o = Strata(n, classes, classes.shares(how), 1, epoch)
        whole,a = o[:],data.draw(st.integers(0, n))
        b = data.draw(st.integers(a, n))
        assert np.array_equal(o[a:b], whole[a:b]) and np.array_equal(np.concatenate([o[i:i+7] for i in range(0, n, 7)]), whole)
        some = np.random.default_rng(a).integers(0, n, 5)
        assert np.array_equal(o[some], whole[some]) and whole.min() >= 0 and whole.max() < n
        if how is None: assert np.array_equal(np.sort(whole), np.arange(n)), 'each row once'
        for k,share in enumerate(classes.shares(how)): assert abs((codes[whole] == k).sum()-share*n) <= 1
        assert np.array_equal(pickle.loads(pickle.dumps(o))[:], whole)

@pytest.mark.parametrize('weights', ['balancd','',[1,2],[-1]*4,[0]*4])
def test_weights_of_classes_that_are_none_are_refused(weights):
    with fails(ValueError, 'Each of 4 classes needs a weight'): Classes(codes).shares(weights)

@pytest.mark.parametrize('how', [None,'balanced'])
@pytest.mark.parametrize('bs', [16, 50, 500])
def test_each_batch_holds_the_classes_in_their_shares(how, bs):
    classes = Classes(codes)
    shares = classes.shares(how)
    for epoch in range(3):
        b = codes[Strata(5000, classes, shares, 7, epoch)[:5000//bs*bs]].reshape(-1, bs)
        counts = np.stack([(b == k).sum(1) for k in range(4)], 1)
        assert abs(counts-shares*bs).max() < 2, 'one more or less at each end'

def test_no_row_of_a_class_comes_again_before_the_others():
    classes,seen = Classes(codes),[]
    for epoch in range(6): seen.append(Strata(1200, classes, classes.shares('balanced'), 3, epoch)[:])
    seen = np.concatenate(seen)
    for k in range(4):
        times = np.bincount(seen[codes[seen] == k], minlength=5000)[codes == k]
        assert times.max()-times.min() <= 1, k

def test_epochs_and_seeds_differ():
    classes = Classes(codes)
    a,b,c = (Strata(5000, classes, classes.shares(), *o)[:] for o in ((1,0), (1,1), (2,0)))
    assert (a == b).mean() < .1 and (a == c).mean() < .1
    big = [codes[o] == 0 for o in (a,b)]
    assert (a[big[0]][:1000] == b[big[1]][:1000]).mean() < .02 and abs(np.corrcoef(np.arange(1000), a[big[0]][:1000])[0,1]) < .1

def test_bad_classes_are_refused():
    for bad in ([-1,0], [.5,1.], [], [[1,2]]):
        with fails(ValueError, 'one class number a row'): Classes(np.array(bad))
    with fails(ValueError, 'needs a weight'): Classes([0,1]).shares([1,-1])
    with fails(ValueError, 'Each of 2 classes needs a weight'): Classes([0,1]).shares([1,2,3])

# Loaders

labels = np.array([*'abcd'])[codes]
x = np.arange(5000, dtype='f4')[:,None,None]*np.ones((1,2,3), 'f4')
def loader(shuffle, **kwargs): return TSDataLoader(TSDatasets(x, labels), bs=100, shuffle=shuffle, seed=5, device='cpu', **kwargs)
def rows(b): return b[0][:,0,0].numpy().astype(int)

@pytest.mark.parametrize('workers', [0, 2])
def test_loaders_draw_by_class(workers):
    for shuffle,want in (('stratified',[90,7,2,1]), ('balanced',[25]*4)):
        dl = loader(shuffle, num_workers=workers)
        got = [(rows(b).copy(), b[1].numpy().copy()) for b in dl]
        share = np.stack([np.bincount(y, minlength=4) for _,y in got])
        assert len(got) == 50 and abs(share-want).max() <= 2 and all((codes[r] == y).all() for r,y in got)
        assert shuffle in repr(dl)
        if shuffle == 'stratified': assert np.array_equal(np.sort(np.concatenate([r for r,_ in got])), np.arange(5000))
        again = loader(shuffle)
        assert all(np.array_equal(rows(b), r) for b,(r,_) in zip(again, got)), 'the same for any number of workers'

def test_weights_of_classes():
    dl = loader(True, weights=dict(a=0, b=1, c=1, d=2))
    y = torch.cat([b[1] for b in dl]).numpy()
    n = np.bincount(codes, minlength=4)*[0,1,1,2]
    assert abs(np.bincount(y, minlength=4)-5000*n/n.sum()).max() <= 1
    with fails(ValueError, 'name each class'): next(iter(loader(True, weights=dict(a=1))))
    with fails(ValueError, 'give a weight for each row'): next(iter(loader('block', weights=dict(a=1, b=1, c=1, d=1))))
    with fails(ValueError, 'leave out `weights`'): loader('balanced', weights=np.ones(5000))
    with fails(ValueError, "'stratified' or 'balanced'"): loader('balance')
    with fails(ValueError, 'give `groups`'): next(iter(TSDataLoader(TSDatasets(x, x[:,0,0]), shuffle='balanced')))

def test_groups_mix_datasets_in_any_proportion():
    of = np.repeat([0,1], [4500,500])
    dl = TSDataLoader(TSDatasets(x, x[:,0,0]), bs=100, shuffle=True, seed=1, groups=of, weights={0: 1, 1: 9})
    share = np.array([of[rows(b)].sum() for b in dl])
    assert abs(share-50).max() <= 2
    dl = TSDataLoader(TSDatasets(x, splits=[range(0, 5000, 2),[]]).train, bs=50, shuffle='balanced', seed=1, groups=of)
    assert abs(np.array([of[rows(b)].sum() for b in dl])-25).max() <= 2
    with fails(ValueError, 'one for each of 5000 rows'): TSDataLoader(TSDatasets(x), shuffle='balanced', groups=of[:7])

@pytest.mark.parametrize('shuffle', ['stratified','balanced'])
@pytest.mark.parametrize('size', [None, 1230])
def test_states_and_ranks(shuffle, size):
    dl = loader(shuffle, partial_n=size)
    every = [rows(b).copy() for _ in range(2) for b in dl]
    dl = loader(shuffle, partial_n=size)
    for i,_ in enumerate(dl):
        if i == 4:
            state = dl.state_dict()
            break
    again = loader(shuffle, partial_n=size)
    again.load_state_dict(state)
    got = [rows(b).copy() for _ in range(2) for b in again]
    assert all(np.array_equal(a, b) for a,b in zip(got, every[5:])) and len(got) > 10
    parts = [loader(shuffle, partial_n=size).new(bs=50, rank=r, world_size=2) for r in (0,1)]
    for a,b,whole in zip(*parts, every): assert np.array_equal(np.append(rows(a), rows(b)), whole)
    with fails(ValueError, 'shuffle'): loader(True, partial_n=size).load_state_dict(state)

@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('shuffle', [False, True, 'block', 'stratified', 'weights', 'partial'])
def test_the_rows_of_a_batch_are_at_hand(workers, shuffle):
    of = np.random.default_rng(1).permutation(5000)[:1010]
    ds = TSDatasets(x, labels, splits=[of,[]]).train
    kwargs = dict(weights=np.arange(5000)) if shuffle == 'weights' else dict(partial_n=333) if shuffle == 'partial' else {}
    dl = TSDataLoader(ds, bs=64, shuffle=shuffle if shuffle in (False,True,'block','stratified') else True, num_workers=workers, seed=2, **kwargs)
    n = 0
    for b in dl:
        assert np.array_equal(dl.input_idxs, rows(b)) and np.array_equal(of[dl.idxs], rows(b))
        n += 1
    assert n == len(dl)
    with fails(ValueError, 'No batch'): dl.idxs

def test_weights_for_a_loss():
    dls = TSDataLoaders.from_arrays(x, labels, splits=[range(4000),range(4000, 5000)], device='cpu')
    n = np.bincount(codes[:4000], minlength=4)
    assert np.allclose(dls.cws, class_weights(n)) and dls.cws.dtype == torch.float32
    dls = TSDataLoaders.from_arrays(filled((50,2,3)), ['a','b']*25, vocab=['a','x','b'], splits=[range(50),[]], device='cpu')
    assert dls.cws.tolist() == [1,0,1]

def test_weights_for_a_loss_come_from_the_counts_that_are_kept(tmp_path, monkeypatch):
    save_folder(tmp_path, filled((50,2,3)), np.array(['b','a','c','a','a']*10), dict(train=range(40), valid=range(40, 50)))
    dls = TSDataLoaders.from_folder(tmp_path, device='cpu')
    want = class_weights(np.array([24,8,8]))
    assert np.allclose(dls.cws, want)
    dl = TSDataLoader(TSDatasets(x, labels).train, groups=codes%2)
    assert len(dl.cws) == len(np.unique(codes%2))
    monkeypatch.setattr('tsdisk.folder.labels.array_counts', lambda *_: 1/0)
    assert np.allclose(dls.cws, want) and 'classes' not in vars(dls.train.sampling)
