"""Grids for rotationally symmetric metrics ``ds² + ψ(s)² g_S`` on spheres and on R^n."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, from_numpy, positive_integer, real
from lnegeom.flow.domain import register_domain

Field = NDArray[np.float64]
MIN_POINTS = 8


class Operators(NamedTuple):
    """Spectral matrices on the points x of ``[0, 1]``, for profiles that are odd about the poles.

    Attributes
    ----------
    modes : numpy.ndarray
        ``(N, N)``, from values to sine coefficients.
    first, second : numpy.ndarray
        ``(N, N)``, derivatives in the share of the length, s/ℓ.
    integral : numpy.ndarray
        ``(N, N)``, ``∫₀ … d(s/ℓ)`` of functions that are even about the ends.
    mean : numpy.ndarray
        ``(N,)``, weights of the mean over the length, for functions that are even about the ends.
    odd_mean : numpy.ndarray
        ``(N,)``, the same for those that are odd: ψ to an odd power.
    slopes : numpy.ndarray
        ``(P, N)``, derivatives in s/ℓ at the P poles, inward.
    correction : numpy.ndarray
        ``(N, P)``, the smallest change of a profile that changes these by given amounts.
    """

    modes: Field
    first: Field
    second: Field
    integral: Field
    mean: Field
    odd_mean: Field
    slopes: Field
    correction: Field


@register_domain
@dataclass(frozen=True, init=False)
class WarpedGrid:
    """Points for metrics ``g = φ² dx² + ψ(x)² g_S`` with ``g_S`` the unit sphere of dimension n − 1.

    The radial coordinate x runs over the midpoints of N equal cells of ``[0, 1]``, so that no point is a
    pole. ψ is odd about a pole: a sine series represents it to spectral accuracy.

    Parameters
    ----------
    points : int
        Number N of points, at least 8. An odd number puts one on the equator, where a symmetric neck is.
    dim : int, default: 3
        Dimension n, at least 2.
    ends : {"sphere", "space"}, default: "sphere"
        The n-sphere, with poles at x = 0 and x = 1; or R^n inside a large ball, with a pole at x = 0 and a
        cone, a cylinder or flat space from about x = 1 on.
    slope : float, optional
        For "space" alone, ``dψ/ds`` at the outer end: 1, the default, where the metric is flat there, 0 for a
        cylinder. The attribute is 0 on a sphere.
    focus : float, default: 0.0
        For "sphere" alone, how much the points gather about the equator, where they lie ``1 − focus`` times
        as far apart as on average; for necks. ``0 ≤ focus < 1``.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> from lnegeom.flow import WarpedGrid
    >>> WarpedGrid(8, dim=3).fractions().tolist()
    [0.0625, 0.1875, 0.3125, 0.4375, 0.5625, 0.6875, 0.8125, 0.9375]
    """

    points: int
    dim: int
    ends: Literal["sphere", "space"]
    slope: float
    focus: float

    def __init__(
        self,
        points: int,
        dim: int = 3,
        ends: Literal["sphere", "space"] = "sphere",
        slope: float | None = None,
        focus: float = 0.0,
    ):
        if positive_integer("points", points) < MIN_POINTS:
            raise InputError(f"points must be at least {MIN_POINTS}, got {points}")
        if positive_integer("dim", dim) < 2:
            raise InputError(f"dim must be at least 2, got {dim}")
        if ends not in ("sphere", "space"):
            raise InputError(f'ends must be "sphere" or "space", got {ends!r}')
        outer = (1.0 if ends == "space" else 0.0) if slope is None else real("slope", slope)
        if not 0 <= outer < math.inf:
            raise InputError(f"slope must be finite and not negative, got {slope!r}")
        if outer and ends == "sphere":
            raise InputError(
                f'slope is of the outer end, for ends="space" alone: a sphere closes at both poles, where '
                f"|dψ/ds| = 1; got {slope!r}, leave it out"
            )
        if not 0 <= real("focus", focus) < 1 or (focus and ends == "space"):
            raise InputError(f'focus must be in [0, 1), and 0 where ends="space"; got {focus!r}')
        object.__setattr__(self, "points", int(points))
        object.__setattr__(self, "dim", int(dim))
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "slope", outer)
        object.__setattr__(self, "focus", float(focus))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(points,)``."""
        return (self.points,)

    def _coordinates(self) -> Field:
        """Coordinates x of the points, ``(j + ½)/N``."""
        return (np.arange(self.points) + 0.5) / self.points

    def fractions(self) -> Field:
        """Distances of the points from the first pole, as shares ``F(x) = s/ℓ`` of the length."""
        x = self._coordinates()
        return x + self.focus * np.sin(2 * math.pi * x) / (2 * math.pi)

    def stretch(self) -> Field:
        """``F'(x)``: the metric is ``(ℓ F')² dx² + ψ² g_S``."""
        return 1 + self.focus * np.cos(2 * math.pi * self._coordinates())

    def integrate(self, values: Array) -> Array:
        """``∫ f dx dω`` of densities ``(..., points)``, over x and the unit sphere of dimension n − 1.

        A density contains a factor ``ψ^{n−1}``: it is even or odd about a pole as n − 1 is.
        """
        xp = array_api_compat.array_namespace(values)
        area = 2 * math.pi ** (self.dim / 2) / math.gamma(self.dim / 2)
        weights = from_numpy(self.weights / self.stretch(), values)
        return area * xp.sum(weights * values, axis=-1)

    @property
    def weights(self) -> Field:
        """Weights ``(points,)`` of the mean over the length, of functions with a factor ``ψ^{n−1}``."""
        odd = self.ends == "sphere" and self.dim % 2 == 0
        return self.operators.odd_mean if odd else self.operators.mean

    def to_json(self) -> dict[str, Any]:
        """Plain data: the arguments of `WarpedGrid`."""
        return {name: getattr(self, name) for name in ("points", "dim", "ends", "slope", "focus")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the grid that `to_json` described."""
        return cls(**data)

    @functools.cached_property
    def operators(self) -> Operators:
        """The grid's spectral matrices."""
        x, N, F = self._coordinates(), self.points, self.stretch()
        k = math.pi * (np.arange(1, N + 1) - (0.5 if self.ends == "space" else 0.0))
        even = math.pi * np.arange(N)
        modes = np.linalg.inv(np.sin(np.outer(x, k)))
        first = (np.cos(np.outer(x, k)) * k) @ modes
        second = -(np.sin(np.outer(x, k)) * k**2) @ modes
        bend = -2 * math.pi * self.focus * np.sin(2 * math.pi * x)  # F''
        antiderivatives = np.column_stack([x, np.sin(np.outer(x, even[1:])) / even[1:]])
        integral = (antiderivatives @ np.linalg.inv(np.cos(np.outer(x, even)))) * F
        poles = k[None, :] if self.ends == "space" else np.stack([k, -k * np.cos(k)])
        slopes = poles @ modes / (1 + self.focus)
        return Operators(
            modes,
            first / F[:, None],
            (second - (bend / F)[:, None] * first) / F[:, None] ** 2,
            integral,
            F / N,
            ((1 - np.cos(k)) / k) @ modes * F,
            slopes,
            slopes.T @ np.linalg.inv(slopes @ slopes.T),
        )
