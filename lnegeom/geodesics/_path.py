"""A geodesic through time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import Array, GeometryError, InputError, check_finite, positive, value_of
from lnegeom.connections import Connection, metric_of
from lnegeom.geodesics._arrays import double, has_closed_form, inside, one_point, returner
from lnegeom.geodesics._ode import TOLERANCE, Transport, Vector, checked
from lnegeom.metrics import Metric

_TOO_NEAR = "the geodesic is closer to the edge of the chart than floating numbers can tell"


@dataclass(frozen=True)
class Geodesic:
    """A geodesic through time.

    Attributes
    ----------
    times : array
        Shape ``(T,)``; those asked for, or up to where the manifold was left.
    points, velocities : array
        Shape ``(T, n)``.
    status : str
        "completed", or "left" if the geodesic leaves the manifold, or its chart, in finite time (told from
        steps that fail or shrink without end); or comes closer to the edge of the chart than floating numbers
        can tell.
    message : str
        What happened, and when.
    error : float
        Estimated largest error of an entry of `points`: their difference to an integration at ten times the
        tolerance; and, where the connection comes from finite differences, ``½ t²`` times the error they
        leave in the acceleration. 0 for a closed form, which is exact up to rounding.
    """

    times: Array
    points: Array
    velocities: Array
    status: str
    message: str
    error: float


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
    (`Metric.closed_form_geodesics`); else by scipy's DOP853 in float64.

    Parameters
    ----------
    connection : Metric or DualConnections
        A metric, Riemannian or not; or a connection ∇ such as ``divergence.connections()``, whose dual ∇* is
        ``.dual``.
    x, v : array
        One point and one velocity, ``(n,)``.
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
        With status "left", and the part before, if the manifold is left on the way.

    Raises
    ------
    GeometryError
        If the point lies outside the manifold, or shapes do not fit.
    InputError
        Where there is no closed form, if an array requires grad or is traced: integration ends gradients.

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
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be an integer of at least 2, got {samples!r}")
    tolerance = positive("tolerance", tolerance)
    xp, x, v = one_point(connection, x, v)
    times = np.linspace(0, positive("t_end", t_end), samples)
    if has_closed_form(connection):
        return _closed(metric_of(connection), xp, x, v, times)
    return _integrated(connection, x, v, times, tolerance)


def _closed(metric: Metric, xp: Any, x: Array, v: Array, times: Vector) -> Geodesic:
    back, end = returner(x), float(times[-1])
    leaves = value_of(metric._leaves(xp, x, v), math.inf)
    inner = times[times < leaves]
    steps = back(inner)[:, None] * v
    with np.errstate(all="ignore"):  # what overflows is cut off below
        points, velocities = metric._exp(xp, x, steps), metric._transport(xp, x, steps, v)
    good = _good(metric, xp, points, velocities)
    if good < len(inner):
        status, message = "left", f"{_TOO_NEAR} from t = {inner[good]:.6g} on"
    else:
        status, message = outcome(len(inner) == len(times), end, leaves)
    return Geodesic(back(inner[:good]), points[:good, :], velocities[:good, :], status, message, 0.0)


def _good(metric: Metric, xp: Any, points: Array, velocities: Array) -> int:
    """How many of the points ``(T, n)`` come before the first that is not in the chart or not finite."""
    good = points.shape[0]
    while good:
        try:
            check_finite(xp, velocities[:good, :], "v")
            inside(metric, xp, points[:good, :])
            break
        except GeometryError as error:
            if not error.index:
                raise
            good = error.index[0]
    return int(good)


def _integrated(connection: Connection, x: Array, v: Array, times: Vector, tolerance: float) -> Geodesic:
    back, n, transport = returner(x), x.shape[-1], Transport(connection, x)
    state = np.concatenate([double(x), double(v)])
    states, reached, error = checked(transport, transport.slope, state, times, tolerance)
    return Geodesic(
        back(times[: len(states)]),
        back(states[:, :n]),
        back(states[:, n:]),
        *outcome(len(states) == len(times), float(times[-1]), reached),
        error,
    )


def outcome(completed: bool, end: float, reached: float) -> tuple[str, str]:
    """Status and message of a path."""
    if completed:
        return "completed", f"reached t = {end:g}"
    return "left", f"the geodesic leaves the manifold near t = {reached:.6g}"
