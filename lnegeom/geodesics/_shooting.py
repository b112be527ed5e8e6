"""Boundary value problems: the velocity that arrives, by shooting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lnegeom._array import GeometryError
from lnegeom.geodesics._ode import TOLERANCE, Connection, Vector, bend, end_of, ends_of

_DENSE = 50
"""Up to this dimension, the derivative of the end by the velocity is formed."""


def shoot(connection: Connection, x: Vector, y: Vector) -> tuple[Vector, float]:
    """The velocity at x of a geodesic that is at y at time 1, and by how much it misses y.

    scipy's trust-region least squares up to 50 dimensions, Newton–Krylov, which forms no matrix, above.
    """
    scale = 1 + float(np.abs(y).max())

    def miss(v: Vector) -> Vector:
        try:
            gap: Vector = end_of(connection, x, v)[: x.size] - y
            return gap
        except GeometryError:
            return np.full_like(y, 1e3 * scale)  # a step too far: the solver shortens it

    start = y - x
    # The second-order retraction's inverse starts the iteration an order closer than the straight line does.
    start = start + bend(connection, x, start, start[None])[0] / 2
    if x.size <= _DENSE:
        v = _least_squares(miss, lambda many: ends_of(connection, x, many), start)
    else:
        v = _newton_krylov(miss, start)
    missed = float(np.abs(miss(v)).max())
    if not missed < 1e3 * TOLERANCE * scale:
        raise GeometryError(
            f"shooting from x did not arrive at y: it remained {missed:.3g} away; y may be past a conjugate "
            "point, or out of reach within the chart"
        )
    return v, missed


def _least_squares(
    miss: Callable[[Vector], Vector], ends: Callable[[Vector], Vector], start: Vector
) -> Vector:
    from scipy.optimize import least_squares

    n = start.size

    def derivative(v: Vector) -> Vector:
        # Neighbours integrated together take the same steps: errors cancel in their differences (Bock).
        step = 1e-6 * (1 + float(np.abs(v).max()))
        try:
            images = ends(v + step * np.vstack([np.zeros(n), np.eye(n)]))
        except GeometryError:
            return np.eye(n)
        jacobian: Vector = (images[1:] - images[0]).T / step
        return jacobian

    return np.asarray(least_squares(miss, start, derivative, xtol=1e-15, ftol=1e-15, gtol=1e-15).x)


def _newton_krylov(miss: Callable[[Vector], Vector], start: Vector) -> Vector:
    from scipy.optimize import NoConvergence, newton_krylov

    try:
        return np.asarray(newton_krylov(miss, start, f_tol=10 * TOLERANCE))
    except NoConvergence as error:
        return np.asarray(error.args[0])
