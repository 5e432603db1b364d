"Series in every layout that windows can be cut from"
import numpy as np
from conftest import filled
from tsdisk.disk.arrays import save_array
from tsdisk.disk.shards import Shards
from tsdisk.series.ragged_files import save_ragged

lens = [30,7,19,12,30]

def recordings(lens, n_vars, dtype='f4'):
    "Series (steps, vars) of these lengths, no two values alike"
    starts = [i*2e4 + np.arange(n*n_vars).reshape(n, n_vars) for i,n in enumerate(lens)]
    return [filled((n, n_vars), dtype) + o.astype(dtype) for n,o in zip(lens, starts)]

def random_steps(*shape): return np.random.default_rng(0).random(shape).astype('f4')

# Each layout makes, of a list of series (steps, vars), what `Windows` takes, and the axis
def _one(d, xs): return save_array(d/'one.npy', xs[0]), None
def _vars_first(d, xs): return save_array(d/'vars.npy', np.ascontiguousarray(xs[0].T)), 1
def _samples(d, xs): return save_array(d/'samples.npy', np.stack([xs[0].T, xs[-1].T])), None
def _samples_steps(d, xs): return save_array(d/'steps.npy', np.stack([xs[0], xs[-1]])), 1
def _part_of_steps(d, xs):
    wide = [np.pad(o.T, ((0,0),(2,3))) for o in (xs[0], xs[-1])]
    return save_array(d/'part.npy', np.stack(wide))[:, :, 2:-3], None
def _list(d, xs): return [save_array(d/f'{i}.npy', o) for i,o in enumerate(xs)], None
def _paths(d, xs):
    _list(d, xs)
    return [d/f'{i}.npy' for i in range(len(xs))], None
def _shards(d, xs):
    _list(d, xs)
    return Shards(d), None
def _list_vars(d, xs): return [np.ascontiguousarray(o.T) for o in xs], 1
def _ragged(d, xs): return save_ragged(d/'ragged', xs, axis=0), None
def _some_vars(d, xs): return save_array(d/'wide.npy', np.concatenate([xs[0]]*2, 1))[:, :xs[0].shape[1]], None
def _zarr(d, xs):
    import zarr
    z = zarr.open_array(str(d/'z.zarr'), mode='w', shape=xs[0].shape, chunks=(5,1), dtype=xs[0].dtype)
    z[:] = xs[0]
    return z, None

# They hold the first of the series, the first and the last, or every one
one = dict(one=_one, vars_first=_vars_first, some_vars=_some_vars, zarr=_zarr)
two = dict(samples=_samples, samples_steps=_samples_steps, part_of_steps=_part_of_steps)
every = dict(list=_list, paths=_paths, shards=_shards, list_vars=_list_vars, ragged=_ragged)
layouts = {**one, **two, **every}

def laid_out(layout, folder, xs):
    "(what `Windows` takes, its axis, the series that are in it)"
    x,axis = layouts[layout](folder, xs)
    if layout in one: xs = xs[:1]
    if layout in two: xs = [xs[0], xs[-1]]
    return x, axis, xs

def loop(xs, size, stride=1, horizon=0, gap=0):
    "(series, start) of every window, by a loop"
    span = size + (gap+horizon if horizon else 0)
    return [(s,t) for s,x in enumerate(xs) for t in range(0, len(x)-span+1, stride)]
