"The results that are kept, as one set: each benchmark in turn, but those that have results of this commit and this kind of machine already"
import argparse, json, subprocess, sys, time
from pathlib import Path
from common import kind, machine, run

busy = '--beside','0','1'
kept = dict(loaders=('--rounds','3',*busy,'2'), stats=('--rounds','3',*busy,'2'), threads=('--rounds','3',*busy,'2'), cold=('--rounds','2',*busy,'2'),
    windows=('--rounds','2',*busy), first_epoch=('--rounds','2',*busy), convert=('--rounds','2',*busy), predict=('--rounds','2',*busy),
    cliff=(), peers=('--bs','1024','--rounds','1'), growth=())

def is_done(name, out):
    "Whether a benchmark has results of this commit and this kind of machine"
    path = out/f'{name}.json'
    return path.exists() and kind(json.loads(path.read_text())['machine']) == kind(machine())

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--tmp', help='where to put up to 10 GB of data for the time being')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the results')
    args = p.parse_args()
    for name in [o for o in kept if not is_done(o, args.out)]:
        start = time.time()
        there = ['--out', args.out, *(['--tmp', args.tmp] if args.tmp else [])]
        done = subprocess.run([sys.executable, Path(__file__).parent/f'{name}.py', *kept[name], *there], stdout=subprocess.DEVNULL)
        if done.returncode: sys.exit(f'{name}.py failed, with status {done.returncode}')
        print(f'{name}: {(time.time()-start)/60:.0f} minutes', flush=True)

if __name__ == '__main__': run(main)
