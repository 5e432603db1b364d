"Recordings to convert, and what a model gets of them"
from pathlib import Path
import numpy as np
from tsdisk.convert import readers
from tsdisk.data.loaders import TSDataLoaders

x = np.cumsum(np.random.default_rng(0).normal(size=(6,3,500)), -1).astype('f4')

def all_rows(dataset, n):
    "Inputs of a dataset as a model gets them, (n, vars, steps)"
    dls = TSDataLoaders.from_folder(dataset, splits=[range(n)], shuffle=False, bs=n, drop_last=False)
    return dls.train.one_batch()[0].numpy()

def unpacked(o):
    "A record in physical units, (vars, steps); NaN where a value is missing"
    X = np.concatenate([*o['X']], 1) if not hasattr(o['X'], 'shape') else o['X']
    scale,offset = (np.reshape(o.get(k, v), (-1,1)) for k,v in (('scale',1.), ('offset',0.)))
    missing = X == o['missing'] if 'missing' in o else np.isnan(X)
    return np.where(missing, np.nan, X*scale + offset)

def write_wfdb(folder, i, **kwargs):
    import wfdb
    kwargs |= dict(units=['mV']*3, sig_name=['I','II','V1'], fmt=['16']*3, adc_gain=[100.]*3, baseline=[0]*3)
    wfdb.wrsamp(f'r{i}', fs=250, p_signal=x[i].T.astype('f8'), write_dir=str(folder), **kwargs)

# The storage formats of WFDB that its library reads, but does not write

def _triples(v): return np.append(v, np.zeros(-len(v)%3, int)).reshape(-1, 3) & 1023

def _pairs(v): return np.append(v, np.zeros(-len(v)%2, int)).reshape(-1, 2) & 4095

def as_212(v):
    a,b = _pairs(v).T
    return np.stack([a & 255, a >> 8 | (b >> 8) << 4, b & 255], 1).astype('u1').tobytes()

def as_310(v):
    a,b,c = _triples(v).T
    return np.stack([a << 1 | (c & 31) << 11, b << 1 | (c >> 5) << 11], 1).astype('<u2').tobytes()

def as_311(v):
    a,b,c = _triples(v).T
    return (a | b << 10 | c << 20).astype('<u4').tobytes()

def as_24(v): return v.astype('<i4').view('u1').reshape(-1, 4)[:,:3].tobytes()

encoders = {'16': lambda v: v.astype('<i2').tobytes(), '61': lambda v: v.astype('>i2').tobytes(), '32': lambda v: v.astype('<i4').tobytes(),
    '80': lambda v: (v+128).astype('u1').tobytes(), '160': lambda v: (v+2**15).astype('<u2').tobytes(),
    '24': as_24, '212': as_212, '310': as_310, '311': as_311}
bits_of = {'80': 8, '310': 10, '311': 10, '212': 12, '16': 16, '61': 16, '160': 16, '24': 24, '32': 32}

def write_signals(folder, name, fmt, frames, lines, head='{name} {n} 100 {frames}'):
    "A record whose signals, (frames, samples of a frame), are in one file; `lines` are what the header says of each"
    Path(folder, f'{name}.dat').write_bytes(encoders[fmt](frames.reshape(-1)) if not isinstance(frames, bytes) else frames)
    said = '\n'.join(f'{name}.dat {fmt}{o}' for o in lines)
    n = 0 if isinstance(frames, bytes) else len(frames)
    Path(folder, f'{name}.hea').write_text(head.format(name=name, n=len(lines), frames=n) + f'\n{said}\n')
    return Path(folder, f'{name}.hea')

def in_small_pieces(monkeypatch):
    "Let recordings come in small pieces"
    monkeypatch.setattr(readers, 'large', 1000)
    monkeypatch.setattr(readers.read_steps, '__defaults__', (700,))

def integers(fmt, shape, seed=0):
    "Integers of a storage format, one of them its code of a missing value"
    half = 2**(bits_of[fmt]-1)
    res = np.random.default_rng(seed).integers(1-half, half, shape)
    res[7,0] = -half
    return res

def as_float(v, fmt, gain=200, zero=0): return np.where(v == -2**(bits_of[fmt]-1), np.nan, (v-zero)/gain)
