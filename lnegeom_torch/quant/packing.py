"""How a frozen weight is made up of levels and scales, and how its codes are packed into words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Packing", "find_codes", "pack_codes", "packed_bytes", "unpack_codes"]


class Packing(NamedTuple):
    """What a weight is made of, to the last bit: ``levels[codes] * scale + 0``.

    Parameters
    ----------
    levels : Tensor, shape (n,)
        Sorted and different.
    scale : Tensor
        Of a shape that multiplies the weight: 0-d, or a number for each output channel.
    """

    levels: Tensor
    scale: Tensor

    def weight(self, codes: Tensor) -> Tensor:
        """The weight of these codes; the zero that is added makes −0 to +0."""
        return self.levels[codes] * self.scale + 0.0


def find_codes(weight: Tensor, packing: Packing) -> Tensor | None:
    """Which level each entry is; None if that does not give the weight to the last bit.

    Examples
    --------
    >>> import torch
    >>> packing = Packing(torch.tensor([-1.0, 1.0]), torch.tensor([[0.5], [0.1]]))
    >>> find_codes(torch.tensor([[0.5, -0.5], [-0.1, 0.1]]), packing)
    tensor([[1, 0],
            [0, 1]])
    """
    levels, scale = packing
    if levels.dtype != weight.dtype or levels.device != weight.device:
        return None  # it was moved or converted since
    ratio = weight / torch.where(scale == 0, torch.ones_like(scale), scale)
    codes = torch.bucketize(ratio.contiguous(), (levels[1:] + levels[:-1]) / 2)
    return codes if torch.equal(_bits(packing.weight(codes)), _bits(weight)) else None


def packed_bytes(count: int, levels: int) -> int:
    """Bytes that codes of so many levels take.

    Examples
    --------
    >>> packed_bytes(6400, levels=2), packed_bytes(6400, levels=3), packed_bytes(6400, levels=16)
    (800, 1280, 3200)
    """
    return -(-count // _digits(levels)) * 8


def pack_codes(codes: Tensor, levels: int) -> Tensor:
    """Codes below `levels` as the digits, lowest first, of little-endian words of 64 bits; as bytes."""
    digits, flat = _digits(levels), codes.cpu().numpy().astype(np.uint8).reshape(-1)
    table = np.zeros((-(-len(flat) // digits), digits), np.uint8)
    table.reshape(-1)[: len(flat)] = flat
    words = np.zeros(len(table), np.uint64)
    for column in table.T[::-1]:
        words = words * np.uint64(max(levels, 2)) + column
    return torch.from_numpy(words.astype("<u8").view(np.uint8))


def unpack_codes(packed: Tensor, levels: int, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `pack_codes`."""
    words: np.ndarray[Any, Any] = packed.numpy().view("<u8").astype(np.uint64)
    table = np.empty((len(words), _digits(levels)), np.int64)
    for column in table.T:
        words, column[:] = np.divmod(words, np.uint64(max(levels, 2)))
    return torch.from_numpy(table.reshape(-1)[: int(np.prod(shape))].reshape(shape))


def _digits(levels: int) -> int:
    """How many digits of base `levels` a word of 64 bits holds."""
    digits, base = 1, max(levels, 2)
    while base ** (digits + 1) <= 2**64:
        digits += 1
    return digits


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8)
