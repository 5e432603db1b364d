"""Loaders do what fastai's do, and items what fastcore's `L` does: each behavior runs on both, side by side

A behavior is a function of a kit, fastai's or ours. What it returns must be equal, but for the differences that are listed, each with its reason.
"""
import itertools, pickle, random
from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import copy as shallow, deepcopy
from io import StringIO
from itertools import islice
from typing import NamedTuple
import matplotlib.pyplot as plt, numpy as np, pytest, torch
from fastai.basics import first, is_iter, is_listy, L, listify, Pipeline, star, Tensor, tensor, Transform
from fastai.data.all import CategoryBlock, DataBlock, DataLoaders, Datasets, IndexSplitter, ItemGetter, TfmdDL, TfmdLists, TransformBlock
from fastai.data.load import SkipItemException
from conftest import ramp, rows
from tsdisk.data.batches import TensorTarget, TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.disk.items import Items, itemify

# The two kits

def samples(n): return ramp(n), np.arange(n, dtype='f4')

class Fastai:
    "fastai's loaders over lists of samples"
    dl_type,dls_type,dsets_type = TfmdDL,DataLoaders,Datasets
    def dsets(self, n=20, splits=None, tfms=(None,None), y=True):
        X,Y = samples(n)
        x_tfms,y_tfms = tfms
        cols = [[lambda i: TSTensor(X[i]), *L(x_tfms)], [lambda i: TensorTarget(Y[i]), *L(y_tfms)]]
        return Datasets(range(n), cols[:1+y], n_inp=1, splits=splits)

    def dl(self, n=20, bs=4, dsets=None, **kw): return TfmdDL(dsets or self.dsets(n), bs=bs, num_workers=0, **kw)
    def dls(self, n=20, bs=4, splits=None, **kw):
        return self.dsets(n, splits or [range(n-6), range(n-6, n)]).dataloaders(bs=bs, num_workers=0, device='cpu', **kw)

    def of_dsets(self, *ds, **kw): return DataLoaders.from_dsets(*ds, num_workers=0, device='cpu', **kw)
    def new_items(self, n): return [*range(n)]

class Ours(Fastai):
    "Our loaders over arrays"
    dl_type,dls_type,dsets_type = TSDataLoader,TSDataLoaders,TSDatasets
    def dsets(self, n=20, splits=None, tfms=(None,None), y=True):
        X,Y = samples(n)
        return TSDatasets(X, Y if y else None, splits=splits, tfms=tfms)

    def dl(self, n=20, bs=4, dsets=None, **kw): return TSDataLoader(dsets or self.dsets(n), bs=bs, **kw)
    def of_dsets(self, *ds, **kw): return TSDataLoaders.from_dsets(*ds, device='cpu', **kw)
    def new_items(self, n): return samples(n)[0]

def plain(o):
    "Nested lists of numbers and strings, which compare"
    if isinstance(o, dict): return {k: plain(v) for k,v in o.items()}
    if isinstance(o, (Tensor,np.ndarray)): return o.tolist()
    if isinstance(o, (L,list,tuple,range)): return [plain(i) for i in o]
    return o.item() if hasattr(o, 'item') else o

class Refusal(NamedTuple):
    kind:type
    text:str

def outcome(f, kit):
    "What a behavior returns, or its error"
    try: return plain(f(kit))
    except Exception as e: return Refusal(type(e), str(e))

# The differences, and why

batches_only = "whole batches are gathered at once, so no single item is ever made"
one_dataset = "rows are gathered from a `TSDatasets`; fastai's `TfmdDL` reads anything else"
misspelt = "an option that is ignored is a misspelt one"
by_seed = "the order of an epoch is a function of seed and epoch, so that a pass can be resumed"
on_disk = "items are rows of files, which are not written to"

class Differs(NamedTuple):
    why:str
    words:str=None # Of the error that we raise
    error:type=ValueError
    value:object=None # What we return, where there is no error

changes = 'appended extended inserted popped removed set_one set_several deleted reversed_in_place sorted_in_place cleared added_in_place'.split()

steps_of_items = [f'{o}_given' for o in ('create_item','create_batch','do_batch','retain')]
other_datasets = 'dataset_that_cannot_be_indexed','iterable_shuffled','list_of_samples'
item_tfms = 'after_item_given','skipped_items','transforms_of_items_added','before_batch_given','transforms_of_lists_added'

differences = dict(
    # Loaders
    randomize_changes_the_order=Differs(f"{by_seed}; before the first pass, positions are those of the first pass", value=False),
    get_idxs_draws_each_time=Differs(by_seed, value=False),
    fewer_rows_assigned=Differs('an epoch of fewer rows is `partial_n`, and the next one continues with other rows', 'dl.new(partial_n=10)'),
    unknown_option=Differs(misspelt, "no option 'nonsense'", TypeError),
    no_batch_size=Differs(batches_only, '`bs` must be a whole number of rows'),
    **dict.fromkeys(other_datasets, Differs(one_dataset, "fastai's `TfmdDL`", TypeError)),
    **dict.fromkeys(steps_of_items, Differs(batches_only, 'has no option', TypeError)),
    **dict.fromkeys(item_tfms, Differs(batches_only, 'works on single items')),
    options_in_tuples=Differs("validation loaders have their own defaults; `dataloaders(dl_kwargs=…)` sets each", 'got (False, True)'),
    test_of_the_validation_set=Differs("fastai takes it for a list of new items, and fails", value=[[*range(14, 20)]]),
    overlapping_splits_found=Differs("a row that is in two splits leaks, so such splits are refused", 'in split 1 and in an earlier one'),
    # Items
    item_by_string=Differs('NumPy raises `IndexError`, too', 'Positions must be integers', IndexError),
    items_by_short_mask=Differs('a mask of another length is one of other data', 'a mask of 2', IndexError),
    **dict.fromkeys(changes, Differs(on_disk, 'L(list(items))', TypeError)))

refused_by_both = {'one_batch_of_nothing','unknown_attribute','attribute_of_no_dataset','sample_beyond_the_end','subset_that_is_missing',
    'item_beyond_the_end','item_before_the_start','item_by_float','item_by_nothing','items_beyond_the_end','sorted_without_key',
    'unique_items','placed'}

def check(name, behavior, theirs, ours):
    want,got = outcome(behavior, theirs),outcome(behavior, ours)
    if name in differences: return check_difference(differences[name], want, got)
    assert isinstance(want, Refusal) == (name in refused_by_both), want
    if isinstance(want, Refusal): assert isinstance(got, Refusal) and got.kind is want.kind, f'{got}, where fastai raises {want}'
    else: assert got == want

def check_difference(differs, want, got):
    assert got != want, 'no difference any more: take it out of the table'
    if differs.words is None: assert got == differs.value
    else: assert isinstance(got, Refusal) and got.kind is differs.error and differs.words in got.text

# What loaders do

class Tens(Transform):
    "Multiplies by ten, and counts how often it was set up"
    def __init__(self): self.set_up = 0
    def setups(self, dl): self.set_up += 1
    def encodes(self, x:TSTensor): return x*10
    def decodes(self, x:TSTensor): return x/10

class PlusOne(Transform):
    order = -5
    def encodes(self, x:TSTensor): return x+1
    def decodes(self, x:TSTensor): return x-1

class TrainOnly(Transform):
    split_idx = 0
    def encodes(self, x:TSTensor): return -x

class ValidOnly(TrainOnly): split_idx = 1

class OnTargets(Transform):
    def encodes(self, y:TensorTarget): return y+100
    def decodes(self, y:TensorTarget): return y-100

class WithState(Transform):
    parameters = L('a')
    def __init__(self): self.a = tensor(0.)
    def encodes(self, x:TSTensor): return x

def order(dl): return [i for b in dl for i in rows(b[0])]
def sizes(dl): return [len(b[0]) for b in dl]
def firsts(b): return b[0][:,0,0]

def counted(kit, event):
    "How often a step runs in two passes"
    seen = []
    dl = kit.dl(**{event: lambda *args, **kwargs: seen.append(1)})
    for _ in range(2): order(dl)
    return len(seen)

def drawn(kit, **kw):
    "What `show_batch` draws"
    before = plt.get_fignums()
    kit.dl(**kw).show_batch(max_n=3)
    figures = [o for o in plt.get_fignums() if o not in before]
    shown = [ax.lines[0].get_ydata().tolist() for o in figures for ax in plt.figure(o).axes if ax.lines]
    plt.close('all')
    return shown

def after_unique(kit):
    dl = kit.dl()
    dl.show_batch(unique=True, max_n=2)
    plt.close('all')
    return order(dl)

class Renamed:
    def named(self): return f'{self.bs} rows'

def is_other_order(a, b): return a != b and sorted(a) == sorted(b)

def set_n(kit):
    dl = kit.dl()
    dl.n = 10
    return order(dl)

def set_train(kit):
    dls = kit.dls()
    dls.train = kit.dl(8)
    return order(dls.train), order(dls[0])

def with_added(kit, event='after_batch', **kw):
    dls = kit.dls()
    dls.add_tfms([Tens()], event, **kw)
    return [firsts(next(iter(dl))).max() >= 60 for dl in (dls.train.new(shuffle=False), dls.valid)], firsts(dls.valid.one_batch())

def interrupted(kit):
    dl = kit.dl()
    for b in dl: break
    return rows(b[0]), order(dl)

def side_by_side(kit):
    a,b = iter(dl := kit.dl()),iter(dl)
    return [rows(next(o)[0]) for o in (a,b,a,b)]

def held_in_split(kit, i):
    dsets = kit.dsets(splits=[range(14),range(14,20)], tfms=([TrainOnly()],None)).valid
    before = firsts_of(dsets, [0])
    with dsets.set_split_idx(i): inside = firsts_of(dsets, [0])
    return before, inside, firsts_of(dsets, [0]), dsets.split_idx

def firsts_of(dsets, idxs): return [float(dsets[i][0][0,0]) for i in idxs]
def split(kit, **kw): return kit.dsets(splits=[range(14),range(14,20)], **kw)

def decoded(kit, full=True):
    dl = kit.dl(after_batch=[Tens(),OnTargets()])
    res = dl.decode_batch(dl.one_batch(), max_n=3, full=full)
    return len(res), [(float(x[0,0]), float(y)) for x,y in res], isinstance(res, L), isinstance(res[0], tuple)

def undone(kit):
    dl = kit.dl(after_batch=[Tens(),PlusOne(),OnTargets()])
    b = dl.one_batch()
    d = dl.decode(b)
    return firsts(b), b[1], firsts(d), d[1], [type(o).__name__ for o in d]

def moved(kit):
    tfm = WithState()
    dl = kit.dl(after_batch=tfm)
    res = dl.to('cpu')
    return res, str(dl.device), str(tfm.a.device)

def set_up_once(kit, **kw):
    tfm = Tens()
    dl = kit.dl(after_batch=tfm, **kw)
    dl.new(bs=8), dl.new(shuffle=True), order(dl)
    return tfm.set_up

def new_subclass(kit):
    cls = type('Sub', (Renamed,kit.dl_type), {})
    return kit.dl().new(cls=cls, bs=5).named()

def two_passes(kit, **kw):
    dl = kit.dl(100, shuffle=True, **kw)
    a,b = order(dl),order(dl)
    return is_other_order(a, b), len(set(a)), len(a)

def randomized(kit):
    dl = kit.dl(100, shuffle=True)
    a = list(dl.get_idxs())
    dl.randomize()
    return is_other_order(a, list(dl.get_idxs()))

def randomized_between(kit):
    dl = kit.dl(100, shuffle=True)
    a = order(dl)
    dl.randomize()
    between = list(dl.get_idxs())
    return is_other_order(a, between), is_other_order(between, order(dl))

def drawn_twice(kit):
    dl = kit.dl(100, shuffle=True)
    return is_other_order(list(dl.get_idxs()), list(dl.get_idxs()))

def shown(kit, **kw):
    b,y,its = kit.dl(after_batch=Tens()).show_batch(show=False, max_n=2, **kw)
    return b.shape, y.shape, len(its), [float(o[0][0,0]) for o in its]

def results(kit):
    dl = kit.dl()
    b = dl.one_batch()
    x,y,its,outs = dl.show_results(b, b[1]*2, max_n=3, show=False)
    return x.shape, y, len(its), [float(o[0]) for o in outs]

def told(kit):
    out = StringIO()
    with redirect_stdout(out): kit.dl(after_batch=Tens(), verbose=True)
    return 'after_batch' in out.getvalue()

def makes_none(kit, n=20, **kw):
    dl = kit.dl(n, **kw)
    return len(dl), dl.one_batch()

def both(dls): return [[dl.bs, bool(dl.shuffle), bool(dl.drop_last)] for dl in dls.loaders]
def orders(dls): return [order(dl) for dl in dls.loaders]

loader_behaviors = dict(
    # Length and batches
    length = lambda kit: len(kit.dl()),
    length_with_remainder = lambda kit: len(kit.dl(21)),
    length_without_remainder = lambda kit: len(kit.dl(21, drop_last=True)),
    length_of_one_large_batch = lambda kit: len(kit.dl(5, bs=64)),
    length_where_no_batch_is_full = lambda kit: len(kit.dl(5, bs=64, drop_last=True)),
    length_of_nothing = lambda kit: len(split(kit).new_empty()) + len(kit.dl(dsets=split(kit).new_empty())),
    sizes = lambda kit: sizes(kit.dl()),
    sizes_with_remainder = lambda kit: sizes(kit.dl(21)),
    sizes_without_remainder = lambda kit: sizes(kit.dl(21, drop_last=True)),
    sizes_of_one_large_batch = lambda kit: sizes(kit.dl(5, bs=64)),
    sizes_where_no_batch_is_full = lambda kit: sizes(kit.dl(5, bs=64, drop_last=True)),
    rows_in_order = lambda kit: order(kit.dl()),
    rows_in_order_again = lambda kit: [order(dl) for dl in [kit.dl()]*3],
    targets_of_rows = lambda kit: [b[1] for b in kit.dl(21)],
    every_value = lambda kit: [b for b in kit.dl(6)],
    batches_are_tuples = lambda kit: [type(b).__name__ for b in kit.dl()],
    types_in_a_batch = lambda kit: [type(o).__name__ for o in kit.dl().one_batch()],
    dtypes_in_a_batch = lambda kit: [str(o.dtype) for o in kit.dl().one_batch()],
    batch_without_targets = lambda kit: [len(b) for b in kit.dl(dsets=kit.dsets(y=False))],
    one_batch_is_the_first = lambda kit: rows(kit.dl().one_batch()[0]),
    one_batch_twice = lambda kit: [rows(dl.one_batch()[0]) for dl in [kit.dl()]*2],
    one_batch_of_shuffled_rows = lambda kit: len(kit.dl(shuffle=True).one_batch()[0]),
    one_batch_of_nothing = lambda kit: makes_none(kit, 5, bs=64, drop_last=True),
    first_of_a_loader = lambda kit: rows(first(kit.dl())[0]),
    loader_listed = lambda kit: len([*kit.dl()]),
    interrupted_pass = interrupted,
    passes_side_by_side = side_by_side,
    passes_zipped = lambda kit: [(rows(a[0]), rows(b[0])) for dl in [kit.dl(8)] for a,b in zip(dl, dl)],
    loader_cycled = lambda kit: [rows(b[0]) for b in islice(itertools.cycle(kit.dl(8)), 5)],
    progress_bar_length = lambda kit: [len(dl) == len([*dl]) for dl in (kit.dl(21), kit.dl(21, drop_last=True))],
    # Order
    every_row_once_when_shuffled = lambda kit: sorted(order(kit.dl(21, shuffle=True))),
    other_order_each_pass = two_passes,
    shuffled_without_remainder = lambda kit: two_passes(kit, bs=64, drop_last=True)[1:],
    not_in_order_when_shuffled = lambda kit: is_other_order(order(kit.dl(100, shuffle=True)), [*range(100)]),
    another_loader_another_order = lambda kit: is_other_order(*[order(kit.dl(100, shuffle=True)) for _ in range(2)]),
    randomize_changes_the_order = randomized,
    randomize_between_passes = randomized_between,
    get_idxs_draws_each_time = drawn_twice,
    positions_in_order = lambda kit: list(kit.dl().get_idxs()),
    positions_shuffled = lambda kit: sorted(kit.dl(shuffle=True).get_idxs()),
    get_idxs_given = lambda kit: order(kit.dl(get_idxs=lambda: [3,1,2,0,5])),
    get_idxs_assigned = lambda kit: [order(dl) for dl in [kit.dl()] if setattr(dl, 'get_idxs', lambda: [7,7,2]) is None],
    shuffle_fn_given = lambda kit: order(kit.dl(shuffle=True, shuffle_fn=lambda idxs: [*idxs][::-1])),
    shuffle_fn_unused_in_order = lambda kit: order(kit.dl(shuffle_fn=lambda idxs: [*idxs][::-1])),
    shuffle_fn_overridden = lambda kit: order(type('Sub', (kit.dl_type,), dict(shuffle_fn=lambda self, idxs: [*idxs][::-1]))(
        kit.dsets(), bs=4, shuffle=True, num_workers=0)),
    shuffle_switched_on = lambda kit: [is_other_order(order(dl), [*range(100)]) for dl in [kit.dl(100)] if setattr(dl, 'shuffle', True) is None],
    drop_last_switched_on = lambda kit: [sizes(dl) for dl in [kit.dl(21)] if setattr(dl, 'drop_last', True) is None],
    batch_size_changed = lambda kit: [(len(dl), sizes(dl)) for dl in [kit.dl(21)] if setattr(dl, 'bs', 8) is None],
    fewer_rows = lambda kit: order(kit.dl(n=10)),
    fewer_rows_length = lambda kit: len(kit.dl(n=10)),
    fewer_rows_assigned = set_n,
    # Options
    attributes = lambda kit: [(dl.bs, dl.shuffle, dl.drop_last, dl.n, dl.device, dl.indexed, dl.prebatched, dl.offs) for dl in [kit.dl()]],
    dataset_is_kept = lambda kit: [kit.dl(dsets=o).dataset is o for o in [kit.dsets()]],
    batch_size_by_torchs_name = lambda kit: sizes(kit.dl(bs=2, batch_size=8)),
    pinned_memory_on_cpu = lambda kit: [type(b).__name__ for b in kit.dl(pin_memory=True, device=torch.device('cpu'))],
    timeout_is_kept = lambda kit: kit.dl(timeout=3).new().timeout,
    unknown_option = lambda kit: kit.dl(nonsense=3),
    no_batch_size = lambda kit: kit.dl(bs=None),
    verbose_names_the_setup = told,
    attributes_of_the_dataset = lambda kit: [dl.n_subsets for dl in [kit.dl(dsets=split(kit))]],
    unknown_attribute = lambda kit: kit.dl().nonsense,
    moved_to_a_device = moved,
    device_given = lambda kit: [(str(dl.device), str(dl.one_batch()[0].device)) for dl in [kit.dl(device=torch.device('cpu'))]],
    dataset_that_cannot_be_indexed = lambda kit: [*kit.dl_type(iter([1,2,3]), bs=2, num_workers=0)],
    iterable_shuffled = lambda kit: kit.dl_type(iter([1,2,3]), bs=2, shuffle=True, num_workers=0),
    list_of_samples = lambda kit: [*kit.dl_type([(tensor(1.),tensor(2.))]*3, bs=2, num_workers=0)],
    # Steps
    after_batch_function = lambda kit: [b for b in kit.dl(6, after_batch=lambda o: o*2)],
    before_iter_runs_once_a_pass = lambda kit: counted(kit, 'before_iter'),
    after_iter_runs_once_a_pass = lambda kit: counted(kit, 'after_iter'),
    after_item_given = lambda kit: order(kit.dl(after_item=PlusOne())),
    before_batch_given = lambda kit: [*kit.dl(before_batch=lambda b: b[:2])],
    create_item_given = lambda kit: order(kit.dl(create_item=lambda i: (TSTensor(ramp(9)[8]),))),
    create_batch_given = lambda kit: [*kit.dl(create_batch=lambda b: b)],
    do_batch_given = lambda kit: [*kit.dl(do_batch=len)],
    retain_given = lambda kit: [type(b[0]).__name__ for b in kit.dl(retain=lambda res, b: res)],
    skipped_items = lambda kit: order(kit.dl(after_item=lambda o: (_ for _ in ()).throw(SkipItemException()))),
    one_item = lambda kit: kit.dl().do_item(3),
    created_item = lambda kit: kit.dl().create_item(3),
    created_batch = lambda kit: [dl.create_batch([dl.do_item(i) for i in (4,2)]) for dl in [kit.dl()]],
    done_batch_keeps_types = lambda kit: [[type(o).__name__ for o in dl.do_batch([dl.do_item(i) for i in (4,2)])] for dl in [kit.dl()]],
    batches_of_positions = lambda kit: [(rows(b[0]), b[1]) for b in kit.dl().create_batches([5,3,1,0,9])],
    chunks = lambda kit: [list(o) for o in kit.dl().chunkify(range(9))],
    # New loaders
    new_keeps_options = lambda kit: [(dl.bs, dl.shuffle, dl.drop_last, dl.n) for dl in [kit.dl(bs=5, shuffle=True, drop_last=True).new()]],
    new_with_other_options = lambda kit: [(len(dl), sizes(dl)) for dl in [kit.dl(21).new(bs=10, drop_last=True)]],
    new_with_a_dataset = lambda kit: order(kit.dl().new(kit.dsets(8))),
    new_of_another_class = new_subclass,
    new_is_another = lambda kit: [dl.new() is dl for dl in [kit.dl()]],
    new_leaves_the_old = lambda kit: [(len(dl.new(bs=10)), len(dl)) for dl in [kit.dl()]],
    new_keeps_functions = lambda kit: order(kit.dl(get_idxs=lambda: [3,1,2]).new()),
    new_keeps_after_batch = lambda kit: firsts(kit.dl(after_batch=Tens()).new().one_batch()),
    new_keeps_types = lambda kit: [type(o).__name__ for o in kit.dl().new().one_batch()],
    # Transforms of batches
    transform_runs = lambda kit: firsts(kit.dl(after_batch=Tens()).one_batch()),
    transform_keeps_the_type = lambda kit: [type(o).__name__ for o in kit.dl(after_batch=Tens()).one_batch()],
    transforms_in_their_order = lambda kit: firsts(kit.dl(after_batch=[Tens(),PlusOne()]).one_batch()),
    pipeline_given = lambda kit: firsts(kit.dl(after_batch=Pipeline([PlusOne(),Tens()])).one_batch()),
    transform_of_targets = lambda kit: kit.dl(after_batch=OnTargets()).one_batch(),
    transform_is_set_up_once = set_up_once,
    transform_is_not_set_up = lambda kit: set_up_once(kit, do_setup=False),
    transform_for_training = lambda kit: [firsts(kit.dl(dsets=o, after_batch=TrainOnly()).one_batch()) for o in (split(kit).train, split(kit).valid)],
    transform_for_validation = lambda kit: [firsts(kit.dl(dsets=o, after_batch=ValidOnly()).one_batch()) for o in (split(kit).train, split(kit).valid)],
    transform_without_a_split = lambda kit: firsts(kit.dl(after_batch=TrainOnly()).one_batch()),
    batch_is_undone = undone,
    batch_is_decoded = decoded,
    batch_is_decoded_for_show = lambda kit: decoded(kit, False),
    decoded_batches_have_nine = lambda kit: [len(dl.decode_batch(dl.one_batch())) for dl in [kit.dl(bs=16)]],
    inputs_are_counted = lambda kit: [kit.dl().n_inp, kit.dl(dsets=kit.dsets(y=False)).n_inp],
    shown_without_drawing = shown,
    shown_batch_is_given = lambda kit: [float(o[0][0,0]) for dl in [kit.dl()] for o in dl.show_batch(dl.one_batch(), show=False)[2]],
    one_sample_again_and_again = lambda kit: [rows(dl.show_batch(unique=True, show=False)[0]) for dl in [kit.dl()]],
    order_after_unique = lambda kit: after_unique(kit),
    results_without_drawing = results,
    series_are_drawn = drawn,
    # Several loaders
    loaders_are_counted = lambda kit: len(kit.dls()),
    loaders_by_number = lambda kit: [[dls[i] is o for i,o in enumerate((dls.train, dls.valid))] for dls in [kit.dls()]],
    datasets_by_name = lambda kit: [(len(dls.train_ds), len(dls.valid_ds)) for dls in [kit.dls()]],
    rows_of_loaders = lambda kit: [sorted(order(dls.train.new(drop_last=False))) + order(dls.valid) for dls in [kit.dls()]],
    defaults_of_loaders = lambda kit: both(kit.dls()),
    validation_batch_size = lambda kit: both(kit.dls(val_bs=3)),
    order_of_training = lambda kit: both(kit.dls(shuffle=False)),
    order_of_training_by_its_old_name = lambda kit: both(kit.dls(shuffle_train=False)),
    order_of_validation = lambda kit: both(kit.dls(val_shuffle=True)),
    remainder_of_training = lambda kit: both(kit.dls(drop_last=False)),
    options_of_each_loader = lambda kit: both(kit.dls(dl_kwargs=[dict(bs=2), dict(bs=5)])),
    fewer_training_rows = lambda kit: [len(order(dl)) for dl in kit.dls(n=8).loaders],
    loaders_of_datasets = lambda kit: both(kit.of_dsets(kit.dsets(8), kit.dsets(6), bs=4)),
    options_in_tuples = lambda kit: both(kit.of_dsets(kit.dsets(8), kit.dsets(6), bs=4, shuffle=(False,True))),
    same_option_for_all = lambda kit: both(kit.of_dsets(kit.dsets(8), kit.dsets(6), bs=4, drop_last=False, shuffle=False)),
    rows_of_datasets = lambda kit: orders(kit.of_dsets(kit.dsets(8), kit.dsets(6), bs=4, shuffle=False)),
    three_splits = lambda kit: [order(dl) for dl in kit.dls(splits=[range(8),range(8,12),range(12,20)]).loaders[1:]],
    loaders_put_together = lambda kit: orders(kit.dls_type(kit.dl(8), kit.dl(6))),
    training_loader_set = set_train,
    first_loader_answers = lambda kit: [(dls.bs, dls.drop_last, len(dls.one_batch()[0])) for dls in [kit.dls()]],
    moved_loaders = lambda kit: [(dls.to('cpu') is dls, str(dls.device), dls.cpu() is dls) for dls in [kit.dls()]],
    path_of_loaders = lambda kit: [str(kit.dls(path='models').path), str(kit.dls().path)],
    device_of_loaders = lambda kit: [str(dl.device) for dl in kit.dls().loaders],
    empty_loaders = lambda kit: [(len(o), [len(dl.dataset) for dl in o.loaders], o[0].bs) for o in [kit.dls().new_empty()]],
    transforms_added = with_added,
    transforms_added_to_one = lambda kit: with_added(kit, loaders=[1]),
    transforms_added_by_name = lambda kit: with_added(kit, loaders=['valid']),
    transforms_of_items_added = lambda kit: with_added(kit, 'after_item'),
    transforms_of_lists_added = lambda kit: with_added(kit, 'before_batch'),
    batch_transforms_of_all = lambda kit: [firsts(dl.new(shuffle=False).one_batch()) for dl in kit.dls(after_batch=Tens()).loaders],
    # New samples
    test_rows = lambda kit: order(kit.dls().test_dl(kit.new_items(9))),
    test_length = lambda kit: len(kit.dls().test_dl(kit.new_items(9))),
    test_has_no_targets = lambda kit: [len(b) for b in kit.dls().test_dl(kit.new_items(9))],
    test_options = lambda kit: [(dl.bs, dl.shuffle, dl.drop_last) for dl in [kit.dls().test_dl(kit.new_items(9), bs=2)]],
    test_batch_size = lambda kit: kit.dls(val_bs=3).test_dl(kit.new_items(9)).bs,
    test_inputs = lambda kit: kit.dls().test_dl(kit.new_items(9)).n_inp,
    test_is_transformed_as_validation = lambda kit: [firsts(kit.dls(after_batch=[TrainOnly(),Tens()]).test_dl(kit.new_items(9)).one_batch())],
    test_split = lambda kit: kit.dls().test_dl(kit.new_items(9)).dataset.split_idx,
    test_of_the_validation_set = lambda kit: [order(dls.test_dl(dls.valid_ds)) for dls in [kit.dls()]],
    # Datasets
    samples_are_counted = lambda kit: [len(kit.dsets()), len(split(kit).train), len(split(kit).valid)],
    sample = lambda kit: kit.dsets()[3],
    sample_type = lambda kit: [type(kit.dsets()[3]).__name__, [type(o).__name__ for o in kit.dsets()[3]]],
    sample_from_the_end = lambda kit: kit.dsets()[-1],
    sample_beyond_the_end = lambda kit: kit.dsets()[20],
    sample_by_numpy_integer = lambda kit: kit.dsets()[np.int64(3)],
    some_samples = lambda kit: kit.dsets()[[3,1]],
    some_samples_type = lambda kit: [type(o).__name__ for o in (kit.dsets()[[3,1]], kit.dsets()[[3,1]][0])],
    sliced_samples = lambda kit: kit.dsets()[2:9:3],
    masked_samples = lambda kit: kit.dsets(4)[[True,False,False,True]],
    iterated_samples = lambda kit: [float(y) for x,y in kit.dsets()],
    subsets = lambda kit: [firsts_of(split(kit).subset(i), [0,-1]) for i in (0,1)],
    subset_that_is_missing = lambda kit: split(kit).subset(2),
    subsets_are_counted = lambda kit: [split(kit).n_subsets, kit.dsets().n_subsets],
    splits = lambda kit: [list(o) for o in split(kit).splits],
    default_splits = lambda kit: [len(kit.dsets().train), len(kit.dsets().valid)],
    splits_by_mask = lambda kit: [list(o) for o in kit.dsets(4, splits=[[True,True,False,True],[False,False,True,False]]).splits],
    number_of_the_split = lambda kit: [o.split_idx for o in (split(kit).train, split(kit).valid, split(kit))],
    overlapping_splits = lambda kit: list(split(kit).overlapping_splits()),
    overlapping_splits_found = lambda kit: list(kit.dsets(6, splits=[[0,1,2,3],[3,4,5,1]]).overlapping_splits()),
    inputs_of_a_dataset = lambda kit: [kit.dsets().n_inp, kit.dsets(y=False).n_inp],
    columns_of_a_dataset = lambda kit: [len(kit.dsets().tls), len(kit.dsets(y=False).tls)],
    transforms_of_samples = lambda kit: kit.dsets(tfms=([Tens()],[OnTargets()]))[3],
    transforms_of_samples_undone = lambda kit: [dsets.decode(dsets[3]) for dsets in [kit.dsets(tfms=([Tens()],[OnTargets()]))]],
    transforms_of_samples_in_batches = lambda kit: [firsts(b) for b in kit.dl(dsets=kit.dsets(tfms=([Tens()],None)))],
    transforms_of_samples_by_split = lambda kit: [firsts_of(o, [0,1]) for dsets in [split(kit, tfms=([TrainOnly()],None))] for o in (dsets.train, dsets.valid)],
    split_of_transforms_set = lambda kit: held_in_split(kit, 0),
    empty_dataset = lambda kit: [len(o) for dsets in [split(kit)] for o in [dsets.new_empty()]],
    attribute_of_no_dataset = lambda kit: kit.dsets().nonsense,
    dataset_is_loaded = lambda kit: order(kit.dsets(8, splits=[range(8),[]]).dataloaders(bs=4, shuffle=False, num_workers=0).train))

@pytest.mark.parametrize('name', loader_behaviors)
def test_loaders_do_what_fastais_do(name): check(name, loader_behaviors[name], Fastai(), Ours())

# Items

small,large,by_y = (lambda t: t[1] < 4),(lambda t: t[1] > 6),(lambda t: t[1])

class Lists:
    "fastcore's `L` of samples"
    def items(self, n=12, k=2): return L(*self.arrays(n)[:k]).zip()
    def arrays(self, n): return ramp(n), np.random.default_rng(0).permutation(n)//2, np.arange(n)*10

class Lazy(Lists):
    "Our items over the same arrays"
    def items(self, n=12, k=2): return itemify(*self.arrays(n)[:k])

def seeded(f, seed=3):
    random.seed(seed)
    return f()

def total(o): return float(o[0].sum())
def lazily(o): return [isinstance(o, L), plain(o)]
def numbers(o): return plain(o.itemgot(1))

def changed(kit, f):
    "Items after a change in place"
    o = kit.items()
    f(o)
    return numbers(o)

def seen_by(kit, i):
    "Items that a fastai `TfmdLists` reads"
    tl = TfmdLists(kit.items(), [ItemGetter(1)], splits=[range(8),range(8,12)])
    return list(tl), list(tl.subset(i)), len(tl)

def blocked(kit):
    block = DataBlock((TransformBlock(type_tfms=tensor),CategoryBlock), getters=[ItemGetter(0),ItemGetter(1)], splitter=IndexSplitter([0,5]))
    dls = block.dataloaders(kit.items(), bs=2, num_workers=0, device='cpu', shuffle=False)
    return [list(b) for b in dls.valid], list(dls.vocab), len(dls.train)

item_behaviors = dict(
    # Selection
    first_item = lambda kit: kit.items()[0],
    last_item = lambda kit: kit.items()[-1],
    item_type = lambda kit: type(kit.items()[0]).__name__,
    item_by_numpy_integer = lambda kit: kit.items()[np.int8(3)],
    item_by_zero_dimensional_array = lambda kit: kit.items()[np.array(3)],
    item_by_tensor = lambda kit: kit.items()[tensor(3)],
    item_by_boolean = lambda kit: kit.items()[True],
    item_beyond_the_end = lambda kit: kit.items()[12],
    item_before_the_start = lambda kit: kit.items()[-13],
    item_by_string = lambda kit: kit.items()['a'],
    item_by_float = lambda kit: kit.items()[1.5],
    item_by_nothing = lambda kit: kit.items()[None],
    some_items = lambda kit: lazily(kit.items()[[3,1,1]]),
    items_by_tuple = lambda kit: lazily(kit.items()[3,1]),
    items_by_array = lambda kit: lazily(kit.items()[np.array([3,-1])]),
    items_by_tensor = lambda kit: lazily(kit.items()[tensor([3,-1])]),
    items_by_L = lambda kit: lazily(kit.items()[L(3,1)]),
    items_by_range = lambda kit: lazily(kit.items()[range(8, 2, -3)]),
    items_by_generator = lambda kit: lazily(kit.items()[(i for i in (2,5))]),
    items_by_mask = lambda kit: lazily(kit.items()[[True,False]*6]),
    items_by_array_mask = lambda kit: lazily(kit.items()[np.arange(12) > 9]),
    items_by_short_mask = lambda kit: lazily(kit.items()[[False,True]]),
    items_by_empty_list = lambda kit: lazily(kit.items()[[]]),
    items_by_empty_array = lambda kit: lazily(kit.items()[np.array([], int)]),
    items_beyond_the_end = lambda kit: kit.items()[[3,12]],
    sliced = lambda kit: lazily(kit.items()[2:9:3]),
    sliced_backwards = lambda kit: lazily(kit.items()[::-1]),
    sliced_to_nothing = lambda kit: lazily(kit.items()[5:5]),
    sliced_beyond_the_end = lambda kit: lazily(kit.items()[9:99]),
    selected_twice = lambda kit: lazily(kit.items()[2:][[0,-1]][::-1]),
    # Answers
    items_are_counted = lambda kit: [len(kit.items()), len(kit.items()[3:])],
    truth = lambda kit: [bool(kit.items()), bool(kit.items()[:0])],
    iterated = lambda kit: list(kit.items()),
    iterated_backwards = lambda kit: list(reversed(kit.items())),
    unpacked = lambda kit: [(float(x[0,0]), y) for x,y in kit.items()],
    printed = lambda kit: repr(kit.items(3)),
    as_string = lambda kit: str(kit.items(3)),
    equal = lambda kit: [kit.items() == kit.items(), kit.items() != kit.items()],
    equal_to_a_list = lambda kit: kit.items(k=1)[:0] == [],
    unequal = lambda kit: [kit.items() == kit.items(11), kit.items() == 3, kit.items() == None, kit.items() == 'a'],
    is_a_sequence = lambda kit: isinstance(kit.items(), Sequence),
    is_listy = lambda kit: [is_listy(kit.items()), is_iter(kit.items())],
    wrapped = lambda kit: [L(o) is o for o in [kit.items()]],
    listified = lambda kit: [type(listify(o)).__name__ for o in [kit.items()]],
    single_column = lambda kit: lazily(kit.items(k=1)[:3]),
    three_columns = lambda kit: lazily(kit.items(k=3)[:3]),
    got = lambda kit: lazily(kit.items().itemgot(1)),
    got_twice = lambda kit: lazily(kit.items().itemgot(0, 1)),
    attributes_got = lambda kit: lazily(kit.items().itemgot(0).attrgot('ndim')),
    attribute_that_is_missing = lambda kit: lazily(kit.items().attrgot('nonsense', 7)),
    mapped = lambda kit: lazily(kit.items().map(total)),
    mapped_with_arguments = lambda kit: kit.items().map(lambda t, b: float(t[1]+b), b=3),
    mapped_by_format = lambda kit: kit.items().itemgot(1).map('no. {}'),
    mapped_as_class_method = lambda kit: list(L.map(total)(kit.items())),
    mapped_to_dict = lambda kit: kit.items().itemgot(1).map_dict(lambda y: y*2),
    map_first = lambda kit: kit.items().map_first(by_y, lambda y: y > 2),
    map_zip = lambda kit: kit.items().map_zip(lambda *ts: len(ts)),
    starred = lambda kit: kit.items().map(star(lambda x, y: float(x.sum()+y))),
    filtered = lambda kit: lazily(kit.items().filter(large)),
    filtered_out = lambda kit: lazily(kit.items().filter(large, negate=True)),
    filtered_to_nothing = lambda kit: lazily(kit.items().filter(lambda t: False)),
    filtered_as_class_method = lambda kit: numbers(L.filter(small)(kit.items())),
    argwhere = lambda kit: lazily(kit.items().argwhere(large)),
    argwhere_not = lambda kit: lazily(kit.items().argwhere(large, negate=True)),
    argfirst = lambda kit: [kit.items().argfirst(large), kit.items().argfirst(small, negate=True)],
    first_match = lambda kit: kit.items().first(large),
    first_of_none = lambda kit: kit.items().first(lambda t: t[1] > 99),
    last_match = lambda kit: kit.items().last(small),
    partitioned = lambda kit: [lazily(o) for o in kit.items().partition(small)],
    sorted_by_function = lambda kit: lazily(kit.items().sorted(key=by_y)),
    sorted_by_place = lambda kit: lazily(kit.items().sorted(key=1, reverse=True)),
    sorted_by_comparison = lambda kit: numbers(kit.items().sorted(cmp=lambda a, b: int(b[1]-a[1]))),
    sorted_without_key = lambda kit: kit.items().sorted(),
    unique_values = lambda kit: lazily(kit.items().itemgot(1).unique(sort=True)),
    unique_items = lambda kit: kit.items().unique(),
    values_to_places = lambda kit: kit.items().itemgot(1).val2idx(),
    grouped = lambda kit: kit.items().groupby(1, total),
    taken_while = lambda kit: lazily(kit.items().takewhile(lambda t: t[1] != 3)),
    dropped_while = lambda kit: lazily(kit.items().dropwhile(lambda t: t[1] != 3)),
    compressed = lambda kit: lazily(kit.items().compress([1,0]*6)),
    enumerated = lambda kit: lazily(kit.items().enumerate()),
    enumerated_backwards = lambda kit: lazily(kit.items().renumerate()),
    zipped = lambda kit: lazily(kit.items().zip()),
    zipped_in_cycles = lambda kit: lazily(kit.items()[:3].zip(cycled=True)),
    zipped_with = lambda kit: lazily(kit.items().zipwith(range(12))),
    mapped_with_another = lambda kit: kit.items().map_zipwith(lambda t, i: float(t[1]*i), range(12)),
    cycled = lambda kit: list(islice(kit.items()[:2].cycle(), 5)),
    concatenated = lambda kit: len(kit.items().concat()),
    flattened = lambda kit: lazily(kit.items(3).flatten()),
    mapped_flat = lambda kit: lazily(kit.items().flatmap(lambda t: [t[1],t[1]])),
    in_batches = lambda kit: lazily(kit.items().batched(5)),
    in_pairs = lambda kit: lazily(kit.items(4).pairwise()),
    permuted = lambda kit: len(kit.items(4).permutations()),
    combined = lambda kit: lazily(kit.items(4).combinations(2)),
    accumulated = lambda kit: kit.items().itemgot(1).accumulate(),
    reduced = lambda kit: kit.items().reduce(lambda a, t: a+float(t[1]), 0.),
    summed = lambda kit: [kit.items().itemgot(1).sum(), kit.items().itemgot(1).product()],
    inverted = lambda kit: lazily(~kit.items()),
    shuffled = lambda kit: lazily(seeded(kit.items().shuffle)),
    shuffled_keeps_all = lambda kit: sorted(numbers(kit.items().shuffle())),
    shuffle_leaves_the_items = lambda kit: [numbers(o) for o in [kit.items()] if o.shuffle()],
    # New lists
    added_to_itself = lambda kit: lazily(kit.items()+kit.items()),
    added_list = lambda kit: lazily(kit.items(3)+['a',1]),
    added_one = lambda kit: lazily(kit.items(3)+5),
    added_in_front = lambda kit: lazily(['a']+kit.items(3)),
    repeated = lambda kit: lazily(kit.items(3)*2),
    copied = lambda kit: [lazily(f(kit.items())) for f in (lambda o: o.copy(), shallow, deepcopy)],
    pickled = lambda kit: lazily(pickle.loads(pickle.dumps(kit.items()))),
    summed_as_lists = lambda kit: numbers(sum([kit.items(3),kit.items(2)], L())),
    # Changes in place
    appended = lambda kit: changed(kit, lambda o: o.append((0,1))),
    extended = lambda kit: changed(kit, lambda o: o.extend([(0,1)])),
    inserted = lambda kit: changed(kit, lambda o: o.insert(0, (0,1))),
    popped = lambda kit: changed(kit, lambda o: o.pop()),
    removed = lambda kit: changed(kit, lambda o: o.remove((0,1))),
    set_one = lambda kit: changed(kit, lambda o: o.__setitem__(0, (0,1))),
    set_several = lambda kit: changed(kit, lambda o: o.__setitem__([0,2], (0,1))),
    deleted = lambda kit: changed(kit, lambda o: o.__delitem__(0)),
    reversed_in_place = lambda kit: changed(kit, lambda o: o.reverse()),
    sorted_in_place = lambda kit: changed(kit, lambda o: o.sort(key=by_y)),
    cleared = lambda kit: changed(kit, lambda o: o.clear()),
    added_in_place = lambda kit: changed(kit, lambda o: o.__addi__([(0,1)])),
    contained = lambda kit: (0,1) in kit.items(k=1)[:0],
    counted = lambda kit: kit.items()[:0].count((0,1)),
    placed = lambda kit: kit.items()[:0].index((0,1)),
    # fastai
    read_by_lists_with_transforms = lambda kit: [seen_by(kit, i) for i in (0,1)],
    read_by_a_block = blocked)

@pytest.mark.parametrize('name', item_behaviors)
def test_items_do_what_L_does(name): check(name, item_behaviors[name], Lists(), Lazy())

@pytest.mark.parametrize('select', [lambda o: o[[3,1]], lambda o: o[2:9:3], lambda o: o.filter(large), lambda o: o.sorted(key=by_y), lambda o: o.sorted(1),
    lambda o: o.sorted(cmp=lambda a, b: int(a[1]-b[1])), lambda o: o.takewhile(small), lambda o: o.dropwhile(small), lambda o: o.compress([1,0]*6),
    lambda o: o.partition(small)[0], lambda o: o.partition(small)[1], lambda o: o.shuffle(), lambda o: o+o[:2], lambda o: o.copy(), reversed])
def test_what_selects_or_reorders_gives_items(select): assert type(select(Lazy().items())) is Items

def test_every_difference_belongs_to_a_behavior():
    known = loader_behaviors.keys() | item_behaviors.keys()
    assert differences.keys() | refused_by_both <= known and not differences.keys() & refused_by_both
    assert not loader_behaviors.keys() & item_behaviors.keys(), 'the table tells behaviors by their names'
