"""Batches that go through a model in parts."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive_integer

__all__ = ["split"]


def split(inputs: Tensor, targets: Tensor, parts: int) -> Iterator[tuple[float, Tensor, Tensor]]:
    """A batch in nearly equal parts: each one's share of the samples, its inputs and its targets."""
    if inputs.numel() == 0:
        raise InputError(
            f"inputs have shape {tuple(inputs.shape)}, an empty batch: expected a sample at least"
        )
    if positive_integer("parts", parts) > len(inputs):
        raise InputError(f"a batch of {len(inputs)} cannot be split into {parts} parts; give fewer")
    pieces = zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
    return ((len(x) / len(inputs), x, y) for x, y in pieces)
