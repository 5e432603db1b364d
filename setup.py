"The package as `settings.ini` describes it; what never changes is in `pyproject.toml`"
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
cfg = ConfigParser(delimiters=['='])
cfg.read(here/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
extras = {k.removesuffix('_requirements'): v.split() for k,v in cfg.items() if k.endswith('_requirements')}

setup(version=cfg['version'], description=cfg['description'], python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(), extras_require=extras, packages=find_packages(include=['tsdisk', 'tsdisk.*']),
    long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown', zip_safe=False)
