"""Poisson distributions."""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, as_floating
from lnegeom.families._base import FisherRaoFamily, check_entries, positive_entries, whole
from lnegeom.families._special import gammaln
from lnegeom.potentials import Potential, SeparablePotential


class Poisson(FisherRaoFamily):
    """Poisson distributions on 0, 1, 2, …, with natural parameter ``θ = log(rate)``.

    ``t(x) = x``, ``h(x) = 1/x!`` and ``A(θ) = e^θ``.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.Poisson()
    >>> float(family.distance(family.natural(4.0), family.natural(9.0)))
    2.0...
    """

    dim = 1

    def __init__(self) -> None:
        self.log_partition = _PoissonLogPartition()

    def natural(self, rate: Any) -> Array:
        """Natural parameters ``(..., 1)`` of rates ``(...)``."""
        xp, rate = as_floating(rate=rate)
        positive_entries(xp, rate, "rate", "rate")
        return xp.log(rate)[..., None]

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return (xp.exp(theta[..., 0]),)

    def _check_support(self, xp: Any, x: Array) -> None:
        check_entries(xp, whole(xp, x), x, "x", "a count 0, 1, 2, ...")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return (x + xp.zeros_like(x))[..., None]

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return -gammaln(xp, x + 1)

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        gap = q[..., 0] - p[..., 0]
        return xp.exp(p[..., 0]) * (xp.expm1(gap) - gap)

    def _distance(self, xp: Any, p: Array, q: Array) -> Array:
        # 2 |√rate_p − √rate_q|, factored so that near rates keep their digits.
        top = xp.maximum(p, q)[..., 0]
        return -2 * xp.exp(top / 2) * xp.expm1(-xp.abs(p - q)[..., 0] / 2)


class _PoissonLogPartition(SeparablePotential):
    """``A(θ) = e^θ``."""

    dim = 1

    def __repr__(self) -> str:
        return "Poisson().log_partition"

    @property
    def conjugate(self) -> Potential:
        return _PoissonNegativeEntropy()

    def _check_domain(self, xp: Any, x: Array) -> None:
        most = math.log(float(xp.finfo(x.dtype).max))
        check_entries(
            xp, x < most, x, "x", f"below {most:.5g}, for the rate e^x not to overflow in {x.dtype}"
        )

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.exp(x[..., 0])

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.exp(x)

    _hessian_diagonal = _gradient
    _third_diagonal = _gradient


class _PoissonNegativeEntropy(SeparablePotential):
    """``A*(η) = η log η − η`` on η > 0."""

    dim = 1

    def __repr__(self) -> str:
        return "Poisson().log_partition.conjugate"

    @property
    def conjugate(self) -> Potential:
        return _PoissonLogPartition()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_entries(xp, x > 0, x, "x", "a positive mean")

    def _value(self, xp: Any, x: Array) -> Array:
        return x[..., 0] * (xp.log(x[..., 0]) - 1)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.log(x)

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return 1 / x

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return -1 / x**2
