"Inputs of conversions, and datasets to compare, for the tests of this room"
import filecmp, json, re
from pathlib import Path
import numpy as np
from tsdisk.disk.sidecar import read_manifest

# Inputs

def rec(i, steps=20): return np.random.default_rng(i).normal(size=(3, steps)).astype('f4')
def X(i): return np.full((2,10), i, 'f4')

def write_raw(folder):
    "60 files in folders of splits and classes"
    for i in range(60):
        path = folder/f'{("train","valid","test")[i%3]}/{"ab"[i%2]}/{i:03d}.npy'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rec(i))
    return folder

# Functions that read a path

def number(path): return int(Path(path).stem)
def of_length(p): return rec(number(p), 5+number(p)%30)
def mapped(p): return dict(X=rec(number(p)), mask=rec(number(p)) > 0, y=rec(number(p))[:,0])

def as_item(p):
    i = number(p)
    return dict(X=of_length(p), y=i%4, patient=f'p{i//10}', fs=500, age=float(i), note=['x'])

# Datasets

def without_tag(text): return re.sub(r'\.[0-9a-f]{8}(?=\.)', '', text)

def files_of(d):
    "Files of a dataset by name, without the tag of an append"
    return {without_tag(str(o.relative_to(d))): o for o in Path(d).rglob('*') if o.is_file() and o.name != 'tsdisk.json'}

def manifest_of(d): return without_tag(json.dumps({k: v for k,v in read_manifest(d).items() if k not in ('id','crc32')}))

def same_files(a, b):
    "Do two folders hold the same files but for the manifest, and the numbers of inputs, which depend on `read`?"
    a,b = ({k: v for k,v in files_of(o).items() if not k.startswith('items.inputs')} for o in (a,b))
    return a.keys() == b.keys() and all(filecmp.cmp(a[k], b[k], shallow=False) for k in a)

def same(a, b):
    "Do two datasets hold the same bytes?"
    return same_files(a, b) and manifest_of(a) == manifest_of(b)
