"""The warped product of two metrics."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import Array, InputError, check_where, dot, identity
from lnegeom._low_rank import LowRank, block_diagonal, padding
from lnegeom.derivatives import Derivatives, Jet
from lnegeom.fields import as_field, field_jet
from lnegeom.metrics._base import Metric
from lnegeom.metrics._blocks import place
from lnegeom.metrics._covariant_hessian import CovariantHessian
from lnegeom.metrics.product import Product


class _Local(NamedTuple):
    point: Array  # the base's coordinates
    base: Any
    fibre: Any
    f: Array
    slope: Array  # ∂_a f


class Warped(Metric):
    """The warped product ``g = g_B ⊕ f² g_F``, f a positive function on the base B.

    The base's coordinates (indices a, b) come first, then the fibre's (i, j), m of them. With
    ``H = ∇²f``, ``f^a = g_B^{ab} ∂_b f`` and ĝ the metric of the fibre F::

        Γ^a_ij = −f f^a ĝ_ij,    Γ^i_aj = δ^i_j ∂_a f / f,    R_aibj = −f H_ab ĝ_ij
        R_ijkl = f² R̂_ijkl − f² |df|² (ĝ_ik ĝ_jl − ĝ_il ĝ_jk)
        Ric_ab = Ric^B_ab − (m/f) H_ab,    Ric_ij = R̂ic_ij − (f Δf + (m − 1) |df|²) ĝ_ij

    and the symbols and curvatures of base and fibre themselves (O'Neill, *Semi-Riemannian Geometry*, 1983,
    chapter 7). `sharp`, `flat`, `logdet` and `christoffel_apply` cost what they cost for the factors.
    `ricci_apply` and `scalar_curvature` do so on the fibre; on the base too where f and the base are such as
    `Conformal` names.

    Parameters
    ----------
    base, fibre : Metric
        The factors.
    f : Potential or callable
        The warping function: a potential, or a function of one point of the base, ``(n_B,) → ()``.
    dims : pair of int, optional
        The dimensions of the factors, where one such as ``LNE(tau)`` leaves its own open.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of a callable f come from.
    vectorized : bool
        Whether a callable f maps points ``(..., n_B)`` to ``(...)`` at once, which spares finite
        differences a loop over points.
    trace : bool
        Whether to record the derivatives of a callable f once, on the terms of `FromCallable`.

    Raises
    ------
    GeometryError
        At a point where f is not positive.

    Examples
    --------
    The plane in polar coordinates, and the sphere of latitude and longitude:

    >>> import numpy as np, lnegeom
    >>> line = lnegeom.Euclidean(1)
    >>> plane = lnegeom.Warped(line, line, lambda r: r[0])
    >>> bool(abs(plane.riemann([2.0, 0.3])).max() < 1e-9)
    True
    >>> sphere = lnegeom.Warped(line, line, lambda t: np.cos(t[0]))
    >>> round(float(sphere.scalar_curvature([0.5, 0.3])), 8)
    2.0
    """

    def __init__(
        self,
        base: Metric,
        fibre: Metric,
        f: Any,
        *,
        dims: Any = None,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        self._product = Product(base, fibre, dims=dims)
        self.base, self.fibre = base, fibre
        self.f = as_field(f, derivatives, vectorized, trace)
        self.dim = self._product.dim
        own, size = getattr(f, "dim", None), self._product.dims[0]
        if own not in (None, size):
            raise InputError(f"f has dimension {own}, the base has {size}: expected the same; correct either")

    def __repr__(self) -> str:
        return f"Warped({self.base!r}, {self.fibre!r}, {self.f!r})"

    @property
    def signature(self) -> tuple[int, int]:
        """Numbers of positive and negative eigenvalues."""
        return self._product.signature

    def derivatives_at(self, x: Any) -> Jet:
        """The function f at the base's part of points, with ∂f and ∂²f, what computed them, and their error.

        Base and fibre tell of their own, at their parts of the points, where they are made of functions too.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> line = lnegeom.Euclidean(1)
        >>> found = lnegeom.Warped(line, line, lambda t: np.cos(t[0])).derivatives_at([0.5, 0.3])
        >>> found.source, found.first.shape, found.error < 1e-8
        ('finite', (1,), True)
        """
        xp, local = self._at(x)
        return field_jet(xp, self.f, local.point)

    def _local(self, xp: Any, x: Array) -> _Local:
        point, rest = self._product._split(x)
        base, fibre = self.base._local(xp, point), self.fibre._local(xp, rest)
        self.f._check_domain(xp, point)
        f = self.f._value(xp, point)
        check_where(xp, f > 0, f, "x", "f = {value} at {point}: expected a positive function")
        return _Local(point, base, fibre, f, self.f._gradient(xp, point))

    def _put(self, xp: Any, block: Array, kinds: str) -> Array:
        """A block in a tensor of zeros; `kinds` gives each index to the base (b) or the fibre (f)."""
        offsets = [0 if kind == "b" else self._product.dims[0] for kind in kinds]
        return place(xp, block, offsets, sum(self._product.dims))

    def _matrix(self, xp: Any, local: _Local) -> Array:
        fibre = local.f[..., None, None] ** 2 * self.fibre._matrix(xp, local.fibre)
        return self._put(xp, self.base._matrix(xp, local.base), "bb") + self._put(xp, fibre, "ff")

    def _inverse(self, xp: Any, local: _Local) -> Array:
        fibre = self.fibre._inverse(xp, local.fibre) / local.f[..., None, None] ** 2
        return self._put(xp, self.base._inverse(xp, local.base), "bb") + self._put(xp, fibre, "ff")

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        base, fibre = self._product._split(covector)
        rest = self.fibre._sharp(xp, local.fibre, fibre) / local.f[..., None] ** 2
        return xp.concat([self.base._sharp(xp, local.base, base), rest], axis=-1)

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        base, fibre = self._product._split(vector)
        rest = self.fibre._flat(xp, local.fibre, fibre) * local.f[..., None] ** 2
        return xp.concat([self.base._flat(xp, local.base, base), rest], axis=-1)

    def _logdet(self, xp: Any, local: _Local) -> Array:
        both = self.base._logdet(xp, local.base) + self.fibre._logdet(xp, local.fibre)
        return both + 2 * self._product.dims[1] * xp.log(local.f)

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        g = self.fibre._matrix(xp, local.fibre)
        up = local.f[..., None] * self.base._sharp(xp, local.base, local.slope)  # f f^a
        # (i, j, a): δ^i_j ∂_a f / f
        ratio = (local.slope / local.f[..., None])[..., None, None, :]
        mixed = self._put(xp, ratio * identity(xp, g)[:, :, None], "ffb")
        return (
            self._put(xp, self.base._christoffel(xp, local.base), "bbb")
            + self._put(xp, self.fibre._christoffel(xp, local.fibre), "fff")
            - self._put(xp, up[..., :, None, None] * g[..., None, :, :], "bff")
            + (mixed + xp.matrix_transpose(mixed))
        )

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        (ub, uf), (vb, vf) = self._product._split(u), self._product._split(v)
        f, slope = local.f[..., None], local.slope
        inner = dot(xp, uf, self.fibre._flat(xp, local.fibre, vf))[..., None]
        base = self.base._christoffel_apply(xp, local.base, ub, vb)
        mixed = (dot(xp, slope, ub)[..., None] * vf + dot(xp, slope, vb)[..., None] * uf) / f
        fibre = self.fibre._christoffel_apply(xp, local.fibre, uf, vf)
        return xp.concat([base - f * inner * self.base._sharp(xp, local.base, slope), fibre + mixed], axis=-1)

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        return self._product._christoffel_error(xp, x)  # first derivatives of f are far more exact

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank] | None:
        base, fibre = self.base._low_rank(xp, local.base), self.fibre._low_rank(xp, local.fibre)
        if base is None or fibre is None:
            return None
        square = local.f[..., None] ** 2
        g = block_diagonal(xp, [base[0], fibre[0].times(square)])
        return g, block_diagonal(xp, [base[1], fibre[1].times(1 / square)])

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        first, rest = self._product._split(covector)
        f, fibre = local.f[..., None], self.fibre._low_rank(xp, local.fibre)
        assert fibre is not None  # as `_low_rank` said
        up = dot(xp, self.base._sharp(xp, local.base, local.slope), first)[..., None]
        base = self.base._christoffel_low_rank(xp, local.base, first)
        around = self.fibre._christoffel_low_rank(xp, local.fibre, rest).plus(fibre[0].times(-f * up))
        blocks = block_diagonal(xp, [base, around])
        before, after = self._product.dims
        slope, mixed = padding(xp, 0, after)(local.slope / f), padding(xp, before, 0)(rest)
        return LowRank(blocks.diagonal, (*blocks.dyads, (slope, mixed), (mixed, slope)))

    def _riemann(self, xp: Any, local: _Local) -> Array:
        bend, g = self._bend(xp, local), self.fibre._matrix(xp, local.fibre)
        f = local.f[..., None, None]
        delta = identity(xp, g)
        rise = f * (self.base._inverse(xp, local.base) @ bend.matrix)  # f H^a_b
        base = rise[..., :, None, :, None] * g[..., None, :, None, :]  # (a, i, b, j)
        # (i, a, j, b): δ^i_j H_ab / f
        down = (bend.matrix / f)[..., None, :, None, :] * delta[:, None, :, None]
        round_ = delta[:, None, :, None] * g[..., None, :, None, :]  # (i, j, k, l): δ^i_k ĝ_jl
        round_ = bend.squared[..., None, None, None, None] * (round_ - xp.matrix_transpose(round_))
        first, second = self._put(xp, base, "bfbf"), self._put(xp, down, "fbfb")
        return (
            self._put(xp, self.base._riemann(xp, local.base), "bbbb")
            + self._put(xp, self.fibre._riemann(xp, local.fibre) - round_, "ffff")
            - (first - xp.matrix_transpose(first))
            - (second - xp.matrix_transpose(second))
        )

    def _ricci(self, xp: Any, local: _Local) -> Array:
        bend, scale = self._bend(xp, local), self._product.dims[1] / local.f[..., None, None]
        base = self.base._ricci(xp, local.base) - scale * bend.matrix
        trace = self._trace_part(local, bend)[..., None, None]
        fibre = self.fibre._ricci(xp, local.fibre) - trace * self.fibre._matrix(xp, local.fibre)
        return self._put(xp, base, "bb") + self._put(xp, fibre, "ff")

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        base, fibre = self._product._split(vector)
        bend = self._bend(xp, local)
        bent = bend.apply(base) * (self._product.dims[1] / local.f[..., None])
        round_ = self._trace_part(local, bend)[..., None] * self.fibre._flat(xp, local.fibre, fibre)
        return xp.concat(
            [
                self.base._ricci_apply(xp, local.base, base) - bent,
                self.fibre._ricci_apply(xp, local.fibre, fibre) - round_,
            ],
            axis=-1,
        )

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        f, m, bend = local.f, self._product.dims[1], self._bend(xp, local)
        fibre = self.fibre._scalar_curvature(xp, local.fibre) - m * (m - 1) * bend.squared
        rest = fibre / f**2 - 2 * m * bend.laplacian / f
        return self.base._scalar_curvature(xp, local.base) + rest

    def _bend(self, xp: Any, local: _Local) -> CovariantHessian:
        """``H = ∇²f`` on the base."""
        return CovariantHessian(xp, self.base, local.base, self.f, local.point, local.slope)

    def _trace_part(self, local: _Local, bend: CovariantHessian) -> Array:
        """``f Δf + (m − 1) |df|²``."""
        return local.f * bend.laplacian + (self._product.dims[1] - 1) * bend.squared
