"""Geodesics of the Hessian of log-cosh, ``diag(sech²(τθ))``, which is flat.

In ``y_i = arctan(sinh(τθ_i))/τ``, each in ``(−π/2τ, π/2τ)``, the metric is Euclidean: geodesics are straight,
and leave the manifold in finite time. Angles are added and subtracted by tangents, to hold far out too, where
y itself rounds to its bound.
"""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, dot, safe_sqrt

_LARGE = 40.0  # from here on, exponentials are divided by each other before they overflow in single precision


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
    """``y(y) − y(x)``: the tangent of half of it is ``sinh(u)/cosh(m)``, with all digits for near points."""
    u, m = tau * (y - x) / 2, tau * (x + y) / 2
    large = xp.maximum(xp.abs(u), xp.abs(m)) > _LARGE
    zero = xp.zeros_like(u)
    tangent = xp.sinh(xp.where(large, zero, u)) / xp.cosh(xp.where(large, zero, m))
    size, half = xp.abs(u), xp.abs(m)
    exponent = xp.clip(size - half, max=80.0)  # beyond, the arc tangent is π/2 anyway
    other = xp.sign(u) * xp.exp(exponent) * -xp.expm1(-2 * size) / (1 + xp.exp(-2 * half))
    return 2 * xp.atan(xp.where(large, other, tangent)) / tau
