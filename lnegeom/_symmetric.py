"""Symmetric matrices as vectors of their upper triangle, row by row: ``S = Σ_a s_a E_a``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from lnegeom._array import Array, check_where, from_numpy

Constant = np.ndarray[Any, np.dtype[np.float64]]


@functools.cache
def basis(k: int) -> Constant:
    """Symmetric matrices E_a ``(k(k+1)/2, k, k)`` of zeros and ones."""
    rows, columns = np.triu_indices(k)
    matrices = np.zeros((len(rows), k, k))
    matrices[np.arange(len(rows)), rows, columns] = 1
    matrices[np.arange(len(rows)), columns, rows] = 1
    return matrices


@functools.cache
def counts(k: int) -> Constant:
    """How often each entry stands in the matrix: once on the diagonal, twice off it."""
    total: Constant = basis(k).sum(axis=(1, 2))
    return total


def pairing(xp: Any, matrix: Array) -> Array:
    """``⟨E_a, M⟩`` of matrices ``(..., k, k)``: the two entries off the diagonal are summed."""
    k = matrix.shape[-1]
    flat = from_numpy(basis(k).reshape(-1, k * k).T, matrix)
    return xp.reshape(matrix, (*matrix.shape[:-2], k * k)) @ flat


def entries(xp: Any, matrix: Array) -> Array:
    """The upper triangle of symmetric matrices, row by row; of others, that of their symmetric part."""
    return pairing(xp, matrix) / from_numpy(counts(matrix.shape[-1]), matrix)


def from_entries(xp: Any, vector: Array, k: int) -> Array:
    """Symmetric matrices of their upper triangles: the inverse of `entries`."""
    flat = from_numpy(basis(k).reshape(-1, k * k), vector)
    return xp.reshape(vector @ flat, (*vector.shape[:-1], k, k))


def symmetric_part(xp: Any, matrix: Array) -> Array:
    """``½ (M + Mᵀ)``: what rounding left asymmetric."""
    return (matrix + xp.matrix_transpose(matrix)) / 2


def check_symmetric(xp: Any, matrix: Array, name: str, size: Array | float | None = None) -> None:
    """Raise a GeometryError unless matrices ``(..., k, k)`` are symmetric up to rounding.

    That is the rounding of their own entries, or else of numbers of the given size.
    """
    defect = xp.max(xp.abs(matrix - xp.matrix_transpose(matrix)), axis=(-2, -1))
    largest = xp.max(xp.abs(matrix), axis=(-2, -1)) if size is None else size
    message = (
        f"{{point}} is asymmetric by {{value}}: expected {name} = {name}ᵀ; its symmetric part is "
        f"({name} + {name}ᵀ)/2"
    )
    check_where(xp, defect <= 100 * float(xp.finfo(matrix.dtype).eps) * largest, defect, name, message)
