"What the tests of orders and splits share: panels of every kind and their windows one by one, and how fair a shuffle is"
import numpy as np
from hypothesis import assume, strategies as st
from conftest import fails
from tsdisk.series.ragged import Ragged
from tsdisk.series.windows import Windows

def make_panel(kind, lengths, n_vars=2):
    if kind == 'ragged': return Ragged(np.zeros((sum(lengths), n_vars), 'f4'), np.cumsum([0, *lengths]))
    if kind == 'list': return [np.zeros((n, n_vars), 'f4') for n in lengths]
    if kind == 'dense': return np.zeros((len(lengths), n_vars, lengths[0]), 'f4')
    return np.zeros((lengths[0], n_vars) if kind == 'one' else lengths[0], 'f4')

@st.composite
def some_windows(draw, most=40):
    kind = draw(st.sampled_from(['ragged','list','dense','one','flat']))
    lengths = draw(st.lists(st.integers(1, most), min_size=1, max_size=5))
    if kind == 'dense': lengths = [lengths[0]]*len(lengths)
    if kind in ('one','flat'): lengths = lengths[:1]
    size,horizon = draw(st.integers(1, 8)),draw(st.sampled_from([0,0,1,4]))
    gap,stride = draw(st.integers(0, 2)),draw(st.integers(1, 12))
    span = size + (gap+horizon if horizon else 0)
    assume(max(lengths) >= span)
    w = Windows(make_panel(kind, lengths), size, stride=stride, horizon=horizon, gap=gap)
    all_windows = [(s, a) for s,n in enumerate(lengths) for a in range(0, n-span+1, stride)]
    assert len(w) == len(all_windows) and w.span == span
    return w, lengths, all_windows

def steps_of(w, all_windows, rows):
    "Every step of every window, as pairs (series, step)"
    return {(s, t) for i in np.asarray(rows).tolist() for s,a in [all_windows[i]] for t in range(a, a+w.span)}

def as_lists(splits): return [np.asarray(o).tolist() for o in splits]

def expect(naive, make):
    "What a loop finds; where that leaves a split empty, the error"
    if all(naive): return as_lists(make()) == naive
    with fails(ValueError, 'none is left for'): make()
    return True

def held(n, valid, test):
    "Steps or rows of n to validate and to test"
    a = min(max(1, round(n*valid)), max(0, n-1-(test > 0)))
    return a, min(max(1, round(n*test)), n-1-a) if test else 0

cuts = st.slices(1000)
pcts = st.sampled_from([.05,.1,.2,.33,.5,.7])
tests = st.sampled_from([0,0,.1,.25])

def chi2(counts):
    "Chi-square of counts that should be equal, in standard deviations from its mean"
    counts = np.asarray(counts, float).ravel()
    c = ((counts-counts.mean())**2/counts.mean()).sum()
    k = len(counts)-1
    return (c-k)/np.sqrt(2*k)

def very_many_windows(folder):
    "500 million windows over 200,000 series, in a file that takes no room"
    lengths = np.random.default_rng(0).integers(100, 5000, 200_000)
    values = np.lib.format.open_memmap(folder/'x.npy', 'w+', 'i1', (int(lengths.sum()),))
    return Windows(Ragged(values, np.append(0, np.cumsum(lengths))), 48, horizon=12)

some_ranges = st.sets(st.integers(0, 49), max_size=10).map(lambda o: [*zip(*[iter(sorted(o))]*2)])
