"""The metric that samples on a periodic grid define."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lnegeom._array import Array, InputError, as_floating, from_numpy, to_numpy
from lnegeom._symmetric import from_entries
from lnegeom.metrics._checks import check_matrix
from lnegeom.metrics._jet import JetMetric

if TYPE_CHECKING:
    from lnegeom.flow import TorusGrid


class _Local(NamedTuple):
    x: Array
    matrix: Array


class FromGrid(JetMetric):
    """A metric on the torus from its samples on a uniform grid, by trigonometric interpolation.

    It passes through the samples, and its derivatives are those of the interpolant: for a smooth metric that
    the grid resolves the error falls faster than any power of the spacing. A point costs O(the number of
    samples); coordinates outside the grid are taken modulo its lattice.

    Parameters
    ----------
    samples : array, shape (*grid.shape, n, n)
        The metric at ``grid.coordinates()``, for instance a flow's ``solution.metrics[-1]``.
    grid : TorusGrid
        The grid, `lnegeom.flow.TorusGrid`.

    Raises
    ------
    GeometryError
        At a sample that is not finite, symmetric and positive definite; and at a point between the samples
        where their interpolant is not positive definite.

    Examples
    --------
    A flow's last state, with its curvature and geodesics:

    >>> import lnegeom
    >>> grid = lnegeom.flow.TorusGrid((16, 16))
    >>> start = lnegeom.flow.perturbed_flat(grid, 0.1, seed=0)
    >>> solution = lnegeom.flow.ricci_deturck(start, grid, 0.5, samples=2)
    >>> metric = lnegeom.FromGrid(solution.metrics[-1], grid)
    >>> bool(abs(metric.matrix([0.0, 0.0]) - solution.metrics[-1][0, 0]).max() < 1e-14)
    True
    >>> bool(abs(metric.scalar_curvature([1.0, 2.0])) < 0.1)
    True
    """

    def __init__(self, samples: Any, grid: TorusGrid):
        if not hasattr(grid, "shape") or not hasattr(grid, "frame"):
            raise InputError(f"expected a grid such as lnegeom.flow.TorusGrid((32, 32)), got {grid!r}")
        xp, samples = as_floating(samples=samples)
        n = len(grid.shape)
        if tuple(samples.shape) != (*grid.shape, n, n):
            raise InputError(
                f"samples have shape {tuple(samples.shape)}: expected {(*grid.shape, n, n)}, a matrix for "
                "each point of the grid"
            )
        check_matrix(xp, samples, 0, "samples")
        self.grid = grid
        self.dim: int = n
        self._along = np.linalg.inv(grid.frame)
        self._samples = np.asarray(to_numpy(samples), dtype=np.float64)[..., *np.triu_indices(n)]

    def __repr__(self) -> str:
        return f"FromGrid({self.grid!r})"

    def _local(self, xp: Any, x: Array) -> _Local:
        (entries,) = self._series(xp, x, [self._order()])
        matrix = from_entries(xp, entries, self.dim)
        check_matrix(xp, matrix, 0)
        return _Local(x, matrix)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return local.matrix

    def _first(self, xp: Any, local: _Local) -> Array:
        orders = [self._order(a) for a in range(self.dim)]
        along = xp.stack([from_entries(xp, e, self.dim) for e in self._series(xp, local.x, orders)], axis=-1)
        return along @ self._turn(xp, local.x)

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        n = self.dim
        pairs = [(a, b) for a in range(n) for b in range(a, n)]
        found = self._series(xp, local.x, [self._order(a, b) for a, b in pairs])
        second = {pair: from_entries(xp, e, n) for pair, e in zip(pairs, found, strict=True)}
        rows = [xp.stack([second[min(a, b), max(a, b)] for b in range(n)], axis=-1) for a in range(n)]
        turn = self._turn(xp, local.x)
        return self._first(xp, local), xp.matrix_transpose(turn) @ xp.stack(rows, axis=-2) @ turn

    def _turn(self, xp: Any, x: Array) -> Array:
        """``∂y_b/∂x_a`` as ``(b, a)``, of the coordinates y along the lattice vectors."""
        return from_numpy(self._along, x)

    def _order(self, *axes: int) -> tuple[int, ...]:
        """How often each axis is differentiated, of a derivative along these lattice vectors."""
        return tuple(axes.count(axis) for axis in range(self.dim))

    def _series(self, xp: Any, x: Array, orders: list[tuple[int, ...]]) -> list[Array]:
        """Entries of the metric, differentiated so often along each axis, ``(..., n(n+1)/2)`` each."""
        points = xp.reshape(x, (-1, self.dim)) @ xp.matrix_transpose(self._turn(xp, x))
        kernels = [self._kernels(xp, points[:, a], a, max(o[a] for o in orders)) for a in range(self.dim)]
        sums: dict[tuple[int, ...], Array] = {}  # by the orders along the axes summed so far
        for order in orders:
            for axis in range(self.dim):
                key = order[: axis + 1]
                if key not in sums:
                    older = sums[order[:axis]] if axis else from_numpy(self._samples, x)[None, ...]
                    wide = xp.reshape(older, (*older.shape[:2], -1))  # (points, this axis, the rest)
                    summed = kernels[axis][order[axis]][:, None, :] @ wide
                    sums[key] = xp.reshape(summed, (points.shape[0], *older.shape[2:]))
        return [xp.reshape(sums[order], (*x.shape[:-1], -1)) for order in orders]

    def _kernels(self, xp: Any, x: Array, axis: int, order: int) -> list[Array]:
        """Weights ``(points, N)`` of the samples along an axis, and their derivatives up to an order.

        The interpolant weighs sample j with ``(1/N) Σ_k w_k cos k(x − x_j)``, where w is 1 for the mean and
        the highest wave of an even grid, 2 for all others.
        """
        size, length = self.grid.shape[axis], self.grid.lengths[axis]
        multiples = np.arange(size // 2 + 1)
        weights = np.where((multiples == 0) | (2 * multiples == size), 1.0, 2.0) / size
        angles = 2 * np.pi * multiples[:, None] * np.arange(size) / size  # k x_j
        even = from_numpy(weights[:, None] * np.cos(angles), x)
        odd = from_numpy(weights[:, None] * np.sin(angles), x)
        k = from_numpy(2 * np.pi * multiples / length, x)
        phase = x[:, None] * k
        cosine, sine = xp.cos(phase), xp.sin(phase)
        found = []
        for _ in range(order + 1):
            found.append(cosine @ even + sine @ odd)
            cosine, sine = -k * sine, k * cosine
        return found
