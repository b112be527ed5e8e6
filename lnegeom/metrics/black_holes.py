"""Vacuum space-times of general relativity, in units where G = c = 1."""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, InputError, check_where, positive, real
from lnegeom.metrics._jet import JetMetric

_Jet = tuple[Array, ...]
"""A function of r and θ, with ``f_r, f_θ, f_rr, f_rθ, f_θθ``."""


class Kerr(JetMetric):
    """The rotating black hole in Boyer–Lindquist coordinates ``(t, r, θ, φ)``, outside its horizon.

    Parameters
    ----------
    mass : float
        M > 0.
    spin : float
        a, with ``|a| < M``.

    References
    ----------
    Misner, Thorne and Wheeler, *Gravitation*, Eq. 33.2.

    Examples
    --------
    It solves Einstein's equations in the vacuum:

    >>> import lnegeom
    >>> bool(abs(lnegeom.Kerr(1.0, 0.6).ricci([0.0, 5.0, 1.0, 0.0])).max() < 1e-9)
    True
    """

    dim = 4

    def __init__(self, mass: float = 1.0, spin: float = 0.0):
        self.mass = positive("mass", mass)
        self.spin = real("spin", spin)
        if not abs(self.spin) < self.mass:
            raise InputError(
                f"spin must be below the mass {self.mass} in size, got {spin}; there is no horizon"
            )

    def __repr__(self) -> str:
        return f"Kerr(mass={self.mass}, spin={self.spin})"

    @property
    def signature(self) -> tuple[int, int]:
        """Three places and one time."""
        return 3, 1

    @property
    def horizon(self) -> float:
        """Radius of the outer horizon, ``M + √(M² − a²)``."""
        return self.mass + math.sqrt(self.mass**2 - self.spin**2)

    def _local(self, xp: Any, x: Array) -> Array:
        r, sine = x[..., 1], xp.sin(x[..., 2])
        message = f"{{point}} has r = {{value}}: expected it outside the horizon, {self.horizon:.6g}"
        check_where(xp, r > self.horizon, r, "x", message)
        message = "{point} lies on the axis, where the chart ends: sin(theta) = {value}"
        rounded = 16 * float(xp.finfo(x.dtype).eps)  # as the sine of π is
        check_where(xp, xp.abs(sine) > rounded, sine, "x", message)
        return x

    def _matrix(self, xp: Any, local: Array) -> Array:
        return self._part(xp, self._entries(xp, local), 0)

    def _first(self, xp: Any, local: Array) -> Array:
        return self._slope(xp, self._entries(xp, local))

    def _jet(self, xp: Any, local: Array) -> tuple[Array, Array]:
        entries = self._entries(xp, local)
        rr, rt, tt = (self._part(xp, entries, k) for k in (3, 4, 5))
        zero = xp.zeros_like(rr)
        rows = [[zero] * 4, [zero, rr, rt, zero], [zero, rt, tt, zero], [zero] * 4]
        second = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
        return self._slope(xp, entries), second

    def _entries(self, xp: Any, x: Array) -> tuple[_Jet, ...]:
        """``g_tt, g_tφ, g_rr, g_θθ, g_φφ`` with their derivatives in r and θ."""
        r, sine, cosine = x[..., 1], xp.sin(x[..., 2]), xp.cos(x[..., 2])
        m, a = self.mass, self.spin
        zero, one = xp.zeros_like(r), xp.ones_like(r)
        bend = 2 * (cosine**2 - sine**2)
        sine2 = (sine**2, zero, 2 * sine * cosine, zero, zero, bend)
        sigma = (r**2 + (a * cosine) ** 2, 2 * r, -(a**2) * sine2[2], 2 * one, zero, -(a**2) * bend)
        outer, inner = r - self.horizon, r - a**2 / self.horizon
        delta = (outer * inner, outer + inner, zero, 2 * one, zero, zero)
        drag = _times((2 * m * r, 2 * m * one, zero, zero, zero, zero), _reciprocal(sigma))
        tp = tuple(-a * part for part in _times(drag, sine2))
        wide = (r**2 + a**2 - a * tp[0], 2 * r - a * tp[1], -a * tp[2], 2 - a * tp[3], -a * tp[4], -a * tp[5])
        tt = (drag[0] - 1, *drag[1:])
        return tt, tp, _times(sigma, _reciprocal(delta)), sigma, _times(wide, sine2)

    def _slope(self, xp: Any, entries: tuple[_Jet, ...]) -> Array:
        by_r, by_theta = self._part(xp, entries, 1), self._part(xp, entries, 2)
        zero = xp.zeros_like(by_r)
        return xp.stack([zero, by_r, by_theta, zero], axis=-1)

    def _part(self, xp: Any, entries: tuple[_Jet, ...], k: int) -> Array:
        """The matrix of the entries' values or of one of their derivatives."""
        tt, tp, rr, theta, pp = (entry[k] for entry in entries)
        zero = xp.zeros_like(tt)
        rows = [[tt, zero, zero, tp], [zero, rr, zero, zero], [zero, zero, theta, zero], [tp, zero, zero, pp]]
        return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def _times(u: _Jet, v: _Jet) -> _Jet:
    return (
        u[0] * v[0],
        u[1] * v[0] + u[0] * v[1],
        u[2] * v[0] + u[0] * v[2],
        u[3] * v[0] + 2 * u[1] * v[1] + u[0] * v[3],
        u[4] * v[0] + u[1] * v[2] + u[2] * v[1] + u[0] * v[4],
        u[5] * v[0] + 2 * u[2] * v[2] + u[0] * v[5],
    )


def _reciprocal(u: _Jet) -> _Jet:
    w = 1 / u[0]
    r, theta = u[1] * w, u[2] * w
    first = -r * w, -theta * w
    second = (2 * r**2 - u[3] * w) * w, (2 * r * theta - u[4] * w) * w, (2 * theta**2 - u[5] * w) * w
    return (w, *first, *second)


class Schwarzschild(Kerr):
    """The black hole at rest, in coordinates ``(t, r, θ, φ)``, outside ``r = 2M``.

    Examples
    --------
    >>> import lnegeom
    >>> hole = lnegeom.Schwarzschild(1.0)
    >>> round(float(lnegeom.kretschmann(hole, [0.0, 4.0, 1.0, 0.0])), 9)  # 48 M² / r⁶
    0.01171875
    """

    def __init__(self, mass: float = 1.0):
        super().__init__(mass, 0.0)

    def __repr__(self) -> str:
        return f"Schwarzschild({self.mass})"
