"The doctor measures what loaders do, and says what it cannot know"
import json
from pathlib import Path
import numpy as np, pytest
from conftest import fails, filled
from tsdisk.tools import doctor as module
from tsdisk.data import reader
from tsdisk.data.reader import ReadOptions
from tsdisk.disk.arrays import save_array
from tsdisk.tools.cli import main
from tsdisk.disk.io import Aio, DiskFile
from tsdisk.tools.doctor import doctor, examine, file_system
from tsdisk.folder.manifest import save_folder
from tsdisk.convert.convert import convert

@pytest.fixture
def quick(monkeypatch):
    for o in (doctor, examine): monkeypatch.setattr(o, '__defaults__', (64,.05))

def test_command_line(tmp_path, quick, capsys):
    save_folder(tmp_path/'d', filled((2000,3,50)))
    for path in (tmp_path/'d', tmp_path/'d'/'X.npy'):
        assert main(['doctor', str(path)]) == 0
        out = capsys.readouterr().out
        words = '2,000 × 3 × 50 float32','600 bytes a row','samples/s','through the page cache: the array fits'
        assert all(o in out for o in words)
    for path in ('missing.npy', tmp_path):
        assert main(['doctor', str(path)]) == 1
        assert 'tsdisk: ' in capsys.readouterr().err

def test_report_as_json(tmp_path, quick, capsys, monkeypatch):
    save_array(tmp_path/'X.npy', filled((2000,3,50)))
    assert main(['doctor', '--json', str(tmp_path/'X.npy')]) == 0
    out,err = capsys.readouterr()
    got = json.loads(out)
    assert err == '' and got['shape'] == [2000,3,50] and got['row_bytes'] == 600 and got['fits_in_memory'] is True
    assert [*got['samples_per_second']] == ['cached','shuffled','in_blocks','in_order'] and got['disk']['in_order'] > 0
    assert got['advice'][0].startswith('# Nothing to change') and 'DataTimer' in got['advice'][1]
    monkeypatch.setattr(DiskFile, 'engines', ())
    assert main(['doctor', str(tmp_path/'X.npy'), '--json']) == 0
    got = json.loads(capsys.readouterr().out)
    assert got['disk'] is None and got['advice'] == [] and [*got['samples_per_second']] == ['cached']

def test_advice_for_what_does_not_fit(tmp_path, quick, capsys, monkeypatch):
    path = tmp_path/'X.npy'
    save_array(path, filled((20_000,3,50)))
    monkeypatch.setattr(reader, 'free_memory', lambda: 0)
    rates = doctor(path)
    out = capsys.readouterr().out
    assert 'straight from disk: the array does not fit' in out and 'float16' in out and 'multiple of 512' in out
    assert all(v > 0 for v in rates.values()) and [*rates] == ['cached',True,'block',False]

def test_without_an_engine(tmp_path, quick, capsys, monkeypatch):
    monkeypatch.setattr(DiskFile, 'engines', ())
    save_array(tmp_path/'X.npy', filled((2000,3,50)))
    assert [*doctor(tmp_path/'X.npy')] == ['cached']
    assert 'not possible here' in capsys.readouterr().out

@pytest.fixture
def disk(): return module._DiskRates(1e8, 1e9, {2**20: 4e8, ReadOptions.block_bytes: 5e8, 2**22: 8e8}, {1: 4e8, 2: 5e8, 4: 8e8})

@pytest.mark.parametrize('folder', [False,True])
def test_advice_is_code_to_paste(tmp_path, disk, folder):
    save_folder(tmp_path/'d', filled((300,3,50)), splits=dict(train=range(200), valid=range(200, 300)))
    path = tmp_path/'d' if folder else tmp_path/'d'/'X.npy'
    rates = {'cached': 9e5, True: 3e4, 'block': 9e4, False: 9e4}
    lines = module._advice(filled((300,3,50)), path, 64, False, rates, disk, Aio, module._memory_advice(2**29))
    ns = {}
    exec('\n'.join(lines), ns)
    assert ns['read'] == ReadOptions(block_bytes=2**22, threads=4, buffer_bytes=2**26) and ns['dls'].train.read == ns['read']
    assert ns['dls'].train.shuffle == 'block' and ns['dls'].bs == 64

def test_settings_that_gain_little_are_left_alone(disk):
    even = module._DiskRates(1e8, 1e9, dict.fromkeys(disk.blocks, 5e8), dict.fromkeys(disk.threads, 5e8))
    rates = {True: 3e4, 'block': 3.1e4}
    lines = module._advice(np.zeros((4,2,128), 'f2'), 'X.npy', 64, False, rates, even, Aio, module._memory_advice(2**40))
    assert lines == ['# Nothing that tsdisk can make faster']

def test_with_little_memory_loaders_are_measured_as_advised(tmp_path, quick, monkeypatch):
    "With the default, it would itself take most of the memory"
    save_array(tmp_path/'X.npy', filled((2000,3,50)))
    seen = []
    monkeypatch.setattr(module, 'loader_rate', lambda dl, secs: seen.append(dl.read.buffer_bytes) or 1.)
    for free in (2**29, 2**40):
        monkeypatch.setattr(module, 'free_memory', lambda free=free: free)
        doctor(tmp_path/'X.npy')
        assert {*seen} == {2**26 if free == 2**29 else ReadOptions.buffer_bytes} and len(seen) == 4
        seen.clear()

def test_what_is_compared_is_measured_in_turns():
    rates = dict(a=iter([9,1,2]), b=iter([3,3,8]))
    order = []
    ways = {k: (lambda secs, k=k: order.append((k, secs)) or next(rates[k])) for k in rates}
    assert module._in_turns(ways, 3.) == dict(a=2, b=3) and order == [(k, 1.) for _ in range(3) for k in 'ab']

def test_what_the_system_does_not_say(tmp_path, monkeypatch):
    (tmp_path/'f').write_bytes(b'1')
    def gone(*_, **__): raise OSError
    monkeypatch.setattr(module.Path, 'read_text', gone)
    assert file_system(tmp_path/'f') == ('unknown','unknown')

def test_no_file_no_report(tmp_path):
    with fails(FileNotFoundError, 'none.npy'): doctor(tmp_path/'none.npy')

def test_fewer_rows_than_a_batch(tmp_path, quick):
    save_array(tmp_path/'x.npy', filled((20,2,1000)))
    assert doctor(tmp_path/'x.npy')['cached'] > 0

def test_what_is_not_one_array_is_named(tmp_path):
    convert([filled((2,5)), filled((2,7))], tmp_path/'set')
    with fails(ValueError, 'set has series of unequal lengths', '`.npy` files'): doctor(tmp_path/'set')

def test_mounts_with_spaces(tmp_path, monkeypatch):
    mounts = f'a / ext4 rw 0 0\nb {str(tmp_path)}/my\\040disk xfs rw 0 0\n'
    monkeypatch.setattr(Path, 'read_text', lambda self: mounts)
    assert module._mount_type(tmp_path/'my disk'/'x.npy') == 'xfs' and module._mount_type(tmp_path/'my') == 'ext4'
