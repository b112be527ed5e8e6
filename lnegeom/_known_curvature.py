"""Curvature in closed forms that need no derivative, and so lose no digits: constant, or of Hessian metrics.

Of a Hessian metric, the general formula is a difference of products of third derivatives. Far out, where
those all but cancel, a potential that knows better returns one of these from `Potential._known_curvature`.
"""

from __future__ import annotations

import abc
from typing import Any

from lnegeom._array import Array, diagonal_matrix, dot, identity, matvec, outer


def constant_riemann(xp: Any, k: float, g: Array) -> Array:
    """``R^r_smv = K (δ^r_m g_sv − δ^r_v g_sm)`` of a metric ``(..., n, n)``."""
    term = k * identity(xp, g)[:, None, :, None] * g[..., None, :, None, :]
    return term - xp.matrix_transpose(term)


def constant_scalar(xp: Any, k: Array | float, x: Array) -> Array:
    """``R = K n (n − 1)`` at points ``(..., n)``."""
    n = x.shape[-1]
    return xp.zeros_like(x[..., 0]) + k * n * (n - 1)


class KnownCurvature(abc.ABC):
    """Curvature at points ``(..., n)``, ready to be written out."""

    def riemann(self) -> Array | None:
        """``R^r_smv``, of shape ``(..., r, s, m, v)``; None where only what is made of it is known."""
        return None

    @abc.abstractmethod
    def ricci(self) -> Array:
        """``Ric_ij``, of shape ``(..., n, n)``."""

    def ricci_apply(self, vector: Array) -> Array:
        """``Ric_ij v^j``, of shape ``(..., n)``."""
        return matvec(self.ricci(), vector)

    @abc.abstractmethod
    def scalar(self) -> Array:
        """R, of shape ``(...)``."""


class OneCurvature(KnownCurvature):
    """Every plane at a point has the sectional curvature K: constant curvature, and all surfaces.

    ``R^r_smv = K (δ^r_m g_sv − δ^r_v g_sm)``, ``Ric = K (n − 1) g``, ``R = K n (n − 1)``.
    """

    def __init__(self, xp: Any, k: Array | float, potential: Any, x: Array):
        self.xp, self.potential, self.x = xp, potential, x
        self.k = k + xp.zeros_like(x[..., 0])

    def riemann(self) -> Array:
        unit = constant_riemann(self.xp, 1.0, self.potential._hessian(self.xp, self.x))
        return self.k[..., None, None, None, None] * unit

    def ricci(self) -> Array:
        factor = self.k * (self.x.shape[-1] - 1)
        return factor[..., None, None] * self.potential._hessian(self.xp, self.x)

    def ricci_apply(self, vector: Array) -> Array:
        factor = self.k * (self.x.shape[-1] - 1)
        return factor[..., None] * self.potential._hessian_apply(self.xp, self.x, vector)

    def scalar(self) -> Array:
        return constant_scalar(self.xp, self.k, self.x)


class RadialCurvature(KnownCurvature):
    """A metric that is the same in all directions about the origin, ``λ eeᵀ + ρ (I − eeᵀ)``, ``e = x/|x|``.

    Planes through e have sectional curvature K₁, planes at right angles to it K₂::

        R^r_smv = A^r_m G_sv + K₁ P^r_m N_sv − (m ↔ v),    A = K₁ eeᵀ + K₂ P,   P = I − eeᵀ,
        Ric = (K₁ + (n − 2) K₂) G + (n − 1) K₁ N,          G = ρ P,   N = λ eeᵀ.
    """

    def __init__(self, xp: Any, x: Array, metric: tuple[Array, Array], planes: tuple[Array, Array]):
        self.xp, self.n = xp, x.shape[-1]
        square = dot(xp, x, x)
        along = outer(x) / xp.where(square > 0, square, xp.ones_like(square))[..., None, None]
        self.k1, self.k2 = (k[..., None, None] for k in planes)
        across = identity(xp, x) - along
        self.axis, self.across = along, across
        self.length, self.width = metric[0][..., None, None] * along, metric[1][..., None, None] * across

    def riemann(self) -> Array:
        turn = self.k1 * self.axis + self.k2 * self.across
        tensor = turn[..., :, None, :, None] * self.width[..., None, :, None, :]
        tensor = tensor + (self.k1 * self.across)[..., :, None, :, None] * self.length[..., None, :, None, :]
        return tensor - self.xp.matrix_transpose(tensor)

    def ricci(self) -> Array:
        return (self.k1 + (self.n - 2) * self.k2) * self.width + (self.n - 1) * self.k1 * self.length

    def scalar(self) -> Array:
        return ((self.n - 1) * (2 * self.k1 + (self.n - 2) * self.k2))[..., 0, 0]


class HypersurfaceCurvature(KnownCurvature):
    """The Hessian metric of ``Σ f(x_i) − f(s)``, ``s = Σ x_i``: a spacelike surface in flat Minkowski space.

    The axes ``x_i`` and s of the ambient metric ``Σ f''(x_i) dx_i² − f''(s) ds²`` can be rescaled to make it
    flat, so Gauss's equation gives the curvature of the surface ``s = Σ x_i``. With ``u = 1/f''``,
    ``r = u'/2`` and ``Q = u(s) − Σ u(x_i) > 0``, its shape operator and its second form are::

        S = −diag(r_i) + u δᵀ/Q,   P = gS = −diag(r_i/u_i) + r_s/u_s,   δ_i = r_s − r_i,
        R^r_smv = (S^r_v P_sm − S^r_m P_sv) / Q,   Ric = (P g^{-1} P − tr(S) P) / Q.
    """

    def __init__(self, xp: Any, u: Array, r: Array, ends: tuple[Array, Array], gap: Array, delta: Array):
        self.xp, self.u, self.r, self.gap, self.delta = xp, u, r, gap, delta
        self.p, self.p_end = -r / u, -ends[1] / ends[0]
        self.r_end = ends[1]
        self.mean = dot(xp, u, delta) / gap - xp.sum(r, axis=-1)  # the trace of S

    def riemann(self) -> Array:
        xp, gap = self.xp, self.gap[..., None, None]
        shape = self.u[..., :, None] * self.delta[..., None, :] / gap - diagonal_matrix(xp, self.r)
        form = diagonal_matrix(xp, self.p) - self.p_end[..., None, None]
        tensor = shape[..., :, None, :, None] * (form / gap)[..., None, :, None, :]
        return xp.matrix_transpose(tensor) - tensor

    def ricci(self) -> Array:
        mean, gap = self.mean[..., None], self.gap[..., None, None]
        bend = diagonal_matrix(self.xp, -self.p * (self.r + mean)) + outer(self.delta) / gap
        return (bend + ((self.r_end + self.mean) * self.p_end)[..., None, None]) / gap

    def scalar(self) -> Array:
        xp, r = self.xp, self.r
        total = xp.sum(r, axis=-1)
        pairs = (total**2 - dot(xp, r, r)) / 2
        pairs = pairs - dot(xp, self.u * self.delta, total[..., None] - r) / self.gap
        return -2 * pairs / self.gap
