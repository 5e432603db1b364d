"MATLAB files of both kinds: matrices, cells, structs, strings, and what can't be read"
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.info import info
from tsdisk.convert.matlab import arrays_in
from tsdisk.convert.readers import read_file
from tsdisk.folder.manifest import open_folder

x = np.arange(4*3*50.).reshape(4,3,50)

class Mat:
    "Writes a file of version 7.3 as MATLAB does"
    def __init__(self, path):
        import h5py
        self.f,self.n = h5py.File(path, 'w'),0

    def __enter__(self): return self
    def __exit__(self, *args): self.f.close()

    def matrix(self, name, a, kind='double', **attrs):
        a = np.asarray(a)
        o = self.f.create_dataset(name, data=(a if a.ndim > 1 else np.atleast_2d(a)).T)
        o.attrs.update(dict(MATLAB_class=np.bytes_(kind)) | attrs)
        return o

    def text(self, name, s): return self.matrix(name, np.array([[ord(o) for o in s]], 'u2'), 'char')
    def empty(self, name): return self.matrix(name, np.array([0,0], 'u8'), MATLAB_empty=np.int32(1))

    def cell(self, name, *write):
        import h5py
        refs = []
        for o in write:
            self.n += 1
            refs.append(o(f'#refs#/{self.n}').ref)
        d = self.f.create_dataset(name, data=np.array(refs, dtype=object)[:,None], dtype=h5py.ref_dtype)
        d.attrs['MATLAB_class'] = np.bytes_('cell')
        return d

    def matrices(self, name, *arrays): return self.cell(name, *(lambda k,a=a: self.matrix(k, a) for a in arrays))
    def strings(self, name, *strings): return self.cell(name, *(lambda k,s=s: self.text(k, s) for s in strings))

def write(path):
    with Mat(path) as m:
        m.matrices('X', x[0], x[1,:,:30], x[2,:,:9])
        m.strings('y', 'ab', 'cde', 'ab')
        m.matrix('age', [[1.],[2.],[3.]])
        m.matrix('fs', [[50.]])
        m.text('site', 'north')

def write_old(path):
    from scipy.io import savemat
    cells,labels = np.empty((1,3), object),np.empty((3,1), object)
    cells[0],labels[:,0] = [x[0],x[1,:,:30],x[2,:,:9]],['ab','cde','ab']
    savemat(path, dict(X=cells, y=labels, age=[[1.],[2.],[3.]], fs=50., site='north'))

@pytest.mark.parametrize('write', [write,write_old])
def test_a_cell_is_a_series_for_each_of_its_matrices(tmp_path, write):
    write(tmp_path/'a.mat')
    out = convert(tmp_path/'a.mat', tmp_path/'set', n_workers=0)
    arrays,_ = open_folder(out)
    assert [np.array_equal(arrays['X'][i], x[i,:,:n]) for i,n in enumerate((50,30,9))] == [True]*3
    assert arrays['y'].tolist() == ['ab','cde','ab'] and arrays['age'].tolist() == [1,2,3]
    assert metadata_of(out)['fs'] == 50 and metadata_of(out)['site'] == 'north' and 'left_out' not in metadata_of(out)
    alone = open_folder(convert(f'{tmp_path}/a.mat::X', tmp_path/'alone', n_workers=0))[0]['X']
    assert np.array_equal(alone[1], x[1,:,:30]) and {'X','y','age','fs','site'} == {o[0] for o in arrays_in(tmp_path/'a.mat')}
    assert info(f'{tmp_path}/a.mat::X').rows[0].shape == (3,50) and 'cell' in str(info(tmp_path/'a.mat'))

@pytest.mark.parametrize('old', [False,True])
def test_samples_with_labels(tmp_path, old):
    from scipy.io import savemat
    if old: savemat(tmp_path/'a.mat', dict(X=x, y=[[5.],[6.],[7.],[8.]]))
    else:
        with Mat(tmp_path/'a.mat') as m: m.matrix('X', x), m.matrix('y', [[5.],[6.],[7.],[8.]])
    got = read_file(tmp_path/'a.mat')
    assert np.array_equal(got['X'], x) and got['y'].tolist() == [5,6,7,8]

@pytest.mark.parametrize('old', [False,True])
def test_a_struct_is_selected_by_name_and_a_column_is_one_variable(tmp_path, old):
    from scipy.io import savemat
    column = np.arange(9.)[:,None]
    if old: savemat(tmp_path/'a.mat', dict(S=dict(data=column, y=3.)))
    else:
        with Mat(tmp_path/'a.mat') as m: m.matrix('S/data', column), m.matrix('S/y', [[3.]])
    assert read_file(f'{tmp_path}/a.mat::S/data')['X'].tolist() == [[*range(9)]]
    assert read_file(f'{tmp_path}/a.mat::S')['y'] == 3
    with fails(KeyError, "has no 'S/none', it has ['S/data', 'S/y']"): read_file(f'{tmp_path}/a.mat::S/none')

def test_what_cant_be_read_is_refused_or_left_out(tmp_path):
    import scipy.sparse
    from scipy.io import savemat
    with Mat(tmp_path/'a.mat') as m:
        m.empty('none'), m.matrix('when', np.zeros((6,1), 'u4'), 'datetime'), m.text('words', 'abc')
        m.matrices('holes', x[0]), m.cell('nested', lambda k: m.matrices(k, x[0])), m.cell('gap', lambda k: m.matrix(k, x[0]), m.empty)
        m.f['sparse/data'] = np.arange(3.)
        m.f['sparse'].attrs['MATLAB_sparse'] = 5
    reasons = dict(none='no values', when="an object of the class 'datetime'", words='text', sparse='a sparse matrix', nested='cells', gap='element 1 of gap')
    for k,words in reasons.items():
        with fails(ValueError, 'a.mat', words): convert(f'{tmp_path}/a.mat::{k}', tmp_path/'set', n_workers=0)
        with fails(ValueError, words): [*read_file(f'{tmp_path}/a.mat::{k}')]
    savemat(tmp_path/'old.mat', dict(X=x, sp=scipy.sparse.eye(3), none=np.zeros((0,0)), S=dict(a=1)))
    left_out = dict(sp='a sparse matrix', none='no values', S='a group: select it by name')
    assert read_file(tmp_path/'old.mat')['left_out'] == left_out
    with fails(ValueError, 'a sparse matrix'): read_file(f'{tmp_path}/old.mat::sp')

def test_objects_of_older_files_are_left_out(tmp_path, monkeypatch):
    import scipy.io
    table = scipy.io.matlab.MatlabOpaque(np.zeros(1, [('s0','O'),('s1','O'),('s2','O'),('arr','O')])) # As `table(1)` is read
    scipy.io.savemat(tmp_path/'a.mat', dict(X=x))
    load = scipy.io.loadmat
    monkeypatch.setattr(scipy.io, 'loadmat', lambda path: {**load(path), 'T': table})
    got = read_file(tmp_path/'a.mat')
    assert got['left_out'] == dict(T='structs or objects') and got['X'].shape == x.shape
    assert read_file(f'{tmp_path}/a.mat::X')['X'].shape == x.shape

def test_classes_of_matlab(tmp_path):
    with Mat(tmp_path/'a.mat') as m:
        m.matrix('flags', np.array([[1,0,1]], 'u1'), 'logical')
        m.f['waves'] = np.array([[(1.,2.)],[(3.,4.)]], [('real','f8'),('imag','f8')])
    flags = read_file(f'{tmp_path}/a.mat::flags')['X']
    assert flags.dtype == bool and flags.tolist() == [[True,False,True]]
    assert read_file(f'{tmp_path}/a.mat::waves')['X'].tolist() == [[1+2j,3+4j]]
    with fails(ValueError, 'store real and imaginary parts'): convert(f'{tmp_path}/a.mat::waves', tmp_path/'set', n_workers=0)

def test_a_file_that_matlab_did_not_write_is_refused(tmp_path):
    (tmp_path/'a.mat').write_bytes(b'MATLAB 5.0 MAT-file')
    for f in (read_file, info):
        with fails(ValueError, 'a.mat could not be read as a MATLAB file'): f(tmp_path/'a.mat')
    with fails(FileNotFoundError, 'b.mat'): read_file(tmp_path/'b.mat')

def test_matrices_beside_a_recording_are_left_out(tmp_path):
    with Mat(tmp_path/'a.mat') as m: m.matrix('X', x[0]), m.matrix('M', np.eye(7)), m.matrix('y', [[2.]]), m.matrix('fs', [[50.]])
    got = read_file(tmp_path/'a.mat')
    assert got['left_out'] == dict(M='another array') and got['y'] == 2 and got['fs'] == 50

def test_dates_of_the_steps_of_a_recording_are_kept(tmp_path):
    from scipy.io import savemat
    dates = ['2024-01-01','2024-01-02','2024-01-04']
    savemat(tmp_path/'a.mat', dict(X=np.ones((2,3)), time=np.array(dates, object)))
    got = read_file(tmp_path/'a.mat')
    assert [str(o)[:10] for o in got['times']] == dates and 'left_out' not in got

@pytest.mark.parametrize('at_once', [2**20, 100])
@pytest.mark.parametrize('axis', [0, 1])
def test_lists_are_lists_whatever_their_size(tmp_path, monkeypatch, at_once, axis):
    monkeypatch.setattr('tsdisk.convert.matlab.at_once', at_once)
    monkeypatch.setattr('tsdisk.convert.hdf5_chunks.at_once', at_once)
    y = np.arange(40.)
    with Mat(tmp_path/'a.mat') as m: m.matrix('X', np.arange(40*2*5.).reshape(40,2,5)), m.matrix('y', np.expand_dims(y, axis))
    arrays,_ = open_folder(convert(tmp_path/'a.mat', tmp_path/'set', n_workers=0))
    assert arrays['X'].shape == (40,2,5) and np.array_equal(arrays['y'], y)
    with Mat(tmp_path/'b.mat') as m: m.matrix('X', np.ones((2,40))), m.matrix('y', np.expand_dims(y, axis)), m.matrix('z', np.expand_dims(y, axis))
    arrays,_ = open_folder(convert(tmp_path/'b.mat', tmp_path/'recording', n_workers=0))
    assert {*arrays} == {'X','y','source'} and np.array_equal(arrays['y'][0], y)
