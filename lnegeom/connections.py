"""Dual connections (g, ∇, ∇*) and the α-connections between them; dually flat spaces.

A divergence gives two torsion-free connections that are dual with respect to its metric (Eguchi). In this
module everything is in closed form, from the third derivative of a potential; `lnegeom.eguchi` has those of a
divergence that is given as a function.
"""

from __future__ import annotations

import abc
import math
from typing import Any

import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_broadcast,
    check_finite,
    check_vectors,
    moveaxis,
    real,
)
from lnegeom.metrics import Euclidean, Hessian, Metric
from lnegeom.metrics._checks import symbolic_hint
from lnegeom.potentials import SquaredNorm
from lnegeom.tensors import apply_first

__all__ = ["Connection", "DualConnections", "HessianConnections", "metric_of"]


class DualConnections(abc.ABC):
    """The triple (g, ∇, ∇*) of a divergence, and the line of α-connections through ∇ and ∇*.

    With derivatives ``∂`` in the first argument of ``D[x : y]``, ``∂'`` in the second, all at y = x::

        g_ij = ∂_i ∂_j D,    Γ_{ij,k} = −∂_i ∂_j ∂'_k D,    Γ*_{ij,k} = −∂'_i ∂'_j ∂_k D
        C_ijk = Γ*_{ij,k} − Γ_{ij,k}                          (cubic tensor)
        Γ^(α) = Γ^LC − (α/2) C = ½ (1 + α) Γ + ½ (1 − α) Γ*
        ∂_k g_ij = Γ^(α)_{ki,j} + Γ^(−α)_{kj,i}               (duality)

    The object stands at one α: 1 is ∇ itself, −1 its dual ∇*, 0 Levi-Civita. Symbols are stored
    ``(..., k, i, j)`` in both index positions, ``Γ_{ij,k} = g_kl Γ^l_ij``.

    A subclass gives the lowered pair `_pair` and the curvature of an α-connection.

    Attributes
    ----------
    metric : Metric
        The metric g.
    a : float
        The value of α.

    References
    ----------
    Eguchi, *Second order efficiency of minimum contrast estimators* (1983); Amari, *Information Geometry and
    Its Applications* (2016), Eqs. 6.29 to 6.31 and section 6.4.
    """

    def __init__(self, metric: Metric, a: float = 1.0):
        self.metric = metric
        self.a = real("a", a)
        if not math.isfinite(self.a):
            raise InputError(f"a must be a finite number, got {a!r}")

    @abc.abstractmethod
    def alpha(self, a: float) -> DualConnections:
        """The connection ``Γ^(a) = Γ^LC − (a/2) C`` of the same divergence."""

    @property
    def dual(self) -> DualConnections:
        """The dual connection, at −α."""
        return self.alpha(-self.a)

    @property
    def levi_civita(self) -> DualConnections:
        """The mean of a connection and its dual: Levi-Civita, α = 0."""
        return self.alpha(0.0)

    def lowered(self, x: Any) -> Array:
        """Symbols ``Γ_{ij,k}``, of shape ``(..., k, i, j)``."""
        return self._lowered(*self._point(x))

    def christoffel(self, x: Any) -> Array:
        """Symbols ``Γ^k_ij``, of shape ``(..., k, i, j)``."""
        return self._christoffel(*self._point(x))

    def christoffel_apply(self, x: Any, u: Any, v: Any) -> Array:
        """``Γ^k_ij u^i v^j``, of shape ``(..., n)``."""
        xp, _, u, v = self.metric._at(x, u=u, v=v)
        symbols = self._christoffel(*self._point(x))
        return xp.sum(symbols * u[..., None, :, None] * v[..., None, None, :], axis=(-2, -1))

    def cubic(self, x: Any) -> Array:
        """Cubic tensor ``C_ijk = Γ*_{ij,k} − Γ_{ij,k}`` of the divergence, ``(..., n, n, n)``."""
        first, second = self._pair(*self._point(x))
        return second - first

    def curvature(self, x: Any, *, lowered: bool = False) -> Array:
        """Curvature ``R^r_smv`` of the connection, or ``R_rsmv``, of shape ``(..., r, s, m, v)``."""
        xp, x = self._point(x)
        tensor = self._curvature(xp, x)
        return apply_first(xp, self._matrix(xp, x), tensor) if lowered else tensor

    def is_dually_flat(self, x: Any, tolerance: float = 1e-8) -> Array:
        """Whether the curvatures of ∇ and ∇* vanish at x, a mask ``(...)``.

        Their entries are compared with `tolerance` times ``1 + max |C|² max |g^{-1}|``, the size of the terms
        that cancel in them.
        """
        xp, x = self._point(x)
        first, second = self._pair(xp, x)
        last = (-4, -3, -2, -1)
        size = xp.max(xp.abs(second - first), axis=last[1:]) ** 2
        scale = 1 + size * xp.max(xp.abs(self._inverse(xp, x)), axis=last[2:]) ** 2
        flat = [xp.max(xp.abs(self.alpha(a)._curvature(xp, x)), axis=last) for a in (1.0, -1.0)]
        return xp.maximum(*flat) <= tolerance * scale

    def torsion(self, x: Any) -> Array:
        """Torsion ``Γ^k_ij − Γ^k_ji``, zero up to rounding, of shape ``(..., k, i, j)``."""
        symbols = self.christoffel(x)
        xp, symbols = as_floating(symbols=symbols)
        return symbols - xp.matrix_transpose(symbols)

    def duality_residual(self, x: Any) -> Array:
        """``∂_k g_ij − Γ_{ki,j} − Γ*_{kj,i}``, zero up to rounding, of shape ``(..., k, i, j)``.

        The derivative of the metric comes from the metric's own Christoffel symbols.
        """
        xp, x = self._point(x)
        own = apply_first(xp, self._matrix(xp, x), self.metric._christoffel(xp, self._local(xp, x)))
        # Γ_{ki,j} is stored at [j, k, i].
        return moveaxis(xp, own - self._lowered(xp, x), -3, -1) + moveaxis(
            xp, own - self.dual._lowered(xp, x), -3, -2
        )

    def embedding_curvature(self, x: Any, jacobian: Any, hessian: Any) -> Array:
        """Embedding (second fundamental) tensor ``H^k_ab`` of a submodel, ``(..., k, a, b)``.

        It is the part of ``∇_a ∂_b`` normal to the submodel: a submodel that is autoparallel (flat, where the
        connection is) has none. For the KL divergence of an exponential family it is the m-embedding
        curvature at α = 1, the e-embedding curvature at α = −1.

        Parameters
        ----------
        x : array, shape (..., n)
            Points ``x(u)`` of the submodel.
        jacobian : array, shape (..., n, m)
            ``∂x^k/∂u^a``, of full column rank m.
        hessian : array, shape (..., n, m, m)
            ``∂²x^k/∂u^a∂u^b``.

        References
        ----------
        Efron, *Defining the curvature of a statistical problem* (1975); Amari (2016), section 7.5.

        Examples
        --------
        A circle of radius 2 among normals of unit covariance has e-curvature ½:

        >>> import lnegeom
        >>> import numpy as np
        >>> model = lnegeom.Euclidean(2).connections()
        >>> bend = model.embedding_curvature([2.0, 0.0], [[0.0], [2.0]], [[[-2.0]], [[0.0]]])
        >>> float(abs(bend[0, 0, 0]) / 2**2)
        0.5
        """
        xp, x, first, second = as_floating(x=x, jacobian=jacobian, hessian=hessian)
        check_vectors(xp, x, "x", self.metric.dim)
        _check_derivatives(xp, x, first, second)
        self._local(xp, x)
        n, m = first.shape[-2:]
        check_broadcast(x=x, jacobian=first[..., 0], hessian=second[..., 0, 0])
        batch = np.broadcast_shapes(x.shape[:-1], first.shape[:-2], second.shape[:-3])
        x, first = xp.broadcast_to(x, (*batch, n)), xp.broadcast_to(first, (*batch, n, m))
        transposed = xp.matrix_transpose(first)
        pulled = transposed[..., None, :, :] @ self._christoffel(xp, x) @ first[..., None, :, :]
        bent = xp.reshape(second + pulled, (*batch, n, m * m))
        along = transposed @ self._matrix(xp, x)
        tangent = first @ (xp.linalg.inv(along @ first) @ (along @ bent))
        return xp.reshape(bent - tangent, (*batch, n, m, m))

    def _point(self, x: Any) -> tuple[Any, Array]:
        xp, x = as_floating(x=x)
        check_vectors(xp, x, "x", self.metric.dim)
        self._local(xp, x)
        return xp, x

    def _local(self, xp: Any, x: Array) -> Any:
        return self.metric._local(xp, x)

    def _matrix(self, xp: Any, x: Array) -> Array:
        return self.metric._matrix(xp, self._local(xp, x))

    def _inverse(self, xp: Any, x: Array) -> Array:
        return self.metric._inverse(xp, self._local(xp, x))

    def _lowered(self, xp: Any, x: Array) -> Array:
        return self._mixed(*self._pair(xp, x))

    def _mixed(self, first: Array, second: Array) -> Array:
        """What lies at this α between a quantity of ∇ and the same of ∇*."""
        return (1 + self.a) / 2 * first + (1 - self.a) / 2 * second

    def _christoffel(self, xp: Any, x: Array) -> Array:
        return apply_first(xp, self._inverse(xp, x), self._lowered(xp, x))

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        """Estimated error that finite differences leave in `_christoffel`; 0 where there are none."""
        return 0.0

    @abc.abstractmethod
    def _pair(self, xp: Any, x: Array) -> tuple[Array, Array]:
        """``Γ_{ij,k}`` and ``Γ*_{ij,k}`` of the divergence (α = ±1), each ``(..., k, i, j)``."""

    @abc.abstractmethod
    def _curvature(self, xp: Any, x: Array) -> Array:
        """``R^r_smv`` of the connection at this α."""


class HessianConnections(DualConnections):
    """Dual connections of a Hessian metric: the dually flat case, all of it in closed form.

    With ``T = ∇³ψ``, the Bregman divergence has ``Γ = 0``, ``Γ*_{ij,k} = T_ijk``, so ``C = T``. Exchanging
    its arguments (as KL does) exchanges the pair, and C changes its sign. Either way the curvature of
    ``Γ^(α)`` is ``(1 − α²)`` times that of Levi-Civita.

    Parameters
    ----------
    metric : Hessian or Euclidean
        The metric ``∇²ψ``.
    swapped : bool
        Whether the divergence is ``Bregman[y : x]`` rather than ``Bregman[x : y]``.
    a : float
        The value of α.

    Examples
    --------
    The e-connection is the dual of the KL divergence's own, and flat in natural parameters:

    >>> import lnegeom
    >>> family = lnegeom.Normal()
    >>> connections = lnegeom.KL(family).connections()
    >>> theta = family.natural(mean=0.5, std=1.0)
    >>> float(abs(connections.dual.christoffel(theta)).max())
    0.0
    >>> bool(connections.is_dually_flat(theta))
    True
    """

    metric: Hessian | Euclidean

    def __init__(self, metric: Hessian | Euclidean, swapped: bool = False, a: float = 1.0):
        if not isinstance(metric, Hessian | Euclidean):
            raise InputError(f"expected a metric such as Hessian(LogCosh(tau=1.0)), got {metric!r}")
        super().__init__(metric, a)
        self.swapped = bool(swapped)

    def __repr__(self) -> str:
        return f"HessianConnections({self.metric!r}, swapped={self.swapped}, a={self.a:g})"

    def alpha(self, a: float) -> HessianConnections:
        """The connection ``Γ^(a)`` of the same divergence."""
        return HessianConnections(self.metric, self.swapped, a)

    def _pair(self, xp: Any, x: Array) -> tuple[Array, Array]:
        potential = self.metric.potential if isinstance(self.metric, Hessian) else SquaredNorm()
        third = potential._third_derivative(xp, x)
        zero = xp.zeros_like(third)
        return (third, zero) if self.swapped else (zero, third)

    def _curvature(self, xp: Any, x: Array) -> Array:
        return (1 - self.a**2) * self.metric._riemann(xp, self._local(xp, x))


def _check_derivatives(xp: Any, x: Array, jacobian: Array, hessian: Array) -> None:
    n = x.shape[-1]
    check_finite(xp, jacobian, "jacobian")
    check_finite(xp, hessian, "hessian")
    if jacobian.ndim < 2 or jacobian.shape[-2] != n or not 0 < jacobian.shape[-1] <= n:
        raise GeometryError(
            f"jacobian has shape {tuple(jacobian.shape)}: expected (..., {n}, m) with 1 <= m <= {n}"
        )
    m = jacobian.shape[-1]
    if tuple(hessian.shape[-3:]) != (n, m, m):
        raise GeometryError(f"hessian has shape {tuple(hessian.shape)}: expected (..., {n}, {m}, {m})")


Connection = Metric | DualConnections
"""What geodesics and covariant derivatives belong to: Levi-Civita of a metric, or any connection."""


def metric_of(connection: Connection) -> Metric:
    """Return the metric, whose chart a connection shares."""
    if isinstance(connection, Metric):
        return connection
    if isinstance(connection, DualConnections):
        return connection.metric
    raise InputError(
        f"expected a Metric or a connection such as KL(family).connections(), got {connection!r}"
        f"{symbolic_hint(connection)}"
    )
