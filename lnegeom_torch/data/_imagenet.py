"""Labels of ImageNet's validation images, which the official archive gives in one folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from lnegeom import InputError
from lnegeom_torch.data._readers import DataNotFoundError

_DEVKIT = Path("ILSVRC2012_devkit_t12", "data")
_TABLE = "LOC_val_solution.csv"


def validation_classes(root: Path, names: Sequence[str]) -> list[str]:
    """The class, as ``n01440764``, of each validation image.

    Parameters
    ----------
    root : Path
        The folder of ``train`` and ``val``. The labels are in the ILSVRC 2012 development kit, unpacked in it
        or beside it, or in Kaggle's ``LOC_val_solution.csv``, in it or up to three folders above.
    names : sequence of str
        File names, ``ILSVRC2012_val_00000001.JPEG`` and so on.

    Raises
    ------
    DataNotFoundError
        If neither is there.
    InputError
        If an image is in neither, or a file is not what it should be.
    """
    root = root.absolute()
    for folder in (root, root.parent):
        if (folder / _DEVKIT).is_dir():
            known, source = _of_devkit(folder / _DEVKIT), folder / _DEVKIT
            break
    else:
        tables = [folder / _TABLE for folder in (root, *root.parents[:3]) if (folder / _TABLE).is_file()]
        if not tables:
            raise DataNotFoundError(
                f"folders: the images in {root / 'val'} are in no folder for each class, and there are no "
                f"labels: put the development kit's {_DEVKIT} or Kaggle's {_TABLE} into {root}, or sort the "
                "images"
            )
        known, source = _of_table(tables[0]), tables[0]
    strangers = [name for name in names if Path(name).stem not in known]
    if strangers:
        raise InputError(f"{source} has no label for {strangers[0]}, which is in {root / 'val'}")
    return [known[Path(name).stem] for name in names]


def _of_table(path: Path) -> dict[str, str]:
    """Kaggle's table: ``ILSVRC2012_val_00048981,n03995372 85 1 499 272``, the class and boxes of each."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    if not all(len(row) == 2 and row[1].strip() for row in rows):
        raise InputError(f"{path} is not Kaggle's table of ImageId and PredictionString; get the file again")
    return {image: boxes.split()[0] for image, boxes in rows}


def _of_devkit(folder: Path) -> dict[str, str]:
    """The kit's list of numbers, one for each image, and its table of what class each number is."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(folder / "meta.mat", squeeze_me=True)["synsets"]
        classes = {int(entry["ILSVRC2012_ID"]): str(entry["WNID"]) for entry in synsets}
        truth = (folder / "ILSVRC2012_validation_ground_truth.txt").read_text().split()
        return {f"ILSVRC2012_val_{n:08d}": classes[int(number)] for n, number in enumerate(truth, start=1)}
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise InputError(
            f"{folder} is not the ILSVRC 2012 development kit's data folder ({error}); unpack it again"
        ) from None
