"""The Linearly Nearly Euclidean metric: the identity less one rank-one term."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import (
    Array,
    check_where,
    diagonal_matrix,
    dot,
    identity,
    moveaxis,
    outer,
    positive,
)
from lnegeom._low_rank import LowRank
from lnegeom.metrics import _lne_chunks
from lnegeom.metrics._base import Metric
from lnegeom.metrics._lne_chunks import is_long


class _Local(NamedTuple):
    """What the formulas share at a point: u = tanh(τθ), w = 1 − |u|², h = τ sech²(τθ)."""

    u: Array
    w: Array
    h: Array


class LNE(Metric):
    """The metric ``g = I − u uᵀ`` with ``u = tanh(τθ)``, on the points where ``|u|² < 1``.

    It is the metric induced on the graph of log-cosh in Minkowski space, and *not* the Hessian of log-cosh,
    as which the papers print it (that is ``Hessian(LogCosh(tau))``, which is flat). With ``w = 1 − |u|²``,
    ``h = τ(1 − u²)`` and ``H = Σ h_i (1 + u_i²/w)``::

        g^{-1} = I + u uᵀ / w,    log det g = log w,    Γ^k_ij = −u_k h_i δ_ij / w
        Ric = −(1/w) [diag(H h − h²) − (h∘u)(h∘u)ᵀ / w]
        R   = −(1/w) [H² − Σ h_i² (1 + 2u_i²/w) − (Σ h_i u_i² / w)²]

    Ricci is negative definite for n ≥ 2. `sharp`, `flat`, `inner`, `norm`, `logdet`,
    `christoffel_apply`, `ricci_apply` and `scalar_curvature` take O(n) time and memory.

    Parameters
    ----------
    tau : float
        Scale τ > 0. A point θ lies in the domain if ``τ |θ| < 1``, since ``|tanh z| ≤ |z|``.

    References
    ----------
    RF-DNN Eq. 16; ManiQuant Eq. 14.

    Examples
    --------
    >>> import lnegeom
    >>> metric = lnegeom.LNE(tau=1.0)
    >>> metric.matrix([0.0, 0.5])
    array([[1.        , 0.        ],
           [0.        , 0.78644773]])
    >>> metric.sharp([0.0, 0.5], [1.0, 1.0])
    array([1.        , 1.27154032])
    """

    def __init__(self, tau: float = 1.0):
        self.tau = positive("tau", tau)

    def __repr__(self) -> str:
        return f"LNE(tau={self.tau})"

    # One long numpy vector goes in pieces that stay in cache; what is not valid is named by the general path.

    def sharp(self, x: Any, covector: Any) -> Array:
        """Raise an index: ``c + u (u·c)/w``, of shape ``(..., n)``, in O(n) time and memory."""
        result = _lne_chunks.sharp(self.tau, x, covector) if is_long(x, covector) else None
        return super().sharp(x, covector) if result is None else result

    def christoffel_apply(self, x: Any, u: Any, v: Any) -> Array:
        """``Γ^k_ij u^i v^j = −u_k Σ_i h_i u^i v^i / w``, of shape ``(..., n)``, in O(n) time and memory."""
        result = _lne_chunks.christoffel_apply(self.tau, x, u, v) if is_long(x, u, v) else None
        return super().christoffel_apply(x, u, v) if result is None else result

    def ricci_apply(self, x: Any, vector: Any) -> Array:
        """``Ric_ij v^j``, of shape ``(..., n)``, in O(n) time and memory."""
        result = _lne_chunks.ricci_apply(self.tau, x, vector) if is_long(x, vector) else None
        return super().ricci_apply(x, vector) if result is None else result

    def scalar_curvature(self, x: Any) -> Array:
        """Scalar curvature R, of shape ``(...)``, in O(n) time and memory."""
        result = _lne_chunks.scalar_curvature(self.tau, x) if is_long(x) else None
        return super().scalar_curvature(x) if result is None else result

    def _local(self, xp: Any, x: Array) -> _Local:
        u = xp.tanh(self.tau * x)
        squared = dot(xp, u, u)
        check_where(
            xp,
            squared < 1,
            squared,
            "x",
            f"{{point}} lies outside the domain of LNE(tau={self.tau}): |tanh(tau x)|^2 = {{value}}, "
            "expected below 1; shrink the point, or take tau below 1/|x|",
        )
        return _Local(u, 1 - squared, self.tau * (1 - u) * (1 + u))

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.u) - outer(local.u)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.u) + outer(local.u) / local.w[..., None, None]

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        return covector + local.u * (dot(xp, local.u, covector) / local.w)[..., None]

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return vector - local.u * dot(xp, local.u, vector)[..., None]

    def _logdet(self, xp: Any, local: _Local) -> Array:
        return xp.log(local.w)

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        scaled = local.u / local.w[..., None]
        return -scaled[..., :, None, None] * diagonal_matrix(xp, local.h)[..., None, :, :]

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        return -local.u * (xp.sum(local.h * u * v, axis=-1) / local.w)[..., None]

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank]:
        u, one = local.u, xp.ones_like(local.u)
        return LowRank(one, ((-u, u),)), LowRank(one, ((u / local.w[..., None], u),))

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        return LowRank(-dot(xp, local.u, covector)[..., None] / local.w[..., None] * local.h)

    def _riemann(self, xp: Any, local: _Local) -> Array:
        # R^r_smv = −(1/w)(A^r_m P_sv − A^r_v P_sm), with P = diag(h) and A = g^{-1} P
        p = diagonal_matrix(xp, local.h)
        a = self._inverse(xp, local) * local.h[..., None, :]
        term = a[..., :, None, :, None] * p[..., None, :, None, :]
        return (moveaxis(xp, term, -1, -2) - term) / local.w[..., None, None, None, None]

    def _ricci(self, xp: Any, local: _Local) -> Array:
        diagonal, vector = self._ricci_parts(xp, local)
        return diagonal_matrix(xp, diagonal) + outer(vector)

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        diagonal, factor = self._ricci_parts(xp, local)
        return diagonal * vector + factor * dot(xp, factor, vector)[..., None]

    def _ricci_parts(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        """Diagonal a and factor b of ``Ric = diag(a) + b bᵀ``."""
        u, w, h = local.u, local.w[..., None], local.h
        return -h * (self._trace(xp, local)[..., None] - h) / w, h * u / w

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        u, w, h = local
        weighted = h * u**2 / w[..., None]
        square = xp.sum(h * (h + 2 * weighted), axis=-1) + xp.sum(weighted, axis=-1) ** 2
        return -(self._trace(xp, local) ** 2 - square) / w

    @staticmethod
    def _trace(xp: Any, local: _Local) -> Array:
        """``H = tr(g^{-1} P) = Σ h_i (1 + u_i²/w)``."""
        u, w, h = local
        return xp.sum(h * (1 + u**2 / w[..., None]), axis=-1)
