"""Right-hand sides along geodesics, on numpy float64.

A step takes a few `christoffel_apply` of all points at once, O(n) where the metric's structure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import array_api_compat
import numpy as np

from lnegeom._array import Array, to_numpy
from lnegeom.connections import Connection
from lnegeom.derivatives._differences import doubles, like
from lnegeom.geodesics._arrays import Vector, check_constant, padded
from lnegeom.geodesics._compiled import compiled, traceable, uncompiled
from lnegeom.geodesics._host import needs_no_library
from lnegeom.geodesics._march import THOROUGH, TOLERANCE, Effort, Noise, march
from lnegeom.metrics import Metric


class Transport:
    """Right-hand sides along geodesics in numpy float64.

    The connection sees the user's kind of arrays where a function or class of the user's may ask for it, and
    numpy's where all formulas are the library's own: a call then costs what it costs on numpy.

    A state ``(r, s)`` holds a row for each geodesic: its point, its velocity, and vectors, each of n entries.
    """

    def __init__(self, connection: Connection, like: Array):
        self.connection = connection
        self.n = int(like.shape[-1])
        self._like = np.empty(self.n) if needs_no_library(connection) else like
        self._xp = array_api_compat.array_namespace(self._like)
        self._compiled: dict[str, Callable[..., Array]] = {}
        self._noisy: bool | None = None

    def evaluated(self, function: Callable[..., Array], *arrays: Vector) -> Vector:
        """A function of the connection's kind of arrays, in float64; of JAX's, compiled when first called."""
        if array_api_compat.is_jax_array(self._like):
            function = self._compiled.setdefault(function.__name__, compiled(function))
        with doubles(self._like):
            found = function(*(like(self._like, array) for array in arrays))
            check_constant(self.connection, found)
            return to_numpy(found)

    def _padded(self, *arrays: Vector) -> tuple[Vector, ...]:
        """For JAX, which compiles for each number of rows anew, as many as the next power of two."""
        return padded(*arrays) if array_api_compat.is_jax_array(self._like) else arrays

    def bend(self, x: Vector, u: Vector, vectors: Vector) -> Vector:
        """``Γ^k_ij u^i v^j`` of points and vectors ``(r, n)``, and m vectors v of each, ``(r, m, n)``."""
        single = vectors.shape[1] == 1
        arrays: tuple[Vector, ...] = x[0], u[0], vectors[0, 0]  # one long vector may have a faster way
        if not single or len(x) > 1:
            arrays = self._padded(*((x, u, vectors[:, 0]) if single else (x[:, None], u[:, None], vectors)))
        found = self.evaluated(self.connection.christoffel_apply, *arrays)
        return found.reshape(-1, *vectors.shape[1:])[: len(x)]

    def noise(self, states: Vector) -> Vector:
        """Estimated error of an entry of `slope`, ``(r,)``, from that of Christoffel symbols."""
        parts = states.reshape(len(states), -1, self.n)
        errors = [self._error(part[0]) for part in parts]
        sizes = np.abs(parts[:, 1:]).sum(axis=2)
        noise: Vector = np.array(errors) * sizes[:, 0] * sizes.max(axis=1)
        return noise

    def noise_of(self, states: Vector) -> Noise | None:
        """`noise`, or None where the connection does not come from finite differences."""
        if self._noisy is None:
            self._noisy = self._error(states[0, : self.n]) > 0
        return self.noise if self._noisy else None

    def _error(self, x: Vector) -> float:
        with doubles(self._like):
            point = like(self._like, x)
            if array_api_compat.is_jax_array(point) and traceable(self.connection.christoffel, point):
                return 0.0  # differences are taken on the host
            return float(self.connection._christoffel_error(self._xp, point))

    def tidal(self, x: Vector, v: Vector) -> Vector:
        """The matrices ``(r, n, n)`` of ``J ↦ R(J, v) v``, from ``R^r_smv v^s J^m v^v``."""
        its = self.connection
        tensor = self.evaluated(its.riemann if isinstance(its, Metric) else its.curvature, *self._padded(x))
        matrices: Vector = np.einsum("zrsma,zs,za->zrm", tensor[: len(x)], v, v)
        return matrices

    def slope(self, states: Vector) -> Vector:
        """Of states of point, velocity and parallel vectors."""
        parts = states.reshape(len(states), -1, self.n)
        x, carried = parts[:, 0], parts[:, 1:]
        change = np.empty_like(parts)
        change[:, 0], change[:, 1:] = parts[:, 1], -self.bend(x, parts[:, 1], carried)
        return change.reshape(states.shape)

    def spread(self, m: int) -> Callable[[Vector], Vector]:
        """The slope of states of point, velocity, m Jacobi fields, their m slopes, and parallel vectors."""

        def slope(states: Vector) -> Vector:
            change = self.slope(states).reshape(len(states), -1, self.n)
            parts = states.reshape(change.shape)
            fields, slopes = slice(2, m + 2), slice(m + 2, 2 * m + 2)
            change[:, fields] += parts[:, slopes]
            change[:, slopes] -= parts[:, fields] @ self.tidal(parts[:, 0], parts[:, 1]).swapaxes(1, 2)
            return change.reshape(states.shape)

        return slope

    def ends(
        self,
        x: Vector,
        v: Vector,
        *carried: Vector,
        tolerance: float | Vector = TOLERANCE,
        effort: Effort = THOROUGH,
        first: Vector | None = None,
    ) -> Ends:
        """The states at time 1 of points, velocities ``(r, n)`` and carried vectors ``(r, m, n)``."""
        states = np.concatenate([part.reshape(len(x), -1) for part in (x, v, *carried)], axis=1)
        times = np.array([0.0, 1.0])
        found = march(self.slope, states, times, tolerance, effort, self.noise_of(states), first)
        shaped = found.states[:, 1].reshape(len(x), -1, self.n)
        return Ends(shaped, found.counts == 2, found.reached, found.lengths)


class Ends(NamedTuple):
    """States ``(r, m, n)`` at time 1; whether each is reached, the last time that is, and the length of the
    step that would come next, all ``(r,)``.
    """

    states: Vector
    arrived: Vector
    reached: Vector
    lengths: Vector


class Checked(NamedTuple):
    """States ``(r, T, s)`` at times that were reached, how many those are, the last, and estimated errors."""

    states: Vector
    counts: Vector
    reached: Vector
    errors: Vector


@uncompiled
def checked(
    transport: Transport,
    slope: Callable[[Vector], Vector],
    states: Vector,
    times: Vector,
    tolerance: float = TOLERANCE,
) -> Checked:
    """What `march` finds, and the estimated largest error of an entry of each row's points.

    That is the difference to a run at ten times the tolerance, and what the largest error of an acceleration,
    among a few states, amounts to if it lasts.
    """
    noise = transport.noise_of(states)
    fine = march(slope, states, times, tolerance, noise=noise)
    tenfold: Noise | None = None if noise is None else lambda states: 10 * noise(states)
    until = times[: max(2, fine.counts.max())]
    rough = march(slope, states, until, 10 * tolerance, noise=tenfold)
    # The rougher run may leave a sample earlier.
    both = np.minimum(fine.counts, rough.counts)[:, None] > np.arange(until.size)
    gaps = np.abs(fine.states[:, : until.size, : transport.n] - rough.states[..., : transport.n])
    errors = np.where(both, gaps.max(axis=2), 0).max(axis=1)
    if noise is not None:
        few = [states[count - 1 :: -max(1, count // 8)] for states, count in zip(*fine[:2], strict=True)]
        worst = np.array([transport.noise(part).max() for part in few])
        errors += worst * (times[fine.counts - 1] - times[0]) ** 2 / 2
    return Checked(fine.states, fine.counts, fine.reached, errors)
