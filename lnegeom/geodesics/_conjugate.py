"""Conjugate points, and what they tell of the geodesics that `log` finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lnegeom._array import (
    Array,
    constant,
    positive,
)
from lnegeom.connections import Connection
from lnegeom.geodesics._arrays import (
    Vector,
    batch_of,
    flat,
    has_closed_form,
    is_traced,
    named,
    plain,
    returner,
    rows,
    validated,
    validated_points,
)
from lnegeom.geodesics._compiled import uncompiled
from lnegeom.geodesics._gradients import log_rule
from lnegeom.geodesics._maps import velocity_between
from lnegeom.geodesics._march import Marched, march
from lnegeom.geodesics._ode import Transport
from lnegeom.geodesics._rules import attached

_GRID = 128
"""Intervals in which a conjugate point is looked for."""
_ZOOM, _ROUNDS = 32, 7
"""Parts of an interval of which two are kept, and how often: integration can tell no more than 16⁻⁷ of it."""
_SINGULAR = 1e-6
"""Relative size below which a singular value of the derivative of exp counts as zero."""


@dataclass(frozen=True)
class ConjugatePoint:
    """Where geodesics that spread from a point first meet again, to first order; or that they do not.

    Attributes
    ----------
    status : str, or for a batch array of str
        "conjugate"; "none" up to the time that was asked for; or "left" if the geodesic leaves the manifold
        before that, and before a conjugate point.
    time : float, or for a batch array
        Of the conjugate point; infinite where there is none.
    point : array
        The conjugate point, ``(..., n)``; where there is none, the last point that was looked at.
    multiplicity : int, or for a batch array of int
        The dimension of the Jacobi fields that vanish at both ends; 0 where there is no conjugate point.
    reached : float, or for a batch array
        Up to when it was looked.
    """

    status: Any
    time: Any
    point: Array
    multiplicity: Any
    reached: Any


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
        is one up to time 1: beyond it, shorter curves are near. "missed" where no geodesic was found that
        arrives: the velocity is that of the nearest. That a geodesic is the shortest of all is claimed only
        in closed form, and within a convex ball.
    """

    velocities: Array
    errors: Array
    conjugate: Array
    status: np.ndarray[Any, Any]


def conjugate_point(connection: Connection, x: Any, v: Any, t_end: float) -> ConjugatePoint:
    """The first point conjugate to x along the geodesic with velocity v, up to time `t_end`, if there is one.

    There, the derivative of exp is singular: beyond it, a geodesic is not the shortest of those near it. The
    least singular value in a parallel frame is sampled at 128 times and its minima refined, in O(n⁴) a step.
    Arrays that require grad are refused: what is found has no derivatives.

    Parameters
    ----------
    connection : Metric or DualConnections
        Torsion-free.
    x, v : array
        Points and velocities ``(..., n)``, whose batch axes broadcast.
    t_end : float
        Length of time, positive.

    Examples
    --------
    >>> import lnegeom
    >>> sphere = lnegeom.Sphere(3)
    >>> found = lnegeom.conjugate_point(sphere, [0.2, 0, 0], [0, 0.52, 0], t_end=4.0)  # of unit speed
    >>> found.status, round(found.time, 6), found.multiplicity
    ('conjugate', 3.141593, 2)
    """
    _, x, v = validated(connection, x, v=v)
    t_end, back = positive("t_end", t_end), returner(x)
    batch, points, velocities = rows(x, v)
    transport = Transport(connection, x)
    found = named(lambda p, u: _first_conjugates(transport, p, u, t_end), batch, points, velocities)
    status = np.where(np.isfinite(found.times), "conjugate", np.where(found.reached < t_end, "left", "none"))
    return ConjugatePoint(
        plain(np.asarray, status.reshape(batch)),
        plain(back, found.times.reshape(batch)),
        back(found.points.reshape(*batch, -1)),
        plain(np.asarray, found.multiplicities.reshape(batch)),
        plain(back, found.reached.reshape(batch)),
    )


def logarithm(connection: Connection, x: Any, y: Any) -> Logarithm:
    """The geodesics of `log`, how exactly they arrive, and the conjugate points on their way.

    Unlike `log`, it returns what it has where no geodesic is found that arrives, and says so.

    Parameters
    ----------
    connection : Metric or DualConnections
    x, y : array
        Points ``(..., n)``, whose batch axes broadcast.

    Raises
    ------
    GeometryError
        If shortest geodesics, in closed form, are many.

    Examples
    --------
    >>> import lnegeom
    >>> found = lnegeom.logarithm(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 2.0])
    >>> found.velocities.round(9), str(found.status)
    (array([0.        , 0.69314718]), 'regular')
    """
    xp, x, y = validated_points(connection, x, y)
    fixed, goal = constant(x), constant(y)
    velocities, errors, arrived = velocity_between(connection, xp, fixed, goal, strict=False)
    batch, points, steps = rows(fixed, velocities)
    if is_traced(x, y):
        velocities = _known(connection, xp, x, y, steps)
    times = np.full(len(steps), np.inf)
    moving = np.flatnonzero(steps.any(axis=1) & arrived.reshape(-1))
    if moving.size:
        times[moving] = _first_conjugates(
            Transport(connection, fixed), points[moving], steps[moving], 1.0
        ).times
    times = times.reshape(batch)
    status = np.where(arrived, np.where(np.isinf(times), "regular", "conjugate"), "missed")
    return Logarithm(velocities, errors, returner(x)(times), status)


def _known(connection: Connection, xp: Any, x: Array, y: Array, steps: Vector) -> Array:
    """Logarithms that are known, as functions of the points."""
    if has_closed_form(connection):
        return velocity_between(connection, xp, x, y)[0]
    batch, n = batch_of(x, y), x.shape[-1]
    rule = log_rule(connection, lambda *_: steps, n)
    return xp.reshape(attached(rule, *flat(xp, batch, x, y))[0], (*batch, n))


class _Found(NamedTuple):
    """Of each geodesic: the time of the first conjugate point, where it is or the end, and when that is."""

    times: Vector
    points: Vector
    multiplicities: Vector
    reached: Vector


@uncompiled
def _first_conjugates(transport: Transport, x: Vector, v: Vector, t_end: float) -> _Found:
    count, n = x.shape
    times = np.linspace(0, t_end, _GRID + 1)
    frames = np.broadcast_to(np.eye(n).ravel(), (count, n * n))
    states = np.concatenate([x, v, 0 * frames, frames, frames], axis=1)
    noise = transport.noise_of(states)

    def run(states: Vector, times: Vector) -> Marched:
        return march(transport.spread(n), states, times, noise=noise)

    marched = run(states, times)
    least = np.ones((count, _GRID + 1))
    least[:, 1:] = _singular_values(marched.states[:, 1:], n)[..., -1] / times[1:]
    result = _Found(
        np.full(count, np.inf), marched.states[:, -1, :n].copy(), np.zeros(count, dtype=int), marched.reached
    )
    pairs = [(row, i) for row, k in enumerate(marched.counts) for i in _candidates(least[row, :k])]
    if pairs:
        row, i = np.array(pairs).T
        begin, end = times[i - 1], times[np.minimum(i + 1, marched.counts[row] - 1)]
        refined = _refined(run, marched.states[row, i - 1], begin, end, n)
        for k in np.flatnonzero(refined.multiplicities)[::-1]:  # the first of a row is written last
            for part, value in zip(result, refined, strict=True):
                part[row[k]] = value[k]
    return result


def _refined(
    run: Callable[[Vector, Vector], Marched], states: Vector, begin: Vector, end: Vector, n: int
) -> _Found:
    """Where the least singular value is least between times ``(p,)``, from the states at the first ones.

    What is at time t of velocities v is at time 1 of velocities tv, so that all intervals are marched through
    at once, and those around the best of their samples again.
    """
    powers = np.repeat([0, 1, 0, 1, 0], [1, 1, n, n, n])[:, None]
    grid, every, width = np.linspace(0, 1, _ZOOM + 1), np.arange(len(states)), end - begin
    parts = states.reshape(len(states), -1, n) * width[:, None, None] ** powers
    for _ in range(_ROUNDS):
        marched = run(parts.reshape(states.shape), grid)
        times = begin[:, None] + width[:, None] * grid
        known = (times > 0) & (np.arange(_ZOOM + 1) < marched.counts[:, None])
        sizes = np.full((*times.shape, n), np.inf)
        sizes[known] = _singular_values(marched.states[known], n) / times[known][:, None]
        best = sizes[..., -1].argmin(axis=1)
        first, last = np.maximum(best - 1, 0), np.minimum(best + 1, _ZOOM)
        share = (last - first) / _ZOOM
        parts = marched.states[every, first].reshape(parts.shape) * share[:, None, None] ** powers
        begin, width = times[every, first], width * share
    found = times[every, best]
    zeros = (sizes[every, best] < _SINGULAR).sum(axis=1)
    return _Found(found, marched.states[every, best, :n], zeros, found)


def _candidates(least: Vector) -> list[int]:
    """Samples next to which the least singular value may vanish: it does so in straight lines, like |t|."""
    found = []
    for i in range(1, len(least)):
        near = least[max(0, i - 2) : i + 2]
        if least[i] == least[i - 1 : i + 2].min() and least[i] < 2 * np.ptp(near):
            found.append(i)
    return found


def _singular_values(states: Vector, n: int) -> Vector:
    """Of the Jacobi fields' components in the parallel frame, the largest first."""
    fields, _, frames = np.moveaxis(states[..., 2 * n :].reshape(*states.shape[:-1], 3, n, n), -3, 0)
    values: Vector = np.linalg.svd(
        np.linalg.solve(frames.swapaxes(-1, -2), fields.swapaxes(-1, -2)), compute_uv=False
    )
    return values
