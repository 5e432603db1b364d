"Options that cannot work are refused before anything is read"
import numpy as np, pytest
from fastai.basics import noop, Transform
from conftest import fails, ramp
from loader_cases import loader
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.options import drops_last, options_for, order_text, rows_of_batch
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.arrays import save_array

@pytest.mark.parametrize('kw,err,word', [(dict(bs=0), ValueError, 'at least 1'), (dict(shuffle='blocks'), ValueError, "'blocks'"),
    (dict(after_item=lambda o: o), ValueError, 'batch_tfms'), (dict(before_batch=lambda o: o), ValueError, 'batch_tfms'), (dict(split=[[0],[1]]), TypeError, 'split')])
def test_options_that_cannot_work_are_refused(kw, err, word):
    with fails(err, word): TSDataLoaders.from_arrays(ramp(5), **kw)

def test_loader_of_something_else_or_of_no_size_is_refused():
    with fails(TypeError, 'TfmdDL'): TSDataLoader([1,2])
    with fails(ValueError, 'got None'): loader(bs=None)

@pytest.mark.parametrize('o', ['create_item','create_batch','retain','do_batch'])
def test_steps_that_never_run_cannot_be_given(o):
    with fails(TypeError, o): TSDataLoader(TSDatasets(ramp(10)), bs=2, **{o: noop})

def test_negative_seeds_are_refused():
    with fails(ValueError, '`seed`'): TSDataLoader(TSDatasets(ramp(10)), bs=2, seed=-1)

def test_weights_without_shuffling_are_refused():
    with fails(ValueError, 'weights', 'shuffle'): loader(weights=np.ones(100))

def test_bad_ranks_are_refused():
    for r,w in ((2,2), (-1,1), (0,0)):
        with fails(ValueError, 'rank', f'got {r} of {w}'): loader(rank=r, world_size=w, seed=1)
    with fails(ValueError, 'same `seed`'): loader(rank=0, world_size=2)

def test_batch_size_is_another_name_of_bs():
    assert (rows_of_batch(8), rows_of_batch(8, 4)) == (8,4) and TSDataLoader(TSDatasets(ramp(10)), bs=8, batch_size=4).bs == 4
    with fails(ValueError, 'got 0'): rows_of_batch(8, 0)

def test_a_last_smaller_batch_is_left_out_of_shuffled_rows_only():
    assert [drops_last(None, *o) for o in ((True,64,64), (True,63,64), ('block',65,64), (False,65,64))] == [True,False,True,False]
    assert [drops_last(o, True, 1, 64) for o in (True,False)] == [True,False]

def test_rows_in_memory_are_read_through_the_cache(tmp_path):
    direct,on_disk = ReadOptions(direct=True, prefetch=2),TSDatasets(save_array(tmp_path/'X.npy', ramp(10)))
    assert options_for(None, direct) is direct and options_for(on_disk, direct) is direct
    assert options_for(TSDatasets(ramp(10)), direct) == ReadOptions(prefetch=2)

def test_orders_are_told_in_words():
    assert order_text(False, 3) == 'in order' and order_text(True, 3, weights=[1]) == 'shuffled, seed 3, by weight'
    assert [order_text(o, 3) for o in ('block','balanced')] == ['shuffled in blocks, seed 3','shuffled, balanced, seed 3']

def test_rows_of_a_loader_cannot_be_cut_off():
    dl = loader(10)
    dl.n = 10
    with fails(ValueError, 'There are 10 rows, got n=4', 'partial_n=4'): dl.n = 4
    assert len([*dl]) == len(dl)

@pytest.mark.parametrize('event', ['after_item','before_batch'])
def test_transforms_of_items_that_are_added_later_are_refused(event):
    dls = TSDataLoaders.from_arrays(ramp(10), bs=2)
    dls.add_tfms([Transform(lambda o: o)], event)
    with fails(ValueError, event, "add_tfms(…, 'after_batch')"): next(iter(dls.train))

def test_transforms_of_items_are_pointed_to_those_of_batches():
    with fails(TypeError, "no option 'item_tfms'", '`batch_tfms`'): TSDataLoaders.from_arrays(np.zeros((9,1,3)), item_tfms=[])
