"The text formats .ts and .tsf"
from pathlib import Path
import aeon, numpy as np, pytest
from fastcore.test import expect_fail
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.readers import read_file
from tsdisk.convert.ts_files import parse_sample
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clocks import clocks_of
from tsdisk.disk.array_sources import as_source
from tsdisk.series.ragged import Ragged

aeon_data = Path(aeon.__file__).parent/'datasets/data'

archives = ['BasicMotions','JapaneseVowels','GunPoint','ACSF1','CardanoSentiment','PickupGestureWiimoteZ']

@pytest.mark.parametrize('name', archives)
def test_ts_files_are_read_as_aeon_reads_them(name, tmp_path):
    from aeon.datasets import load_from_ts_file
    path = aeon_data/name/f'{name}_TRAIN.ts'
    X,y = load_from_ts_file(str(path))
    arrays,_ = open_folder(convert(path, tmp_path/'set'))
    assert len(arrays['X']) == len(X) and isinstance(arrays['X'], Ragged) == isinstance(X, list)
    for i in range(len(X)): assert np.allclose(arrays['X'][i], X[i], atol=1e-6, equal_nan=True)
    assert [str(o).lower() for o in arrays['y'].tolist()] == [str(o) for o in y.astype(arrays['y'].dtype).tolist()]

def test_ts_files_of_train_and_test_are_splits(tmp_path):
    arrays,splits = open_folder(convert(f'{aeon_data}/ItalyPowerDemand/*.ts', tmp_path/'set'))
    assert {k: len(v) for k,v in splits.items()} == dict(train=67, test=1029) and len(arrays['X']) == 1096
    assert {arrays['source'][i] for i in splits['train']} == {'ItalyPowerDemand_TRAIN.ts'}

def test_times_of_ts_files_are_left_out(tmp_path):
    got = [*read_file(aeon_data/'UnitTest/UnitTestTimeStamps_TRAIN.ts')]
    assert got and all(o['X'].ndim == 2 and np.isfinite(o['X']).all() for o in got)

def test_pairs_may_be_separated_by_spaces():
    assert parse_sample('(0,1), (1,2) ,(2,3):a', ['timestamps','classlabel'], 'line 1')['X'].tolist() == [[1,2,3]]

def test_targets_of_ts_files_are_numbers(tmp_path):
    (tmp_path/'a.ts').write_text('@targetLabel true\n@data\n# A comment\n\n1,2:2.5\n3,4:-1\n')
    got = [*read_file(tmp_path/'a.ts')]
    assert [o['y'] for o in got] == [2.5,-1.] and np.array_equal(np.stack([o['X'] for o in got]), [[[1,2]], [[3,4]]])

def test_tsf_files_are_read_as_aeon_reads_them(tmp_path):
    from aeon.datasets import load_from_tsf_file
    path = aeon_data/'m1_yearly_dataset/m1_yearly_dataset.tsf'
    df,_ = load_from_tsf_file(str(path))
    arrays,_ = open_folder(convert(path, tmp_path/'set'))
    assert len(arrays['X']) == len(df) and arrays['series_name'].tolist() == df.series_name.tolist()
    for i in range(len(df)): assert np.allclose(arrays['X'][i][0], df.series_value.iloc[i])
    assert metadata_of(tmp_path/'set')['frequency'] == 'yearly'

texts = {'a.ts': '@data\n16777217,.1\n', 'a.tsf': '@data\n16777217,.1\n', 'a.jsonl': '{"target": [16777217, 0.1]}\n'}

@pytest.mark.parametrize('name', texts)
def test_numbers_in_text_keep_their_digits(name, tmp_path):
    (tmp_path/name).write_text(texts[name])
    for dtype in (None, 'float64', 'float32'):
        X = open_folder(convert(tmp_path/name, tmp_path/f'set{dtype}', dtype=dtype, n_workers=0))[0]['X']
        assert np.array_equal(np.ravel(X[0]), np.array([16777217,.1], dtype or 'f8'))

def test_damaged_text_names_the_sample(tmp_path):
    damaged = [
        ('@data\n1,2:3,4,5\n', 'sample 0: the variables have [2, 3] steps'),
        ('@data\n1,2\n1,x\n', "sample 1 can't be read"),
        ('1,2,3\n', 'no line `@data`')]
    for text,why in damaged:
        (tmp_path/'a.ts').write_text(text)
        with expect_fail(ValueError, why): [*read_file(tmp_path/'a.ts')]
    (tmp_path/'a.tsf').write_text('@attribute name string\n@horizon 8\n@data\nT1:1,2\n1,2\n')
    with fails(ValueError, 'a.tsf: series 1 has 0 attributes', 'the header declares 1'): [*read_file(tmp_path/'a.tsf')]

# Frequencies

def write_tsf(path, *header, lines=('T1:1979-01-01 00-00-00:1,2,3', 'T2:1980-06-01 12-30-00:4,?')):
    path.write_text('\n'.join(['@attribute series_name string', '@attribute start_timestamp date', *header, '@data', *lines]) + '\n')
    return path

@pytest.mark.parametrize('word,seconds', [('minutely',60), ('10_minutes',600), ('half_hourly',1800), ('hourly',3600), ('daily',86400), ('weekly',604800), ('4_seconds',4)])
def test_a_frequency_of_fixed_length_is_a_rate(word, seconds, tmp_path):
    got = [*read_file(write_tsf(tmp_path/'a.tsf', f'@frequency {word}'))]
    assert [o['fs'] for o in got] == [1/seconds]*2 and got[0]['frequency'] == word
    assert [o['start'] for o in got] == ['1979-01-01T00:00:00', '1980-06-01T12:30:00']

@pytest.mark.parametrize('word', ['monthly','quarterly','yearly','every_now_and_then'])
def test_months_and_years_are_no_rate(word, tmp_path):
    got = next(read_file(write_tsf(tmp_path/'a.tsf', f'@frequency {word}')))
    assert 'fs' not in got and got['frequency'] == word

def test_dates_of_tsf_files_reach_the_dataset(tmp_path):
    convert(write_tsf(tmp_path/'a.tsf', '@frequency daily'), tmp_path/'set', n_workers=0)
    clocks = clocks_of(as_source(open_folder(tmp_path/'set')[0]['X']).place())
    assert clocks[0].times(2) == np.datetime64('1979-01-03') and clocks[1].times(1) == np.datetime64('1980-06-02T12:30')

@pytest.mark.parametrize('text,words', [
    ('@attribute a what\n@data\nx:1\n', ('a.tsf declares', "'a what'", 'numeric')), ('@attribute\n@data\n1\n', ('a.tsf declares',)),
    ('@attribute start_timestamp date\n@data\n1979:1,2\n', ('series 0', '1979')), ('@data\n1,2\n3,x\n', ('series 1', 'x')), ('@\n@data\n1\n', ('@data',))])
def test_odd_headers_and_series_are_named(text, words, tmp_path):
    (tmp_path/'a.tsf').write_text(text)
    with fails(ValueError, *words): [*read_file(tmp_path/'a.tsf')]

@pytest.mark.parametrize('encoding', ['utf-8','utf-8-sig','latin-1'])
def test_letters_are_those_of_the_file(tmp_path, encoding):
    (tmp_path/'a.ts').write_bytes('@classLabel true a b\n@data\n1,2:Größe\n3,4:Grüße\n'.encode(encoding))
    assert [o['y'] for o in read_file(str(tmp_path/'a.ts'))] == ['Größe','Grüße']
    (tmp_path/'a.tsf').write_bytes('@attribute name string\n@data\nMünchen:1,2,3\n'.encode(encoding))
    assert [o['name'] for o in read_file(str(tmp_path/'a.tsf'))] == ['München']
