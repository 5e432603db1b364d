"What `tsdisk doctor` says of a file that is larger than the memory that a process may use"
import argparse, io, os, sys
from contextlib import redirect_stdout
from pathlib import Path
from common import machine, make_data, run, say, temp_folder
from processes import limited, memory_limit, workers

def report(folder):
    "What the doctor prints of the array in a folder"
    from tsdisk.tools.doctor import doctor
    os.chdir(folder)
    with redirect_stdout(io.StringIO()) as out: doctor('X.npy')
    return out.getvalue()

def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--tmp', help='where to put 1 GB of data for the time being')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the result')
    args = p.parse_args()
    m = machine()
    with temp_folder(args.tmp, 1.1e9) as d, memory_limit(1.15e9) as group:
        if group is None: sys.exit("No memory limit can be set: run it as root")
        say('writing')
        make_data(d, (400_000,6,100))
        with workers(doctor=(limited, group, str(d))) as w: text = w['doctor'](report)
    first = f"{m['date']}, commit {m['commit'] or 'unknown'} · {m['cpu']}, {m['cores']} cores, {m['system']}, load {m['load']}"
    (args.out/'doctor.txt').write_text(f'{first}\n\n{text}')
    print(text)

if __name__ == '__main__': run(main)
