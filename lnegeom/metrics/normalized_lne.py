"""The layer-normalised LNE metric as a field on the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import (
    Array,
    InputError,
    check_where,
    diagonal_matrix,
    dot,
    identity,
    moveaxis,
    outer,
    real,
)
from lnegeom._low_rank import LowRank
from lnegeom.metrics._jet import JetMetric


class _Local(NamedTuple):
    p: Array
    unit: Array  # q = p/|p|, 0 where p = 0
    size: Array  # s² = |p|²


class NormalizedLNE(JetMetric):
    """The metric ``g = I − χ q qᵀ`` with ``q = p/|p|``, ``p = tanh(θ)``: ManiQuant's LNE of one layer.

    With ``s = |p|``, ``h = 1 − p²``, ``m = h∘q``, ``η = Σ h_i``, ``κ = Σ h_i²``, ``μ = q·m``, ``ν = m·m``
    and ``ρ = Σ h_i q_i⁴``::

        g^{-1} = I + χ/(1 − χ) q qᵀ,    log det g = log(1 − χ),    ∂_j q_i = (h_i δ_ij − q_i m_j)/s
        Γ^k_ij = −(χ/s) [q_k (diag(h) − q mᵀ − m qᵀ + χμ q qᵀ)_ij / (1 − χ) + m_k q_i q_j]
        Ric = χ/((1 − χ) s²) [2 m mᵀ − q zᵀ − z qᵀ − diag((η − 2μ) h − 2s² m∘q)]
        z = (4μ − η + 2s² q²)∘m + [χ (ημ/2 − 2μ² − s²ρ) + (1 − χ)(κ/2 − 2ν − s²μ)] q

    At ``p = 0`` the metric is taken as I, which makes a good preconditioner; but the field is discontinuous
    there, so its Christoffel symbols and curvature raise. `sharp`, `flat`, `inner`, `norm`, `logdet`,
    `christoffel_apply`, `ricci_apply` and `scalar_curvature` take O(n) time and memory.

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
        most = xp.max(xp.abs(p), axis=-1)[..., None]
        scaled = p / xp.where(most > 0, most, xp.ones_like(most))  # its square does not underflow
        square = dot(xp, scaled, scaled)
        length = xp.sqrt(xp.where(square > 0, square, xp.ones_like(square)))
        return _Local(p, scaled / length[..., None], dot(xp, p, p))

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

    def _slopes(self, xp: Any, local: _Local) -> tuple[Array, Array, Array]:
        """``h``, ``m = h∘q``, and ``μ = q·m`` with an axis of length one."""
        self._check_smooth(xp, local)
        h = (1 - local.p) * (1 + local.p)
        m = h * local.unit
        return h, m, dot(xp, local.unit, m)[..., None]

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        h, m, mean = self._slopes(xp, local)
        q = local.unit
        mixed = q[..., :, None] * m[..., None, :]
        bend = (
            diagonal_matrix(xp, h)
            - mixed
            - xp.matrix_transpose(mixed)
            + self.chi * mean[..., None] * outer(q)
        )
        first = q[..., :, None, None] * bend[..., None, :, :] / (1 - self.chi)
        second = m[..., :, None, None] * outer(q)[..., None, :, :]
        return -self.chi * (first + second) / xp.sqrt(local.size)[..., None, None, None]

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        h, m, mean = self._slopes(xp, local)
        q = local.unit
        qu, qv, mu, mv = (dot(xp, a, w)[..., None] for a in (q, m) for w in (u, v))
        bend = dot(xp, h * u, v)[..., None] - qu * mv - qv * mu + self.chi * mean * qu * qv
        return -self.chi * (q * bend / (1 - self.chi) + m * qu * qv) / xp.sqrt(local.size)[..., None]

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank]:
        q, one = local.unit, xp.ones_like(local.unit)
        factor = self.chi / (1 - self.chi)
        return LowRank(one, ((-self.chi * q, q),)), LowRank(one, ((factor * q, q),))

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        h, m, mean = self._slopes(xp, local)
        q = local.unit
        scale = -self.chi / xp.sqrt(local.size)[..., None]
        first = dot(xp, q, covector)[..., None] / (1 - self.chi)
        second = dot(xp, m, covector)[..., None]
        along = (first * self.chi * mean + second) * q
        return LowRank(first * h, ((-first * q, m), (-first * m, q), (along, q))).times(scale)

    def _ricci(self, xp: Any, local: _Local) -> Array:
        scale, diagonal, m, z = self._ricci_parts(xp, local)
        mixed = local.unit[..., :, None] * z[..., None, :]
        bracket = 2 * outer(m) - mixed - xp.matrix_transpose(mixed) - diagonal_matrix(xp, diagonal)
        return scale[..., None] * bracket

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        scale, diagonal, m, z = self._ricci_parts(xp, local)
        along_q, along_m, along_z = (dot(xp, a, vector)[..., None] for a in (local.unit, m, z))
        bracket = 2 * m * along_m - local.unit * along_z - z * along_q - diagonal * vector
        return scale * bracket

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        scale, diagonal, m, z = self._ricci_parts(xp, local)
        q, c = local.unit, self.chi / (1 - self.chi)
        bracket = 2 * dot(xp, m, self._sharp(xp, local, m)) - 2 * dot(xp, q, z) / (1 - self.chi)
        return scale[..., 0] * (bracket - dot(xp, diagonal, 1 + c * q**2))

    def _ricci_parts(self, xp: Any, local: _Local) -> tuple[Array, Array, Array, Array]:
        """k, d, m and z of ``Ric = k [2 m mᵀ − q zᵀ − z qᵀ − diag(d)]``."""
        h, m, mean = self._slopes(xp, local)
        q, squared = local.unit, local.size[..., None]
        eta = xp.sum(h, axis=-1)[..., None]
        kappa, nu, rho = (dot(xp, a, b)[..., None] for a, b in ((h, h), (m, m), (m * q, q**2)))
        zeta = self.chi * (eta * mean / 2 - 2 * mean**2 - squared * rho)
        zeta = zeta + (1 - self.chi) * (kappa / 2 - 2 * nu - squared * mean)
        z = (4 * mean - eta + 2 * squared * q**2) * m + zeta * q
        return self.chi / (1 - self.chi) / squared, (eta - 2 * mean) * h - 2 * squared * m * q, m, z

    # For the Riemann tensor alone: derivatives of q_i q_j, with |p|² ∂²(q_i q_j) formed before it is divided,
    # so that no power of a small |p| underflows.

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        h, m, _ = self._slopes(xp, local)
        q, eye, length = local.unit, identity(xp, local.p), xp.sqrt(local.size)
        slope = eye * h[..., None, :]  # (i, a): ∂_a p_i
        turn = slope[..., :, None, :] * q[..., None, :, None]  # (i, j, a)
        turn = turn + moveaxis(xp, turn, -3, -2)
        square = outer(q)[..., None]
        first = turn - 2 * square * m[..., None, None, :]
        bend = (
            -2 * (local.p * h)[..., None, None] * eye[:, :, None] * eye[:, None, :]
        )  # (i, a, b): ∂_a ∂_b p_i
        second = length[..., None, None, None, None] * bend[..., :, None, :, :] * q[..., None, :, None, None]
        second = second + slope[..., :, None, :, None] * slope[..., None, :, None, :]
        second = second + moveaxis(xp, second, -4, -3)
        mixed = 2 * turn[..., None] * m[..., None, None, None, :]
        curve = (eye * (2 * h**2 - 4 * local.p**2 * h)[..., None, :])[..., None, None, :, :]  # ∂_a ∂_b |p|²
        second = second - mixed - xp.matrix_transpose(mixed) - square[..., None] * curve
        second = second + 8 * square[..., None] * outer(m)[..., None, None, :, :]
        scale = -self.chi / length[..., None, None, None]
        return scale * first, scale[..., None] / length[..., None, None, None, None] * second

    def _check_smooth(self, xp: Any, local: _Local) -> None:
        message = (
            "the metric is discontinuous at {point}, where |tanh(x)|^2 = {value} vanishes or underflows in "
            f"{local.size.dtype}: it has no connection there"
        )
        least = float(xp.finfo(local.size.dtype).smallest_normal)
        check_where(xp, local.size > least, local.size, "x", message)
