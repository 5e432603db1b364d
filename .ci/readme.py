"Makes README.md from nbs/index.ipynb"
import json, re
from pathlib import Path

root = Path(__file__).parent.parent

def code(cell):
    "A code cell and its text outputs as Markdown; hidden cells and pictures are left out"
    src = ''.join(cell['source'])
    if src.startswith('#| hide'): return ''
    outs = [''.join(o['data']['text/plain']) for o in cell['outputs'] if 'text/plain' in o.get('data', {}) and 'image/png' not in o['data']]
    return f'```python\n{src}\n```' + ''.join(f'\n\n```\n{o}\n```' for o in outs)

def readme():
    "The text of README.md"
    cells = json.loads((root/'nbs/index.ipynb').read_text())['cells']
    parts = [''.join(c['source']) if c['cell_type'] == 'markdown' else code(c) for c in cells]
    text = '\n\n'.join(o for o in parts if o)
    text = re.sub(r'\]\(([\w./]+\.ipynb)\)', r'](nbs/\1)', text)
    text = re.sub(r'<!-- (\S+) -->', lambda m: (root/m[1]).read_text().strip(), text)
    return text.replace('](../', '](') + '\n'

if __name__ == '__main__': (root/'README.md').write_text(readme())
