"""Memory that an optimizer lends to a metric, and functions on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Room", "squared_cosh_", "tanh_"]

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

    def takes(self, gradients: Sequence[Tensor]) -> bool:
        """Whether gradients are dense tensors, in order, of the room's dtype."""
        dtype = self.flat.dtype
        return all(type(g) is Tensor and g.dtype is dtype and g.is_contiguous() for g in gradients)


def tanh_(flat: Tensor) -> Tensor:
    """Hyperbolic tangent of a flat tensor in processor memory, in place, by numpy's kernel.

    In float32 it is good to 1.4 units in the last place at every number, and takes a thirteenth of the time
    of `torch.tanh` with AVX-512, two fifths with AVX2.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics._room import tanh_
    >>> tanh_(torch.tensor([0.0, 0.5, -200.0]))
    tensor([ 0.0000,  0.4621, -1.0000])
    """
    values = flat.numpy()
    with np.errstate(all="ignore"):  # a caller may have numpy raise on underflow
        np.tanh(values, out=values)
    return flat


def squared_cosh_(flat: Tensor) -> Tensor:
    """``cosh²`` of a flat tensor in processor memory, in place, as ``(e^{2x} + e^{-2x})/4 + 1/2``.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics._room import squared_cosh_
    >>> squared_cosh_(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 2.3811])
    """
    for part in torch.split(flat.add_(flat), _CHUNK):
        values = part.numpy()
        with np.errstate(all="ignore"):
            np.exp(values, out=values)
        part.add_(part.reciprocal()).mul_(0.25).add_(0.5)
    return flat
