"""The metric that a divergence induces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lnegeom._array import Array, InputError, positive_integer
from lnegeom.derivatives import Derivatives, Jet
from lnegeom.derivatives._divergence import DivergenceJets
from lnegeom.metrics._checks import check_matrix
from lnegeom.metrics._jet import JetMetric


class _Local(NamedTuple):
    x: Array
    matrix: Array


class FromDivergence(JetMetric):
    """The metric ``g_ij = ∂_i ∂_j D[p : q]`` at ``p = q``, derivatives in the first argument (Eguchi).

    Parameters
    ----------
    divergence : callable
        Maps two points ``(n,)`` to the number ``D[p : q]``, zero at ``p = q`` and positive elsewhere.
    dim : int
        The dimension n.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from: torch.func for torch arrays, JAX for JAX arrays, else finite differences.
    vectorized : bool
        Whether the divergence maps points ``(..., n)`` and ``(..., n)`` to values ``(...)`` at once.
    trace : bool
        Whether to record derivatives by torch or JAX once, on the terms of `FromCallable`; but no change of
        the divergence is noticed.

    Raises
    ------
    GeometryError
        At a point where the second derivative is not positive definite.

    Notes
    -----
    Curvature takes fourth derivatives of the divergence. By differences it keeps six to ten digits: each
    coordinate has steps of its own, so that a domain's edge close by costs the others nothing. A point takes
    some ``(4n(n + 1))²`` evaluations for each step tried: pass `vectorized` where you can.

    References
    ----------
    Eguchi, *Second order efficiency of minimum contrast estimators* (1983).

    Examples
    --------
    The divergence of spins, ``log cosh p − log cosh q − (p − q) tanh q``, has the metric ``sech²``:

    >>> import numpy as np, lnegeom
    >>> def spins(p, q):
    ...     return np.sum(np.log(np.cosh(p) / np.cosh(q)) - (p - q) * np.tanh(q))
    >>> metric = lnegeom.FromDivergence(spins, dim=2)
    >>> np.diag(metric.matrix([0.0, 1.0])).round(6)
    array([1.      , 0.419974])
    """

    def __init__(
        self,
        divergence: Callable[[Array, Array], Array],
        dim: int,
        *,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        if not callable(divergence):
            raise InputError(f"expected a divergence, a function of two points, got {divergence!r}")
        self.dim: int = positive_integer("dim", dim)
        self.jets = DivergenceJets(divergence, derivatives, vectorized, trace)

    def __repr__(self) -> str:
        name = getattr(self.jets.function, "__name__", repr(self.jets.function))
        return f"FromDivergence({name}, dim={self.dim})"

    def _local(self, xp: Any, x: Array) -> _Local:
        matrix = self.jets.metric(x)
        check_matrix(xp, matrix, 0)
        return _Local(x, matrix)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return local.matrix

    def _first(self, xp: Any, local: _Local) -> Array:
        return self.jets.metric_slope(local.x)[0]

    def _first_error(self, xp: Any, local: _Local) -> float:
        return self.jets.metric_slope(local.x)[1]

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        return self.jets.metric_jet(local.x)[:2]

    def _derived(self, xp: Any, local: _Local) -> Jet:
        return Jet(local.matrix, *self.jets.metric_jet(local.x))
