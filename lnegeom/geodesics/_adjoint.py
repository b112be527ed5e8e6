"""Derivatives of integrated geodesics by their adjoint equation.

States s move by ``ds/dt = f(s)``. A covector λ of the state at time 1 becomes one of the state at time 0 by
``dλ/dt = −(∂f/∂s)ᵀ λ``, integrated back along the geodesic: as many numbers as the state, for any dimension.
Torch or JAX multiply by the transpose, exactly, in one reverse pass through f.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, to_numpy
from lnegeom.connections import Connection, metric_of
from lnegeom.derivatives._automatic import own_source
from lnegeom.derivatives._differences import doubles, like
from lnegeom.geodesics._arrays import Vector, check_constant, padded
from lnegeom.geodesics._march import march
from lnegeom.metrics import Metric


class Adjoint:
    """Transposed derivatives along geodesics of points like a torch or JAX array.

    States ``(r, m, n)`` are those of `Transport.slope`: point, velocity and vectors; or, with `fields`, those
    of `Transport.spread`: point, velocity, Jacobi fields and as many slopes of these.
    """

    def __init__(self, connection: Connection, like: Array, fields: bool = False):
        self.connection, self.source, self.like = connection, own_source(like), like
        self._pulled = _transposed(connection, self.source, fields)

    def rates(self, states: Vector, covectors: Vector) -> tuple[Vector, Vector]:
        """``f(s)`` and ``(∂f/∂s)ᵀ λ``, each ``(r, m, n)``."""
        rows = len(states)
        with doubles(self.like):
            arrays = padded(states, covectors) if self.source == "jax" else (states, covectors)
            found = self._pulled(*(like(self.like, array) for array in arrays))
            rate, pulled = (to_numpy(part)[:rows] for part in found)
        return rate, pulled

    def check(self, states: Vector) -> None:
        """Raise at once what would be raised later, of a connection that its library cannot differentiate."""
        check_parameters(self.connection, self.like, states[:1, 0])
        try:
            self.rates(states[:1], np.ones_like(states[:1]))
        except InputError as error:
            raise InputError(f"geodesics of {self.connection!r} cannot be differentiated: {error}") from None

    def back(self, ends: Vector, covectors: Vector) -> Vector:
        """Covectors of states at time 0 from states at time 1 and covectors there, all ``(r, m, n)``."""
        size = np.abs(covectors).max(axis=(1, 2), keepdims=True)
        moving = np.flatnonzero(size)  # and of zeros nothing but zeros comes
        result = np.zeros_like(covectors)
        if not moving.size:
            return result
        size, shape = size[moving], ends[moving].shape

        def slope(joint: Vector) -> Vector:
            states, turned = joint.reshape(len(joint), 2, *shape[1:]).swapaxes(0, 1)
            rate, pulled = self.rates(states, turned)
            return np.stack([-rate, pulled], axis=1).reshape(joint.shape)

        joint = np.stack(
            [ends[moving], covectors[moving] / size], axis=1
        )  # of size 1, as errors are absolute
        found = march(slope, joint.reshape(len(moving), -1), np.array([0.0, 1.0]))
        if not (found.counts == 2).all():
            row = int(np.argmin(found.counts))
            raise GeometryError(
                f"the derivative of a geodesic is known back to t = {1 - found.reached[row]:.6g} only: it "
                "comes too near to the edge of the manifold; shorten the velocity"
            )
        result[moving] = size * found.states[:, 1].reshape(len(moving), 2, *shape[1:])[:, 1]
        return result


def check_parameters(connection: Connection, near: Array, x: Vector) -> None:
    """Raise if derivatives by tensors in the metric itself would be lost; points are ``(r, n)``."""
    if own_source(near) == "torch":
        with importlib.import_module("torch").enable_grad():
            points = like(near, x)
            check_constant(connection, metric_of(connection).flat(points, points))


def _transposed(connection: Connection, source: str, fields: bool) -> Callable[..., Any]:
    """``f(s)`` and ``(∂f/∂s)ᵀ λ`` of states and covectors ``(r, m, n)`` in torch or JAX."""
    if source == "jax":
        return _compiled(connection, fields)
    torch, slope = importlib.import_module("torch"), _spread if fields else _slope

    def pulled(states: Array, covectors: Array) -> tuple[Array, Array]:
        with torch.enable_grad():  # half the price of torch.func.vjp
            states = states.requires_grad_()
            rate = slope(connection, states)
            return rate, torch.autograd.grad(rate, states, covectors)[0]

    return pulled


@functools.lru_cache(maxsize=16)  # it takes seconds to compile
def _compiled(connection: Connection, fields: bool) -> Callable[..., Any]:
    """The same for JAX."""
    jax, slope = importlib.import_module("jax"), _spread if fields else _slope

    def pulled(states: Array, covectors: Array) -> tuple[Array, Array]:
        rate, transpose = jax.vjp(functools.partial(slope, connection), states)
        return rate, transpose(covectors)[0]

    compiled: Callable[..., Any] = jax.jit(pulled)
    return compiled


def _slope(connection: Connection, states: Array) -> Array:
    """As `Transport.slope`, of states ``(r, m, n)`` of any library."""
    xp = array_api_compat.array_namespace(states)
    x, v, carried = states[:, 0, :], states[:, 1, :], states[:, 1:, :]
    if carried.shape[1] == 1:
        bend = connection.christoffel_apply(x, v, v)[:, None, :]
    else:
        bend = connection.christoffel_apply(x[:, None, :], v[:, None, :], carried)
    return xp.concat([v[:, None, :], -bend], axis=1)


def _spread(connection: Connection, states: Array) -> Array:
    """As `Transport.spread`, of states ``(r, m, n)`` of any library."""
    xp, m = array_api_compat.array_namespace(states), states.shape[1] // 2 - 1
    x, v, fields, slopes = states[:, 0, :], states[:, 1, :], states[:, 2 : m + 2, :], states[:, m + 2 :, :]
    tensor = connection.riemann(x) if isinstance(connection, Metric) else connection.curvature(x)
    along = xp.sum(tensor * v[:, None, :, None, None] * v[:, None, None, None, :], axis=(-3, -1))
    change = xp.concat([slopes, -(fields @ xp.matrix_transpose(along))], axis=1)
    moved = _slope(connection, states)
    return xp.concat([moved[:, :2, :], moved[:, 2:, :] + change], axis=1)
