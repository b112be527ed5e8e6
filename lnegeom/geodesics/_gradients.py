"""First derivatives of integrated geodesics, logarithms and distances, as rules for torch and JAX.

None goes back through the steps of a solver: ends have the adjoint equation, logarithms the implicit function
theorem, distances the first variation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lnegeom._array import Array, GeometryError
from lnegeom.connections import Connection
from lnegeom.geodesics._adjoint import Adjoint, check_parameters
from lnegeom.geodesics._arrays import Vector
from lnegeom.geodesics._ode import Transport
from lnegeom.geodesics._rules import Rows, Rule
from lnegeom.metrics import Metric

_DENSE = 50
"""Up to this dimension, the derivative of exp is formed as a matrix."""
_RESIDUAL = 1e-10
"""Of the equation for the derivative of a logarithm, relative, in higher dimensions."""
_CONJUGATE = (
    "a logarithm has no derivative, as y is conjugate to x, or nearly so; move one of the points a little"
)


def ends_rule(
    connection: Connection, ends: Callable[[Array, Vector], Vector], shape: tuple[int, int]
) -> Rule:
    """States at time 1 of states at time 0, point, velocity and parallel vectors, which `ends` finds."""

    def value(like: Array, states: Vector) -> Rows:
        Adjoint(connection, like).check(states)
        return (ends(like, states),)

    def pull(like: Array, states: Vector, at_end: Vector, covectors: Vector) -> Rows:
        return (Adjoint(connection, like).back(at_end, covectors),)

    return Rule(value, pull, (shape,), (shape,))


def path_rule(connection: Connection, states: Vector, fields: bool) -> Rule:
    """States at many times, which are known, ``(r, T, m, n)``, of those at time 0, and of the times ``(T,)``.

    Of the times no derivative is told. With `fields`, states are those of `Transport.spread`.
    """
    samples, m, n = states.shape[1:]
    # What is at time t of velocities v is at time 1 of velocities tv.
    count = m // 2 - 1  # of Jacobi fields, if any
    powers = np.array([0, 1, *[0] * count, *[1] * count])

    def value(like: Array, start: Vector, times: Vector) -> Rows:
        Adjoint(connection, like, fields).check(start)
        return (states,)

    def pull(like: Array, start: Vector, times: Vector, at_times: Vector, covectors: Vector) -> Rows:
        moving = (times > 0)[..., None, None]
        scale = np.where(moving, times[..., None, None], 1) ** powers[:, None]
        turned = np.where(moving, covectors / scale, 0)
        flat = (-1, m, n)
        adjoint = Adjoint(connection, like, fields)
        back = adjoint.back((scale * at_times).reshape(flat), turned.reshape(flat)).reshape(turned.shape)
        return np.where(moving, scale * back, covectors).sum(axis=1), np.zeros_like(times)

    return Rule(value, pull, ((m, n), (samples,)), ((samples, m, n),))


def log_rule(connection: Connection, velocities: Callable[[Array, Vector, Vector], Vector], n: int) -> Rule:
    """Velocities of geodesics between points, which `velocities` finds, by ``exp(x, v) = y``."""

    def value(like: Array, x: Vector, y: Vector) -> Rows:
        Adjoint(connection, like).check(np.stack([x, y - x], axis=1))
        return (velocities(like, x, y),)

    def pull(like: Array, x: Vector, y: Vector, v: Vector, covector: Vector) -> Rows:
        solve = _solved if n <= _DENSE else _iterated
        by_x, by_y = solve(connection, like, x, v, covector)
        return -by_x, by_y

    return Rule(value, pull, ((n,), (n,)), ((n,),))


def log_slopes(connection: Connection, like: Array, x: Vector, v: Vector) -> Vector:
    """Derivatives ``(r, n, n)`` of logarithms v, at x, by x."""
    by_x, by_v = _exp_slopes(connection, like, x, v)
    return -_inverted(by_v, by_x)


def distance_rule(metric: Metric, velocities: Callable[[Array, Vector, Vector], Vector], n: int) -> Rule:
    """Distances between points, and velocities, by the first variation ``∂½d² = (−v♭, u♭)``.

    v is the velocity at the first point, u that at the second. Of the velocities no derivative is told.
    """

    def value(like: Array, x: Vector, y: Vector) -> Rows:
        check_parameters(metric, like, x[:1])
        v = velocities(like, x, y)
        return Transport(metric, like).evaluated(metric.norm, x, v), v

    def pull(like: Array, x: Vector, y: Vector, d: Vector, v: Vector, change: Vector, _: Vector) -> Rows:
        transport = Transport(metric, like)
        u = transport.ends(x, v).states[:, 1]
        rate = np.where(d > 0, change / np.where(d > 0, d, 1), 0)[:, None]
        return -rate * transport.evaluated(metric.flat, x, v), rate * transport.evaluated(metric.flat, y, u)

    return Rule(value, pull, ((n,), (n,)), ((), (n,)))


def _exp_slopes(connection: Connection, like: Array, x: Vector, v: Vector) -> tuple[Vector, Vector]:
    """Derivatives of exp by points and velocities, ``(r, n, n)`` each, a row at a time."""
    count, n = x.shape
    ends = np.repeat(Transport(connection, like).ends(x, v).states, n, axis=0)
    covectors = np.zeros_like(ends)
    covectors[:, 0] = np.tile(np.eye(n), (count, 1))
    found = Adjoint(connection, like).back(ends, covectors).reshape(count, n, 2, n)
    return found[:, :, 0], found[:, :, 1]


def _solved(connection: Connection, like: Array, x: Vector, v: Vector, covector: Vector) -> Rows:
    """``E_xᵀ q`` and the q with ``E_vᵀ q = c``, where E is the derivative of exp at (x, v)."""
    by_x, by_v = _exp_slopes(connection, like, x, v)
    q = _inverted(by_v.swapaxes(1, 2), covector[..., None])
    return (by_x.swapaxes(1, 2) @ q)[..., 0], q[..., 0]


def _inverted(by_v: Vector, right: Vector) -> Vector:
    try:
        return np.linalg.solve(by_v, right)
    except np.linalg.LinAlgError:
        raise GeometryError(_CONJUGATE) from None


def _iterated(connection: Connection, like: Array, x: Vector, v: Vector, covector: Vector) -> Rows:
    """As `_solved`, with no matrix."""
    from scipy.sparse.linalg import LinearOperator, gmres

    adjoint, n = Adjoint(connection, like), x.shape[1]

    def solved(ends: Vector, right: Vector) -> Vector:
        def back(q: Vector) -> Vector:
            found: Vector = adjoint.back(ends[None], np.stack([q.ravel(), np.zeros(n)])[None])[0]
            return found

        operator = LinearOperator((n, n), matvec=lambda q: back(q)[1], dtype=float)
        q, failed = gmres(operator, right, rtol=_RESIDUAL, restart=_DENSE, maxiter=2)
        if failed:
            raise GeometryError(_CONJUGATE)
        return np.stack([back(q)[0], q])

    states = Transport(connection, like).ends(x, v).states
    found = np.stack([solved(*row) for row in zip(states, covector, strict=True)])
    return found[:, 0], found[:, 1]
