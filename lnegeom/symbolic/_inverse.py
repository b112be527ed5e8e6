"""The inverse of a metric, by the structure of its matrix: blocks, rank one on a diagonal, cofactors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from lnegeom.symbolic._element import Element
from lnegeom.symbolic._field import DifferentialField

Matrix = Sequence[Sequence[Element]]


def blocks(g: Matrix) -> list[list[int]]:
    """Sets of indices that no component joins, in order of their first index."""
    left, found = list(range(len(g))), []
    while left:
        block, front = [], [left.pop(0)]
        while front:
            i = front.pop()
            block.append(i)
            joined = [j for j in left if g[i][j]]
            left = [j for j in left if j not in joined]
            front += joined
        found.append(sorted(block))
    return found


def inverse_matrix(field: DifferentialField, g: Matrix) -> list[list[Element]]:
    """Return the matrix g^ij.

    Raises
    ------
    ZeroDivisionError
        If the determinant is zero.
    """
    n = len(g)
    result = [[field.zero] * n for _ in range(n)]
    for block in blocks(g):
        part = [[g[i][j] for j in block] for i in block]
        inverse = _diagonal_plus_rank_one(field, part) or _by_cofactors(field, part)
        for a, i in enumerate(block):
            for b, j in enumerate(block):
                result[i][j] = inverse[a][b]
    return result


def rank_one_diagonal(field: DifferentialField, g: Matrix) -> list[Element] | None:
    """Diagonal of S for ``g = D + S``, D diagonal and S of rank one, if g is so; 4 × 4 or more.

    Smaller symmetric matrices are so whenever their off-diagonal components are not zero, and nothing is won.
    ``S_ii = g_ij g_ik / g_jk`` needs no square root.
    """
    n = len(g)
    if n < 4 or not all(g[i][j] for i in range(n) for j in range(i)):
        return None
    diagonal = []
    for i in range(n):
        j, k = (m for m in range(3) if m != i) if i < 3 else (0, 1)
        entry = field.exact_quotient(g[i][j] * g[i][k], g[j][k])
        if entry is None:
            return None
        diagonal.append(entry)
    # Every 2 × 2 minor of S vanishes if those that hold row 0 or column 0 do.
    for i in range(1, n):
        for j in range(i + 1, n):
            if g[i][j] * diagonal[0] != g[0][i] * g[0][j]:
                return None
    return diagonal


def _diagonal_plus_rank_one(field: DifferentialField, g: Matrix) -> list[list[Element]] | None:
    """Sherman and Morrison: ``D⁻¹ − D⁻¹ S D⁻¹ / (1 + tr D⁻¹ S)``."""
    s = rank_one_diagonal(field, g)
    if s is None:
        return None
    n = len(g)
    d = [g[i][i] - s[i] for i in range(n)]
    if not all(d):
        return None
    inverses = [field.inverse(entry) for entry in d]
    trace = field.combine((1, s[i], inverses[i]) for i in range(n))
    scale = field.inverse(field.one + trace)
    scaled = [entry * scale for entry in inverses]
    result = [[field.zero] * n for _ in range(n)]
    for i in range(n):
        for j in range(i, n):
            entry = -((s[i] if i == j else g[i][j]) * (scaled[i] * inverses[j]))
            result[i][j] = result[j][i] = entry + inverses[i] if i == j else entry
    return result


def _by_cofactors(field: DifferentialField, g: Matrix) -> list[list[Element]]:
    n = len(g)

    @cache
    def minor(rows: tuple[int, ...], columns: tuple[int, ...]) -> Element:
        if not rows:
            return field.one
        first, rest = rows[0], rows[1:]
        return field.combine(
            ((-1) ** place, g[first][column], minor(rest, columns[:place] + columns[place + 1 :]))
            for place, column in enumerate(columns)
            if g[first][column]
        )

    whole = tuple(range(n))
    scale = field.inverse(minor(whole, whole))
    result = [[field.zero] * n for _ in range(n)]
    for i in range(n):
        for j in range(i, n):
            cofactor = minor(whole[:i] + whole[i + 1 :], whole[:j] + whole[j + 1 :])
            entry = cofactor * scale if (i + j) % 2 == 0 else -(cofactor * scale)
            result[i][j] = result[j][i] = entry
    return result
