"""Uniform grids on flat tori."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, positive, positive_integer
from lnegeom.flow.domain import register_domain

MAX_DIM = 4
MIN_POINTS = 4  # fewer points an axis do not resolve the first mode and its products


@register_domain
@dataclass(frozen=True, init=False)
class TorusGrid:
    """A uniform periodic grid on the flat torus ``T^n = R^n / lattice``, n = 1 to 4, with the metric δ.

    Parameters
    ----------
    shape : sequence of int
        Points along each lattice vector, at least 4 each, even or odd; its length is the dimension.
    lengths : sequence of float, optional
        Side of a rectangular torus along each axis; 2π each by default.
    lattice : array_like, optional
        Instead of `lengths`: the lattice vectors, the rows of an invertible n×n matrix.

    Attributes
    ----------
    shape : tuple of int
    lengths : tuple of float
        Lengths of the lattice vectors.
    lattice : tuple of tuple of float
        The lattice vectors; diagonal for a rectangular torus.

    Raises
    ------
    InputError
        If the dimension is not 1 to 4, an axis has fewer than 4 points, a length is not positive, or the
        lattice vectors are not n independent vectors.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid
    >>> grid = TorusGrid((32, 48))
    >>> grid.dim, grid.coordinates().shape
    (2, (32, 48, 2))
    >>> TorusGrid((32, 32), lengths=(1.0, 2.0)).smallest_eigenvalue() == (2 * 3.141592653589793 / 2.0) ** 2
    True
    >>> hexagonal = TorusGrid((32, 32), lattice=[[1.0, 0.0], [0.5, 3**0.5 / 2]])
    >>> round(hexagonal.volume, 6)
    0.866025
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]
    lattice: tuple[tuple[float, ...], ...]

    def __init__(
        self,
        shape: Sequence[int],
        lengths: Sequence[float] | None = None,
        *,
        lattice: Sequence[Sequence[float]] | None = None,
    ):
        sizes = _sizes(shape)
        if lattice is not None and lengths is not None:
            raise InputError("give either the lengths of a rectangular torus or its lattice, not both")
        vectors = np.diag(_lengths(lengths, len(sizes))) if lattice is None else _lattice(lattice, len(sizes))
        sides = np.diag(vectors) if _diagonal(vectors) else np.linalg.norm(vectors, axis=1)
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "lengths", tuple(float(side) for side in sides))
        object.__setattr__(self, "lattice", tuple(tuple(float(x) for x in row) for row in vectors))

    @property
    def dim(self) -> int:
        """Dimension n of the torus."""
        return len(self.shape)

    @property
    def is_rectangular(self) -> bool:
        """Whether the lattice vectors lie along the axes."""
        return _diagonal(np.array(self.lattice))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring points along each lattice vector."""
        return tuple(length / size for length, size in zip(self.lengths, self.shape, strict=True))

    @property
    def volume(self) -> float:
        """Volume of the torus under δ."""
        return math.prod(self.lengths) * abs(float(np.linalg.det(self.frame)))

    @property
    def keeps_mean(self) -> bool:
        """Constant perturbations of a flat metric are flat too, and stay."""
        return True

    @property
    def frame(self) -> NDArray[np.float64]:
        """Unit vectors along the lattice vectors, the columns of B: ``x = B y`` with ``0 ≤ y_a < L_a``."""
        if self.is_rectangular:
            return np.eye(self.dim)
        units: NDArray[np.float64] = np.array(self.lattice) / np.array(self.lengths)[:, None]
        return units.T

    @property
    def wavenumbers(self) -> tuple[NDArray[np.float64], ...]:
        """Angular wavenumbers 2πm/L along each lattice vector, in the order of the Fourier transform."""
        return tuple(
            np.asarray(2 * math.pi * np.fft.fftfreq(size, spacing), dtype=np.float64)
            for size, spacing in zip(self.shape, self.spacing, strict=True)
        )

    def wavevector(self, mode: Sequence[int]) -> NDArray[np.float64]:
        """Wavevector k of the integer multiples m: ``k·v_a = 2π m_a`` for each lattice vector v_a.

        Raises
        ------
        InputError
            If there are not n integers.
        """
        multiples = np.asarray(mode) if isinstance(mode, Sequence | np.ndarray) else np.empty(0)
        if multiples.shape != (self.dim,) or multiples.dtype.kind not in "iuf" or np.any(multiples % 1 != 0):
            raise InputError(f"a mode is {self.dim} integers, one a lattice vector; got {mode!r}")
        k: NDArray[np.float64] = np.linalg.solve(np.array(self.lattice), multiples.astype(float))
        return 2 * math.pi * k

    def coordinates(self) -> NDArray[np.float64]:
        """Cartesian coordinates of the grid points, shape ``(*shape, n)``."""
        axes = [spacing * np.arange(size) for size, spacing in zip(self.shape, self.spacing, strict=True)]
        along = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return along if self.is_rectangular else along @ self.frame.T

    def integrate(self, values: Array) -> Array:
        """``∫ f dx`` of values ``(..., *shape)``, by the trapezoidal rule: exact for resolved waves."""
        xp = array_api_compat.array_namespace(values)
        return self.volume * xp.mean(values, axis=tuple(range(-self.dim, 0)))

    def to_json(self) -> dict[str, Any]:
        """Plain data: arguments of `TorusGrid`."""
        return {"shape": list(self.shape), "lattice": [list(row) for row in self.lattice]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the grid that `to_json` described."""
        return cls(**data)

    def eigenvalues(self, count: int, metric: NDArray[np.float64] | None = None) -> tuple[float, ...]:
        """First distinct nonzero eigenvalues of −Δ on the torus (not of its grid), ascending.

        They are ``g^{ab} k_a k_b`` over the wavevectors k ≠ 0. Values closer than 1 part in 10⁹ count once.

        Parameters
        ----------
        count : int
        metric : array, optional
            A constant metric g, ``(n, n)``; δ by default.

        Examples
        --------
        >>> from lnegeom.flow import TorusGrid
        >>> [round(value, 12) for value in TorusGrid((8, 8)).eigenvalues(4)]
        [1.0, 2.0, 4.0, 5.0]
        """
        count = positive_integer("count", count)
        squares, _ = self.shells(count, metric)
        return tuple(squares[:count])

    def shells(self, count: int, metric: NDArray[np.float64] | None = None) -> tuple[list[float], list[int]]:
        """At least `count` distinct values of ``g^{ab} k_a k_b``, k ≠ 0, and how many k have each."""
        # |k|² = mᵀ G m for integers m, with G = 4π² (A g Aᵀ)^{-1} and A the lattice vectors.
        A = np.array(self.lattice)
        gram = A @ A.T if metric is None else A @ metric @ A.T
        if _diagonal(gram):
            quadratic = np.diag((2 * math.pi / np.sqrt(np.diag(gram))) ** 2)
        else:
            quadratic = 4 * math.pi**2 * np.linalg.inv(gram)
        # Multiples of the shortest wavevector give `count` values, so no larger |k| is needed; and
        # 2π m_a = k·v_a ≤ |k| |v_a| bounds the integers.
        reach = count * math.sqrt(float(np.min(np.diag(quadratic))))
        bounds = np.floor(reach * np.sqrt(np.diag(gram)) / (2 * math.pi) * (1 + 1e-9)).astype(int)
        modes = np.stack(np.meshgrid(*[np.arange(-b, b + 1) for b in bounds], indexing="ij"), -1)
        values = np.sort(np.einsum("...a,ab,...b->...", modes, quadratic, modes).ravel())[1:]
        values = values[values <= reach**2 * (1 + 1e-9)]
        starts = np.flatnonzero(np.diff(values, prepend=0.0) > 1e-9 * values)
        sizes = np.diff(np.append(starts, len(values)))
        return [float(v) for v in values[starts]], [int(size) for size in sizes]

    def smallest_eigenvalue(self) -> float:
        """First nonzero eigenvalue of −Δ; ``min_a (2π/L_a)²`` on a rectangular torus."""
        return self.eigenvalues(1)[0]


def _diagonal(matrix: NDArray[np.float64]) -> bool:
    return bool(np.all(matrix == np.diag(np.diag(matrix))))


def _lattice(lattice: Sequence[Sequence[float]], dim: int) -> NDArray[np.float64]:
    try:
        vectors = np.array(lattice, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"lattice must be {dim} vectors of {dim} numbers, got {lattice!r}") from None
    if vectors.shape != (dim, dim):
        raise InputError(f"lattice must be {dim} vectors of {dim} numbers, got shape {vectors.shape}")
    if not np.all(np.isfinite(vectors)) or np.linalg.matrix_rank(vectors) < dim:
        raise InputError(f"the lattice vectors must be finite and linearly independent, got {lattice!r}")
    if _diagonal(vectors):
        return np.abs(vectors)
    return vectors


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(positive_integer("shape", size) for size in shape)
    except (TypeError, InputError):
        raise InputError(
            f"shape must be a sequence of positive integers, such as (64, 64); got {shape!r}"
        ) from None
    if not 1 <= len(sizes) <= MAX_DIM:
        raise InputError(f"shape must have 1 to {MAX_DIM} axes, one a dimension of the torus; got {shape!r}")
    if min(sizes) < MIN_POINTS:
        raise InputError(f"shape must have at least {MIN_POINTS} points on each axis, got {shape!r}")
    return sizes


def _lengths(lengths: Sequence[float] | None, dim: int) -> tuple[float, ...]:
    if lengths is None:
        return (2 * math.pi,) * dim
    try:
        values = tuple(lengths)
    except TypeError:
        values = ()
    if len(values) != dim:
        raise InputError(f"lengths must be a sequence of {dim} numbers, one for each axis; got {lengths!r}")
    return tuple(positive(f"lengths[{axis}]", value) for axis, value in enumerate(values))
