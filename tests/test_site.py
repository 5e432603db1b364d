"The site: every page, name and link is there, and a browser shows it on wide and narrow screens"
import ast, html, json, os, re, subprocess, sys, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
import pytest
from browser import Browser, needs_browser

root = Path(__file__).parent.parent
notebooks = sorted((root/'nbs').rglob('*.ipynb'))

@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "The folder of the site, built by the first process that asks"
    pytest.importorskip('zensical')
    base = tmp_path_factory.getbasetemp()
    if os.environ.get('PYTEST_XDIST_WORKER'): base = base.parent
    fcntl = pytest.importorskip('fcntl')
    with open(base/'site.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base/'site').exists(): build(base/'site')
    return base/'site'

def build(out):
    done = subprocess.run([sys.executable, root/'.ci/site.py', 'build', '--out', out], capture_output=True, text=True, env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''})
    printed = done.stdout + done.stderr
    assert not done.returncode and 'No issues found' in printed and 'Dead link' not in printed, printed[-3000:]

@pytest.fixture(scope='session')
def texts(site): return {o.relative_to(site).as_posix(): o.read_text() for o in site.rglob('*.html')}

def url_of(path):
    "Where the page of a notebook is"
    module = re.search(r'default_exp ([\w.]+)', path.read_text())
    return f"api/{module[1].replace('.', '/')}.html" if module else path.relative_to(root/'nbs').with_suffix('.html').as_posix()

def test_every_notebook_has_a_page_and_its_markdown(site, texts):
    for o in notebooks:
        title = ''.join(json.loads(o.read_text())['cells'][0]['source']).splitlines()[0].removeprefix('# ')
        shown = re.search(r'<h1 [^>]*>(.*?)(<a class="headerlink".*)?</h1>', texts[url_of(o)])[1]
        assert html.unescape(re.sub('<[^>]*>', '', shown)) == title.replace('`', ''), o.name
        assert (site/f'{url_of(o)}.md').read_text().startswith(f'# {title}\n'), o.name
        assert (site/url_of(o)).with_suffix('.ipynb').exists(), o.name

def test_every_link_and_anchor_resolves(site, texts):
    ids = {k: {*re.findall(r'\bid="?([^" >]+)', v)} for k,v in texts.items()}
    dead = []
    for page,text in texts.items():
        if page == '404.html': continue # Its links are absolute: it is shown at any address
        for link in {html.unescape(o) for o in re.findall(r'\b(?:href|src)="?([^" >]*)', text)}:
            if re.match(r'https?:|mailto:|javascript:|data:', link): continue
            path,_,anchor = link.partition('#')
            target = os.path.normpath(Path(page).parent/path) if path else page
            if (site/target).is_dir(): target += '/index.html'
            is_dead = not (site/target).exists() or anchor and anchor not in ids.get(target, ()) and anchor != '__skip'
            if is_dead: dead.append(f'{page}: {link}')
    assert len(texts) > len(notebooks) and not dead, dead[:20]

def test_every_public_name_has_an_entry(texts):
    for path in sorted((root/'tsdisk').rglob('*.py')):
        page = texts.get(f"api/{path.relative_to(root/'tsdisk').with_suffix('.html').as_posix()}")
        if path.stem in ('__init__','__main__','_modidx','all'): continue
        names = next(ast.literal_eval(o.value) for o in ast.parse(path.read_text()).body if isinstance(o, ast.Assign) and o.targets[0].id == '__all__')
        missing = [o for o in names if f'id="{o}"' not in page]
        assert not missing, f'{path.name}: {missing}'

def test_the_index_lists_every_name_of_the_star_import(texts):
    tree = ast.parse((root/'tsdisk/all.py').read_text())
    names = [a.name for o in tree.body if isinstance(o, ast.ImportFrom) and o.module.startswith('tsdisk') for a in o.names]
    page = texts['reference/index.html']
    assert len(names) > 60
    for o in names: assert re.search(rf'href="[^"]*#{o}"><code>{o}<', page), o

def test_llms_txt_lists_every_page(site, texts):
    listed = re.findall(r'\]\((\S+)\.md\)', (site/'llms.txt').read_text())
    assert {*listed} == {*texts} - {'404.html'} and len(listed) == len({*listed})
    full = (site/'llms-full.txt').read_text()
    for o in notebooks: assert ''.join(json.loads(o.read_text())['cells'][0]['source']).splitlines()[0] + '\n' in full

def test_pages_load_nothing_from_elsewhere_and_hold_no_paths_of_this_machine(site, texts):
    for page,text in texts.items():
        assert not re.search(r'<(script|link|img|iframe)\b[^>]*\b(src|href)="?https?://(?!localhost)', text), page
        for o in (text, (site/f'{page}.md').read_text() if page != '404.html' else ''): assert not re.search(rf'{root}|{site}|/home/|/root/|/Users/', o), page

unrendered = dict(list=r'<p>[^<]*\n ?[-*] ', link=r'\]\([\w.]', fence='```', table=r'<p>\| ', bold=r'\*\*\w[^*\n]*\*\*', attributes=r'\{ ?[.#]\w')

def test_no_markdown_is_left_in_the_pages(texts):
    for page,text in texts.items():
        prose = re.sub(r'(?s)<(pre|code|script|style)\b.*?</\1>', '', text)
        for what,pattern in unrendered.items():
            assert not (m := re.search(pattern, prose)), f'{page}: {what} in {prose[max(m.start()-60, 0):m.end()+60]!r}'

def linked_from(path):
    "Files that the prose of a notebook links to"
    prose = ''.join(''.join(c['source']) for c in json.loads(path.read_text())['cells'] if c['cell_type'] == 'markdown')
    return {os.path.normpath(path.parent/o) for o in re.findall(r'\]\(([^)\s#]+)', prose)}

def test_recipes_lead_to_every_how_to_explanation_and_tutorial():
    linked = linked_from(root/'nbs/reference/recipes.ipynb')
    pages = [o for folder in ('howto','explain','tutorials') for o in sorted((root/'nbs'/folder).glob('*.ipynb'))]
    assert len(pages) > 40 and not (missing := [o.name for o in pages if str(o) not in linked]), missing

def test_the_map_leads_to_every_module():
    linked = linked_from(root/'nbs/reference/map.ipynb')
    modules = sorted((root/'nbs').glob('[0-9]*.ipynb'))
    assert len(modules) > 150 and not (missing := [o.name for o in modules if str(o) not in linked]), missing

def test_messages_that_are_explained_exist():
    code = '\n'.join(o.read_text() for o in (root/'tsdisk').rglob('*.py'))
    code = re.sub(r'"\s*\n\s*f?"', '', code) # Texts over several lines
    explained = re.findall('(?m)^### (?!Errors of the system)(.*)', (root/'nbs/reference/errors.md').read_text())
    assert len(explained) > 15
    for o in explained:
        for part in o.split('…'): assert part.strip(' ,') in code or len(part) < 4, o

@pytest.fixture(scope='session')
def window():
    o = Browser()
    yield o
    o.close()

@pytest.fixture
def browser(window):
    "A browser, which is left without a page: the scripts of one would go on beside other tests"
    yield window
    window.open('about:blank')

@pytest.fixture
def served(site):
    "The site's address while it is served"
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(('localhost', 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://localhost:{server.server_address[1]}'
    server.shutdown()
    server.server_close()

@needs_browser
@pytest.mark.parametrize('quarter', range(4))
def test_pages_load_without_an_error(served, texts, browser, quarter):
    "Every page of the book; of the reference, which one template makes, every eighth"
    of_modules = sorted(o for o in texts if o.startswith('api/'))
    book = sorted({*texts} - {*of_modules})
    assert len(book) > 40 and len(of_modules) > 100
    for page in [*book, *of_modules[::8]][quarter::4]:
        browser.open(f'{served}/{page}')
        assert browser.run('return document.querySelector("h1").innerText.trim().length > 0'), page
        broken = browser.run('return [...document.images].filter(o => o.complete && !o.naturalWidth).map(o => o.src)')
        assert not (errors := browser.errors()) and not broken, (page, errors, broken)

search = "[...document.querySelectorAll('*')].find(o => o.shadowRoot?.querySelector('dialog'))?.shadowRoot"

def wait_for(browser, script, *args, seconds=20):
    "The value of an expression in the page, once it is true"
    end = time.monotonic() + seconds
    while not (res := browser.run(f'return {script}', *args)) and time.monotonic() < end: time.sleep(.1)
    assert res, f'not true within {seconds} seconds: {script}'
    return res

@needs_browser
@pytest.mark.parametrize('by', ['file','http'])
def test_search_finds_a_name(site, served, browser, by):
    browser.screen(1400, 900)
    browser.open((site/'index.html').as_uri() if by == 'file' else f'{served}/index.html')
    browser.run('document.querySelector(".md-search__button").click()')
    wait_for(browser, f'!!{search}?.querySelector("input")')
    browser.run(f"""const field = {search}.querySelector("input")
        field.value = "itemify"
        field.dispatchEvent(new Event("input", {{bubbles: true}}))""")
    first = wait_for(browser, f'{search}.querySelector("a")?.href')
    assert first.endswith('#itemify') and '/api/disk/items.html' in first and not browser.errors()

@needs_browser
@pytest.mark.parametrize('width', [1400,390], ids=['wide','narrow'])
@pytest.mark.parametrize('page', ['index','api/series/windows','tutorials/forecasting'])
def test_a_page_fits_wide_and_narrow_screens(site, browser, page, width):
    backgrounds = set()
    for dark in (False, True):
        browser.screen(width, 844, dark)
        browser.open((site/f'{page}.html').as_uri())
        backgrounds.add(browser.run('return getComputedStyle(document.body).backgroundColor'))
        used,there = browser.run('return [document.documentElement.scrollWidth, innerWidth]')
        assert used <= there == width, f'{used} pixels wide'
    assert len(backgrounds) == 2
    menu = '.md-tabs' if width > 1000 else '.md-sidebar--primary'
    if width < 1000: browser.run('document.querySelector("label[for=__drawer]").click()')
    wait_for(browser, f"""(() => {{
        const box = document.querySelector("{menu}").getBoundingClientRect()
        return box.width > 0 && box.left >= 0 && box.right <= innerWidth }})()""")
    assert {'Tutorials','How-tos','Explanations','Reference'} <= {*browser.run(f'return document.querySelector("{menu}").innerText').split('\n')}
