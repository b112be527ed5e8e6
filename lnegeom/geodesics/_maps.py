"""The exponential map, its inverse, distance, parallel transport, and the second-order retraction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lnegeom._array import Array, GeometryError, InputError, check_finite, check_where, to_numpy
from lnegeom.connections import Connection, metric_of
from lnegeom.geodesics._arrays import (
    Vector,
    as_like,
    at,
    batch_of,
    flat,
    has_closed_form,
    inside,
    is_traced,
    joined,
    mapped,
    named,
    returner,
    rows,
    unless_traced,
    validated,
    validated_points,
)
from lnegeom.geodesics._compiled import uncompiled
from lnegeom.geodesics._gradients import distance_rule, ends_rule, log_rule
from lnegeom.geodesics._ode import Ends, Transport
from lnegeom.geodesics._rules import attached
from lnegeom.geodesics._shooting import Shot, shoot
from lnegeom.metrics import Metric


def exp(connection: Connection, x: Any, v: Any) -> Array:
    """Exponential map: the point ``(..., n)`` where the geodesic from x with velocity v is at time 1.

    Raises
    ------
    GeometryError
        If the geodesic leaves the manifold before time 1, naming when.
    InputError
        Where there is no closed form, if derivatives are wanted that the connection itself does not have, as
        of finite differences.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.exp(lnegeom.Sphere(2), [0.0, 0.0], [0.25, 0.0]).round(9)
    array([0.25534192, 0.        ])
    """
    xp, x, v = validated(connection, x, v=v)
    if has_closed_form(connection):
        metric = metric_of(connection)
        return _end(metric, xp, x, v)
    batch, n = batch_of(x, v), x.shape[-1]
    space, x_, v_ = unless_traced(xp, x, v)
    ends = _ends(connection, x, batch, joined(space, batch, x_, v_))[:, 0, :]
    return as_like(x, space.reshape(ends, (*batch, n)))


def parallel_transport(connection: Connection, x: Any, v: Any, w: Any) -> Array:
    """Vectors w carried along the geodesic from x with velocity v, to time 1.

    Along a batch axis that w alone has, one geodesic carries all of them.

    Parameters
    ----------
    connection : Metric or DualConnections
    x, v, w : array
        Points and vectors, ``(..., n)``, whose batch axes broadcast.

    Raises
    ------
    GeometryError
        If the geodesic leaves the manifold before time 1.
    InputError
        Where there is no closed form, if derivatives are wanted that the connection itself does not have, as
        of finite differences.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.parallel_transport(lnegeom.Euclidean(2), [0.0, 0.0], [1.0, 0.0], [0.0, 1.0])
    array([0., 1.])
    """
    xp, x, v, w = validated(connection, x, v=v, w=w)
    if has_closed_form(connection):
        metric = metric_of(connection)
        _end(metric, xp, x, v)
        return metric._transport(xp, x, v, w)
    geodesics, batch = batch_of(x, v), batch_of(x, v, w)
    own = (1,) * (len(batch) - len(geodesics)) + geodesics
    shared = [axis for axis, size in enumerate(own) if size == 1]
    kept = [axis for axis, size in enumerate(own) if size > 1]
    order = [*kept, *shared, len(batch)]
    space, x_, v_, w_ = unless_traced(xp, x, v, w)
    carried = space.permute_dims(space.broadcast_to(w_, (*batch, x.shape[-1])), order)
    wide = space.reshape(carried, (int(np.prod(own)), -1, x.shape[-1]))
    states = space.concat([joined(space, geodesics, x_, v_), wide], axis=1)
    moved = space.reshape(_ends(connection, x, geodesics, states)[:, 2:, :], carried.shape)
    return as_like(x, space.permute_dims(moved, tuple(np.argsort(order).tolist())))


@uncompiled
def _ends(connection: Connection, like: Array, batch: tuple[int, ...], states: Array) -> Array:
    """States ``(r, m, n)`` at time 1 of those at time 0: points, velocities and vectors carried along."""

    def ends(like: Array, states: Vector) -> Vector:
        found: Ends = named(
            Transport(connection, like).ends, batch, states[:, 0], states[:, 1], states[:, 2:]
        )
        if found.arrived.all():
            return found.states
        row = int(np.argmin(found.arrived))
        prefix, index = at(row, mapped(batch, len(found.arrived)))
        raise GeometryError(
            f"{prefix}the geodesic leaves the manifold near t = {found.reached[row]:.6g}, before t = 1; "
            "shorten the velocity",
            index=index,
            value=float(found.reached[row]),
        )

    if isinstance(states, np.ndarray):
        return ends(like, states)
    return attached(ends_rule(connection, ends, tuple(states.shape[1:])), states)[0]


def log(connection: Connection, x: Any, y: Any) -> Array:
    """Logarithm: the velocity ``(..., n)`` at x of a geodesic that is at y at time 1.

    The shortest one in closed form, where the metric has one. Else by shooting: the shortest one where y
    lies in a convex ball around x; beyond, a geodesic, if one is found, of which `logarithm` tells more.

    Raises
    ------
    GeometryError
        If shooting does not arrive, with how far it remained; or if shortest geodesics are many.
    InputError
        Where there is no closed form, if derivatives are wanted that the connection itself does not have, as
        of finite differences.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.log(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 2.0]).round(9)
    array([0.        , 0.69314718])
    """
    xp, x, y = validated_points(connection, x, y)
    return velocity_between(connection, xp, x, y)[0]


def velocity_between(
    connection: Connection, xp: Any, x: Array, y: Array, *, strict: bool = True
) -> tuple[Array, Array, Vector]:
    """The logarithm ``(..., n)`` of valid points, by how much its geodesic misses y, and whether it arrives.

    Unless `strict`, one that does not arrive is no error.
    """
    if has_closed_form(connection):
        with np.errstate(all="ignore"):  # opposite points of a sphere divide by zero, and are named below
            v = metric_of(connection)._log(xp, x, y)
        try:
            check_finite(xp, v, "v")
        except GeometryError as error:
            raise _many(x, y, error.index[:-1] if error.index else ()) from None
        return v, xp.zeros_like(v[..., 0]), np.ones(v.shape[:-1], dtype=bool)
    batch = batch_of(x, y)
    if strict and is_traced(x, y):
        n = x.shape[-1]
        rule = log_rule(connection, _velocities(connection, batch), n)
        v = xp.reshape(attached(rule, *flat(xp, batch, x, y))[0], (*batch, n))
        return v, xp.zeros_like(v[..., 0]), np.ones(batch, dtype=bool)
    _, starts, ends = rows(x, y)
    shot = _shots(connection, batch, x, starts, ends, strict)
    back = returner(x)
    return (
        back(shot.velocities.reshape(*batch, -1)),
        back(shot.missed.reshape(batch)),
        shot.arrived.reshape(batch),
    )


@uncompiled
def _shots(
    connection: Connection, batch: tuple[int, ...], like: Array, x: Vector, y: Vector, strict: bool = True
) -> Shot:
    """What shooting finds between points ``(r, n)``; if `strict`, an error where it does not arrive."""
    transport = Transport(connection, like)
    found: Shot = named(lambda p, q: shoot(transport, p, q), batch, x, y)
    if strict and not found.arrived.all():
        row = int(np.argmin(found.arrived))
        prefix, index = at(row, mapped(batch, len(found.arrived)))
        raise GeometryError(
            f"{prefix}no geodesic from x to y was found: the nearest missed by {found.missed[row]:.3g}; y "
            "may be past a conjugate point, or out of reach within the chart; take a y nearer to x",
            index=index,
            value=float(found.missed[row]),
        )
    return found


def _velocities(connection: Connection, batch: tuple[int, ...]) -> Callable[..., Vector]:
    return lambda like, x, y: _shots(connection, batch, like, x, y).velocities


def _many(x: Array, y: Array, index: tuple[int, ...]) -> GeometryError:
    """The error where a closed form finds no single logarithm."""
    starts, ends = (to_numpy(array)[..., :4] for array in (x, y))
    first, second = (array[index] for array in np.broadcast_arrays(starts, ends))
    more = ", …" if x.shape[-1] > 4 else ""
    names = (f"[{', '.join(f'{entry:.6g}' for entry in point)}{more}]" for point in (first, second))
    return GeometryError(
        "x{0} = {1} and y{0} = {2} are conjugate: shortest geodesics between them are many, expected one; "
        "move one of the points a little".format(list(index) or "", *names),
        index=index,
    )


def distance(metric: Metric, x: Any, y: Any) -> Array:
    """Length ``(...)`` of the geodesic that `log` finds: the distance where y is in a convex ball around x.

    At y = x, where it has no derivative, its gradient is taken as 0. Its square is smooth there: for second
    derivatives, differentiate the squared norm of `log`.

    Raises
    ------
    GeometryError
        If the metric is not Riemannian, or no geodesic is found.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.distance(lnegeom.PoincareBall(2), [0.0, 0.0], [0.5, 0.0])), 9)  # 2 artanh ½
    1.098612289
    """
    check_riemannian(metric)
    xp, x, y = validated_points(metric, x, y)
    if metric.closed_form_geodesics:
        return metric._distance(xp, x, y)
    if is_traced(x, y):
        batch = batch_of(x, y)
        rule = distance_rule(metric, _velocities(metric, batch), x.shape[-1])
        return xp.reshape(attached(rule, *flat(xp, batch, x, y))[0], batch)
    return metric.norm(x, velocity_between(metric, xp, x, y)[0])


def retract(metric: Metric, x: Any, v: Any) -> Array:
    """Second-order retraction ``x + v − ½ Γ(v, v)``: the points ``(..., n)`` of `exp`, up to O(|v|³).

    It costs one `christoffel_apply`, O(n) where the metric's structure allows, and can be differentiated.

    Raises
    ------
    GeometryError
        If the point lies outside the chart: the step is too long.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.retract(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 0.1]).round(9)  # 1 + t + ½t² of e^t
    array([0.   , 1.105])
    """
    if not isinstance(metric, Metric):
        raise InputError(f"expected a Metric, got {metric!r}; of a connection, take exp")
    xp, x, v = validated(metric, x, v=v)
    return inside(metric, xp, x + v - metric._christoffel_apply(xp, metric._local(xp, x), v, v) / 2)


def check_riemannian(metric: Any) -> None:
    """Raise unless points have a distance."""
    if not isinstance(metric, Metric):
        raise InputError(f"expected a Metric, got {metric!r}: a connection has no distance; pass its metric")
    if metric.signature[1]:
        raise GeometryError(
            f"{metric!r} is indefinite, so points have no distance; take inner(x, v, v) of a logarithm v"
        )


def _end(metric: Metric, xp: Any, x: Array, v: Array) -> Array:
    """The exponential map in closed form, or a GeometryError."""
    leaves = metric._leaves(xp, x, v)
    message = (
        "from {point} the geodesic leaves the manifold at t = {value}, before t = 1; shorten the velocity"
    )
    check_where(xp, leaves > 1, leaves, "x", message)
    with np.errstate(all="ignore"):  # what overflows is named by `inside`
        end = metric._exp(xp, x, v)
    return inside(metric, xp, end)
