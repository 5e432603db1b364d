"The project holds together: notebooks run, modules match them, the wheel works, the README is true"
import ast, configparser, importlib.metadata, itertools, json, os, re, runpy, shutil, subprocess, sys
from pathlib import Path
import pytest
from conftest import fresh, on_cpu

root = Path(__file__).parent.parent
notebooks = sorted((root/'nbs').rglob('*.ipynb'))
modules = sorted(root.glob('tsdisk/**/*.py'))
by_hand = {'__init__','__main__','_modidx','all'}
no_torch = 'disk','series','order','folder' # Rooms that import neither torch nor fastai

def run(*args, cwd=root, **env):
    res = subprocess.run([str(o) for o in args], cwd=cwd, capture_output=True, text=True, env={**on_cpu, 'MPLBACKEND': 'Agg', 'OMP_NUM_THREADS': '1', **env})
    assert not res.returncode, res.stdout[-6000:] + res.stderr[-6000:]
    return res.stdout

def tool(name): return Path(sys.executable).parent/name

def source(nb): return [''.join(c['source']) for c in json.loads(nb.read_text())['cells'] if c['cell_type'] == 'code']

def exports(nb): return next((m[1] for s in source(nb) if (m := re.search(r'#\|\s*default_exp (\S+)', s))), None)

@pytest.fixture
def copy(tmp_path):
    "The project as git would give it, with local changes"
    names = run('git', 'ls-files', '-co', '--exclude-standard').splitlines()
    for o in names:
        if not (root/o).exists(): continue
        (tmp_path/o).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/o, tmp_path/o)
    return tmp_path

forks = """
import os, sys
import fastai.callback.all, fastai.interpret, matplotlib.pyplot, pandas # What takes longest to import, once for all notebooks
from nbdev.test import test_nb
for nb in map(str.rstrip, sys.stdin):
    if not (pid := os.fork()):
        os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        ok,_ = test_nb(nb, skip_flags=['slow','gpu'], basepath=sys.argv[1], cell_timeout=120)
        os._exit(not ok)
    print(os.waitpid(pid, 0)[1], flush=True)
"""

@pytest.fixture(scope='module')
def run_notebook(tmp_path_factory):
    "A function that runs a notebook in a process of its own, forked from one that has imported fastai"
    if not hasattr(os, 'fork'):
        yield lambda nb: run(tool('nbdev-test'), nb, '--n-workers', 0)
        return
    log = tmp_path_factory.mktemp('notebooks')/'errors'
    env = {**on_cpu, 'MPLBACKEND': 'Agg', 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    args = [sys.executable, '-c', forks, str(root), str(log)]
    server = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=root/'nbs')
    def run_one(nb):
        print(nb, file=server.stdin, flush=True)
        status = server.stdout.readline().strip()
        assert status == '0', f'{nb.name} ended with {status}: {log.read_text()[-6000:]}'
    yield run_one
    server.stdin.close()
    server.wait()

@pytest.mark.parametrize('nb', notebooks, ids=lambda o: o.stem)
def test_notebook_runs(nb, run_notebook): run_notebook(nb)

def test_notebooks_and_modules_are_in_sync(copy):
    run(tool('nbdev-export'), cwd=copy)
    run(tool('nbdev-clean'), cwd=copy)
    for o in [*notebooks, *modules]: assert (copy/o.relative_to(root)).read_text() == o.read_text(), f'{o.name}: run nbdev-export && nbdev-clean'

def name_of(path):
    "The dotted name of a module; of a package, that of its folder"
    parts = path.relative_to(root).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)

def imports_of(path):
    "Dotted names of what a module imports from this package, in any form"
    package = name_of(path).split('.') if path.stem == '__init__' else name_of(path).split('.')[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import): yield from (o.name for o in node.names if o.name.split('.')[0] == 'tsdisk')
        if isinstance(node, ast.ImportFrom):
            base = '.'.join([*package[:len(package)-node.level+1], *([node.module] if node.module else [])]) if node.level else node.module
            if base.split('.')[0] == 'tsdisk': yield from (f'{base}.{o.name}' if f'{base}.{o.name}' in module_names else base for o in node.names)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', getattr(node.func, 'attr', '')) in ('import_module','__import__'):
            if node.args and str(getattr(node.args[0], 'value', '')).startswith('tsdisk'): yield node.args[0].value

module_names = {name_of(o): o for o in modules}

def test_every_module_has_its_notebook():
    generated = {name_of(o) for o in modules if o.stem not in by_hand}
    assert generated == {f'tsdisk.{o}' for nb in notebooks if (o := exports(nb))}

def test_modules_import_only_from_modules_above_them():
    order = {f'tsdisk.{o}': i for i,o in enumerate(filter(None, map(exports, notebooks)))}
    for name,path in module_names.items():
        if name not in order: continue
        for used in imports_of(path):
            if used == 'tsdisk': continue # For its version
            assert used in order, f'{name} imports {used}, which is no module'
            assert order[used] < order[name], f'{name} imports {used}, which comes after it'

def test_rooms_follow_each_other_and_name_their_notebooks():
    rooms = [o.split('.')[0] for o in filter(None, map(exports, notebooks)) if '.' in o]
    assert [*dict.fromkeys(rooms)] == [k for k,_ in itertools.groupby(rooms)] == ['disk','series','order','folder','convert','data','train','tools']
    for nb in notebooks: assert exports(nb) in (None, nb.stem.partition('_')[2]), f'{nb.name} exports {exports(nb)}'

@pytest.mark.parametrize('text,found', [('from . import b', ['tsdisk.room.b']), ('from .b import x', ['tsdisk.room.b']), ('from .. import other', ['tsdisk']),
    ('from ..other.c import x', ['tsdisk.other.c']), ('from ..other import c', ['tsdisk.other.c']), ('import tsdisk.other.c as c', ['tsdisk.other.c']),
    ('def f():\n    from tsdisk.room import b, x', ['tsdisk.room.b','tsdisk.room']), ("import_module('tsdisk.room.b')", ['tsdisk.room.b']), ('import numpy.tsdisk', [])])
def test_every_form_of_import_is_seen(monkeypatch, tmp_path, text, found):
    monkeypatch.setitem(globals(), 'root', tmp_path)
    for o in ('room.b','other.c'): monkeypatch.setitem(module_names, f'tsdisk.{o}', None)
    (tmp_path/'tsdisk/room').mkdir(parents=True)
    (tmp_path/'tsdisk/room/a.py').write_text(text)
    assert [*imports_of(tmp_path/'tsdisk/room/a.py')] == found

def test_the_star_import_brings_few_names():
    names = fresh("""
    import tsdisk.all
    res = [k for k,v in vars(tsdisk.all).items() if str(getattr(v, '__module__', '')).startswith('tsdisk')]""")
    assert len(names) <= 75 and {'itemify','TSDataLoaders','convert','Windows'} <= {*names}, sorted(names)

def test_the_lower_rooms_import_neither_torch_nor_fastai():
    lower = [o for o in module_names if o.split('.')[1:2] and o.split('.')[1] in no_torch]
    run(sys.executable, '-c', f"import sys\nimport {', '.join(lower)}\nassert not {{'torch', 'fastai', 'matplotlib', 'fastprogress'}} & set(sys.modules)")

def test_style(): run(tool('chkstyle'), 'nbs', 'tests', 'benchmarks', '.ci', 'setup.py')

def test_no_real_errors(): run(tool('ruff'), 'check', '.')

def test_notebooks_are_small_and_have_no_machine_paths():
    for nb in notebooks:
        text = nb.read_text()
        assert len(text) < 200_000 and len(json.loads(text)['cells']) < 60, nb.name
        assert not re.search(r'/tmp/|/home/|/root/|/Users/|site-packages', text), nb.name

def test_version_is_the_same_everywhere():
    import tsdisk
    cfg = configparser.ConfigParser()
    cfg.read(root/'settings.ini')
    assert tsdisk.__version__ == cfg['DEFAULT']['version'] == importlib.metadata.version('tsdisk')

def test_the_core_needs_four_packages():
    core = [re.match(r'\w+', o)[0] for o in importlib.metadata.requires('tsdisk') if 'extra ==' not in o]
    assert sorted(core) == ['fastai', 'fastcore', 'numpy', 'torch']

def test_the_wheel_works_without_optional_packages(copy, tmp_path):
    wheels,site = tmp_path/'wheels',tmp_path/'site'
    pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
    run(*pip, 'wheel', copy, '--no-deps', '--no-build-isolation', '-w', wheels)
    run(*pip, 'install', '--no-deps', '--target', site, *wheels.glob('*.whl'))
    names = [o for o in module_names if o not in ('tsdisk.tsai', 'tsdisk.all') and not o.endswith(('_modidx', '__main__'))]
    script = f"""
import sys, importlib
sys.modules.update({{o: None for o in ('aeon', 'tsai', 'h5py', 'zarr', 'nbdev', 'pytest')}})
import tsdisk
assert tsdisk.__file__.startswith({str(site)!r})
for o in {names}: importlib.import_module(o)
from tsdisk.tools.cli import main
assert main(['demo', '--gb', '0.001']) == 1
"""
    run(sys.executable, '-W', 'ignore', '-c', script, cwd=site)

def test_the_readme_is_made_from_the_index(): assert runpy.run_path(str(root/'.ci/readme.py'))['readme']() == (root/'README.md').read_text()

def test_the_readme_has_both_commands_and_ci_runs_the_second():
    readme = (root/'README.md').read_text()
    assert "\npip install -e '.[demo]' && tsdisk demo\n" in readme and "\npip install -e '.[dev]' && pytest\n" in readme
    assert "&& pytest$" in (root/'.ci/run').read_text()
    assert {'demo','dev'} <= set(importlib.metadata.metadata('tsdisk').get_all('Provides-Extra'))

def test_links_in_the_readme_lead_somewhere():
    links = re.findall(r'\]\((?!http)([^)#]+)\)', (root/'README.md').read_text())
    assert links
    for o in links: assert (root/o).exists(), o

def test_figures_are_those_of_the_benchmarks():
    results = root/'benchmarks/results'
    assert (results/'cliff_readme.md').read_text().strip() in (root/'README.md').read_text()
    cells = json.loads((root/'nbs/explain/benchmarks.ipynb').read_text())['cells']
    shown = [''.join(o['data'].get('text/markdown', '')) for c in cells for o in c.get('outputs', []) if 'data' in o]
    for name in ('readme','cold_readme','cliff','threads','windows_readme','gpu_readme','peers_readme'): assert (results/f'{name}.md').read_text() in shown, name

def test_each_row_of_the_results_has_figures():
    for o in (root/'benchmarks/results').glob('*.md'): assert not re.findall(r'^\|[^|]+\|(?: *\|)+$', o.read_text(), re.M), o.name
