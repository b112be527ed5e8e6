"""Negative entropy on the positive orthant."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, check_where
from lnegeom.potentials._base import Potential, SeparablePotential


class NegativeEntropy(SeparablePotential):
    """Negative entropy ``Σ x_i log x_i`` on the positive orthant; its Bregman divergence is generalized KL.

    The conjugate is ``Σ exp(η_i − 1)``.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.NegativeEntropy()([0.5, 0.5]))
    -0.693...
    """

    @property
    def conjugate(self) -> Potential:
        """``ψ*(η) = Σ exp(η_i − 1)``."""
        return _ShiftedExponential()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_where(xp, x > 0, x, "x", "{point} = {value}: expected positive coordinates")

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.sum(x * xp.log(x), axis=-1)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.log(x) + 1

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return 1 / x

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return -1 / x**2


class _ShiftedExponential(SeparablePotential):
    """Conjugate of `NegativeEntropy`: ``Σ exp(x_i − 1)``."""

    def __repr__(self) -> str:
        return "NegativeEntropy().conjugate"

    @property
    def conjugate(self) -> NegativeEntropy:
        return NegativeEntropy()

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.sum(xp.exp(x - 1), axis=-1)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.exp(x - 1)

    _hessian_diagonal = _gradient
    _third_diagonal = _gradient
