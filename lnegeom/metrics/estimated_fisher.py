"""Fisher information of a user's density: by quadrature, by sums, or by Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_finite,
    check_where,
    from_numpy,
    positive_integer,
    real,
    to_numpy,
)
from lnegeom.derivatives import Derivatives
from lnegeom.metrics.pullback import Pullback

# The double exponential rule runs over |t| ≤ 3.6: beyond, nodes are past 10^12, or within 10^-25 of an end.
_LARGEST_T = 3.6

# By how many of them a Monte Carlo estimate of a density's mass may differ from 1.
_STANDARD_ERRORS = 6

# What each rule's nodes should be more of, if the density has not mass 1 on them.
_REMEDIES = {
    "quadrature": "a narrower support or more points",
    "sum": "all outcomes",
    "truncated sum": "more terms",
    "monte carlo": "samples that cover it",
}


class EstimatedFisher(Pullback):
    """The Fisher metric ``E[∂_i l ∂_j l]`` of a density ``exp l(θ, x)`` of your own, by nodes and weights.

    Expectations are sums over nodes, ``∫ f p dx ≈ Σ_q w_q f(x_q) p(θ, x_q)``. So the metric is that of the
    surface ``θ ↦ 2 √(w_q p(θ, x_q))`` in Euclidean space, and connection and curvature take no more than
    second derivatives of the density. Use `by_quadrature`, `by_sum` or `by_monte_carlo`.

    Parameters
    ----------
    log_density : callable
        Maps one parameter ``(dim,)`` and all the nodes to ``l``, of shape ``(Q,)``. It must be normalised.
    dim : int
        Number of parameters.
    nodes, weights : array
        Nodes ``(Q,)`` or ``(Q, d)``, and their positive weights ``(Q,)``.
    rule : {"quadrature", "sum", "truncated sum", "monte carlo"}
        What the nodes are, which says how errors are estimated.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the density's derivatives come from.

    References
    ----------
    Amari, *Information Geometry and Its Applications* (2016), section 2.2; Takahasi and Mori, *Double
    exponential formulas for numerical integration* (1974).

    Examples
    --------
    The Cauchy distributions have the metric of a hyperbolic plane, ``½ δ / scale²``:

    >>> import numpy as np, lnegeom
    >>> def log_density(theta, x):
    ...     return np.log(theta[1] / np.pi) - np.log((x - theta[0]) ** 2 + theta[1] ** 2)
    >>> metric = lnegeom.EstimatedFisher.by_quadrature(log_density, dim=2)
    >>> metric.matrix([0.3, 2.0]).round(9) + 0.0
    array([[0.125, 0.   ],
           [0.   , 0.125]])
    >>> bool(metric.error([0.3, 2.0]).max() < 1e-8)
    True
    """

    def __init__(
        self,
        log_density: Callable[[Array, Array], Array],
        dim: int,
        nodes: Any,
        weights: Any,
        *,
        rule: str,
        derivatives: Derivatives = "auto",
    ):
        if not callable(log_density):
            raise InputError(
                f"expected a log-density, a function of a parameter and nodes, got {log_density!r}"
            )
        xp, nodes, weights = as_floating(nodes=nodes, weights=weights)
        check_finite(xp, nodes, "nodes")
        check_where(xp, weights > 0, weights, "weights", "{point} = {value}: expected a positive weight")
        self.nodes, self.weights = to_numpy(nodes), to_numpy(weights)
        if self.nodes.ndim not in (1, 2) or self.weights.shape != self.nodes.shape[:1] or not self.nodes.size:
            raise InputError(
                f"nodes have shape {self.nodes.shape}, weights {self.weights.shape}: expected (Q,) or (Q, d) "
                "and (Q,), at least one"
            )
        if rule not in _REMEDIES:
            raise InputError(f"rule must be one of {', '.join(_REMEDIES)}, got {rule!r}")
        self.log_density = log_density
        self.rule = rule
        super().__init__(self._roots, dim, derivatives=derivatives)

    @classmethod
    def by_quadrature(
        cls,
        log_density: Callable[[Array, Array], Array],
        dim: int,
        support: tuple[float, float] = (-math.inf, math.inf),
        *,
        points: int = 400,
        derivatives: Derivatives = "auto",
    ) -> EstimatedFisher:
        """For a density on an interval, by the double exponential rule.

        Parameters
        ----------
        log_density, dim, derivatives
            As for the class; the density is that of a number x.
        support : pair of float
            Ends of the interval, either of them infinite or not.
        points : int
            Number of nodes.
        """
        low, high = _interval(support)
        t = np.linspace(-_LARGEST_T, _LARGEST_T, positive_integer("points", points))
        nodes, slope = _double_exponential(t, low, high)
        weights = slope * 2 * _LARGEST_T / (len(t) - 1)
        return cls(log_density, dim, nodes, weights, rule="quadrature", derivatives=derivatives)

    @classmethod
    def by_sum(
        cls,
        log_density: Callable[[Array, Array], Array],
        dim: int,
        outcomes: Any = None,
        *,
        start: int = 0,
        terms: int = 1000,
        derivatives: Derivatives = "auto",
    ) -> EstimatedFisher:
        """For a discrete distribution, by the sum over its outcomes.

        Parameters
        ----------
        log_density, dim, derivatives
            As for the class; the density is the logarithm of a probability.
        outcomes : array, shape (Q,) or (Q, d), optional
            All outcomes, where there are finitely many; else they are the whole numbers ``start``,
            ``start + 1``, and so on.
        start : int
            The first of the whole numbers.
        terms : int
            How many of them are summed.

        Examples
        --------
        Geometric distributions, of failures before a success of probability p, have ``1/(p² (1 − p))``:

        >>> import numpy as np, lnegeom
        >>> def log_density(theta, x):
        ...     return np.log(theta[0]) + x * np.log(1 - theta[0])
        >>> metric = lnegeom.EstimatedFisher.by_sum(log_density, dim=1)
        >>> metric.matrix([0.5]).round(9), bool(metric.error([0.5]) < 1e-12)
        (array([[8.]]), True)
        """
        if outcomes is not None:
            xp, outcomes = as_floating(outcomes=outcomes)
            weights = xp.ones_like(xp.reshape(outcomes, (outcomes.shape[0], -1))[:, 0])
            return cls(log_density, dim, outcomes, weights, rule="sum", derivatives=derivatives)
        first = real("start", start)
        if not first.is_integer():
            raise InputError(f"start must be a whole number, got {start!r}; give other outcomes themselves")
        nodes = first + np.arange(positive_integer("terms", terms))
        return cls(
            log_density, dim, nodes, np.ones_like(nodes), rule="truncated sum", derivatives=derivatives
        )

    @classmethod
    def by_monte_carlo(
        cls,
        log_density: Callable[[Array, Array], Array],
        dim: int,
        samples: Any,
        log_proposal: Any,
        *,
        derivatives: Derivatives = "auto",
    ) -> EstimatedFisher:
        """For observations of any dimension, by importance sampling.

        Parameters
        ----------
        log_density, dim, derivatives
            As for the class.
        samples : array, shape (Q,) or (Q, d)
            Independent draws from some distribution that covers the density at the parameters of interest;
            the density itself, at a parameter near them, is the natural one.
        log_proposal : array, shape (Q,)
            Logarithm of that distribution's density at the samples.
        """
        xp, log_proposal = as_floating(log_proposal=log_proposal)
        check_finite(xp, log_proposal, "log_proposal")
        weights = xp.exp(-log_proposal) / max(1, log_proposal.shape[0])
        return cls(log_density, dim, samples, weights, rule="monte carlo", derivatives=derivatives)

    def __repr__(self) -> str:
        name = getattr(self.log_density, "__name__", repr(self.log_density))
        return f"EstimatedFisher({name}, dim={self.dim}, {len(self.nodes)} nodes, {self.rule})"

    def error(self, x: Any) -> Array:
        """Estimated error of the matrix, of shape ``(..., n, n)``.

        For quadrature and truncated sums the change from half as many nodes, which is far above the error
        once that is small; 0 for a sum over all outcomes; for Monte Carlo the standard error.
        """
        xp, local = self._at(x)
        terms = local.tangents[..., :, None] * local.tangents[..., None, :]  # (..., Q, i, j)
        count = terms.shape[-3]
        if self.rule == "sum":
            return xp.zeros_like(local.matrix)
        if self.rule == "truncated sum":
            return xp.abs(xp.sum(terms[..., count // 2 :, :, :], axis=-3))
        if self.rule == "quadrature":
            return xp.abs(local.matrix - 2 * xp.sum(terms[..., ::2, :, :], axis=-3))
        return xp.std(count * terms, axis=-3) / math.sqrt(count)

    def _local(self, xp: Any, x: Array) -> Any:
        local = super()._local(xp, x)
        terms = local.value**2 / 4
        mass = xp.sum(terms, axis=-1)
        allowed: Any = max(1e-6, 1e3 * float(xp.finfo(x.dtype).eps))
        if self.rule == "monte carlo":  # the mass has a standard error of its own
            allowed = allowed + _STANDARD_ERRORS * xp.std(terms, axis=-1) * math.sqrt(terms.shape[-1])
        message = (
            "the density at {point} has mass {value} on the nodes: expected 1; normalise it, or take "
            + _REMEDIES[self.rule]
        )
        check_where(xp, xp.abs(mass - 1) < allowed, mass, "x", message)
        return local

    def _roots(self, theta: Array) -> Array:
        """``2 √(w_q p(θ, x_q))``."""
        xp = array_api_compat.array_namespace(theta)
        values = self.log_density(theta, from_numpy(self.nodes, theta))
        if tuple(values.shape) != self.weights.shape:
            raise InputError(
                f"the log-density returned shape {tuple(values.shape)} for nodes {self.nodes.shape}: "
                f"expected {self.weights.shape}"
            )
        return xp.exp((values + from_numpy(np.log(self.weights), theta)) / 2) * 2


def _interval(support: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in support)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise InputError(f"support must be an interval (low, high), got {support!r}")
    return low, high


def _double_exponential(
    t: np.ndarray[Any, Any], low: float, high: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Nodes x(t) on an interval and their slopes dx/dt."""
    s, ds = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t)
    if math.isinf(low) and math.isinf(high):
        return np.sinh(s), np.cosh(s) * ds
    if math.isinf(high):
        return low + np.exp(s), np.exp(s) * ds
    if math.isinf(low):
        return high - np.exp(s), np.exp(s) * ds
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + half * np.tanh(s), half * ds / np.cosh(s) ** 2
