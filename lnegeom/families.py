"""Exponential families: log-partition, natural parameters, Kullback–Leibler divergence.

Points of a family are its natural parameters θ, in ``p(x) = h(x) exp(⟨θ, t(x)⟩ − A(θ))``. The log-partition
A is a `Potential`, so the Fisher metric is its Hessian and the mean parameters are its gradient.
"""

from __future__ import annotations

import abc
from typing import Any

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_finite,
    check_vectors,
    check_where,
    positive_integer,
)
from lnegeom.potentials import LogSumExp, Potential

__all__ = ["Categorical", "ExponentialFamily", "Normal"]


class ExponentialFamily(abc.ABC):
    """A regular, minimal exponential family.

    Attributes
    ----------
    dim : int
        Number of natural parameters.
    log_partition : Potential
        A(θ); its gradient is the mean of the sufficient statistic, its Hessian the Fisher information.
    """

    dim: int
    log_partition: Potential

    @abc.abstractmethod
    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        """``KL[p : q]`` of shape ``(...)`` between natural parameters, in closed form."""


class Categorical(ExponentialFamily):
    """Categorical distributions over `outcomes` values; the last one is the reference.

    Natural parameters are ``θ_i = log(p_i / p_last)``, of shape ``(..., outcomes − 1)``.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.Categorical(3)
    >>> theta = family.natural([0.5, 0.25, 0.25])
    >>> family.probabilities(theta)
    array([0.5 , 0.25, 0.25])
    """

    def __init__(self, outcomes: int):
        self.outcomes = positive_integer("outcomes", outcomes)
        if self.outcomes < 2:
            raise InputError("outcomes must be at least 2, got 1; a certain outcome has no parameter")
        self.dim = self.outcomes - 1
        self.log_partition = _SizedLogSumExp(self.dim)

    def __repr__(self) -> str:
        return f"Categorical({self.outcomes})"

    def natural(self, probabilities: Any) -> Array:
        """Natural parameters ``(..., outcomes − 1)`` of probabilities ``(..., outcomes)``."""
        xp, p = as_floating(probabilities=probabilities)
        check_vectors(xp, p, "probabilities", self.outcomes)
        check_where(xp, p > 0, p, "probabilities", "{point} = {value}: expected positive probabilities")
        total = xp.sum(p, axis=-1)
        tolerance = 100 * float(xp.finfo(p.dtype).eps) * self.outcomes
        check_where(
            xp,
            xp.abs(total - 1) <= tolerance,
            total,
            "probabilities",
            "{point} sums to {value}: expected 1; divide by the sum",
        )
        return xp.log(p[..., :-1]) - xp.log(p[..., -1:])

    def probabilities(self, theta: Any) -> Array:
        """Probabilities ``(..., outcomes)`` of natural parameters ``(..., outcomes − 1)``."""
        xp, theta = as_floating(theta=theta)
        check_vectors(xp, theta, "theta", self.dim)
        return xp.exp(self._log_probabilities(xp, theta))

    def _log_probabilities(self, xp: Any, theta: Array) -> Array:
        padded = xp.concat([theta, xp.zeros_like(theta[..., :1])], axis=-1)
        return padded - self.log_partition._value(xp, theta)[..., None]

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        log_p, log_q = self._log_probabilities(xp, p), self._log_probabilities(xp, q)
        return xp.sum(xp.exp(log_p) * (log_p - log_q), axis=-1)


class _SizedLogSumExp(LogSumExp):
    """Log-sum-exp that knows its family's dimension, so that a point of another one is refused."""

    def __init__(self, dim: int):
        self.dim: int = dim

    def __repr__(self) -> str:
        return f"Categorical({self.dim + 1}).log_partition"


class Normal(ExponentialFamily):
    """Univariate normal distributions, with natural parameters ``θ = (μ/σ², −1/(2σ²))``.

    The statistic is ``(x, x²)``. Its Fisher metric is hyperbolic: sectional curvature −½.

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

    def __repr__(self) -> str:
        return "Normal()"

    def natural(self, mean: Any, std: Any) -> Array:
        """Natural parameters ``(..., 2)`` of means and standard deviations ``(...)``."""
        xp, mean, std = as_floating(mean=mean, std=std)
        check_finite(xp, mean, "mean")
        check_finite(xp, std, "std")
        check_where(xp, std > 0, std, "std", "{point} = {value}: expected a positive standard deviation")
        mean, std = xp.broadcast_arrays(mean, std)
        return xp.stack([mean / std**2, -1 / (2 * std**2)], axis=-1)

    def parameters(self, theta: Any) -> tuple[Array, Array]:
        """Mean and standard deviation, each ``(...)``, of natural parameters ``(..., 2)``."""
        xp, theta = self.log_partition._point(theta)
        return self._parameters(xp, theta)

    @staticmethod
    def _parameters(xp: Any, theta: Array) -> tuple[Array, Array]:
        variance = -1 / (2 * theta[..., 1])
        return theta[..., 0] * variance, xp.sqrt(variance)

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        mean_p, std_p = self._parameters(xp, p)
        mean_q, std_q = self._parameters(xp, q)
        ratio = std_p / std_q
        return (ratio**2 - 1) / 2 - xp.log(ratio) + ((mean_p - mean_q) / std_q) ** 2 / 2


def _symmetric(xp: Any, entries: dict[str, Array]) -> Array:
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
            "{point} has second natural parameter {value}: expected -1/(2 sigma^2) < 0",
        )

    def _value(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        return -(a**2) / (4 * b) - xp.log(-2 * b) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        return _symmetric(xp, {"0": -a / (2 * b), "1": a**2 / (4 * b**2) - 1 / (2 * b)})

    def _hessian(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        entries = {
            "00": -1 / (2 * b),
            "01": a / (2 * b**2),
            "11": -(a**2) / (2 * b**3) + 1 / (2 * b**2),
        }
        return _symmetric(xp, entries)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        a, b = x[..., 0], x[..., 1]
        entries = {
            "000": xp.zeros_like(a),
            "001": 1 / (2 * b**2),
            "011": -a / b**3,
            "111": 3 * a**2 / (2 * b**4) - 1 / b**3,
        }
        return _symmetric(xp, entries)


class _NormalNegativeEntropy(Potential):
    """Conjugate of the normal log-partition: ``−½ − ½ log(s − m²)``, ``m = E x``, ``s = E x² > m²``."""

    dim = 2

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
        return _symmetric(xp, {"0": m / v, "1": -1 / (2 * v)})

    def _hessian(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        return _symmetric(xp, {"00": 1 / v + 2 * m**2 / v**2, "01": -m / v**2, "11": 1 / (2 * v**2)})

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        m = x[..., 0]
        v = x[..., 1] - m**2
        entries = {
            "000": 6 * m / v**2 + 8 * m**3 / v**3,
            "001": -1 / v**2 - 4 * m**2 / v**3,
            "011": 2 * m / v**3,
            "111": -1 / v**3,
        }
        return _symmetric(xp, entries)
