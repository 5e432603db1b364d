"Builds the site offline, from the notebooks and the installed package: python .ci/site.py build | serve"
import argparse, importlib, json, os, re, shutil, subprocess, sys
from configparser import ConfigParser
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from pages import Page, fenced, notebook_page, repository, root, split_title

parts = dict(tutorials='Tutorials', howto='How-tos', explain='Explanations')
rooms = 'disk','series','order','folder','convert','data','train','tools'
assets = Path(__file__).parent/'assets'

@cache
def settings():
    cfg = ConfigParser(delimiters=['='])
    cfg.read(root/'settings.ini', encoding='utf-8')
    return cfg['DEFAULT']

# Pages that are not notebooks

def markdown_page(path, url, title=None):
    "The page of a Markdown file"
    found,about,text = split_title((root/path).read_text())
    return Page(url, title or found, about, text, Path(path))

def benchmark_pages():
    "How the benchmarks are run, and a page for each table of results"
    results = [o for o in sorted((root/'benchmarks/results').glob('*.md')) if not o.stem.endswith('readme')] # Those are on the front page
    index = markdown_page('benchmarks/README.md', 'reference/benchmarks/index.html')
    return [index, *(markdown_page(o.relative_to(root), f'reference/benchmarks/{o.stem}.html') for o in results)]

def cli_page():
    "The help of `tsdisk` and of each command"
    os.environ['COLUMNS'] = '100'
    from tsdisk.tools.cli import parser
    main = parser()
    commands = next(o.choices for o in main._actions if isinstance(o, argparse._SubParsersAction))
    blocks = [fenced(main.format_help().strip(), 'text')]
    for name,o in commands.items(): blocks += [f'## tsdisk {name}', fenced(o.format_help().strip(), 'text')]
    return Page('reference/cli.html', 'Command line', 'Each command of `tsdisk` and its options', '\n\n'.join(blocks))

def name_line(name, module, url):
    "A public name, linked to its entry, and the first line of its docstring"
    symbol = getattr(module, name)
    doc = (symbol.__doc__ or '').strip() if callable(symbol) else ''
    is_generated = doc.startswith(f'{name}(') # Of a dataclass
    return f'- [`{name}`](/{url}#{name})' + (f': {doc.splitlines()[0]}' if doc and not is_generated else '')

def room_page(room, pages):
    "The modules of a room and their public names, one line each"
    blocks = []
    for page in pages:
        module = importlib.import_module(page.module)
        blocks += [f'## [{page.module}](/{page.url})', page.about, '\n'.join(name_line(o, module, page.url) for o in module.__all__)]
    about = importlib.import_module(f'tsdisk.{room}').__doc__.strip()
    return Page(f'api/{room}/index.html', f'tsdisk.{room}', about, '\n\n'.join(blocks))

@cache
def star_names():
    "The modules of our names in `tsdisk.all`, by name"
    found = {k: str(getattr(v, '__module__', '')) for k,v in vars(importlib.import_module('tsdisk.all')).items()}
    return {k: v for k,v in found.items() if v.startswith('tsdisk.')}

def api_page(room_pages, modules):
    "The rooms, and the names that `from tsdisk.all import *` brings"
    star = importlib.import_module('tsdisk.all')
    blocks = ['## Rooms', '\n'.join(f'- [`{o.title}`](/{o.url}): {o.about}' for o in room_pages)]
    blocks += ['## Other modules', '\n'.join(f'- [`{o.module}`](/{o.url}): {o.about}' for o in modules if is_top(o))]
    blocks += ['## Names of `tsdisk.all`', '`from tsdisk.all import *` brings these. All others are imported from their rooms.']
    for room in room_pages:
        lines = [name_line(k, star, o.url) for k,v in star_names().items() for o in modules if o.module == v and v.startswith(f'{room.title}.')]
        if lines: blocks += [f'### {room.title}', '\n'.join(lines)]
    return Page('reference/index.html', 'API', 'Every public name, by room', '\n\n'.join(blocks))

def is_top(page): return page.module.count('.') == 1

# The book: sections are (title, [page or section, ...])

def make_book():
    paths = [o.relative_to(root) for o in sorted((root/'nbs').rglob('*.ipynb'))]
    notebooks = [notebook_page(o) for o in paths if '.ipynb_checkpoints' not in o.parts]
    index = next(o for o in notebooks if o.url == 'index.html')
    book = [(name, [o for o in notebooks if o.url.startswith(f'{folder}/')]) for folder,name in parts.items()]
    others = [o for o in notebooks if not (o is index or o.module or o.url.split('/')[0] in parts)]
    return [('Home', [index]), *book, ('Reference', reference([o for o in notebooks if o.module], others))]

def reference(modules, others):
    "The pages that are looked up, not read"
    by_room = {room: [o for o in modules if o.module.startswith(f'tsdisk.{room}.')] for room in rooms}
    room_pages = [room_page(*o) for o in by_room.items()]
    sections = [(o.title, [o, *by_room[o.title.removeprefix('tsdisk.')]]) for o in room_pages]
    others = others + [markdown_page(o.relative_to(root), f'reference/{o.stem}.html') for o in sorted((root/'nbs/reference').glob('*.md'))]
    log,contributing = (markdown_page(f'{o.upper()}.md', f'reference/{o}.html') for o in ('changelog','contributing'))
    top = ('Other modules', [o for o in modules if is_top(o)])
    return [api_page(room_pages, modules), cli_page(), *sections, top, *others, ('Benchmarks', benchmark_pages()), log, contributing]

def pages_of(section): return [p for o in section[1] for p in ([o] if isinstance(o, Page) else pages_of(o))]

# Links

def outside_code(text, f, headings=True):
    "Markdown with a function applied to what is no code block, and perhaps no heading"
    skip = r'(?ms)(^ *(`{3,})[^\n]*\n.*?^ *\2 *$' + ('' if headings else r'|^#+ [^\n]*$') + ')'
    pieces = re.split(skip, text)
    return ''.join(f(o) if i%3 == 0 else o for i,o in enumerate(pieces) if i%3 != 2)

def find_entries(pages):
    "Pages with an entry for a name, and pages of modules, by name"
    found = {}
    for page in pages:
        names = re.findall(r'(?m)^#{3,4} .* \{ #(\S+) \.entry \}$', page.text)
        for o in ([page.module] if page.module else []) + names: found.setdefault(o, []).append(page)
        if page.title.startswith('tsdisk.'): found[page.title] = [page]
    return found

def link_names(text, page, found):
    "Names in backticks, linked to their entries"
    def f(m):
        url = m[3] and entry_url(m[3], page, found)
        return f'[{m[0]}](/{url})' if url else m[0]
    return re.sub(r'(\[[^\[\]]*\]\([^)]*\))|(``+.*?``+)|`([^`\n]+)`', f, text)

def entry_url(code, page, found):
    "Where a name in backticks is explained; None for other code, and for words that may mean something else"
    m = re.fullmatch(r'@?([A-Za-z_][\w.]*)(\(.*\))?', code)
    if not m: return
    name,called = m.groups()
    if f'tsdisk.{name}' in found and '.' in name: name = f'tsdisk.{name}'
    pages = found.get(name, [])
    if not pages or len(pages) > 1 and name not in star_names() and page not in pages: return
    chosen = page if page in pages else next((o for o in pages if o.module == star_names().get(name)), pages[0])
    if name.startswith('tsdisk.'): return chosen.url if chosen is not page else None # A module or a room
    is_clear = page in pages or name in star_names() or called or re.search('[A-Z_.]', name)
    return f'{chosen.url}#{name}' if is_clear else None

def resolve(text, page, urls, files):
    "Links to files of the project, as links between pages; files that are no pages come along, and go to `files`"
    def f(m):
        if not m[1]: return m[0] # Code
        link,hash,anchor = m[2].lstrip('/').partition('#')
        if re.match('[a-z]+:', m[2]) or not link or link in page.files: return f'{m[1]}({m[2].lstrip("/")})'
        if m[2][0] != '/': link = target_of(os.path.normpath(page.source.parent/link), page, urls, files)
        return f'{m[1]}({os.path.relpath(link, Path(page.url).parent)}{hash}{anchor})' if link else m[1][1:-1]
    return re.sub(r'`[^`\n]+`|(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^)\s]+)\)', f, text)

def target_of(path, page, urls, files):
    "The place of a file of the project on the site; None for a folder, and for what does not exist"
    if path in urls: return urls[path]
    if not (root/path).exists(): print(f'Dead link: {page.source} links to {path}')
    if not (root/path).is_file(): return
    files.add(path)
    return f'files/{path}'

# Writing

def head(page):
    "Title, one line, and where else the page is found"
    links = [f'`{page.module}`'] if page.module else []
    if page.source and page.source.suffix == '.ipynb': links.append(f'[Notebook]({Path(page.url).stem}.ipynb)')
    if page.url.startswith('tutorials/') and 'github.com/' in repository():
        links.append(f"[Open in Colab]({repository().replace('https://github.com', 'https://colab.research.google.com/github')}/blob/main/{page.source})")
    links.append('Markdown') # A link, once zensical has checked links between its pages
    about = f'{page.about}\n{{ .about }}\n\n' if page.about else ''
    return f"# {page.title}\n\n{about}{' · '.join(links)}\n{{ .links }}"

def write_page(page, folder, found, urls, files):
    path = folder/page.path
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'{page.about}\n\0\n{page.text}'
    text = outside_code(text, partial(link_names, page=page, found=found), headings=False)
    text = outside_code(text, partial(resolve, page=page, urls=urls, files=files))
    page.about,page.text = text.split('\n\0\n')
    path.write_text(f'{head(page)}\n\n{page.text}\n')
    for name,data in page.files.items(): (path.parent/name).write_bytes(data)
    if page.source and page.source.suffix == '.ipynb': shutil.copy(root/page.source, path.with_suffix('.ipynb'))

def toml_nav(section):
    "A section of the navigation as zensical has it"
    items = [{o.title: o.path} if isinstance(o, Page) else toml_nav(o) for o in section[1]]
    is_index = isinstance(section[1][0], Page) and section[1][0].title == section[0]
    return {section[0]: [section[1][0].path, *items[1:]] if is_index else items}

def config(book):
    "The settings of zensical"
    text = (assets/'zensical.toml').read_text()
    nav = inline([{'Home': 'index.md'}, *map(toml_nav, book[1:])])
    values = dict(NAV=nav, DESCRIPTION=settings()['description'], REPOSITORY=repository(), VERSION=settings()['version'])
    for k,v in values.items(): text = text.replace(k, v)
    return text

def inline(value):
    "A value as TOML, on one line"
    if isinstance(value, list): return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dict): return f"{{ {', '.join(f'{json.dumps(k)} = {inline(v)}' for k,v in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)

def write_llms(book, docs, out):
    "`llms.txt` with a line for each page, `llms-full.txt` with their text, and the Markdown beside each page"
    lines,texts = [f"# {settings()['lib_name']}", f"> {settings()['description']}"],[]
    for section in book:
        pages = pages_of(section)
        lines += [f'## {section[0]}', '\n'.join(f"- [{o.title}]({o.url}.md){': '*bool(o.about)}{plain(o.about)}" for o in pages)]
        for o in pages:
            text = (docs/o.path).read_text()
            (out/f'{o.url}.md').write_text(text)
            texts.append(re.sub(r'(?ms)^<details class="source .*?^</details>\n\n?', '', text))
    (out/'llms.txt').write_text('\n\n'.join(lines) + '\n')
    (out/'llms-full.txt').write_text('\n'.join(texts))

def plain(text): return re.sub(r'\[([^\[\]]*)\]\([^)]*\)', r'\1', text)

def build(out):
    "Build the site in a folder, which is replaced"
    work = out.parent/f'{out.name}_pages'
    for o in (work, out): shutil.rmtree(o, ignore_errors=True)
    docs,book = work/'docs',make_book()
    pages = [o for section in book for o in pages_of(section)]
    found,urls,files = find_entries(pages),{str(o.source): o.url for o in pages if o.source},set()
    for o in pages: write_page(o, docs, found, urls, files)
    for o in files:
        (docs/'files'/o).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/o, docs/'files'/o)
    for o in ('iframe-worker.js','extra.css'): shutil.copy(assets/o, docs/o)
    (work/'zensical.toml').write_text(config(book))
    subprocess.run([sys.executable, '-m', 'zensical', 'build', '-f', 'zensical.toml'], cwd=work, check=True)
    shutil.move(work/'site', out)
    for o in out.rglob('*.html'): finish(o, out)
    write_llms(book, docs, out)
    shutil.rmtree(work)
    return pages

def finish(path, out):
    "Have a page use the script that comes along, link to its Markdown, and make buttons to copy code only, which are slow"
    text = path.read_text().replace('https://unpkg.com/iframe-worker/shim', f'{os.path.relpath(out, path.parent)}/iframe-worker.js')
    text = text.replace('class="language-text highlight"', 'class="language-text highlight no-copy"')
    path.write_text(re.sub('(<p class="links">.*?)Markdown</p>', rf'\1<a href="{path.name}.md">Markdown</a></p>', text))

def serve(out, port):
    "Serve a built site on this machine"
    handler = partial(SimpleHTTPRequestHandler, directory=out)
    print(f'http://localhost:{port}, until Ctrl-C')
    with ThreadingHTTPServer(('localhost', port), handler) as server: server.serve_forever()

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('command', choices=['build','serve'])
    p.add_argument('--out', type=Path, default=root/'_site', help='folder of the site')
    p.add_argument('--port', type=int, default=8000)
    args = p.parse_args()
    out = args.out.resolve()
    if args.command == 'build' or not out.exists(): print(f'{len(build(out))} pages in {args.out}')
    if args.command == 'serve': serve(out, args.port)
