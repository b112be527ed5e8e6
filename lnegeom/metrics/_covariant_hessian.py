"""The covariant Hessian of a function, kept as a diagonal where it is one."""

from __future__ import annotations

import functools
from typing import Any

from lnegeom._array import Array, diagonal_matrix, dot, matvec
from lnegeom.fields import ScalarField
from lnegeom.metrics._base import Metric
from lnegeom.potentials import SeparablePotential


class CovariantHessian:
    """``∇²f = ∂²f − Γ^k ∂_k f`` at points x, where a metric has `local`, and the gradient of f is `slope`.

    It is a diagonal, and costs O(n), where f is separable and the metric has `_diagonals`.
    """

    def __init__(self, xp: Any, metric: Metric, local: Any, field: ScalarField, x: Array, slope: Array):
        self._xp, self._metric, self._local = xp, metric, local
        self._field, self._x, self.slope = field, x, slope
        self._diagonals: tuple[Array, Array] | None = None  # of g^ij and of ∇²f
        if isinstance(field, SeparablePotential):
            found = metric._diagonals(xp, local, slope)
            if found is not None:
                self._diagonals = found[0], field._hessian_diagonal(xp, x) - found[1]

    @functools.cached_property
    def matrix(self) -> Array:
        """``∇²f`` in full, ``(..., n, n)``."""
        if self._diagonals is not None:
            return diagonal_matrix(self._xp, self._diagonals[1])
        gamma = self._metric._christoffel(self._xp, self._local)
        second = self._field._hessian(self._xp, self._x)
        return second - self._xp.sum(self.slope[..., :, None, None] * gamma, axis=-3)

    @functools.cached_property
    def laplacian(self) -> Array:
        """``Δf = g^ij ∇_i ∂_j f``, ``(...)``."""
        if self._diagonals is not None:
            return dot(self._xp, *self._diagonals)
        inverse = self._metric._inverse(self._xp, self._local)
        return self._xp.sum(inverse * self.matrix, axis=(-2, -1))

    @functools.cached_property
    def squared(self) -> Array:
        """``|df|²``, ``(...)``."""
        return dot(self._xp, self.slope, self._metric._sharp(self._xp, self._local, self.slope))

    def apply(self, vector: Array) -> Array:
        """``∇_i ∂_j f v^j``, ``(..., n)``."""
        return matvec(self.matrix, vector) if self._diagonals is None else self._diagonals[1] * vector
