"The demo does what the README says"
import os, signal, subprocess, sys, time
import pytest
from pathlib import Path
from tsdisk.disk.arrays import open_array
from tsdisk.tools.cli import main
from tsdisk.tools.demo import basic_motions, make_data
from tsdisk.folder.manifest import open_folder

run_main = 'from tsdisk.tools.cli import main; raise SystemExit(main())'

def command(*args, cwd):
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    tsdisk = Path(sys.executable).parent/'tsdisk'
    return subprocess.run([tsdisk, *args], cwd=cwd, env=env, capture_output=True, text=True)

def test_demo_reports_accuracy_memory_and_speed(tmp_path):
    res = command('demo', '--gb', '0.1', '--folder', 'kept', cwd=tmp_path)
    assert res.returncode == 0, res.stderr
    said = {o.split('  ')[1].strip(): o for o in res.stdout.splitlines() if o.startswith('  ')}
    assert float(said['accuracy on 40 untouched test recordings'].split()[-1].rstrip('%')) >= 90
    assert {'peak private memory while training', 'training, from disk', 'reading, from disk', 'picture'} <= set(said)
    assert (tmp_path/'tsdisk_demo.png').stat().st_size > 10_000
    arrays,splits = open_folder(tmp_path/'kept')
    test,y_test = basic_motions('test')
    assert (arrays['X'][list(splits['valid'])] == test).all() and (arrays['y'][list(splits['valid'])] == y_test).all()

def test_demo_data_is_seeded_and_used_again(tmp_path):
    n = make_data(tmp_path/'a', .01, seed=1)
    make_data(tmp_path/'b', .01, seed=1)
    assert (tmp_path/'a/X.npy').read_bytes() == (tmp_path/'b/X.npy').read_bytes()
    before = (tmp_path/'a/X.npy').stat().st_mtime_ns
    assert make_data(tmp_path/'a', .01, seed=1) == n
    assert (tmp_path/'a/X.npy').stat().st_mtime_ns == before

def test_demo_never_overwrites_other_data(tmp_path, capsys):
    make_data(tmp_path, .01, seed=1)
    assert main(['demo', '--gb', '0.02', '--folder', str(tmp_path)]) == 1
    assert 'holds other data' in capsys.readouterr().err

def test_demo_without_room_says_so(tmp_path, capsys):
    assert main(['demo', '--gb', '1e9', '--folder', str(tmp_path/'d')]) == 1
    assert 'make room' in capsys.readouterr().err
    assert not list((tmp_path/'d').iterdir())

@pytest.mark.skipif(os.name == 'nt', reason='Ctrl-C cannot be sent to a process of its own there')
def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    code = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler); ' + run_main
    args = [sys.executable, '-W', 'ignore', '-c', code, 'demo', '--gb', '1.5', '--folder', 'd']
    p = subprocess.Popen(args, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if any(o.stat().st_size > 1e7 for o in (tmp_path/'d').glob('.*.tmp')): break
        time.sleep(.1)
    p.send_signal(signal.SIGINT)
    _,err = p.communicate(timeout=60)
    assert p.returncode == 130 and 'half-written' in err
    assert not list((tmp_path/'d').iterdir())

@pytest.mark.skipif(os.name == 'nt', reason='there are no such signals there')
def test_a_demo_that_is_ended_leaves_no_temporary_files(tmp_path):
    args = [sys.executable, '-W', 'ignore', '-c', run_main, 'demo', '--gb', '1.5']
    env = {**os.environ, 'TMPDIR': str(tmp_path)}
    p = subprocess.Popen(args, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if any(o.stat().st_size > 1e7 for o in tmp_path.glob('tsdisk_*/.*.tmp')): break
        time.sleep(.1)
    p.terminate()
    assert p.wait(60) == 143 and not list(tmp_path.glob('tsdisk_*'))

def test_arrays_of_the_demo_are_plain_npy(tmp_path):
    make_data(tmp_path, .01)
    assert open_array(tmp_path/'X.npy').offset == 4096

@pytest.mark.parametrize('gb', ['0','-1'])
def test_demo_of_no_data_is_refused(tmp_path, gb, capsys):
    assert main(['demo', '--gb', gb, '--folder', str(tmp_path/'d')]) == 1
    assert 'above 0 GB' in capsys.readouterr().err and not list(tmp_path.iterdir())

def test_demo_looks_for_the_folder_of_the_picture_first(tmp_path, capsys):
    assert main(['demo', '--picture', str(tmp_path/'none'/'p.png'), '--folder', str(tmp_path/'d')]) == 1
    assert 'no folder' in capsys.readouterr().err and not list(tmp_path.iterdir())
