"Runs notebooks, saves their outputs, and makes the pictures in them small: python .ci/outputs.py [NOTEBOOK ...]"
import base64, io, json, os, subprocess, sys
from pathlib import Path
from PIL import Image

root,small = Path(__file__).parent.parent,100_000

def shrink(png):
    "A picture at half its size and in 128 colors, as base64; small ones stay"
    data = base64.b64decode(png)
    if len(data) < small//8: return png
    im,out = Image.open(io.BytesIO(data)).convert('RGB'),io.BytesIO()
    if im.width > 1000: im = im.resize((im.width//2, im.height//2), Image.LANCZOS)
    im.quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=3).save(out, 'png', optimize=True) # Keeps the colors of thin lines
    return base64.b64encode(out.getvalue()).decode() if out.tell() < len(data)*.8 else png

def shrink_nb(path):
    nb = json.loads(path.read_text())
    for c in [o for o in nb['cells'] if o['cell_type'] == 'code']:
        c['outputs'] = [o for o in c.get('outputs', []) if '\r' not in ''.join(o.get('text', ''))] # Progress bars
        for o in c['outputs']:
            if 'image/png' in o.get('data', {}): o['data']['image/png'] = shrink(''.join(o['data']['image/png']))
    path.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n')

if __name__ == '__main__':
    nbs = [Path(o) for o in sys.argv[1:]] or sorted((root/'nbs').rglob('*.ipynb'))
    for o in nbs: subprocess.run(['nbdev-test', o, '--save', '--n-workers', '0'], check=True, env={**os.environ, 'PYTHONWARNINGS': 'ignore', 'OMP_NUM_THREADS': '1'})
    subprocess.run(['nbdev-clean'], check=True, cwd=root)
    for o in nbs: shrink_nb(o)
    subprocess.run(['nbdev-clean'], check=True, cwd=root)
