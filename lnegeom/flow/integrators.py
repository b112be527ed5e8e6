"""Time steppers for semilinear systems ``u' = L u + N(u)`` with L diagonal; they know nothing of the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lnegeom._array import Array


def integrating_factor_rk4(
    xp: Any, linear: Array, nonlinear: Callable[[Array], Array], dt: float
) -> Callable[[Array], Array]:
    """Return the step ``u(t) → u(t + dt)`` of the classical Runge–Kutta method on ``v = exp(−L t) u``.

    L is integrated exactly and only N limits dt. The global error is O(dt⁴). Frozen at one mode with
    ``N = ∓μ|L| u`` the growth factor is ``exp(−z) |P₄(∓μz)|``, ``z = |L| dt``, with P₄ the fourth Taylor
    polynomial of exp: at most 1 for all z if μ ≤ 1.

    Parameters
    ----------
    xp : module
        Array namespace of `linear` and of the state.
    linear : array
        Diagonal of L, broadcasting against the state.
    nonlinear : callable
        N, autonomous.
    dt : float
        Time step.

    References
    ----------
    S. M. Cox and P. C. Matthews, J. Comput. Phys. 176 (2002), §2; A.-K. Kassam and L. N. Trefethen, SIAM J.
    Sci. Comput. 26 (2005).
    """
    half = xp.exp(0.5 * dt * linear)
    full = half * half

    def step(u: Array) -> Array:
        a = nonlinear(u)
        half_u = half * u
        b = nonlinear(half_u + (0.5 * dt) * (half * a))
        c = nonlinear(half_u + (0.5 * dt) * b)
        d = nonlinear(half * (half_u + dt * c))
        return full * (u + (dt / 6) * a) + (dt / 3) * (half * (b + c)) + (dt / 6) * d

    return step
