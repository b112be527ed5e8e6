"""Metrics whose connection and curvature come from their jet."""

from __future__ import annotations

import abc
from typing import Any

from lnegeom import tensors
from lnegeom._array import Array, row_sum
from lnegeom.derivatives import Jet
from lnegeom.metrics._base import Metric


class JetMetric(Metric):
    """A metric that knows ∂g and ∂²g: Christoffel symbols, Riemann and Ricci follow."""

    def derivatives_at(self, x: Any) -> Jet:
        """Components with their first and second derivatives, what computed them, and their error.

        Parameters
        ----------
        x : array
            Points ``(..., n)``.

        Returns
        -------
        lnegeom.derivatives.Jet
            ``value`` is g_ij, ``first`` and ``second`` its derivatives, derivative axes last; ``source`` is
            "closed form", "torch", "jax" or "finite", and ``error`` the estimated largest error of the second
            derivatives of all points, 0 where they are exact up to rounding.

        Raises
        ------
        GeometryError
            At a point outside the chart, or where finite differences do not settle.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> sphere = lnegeom.FromCallable(lambda x: np.diag([1.0, np.sin(x[0]) ** 2]), dim=2)
        >>> found = sphere.derivatives_at([1.0, 0.3])
        >>> found.source, found.error < 1e-8
        ('finite', True)
        """
        return self._derived(*self._at(x))

    def _derived(self, xp: Any, local: Any) -> Jet:
        return Jet(self._matrix(xp, local), *self._jet(xp, local), "closed form", 0.0)

    @abc.abstractmethod
    def _jet(self, xp: Any, local: Any) -> tuple[Array, Array]:
        """``∂_a g_ij`` as ``(..., i, j, a)`` and ``∂_a ∂_b g_ij`` as ``(..., i, j, a, b)``."""

    def _first(self, xp: Any, local: Any) -> Array:
        """``∂_a g_ij`` alone, which may cost less."""
        return self._jet(xp, local)[0]

    def _first_error(self, xp: Any, local: Any) -> float:
        """Estimated error that finite differences leave in `_first`; 0 where there are none."""
        return 0.0

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        local = self._local(xp, x)
        slope = self._first_error(xp, local)  # of each of three terms, halved
        return 1.5 * slope * row_sum(xp, self._inverse(xp, local)) if slope else 0.0

    def _christoffel(self, xp: Any, local: Any) -> Array:
        return tensors.christoffel(xp, self._inverse(xp, local), self._first(xp, local))

    def _riemann(self, xp: Any, local: Any) -> Array:
        inverse = self._inverse(xp, local)
        return tensors.apply_first(xp, inverse, tensors.lowered_riemann(xp, inverse, *self._jet(xp, local)))

    def _ricci(self, xp: Any, local: Any) -> Array:
        return tensors.ricci(xp, self._inverse(xp, local), *self._jet(xp, local))
