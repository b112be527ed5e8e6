"""Hypothesis strategies for points, vectors, matrices, and metrics to let flow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
from hypothesis.strategies import SearchStrategy

from lnegeom import flow
from lnegeom._array import GeometryError, InputError
from lnegeom.divergences import Divergence
from lnegeom.families import ExponentialFamily
from lnegeom.metrics import Metric
from lnegeom.potentials import Potential
from lnegeom.testing._law import Numbers, dimension

__all__ = ["perturbed_tori", "points", "spd_matrices", "torus_grids", "vectors"]


def vectors(dim: int, batch: tuple[int, ...] = (), *, generic: bool = False) -> SearchStrategy[Numbers]:
    """Vectors with entries in [−1, 1], of shape ``(*batch, dim)``.

    Parameters
    ----------
    dim : int
        The dimension n.
    batch : tuple of int
        Leading axes.
    generic : bool
        Whether entries are uniform random numbers. Otherwise hypothesis chooses, and shrinks, them: zeros,
        ones and equal entries come often, which is where a formula that divides may fail, and where one that
        is wrong may hold.

    Examples
    --------
    >>> from hypothesis import given
    >>> from lnegeom.testing import vectors
    >>> @given(vectors(3, batch=(2,)))
    ... def test(v):
    ...     assert v.shape == (2, 3) and abs(v).max() <= 1
    >>> test()
    """
    if generic:
        seeds = st.integers(0, 2**32 - 1)
        return seeds.map(lambda seed: np.random.default_rng(seed).uniform(-1, 1, (*batch, dim)))
    unit = st.floats(-1, 1, allow_nan=False, allow_subnormal=False)
    return hnp.arrays(np.float64, (*batch, dim), elements=unit)


def points(
    thing: Any,
    low: float | Sequence[float] = -1.0,
    high: float | Sequence[float] = 1.0,
    *,
    dim: int | None = None,
    batch: tuple[int, ...] = (2,),
    generic: bool = False,
) -> SearchStrategy[Numbers]:
    """Points ``(*batch, n)`` of a box that a metric, divergence, potential or family accepts.

    Whole batches with a point outside the chart are drawn again: where most of the box lies outside, map
    `vectors` onto the chart by a function of your own instead.

    Parameters
    ----------
    thing : Metric, Divergence, Potential or ExponentialFamily
        Whose points.
    low, high : float or sequence of float
        Corners of the box.
    dim : int, optional
        The dimension, of a thing that leaves it open.
    batch, generic
        As for `vectors`.

    Raises
    ------
    InputError
        If the thing is none of these, its dimension is missing, or the box is empty.

    Examples
    --------
    >>> import lnegeom
    >>> from hypothesis import given
    >>> from lnegeom.testing import check_metric, points
    >>> half_space = lnegeom.HalfSpace(2)
    >>> @given(points(half_space, low=[-1, 0.2], high=[1, 3]))
    ... def test_half_space(x):
    ...     check_metric(half_space, x)
    >>> test_half_space()
    """
    accepts, n = _evaluation(thing), dimension(thing, dim)
    first, last = (np.broadcast_to(np.asarray(end, dtype=np.float64), (n,)) for end in (low, high))
    if not np.all(first < last):
        raise InputError(f"the box is empty: expected low < high, got {low!r} and {high!r}")

    def inside(x: Numbers) -> bool:
        try:
            accepts(x)
        except GeometryError:
            return False
        return True

    unit = vectors(n, batch, generic=generic)
    return unit.map(lambda u: first + (last - first) * (u + 1) / 2).filter(inside)


def _evaluation(thing: Any) -> Callable[[Numbers], Any]:
    """What refuses a point outside the chart of a thing."""
    if isinstance(thing, Metric):
        return thing.matrix
    if isinstance(thing, ExponentialFamily):
        return thing.log_partition
    if isinstance(thing, Potential):
        return thing
    if isinstance(thing, Divergence):
        return lambda x: thing(x, x)
    raise InputError(f"expected a metric, divergence, potential or family, got {thing!r}")


def spd_matrices(size: int, batch: tuple[int, ...] = (), *, generic: bool = False) -> SearchStrategy[Numbers]:
    """Well-conditioned symmetric positive definite matrices, of shape ``(*batch, size, size)``.

    They are ``L Lᵀ`` with a diagonal of L in [½, 3/2] and entries below it in [−½, ½].

    Parameters
    ----------
    size : int
        Rows of a matrix.
    batch, generic
        As for `vectors`.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given
    >>> from lnegeom.testing import spd_matrices
    >>> @given(spd_matrices(2))
    ... def test(a):
    ...     assert (np.linalg.eigvalsh(a) > 0).all()
    >>> test()
    """
    return vectors(size * (size + 1) // 2, batch, generic=generic).map(lambda u: spd_of(u, size))


def spd_of(unit: Numbers, size: int) -> Numbers:
    """Matrices ``L Lᵀ`` from the entries of L, in units of their range, ``(..., size (size + 1) / 2)``."""
    rows, columns = np.tril_indices(size)
    lower = np.zeros((*unit.shape[:-1], size, size))
    lower[..., rows, columns] = np.where(rows == columns, 1 + unit / 2, unit / 2)
    return np.asarray(lower @ np.swapaxes(lower, -1, -2))


def torus_grids(shape: tuple[int, ...]) -> SearchStrategy[flow.TorusGrid]:
    """Grids of a shape on flat tori: rectangular ones with sides in [1, 4π], in the plane hexagonal ones too.

    Parameters
    ----------
    shape : tuple of int
        Points on each axis.

    Examples
    --------
    >>> from hypothesis import given
    >>> from lnegeom.testing import torus_grids
    >>> @given(torus_grids((8, 8)))
    ... def test(grid):
    ...     assert grid.shape == (8, 8)
    >>> test()
    """
    sides = st.floats(1.0, 4 * math.pi)
    boxes = st.tuples(*(sides for _ in shape)).map(lambda lengths: flow.TorusGrid(shape, lengths))
    if len(shape) != 2:
        return boxes
    hexagon = np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    return boxes | sides.map(lambda side: flow.TorusGrid(shape, lattice=(side * hexagon).tolist()))


def perturbed_tori(
    grids: flow.TorusGrid | SearchStrategy[flow.TorusGrid],
    low: float = 0.01,
    high: float = 0.1,
    modes: int = 3,
) -> SearchStrategy[tuple[flow.TorusGrid, Numbers]]:
    """Pairs of a grid and a metric ``δ + h`` on it, h smooth and mean-free, of size from low to high.

    Parameters
    ----------
    grids : TorusGrid or strategy
        The grid, or a strategy such as `torus_grids`, of more than ``2 * modes`` points on each axis.
    low, high : float
        Range of the largest operator norm of h, below 1.
    modes : int
        Largest wavenumber on an axis.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given
    >>> from lnegeom.testing import perturbed_tori, torus_grids
    >>> @given(perturbed_tori(torus_grids((16, 16))))
    ... def test_volume_is_positive(start):
    ...     grid, metric = start
    ...     assert (np.linalg.det(metric) > 0).all()
    >>> test_volume_is_positive()
    """
    if not 0 <= low < high < 1:
        raise InputError(f"sizes must satisfy 0 <= low < high < 1, got {low!r} and {high!r}")
    chosen = st.just(grids) if isinstance(grids, flow.TorusGrid) else grids

    def perturbed(grid: flow.TorusGrid, size: float, seed: int) -> tuple[flow.TorusGrid, Numbers]:
        return grid, flow.perturbed_flat(grid, size, seed=seed, modes=modes)

    return st.builds(perturbed, chosen, st.floats(low, high), st.integers(0, 2**32 - 1))
