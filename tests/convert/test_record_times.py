"Times in records: clocks, gaps, faults, uneven times, and what the manifest keeps of them"
import numpy as np, pytest
from fastcore.test import expect_fail
from tsdisk.convert.convert import append, convert
from tsdisk.convert.record_times import fill_gaps, plain_value, settle_clock, with_clock
from tsdisk.disk.packing import Packing
from tsdisk.disk.sidecar import read_manifest
from tsdisk.disk.array_sources import as_source
from tsdisk.folder.checks import verify
from tsdisk.folder.manifest import open_folder
from tsdisk.series.clock import Clock
from tsdisk.series.clock_scan import ClockScan
from tsdisk.series.clocks import clocks_of
from tsdisk.series.ragged import Ragged

days = np.arange('2024-01-01', '2024-03-01', dtype='M8[D]')
def record(keep, **kwargs): return dict(X=np.arange(60.)[None,keep], times=days[keep], **kwargs)
def clocks(dst):
    X = open_folder(dst)[0]['X']
    return clocks_of((X.panel if isinstance(X, Ragged) else as_source(X)).place())

def test_even_times_become_a_start_and_a_rate(tmp_path):
    convert([record(np.arange(40)), record(np.arange(5, 45))], tmp_path/'set')
    found = clocks(tmp_path/'set')
    assert [str(found[i].times(39))[:10] for i in (0,1)] == ['2024-02-09', '2024-02-14']
    assert 'clock' not in read_manifest(tmp_path/'set') or not read_manifest(tmp_path/'set')['clock']

def test_gaps_are_kept_and_warned_of(tmp_path):
    with pytest.warns(UserWarning, match='1 series have gaps in time, 1 in all, the longest of 6 d'):
        convert([record(np.arange(40)), record(np.r_[:20,25:45])], tmp_path/'set')
    found = clocks(tmp_path/'set')
    assert found.gaps(2).tolist() == [[1,20]] and not len(found[0].gaps)
    assert (found[1].times(np.arange(40)) == days[np.r_[:20,25:45]]).all()
    assert not verify(tmp_path/'set')

@pytest.mark.filterwarnings('ignore:.* gaps in time')
def test_gaps_survive_an_append(tmp_path):
    convert([record(np.r_[:10,15:45])], tmp_path/'set')
    append(tmp_path/'set', [record(np.arange(40)), record(np.r_[:30,40:50])])
    assert clocks(tmp_path/'set').gaps(3).tolist() == [[0,10],[2,30]]
    assert not verify(tmp_path/'set') and len([*(tmp_path/'set').glob('jumps*')]) == 1

@pytest.mark.filterwarnings('ignore:.* gaps in time')
def test_faults_of_times_are_warned_of(tmp_path):
    times = days[np.r_[:20,19,21,20,23:40]]
    with pytest.warns(UserWarning, match='The times of row 0 have faults: 1 repeated, 1 earlier than the one before'):
        convert([dict(X=np.zeros((1,40)), times=times)], tmp_path/'set')

def test_rates_that_differ_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match='Sampling rates differ between series, 100 to 250'):
        convert([dict(X=np.zeros((1,40)), fs=o) for o in (100.,250.)], tmp_path/'set')

def test_uneven_times_are_a_column(tmp_path):
    rng = np.random.default_rng(0)
    ticks = [np.cumsum(rng.integers(1, 10**9, 50)).astype('M8[ns]') for _ in range(3)]
    convert([dict(X=np.zeros((1,50)), times=o) for o in ticks], tmp_path/'set')
    arrays,_ = open_folder(tmp_path/'set')
    assert (np.asarray(arrays['times']) == np.stack(ticks).astype('i8')).all()

def test_even_records_among_uneven_ones_get_times(tmp_path):
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 10**9, 50)).astype('M8[ns]')
    convert([dict(X=np.zeros((1,50)), times=ticks), dict(X=np.zeros((1,50)), start='1970-01-01', fs=2.)], tmp_path/'set')
    assert np.asarray(open_folder(tmp_path/'set')[0]['times'])[1].tolist() == [i*10**9//2 for i in range(50)]

def test_a_record_in_pieces_scans_its_clock(tmp_path):
    def read(path):
        scan = ClockScan()
        def pieces():
            for a,b in ((0,30),(30,55)):
                scan.add(days[5:][a:b] if a == 0 else days[:][a+5:b+5])
                yield np.arange(60.)[None,a:b]
        return dict(X=pieces(), clock=scan)
    (tmp_path/'a.rec').touch()
    convert(str(tmp_path/'a.rec'), tmp_path/'set', read=read, n_workers=0)
    manifest = read_manifest(tmp_path/'set')
    assert manifest['info']['start'] == '2024-01-06T00:00:00.000' and manifest['info']['fs'] == 1/86400

@pytest.mark.parametrize('times,error', [(np.zeros(3), 'one time for each of 4 steps'), (['01/02/2024']*4, 'A time is written like'), (np.zeros((4,1)), 'one time for each')])
def test_times_that_do_not_fit_are_refused(times, error):
    with expect_fail(ValueError, error): with_clock(dict(X=np.zeros((1,4)), times=times))

def test_filled_gaps_are_nan():
    res = fill_gaps(record(np.r_[:20,25:45], station=3))
    assert res['X'].shape == (1,45) and res['station'] == 3 and 'time_jumps' not in res
    assert np.isnan(res['X'][0,20:25]).all() and (res['X'][0,25:] == np.arange(25, 45)).all()
    with expect_fail(ValueError, 'the times have faults'): fill_gaps(dict(X=np.zeros((1,30)), times=days[np.r_[:20,18,21:30]]))

def test_seconds_in_pieces_have_no_date():
    for times,start in ((np.arange(9.), None), (days[:9], '2024-01-01T00:00:00.000')):
        scan = ClockScan()
        for o in (times[:5], times[5:]): scan.add(o)
        assert settle_clock(dict(clock=scan)).get('start') == start

def test_scalars_in_arrays_are_scalars():
    assert [plain_value(np.array(o)) for o in (np.datetime64('2024-01-31', 'ns'), 3, 'a')] == ['2024-01-31T00:00:00.000000000', 3, 'a']

def test_what_can_not_be_filled_is_refused():
    uneven = dict(X=np.zeros((1,4)), times=np.array(['2024-01-01','2024-01-02','2024-01-09','2024-02-03'], 'M8[D]'))
    with expect_fail(ValueError, 'have faults: uneven'): fill_gaps(uneven)
    with expect_fail(ValueError, 'A recording that is read in pieces'): fill_gaps(dict(X=iter([np.zeros((1,4))]), clock=ClockScan()))
    for steps in (np.arange(40), np.zeros((2,40))):
        with expect_fail(ValueError, '`y` also has a value for each step'): fill_gaps(record(np.r_[:20,25:45], y=steps))
    assert fill_gaps(dict(X=iter([np.zeros((1,4))]), start='2024-01-01', fs=2.))['fs'] == 2

@pytest.mark.parametrize('packing', [dict(scale=.5, offset=1., missing=-99), dict(scale=[.5], offset=[1.])])
def test_gaps_of_packed_integers_are_missing(packing, tmp_path):
    gappy = record(np.r_[:20,25:45])
    gappy['X'] = gappy['X'].astype('i2')
    convert([gappy | packing], tmp_path/'set', tfm=fill_gaps, n_workers=0)
    entry = read_manifest(tmp_path/'set')['arrays']['X']
    got = Packing.from_entry(entry).decode(np.asarray(open_folder(tmp_path/'set')[0]['X'][0]))
    assert (entry['dtype'] == '<i2') == ('missing' in packing)
    assert np.array_equal(got[0], np.where((np.arange(45) < 20) | (np.arange(45) >= 25), np.arange(45)*.5+1, np.nan), equal_nan=True)

def test_annotations_by_step_move_with_their_steps():
    notes = dict(step=[3,20,20,39], symbol=[*'NVNV'])
    got = fill_gaps(record(np.r_[:20,25:45], annotations=notes, annotations_qrs=dict(notes)))
    assert got['annotations'] == got['annotations_qrs'] == dict(step=[3,25,25,44], symbol=[*'NVNV']) and notes['step'][1] == 20

def test_filled_datasets_keep_their_rate(tmp_path):
    convert([record(np.r_[:20,25:45]), record(np.arange(45))], tmp_path/'set', tfm=fill_gaps)
    found = clocks(tmp_path/'set')
    assert (found[0].times(np.arange(45)) == days[:45]).all() and not len(found.gaps(2)) and found.fs_of_all == 1/86400

def test_metadata_of_users_may_be_named_like_parts_of_a_clock(tmp_path):
    convert([dict(X=np.ones((1,9)), jumps=i, period=2.5) for i in range(2)], tmp_path/'set')
    assert read_manifest(tmp_path/'set')['info']['period'] == 2.5
    assert open_folder(tmp_path/'set')[0]['jumps'][:].tolist() == [0,1] and clocks(tmp_path/'set') is None

def test_steps_are_not_lost_where_a_device_drifts_back():
    record = dict(X=np.arange(20.)[None], time_period=1., time_jumps=[[10,9_400_000_000]])
    with expect_fail(ValueError, 'two steps would be at one time'): fill_gaps(record)

def test_times_that_become_uneven_are_named_as_a_fault():
    scan = ClockScan()
    for o in (np.arange(50), 50+np.cumsum(np.random.default_rng(0).uniform(.1, 9, 200))): scan.add(o.astype('f8'))
    assert settle_clock(dict(clock=scan))['time_faults'] == ['uneven after an even start, and not kept']
    even = ClockScan()
    even.add(np.arange(50.))
    assert 'time_faults' not in settle_clock(dict(clock=even))

even = np.datetime64('2024-01-01', 'ns') + np.arange(500)*np.timedelta64(1, 's')
uneven = np.datetime64('2024-01-01', 'ns') + np.cumsum(np.random.default_rng(0).integers(1, 10**9, 500)).astype('m8[ns]')
paused = uneven + np.where(np.arange(500) < 300, 0, 3600).astype('m8[s]')
def set_in_place(record):
    record['times'] = even
    return record

def gives(**times): return lambda record: record | times
def keeps(steps): return lambda record: record | dict(X=record['X'][:,steps], times=record['times'][steps])

slow = np.datetime64('2024-02-01', 'ns') + (even-even[0])//2
given_times = dict(dates=(None, gives(times=even), even), in_place=(None, set_in_place, even), texts=(None, gives(times=[*map(str, even)]), even),
    uneven_dates=(None, gives(times=uneven), uneven), seconds_and_a_start=(None, gives(times=np.arange(500)*.5, start='2024-02-01'), slow),
    a_clock=(even, gives(clock=Clock('2024-02-01', fs=2)), slow), a_clock_of_uneven_times=(even, gives(clock=Clock.from_times(uneven)), uneven),
    every_second_step=(even, lambda r: dict(X=r['X'][:,::2], times=even[::2], fs=r['fs']), even[::2]), cut=(uneven, keeps(slice(100, None)), uneven[100:]),
    cut_before_a_pause=(paused, keeps(slice(200, None)), paused[200:]), unchanged=(paused, gives(note='same'), paused))

@pytest.mark.parametrize('how', given_times)
@pytest.mark.filterwarnings('ignore:1 series have gaps')
def test_times_that_a_tfm_gives_are_those_of_the_dataset(tmp_path, how):
    times,tfm,want = given_times[how]
    convert([dict(X=np.arange(500.)[None]) | ({} if times is None else dict(times=times))], tmp_path/'set', tfm=tfm)
    found = clocks(tmp_path/'set')
    assert (found[0].times(np.arange(len(want))) == want).all()
    at_pause = [[0,i] for i in np.flatnonzero(np.diff(want) > np.timedelta64(60, 's'))+1]
    assert found.gaps(1).tolist() == at_pause

def test_a_nominal_rate_gives_way_to_uneven_times(tmp_path):
    convert([dict(X=np.zeros((1,500)), times=uneven, fs=50.)], tmp_path/'set')
    found = clocks(tmp_path/'set')
    assert found.fs_of_all is None
    assert found.since_starts(np.array([0]), np.array([400])) == (uneven[400]-uneven[0]).astype('i8')

@pytest.mark.parametrize('at', [[0],[0,1],[250],[499]])
def test_missing_times_among_uneven_ones_are_those_before(tmp_path, at):
    times = uneven.copy()
    times[at] = np.datetime64('NaT')
    with pytest.warns(UserWarning, match=f'{len(at)} missing'): convert([dict(X=np.zeros((1,500)), times=times)], tmp_path/'set')
    got = clocks(tmp_path/'set')[0].times(np.arange(500))
    before = np.maximum.accumulate(np.where(np.isnat(times), 0, np.arange(500)))
    want = np.where(np.isnat(times[before]), times[~np.isnat(times)][0], times[before])
    assert (got == want).all() and (Clock.from_times(times).times(np.arange(500)) == want).all()

@pytest.mark.filterwarnings('ignore:The times of row')
def test_samples_that_a_tfm_cuts_keep_times_of_their_own(tmp_path):
    def cut(o): return {**o, 'X': o['X'].reshape(1,4,125).swapaxes(0,1), 'times': o['times'].reshape(4,125)}
    for times,name in ((uneven,'a'), (paused,'b')):
        convert([dict(X=np.arange(500.)[None], times=times)], tmp_path/name, tfm=cut)
        found = clocks(tmp_path/name)
        for i in range(4): assert (found[i].times(np.arange(125)) == times[125*i:][:125]).all()
        assert ('pauses' in str(read_manifest(tmp_path/name))) == (name == 'b')

@pytest.mark.parametrize('start', ['20240131','1706695200','31.01.2024','9999-01-01'])
def test_a_start_that_is_no_date_of_our_time_is_not_known(tmp_path, start):
    convert([dict(X=np.zeros((1,9)), fs=1., start=o) for o in ('2024-01-31',start)], tmp_path/'set')
    found = clocks(tmp_path/'set')
    assert found.starts is None or np.isnat(found.starts[1]) and found[0].start == np.datetime64('2024-01-31')
    convert([dict(X=np.zeros((1,9)), fs=1., start=start)], tmp_path/'one')
    assert clocks(tmp_path/'one')[0].start is None

def test_a_series_of_one_step_among_uneven_ones_has_its_time(tmp_path):
    visits = [dict(X=np.zeros((1,len(o))), times=o) for o in (uneven[:40], uneven[7:8], uneven[:9])]
    convert(visits, tmp_path/'set', layout='ragged')
    assert clocks(tmp_path/'set')[1].times(0) == uneven[7]

in_seconds = np.cumsum(np.random.default_rng(0).integers(1, 10**4, 500))/1e3
since = np.rint((in_seconds-in_seconds[0])*1e9).astype('m8[ns]')

@pytest.mark.parametrize('tfm,first', [(None,0), (keeps(slice(100, None)),100)], ids=['as_given','cut'])
def test_uneven_seconds_have_no_date(tmp_path, tfm, first):
    convert([dict(X=np.zeros((1,500)), times=in_seconds)], tmp_path/'set', tfm=tfm)
    found = clocks(tmp_path/'set')
    assert found[0].start is None and (found[0].times(np.arange(500-first)) == since[first:]-since[first]).all()

def test_uneven_seconds_count_from_the_start_of_their_record(tmp_path):
    convert([dict(X=np.zeros((1,500)), times=in_seconds, start='2024-02-01')], tmp_path/'set')
    assert (clocks(tmp_path/'set')[0].times(np.arange(500)) == np.datetime64('2024-02-01')+since).all()

@pytest.mark.parametrize('times', [uneven, in_seconds], ids=['dates','seconds'])
@pytest.mark.filterwarnings('ignore:The times of row')
def test_samples_with_times_of_their_own_have_their_own_starts(tmp_path, times):
    def cut(o): return {**o, 'X': o['X'].reshape(1,4,125).swapaxes(0,1), 'times': o['times'].reshape(4,125)}
    convert([dict(X=np.zeros((1,500)), times=times)], tmp_path/'set', tfm=cut)
    found = clocks(tmp_path/'set')
    want = times[125] if times.dtype.kind == 'M' else None
    assert found[1].start == want and found.knows_times(4) == (want is not None)
    assert want is None or found.starts.tolist() == times[::125].tolist()
