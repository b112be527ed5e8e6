"""Time steppers of order four for ``u' = L u + N(u)`` with L diagonal; they know nothing of flows.

A method takes ``u`` and ``N(u)`` to the next ``u``. Its error estimate then needs N there, which the next
step needs anyway: four evaluations a step (Balac and Mahé's use of the classical method's embedded third
order, carried over to the exponential ones). `memory` is what a method keeps from one step to the next, for
checkpoints.

References: S. M. Cox and P. C. Matthews, J. Comput. Phys. 176 (2002), §2; A.-K. Kassam and L. N. Trefethen,
SIAM J. Sci. Comput. 26 (2005); S. Balac and F. Mahé, Comput. Phys. Commun. 184 (2013); U. M. Ascher,
S. J. Ruuth and B. T. R. Wetton, SIAM J. Numer. Anal. 32 (1995).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, to_numpy

Nonlinear = Callable[[Array], Array]


class Method:
    """A time stepper; `step` in subclasses."""

    adaptive = True
    """Whether the step may change from one call to the next, and `error` estimates what it costs."""

    def __init__(self, xp: Any, linear: Array, nonlinear: Nonlinear):
        self.xp = xp
        self.linear = linear
        self.nonlinear = nonlinear
        self.memory: list[Array] = []
        self._dt = 0.0
        self._weight: Array | float = 0.0
        self._last: Array = None

    def step(self, u: Array, first: Array, dt: float) -> Array:
        """Return ``u(t + dt)`` from ``u(t)`` and ``first = N(u(t))``."""
        raise NotImplementedError

    def error(self, u: Array, first: Array) -> Array:
        """Estimate of the last step's error, from the u that it returned and N there."""
        return self._weight * (self._last - first)

    def _set_step(self, dt: float) -> None:
        if dt != self._dt:
            self._coefficients(dt)
            self._dt = dt

    def _coefficients(self, dt: float) -> None:
        """Prepare what depends on dt alone."""

    def _like_linear(self, values: NDArray[np.float64]) -> Array:
        return self.xp.asarray(values, dtype=self.linear.dtype, device=array_api_compat.device(self.linear))


class IntegratingFactorRK4(Method):
    """The classical Runge–Kutta method on ``v = exp(−L t) u``: L is exact and only N limits dt.

    Frozen at one mode with ``N = ∓μ|L| u`` the growth factor is ``exp(−z) |P₄(∓μz)|``, ``z = |L| dt``, with
    P₄ the fourth Taylor polynomial of exp: at most 1 for all z if μ ≤ 1.
    """

    def _coefficients(self, dt: float) -> None:
        self.half = self.xp.exp(0.5 * dt * self.linear)
        self.full = self.half * self.half

    def step(self, u: Array, first: Array, dt: float) -> Array:
        """Return the next state."""
        self._set_step(dt)
        half, full = self.half, self.full
        half_u = half * u
        b = self.nonlinear(half_u + (0.5 * dt) * (half * first))
        c = self.nonlinear(half_u + (0.5 * dt) * b)
        d = self.nonlinear(half * (half_u + dt * c))
        self._weight, self._last = dt / 10, d
        return full * (u + (dt / 6) * first) + (dt / 3) * (half * (b + c)) + (dt / 6) * d


class ExponentialRK4(Method):
    """Cox and Matthews's ETDRK4: the integral of N against ``exp(L t)`` by quadrature of order four.

    Unlike the integrating factor it keeps fixed points of the whole equation fixed.
    """

    def _coefficients(self, dt: float) -> None:
        z = dt * to_numpy(self.linear).astype(np.float64)
        p1, p2, p3 = phi_functions(z)
        self.full, self.half = self._like_linear(np.exp(z)), self._like_linear(np.exp(z / 2))
        self.stage = self._like_linear(0.5 * dt * phi_functions(z / 2)[0])
        self.ends = [self._like_linear(dt * w) for w in (p1 - 3 * p2 + 4 * p3, 4 * p3 - p2)]
        self.middle = self._like_linear(dt * (2 * p2 - 4 * p3))

    def step(self, u: Array, first: Array, dt: float) -> Array:
        """Return the next state."""
        self._set_step(dt)
        half_u = self.half * u
        a = half_u + self.stage * first
        at_a = self.nonlinear(a)
        at_b = self.nonlinear(half_u + self.stage * at_a)
        at_c = self.nonlinear(self.half * a + self.stage * (2 * at_b - first))
        # The classical method's difference has 3/5 of the weight of its last stage.
        self._weight, self._last = 0.6 * self.ends[1], at_c
        return self.full * u + self.ends[0] * first + self.middle * (at_a + at_b) + self.ends[1] * at_c


class RK4(Method):
    """The classical Runge–Kutta method on the whole right-hand side: stable for ``|L| dt ≤ 2.785`` only."""

    def step(self, u: Array, first: Array, dt: float) -> Array:
        """Return the next state."""

        def rate(v: Array) -> Array:
            return self.linear * v + self.nonlinear(v)

        a = self.linear * u + first
        b = rate(u + (0.5 * dt) * a)
        c = rate(u + (0.5 * dt) * b)
        d = rate(u + dt * c)
        self._weight, self._last = dt / 10, d
        return u + (dt / 6) * (a + 2 * (b + c) + d)

    def error(self, u: Array, first: Array) -> Array:
        """Estimate of the last step's error."""
        return self._weight * (self._last - self.linear * u - first)


class SBDF4(Method):
    """Semi-implicit backward differentiation of order four: one evaluation a step, all of one length.

    The first three steps are `IntegratingFactorRK4`'s. `memory` holds the last three states and their N.
    """

    adaptive = False

    def __init__(self, xp: Any, linear: Array, nonlinear: Nonlinear):
        super().__init__(xp, linear, nonlinear)
        self.starter = IntegratingFactorRK4(xp, linear, nonlinear)

    def _coefficients(self, dt: float) -> None:
        if self._dt:
            self.memory = []
        self.solve = 1 / (25 / 12 - dt * self.linear)

    def step(self, u: Array, first: Array, dt: float) -> Array:
        """Return the next state."""
        self._set_step(dt)
        if len(self.memory) < 6:
            new = self.starter.step(u, first, dt)
        else:
            u1, n1, u2, n2, u3, n3 = self.memory
            past = 4 * u - 3 * u1 + (4 / 3) * u2 - 0.25 * u3
            new = self.solve * (past + dt * (4 * first - 6 * n1 + 4 * n2 - n3))
        self.memory = [u, first, *self.memory[:4]]
        return new


METHODS: dict[str, type[Method]] = {
    "ifrk4": IntegratingFactorRK4,
    "etdrk4": ExponentialRK4,
    "rk4": RK4,
    "sbdf4": SBDF4,
}


def phi_functions(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """``φ₁, φ₂, φ₃`` of real arguments ≤ 0: ``φ_k = (φ_{k−1} − 1/(k−1)!)/z``, by Taylor's series near 0."""
    small = np.abs(z) < 1
    near, far = np.where(small, z, 0.0), np.where(small, -1.0, z)
    p1 = np.expm1(far) / far
    p2 = (p1 - 1) / far
    recursion = (p1, p2, (p2 - 0.5) / far)
    series = []
    for k in (1, 2, 3):
        # Σ_j z^j / (j + k)!, from its last term: 18 terms reach rounding for |z| < 1.
        value = np.zeros_like(near)
        for j in range(18, 0, -1):
            value = (1 + value) * near / (j + k)
        series.append((1 + value) / [1, 1, 2, 6][k])
    return tuple(np.where(small, inside, outside) for inside, outside in zip(series, recursion, strict=True))
