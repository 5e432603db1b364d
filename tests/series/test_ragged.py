"Series of any length, and their batches, files and targets, are those of a list"
import pickle
import numpy as np, pytest, torch
from conftest import fails, filled, same
from tsdisk.data.batches import TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.transforms import Standardize
from tsdisk.series.crops import Crops
from tsdisk.series.ragged import DirectRagged, Ragged
from tsdisk.series.ragged_files import open_ragged, save_ragged
from tsdisk.series.windows import Windows

@pytest.fixture(scope='module')
def ragged(tmp_path_factory):
    xs = [filled((3,n)) for n in np.random.default_rng(0).integers(4, 40, 200)]
    return save_ragged(tmp_path_factory.mktemp('ragged'), xs), xs

@pytest.mark.parametrize('side', ['left','right'])
@pytest.mark.parametrize('most', [None,12])
def test_ragged_batches_are_padded(ragged, side, most):
    r,xs = ragged
    r = Ragged(r.panel.source.array, r.offsets, value=-1, side=side, most=most)
    for seed in range(5):
        i = np.random.default_rng(seed).integers(0, 200, 16)
        i[0] = (0,199)[seed%2]
        cut = [xs[j] if most is None else xs[j][:, :most] if side == 'right' else xs[j][:, -most:] for j in i]
        longest = max(o.shape[1] for o in cut)
        got,mask = r.gather(i), np.empty(r.mask.batch_shape(i), bool)
        r.mask._gather(i, mask)
        assert got.shape == (16,3,longest) and mask.shape == (16,longest)
        for a,m,c in zip(got, mask, cut):
            k = c.shape[1]
            same(a[:, :k] if side == 'right' else a[:, longest-k:], c)
            assert (a[:, k:] == -1).all() if side == 'right' else (a[:, :longest-k] == -1).all()
            same(m, np.arange(longest) < k if side == 'right' else np.arange(longest) >= longest-k)

@pytest.mark.filterwarnings('ignore:Rows of')
@pytest.mark.parametrize('direct', [False,True])
@pytest.mark.parametrize('num_workers', [0,2])
@pytest.mark.parametrize('shuffle', [False,True,'block'])
def test_ragged_loaders_give_every_series_once(ragged, shuffle, num_workers, direct):
    r,xs = ragged
    how = dict(shuffle=shuffle, num_workers=num_workers, read=ReadOptions(direct=direct))
    dl = TSDataLoader(TSDatasets(r, np.arange(200.)), bs=16, seed=1, **how)
    seen = []
    for xb,mask,yb in dl:
        assert isinstance(xb, TSTensor) and xb.shape[2] == mask.shape[1] == int(mask.sum(1).max())
        for x,m,y in zip(xb, mask, yb):
            same(x[:, m].numpy(), xs[int(y)])
            seen.append(int(y))
    assert sorted(seen) == [*range(200)] and (shuffle or seen == sorted(seen))

@pytest.mark.parametrize('side', ['left','right'])
@pytest.mark.parametrize('most', [None,12])
def test_ragged_series_straight_from_disk_are_the_same(ragged, side, most):
    r = Ragged(ragged[0].panel.source.array, ragged[0].offsets, value=-1, side=side, most=most)
    direct,rng = r.direct(4),np.random.default_rng(0)
    for told in (True,False):
        for _ in range(5):
            i = rng.integers(0, 200, 16)
            if told: direct.prefetch([*i[:9], 500])
            if told: direct.prefetch(i[5:])
            a,b = [np.full(r.batch_shape(i), 7, 'f4') for _ in range(2)]
            r._gather(i, a)
            direct._gather(i, b)
            same(b, a)
        assert len(direct.reads.coming) <= 4
    with fails(OSError, 'in memory'): Ragged(np.zeros((20,2)), [0,9,20]).direct(1)

def test_new_data_is_read_as_the_training_data_was(ragged):
    x = filled((20,2,10))
    dls = TSDataLoaders.from_arrays(x, sel_vars=[1,0], sel_steps=slice(2, 8), bs=4, device='cpu', seed=1)
    same(dls.test_dl(x[:3]).one_batch()[0].numpy(), x[:3][:, [1,0], 2:8])
    r = Ragged(ragged[0].panel.source.array, ragged[0].offsets, value=-1, side='left', most=5)
    dls = TSDataLoaders.from_arrays(r, np.arange(200.), splits=[range(100), range(100, 200)], bs=4, device='cpu')
    xb,mask = dls.test_dl(ragged[1][:3]).one_batch()
    same(xb.numpy(), r.gather([0,1,2]))
    assert mask.sum(1).tolist() == [min(5, o.shape[1]) for o in ragged[1][:3]]
    static = filled((20,3))
    dls = TSDataLoaders.from_arrays((x, static), np.arange(20.), bs=4, device='cpu', seed=1)
    for items in ((x[:3], static[:3]), [*zip(x[:3], static[:3])]):
        for a,b in zip(dls.test_dl(items).one_batch(), (x[:3], static[:3])): same(a.numpy(), b)
    assert len(dls.test_dl(((x[:3], static[:3]), np.arange(3.)), with_labels=True).one_batch()) == 3

@pytest.mark.parametrize('dtype', ['u1','u4','u8','i4'])
def test_offsets_of_any_integers(dtype):
    x = np.arange(20, dtype='f4')[:,None]
    r = Ragged(x, np.array([0,3,10,13,20], dtype))
    same(r.gather([1])[0,0], np.arange(3, 10, dtype='f4'))
    assert len(Windows(r, 5)) == 6

def test_prefetch_takes_nothing(ragged):
    for s in (ragged[0], ragged[0].direct(2), Windows(ragged[0], 3), Crops(ragged[0], 3)): assert s.prefetch([]) is None

def test_batches_of_like_length_are_little_padded(tmp_path):
    lengths = np.random.default_rng(0).integers(10, 400, 4000)
    r = save_ragged(tmp_path, (np.zeros((1,n), 'f4') for n in lengths))
    def padding(**options):
        dl = TSDataLoader(TSDatasets(r), bs=32, shuffle=True, seed=1, read=ReadOptions(**options))
        real,all_ = np.sum([[int(m.sum()), m.numel()] for _,m in dl], axis=0)
        return 1-real/all_
    assert padding() < .1 < .3 < padding(by_length=False)

@pytest.mark.parametrize('offsets,words', [([0,5,3], 'must ascend'), ([1,5], 'from 0'), ([0], 'n+1 integers'),
    ([0.,5.], 'n+1 integers'), ([0,5,30], 'at most the 20 steps'), ([0,5,5], 'no series may be empty')])
def test_bad_offsets_are_refused(offsets, words):
    with fails(ValueError, words): Ragged(np.zeros((20,2)), offsets)

@pytest.fixture
def steps_and_labels(tmp_path):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(2, int(n))).astype('f4') for n in rng.integers(10, 40, 60)]
    save_ragged(tmp_path/'x', xs), save_ragged(tmp_path/'codes', [(o[0] > 0).astype('i4')+3 for o in xs])
    save_ragged(tmp_path/'names', [np.where(o[0] > 0, 'up', 'down') for o in xs])
    return tmp_path,xs

@pytest.mark.parametrize('kind,side,most', [('codes','right',None), ('names','left',None), ('codes','left',20)])
def test_labels_of_steps_are_padded_with_what_losses_leave_out(steps_and_labels, kind, side, most):
    d,xs = steps_and_labels
    X,y = open_ragged(d/'x', side=side, most=most),open_ragged(d/kind)
    dls = TSDataLoaders.from_arrays(X, y, splits=[range(40), range(40,60)], bs=8, val_bs=20, cat=True, num_workers=0)
    xb,mask,yb = dls.valid.one_batch()
    real = mask.as_subclass(torch.Tensor)
    assert dls.c == 2 and yb.shape == mask.shape == xb.shape[::2] and torch.equal(yb != -100, real)
    assert type(yb[mask]) is type(yb) and np.array_equal(yb[mask], (xb[:,0] > 0)[mask])
    logits = torch.randn(20, 2, yb.shape[1])
    want = torch.nn.functional.cross_entropy(logits.swapaxes(1, 2)[real], torch.as_tensor(yb)[real])
    assert torch.allclose(dls.loss_func(logits, yb), want)

def test_as_many_targets_as_each_sample_has(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50,2,30)).astype('f4')
    ys = [rng.normal(size=int(n)).astype('f4') for n in rng.integers(1, 6, 50)]
    y = save_ragged(tmp_path/'y', ys)
    dls = TSDataLoaders.from_arrays(x, y, splits=[range(30), range(30,50)], bs=8, val_bs=20, num_workers=0)
    xb,yb = dls.valid.one_batch()
    pred = torch.randn(20, 5)
    want = np.mean(np.concatenate([(pred[i,:len(o)].numpy()-o)**2 for i,o in enumerate(ys[30:])]))
    assert yb.shape == (20,1,5) and torch.allclose(dls.loss_func(pred, yb), torch.tensor(want))
    whole = save_ragged(tmp_path/'z', [o.astype('i4') for o in ys])
    with pytest.raises(ValueError, match='must be floats'): TSDataLoaders.from_arrays(x, whole)

def test_a_pickled_direct_reader_still_reads_past_the_page_cache(ragged):
    direct = ragged[0].direct(3)
    again = pickle.loads(pickle.dumps(direct))
    assert type(again) is DirectRagged and again.most == 3 and again.wants_prefetch
    same(again.gather([5,2]), ragged[0].gather([5,2]))
    assert direct.place() == ragged[0].place() and direct.shape == ragged[0].shape

@pytest.mark.parametrize('side', ['left','right'])
def test_a_mask_gathers_batches_of_the_same_length(side):
    r = Ragged(np.arange(20, dtype='f4'), [0,3,10,20], side=side)
    mask = r.mask.gather([0,1])
    assert mask.shape == (2,7) and mask.sum(1).tolist() == [3,7]
    same(r.gather([0,1])[:,0][mask], np.arange(10, dtype='f4'))

@pytest.mark.parametrize('side', ['right','left'])
@pytest.mark.parametrize('kw', [dict(most=12), dict(length=12)], ids=['most','length'])
def test_statistics_and_labels_are_of_the_steps_that_are_used(tmp_path, side, kw):
    xs = [filled((2,n))*(1+np.arange(n) // 12)*100 for n in (5,30,12,40)]
    ys = [np.where(np.arange(n) < 12, 'early', np.where(np.arange(n) < n-12, 'middle', 'late')) for n in (5,30,12,40)]
    used = np.s_[..., :12] if side == 'right' else np.s_[..., -12:]
    X = Ragged(np.concatenate(xs, 1).T.copy(), np.cumsum([0,5,30,12,40]), side=side, **kw)
    y = Ragged(np.concatenate(ys), X.offsets, side=side, **kw)
    save_ragged(tmp_path/'X', xs)
    want = np.concatenate([o[used] for o in xs], 1).astype('f8')
    for s in (X, open_ragged(tmp_path/'X', side=side, **kw)):
        scale = Standardize()
        dls = TSDataLoaders.from_arrays(s, y, splits=[range(4),[]], bs=4, device='cpu', batch_tfms=scale)
        np.testing.assert_allclose([scale.mean[:,0], scale.std[:,0]], [want.mean(1), want.std(1)], rtol=1e-5)
        assert [*dls.vocab] == sorted({*np.concatenate([o[used] for o in ys])})

def test_blocks_of_a_selection_of_variables():
    values = np.arange(900_000, dtype='f4').reshape(-1, 3)
    r = Ragged(values[:,1:], [0, 200_000, 300_000])
    same(np.concatenate([o[0] for o in r.blocks([0,1])], 1), values[:,1:].T)

def test_values_of_an_object_that_reads_in_its_own_way(tmp_path, monkeypatch):
    import h5py
    values = np.arange(60.).reshape(30,2)
    with h5py.File(tmp_path/'a.h5', 'w') as f: f['values'] = values
    f = h5py.File(tmp_path/'a.h5')
    r = Ragged(f['values'], [0,10,15,30])
    r.prefetch(np.array([2,0]))
    again = pickle.loads(pickle.dumps(r))
    for o in (r, again): same(o[1], values[10:15].T)
    monkeypatch.setattr('tsdisk.data.reader.free_memory', lambda: 0)
    b, = TSDataLoader(TSDatasets(r), bs=3)
    same(np.asarray(b[0])[1][:,:5], values[10:15].T.astype('f4'))
