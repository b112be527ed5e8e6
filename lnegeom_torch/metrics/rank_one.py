"""Metrics that differ from the identity by rank one, ``g⁻¹ = I + s p pᵀ``: O(n) in everything."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from lnegeom_torch.metrics._base import Metric, wide
from lnegeom_torch.metrics._room import Room
from lnegeom_torch.metrics._workers import reduced, whole

__all__ = ["RankOne", "at_least"]

_Number = TypeVar("_Number", float, Tensor)


def at_least(value: _Number, bound: float) -> _Number:
    """The larger of a value, a number or a 0-d tensor, and a bound, without a look at the value."""
    # torch 2.6 has no sharding strategy for clamp_min.
    return value.clamp(min=bound) if isinstance(value, Tensor) else max(value, bound)


class RankOne(Metric):
    """What the rank-one metrics share; a subclass says what p and s are."""

    @abc.abstractmethod
    def _covector(self, weight: Tensor) -> Tensor:
        """The p of a weight in float32 or wider, of the weight's shape."""

    @abc.abstractmethod
    def _strength(self, squared: _Number, weight: Tensor) -> _Number:
        """The s that belongs to ``|p|² = squared``."""

    def _sum(self, products: Tensor) -> Tensor:
        """A dot product from its terms, in a shape that broadcasts against the weight."""
        return reduced(torch.sum(products))

    def scale(self, weight: Tensor) -> Tensor:
        """The factor, at most 1, that the metric puts on τ or φ at a weight to be positive definite."""
        return torch.ones((), dtype=wide(weight).dtype, device=weight.device)

    def squared_covector(self, weight: Tensor, origin: Tensor) -> Tensor:
        """The ``|u|²`` of ``g = I − u uᵀ``, scaled as at the origin; 0 for a metric without an edge at 1."""
        return torch.zeros((), dtype=wide(weight).dtype, device=weight.device)

    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """``∂L/∂W + s p (p · ∂L/∂W)``, of the shape and dtype of the gradient, as a new tensor."""
        p = self._covector(wide(weight))
        squared, product = self._sum(p * p), self._sum(p * gradient)
        step: Tensor = (p * (self._strength(squared, weight) * product)).to(gradient.dtype)
        return gradient + step

    def eigenvalues(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Least and largest eigenvalue of g, all others 1; of the layer's blocks, the one furthest from 1."""
        p = self._covector(wide(weight))
        squared = self._sum(p * p)
        # All of it on each process: a process without a channel has no largest one.
        inverse = whole(1 + self._strength(squared, weight) * squared)
        outlier = torch.where(inverse.amax() > 1, 1 / inverse.amax(), 1 / inverse.amin())
        return outlier.clamp(max=1), outlier.clamp(min=1), outlier

    def natural_gradients(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        room: Room | None = None,
        states: Sequence[Any] | None = None,
    ) -> list[Tensor]:
        """`natural_gradient` of each tensor of a list, in no memory but the room where that is given."""
        if room is None or not room.takes(gradients):
            return super().natural_gradients(weights, gradients)
        torch._foreach_copy_(room.shaped, list(weights))
        self._to_covectors_(room)
        # In processor memory a number costs nothing to read: two dot products and one sum a tensor.
        for weight, gradient, p in zip(weights, gradients, room.pieces, strict=True):
            flat = gradient if gradient.ndim == 1 else gradient.view(-1)
            squared, product = torch.dot(p, p).item(), torch.dot(p, flat).item()
            torch.add(flat, p, alpha=self._strength(squared, weight) * product, out=p)
        return list(room.shaped)

    @abc.abstractmethod
    def _to_covectors_(self, room: Room) -> None:
        """Turn the weights in a room into their p."""
