"Loaders for training and validation take their options, and share what belongs to both"
import copy, multiprocessing, pickle, subprocess, sys
import numpy as np, pytest, torch
from conftest import epoch, fails, fresh, linux, ramp
from tsdisk.convert.convert import convert
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.disk.arrays import save_array

@pytest.mark.parametrize('method', [o for o in multiprocessing.get_all_start_methods() if o != 'fork'])
def test_how_workers_start_changes_nothing(tmp_path, method):
    save_array(tmp_path/'X.npy', ramp(333))
    save_array(tmp_path/'y.npy', np.array([*'abc'*111]))
    (tmp_path/'main.py').write_text("""
import multiprocessing, sys, torch
from tsdisk.data.loaders import TSDataLoaders
def main(d):
    dls = [TSDataLoaders.from_arrays(f'{d}/X.npy', f'{d}/y.npy', bs=16, seed=1, num_workers=k, device='cpu', drop_last=False) for k in (0,2)]
    a,b = [list(o.train) for o in dls]
    assert len(a) == len(b) == len(dls[0].train) and all(torch.equal(p, q) for o,r in zip(a, b) for p,q in zip(o, r))
    print('all', sum(len(o[0]) for o in b))
if __name__ == '__main__':
    multiprocessing.set_start_method(sys.argv[2])
    main(sys.argv[1])
""")
    done = subprocess.run([sys.executable,tmp_path/'main.py',tmp_path,method], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ['all','266'], done.stderr[-2000:]

def test_error_in_a_worker_reaches_the_user():
    dls = TSDataLoaders.from_arrays(ramp(40), ['a','b']*20, vocab=['a','b'], num_workers=1, bs=4)
    dl = dls.test_dl((ramp(8), ['a','b','c','a']*2), with_labels=True, num_workers=1)
    with fails(ValueError, "'c' is not in the vocabulary"): list(dl)

def test_no_batch_to_train_with_is_said():
    "A learner would train on nothing"
    with pytest.warns(UserWarning, match='there are 40 rows for batches of 64'): TSDataLoaders.from_arrays(ramp(50), splits=[range(40), range(40, 50)], drop_last=True)
    assert len(TSDataLoaders.from_arrays(ramp(50), splits=[range(40), range(40, 50)]).train) == 1

def test_validation_rows_come_in_the_order_of_their_split_for_every_epoch():
    dls = TSDataLoaders.from_arrays(ramp(50), np.arange(50.), splits=[range(0, 50, 2),[49,3,11,7]], bs=3)
    for _ in range(3):
        rows = epoch(dls.train)[0]
        assert epoch(dls.valid)[0] == [49,3,11,7] and len({*rows}) == len(rows) == 24 and {*rows} <= {*range(0, 50, 2)}

def test_options_reach_the_loaders():
    dls = TSDataLoaders.from_arrays(ramp(100), np.arange(100.), splits=[range(70),range(70, 100)], bs=16, val_bs=20, seed=1, device='cpu', path='here')
    assert (dls.train.bs, dls.valid.bs, dls.train.drop_last, dls.valid.drop_last, dls.train.shuffle, dls.valid.shuffle) == (16,20,True,False,True,False)
    assert [len(o) for o in dls] == [4,2] and str(dls.path) == 'here' and dls.device == torch.device('cpu') and dls.bs == 16
    assert epoch(dls.valid)[1] == [20,10] and epoch(dls.train)[1] == [16]*4
    assert len(TSDataLoaders.from_arrays(ramp(100), splits=[range(70)], bs=16, drop_last=False).train) == 5
    assert epoch(TSDataLoaders.from_arrays(ramp(9), splits=[range(9)], bs=16).train)[1] == [9]

def test_device_is_where_batches_are():
    dls = TSDataLoaders.from_arrays(ramp(20), np.arange(20.), bs=8, device='meta')
    assert all(o.device.type == 'meta' for dl in dls for b in dl for o in b) and dls.device.type == 'meta'
    dls.to(torch.device('cpu'))
    assert dls.one_batch()[0].device.type == 'cpu' and dls.valid.one_batch()[0].device.type == 'cpu'

def test_one_row_is_a_dataset():
    dls = TSDataLoaders.from_arrays(ramp(1), ['a'], splits=[[0]])
    assert epoch(TSDataLoader(TSDatasets(ramp(1), [0.])))[0] == [0] and dls.one_batch()[1].tolist() == [0] and len(dls.train) == 1

def test_empty_loader_says_so():
    dls = TSDataLoaders.from_arrays(ramp(5), splits=[range(5),[]])
    assert len(dls.valid) == 0 and list(dls.valid) == []
    with fails(ValueError, 'does not contain any batches'): dls.valid.one_batch()

@pytest.mark.parametrize('method', ['pickle','deepcopy'])
def test_loaders_can_be_copied(tmp_path, method):
    X = save_array(tmp_path/'X.npy', ramp(20_000))
    dls = TSDataLoaders.from_arrays(X, save_array(tmp_path/'y.npy', np.arange(20_000.)), bs=64, seed=3, splits=[range(18_000),range(18_000, 20_000)])
    f = dict(pickle=lambda o: pickle.loads(pickle.dumps(o)), deepcopy=copy.deepcopy)[method]
    assert len(pickle.dumps(dls)) < 80_000
    dls.one_batch()
    other = f(dls)
    assert [epoch(o) for o in other] == [epoch(o) for o in dls]

@linux
def test_default_splits_of_many_rows_take_no_memory(tmp_path):
    np.lib.format.open_memmap(tmp_path/'X.npy', 'w+', 'i1', (20_000_000,1,1)).flush()
    mb,size = fresh("""
        import pickle
        from conftest import rss_anon
        from tsdisk.data.loaders import TSDataLoaders
        TSDataLoaders.from_arrays(args[0], bs=64, device='cpu', seed=0).one_batch()
        before = rss_anon()
        dls = TSDataLoaders.from_arrays(args[0], bs=64, device='cpu', seed=0)
        dls.one_batch()
        res = rss_anon()-before, len(pickle.dumps(dls.train))""", tmp_path/'X.npy')
    assert mb < 20 and size < 30_000

def test_only_training_rows_are_a_part():
    dls = TSDataLoaders.from_arrays(ramp(500), np.arange(500.), splits=[range(400), range(400,500)], bs=16, partial_n=64, weights=np.arange(500), seed=0)
    assert [o.sampling.size for o in (dls.train, dls.valid, dls.test_dl(ramp(70)))] == [64, 100, 70] and dls.valid.sampling.weights is None
    again = dls.train.new().sampling
    assert (again.size, again.weights.values is dls.train.sampling.weights.values) == (64, True) and dls.train.new(shuffle=False).sampling.weights is None

def test_all_rows_come_where_a_part_is_less_than_a_batch():
    assert epoch(TSDataLoaders.from_arrays(ramp(500), splits=[range(400), range(400,500)], bs=64, partial_n=10).train)[1] == [10]

def test_predictions_are_of_all_rows_whatever_the_training_loader_leaves_out():
    dls = TSDataLoaders.from_arrays(ramp(100), np.arange(100.), splits=[range(80), range(80,100)], bs=8, seed=1, rank=1, world_size=2, partial_n=16)
    assert (len(dls.train), len(dls.valid), dls.valid.rank) == (1, 2, 1)
    assert epoch(dls.train.new(shuffle=False, drop_last=False))[0] == [*range(80)] and epoch(dls.valid.new(shuffle=False))[0] == [*range(80,100)]
    assert epoch(dls.test_dl(ramp(30)))[0] == [*range(30)]

def test_a_state_of_another_split_is_refused():
    dls = [TSDataLoaders.from_arrays(ramp(100), bs=16, seed=o).train for o in (1,2)]
    with fails(ValueError, 'split', '`seed` or `splits`'): dls[0].load_state_dict(dls[1].state_dict())

def test_a_dataset_makes_a_test_loader():
    dls = TSDataLoaders.from_arrays(ramp(40), np.arange(40)%2, bs=4, seed=0)
    dl = dls.test_dl(dls.valid_ds)
    assert not dl.shuffle and [torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a,b in zip(dl, dls.valid)] == [True]*len(dls.valid)

def test_a_column_called_rows_does_not_keep_a_folder_from_training(tmp_path):
    records = [dict(X=o, y=i%2, rows=i) for i,o in enumerate(ramp(20))]
    convert(records, tmp_path/'set')
    dls = TSDataLoaders.from_folder(tmp_path/'set', bs=4, device='cpu')
    assert len(dls.one_batch()) == 2
