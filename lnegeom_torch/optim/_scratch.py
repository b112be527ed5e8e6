"""Room for natural gradients: one buffer, reused from one part of a parameter list to the next."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Scratch"]

# Entries of a part, at least: enough to make torch's overhead per call small, few enough that what a
# part's passes share stays in the processor's cache.
_PART = 1 << 18


class Scratch:
    """Parts of a list of weights, each with views into one buffer that its natural gradients may fill.

    The buffer holds the largest part, so that it takes `_PART` entries or the largest tensor's, whichever is
    more. Weights off the processor, out of order, or in half precision make one part, without a buffer.
    """

    def __init__(self) -> None:
        self._key: tuple[int, ...] = ()
        self._parts: list[tuple[slice, list[Tensor] | None]] = []

    def parts(self, params: list[Tensor]) -> Iterator[tuple[slice, list[Tensor] | None]]:
        """The parts of a list, each as a slice and the room for it."""
        key = tuple(map(id, params))
        if key != self._key:
            self._key, self._parts = key, _plan(params)
        yield from self._parts


def _plan(params: list[Tensor]) -> list[tuple[slice, list[Tensor] | None]]:
    whole = slice(0, len(params))
    kinds = {(p.dtype, p.device.type, p.is_contiguous()) for p in params}
    if kinds not in ({(torch.float32, "cpu", True)}, {(torch.float64, "cpu", True)}):
        return [(whole, None)]
    slices, start, held = [], 0, 0
    for index, param in enumerate(params):
        held += param.numel()
        if held >= _PART or index == len(params) - 1:
            slices.append((slice(start, index + 1), held))
            start, held = index + 1, 0
    room = torch.empty(max(size for _, size in slices), dtype=params[0].dtype)
    plan: list[tuple[slice, list[Tensor] | None]] = []
    for part, size in slices:
        pieces = torch.split(room[:size], [p.numel() for p in params[part]])
        plan.append((part, [piece.view(p.shape) for piece, p in zip(pieces, params[part], strict=True)]))
    return plan
