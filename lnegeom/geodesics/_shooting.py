"""Boundary value problems: the velocity that arrives."""

from __future__ import annotations

import contextlib

import numpy as np

from lnegeom._array import GeometryError, InputError
from lnegeom.geodesics._ode import BRIEF, TOLERANCE, Transport, Vector, unavoidable

_DENSE = 50
"""Up to this dimension, collocation's Jacobian is formed."""
_POINTS = 1500
"""Points, times the dimension, at which collocation asks for the connection before it is called off."""


def shoot(transport: Transport, x: Vector, y: Vector) -> tuple[Vector, float]:
    """The velocity at x of a geodesic that is at y at time 1, and by how much it misses y.

    Broyden's method, which forms no matrix, from the identity, the derivative of exp at 0. Where that does
    not converge, up to 50 dimensions, again from what collocation finds near the chart's straight line.
    """
    start = y - x
    # The second-order retraction's inverse starts the iteration an order closer than the straight line does.
    attempt = _Attempt(transport, x, y)
    attempt.run(start + transport.bend(x, start, start) / 2)
    goal = 100 * attempt.tolerance * (1 + float(np.abs(y).max()))
    if attempt.missed > goal and x.size <= _DENSE:
        with contextlib.suppress(InputError):  # the iteration left the chart
            attempt.run(_collocated(transport, x, y))
    if attempt.missed > goal:
        raise GeometryError(
            f"no geodesic from x to y was found: the nearest missed by {attempt.missed:.3g}; y may be past "
            "a conjugate point, or out of reach within the chart"
        )
    return attempt.best, attempt.missed


class _Attempt:
    """The best velocity so far."""

    def __init__(self, transport: Transport, x: Vector, y: Vector):
        self.transport, self.x, self.y = transport, x, y
        self.best, self.missed = np.zeros_like(x), np.inf
        noise = transport.noise(np.concatenate([x, y - x]))
        self.tolerance = max(TOLERANCE, unavoidable(noise, np.array([0.0, 1.0])))

    def run(self, start: Vector) -> None:
        """Broyden's method."""
        from scipy.optimize import NoConvergence, broyden1

        # GeometryError: a velocity too large; ValueError: an update that is not a number
        failures = (NoConvergence, GeometryError, ValueError)
        with np.errstate(all="ignore"), contextlib.suppress(*failures):
            broyden1(self._gap, start, alpha=-1, f_tol=self.tolerance, maxiter=15, line_search=None)

    def _gap(self, v: Vector) -> Vector:
        gap: Vector = self.transport.end(self.x, v, effort=BRIEF)[: self.x.size] - self.y
        missed = float(np.abs(gap).max())
        if missed < self.missed:
            self.best, self.missed = v.copy(), missed
        return gap


def _collocated(transport: Transport, x: Vector, y: Vector) -> Vector:
    """The initial velocity, by scipy's collocation of fourth order."""
    from scipy.integrate import solve_bvp

    n, step, spent = x.size, (y - x)[:, None], 0
    times = np.linspace(0, 1, 21)

    def slope(_: Vector, states: Vector) -> Vector:
        nonlocal spent
        spent += states.shape[1]
        if spent > _POINTS * n:
            raise GeometryError("collocation does not converge")
        points, velocities = states[:n].T, states[n:].T
        return np.vstack([states[n:], -transport.bend(points, velocities, velocities).T])

    def ends(first: Vector, last: Vector) -> Vector:
        return np.concatenate([first[:n] - x, last[:n] - y])

    guess = np.vstack([x[:, None] + step * times, np.broadcast_to(step, (n, times.size))])
    with np.errstate(all="ignore"):
        found = solve_bvp(slope, ends, times, guess, tol=1e-3, max_nodes=500)
    velocity: Vector = found.y[n:, 0]
    return velocity
