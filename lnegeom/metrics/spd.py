"""Symmetric positive definite matrices, with the affine-invariant metric."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_vectors,
    dot,
    from_numpy,
    moveaxis,
    outer,
    positive_integer,
    safe_sqrt,
)
from lnegeom._symmetric import basis, counts, entries, from_entries, pairing, symmetric_part
from lnegeom.metrics._base import Metric
from lnegeom.metrics._checks import check_matrix
from lnegeom.metrics._matrix_functions import exp_symmetric, log_symmetric

_REMEDY = "project it onto positive definite matrices, by a floor on its eigenvalues say"


class _Local(NamedTuple):
    matrix: Array
    inverse: Array


class SPD(Metric):
    """Symmetric positive definite k×k matrices, ``g_P(U, V) = tr(P⁻¹ U P⁻¹ V)``.

    A point is the upper triangle of P, row by row: k(k+1)/2 coordinates (`to_matrix`, `from_matrix`). With
    ``A = P⁻¹U`` and so on, the connection and its curvature are::

        Γ(U, V) = −½ (U P⁻¹ V + V P⁻¹ U),    R(U, V)W = −¼ P [[A, B], C]
        Ric(U, V) = −¼ (k tr(AB) − tr A tr B),    R = −k(k − 1)(k + 2)/8

    The space is symmetric, complete and nowhere positively curved; matrices with congruence ``P ↦ M P Mᵀ``
    act by isometries. `sharp`, `flat`, `christoffel_apply` and `ricci_apply` take O(k³). Geodesics are in
    closed form, with all derivatives, at P = I too.

    Parameters
    ----------
    size : int
        k, the number of rows.

    References
    ----------
    Pennec, Fillard and Ayache, *A Riemannian framework for tensor computing* (2006); Bhatia, *Positive
    Definite Matrices* (2007), chapter 6.

    Examples
    --------
    >>> import lnegeom
    >>> space = lnegeom.SPD(2)
    >>> x = space.from_matrix([[2.0, 0.5], [0.5, 1.0]])
    >>> x
    array([2. , 0.5, 1. ])
    >>> float(space.scalar_curvature(x))
    -1.0
    """

    closed_form_geodesics = True

    def __init__(self, size: int):
        self.size = positive_integer("size", size)
        self.dim: int = self.size * (self.size + 1) // 2

    def __repr__(self) -> str:
        return f"SPD({self.size})"

    def to_matrix(self, x: Any) -> Array:
        """Matrices ``(..., k, k)`` of coordinates ``(..., k(k+1)/2)``."""
        return self._at(x)[1].matrix

    def from_matrix(self, matrix: Any) -> Array:
        """Coordinates ``(..., k(k+1)/2)`` of symmetric positive definite matrices ``(..., k, k)``."""
        xp, matrix = as_floating(matrix=matrix)
        if tuple(matrix.shape[-2:]) != (self.size, self.size):
            shape = f"(..., {self.size}, {self.size})"
            raise GeometryError(f"matrix has shape {tuple(matrix.shape)}: expected {shape}")
        check_vectors(xp, matrix, "matrix", self.size)
        check_matrix(xp, matrix, 0, "matrix", remedy=_REMEDY)
        return entries(xp, matrix)

    def _local(self, xp: Any, x: Array) -> _Local:
        matrix = from_entries(xp, x, self.size)
        check_matrix(xp, matrix, 0, "P", remedy=_REMEDY)
        return _Local(matrix, symmetric_part(xp, xp.linalg.inv(matrix)))

    # A vector's matrix is Σ v^a E_a; a covector's, C with ⟨C, E_a⟩ = c_a.

    def _covector(self, xp: Any, covector: Array) -> Array:
        return from_entries(xp, covector / from_numpy(counts(self.size), covector), self.size)

    def _basis(self, like: Array) -> Array:
        return from_numpy(basis(self.size), like)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        inverse = local.inverse[..., None, :, :]
        return symmetric_part(xp, pairing(xp, inverse @ self._basis(inverse) @ inverse))

    def _inverse(self, xp: Any, local: _Local) -> Array:
        matrix = local.matrix[..., None, :, :]
        scale = from_numpy(counts(self.size), matrix)
        dual = self._basis(matrix) / scale[:, None, None]
        return symmetric_part(xp, entries(xp, matrix @ dual @ matrix))

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        return entries(xp, local.matrix @ self._covector(xp, covector) @ local.matrix)

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return pairing(xp, local.inverse @ from_entries(xp, vector, self.size) @ local.inverse)

    def _logdet(self, xp: Any, local: _Local) -> Array:
        k = self.size
        return k * (k - 1) / 2 * math.log(2) - (k + 1) * xp.linalg.slogdet(local.matrix)[1]

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        e = self._basis(local.matrix)
        products = e[:, None, :, :] @ local.inverse[..., None, None, :, :] @ e  # (i, j): E_i P⁻¹ E_j
        return -moveaxis(xp, entries(xp, products), -1, -3)  # `entries` takes the symmetric part

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        u, v = from_entries(xp, u, self.size), from_entries(xp, v, self.size)
        return -entries(xp, u @ local.inverse @ v)

    def _riemann(self, xp: Any, local: _Local) -> Array:
        a = local.inverse[..., None, :, :] @ self._basis(local.inverse)
        rows, columns = a[..., :, None, :, :], a[..., None, :, :, :]
        bracket = (rows @ columns - columns @ rows)[..., None, :, :]  # (m, v, 1): [A_m, A_v]
        third = a[..., None, None, :, :, :]
        twice = bracket @ third - third @ bracket  # (m, v, s)
        tensor = entries(xp, local.matrix[..., None, None, None, :, :] @ twice) / -4  # (m, v, s, r)
        return moveaxis(xp, moveaxis(xp, tensor, -1, -4), -1, -3)

    def _ricci(self, xp: Any, local: _Local) -> Array:
        return (outer(pairing(xp, local.inverse)) - self.size * self._matrix(xp, local)) / 4

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        traces = pairing(xp, local.inverse)
        along = traces * dot(xp, traces, vector)[..., None]
        return (along - self.size * self._flat(xp, local, vector)) / 4

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        k = self.size
        return xp.zeros_like(local.matrix[..., 0, 0]) - k * (k - 1) * (k + 2) / 8

    # Geodesics run through the congruence by L⁻¹, P = L Lᵀ, which brings P to the identity.

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        factor, back = self._factors(xp, x)
        return entries(xp, _congruent(xp, factor, exp_symmetric(xp, self._brought(xp, back, v))))

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        factor, back = self._factors(xp, x)
        return entries(xp, _congruent(xp, factor, self._brought_log(xp, back, x, y)))

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        logs = self._brought_log(xp, self._factors(xp, x)[1], x, y)
        return safe_sqrt(xp, xp.sum(logs**2, axis=(-2, -1)))

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        factor, back = self._factors(xp, x)
        carry = factor @ exp_symmetric(xp, self._brought(xp, back, v) / 2) @ back
        return entries(xp, _congruent(xp, carry, from_entries(xp, w, self.size)))

    def _factors(self, xp: Any, x: Array) -> tuple[Array, Array]:
        """Cholesky's factor L and its inverse: unlike roots by eigenvectors, they have all derivatives."""
        factor = xp.linalg.cholesky(from_entries(xp, x, self.size))
        return factor, xp.linalg.inv(factor)

    def _brought(self, xp: Any, back: Array, vector: Array) -> Array:
        return symmetric_part(xp, _congruent(xp, back, from_entries(xp, vector, self.size)))

    def _brought_log(self, xp: Any, back: Array, x: Array, y: Array) -> Array:
        return log_symmetric(xp, self._brought(xp, back, y - x), self._brought(xp, back, y))


def _congruent(xp: Any, carry: Array, matrix: Array) -> Array:
    return carry @ matrix @ xp.matrix_transpose(carry)
