"""Dual connections of a divergence that is given as a function, by Eguchi's relations."""

from __future__ import annotations

from typing import Any

from lnegeom._array import (
    Array,
    moveaxis,
    row_sum,
)
from lnegeom.connections import DualConnections
from lnegeom.metrics import FromDivergence
from lnegeom.tensors import apply_first

__all__ = ["EguchiConnections"]


class EguchiConnections(DualConnections):
    """Dual connections ``Γ_{ij,k} = −∂_i∂_j∂'_k D`` and ``Γ*_{ij,k} = −∂'_i∂'_j∂_k D`` of any divergence.

    Symbols take third derivatives of the divergence, curvature fourth ones, from where its metric takes them.

    Parameters
    ----------
    metric : FromDivergence
        The metric of the divergence.
    a : float
        The value of α.

    Examples
    --------
    A symmetric divergence is self-dual: its two connections are Levi-Civita's.

    >>> import lnegeom
    >>> def hellinger(p, q):
    ...     return 2 * ((p**0.5 - q**0.5) ** 2).sum()
    >>> connections = lnegeom.CallableDivergence(hellinger, dim=1).connections()
    >>> bool(abs(connections.cubic([2.0])).max() < 1e-8)
    True
    """

    metric: FromDivergence

    def __init__(self, metric: FromDivergence, a: float = 1.0):
        super().__init__(metric, a)

    def __repr__(self) -> str:
        return f"EguchiConnections({self.metric!r}, a={self.a:g})"

    def alpha(self, a: float) -> EguchiConnections:
        """The connection ``Γ^(a)`` of the same divergence."""
        return EguchiConnections(self.metric, a)

    def _pair(self, xp: Any, x: Array) -> tuple[Array, Array]:
        both, _ = self.metric.jets.symbols(x)
        return both[..., 0, :, :, :], both[..., 1, :, :, :]

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        _, error = self.metric.jets.symbols(x)
        return (1 + abs(self.a)) * error * row_sum(xp, self._inverse(xp, x)) if error else 0.0

    def _curvature(self, xp: Any, x: Array) -> Array:
        first, second = self._pair(xp, x)
        slopes = self.metric.jets.symbols_slope(x)
        low = self._mixed(first, second)
        slope = self._mixed(
            slopes[..., 0, :, :, :, :], slopes[..., 1, :, :, :, :]
        )  # ∂_m Γ_{vs,k} at (k, v, s, m)
        inverse = self._inverse(xp, x)
        # With ∂_m g_kl = Γ_{mk,l} + Γ*_{ml,k}, R_ksmv is the part antisymmetric in mv of
        # ∂_m Γ_{vs,k} − ∂_m g_kl Γ^l_vs + Γ_{ml,k} Γ^l_vs.
        rest = low - second - moveaxis(xp, first, -3, -1)  # first is stored (l, m, k)
        n, batch = x.shape[-1], tuple(x.shape[:-1])
        gamma = xp.reshape(apply_first(xp, inverse, low), (*batch, n, n * n))
        product = xp.reshape(
            xp.reshape(rest, (*batch, n * n, n)) @ gamma, (*batch, n, n, n, n)
        )  # (k, m, v, s)
        half = moveaxis(xp, slope, -3, -1) + moveaxis(xp, product, -1, -3)  # (k, s, m, v)
        return apply_first(xp, inverse, half - xp.matrix_transpose(half))
