"""Image data sets as tensors in memory, and the two random things training does to them.

`load` reads what is on disk and downloads nothing. All three data sets fit in memory, so an epoch is a
permutation and an indexing (`batches`): no worker processes, the same numbers on every machine.
"""

from __future__ import annotations

import gzip
import math
import pickle
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lnegeom import InputError
from lnegeom._array import positive_integer, real

__all__ = ["DataNotFoundError", "Dataset", "batches", "crop_and_flip", "load"]


class DataNotFoundError(FileNotFoundError):
    """A data set that is not there: the message says what was looked for, where, and how to get it."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Square images and their labels, split for training and for test.

    Parameters
    ----------
    name : str
        What figures and tables call it.
    train_images, test_images : Tensor, shape (N, C, H, H), floating
        Images, already normalised.
    train_labels, test_labels : Tensor, shape (N,), int64
        Labels in ``range(classes)``.
    classes : int
        Number of classes.
    augment : bool
        Whether training should use `crop_and_flip`.

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
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
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


def load(name: str, root: str | Path | None = None) -> Dataset:
    """Read a data set, normalised with the mean and standard deviation of its training images.

    Parameters
    ----------
    name : {"digits", "mnist", "cifar10"}
        ``digits`` comes with scikit-learn (8×8, every fifth sample of each class is for test). ``mnist`` is
        the IDX files, gzipped or not, of torchvision's layout. ``cifar10`` is the official python version.
    root : path, optional
        The folder that holds ``MNIST/raw`` or ``cifar-10-batches-py``, or that folder itself; ``digits``
        needs none.

    Returns
    -------
    Dataset
        float32 images, int64 labels, on the CPU. Only ``cifar10`` asks for augmentation.

    Raises
    ------
    DataNotFoundError
        If the files are not there.
    InputError
        If the name is unknown or a file is damaged. A CIFAR-10 pickle can hold arrays and plain values only:
        one that asks for anything else is refused before it runs.

    Examples
    --------
    >>> digits = load("digits")
    >>> tuple(digits.train_images.shape), tuple(digits.test_images.shape)
    ((1442, 1, 8, 8), (355, 1, 8, 8))
    """
    readers = {"digits": _read_digits, "mnist": _read_mnist, "cifar10": _read_cifar10}
    if name not in readers:
        raise InputError(f"unknown data set {name!r}; known: {', '.join(readers)}")
    train, test = readers[name](None if root is None else Path(root).expanduser())
    images = _standardised(train[0], test[0], white=16 if name == "digits" else 255)
    return Dataset(name, images[0], train[1], images[1], test[1], classes=10, augment=name == "cifar10")


def batches(
    images: Tensor, labels: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through the samples, shuffled, in batches.

    A last batch of one sample is dropped: batch norm has no variance to divide by there, and raises.

    Parameters
    ----------
    images : Tensor, shape (N, ...)
        On any device.
    labels : Tensor, shape (N,)
        Their labels.
    batch_size : int
        At least 2.
    generator : torch.Generator
        On the CPU, so that the order is the same wherever the images are. It is used at the call.

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
    # The range ends one early: no batch starts, and so ends, with the last sample.
    parts = (order[start : start + batch_size] for start in range(0, count - 1, batch_size))
    return ((images[part], labels[part]) for part in parts)


def crop_and_flip(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Shift each image by up to `padding` pixels and mirror it or not, at random (He et al. 2016, §4.2).

    What comes in at the border is zero: the mean colour, once the images are normalised.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
        On any device; left as they are.
    generator : torch.Generator
        On the CPU, so that the choices are the same wherever the images are.
    padding : int
        Largest shift, 0 or more.

    Returns
    -------
    Tensor, shape (N, C, H, W)
        Same dtype and device.

    Raises
    ------
    InputError
        If the images are not of four axes or `padding` is negative.

    Examples
    --------
    >>> images = torch.arange(4.0).reshape(1, 1, 2, 2)
    >>> crop_and_flip(images, torch.Generator().manual_seed(0), padding=0)
    tensor([[[[1., 0.],
              [3., 2.]]]])
    """
    if images.ndim != 4 or padding < 0:
        raise InputError(
            f"expected images (N, C, H, W) and padding >= 0, got {tuple(images.shape)}, {padding}"
        )
    count, _, height, width = images.shape
    shifts = torch.randint(2 * padding + 1, (2, count), generator=generator)
    mirrored = torch.randint(2, (1, count), generator=generator)
    down, right, mirror = torch.cat([shifts, mirrored]).to(images.device)
    # A view of every crop of the padded image, of which one is copied out: no index of the size of the batch.
    crops = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    chosen = crops[torch.arange(count, device=images.device), :, down, right]
    return torch.where(mirror.bool()[:, None, None, None], chosen.flip(3), chosen)


def _check_split(split: str, images: Tensor, labels: Tensor, classes: int) -> None:
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


def _standardised(train: Tensor, test: Tensor, white: int) -> tuple[Tensor, Tensor]:
    """Standardise uint8 images ``(N, C, H, W)`` by the training set's mean and deviation of each channel."""
    levels = torch.arange(256, dtype=torch.float64) / white
    # Moments from the histogram: exact, so that they depend neither on threads nor on the machine.
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in train.unbind(1)])
    weights = counts.double() / counts.sum(1, keepdim=True)
    mean = weights @ levels
    deviation = (weights * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    deviation[deviation < 1e-6] = 1.0  # a blank channel stays blank
    shift, scale = mean.float()[:, None, None], deviation.float()[:, None, None]
    standard = [part.float().div_(white).sub_(shift).div_(scale) for part in (train, test)]
    return standard[0], standard[1]


# Each reader returns the training and the test set: uint8 images (N, C, H, W) and int64 labels (N,).
Split = tuple[Tensor, Tensor]


def _read_digits(_: Path | None) -> tuple[Split, Split]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataNotFoundError(
            'digits: looked for scikit-learn, which embeds them; get it with: pip install "lnegeom[torch]"'
        ) from None
    found = load_digits()
    images = torch.from_numpy(found.images.astype(np.uint8))[:, None]
    labels = torch.from_numpy(found.target.astype(np.int64))
    test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        test[torch.nonzero(labels == label)[4::5, 0]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])


def _read_mnist(root: Path | None) -> tuple[Split, Split]:
    wanted = "train-images-idx3-ubyte(.gz)"
    folder = _folder(
        "mnist", root, ("MNIST/raw", "raw", ""), wanted, "download it (torchvision.datasets.MNIST can)"
    )
    return _mnist_split(folder, "train"), _mnist_split(folder, "t10k")


def _mnist_split(folder: Path, prefix: str) -> Split:
    images = _idx(folder, f"{prefix}-images-idx3-ubyte", axes=3)
    return images[:, None], _idx(folder, f"{prefix}-labels-idx1-ubyte", axes=1).long()


def _idx(folder: Path, name: str, axes: int) -> Tensor:
    """Read a file of yann.lecun.com's IDX format: magic 0, 0, 8 (unsigned bytes), axes; sizes; the bytes."""
    path = _file("mnist", folder, name, name + ".gz")
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"not a whole gzip file ({error})") from error
    head = 4 + 4 * axes
    if len(content) < head or content[:4] != bytes([0, 0, 8, axes]):
        raise _damaged(path, f"expected it to begin with {bytes([0, 0, 8, axes])!r}, got {content[:4]!r}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:head], ">i4"))
    if min(shape) < 1 or len(content) - head != math.prod(shape):
        raise _damaged(path, f"expected {shape} bytes after the header, got {len(content) - head}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy())


def _read_cifar10(root: Path | None) -> tuple[Split, Split]:
    remedy = "unpack the python version from www.cs.toronto.edu/~kriz/cifar.html"
    folder = _folder("cifar10", root, ("cifar-10-batches-py", ""), "data_batch_1", remedy)
    train = [_cifar_batch(folder, f"data_batch_{batch}") for batch in range(1, 6)]
    images, labels = zip(*train, strict=True)
    return (torch.cat(images), torch.cat(labels)), _cifar_batch(folder, "test_batch")


def _cifar_batch(folder: Path, name: str) -> Split:
    path = _file("cifar10", folder, name)
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
        fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        pixels, labels = fields["data"].array(), np.array(fields["labels"], dtype=np.int64)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise _damaged(path, f"not a CIFAR-10 batch ({type(error).__name__}: {error})") from error
    if pixels.dtype != np.uint8 or labels.ndim != 1 or pixels.shape != (len(labels), 3072):
        raise _damaged(path, f"expected uint8 (N, 3072) and N labels, got {pixels.dtype} {pixels.shape}")
    return torch.from_numpy(pixels.reshape(-1, 3, 32, 32)), torch.from_numpy(labels)


class _Pickled:
    """What a pickle says of an array or a dtype: numpy's own constructors would take it at its word."""

    def __init__(self, *args: Any):
        self.args = args

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray[Any, Any]:
        if hasattr(self, "state"):
            _, shape, dtype, fortran, content = self.state
        else:  # pickle protocol 5
            content, dtype, shape, order = self.args
            fortran = order == "F"
        flat = np.frombuffer(content, dtype.args[0])
        return flat.reshape(shape, order="F" if fortran else "C").copy(order="C")


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain values and numpy arrays; anything else a pickle asks for could run code, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy") and name in ("_reconstruct", "_frombuffer", "ndarray", "dtype"):
            return _Pickled
        if (module, name) == ("_codecs", "encode"):  # how protocols up to 2 spell bytes
            return lambda text, _: text.encode("latin1")
        raise InputError(
            f"refused a pickle that asks for {module}.{name}: a CIFAR-10 batch holds arrays only"
        )


def _folder(name: str, root: Path | None, places: tuple[str, ...], wanted: str, remedy: str) -> Path:
    """First of the places under the root that holds the wanted file, by the beginning of its name."""
    for place in [root / place for place in places] if root else []:
        if any(place.glob(wanted.removesuffix("(.gz)") + "*")):
            return place
    where = f"in {root} and below" if root else "but no root was given"
    raise DataNotFoundError(
        f"{name}: looked for {places[0]}/{wanted} {where}; {remedy}, then name its folder with --root (root=)"
    )


def _file(name: str, folder: Path, *candidates: str) -> Path:
    for candidate in candidates:
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataNotFoundError(
        f"{name}: looked for {' or '.join(candidates)} in {folder}; complete it, or change --root (root=)"
    )


def _damaged(path: Path, found: str) -> InputError:
    return InputError(f"{path} is damaged: {found}; get the file again")
