"""Bernoulli distributions: one coin."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, as_floating, check_finite
from lnegeom.families._base import FisherRaoFamily, check_entries
from lnegeom.families.categorical import SizedLogSumExp


class Bernoulli(FisherRaoFamily):
    """Bernoulli distributions on {0, 1}, with natural parameter ``θ = log(p / (1 − p))``.

    ``t(x) = x`` and ``A(θ) = log(1 + e^θ)``. Spins ±1 with natural parameter λ are this family at ``θ = 2λ``.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.Bernoulli()
    >>> family.natural(0.5)
    array([0.])
    >>> float(family.mean_parameters([0.0])[0])
    0.5
    """

    dim = 1

    def __init__(self) -> None:
        self.log_partition = SizedLogSumExp(1, "Bernoulli().log_partition")

    def natural(self, probability: Any) -> Array:
        """Natural parameters ``(..., 1)`` of probabilities ``(...)`` of a one."""
        xp, p = as_floating(probability=probability)
        check_finite(xp, p, "probability")
        check_entries(xp, (p > 0) & (p < 1), p, "probability", "a probability strictly between 0 and 1")
        return (xp.log(p) - xp.log1p(-p))[..., None]

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return (self.log_partition._gradient(xp, theta)[..., 0],)

    def _check_support(self, xp: Any, x: Array) -> None:
        check_entries(xp, (x == 0) | (x == 1), x, "x", "0 or 1")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return (x + xp.zeros_like(x))[..., None]

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        softplus = self.log_partition._value
        one, zero = -softplus(xp, -p), -softplus(xp, p)  # log p(1), log p(0)
        ones = xp.exp(one) * (one + softplus(xp, -q))
        return ones + xp.exp(zero) * (zero + softplus(xp, q))

    def _distance(self, xp: Any, p: Array, q: Array) -> Array:
        # 2 |φ_p − φ_q| with p = sin² φ, tan φ = e^{θ/2}; the tangent of the difference is sinh a / cosh b.
        a = xp.abs(p - q)[..., 0] / 4
        b = xp.abs(p + q)[..., 0] / 4
        exponent = xp.clip(a - b, max=80.0)  # beyond, the arc tangent is π/2 anyway
        return 2 * xp.atan(-xp.expm1(-2 * a) * xp.exp(exponent) / (1 + xp.exp(-2 * b)))
