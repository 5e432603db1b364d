import json, subprocess, sys, warnings
import numpy as np, pytest
from conftest import on_cpu
from tsdisk.tools.cli import in_commands, main
from tsdisk.folder.manifest import open_folder

@pytest.fixture
def raw(tmp_path):
    for i in range(12):
        p = tmp_path/f'raw/{"ab"[i%2]}/{i:02d}.npy'
        p.parent.mkdir(parents=True, exist_ok=True)
        np.save(p, np.full((2,9), i, 'f4'))
    return tmp_path/'raw'

def test_convert_verify_append_info(raw, tmp_path, capsys):
    dst = str(tmp_path/'set')
    assert main(['convert', str(raw/'a'), dst, '--workers', '1']) == 0 and main(['verify', dst]) == 0
    assert 'every byte is unchanged' in capsys.readouterr().out
    assert main(['append', dst, str(raw/'b')]) == 0
    assert len(open_folder(dst)[0]['X']) == 12
    with open(tmp_path/'set/X.npy', 'r+b') as f:
        f.seek(4100)
        f.write(b'\xff')
    capsys.readouterr()
    assert main(['verify', dst]) == 3 and capsys.readouterr().out == 'X.npy has changed: rows 0 to 12\n'
    assert main(['info', dst, str(raw/'a/00.npy')]) == 0 and 'X       12 x 2 x 9' in capsys.readouterr().out

def test_files_are_appended_again_if_asked_to(raw, tmp_path, capsys):
    dst = str(tmp_path/'set')
    assert main(['convert', str(raw/'a'), dst]) == 0
    for options,n in (([], 6), (['--again'], 12)):
        assert main(['append', dst, str(raw/'a'), *options]) == 0
        assert len(open_folder(dst)[0]['X']) == n and ('Nothing was appended' in capsys.readouterr().out) == (not options)

def test_errors_are_one_line(raw, tmp_path, capsys):
    (raw/'a/bad.npy').write_text('no array')
    wrong = {'bad.npy could not be read': ['convert', str(raw), str(tmp_path/'set')],
        'does not exist': ['info', str(tmp_path/'none')], 'no checksums': ['verify', str(tmp_path)],
        'no files to read': ['convert', str(tmp_path/'*.xyz'), str(tmp_path/'s')]}
    for why,args in wrong.items():
        assert main(args) == 1
        said = capsys.readouterr().err
        assert why in said and said.count('\n') == 1
    assert main(['convert', str(raw), str(tmp_path/'set'), '--skip']) == 0 and 'bad.npy' in capsys.readouterr().out

def test_a_file_alone_has_no_checksums(raw, tmp_path, capsys):
    assert main(['verify', str(raw/'a/00.npy')]) == 1 and 'give the folder of a dataset' in capsys.readouterr().err

def test_damaged_files_are_an_error_of_one_line(tmp_path, capsys):
    (tmp_path/'a.edf').write_bytes(b'0       '+b'x'*900)
    assert main(['info', str(tmp_path/'a.edf')]) == 1
    assert capsys.readouterr().err.count('\n') == 1

def test_long_tables(tmp_path, capsys):
    (tmp_path/'a.csv').write_text('who,t,v\n' + ''.join(f'{"xyz"[i%3]},{i},{i*.5}\n' for i in range(30)))
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), '--id', 'who', '--time', 't']) == 0
    arrays,_ = open_folder(tmp_path/'set')
    assert arrays['who'].tolist() == [*'xyz'] and np.array_equal(arrays['X'][1], [np.arange(1, 30, 3)*.5])

def test_dialects_of_a_table_can_be_given(tmp_path):
    rows = ''.join(f'{"xyz"[i%3]};0{i//3+1}/02/2020;{i},5;{"xyz"[i%3]}0\n' for i in range(9))
    (tmp_path/'a.csv').write_text('who;t;v;site\n' + rows, encoding='utf-16-le')
    options = ['--id', 'who', '--time', 't', '--time-format', '%d/%m/%Y', '--sep', ';', '--decimal', ',', '--encoding', 'utf-16-le', '--metadata', 'site']
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), *options]) == 0
    arrays,_ = open_folder(tmp_path/'set')
    assert arrays['X'][1].tolist() == [[1.5,4.5,7.5]] and arrays['site'].tolist() == ['x0','y0','z0']

def test_times_of_a_recording(tmp_path):
    (tmp_path/'a.csv').write_text('t,v\n' + ''.join(f'{i},{i*.5}\n' for i in range(30)))
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), '--time', 't']) == 0
    assert open_folder(tmp_path/'set')[0]['X'].shape == (1,1,30)

def test_variables_are_chosen_and_gaps_are_filled(tmp_path, capsys):
    rows = ''.join(f'2024-01-01T00:00:{i:02},{i},{-i},7\n' for i in (*range(10), *range(15, 30)))
    (tmp_path/'a.csv').write_text('t,v,w,id\n' + rows)
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'holes')]) == 0
    assert 'warning: 1 series have gaps' in (err := capsys.readouterr().err) and 'give `--fill-gaps`\n' in err
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), '--fill-gaps', '--vars', 'w', 'v']) == 0
    x = open_folder(tmp_path/'set')[0]['X'][0]
    assert x.shape == (2,30) and np.isnan(x[:,10:15]).all() and x[:,-1].tolist() == [-29,29]

def test_output_that_nobody_reads_is_no_error(raw):
    files = [str(raw/'a/00.npy')]*20
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p = subprocess.Popen([sys.executable, '-m', 'tsdisk', 'info', *files], **pipes)
    p.stdout.close()
    assert p.stderr.read() == b'' and p.wait() == 141

@pytest.mark.parametrize('order', ['{d} --plot', '--plot {d}', '--plot {d}/a.png {d}', '{d} --plot {d}/a.png', '--json --plot {d}', '{d} --plot --json'])
def test_options_of_info_in_any_order(raw, tmp_path, capsys, monkeypatch, order):
    monkeypatch.chdir(tmp_path)
    d = tmp_path/'set'
    main(['convert', str(raw), str(d)])
    capsys.readouterr()
    assert main(['info', *order.format(d=d).split()]) == 0
    picture = d/'a.png' if '.png' in order else tmp_path/'tsdisk_info.png'
    out,err = capsys.readouterr()
    assert picture.read_bytes()[:4] == b'\x89PNG' and 'Plot saved to' in err and len(out.split('set')) > 1

def test_json(raw, tmp_path, capsys):
    d = str(tmp_path/'set')
    main(['convert', str(raw/'a'), d])
    capsys.readouterr()
    assert main(['info', '--json', d, str(raw/'b/01.npy')]) == 0
    got = [json.loads(o) for o in capsys.readouterr().out.splitlines()]
    assert [o['path'] for o in got] == [d, str(raw/'b/01.npy')] and [o['arrays'][0]['shape'] for o in got] == [[6,2,9],[2,9]]
    assert main(['verify', d, '--json']) == 0 and json.loads(capsys.readouterr().out) == dict(path=d, unchanged=True, changes=[])
    with open(tmp_path/'set/X.npy', 'r+b') as f:
        f.seek(4100)
        f.write(b'\xff')
    assert main(['verify', d, '--json']) == 3
    assert json.loads(capsys.readouterr().out) == dict(path=d, unchanged=False, changes=['X.npy has changed: rows 0 to 6'])

@pytest.mark.parametrize('name,at', [('tsdisk.json',0), ('tsdisk.json',20), ('X.npy',3)])
def test_a_damaged_manifest_or_header_has_changed_too(raw, tmp_path, capsys, name, at):
    d = tmp_path/'set'
    assert main(['convert', str(raw/'a'), str(d)]) == 0 and main(['verify', str(d)]) == 0
    data = bytearray((d/name).read_bytes())
    data[at] ^= 1
    (d/name).write_bytes(data)
    capsys.readouterr()
    assert main(['verify', str(d), '--json']) == 3
    found = json.loads(capsys.readouterr().out)
    assert not found['unchanged'] and name in found['changes'][0]

def test_exit_codes_and_version(raw, capsys):
    import tsdisk
    for args,code in ((['--version'], 0), (['--help'], 0), (['info'], 2), (['fly'], 2), ([], 2)):
        with pytest.raises(SystemExit) as e: main(args)
        assert e.value.code == code
        out = capsys.readouterr().out
        if '--version' in args: assert out == f'tsdisk {tsdisk.__version__}\n'
        if '--help' in args: assert all(f'\n  {o} ' in out for o in (0,1,2,3,130,141,143))

@pytest.mark.parametrize('python,command', [("Give `resume=False` to start over", 'Give `--anew` to start over'),
    ("give `on_error='skip'`, and", 'give `--skip`, and'), ('`again=True` adds', '`--again` adds'),
    ("`add_checksums` reads", '`tsdisk verify --add` reads'), ("use `dtype='float32'`, or", 'use `--dtype float32`, or'),
    ('To fill them, give `tfm=fill_gaps`, from `tsdisk.convert.record_times`', 'To fill them, give `--fill-gaps`'),
    ('choose variables with `vars` of `read_table`', 'choose variables with `--vars`'), ("`layout='ragged'`", '`--layout ragged`'), ("`decimal=','`", '`--decimal ,`'), ("`sep=' '`", '`--sep " "`'), ('give `time_format`', 'give `--time-format`'),
    ('or give `n_workers=0`', 'or give `--workers 0`'), ('a smaller `n_workers`', 'a smaller `--workers`'), ('`id` or `time`', '`--id` or `--time`'),
    ('make one with `convert` or `save_folder`', 'make one with `tsdisk convert`'), ('with `save_folder` or `convert`', 'with `tsdisk convert`'),
    ('give `read`', 'give `read` in Python'), ('`X` and `y` of `dtype`', '`X` and `y` of `dtype`'), ("`shuffle='block'` is faster", "`shuffle='block'` is faster")])
def test_advice_names_options_of_the_command(python, command): assert in_commands(python) == command

def test_errors_and_notes_name_options_of_the_command(raw, tmp_path, capsys):
    dst = str(tmp_path/'set')
    main(['convert', str(raw/'a'), dst])
    main(['append', dst, str(raw/'a')])
    out = capsys.readouterr().out
    assert '`--again` adds them once more' in out and 'again=True' not in out
    (raw/'b/bad.npy').write_text('no array')
    assert main(['convert', str(raw/'b'), str(tmp_path/'set2')]) == 1 and '`--skip`' in capsys.readouterr().err
    assert main(['convert', str(raw/'b'), str(tmp_path/'set2'), '--skip', '--dtype', 'float16']) == 1
    assert '`--anew`' in capsys.readouterr().err
    assert main(['verify', str(tmp_path/'raw')]) == 1 and '`tsdisk verify --add`' in capsys.readouterr().err

def test_warnings_are_lines_too():
    "In a process of its own: how warnings are shown belongs to all threads, those of other tests as well"
    code = """
import warnings
from tsdisk.tools import cli
cli._verify = lambda args: warnings.warn('give `resume=False`')
raise SystemExit(cli.main(['verify', '.']))
"""
    res = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env={**on_cpu, 'PYTHONWARNINGS': ''})
    assert res.returncode == 0 and res.stderr == 'tsdisk: warning: give `--anew`\n'

def test_targets_are_paired_by_the_stem_of_their_names(tmp_path, capsys):
    for i in range(3):
        np.save(tmp_path/f'img{i}.npy', np.full((2,9), i, 'f4'))
        np.save(tmp_path/f'img{i}-mask.npy', np.full(9, 10*i))
    assert main(['convert', str(tmp_path/'img?.npy'), str(tmp_path/'set'), '--targets', str(tmp_path/'*-mask.npy')]) == 0
    arrays,_ = open_folder(tmp_path/'set')
    assert np.array_equal(arrays['X'][:,0,0]*10, arrays['y'][:,0]) and len(arrays['y']) == 3
    capsys.readouterr()
    assert main(['convert', str(tmp_path/'img?.npy'), str(tmp_path/'b'), '--targets', 'x', '--id', 'who']) == 1
    assert 'give one of them' in capsys.readouterr().err

def test_what_is_no_dataset_is_not_drawn_and_bench_is_doctor(tmp_path, capsys):
    (tmp_path/'t.csv').write_text('a,b\n1,2\n2,3\n')
    assert main(['info', '--plot', str(tmp_path/'t.csv')]) == 1
    assert f'`tsdisk convert {tmp_path}/t.csv FOLDER`' in capsys.readouterr().err
    assert main(['bench', str(tmp_path)]) == 2 and '`tsdisk doctor PATH`' in capsys.readouterr().err

@pytest.mark.parametrize('flag', ['--y','--metadata'])
def test_targets_and_metadata_of_a_table_need_its_ids(tmp_path, capsys, flag):
    (tmp_path/'a.csv').write_text('label,v\n1,2\n3,4\n')
    assert main(['convert', str(tmp_path/'a.csv'), str(tmp_path/'set'), flag, 'label']) != 0
    assert '`--id`' in capsys.readouterr().err and not (tmp_path/'set').exists()
