"""What the manifolds share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import geoopt
import torch
from geoopt.manifolds.base import ScalingInfo
from torch import Tensor

from lnegeom._array import positive_integer, safe_sqrt
from lnegeom_torch.metrics import Metric

__all__ = ["MetricManifold"]

_Checked = tuple[bool, str | None]


class MetricManifold(geoopt.Manifold):  # type: ignore[misc]
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

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """The length of the geodesic between two points, the root of `dist2`."""
        return safe_sqrt(torch, self.dist2(x, y, keepdim=keepdim))  # type: ignore[no-any-return]

    def _flat(self, weight: Tensor, vector: Tensor) -> Tensor:
        raise NotImplementedError

    def _total(self, products: Tensor, keepdim: bool) -> Tensor:
        return products.sum(dim=tuple(range(-self.ndim, 0)), keepdim=keepdim)

    def _batched(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, u: Tensor) -> Tensor:
        x, u = torch.broadcast_tensors(x, u)  # type: ignore[no-untyped-call]
        if not x.numel():  # vmap refuses an empty batch
            return u.clone()
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


def _finite(what: str, tensor: Tensor) -> _Checked:
    if torch.isfinite(tensor).all():
        return True, None
    return False, f"the {what} has an entry that is not finite"
