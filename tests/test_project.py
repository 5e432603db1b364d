"The project holds together: notebooks run, modules match them, the wheel works, the README is true"
import configparser, importlib.metadata, json, re, runpy, shutil, subprocess, sys
from pathlib import Path
import pytest
from conftest import on_cpu

root = Path(__file__).parent.parent
notebooks = sorted((root/'nbs').glob('*.ipynb'))
modules = sorted(root.glob('tsdisk/**/*.py'))
by_hand = {'__init__','__main__','_modidx','all'}
disk_side = 'arrays disk items rows sources files panels windows order splits folder stats'.split()

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

@pytest.mark.parametrize('nb', notebooks, ids=lambda o: o.stem)
def test_notebook_runs(nb): assert 'Success' in run(tool('nbdev-test'), nb, '--n-workers', 0)

def test_notebooks_and_modules_are_in_sync(copy):
    run(tool('nbdev-export'), cwd=copy)
    run(tool('nbdev-clean'), cwd=copy)
    for o in [*notebooks, *modules]: assert (copy/o.relative_to(root)).read_text() == o.read_text(), f'{o.name}: run nbdev-export && nbdev-clean'

def test_every_module_has_its_notebook(): assert {o.stem for o in modules} - by_hand == {o for nb in notebooks if (o := exports(nb))}

def test_modules_import_only_from_modules_above_them():
    order = [exports(nb) for nb in notebooks if exports(nb)]
    for o in modules:
        if o.stem in by_hand: continue
        for used in re.findall(r'^\s*from \.(\w+) import', o.read_text(), re.M):
            assert order.index(used) < order.index(o.stem), f'{o.stem} imports {used}, which comes after it'

def test_the_disk_side_imports_neither_torch_nor_fastai():
    run(sys.executable, '-c', f"import sys\nfrom tsdisk import {', '.join(disk_side)}\nassert not {{'torch', 'fastai', 'matplotlib', 'fastprogress'}} & set(sys.modules)")

def test_style(): run(tool('chkstyle'), 'nbs', 'tests', 'benchmarks', '.ci', 'setup.py')

def test_no_real_errors(): run(tool('ruff'), 'check', '.')

def test_notebooks_are_small_and_have_no_machine_paths():
    for nb in notebooks:
        text = nb.read_text()
        assert len(text) < 200_000 and len(json.loads(text)['cells']) < 60, nb.name
        assert not re.search(r'/tmp/|/home/|/root/|/Users/', text), nb.name

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
    names = [f'tsdisk.{o.stem}' for o in modules if o.stem not in ('__init__','tsai')]
    script = f"""
import sys, importlib
sys.modules.update({{o: None for o in ('aeon', 'tsai', 'h5py', 'zarr', 'nbdev', 'pytest')}})
import tsdisk
assert tsdisk.__file__.startswith({str(site)!r})
for o in {names}: importlib.import_module(o)
from tsdisk.cli import main
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
    for o in re.findall(r'\]\((?!http)([^)#]+)\)', (root/'README.md').read_text()): assert (root/o).exists(), o

def test_figures_in_the_readme_are_those_of_the_benchmark():
    table = (root/'benchmarks/results/readme.md').read_text().strip()
    assert table in (root/'README.md').read_text()
