"""The metric of a convex potential."""

from __future__ import annotations

from typing import Any

from lnegeom._array import (
    Array,
    check_where,
    matvec,
    moveaxis,
)
from lnegeom._low_rank import LowRank
from lnegeom.metrics import _log_cosh_geodesics
from lnegeom.metrics._base import Metric
from lnegeom.metrics._checks import check_matrix
from lnegeom.potentials import LogCosh, Potential, SeparablePotential
from lnegeom.potentials._base import check_potential

_REMEDY = "take a potential that is convex there, or have its _check_domain refuse the point"


class Hessian(Metric):
    """The metric ``g = ∇²ψ`` of a convex potential, with closed forms that need no fourth derivative.

    With the third derivative ``T_ijk = ∂_i ∂_j ∂_k ψ``::

        Γ^k_ij = ½ g^{kl} T_lij,    R_ijkl = ¼ g^{pq} (T_ilp T_jkq − T_ikp T_jlq).

    For a separable potential the metric is diagonal and flat: everything but the full tensors is O(n), as it
    is for `LogSumExp` and its conjugate. Where the potential names its constant curvature K,
    ``Ric = K (n − 1) g``, exact wherever g is; the families' log-partitions have closed forms of their own,
    which keep their digits far out. For `LogCosh`, geodesics are in closed form.

    Parameters
    ----------
    potential : Potential
        The potential ψ, for instance ``LogCosh(tau)`` or a family's ``log_partition``. One of your own is
        checked to be convex at every point, which raises a `GeometryError` where it is not.

    Examples
    --------
    The Fisher metric of the univariate normal family is hyperbolic, of curvature −½:

    >>> import lnegeom
    >>> family = lnegeom.Normal()
    >>> metric = lnegeom.Hessian(family.log_partition)
    >>> float(metric.scalar_curvature(family.natural(mean=0.0, std=1.0)))
    -1.0
    """

    def __init__(self, potential: Potential):
        self.potential = check_potential(potential)
        self.dim = potential.dim
        self._tau = potential.tau if isinstance(potential, LogCosh) else 0.0
        self.closed_form_geodesics = self._tau > 0
        # The library's own are convex by theorem, and keep their O(n).
        self._known_convex = type(potential).__module__.startswith("lnegeom.")

    def __repr__(self) -> str:
        return f"Hessian({self.potential!r})"

    def _local(self, xp: Any, x: Array) -> Array:
        self.potential._check_domain(xp, x)
        if not self._known_convex:
            self._check_convex(xp, x)
        return x

    def _check_convex(self, xp: Any, x: Array) -> None:
        if isinstance(self.potential, SeparablePotential):
            diagonal = self.potential._hessian_diagonal(xp, x)
            message = "the Hessian's diagonal at {point} is {value}: expected it positive; " + _REMEDY
            check_where(xp, diagonal > 0, diagonal, "x", message)
        else:
            check_matrix(xp, self.potential._hessian(xp, x), 0, "hessian(x)", remedy=_REMEDY)

    def _matrix(self, xp: Any, x: Array) -> Array:
        return self.potential._hessian(xp, x)

    def _inverse(self, xp: Any, x: Array) -> Array:
        return self.potential._hessian_inverse(xp, x)

    def _sharp(self, xp: Any, x: Array, covector: Array) -> Array:
        return self.potential._hessian_solve(xp, x, covector)

    def _flat(self, xp: Any, x: Array, vector: Array) -> Array:
        return self.potential._hessian_apply(xp, x, vector)

    def _logdet(self, xp: Any, x: Array) -> Array:
        return self.potential._hessian_logdet(xp, x)

    def _christoffel(self, xp: Any, x: Array) -> Array:
        third = self.potential._third_derivative(xp, x)
        n = x.shape[-1]
        lowered = xp.reshape(third, (*x.shape[:-1], n, n * n))
        return xp.reshape(self._inverse(xp, x) @ lowered, third.shape) / 2

    def _christoffel_apply(self, xp: Any, x: Array, u: Array, v: Array) -> Array:
        if self._low_rank(xp, x) is None:
            return super()._christoffel_apply(xp, x, u, v)
        return self._sharp(xp, x, self.potential._third_low_rank(xp, x, v).apply(xp, u)) / 2

    def _low_rank(self, xp: Any, x: Array) -> tuple[LowRank, LowRank] | None:
        return self.potential._low_rank(xp, x)

    def _christoffel_low_rank(self, xp: Any, x: Array, covector: Array) -> LowRank:
        return self.potential._third_low_rank(xp, x, self._sharp(xp, x, covector)).times(0.5)

    def _riemann(self, xp: Any, x: Array) -> Array:
        known = self.potential._known_curvature(xp, x)
        tensor = None if known is None else known.riemann()
        if tensor is not None:
            return tensor
        third = self.potential._third_derivative(xp, x)
        inverse = self._inverse(xp, x)
        n, batch = x.shape[-1], x.shape[:-1]
        lowered = xp.reshape(third, (*batch, n, n * n))
        raised = xp.reshape(inverse @ lowered, (*batch, n * n, n))  # g^{ia} T_alp as rows (i, l)
        # product[i, l, j, k] = g^{ia} T_alp g^{pq} T_qjk
        product = xp.reshape(raised @ (inverse @ lowered), (*batch, n, n, n, n))
        first = moveaxis(xp, product, -3, -1)  # (i, j, k, l)
        return (first - moveaxis(xp, first, -1, -2)) / 4

    def _ricci(self, xp: Any, x: Array) -> Array:
        known = self.potential._known_curvature(xp, x)
        if known is not None:
            return known.ricci()
        # Ric_jl = ¼ (T_jkq T^kq_l − T_jlq T^kq_k), without the Riemann tensor
        third = self.potential._third_derivative(xp, x)
        inverse = self._inverse(xp, x)
        n, batch = x.shape[-1], x.shape[:-1]
        flat = xp.reshape(third, (*batch, n, n * n))
        raised = xp.reshape(inverse @ flat, (*batch, n * n, n)) @ inverse
        raised = xp.reshape(raised, (*batch, n, n, n))  # (k, l, q): T^k_l^q
        traced = xp.linalg.trace(moveaxis(xp, raised, -1, -3))  # T^k_k^q
        first = flat @ xp.reshape(moveaxis(xp, raised, -2, -1), (*batch, n * n, n))
        return (first - matvec(third, traced[..., None, :])) / 4

    def _ricci_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        known = self.potential._known_curvature(xp, x)
        return super()._ricci_apply(xp, x, vector) if known is None else known.ricci_apply(vector)

    def _scalar_curvature(self, xp: Any, x: Array) -> Array:
        known = self.potential._known_curvature(xp, x)
        return super()._scalar_curvature(xp, x) if known is None else known.scalar()

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        return _log_cosh_geodesics.exp(xp, self._tau, x, v)

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        return _log_cosh_geodesics.log(xp, self._tau, x, y)

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        return _log_cosh_geodesics.transport(xp, self._tau, x, self._exp(xp, x, v), w)

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        return _log_cosh_geodesics.distance(xp, self._tau, x, y)

    def _leaves(self, xp: Any, x: Array, v: Array) -> Array:
        return _log_cosh_geodesics.leaves(xp, self._tau, x, v)
