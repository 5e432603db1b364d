"Images and volumes train like series: types, statistics, masks, pictures"
import numpy as np, pytest, torch
from tsdisk.frameworks import TorchRows
from fastai.basics import Learner, nn
from conftest import fails, same
from tsdisk.data.augment import Cutout, Jitter, Scaling
from tsdisk.data.batches import middle_slice, TSTensor
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.show import show_grid
from tsdisk.data.transforms import Clip, Normalize, PerSample, Standardize, StandardizeTarget
from tsdisk.disk.packing import Packing
from tsdisk.series.patches import Patches

def images(*space, n=12):
    rng = np.random.default_rng(0)
    scale = np.array([1,20], 'f4').reshape(2, *[1]*len(space))
    return (rng.normal(size=(n,2,*space)).astype('f4')+3)*scale

def loaders(X, y=None, tfms=None, **kwargs): return TSDataLoaders.from_arrays(X, y, bs=4, seed=1, batch_tfms=tfms, **kwargs)

@pytest.mark.parametrize('space', [(8,8),(3,8,8)], ids=str)
@pytest.mark.parametrize('tfm', [Standardize, lambda: Standardize(mean=[3,60], std=[1,20]), PerSample], ids=['stats','numbers','sample'])
def test_each_variable_is_scaled(space, tfm):
    X = images(*space)
    dls = loaders(X, tfms=[tfm()])
    xb = torch.cat([b[0].as_subclass(torch.Tensor) for b in dls.valid]).transpose(0, 1).flatten(1)
    assert xb.mean(1).abs().max() < .2 and (xb.std(1)-1).abs().max() < .2
    x = dls.valid.decode(dls.valid.one_batch())[0]
    if tfm is not PerSample: assert torch.allclose(x.as_subclass(torch.Tensor), torch.tensor(X[dls.valid_ds.idxs[:len(x)]]), atol=1e-4)
    assert str(dls.valid.after_batch)

def test_limits_are_per_variable():
    X = images(8, 8)
    xb, = loaders(X, tfms=[Clip(low=[2,40], high=[4,80])]).one_batch()
    assert [(o.min().item(),o.max().item()) for o in xb.transpose(0, 1)] == [(2,4),(40,80)]
    xb, = loaders(X, tfms=[Normalize()]).one_batch()
    assert xb.min() > -.2 and xb.max() < 1.2

def test_packed_images_are_decoded_per_variable():
    X = np.arange(2*2*3*3, dtype='i2').reshape(2, 2, 3, 3)
    dls = loaders(X, packing=Packing(scale=[1,.5], offset=[0,100]), splits=[[0],[1]], drop_last=False)
    x, = dls.train.one_batch()
    same(x[0].numpy(), X[0]*np.array([1,.5], 'f4')[:,None,None] + np.array([0,100], 'f4')[:,None,None])

def test_targets_of_any_rank_are_scaled():
    X = images(8, 8)
    dls = loaders(X, X, tfms=[StandardizeTarget()])
    yb = torch.cat([b[1].as_subclass(torch.Tensor) for b in dls.valid]).transpose(0, 1).flatten(1)
    assert yb.mean(1).abs().max() < .2 and (yb.std(1)-1).abs().max() < .2

def test_transforms_of_steps_are_refused():
    X = images(8, 8)
    with fails(ValueError, 'Cutout changes series'): loaders(X, tfms=[Cutout()])
    xb, = loaders(X, tfms=[Jitter(p=1), Scaling(p=1)]).one_batch()
    assert xb.shape == (4,2,8,8)

def test_a_model_learns_masks_of_patches(tmp_path):
    X = images(4, 10, 12)
    masks = (X[:,0] > 3).astype('u1')
    p = Patches(X, (2,4,4), per_row=2)
    dls = TSDataLoaders.from_arrays(p, p.over(masks), cat=True, bs=4, seed=2, batch_tfms=[Standardize()])
    of = [set(p.places.locate(np.array(o.idxs))[0].tolist()) for o in (dls.train_ds, dls.valid_ds)]
    assert not of[0] & of[1] and len(of[0]|of[1]) == 12
    assert dls.c == 2
    learn = Learner(dls, nn.Conv3d(2, 2, 1), path=tmp_path)
    with learn.no_bar(), learn.no_logging(): learn.fit(8, .3)
    with learn.no_bar(): preds,targs = learn.get_preds()
    assert preds.shape == (len(targs),2,2,4,4)
    same(targs.numpy().astype('u1'), p.over(masks).gather(dls.valid_ds.idxs))
    assert (preds.argmax(1) == targs).float().mean() > .8

def test_training_patches_move_and_validation_patches_do_not():
    p = Patches(images(10, 12), (4,4), seed=3)
    dls = TSDataLoaders.from_arrays(p, bs=3, seed=2)
    def sums(dl): return sorted(float(x.sum()) for b in dl for x in b[0])
    assert sums(dls.train) != sums(dls.train)
    assert sums(dls.valid) == sums(dls.valid) == sorted(float(o.sum()) for o in torch.tensor(p.gather(dls.valid_ds.idxs)))
    rows = dls.train_ds.torch()
    assert isinstance(rows, TorchRows)
    same(rows[0][0].numpy(), p.gather([rows.dset.idxs[0]])[0])

def test_pictures_show_a_slice_and_its_mask():
    X = images(5, 8, 9)
    same(middle_slice(X[0]), X[0,0,2])
    same(middle_slice(X[0,0], has_vars=False), X[0,0,2])
    y = (X[:,0] > 3).astype('u1')
    dls = loaders(X, y, cat=True)
    axs = show_grid(2)
    dls.show_batch(ctxs=axs, max_n=2)
    assert [[o.get_array().shape for o in ax.images] for ax in axs] == [[(8,9)]*2]*2
    assert TSTensor(X[0]).show(title='one').get_title() == 'one'
    numbers = loaders(X, X[:,0])
    axs = show_grid(2)
    numbers.show_batch(ctxs=axs, max_n=2)
    assert [len(ax.images) for ax in axs] == [2,2]
    learn = Learner(dls, nn.Conv3d(2, 2, 1))
    axs = show_grid(2)
    with learn.no_bar(): learn.show_results(max_n=2, ctxs=axs)
    assert all(len(ax.images) == 2 and ax.collections for ax in axs)

def test_channels_last_moves_variables_of_any_rank():
    X = images(6, 7)
    y = (X[:,0] > 3).astype('u1')
    xb,yb = next(iter(loaders(X, y, cat=True).train_ds.numpy(bs=2, channels_last=True)))
    assert xb.shape == (2,6,7,2) and yb.shape == (2,6,7)

@pytest.mark.parametrize('make', [lambda X: X, lambda X: Patches(X, (4,4))], ids=['images','patches'])
def test_statistics_of_clipped_images_are_of_each_variable(make):
    X = np.random.default_rng(0).normal(size=(12,2,8,8)).astype('f4')*np.float32([1,20])[:,None,None]
    rows = make(X)
    dls = TSDataLoaders.from_arrays(rows, bs=4, seed=0, splits=[range(len(rows))], batch_tfms=[Clip(share=.1), Standardize()])
    clip,scale = dls.after_batch.fs
    want = np.clip(X, clip.low.numpy(), clip.high.numpy()).std((0,2,3))
    np.testing.assert_allclose(scale.std.ravel(), want, rtol=.01)
