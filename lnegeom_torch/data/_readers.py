"""Readers of data sets on disk: the bytes as they are, checked, before any normalisation."""

from __future__ import annotations

import gzip
import math
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnegeom import InputError


class DataNotFoundError(FileNotFoundError):
    """A data set that is not there: the message says what was looked for, where, and how to get it."""


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
    folder = _cifar_folder("cifar10", root, "cifar-10-batches-py", "data_batch_1")
    train = [_cifar_batch("cifar10", folder, f"data_batch_{batch}", "labels") for batch in range(1, 6)]
    images, labels = zip(*train, strict=True)
    test = _cifar_batch("cifar10", folder, "test_batch", "labels")
    return (torch.cat(images), torch.cat(labels)), test


def _read_cifar100(root: Path | None) -> tuple[Split, Split]:
    folder = _cifar_folder("cifar100", root, "cifar-100-python", "train")
    train, test = (_cifar_batch("cifar100", folder, part, "fine_labels") for part in ("train", "test"))
    return train, test


def _cifar_folder(name: str, root: Path | None, place: str, wanted: str) -> Path:
    remedy = "unpack the python version from www.cs.toronto.edu/~kriz/cifar.html"
    return _folder(name, root, (place, ""), wanted, remedy)


def _cifar_batch(data_set: str, folder: Path, name: str, wanted: str) -> Split:
    path = _file(data_set, folder, name)
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
        fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        pixels, labels = fields["data"].array(), np.array(fields[wanted], dtype=np.int64)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise _damaged(path, f"not a batch of {data_set} ({type(error).__name__}: {error})") from error
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
        raise InputError(f"refused a pickle that asks for {module}.{name}: a CIFAR batch holds arrays only")


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


READERS: dict[str, Callable[[Path | None], tuple[Split, Split]]] = {
    "digits": _read_digits,
    "mnist": _read_mnist,
    "cifar10": _read_cifar10,
    "cifar100": _read_cifar100,
}


def standardised(train: Tensor, test: Tensor, white: int) -> tuple[Tensor, Tensor]:
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
