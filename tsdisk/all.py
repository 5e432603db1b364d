"What users need, fastai style: `from tsdisk.all import *`"
from fastai.basics import *
from fastai.callback.all import *

from tsdisk.arrays import create_array, open_array, save_array
from tsdisk.items import Items, itemify
from tsdisk.sources import ArraySource, LikeSource, Source, as_source, tensor_view
from tsdisk.order import order
from tsdisk.splits import random_splits
from tsdisk.folder import open_folder, read_manifest, save_folder, write_manifest
from tsdisk.stats import Stats, array_stats, array_vocab, train_stats
from tsdisk.datasets import Labels, TensorTarget, TSDatasets, TSTensor
from tsdisk.loaders import TSDataLoader, TSDataLoaders
from tsdisk.learner import Checkpoint
from tsdisk.transforms import Standardize
from tsdisk.show import plot_top_losses, show_batch, show_grid, show_results
