"""Image data sets, their batches, and the random things that training does to them.

`load` reads what is on disk and downloads nothing. The small data sets fit in memory, the device's too: an
epoch is a permutation and an indexing (`batches`), with no processes, and the same numbers on every machine.
Folders of image files stay on disk (`ImageFiles`), and threads decode the next batches while one trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive_integer, real
from lnegeom_torch._augment import apply_crops, crop_and_flip, draw_crops
from lnegeom_torch._folders import ImageFiles, decoded, read_folders
from lnegeom_torch._readers import READERS, DataNotFoundError, standardised

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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Square images and their labels, split for training and for test.

    Parameters
    ----------
    name : str
        What figures and tables call it.
    train_images, test_images : Tensor, shape (N, C, H, H), floating, or ImageFiles
        Images, already normalised.
    train_labels, test_labels : Tensor, shape (N,), int64
        Labels in ``range(classes)``.
    classes : int
        Number of classes.
    augment : bool
        Whether training should use `crop_and_flip`, or of files a crop of random size.

    Raises
    ------
    InputError
        If shapes, dtypes or labels do not fit together.

    Examples
    --------
    >>> images, labels = torch.zeros(6, 1, 8, 8), torch.arange(6) % 3
    >>> data = Dataset("mine", images, labels, images[:3], labels[:3], classes=3, augment=False)
    >>> data.channels, data.image_size
    (1, 8)
    """

    name: str
    train_images: Tensor | ImageFiles
    train_labels: Tensor
    test_images: Tensor | ImageFiles
    test_labels: Tensor
    classes: int
    augment: bool

    def __post_init__(self) -> None:
        _check_split("train", self.train_images, self.train_labels, self.classes)
        _check_split("test", self.test_images, self.test_labels, self.classes)
        train, test = tuple(self.train_images.shape[1:]), tuple(self.test_images.shape[1:])
        if train != test:
            raise InputError(
                f"training images are {train} and test images {test}: expected the same (C, H, H)"
            )

    @property
    def channels(self) -> int:
        """Colour channels of an image."""
        return self.train_images.shape[1]

    @property
    def image_size(self) -> int:
        """Height, and width, of an image in pixels."""
        return self.train_images.shape[2]

    def to(self, device: torch.device | str) -> Dataset:
        """Return the data set with its four tensors on a device."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def hold_out(self, fraction: float, seed: int = 0) -> Dataset:
        """Split the training set in two, to tune on the second part while the test set stays unseen.

        Parameters
        ----------
        fraction : float
            Share of every class to hold out, in (0, 1).
        seed : int
            Which share.

        Returns
        -------
        Dataset
            Its training and test sets are those parts, in their old order, normalised as they were.

        Raises
        ------
        InputError
            If `fraction` is not in (0, 1), or leaves either part empty.

        Examples
        --------
        >>> tuning = load("digits").hold_out(0.25)
        >>> len(tuning.train_labels), len(tuning.test_labels)
        (1082, 360)
        """
        if not 0 < real("fraction", fraction) < 1:
            raise InputError(f"fraction must lie strictly between 0 and 1, got {fraction!r}")
        generator, labels = torch.Generator().manual_seed(seed), self.train_labels.cpu()
        held = torch.zeros(len(labels), dtype=torch.bool)
        for label in range(self.classes):
            members = torch.nonzero(labels == label)[:, 0]
            shuffled = members[torch.randperm(len(members), generator=generator)]
            held[shuffled[: round(fraction * len(members))]] = True
        if held.all() or not held.any():
            raise InputError(f"fraction {fraction!r} of {len(labels)} samples leaves a part empty")
        test, train = (torch.nonzero(part)[:, 0].to(self.train_images.device) for part in (held, ~held))
        return replace(
            self,
            train_images=self.train_images[train],
            train_labels=self.train_labels[train],
            test_images=self.train_images[test],
            test_labels=self.train_labels[test],
        )


def load(name: str, root: str | Path | None = None, *, image_size: int = 224) -> Dataset:
    """Read a data set, normalised with the mean and standard deviation of its training images.

    Parameters
    ----------
    name : {"digits", "mnist", "cifar10", "cifar100", "folders"}
        ``digits`` comes with scikit-learn (8×8, every fifth sample of each class is for test). ``mnist`` is
        the IDX files, gzipped or not, of torchvision's layout. ``cifar10`` and ``cifar100`` (its 100 fine
        classes) are the official python versions. ``folders`` is ImageNet's layout for any images:
        ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG``, the classes numbered in the order of their names; or
        ImageNet's ``val/*.JPEG`` as the archive has them, with the labels of its development kit
        (``ILSVRC2012_devkit_t12``) or of Kaggle (``LOC_val_solution.csv``) in the root or near it.
    root : path, optional
        The folder that holds ``MNIST/raw``, ``cifar-10-batches-py``, ``cifar-100-python`` or ``train`` and
        ``val``, or the first three themselves; ``digits`` needs none.
    image_size : int
        Height and width to which the images of ``folders`` are brought; the other data sets have their own.

    Returns
    -------
    Dataset
        float32 images, int64 labels, on the CPU. ``cifar10``, ``cifar100`` and ``folders`` ask for
        augmentation. The images of ``folders`` stay files, normalised with ImageNet's own constants.

    Raises
    ------
    DataNotFoundError
        If the files are not there.
    InputError
        If the name is unknown or a file is damaged. A CIFAR pickle can hold arrays and plain values only:
        one that asks for anything else is refused before it runs.

    Examples
    --------
    >>> digits = load("digits")
    >>> tuple(digits.train_images.shape), tuple(digits.test_images.shape)
    ((1442, 1, 8, 8), (355, 1, 8, 8))
    """
    folder = None if root is None else Path(root).expanduser()
    if name == "folders":
        (files, labels), (test_files, test_labels), classes = read_folders(folder, image_size)
        return Dataset(name, files, labels, test_files, test_labels, classes=classes, augment=True)
    if name not in READERS:
        raise InputError(f"unknown data set {name!r}; known: {', '.join(READERS)}, folders")
    train, test = READERS[name](folder)
    images = standardised(train[0], test[0], white=16 if name == "digits" else 255)
    classes = 100 if name == "cifar100" else 10
    return Dataset(name, images[0], train[1], images[1], test[1], classes=classes, augment="cifar" in name)


def training_batches(
    dataset: Dataset, batch_size: int, generator: torch.Generator, *, share: slice = slice(None)
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through the training set, shuffled, in whole batches, augmented if the data set asks for it.

    Parameters
    ----------
    dataset : Dataset
        Its device is where augmentation happens.
    batch_size, generator
        As of `batches`.
    share : slice
        Which samples of each batch to give, to one of several processes; by default all. The random numbers
        are drawn for the whole batch, so that the shares together are what one process would have.

    Returns
    -------
    iterator of (Tensor, Tensor)
        Images and labels of one batch after another, on the data set's device.

    Examples
    --------
    >>> digits = load("digits")
    >>> sum(len(y) for _, y in training_batches(digits, 64, torch.Generator().manual_seed(0)))
    1408
    """
    files = dataset.train_images if isinstance(dataset.train_images, ImageFiles) else None
    if files is not None:
        parts = batches(files, dataset.train_labels, batch_size, generator)
        parts = decoded(parts, generator if dataset.augment else None, share)
    else:
        parts = batches(dataset.train_images, dataset.train_labels, batch_size, generator, share=share)
    whole = min(batch_size, len(dataset.train_labels))
    padding = 4 if files is None else 0  # files are cropped already
    for images, labels in parts:
        if dataset.augment:
            images = apply_crops(images, draw_crops(whole, generator, padding)[:, share], padding)
        yield images, labels


def batch_count(dataset: Dataset, batch_size: int) -> int:
    """How many batches `training_batches` gives."""
    return max(1, len(dataset.train_labels) // batch_size)


def evaluation_batches(
    images: Tensor | ImageFiles, labels: Tensor, batch_size: int = 1000
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through all the samples, in order, the last batch smaller than the others if need be.

    Examples
    --------
    >>> [len(y) for _, y in evaluation_batches(torch.eye(5), torch.arange(5), 2)]
    [2, 2, 1]
    """
    parts = torch.split(
        torch.arange(len(labels), device=images.device), positive_integer("batch_size", batch_size)
    )
    if isinstance(images, ImageFiles):
        return decoded(((images[part], labels[part]) for part in parts), None)
    return ((images[part], labels[part]) for part in parts)


def batches(
    images: Any, labels: Tensor, batch_size: int, generator: torch.Generator, *, share: slice = slice(None)
) -> Iterator[tuple[Any, Tensor]]:
    """Go once through the samples, shuffled, in whole batches.

    The samples left over, fewer than a batch, sit out the epoch: under batch norm a batch of two or three
    has next to no variance to divide by, and its gradients can be a million times the usual.

    Parameters
    ----------
    images : Tensor, shape (N, ...), or ImageFiles
        On any device. A batch of files is files: `training_batches` decodes them.
    labels : Tensor, shape (N,)
        Their labels.
    batch_size : int
        At least 2; where there are fewer samples than that, all of them make one batch.
    generator : torch.Generator
        On the CPU, so that the order is the same wherever the images are. It is used at the call.
    share : slice
        Which samples of each batch to give; by default all.

    Returns
    -------
    iterator of (Tensor, Tensor)
        Images and labels of one batch after another.

    Raises
    ------
    InputError
        If there are fewer than two samples, or `batch_size` is below 2.

    Examples
    --------
    >>> pairs = batches(torch.eye(5), torch.arange(5), 2, torch.Generator().manual_seed(0))
    >>> [tuple(x.shape) for x, _ in pairs]
    [(2, 5), (2, 5)]
    """
    count = len(images)
    if positive_integer("batch_size", batch_size) < 2 or count < 2 or len(labels) != count:
        raise InputError(
            f"expected a label for each image, and two samples at least in a batch (batch norm needs them), "
            f"got {count} images, {len(labels)} labels, batch_size {batch_size}"
        )
    order = torch.randperm(count, generator=generator).to(images.device)
    size = min(batch_size, count)
    parts = (order[start : start + size][share] for start in range(0, count - size + 1, size))
    return ((images[part], labels[part]) for part in parts)


def _check_split(split: str, images: Tensor | ImageFiles, labels: Tensor, classes: int) -> None:
    if not isinstance(images, ImageFiles):
        square = images.ndim == 4 and images.shape[2] == images.shape[3]
        if not (square and images.is_floating_point() and images.numel()):
            raise InputError(
                f"{split} images: expected a floating (N, C, H, H), got {images.dtype} {tuple(images.shape)}"
            )
    if labels.dtype != torch.int64 or tuple(labels.shape) != (len(images),):
        raise InputError(
            f"{split} labels: expected int64 ({len(images)},), got {labels.dtype} {tuple(labels.shape)}"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(f"{split} labels: expected 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
