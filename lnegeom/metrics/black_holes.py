"""Vacuum space-times of general relativity, in units where G = c = 1."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from lnegeom._array import Array, InputError, check_where, positive, real
from lnegeom.derivatives import Derivatives, check_source, jet
from lnegeom.metrics._jet import JetMetric


class Kerr(JetMetric):
    """The rotating black hole in Boyer–Lindquist coordinates ``(t, r, θ, φ)``, outside its horizon.

    Parameters
    ----------
    mass : float
        M > 0.
    spin : float
        a, with ``|a| < M``.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of the metric come from.

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

    def __init__(self, mass: float = 1.0, spin: float = 0.0, *, derivatives: Derivatives = "auto"):
        self.mass = positive("mass", mass)
        self.spin = real("spin", spin)
        if not abs(self.spin) < self.mass:
            raise InputError(
                f"spin must be below the mass {self.mass} in size, got {spin}; there is no horizon"
            )
        self.derivatives = check_source(derivatives)

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
        check_where(xp, xp.abs(sine) > 0, sine, "x", message)
        return x

    def _matrix(self, xp: Any, local: Array) -> Array:
        r, theta = local[..., 1], local[..., 2]
        m, a = self.mass, self.spin
        sine2 = xp.sin(theta) ** 2
        sigma = r**2 + (a * xp.cos(theta)) ** 2
        drag = 2 * m * r / sigma
        zero = xp.zeros_like(r)
        tt, tp = drag - 1, -drag * a * sine2
        pp = (r**2 + a**2 + drag * a**2 * sine2) * sine2
        rows = [
            [tt, zero, zero, tp],
            [zero, sigma / (r**2 - 2 * m * r + a**2), zero, zero],
            [zero, zero, sigma, zero],
            [tp, zero, zero, pp],
        ]
        return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)

    def _jet(self, xp: Any, local: Array) -> tuple[Array, Array]:
        found = jet(self._components, local, derivatives=self.derivatives, vectorized=True)
        return found.first, found.second

    def _first(self, xp: Any, local: Array) -> Array:
        return jet(self._components, local, derivatives=self.derivatives, vectorized=True, order=1).first

    def _first_error(self, xp: Any, local: Array) -> float:
        return jet(self._components, local, derivatives=self.derivatives, vectorized=True, order=1).error

    def _components(self, y: Array) -> Array:
        return self._matrix(array_api_compat.array_namespace(y), y)


class Schwarzschild(Kerr):
    """The black hole at rest, in coordinates ``(t, r, θ, φ)``, outside ``r = 2M``.

    Examples
    --------
    >>> import lnegeom
    >>> hole = lnegeom.Schwarzschild(1.0)
    >>> round(float(lnegeom.kretschmann(hole, [0.0, 4.0, 1.0, 0.0])), 9)  # 48 M² / r⁶
    0.01171875
    """

    def __init__(self, mass: float = 1.0, *, derivatives: Derivatives = "auto"):
        super().__init__(mass, 0.0, derivatives=derivatives)

    def __repr__(self) -> str:
        return f"Schwarzschild({self.mass})"
