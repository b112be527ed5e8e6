"""Memory that an optimizer lends to a metric, and a tanh for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Room", "tanh_"]

# Entries per pass: 256 KiB in float32 stay in a second-level cache.
_CHUNK = 1 << 16


class Room(NamedTuple):
    """A buffer in processor memory, float32 or float64, with two views for each weight.

    Attributes
    ----------
    flat : Tensor
        All of it, 1-d.
    pieces : list of Tensor
        A weight's part, 1-d.
    shaped : list of Tensor
        The same, of the weight's shape.
    """

    flat: Tensor
    pieces: list[Tensor]
    shaped: list[Tensor]

    @classmethod
    def within(cls, buffer: Tensor, weights: Sequence[Tensor]) -> Room:
        """Room for weights at the beginning of a 1-d buffer."""
        sizes = [weight.numel() for weight in weights]
        flat = buffer[: sum(sizes)]
        pieces = list(torch.split(flat, sizes))
        return cls(flat, pieces, [p.view(w.shape) for p, w in zip(pieces, weights, strict=True)])


def tanh_(flat: Tensor) -> Tensor:
    """Hyperbolic tangent of a flat tensor, in place, as ``1 / (1 + 2/(e^{2x} − 1))``.

    It is good to 4 units in the last place, and with AVX-512 twice as fast as `torch.tanh`, whose kernel
    takes three times as long as that of expm1. No entry overflows into a NaN: ``e^{2x} − 1`` may be 0 or
    infinite.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics._room import tanh_
    >>> tanh_(torch.tensor([0.0, 0.5, -200.0]))
    tensor([ 0.0000,  0.4621, -1.0000])
    """
    one = torch.ones((), dtype=flat.dtype)
    for part in torch.split(flat, _CHUNK):
        part.add_(part).expm1_().reciprocal_()
        torch.add(one, part, alpha=2, out=part).reciprocal_()
    return flat
