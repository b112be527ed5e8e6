"""Initial value problems along geodesics, on numpy float64.

scipy's eighth-order Runge–Kutta method takes steps that cost a few `christoffel_apply`, which are O(n) where
the metric's structure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, to_numpy
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


class Transport:
    """Right-hand sides along a geodesic in numpy float64; the connection sees the user's kind of arrays."""

    def __init__(self, connection: Connection, like: Array):
        self.connection = connection
        self.n = int(like.shape[-1])
        xp, device = array_api_compat.array_namespace(like), array_api_compat.device(like)
        self._theirs = lambda array: xp.asarray(array, dtype=xp.float64, device=device)

    def bend(self, x: Vector, u: Vector, v: Vector) -> Vector:
        """``Γ^k_ij u^i v^j``, where batch axes broadcast."""
        x, u, v = self._theirs(x), self._theirs(u), self._theirs(v)
        return to_numpy(self.connection.christoffel_apply(x, u, v))

    def tidal(self, x: Vector, v: Vector) -> Vector:
        """The matrix of ``J ↦ R(J, v) v``, from ``R^r_smv v^s J^m v^v``."""
        x = self._theirs(x)
        own = isinstance(self.connection, Metric)
        tensor = self.connection.riemann(x) if own else self.connection.curvature(x)
        matrix: Vector = np.einsum("rsma,s,a->rm", to_numpy(tensor), v, v)
        return matrix

    def slope(self, _: float, state: Vector) -> Vector:
        """Of a state of point, velocity and parallel vectors, each of n entries."""
        n = self.n
        x, velocity, vectors = state[:n], state[n : 2 * n], state[n:]
        if len(vectors) > n:
            vectors = vectors.reshape(-1, n)
        return np.concatenate([velocity, -self.bend(x, velocity, vectors).ravel()])

    def spread(self, m: int) -> Callable[[float, Vector], Vector]:
        """The slope of a state of point, velocity, m Jacobi fields, their m slopes, and parallel vectors."""
        n = self.n

        def slope(_: float, state: Vector) -> Vector:
            x, v, rest = state[:n], state[n : 2 * n], state[n:].reshape(-1, n)
            change = -self.bend(x, v, rest)
            change[1 : m + 1] += rest[m + 1 : 2 * m + 1]
            change[m + 1 : 2 * m + 1] -= rest[1 : m + 1] @ self.tidal(x, v).T
            return np.concatenate([v, change.ravel()])

        return slope

    def end(self, x: Vector, v: Vector, *carried: Vector) -> Vector:
        """The state at time 1: point, velocity and carried vectors; raises if it is not reached."""
        state = np.concatenate([np.ravel(part) for part in (x, v, *carried)])
        states, reached = solve(self.slope, state, np.array([0.0, 1.0]))
        if len(states) < 2:
            raise GeometryError(
                f"the geodesic leaves the manifold near t = {reached:.6g}, before t = 1; shorten the velocity"
            )
        end: Vector = states[-1]
        return end

    def ends(self, x: Vector, velocities: Vector) -> Vector:
        """Points ``(m, n)`` at time 1 of geodesics from one point, integrated together, step by step."""
        m, n = velocities.shape

        def slope(_: float, state: Vector) -> Vector:
            points, moving = state.reshape(2, m, n)
            return np.concatenate([moving.ravel(), -self.bend(points, moving, moving).ravel()])

        state = np.concatenate([np.broadcast_to(x, (m, n)).ravel(), velocities.ravel()])
        states, _ = solve(slope, state, np.array([0.0, 1.0]))
        if len(states) < 2:
            raise GeometryError("a geodesic leaves the manifold before t = 1")
        ends: Vector = states[-1, : m * n].reshape(m, n)
        return ends


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
