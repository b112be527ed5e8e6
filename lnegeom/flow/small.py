"""Symmetric n×n matrices of fields, n ≤ 4, as lists of their packed components.

Everything here is written with ``+ − * /`` on single components, so that it runs on arrays of any library and
on the symbols from which `lnegeom.flow.torus.rhs.algebra` writes one loop over the points.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from lnegeom._array import Array


def total(terms: Iterable[Any]) -> Any:
    """Sum of terms, one by one: no stacked temporary."""
    return functools.reduce(operator.add, terms)


def upper_pairs(n: int) -> list[tuple[int, int]]:
    """Pairs i ≤ j in the order in which components are packed."""
    return [(i, j) for i in range(n) for j in range(i, n)]


@functools.cache
def packed_index(n: int) -> tuple[tuple[int, ...], ...]:
    """Place of the component (i, j), in either order, among the packed ones."""
    place = {pair: index for index, pair in enumerate(upper_pairs(n))}
    return tuple(tuple(place[min(i, j), max(i, j)] for j in range(n)) for i in range(n))


def pack(xp: Any, matrix: Array) -> Array:
    """Components ``(n(n+1)/2, ...)`` of symmetric matrices ``(..., n, n)``: their upper triangle."""
    return xp.stack([matrix[..., i, j] for i, j in upper_pairs(matrix.shape[-1])])


def unpack(xp: Any, packed: Array, n: int) -> Array:
    """Symmetric matrices ``(..., n, n)`` from their packed components."""
    rows = [[packed[index, ...] for index in row] for row in packed_index(n)]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def inverse_and_pivots(n: int, g: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Packed inverse of a symmetric matrix, and the pivots of its factors ``L D Lᵀ``.

    The matrix is positive definite if and only if the pivots are positive (Sylvester's law of inertia).
    """
    at = packed_index(n)
    # rows[i][j], j < i: the entries of L^{-1}, from L^{-1} g = D Lᵀ by elimination.
    lower: dict[tuple[int, int], Any] = {}
    pivots: list[Any] = []
    reciprocals: list[Any] = []
    for j in range(n):
        scaled = {k: lower[j, k] * pivots[k] for k in range(j)}
        pivot = g[at[j][j]]
        for k in range(j):
            pivot = pivot - lower[j, k] * scaled[k]
        pivots.append(pivot)
        reciprocals.append(1 / pivot)
        for i in range(j + 1, n):
            entry = g[at[i][j]]
            for k in range(j):
                entry = entry - lower[i, k] * scaled[k]
            lower[i, j] = entry * reciprocals[j]
    rows: dict[tuple[int, int], Any] = {}
    for j in range(n):
        for i in range(j + 1, n):
            rows[i, j] = -total([lower[i, j], *(lower[i, k] * rows[k, j] for k in range(j + 1, i))])
    inverse = []
    for i, j in upper_pairs(n):  # Σ_k M_ki M_kj / d_k over k ≥ j, with M = L^{-1}, M_kk = 1
        first = reciprocals[j] if i == j else rows[j, i] * reciprocals[j]
        rest = [rows[k, i] * rows[k, j] * reciprocals[k] for k in range(j + 1, n)]
        inverse.append(total([first, *rest]))
    return inverse, pivots


def positive_definite(n: int, g: Sequence[Any]) -> Any:
    """Mask of the positive definite among matrices given by packed components; NaN is not."""
    _, pivots = inverse_and_pivots(n, g)
    return functools.reduce(operator.and_, [pivot > 0 for pivot in pivots])
