"""Geodesics of the Hessian of log-cosh, ``diag(sech²(τθ))``, which is flat.

In ``y_i = arctan(sinh(τθ_i))/τ``, each in ``(−π/2τ, π/2τ)``, the metric is Euclidean: geodesics are straight,
and leave the manifold in finite time. Angles are added and subtracted by their tangents ``sinh(τθ)``, to hold
far out too, where y itself rounds to its bound.
"""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, dot, safe_sqrt


def exp(xp: Any, tau: float, x: Array, v: Array) -> Array:
    """Where the straight line from y(x), with the image of v as its slope, is at time 1."""
    start, step = xp.sinh(tau * x), xp.tan(tau * v / xp.cosh(tau * x))
    return xp.asinh((start + step) / (1 - start * step)) / tau


def log(xp: Any, tau: float, x: Array, y: Array) -> Array:
    """The velocity at x that is at y at time 1."""
    return xp.cosh(tau * x) * _gap(xp, tau, x, y)


def distance(xp: Any, tau: float, x: Array, y: Array) -> Array:
    """``|y(y) − y(x)|``."""
    gap = _gap(xp, tau, x, y)
    return safe_sqrt(xp, dot(xp, gap, gap))


def transport(xp: Any, tau: float, x: Array, y: Array, w: Array) -> Array:
    """The vector with the same Cartesian components, at y."""
    return w * xp.cosh(tau * y) / xp.cosh(tau * x)


def leaves(xp: Any, tau: float, x: Array, v: Array) -> Array:
    """When the first coordinate reaches ``±π/2τ``."""
    moves = (
        xp.abs(v) > float(xp.finfo(v.dtype).smallest_normal) / tau
    )  # slower, the time is not a finite number
    speed = xp.where(moves, xp.abs(v), xp.ones_like(v)) / xp.cosh(tau * x)
    left = xp.atan2(xp.ones_like(x + v), xp.sign(v) * xp.sinh(tau * x))  # π/2 − |…|, without the cancellation
    return xp.min(xp.where(moves, left / (tau * speed), xp.full_like(left, math.inf)), axis=-1)


def _gap(xp: Any, tau: float, x: Array, y: Array) -> Array:
    start, end = xp.sinh(tau * x), xp.sinh(tau * y)
    return xp.atan2(end - start, 1 + start * end) / tau
