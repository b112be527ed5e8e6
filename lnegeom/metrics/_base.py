"""The contract that every metric keeps."""

from __future__ import annotations

import abc
import math
from typing import Any

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_broadcast,
    check_vectors,
    dot,
    matvec,
    moveaxis,
    safe_sqrt,
)
from lnegeom._low_rank import LowRank


class Metric(abc.ABC):
    """A smooth field of symmetric, nondegenerate bilinear forms g on a chart of dimension n.

    Conventions, with ``∂_i`` the partial derivative along coordinate i::

        Γ^k_ij   = ½ g^{kl} (∂_i g_lj + ∂_j g_li − ∂_l g_ij)                          (..., k, i, j)
        R^r_smv  = ∂_m Γ^r_vs − ∂_v Γ^r_ms + Γ^r_ml Γ^l_vs − Γ^r_vl Γ^l_ms          (..., r, s, m, v)
        Ric_sv   = R^r_srv,    R = g^{sv} Ric_sv

    so the unit n-sphere has ``Ric = (n − 1) g`` (Misner, Thorne and Wheeler). Batch axes lead. Points,
    vectors and covectors are numpy, torch or other array-API arrays, and results are arrays of the same
    library, dtype and device; lists are taken as numpy float64.

    Every public method raises `GeometryError` for a point outside the chart, an entry that is not finite,
    a wrong or empty shape, naming the first offender.

    A subclass implements `_local`, which validates a point and returns whatever its formulas share there,
    and the underscored formulas, which receive it. Formulas with structure (diagonal, rank one) override
    the O(n²) defaults.

    Attributes
    ----------
    dim : int or None
        The dimension n, or None when any dimension will do.
    closed_form_geodesics : bool
        Whether `_exp`, `_log` and `_transport` are implemented.
    """

    dim: int | None = None
    closed_form_geodesics: bool = False

    @property
    def signature(self) -> tuple[int | None, int]:
        """Numbers of positive and negative eigenvalues; the first is None when any dimension will do."""
        return self.dim, 0

    # --- the public face: validate, then dispatch -----------------------------------------------------

    def matrix(self, x: Any) -> Array:
        """Components g_ij, of shape ``(..., n, n)``."""
        return self._matrix(*self._at(x))

    def inverse(self, x: Any) -> Array:
        """Inverse components g^ij, of shape ``(..., n, n)``."""
        return self._inverse(*self._at(x))

    def sharp(self, x: Any, covector: Any) -> Array:
        """Raise an index: ``g^ij c_j``, of shape ``(..., n)``. The natural gradient of ``c = ∂L``."""
        xp, local, covector = self._at(x, covector=covector)
        return self._sharp(xp, local, covector)

    def flat(self, x: Any, vector: Any) -> Array:
        """Lower an index: ``g_ij v^j``, of shape ``(..., n)``."""
        xp, local, vector = self._at(x, vector=vector)
        return self._flat(xp, local, vector)

    def inner(self, x: Any, u: Any, v: Any) -> Array:
        """Inner product ``g_ij u^i v^j``, of shape ``(...)``."""
        xp, local, u, v = self._at(x, u=u, v=v)
        return dot(xp, u, self._flat(xp, local, v))

    def norm(self, x: Any, v: Any) -> Array:
        """Length ``√(g_ij v^i v^j)`` of a vector, of shape ``(...)``; Riemannian metrics only.

        Its gradient at v = 0, where it has none, is taken as 0.
        """
        if self.signature[1]:
            raise GeometryError(f"{self!r} is indefinite, so vectors have no norm; use inner(x, v, v)")
        xp, local, v = self._at(x, v=v)
        return safe_sqrt(xp, dot(xp, v, self._flat(xp, local, v)))

    def logdet(self, x: Any) -> Array:
        """``log |det g|``, of shape ``(...)``."""
        return self._logdet(*self._at(x))

    def christoffel(self, x: Any) -> Array:
        """Christoffel symbols Γ^k_ij, of shape ``(..., k, i, j)``."""
        return self._christoffel(*self._at(x, curved=True))

    def christoffel_apply(self, x: Any, u: Any, v: Any) -> Array:
        """``Γ^k_ij u^i v^j``, of shape ``(..., n)``; O(n) where the metric's structure allows."""
        xp, local, u, v = self._at(x, curved=True, u=u, v=v)
        return self._christoffel_apply(xp, local, u, v)

    def riemann(self, x: Any) -> Array:
        """Riemann tensor R^r_smv, of shape ``(..., r, s, m, v)``."""
        return self._riemann(*self._at(x, curved=True))

    def ricci(self, x: Any) -> Array:
        """Ricci tensor Ric_ij, of shape ``(..., n, n)``."""
        return self._ricci(*self._at(x, curved=True))

    def ricci_apply(self, x: Any, vector: Any) -> Array:
        """``Ric_ij v^j``, of shape ``(..., n)``; O(n) where the metric's structure allows."""
        xp, local, vector = self._at(x, curved=True, vector=vector)
        return self._ricci_apply(xp, local, vector)

    def scalar_curvature(self, x: Any) -> Array:
        """Scalar curvature R, of shape ``(...)``."""
        return self._scalar_curvature(*self._at(x, curved=True))

    def _at(self, x: Any, *, curved: bool = False, **vectors: Any) -> tuple[Any, ...]:
        xp, x, *rest = as_floating(x=x, **vectors)
        check_vectors(xp, x, "x", self.dim)
        for name, vector in zip(vectors, rest, strict=True):
            check_vectors(xp, vector, name, x.shape[-1])
        check_broadcast(x=x, **dict(zip(vectors, rest, strict=True)))
        return xp, (self._curved_local if curved else self._local)(xp, x), *rest

    # --- what a metric implements ----------------------------------------------------------------------

    @abc.abstractmethod
    def _local(self, xp: Any, x: Array) -> Any:
        """Check that finite points ``(..., n)`` lie in the chart; return what the formulas share there."""

    def _curved_local(self, xp: Any, x: Array) -> Any:
        """The same, for the connection and curvature: a metric may compute now what they will need."""
        return self._local(xp, x)

    @abc.abstractmethod
    def _matrix(self, xp: Any, local: Any) -> Array: ...

    def _inverse(self, xp: Any, local: Any) -> Array:
        return xp.linalg.inv(self._matrix(xp, local))

    def _sharp(self, xp: Any, local: Any, covector: Array) -> Array:
        return matvec(self._inverse(xp, local), covector)

    def _flat(self, xp: Any, local: Any, vector: Array) -> Array:
        return matvec(self._matrix(xp, local), vector)

    def _logdet(self, xp: Any, local: Any) -> Array:
        return xp.linalg.slogdet(self._matrix(xp, local))[1]

    @abc.abstractmethod
    def _christoffel(self, xp: Any, local: Any) -> Array: ...

    def _christoffel_apply(self, xp: Any, local: Any, u: Array, v: Array) -> Array:
        return xp.sum(
            self._christoffel(xp, local) * u[..., None, :, None] * v[..., None, None, :], axis=(-2, -1)
        )

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        """Estimated error that finite differences leave in `_christoffel`; 0 where there are none."""
        return 0.0

    @abc.abstractmethod
    def _riemann(self, xp: Any, local: Any) -> Array: ...

    def _ricci(self, xp: Any, local: Any) -> Array:
        riemann = self._riemann(xp, local)  # (..., r, s, m, v): the trace is over r = m
        return xp.linalg.trace(moveaxis(xp, moveaxis(xp, riemann, -4, -1), -3, -1))

    def _ricci_apply(self, xp: Any, local: Any, vector: Array) -> Array:
        return matvec(self._ricci(xp, local), vector)

    def _scalar_curvature(self, xp: Any, local: Any) -> Array:
        return xp.sum(self._inverse(xp, local) * self._ricci(xp, local), axis=(-2, -1))

    # Structure that metrics built upon this one keep: a diagonal with a few dyads, in O(n).

    def _low_rank(self, xp: Any, local: Any) -> tuple[LowRank, LowRank] | None:
        """``g_ij`` and ``g^ij`` in this form, where they and ``Γ^k_ij c_k`` have it; else None."""
        return None

    def _christoffel_low_rank(self, xp: Any, local: Any, covector: Array) -> LowRank:
        """``Γ^k_ij c_k`` in this form, where `_low_rank` is not None."""
        raise NotImplementedError

    # --- geodesics in closed form, where `closed_form_geodesics` says so --------------------------------
    #
    # Arguments are finite arrays whose batch axes broadcast; x and y lie in the chart. Formulas are written
    # with array operations that can be differentiated, at v = 0 and y = x too. A result outside the chart is
    # the caller's to report.

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        """Where the geodesic from x with velocity v is at time 1."""
        raise NotImplementedError

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        """The initial velocity of the shortest geodesic from x to y; NaN or infinite where there are many."""
        raise NotImplementedError

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        """The vector w at x carried along the geodesic with velocity v, to time 1."""
        raise NotImplementedError

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        """Length of the shortest geodesic, ``(...)``."""
        v = self._log(xp, x, y)
        return safe_sqrt(xp, dot(xp, v, self._flat(xp, self._local(xp, x), v)))

    def _leaves(self, xp: Any, x: Array, v: Array) -> Array:
        """The time ``(...)`` at which the geodesic leaves the manifold; infinite where it never does."""
        return xp.full_like((x + v)[..., 0], math.inf)
