"""Initial value problems along geodesics, on numpy float64.

scipy's eighth-order Runge–Kutta method takes steps that cost a few `christoffel_apply`, which are O(n) where
the metric's structure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, to_numpy
from lnegeom.connections import Connection
from lnegeom.metrics import Metric

Vector = NDArray[Any]

TOLERANCE = 1e-10
"""Of an integration step, relative and absolute, where rounding is the connection's only error."""


class Effort(NamedTuple):
    """How far to go before an end is called near: the number of steps, and the length of the shortest."""

    steps: float
    shortest: float


_STALL, _PACE = 250, 1e-4
"""Steps that together advance by less than this part of the time before them approach an edge without end."""
THOROUGH = Effort(np.inf, 1e-12)
BRIEF = Effort(300, 1e-3)


class Transport:
    """Right-hand sides along a geodesic in numpy float64; the connection sees the user's kind of arrays."""

    def __init__(self, connection: Connection, like: Array):
        self.connection = connection
        self.n = int(like.shape[-1])
        xp, device = array_api_compat.array_namespace(like), array_api_compat.device(like)
        self._theirs: Callable[[Vector], Array] = lambda array: xp.asarray(
            array, dtype=xp.float64, device=device
        )

    def bend(self, x: Vector, u: Vector, v: Vector) -> Vector:
        """``Γ^k_ij u^i v^j``, where batch axes broadcast."""
        x, u, v = self._theirs(x), self._theirs(u), self._theirs(v)
        return to_numpy(self.connection.christoffel_apply(x, u, v))

    def noise(self, state: Vector) -> float:
        """Estimated error of an entry of `slope`, from that of Christoffel symbols."""
        x = self._theirs(state[: self.n])
        error = self.connection._christoffel_error(array_api_compat.array_namespace(x), x)
        if not error:
            return 0.0
        sizes = np.abs(state[self.n :]).reshape(-1, self.n).sum(axis=1)
        return error * float(sizes[0] * sizes.max())

    def tidal(self, x: Vector, v: Vector) -> Vector:
        """The matrix of ``J ↦ R(J, v) v``, from ``R^r_smv v^s J^m v^v``."""
        x = self._theirs(x)
        its = self.connection
        tensor = its.riemann(x) if isinstance(its, Metric) else its.curvature(x)
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

    def end(self, x: Vector, v: Vector, *carried: Vector, effort: Effort = THOROUGH) -> Vector:
        """The state at time 1: point, velocity and carried vectors; raises if it is not reached."""
        state = np.concatenate([np.ravel(part) for part in (x, v, *carried)])
        states, reached = solve(self.slope, state, np.array([0.0, 1.0]), effort=effort, noise=self.noise)
        if len(states) < 2:
            raise GeometryError(
                f"the geodesic leaves the manifold near t = {reached:.6g}, before t = 1; shorten the velocity"
            )
        end: Vector = states[-1]
        return end


def solve(
    slope: Callable[[float, Vector], Vector],
    state: Vector,
    times: Vector,
    tolerance: float = TOLERANCE,
    effort: Effort = THOROUGH,
    noise: Callable[[Vector], float] = lambda _: 0.0,
) -> tuple[Vector, float]:
    """States ``(T', …)`` at those of the increasing times that were reached, and the last time reached.

    `noise` is the error of the slope at a state. A tolerance below what that adds up to over all the time
    would shrink the steps without end and gain nothing, so it is raised.

    An error within a step, from a stage outside the manifold or where no derivatives are to be had, shortens
    the steps from the last good state on; at the first state it is raised. It ends where no step is short
    enough, or all are spent; or where velocities grow without bound and steps shrink with what time is left.
    """
    from scipy.integrate import DOP853

    slope(times[0], state)  # a first point outside the manifold raises here, by name
    now, kept, longest, steps = times[0], [state], np.inf, effort.steps
    taken, mark = 0, now
    while len(kept) < len(times) and longest >= effort.shortest * max(1.0, times[-1]):
        try:
            used = max(tolerance, unavoidable(noise(state), times))
            solver = DOP853(slope, now, state, times[-1], max_step=longest, rtol=used, atol=used)
            while len(kept) < len(times):
                if solver.status != "running" or steps <= 0:
                    return np.array(kept), now
                steps -= 1
                solver.step()
                inner = times[len(kept)] < solver.t
                between = solver.dense_output() if inner else lambda _, solver=solver: solver.y
                while len(kept) < len(times) and times[len(kept)] <= solver.t:
                    kept.append(between(times[len(kept)]))
                now, state, taken = solver.t, solver.y, taken + 1
                if taken % _STALL == 0:
                    if now - mark < _PACE * (mark - times[0]):
                        return np.array(kept), now
                    mark = now
                if unavoidable(noise(state), times) > 2 * used:
                    break
        except InputError:
            longest = min(longest, max(times[-1] - now, 0.0)) / 4
    return np.array(kept), now


def unavoidable(noise: float, times: Vector) -> float:
    """The least tolerance of a step that makes sense over the times, for slopes with an error."""
    return noise * float(times[-1] - times[0])


def checked(
    transport: Transport,
    slope: Callable[[float, Vector], Vector],
    state: Vector,
    times: Vector,
    tolerance: float = TOLERANCE,
) -> tuple[Vector, float, float]:
    """What `solve` finds, and the estimated largest error of an entry of a point.

    That is the difference to a run at ten times the tolerance, and what the largest error of an acceleration,
    among a few states, amounts to if it lasts.
    """
    states, reached = solve(slope, state, times, tolerance, noise=transport.noise)
    rough, _ = solve(
        slope, state, times[: len(states)], 10 * tolerance, noise=lambda state: 10 * transport.noise(state)
    )
    # The rougher run may leave a sample earlier.
    gap = np.abs(states[: len(rough), : transport.n] - rough[:, : transport.n]).max()
    worst = max(transport.noise(state) for state in states[:: -max(1, len(states) // 8)])
    return states, reached, float(gap + worst * (times[len(states) - 1] - times[0]) ** 2 / 2)
