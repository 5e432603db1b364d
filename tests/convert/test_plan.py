"Shapes, dtypes, targets and scales of columns are planned from a few records"
import pickle
import numpy as np, pandas as pd, pytest, torch
from fastcore.test import expect_fail
from tsdisk.convert.convert import append, convert
from tsdisk.disk.packing import Packing
from tsdisk.disk.sidecar import read_manifest, packing_at
from tsdisk.folder.manifest import open_folder
from tsdisk.folder.stats import array_stats
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.series.ragged import Ragged
from tsdisk.convert.scaled_integers import real_units
from tsdisk.convert.plan import Outline, as_records, outline, plan
from tsdisk.series.windows import Windows
from conversion import of_length, mapped, X, write_raw

@pytest.fixture
def raw(tmp_path): return write_raw(tmp_path/'raw')

# Columns

def test_series_of_any_length_are_ragged(raw, tmp_path):
    convert(raw, tmp_path/'set', read=of_length)
    X = open_folder(tmp_path/'set')[0]['X']
    assert isinstance(X, Ragged)
    for i,p in enumerate(sorted(raw.rglob('*.npy'))): assert np.array_equal(X[i], of_length(p))

def test_further_arrays_are_columns(raw, tmp_path):
    convert(raw, tmp_path/'set', read=mapped)
    arrays,_ = open_folder(tmp_path/'set')
    p = sorted(raw.rglob('*.npy'))[7]
    assert arrays['mask'].dtype == bool and np.array_equal(arrays['mask'][7], mapped(p)['mask'])
    assert np.array_equal(arrays['y'][7], mapped(p)['y'])

def test_arrays_of_many_records_are_rows(tmp_path):
    x,y = np.random.default_rng(0).normal(size=(50,2,9)),np.arange(50)%3
    parts = [dict(X=x[a:b], y=y[a:b], day=f'd{a}') for a,b in ((0,20), (20,21), (21,50))]
    arrays,_ = open_folder(convert(parts, tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and np.array_equal(arrays['y'], y)
    assert arrays['day'].tolist() == ['d0']*20+['d20']+['d21']*29

def test_masked_values_are_missing(tmp_path):
    x = np.ma.masked_greater(np.arange(60.).reshape(2,30), 50)
    got = open_folder(convert([x, np.ma.array(x.data, mask=False)], tmp_path/'set'))[0]['X']
    assert np.isnan(got[0]).sum() == 9 and not np.isnan(got[1]).any()
    with expect_fail(ValueError, '9 values are masked'): convert([x.astype('i4')], tmp_path/'set2')

def test_a_masked_value_is_missing():
    for y in (np.ma.masked, np.ma.array(3., mask=True)): assert np.isnan(next(as_records(dict(X=np.ones((1,9)), y=y)))['y'])
    assert next(as_records(dict(X=np.ones((1,9)), y=np.ma.array(3))))['y'] == 3
    with expect_fail(ValueError, 'integers have no NaN'): next(as_records(dict(X=np.ones((1,9)), y=np.ma.array(3, mask=True))))

def test_columns_of_tables_are_variables():
    import pyarrow as pa
    table = pa.table(dict(a=[1.,2,3], b=[4,5,6]))
    for o in (table, dict(X=table)):
        got = next(as_records(o))
        assert got['X'].tolist() == [[1,2,3],[4,5,6]] and got['names'] == ['a','b']

def test_tensors_are_arrays(tmp_path):
    x = torch.randn(4,2,30)
    arrays,_ = open_folder(convert([dict(X=o, y=torch.tensor(i), site=b'north') for i,o in enumerate(x)], tmp_path/'set'))
    assert np.array_equal(arrays['X'], x) and arrays['y'].tolist() == [0,1,2,3]

def test_reserved_and_unknown_names_of_columns(tmp_path):
    for name in ('split_train','items','tsdisk.json'):
        with expect_fail(ValueError, "can't be the name"): convert([{'X': np.ones((2,9)), name: np.arange(4.)}]*3, tmp_path/'set')
    for kw in (dict(layout=dict(x='ragged')), dict(dtype=dict(x='float16'))):
        with expect_fail(ValueError, "names 'x', the columns are ['X']"): convert([np.ones((2,9))]*3, tmp_path/'set', **kw)

def test_names_must_be_as_many_as_variables(tmp_path):
    with expect_fail(ValueError, 'It has 3 `names` for 2 variables'): convert([dict(X=X(0), names=[*'abc'])], tmp_path/'set')

# Targets

ys = [['a', 3], [True, 3], ['a', None], [1, None], [None, 'a']]
@pytest.mark.parametrize('two', ys, ids=map(str, ys))
def test_targets_of_different_kinds_are_refused(tmp_path, two):
    with expect_fail(ValueError, 'Its target is'): convert([dict(X=X(i), y=y) for i,y in enumerate(two)], tmp_path/'set')

def test_targets_of_any_form_arrive(tmp_path):
    two = np.zeros((2,1,5))
    for i,(x,y,want) in enumerate([(X(0), [1.,2.], [[1.,2.]]), (two, ['a','b'], ['a','b']), (two, [1,2], [1,2])]):
        assert open_folder(convert([dict(X=x, y=y)], tmp_path/str(i)))[0]['y'].tolist() == want
    for i,y in enumerate([np.arange(4), ['a']*4]):
        with expect_fail(ValueError, 'rows'): convert([dict(X=np.zeros((5,1,9)), y=y)], tmp_path/f'bad{i}')
    with expect_fail(ValueError, 'Targets are numbers, strings'): convert([dict(X=X(0), y=np.array(['a','b']))], tmp_path/'bad')

# Integers with a scale

def test_floats_as_integers_come_back_within_half_a_step(tmp_path):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(3,50))*[[1],[1e-6],[1e5]]+[[0],[3e-6],[-1e4]] for _ in range(40)]
    xs[5][1,7] = np.nan
    (tmp_path/'raw').mkdir()
    for i,x in enumerate(xs): np.save(tmp_path/f'raw/{i:02d}.npy', x)
    convert(tmp_path/'raw', tmp_path/'set', dtype='int16', n_workers=2)
    said = read_manifest(tmp_path/'set')['arrays']['X']
    assert said['dtype'] == '<i2' and len(said['scale']) == 3
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(40)], shuffle=False, bs=40, drop_last=False, num_workers=0)
    got,x = dls.train.one_batch()[0].numpy(),np.stack(xs)
    assert np.isnan(got[5,1,7]) and np.isnan(got).sum() == 1
    err = np.nanmax(np.abs(got-x), axis=(0,2))
    assert (err <= .5*np.array(said['scale']) + np.nanmax(np.abs(x), axis=(0,2))*2**-23).all()

def counts(p): return dict(X=(np.load(p)*100).astype('i2'), scale=[.01,.02,.03], offset=[0.,1.,2.], names=['a','b','c'], units='mV')
def test_the_gain_of_an_input_is_kept_and_decoded_by_loaders(raw, tmp_path):
    from tsdisk.data.transforms import Standardize
    convert(raw, tmp_path/'set', read=counts)
    said,x = read_manifest(tmp_path/'set')['arrays']['X'],open_folder(tmp_path/'set')[0]['X']
    assert x.dtype == np.int16 and said['names'] == ['a','b','c'] and said['units'] == 'mV'
    assert said['scale'] == [.01,.02,.03]
    want = x*np.array([[.01],[.02],[.03]])+[[0],[1],[2]]
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(60)], shuffle=False, bs=60, drop_last=False)
    assert np.allclose(dls.train.one_batch()[0], want, atol=1e-6)
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(60)], shuffle=False, bs=60, drop_last=False, batch_tfms=Standardize())
    assert np.allclose(dls.train.one_batch()[0], (want-want.mean((0,2))[:,None])/want.std((0,2))[:,None], atol=1e-5)
    convert(raw, tmp_path/'floats', read=counts, dtype='float32')
    assert np.allclose(open_folder(tmp_path/'floats')[0]['X'], want, atol=1e-6)
    assert 'scale' not in read_manifest(tmp_path/'floats')['arrays']['X']

def test_inputs_of_different_gain_need_floats(raw, tmp_path):
    other = lambda p: dict(counts(p), scale=[.01,.02,.04]) if p.endswith('030.npy') else counts(p)
    with expect_fail(ValueError, "`scale` is [0.01, 0.02, 0.04]"): convert(raw, tmp_path/'set', read=other)
    assert open_folder(convert(raw, tmp_path/'floats', read=other, dtype='float32'))[0]['X'].dtype == np.float32

def test_inputs_of_several_scales_are_stored_in_real_units(tmp_path, capsys):
    counts = np.arange(-5, 5, dtype='i2').reshape(2,5)
    gain = lambda k: dict(X=counts, scale=[.5,.5*k], names=['a','b'], units=['mV','mV'])
    files = [f'{i}' for i in range(8)]
    arrays,_ = open_folder(convert(files, tmp_path/'set', read=lambda p: gain(1+int(p)), n_workers=0))
    assert 'float32, in physical units because scales differ' in capsys.readouterr().out and arrays['X'].dtype == 'f4'
    assert read_manifest(tmp_path/'set')['arrays']['X']['units'] == ['mV','mV']
    for i in range(8): assert np.array_equal(arrays['X'][i], counts*[[.5],[.5*(1+i)]])
    assert open_folder(convert(files, tmp_path/'same', read=lambda p: gain(1), n_workers=0))[0]['X'].dtype == 'i2'
    with expect_fail(ValueError, "give `dtype='float32'`"): convert(files, tmp_path/'late', read=lambda p: gain(1+(p == '4')), n_workers=0)
    with expect_fail(ValueError, "give `dtype='float32'`"):
        convert(files, tmp_path/'int', dtype='int16', read=lambda p: gain(1+int(p)), n_workers=0)

def test_packed_integers_are_decoded_in_the_precision_that_is_asked_for(tmp_path):
    X = np.array([[2**24+1,2**24+2,-1]], 'i4')
    convert([dict(X=X, scale=1., missing=-1), dict(X=X, scale=[.5], offset=[3.])], tmp_path/'set', dtype='float64')
    assert np.array_equal(open_folder(tmp_path/'set')[0]['X'], [[[2**24+1,2**24+2,np.nan]], [[2**23+3.5,2**23+4,2.5]]], equal_nan=True)

def test_integers_that_mark_missing_values_need_no_scale(tmp_path):
    X = np.array([[1,2,-99]], 'i2')
    convert([dict(X=X, missing=-99)]*3 + [dict(X=X+5)], tmp_path/'set')
    arrays,_ = open_folder(tmp_path/'set')
    assert packing_at(tmp_path/'set/X.npy') == Packing(1., 0., -99) and arrays['X'].dtype == 'i2'
    assert np.array_equal(arrays['X'][2:,0], [[1,2,-99],[6,7,-94]]) and array_stats(arrays['X']).min == [-94]
    append(tmp_path/'set', [dict(X=np.array([[4,-99,4]], 'i2'), missing=-99)])
    loaded = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(5)], shuffle=False, bs=5, drop_last=False).train.one_batch()[0]
    assert np.array_equal(loaded[3:,0].cpu(), [[6,7,-94],[4,np.nan,4]], equal_nan=True)

@pytest.mark.parametrize('shape', [(2,3), (4,2,3)])
def test_all_arrays_of_an_input_get_the_variables_in_one_order(tmp_path, shape):
    a = np.arange(np.prod(shape), dtype='f4').reshape(shape)
    own = dict(X=a, y=2*a, mask=a[...,:1] > 1, age=np.arange(4.) if len(shape) == 3 else 3.)
    other = {k: np.flip(v, -2) if np.ndim(v) > 1 else v for k,v in own.items()}
    convert([dict(own, names=['a','b']), dict(other, names=['b','a'])], tmp_path/'set')
    for k,v in open_folder(tmp_path/'set')[0].items():
        if k in own: assert np.array_equal(v[len(v)//2:], v[:len(v)//2]), k

@pytest.mark.parametrize('shape', [(1,4), (2,1,4)])
def test_scalars_that_tfm_returns_are_plain(tmp_path, shape):
    date = np.datetime64('2024-01-01')
    tfm = lambda o: {**o, 'peak': o['X'].max(), 'n': np.array(3), 'at': date, **(dict(y=np.int64(7)) if len(shape) == 2 else {})}
    convert([np.ones(shape)]*3, tmp_path/'set', tfm=tfm)
    arrays,info = open_folder(tmp_path/'set')[0],read_manifest(tmp_path/'set')['info']
    assert (info['peak'],info['n'],info['at']) == (1.,3,'2024-01-01')
    if len(shape) == 2: assert arrays['y'].tolist() == [7]*3

def test_inputs_may_mark_missing_values_differently(tmp_path):
    said = lambda p: dict(X=np.array([[1,-1,-9]], 'i2'), missing=-1 if p == '0' else -9)
    with expect_fail(ValueError, "`missing` is"): convert(['0','1'], tmp_path/'set', read=said, n_workers=0)
    arrays,_ = open_folder(convert(['0','1'], tmp_path/'floats', read=said, n_workers=0, dtype='float32'))
    assert np.array_equal(arrays['X'][:,0], [[1,np.nan,-9],[1,-1,np.nan]], equal_nan=True)
    big = [dict(X=np.array([[2**40+1,-1]]), missing=-1)]
    assert open_folder(convert(big, tmp_path/'wide', dtype='float64'))[0]['X'][0,0,0] == 2**40+1

def test_floats_keep_their_dtype_whatever_their_metadata_says(tmp_path):
    items = [dict(X=np.ones((2,5)), offset=float(i)) for i in range(3)]
    assert open_folder(convert(items, tmp_path/'set'))[0]['X'].dtype == 'f8'

def test_floats_with_the_scale_of_integers_are_refused(tmp_path):
    x = np.random.default_rng(0).integers(-999, 999, (6,2,40)).astype('i2')
    items = [dict(X=o, scale=[.5,2], offset=[0,1], names=['a','b']) for o in x]
    with expect_fail(ValueError, 'real_units'): convert(items, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X']/2})
    with expect_fail(ValueError, '2 `scale` for 1 variables'):
        convert(items, tmp_path/'set', tfm=lambda o: {**o, 'X': o['X'][:1], 'names': ['a']})
    units = lambda o: dict(X=real_units(o['X'], o['scale'], o['offset'])[:, 5:])
    assert np.allclose(open_folder(convert(items, tmp_path/'set', tfm=units))[0]['X'], (x*np.array([[.5],[2]])+[[0],[1]])[...,5:])
    assert np.array_equal(open_folder(convert(items, tmp_path/'cut', tfm=lambda o: {**o, 'X': o['X'][:, 5:]}))[0]['X'], x[...,5:])

def test_integers_with_a_scale_take_no_wrong_values(tmp_path):
    for i,o in enumerate(([1,2,3], [4,5,np.inf], [7,8,9])): np.save(tmp_path/f'{i}.npy', np.array([o], 'f4'))
    with expect_fail(ValueError, 'infinite'): convert(f'{tmp_path}/*.npy', tmp_path/'a', dtype='int16')
    convert(f'{tmp_path}/*.npy', tmp_path/'b', dtype='int16', on_error='skip')
    said = read_manifest(tmp_path/'b')['arrays']['X']
    assert np.allclose(open_folder(tmp_path/'b')[0]['X'][:,0]*np.array(said['scale'])+said['offset'], [[1,2,3], [7,8,9]], atol=1e-3)
    np.save(tmp_path/'1.npy', np.array([[400,401,402]], 'i2'))
    convert(f'{tmp_path}/*.npy', tmp_path/'c', dtype='int16')
    said = read_manifest(tmp_path/'c')['arrays']['X']
    assert np.allclose(open_folder(tmp_path/'c')[0]['X'][1,0]*np.array(said['scale'])+said['offset'], [400,401,402], atol=1e-2)
    for k,bad in enumerate(([0.,1e308], [0.,1e-320])):
        np.save(tmp_path/'1.npy', np.array([bad]))
        with expect_fail(ValueError, "can't represent a range"): convert(str(tmp_path/'1.npy'), tmp_path/f'bad{k}', dtype='int16')

def floats(*xs): return [dict(X=np.asarray(o, 'f4').reshape(1, -1)) for o in xs]
def test_rows_appended_to_integers_fit_or_are_refused(tmp_path):
    with_scale = lambda x,**kw: dict(X=np.asarray(x).reshape(1, -1), scale=[.1], **kw)
    convert([with_scale(np.arange(5, dtype='i4')*10)], tmp_path/'set')
    with expect_fail(ValueError, 'have no `scale`'): append(tmp_path/'set', [dict(X=np.zeros((1,5), 'i4'))])
    with expect_fail(ValueError, "NaN can't be stored"): append(tmp_path/'set', floats([1,2,3,4,np.nan]), resume=False)
    append(tmp_path/'set', floats([1,2,3,4,5000.]), resume=False)
    assert open_folder(tmp_path/'set')[0]['X'][1].tolist() == [[10,20,30,40,50000]]

def test_forecasts_of_integers_are_in_real_units(tmp_path):
    x = (np.random.default_rng(0).normal(size=(500,3))*1000).astype('i2')
    w = Windows(x, 24, horizon=6, targets=[2,0], known=[1])
    dls = TSDataLoaders.from_arrays(w, splits=[range(400)], packing=Packing([.1,.2,.3], [1,2,3]), shuffle=False, bs=8, num_workers=0)
    (xb,kb,yb) = dls.train.one_batch()
    real = x*[.1,.2,.3]+[1,2,3]
    for got,want in ((xb, real[5:29].T), (yb, real[29:35].T[[2,0]]), (kb, real[29:35].T[[1]])): assert np.allclose(got[5], want, atol=1e-3)

@pytest.fixture
def counted(tmp_path):
    "Recordings of (3, 100) as integers with a scale, and their floats"
    x = (np.random.default_rng(0).normal(size=(40,3,100))*[[1],[10],[100]]).astype('f4')
    (tmp_path/'floats').mkdir()
    for i,o in enumerate(x): np.save(tmp_path/f'floats/{i:02d}.npy', o)
    convert(tmp_path/'floats', tmp_path/'set', dtype='int16', read=lambda p: dict(X=np.load(p), names=['a','b','c'], y=int(p[-6:-4])%2))
    convert(tmp_path/'floats', tmp_path/'long', dtype='int16', layout='ragged')
    return tmp_path,x,np.array(read_manifest(tmp_path/'set')['arrays']['X']['scale'])

def test_integers_are_in_real_units_wherever_they_are_opened(counted):
    d,x,scale = counted
    arrays,_ = open_folder(d/'set')
    kwargs = dict(splits=[range(40)], shuffle=False, bs=40, drop_last=False)
    close = lambda a,b: (np.abs(np.asarray(a)-b).max((0,2)) <= .51*scale[:b.shape[1]]).all()
    for X in (arrays['X'], d/'set/X.npy'): assert close(TSDataLoaders.from_arrays(X, **kwargs).train.one_batch()[0], x)
    for src in (arrays['X'], open_folder(d/'long')[0]['X']):
        xb,yb = TSDataLoaders.from_arrays(Windows(src, 80, horizon=20, stride=100), **kwargs).train.one_batch()
        assert close(xb, x[:,:,:80]) and close(yb, x[:,:,80:])
    assert close(TSDataLoaders.from_folder(d/'long', **kwargs).train.one_batch()[0], x)
    got = TSDataLoaders.from_folder(d/'set', sel_vars=['c','a'], **kwargs).train.one_batch()[0]
    assert np.allclose(got, x[:,[2,0]], atol=.51*scale.max())

def test_each_dataset_is_decoded_by_its_own_scale(counted):
    d,x,scale = counted
    (d/'other').mkdir()
    for i,o in enumerate(x): np.save(d/f'other/{i:02d}.npy', o*3+1)
    convert(d/'other', d/'set2', dtype='int16')
    dls = TSDataLoaders.from_folder(d/'set', splits=[range(20), range(20,40)], bs=40)
    for new in (d/'set2', d/'set2/X.npy', open_folder(d/'set2')[0]['X'], x*3+1):
        assert np.allclose(dls.test_dl(new).one_batch()[0], x*3+1, atol=3*scale.max())

def test_the_scale_is_found_next_to_other_notes(tmp_path):
    "As earlier releases left them in the folder of the series"
    convert([dict(X=np.ones((1,5+i), 'i2'), scale=[.5], offset=[0.]) for i in range(3)], tmp_path/'set', layout='ragged')
    (tmp_path/'set/X/tsdisk.json').write_text('{"version": 1, "stats": {}}')
    assert packing_at(tmp_path/'set/X/values.npy') == Packing([.5], [0.])

def test_ragged_integers_are_padded_with_zero_in_real_units(tmp_path):
    rng = np.random.default_rng(0)
    xs = [(rng.random((2,k))+[[100],[-7]]).astype('f4') for k in (5,9,3,8)]
    counts = [np.rint((o-[[50],[0]])/[[.01],[.001]]).astype('i2') for o in xs]
    items = [dict(X=o, scale=[.01,.001], offset=[50.,0.], y='ab'[i%2]) for i,o in enumerate(counts)]
    convert(items, tmp_path/'set', layout='ragged')
    dls = TSDataLoaders.from_folder(tmp_path/'set', splits=[range(4),[]], bs=4, shuffle=False, device='cpu')
    xb,mask,_ = dls.train.one_batch()
    assert (xb[~mask[:,None].expand_as(xb)].abs() <= .005).all() and not mask.all()
    for a,o in zip(xb, xs): np.testing.assert_allclose(a[:, :o.shape[1]], o, atol=.011)
    new = dls.test_dl([o for o in xs])
    assert (new.one_batch()[0][~mask[:,None].expand_as(xb)] == 0).all()
    again = pickle.loads(pickle.dumps(dls.train.dataset)).batch([0,1])[0]
    assert (again[0,:,5:].abs() <= .005).all()

# Outlines

def test_outlines_hold_shapes_and_no_values():
    pieces = (np.ones((2,k), 'f4') for k in (64,13))
    got = outline(dict(X=pieces, mask=np.ones(77, bool), names=np.array(['a','b']), y='rest'))
    assert got['X'] == Outline((2,None), np.dtype('f4'), 0) and got['mask'].shape == (77,) and got['y'] == 'rest'
    assert got['names'].tolist() == ['a','b'] and outline(got) == got
    assert outline(dict(X=np.ones(9)))['X'].shape == (1,9)
    with expect_fail(ValueError, 'in pieces has no pieces'): outline(dict(X=iter([])))

def test_pieces_are_ragged_and_of_the_dtype_of_the_first():
    specs = plan([dict(X=iter([np.ones((3,5), 'i2')])), dict(X=iter([np.ones((3,7), 'i2')]))])
    assert (specs['X'].layout, tuple(specs['X'].trail), specs['X'].dtype) == ('ragged', (3,), '<i2')
    with expect_fail(ValueError, 'comes in pieces'): plan([dict(X=iter([np.ones((3,5))]))], layout='dense')
    with expect_fail(ValueError, 'need the same number of variables'): plan([dict(X=iter([np.ones((3,5))])), dict(X=np.ones((2,5)))])

def test_a_layout_that_does_not_exist_is_refused():
    with expect_fail(ValueError, "`layout` must be 'dense', 'ragged' or 'shards', got 'wide'"): plan([dict(X=np.ones((2,9)))], layout='wide')

@pytest.mark.parametrize('a,error', [(np.ones((4,2,5), 'c8'), 'real and imaginary parts'), (np.zeros((4,2,5), 'M8[s]'), 'give dates as `times`'),
    (np.zeros((4,2,5), 'm8[s]'), 'divide by a unit'), (np.full((4,2,5), 'ab'), 'give numbers'), (np.zeros(50, [('bid','f4'),('ask','f4')]), 'make its fields variables'),
    (np.zeros((2,5), np.longdouble), "give `dtype='float64'`")])
def test_what_loaders_refuse_is_refused_before_a_byte_is_written(tmp_path, a, error):
    np.save(tmp_path/'a.npy', a)
    with expect_fail(ValueError, error): convert(tmp_path/'a.npy', tmp_path/'set', n_workers=0)
    assert not [*tmp_path.glob('set/*.npy')] and not (tmp_path/'set/tsdisk.json').exists()

def test_longer_floats_are_stored_as_asked(tmp_path):
    convert([np.ones((2,5), np.longdouble)], tmp_path/'set', dtype='float64')
    assert open_folder(tmp_path/'set')[0]['X'].dtype == 'f8'

@pytest.mark.parametrize('y,dtype', [(np.int64(1), 'i8'), (np.float32(.5), 'f8'), (np.bool_(True), '?'), (np.str_('a'), '<U1'), (b'ab', '<U2'), (np.array(3), 'i8')])
def test_labels_may_be_scalars_of_numpy(tmp_path, y, dtype):
    np.save(tmp_path/'a.npy', np.ones((2,5)))
    convert([str(tmp_path/'a.npy')], tmp_path/'set', label=lambda p: y, n_workers=0)
    assert open_folder(tmp_path/'set')[0]['y'].dtype == dtype

def test_dates_of_pandas_become_strings(tmp_path):
    convert([dict(X=np.ones((2,5)), recorded=pd.Timestamp('2024-01-31 12:00'), day=np.datetime64('2024-01-31', 'ns'))], tmp_path/'set')
    info = read_manifest(tmp_path/'set')['info']
    assert info['recorded'] == '2024-01-31T12:00:00' and info['day'].startswith('2024-01-31')

def test_a_series_of_pandas_is_one_variable(tmp_path):
    convert([pd.Series([1.,2.,3.], index=[5,6,7])], tmp_path/'set')
    assert open_folder(tmp_path/'set')[0]['X'][:].tolist() == [[[1.,2.,3.]]]

@pytest.mark.parametrize('shape', [(2,50),(4,2,50)])
@pytest.mark.parametrize('start', [None, np.array(['2024-01-01'])])
def test_a_rate_in_an_array_of_one_value_is_the_rate(tmp_path, shape, start):
    record = dict(X=np.zeros(shape, 'f4'), fs=np.array([100.]))
    if start is not None: record['start'] = start
    arrays,_ = open_folder(convert([record], tmp_path/'set'))
    w = Windows(arrays['X'], 10, clock=True)
    assert w.clocks.periods_of(0) == 1e7
    if start is not None: assert w.times(0)[0] == np.datetime64('2024-01-01')

def test_a_start_that_is_a_number_is_no_time(tmp_path):
    records = [dict(X=np.zeros((1,100), 'f4'), start=1577836800+i*86400, fs=1.) for i in range(3)]
    arrays,_ = open_folder(convert(records, tmp_path/'set'))
    assert not Windows(arrays['X'], 10, clock=True).clocks.knows_times(3)

def test_a_number_for_missing_values_of_floats_is_missing(tmp_path):
    convert([dict(X=np.array([[1.,-999,2,3]]), missing=-999)], tmp_path/'set')
    np.testing.assert_array_equal(open_folder(tmp_path/'set')[0]['X'][0], [[1,np.nan,2,3]])
