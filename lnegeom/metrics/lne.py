"""The Linearly Nearly Euclidean metric: the identity less one rank-one term."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from lnegeom._array import Array, check_where, diagonal_matrix, dot, identity, outer, positive
from lnegeom.metrics._base import Metric

# Entries per pass over memory: 32,768 doubles (256 KiB) stay in a second-level cache.
_CHUNK = 1 << 15


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

    def sharp(self, x: Any, covector: Any) -> Array:
        """Raise an index: ``c + u (u·c)/w``, of shape ``(..., n)``, in O(n) time and memory."""
        if _is_long_vector(x, covector):
            return self._sharp_in_chunks(x, covector)
        return super().sharp(x, covector)

    def _sharp_in_chunks(self, x: Array, covector: Array) -> Array:
        """`sharp` of one long numpy vector, with no temporary but the result.

        The reductions |u|² and u·c carry any NaN or infinity, so that a valid point costs no extra pass.
        """
        u = np.empty_like(x)
        squared = product = 0.0
        with np.errstate(all="ignore"):  # what is not finite is reported below, by name
            for start in range(0, x.size, _CHUNK):
                part = u[start : start + _CHUNK]
                np.tanh(np.multiply(x[start : start + _CHUNK], self.tau, out=part), out=part)
                squared += float(part @ part)
                product += float(part @ covector[start : start + _CHUNK])
        if not (squared < 1 and np.isfinite(product)):
            return super().sharp(x, covector)  # the general path names the offender
        scale = product / (1 - squared)
        for start in range(0, x.size, _CHUNK):
            part = u[start : start + _CHUNK]
            part *= scale
            part += covector[start : start + _CHUNK]
        return u

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

    def _riemann(self, xp: Any, local: _Local) -> Array:
        # R^r_smv = −(1/w)(A^r_m P_sv − A^r_v P_sm), with P = diag(h) and A = g^{-1} P
        p = diagonal_matrix(xp, local.h)
        a = self._inverse(xp, local) * local.h[..., None, :]
        term = a[..., :, None, :, None] * p[..., None, :, None, :]
        return (xp.moveaxis(term, -1, -2) - term) / local.w[..., None, None, None, None]

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


def _is_long_vector(x: Any, covector: Any) -> bool:
    return (
        array_api_compat.is_numpy_array(x)
        and array_api_compat.is_numpy_array(covector)
        and x.ndim == 1
        and x.size > _CHUNK
        and x.shape == covector.shape
        and x.dtype == covector.dtype
        and x.dtype in (np.float32, np.float64)
    )
