"""Image data sets, their batches, and the random things that training does to them.

`load` reads what is on disk and downloads nothing. The small data sets fit in memory, the device's too: an
epoch is a permutation and an indexing (`batches`), with no processes, and the same numbers on every machine.
Folders of image files stay on disk (`ImageFiles`), and threads decode the next batches while one trains.
"""

from lnegeom_torch.data._augment import crop_and_flip
from lnegeom_torch.data._batches import batch_count, batches, evaluation_batches, training_batches
from lnegeom_torch.data._dataset import Dataset, load
from lnegeom_torch.data._folders import ImageFiles
from lnegeom_torch.data._readers import DataNotFoundError

__all__ = [
    "DataNotFoundError",
    "Dataset",
    "ImageFiles",
    "batch_count",
    "batches",
    "crop_and_flip",
    "evaluation_batches",
    "load",
    "training_batches",
]
