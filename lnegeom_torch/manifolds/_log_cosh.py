"""The manifold of log-cosh's Hessian, which is flat."""

from __future__ import annotations

import torch
from torch import Tensor

from lnegeom_torch.manifolds._base import MetricManifold
from lnegeom_torch.metrics import LogCoshHessian

__all__ = ["LogCoshManifold"]


class LogCoshManifold(MetricManifold):
    """R^n with the metric ``diag(sech²(τx))``: flat, so that log, distance and transport are closed forms.

    It is the open cube ``|y| < π/(2τ)`` in the coordinates ``y = (2/τ) arctan(tanh(τx/2))``, and therefore
    not complete: `expmap` stops a geodesic just inside.

    Parameters
    ----------
    tau : float
        τ > 0.
    ndim : int
        Number of trailing axes that make one point.

    Raises
    ------
    InputError
        If τ is not a positive finite number.
    """

    __scaling__ = MetricManifold.__scaling__.copy()
    name = "LogCosh"
    reversible = False

    metric: LogCoshHessian

    def __init__(self, tau: float = 1.0, *, ndim: int = 1):
        super().__init__(LogCoshHessian(tau), ndim)

    def _slope(self, x: Tensor) -> Tensor:
        """``dy/dx = sech(τx)``, held where cosh would overflow."""
        return 1 / torch.cosh((self.metric.tau * x).clamp(-40, 40))

    def _isometric(self, x: Tensor) -> Tensor:
        return 2 / self.metric.tau * torch.atan(torch.tanh(self.metric.tau * x / 2))

    def _flat(self, weight: Tensor, vector: Tensor) -> Tensor:
        return self._slope(weight).square() * vector

    def component_inner(self, x: Tensor, u: Tensor, v: Tensor | None = None) -> Tensor:
        """``sech²(τx) u v``, entry by entry: each coordinate is a manifold of its own."""
        return self._slope(x).square() * u * (u if v is None else v)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport, the same along every path."""
        return v * self._slope(x) / self._slope(y)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """The velocity at x of the geodesic that is at y at time 1."""
        return (self._isometric(y) - self._isometric(x)) / self._slope(x)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """The square of the geodesic distance, Euclidean in y."""
        return self._total((self._isometric(y) - self._isometric(x)).square(), keepdim)
