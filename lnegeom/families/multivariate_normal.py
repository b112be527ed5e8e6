"""Multivariate normal distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_broadcast,
    check_finite,
    check_vectors,
    check_where,
    dot,
    from_numpy,
    matvec,
    moveaxis,
    outer,
    positive_integer,
)
from lnegeom._known_curvature import KnownCurvature
from lnegeom._symmetric import basis, counts, entries, from_entries, pairing, symmetric_part
from lnegeom.families._base import ExponentialFamily, ImplicitConjugate
from lnegeom.potentials import Potential


class MultivariateNormal(ExponentialFamily):
    """Normal distributions on R^k, with natural parameters ``θ₁ = Σ⁻¹μ`` and ``θ₂ = −½ Σ⁻¹`` in one vector.

    θ has k + k(k+1)/2 entries: θ₁, then the upper triangle of θ₂ row by row, for k = 2
    ``(θ₁[0], θ₁[1], θ₂[0, 0], θ₂[0, 1], θ₂[1, 1])``. The statistic is ``x``, then ``x_i x_j``, doubled where
    ``i < j`` since θ₂[i, j] stands for two entries of the matrix. So ``⟨θ, t(x)⟩ = θ₁·x + xᵀθ₂x``, and
    ``A(θ) = −¼ θ₁ᵀθ₂⁻¹θ₁ − ½ log det(−2θ₂)``. For k = 1 it is `Normal`. The scalar curvature is
    ``−k (k + 1)²/4`` everywhere.

    Parameters
    ----------
    size : int
        The dimension k of an observation.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.MultivariateNormal(2)
    >>> family.natural([1.0, 0.0], [[1.0, 0.0], [0.0, 2.0]])
    array([ 1.  ,  0.  , -0.5 ,  0.  , -0.25])
    """

    log_partition: _LogPartition

    def __init__(self, size: int):
        self.event_size: int = positive_integer("size", size)
        self.log_partition = _LogPartition(self.event_size)
        self.dim = self.log_partition.dim

    def __repr__(self) -> str:
        return f"MultivariateNormal({self.event_size})"

    def natural(self, mean: Any, covariance: Any) -> Array:
        """Natural parameters ``(..., dim)`` of means ``(..., k)`` and covariances ``(..., k, k)``."""
        xp, mean, covariance = as_floating(mean=mean, covariance=covariance)
        k = self.event_size
        check_vectors(xp, mean, "mean", k)
        if tuple(covariance.shape[-2:]) != (k, k):
            raise GeometryError(f"covariance has shape {tuple(covariance.shape)}: expected (..., {k}, {k})")
        check_finite(xp, covariance, "covariance")
        gap = covariance - xp.matrix_transpose(covariance)
        scale = xp.max(xp.abs(covariance), axis=(-2, -1), keepdims=True)
        symmetric = xp.abs(gap) <= 100 * float(xp.finfo(gap.dtype).eps) * scale
        check_where(
            xp, symmetric, gap, "covariance", "{point} differs from its transpose by {value}: symmetrise it"
        )
        smallest = xp.linalg.eigvalsh(covariance)[..., 0]
        message = "{point} has smallest eigenvalue {value}: expected a positive definite matrix"
        check_where(xp, smallest > 0, smallest, "covariance", message)
        check_broadcast(mean=mean, covariance=covariance[..., 0])
        batch = np.broadcast_shapes(tuple(mean.shape[:-1]), tuple(covariance.shape[:-2]))
        precision = xp.broadcast_to(xp.linalg.inv(covariance), (*batch, k, k))
        mean = xp.broadcast_to(mean, (*batch, k))
        return xp.concat([matvec(precision, mean), entries(xp, -precision / 2)], axis=-1)

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return self.log_partition._moments(xp, theta)

    def _check_support(self, xp: Any, x: Array) -> None:
        """Every vector is in the support."""

    def _statistic(self, xp: Any, x: Array) -> Array:
        return xp.concat([x, pairing(xp, x[..., :, None] * x[..., None, :])], axis=-1)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x[..., 0]) - self.event_size * math.log(2 * math.pi) / 2

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        mean_p, covariance = self.log_partition._moments(xp, p)
        mean_q = self.log_partition._moments(xp, q)[0]
        precision = self.log_partition._precision(xp, q)
        ratio = precision @ covariance
        gap = mean_p - mean_q
        logdet = _logdet(xp, precision) + _logdet(xp, covariance)
        trace = xp.linalg.trace(ratio) - self.event_size
        return (trace + dot(xp, gap, matvec(precision, gap)) - logdet) / 2


def _logdet(xp: Any, matrix: Array) -> Array:
    """``log det`` of positive definite matrices; torch 2.13 differentiates slogdet wrongly, forward twice."""
    return 2 * xp.sum(xp.log(xp.linalg.diagonal(xp.linalg.cholesky(matrix))), axis=-1)


class _LogPartition(Potential):
    """The log-partition: coordinate a belongs to the quadratic ``b_a·x + xᵀE_a x`` of a normal vector x.

    Its derivatives are the joint cumulants of those quadratics (Mathai and Provost, *Quadratic Forms in
    Random Variables*, 1992, section 3.2c): with ``l_a = b_a + 2 E_a μ``, ``l_a·Σl_b + 2 tr(E_aΣE_bΣ)`` and
    ``2 (l_a·ΣE_bΣl_c + two more) + 8 tr(E_aΣE_bΣE_cΣ)``.
    """

    def __init__(self, size: int):
        self.size = size
        self.dim: int = size + size * (size + 1) // 2
        k = size
        self._linear = np.concatenate([np.eye(k), np.zeros((self.dim - k, k))])
        self._quadratic = np.concatenate([np.zeros((k, k, k)), basis(k)])

    def __repr__(self) -> str:
        return f"MultivariateNormal({self.size}).log_partition"

    @property
    def conjugate(self) -> Potential:
        return _NegativeEntropy(self)

    def _precision(self, xp: Any, x: Array) -> Array:
        return -2 * from_entries(xp, x[..., self.size :], self.size)

    def _moments(self, xp: Any, x: Array) -> tuple[Array, Array]:
        covariance = symmetric_part(xp, xp.linalg.inv(self._precision(xp, x)))
        return matvec(covariance, x[..., : self.size]), covariance

    def _check_domain(self, xp: Any, x: Array) -> None:
        smallest = xp.linalg.eigvalsh(self._precision(xp, x))[..., 0]
        message = (
            "{point} has precision matrix -2 theta_2 with eigenvalue {value}: expected it positive definite; "
            "see natural()"
        )
        check_where(xp, smallest > 0, smallest, "x", message)

    def _value(self, xp: Any, x: Array) -> Array:
        mean = self._moments(xp, x)[0]
        logdet = _logdet(xp, self._precision(xp, x))
        return (dot(xp, x[..., : self.size], mean) - logdet) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        mean, covariance = self._moments(xp, x)
        return xp.concat([mean, pairing(xp, covariance + mean[..., :, None] * mean[..., None, :])], axis=-1)

    def _forms(self, xp: Any, x: Array) -> tuple[Array, Array, Array]:
        """Covariance, the l_a as rows ``(..., n, k)``, and ``E_a Σ`` ``(..., n, k, k)``."""
        mean, covariance = self._moments(xp, x)
        quadratic = from_numpy(self._quadratic, x)
        linear = from_numpy(self._linear, x) + 2 * matvec(quadratic, mean[..., None, :])
        return covariance, linear, quadratic @ covariance[..., None, :, :]

    def _hessian(self, xp: Any, x: Array) -> Array:
        covariance, linear, forms = self._forms(xp, x)
        hessian = linear @ covariance @ xp.matrix_transpose(linear) + 2 * self._products(xp, forms)
        return symmetric_part(xp, hessian)

    def _products(self, xp: Any, forms: Array) -> Array:
        """``tr(E_aΣE_bΣ)``, ``(..., n, n)``."""
        flat = xp.reshape(forms, (*forms.shape[:-2], self.size**2))
        turned = xp.reshape(xp.matrix_transpose(forms), flat.shape)
        return flat @ xp.matrix_transpose(turned)

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        # In closed form, for far from the origin the Hessian is all but singular. With Λ = Σ⁻¹ the inverse
        # has the block ¼ (Λ_ik Λ_jl + Λ_il Λ_jk) for θ₂; θ₁ = −2 θ₂ μ brings in the others.
        precision, mean = self._precision(xp, x), self._moments(xp, x)[0]
        k = self.size
        i, j = (from_numpy(np.eye(k)[index], x) for index in np.triu_indices(k))  # rows pick entries
        ii, jj, ij = (a @ precision @ xp.matrix_transpose(b) for a, b in ((i, i), (j, j), (i, j)))
        block = (ii * jj + ij * xp.matrix_transpose(ij)) / 4
        quadratic = from_numpy(self._quadratic[k:], x)
        turn = -2 * xp.matrix_transpose(matvec(quadratic, mean[..., None, :]))  # (..., k, m): −2 E_a μ
        mixed = turn @ block
        corner = precision + mixed @ xp.matrix_transpose(turn)
        top = xp.concat([corner, mixed], axis=-1)
        return xp.concat([top, xp.concat([xp.matrix_transpose(mixed), block], axis=-1)], axis=-2)

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return self.size**2 * math.log(2) - (self.size + 2) * _logdet(xp, self._precision(xp, x))

    def _known_curvature(self, xp: Any, x: Array) -> KnownCurvature:
        return _NormalCurvature(xp, self, x)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        covariance, linear, forms = self._forms(xp, x)
        n, k, batch = self.dim, self.size, x.shape[:-1]
        raised = linear @ covariance  # rows Σ l_a
        quadratic = from_numpy(self._quadratic, x)
        # mixed[b, a, c] = l_a·Σ E_b Σ l_c
        mixed = raised[..., None, :, :] @ quadratic @ xp.matrix_transpose(raised)[..., None, :, :]
        cyclic = mixed + moveaxis(xp, mixed, -3, -1) + moveaxis(xp, mixed, -3, -2)
        pairs = forms[..., :, None, :, :] @ forms[..., None, :, :, :]  # (a, b): E_aΣ E_bΣ
        turned = xp.reshape(xp.matrix_transpose(forms), (*batch, n, k * k))
        traces = xp.reshape(pairs, (*batch, n * n, k * k)) @ xp.matrix_transpose(turned)
        return 2 * cyclic + 8 * xp.reshape(traces, (*batch, n, n, n))


class _NormalCurvature(KnownCurvature):
    """``Ric_ab = −½ l_a·Σl_b − (k + 1) tr(E_aΣE_bΣ) + tr(E_aΣ) tr(E_bΣ)``, and ``R = −k (k + 1)²/4``.

    All normal distributions are alike up to affine maps, so that R is constant, and Ric is what the metric's
    invariants allow: no third derivatives, which all but cancel where the mean is far from the origin.
    """

    def __init__(self, xp: Any, potential: _LogPartition, x: Array):
        self.xp, self.potential, self.x = xp, potential, x

    def ricci(self) -> Array:
        xp, k = self.xp, self.potential.size
        covariance, linear, forms = self.potential._forms(xp, self.x)
        product = self.potential._products(xp, forms)
        traces = xp.linalg.trace(forms)
        ricci = outer(traces) - linear @ covariance @ xp.matrix_transpose(linear) / 2 - (k + 1) * product
        return symmetric_part(xp, ricci)

    def scalar(self) -> Array:
        k = self.potential.size
        return self.xp.zeros_like(self.x[..., 0]) - k * (k + 1) ** 2 / 4


class _NegativeEntropy(ImplicitConjugate):
    """``−½ log det(S − m mᵀ) − k/2`` of the mean m and the second moments S that η holds."""

    primal: _LogPartition

    def _moments(self, xp: Any, x: Array) -> tuple[Array, Array]:
        k = self.primal.size
        mean, second = x[..., :k], x[..., k:]
        moments = from_entries(xp, second / from_numpy(counts(k), x), k)
        return mean, moments - mean[..., :, None] * mean[..., None, :]

    def _check_domain(self, xp: Any, x: Array) -> None:
        smallest = xp.linalg.eigvalsh(self._moments(xp, x)[1])[..., 0]
        message = "{point} has a covariance with eigenvalue {value}: expected it positive definite"
        check_where(xp, smallest > 0, smallest, "x", message)

    def _value(self, xp: Any, x: Array) -> Array:
        return -(_logdet(xp, self._moments(xp, x)[1]) + self.primal.size) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        mean, covariance = self._moments(xp, x)
        precision = xp.linalg.inv(covariance)
        return xp.concat([matvec(precision, mean), entries(xp, -precision / 2)], axis=-1)
