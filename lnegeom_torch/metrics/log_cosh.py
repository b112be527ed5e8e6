"""The Hessian of log-cosh, which is flat: the information geometry of random binary weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lnegeom._array import positive
from lnegeom_torch.metrics._base import Metric, register_metric, wide
from lnegeom_torch.metrics._room import Room, squared_cosh_
from lnegeom_torch.metrics._workers import whole

__all__ = ["LogCoshHessian", "largest_argument"]


@register_metric
@dataclass(frozen=True)
class LogCoshHessian(Metric):
    """The metric ``g = diag(sech²(τW))``, the Hessian of log-cosh, of a divergence as KL of random spins.

    The natural gradient ``cosh²(τW) ∘ ∂L/∂W`` is the plain gradient in the dual coordinates
    ``η = tanh(τW)/τ``, so that a first-order step in W is mirror descent in η: no step leaves ``|τη| < 1``.
    The metric is flat, and geodesics are straight in ``y = (2/τ) arctan(tanh(τW/2))``.

    Parameters
    ----------
    tau : float
        τ > 0.

    Raises
    ------
    InputError
        If τ is not a positive finite number.

    Notes
    -----
    ``cosh²`` grows as ``exp(2τ|W|)/4``; where it would overflow, it is held at the largest number whose
    product with a gradient of size 1 still is finite. Long before that, use a smaller τ or clip the weights.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics import LogCoshHessian
    >>> LogCoshHessian(tau=1.0).natural_gradient(torch.tensor([0.0, 1.0]), torch.ones(2))
    tensor([1.0000, 2.3811])
    """

    tau: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", positive("tau", self.tau))

    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """``cosh²(τW) ∘ ∂L/∂W``, of the shape and dtype of the gradient, as a new tensor."""
        scaled, largest = self.tau * wide(weight), largest_argument(gradient.dtype)
        return (torch.cosh(scaled.clamp(-largest, largest)).square() * gradient).to(gradient.dtype)

    def natural_gradients(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        room: Room | None = None,
        states: Sequence[Any] | None = None,
    ) -> list[Tensor]:
        """`natural_gradient` of each tensor of a list, in the room where that is given."""
        if room is None or not room.takes(gradients):
            return super().natural_gradients(weights, gradients)
        largest = largest_argument(room.flat.dtype)
        torch._foreach_copy_(room.shaped, list(weights))
        squared_cosh_(room.flat.mul_(self.tau).clamp_(-largest, largest))
        torch._foreach_mul_(room.shaped, list(gradients))
        return list(room.shaped)

    def eigenvalues(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Least and largest of the diagonal."""
        # All of them on each process: a process without weights has no largest one.
        sizes = whole(self.natural_gradient(weight, torch.ones_like(weight, dtype=wide(weight).dtype)))
        return 1 / sizes.amax(), 1 / sizes.amin(), None

    def acceleration(self, weight: Tensor, velocity: Tensor, origin: Tensor | None = None) -> Tensor:
        """``−Γ(v, v) = τ tanh(τW) v²``, since ``Γ = ½ ∂ log sech²(τW)`` for each weight by itself."""
        bend = self.tau * torch.tanh(self.tau * wide(weight)) * wide(velocity).square()
        return bend.to(velocity.dtype)

    def exponential(self, weight: Tensor, velocity: Tensor) -> Tensor:
        """The geodesic from W with velocity v at time 1, a straight line in ``y``.

        The manifold is not complete: ``|y| < π/(2τ)``. A line that leaves it is stopped just inside, as a
        step of an optimizer waits for no check; `lnegeom.exp` raises there.
        """
        w, v = wide(weight), wide(velocity)
        half = self.tau * w / 2
        line = 2 * torch.atan(torch.tanh(half)) + self.tau * v / torch.cosh(2 * half.clamp(-40, 40))
        end = math.pi / 2 * (1 - 4 * torch.finfo(w.dtype).eps)
        return (2 * torch.atanh(torch.tan(line.clamp(-end, end) / 2)) / self.tau).to(weight.dtype)


def largest_argument(dtype: torch.dtype) -> float:
    """The largest τ|W| whose cosh² times a gradient of size 1 is finite."""
    return math.log(torch.finfo(dtype).max) / 2 - 1
