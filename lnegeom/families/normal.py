"""Univariate normal distributions."""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, as_floating, check_finite, check_where, safe_sqrt
from lnegeom.families._base import FisherRaoFamily, broadcast
from lnegeom.potentials import Potential


class Normal(FisherRaoFamily):
    """Univariate normal distributions, with natural parameters ``θ = (μ/σ², −1/(2σ²))``.

    The statistic is ``(x, x²)``. Its Fisher metric is hyperbolic, of sectional curvature −½: the half-plane
    of the points ``(μ/√2, σ)``, lengths times √2. Metric, inverse, connection and curvature keep all their
    digits at any μ/σ.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.Normal()
    >>> theta = family.natural(1.0, 2.0)
    >>> theta
    array([ 0.25 , -0.125])
    >>> [float(v) for v in family.parameters(theta)]
    [1.0, 2.0]
    """

    dim = 2

    def __init__(self) -> None:
        self.log_partition = _NormalLogPartition()

    def natural(self, mean: Any, std: Any) -> Array:
        """Natural parameters ``(..., 2)`` of means and standard deviations ``(...)``."""
        xp, mean, std = as_floating(mean=mean, std=std)
        check_finite(xp, mean, "mean")
        check_finite(xp, std, "std")
        check_where(xp, std > 0, std, "std", "{point} = {value}: expected a positive standard deviation")
        mean, std = broadcast(xp, mean=mean, std=std)
        return xp.stack([mean / std**2, -1 / (2 * std**2)], axis=-1)

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        variance = -1 / (2 * theta[..., 1])
        return theta[..., 0] * variance, xp.sqrt(variance)

    def _check_support(self, xp: Any, x: Array) -> None:
        """Every number is in the support."""

    def _statistic(self, xp: Any, x: Array) -> Array:
        return xp.stack([x, x**2], axis=-1)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x) - math.log(2 * math.pi) / 2

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        mean_p, std_p = self._parameters(xp, p)
        mean_q, std_q = self._parameters(xp, q)
        ratio = std_p / std_q
        return (ratio**2 - 1) / 2 - xp.log(ratio) + ((mean_p - mean_q) / std_q) ** 2 / 2

    def _distance(self, xp: Any, p: Array, q: Array) -> Array:
        mean_p, std_p = self._parameters(xp, p)
        mean_q, std_q = self._parameters(xp, q)
        # The differences of near points, from those of θ.
        turn = (q[..., 1] - p[..., 1]) / p[..., 1]
        near = xp.abs(turn) < 0.5
        turn = xp.where(near, turn, xp.zeros_like(turn))
        across = xp.where(near, (q[..., 0] - p[..., 0]) / (2 * p[..., 1]) + turn * mean_q, mean_p - mean_q)
        along = xp.where(near, turn * std_q**2 / (std_p + std_q), std_p - std_q)
        chord = safe_sqrt(xp, (across**2 / 2 + along**2) / (std_p * std_q))
        return 2 * math.sqrt(2) * xp.asinh(chord / 2)


def symmetric(xp: Any, entries: dict[str, Array]) -> Array:
    """Fill a symmetric tensor in two dimensions from its entries, keyed by their sorted index ("001")."""
    order = len(next(iter(entries)))

    def fill(prefix: str) -> Array:
        if len(prefix) == order:
            return entries["".join(sorted(prefix))]
        return xp.stack([fill(prefix + "0"), fill(prefix + "1")], axis=len(prefix) - order)

    return fill("")


class _NormalLogPartition(Potential):
    """``A(θ) = −θ₁²/(4θ₂) − ½ log(−2θ₂)`` on ``θ₂ < 0``."""

    dim = 2
    curvature = -0.5

    def __repr__(self) -> str:
        return "Normal().log_partition"

    @property
    def conjugate(self) -> Potential:
        return _NormalNegativeEntropy()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_where(
            xp,
            x[..., 1] < 0,
            x[..., 1],
            "x",
            "{point} has second natural parameter {value}: expected -1/(2 sigma^2) < 0; see natural()",
        )

    def _value(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        return -(a**2) / (4 * b) - xp.log(-2 * b) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        return symmetric(xp, {"0": -a / (2 * b), "1": a**2 / (4 * b**2) - 1 / (2 * b)})

    def _hessian(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        entries = {
            "00": -1 / (2 * b),
            "01": a / (2 * b**2),
            "11": -(a**2) / (2 * b**3) + 1 / (2 * b**2),
        }
        return symmetric(xp, entries)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        entries = {
            "000": xp.zeros_like(a),
            "001": 1 / (2 * b**2),
            "011": -a / b**3,
            "111": 3 * a**2 / (2 * b**4) - 1 / b**3,
        }
        return symmetric(xp, entries)

    # In closed form, for far from the origin the Hessian is all but singular: its determinant is 2 σ⁶.

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        return symmetric(xp, {"00": 2 * a**2 - 2 * b, "01": 2 * a * b, "11": 2 * b**2})

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return math.log(2) - 3 * xp.log(-2 * x[..., 1])


class _NormalNegativeEntropy(Potential):
    """Conjugate of the normal log-partition: ``−½ − ½ log(s − m²)``, ``m = E x``, ``s = E x² > m²``."""

    dim = 2
    curvature = -0.5

    def __repr__(self) -> str:
        return "Normal().log_partition.conjugate"

    @property
    def conjugate(self) -> Potential:
        return _NormalLogPartition()

    def _check_domain(self, xp: Any, x: Array) -> None:
        variance = x[..., 1] - x[..., 0] ** 2
        check_where(
            xp,
            variance > 0,
            variance,
            "x",
            "{point} has variance E[x^2] - E[x]^2 = {value}: expected it to be positive",
        )

    def _value(self, xp: Any, x: Array) -> Array:
        return -0.5 - xp.log(x[..., 1] - x[..., 0] ** 2) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        return symmetric(xp, {"0": m / v, "1": -1 / (2 * v)})

    def _hessian(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        return symmetric(xp, {"00": 1 / v + 2 * m**2 / v**2, "01": -m / v**2, "11": 1 / (2 * v**2)})

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        return symmetric(xp, {"00": v, "01": 2 * m * v, "11": 4 * m**2 * v + 2 * v**2})

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return -math.log(2) - 3 * xp.log(x[..., 1] - x[..., 0] ** 2)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        entries = {
            "000": 6 * m / v**2 + 8 * m**3 / v**3,
            "001": -1 / v**2 - 4 * m**2 / v**3,
            "011": 2 * m / v**3,
            "111": -1 / v**3,
        }
        return symmetric(xp, entries)
