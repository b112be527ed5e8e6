"""Homogeneous spaces: what the flow asks of them, Einstein spaces, and products.

One matrix, in a frame that the symmetry carries everywhere, stands for the whole metric; its Ricci tensor is
algebra.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, positive_integer, real
from lnegeom.flow.domain import register_domain, restore_domain

Matrix = NDArray[np.float64]


class HomogeneousSpace(Protocol):
    """A domain of one point, whose metric is a matrix in an invariant frame."""

    @property
    def dim(self) -> int:
        """Dimension n."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Always ``()``: one matrix stands for the metric everywhere."""

    def check(self, g: Matrix) -> None:
        """Raise a GeometryError unless the positive definite matrix is an invariant metric of the space."""

    def ricci(self, g: Matrix) -> Matrix:
        """Ricci tensor ``(n, n)`` of an invariant metric ``(n, n)``, both in the frame."""

    def integrate(self, values: Array) -> Array:
        """Return the values: the mean over the space, since its volume in the frame is not defined."""

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal space."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the space that `to_json` described."""


class OnePoint:
    """What every homogeneous space has in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Always ``()``: one matrix stands for the metric everywhere."""
        return ()

    def check(self, g: Matrix) -> None:
        """Accept every positive definite matrix."""

    def integrate(self, values: Array) -> Array:
        """Return the values: the mean over the space, since its volume in the frame is not defined."""
        return values

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the space that `to_json` described."""
        return cls(**data)


def checked_space(space: HomogeneousSpace, name: str) -> HomogeneousSpace:
    """Return a homogeneous space; raise an InputError where it is none."""
    if not callable(getattr(space, "ricci", None)):
        raise InputError(
            f"{name} must be a LieGroup, an EinsteinSpace or a ProductSpace, got {reprlib.repr(space)}; "
            'a group has a name in LieGroup.named("SU(2)")'
        )
    return space


@register_domain
@dataclass(frozen=True, init=False)
class EinsteinSpace(OnePoint):
    """A space with a metric ĝ of ``Ric(ĝ) = constant · ĝ``; its metrics are the multiples of ĝ.

    Parameters
    ----------
    dim : int
        Dimension n.
    constant : float
        Einstein's constant of ĝ: n − 1 for the unit sphere, 1 − n for the hyperbolic space, n + 1 for the
        complex projective space of real dimension 2n with holomorphic curvature 2, 0 for a torus.

    Examples
    --------
    >>> from lnegeom.flow import EinsteinSpace
    >>> EinsteinSpace.sphere(3)
    EinsteinSpace(dim=3, constant=2.0)
    """

    dim: int
    constant: float

    def __init__(self, dim: int, constant: float):
        object.__setattr__(self, "dim", positive_integer("dim", dim))
        object.__setattr__(self, "constant", real("constant", constant))

    @classmethod
    def sphere(cls, dim: int) -> Self:
        """The unit sphere, of curvature 1."""
        return cls(dim, positive_integer("dim", dim) - 1.0)

    @classmethod
    def hyperbolic(cls, dim: int) -> Self:
        """The hyperbolic space, of curvature −1."""
        return cls(dim, 1.0 - positive_integer("dim", dim))

    def check(self, g: Matrix) -> None:
        """Raise a GeometryError unless the matrix is a multiple of the identity, to a rounding error."""
        deviation = np.abs(g - g[0, 0] * np.eye(self.dim))
        if np.max(deviation) > 1e-12 * abs(g[0, 0]):
            index = tuple(map(int, np.unravel_index(np.argmax(deviation), g.shape)))
            raise GeometryError(
                f"metric{list(index)} is {g[index]:.6g}: the metrics of an Einstein space are multiples "
                "of its own; pass one number a² times the identity",
                index=index,
                value=float(g[index]),
            )

    def ricci(self, g: Matrix) -> Matrix:
        """Ricci tensor of a multiple of ĝ in ĝ's orthonormal frame: ``constant · I``, whatever the
        multiple.
        """
        return self.constant * np.eye(self.dim)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the arguments of `EinsteinSpace`."""
        return {"dim": self.dim, "constant": self.constant}


@register_domain
@dataclass(frozen=True, init=False)
class ProductSpace(OnePoint):
    """The Riemannian product of homogeneous spaces: block-diagonal metrics, each block flowing by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import EinsteinSpace, ProductSpace
    >>> space = ProductSpace(EinsteinSpace.sphere(2), EinsteinSpace.hyperbolic(2))
    >>> np.diag(space.ricci(np.eye(4))).tolist()
    [1.0, 1.0, -1.0, -1.0]
    """

    factors: tuple[HomogeneousSpace, ...]

    def __init__(self, *factors: HomogeneousSpace):
        if len(factors) < 2:
            raise InputError(f"a product needs at least two spaces, got {len(factors)}")
        for factor in factors:
            checked_space(factor, "a factor of a product")
        object.__setattr__(self, "factors", factors)

    @property
    def dim(self) -> int:
        """Dimension n, the sum of the factors'."""
        return sum(factor.dim for factor in self.factors)

    def _blocks(self) -> list[tuple[HomogeneousSpace, slice]]:
        ends = np.cumsum([factor.dim for factor in self.factors]).tolist()
        return [
            (factor, slice(end - factor.dim, end)) for factor, end in zip(self.factors, ends, strict=True)
        ]

    def check(self, g: Matrix) -> None:
        """Raise a GeometryError unless the matrix is block-diagonal and each block a metric of its factor."""
        off = g.copy()
        for _, block in self._blocks():
            off[block, block] = 0
        if np.any(off):
            index = tuple(map(int, np.unravel_index(np.argmax(np.abs(off)), g.shape)))
            raise GeometryError(
                f"metric{list(index)} is {g[index]:.6g}: expected zero between the factors of a product",
                index=index,
                value=float(g[index]),
            )
        for factor, block in self._blocks():
            factor.check(g[block, block])

    def ricci(self, g: Matrix) -> Matrix:
        """Ricci tensor, block by block."""
        ricci = np.zeros_like(g)
        for factor, block in self._blocks():
            ricci[block, block] = factor.ricci(g[block, block])
        return ricci

    def to_json(self) -> dict[str, Any]:
        """Plain data: the factors."""
        return {"factors": [{"kind": type(factor).__name__, **factor.to_json()} for factor in self.factors]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the product that `to_json` described."""
        factors: Any = [restore_domain(factor) for factor in data["factors"]]
        return cls(*factors)
