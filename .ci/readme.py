"Makes README.md from nbs/index.ipynb, and files of its pictures"
import base64, json, re
from pathlib import Path

root = Path(__file__).parent.parent
cells = json.loads((root/'nbs/index.ipynb').read_text())['cells']

def pictures():
    "(file, bytes) of each picture that the index shows"
    outs = [o['data']['image/png'] for c in cells for o in c.get('outputs', []) if 'image/png' in o.get('data', {})]
    for i,o in enumerate(outs): yield root/f'nbs/images/index_{i}.png', base64.b64decode(o)

def code(cell, files):
    "A code cell and what it printed as Markdown; hidden cells are left out"
    src = ''.join(cell['source'])
    if src.startswith('#| hide'): return ''
    return f'```python\n{src}\n```' + ''.join(output(o, files) for o in cell['outputs'])

def output(o, files):
    data = o.get('data', {})
    if 'image/png' in data: return f'\n\n![What it draws]({next(files).relative_to(root).as_posix()})'
    return '\n\n```\n{}\n```'.format(''.join(data['text/plain'])) if 'text/plain' in data else ''

def readme():
    "The text of README.md"
    files = (file for file,_ in pictures())
    parts = [''.join(c['source']) if c['cell_type'] == 'markdown' else code(c, files) for c in cells]
    text = '\n\n'.join(o for o in parts if o)
    text = re.sub(r'\]\((?!\.\./|http)([\w./]+\.(?:ipynb|md))\)', r'](nbs/\1)', text)
    text = re.sub(r'<!-- (\S+) -->', lambda m: (root/m[1]).read_text().strip(), text)
    return text.replace('](../', '](') + '\n'

if __name__ == '__main__':
    for file,data in pictures():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    (root/'README.md').write_text(readme())
