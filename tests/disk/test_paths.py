"Addresses of remote stores: refused by whatever takes a path, before it does anything, and given as they are to a user's own function"
from pathlib import Path
import numpy as np, pytest
from conftest import fails, ramp
from fastai.basics import Learner, MSELossFlat, nn
from tsdisk.all import (Checkpoint, Crops, Ragged, Shards, TSDataLoaders, TSDatasets, Windows, add_checksums, append, append_ragged, array_stats,
    array_vocab, convert, create_array, from_long, from_wide, group_splits, info, itemify, open_array, open_folder, open_ragged,
    predefined_splits, preds_to_disk, read_table, save_array, save_folder, save_ragged, stitch_forecasts, stratified_splits, summary, to_hdf5, to_npy,
    to_parquet, verify)
from tsdisk.convert.annotations import read_annotations
from tsdisk.convert.readers import read_file
from tsdisk.disk.array_sources import as_source
from tsdisk.disk.paths import RemotePath
from tsdisk.disk.publish import atomic_write, locked
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.manifest import write_manifest
from tsdisk.folder.stats import train_stats
from tsdisk.tools.cli import main
from tsdisk.tools.demo import demo
from tsdisk.tools.doctor import doctor
from tsdisk.train.forecasts import stitched_to_frame

X,y = ramp(6),np.arange(6)%2
addresses = 's3://bucket/data', 'gs://bucket/X.npy', 'memory://X.npy', 'https://example.org/X.npy', Path('s3://bucket/data')

def no_read(*args): raise AssertionError(f'it was asked to read {args}')
def learner(): return Learner(TSDataLoaders.from_arrays(X, X[:,0], bs=2, splits=[range(4),range(4,6)], device='cpu'), nn.Flatten(), loss_func=MSELossFlat())
def forecasts(): return Windows(X[:,:,0], 2, horizon=1)

entries = dict(
    open_array=open_array, save_array=lambda p: save_array(p, X), create_array=lambda p: create_array(p, X.shape).__enter__(),
    shards=Shards, shards_listed=lambda p: Shards([p]), itemify=lambda p: itemify(p, p), as_source=as_source, array_stats=array_stats, train_stats=train_stats,
    array_vocab=array_vocab, windows=lambda p: Windows(p, 2),
    windows_listed=lambda p: Windows([p], 2), crops=lambda p: Crops(p, 2), ragged=lambda p: Ragged(p, p),
    save_ragged=lambda p: save_ragged(p, X), open_ragged=open_ragged, append_ragged=lambda p: append_ragged(p, X), group_splits=group_splits,
    stratified_splits=stratified_splits, predefined_splits=predefined_splits, add_checksums=add_checksums, verify=verify, open_folder=open_folder,
    save_folder=lambda p: save_folder(p, X, y), write_manifest=lambda p: write_manifest(p, info={}), read_manifest=read_manifest,
    convert_from=lambda p: convert(p, 'new'), convert_from_list=lambda p: convert([p], 'new'), convert_from_roles=lambda p: convert(dict(X=p, y=p), 'new'),
    convert_to=lambda p: convert(X, p), convert_to_reading=lambda p: convert('a.npy', p, read=no_read),
    append_to=lambda p: append(p, X), info=info, read_file=read_file,
    read_table=read_table, from_long=lambda p: convert(from_long(p, 'id'), 'new'), from_wide=lambda p: convert(from_wide(p), 'new'), read_annotations=read_annotations,
    to_npy_from=lambda p: to_npy(p, 'new'), to_npy=lambda p: to_npy('data', p), to_hdf5_from=lambda p: to_hdf5(p, 'new.h5'), to_hdf5=lambda p: to_hdf5('data', p),
    to_parquet_from=lambda p: to_parquet(p, 'new.pq'), to_parquet=lambda p: to_parquet('data', p),
    datasets=lambda p: TSDatasets(p), targets=lambda p: TSDatasets(X, p), from_arrays=lambda p: TSDataLoaders.from_arrays(p),
    from_folder=TSDataLoaders.from_folder,
    models=lambda p: TSDataLoaders.from_arrays(X, y, path=p), test_dl=lambda p: learner().dls.test_dl(p), summary=summary, checkpoint=Checkpoint,
    preds_to_disk=lambda p: preds_to_disk(learner(), learner().dls.valid, p), stitch=lambda p: stitch_forecasts(X[:,:1], TSDatasets(forecasts()), p),
    stitch_from=lambda p: stitch_forecasts(p, TSDatasets(forecasts()), 'new'), stitched_frame=lambda p: stitched_to_frame(p, TSDatasets(forecasts())),
    demo=lambda p: demo(.001, p), doctor=doctor, locked=lambda p: locked(p).__enter__(), atomic_write=lambda p: atomic_write(p).__enter__())

@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A folder to work in, with a dataset `data` in it"
    monkeypatch.chdir(tmp_path)
    save_folder('data', X, y)
    return tmp_path

def names(folder): return sorted(str(o.relative_to(folder)) for o in folder.rglob('*'))

@pytest.mark.parametrize('name', entries)
def test_an_address_is_refused_wherever_a_path_is_taken(name, folder):
    before = names(folder)
    for o in addresses:
        with fails(RemotePath, str(o), 'files must be local', 'copy them to a disk'): entries[name](o)
    assert names(folder) == before

@pytest.mark.parametrize('args', [('convert','{}','new'), ('convert','data/X.npy','{}'), ('append','{}','data'), ('append','data','{}'), ('info','{}'), ('verify','{}'),
    ('verify','{}','--add'), ('doctor','{}'), ('demo','--gb','.001','--folder','{}')], ids=lambda o: ' '.join(o))
def test_the_command_refuses_an_address(args, folder, capsys):
    before = names(folder)
    assert main([o.format('s3://bucket/data') for o in args]) == 1
    assert "'s3://bucket/data' is the address of a remote store" in capsys.readouterr().err
    assert names(folder) == before

@pytest.mark.parametrize('name', ['12:30.npy', 'a:b.npy', 'night:1/X.npy', r'C:\X.npy', 's3:'])
def test_a_colon_alone_is_no_scheme(name, folder):
    for o in (name, folder/'s3:'/name):
        save_array(o, X)
        assert np.array_equal(open_array(o), X) and np.array_equal(TSDatasets(o)[3][0], X[3])
        Path(o).unlink()

given = 's3://bucket/a.npy', './data/../data/X.npy', 'no/such//file'

def test_a_function_of_the_user_gets_paths_as_they_were_given(folder):
    got = []
    def read(path): return got.append(path) or X[0]
    convert([*given], 'new', read=read, split=None, n_workers=0)
    assert {*got} == {*given}
    got.clear()
    append('new', 's3://bucket/b.npy', read=read, n_workers=0)
    assert {*got} == {'s3://bucket/b.npy'} and len(open_folder('new')[0]['X']) == 4

def test_labels_and_roles_of_addresses(folder):
    got,labelled = [],[]
    roles = dict(X=['s3://bucket/x/1.npy','s3://bucket/x/2.npy'], y=['s3://bucket/y/1.npy','s3://bucket/y/2.npy'])
    def read(paths): return got.append(paths) or X[0]
    def label(path): return labelled.append(path) or 1
    convert(roles, 'new', read=read, label=label, n_workers=0)
    assert {tuple(o.values()) for o in got} == {(f's3://bucket/x/{i}.npy', f's3://bucket/y/{i}.npy') for i in (1,2)} and {*labelled} == {*roles['X']}
