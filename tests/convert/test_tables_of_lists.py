"Tables with a series in each row, as lists"
import re
import numpy as np, pytest
from conftest import fails, metadata_of
from tsdisk.convert.convert import convert
from tsdisk.convert.long_tables import from_long
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.folder.manifest import open_folder

def frame(lengths):
    import pandas as pd
    return pd.DataFrame(dict(id=range(len(lengths)), x=[np.arange(k)+10.*i for i,k in enumerate(lengths)], y=['ab'[i%2] for i in range(len(lengths))]))

def saved(df, folder, kind):
    import pyarrow as pa
    if kind == 'frame': return df
    path = folder/f'a.{"arrow" if kind == "stream" else kind}'
    if kind != 'stream': getattr(df, f'to_{kind}')(path)
    else:
        tab = pa.Table.from_pandas(df, preserve_index=False)
        with pa.ipc.new_stream(path, tab.schema) as w: w.write_table(tab)
    return path

@pytest.mark.parametrize('kind', ['parquet','feather','stream','frame'])
@pytest.mark.parametrize('lengths', [[4,4,4], [3,1,5]])
def test_lists_are_the_series_of_their_rows(tmp_path, kind, lengths):
    df = frame(lengths)
    arrays,_ = open_folder(convert(from_wide(saved(df, tmp_path, kind), y='y'), tmp_path/'set'))
    assert arrays['y'].tolist() == [*'aba'] and arrays['id'].tolist() == [0,1,2]
    for i,x in enumerate(df['x']): assert np.array_equal(np.asarray(arrays['X'][i]), [x])

@pytest.mark.parametrize('kind', ['parquet','feather','stream'])
def test_a_folder_of_lists_is_converted_in_one_call(tmp_path, kind):
    (tmp_path/'data').mkdir()
    saved(frame([4,4,4]), tmp_path/'data', kind)
    for o in ('state.json','dataset_info.json'): (tmp_path/'data'/o).write_text('{}')
    arrays,_ = open_folder(convert(tmp_path/'data', tmp_path/'set', n_workers=0))
    assert arrays['X'].shape == (3,1,4) and arrays['y'].tolist() == [*'aba']

def test_series_of_gluonts_have_their_shape_start_and_rate(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    starts = pa.array(np.array(['2020-01-01','2020-02-01'], 'M8[s]'))
    tab = {'item_id': ['a','b'], 'start': starts, 'freq': ['h','h'], 'target': [[1.,2,3,4],[5.,6]], 'target._np_shape': [[2,2],[2,1]], 'feat': [[0.],[1.]]}
    pq.write_table(pa.table(tab), tmp_path/'a.parquet')
    arrays,_ = open_folder(convert(tmp_path/'a.parquet', tmp_path/'set', n_workers=0))
    assert np.array_equal(arrays['X'][0], [[1,2],[3,4]]) and arrays['item_id'].tolist() == ['a','b']
    assert metadata_of(tmp_path/'set')['fs'] == 1/3600 and arrays['start'][1].startswith('2020-02-01')

def test_lists_of_dates_are_the_times_of_the_steps(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    days = [np.array(['2020-01-01','2020-01-02'], 'M8[ms]'), np.array(['2020-03-01','2020-03-02','2020-03-05'], 'M8[ms]')]
    pq.write_table(pa.table(dict(id=['a','b'], timestamp=pa.array(days), target=[[1.,2],[1.,2.,3]])), tmp_path/'a.parquet')
    got = [*read_table(tmp_path/'a.parquet')]
    assert [o['times'].tolist() for o in got] == [o.astype('M8[ns]').tolist() for o in days] and [o['id'] for o in got] == ['a','b']

def test_columns_named_like_a_clock_are_kept_beside_lists_of_dates(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    days = [np.array(['2020-01-01','2020-01-02'], 'M8[ms]')]*2
    pq.write_table(pa.table(dict(start=['ward a','ward b'], timestamp=pa.array(days), target=[[1.,2],[3.,4]])), tmp_path/'a.parquet')
    arrays,_ = open_folder(convert(tmp_path/'a.parquet', tmp_path/'set', n_workers=0))
    assert arrays['start_'].tolist() == ['ward a','ward b'] and metadata_of(tmp_path/'set')['start'].startswith('2020-01-01')

def test_frames_of_episodes_are_no_series(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    tab = pa.table({'observation.state': [[1.,2]]*4, 'frame_index': [0,1]*2, 'episode_index': [0,0,1,1]})
    pq.write_table(tab, tmp_path/'a.parquet')
    with fails(ValueError, "from_long(src, 'episode_index', 'frame_index', vars=['observation.state'])"): read_table(tmp_path/'a.parquet')

def test_the_advice_for_frames_of_episodes_works(tmp_path):
    import pyarrow as pa, pyarrow.parquet as pq
    rng = np.random.default_rng(0)
    lengths,names = (5,7,4),['state.0','state.1','state.2','action.0','action.1']
    episodes = [(rng.normal(size=(n,3)).astype('f4'), rng.normal(size=(n,2)).astype('f4')) for n in lengths]
    for i,(state,action) in enumerate(episodes):
        lists = dict(state=pa.FixedSizeListArray.from_arrays(pa.array(state.ravel()), 3), action=pa.array(action.tolist(), pa.list_(pa.float32())))
        pq.write_table(pa.table({**lists, 'frame_index': np.arange(len(state)), 'episode_index': np.full(len(state), i)}), tmp_path/f'{i}.parquet')
    with pytest.raises(ValueError) as error: convert(tmp_path, tmp_path/'refused', n_workers=0)
    advised = re.search(r'convert `(.*)`', str(error.value))[1]
    X = open_folder(convert(eval(advised, dict(from_long=from_long, src=tmp_path)), tmp_path/'set', n_workers=0))[0]['X']
    for x,parts in zip(X, episodes): np.testing.assert_array_equal(x, np.concatenate(parts, 1).T)
    assert len(X) == 3 and metadata_of(tmp_path/'set')['names'] == names

def test_lists_and_numbers_are_not_selected_together(tmp_path):
    frame([4,4]).to_parquet(tmp_path/'a.parquet')
    with fails(ValueError, "'x'", "'id'"): from_wide(tmp_path/'a.parquet', steps=['x','id'])

def test_a_column_named_y_does_not_replace_the_targets():
    pandas = pytest.importorskip('pandas')
    known = dict(label=['a','b'], y=[.5,.7])
    for steps in (dict(series=[[1.,2],[3,4]]), dict(s0=[1.,3], s1=[2.,4])):
        record, = from_wide(pandas.DataFrame({**steps, **known}), y='label', metadata=['y'])
        assert record['X'].tolist() == [[[1,2]],[[3,4]]] and [*record['y']] == ['a','b'] and [*record['y_']] == [.5,.7]
    long = pandas.DataFrame(dict(y=['p','p','q'], v=[1.,2,3], label=[7,7,8]))
    found = [(o['y'], o['y_'], o['X'].tolist()) for o in from_long(long, 'y', vars=['v'], y='label')]
    assert found == [(7,'p',[[1,2]]), (8,'q',[[3]])]

def test_a_column_may_be_both_the_target_and_metadata():
    pandas = pytest.importorskip('pandas')
    for steps in (dict(series=[[1.,2],[3,4]]), dict(s0=[1.,3], s1=[2.,4])):
        record, = from_wide(pandas.DataFrame(dict(**steps, a=[7,8])), y='a', metadata=['a'])
        assert record['X'].tolist() == [[[1,2]],[[3,4]]] and [*record['y']] == [7,8]
