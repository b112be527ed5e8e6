"""Manifolds of the metrics that differ from the identity by rank one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import array_api_compat.torch as xp
import torch
from torch import Tensor

from lnegeom._array import check_where
from lnegeom_torch.manifolds._base import MetricManifold
from lnegeom_torch.manifolds._logarithm import logarithm
from lnegeom_torch.metrics import LNE, Graph, NormalizedLNE, wide
from lnegeom_torch.metrics._base import RUNGE_KUTTA_STEPS, runge_kutta
from lnegeom_torch.metrics.graph import EDGE
from lnegeom_torch.metrics.rank_one import RankOne

__all__ = ["GraphManifold", "LNEManifold", "NormalizedLNEManifold"]


class _RankOneManifold(MetricManifold):
    """``g⁻¹ = I + s p pᵀ``, so ``g = I − s/(1 + s|p|²) p pᵀ``, whichever inverse was asked for."""

    metric: RankOne

    def _flat(self, weight: Tensor, vector: Tensor) -> Tensor:
        p = self.metric._covector(weight)
        squared, product = self.metric._sum(p * p), self.metric._sum(p * vector)
        strength = self.metric._strength(squared, weight)
        return vector - p * (strength * product / (1 + strength * squared))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """The velocity v at x with ``expmap(x, v) = y``, in O(n); it can be differentiated once.

        Raises
        ------
        GeometryError
            If none is found: the metric, scaled as at x, may be singular at y, or x and y lie too far apart.
        """
        x, y = torch.broadcast_tensors(x, y)  # type: ignore[no-untyped-call]
        if not x.numel():
            return y - x
        self._check_inside(x, y)
        flat = (*x.shape[: x.ndim - self.ndim], -1)

        def exponential(start: Tensor, velocity: Tensor, steps: int) -> Tensor:
            def one(weight: Tensor, v: Tensor) -> Tensor:
                return runge_kutta(self.metric, weight, v, steps)

            return self._batched(one, start.view(x.shape), velocity.view(x.shape)).reshape(flat)

        found = logarithm(exponential, wide(x).reshape(flat), wide(y).reshape(flat), RUNGE_KUTTA_STEPS)
        return found.view(x.shape).to(x.dtype)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """The square of the length of the geodesic that `logmap` finds.

        Raises
        ------
        GeometryError
            As `logmap`, and where the metric is rescaled: each point then has one of its own.
        """
        x, y = torch.broadcast_tensors(x, y)  # type: ignore[no-untyped-call]
        for name, points in (("x", x), ("y", y)):
            scale = self._each(self.metric.scale, points)
            check_where(
                xp,
                scale > 1 - 1e-6,
                scale,
                name,
                f"{{point}} lies where {self.metric} is scaled by {{value}} to stay positive definite, so "
                "that no one metric measures the distance; take smaller points, or a smaller tau",
            )
        return self.inner(x, self.logmap(x, y), keepdim=keepdim)

    def _check_inside(self, x: Tensor, y: Tensor) -> None:
        squared = self._each(self.metric.squared_covector, y, x)
        check_where(
            xp,
            squared < 1 - EDGE,
            squared,
            "y",
            "no geodesic from x reaches {point}: |u|² of the metric I − u uᵀ there, scaled as at x, is "
            "{value}, and must be below 1; take a y nearer by",
        )

    def _each(self, function: Callable[..., Tensor], *points: Tensor) -> Tensor:
        """A function of points that returns a number, over the batch."""
        batch, shape = points[0].shape[: -self.ndim], points[0].shape[-self.ndim :]
        if not points[0].numel():
            return points[0].new_ones(batch)
        with torch.no_grad():
            found: Tensor = torch.func.vmap(function)(*(p.reshape(-1, *shape) for p in points))
            return found.view(batch)


class NormalizedLNEManifold(_RankOneManifold):
    """R^n with the metric ``g = I − χ p pᵀ/|p|²``, ``p = tanh(x)``; Euclidean where p = 0.

    With the weak inverse, χ/(1 + χ) takes the place of χ: the metric is the one that it is the inverse of.

    Parameters
    ----------
    chi, inverse, per
        As in `NormalizedLNE`.
    ndim : int
        Number of trailing axes that make one point; for the weight of a layer, all its axes.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import geoopt, torch
    >>> from lnegeom_torch.manifolds import NormalizedLNEManifold
    >>> manifold = NormalizedLNEManifold(chi=0.5, ndim=2)
    >>> weight = geoopt.ManifoldParameter(torch.ones(4, 3), manifold=manifold)
    >>> optimizer = geoopt.optim.RiemannianSGD([weight], lr=0.1)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    """

    name = "NormalizedLNE"

    def __init__(
        self,
        chi: float | None = None,
        inverse: Literal["exact", "weak"] = "exact",
        per: Literal["layer", "channel"] = "layer",
        *,
        ndim: int = 1,
    ):
        super().__init__(NormalizedLNE(chi, inverse, per), ndim)


class LNEManifold(_RankOneManifold):
    """R^n with the metric ``g = I − u uᵀ``, ``u = tanh(τ'x)``, each point's τ' such that ``|u|² ≤ ½``.

    Parameters
    ----------
    tau : float
        τ > 0, the largest τ'; see `LNE`.
    ndim : int
        Number of trailing axes that make one point.

    Raises
    ------
    InputError
        If τ is not a positive finite number.
    """

    name = "LNE"

    def __init__(self, tau: float = 1.0, *, ndim: int = 1):
        super().__init__(LNE(tau), ndim)


class GraphManifold(_RankOneManifold):
    """R^n with the metric ``g = I + ε p pᵀ``, ``p = ∂φ``, of a graph.

    Parameters
    ----------
    phi, sign
        As in `Graph`.
    ndim : int
        Number of trailing axes that make one point.

    Raises
    ------
    InputError
        If φ or ε is not among those of `Graph`.
    """

    name = "Graph"

    def __init__(self, phi: Any, sign: int = 1, *, ndim: int = 1):
        super().__init__(Graph(phi, sign), ndim)
