"""How a frozen weight is made up of levels and scales, and how its codes are packed into words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Packing", "byte_codes", "find_codes", "how_to_pack", "pack_codes", "packed_bytes", "unpack_codes"]

_MOST_LEVELS = 256


class Packing(NamedTuple):
    """What a weight is made of, to the last bit: ``levels[codes] * scale + 0``.

    Parameters
    ----------
    levels : Tensor, shape (n,)
        Sorted and different.
    scale : Tensor
        Of a shape that multiplies the weight: 0-d, or a number for each output channel.
    bits : int or "ternary", optional
        The width that the weight was trained in; it may not use all levels of that.
    """

    levels: Tensor
    scale: Tensor
    bits: int | str | None = None

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
    levels, scale = packing.levels, packing.scale
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


def how_to_pack(value: Tensor, packing: Packing | None) -> tuple[Packing | None, Tensor | None]:
    """Levels, scale and codes of any floating tensor of few values, if they take less room than it does."""
    if not value.is_floating_point() or value.numel() < 2:  # one number, a learned range, is its own code
        return None, None
    codes = None if packing is None else find_codes(value, packing)
    if codes is None:  # nothing is known of its levels, or it has been changed since
        levels = torch.unique(value)
        if len(levels) > _MOST_LEVELS or levels.isnan().any():
            return None, None
        packing = Packing(levels, torch.ones((), dtype=value.dtype, device=value.device))
        codes = find_codes(value, packing)
    assert packing is not None
    numbers = packing.levels.numel() + packing.scale.numel()
    size = packed_bytes(value.numel(), len(packing.levels)) + numbers * value.element_size()
    return (packing, codes) if size < value.numel() * value.element_size() else (None, None)


def byte_codes(codes: Tensor, levels: int) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Codes below `levels` as the digits of bytes, lowest first, and what each digit counts.

    Examples
    --------
    >>> byte_codes(torch.tensor([1, 0, 1, 1, 0, 0, 0, 0, 1]), levels=2)
    (array([13,  1], dtype=uint8), [1, 2, 4, 8, 16, 32, 64, 128])
    """
    digits = _digits(levels, bits=8)
    values = [max(levels, 2) ** place for place in range(digits)]
    flat = codes.cpu().numpy().reshape(-1)
    table = np.zeros((-(-len(flat) // digits), digits), np.int64)
    table.reshape(-1)[: len(flat)] = flat
    return (table @ np.array(values)).astype(np.uint8), values


def _digits(levels: int, bits: int = 64) -> int:
    """How many digits of base `levels` a word holds."""
    digits, base = 1, max(levels, 2)
    while base ** (digits + 1) <= 2**bits:
        digits += 1
    return digits


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8)
