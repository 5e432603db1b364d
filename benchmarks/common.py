"What benchmarks share: their frame, the machine, made-up data, tables"
import argparse, json, os, platform, random, shutil, signal, subprocess, sys, tempfile, time
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
import numpy as np
from processes import Busy, Quiet, read_proc

# The frame of a benchmark

def arguments(
    name:str, # Of the benchmark and its results
    doc:str, # What it measures
    quick:str, # What --quick leaves out, and how long it takes
    rounds:tuple, # Rounds in all, and with --quick
    disk:float, # GB of data for the time being
    **options, # Further arguments: name to what `add_argument` takes
):
    "The arguments of a benchmark"
    p = argparse.ArgumentParser(description=doc)
    p.add_argument('--quick', action='store_true', help=quick)
    p.add_argument('--beside', type=int, nargs='+', default=[0], metavar='N', help='measure while N other processes keep a core busy each; '
        'with several numbers, beside each of them (default: 0)')
    p.add_argument('--rounds', type=int, help='rounds of each measurement: {}, or {} with --quick'.format(*rounds))
    for k,v in options.items(): p.add_argument(f'--{k}', **v)
    p.add_argument('--tmp', help=f'where to put up to {disk:g} GB of data for the time being')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the results')
    args = p.parse_args()
    if min(args.beside) < 0: p.error(f'--beside takes numbers of processes, 0 or more, not {min(args.beside)}')
    args.name,args.rounds,args.beside = name, args.rounds or rounds[args.quick], sorted({*args.beside})
    return args

only = dict(nargs='+', default=[''], help='measure only what has one of these words in its name')

def chosen(names, args):
    "Names that `--only` asks for; an error if there are none"
    res = [o for o in names if any(k in o for k in args.only)]
    if not res: sys.exit(f"--only {' '.join(args.only)}: no name has one of these words. Names: {', '.join(names)}")
    return res

@contextmanager
def benchmark(args, need, wait=180):
    "A `Bench` with `need` bytes of disk, which waits up to `wait` seconds for other programs, or a ninth of them with --quick"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bench = Bench(args, wait/9 if args.quick else wait)
    with temp_folder(args.tmp, need) as bench.folder:
        try: yield bench
        finally: bench.busy.run(0)

class Bench:
    "One run of a benchmark: its arguments, its folder, and what else runs on the machine"
    def __init__(self, args, wait):
        self.args,self.folder,self.start,self.machine,self.busy = args,None,time.time(),machine(),Busy()
        self.quiet = Quiet(self.busy, wait)

    def turns(self, what, rounds=None):
        "For each round and each number of busy processes: (round, number), while so many run"
        rounds = rounds or self.args.rounds
        for i in range(rounds):
            for n in self.args.beside:
                say(f"round {i+1} of {rounds}{busy_words(n)}: {what}")
                self.busy.run(n)
                yield i,n
        self.busy.run(0)

    def one_by_one(self, ways):
        "Ways in random order, each once other programs are quiet"
        for o in random.sample([*ways], len(ways)):
            self.quiet.wait()
            yield o

    def keep(self, options, report, readme=None, plot=None, **res):
        "Write and print what came out: `report` and `readme` make Markdown of it, `plot` a picture"
        name,out = self.args.name,self.args.out
        res = dict(machine=self.machine, options=options, beside=self.args.beside, others=self.quiet.seen, **res)
        out.mkdir(parents=True, exist_ok=True)
        (out/f'{name}.json').write_text(json.dumps(res, indent=1))
        (out/f'{name}.md').write_text(report(res))
        if readme: (out/('readme.md' if name == 'loaders' else f'{name}_readme.md')).write_text(readme(res))
        if plot: plot(res, out/f'{name}.png')
        say('')
        print(report(res))
        print(f'Took {time.time()-self.start:.0f} s; see {out}/{name}.md and .json')

def say(s):
    if sys.stderr.isatty(): print(f'\r\033[K{s[:100]}', end='', file=sys.stderr, flush=True)

def run(main):
    "Run a benchmark from the command line"
    try: main()
    except KeyboardInterrupt: sys.exit(130)

# The machine

def git(*args):
    res = subprocess.run(['git', *args], cwd=Path(__file__).parent, capture_output=True, text=True)
    return res.stdout.strip() if res.returncode == 0 else ''

def commit():
    "The last commit that changed the package, `+` after it if the package differs from it; empty outside a checkout"
    try: return git('log', '-1', '--format=%h', '--', '../tsdisk') + '+'*bool(git('status', '--porcelain', '../tsdisk'))
    except OSError: return ''

def machine():
    "What the numbers depend on"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    ram = os.sysconf('SC_PHYS_PAGES')*os.sysconf('SC_PAGE_SIZE') if hasattr(os, 'sysconf') else 0
    cpu = read_proc('/proc/cpuinfo', 'model name') or platform.processor()
    load = round(os.getloadavg()[0], 1) if hasattr(os, 'getloadavg') else None
    return dict(date=date.today().isoformat(), commit=commit(), cpu=cpu, cores=cores, ram_gb=round(ram/1e9, 1),
        system=f'{platform.system()} {platform.release()}', python=platform.python_version(), load=load,
        **{o: version(o) for o in ('torch','numpy','fastai','tsai','tsdisk')})

def kind(machine):
    "What results of one set have in common: the kind of machine and the commit"
    return machine['cpu'], machine['cores'], machine['commit']

def intro(
    res:dict, # Results
) -> str: # First lines of a report
    "What was measured, where, and beside what"
    m = res['machine']
    libs = ', '.join(f'{o} {m[o]}' for o in ('python','torch','numpy','fastai','tsai','tsdisk'))
    where = f"{m['cpu']}, {m['cores']} cores, {m['ram_gb']} GB RAM, {m['system']}, load {m['load']} at the start"
    others = f", other programs used {med(res['others']):.0%} of the processor (median)" if res['others'] else ''
    busy = '\n\n*1 busy*, *2 busy*, …: beside so many processes of plain Python that keep a core busy each.' if max(res['beside']) else ''
    return f"{m['date']}, commit {m['commit'] or 'unknown'} · {where} · {libs}{others}{busy}"

# Data

row_shapes = {25_600: (50,128), 6_000: (3,500), 512: (1,128)} # By bytes of a float32 row

@contextmanager
def temp_folder(parent=None, need=2.5e9):
    "A folder that is gone at the end, also after Ctrl-C or a `kill`"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='tsdisk_bench_', dir=parent) as d:
        free = shutil.disk_usage(d).free
        if free < need: raise OSError(f"{need/1e9:.1f} GB are needed for the data, {free/1e9:.1f} GB are free: give another folder with `--tmp`")
        yield Path(d)

def make_data(
    path, # Folder to write `X.npy` and `y.npy` to
    shape, # (n, vars, steps) of `X`
) -> Path: # The folder
    "float32 noise whose first value is the row number, and integer labels: the row number modulo 10"
    from tsdisk.disk.arrays import create_array
    path,n,k = Path(path),shape[0],1000
    block = np.random.default_rng(0).standard_normal((k, *shape[1:]), np.float32)
    with create_array(path/'X.npy', shape) as X, create_array(path/'y.npy', (n,), 'int64') as y:
        for i in range(0, n, k):
            rows = np.arange(i, min(i+k, n))
            block[:len(rows),0,0] = rows
            X.append(block[:len(rows)])
            y.append(rows%10)
    return path

def open_data(path): return tuple(np.load(Path(path)/f'{o}.npy', mmap_mode='r') for o in 'Xy')

# Results are lists of records, dictionaries whose entry `beside` is the number of busy processes

def as_in_json(v): return [*v] if isinstance(v, tuple) else v

def pick(
    records:list, # Dictionaries
    key:str, # What to take of them
    **where, # What they must hold
) -> list: # In the order of the rounds
    return [r[key] for r in records if key in r and all(as_in_json(r.get(k)) == as_in_json(v) for k,v in where.items())]

def in_order(records, ways, *keys):
    "Records in the order in which their ways are listed, then by other entries"
    places = {o: i for i,o in enumerate(ways)}
    return sorted(records, key=lambda r: (places[r['way']], *(r[k] for k in keys)))

def groups(records, *keys):
    "Records that agree in some entries: values to list"
    res = {}
    for r in records: res.setdefault(tuple(r[k] for k in keys), []).append(r)
    return res

def of_best_way(
    rounds:list, # For each round, the rate of each way
) -> list: # A rate for each round
    "The rates of the way that is fastest over all rounds: the best of each round would be the luckiest"
    if not rounds: return []
    best = max(rounds[0], key=lambda k: med([r[k] for r in rounds]))
    return [r[best] for r in rounds]

def med(o): return median(o) if len(o) else float('nan')
def ratio(a, b): return med([p/q for p,q in zip(a, b)])

def busy_words(n): return f', {n} busy' if n else ''

def heads(name, beside):
    "Headers of a column for each number of busy processes"
    return [f'{name}{busy_words(n)}' for n in beside]

def number(v, digits=3):
    "A number for a table; empty if it is NaN"
    return '' if v != v else f'{v:,.0f}' if v >= 100 else f'{v:.{digits}g}'

def times(v): return '' if v != v else f'{v:.1f} ×' if v >= 10 else f'{v:.2f} ×'

def ours_bold(name): return f'**{name}**' if 'tsdisk' in name else name

def md_table(
    rows, # Lists of cells; the first is the header
    left:int=1, # Columns of text, aligned left; the others hold numbers
) -> str: # Markdown
    head,*rows = [[str(c) for c in r] for r in rows]
    line = lambda r: '| ' + ' | '.join(r) + ' |'
    return '\n'.join(map(line, [head, ['---' if i < left else '---:' for i in range(len(head))], *rows]))

# Pictures

def figure(rows, columns, size, **kwargs):
    "A figure and its axes, without frames"
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    plt.rcParams.update({'font.size': 9.5, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.spines.left': False})
    return plt.subplots(rows, columns, figsize=size, layout='constrained', squeeze=False, **kwargs)

def bars(ax, names, values, missing):
    "Horizontal bars with their values, ours in color; on a logarithmic axis where they span decades"
    low,high = np.nanmin(values),np.nanmax(values)
    decades = high/low > 50
    ax.set(xscale='log' if decades else 'linear', xlim=(10**np.floor(np.log10(low)), high*8) if decades else (0, high*1.2))
    ends = np.where(np.isnan(values), ax.get_xlim()[0], values)
    ax.barh(names, ends, color=['#1b5e8c' if 'tsdisk' in o else '#bfc7cf' for o in names], height=.7)
    for i,v in enumerate(values): ax.text(ends[i], i, f' {number(v, 2) or missing}', va='center', color='#333333')
    ax.tick_params(left=False, colors='#333333')
