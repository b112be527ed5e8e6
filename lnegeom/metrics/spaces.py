"""Spaces of constant curvature, flat tori, and Minkowski space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_vectors,
    check_where,
    dot,
    identity,
    positive,
    positive_integer,
)
from lnegeom.metrics._space_forms import Ball, Stereographic, UpperHalf, stereographic_length
from lnegeom.metrics.conformal import Conformal
from lnegeom.metrics.euclidean import Euclidean


class _Radial:
    """``f = log(2r) − log(1 + κ|x|²)``: the sphere for κ = +1, hyperbolic space for κ = −1."""

    def __init__(self, kappa: int, radius: float):
        self.kappa = kappa
        self.radius = radius

    def _check_domain(self, xp: Any, x: Array) -> None:
        if self.kappa < 0:
            squared = dot(xp, x, x)
            check_where(xp, squared < 1, squared, "x", "{point} has |x|^2 = {value}: expected it below 1")

    def _value(self, xp: Any, x: Array) -> Array:
        if self.kappa > 0:  # |x|² overflows far out
            return math.log(2 * self.radius) - 2 * xp.log(stereographic_length(xp, x)[..., 0])
        return math.log(2 * self.radius) - xp.log(1 - dot(xp, x, x))

    def _gradient(self, xp: Any, x: Array) -> Array:
        return -2 * self.kappa * x / (1 + self.kappa * dot(xp, x, x))[..., None]

    def _hessian(self, xp: Any, x: Array) -> Array:
        slope = self._gradient(xp, x)
        factor = -2 * self.kappa / (1 + self.kappa * dot(xp, x, x))
        return factor[..., None, None] * identity(xp, x) + slope[..., :, None] * slope[..., None, :]


class _Height:
    """``f = log r − log x_n``, of the half-space."""

    def __init__(self, radius: float):
        self.radius = radius

    def _check_domain(self, xp: Any, x: Array) -> None:
        last = x[..., -1]
        check_where(xp, last > 0, last, "x", "{point} has last coordinate {value}: expected it positive")

    def _value(self, xp: Any, x: Array) -> Array:
        return math.log(self.radius) - xp.log(x[..., -1])

    def _gradient(self, xp: Any, x: Array) -> Array:
        return -self._axis(xp, x) / x[..., -1:]

    def _hessian(self, xp: Any, x: Array) -> Array:
        slope = self._gradient(xp, x)
        return slope[..., :, None] * slope[..., None, :]

    @staticmethod
    def _axis(xp: Any, x: Array) -> Array:
        return xp.concat([xp.zeros_like(x[..., :-1]), xp.ones_like(x[..., -1:])], axis=-1)


class Sphere(Stereographic, Conformal):
    """The round n-sphere in its stereographic chart, ``g = 4r² δ / (1 + |x|²)²``; curvature ``1/r²``.

    Parameters
    ----------
    n : int
        The dimension.
    radius : float
        r > 0.

    Examples
    --------
    >>> import lnegeom
    >>> sphere = lnegeom.Sphere(2)
    >>> sphere.embed([0.0, 0.0])
    array([ 0.,  0., -1.])
    >>> round(float(sphere.scalar_curvature([0.3, 0.4])), 12)
    2.0
    """

    kappa = 1

    def __init__(self, n: int, radius: float = 1.0):
        self.radius = positive("radius", radius)
        super().__init__(_Radial(self.kappa, self.radius), Euclidean(positive_integer("n", n)))

    def __repr__(self) -> str:
        return f"Sphere({self.dim}, radius={self.radius})"

    @property
    def constant_curvature(self) -> float:
        """``1/r²``."""
        return 1 / self.radius**2

    def embed(self, x: Any) -> Array:
        """Points of the chart in Euclidean space, ``(..., n + 1)``; the origin is the south pole."""
        xp, x = as_floating(x=x)
        check_vectors(xp, x, "x", self.dim)
        length = stereographic_length(xp, x)
        return self.radius * xp.concat([2 * (x / length) / length, 1 - 2 * (1 / length) ** 2], axis=-1)

    def project(self, y: Any) -> Array:
        """Chart ``(..., n)`` of points ``(..., n + 1)`` on the sphere, all but the north pole."""
        xp, y = as_floating(y=y)
        check_vectors(xp, y, "y", (self.dim or 0) + 1)
        y = y / self.radius
        length = xp.sqrt(dot(xp, y, y))
        tolerance = 1e4 * float(xp.finfo(y.dtype).eps)
        message = f"{{point}} has length {{value}}: expected the radius, {self.radius}"
        check_where(xp, xp.abs(length - 1) < tolerance, length * self.radius, "y", message)
        gap = 1 - y[..., -1]
        check_where(
            xp, gap > tolerance, y[..., -1], "y", "{point} is the north pole, which the chart leaves out"
        )
        return y[..., :-1] / gap[..., None]


class PoincareBall(Ball, Conformal):
    """Hyperbolic n-space in the unit ball, ``g = 4r² δ / (1 − |x|²)²``; curvature ``−1/r²``.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.PoincareBall(3).scalar_curvature([0.1, 0.2, 0.3])), 12)
    -6.0
    """

    kappa = -1

    def __init__(self, n: int, radius: float = 1.0):
        self.radius = positive("radius", radius)
        super().__init__(_Radial(self.kappa, self.radius), Euclidean(positive_integer("n", n)))

    def __repr__(self) -> str:
        return f"PoincareBall({self.dim}, radius={self.radius})"

    @property
    def constant_curvature(self) -> float:
        """``−1/r²``."""
        return -1 / self.radius**2


class HalfSpace(UpperHalf, Conformal):
    """Hyperbolic n-space above a hyperplane, ``g = r² δ / x_n²`` on ``x_n > 0``; curvature ``−1/r²``.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.HalfSpace(2).scalar_curvature([0.3, 2.0])), 12)
    -2.0
    """

    def __init__(self, n: int, radius: float = 1.0):
        self.radius = positive("radius", radius)
        super().__init__(_Height(self.radius), Euclidean(positive_integer("n", n)))

    def __repr__(self) -> str:
        return f"HalfSpace({self.dim}, radius={self.radius})"

    @property
    def constant_curvature(self) -> float:
        """``−1/r²``."""
        return -1 / self.radius**2


class Torus(Euclidean):
    """The flat torus of given periods; coordinates are taken modulo them.

    Parameters
    ----------
    periods : sequence of float
        One positive length for each dimension.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.Torus([1.0, 2.0]).wrap([1.25, -0.5])
    array([0.25, 1.5 ])
    """

    def __init__(self, periods: Sequence[float]):
        if not isinstance(periods, Iterable):
            raise InputError(
                f"periods must be a sequence of lengths, one for each dimension, got {periods!r}"
            )
        self.periods = tuple(positive("periods", period) for period in periods)
        if not self.periods:
            raise InputError("periods must be a sequence of lengths, one for each dimension, got none")
        super().__init__(len(self.periods))

    def __repr__(self) -> str:
        return f"Torus({list(self.periods)})"

    def wrap(self, x: Any) -> Array:
        """The representative of points ``(..., n)`` with coordinates from 0 up to the periods."""
        xp, x = as_floating(x=x)
        check_vectors(xp, x, "x", self.dim)
        return x % self._lengths(x)

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        gap = y - x
        lengths = self._lengths(gap)
        return gap - lengths * xp.round(gap / lengths)  # to the nearest copy of y

    def _lengths(self, like: Array) -> Array:
        return as_floating(like=like, periods=list(self.periods))[2]


class Minkowski(Euclidean):
    """Flat space-time, ``g = diag(−1, 1, …, 1)``, coordinate 0 being time.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.Minkowski(4).inner([0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]))
    0.0
    """

    def __init__(self, n: int = 4):
        if positive_integer("n", n) < 2:
            raise InputError("n must be at least 2, one time and one place, got 1")
        super().__init__(n)

    def __repr__(self) -> str:
        return f"Minkowski({self.dim})"

    @property
    def signature(self) -> tuple[int, int]:
        """Numbers of positive and negative eigenvalues."""
        return (self.dim or 0) - 1, 1

    def _matrix(self, xp: Any, local: Array) -> Array:
        signs = self._signs(xp, local)
        return signs[..., None] * super()._matrix(xp, local)

    def _sharp(self, xp: Any, local: Array, covector: Array) -> Array:
        return self._signs(xp, local) * covector

    def _flat(self, xp: Any, local: Array, vector: Array) -> Array:
        return self._signs(xp, local) * vector

    @staticmethod
    def _signs(xp: Any, local: Array) -> Array:
        return xp.concat([-xp.ones_like(local[..., :1]), xp.ones_like(local[..., 1:])], axis=-1)
