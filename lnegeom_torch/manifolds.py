"""The metrics on weights as manifolds of geoopt, for its `ManifoldParameter` and its optimizers.

The only module that imports geoopt (``pip install "lnegeom[geoopt]"``). For training, `ManifoldSGD` and
`ManifoldAdamW` take the metrics themselves, and are faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lnegeom._array import positive_integer
from lnegeom_torch.metrics import LNE, Graph, LogCoshHessian, Metric, NormalizedLNE
from lnegeom_torch.metrics.rank_one import RankOne

try:
    import geoopt
    from geoopt.manifolds.base import ScalingInfo
except ImportError as error:
    raise ImportError('lnegeom_torch.manifolds needs geoopt: pip install "lnegeom[geoopt]"') from error

__all__ = ["GraphManifold", "LNEManifold", "LogCoshManifold", "NormalizedLNEManifold"]

_Checked = tuple[bool, str | None]


class _MetricManifold(geoopt.Manifold):  # type: ignore[misc]
    """R^n with one of our metrics; the last `ndim` axes of a tensor are one point, the others batch."""

    __scaling__ = geoopt.Manifold.__scaling__.copy()
    name = "metric"
    reversible = True

    def __init__(self, metric: Metric, ndim: int):
        super().__init__()
        self.metric = metric
        self.ndim = positive_integer("ndim", ndim)

    def extra_repr(self) -> str:
        """The constants, for the printed form."""
        return f"{str(self.metric).split('(', 1)[1][:-1]}, ndim={self.ndim}"

    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> _Checked:
        return _finite("point", x)

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> _Checked:
        return _finite("vector", u)

    def projx(self, x: Tensor) -> Tensor:
        """The point itself: every one lies on the manifold."""
        return x

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """The vector itself: every one is tangent."""
        return torch.broadcast_tensors(x, u)[1]  # type: ignore[no-untyped-call,no-any-return]

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """The natural gradient ``g⁻¹u`` of a gradient."""
        return self._batched(self.metric.natural_gradient, x, u)

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """The first-order retraction ``x + u``."""
        return x + u

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """The geodesic from x with velocity u at time 1; see the metric's `exponential`."""
        return self._batched(self.metric.exponential, x, u)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """The vector itself: a vector transport that is linear and reversible, though no isometry."""
        return torch.broadcast_tensors(x, y, v)[2]  # type: ignore[no-untyped-call,no-any-return]

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """``uᵀ g v``, over the axes of a point."""
        lowered = self._batched(self._flat, x, u if v is None else v)
        return self._total(u * lowered, keepdim)

    def _flat(self, weight: Tensor, vector: Tensor) -> Tensor:
        raise NotImplementedError

    def _total(self, products: Tensor, keepdim: bool) -> Tensor:
        return products.sum(dim=tuple(range(-self.ndim, 0)), keepdim=keepdim)

    def _batched(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, u: Tensor) -> Tensor:
        x, u = torch.broadcast_tensors(x, u)  # type: ignore[no-untyped-call]
        if x.ndim == self.ndim:
            return function(x, u)
        shape = x.shape[x.ndim - self.ndim :]
        flat: Tensor = torch.func.vmap(function)(x.reshape(-1, *shape), u.reshape(-1, *shape))
        return flat.view(x.shape)

    @__scaling__(ScalingInfo(std=-1), "random")  # type: ignore[untyped-decorator]
    def random_normal(
        self, *size: Any, mean: float = 0.0, std: float = 1.0, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """A point whose entries are independent and normal."""
        shape = geoopt.utils.size2shape(*size)
        self._assert_check_shape(shape, "x")
        point = torch.randn(shape, dtype=dtype, device=device) * std + mean
        manifold_point: Tensor = geoopt.ManifoldTensor(point, manifold=self)
        return manifold_point

    random = random_normal

    def origin(self, *size: Any, dtype: Any = None, device: Any = None, seed: int | None = 42) -> Tensor:
        """The point 0, where each of the metrics is Euclidean."""
        shape = geoopt.utils.size2shape(*size)
        self._assert_check_shape(shape, "x")
        point: Tensor = geoopt.ManifoldTensor(torch.zeros(shape, dtype=dtype, device=device), manifold=self)
        return point


class _RankOneManifold(_MetricManifold):
    """``g⁻¹ = I + s p pᵀ``, so ``g = I − s/(1 + s|p|²) p pᵀ``, whichever inverse was asked for."""

    metric: RankOne

    def _flat(self, weight: Tensor, vector: Tensor) -> Tensor:
        p = self.metric._covector(weight)
        squared, product = self.metric._sum(p * p), self.metric._sum(p * vector)
        strength = self.metric._strength(squared, weight)
        return vector - p * (strength * product / (1 + strength * squared))


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


class LogCoshManifold(_MetricManifold):
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

    __scaling__ = _MetricManifold.__scaling__.copy()
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

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """The geodesic distance, Euclidean in y."""
        return self.dist2(x, y, keepdim=keepdim).sqrt()

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """The square of the geodesic distance."""
        return self._total((self._isometric(y) - self._isometric(x)).square(), keepdim)


def _finite(what: str, tensor: Tensor) -> _Checked:
    if torch.isfinite(tensor).all():
        return True, None
    return False, f"the {what} has an entry that is not finite"
