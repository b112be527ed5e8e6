"""Initial value problems along geodesics, on numpy float64.

scipy's eighth-order Runge–Kutta method takes steps that cost a few `christoffel_apply`, which are O(n) where
the metric's structure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import GeometryError, InputError
from lnegeom.connections import DualConnections
from lnegeom.metrics import Metric

Connection = Metric | DualConnections
"""What geodesics belong to: a metric's Levi-Civita connection, or any other."""

Vector = NDArray[Any]

TOLERANCE = 1e-10
_SMALLEST_STEP = 1e-12


def metric_of(connection: Connection) -> Metric:
    """Return the metric, whose chart a connection shares."""
    if isinstance(connection, Metric):
        return connection
    if isinstance(connection, DualConnections):
        return connection.metric
    raise InputError(
        f"expected a Metric or a connection such as KL(family).connections(), got {connection!r}"
    )


def bend(connection: Connection, x: Vector, u: Vector, v: Vector) -> Vector:
    """``Γ^k_ij u^i v^j`` at one point for one u and vectors v ``(m, n)``."""
    if isinstance(connection, Metric):
        if len(v) == 1:
            return np.asarray(connection.christoffel_apply(x, u, v[0]))[None]
        return np.asarray(connection.christoffel_apply(x, u, v))
    found: Vector = (u @ connection.christoffel(x) @ v.T).T
    return found


def along(connection: Connection, n: int) -> Callable[[float, Vector], Vector]:
    """Right-hand side of a state of point, velocity and parallel vectors, each of n entries."""

    def slope(_: float, state: Vector) -> Vector:
        velocity, vectors = state[n : 2 * n], state[n:].reshape(-1, n)
        return np.concatenate([velocity, -bend(connection, state[:n], velocity, vectors).ravel()])

    return slope


def solve(
    slope: Callable[[float, Vector], Vector], state: Vector, times: Vector, tolerance: float = TOLERANCE
) -> tuple[Vector, float]:
    """States ``(T', …)`` at those of the increasing times that were reached, and the last time reached.

    A `GeometryError` within a step, from a stage outside the manifold, shortens the steps from the last good
    state on; at the first state it is raised.
    """
    from scipy.integrate import DOP853

    slope(times[0], state)  # a first point outside the manifold raises here, by name
    now, kept, longest = times[0], [state], np.inf
    while len(kept) < len(times):
        try:
            solver = DOP853(slope, now, state, times[-1], max_step=longest, rtol=tolerance, atol=tolerance)
            while len(kept) < len(times):
                if solver.status != "running":
                    return np.array(kept), now
                solver.step()
                inner = times[len(kept)] < solver.t
                between = solver.dense_output() if inner else lambda _, solver=solver: solver.y
                while len(kept) < len(times) and times[len(kept)] <= solver.t:
                    kept.append(between(times[len(kept)]))
                now, state = solver.t, solver.y
        except GeometryError:
            longest = min(longest, max(times[-1] - now, 0.0)) / 4
            if longest < _SMALLEST_STEP * max(1.0, times[-1]):
                break
    return np.array(kept), now


def end_of(connection: Connection, x: Vector, v: Vector, carried: Vector | None = None) -> Vector:
    """The state at time 1: point, velocity and carried vectors, in one row; raises if it is not reached."""
    state = np.concatenate([x, v] if carried is None else [x, v, carried.ravel()])
    states, reached = solve(along(connection, x.size), state, np.array([0.0, 1.0]))
    if len(states) < 2:
        raise GeometryError(
            f"the geodesic leaves the manifold near t = {reached:.6g}, before t = 1; shorten the velocity"
        )
    end: Vector = states[-1]
    return end


def ends_of(connection: Connection, x: Vector, velocities: Vector) -> Vector:
    """Points ``(m, n)`` at time 1 of geodesics from one point, integrated together, step by step."""
    m, n = velocities.shape

    def slope(_: float, state: Vector) -> Vector:
        points, moving = state.reshape(2, m, n)
        return np.concatenate([moving.ravel(), -_bends(connection, points, moving).ravel()])

    state = np.concatenate([np.broadcast_to(x, (m, n)).ravel(), velocities.ravel()])
    states, _ = solve(slope, state, np.array([0.0, 1.0]))
    if len(states) < 2:
        raise GeometryError("a geodesic leaves the manifold before t = 1")
    ends: Vector = states[-1, : m * n].reshape(m, n)
    return ends


def _bends(connection: Connection, x: Vector, v: Vector) -> Vector:
    """``Γ^k_ij v^i v^j`` at points and vectors ``(m, n)``."""
    if isinstance(connection, Metric):
        return np.asarray(connection.christoffel_apply(x, v, v))
    return np.asarray(np.einsum("mkij,mi,mj->mk", connection.christoffel(x), v, v))
