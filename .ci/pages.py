"Pages of the site from notebooks: prose, code, outputs, and an entry for each public name"
import ast, base64, importlib, inspect, json, re, textwrap, tomli
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

root = Path(__file__).parent.parent
no_value = inspect.Parameter.empty

@dataclass
class Page:
    "One page of the site, as Markdown"
    url:str # Of the HTML, relative to the root of the site
    title:str
    about:str='' # One line below the title
    text:str='' # Markdown below that line, with links as the source has them
    source:Path=None # The notebook or Markdown file, relative to the root of the project
    module:str='' # Dotted name of the module that the notebook makes
    files:dict=field(default_factory=dict) # Pictures of the page: bytes by name

    @property
    def path(self): return self.url.removesuffix('.html') + '.md'

@cache
def repository():
    "Address of the public repository; '' where `[project.urls]` names none"
    urls = tomli.loads((root/'pyproject.toml').read_text())['project'].get('urls', {})
    found = {k.lower(): v for k,v in urls.items()}
    return next((found[o].rstrip('/') for o in ('repository','source','source code','github') if o in found), '')

# Notebooks

def notebook_page(path):
    "The page of a notebook"
    cells = json.loads((root/path).read_text())['cells']
    module = next((m[1] for c in cells if (m := re.search(r'#\|\s*default_exp (\S+)', source_of(c)))), '')
    url = f"api/{module.replace('.', '/')}.html" if module else str(path.relative_to('nbs').with_suffix('.html'))
    title,about,rest = split_title(source_of(cells[0]))
    page = Page(url, title, about, source=path, module=f'tsdisk.{module}' if module else '')
    blocks = [prose(rest)] + [block for c in cells[1:] for block in cell_blocks(c, page)]
    page.text = '\n\n'.join(o for o in blocks if o)
    return page

def source_of(cell): return ''.join(cell['source'])

def split_title(text):
    "(title, one line, what follows) of a notebook's first cell"
    m = re.match(r'# (.+)\n+(?:> (.+)\n*)?', text + '\n')
    return m[1], m[2] or '', text[m.end():]

def cell_blocks(cell, page):
    "What a page shows of a cell"
    src = source_of(cell)
    if cell['cell_type'] == 'markdown': return [prose(src)]
    if re.match(r'#\|\s*(hide|default_exp)', src): return []
    code = re.sub(r'(?m)^#\|.*\n?', '', src).strip()
    if re.match(r'#\|\s*export', src): return export_blocks(code, page)
    return [fenced(code, 'python'), *(output_block(o, code, page) for o in cell['outputs'])]

def prose(text):
    "Markdown with the files that its comments name, and with the words for pictures of other hosts, such as badges"
    text = re.sub(r'<!-- (\S+) -->', lambda m: (root/m[1]).read_text().strip(), text)
    return re.sub(r'!\[([^\[\]]*)\]\(https?://[^)\s]+\)', r'\1', text)

def fenced(text, language):
    "A code block, whose fence is longer than those in the text"
    fence = '`'*max(3, *(len(o)+1 for o in re.findall('`{3,}', text)), 3)
    return f'{fence}{language}\n{text}\n{fence}'

def output_block(output, code, page):
    "The best form of an output that a page can show: a picture, HTML, or text"
    data = output.get('data', {})
    if 'image/png' in data: return picture(data['image/png'], code, page)
    if 'text/html' in data: return html_block(''.join(data['text/html']))
    if 'text/markdown' in data: return ''.join(data['text/markdown'])
    text = output.get('text') or data.get('text/plain') or output.get('traceback') or ''
    text = re.sub(r'\x1b\[[\d;]*m', '', ''.join(text) if output['output_type'] != 'error' else '\n'.join(text)).strip('\n')
    return fenced(text, 'text') if text.strip() else ''

def picture(png, code, page):
    "A picture in a file of its own"
    name = f"{Path(page.url).stem}_{len(page.files)}.png"
    page.files[name] = base64.b64decode(''.join(png))
    last = code.splitlines()[-1].strip() if code else ''
    return f"![{re.sub(r'[^ -~]|[][`<>*_]', ' ', f'Output of {last}')}]({name}){{ .output }}"

def html_block(html):
    "HTML of an output, in a box that scrolls"
    html = re.sub(r'(?s)<style scoped>.*?</style>', '', html).replace(' border="1" class="dataframe"', '')
    lines = [o for o in html.splitlines() if o.strip()]
    return '<div class="output">\n' + '\n'.join(lines) + '\n</div>'

# Entries of the public names that a cell defines

def export_blocks(code, page):
    "An entry for each public name of a cell, then its source, folded"
    nodes = ast.parse(code).body
    if all(isinstance(o, (ast.Import,ast.ImportFrom,ast.Try)) for o in nodes): return []
    entries = [entry for node in nodes for entry in node_entries(node, page)]
    return [*entries, f'<details class="source no-copy" data-search-exclude markdown="1">\n<summary>Source</summary>\n\n{source_link(code, page)}{fenced(code, "python")}\n\n</details>']

def source_link(code, page):
    "A link to these lines in the public repository, where there is one"
    path = Path(f"{page.module.replace('.', '/')}.py")
    before,found,_ = (root/path).read_text().partition(code)
    line = f"#L{before.count(chr(10))+1}" if found else ''
    return f'[{path}]({repository()}/blob/main/{path}{line})\n\n' if repository() else ''

def node_entries(node, page):
    "Entries of a statement: a function, a class and its methods, or a constant"
    module = importlib.import_module(page.module)
    if isinstance(node, ast.Assign):
        names = [o.id for target in node.targets for o in ast.walk(target) if isinstance(o, ast.Name) and o.id in module.__all__]
        return [constant_entry(o, node) for o in names]
    if isinstance(node, ast.ClassDef): return class_entries(node, getattr(module, node.name))
    if isinstance(node, (ast.FunctionDef,ast.AsyncFunctionDef)):
        owners = patched_classes(node)
        if owners: return [o for owner in owners for o in method_entries(node.name, getattr(module, owner))]
        if node.name in module.__all__: return [entry(node.name, getattr(module, node.name), 3)]
    return []

def constant_entry(name, node):
    text = ast.unparse(node)
    return '\n\n'.join([heading(name, 3), fenced(text if len(text) < 500 else f'{name} = …', 'python')])

def class_entries(node, cls):
    "The entry of a class, and of its methods with a docstring"
    if node.name.startswith('_'): return []
    methods = [o.name for o in node.body if isinstance(o, ast.FunctionDef) and ast.get_docstring(o)]
    return [entry(node.name, cls, 3), *(e for o in methods for e in method_entries(o, cls))]

def method_entries(name, cls):
    if name.startswith('_') or cls.__name__.startswith('_'): return []
    return [entry(f'{cls.__name__}.{name}', inspect.getattr_static(cls, name, None) or getattr(cls, name), 4)]

def patched_classes(node):
    "Names of the classes that `@patch` adds a function to"
    names = [ast.unparse(o.func if isinstance(o, ast.Call) else o) for o in node.decorator_list]
    if 'patch' not in names: return []
    return re.findall(r'\w+', ast.unparse(node.args.args[0].annotation).replace("'", ''))

def heading(name, level): return f"{'#'*level} {name} {{ #{name} .entry }}"

def entry(name, symbol, level):
    "Heading, signature, docstring and arguments of a function, class or property"
    plain = getattr(symbol, '__func__', symbol)
    parts = [heading(name, level), signature_block(name, plain)]
    arguments = arguments_table(plain)
    if (doc := inspect.getdoc(plain)) and not is_generated(doc, plain): parts.append(without_arguments(doc, arguments))
    parts.append(arguments)
    return '\n\n'.join(o for o in parts if o)

def without_arguments(doc, arguments):
    "A docstring without the groups of arguments that `document_arguments` has listed, if the table has all of them"
    text = re.split(r'\n\n[^\n]+:\n  ', doc)[0]
    names = re.findall(r'^  (\w+)', doc[len(text):], re.M)
    return text if all(f'| `{o}` |' in arguments for o in names) else doc

def is_generated(doc, symbol): return inspect.isclass(symbol) and doc.startswith(f'{symbol.__name__}(') # Of a dataclass

def signature_block(name, symbol):
    "Name and arguments as Python, over several lines where they are long"
    if isinstance(symbol, property): return fenced(f'{name} # A property', 'python')
    try: args = [short(o) for o in inspect.signature(symbol).parameters.values() if o.name not in ('self','cls')]
    except (TypeError,ValueError): return ''
    args = add_stars(symbol, args)
    line = f"{name}({', '.join(args)})"
    if len(line) > 90: line = name + '(\n' + textwrap.fill(', '.join(args), 88, initial_indent='    ', subsequent_indent='    ') + ')'
    return fenced(line, 'python')

def short(arg):
    "An argument and its default"
    name = {arg.VAR_POSITIONAL: '*', arg.VAR_KEYWORD: '**'}.get(arg.kind, '') + arg.name
    return name if arg.default is no_value else f'{name}={shown(arg.default)}'

def shown(value):
    "A default as it could be written"
    text = getattr(value, '__qualname__', None) or repr(value)
    return text if len(text) < 60 and not re.search(r' at 0x|^<', text) else '…'

def add_stars(symbol, args):
    "Arguments with `*` before those that need their names"
    kinds = [o.kind for o in inspect.signature(symbol).parameters.values() if o.name not in ('self','cls')]
    keyword = inspect.Parameter.KEYWORD_ONLY
    if keyword not in kinds or inspect.Parameter.VAR_POSITIONAL in kinds: return args
    at = kinds.index(keyword)
    return [*args[:at], '*', *args[at:]]

def arguments_table(symbol):
    "Arguments and result with their comments, where there are any"
    from fastcore.docments import docments
    if isinstance(symbol, property): return ''
    try: docs = docments(symbol, full=True)
    except Exception: return ''
    docs = {k: v for k,v in docs.items() if k not in ('self','cls') and v.get('docment')}
    rows = [(f'`{k}`' if k != 'return' else '*returns*', type_name(v), default_of(v), v['docment'].replace('\n', ' ')) for k,v in docs.items()]
    return table(('','type','default',''), rows) if rows else ''

def type_name(doc):
    kind = doc.get('anno', no_value)
    if kind in (no_value, None, type(None)) or 'NoneType' in str(kind): return ''
    return f"`{getattr(kind, '__name__', str(kind))}`"

def default_of(doc): return '' if doc.get('default', no_value) is no_value else f"`{shown(doc['default'])}`"

def table(names, rows):
    "A Markdown table without its empty columns"
    used = [i for i in range(len(names)) if any(r[i] for r in rows)]
    lines = [[names[i] for i in used], ['---']*len(used), *([r[i].replace('|', r'\|') for i in used] for r in rows)]
    return '\n'.join(f"| {' | '.join(o)} |" for o in lines)
