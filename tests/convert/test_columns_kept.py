"An append keeps all columns of a dataset, and what conversions print about columns, times and size"
import numpy as np, pytest
from conftest import fails
from tsdisk.convert.convert import append, convert
from tsdisk.convert.info import info
from tsdisk.convert.tables import read_table
from tsdisk.disk.basics import human
from tsdisk.disk.sidecar import read_manifest
from tsdisk.folder.checks import verify
from tsdisk.folder.manifest import open_folder
from tsdisk.series.windows import Windows
from conversion import X

def record(i, **others): return dict(X=X(i), **others)

# Columns of metadata

values = dict(text=('rest','run','walk'), number=(3,4,5), real=(.5,2.,9.), flag=(True,False,True))

@pytest.fixture(params=values)
def labeled(request, tmp_path):
    "A dataset with a column `label`, and its values"
    known = values[request.param]
    return convert([record(i, label=o) for i,o in enumerate(known)], tmp_path/'set'), list(known)

def check_unchanged(made, known):
    arrays,_ = open_folder(made)
    assert arrays['label'].tolist() == known and len(arrays['X']) == len(known) and verify(made) == []

@pytest.mark.parametrize('others', [{}, dict(label=None), dict(label=['a']), dict(label='x'*1001), dict(label=2**70)],
    ids=['missing','none','list','long','large'])
def test_an_append_without_a_column_is_refused(labeled, others):
    made,known = labeled
    with fails(ValueError, 'item 0', '`label`', 'the dataset has a column of that name', "tfm=lambda o: {**o, 'label': "):
        append(made, [record(9, **others)])
    check_unchanged(made, known)

def test_an_append_of_another_kind_is_refused(labeled):
    made,known = labeled
    other = 7 if isinstance(known[0], (str,bool)) else 'seven'
    with fails(ValueError, 'Its `label` is not of the kind '): append(made, [record(9, label=other)])
    check_unchanged(made, known)

def test_rows_of_one_array_need_the_columns_too(labeled):
    made,known = labeled
    with fails(ValueError, 'It has no `label`'): append(made, np.zeros((4,2,10), 'f4'))
    append(made, dict(X=np.zeros((2,2,10), 'f4'), label=np.array(known[:2])))
    append(made, dict(X=np.zeros((2,2,10), 'f4'), label=known[0]))
    arrays,_ = open_folder(made)
    assert arrays['label'].tolist() == [*known, *known[:2], known[0], known[0]] and verify(made) == []

def test_the_remedy_that_a_refusal_names_works(labeled):
    made,known = labeled
    unknown = {str: '', bool: False}.get(type(known[0]), -1)
    append(made, [record(9)], tfm=lambda o: {**o, 'label': unknown}, n_workers=0)
    assert open_folder(made)[0]['label'].tolist() == [*known, unknown]

def test_a_file_without_the_column_is_left_out_on_request(tmp_path):
    made = convert([record(i, label='ab'[i]) for i in range(2)], tmp_path/'set')
    append(made, [record(5), record(6, label='c')], on_error='skip')
    arrays,_ = open_folder(made)
    assert arrays['label'].tolist() == ['a','b','c'] and arrays['X'][:,0,0].tolist() == [0,1,6]

def test_a_shared_value_need_not_be_in_new_rows(tmp_path, capsys):
    made = convert([record(i, site='north') for i in range(2)], tmp_path/'set')
    append(made, [record(5)])
    assert 'because some rows lack them, or they are lists' in capsys.readouterr().out
    assert len(open_folder(made)[0]['X']) == 3

# Files

def write_csv(path, first=0, day='2024-01-{:02}', n=10, city=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = ',city' if city else ''
    rows = [f'{day.format(i+1)},{first+i},{2*i}' + (f',{city}' if city else '') for i in range(n)]
    path.write_text('\n'.join([f'date,sales,stock{extra}', *rows]))
    return path

def read_with_city(path):
    record = read_table(path)
    return {**record, 'city': str(path)[-5]}

def test_what_is_kept_is_not_left_out(tmp_path, capsys):
    files = [write_csv(tmp_path/f'in/{o}.csv', city=o) for o in 'ab']
    made = convert(files, tmp_path/'bare', n_workers=0)
    said = capsys.readouterr().out
    assert "Left out: city (text)" in said and "let `read` add it to the record under the key 'city'" in said
    assert read_manifest(made)['info']['left_out'] == dict(city='text')
    made = convert(files, tmp_path/'set', read=read_with_city, n_workers=0)
    assert 'Left out' not in capsys.readouterr().out and 'left out' not in str(info(made))
    assert open_folder(made)[0]['city'].tolist() == ['a','b']

def test_an_input_without_times_is_named(tmp_path, capsys):
    files = [write_csv(tmp_path/'in/ymd.csv'), write_csv(tmp_path/'in/dmy.csv', day='x{}', city='a')]
    made = convert(files, tmp_path/'set', n_workers=0)
    said = capsys.readouterr().out
    assert 'The dataset has no times, since 1 of 2 inputs has none: dmy.csv' in said
    assert 'Kept only in' not in said
    assert Windows(open_folder(made)[0]['X'], 3).clocks is None

# What a dataset says of itself

def test_windows_know_the_names_of_their_dataset(tmp_path):
    made = convert([write_csv(tmp_path/f'{o}.csv', i) for i,o in enumerate('ab')], tmp_path/'set', dtype='float32', n_workers=0)
    X = open_folder(made)[0]['X']
    w = Windows(X, 4, horizon=2, targets='sales', sel_vars=['stock'])
    assert w.names == ['sales','stock'] and w[0][0].tolist() == [[0,2,4,6]] and w[0][1].tolist() == [[4,5]]
    flipped = Windows(X[:,::-1], 4, horizon=2, targets='sales')
    assert flipped.names == ['stock','sales'] and flipped[0][1].tolist() == [[4,5]]
    assert Windows(X[:,1:], 4).names == ['stock']
    assert Windows(X, 4, names=['a','b']).names == ['a','b']
    assert Windows(np.zeros((2,2,9)), 4).names is None
    with fails(ValueError, "no variable 'price'", "the names are ['sales', 'stock']"): Windows(X, 4, horizon=2, targets='price')

def test_ragged_windows_know_names_too(tmp_path):
    made = convert([write_csv(tmp_path/f'{o}.csv', n=8+i) for i,o in enumerate('ab')], tmp_path/'set', n_workers=0)
    w = Windows(open_folder(made)[0]['X'], 4, horizon=2, targets='stock')
    assert w[0][1].tolist() == [[8,10]]

def test_an_hdf5_file_shows_its_size_and_what_its_attributes_say(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f.attrs['site'] = 'north'
        x = f.create_dataset('X', data=np.zeros((50,2,1000), 'i2'), compression='gzip')
        x.attrs.update(units='mV', scale_factor=np.array([.005]), _FillValue=np.int16(-9999), fs=500, remark='x'*200)
    got = info(tmp_path/'a.h5')
    for o in ('units mV', 'scale_factor 0.005', '_FillValue -9999', 'fs 500'): assert o in got.rows[0].stored, o
    assert 'remark' not in got.rows[0].stored and got.rows[0].nbytes == 200_000
    size = int((tmp_path/'a.h5').stat().st_size)
    assert size < 20_000 and got.notes == [f'size of the file: {human(size)}', 'site: north']
