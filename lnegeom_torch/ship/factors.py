"""Weights that are levels times a scale of each channel, and how a plain module remembers both.

Two buffers that are not saved, ``weight_levels`` and ``weight_scale``, stand beside such a weight: packing
needs them in order to find the levels again, exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Factors", "find_factors", "set_factors"]


class Factors(NamedTuple):
    """A weight as ``levels[codes] * scale + 0``, to the last bit; the addition makes −0 to +0."""

    codes: Tensor
    levels: Tensor
    scale: Tensor

    def product(self) -> Tensor:
        """The weight."""
        return self.levels[self.codes] * self.scale + 0.0


def set_factors(module: nn.Module, tensor: str, levels: Tensor, scale: Tensor) -> None:
    """Keep the levels, sorted and different, and the scale beside a weight."""
    module.register_buffer(f"{tensor}_levels", levels.clone(), persistent=False)
    module.register_buffer(f"{tensor}_scale", scale.clone(), persistent=False)


def find_factors(module: nn.Module, tensor: str) -> Factors | None:
    """The factors of a weight, or None if none are kept or the weight is no longer their product."""
    levels, scale = getattr(module, f"{tensor}_levels", None), getattr(module, f"{tensor}_scale", None)
    weight = module.get_parameter(tensor)
    if levels is None or scale is None or levels.dtype != weight.dtype:
        return None
    middles = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(weight.detach() / torch.where(scale == 0, torch.ones_like(scale), scale), middles)
    factors = Factors(codes, levels, scale)
    return factors if torch.equal(factors.product(), weight) else None
