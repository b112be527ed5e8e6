"""Categorical distributions, on the simplex."""

from __future__ import annotations

from typing import Any

from array_api_compat import device

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_vectors,
    check_where,
    positive_integer,
    safe_sqrt,
)
from lnegeom.families._base import FisherRaoFamily, check_entries, whole
from lnegeom.potentials import LogSumExp


class Categorical(FisherRaoFamily):
    """Categorical distributions over `outcomes` values; the last one is the reference.

    Natural parameters are ``θ_i = log(p_i / p_last)``, of shape ``(..., outcomes − 1)``; an observation is
    one of ``0, …, outcomes − 1``. The Fisher metric is a sphere's of radius 2 (sectional curvature ¼): with
    ``√p`` as a unit vector, distances are twice the angles between them.

    Parameters
    ----------
    outcomes : int
        Number of values, at least 2.

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
        self.log_partition = SizedLogSumExp(self.dim, f"{self!r}.log_partition")

    def __repr__(self) -> str:
        return f"Categorical({self.outcomes})"

    def natural(self, probabilities: Any) -> Array:
        """Natural parameters ``(..., outcomes − 1)`` of probabilities ``(..., outcomes)``."""
        xp, p = as_floating(probabilities=probabilities)
        check_vectors(xp, p, "probabilities", self.outcomes)
        check_entries(xp, p > 0, p, "probabilities", "positive probabilities")
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

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return (xp.exp(self._log_probabilities(xp, theta)),)

    def _log_probabilities(self, xp: Any, theta: Array) -> Array:
        padded = xp.concat([theta, xp.zeros_like(theta[..., :1])], axis=-1)
        return padded - self.log_partition._value(xp, theta)[..., None]

    def _check_support(self, xp: Any, x: Array) -> None:
        valid = whole(xp, x) & (x < self.outcomes)
        check_entries(xp, valid, x, "x", f"one of 0, ..., {self.outcomes - 1}")

    def _statistic(self, xp: Any, x: Array) -> Array:
        outcomes = xp.arange(self.dim, dtype=x.dtype, device=device(x))
        return xp.astype(x[..., None] == outcomes, x.dtype)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        log_p, log_q = self._log_probabilities(xp, p), self._log_probabilities(xp, q)
        return xp.sum(xp.exp(log_p) * (log_p - log_q), axis=-1)

    def _distance(self, xp: Any, p: Array, q: Array) -> Array:
        # From the chord between the unit vectors √p: the arc cosine of ⟨√p, √q⟩ would lose small distances.
        log_p, log_q = self._log_probabilities(xp, p), self._log_probabilities(xp, q)
        gap = p - q
        gap = xp.concat([gap, xp.zeros_like(gap[..., :1])], axis=-1)
        near = xp.max(xp.abs(gap), axis=-1, keepdims=True) < 0.5
        gap = xp.where(near, gap, xp.zeros_like(gap))
        rise = gap - xp.log1p(xp.sum(xp.exp(log_q) * xp.expm1(gap), axis=-1, keepdims=True))  # log p − log q
        root = xp.exp(log_q / 2)
        difference = xp.where(near, root * xp.expm1(rise / 2), xp.exp(log_p / 2) - root)
        return 4 * xp.asin(safe_sqrt(xp, xp.sum(difference**2, axis=-1)) / 2)


class SizedLogSumExp(LogSumExp):
    """Log-sum-exp that knows its family's dimension, so that a point of another one is refused."""

    def __init__(self, dim: int, name: str):
        self.dim: int = dim
        self._name = name

    def __repr__(self) -> str:
        return self._name
