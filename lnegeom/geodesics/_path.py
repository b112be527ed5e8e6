"""A geodesic through time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    check_finite,
    constant,
    positive,
    to_numpy,
)
from lnegeom.connections import Connection, metric_of
from lnegeom.geodesics._arrays import (
    Vector,
    as_like,
    batch_of,
    double,
    has_closed_form,
    inside,
    joined,
    plain,
    returner,
    unless_traced,
    validated,
)
from lnegeom.geodesics._gradients import path_rule
from lnegeom.geodesics._march import TOLERANCE
from lnegeom.geodesics._ode import Checked, Transport, checked
from lnegeom.geodesics._rules import attached
from lnegeom.metrics import Metric

_TOO_NEAR = "the geodesic is closer to the edge of the chart than floating numbers can tell"


@dataclass(frozen=True)
class Geodesic:
    """A geodesic through time, or a batch of them, which share nothing but the times.

    Attributes
    ----------
    times : array
        Shape ``(T,)``; those asked for, or up to where the manifold was left by the last of a batch.
    points, velocities : array
        Shape ``(..., T, n)``. Of a batch, those that leave earlier repeat their last good state to the end.
    status : str, or for a batch array of str
        "completed", or "left" if the geodesic leaves the manifold, or its chart, in finite time (told from
        steps that fail or shrink without end); or comes closer to the edge of the chart than floating numbers
        can tell.
    message : str, or for a batch array of str
        What happened, and when.
    error : float, or for a batch array
        Estimated largest error of an entry of `points`: their difference to an integration at ten times the
        tolerance; and, where the connection comes from finite differences, ``½ t²`` times the error they
        leave in the acceleration. 0 for a closed form, which is exact up to rounding.
    reached : int, or for a batch array of int
        How many of the times were reached.
    """

    times: Array
    points: Array
    velocities: Array
    status: Any
    message: Any
    error: Any
    reached: Any


def geodesic(
    connection: Connection,
    x: Any,
    v: Any,
    t_end: float = 1.0,
    *,
    samples: int = 101,
    tolerance: float = TOLERANCE,
) -> Geodesic:
    """The geodesic from a point with a velocity, ``γ̈^k = −Γ^k_ij γ̇^i γ̇^j``.

    In closed form, on the user's arrays and differentiable, where the metric has one
    (`Metric.closed_form_geodesics`); else in float64 by the Runge–Kutta method of scipy's DOP853, each of
    a batch with steps of its own.

    Parameters
    ----------
    connection : Metric or DualConnections
        A metric, Riemannian or not; or a connection ∇ such as ``divergence.connections()``, whose dual ∇* is
        ``.dual``.
    x, v : array
        Points and velocities ``(..., n)``, whose batch axes broadcast.
    t_end : float
        Length of time, positive.
    samples : int
        Number of times, evenly from 0 to `t_end`, at least 2.
    tolerance : float
        Relative and absolute tolerance of an integration step; raised where finite differences leave a
        larger error in the connection.

    Returns
    -------
    Geodesic
        With status "left", and the part before, where the manifold is left on the way.

    Raises
    ------
    GeometryError
        If the point lies outside the manifold, or shapes do not fit.
    InputError
        Where there is no closed form, if derivatives are wanted that the connection itself does not have, as
        of finite differences; or if an array is traced by `jax.jit`, `jax.vmap` or `torch.func`.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> found = lnegeom.geodesic(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 1.0])
    >>> found.status, bool(np.isclose(found.points[-1, 1], np.e))
    ('completed', True)

    The e-geodesics of an exponential family are straight in natural parameters:

    >>> family = lnegeom.Bernoulli()
    >>> e_connection = lnegeom.KL(family).connections().dual
    >>> path = lnegeom.geodesic(e_connection, [0.5], [1.0], samples=2)
    >>> path.points[-1].round(9)
    array([1.5])
    """
    tolerance = positive("tolerance", tolerance)
    xp, x, v = validated(connection, x, v=v)
    times = sampled(t_end, samples)
    if has_closed_form(connection):
        return _closed(metric_of(connection), xp, x, v, times)
    return _integrated(connection, x, v, times, tolerance)


def sampled(t_end: float, samples: int) -> Vector:
    """Times, evenly from 0 to `t_end`."""
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be an integer of at least 2, got {samples!r}")
    return np.linspace(0, positive("t_end", t_end), samples)


def _closed(metric: Metric, xp: Any, x: Array, v: Array, times: Vector) -> Geodesic:
    back, batch = returner(x), batch_of(x, v)
    leaves = _values(metric._leaves(xp, x, v), batch)
    counts = (times < leaves[:, None]).sum(axis=1)
    points, velocities = _states(metric, xp, x, v, times, counts)
    good = np.minimum(counts, _good(metric, xp, points, velocities))
    if (good < counts).any():
        points, velocities = _states(metric, xp, x, v, times, good)
    near = [
        f"{_TOO_NEAR} from t = {times[k]:.6g} on" if k < n else "" for k, n in zip(good, counts, strict=True)
    ]
    longest = int(good.max())
    return Geodesic(
        back(times[:longest]),
        points[..., :longest, :],
        velocities[..., :longest, :],
        *outcome(good, leaves, times, batch, near),
        plain(back, np.zeros(batch)),
        plain(np.asarray, good.reshape(batch)),
    )


def _values(leaves: Array, batch: tuple[int, ...]) -> Vector:
    """The times ``(r,)`` of leaving; infinite where they are abstract."""
    try:
        return np.broadcast_to(to_numpy(leaves), batch).reshape(-1)
    except (RuntimeError, TypeError):
        return np.full(int(np.prod(batch)), np.inf)


def _states(
    metric: Metric, xp: Any, x: Array, v: Array, times: Vector, counts: Vector
) -> tuple[Array, Array]:
    """Points and velocities ``(..., T, n)`` at the times; of each, no later than the last it reaches."""
    cut = np.minimum(times, times[counts - 1][:, None]).reshape(*batch_of(x, v), -1)
    x, v = x[..., None, :], v[..., None, :]
    steps = returner(x)(cut)[..., None] * v
    with np.errstate(all="ignore"):  # what overflows is cut off by `_good`
        return metric._exp(xp, x, steps), metric._transport(xp, x, steps, v)


def _good(metric: Metric, xp: Any, points: Array, velocities: Array) -> Vector:
    """How many of the points ``(..., T, n)`` come before the first that is not in the chart or not finite."""
    samples, n = points.shape[-2:]
    points, velocities = (xp.reshape(array, (-1, samples, n)) for array in (points, velocities))

    def counted(first: int, last: int) -> list[int]:
        good = samples
        while good:
            try:
                check_finite(xp, velocities[first:last, :good, :], "v")
                inside(metric, xp, points[first:last, :good, :])
                break
            except GeometryError as error:
                if last - first > 1:
                    middle = (first + last) // 2
                    return counted(first, middle) + counted(middle, last)
                if not error.index or not error.index[1]:
                    raise
                good = error.index[1]
        return [good] * (last - first)

    return np.array(counted(0, points.shape[0]))


def _integrated(connection: Connection, x: Array, v: Array, times: Vector, tolerance: float) -> Geodesic:
    xp, *starts = unless_traced(array_api_compat.array_namespace(x), x, v)
    batch = batch_of(x, v)
    states = joined(xp, batch, *starts)
    transport = Transport(connection, constant(x))
    found = checked(transport, transport.slope, rows_of(states), times, tolerance)
    path, _ = path_of(connection, x, batch, times, found, states)
    return Geodesic(*path)


def rows_of(states: Array) -> Vector:
    """States ``(r, m, n)`` as the rows ``(r, mn)`` that are integrated, without their derivatives."""
    return double(constant(states)).reshape(len(states), -1)


def path_of(
    connection: Connection, like: Array, batch: tuple[int, ...], times: Vector, found: Checked, start: Array
) -> tuple[tuple[Any, ...], Array]:
    """What a `Geodesic` holds, of integrated ones; and what else is in their states, ``(..., T, m, n)``.

    These know their derivatives by those at time 0, ``(r, m, n)``, unless the latter are numpy's.
    """
    back, longest = returner(like), int(found.counts.max())
    states = found.states[:, :longest].reshape(-1, longest, *start.shape[1:])
    along: Array = states
    if not isinstance(start, np.ndarray):
        rule = path_rule(connection, states, fields=start.shape[1] > 2)
        reached = times[np.minimum(np.arange(longest), found.counts[:, None] - 1)]
        along = attached(rule, start, back(reached))[0]
    along = along.reshape((*batch, *states.shape[1:]))
    path = (
        back(times[:longest]),
        as_like(like, along[..., 0, :]),
        as_like(like, along[..., 1, :]),
        *outcome(found.counts, found.reached, times, batch),
        plain(back, found.errors.reshape(batch)),
        plain(np.asarray, found.counts.reshape(batch)),
    )
    return path, along[..., 2:, :]


def outcome(
    counts: Vector, reached: Vector, times: Vector, batch: tuple[int, ...], near: list[str] | None = None
) -> tuple[Any, Any]:
    """Status and message of paths that reach so many of the times."""
    reasons = near or [""] * len(counts)
    messages = [
        reason or f"the geodesic leaves the manifold near t = {time:.6g}"
        for reason, time in zip(reasons, reached, strict=True)
    ]
    done = counts == len(times)
    message = np.where(done, f"reached t = {times[-1]:g}", np.array(messages))
    status = np.where(done, "completed", "left")
    return plain(np.asarray, status.reshape(batch)), plain(np.asarray, message.reshape(batch))
