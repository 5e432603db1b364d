"Tensors of a batch keep their types, rows of any dtype become what a model sees, and labels are found whatever they are"
import copy, pickle, re
import numpy as np, pytest, torch
from torch import nn
from conftest import fails, filled, ramp, same
from tsdisk.disk.packing import Packing
from tsdisk.data.labels import Labels
from tsdisk.data.batches import masked_mse, step_mask, TensorTarget, ToInput, ToMask, ToSeries, ToSteps, ToTarget, TSInput, TSMask, TSTensor

# Types

def test_a_model_works_on_plain_features():
    x,mask,other,y = TSTensor(torch.randn(4,2,9)),TSMask(torch.rand(4,9) > .5),TSInput(torch.randn(4,3)),TensorTarget(torch.zeros(4))
    layers = nn.Conv1d(2, 3, 3, padding=1),nn.BatchNorm1d(2),nn.LayerNorm(9),nn.Linear(9, 5)
    plain = x.as_subclass(torch.Tensor)
    for layer in layers:
        layer.eval()
        assert type(layer(x)) is torch.Tensor and torch.equal(layer(x), layer(plain))
    h = layers[0](x)
    beside = h*mask[:,None], mask[:,None]*h, torch.where(mask[:,None], h, 0), h.masked_fill(~mask[:,None], 0), torch.cat([h[...,0], other], 1), h[mask[:,0]]
    for o in (*beside, h + other[...,None], nn.Linear(3, 2)(other)): assert type(o) is torch.Tensor
    assert all(type(o) is TSTensor for o in (x*2, x*mask[:,None], x[:2], x[torch.tensor([0,1])], x.relu(), nn.functional.pad(x, (1,1))))
    assert all(type(o) is TSMask for o in (mask[:2], mask[torch.tensor([0,1])], ~mask, mask[:,None])) and type(other[torch.tensor([0])]) is TSInput
    assert type(y[mask[:,0]]) is TensorTarget and type(h.mean((1,2))-y) is TensorTarget

def test_tstensor_stays_itself():
    t = TSTensor(torch.tensor(ramp(4)))
    same_type = t[1:],t[0],t*2,t.clone(),t.double(),t.mean(-1, keepdim=True),torch.stack([t,t]),torch.cat([t,t]),copy.deepcopy(t),pickle.loads(pickle.dumps(t))
    assert {type(o) for o in same_type} == {TSTensor}
    assert (t.vars, t.len, t[0].vars, t[0].len) == (2,3,2,3)
    same(pickle.loads(pickle.dumps(t))[1].numpy(), ramp(4)[1])
    for o,word in ((t, 'bs:4, vars:2, steps:3'), (t[0], 'vars:2, steps:3'), (t[0,0], 'steps:3'), (t[0,0,0], '0.0'), (torch.stack([t]), 'axis0:1')): assert re.match(rf'TSTensor\({word}', repr(o))

def test_a_view_of_series_in_another_memory_order_is_a_copy():
    t = TSTensor(torch.tensor(ramp(4))).transpose(1, 2)
    with fails(RuntimeError, 'view size'): t.as_subclass(torch.Tensor).view(4, -1)
    same(t.view(4, -1).numpy(), ramp(4).swapaxes(1, 2).reshape(4, -1))

def test_the_mask_of_steps_is_found_among_further_inputs():
    x,steps,values = torch.zeros(3,2,5),torch.rand(3,5) > .5,torch.rand(3,2,5) > .5
    assert step_mask((TSTensor(x),TSInput(torch.zeros(3,5)),TSMask(values))) is None
    got = step_mask((TSTensor(x),TSMask(steps),TensorTarget(torch.zeros(3))))
    assert type(got) is torch.Tensor and torch.equal(got, steps[:,None])

def test_plots_grey_what_is_missing_and_color_runs_of_labels(quiet):
    def spans(ax): return [(o.get_x(), o.get_x()+o.get_width()) for o in ax.patches]
    assert spans(TSMask(torch.tensor([False,True,True,False,False,True])).show()) == [(-.5,.5), (2.5,4.5)]
    assert spans(TSMask(torch.ones(4, dtype=torch.bool)).show()) == []
    codes = np.array([2,2,2,0,1,1,1,1,1])
    assert spans(Labels(codes, ['a','b','c']).show()) == [(-.5,2.5), (2.5,3.5), (3.5,8.5)]
    assert Labels(codes[:3], ['a','b','c']).show(ctx=quiet_axis()).get_title() == 'c, c, c'

def quiet_axis():
    import matplotlib.pyplot as plt
    return plt.subplots()[1]

# Numbers

def test_stored_integers_are_unpacked_and_missing_ones_are_nan():
    a = filled((4,2,5), 'i2')
    a[1,1,:3] = -7
    kind = ToSeries(Packing([.1,2.], [20.,0.], -7))
    want = np.where(a == -7, np.nan, a*np.array([[.1],[2]])+[[20],[0]])
    got = kind(a)
    assert type(got) is TSTensor and got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert kind.for_dtype(np.dtype('i4')) is kind and kind.for_dtype(np.dtype('f8')).packing.scale is None and kind.packing.scale is not None
    other = kind.repacked(Packing(1.))
    same(other(a).numpy(), a.astype('f4'))

def test_masks_are_of_values_or_of_steps():
    a = np.array([[1,np.nan,-1]])
    assert ToMask()(a).tolist() == [[True,False,True]] and ToMask(Packing(missing=-1))(a).tolist() == [[True,False,False]]
    assert type(ToSteps()(a > 0)) is TSMask and ToSteps()(a > 0).tolist() == [[True,False,False]]

def test_integers_of_further_inputs_stay_unless_they_are_packed():
    for dtype,want in (('u1',torch.int64), ('f8',torch.float32), ('?',torch.float32)): assert ToInput(np.dtype(dtype))(np.ones(3, dtype)).dtype == want
    assert ToInput(np.dtype('i2'), Packing(.5))(np.ones((2,1,3), 'i2')).tolist() == [[[.5]*3]]*2
    with fails(TypeError, 'give categories as integers'): ToInput(np.dtype('S3'))

def test_the_loss_of_padded_targets_is_that_of_the_targets_alone():
    targ = torch.tensor([[[1.,2,np.nan]],[[3,np.nan,np.nan]]])
    pred = torch.zeros(2,1,5)
    assert masked_mse(pred, targ).item() == pytest.approx((1+4+9)/3)
    assert masked_mse(pred, targ, 'none').tolist() == [[[1,4,0]],[[9,0,0]]]
    assert masked_mse(pred.flatten(1), targ[:,0]).item() == pytest.approx((1+4+9)/3)

@pytest.mark.parametrize('kind', [ToTarget, lambda packing: ToInput(np.dtype('i2'), packing)], ids=['targets','inputs'])
def test_packed_rows_of_numbers_have_a_scale_for_each_number(kind):
    same(np.asarray(kind(Packing(.5).check(1))(np.array([1,2], 'i2'))), np.float32([.5,1]))
    for n in (2,3): same(np.asarray(kind(Packing([1,10]).check(2))(np.ones((n,2), 'i2'))), np.float32([[1,10]]*n))
    same(np.asarray(kind(Packing([1,10]).check(2))(np.ones((1,2,2), 'i2'))), np.float32([[[1,1],[10,10]]]))
