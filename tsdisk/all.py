"What users need, fastai style: `from tsdisk.all import *`"
from fastai.basics import *
from fastai.callback.all import *

from tsdisk.arrays import create_array, open_array, save_array
from tsdisk.items import Items, itemify
from tsdisk.sources import ArraySource, LikeSource, Source, as_source, tensor_view
from tsdisk.rows import Ranges
from tsdisk.files import Joined, Shards
from tsdisk.panels import Ragged, append_ragged, open_ragged, save_ragged
from tsdisk.windows import Crops, Windows
from tsdisk.order import order
from tsdisk.splits import (check_leakage, group_splits, predefined_splits, random_splits, stratified_splits, time_splits,
    walk_forward_splits)
from tsdisk.folder import open_folder, read_manifest, save_folder, write_manifest
from tsdisk.info import info
from tsdisk.importers import from_frame, from_xarray, open_npz, open_raw
from tsdisk.tables import from_long, from_wide, read_table
from tsdisk.checks import add_checksums, verify
from tsdisk.convert import append, convert
from tsdisk.exporters import to_hdf5, to_npy, to_parquet
from tsdisk.stats import Stats, array_counts, array_stats, array_vocab, class_weights, train_counts, train_stats
from tsdisk.batches import Labels, mse_there, TensorTarget, TSInput, TSMask, TSTensor
from tsdisk.datasets import TSDatasets
from tsdisk.loaders import TSDataLoader, TSDataLoaders
from tsdisk.learner import Checkpoint
from tsdisk.timer import DataTimer
from tsdisk.predict import preds_to_disk, stitch_forecasts
from tsdisk.augment import (Augment, ChannelDropout, Cutout, CutMixSteps, FrequencyMask, Jitter, MagnitudeWarp, MaskedSteps,
    MoveSteps, Permutation, RandomCrop, Scaling, TimeWarp, WindowSlice, WindowWarp)
from tsdisk.transforms import Clip, DropMissing, FillNaN, Log, Normalize, PerSample, Power, RevIN, RobustScale, Standardize, StandardizeTarget
from tsdisk.show import plot_top_losses, show_batch, show_grid, show_results
from tsdisk.summary import summary
from tsdisk.frameworks import BatchOrder, NumpyBatches
