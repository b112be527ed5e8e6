"""Symmetric 1×1, 2×2 and 3×3 matrix fields, components first: ``(n, n, *shape)`` and packed ``(m, *shape)``.

Components first keeps every field contiguous, so that transforms and products run over long rows; closed
forms beat a general solver by an order of magnitude at these sizes.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import Any

from lnegeom._array import Array


def total(terms: Iterable[Array]) -> Array:
    """Sum of arrays, term by term: no stacked temporary."""
    return functools.reduce(operator.add, terms)


def upper_pairs(n: int) -> list[tuple[int, int]]:
    """Pairs i ≤ j in the order in which components are packed."""
    return [(i, j) for i in range(n) for j in range(i, n)]


def pack(xp: Any, matrix: Array) -> Array:
    """Upper triangle ``(n(n+1)/2, ...)`` of ``(n, n, ...)``, the symmetric part of the matrix."""
    return xp.stack([0.5 * (matrix[i, j, ...] + matrix[j, i, ...]) for i, j in upper_pairs(matrix.shape[0])])


def unpack(xp: Any, packed: Array, n: int) -> Array:
    """Symmetric matrices ``(n, n, ...)`` from their packed components."""
    position = {pair: index for index, pair in enumerate(upper_pairs(n))}
    order = [position[min(i, j), max(i, j)] for i in range(n) for j in range(n)]
    full = xp.stack([packed[index, ...] for index in order])
    return xp.reshape(full, (n, n, *packed.shape[1:]))


def plus_identity(xp: Any, matrix: Array) -> Array:
    """``δ + matrix`` for ``(n, n, ...)``."""
    n = matrix.shape[0]
    return xp.stack([xp.stack([matrix[i, j, ...] + float(i == j) for j in range(n)]) for i in range(n)])


def inverse(xp: Any, g: Array) -> Array:
    """Inverse of symmetric matrices ``(n, n, ...)`` by cofactors."""
    n = g.shape[0]
    if n == 1:
        return 1 / g
    if n == 2:
        adjugate = {(0, 0): g[1, 1, ...], (0, 1): -g[0, 1, ...], (1, 1): g[0, 0, ...]}
    else:
        adjugate = {(i, j): _cofactor(g, i, j) for i, j in upper_pairs(3)}
    determinant = total(adjugate[0, j] * g[0, j, ...] for j in range(n))
    return unpack(xp, xp.stack([entry / determinant for entry in adjugate.values()]), n)


def positive_definite(g: Array) -> Array:
    """Mask of the positive definite among symmetric matrices ``(n, n, ...)``, by minors; NaN is not."""
    mask = g[0, 0, ...] > 0
    if g.shape[0] > 1:
        mask = mask & (g[0, 0, ...] * g[1, 1, ...] - g[0, 1, ...] ** 2 > 0)
    if g.shape[0] > 2:
        mask = mask & (total(_cofactor(g, 0, j) * g[0, j, ...] for j in range(3)) > 0)
    return mask


def _cofactor(g: Array, i: int, j: int) -> Array:
    # Cyclic indices carry the cofactor's sign.
    a, b, c, d = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
    return g[a, c, ...] * g[b, d, ...] - g[a, d, ...] * g[b, c, ...]
