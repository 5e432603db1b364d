"The state of a training is plain, and brings it back as it was"
import io, random
import numpy as np, pytest, torch
from fastai.basics import L, Learner, MSELossFlat, OptimWrapper, partial, TensorBase
from fastai.callback import schedule
from torch import nn
from conftest import ramp
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.train.state import (fit_settings, learner_state, load_learner_state, plain_values, rank_rng_states, recorder_state, rng_state, set_rank_rng_state,
    set_recorder_state, set_rng_state)

pytestmark = [pytest.mark.usefixtures('quiet','one_thread'), pytest.mark.filterwarnings('ignore')]

def test_values_are_plain_however_they_are_nested():
    o = dict(a=L(1, np.float32(2)), b=(np.arange(3), [TensorBase([1.])]), c='x', d=None, e=True)
    got = plain_values(o)
    assert got['a'] == [1,2.] and type(got['a']) is list and type(got['a'][1]) is float and got['b'][0] == [0,1,2]
    assert type(got['b'][1][0]) is torch.Tensor and (got['c'], got['d'], got['e']) == ('x',None,True)

def stored(o):
    "As a file gives it back that may hold nothing but plain values"
    file = io.BytesIO()
    torch.save(plain_values(o), file)
    file.seek(0)
    return torch.load(file, weights_only=True)

def draw(): return random.random(), np.random.rand(), np.random.normal(), torch.rand(2).tolist()

def test_random_numbers_continue():
    np.random.normal() # The second of a pair is kept in the state
    state = stored(rng_state())
    first = draw()
    assert draw() != first
    set_rng_state(state)
    assert draw() == first

def test_a_rank_that_is_new_has_random_numbers_of_its_own(monkeypatch):
    states = stored(rank_rng_states())
    assert len(states) == 1
    def of_rank(i):
        monkeypatch.setattr('tsdisk.train.state.launched', lambda: (i,3))
        set_rank_rng_state(states)
        return draw()
    assert of_rank(0) == of_rank(0) and of_rank(1) == of_rank(1) and len({str(of_rank(i)) for i in range(3)}) == 3

def learner(hidden=4, **kwargs):
    torch.manual_seed(1)
    dls = TSDataLoaders.from_arrays(ramp(24)/150, np.arange(24.)/24, bs=4, splits=[range(16),range(16,24)], seed=0, device='cpu')
    return Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 1)), loss_func=MSELossFlat(), **kwargs)

optimizers = dict(adam={}, torch=dict(opt_func=partial(OptimWrapper, opt=torch.optim.Adam)))

@pytest.mark.parametrize('name', optimizers)
def test_a_learner_continues_as_it_would_have(name):
    a = learner(**optimizers[name])
    a.fit(2, cbs=schedule.ParamScheduler(dict(lr=schedule.combined_cos(.25, .01, .1, .01))))
    state = stored(learner_state(a))
    b = learner(**optimizers[name])
    b.create_opt()
    load_learner_state(b, state)
    assert b.recorder.lrs == a.recorder.lrs and b.recorder.iters == a.recorder.iters and b.recorder.values == a.recorder.values
    assert float(b.recorder.smooth_loss.value) == float(a.recorder.smooth_loss.value)
    batch = a.dls.valid.one_batch()
    for o in (a,b):
        for h in o.opt.hypers: h['lr'] = .01
        o.loss_func(o.model.train()(batch[0]), batch[1]).backward()
        o.opt.step() # With its moments
    for p,q in zip(a.model.parameters(), b.model.parameters()): assert torch.equal(p, q)

def test_the_state_of_another_model_is_refused():
    a,b = learner(),learner(hidden=5)
    for o in (a,b): o.create_opt()
    with pytest.raises(RuntimeError, match='size mismatch'): load_learner_state(b, dict(model=a.model.state_dict()))

def test_a_recorder_is_brought_back():
    a,b = learner(),learner()
    a.fit(1)
    state = stored(recorder_state(a.recorder))
    set_recorder_state(b.recorder, state)
    assert b.recorder.losses == a.recorder.losses and len(b.recorder.losses) == 4
    assert stored(recorder_state(b.recorder)).keys() == state.keys()

def test_settings_tell_fits_apart():
    made = [learner(), learner(hidden=5, splitter=lambda m: [[*m[1].parameters()],[*m[3].parameters()]]), learner(**optimizers['torch'])]
    for o in made: o.create_opt()
    plain,groups,torchs = map(fit_settings, made)
    assert plain['parameters'] == [4] and groups['parameters'] == [2,2] and plain['schedules'] == []
    assert torchs['optimizer'] == ['Adam'] != plain['optimizer'] and plain['optimizer'] == groups['optimizer']
