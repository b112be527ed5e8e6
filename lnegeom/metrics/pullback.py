"""The metric that an embedding induces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_vectors,
    label,
    moveaxis,
    positive_integer,
    row_sum,
)
from lnegeom.derivatives import Derivatives, Jet, check_source, jet
from lnegeom.derivatives._recorded import with_record
from lnegeom.metrics._base import Metric
from lnegeom.metrics._checks import check_matrix, check_negative
from lnegeom.metrics.euclidean import Euclidean
from lnegeom.tensors import apply_first


class _Local(NamedTuple):
    """The embedding at x with its derivatives, the second ones where curvature is wanted, and the metric."""

    x: Array
    value: Array  # (..., A)
    tangents: Array  # (..., A, i): ∂_i f^A
    second: Array | None  # (..., A, i, j)
    error: float  # of an entry of second, or else of tangents
    matrix: Array


class Pullback(Metric):
    """The metric ``g = fᵀ G`` that an embedding f induces from an ambient metric G, flat by default.

    With ``∇̂_i ∂_j f^A = ∂_i ∂_j f^A + Γ̂^A_BC ∂_i f^B ∂_j f^C`` and its part ``N_ij`` normal to the image::

        Γ_{ij,k} = G(∇̂_i ∂_j f, ∂_k f),    R_ijkl = R̂(∂_i, ∂_j, ∂_k, ∂_l) + G(N_ik, N_jl) − G(N_il, N_jk)

    (Gauss), so that second derivatives of the embedding suffice.

    Parameters
    ----------
    embedding : callable
        Maps one point ``(n,)`` to a point ``(N,)`` of the ambient space.
    dim : int
        The dimension n.
    ambient : Metric, optional
        G; Euclidean when left out.
    negative : int
        How many eigenvalues of the induced metric are negative.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of the embedding come from.
    vectorized : bool
        Whether the embedding maps points ``(..., n)`` to ``(..., N)`` at once.
    trace : bool
        Whether to record the embedding's derivatives once, on the terms of `FromCallable`.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def sphere(x):
    ...     return np.stack([np.sin(x[0]) * np.cos(x[1]), np.sin(x[0]) * np.sin(x[1]), np.cos(x[0])])
    >>> round(float(lnegeom.Pullback(sphere, dim=2).scalar_curvature([1.0, 0.3])), 8)
    2.0
    """

    def __init__(
        self,
        embedding: Callable[[Array], Array],
        dim: int,
        ambient: Metric | None = None,
        *,
        negative: int = 0,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        if not callable(embedding):
            raise InputError(f"expected an embedding, a function of a point, got {embedding!r}")
        ambient = Euclidean() if ambient is None else ambient
        if not isinstance(ambient, Metric):
            raise InputError(f"ambient must be a Metric, got {ambient!r}")
        self.embedding = with_record(embedding, trace, derivatives)
        self.dim: int = positive_integer("dim", dim)
        self.ambient = ambient
        self.negative = check_negative(negative, self.dim)
        self.derivatives = check_source(derivatives)
        self.vectorized = vectorized

    def __repr__(self) -> str:
        name = getattr(self.embedding, "__name__", repr(self.embedding))
        return f"Pullback({name}, dim={self.dim}, ambient={self.ambient!r})"

    @property
    def signature(self) -> tuple[int, int]:
        """Numbers of positive and negative eigenvalues."""
        return self.dim - self.negative, self.negative

    def derivatives_at(self, x: Any) -> Jet:
        """The embedding at points ``(..., n)`` with its derivatives, what computed them, and their error.

        Everything else of this metric follows from them without further differences, and from the ambient
        metric, which tells of its own: ``metric.ambient.derivatives_at(found.value)``, where it is made of a
        function too.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> found = lnegeom.Pullback(lambda x: np.stack([np.cos(x[0]), np.sin(x[0])]), 1).derivatives_at(
        ...     [0.3]
        ... )
        >>> found.source, found.second.shape, found.error < 1e-8
        ('finite', (2, 1, 1), True)
        """
        xp, x = as_floating(x=x)
        check_vectors(xp, x, "x", self.dim)
        return self._embedded(x, 2)

    def _embedded(self, x: Array, order: Literal[1, 2]) -> Jet:
        return jet(self.embedding, x, derivatives=self.derivatives, vectorized=self.vectorized, order=order)

    def _local(self, xp: Any, x: Array) -> _Local:
        return self._landed(xp, x, self._embedded(x, 1))

    def _curved_local(self, xp: Any, x: Array) -> _Local:
        return self._landed(xp, x, self._embedded(x, 2))

    def _landed(self, xp: Any, x: Array, found: Jet) -> _Local:
        size = found.value.shape[-1] if found.value.ndim else 0
        if found.value.ndim != x.ndim or (self.ambient.dim or size) != size:
            raise InputError(
                f"the embedding returned points of shape {tuple(found.value.shape)} for {tuple(x.shape)}: "
                f"expected (..., {self.ambient.dim or 'N'})"
            )
        self._check_lands(xp, found.value)
        lowered = self._lower(xp, found.value, found.first)
        matrix = lowered @ found.first
        matrix = (matrix + xp.matrix_transpose(matrix)) / 2
        check_matrix(xp, matrix, self.negative, rounding=self._rounding(xp, lowered, found.first))
        return _Local(x, found.value, found.first, found.second, found.error, matrix)

    def _check_lands(self, xp: Any, value: Array) -> None:
        try:
            self.ambient._local(xp, value)
        except GeometryError as error:
            index = error.index or ()
            raise GeometryError(
                f"the embedding maps {label('x', index)} outside {self.ambient!r}, where {error}",
                index=index,
                value=error.value,
            ) from None

    def _rounding(self, xp: Any, lowered: Array, tangents: Array) -> Array | float:
        """How large an eigenvalue may be by rounding, where terms of either sign cancel in g."""
        if self.ambient.signature[1] == 0:
            return 0.0
        terms = xp.abs(lowered) @ xp.abs(tangents)
        return 1e4 * float(xp.finfo(terms.dtype).eps) * xp.max(terms, axis=(-2, -1))

    def _lower(self, xp: Any, value: Array, vectors: Array) -> Array:
        """Covectors ``(..., m, A)`` of vectors ``(..., A, m)``; no ambient matrix where it has structure."""
        ambient = self.ambient._local(xp, value[..., None, :])
        return self.ambient._flat(xp, ambient, xp.matrix_transpose(vectors))

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return local.matrix

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        return self._tangential(xp, local, self._acceleration(xp, local))

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        local = self._curved_local(xp, x)
        ambient = self.ambient._christoffel_error(xp, local.value) * row_sum(xp, local.tangents) ** 2
        error = local.error + ambient
        return error * row_sum(xp, self._projection(xp, local)) if error else 0.0

    def _riemann(self, xp: Any, local: _Local) -> Array:
        n, batch = self.dim, tuple(local.tangents.shape[:-2])
        normal = xp.reshape(self._normal(xp, local), (*batch, -1, n * n))
        # products[i, k, j, l] = G(N_ik, N_jl)
        products = xp.reshape(self._lower(xp, local.value, normal) @ normal, (*batch, n, n, n, n))
        term = moveaxis(xp, products, -3, -2)  # (i, j, k, l)
        lowered = term - xp.matrix_transpose(term) + self._ambient_curvature(xp, local)
        return apply_first(xp, self._inverse(xp, local), lowered)

    def _acceleration(self, xp: Any, local: _Local) -> Array:
        """``∇̂_i ∂_j f^A``, ``(..., A, i, j)``."""
        t = xp.matrix_transpose(local.tangents)
        ambient = self.ambient._local(xp, local.value[..., None, None, :])
        turned = self.ambient._christoffel_apply(xp, ambient, t[..., :, None, :], t[..., None, :, :])
        second = self._embedded(local.x, 2).second if local.second is None else local.second
        return second + moveaxis(xp, turned, -1, -3)

    def _tangential(self, xp: Any, local: _Local, acceleration: Array) -> Array:
        """Γ^k_ij: the components along the image."""
        batch, n = tuple(local.tangents.shape[:-2]), self.dim
        wide = xp.reshape(acceleration, (*batch, -1, n * n))
        return xp.reshape(self._projection(xp, local) @ wide, (*batch, n, n, n))

    def _projection(self, xp: Any, local: _Local) -> Array:
        """What takes ambient vectors to their components along the image, ``(..., i, A)``."""
        return self._inverse(xp, local) @ self._lower(xp, local.value, local.tangents)

    def _normal(self, xp: Any, local: _Local) -> Array:
        """``N^A_ij``, the second fundamental form, ``(..., A, i, j)``: the components normal to the image."""
        acceleration = self._acceleration(xp, local)
        tangential = self._tangential(xp, local, acceleration)
        batch, n = tuple(local.tangents.shape[:-2]), self.dim
        along = local.tangents @ xp.reshape(tangential, (*batch, n, n * n))
        return acceleration - xp.reshape(along, acceleration.shape)

    def _ambient_curvature(self, xp: Any, local: _Local) -> Array:
        """``R̂(∂_i, ∂_j, ∂_k, ∂_l)``: every index of the ambient tensor pulled back."""
        if isinstance(self.ambient, Euclidean):
            return xp.zeros_like(local.matrix[..., None, None])
        ambient = self.ambient._local(xp, local.value)
        tensor = self.ambient._riemann(xp, ambient)
        tensor = apply_first(xp, self.ambient._matrix(xp, ambient), tensor)
        down = xp.matrix_transpose(local.tangents)
        for _ in range(4):  # each pass pulls the first index back and moves it last
            tensor = moveaxis(xp, apply_first(xp, down, tensor), -4, -1)
        return tensor
