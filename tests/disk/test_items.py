"`itemify(X, y)` answers as `L(X, y).zip()` does, and weighs nothing"
import copy, pickle, random, tracemalloc
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from fastcore.foundation import L
from hypothesis import given, strategies as st
from conftest import elsewhere, fails, filled, fresh, linux, same
from tsdisk.disk.arrays import open_array, save_array
from tsdisk.disk.items import Items, itemify

n = 12

@pytest.fixture(scope='module')
def disk(tmp_path_factory):
    "X (12, 2, 3) and y (12,) on disk"
    d = tmp_path_factory.mktemp('items')
    return save_array(d/'X.npy', filled((n,2,3))), save_array(d/'y.npy', np.random.default_rng(1).permutation(n)//2)

@pytest.fixture
def pair(disk): return itemify(*disk), L(*disk).zip()

def agree(got, want, lazy=None):
    "Equal to what `L` gives, in type and value"
    if isinstance(want, tuple):
        assert type(got) is tuple and len(got) == len(want)
        for a,b in zip(got, want): same(a, b)
    else:
        assert isinstance(got, L) and len(got) == len(want)
        for a,b in zip(got, want): agree(a, b)
        assert got == want and want == got
        if lazy is not None: assert isinstance(got, Items) == lazy

# Selection

positions = st.lists(st.integers(-n, n-1))
masks = st.lists(st.booleans(), min_size=n, max_size=n)
ways = [list, tuple, L, np.array, torch.tensor, iter]
one = st.integers(-n, n-1).flatmap(lambda i: st.sampled_from([i, np.int64(i), np.int8(i), np.array(i), torch.tensor(i)]))
def as_way(o, way): return np.array(o, int) if way is np.array and not len(o) else way(o)

@given(one)
def test_one_item_is_a_tuple_of_rows(pair, i): agree(pair[0][i], pair[1][int(i)])

@given(st.slices(n))
def test_slice_agrees(pair, i): agree(pair[0][i], pair[1][i], lazy=True)

@given(positions, st.sampled_from(ways))
def test_positions_agree(pair, pos, way): agree(pair[0][as_way(pos, way)], pair[1][pos], lazy=True)

@given(masks, st.sampled_from(ways))
def test_mask_agrees(pair, mask, way): agree(pair[0][way(mask)], pair[1][mask], lazy=True)

@given(st.lists(st.one_of(st.slices(n), positions, masks, st.just('shuffle'), st.just('reversed')), min_size=2, max_size=4), st.integers(0, 9))
def test_chained_selections_agree(pair, steps, seed):
    a,b = pair
    for o in steps:
        if o == 'shuffle': a,b = seeded(seed, a.shuffle), seeded(seed, b.shuffle)
        elif o == 'reversed': a,b = a[::-1],b[::-1]
        elif isinstance(o, slice): a,b = a[o],b[o]
        else:
            is_mask = len(o) and isinstance(o[0], bool)
            o = o[:len(b)] + [False]*(len(b)-len(o)) if is_mask else [i for i in o if -len(b) <= i < len(b)]
            a,b = a[o],b[o]
        agree(a, b, lazy=True)

def seeded(seed, f):
    random.seed(seed)
    return f()

def test_tuple_of_positions_and_range_agree(pair):
    agree(pair[0][3,1,2], pair[1][3,1,2], lazy=True)
    agree(pair[0][range(5, 0, -2)], pair[1][range(5, 0, -2)], lazy=True)

@pytest.mark.parametrize('i', [n, -n-1, 10**12, [0,n], np.array([-n-1]), (1,99), [False]*n+[True]], ids=str)
def test_position_out_of_range_is_an_index_error(pair, i):
    for o in pair:
        with pytest.raises(IndexError): o[i]
    with pytest.raises(IndexError): pair[0][2:5][3]

def test_index_error_names_the_item_and_what_there_is(pair):
    with fails(IndexError, 'Item 40', 'there are 12'): pair[0][[1,40]]

# Everything else that `L` does

by_y,big_y = (lambda t: t[1]),(lambda t: t[1] > 2)
does = dict(iterate=lambda o: list(o), reversed=lambda o: list(reversed(o)), length=len, boolean=bool, repr=repr, str=str,
    map=lambda o: o.map(lambda t: float(t[0].sum())), got=lambda o: o.itemgot(1), got2=lambda o: o.itemgot(0, 1), first=lambda o: o.first(big_y),
    filter=lambda o: o.filter(big_y), filter_not=lambda o: o.filter(big_y, negate=True), argwhere=lambda o: o.argwhere(big_y),
    partition=lambda o: o.partition(big_y), shuffle=lambda o: seeded(3, o.shuffle), sorted=lambda o: o.sorted(key=by_y),
    sorted_by=lambda o: o.sorted(key=1, reverse=True), enumerate=lambda o: o.enumerate(), zip=lambda o: o.zip(), cycle=lambda o: o[:2].zip(cycled=True),
    concat=lambda o: o.concat(), add=lambda o: o+o[:2], add_shuffled=lambda o: o[3:] + o[[5,1]] + o[:0], add_list=lambda o: o+['a',1], add_L=lambda o: o+L(1),
    radd=lambda o: ['a']+o, mul=lambda o: o*3, copy=lambda o: o.copy(), copy2=lambda o: copy.copy(o), deepcopy=lambda o: copy.deepcopy(o), wrapped=lambda o: L(o),
    listed=lambda o: L(list(o)), batched=lambda o: o.batched(5), pairwise=lambda o: o.pairwise(), takewhile=lambda o: o.takewhile(lambda t: t[1] != 3),
    groupby=lambda o: o.groupby(1, 0), slices=lambda o: [o[i:i+5] for i in range(0, n, 5)], unique=lambda o: o.itemgot(1).unique(sort=True),
    sum=lambda o: o.itemgot(1).sum())

def plain(o):
    "Nested lists of numbers and strings, which compare"
    if isinstance(o, dict): return {k: plain(v) for k,v in o.items()}
    if isinstance(o, (L,list,tuple,np.ndarray)): return [plain(i) for i in o]
    return o.item() if hasattr(o, 'item') else o

@pytest.mark.parametrize('what', does)
def test_items_do_what_L_does(pair, what):
    f = does[what]
    got,want = map(f, pair)
    assert plain(got) == plain(want)
    assert isinstance(got, L) == isinstance(want, L)

@pytest.mark.parametrize('what', ['filter','filter_not','shuffle','add','add_shuffled','copy','copy2','deepcopy','wrapped'])
def test_what_selects_stays_on_disk(pair, what):
    res = does[what](pair[0])
    assert isinstance(res, Items) and all(type(o[0]) is np.memmap for o in res)

def test_equality_finds_every_difference(disk, pair):
    X,y = disk
    items,_ = pair
    assert items == itemify(X, y) and items == itemify(np.array(X), np.array(y)) and not items != itemify(X, y)
    assert items[:3] != items[:4] and items[:3] != items[1:4] and items != itemify(X+1, y) and items != itemify(X, y+1)

def test_short_items_print_as_the_list(pair):
    items,want = pair
    assert repr(items) == repr(want) and str(items[:2]) == str(want[:2])

def test_long_items_print_a_part():
    items = itemify(np.broadcast_to(np.arange(3), (10**8,3)))
    assert repr(items).startswith('(#100000000) [(array([0, 1, 2]),)') and len(repr(items)) < 10_000

# Rows on disk

def test_rows_are_memmaps_of_the_file(disk, pair):
    for items in (pair[0], pair[0][::-2], pair[0][[3,1]], pair[0].shuffle()):
        for x,y in items:
            assert type(x) is np.memmap and x.filename == disk[0].filename and x.mode == 'r' and not x.flags.writeable
            assert np.shares_memory(x, disk[0]) and isinstance(y, np.int64)

def test_one_array_gives_tuples_of_one(disk):
    items = itemify(disk[0])
    agree(items[5], (disk[0][5],))
    assert [len(o) for o in items[:3]] == [1,1,1] and items == L([disk[0]]).zip()

@pytest.mark.parametrize('k', [3,5])
def test_any_number_of_arrays_goes_together(disk, k):
    arrays = [disk[0],disk[1]]*k
    agree(itemify(*arrays)[[2,7]], L(*arrays).zip()[[2,7]])

def test_paths_are_opened(disk): agree(itemify(disk[0].filename, Path(disk[1].filename)), L(*disk).zip())

def test_arrays_in_memory_and_tensors_are_items_too():
    X,y = filled((n,2,3)),[*'abcabcabcabc']
    agree(itemify(X, np.array(y))[::5], L(X, np.array(y)).zip()[::5])
    t = torch.arange(n)
    assert itemify(t, y)[3] == (t[3],'a')

def test_unequal_lengths_are_refused(disk):
    with fails(ValueError, '12 rows in array 0 and 11 in array 1'): itemify(disk[0], disk[1][1:])
    with fails(ValueError, '5 in array 2'): itemify(*disk, np.arange(5))
    with fails(ValueError, 'nothing to itemify'): itemify()

# Cost

def test_a_hundred_million_items_weigh_nothing():
    X,y = np.broadcast_to(np.float32(1), (100_000_000,3,500)),np.broadcast_to(np.int64(2), (100_000_000,))
    tracemalloc.start()
    try:
        items = itemify(X, y)
        some = items[5:-5:2][::-1][10:]
        last = some[-1][1]
        size,peak = tracemalloc.get_traced_memory()
    finally: tracemalloc.stop()
    assert len(items) == 10**8 and len(some) == 49_999_985 and last == 2 and size <= peak < 10_000

@pytest.mark.parametrize('part', [np.s_[:], np.s_[2:9:3], np.s_[::-1], [7,0,7]], ids=str)
def test_pickle_is_small_and_equal_in_another_process(tmp_path, part):
    save_array(tmp_path/'X.npy', filled((100,50,100)))
    save_array(tmp_path/'y.npy', np.arange(100))
    items = itemify(tmp_path/'X.npy', open_array(tmp_path/'y.npy')[:])[part]
    assert len(pickle.dumps(items)) < 4000
    kind,rows,file = elsewhere("type(a).__name__, [(np.array(x), int(y)) for x,y in a], a[0][0].filename", items)
    assert kind == 'Items' and file == str(tmp_path/'X.npy')
    agree(L(rows), L((np.array(x), int(y)) for x,y in items))

def test_items_of_a_view_pickle_as_the_view(disk):
    items = itemify(disk[0][2:8, 1], disk[1][2:8])
    agree(pickle.loads(pickle.dumps(items)), L(*items.arrays).zip())

# With fastai

@linux
def test_data_block_works_and_does_not_load_the_data(tmp_path):
    n = 5000
    x = np.tile(filled((1,30,500)), (500,1,1)) # 30 MB
    save_array(tmp_path/'X.npy', (x for _ in range(n//500)))
    save_array(tmp_path/'y.npy', np.array(['run','sit','walk'])[np.arange(n)%3])
    grown,size,vocab,shape,ok = fresh("""
        from conftest import rss_anon
        from fastai.data.all import *
        from tsdisk.disk.items import itemify
        d = Path(args[0])
        before = rss_anon()
        items = itemify(d/'X.npy', d/'y.npy')
        block = DataBlock((TransformBlock(type_tfms=tensor), CategoryBlock), getters=[ItemGetter(0),ItemGetter(1)], splitter=IndexSplitter(range(4000, 5000)))
        dls = block.dataloaders(items, bs=64, num_workers=0, device='cpu')
        X,y = items.arrays
        ok = all((xb.numpy() == X[0]).all() for xb,_ in dls.train)
        got = torch.cat([yb for _,yb in dls.valid])
        ok = ok and [dls.vocab[i] for i in got] == list(y[4000:])
        res = rss_anon()-before, X.nbytes/1e6, list(dls.vocab), tuple(xb.shape) if (xb := dls.one_batch()[0]) is not None else 0, ok""", tmp_path)
    assert ok and vocab == ['run','sit','walk'] and shape == (64,30,500)
    assert size == 300 and grown < 100, f'{grown:.0f} MB'

def test_tables_are_paired_by_place():
    y = pd.Series([*'abcd'], index=[3,2,1,0])
    assert [o[1] for o in itemify(np.zeros((4,2)), y)] == [*'abcd']

@pytest.mark.parametrize('change', [lambda o: o.append(1), lambda o: o.pop(), lambda o: o.__setitem__(0, 1)])
def test_items_on_disk_cannot_be_changed(change):
    with fails(TypeError, 'L(list(items))'): change(itemify(np.arange(3)))

def test_positions_are_one_list():
    with fails(IndexError, '(2, 2)'): itemify(np.arange(9))[np.array([[0,1],[2,3]])]

@pytest.mark.parametrize('name', ['reverse','sort','clear'])
def test_items_cannot_be_reordered_in_place(name):
    with fails(TypeError, "Items on disk can't be changed"): getattr(itemify(np.arange(6)), name)()
