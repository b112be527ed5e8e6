"""The metric of a graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lnegeom._array import Array, InputError, check_where, dot, identity, matvec, outer
from lnegeom._low_rank import LowRank
from lnegeom.derivatives import Derivatives, Jet
from lnegeom.fields import as_field, field_jet
from lnegeom.metrics._base import Metric
from lnegeom.potentials import Potential


class _Local(NamedTuple):
    """What the formulas share at a point: p = ∂φ, P = ∂²φ, w = 1 + ε|p|²; P only when it is asked for."""

    x: Array
    p: Array
    w: Array


class Graph(Metric):
    """The metric ``g = I + ε p pᵀ``, ``p = ∂φ``, of the graph of φ in Euclidean or Minkowski space.

    With ``P = ∂²φ`` and ``w = 1 + ε |p|²``::

        g^{-1} = I − ε p pᵀ / w,    log det g = log w,    Γ^k_ij = ε p_k P_ij / w
        R_ijkl = (ε/w) (P_ik P_jl − P_il P_jk),    Ric = (ε/w) [tr(g^{-1}P) P − P g^{-1} P]

    `sharp`, `flat`, `inner`, `norm` and `logdet` take O(n); for a separable potential φ, and for
    `LogSumExp`, so do `christoffel_apply`, `ricci_apply` and `scalar_curvature`; for a callable φ that torch
    or JAX differentiates, `christoffel_apply`.

    Parameters
    ----------
    phi : Potential or callable
        The function φ: a potential, or a function of one point ``(n,) → ()``.
    sign : {1, -1}
        ε: +1 for a graph in Euclidean space, −1 in Minkowski space, there only where ``|p| < 1``.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of a callable φ come from.
    vectorized : bool
        Whether a callable φ maps points ``(..., n)`` to ``(...)`` at once, which spares finite
        differences a loop over points.
    trace : bool
        Whether to record the derivatives of a callable φ once, on the terms of `FromCallable`.

    Examples
    --------
    The paraboloid is round at its apex:

    >>> import lnegeom
    >>> paraboloid = lnegeom.Graph(lnegeom.SquaredNorm(), sign=1)
    >>> float(paraboloid.scalar_curvature([0.0, 0.0]))
    2.0
    """

    def __init__(
        self,
        phi: Any,
        sign: int = 1,
        *,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        if not isinstance(sign, (int, float, np.integer)) or sign not in (1, -1):
            raise InputError(f"sign must be 1 (Euclidean) or -1 (Minkowski), got {sign!r}")
        self.phi = as_field(phi, derivatives, vectorized, trace)
        self.sign = sign
        self.dim = getattr(phi, "dim", None)

    def __repr__(self) -> str:
        return f"Graph({self.phi!r}, sign={self.sign})"

    def derivatives_at(self, x: Any) -> Jet:
        """φ at points ``(..., n)`` with ∂φ and ∂²φ, what computed them, and the error of ∂²φ.

        Everything else of this metric follows from them without further differences.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> found = lnegeom.Graph(lambda x: np.sin(x).sum()).derivatives_at([0.3, 0.4])
        >>> found.source, found.error < 1e-8
        ('finite', True)
        """
        xp, local = self._at(x)
        return field_jet(xp, self.phi, local.x)

    def _local(self, xp: Any, x: Array) -> _Local:
        self.phi._check_domain(xp, x)
        p = self.phi._gradient(xp, x)
        squared = dot(xp, p, p)
        if self.sign < 0:
            check_where(
                xp,
                squared < 1,
                squared,
                "x",
                "the graph is not space-like at {point}: |dphi|^2 = {value}, expected below 1",
            )
        return _Local(x, p, 1 + self.sign * squared)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.p) + self.sign * outer(local.p)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.p) - self.sign * outer(local.p) / local.w[..., None, None]

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        return covector - self.sign * local.p * (dot(xp, local.p, covector) / local.w)[..., None]

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return vector + self.sign * local.p * dot(xp, local.p, vector)[..., None]

    def _logdet(self, xp: Any, local: _Local) -> Array:
        return xp.log(local.w)

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        second = self.phi._hessian(xp, local.x)
        return self.sign * (local.p / local.w[..., None])[..., :, None, None] * second[..., None, :, :]

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        bend = dot(xp, u, self._bend(xp, local, v))
        return self.sign * local.p * (bend / local.w)[..., None]

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank] | None:
        if self._second(xp, local) is None:
            return None
        p, one = self.sign * local.p, xp.ones_like(local.p)
        return LowRank(one, ((p, local.p),)), LowRank(one, ((-p / local.w[..., None], local.p),))

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        second = self._second(xp, local)
        assert second is not None  # as `_low_rank` said
        return second.times((self.sign * dot(xp, local.p, covector) / local.w)[..., None])

    def _riemann(self, xp: Any, local: _Local) -> Array:
        second = self.phi._hessian(xp, local.x)
        raised = self._inverse(xp, local) @ second
        term = raised[..., :, None, :, None] * second[..., None, :, None, :]
        return self.sign * (term - xp.matrix_transpose(term)) / local.w[..., None, None, None, None]

    def _ricci(self, xp: Any, local: _Local) -> Array:
        second = self.phi._hessian(xp, local.x)
        raised = self._inverse(xp, local) @ second
        trace = self._traces(xp, local)[0][..., None, None]
        return self.sign * (trace * second - second @ raised) / local.w[..., None, None]

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        trace, square = self._traces(xp, local)
        return self.sign * (trace**2 - square) / local.w

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        trace = self._traces(xp, local)[0]
        image = self._bend(xp, local, vector)
        bent = self._bend(xp, local, self._sharp(xp, local, image))
        return self.sign * (trace[..., None] * image - bent) / local.w[..., None]

    # P = ∂²φ is never filled up where it is a diagonal with a few dyads.

    def _second(self, xp: Any, local: _Local) -> LowRank | None:
        """P, where it is that."""
        found = self.phi._low_rank(xp, local.x) if isinstance(self.phi, Potential) else None
        return None if found is None else found[0]

    def _bend(self, xp: Any, local: _Local, vector: Array) -> Array:
        """``P v``."""
        apply = getattr(self.phi, "_hessian_apply", None)
        if apply is None:
            return matvec(self.phi._hessian(xp, local.x), vector)
        bent: Array = apply(xp, local.x, vector)
        return bent

    def _traces(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        """``tr(g^{-1}P)`` and ``tr((g^{-1}P)²)``, from ``g^{-1} = I − ε p pᵀ/w``."""
        known = self._second(xp, local)
        if known is not None:
            trace, square = known.trace(xp), known.trace_with(xp, known)
        else:
            second = self.phi._hessian(xp, local.x)
            trace, square = xp.linalg.trace(second), xp.sum(second * second, axis=(-2, -1))
        image = self._bend(xp, local, local.p)
        along = self.sign * dot(xp, local.p, image) / local.w
        return trace - along, square - 2 * self.sign * dot(xp, image, image) / local.w + along**2
