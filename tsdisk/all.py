"What users need, fastai style: `from tsdisk.all import *`"
from fastai.basics import *
from fastai.callback.all import *

from tsdisk.disk.arrays import create_array, open_array, save_array
from tsdisk.disk.items import Items, itemify
from tsdisk.disk.sources import ArraySource, LikeSource, Source, as_source
from tsdisk.disk.gather import tensor_view
from tsdisk.disk.rows import Ranges
from tsdisk.disk.shards import Joined, Shards
from tsdisk.series.ragged import Ragged, append_ragged, open_ragged, save_ragged
from tsdisk.series.windows import Crops, Windows
from tsdisk.order.shuffle import order
from tsdisk.order.leakage import check_leakage
from tsdisk.order.splits import group_splits, predefined_splits, random_splits, stratified_splits, time_splits, walk_forward_splits
from tsdisk.folder.manifest import open_folder, read_manifest, save_folder, write_manifest
from tsdisk.convert.info import info
from tsdisk.convert.readers import from_frame, from_xarray, open_npz, open_raw
from tsdisk.convert.tables import from_long, from_wide, read_table
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.convert.convert import append, convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.folder.stats import Stats, array_counts, array_stats, array_vocab, class_weights, train_counts, train_stats
from tsdisk.data.batches import Labels, mse_there, TensorTarget, TSInput, TSMask, TSTensor
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loaders import TSDataLoader, TSDataLoaders
from tsdisk.data.reader import ReadOptions
from tsdisk.train.checkpoint import Checkpoint
from tsdisk.train.timer import DataTimer
from tsdisk.train.predict import preds_to_disk, stitch_forecasts
from tsdisk.data.augment import (Augment, ChannelDropout, Cutout, CutMixSteps, FrequencyMask, Jitter, MagnitudeWarp, MaskedSteps,
    MoveSteps, Permutation, RandomCrop, Scaling, TimeWarp, WindowSlice, WindowWarp)
from tsdisk.data.transforms import Clip, DropMissing, FillNaN, Log, Normalize, PerSample, Power, RevIN, RobustScale, Standardize, StandardizeTarget
from tsdisk.data.show import plot_top_losses, show_batch, show_grid, show_results
from tsdisk.data.summary import summary
from tsdisk.frameworks import BatchOrder, NumpyBatches
