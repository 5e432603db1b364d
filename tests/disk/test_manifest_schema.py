"A manifest that is written fits, and each entry that does not is named"
import copy
import numpy as np, pytest
from conftest import fails, filled
from tsdisk.disk.manifest_schema import manifest
from tsdisk.disk.schema import Misfit
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.checks import add_checksums
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import train_stats

array = dict(file='X.npy', role='X', layout='dense', shape=[4,2,5], dtype='<f4')

share = dict(of=9, pct=.2, seed=1, held=0, tail=0)

def checked(**entries):
    res = dict(id='1', arrays=dict(X=copy.deepcopy(array))) | entries
    manifest(res)
    return res

def with_array(**entry): return dict(arrays=dict(X=array | entry))

def test_manifests_of_saved_folders_fit(tmp_path):
    save_folder(tmp_path, filled((6,2,5)), np.arange(6)%2, [range(4), [5,4]])
    add_checksums(tmp_path)
    found = read_manifest(tmp_path)
    assert found['checksums'] and found['splits'] and {*found['arrays']} == {'X','y'}
    manifest(found)

good = dict(ragged=with_array(layout='ragged'), shards=with_array(layout='shards', files=['X/0.npy']), packed=with_array(scale=[.1,2], offset=0, missing=-1),
    named=with_array(names=['a',None], units='mV', classes={'a': -1}), unknown={'later': [1]}, ranges={'splits': {'train': [0,3], 'valid': [3,3]}},
    file={'splits': {'train': 'train.npy'}}, clock={'clock': dict(start='start.npy', fs=250, gaps=[0,1,2])},
    checksum={'checksums': {'X.npy': dict(head=4096, size=5000, crc32='0'*16)}}, empty={'checksums': {'X.npy': dict(head=0, size=0, crc32='')}},
    labels={'labels': {'k': {'y': [['a',1,True], [3,0,2]]}}},
    random={'splits': {'train': {'random': share}}}, bits={'splits': {'train': dict(bits='train.bits', of=9, marked=True)}})

@pytest.mark.parametrize('name', good)
def test_what_is_allowed_fits(name): assert checked(**good[name]) == dict(id='1', arrays=dict(X=array)) | good[name]

bad = dict(outside=(with_array(file='../X.npy'), 'arrays.X.file'), role=(with_array(role='Y'), 'arrays.X.role', "its own name, 'X'"), layout=(with_array(layout='sparse'), 'dense, ragged or shards'),
    objects=(with_array(dtype='|O'), 'arrays.X.dtype'), no_dtype=(with_array(dtype='float'), 'a dtype such as'), no_width=(with_array(dtype='<U0'), 'arrays.X.dtype'),
    no_shape=(dict(arrays=dict(X=dict(file='X.npy', role='X', layout='dense'))), 'arrays.X', 'with the shape'), single=(dict(arrays=dict(X=dict(file='X.npy', role='X', shape=[]))), 'arrays.X.shape'),
    negative=(with_array(shape=[-1,2]), 'arrays.X.shape.0'), huge=(with_array(shape=[1,2**40,2**40]), 'arrays.X.shape', 'bytes a row'),
    no_files=(with_array(layout='shards'), 'a table with files'), infinite=(with_array(scale=float('inf')), 'arrays.X.scale', 'finite'), many_names=({'arrays': {'a/b': array}}, 'without `/`'),
    backwards=({'splits': {'train': [3,1]}}, 'splits.train', 'not before it'), three=({'splits': {'train': [1,2,3]}}, 'splits.train'), share=({'splits': {'a': {'random': share | dict(pct=1)}}}, 'pct', 'from 0 to 1'),
    clock=({'clock': {'start': '/etc/passwd'}}, 'clock.start'), short=({'checksums': {'X.npy': dict(head=4096, size=5000, crc32='0'*8)}}, 'checksums.X.npy.crc32', '16 hexadecimal digits'),
    letters=({'checksums': {'X.npy': dict(head=0, size=1, crc32='z'*8)}}, 'hexadecimal digits'), counts=({'labels': {'k': {'y': [['a'], [1,2]]}}}, 'as many counts as labels'))

@pytest.mark.parametrize('name', bad)
def test_what_is_not_allowed_is_named(name):
    entries,*words = bad[name]
    with fails(Misfit, *words): checked(**entries)

def test_statistics_are_of_one_number_of_variables(tmp_path):
    save_folder(tmp_path, filled((6,2,5)))
    train_stats(open_folder(tmp_path)[0]['X'])
    found = read_manifest(tmp_path)
    stats = next(v for o in found['stats'].values() for v in o.values())
    manifest(found)
    stats['mean'] = stats['mean'][:1]
    with fails(Misfit, 'of one number of variables'): manifest(found)
