"""Room for natural gradients: one buffer, reused from one part of a parameter list to the next."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from lnegeom_torch.metrics import Room

__all__ = ["Part", "Scratch"]

# Entries of a part, at least: enough to make torch's overhead per call small, few enough that what a
# part's passes share stays in the processor's cache.
_PART = 1 << 18

Part = tuple[slice, Room | None]


class Scratch:
    """Parts of a list of weights, each with room for its natural gradients in the same buffer.

    The buffer holds the largest part, so that it takes `_PART` entries and one tensor's at most. Weights off
    the processor, out of order, or in half precision make one part, without a room.

    Parameters
    ----------
    whole : bool
        To have one part only, for all directions at once.
    """

    def __init__(self, whole: bool = False) -> None:
        self._least = math.inf if whole else _PART
        self._key: tuple[list[int], list[torch.Size]] = [], []
        self._parts: list[Part] = []

    def parts(self, params: list[Tensor]) -> list[Part]:
        """The parts of a list, each as a slice and the room for it."""
        try:  # the memory, and not the parameter: that stays the same when its data move or change
            key = [p.data_ptr() for p in params], [p.shape for p in params]
        except RuntimeError:  # a tensor without memory of its own
            return [(slice(0, len(params)), None)]
        if key != self._key:
            self._key, self._parts = key, _plan(params, self._least)
        return self._parts


def _plan(params: list[Tensor], least: float) -> list[Part]:
    kinds = {(type(p.data), p.dtype, p.device.type, p.is_contiguous()) for p in params}
    if kinds not in ({(Tensor, torch.float32, "cpu", True)}, {(Tensor, torch.float64, "cpu", True)}):
        return [(slice(0, len(params)), None)]
    bounds, held = [0], 0
    for index, param in enumerate(params, start=1):
        held += param.numel()
        if held >= least or index == len(params):
            bounds.append(index)
            held = 0
    slices = [slice(start, end) for start, end in pairwise(bounds)]
    largest = max(sum(p.numel() for p in params[part]) for part in slices)
    with torch.inference_mode(False):  # or no step outside of it could write there
        buffer = torch.empty(largest, dtype=params[0].dtype, device="cpu")  # whatever the default is
    return [(part, Room.within(buffer, params[part])) for part in slices]
