"""Metrics of graphs over the weights, LNE among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError, LogCosh, SquaredNorm
from lnegeom._array import positive
from lnegeom_torch.metrics._base import register_metric, wide
from lnegeom_torch.metrics._room import Room, tanh_
from lnegeom_torch.metrics.rank_one import RankOne, at_least

__all__ = ["EDGE", "LNE", "Graph"]

EDGE = 1e-3  # least 1 − |u|² that a geodesic from |u|² ≤ ½ is taken to meet


@register_metric
@dataclass(frozen=True)
class LNE(RankOne):
    """The LNE metric ``g = I − u uᵀ``, ``u = tanh(τ' vec W)``, of each layer, kept positive definite.

    It is positive definite only where ``|u|² < 1``, which a layer leaves early: one of 256×256 weights has
    ``|tanh W|² = 255`` when fresh. τ is therefore an upper bound, and each layer takes
    ``τ' = min(τ, √½ / |W|)``, so that ``|u|² ≤ ½`` always (``|tanh z| ≤ |z|``) and no direction is stretched
    by more than 2. τ' is computed on the device at each step; `effective_tau` shows it, and building an
    optimizer logs the layers where it is below τ.

    Parameters
    ----------
    tau : float
        τ > 0.

    Raises
    ------
    InputError
        If τ is not a positive finite number.

    References
    ----------
    RF-DNN Eq. 16; ManiQuant Eqs. 14 and 15, whose weak inverse is ``I + u uᵀ``.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics import LNE
    >>> LNE(tau=1.0).effective_tau(torch.full((256, 256), 0.0625))
    tensor(0.0442)
    >>> LNE(tau=1.0).natural_gradient(torch.tensor([0.0, 0.5]), torch.ones(2))
    tensor([1.0000, 1.2715])
    """

    tau: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", positive("tau", self.tau))

    def effective_tau(self, weight: Tensor) -> Tensor:
        """The τ' of a layer, 0-d, on its device."""
        length = torch.linalg.vector_norm(wide(weight))
        tau: Tensor = (math.sqrt(0.5) / length).clamp(max=self.tau)
        return tau

    def scale(self, weight: Tensor) -> Tensor:
        """``τ'/τ``."""
        return self.effective_tau(weight) / self.tau

    def squared_covector(self, weight: Tensor, origin: Tensor) -> Tensor:
        """``|u|²``, for the τ' of the origin."""
        return self._sum(torch.tanh(self.effective_tau(origin) * wide(weight)).square())

    def factor(self, weight: Tensor) -> Tensor:
        """The ρ of ``g = I − ρρᵀ``, which is u, of the shape and dtype of the weight."""
        return self._covector(wide(weight)).to(weight.dtype)

    def acceleration(self, weight: Tensor, velocity: Tensor, origin: Tensor | None = None) -> Tensor:
        """``−Γ(v, v) = u Σ τ'(1 − u²) v² / (1 − |u|²)``, τ' being that of the origin."""
        tau = self.effective_tau(weight if origin is None else origin)
        v = wide(velocity)
        u = torch.tanh(tau * wide(weight))
        bend = tau * self._sum((1 - u * u) * v * v)
        return (u * (bend / at_least(1 - self._sum(u * u), EDGE))).to(velocity.dtype)

    def _covector(self, weight: Tensor) -> Tensor:
        return torch.tanh(weight * self.effective_tau(weight))

    def _to_covectors_(self, room: Room) -> None:
        for piece in room.pieces:
            length = math.sqrt(torch.dot(piece, piece).item())
            tau = self.tau if self.tau * length <= math.sqrt(0.5) else math.sqrt(0.5) / length
            if tau != 1:
                piece.mul_(tau)
        tanh_(room.flat)

    def _strength(self, squared: Any, weight: Tensor) -> Any:
        return 1 / (1 - squared)


@register_metric
@dataclass(frozen=True)
class Graph(RankOne):
    """The metric ``g = I + ε p pᵀ``, ``p = ∂φ(vec W)``, of the graph of φ in Euclidean or Minkowski space.

    With ε = +1 steps across the slope of φ are full and steps along it short, ``g⁻¹ = I − p pᵀ/(1 + |p|²)``;
    with ε = −1 steps along it are long. There the metric is positive definite only where ``|p| < 1``, and a
    layer beyond ``|p|² = ½`` has φ scaled down to it, on the device, at each step, as in `LNE`.

    Parameters
    ----------
    phi : LogCosh or SquaredNorm
        A potential of the core that acts on each weight by itself, ``lnegeom.LogCosh(tau)`` say.
    sign : {1, -1}
        ε.

    Raises
    ------
    InputError
        If φ or ε is none of these.

    Examples
    --------
    >>> import lnegeom, torch
    >>> from lnegeom_torch.metrics import Graph
    >>> paraboloid = Graph(lnegeom.SquaredNorm(), sign=1)
    >>> paraboloid.natural_gradient(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0]))
    tensor([0.1000, 1.0000])
    >>> paraboloid.to_data()
    {'name': 'Graph', 'phi': {'name': 'SquaredNorm'}, 'sign': 1}
    """

    phi: Any
    sign: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.phi, dict):
            object.__setattr__(self, "phi", _potential(dict(self.phi)))
        if type(self.phi) not in (LogCosh, SquaredNorm):
            raise InputError(
                f"phi must be LogCosh(tau) or SquaredNorm(), got {self.phi!r}; for another function derive a "
                "metric from lnegeom_torch.metrics.Metric"
            )
        if self.sign not in (1, -1):
            raise InputError(f"sign must be 1 (Euclidean) or -1 (Minkowski), got {self.sign!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.to_data() == other.to_data()

    def __hash__(self) -> int:
        return hash((repr(self.phi), self.sign))

    def to_data(self) -> dict[str, object]:
        """Name and numbers, those of φ among them."""
        numbers = {"tau": self.phi.tau} if isinstance(self.phi, LogCosh) else {}
        return {"name": "Graph", "phi": {"name": type(self.phi).__name__, **numbers}, "sign": self.sign}

    def _covector(self, weight: Tensor) -> Tensor:
        if isinstance(self.phi, SquaredNorm):
            return weight.clone()
        slope: Tensor = torch.tanh(self.phi.tau * weight) / self.phi.tau
        return slope

    def _to_covectors_(self, room: Room) -> None:
        if isinstance(self.phi, LogCosh):
            tanh_(room.flat.mul_(self.phi.tau)).div_(self.phi.tau)

    def _strength(self, squared: Any, weight: Tensor) -> Any:
        if self.sign > 0:
            return -1 / (1 + squared)
        # 1 − shrink |p|², also where |p|² overflows.
        return 0.5 / at_least(squared, 0.5) / at_least(1 - squared, 0.5)

    def scale(self, weight: Tensor) -> Tensor:
        """The factor on φ², 1 in Euclidean space."""
        squared = self._sum(self._covector(wide(weight)).square())
        return torch.ones_like(squared) if self.sign > 0 else 0.5 / at_least(squared, 0.5)

    def squared_covector(self, weight: Tensor, origin: Tensor) -> Tensor:
        """``|p|²`` of a weight, φ being scaled as at the origin, in Minkowski space; 0 in Euclidean space."""
        squared = self._sum(self._covector(wide(weight)).square())
        return torch.zeros_like(squared) if self.sign > 0 else self.scale(origin) * squared

    def acceleration(self, weight: Tensor, velocity: Tensor, origin: Tensor | None = None) -> Tensor:
        """``−Γ(v, v) = −ε p (vᵀ ∂p v) / (1 + ε |p|²)``, φ being scaled as at the origin."""
        w, v = wide(weight), wide(velocity)
        p = self._covector(w)
        scale = self.scale(weight if origin is None else origin)
        bend = scale * self._sum(self.phi._hessian_diagonal(torch, w) * v * v)
        size = at_least(1 + self.sign * scale * self._sum(p * p), EDGE)
        return (p * (-self.sign * bend / size)).to(velocity.dtype)


def _potential(data: dict[str, Any]) -> LogCosh | SquaredNorm:
    name = data.pop("name", None)
    if name == "LogCosh" and set(data) == {"tau"}:
        return LogCosh(**data)
    if name == "SquaredNorm" and not data:
        return SquaredNorm()
    raise InputError(f"phi must be LogCosh with a tau, or SquaredNorm, got {name!r} with {sorted(data)}")
