"The frame of the benchmarks: busy processes end, ceilings copy and read what they should, tables have their columns"
import json, re, signal, subprocess, sys, time
from types import SimpleNamespace
from pathlib import Path
import numpy as np, pytest, torch

folder = Path(__file__).parent.parent/'benchmarks'
sys.path.insert(0, str(folder))
import kept, soak
from ceilings import Disk, bare_gathers, fio, fio_engine
from common import chosen, heads, in_order, kind, of_best_way, pick, ratio
from processes import Busy, Quiet
linux = pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc and PR_SET_PDEATHSIG')
names = 'loaders','cold','windows','stats','convert','predict','peers','gpu','growth','cliff','first_epoch','threads'

def state(pid):
    "Of a process: R, S, T, Z; empty where there is none"
    try: return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except OSError: return ''

def wait_for(what):
    "Whether it becomes true within some seconds"
    until = time.time()+20
    while not what() and time.time() < until: time.sleep(.01)
    return what()

script = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from common import arguments, benchmark, run
def main():
    with benchmark(arguments('x', '', '', (1,1), 1), need=1) as bench:
        for i,n in bench.turns('x'):
            if n == 0: continue
            print(*(o.pid for o in bench.busy.processes), bench.folder, flush=True)
            if bench.args.quick: raise ValueError('stop')
            time.sleep(60)
run(main)
"""

@linux
@pytest.mark.parametrize('how', ['error', signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_busy_processes_end_with_the_benchmark(how, tmp_path):
    options = ['--beside', '0', '2', '--tmp', str(tmp_path), *['--quick']*(how == 'error')]
    p = subprocess.Popen([sys.executable, '-c', script, folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    *pids,data = p.stdout.readline().split()
    assert len(pids) == 2
    if how != 'error': p.send_signal(how)
    _,err = p.communicate(timeout=60)
    assert p.returncode == {'error': 1, signal.SIGINT: 130, signal.SIGTERM: 143}.get(how, -9)
    assert ('ValueError: stop' in err) == (how == 'error')
    assert wait_for(lambda: all(state(o) in ('','Z') for o in pids))
    assert Path(data).exists() == (how == signal.SIGKILL)

@linux
def test_waiting_for_quiet_stops_the_busy_processes_of_the_benchmark():
    busy = Busy()
    try:
        busy.run(2)
        pids = [o.pid for o in busy.processes]
        with busy.paused(): assert wait_for(lambda: all(state(o) == 'T' for o in pids))
        assert wait_for(lambda: all(state(o) == 'R' for o in pids))
        quiet = Quiet(busy, budget=0)
        quiet.wait()
        assert len(quiet.seen) == 1 and 0 <= quiet.seen[0] <= 1
        busy.run(1)
        assert state(pids[1]) == '' and state(pids[0]) == 'R'
    finally: busy.run(0)
    assert state(pids[0]) == ''

def test_every_benchmark_has_the_arguments_of_the_frame():
    code = f"""
import contextlib, io, runpy, sys
sys.path.insert(0, {str(folder)!r})
for name in {names}:
    sys.argv,out = [name, '--help'],io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit): runpy.run_path({str(folder)!r} + f'/{{name}}.py', run_name='__main__')
    print(name, *(o for o in ('--quick','--beside','--rounds','--tmp','--out') if o in out.getvalue()))
"""
    out = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [f'{o} --quick --beside --rounds --tmp --out' for o in names]

@pytest.mark.parametrize('n', [1000,1024,64,63+64])
def test_every_bare_gather_copies_each_row_once(n):
    rows = torch.arange(n*3.).view(n, 3)
    ways = bare_gathers(rows, torch.randperm(n), 64, most=2**12)
    assert 'one thread, several batches in a call' in ways and 'calls in two threads' in ways or torch.get_num_threads() == 1
    before = torch.get_num_threads()
    for name,way in ways.items():
        for _ in range(3):
            got = torch.cat([xb.clone() for xb,_ in way])
            assert torch.equal(got, rows[(got[:,0]/3).long()]) and len(got[:,0].unique()) == n//64*64, name
    assert torch.get_num_threads() == before

def test_the_disk_is_the_best_way_of_each_turn(tmp_path):
    np.save(tmp_path/'X.npy', np.zeros(9))
    speed = {'random_reads': iter([1,2,9,3,1,1,1,1, 4, 8]), 'fio': iter([5,6, 7,7])}
    def call(f, *args): return dict(used=v, read=v) if (v := next(speed[getattr(args[0], '__name__', f.__name__)], 0)) else {}
    disk = Disk(call, tmp_path, 1)
    disk.ways = {k: (threads, {f'fio, depth {o}': (fio,'x',o) for o in (32,128)}) for k,(threads,_) in disk.ways.items()}
    job, = disk.around([lambda: dict(used=6)], 'exact', 512, 1)
    assert [r['mb'] for r in disk.found] == [6,8] and [r['name'] for r in disk.found] == ['fio, depth 128','16 threads']
    assert disk.found[0]['each'] == {'16 threads': 4, 'fio, depth 32': 5, 'fio, depth 128': 6} and job == dict(used=6, disk=7)

@linux
def test_fio_reads_where_it_is_installed(tmp_path):
    np.save(tmp_path/'X.npy', np.zeros(2**20, 'f4'))
    engine = fio_engine(tmp_path)
    if engine is None: pytest.skip('fio is not installed, or may not read past the page cache here')
    found = fio(tmp_path, engine, 'randread', 32, 6000, .1)
    assert engine in ('io_uring','libaio') and found['read'] > 0 and found['used'] > 0

def test_a_column_for_each_number_of_busy_processes():
    records = [dict(way=k, beside=n, rate=r) for r,(k,n) in enumerate([('b',0), ('a',0), ('b',1), ('a',1)], 1)]
    assert heads('GB/s', [0,1,4]) == ['GB/s', 'GB/s, 1 busy', 'GB/s, 4 busy']
    assert [r['way'] for r in in_order(records, 'ab')] == ['a','a','b','b']
    assert pick(records, 'rate', way='a', beside=1) == [4] and ratio(pick(records, 'rate', way='a'), pick(records, 'rate', way='b')) == (2/1+4/3)/2

def test_the_best_way_is_that_of_all_rounds_not_the_luckiest():
    rounds = [dict(a=5, b=4), dict(a=1, b=4), dict(a=1, b=3)]
    assert of_best_way(rounds) == [4,4,3] and of_best_way([]) == []

@linux
def test_a_minute_of_soak_loses_nothing():
    args = [sys.executable, '-W', 'ignore', folder/'soak.py', '--minutes', '1', '--seed', '3']
    res = subprocess.run(args, capture_output=True, text=True)
    assert res.returncode == 0 and 'Nothing was lost' in res.stdout, res.stdout+res.stderr
    n = {k: int(v) for k,v in re.findall(r'^\| (.+?) \| (\d+) \|$', res.stdout, re.M)}
    assert n['kills'] > 3 and n['rows written'] > 100 and n['verify'] > 0, res.stdout
    assert n['kills'] == sum(v for k,v in n.items() if k.startswith('kills of ')), res.stdout

@linux
@pytest.mark.parametrize('n', [7,64])
def test_a_soak_trains_on_a_dataset_whose_first_rows_lack_a_label(n, tmp_path):
    "Rows 0 and 1 alone have labels in training, the others in validation"
    ids = np.r_[np.arange(n*3//4)%2, np.full(n-n*3//4, 5)]
    soak.save_ids(tmp_path/'set', ids)
    (tmp_path/'run').mkdir()
    assert isinstance(soak.elsewhere(soak.fit, tmp_path/'set', n, tmp_path/'run', True), int)

def lose_a_row(o): o.set = o.set[0],np.append(o.set[1], 2**20)
def flip(o):
    with open(next(o.set[0].glob('X*.npy')), 'r+b') as f:
        f.seek(-1, 2)
        f.write(b'!')
def damage_labels(o): np.save(next(o.set[0].glob('y*.npy')), np.zeros(len(o.set[1]), 'i8'))

@linux
@pytest.mark.parametrize('harm', [lose_a_row, flip, damage_labels])
def test_a_soak_finds_what_is_lost(harm, tmp_path, monkeypatch):
    monkeypatch.setattr(soak, 'acts', {lambda o: (soak.act_convert(o), harm(o), soak.act_verify(o)): 1})
    done,loss = soak.soaked(tmp_path, 0, 60)
    assert loss is not None and done.counts['convert'] == 1

@linux
def test_a_soak_finds_a_lost_checkpoint_and_another_order(tmp_path, monkeypatch):
    o = soak.Soak(tmp_path, 0)
    o.times['training'] = 0
    (tmp_path/'log').write_text('start\n0 11\n1 22\n')
    def resumed(batches, saved):
        saved = iter(saved)
        monkeypatch.setattr(soak, 'elsewhere', lambda f, path=None: next(saved) if f is soak.saved_at else None)
        monkeypatch.setattr(soak, '_fit_amid_appends', lambda *_: (tmp_path/'log').open('a').write(f'start\n{batches}') and 1)
        soak._attempt(o, None, tmp_path, [[0,11],[1,22],[2,33]], kill=False)
    resumed('1 22\n2 33\n', [1,2])
    for batches,saved,why in (('0 11\n', [1,2], 'resumed at batch 0'), ('1 33\n', [1,2], 'other rows'), ('1 22\n', [1,0], 'became one of 0')):
        with pytest.raises(soak.Loss, match=why): resumed(batches, saved)

def test_all_results_but_those_of_the_gpu_are_of_one_commit_and_one_kind_of_machine():
    found = {o.stem: json.loads(o.read_text())['machine'] for o in (folder/'results').glob('*.json')}
    assert {*found} == {*names}
    assert len({kind(m) for k,m in found.items() if k != 'gpu'}) == 1
    assert all(m.get('commit') for k,m in found.items() if k != 'gpu')

def test_only_chooses_by_words_and_an_unknown_word_is_an_error():
    only = lambda *words: SimpleNamespace(only=words)
    assert chosen(['a cat','a dog','fish'], only('cat','fish')) == ['a cat','fish']
    assert chosen(['a cat','a dog'], only('')) == ['a cat','a dog']
    with pytest.raises(SystemExit, match='--only bird: .*a cat, a dog'): chosen(['a cat','a dog'], only('bird'))

def test_the_kept_set_takes_every_benchmark_but_that_of_the_gpu_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    assert {*kept.kept} == {*names}-{'gpu'}
    this = dict(cpu='a processor', cores=2, commit='1234567')
    def result(name, **of): (tmp_path/f'{name}.json').write_text(json.dumps(dict(machine=this|of)))
    result('loaders')
    result('stats', commit='another')
    result('cold', cpu='another')
    ran = []
    def fake(command, **kwargs):
        ran.append(Path(command[1]).stem)
        if ran[-1] != 'windows': result(ran[-1])
        return subprocess.CompletedProcess(command, int(ran[-1] == 'windows'))
    monkeypatch.setattr(kept, 'machine', lambda: this)
    monkeypatch.setattr(kept.subprocess, 'run', fake)
    monkeypatch.setattr(sys, 'argv', ['kept.py', '--out', str(tmp_path)])
    with pytest.raises(SystemExit, match='windows.py failed'): kept.main()
    assert ran == ['stats','threads','cold','windows']
    assert all(kept.is_done(o, tmp_path) for o in ('loaders','stats','threads','cold')) and not kept.is_done('windows', tmp_path)
