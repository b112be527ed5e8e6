"""Half the squared norm: the potential of flat space."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, dot
from lnegeom.potentials._base import SeparablePotential


class SquaredNorm(SeparablePotential):
    """Half the squared norm ``½ |x|²``, its own conjugate.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.SquaredNorm()([3.0, 4.0]))
    12.5
    """

    @property
    def conjugate(self) -> SquaredNorm:
        """The squared norm again."""
        return self

    def _value(self, xp: Any, x: Array) -> Array:
        return dot(xp, x, x) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        return x + xp.zeros_like(x)

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)
