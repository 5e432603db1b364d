"What users need, fastai style: `from tsdisk.all import *`. Names for builders are imported from their rooms"
from fastai.basics import *
from fastai.callback.all import *

from tsdisk.disk.arrays import create_array, open_array, save_array
from tsdisk.disk.items import itemify
from tsdisk.disk.packing import Packing
from tsdisk.disk.shards import Shards
from tsdisk.series.clock import Clock
from tsdisk.series.ragged import Ragged
from tsdisk.series.ragged_files import append_ragged, open_ragged, save_ragged
from tsdisk.series.crops import Crops
from tsdisk.series.windows import Windows
from tsdisk.order.leakage import check_leakage
from tsdisk.order.splits import group_splits, predefined_splits, random_splits, stratified_splits
from tsdisk.order.time_splits import time_splits, walk_forward_splits
from tsdisk.folder.checks import add_checksums, verify
from tsdisk.folder.manifest import open_folder, save_folder
from tsdisk.folder.stats import array_stats
from tsdisk.folder.labels import array_vocab, class_weights
from tsdisk.convert.convert import append, convert
from tsdisk.convert.export import to_hdf5, to_npy, to_parquet
from tsdisk.convert.info import info
from tsdisk.convert.readers import from_frame
from tsdisk.convert.netcdf import from_xarray
from tsdisk.convert.tables import from_wide, read_table
from tsdisk.convert.long_tables import from_long
from tsdisk.data.batches import TSTensor, masked_mse
from tsdisk.data.datasets import TSDatasets
from tsdisk.data.loader import TSDataLoader
from tsdisk.data.reader import ReadOptions
from tsdisk.data.loaders import TSDataLoaders
from tsdisk.data.transforms import (Clip, DropMissing, FillNaN, Log, Normalize, PerSample, Power, RevIN, RobustScale, Standardize,
    StandardizeTarget)
from tsdisk.data.augment import ChannelDropout, Cutout, FrequencyMask, Jitter, MagnitudeWarp, MaskedSteps, Scaling
from tsdisk.data.warp import CutMixSteps, MoveSteps, Permutation, RandomCrop, TimeWarp, WindowSlice, WindowWarp
from tsdisk.data.summary import summary
from tsdisk.train.checkpoint import Checkpoint
from tsdisk.train.distributed import DistributedTraining
from tsdisk.train.predict import preds_to_disk
from tsdisk.train.stitch import stitch_forecasts
from tsdisk.train.timer import DataTimer
import tsdisk.data.show, tsdisk.data.times, tsdisk.frameworks # Methods and types of plots that they add
