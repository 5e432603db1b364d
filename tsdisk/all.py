"Everything, fastai style: `from tsdisk.all import *`"
from fastai.basics import *
from fastai.callback.all import *

from tsdisk.arrays import *
from tsdisk.items import *
from tsdisk.sources import *
from tsdisk.order import *
from tsdisk.splits import *
from tsdisk.folder import *
from tsdisk.stats import *
from tsdisk.datasets import *
from tsdisk.loaders import *
from tsdisk.transforms import *
from tsdisk.show import *
