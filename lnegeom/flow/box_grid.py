"""Chebyshev grids on boxes."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, from_numpy, positive, positive_integer
from lnegeom.flow.domain import register_domain

Field = NDArray[np.float64]
MAX_DIM, MIN_POINTS = 3, 5


@register_domain
@dataclass(frozen=True, init=False)
class BoxGrid:
    """Chebyshev points of the box ``[0, L₁] × … × [0, L_n]``, n = 1, 2 or 3, its faces included.

    Parameters
    ----------
    shape : sequence of int
        Points along each axis, at least 5 each; its length is the dimension. The points gather at the faces:
        a smooth function needs few, and the error falls faster than any power of their number.
    lengths : sequence of float, optional
        Side along each axis; π each by default, where the first eigenvalue of −Δ is n.

    Raises
    ------
    InputError
        If the dimension is not 1, 2 or 3, an axis has fewer than 5 points, or a length is not positive.

    Examples
    --------
    >>> from lnegeom.flow import BoxGrid
    >>> grid = BoxGrid((12, 12), lengths=(1.0, 2.0))
    >>> grid.coordinates().shape
    (12, 12, 2)
    >>> float(round(grid.integrate(grid.coordinates()[..., 1] ** 2), 12))  # ∫∫ y²
    2.666666666667
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]

    def __init__(self, shape: Sequence[int], lengths: Sequence[float] | None = None):
        try:
            sizes = tuple(positive_integer("shape", size) for size in shape)
        except (TypeError, InputError):
            raise InputError(
                f"shape must be a sequence of integers, such as (16, 16); got {shape!r}"
            ) from None
        if not 1 <= len(sizes) <= MAX_DIM or min(sizes) < MIN_POINTS:
            raise InputError(
                f"shape must have 1 to {MAX_DIM} axes of at least {MIN_POINTS} points, got {shape!r}"
            )
        try:
            sides = (math.pi,) * len(sizes) if lengths is None else tuple(lengths)
        except TypeError:
            sides = ()
        if len(sides) != len(sizes):
            raise InputError(f"lengths must be {len(sizes)} numbers, one for each axis; got {lengths!r}")
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "lengths", tuple(positive("lengths", side) for side in sides))

    @property
    def dim(self) -> int:
        """Dimension n of the box."""
        return len(self.shape)

    @property
    def volume(self) -> float:
        """Volume of the box under δ."""
        return math.prod(self.lengths)

    @property
    def keeps_mean(self) -> bool:
        """False: with values given on the boundary constant perturbations decay too."""
        return False

    def axes(self) -> tuple[Field, ...]:
        """Coordinates of the points along each axis, ascending from 0 to L."""
        return tuple(
            0.5 * length * (1 - np.cos(math.pi * np.arange(size) / (size - 1)))
            for size, length in zip(self.shape, self.lengths, strict=True)
        )

    def coordinates(self) -> Field:
        """Coordinates of the points, shape ``(*shape, n)``."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1)

    @functools.cached_property
    def derivatives(self) -> tuple[Field, ...]:
        """Differentiation matrices along each axis, ``(N, N)``."""
        return tuple(_differentiation(axis) for axis in self.axes())

    @functools.cached_property
    def radius(self) -> float:
        """Spectral radius of the discrete Laplacian with Dirichlet conditions, whose eigenvalues are
        negative.
        """
        inner = [(D @ D)[1:-1, 1:-1] for D in self.derivatives]
        return float(sum(np.max(np.abs(np.linalg.eigvals(D2))) for D2 in inner))

    def integrate(self, values: Array) -> Array:
        """``∫ f dx`` of values ``(..., *shape)``, by Clenshaw and Curtis's rule along each axis."""
        xp = array_api_compat.array_namespace(values)
        for size, length in zip(reversed(self.shape), reversed(self.lengths), strict=True):
            weights = from_numpy(0.5 * length * _clenshaw_curtis(size), values)
            values = xp.sum(values * weights, axis=-1)
        return values

    def eigenvalues(self, count: int) -> tuple[float, ...]:
        """First distinct eigenvalues of −Δ with Dirichlet conditions, ``Σ_a (π m_a / L_a)²`` with ``m_a ≥
        1``.

        Examples
        --------
        >>> from lnegeom.flow import BoxGrid
        >>> [round(value, 12) for value in BoxGrid((8, 8)).eigenvalues(3)]
        [2.0, 5.0, 8.0]
        """
        count = positive_integer("count", count)
        values = sorted(
            sum((math.pi * m / length) ** 2 for m, length in zip(mode, self.lengths, strict=True))
            for mode in itertools.product(range(1, count + 1), repeat=self.dim)
        )
        distinct = [values[0]]
        for value in values:
            if value > distinct[-1] * (1 + 1e-9):
                distinct.append(value)
        return tuple(distinct[:count])

    def smallest_eigenvalue(self) -> float:
        """First eigenvalue of −Δ with Dirichlet conditions, ``Σ_a (π/L_a)²``."""
        return self.eigenvalues(1)[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data: the arguments of `BoxGrid`."""
        return {"shape": list(self.shape), "lengths": list(self.lengths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the grid that `to_json` described."""
        return cls(**data)


def _differentiation(x: Field) -> Field:
    """Differentiation matrix of interpolation at Chebyshev points, by barycentric weights.

    Reference: J.-P. Berrut and L. N. Trefethen, SIAM Rev. 46 (2004), Eqs. 5.4 and 9.4.
    """
    weights = np.where(np.arange(len(x)) % 2, -1.0, 1.0)
    weights[[0, -1]] /= 2
    gaps = x[:, None] - x[None, :] + np.eye(len(x))
    D = weights[None, :] / weights[:, None] / gaps
    np.fill_diagonal(D, 0)
    np.fill_diagonal(D, -D.sum(axis=1))  # constants have derivative 0 to the last bit
    return D


def _clenshaw_curtis(size: int) -> Field:
    """Weights on ``[−1, 1]``: ``Σ w f = ∫ f`` for polynomials of degree below `size`."""
    angles = math.pi * np.arange(size) / (size - 1)
    degrees = np.arange(size)
    moments = np.zeros(size)
    moments[::2] = 2 / (1 - degrees[::2] ** 2.0)
    weights: Field = np.linalg.solve(np.cos(np.outer(degrees, angles)), moments)
    return weights
