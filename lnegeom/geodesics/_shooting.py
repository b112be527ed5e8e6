"""Boundary value problems: the velocity that arrives, by shooting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from lnegeom._array import GeometryError
from lnegeom.geodesics._ode import TOLERANCE, Transport, Vector

_DENSE = 50
"""Up to this dimension, the derivative of the end by the velocity is formed."""


def shoot(transport: Transport, x: Vector, y: Vector) -> tuple[Vector, float]:
    """The velocity at x of a geodesic that is at y at time 1, and by how much it misses y.

    Broyden's method, which forms no matrix, from the identity, the derivative of exp at 0; where it does not
    converge, up to 50 dimensions, Powell's hybrid method with the derivative of exp. Both are scipy's.
    """
    goal = 100 * TOLERANCE * (1 + float(np.abs(y).max()))
    best, missed = x, np.inf

    def miss(v: Vector) -> Vector:
        nonlocal best, missed
        try:
            gap: Vector = transport.end(x, v)[: x.size] - y
        except GeometryError:
            return np.full_like(y, goal / TOLERANCE)  # a step too far: the solver shortens it
        if np.abs(gap).max() < missed:
            best, missed = v.copy(), float(np.abs(gap).max())
        return gap

    start = y - x
    # The second-order retraction's inverse starts the iteration an order closer than the straight line does.
    start = start + transport.bend(x, start, start) / 2
    _broyden(miss, start)
    if missed > goal and x.size <= _DENSE:
        _powell(transport, x, miss, start)
    if missed > goal:
        raise GeometryError(
            f"shooting from x did not arrive at y: it remained {missed:.3g} away; y may be past a conjugate "
            "point, or out of reach within the chart"
        )
    return best, missed


def _powell(transport: Transport, x: Vector, miss: Callable[[Vector], Vector], start: Vector) -> None:
    from scipy.optimize import root

    n = start.size

    def derivative(v: Vector) -> Vector:
        # Neighbours integrated together take the same steps: errors cancel in their differences (Bock).
        step = 1e-6 * (1 + float(np.abs(v).max()))
        try:
            images = transport.ends(x, v + step * np.vstack([np.zeros(n), np.eye(n)]))
        except GeometryError:
            return np.eye(n)
        jacobian: Vector = (images[1:] - images[0]).T / step
        return jacobian

    root(miss, start, jac=derivative, method="hybr", options={"xtol": TOLERANCE / 10})


def _broyden(miss: Callable[[Vector], Vector], start: Vector) -> None:
    from scipy.optimize import NoConvergence, broyden1

    # ValueError: an update that is not a number
    with np.errstate(all="ignore"), contextlib.suppress(NoConvergence, ValueError):
        broyden1(miss, start, alpha=-1, f_tol=TOLERANCE, maxiter=30)
