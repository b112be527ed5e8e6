"""The layer-normalised LNE metric as a field on the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import Array, InputError, check_where, dot, identity, outer, real
from lnegeom.metrics._jet import JetMetric


class _Local(NamedTuple):
    p: Array
    unit: Array  # p/|p|, 0 where p = 0
    size: Array  # |p|²


class NormalizedLNE(JetMetric):
    """The metric ``g = I − χ p pᵀ/|p|²`` with ``p = tanh(θ)``, ManiQuant's form of LNE for one layer.

    Its inverse is ``I + χ/(1 − χ) p pᵀ/|p|²``. At ``p = 0`` the metric is taken as I, which makes a good
    preconditioner; but the field is discontinuous there, so its Christoffel symbols and curvature raise.
    `sharp`, `flat`, `logdet` and `christoffel_apply` take O(n).

    Parameters
    ----------
    chi : float
        χ in [0, 1).

    References
    ----------
    ManiQuant Eq. 16.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.NormalizedLNE(chi=0.5).sharp([3.0, 3.0], [1.0, 0.0])
    array([1.5, 0.5])
    """

    def __init__(self, chi: float):
        self.chi = real("chi", chi)
        if not 0 <= self.chi < 1:
            raise InputError(f"chi must be in [0, 1), got {chi}; g is singular at chi = 1")

    def __repr__(self) -> str:
        return f"NormalizedLNE(chi={self.chi})"

    def _local(self, xp: Any, x: Array) -> _Local:
        p = xp.tanh(x)
        size = dot(xp, p, p)
        length = xp.sqrt(xp.where(size > 0, size, xp.ones_like(size)))
        return _Local(p, p / length[..., None], size)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.p) - self.chi * outer(local.unit)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.p) + self.chi / (1 - self.chi) * outer(local.unit)

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        along = dot(xp, local.unit, covector)[..., None]
        return covector + self.chi / (1 - self.chi) * local.unit * along

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return vector - self.chi * local.unit * dot(xp, local.unit, vector)[..., None]

    def _logdet(self, xp: Any, local: _Local) -> Array:
        return xp.log1p(-self.chi * dot(xp, local.unit, local.unit))

    # With q_ij = p_i p_j, s = |p|² and h = 1 − p², so ∂_a p_i = h_i δ_ia: the derivatives of q/s.

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        self._check_smooth(xp, local)
        p, eye = local.p, identity(xp, local.p)
        h = 1 - p**2
        s = local.size[..., None, None, None]
        slope = eye * h[..., None, :]  # (i, a): ∂_a p_i
        bend = -2 * (p * h)[..., None, None] * eye[:, :, None] * eye[:, None, :]  # (i, a, b)
        q = outer(p)[..., None]
        s1 = (2 * p * h)[..., None, None, :]
        s2 = (eye * (2 * h**2 - 4 * p**2 * h)[..., None, :])[..., None, None, :, :]
        q1 = slope[..., :, None, :] * p[..., None, :, None]
        q1 = q1 + xp.moveaxis(q1, -3, -2)
        first = q1 / s - q * s1 / s**2
        q2 = bend[..., :, None, :, :] * p[..., None, :, None, None]
        q2 = q2 + slope[..., :, None, :, None] * slope[..., None, :, None, :]
        q2 = q2 + xp.moveaxis(q2, -4, -3)
        s, q, mixed = s[..., None], q[..., None], q1[..., None] * s1[..., None, :]
        mixed = mixed + xp.matrix_transpose(mixed)
        square = s1[..., None] * s1[..., None, :]
        second = q2 / s - (mixed + q * s2) / s**2 + 2 * q * square / s**3
        return -self.chi * first, -self.chi * second

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        self._check_smooth(xp, local)
        p, s = local.p, local.size[..., None]
        h = 1 - p**2
        pu, pv = (dot(xp, p, w)[..., None] for w in (u, v))
        along = dot(xp, h * u, v)[..., None]  # h_i u^i v^i
        su, sv = (2 * dot(xp, p * h, w)[..., None] for w in (u, v))
        # ∂_u N v + ∂_v N u − ∂(N(u, v)), where N = q/s
        lowered = 2 * p * along / s - p * (pv * su + pu * sv) / s**2 + 2 * pu * pv * p * h / s**2
        return -self.chi / 2 * self._sharp(xp, local, lowered)

    def _check_smooth(self, xp: Any, local: _Local) -> None:
        check_where(
            xp,
            local.size > 0,
            local.size,
            "x",
            "the metric is discontinuous at {point}, where |tanh(x)|^2 = {value}: it has no connection there",
        )
