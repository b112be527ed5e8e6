"""Batches of a data set, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.data._augment import apply_crops, draw_crops
from lnegeom_torch.data._dataset import Dataset
from lnegeom_torch.data._folders import ImageFiles, decoded


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
    >>> from lnegeom_torch.data import load
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
