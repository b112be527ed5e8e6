"""Jacobi fields and conjugate points: how neighbouring geodesics spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_vectors, positive
from lnegeom.connections import Connection
from lnegeom.geodesics._arrays import double, one_point, pointwise, returner, validated_points
from lnegeom.geodesics._maps import velocity_between
from lnegeom.geodesics._ode import Transport, Vector, checked, solve
from lnegeom.geodesics._path import Geodesic, outcome

_GRID = 128
"""Intervals in which a conjugate point is looked for."""
_SINGULAR = 1e-6
"""Relative size below which a singular value of the derivative of exp counts as zero."""


@dataclass(frozen=True)
class JacobiField(Geodesic):
    """A geodesic with Jacobi fields along it.

    Attributes
    ----------
    fields, slopes : array
        J and its covariant derivative along the geodesic, ``(T, n)`` or, for m fields, ``(T, m, n)``.
    """

    fields: Array
    slopes: Array


@dataclass(frozen=True)
class ConjugatePoint:
    """Where geodesics that spread from a point first meet again, to first order.

    Attributes
    ----------
    time : float
    point : array
        Shape ``(n,)``.
    multiplicity : int
        The dimension of the Jacobi fields that vanish at both ends.
    """

    time: float
    point: Array
    multiplicity: int


@dataclass(frozen=True)
class Logarithm:
    """What is known of the geodesics that `log` finds.

    Attributes
    ----------
    velocities : array
        Shape ``(..., n)``.
    errors : array
        By how much each geodesic misses y at time 1, ``(...)``; 0 in closed form.
    conjugate : array
        Time of the first conjugate point up to time 1, ``(...)``; infinite where there is none.
    status : array of str
        "regular" where there is none: the geodesic is the shortest of those near it. "conjugate" where there
        is one up to time 1: beyond it, shorter curves are near. That a geodesic is the shortest of all is
        claimed only in closed form, and within a convex ball.
    """

    velocities: Array
    errors: Array
    conjugate: Array
    status: np.ndarray[Any, Any]


def jacobi_field(
    connection: Connection,
    x: Any,
    v: Any,
    start: Any,
    slope: Any,
    t_end: float = 1.0,
    *,
    samples: int = 101,
) -> JacobiField:
    """Jacobi fields along a geodesic, ``D²J/dt² = −R(J, γ̇) γ̇``.

    The field with J(0) = 0 and slope w is the derivative of ``exp_x(tv)`` by v along w.

    Parameters
    ----------
    connection : Metric or DualConnections
        Torsion-free.
    x, v : array
        One point and one velocity, ``(n,)``.
    start, slope : array
        J and DJ/dt at time 0, ``(n,)`` or, for m fields, ``(m, n)``.
    t_end : float
        Length of time, positive.
    samples : int
        Number of times, evenly from 0 to `t_end`, at least 2.

    Returns
    -------
    JacobiField
        With status "left", and the part before, if the manifold is left on the way.

    Examples
    --------
    On the unit sphere, geodesics of unit speed spread as sin t:

    >>> import lnegeom
    >>> found = lnegeom.jacobi_field(lnegeom.Sphere(2), [0, 0], [0.5, 0], [0, 0], [0, 0.5], samples=2)
    >>> round(float(lnegeom.Sphere(2).norm(found.points[-1], found.fields[-1])), 9)  # sin 1
    0.841470985
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be an integer of at least 2, got {samples!r}")
    _, x, v = one_point(connection, x, v)
    xp, _, start, slope = as_floating(x=x, start=start, slope=slope)
    n = x.shape[-1]
    for name, value in (("start", start), ("slope", slope)):
        check_vectors(xp, value, name, n)
    if start.shape != slope.shape or start.ndim > 2:
        raise GeometryError(
            f"start has shape {tuple(start.shape)}, slope {tuple(slope.shape)}: expected both (n,) or (m, n)"
        )
    times = np.linspace(0, positive("t_end", t_end), samples)
    state = np.concatenate([double(part).ravel() for part in (x, v, start, slope)])
    transport = Transport(connection, x)
    rate = transport.spread(state.size // (2 * n) - 1)
    states, reached, error = checked(transport, rate, state, times)
    back, fields = returner(x), states[:, 2 * n :].reshape(len(states), 2, *start.shape)
    return JacobiField(
        back(times[: len(states)]),
        back(states[:, :n]),
        back(states[:, n : 2 * n]),
        *outcome(len(states) == samples, float(times[-1]), reached),
        error,
        back(fields[:, 0]),
        back(fields[:, 1]),
    )


def conjugate_point(connection: Connection, x: Any, v: Any, t_end: float) -> ConjugatePoint | None:
    """The first point conjugate to x along the geodesic with velocity v, up to time `t_end`, if there is one.

    There, the derivative of exp is singular: beyond it, a geodesic is not the shortest of those near it. The
    least singular value in a parallel frame is sampled at 128 times and its minima refined, in O(n⁴) a step.

    Raises
    ------
    GeometryError
        If the geodesic leaves the manifold before `t_end`, and before a conjugate point.

    Examples
    --------
    >>> import lnegeom
    >>> sphere = lnegeom.Sphere(3)
    >>> found = lnegeom.conjugate_point(sphere, [0.2, 0, 0], [0, 0.52, 0], t_end=4.0)  # of unit speed
    >>> round(found.time, 6), found.multiplicity
    (3.141593, 2)
    """
    _, x, v = one_point(connection, x, v)
    found = _first_conjugate(Transport(connection, x), double(x), double(v), positive("t_end", t_end))
    return None if found is None else ConjugatePoint(found[0], returner(x)(found[1]), found[2])


def logarithm(connection: Connection, x: Any, y: Any) -> Logarithm:
    """The geodesics of `log`, how exactly they arrive, and the conjugate points on their way.

    Examples
    --------
    >>> import lnegeom
    >>> found = lnegeom.logarithm(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 2.0])
    >>> found.velocities.round(9), str(found.status)
    (array([0.        , 0.69314718]), 'regular')
    """
    xp, x, y = validated_points(connection, x, y)
    velocities, errors = velocity_between(connection, xp, x, y)

    transport = Transport(connection, x)

    def first(point: Vector, velocity: Vector) -> Vector:
        found = _first_conjugate(transport, point, velocity, 1.0) if velocity.any() else None
        return np.asarray(np.inf if found is None else found[0])

    times = pointwise(first, x, velocities)
    status = np.where(np.isinf(times), "regular", "conjugate")
    return Logarithm(velocities, errors, returner(x)(times), status)


def _first_conjugate(
    transport: Transport, x: Vector, v: Vector, t_end: float
) -> tuple[float, Vector, int] | None:
    """Time, point and multiplicity."""
    from scipy.optimize import minimize_scalar

    n = x.size
    slope = transport.spread(n)
    times = np.linspace(0, t_end, _GRID + 1)
    frame = np.eye(n).ravel()
    states, reached = solve(
        slope, np.concatenate([x, v, np.zeros(n * n), frame, frame]), times, noise=transport.noise
    )
    pairs = zip(states[1:], times[1:], strict=False)
    least = np.array([1.0, *(_singular_values(state, n)[-1] / t for state, t in pairs)])
    for i in _candidates(least):
        low, high = times[i - 1], times[min(i + 1, len(states) - 1)]

        def state_at(t: float, low: float = low, state: Vector = states[i - 1]) -> Vector:
            end: Vector = solve(slope, state, np.array([low, t]), noise=transport.noise)[0][-1]
            return end

        def size(t: float, state_at: Callable[[float], Vector] = state_at) -> float:
            return float(_singular_values(state_at(t), n)[-1] / t)

        best = minimize_scalar(size, bounds=(low, high), method="bounded", options={"xatol": 1e-10 * t_end})
        end = state_at(best.x)
        zero = _singular_values(end, n) / best.x < _SINGULAR
        if zero.any():
            return float(best.x), end[:n], int(zero.sum())
    if len(states) < len(times):
        raise GeometryError(
            f"the geodesic leaves the manifold near t = {reached:.6g}, before a conjugate point; "
            "shorten t_end"
        )
    return None


def _candidates(least: Vector) -> list[int]:
    """Samples next to which the least singular value may vanish: it does so in straight lines, like |t|."""
    found = []
    for i in range(1, len(least)):
        near = least[max(0, i - 2) : i + 2]
        if least[i] == least[i - 1 : i + 2].min() and least[i] < 2 * np.ptp(near):
            found.append(i)
    return found


def _singular_values(state: Vector, n: int) -> Vector:
    """Of the Jacobi fields' components in the parallel frame, the largest first."""
    fields, _, frame = state[2 * n :].reshape(3, n, n)
    values: Vector = np.linalg.svd(np.linalg.solve(frame.T, fields.T), compute_uv=False)
    return values
