"What is kept of a batch is that of its rows, whatever the shape and type"
import numpy as np, pytest, torch
from fastai.basics import Learner, MSELossFlat
from torch import nn
from conftest import fails, ramp, same
from tsdisk.data.batches import TSTensor
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.train.outputs import decoder, layer_hook, output_functions, row_losses, take_output, to_numpy

@pytest.mark.parametrize('dtype,want', [(torch.bfloat16,'f4'), (torch.float16,'f4'), (torch.float32,'f4'), (torch.float64,'f8'), (torch.int64,'i8'), (torch.bool,'?')])
def test_batches_are_arrays_of_a_dtype_that_numpy_has(dtype, want):
    t = torch.tensor([[0,1],[1,0]], dtype=dtype)
    same(to_numpy(t), np.array([[0,1],[1,0]], want))
    if t.is_floating_point(): same(to_numpy(t.clone().requires_grad_().as_subclass(TSTensor)), np.array([[0,1],[1,0]], want))

nan = float('nan')

@pytest.mark.parametrize('loss,y,want', [([1.,2.], [0,1], [1,2]), ([1.,2.], [[0.],[1.]], [1,2]), ([1.,2.,5.,4.], [[0,1],[2,3]], [1.5,4.5]),
    ([1.,9.,5.,4.], [[0,-100],[2,3]], [1,4.5]), ([1.,9.,9.,9.], [[0,-100],[-100,-100]], [1,0]), ([1.,nan,5.,4.], [[0.,nan],[2.,3.]], [1,4.5]),
    ([nan,nan,5.,4.], [[nan,nan],[2.,3.]], [0,4.5]), ([[1.,2.,6.],[0.,0.,3.]], [0,1], [3,1])], ids=str)
def test_losses_of_rows_are_means_over_the_targets_that_are_there(loss, y, want): assert row_losses(torch.tensor(loss), torch.tensor(y)).tolist() == want

def learner(y, n_out, **kwargs):
    dls = TSDataLoaders.from_arrays(ramp(8)/50, y, bs=4, splits=[range(6),range(6,8)], device='cpu')
    return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(6, n_out)), **kwargs)

def test_predictions_are_decoded_to_labels_and_to_numbers_in_units():
    labels = learner(np.array([*'abcabcab']), 3)
    same(decoder(labels)(torch.eye(3)[[2,0]]), np.array(['c','a']))
    numbers = learner(np.arange(8.), 1, loss_func=MSELossFlat())
    numbers.dl,numbers.xb = numbers.dls.train,numbers.dls.one_batch()[:1]
    same(decoder(numbers)(torch.tensor([[1.5],[2.]])), np.array([1.5,2], 'f4'))

def test_without_targets_nothing_is_decoded():
    with fails(ValueError, 'without targets', 'leave out `decoded`'): decoder(learner(None, 1, loss_func=MSELossFlat()))

def test_a_layer_is_taken_once_for_each_batch():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x = torch.ones(4, 2)
    with layer_hook(model, '0') as hook:
        model(x)
        same(take_output(hook), model[0](x).detach().numpy())
        hook.stored = None
        with fails(ValueError, 'did not use that layer'): take_output(hook)
    with fails(AttributeError, 'nine'): layer_hook(model, 'nine')

def test_a_layer_that_returns_no_tensor_is_refused():
    model = nn.LSTM(2, 3)
    with layer_hook(nn.Sequential(model), '0'), fails(TypeError, 'returns a tuple', 'choose one'): model(torch.ones(4, 1, 2))

def test_only_what_is_asked_for_is_kept():
    learn = learner(np.arange(8.), 1, loss_func=MSELossFlat())
    assert {*output_functions(learn, set())} == {'preds'} and {*output_functions(learn, {'targs','losses','decoded'})} == {'preds','targs','losses','decoded'}
    learn.xb,learn.yb,learn.loss = (),(torch.tensor([1.,2.]),),torch.tensor([3.,4.])
    fs = output_functions(learn, {'targs','losses'})
    same(fs['targs'](None), np.array([1,2], 'f4'))
    same(fs['losses'](None), np.array([3,4], 'f4'))
