"""Exponential distributions."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, as_floating
from lnegeom.families._base import FisherRaoFamily, check_entries, log_ratio, positive_entries
from lnegeom.potentials import Potential, SeparablePotential


class Exponential(FisherRaoFamily):
    """Exponential distributions on x ≥ 0, with natural parameter ``θ = −rate``.

    ``t(x) = x`` and ``A(θ) = −log(−θ)``.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.Exponential()
    >>> float(family.mean_parameters(family.natural(4.0))[0])
    0.25
    """

    dim = 1

    def __init__(self) -> None:
        self.log_partition = _ExponentialLogPartition()

    def natural(self, rate: Any) -> Array:
        """Natural parameters ``(..., 1)`` of rates ``(...)``."""
        xp, rate = as_floating(rate=rate)
        positive_entries(xp, rate, "rate", "rate")
        return -rate[..., None]

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return (-theta[..., 0],)

    def _check_support(self, xp: Any, x: Array) -> None:
        check_entries(xp, x >= 0, x, "x", "a number that is not negative")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return (x + xp.zeros_like(x))[..., None]

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        rise = (q[..., 0] - p[..., 0]) / p[..., 0]  # the ratio of the rates, less one
        return rise - log_ratio(xp, -q[..., 0], -p[..., 0])

    def _distance(self, xp: Any, p: Array, q: Array) -> Array:
        small, large = xp.minimum(-p, -q)[..., 0], xp.maximum(-p, -q)[..., 0]
        return xp.log1p((large - small) / small)


class _MinusLog(SeparablePotential):
    """``−log |x|``, up to a constant, on one side of 0."""

    dim = 1

    def _gradient(self, xp: Any, x: Array) -> Array:
        return -1 / x

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return 1 / x**2

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return -2 / x**3


class _ExponentialLogPartition(_MinusLog):
    """``A(θ) = −log(−θ)`` on θ < 0."""

    def __repr__(self) -> str:
        return "Exponential().log_partition"

    @property
    def conjugate(self) -> Potential:
        return _ExponentialNegativeEntropy()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_entries(xp, x < 0, x, "x", "the natural parameter -rate < 0; see natural()")

    def _value(self, xp: Any, x: Array) -> Array:
        return -xp.log(-x[..., 0])


class _ExponentialNegativeEntropy(_MinusLog):
    """``A*(η) = −1 − log η`` on η > 0."""

    def __repr__(self) -> str:
        return "Exponential().log_partition.conjugate"

    @property
    def conjugate(self) -> Potential:
        return _ExponentialLogPartition()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_entries(xp, x > 0, x, "x", "a positive mean")

    def _value(self, xp: Any, x: Array) -> Array:
        return -1 - xp.log(x[..., 0])
