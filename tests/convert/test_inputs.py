"Files are found, named, paired and grouped"
import numpy as np, pytest
from pathlib import Path
from fastcore.test import expect_fail
from tsdisk.convert.convert import append, convert
from tsdisk.convert.files import find_inputs
from tsdisk.convert.inputs import Inputs, split_in
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import open_folder, save_folder
from conftest import fails
from conversion import rec, as_item, X, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Find files

def test_pairs_of_folders_are_matched_by_name(tmp_path):
    for o in 'ab':
        for k in ('imgs','masks'):
            (tmp_path/o/k).mkdir(parents=True)
            for i in range(5): np.save(tmp_path/o/k/f'{i}.npy', rec(i)*(k == 'imgs'))
    arrays,_ = open_folder(convert(dict(X=f'{tmp_path}/*/imgs/*.npy', y=f'{tmp_path}/*/masks/*.npy'), tmp_path/'set'))
    assert arrays['X'].shape == arrays['y'].shape == (10,3,20) and not arrays['y'].any()
    (tmp_path/'b/masks/3.npy').unlink()
    with expect_fail(ValueError, "no file for 'y'"):
        convert(dict(X=f'{tmp_path}/*/imgs/*.npy', y=f'{tmp_path}/*/masks/*.npy'), tmp_path/'set2')

def test_files_with_the_same_name_are_refused(tmp_path):
    for k in 'ab': (tmp_path/k).mkdir(), np.save(tmp_path/k/'1.npy', X(1))
    np.savez(tmp_path/'a/1.npz', X=X(99))
    with expect_fail(ValueError, 'same name as another file'): convert(dict(X=tmp_path/'a', y=tmp_path/'b'), tmp_path/'set')

def test_arrays_of_one_file_are_paired(tmp_path):
    import h5py
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f['ecg/signals'],f['ecg/labels'] = np.random.default_rng(0).normal(size=(20,3,50)),np.arange(20)%4
    arrays,_ = open_folder(convert(dict(X=f'{tmp_path}/a.h5::ecg/signals', y=f'{tmp_path}/a.h5::/ecg/labels'), tmp_path/'set'))
    assert arrays['X'].shape == (20,3,50) and arrays['y'].tolist() == [i%4 for i in range(20)]
    with h5py.File(tmp_path/'a.h5') as f:
        assert np.array_equal(open_folder(convert((f['ecg/signals'], f['ecg/labels']), tmp_path/'set2'))[0]['y'], arrays['y'])

def test_paths_from_a_generator_are_files(raw, tmp_path): assert len(open_folder(convert(raw.rglob('*.npy'), tmp_path/'set'))[0]['X']) == 60

def test_a_dataset_inside_the_folder_is_no_input(raw, tmp_path):
    convert(raw, raw/'set', label='folder')
    append(raw/'set', raw, label='folder', again=True)
    assert len(open_folder(raw/'set')[0]['X']) == 120

def test_odd_input_is_refused_with_its_name(tmp_path):
    np.save(tmp_path/'a[1].npy', X(3))
    assert open_folder(convert(str(tmp_path/'a[1].npy'), tmp_path/'one'))[0]['X'].shape == (1,2,10)
    bad = [([], 'nothing to convert'), ([np.zeros((2,0))], 'not empty'), ([np.float64(3)], 'not empty'), (['no/such.npy'], 'no/such.npy')]
    for i,(src,why) in enumerate(bad):
        with pytest.raises((ValueError,TypeError,FileNotFoundError), match=why): convert(src, tmp_path/f'bad{i}')
    with expect_fail(NotADirectoryError, 'is a file'): convert([X(0)], tmp_path/'a[1].npy')
    (tmp_path/'part/.convert').mkdir(parents=True)
    with expect_fail(FileExistsError, 'not finished'): save_folder(tmp_path/'part', np.zeros((3,2,5)))

def test_a_csv_without_a_header_is_refused(tmp_path):
    (tmp_path/'a.csv').write_text('0,1\n1,2\n2,3\n')
    with expect_fail(ValueError, 'no header'): convert(tmp_path/'a.csv', tmp_path/'set')
    for label in ('walk',True):
        with expect_fail(ValueError, "`label` must be 'folder' or a function"): convert([X(0)], tmp_path/'set', label=label)

def test_one_large_array_is_read_some_rows_at_a_time(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(5000,4,100)).astype('f4')
    np.savez(tmp_path/'a.npz', X=x, y=np.arange(5000))
    monkeypatch.setattr('tsdisk.convert.inputs.input_bytes', 2**20)
    arrays,_ = open_folder(convert(tmp_path/'a.npz', tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], np.arange(5000))
    assert read_manifest(tmp_path/'set')['arrays']['y']['layout'] == 'dense'
    assert len(open(tmp_path/'set/items.jsonl').readlines()) > 5

# Names, labels and groups

def test_names_and_labels_come_from_whole_paths(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(raw/'train')
    arrays,_ = open_folder(convert('./a/*.npy', tmp_path/'set', label='folder'))
    assert set(arrays['y'].tolist()) == {'a'} and '/' not in arrays['source'][0]
    arrays,splits = open_folder(convert(['a', str(raw/'train/b')], tmp_path/'both', label='folder'))
    assert len(arrays['y']) == 20 and set(arrays['y'].tolist()) == {'a','b'} and splits == {}
    convert(raw, tmp_path/'all', label='folder')
    append(tmp_path/'all', raw/'train', label='folder', again=True)
    assert sum(len(o) for o in open_folder(tmp_path/'all')[1].values()) == 80

def test_every_row_keeps_the_name_of_its_input(tmp_path):
    items = lambda p: dict(X=np.load(p), source='a paper')
    (tmp_path/'raw').mkdir()
    for i in range(3): np.save(tmp_path/f'raw/{i}.npy', np.ones((2,9)))
    convert(tmp_path/'raw', tmp_path/'set', read=items, n_workers=0)
    assert open_folder(tmp_path/'set')[0]['source'].tolist() == ['0.npy','1.npy','2.npy']
    assert read_manifest(tmp_path/'set')['info']['source_'] == 'a paper'

def test_a_label_that_is_asked_for_replaces_the_one_in_the_file(raw, tmp_path):
    assert set(open_folder(convert(raw, tmp_path/'set', read=as_item, label='folder'))[0]['y'].tolist()) == {'a','b'}

def test_the_first_groups_are_small(tmp_path):
    made = [*Inputs([np.ones((2,9))]*300).groups()]
    assert [len(g) for _,g in made][:7] == [1,2,4,8,16,32,64] and [k for k,_ in made][:4] == [0,1,3,7]
    assert sum(len(g) for _,g in made) == 300

@pytest.mark.parametrize('n', [2,5])
def test_records_that_an_iterable_skips_are_checked(n):
    "Also if they were all done"
    digest = Inputs([X(i) for i in range(n)]).digest(n)
    assert [*Inputs(X(i) for i in range(n)).groups(n, digest)] == []
    assert [k for k,_ in Inputs(X(i) for i in range(n+1)).groups(n, digest)] == [n]
    with expect_fail(ValueError, 'have changed or are gone'): [*Inputs(X(i+1) for i in range(n)).groups(n, digest)]
    with expect_fail(ValueError, 'have changed or are gone'): [*Inputs(X(i) for i in range(n-1)).groups(n, digest)]

def test_a_dataset_of_torch_ends_at_its_length(tmp_path):
    import torch
    class Dataset(torch.utils.data.Dataset):
        def __len__(self): return 3
        def __getitem__(self, i):
            if i > 5: raise KeyError(i)
            return torch.full((2,9), float(i)), i
    arrays,_ = open_folder(convert(Dataset(), tmp_path/'set'))
    assert arrays['X'][:,0,0].tolist() == [0,1,2] and arrays['y'].tolist() == [0,1,2]
    assert len([*Inputs(torch.utils.data.Subset(Dataset(), [2,1])).every]) == 2

def test_names_of_splits_are_words_of_a_path():
    found = {o: split_in(o) for o in ('a/train/1.npy','Validation/1.npy','X_TEST.ts','trains/1.npy','test.npy','dev/test.npy')}
    assert [*found.values()] == ['train','valid','test',None,'test','valid']

def test_one_folder_named_for_a_split_is_no_split():
    one = Inputs(['data/test/1.npy','data/test/2.npy'], split='folder')
    assert one.metadata(one.every[0]) == {}
    assert one.split is None and Inputs(['data/test/1.npy','data/test/2.npy'], split='folder', min_splits=1).metadata('data/test/1.npy') == dict(split='test')

def test_a_reader_of_the_user_gets_arrays_too(tmp_path):
    x = np.ones((4,2,9), 'f4')
    assert (open_folder(convert(x, tmp_path/'set', read=lambda o: o*3, n_workers=0))[0]['X'] == 3).all()

def test_files_that_are_no_recordings_are_named_in_the_manifest_and_by_info(tmp_path, capsys):
    wfdb = pytest.importorskip('wfdb')
    (tmp_path/'raw').mkdir()
    x = np.arange(100)[:,None]
    wfdb.wrsamp('a', fs=100, units=['mV'], sig_name=['I'], d_signal=x, fmt=['16'], adc_gain=[200.], baseline=[0], write_dir=str(tmp_path/'raw'))
    (tmp_path/'raw/b_layout.hea').write_text('b_layout 1 100 0\n~ 0 200/mV 16 0 0 0 0 I\n')
    made = convert(tmp_path/'raw', tmp_path/'set', n_workers=0)
    assert 'b_layout.hea' in capsys.readouterr().out
    name,why = read_manifest(tmp_path/'set')['faults'][0]
    assert name == 'b_layout.hea' and why
    assert 'inputs left out: 1, such as b_layout.hea' in repr(made)

def test_records_that_wfdb_has_read_are_taken(tmp_path):
    wfdb = pytest.importorskip('wfdb')
    x = np.arange(100)[:,None]
    wfdb.wrsamp('a', fs=50, units=['mV'], sig_name=['I'], d_signal=x, fmt=['16'], adc_gain=[200.], baseline=[0], write_dir=str(tmp_path))
    convert(tmp_path/'a.hea', tmp_path/'set', read=lambda p: wfdb.rdrecord(p[:-4]), n_workers=0)
    manifest = read_manifest(tmp_path/'set')
    assert np.allclose(open_folder(tmp_path/'set')[0]['X'][0], x.T/200) and manifest['info']['fs'] == 50 and manifest['arrays']['X']['names'] == ['I']

def save_pairs(folder, *names):
    folder.mkdir()
    for i,o in enumerate(names): np.save(folder/f'{o}.npy', np.full((2,9), i, 'f4'))

@pytest.mark.parametrize('x,y', [('{}','{}-mask'), ('{}','{}_mask'), ('{}','{}.mask'), ('{}_img','{}_label_a')])
def test_files_of_one_folder_pair_by_their_common_stem(tmp_path, x, y):
    stems = ['img','ink-1','s_2']
    save_pairs(tmp_path/'raw', *(x.format(o) for o in stems), *(y.format(o) for o in stems))
    patterns = dict(X='*.npy' if x == '{}' else '*_img.npy', y=y.format('*')+'.npy')
    pairs = find_inputs({k: f'{tmp_path}/raw/{o}' for k,o in patterns.items()})
    assert [{k: Path(o).name for k,o in p.items()} for p in pairs] == [dict(X=f'{x.format(o)}.npy', y=f'{y.format(o)}.npy') for o in stems]
    arrays,_ = open_folder(convert({k: f'{tmp_path}/raw/{o}' for k,o in patterns.items()}, tmp_path/'set'))
    assert arrays['X'][:,0,0].tolist() == [0,1,2] and arrays['y'][:,0,0].tolist() == [3,4,5]

def test_a_stem_without_its_partner_is_named(tmp_path):
    save_pairs(tmp_path/'raw', 'a', 'b', 'c', 'a-mask', 'c-mask')
    with fails(ValueError, 'no file for', 'b'): find_inputs(dict(X=f'{tmp_path}/raw/*.npy', y=f'{tmp_path}/raw/*-mask.npy'))

def test_numbers_of_sessions_are_no_suffix(tmp_path):
    save_pairs(tmp_path/'raw', 'a_1', 'b_1', 'a_2', 'b_2')
    with fails(ValueError, 'no file for'): find_inputs(dict(X=f'{tmp_path}/raw/*_1.npy', y=f'{tmp_path}/raw/*_2.npy'))

def test_the_folder_of_an_array_in_a_file_is_that_of_the_file(tmp_path):
    h5py = pytest.importorskip('h5py')
    for i,o in enumerate(('cats','dogs')):
        (tmp_path/o).mkdir()
        with h5py.File(tmp_path/o/f'{i}.h5', 'w') as f: f['ecg/left'] = np.zeros((2,8), 'f4')
    convert([f'{tmp_path}/cats/0.h5::ecg/left', f'{tmp_path}/dogs/1.h5::ecg/left'], tmp_path/'set', label='folder')
    assert open_folder(tmp_path/'set')[0]['y'].tolist() == ['cats','dogs']
