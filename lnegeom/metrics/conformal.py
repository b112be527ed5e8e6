"""A metric times a positive function."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lnegeom._array import Array, InputError, check_vectors, check_where, dot, identity, outer
from lnegeom._known_curvature import constant_riemann, constant_scalar
from lnegeom._low_rank import LowRank
from lnegeom.derivatives import Derivatives, Jet
from lnegeom.fields import as_field, field_jet
from lnegeom.metrics._base import Metric
from lnegeom.metrics._covariant_hessian import CovariantHessian
from lnegeom.metrics.euclidean import Euclidean
from lnegeom.tensors import apply_first


class _Local(NamedTuple):
    x: Array
    base: Any
    scale: Array  # e^{2f}


class Conformal(Metric):
    """The metric ``g = e^{2f} ĝ``, conformal to a base metric ĝ, flat by default.

    With ``f_i = ∂_i f``, ``f^k = ĝ^{kl} f_l``, and ``T = ∇̂²f − df⊗df + ½ |df|²_ĝ ĝ``::

        Γ^k_ij = Γ̂^k_ij + δ^k_i f_j + δ^k_j f_i − ĝ_ij f^k
        R_ijkl = e^{2f} [R̂_ijkl − (ĝ_ik T_jl + ĝ_jl T_ik − ĝ_il T_jk − ĝ_jk T_il)]
        Ric = R̂ic − (n − 2)(∇̂²f − df⊗df) − (Δ̂f + (n − 2) |df|²_ĝ) ĝ
        R = e^{−2f} [R̂ − (n − 1)(2 Δ̂f + (n − 2) |df|²_ĝ)]

    (Besse, *Einstein Manifolds*, Theorem 1.159). `sharp`, `flat`, `logdet` and `christoffel_apply` cost what
    they cost for ĝ. So do `ricci_apply` and `scalar_curvature` where f is a separable potential or
    `LogSumExp`, and ĝ is `Euclidean`, `LNE`, `NormalizedLNE`, a space of constant curvature, a `Graph` or
    `Hessian` of such a potential, or a `Product`, `Warped` or `Conformal` of these; elsewhere they form the
    Christoffel symbols of ĝ.

    Parameters
    ----------
    f : Potential or callable
        Logarithm of the factor's square root: a potential, or a function of one point ``(n,) → ()``.
    base : Metric, optional
        ĝ; the flat metric when left out.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of a callable f come from.
    vectorized : bool
        Whether a callable f maps points ``(..., n)`` to ``(...)`` at once, which spares finite
        differences a loop over points.
    trace : bool
        Whether to record the derivatives of a callable f once, on the terms of `FromCallable`.

    Examples
    --------
    Hyperbolic space in its half-plane model:

    >>> import numpy as np, lnegeom
    >>> plane = lnegeom.Conformal(lambda x: -np.log(x[1]))
    >>> round(float(plane.scalar_curvature([0.3, 2.0])), 8)
    -2.0
    """

    def __init__(
        self,
        f: Any,
        base: Metric | None = None,
        *,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        base = Euclidean() if base is None else base
        if not isinstance(base, Metric):
            raise InputError(f"base must be a Metric, got {base!r}")
        self.f = as_field(f, derivatives, vectorized, trace)
        self.base = base
        own = getattr(f, "dim", None)
        self.dim = own if base.dim is None else base.dim
        if own not in (None, self.dim):
            raise InputError(f"f has dimension {own}, base has {base.dim}: expected the same; correct either")

    def __repr__(self) -> str:
        return f"Conformal({self.f!r}, {self.base!r})"

    @property
    def constant_curvature(self) -> float | None:
        """Sectional curvature where it is constant and known, as for `Sphere`; else None."""
        return None

    @property
    def signature(self) -> tuple[int | None, int]:
        """Numbers of positive and negative eigenvalues: the base's."""
        return self.base.signature

    def derivatives_at(self, x: Any) -> Jet:
        """The function f at points ``(..., n)`` with ∂f and ∂²f, what computed them, and the error of ∂²f.

        The base tells of its own: ``metric.base.derivatives_at(x)``, where it is made of a function too.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> found = lnegeom.Conformal(lambda x: -np.log(x[1])).derivatives_at([0.3, 2.0])
        >>> found.source, found.error < 1e-8
        ('finite', True)
        """
        xp, local = self._at(x)
        return field_jet(xp, self.f, local.x)

    def _local(self, xp: Any, x: Array) -> _Local:
        self.f._check_domain(xp, x)
        with np.errstate(over="ignore"):  # named below
            scale = xp.exp(2 * self.f._value(xp, x))
        check_vectors(xp, scale[..., None], "e^{2f}", None)
        message = "the factor e^{{2f}} underflows to {value} at {point}: expected a point nearer, or float64"
        check_where(xp, scale > 0, scale, "x", message)
        return _Local(x, self.base._local(xp, x), scale)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return local.scale[..., None, None] * self.base._matrix(xp, local.base)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return self.base._inverse(xp, local.base) / local.scale[..., None, None]

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        return self.base._sharp(xp, local.base, covector) / local.scale[..., None]

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return self.base._flat(xp, local.base, vector) * local.scale[..., None]

    def _logdet(self, xp: Any, local: _Local) -> Array:
        return self.base._logdet(xp, local.base) + local.x.shape[-1] * xp.log(local.scale)

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        slope = self.f._gradient(xp, local.x)
        g = self.base._matrix(xp, local.base)
        mixed = identity(xp, slope)[:, :, None] * slope[..., None, None, :]  # δ^k_i f_j
        up = self.base._sharp(xp, local.base, slope)
        rest = mixed + xp.matrix_transpose(mixed) - up[..., :, None, None] * g[..., None, :, :]
        return self.base._christoffel(xp, local.base) + rest

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        slope = self.f._gradient(xp, local.x)
        up = self.base._sharp(xp, local.base, slope)
        inner = dot(xp, u, self.base._flat(xp, local.base, v))[..., None]
        mixed = u * dot(xp, slope, v)[..., None] + v * dot(xp, slope, u)[..., None]
        return self.base._christoffel_apply(xp, local.base, u, v) + mixed - up * inner

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        return self.base._christoffel_error(xp, x)  # first derivatives of f are far more exact

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank] | None:
        found = self.base._low_rank(xp, local.base)
        scale = local.scale[..., None]
        return None if found is None else (found[0].times(scale), found[1].times(1 / scale))

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        slope = self.f._gradient(xp, local.x)
        up = dot(xp, self.base._sharp(xp, local.base, slope), covector)[..., None]
        found = self.base._low_rank(xp, local.base)
        assert found is not None  # as `_low_rank` said
        rest = self.base._christoffel_low_rank(xp, local.base, covector).plus(found[0].times(-up))
        return LowRank(rest.diagonal, (*rest.dyads, (slope, covector), (covector, slope)))

    def _riemann(self, xp: Any, local: _Local) -> Array:
        if self.constant_curvature is not None:
            return constant_riemann(xp, self.constant_curvature, self._matrix(xp, local))
        bend, g = self._bend(xp, local), self.base._matrix(xp, local.base)
        t = bend.matrix - outer(bend.slope) + bend.squared[..., None, None] * g / 2
        term = g[..., :, None, :, None] * t[..., None, :, None, :]  # g_ik T_jl
        term = term + t[..., :, None, :, None] * g[..., None, :, None, :]  # + T_ik g_jl
        lowered = term - xp.matrix_transpose(term)
        correction = apply_first(xp, self.base._inverse(xp, local.base), lowered)
        return self.base._riemann(xp, local.base) - correction

    def _ricci(self, xp: Any, local: _Local) -> Array:
        if self.constant_curvature is not None:
            return self.constant_curvature * (local.x.shape[-1] - 1) * self._matrix(xp, local)
        bend, n = self._bend(xp, local), local.x.shape[-1]
        trace_part = (bend.laplacian + (n - 2) * bend.squared)[..., None, None]
        rest = (n - 2) * (bend.matrix - outer(bend.slope)) + trace_part * self.base._matrix(xp, local.base)
        return self.base._ricci(xp, local.base) - rest

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        n = local.x.shape[-1]
        if self.constant_curvature is not None:
            return self.constant_curvature * (n - 1) * self._flat(xp, local, vector)
        bend = self._bend(xp, local)
        trace_part = (bend.laplacian + (n - 2) * bend.squared)[..., None]
        turned = bend.apply(vector) - bend.slope * dot(xp, bend.slope, vector)[..., None]
        rest = (n - 2) * turned + trace_part * self.base._flat(xp, local.base, vector)
        return self.base._ricci_apply(xp, local.base, vector) - rest

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        if self.constant_curvature is not None:
            return constant_scalar(xp, self.constant_curvature, local.x)
        bend, n = self._bend(xp, local), local.x.shape[-1]
        rest = (n - 1) * (2 * bend.laplacian + (n - 2) * bend.squared)
        return (self.base._scalar_curvature(xp, local.base) - rest) / local.scale

    def _bend(self, xp: Any, local: _Local) -> CovariantHessian:
        """``∇̂²f``."""
        slope = self.f._gradient(xp, local.x)
        return CovariantHessian(xp, self.base, local.base, self.f, local.x, slope)
