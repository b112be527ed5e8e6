"""The Runge–Kutta–Chebyshev method: explicit, second order, stable on a long stretch of the negative axis.

With s stages a step is stable for ``dt · ρ ≤ 0.65 s²``, ρ the spectral radius of the right-hand side, so that
s right-hand sides do what about s² steps of an ordinary explicit method do, and no system is solved. Its
stages are themselves of second order, so that boundary values that depend on time, taken at the stages' own
times, cost no order.

Reference: B. P. Sommeijer, L. F. Shampine and J. G. Verwer, "RKC: an explicit solver for parabolic PDEs", J.
Comput. Appl. Math. 88 (1998), Eqs. 2.1–2.6 and 2.9.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
RightHandSide = Callable[[float, Field], Field]

DAMPING = 2 / 13
STRETCH = 1.54
"""A step is stable for ``dt ρ`` up to ``(s² − 1) / 1.54``, at this damping."""
MAX_STAGES = 400
"""Beyond it rounding errors, which grow as s² in a step, would show; the step is shortened instead."""
SAFETY, MOST, LEAST = 0.8, 3.0, 0.2


class _Coefficients(NamedTuple):
    first: float
    mu: Field
    nu: Field
    mu_tilde: Field
    gamma_tilde: Field
    c: Field


class StepTooSmall(ArithmeticError):
    """No step of a useful size meets the tolerance: the solution, or its derivative, blows up here."""


class Chebyshev:
    """Adaptive steps ``y(t) → y(t + h)`` of ``y' = f(t, y)`` with numpy arrays.

    Parameters
    ----------
    f : callable
        ``f(t, y)``.
    radius : callable
        ``radius(t, y)``: a bound on the spectral radius of ``∂f/∂y`` there, whose eigenvalues lie near the
        negative axis.
    rtol, atol : float
        The error of a step, estimated from y and f at its ends, stays below ``atol + rtol |y|``, entry by
        entry, in the root mean square.
    h : float
        First step to try. The attribute of this name is the next one, and the only state: a run that is
        resumed from ``(t, y, h)`` gives the same numbers.
    """

    def __init__(
        self,
        f: RightHandSide,
        radius: Callable[[float, Field], float],
        allowed: Callable[[Field], Field | float],
        h: float,
    ):
        self._f, self._radius, self._allowed = f, radius, allowed
        self.h = h

    def __call__(self, t: float, y: Field, limit: float) -> tuple[float, Field]:
        """Take one accepted step that does not pass `limit`; raise StepTooSmall where there is none."""
        f0 = self._f(t, y)
        radius = self._radius(t, y)
        while True:
            longest = ((MAX_STAGES - 1) ** 2 - 1) / (STRETCH * radius) if radius > 0 else math.inf
            # A step that would leave less than its hundredth before the limit goes all the way.
            h = min(self.h, longest)
            last = t + 1.01 * h >= limit
            h = limit - t if last else h
            if not h > 1e-13 * max(abs(t), limit - t):
                raise StepTooSmall(f"the step fell to {h:.3g}")
            stages = max(2, 1 + math.ceil(math.sqrt(1 + STRETCH * h * radius)))
            new = self._step(t, y, f0, h, stages)
            error = self._error(y, new, f0, self._f(t + h, new), h)
            if error <= 1:
                # A step cut short by the limit must not shorten the ones after it.
                self.h = max(self.h, h * _factor(error)) if last else h * _factor(error)
                return (limit if last else t + h), new
            self.h = h * _factor(error)

    def _step(self, t: float, y: Field, f0: Field, h: float, stages: int) -> Field:
        k = _coefficients(stages)
        before, now = y, y + (k.first * h) * f0
        for j in range(2, stages + 1):
            slope = self._f(t + k.c[j - 1] * h, now)
            following = (
                (1 - k.mu[j] - k.nu[j]) * y
                + k.mu[j] * now
                + k.nu[j] * before
                + h * (k.mu_tilde[j] * slope + k.gamma_tilde[j] * f0)
            )
            before, now = now, following
        return now

    def _error(self, y: Field, new: Field, f0: Field, f1: Field, h: float) -> float:
        estimate = 0.8 * (y - new) + 0.4 * h * (f0 + f1)
        error = float(np.sqrt(np.mean((estimate / np.maximum(self._allowed(y), self._allowed(new))) ** 2)))
        return error if math.isfinite(error) else math.inf


def _factor(error: float) -> float:
    return min(MOST, max(LEAST, SAFETY * math.pow(max(error, 1e-10), -1 / 3)))


@functools.cache
def _coefficients(s: int) -> _Coefficients:
    """The method's coefficients, from Chebyshev polynomials and their derivatives at ``w₀ = 1 + ε/s²``."""
    w0 = 1 + DAMPING / s**2
    T, T1, T2 = np.ones(s + 1), np.zeros(s + 1), np.zeros(s + 1)
    T[1], T1[1] = w0, 1.0
    for j in range(2, s + 1):
        T[j] = 2 * w0 * T[j - 1] - T[j - 2]
        T1[j] = 2 * T[j - 1] + 2 * w0 * T1[j - 1] - T1[j - 2]
        T2[j] = 4 * T1[j - 1] + 2 * w0 * T2[j - 1] - T2[j - 2]
    w1 = T1[s] / T2[s]
    b = np.empty(s + 1)
    b[2:] = T2[2:] / T1[2:] ** 2
    b[:2] = b[2]
    c = np.zeros(s + 1)
    c[2:] = w1 * T2[2:] / T1[2:]
    c[1] = c[2] / (4 * w0)
    mu, nu, mu_tilde, gamma_tilde = np.zeros((4, s + 1))
    mu[2:] = 2 * w0 * b[2:] / b[1:-1]
    nu[2:] = -b[2:] / b[:-2]
    mu_tilde[2:] = 2 * w1 * b[2:] / b[1:-1]
    gamma_tilde[2:] = -(1 - b[1:-1] * T[1:-1]) * mu_tilde[2:]
    return _Coefficients(float(b[1] * w1), mu, nu, mu_tilde, gamma_tilde, c)
