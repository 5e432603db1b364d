"What a fastai user expects: lists of series, folders as datasets, some validation rows, and what travels with a batch"
import pickle
import numpy as np, pytest, torch
from fastai.basics import Callback, Learner, nn
from conftest import fails, filled, ramp, rows, same
from loader_cases import loader
from tsdisk.convert.convert import convert
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.disk.arrays import save_array
from tsdisk.disk.gather import tensor_view
from tsdisk.disk.shards import Shards
from tsdisk.folder.manifest import save_folder
from tsdisk.series.ragged_files import open_ragged, save_ragged
from tsdisk.series.windows import Windows

# Series of unequal lengths

series = [filled((2,n), seed=n) for n in (3,9,5,4)]

def test_a_list_of_series_of_unequal_lengths_is_data():
    dls = TSDataLoaders.from_arrays(series, np.arange(4.), splits=[[0,2],[1,3]], bs=2, device='cpu')
    x,mask,y = dls.valid.one_batch()
    assert mask.sum(1).tolist() == [9,4] and y.tolist() == [1,3]
    same(x[0], series[1])
    same(x[1,:,:4], series[3])
    assert (x[1,:,4:] == 0).all()

def test_lists_that_are_no_such_series_are_what_they_were(tmp_path):
    same(TSDatasets([o[:,:3] for o in series])[2][0], series[2][:,:3])
    with fails(ValueError, 'need one shape'): TSDatasets([np.zeros((2,3)), np.zeros((3,3))])
    on_disk = [save_array(tmp_path/f'{i}.npy', o) for i,o in enumerate(series)]
    with fails(ValueError, 'not read into memory', '`save_ragged(folder, series)`'): TSDatasets(on_disk)

@pytest.mark.parametrize('side', ['right','left'])
@pytest.mark.parametrize('length', [1,5,9,100])
def test_batches_of_one_length(tmp_path, side, length):
    save_ragged(tmp_path, series)
    r = open_ragged(tmp_path, length=length, value=-7, side=side)
    def padded(o):
        o = o[:,:length] if side == 'right' else o[:,-length:]
        spare = length-o.shape[1]
        return np.pad(o, ((0,0), (0,spare) if side == 'right' else (spare,0)), constant_values=-7)
    want = np.stack([padded(o) for o in series])
    for o in (r, pickle.loads(pickle.dumps(r))):
        assert o.shape == (4,2,length)
        same(o.gather([2,0]), want[[2,0]])
        same(o.gather([3]), want[[3]])
    same(r[1], series[1])
    dls = TSDataLoaders.from_arrays(r, np.arange(4.), splits=[[1,2],[0,3]], bs=2, device='cpu', shuffle=False)
    x,mask,_ = dls.train.one_batch()
    same(x, want[[1,2]])
    assert mask.shape == (2,length) and mask.sum(1).tolist() == [min(length, 9), min(length, 5)] and dls.len == length
    same(dls.test_dl([series[0]]).one_batch()[0], want[[0]])

def test_a_length_is_one_number(tmp_path):
    save_ragged(tmp_path, series)
    with fails(ValueError, '`most`', '`length`'): open_ragged(tmp_path, length=3, most=3)
    with fails(ValueError, '`length`', 'got 0'): open_ragged(tmp_path, length=0)

def test_series_read_from_disk_have_one_length_too(tmp_path):
    save_ragged(tmp_path, series)
    r = open_ragged(tmp_path, length=7)
    same(r.direct(2).gather([1,0]), r.gather([1,0]))

# Paths

@pytest.mark.parametrize('name,words', [('a.csv', '`convert(path, folder)`'), ('raw', '`from_folder`')])
def test_other_paths_say_what_to_use(tmp_path, name, words):
    (tmp_path/'raw').mkdir()
    (tmp_path/'a.csv').write_text('a,b\n1,2\n')
    with fails((ValueError,IsADirectoryError), name, words): TSDataLoaders.from_arrays(tmp_path/name)

def test_a_folder_is_a_dataset(tmp_path):
    save_folder(tmp_path, ramp(10), np.arange(10)%3, splits=dict(train=range(6), valid=range(6, 10)))
    dsets = TSDatasets.from_folder(tmp_path, sel_vars=[1], mask=True)
    assert [len(o) for o in (dsets, dsets.train, dsets.valid)] == [10,6,4] and dsets.vars == 1 and dsets.n_inp == 2 and dsets.c == 3
    same(dsets.valid[0][0], ramp(10)[6,1:])
    assert [len(o) for o in TSDatasets.from_folder(tmp_path, splits=[[0,1,2],[3]]).splits] == [3,1]

def test_a_folder_without_splits_trains_on_all(tmp_path):
    save_folder(tmp_path, ramp(10))
    assert [len(o) for o in TSDatasets.from_folder(tmp_path).splits] == [10,0]

# Some validation rows

@pytest.mark.parametrize('part,want', [(None, [*range(20, 60)]), (4, [20,30,40,50]), (.1, [20,30,40,50]), (1, [20]), (100, [*range(20, 60)])])
def test_some_validation_rows_are_always_the_same(part, want):
    dls = TSDataLoaders.from_arrays(ramp(60), splits=[range(20),range(20, 60)], bs=8, val_partial_n=part, device='cpu')
    for _ in range(2): assert [i for b in dls.valid for i in rows(b[0])] == want
    assert len(dls.valid_ds) == len(want) and dls.train.sampling.size == 20

def test_no_validation_rows_are_refused():
    with fails(ValueError, '`partial_n`', 'got 0'): TSDataLoaders.from_arrays(ramp(60), val_partial_n=0)

# What travels with a batch

class Sees(Callback):
    "What a callback sees of each batch"
    def __init__(self): self.seen = []
    def after_batch(self): self.seen.append((rows(self.x), self.dl.batch_info()))

@pytest.mark.parametrize('workers', [0,1])
def test_callbacks_see_the_rows_of_their_batch(workers):
    dls = TSDataLoaders.from_arrays(ramp(30), np.arange(30.), splits=[range(20),range(29, 19, -1)], bs=4, device='cpu', num_workers=workers,
        info=dict(age=np.arange(30)*10, who=[f's{i}' for i in range(30)]))
    sees = Sees()
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(6, 1)), lr=0., cbs=sees)
    with learn.no_logging(): learn.fit(1)
    assert sorted(i for o,_ in sees.seen[:5] for i in o) == [*range(20)] and [i for o,_ in sees.seen[5:] for i in o] == [*range(29, 19, -1)]
    for ids,info in sees.seen:
        assert info['rows'].tolist() == ids and info['age'].tolist() == [i*10 for i in ids] and info['who'].tolist() == [f's{i}' for i in ids]

def test_a_folder_brings_what_it_says_of_its_rows(tmp_path):
    convert([dict(X=o, subject=f's{i}', age=30+i) for i,o in enumerate(ramp(6))], tmp_path/'set', n_workers=0)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[[3,1],[0,5]], bs=2, shuffle=False, device='cpu')
    for dl,want in zip(dls.loaders, ([3,1], [0,5])):
        for _ in dl: info = dl.batch_info()
        assert info['age'].tolist() == [30+i for i in want] and info['subject'].tolist() == [f's{i}' for i in want]

def test_what_shards_say_of_their_rows_stays_on_disk(tmp_path):
    convert([dict(X=o, grades=np.full(3, i)) for i,o in enumerate(ramp(6))], tmp_path/'set', n_workers=0, layout=dict(grades='shards'))
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[[3,1],[0,5]], bs=2, shuffle=False, device='cpu')
    assert isinstance(dls.train_ds.info['grades'], Shards)
    for dl,want in zip(dls.loaders, ([3,1], [0,5])):
        for _ in dl: info = dl.batch_info()
        assert info['grades'].tolist() == [[i]*3 for i in want]

def test_new_samples_have_no_info():
    dls = TSDataLoaders.from_arrays(ramp(9), info=dict(age=range(9)), bs=2, device='cpu')
    for _ in (dl := dls.test_dl(ramp(3))): info = dl.batch_info()
    assert {*info} == {'rows'} and dls.new_empty().train_ds.info == {}

def test_info_is_a_value_for_each_row():
    with fails(ValueError, "8 values of 'age' for 9 rows"): TSDatasets(ramp(9), info=dict(age=range(8)))
    with fails(ValueError, "'rows'"): TSDatasets(ramp(9), info=dict(rows=range(9)))
    with fails(ValueError, 'No batch'): loader().batch_info()

def test_a_batch_has_names():
    dsets = TSDatasets((ramp(9), np.arange(9.), np.arange(9)), np.arange(9.), mask=True)
    dl = TSDataLoader(dsets, bs=3)
    b = dl.one_batch()
    named = dl.as_dict(b)
    assert [*named] == ['X','X1','X2','mask','y'] and all(named[k] is o for k,o in zip(named, b))
    assert [*TSDataLoader(TSDatasets(ramp(9))).as_dict(TSDataLoader(TSDatasets(ramp(9))).one_batch())] == ['X']

# Single samples

w = Windows(filled((60,3)), 10, horizon=4, stride=2, known=[0])
datasets = dict(numbers=lambda: TSDatasets(ramp(9), np.arange(9.)), mask=lambda: TSDatasets(ramp(9), mask=True))
datasets |= dict(labels=lambda: TSDatasets(ramp(9, dtype='i2'), [*'abcabcabc']), split=lambda: TSDatasets(ramp(9), splits=[[5,3],[8]]).train)
datasets |= dict(windows=lambda: TSDatasets(w), itself=lambda: TSDatasets(w, w), ragged=lambda: TSDatasets(series))
datasets |= dict(transformed=lambda: TSDatasets(ramp(9), np.arange(9.), tfms=[[lambda o: o*2], [lambda o: o+1]]))

@pytest.mark.parametrize('name', datasets)
def test_a_sample_is_the_row_of_a_batch(name):
    dsets = datasets[name]()
    for i in (0, 1, -1, np.int8(1), torch.tensor(1)):
        sample,row = dsets[i],dsets.batch([int(i)])
        for a,b in zip(sample, row, strict=True):
            assert type(a) is type(b) and a.dtype == b.dtype
            same(a, b[0])
    with fails(IndexError, f'Item {len(dsets)} was asked for'): dsets[len(dsets)]

@pytest.mark.parametrize('name', datasets)
def test_writing_into_a_sample_changes_nothing_else(name):
    dsets = datasets[name]()
    x,*others = dsets[1]
    want = [o.clone() for o in dsets[1]]
    x.zero_()
    for a,b in zip(others, want[1:], strict=True): same(a, b)
    for a,b in zip(dsets[1], want, strict=True): same(a, b)

def test_tensors_see_the_memory_of_arrays(tmp_path):
    x = filled((4,3))
    for a in (x, save_array(tmp_path/'x.npy', x), x[::2], x.T):
        t = tensor_view(a)
        assert t.data_ptr() == a.ctypes.data
        same(t, a)
