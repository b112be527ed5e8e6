"""Jacobi fields: how neighbouring geodesics spread."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_vectors,
    constant,
)
from lnegeom.connections import Connection
from lnegeom.geodesics._arrays import (
    as_like,
    batch_of,
    joined,
    unless_traced,
    validated,
)
from lnegeom.geodesics._ode import Transport, checked
from lnegeom.geodesics._path import Geodesic, path_of, rows_of, sampled


@dataclass(frozen=True)
class JacobiField(Geodesic):
    """A geodesic with Jacobi fields along it.

    Attributes
    ----------
    fields, slopes : array
        J and its covariant derivative along the geodesic, ``(..., T, n)`` or, for m fields along each
        geodesic, ``(..., T, m, n)``.
    """

    fields: Array
    slopes: Array


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
        Points and velocities ``(..., n)``, whose batch axes broadcast.
    start, slope : array
        J and DJ/dt at time 0, ``(..., n)``; with one more axis than the geodesics have, ``(..., m, n)``, m
        fields along each.
    t_end : float
        Length of time, positive.
    samples : int
        Number of times, evenly from 0 to `t_end`, at least 2.

    Returns
    -------
    JacobiField
        With status "left", and the part before, where the manifold is left on the way.

    Examples
    --------
    On the unit sphere, geodesics of unit speed spread as sin t:

    >>> import lnegeom
    >>> found = lnegeom.jacobi_field(lnegeom.Sphere(2), [0, 0], [0.5, 0], [0, 0], [0, 0.5], samples=2)
    >>> round(float(lnegeom.Sphere(2).norm(found.points[-1], found.fields[-1])), 9)  # sin 1
    0.841470985
    """
    xp, x, v = validated(connection, x, v=v)
    times = sampled(t_end, samples)
    _, _, start, slope = as_floating(x=x, start=start, slope=slope)
    n, batch = x.shape[-1], batch_of(x, v)
    for name, value in (("start", start), ("slope", slope)):
        check_vectors(xp, value, name, n)
    shape = _field_shape(batch, start, slope)
    xp, x_, v_, start, slope = unless_traced(xp, x, v, start, slope)
    fields = [
        xp.reshape(xp.broadcast_to(part, (*shape, n)), (int(np.prod(batch)), -1, n))
        for part in (start, slope)
    ]
    states = xp.concat([joined(xp, batch, x_, v_), *fields], axis=1)
    transport = Transport(connection, constant(x))
    found = checked(transport, transport.spread(states.shape[1] // 2 - 1), rows_of(states), times)
    path, spread = path_of(connection, x, batch, times, found, states)
    m = spread.shape[-2] // 2
    several = spread.shape[:-2] if len(shape) == len(batch) else (*spread.shape[:-2], m)
    parts = (spread[..., :m, :], spread[..., m:, :])
    return JacobiField(*path, *(as_like(x, part.reshape((*several, n))) for part in parts))


def _field_shape(batch: tuple[int, ...], start: Array, slope: Array) -> tuple[int, ...]:
    """The batch shape of the fields, and m where there are several along each geodesic."""
    with contextlib.suppress(ValueError):
        shape = batch_of(start, slope)
        several = shape[len(batch) :] if len(shape) > len(batch) else ()
        if len(several) < 2 and np.broadcast_shapes(batch, shape[: len(shape) - len(several)]) == batch:
            return (*batch, *several)
    expected = " or ".join(str((*batch, *m, "n")).replace("'", "") for m in ((), ("m",)))
    raise GeometryError(
        f"start has shape {tuple(start.shape)}, slope {tuple(slope.shape)}: expected both {expected}, with "
        "the batch axes of the geodesics and, for m fields along each, one more"
    )
