"Writers and training killed at random, resumed, and compared with what they should have left; see README.md"
import argparse, os, pickle, random, select, shutil, signal, sys, tempfile, time, traceback
from collections import Counter
from functools import partial
from importlib import import_module
from zlib import crc32
import numpy as np
from common import md_table, run, say, temp_folder

class Loss(Exception): "Something is gone, twice, wrong, or refused"

# Rows are told by their values: that of a row is its number, that of its label the number modulo 7

shape,n_classes = (3,64),7
most_rows = 20_000 # Of one dataset, before another begins
fewest_rows = 64 # Of a dataset on which a network is trained
longest = 300 # Seconds that an act may take which nobody kills

def rows_of(ids): return np.broadcast_to(np.asarray(ids, 'f4')[:,None,None], (len(ids), *shape))
def series_of(ids): return [np.full((2, 3+i%40), i, 'f4') for i in ids]
def read_ids(path):
    ids = np.load(path)
    return [dict(X=x, y=i%n_classes) for x,i in zip(rows_of(ids), ids)]

def checked_ids(X, y):
    "The numbers of the rows of a batch or an array; `Loss` for a row that is not whole, or not with its own label"
    ids = np.asarray(X[:,0,0]).astype('i8')
    if not (np.asarray(X) == rows_of(ids)).all(): raise Loss('rows whose values are of several rows')
    if not (np.asarray(y) == ids%n_classes).all(): raise Loss('rows with the label of another one')
    return ids

def ids_of_set(folder):
    "The numbers of the rows of a dataset in their order, empty if there is none"
    from tsdisk.folder.manifest import open_folder
    try: arrays,_ = open_folder(folder)
    except FileNotFoundError: return np.zeros(0, 'i8')
    return checked_ids(arrays['X'], arrays['y'])

def save_ids(folder, ids):
    from tsdisk.folder.manifest import save_folder
    save_folder(folder, rows_of(ids), ids%n_classes)

def ids_of_series(folder):
    from tsdisk.series.ragged_files import open_ragged
    try: found = open_ragged(folder)[:]
    except FileNotFoundError: return np.zeros(0, 'i8')
    ids = [int(o[0,0]) for o in found]
    for i,o,want in zip(ids, found, series_of(ids)):
        if o.shape != want.shape or not (o == want).all(): raise Loss(f'series {i} has other values')
    return np.array(ids, 'i8')

def difference(found, *wanted):
    "What is wrong with numbers of rows that are none of those wanted"
    new,got = Counter(wanted[-1].tolist()),Counter(found.tolist())
    missing,more = sum((new-got).values()),sum((got-new).values())
    lengths = ' or '.join(f'{len(o):,}' for o in wanted)
    return f'{len(found):,} rows instead of {lengths}: {missing:,} missing, {more:,} twice or of others, or not in their order'

# Processes

class Child:
    "A call in a process of its own, in which further ones may be started"
    def __init__(self, f):
        r,w = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid: _answer(f, w)
        os.close(w)
        self.pipe = open(r, 'rb', buffering=0)

    def result(self, seconds):
        "What the call returned; None if it was killed, which happens after so many seconds"
        ended = select.select([self.pipe], [], [], max(0, seconds))[0]
        if not ended: os.kill(self.pid, signal.SIGKILL)
        data = self.pipe.read() if ended else b''
        self.pipe.close()
        os.waitpid(self.pid, 0)
        if not ended: return None
        what,value = pickle.loads(data) if data else ('error', 'the process died')
        if what == 'error': raise Loss(value)
        return value

    def end_workers(self):
        try: os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError: pass # None is left

def _answer(f, w):
    "Run a call, and write what it returns, or its error, to a pipe"
    import torch
    torch.set_num_threads(1)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0,1,2): os.dup2(null, fd)
    try: data = pickle.dumps(('value', (f(),)))
    except BaseException as e: data = pickle.dumps(('error', f'{type(e).__name__}: {e}\n{traceback.format_exc()}'))
    with open(w, 'wb') as f: f.write(data)
    os._exit(0)

def elsewhere(f, *args):
    "What a call returns in a process of its own; `Loss` for an error, and if it hangs"
    child = Child(partial(f, *args))
    try: res = child.result(longest)
    finally: child.end_workers()
    if res is None: raise Loss(f'{getattr(f, "__name__", f)} hangs')
    return res[0]

# Training

def fit(folder, n, path, shuffle, epochs=2, every=5):
    "Train on the first n rows of a dataset, or resume; a line of `log` for each batch. Returns a checksum of the weights"
    from fastai.basics import CrossEntropyLossFlat, Learner, nn, set_seed
    from tsdisk.data.loaders import TSDataLoaders
    from tsdisk.folder.manifest import open_folder
    from tsdisk.train.checkpoint import Checkpoint
    set_seed(3)
    X,y = (open_folder(folder)[0][o][:n] for o in 'Xy')
    splits = [range(n*3//4), range(n*3//4, n)]
    vocab = [*range(n_classes)] # The first rows of a dataset may lack a label
    dls = TSDataLoaders.from_arrays(X, y, splits=splits, bs=16, seed=5, shuffle=shuffle, device='cpu', vocab=vocab)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(.1), nn.Linear(shape[0]*shape[1], 16), nn.ReLU(), nn.Linear(16, n_classes))
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), path=path, lr=1e-6)
    with learn.no_bar(), learn.no_logging(), open(path/'log', 'ab', buffering=0) as log:
        log.write(b'start\n')
        learn.fit(epochs, cbs=[Checkpoint('run', every), _logged_batches(log, dls.vocab)])
    return crc32(b''.join(o.detach().numpy().tobytes() for o in model.parameters()))

def _logged_batches(log, vocab):
    "A callback that checks each training batch, and writes its number and a checksum of its rows"
    from fastai.basics import Callback
    class Logged(Callback):
        def before_batch(self):
            if not self.training: return
            ids = checked_ids(self.xb[0], np.array(list(vocab))[self.yb[0]])
            log.write(f'{self.train_iter} {crc32(ids.tobytes())}\n'.encode())
    return Logged()

def saved_at(path):
    "The batch of the newest checkpoint, -1 if there is none; `Loss` if it can't be loaded"
    from fastai.basics import torch
    file = path/'models/run.ckpt'
    if not file.exists(): return -1
    try: return torch.load(file, weights_only=True)['train_iter']
    except Exception as e: raise Loss(f'a checkpoint can not be loaded: {e}') from e

def attempts(path):
    "The batches of each time that training was started: lists of [number, checksum of the rows]"
    lines = (path/'log').read_bytes().split(b'\n')[:-1] if (path/'log').exists() else []
    res = []
    for o in lines:
        if o == b'start': res.append([])
        else: res[-1].append([*map(int, o.split())])
    return res

# The soak

class Soak:
    "Objects on disk, what each of them must hold, and acts that change them"
    def __init__(self, folder, seed):
        self.folder,self.random = folder,random.Random(seed)
        self.counts,self.times = Counter(),{} # By act; seconds of one that nobody killed
        self.n,self.files = 0,0
        self.set = self.plain = self.series = None # (folder, numbers of its rows)

    def new_ids(self, most):
        "Numbers of new rows"
        k = self.random.randint(1, most)
        self.n += k
        return np.arange(self.n-k, self.n)%2**20

    def new_files(self):
        "Some new input files, and the numbers of their rows"
        parts = [self.new_ids(120) for _ in range(self.random.randint(1, 6))]
        paths = [self.folder/'files'/f'{self.files+i}.npy' for i in range(len(parts))]
        self.files += len(paths)
        paths[0].parent.mkdir(exist_ok=True)
        for o,ids in zip(paths, parts): np.save(o, ids)
        return [*map(str, paths)],np.concatenate(parts)

    def new_folder(self, name, old):
        "A path for a new object in place of an old one, which is removed"
        if old: shutil.rmtree(old[0])
        self.counts['new folders'] += 1
        return self.folder/f"{name}{self.counts['new folders']}"

    def count(self, what, n=1): self.counts[what] += n

def check_ids(what, read, folder, *wanted):
    "`Loss` unless the rows in a folder are those that are wanted, by one of several accounts"
    found = elsewhere(read, folder)
    if not any(np.array_equal(found, o) for o in wanted): raise Loss(f'{what}: {difference(found, *wanted)}')
    return found

def killed(soak, name, f):
    "Start a call, kill it at a random moment, perhaps after its end; was it killed?"
    typical = soak.times.get(name, 1.)
    child = Child(f)
    res = child.result(soak.random.uniform(0, 1.2*typical))
    if soak.random.random() < .5: child.end_workers() # Else they go on while the next call begins
    soak.count('kills', res is None)
    soak.count(f'kills of {name}', res is None)
    return child if res is None else None

def write(soak, name, f, read, folder, old, new):
    "Run a writer with some kills: after each, readers see the old rows or the new ones, and at the end the new ones"
    orphans = []
    for _ in range(soak.random.choice([0,0,1,1,2,3])):
        child = killed(soak, name, f)
        check_ids(f'{name} was killed', read, folder, old, new)
        if child: orphans.append(child)
        soak.count('calls of writers repeated')
    start = time.time()
    elsewhere(f)
    soak.times[name] = time.time()-start
    for o in orphans: o.end_workers()
    check_ids(name, read, folder, new)
    soak.count(name)
    soak.count('rows written', max(0, len(new)-len(old)))

# Acts: functions of a `Soak`

def act_convert(soak):
    from tsdisk.convert.convert import convert
    folder = soak.new_folder('set', soak.set)
    files,ids = soak.new_files()
    workers = soak.random.choice([0,0,2])
    f = partial(convert, files, folder, read_ids, n_workers=workers)
    write(soak, 'convert', f, ids_of_set, folder, np.zeros(0, 'i8'), ids)
    soak.set = folder,ids

def act_append(soak):
    if not soak.set or len(soak.set[1]) > most_rows: act_convert(soak)
    append_files(soak)

def append_files(soak):
    from tsdisk.convert.convert import append
    folder,old = soak.set
    files,ids = soak.new_files()
    new = np.append(old, ids)
    f = partial(append, folder, files, read_ids, n_workers=soak.random.choice([0,0,2]))
    write(soak, 'append', f, ids_of_set, folder, old, new)
    soak.set = folder,new

def act_save(soak):
    folder,old = soak.plain or (soak.folder/'plain', np.zeros(0, 'i8'))
    new = soak.new_ids(900)
    write(soak, 'save_folder', partial(save_ids, folder, new), ids_of_set, folder, old, new)
    soak.plain = folder,new

def act_series(soak):
    from tsdisk.series.ragged_files import append_ragged, save_ragged
    is_new = soak.series is None or soak.random.random() < .3 or len(soak.series[1]) > most_rows
    folder,old = soak.series or (soak.folder/'series', np.zeros(0, 'i8'))
    ids = soak.new_ids(400)
    new = ids if is_new else np.append(old, ids)
    def f():
        if is_new: save_ragged(folder, series_of(ids))
        elif len(ids_of_series(folder)) < len(new): append_ragged(folder, series_of(ids))
    write(soak, 'save_ragged' if is_new else 'append_ragged', f, ids_of_series, folder, old, new)
    soak.series = folder,new

def act_train(soak):
    if not soak.set: act_convert(soak)
    while len(soak.set[1]) < fewest_rows: append_files(soak)
    n,shuffle = min(600, len(soak.set[1])),soak.random.choice([True,'block'])
    path,whole = soak.folder/'run',soak.folder/'whole'
    for o in (path,whole):
        shutil.rmtree(o, ignore_errors=True)
        o.mkdir()
    start = time.time()
    weights = elsewhere(fit, soak.set[0], n, whole, shuffle)
    soak.times['training'] = time.time()-start
    order, = attempts(whole)
    for _ in range(soak.random.randint(1, 4)):
        _attempt(soak, partial(fit, soak.set[0], n, path, shuffle), path, order, kill=True)
        if soak.random.random() < .4: append_files(soak) # Readers of the first rows, and their states, remain as they are
    if _attempt(soak, partial(fit, soak.set[0], n, path, shuffle), path, order, kill=False) != weights:
        raise Loss('resumed training ends with other weights')
    seen = {i for o in attempts(path) for i,_ in o}
    if len(seen) != len(order): raise Loss(f'{len(order)-len(seen)} batches were never trained on')
    soak.count('trainings')

def _attempt(soak, f, path, order, kill):
    "Train until the end or a kill; `Loss` unless batches go on at the checkpoint, in the order of uninterrupted training"
    before,n = elsewhere(saved_at, path),len(attempts(path))
    res = killed(soak, 'training', f) if kill else _fit_amid_appends(soak, f)
    for o in attempts(path)[n:]:
        if o and o[0][0] != max(before, 0): raise Loss(f'training resumed at batch {o[0][0]}, the checkpoint is of {before}')
        if o != order[max(before, 0):][:len(o)]: raise Loss('resumed training has batches of other rows')
        soak.count('batches checked', len(o))
        soak.count('resumed trainings', before >= 0)
    after = elsewhere(saved_at, path)
    if after < before: raise Loss(f'the checkpoint of batch {before} became one of {after}')
    return res

def _fit_amid_appends(soak, f):
    "Train to the end, half of the times while rows are appended to the dataset"
    child = Child(f)
    try:
        if soak.random.random() < .5:
            append_files(soak)
            soak.count('appends amid training')
        res = child.result(longest)
    finally: child.end_workers()
    if res is None: raise Loss('training hangs')
    return res[0]

def act_verify(soak):
    from tsdisk.folder.checks import add_checksums, verify
    for name,o in dict(dataset=soak.set, saved=soak.plain).items():
        if o is None: continue
        if name == 'saved': elsewhere(add_checksums, o[0])
        if changes := elsewhere(verify, o[0]): raise Loss(f'verify of an intact {name}: {changes}')
        check_ids(name, ids_of_set, *o)
        soak.count('verify')
    if soak.series: check_ids('series', ids_of_series, *soak.series)

def act_flip(soak):
    "Flip a bit in a copy of a dataset: `verify` must find it"
    from tsdisk.folder.checks import verify
    if not soak.set: return act_convert(soak)
    copy = soak.folder/'copy'
    shutil.copytree(soak.set[0], copy)
    file = soak.random.choice(sorted(copy.glob('*.npy')))
    data = bytearray(file.read_bytes())
    bit = soak.random.randrange(8*len(data))
    data[bit//8] ^= 1 << bit%8
    file.write_bytes(data)
    if not elsewhere(verify, copy): raise Loss(f'verify misses a flipped bit, number {bit} of {file.name}')
    shutil.rmtree(copy)
    soak.count('flipped bits found')

acts = {act_append: 5, act_save: 3, act_series: 3, act_train: 3, act_verify: 2, act_flip: 1, act_convert: 1} # How often

def soaked(folder, seed, seconds):
    "Act at random until the time is over; (the `Soak`, a loss or None)"
    import_module('tsdisk.all') # Before processes fork
    soak,start = Soak(folder, seed),time.time()
    try:
        while time.time() < start+seconds:
            act, = soak.random.choices([*acts], [*acts.values()])
            say(f'{time.time()-start:.0f} of {seconds:.0f} s, {act.__name__}, {soak.counts["kills"]} kills')
            act(soak)
        act_verify(soak)
    except Loss as e: return soak,e
    return soak,None

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--minutes', type=float, default=60, help='how long (default: %(default)s)')
    p.add_argument('--seed', type=int, help='of acts and moments of kills (default: drawn)')
    p.add_argument('--tmp', help='where to put up to 1 GB of data for the time being')
    args = p.parse_args()
    seed = random.randrange(2**32) if args.seed is None else args.seed
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with temp_folder(args.tmp, 1e9) as folder:
        soak,loss = soaked(folder, seed, args.minutes*60)
        say('')
        print(f'seed {seed}, {args.minutes:g} minutes\n\n{md_table([["what","times"], *sorted(soak.counts.items())])}')
        if loss is None: return print('\nNothing was lost')
        kept = tempfile.mkdtemp(prefix='tsdisk_soak_', dir=args.tmp)
        shutil.copytree(folder, kept, dirs_exist_ok=True)
    sys.exit(f'\nLOST: {loss}\nThe files are kept in {kept}')

if __name__ == '__main__': run(main)
