"""A data set: its images and labels, read from disk and split in two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import real
from lnegeom_torch.data._folders import ImageFiles, read_folders
from lnegeom_torch.data._readers import READERS, standardised


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
