"""The covariant Hessian of a function, never filled up where it is a diagonal with a few dyads."""

from __future__ import annotations

import functools
from typing import Any

from lnegeom._array import Array, dot, matvec
from lnegeom._low_rank import LowRank
from lnegeom.fields import ScalarField
from lnegeom.metrics._base import Metric
from lnegeom.potentials import Potential


class CovariantHessian:
    """``∇²f = ∂²f − Γ^k ∂_k f`` at points x, where a metric has `local`, and the gradient of f is `slope`.

    It costs O(n) where f is a potential and the metric one that both have `_low_rank`.
    """

    def __init__(self, xp: Any, metric: Metric, local: Any, field: ScalarField, x: Array, slope: Array):
        self._xp, self._metric, self._local = xp, metric, local
        self._field, self._x, self.slope = field, x, slope
        self._known: tuple[LowRank, LowRank] | None = None  # g^ij and ∇²f
        second = field._low_rank(xp, x) if isinstance(field, Potential) else None
        found = metric._low_rank(xp, local) if second is not None else None
        if second is not None and found is not None:
            bent = metric._christoffel_low_rank(xp, local, slope)
            self._known = found[1], second[0].plus(bent.times(-1.0))

    @functools.cached_property
    def matrix(self) -> Array:
        """``∇²f`` in full, ``(..., n, n)``."""
        if self._known is not None:
            return self._known[1].matrix(self._xp)
        gamma = self._metric._christoffel(self._xp, self._local)
        second = self._field._hessian(self._xp, self._x)
        return second - self._xp.sum(self.slope[..., :, None, None] * gamma, axis=-3)

    @functools.cached_property
    def laplacian(self) -> Array:
        """``Δf = g^ij ∇_i ∂_j f``, ``(...)``."""
        if self._known is not None:
            inverse, bent = self._known
            return inverse.trace_with(self._xp, bent)
        inverse = self._metric._inverse(self._xp, self._local)
        return self._xp.sum(inverse * self.matrix, axis=(-2, -1))

    @functools.cached_property
    def squared(self) -> Array:
        """``|df|²``, ``(...)``."""
        return dot(self._xp, self.slope, self._metric._sharp(self._xp, self._local, self.slope))

    def apply(self, vector: Array) -> Array:
        """``∇_i ∂_j f v^j``, ``(..., n)``."""
        return matvec(self.matrix, vector) if self._known is None else self._known[1].apply(self._xp, vector)
