"""Tensors of a product space, put together from blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from array_api_compat import device

from lnegeom._array import Array


def place(xp: Any, block: Array, offsets: Sequence[int], n: int) -> Array:
    """A block ``(..., a, b, …)`` in a tensor of zeros ``(..., n, n, …)``, from these offsets on."""
    rank = len(offsets)
    for axis, start in zip(range(-rank, 0), offsets, strict=True):
        shape = list(block.shape)
        pads = []
        for length in (start, n - start - block.shape[axis]):
            shape[axis] = length
            pads.append(xp.zeros(tuple(shape), dtype=block.dtype, device=device(block)))
        block = xp.concat([pads[0], block, pads[1]], axis=axis)
    return block
