"""Uniform grids on flat tori."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, positive, positive_integer
from lnegeom.flow.domain import register_domain

MAX_DIM = 3
MIN_POINTS = 4  # fewer points an axis do not resolve the first mode and its products


@register_domain
@dataclass(frozen=True, init=False)
class TorusGrid:
    """A uniform periodic grid on the flat torus ``T^n``, n = 1, 2 or 3, with the metric δ.

    Parameters
    ----------
    shape : sequence of int
        Points along each axis, at least 4 each, even or odd; its length is the dimension.
    lengths : sequence of float, optional
        Side of the torus along each axis; 2π each by default.

    Attributes
    ----------
    shape : tuple of int
    lengths : tuple of float

    Raises
    ------
    InputError
        If the dimension is not 1, 2 or 3, an axis has fewer than 4 points, or a length is not positive.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid
    >>> grid = TorusGrid((32, 48))
    >>> grid.dim, grid.coordinates().shape
    (2, (32, 48, 2))
    >>> TorusGrid((32, 32), lengths=(1.0, 2.0)).smallest_eigenvalue() == (2 * 3.141592653589793 / 2.0) ** 2
    True
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]

    def __init__(self, shape: Sequence[int], lengths: Sequence[float] | None = None):
        sizes = _sizes(shape)
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "lengths", _lengths(lengths, len(sizes)))

    @property
    def dim(self) -> int:
        """Dimension n of the torus."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring points along each axis."""
        return tuple(length / size for length, size in zip(self.lengths, self.shape, strict=True))

    @property
    def volume(self) -> float:
        """Volume of the torus under δ."""
        return math.prod(self.lengths)

    @property
    def keeps_mean(self) -> bool:
        """Constant perturbations of a flat metric are flat too, and stay."""
        return True

    @property
    def wavenumbers(self) -> tuple[NDArray[np.float64], ...]:
        """Angular wavenumbers 2πm/L of each axis, in the order of the discrete Fourier transform."""
        return tuple(
            np.asarray(2 * math.pi * np.fft.fftfreq(size, spacing), dtype=np.float64)
            for size, spacing in zip(self.shape, self.spacing, strict=True)
        )

    def coordinates(self) -> NDArray[np.float64]:
        """Coordinates of the grid points, shape ``(*shape, n)``, each in ``[0, L)``."""
        axes = [spacing * np.arange(size) for size, spacing in zip(self.shape, self.spacing, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def integrate(self, values: Array) -> Array:
        """``∫ f dx`` of values ``(..., *shape)``, by the trapezoidal rule: exact for resolved waves."""
        xp = array_api_compat.array_namespace(values)
        return self.volume * xp.mean(values, axis=tuple(range(-self.dim, 0)))

    def to_json(self) -> dict[str, Any]:
        """Plain data: the arguments of `TorusGrid`."""
        return {"shape": list(self.shape), "lengths": list(self.lengths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the grid that `to_json` described."""
        return cls(**data)

    def eigenvalues(self, count: int) -> tuple[float, ...]:
        """First distinct nonzero eigenvalues of −Δ on the torus (not of its grid), ascending.

        They are ``Σ_a (2π m_a / L_a)²`` over integer vectors m ≠ 0. Values closer than 1 part in 10⁹ count
        once.

        Examples
        --------
        >>> from lnegeom.flow import TorusGrid
        >>> [round(value, 12) for value in TorusGrid((8, 8)).eigenvalues(4)]
        [1.0, 2.0, 4.0, 5.0]
        """
        count = positive_integer("count", count)
        # The multiples 1..count along the longest axis already give `count` values: no |m_a| exceeds count.
        values = sorted(
            sum((2 * math.pi * m / length) ** 2 for m, length in zip(mode, self.lengths, strict=True))
            for mode in itertools.product(range(count + 1), repeat=self.dim)
            if any(mode)
        )
        distinct = [values[0]]
        for value in values:
            if value > distinct[-1] * (1 + 1e-9):
                distinct.append(value)
        return tuple(distinct[:count])

    def smallest_eigenvalue(self) -> float:
        """First nonzero eigenvalue of −Δ, ``λ₁ = min_a (2π/L_a)²``."""
        return (2 * math.pi / max(self.lengths)) ** 2


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
