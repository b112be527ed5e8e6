"""Which structure a metric has, found exactly."""

from __future__ import annotations

from collections.abc import Sequence

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inverse import Matrix, blocks
from lnegeom.symbolic._structure import ConformalCurvature, GraphCurvature, HessianCurvature
from lnegeom.symbolic._warped import WarpedCurvature, split


def recognise(
    field: DifferentialField, g: Matrix, axes: Sequence[int] | None = None
) -> tuple[Curvature, tuple[str, ...]]:
    """Return the engine with the shortest formulas for a metric, and the names of its structure.

    The names are "diagonal" or "block" (the matrix, after a permutation), and "hessian", "graph",
    "conformal" (to a constant metric), "warped" or "product".

    Parameters
    ----------
    field : DifferentialField
        Where the components lie.
    g : sequence of sequences of Element
        The symmetric matrix of the metric.
    axes : sequence of int, optional
        For each index, the number of its coordinate in the field; left out, 0, 1, …
    """
    axes = tuple(range(len(g)) if axes is None else axes)
    sets = blocks(g)
    names = ["diagonal"] if len(sets) == len(g) else ["block"] if len(sets) > 1 else []
    if conformal := _conformal(field, g, axes):
        return conformal, (*names, "conformal")
    if len(g) > 1 and (graph := _graph(field, g, axes)):
        return graph, (*names, "graph")
    if _is_hessian(field, g, axes):
        return HessianCurvature(field, g, axes), (*names, "hessian")
    if parts := split(field, g, axes):
        base, fibre = (
            recognise(field, matrix, [axes[i] for i in members])[0]
            for matrix, members in ((parts.base, parts.base_members), (parts.fibre, parts.fibre_members))
        )
        return WarpedCurvature(field, g, parts, base, fibre, axes), (*names, parts.kind)
    return Curvature(field, g, axes), tuple(names)


def _is_hessian(field: DifferentialField, g: Matrix, axes: Sequence[int]) -> bool:
    index = range(len(g))
    for k in index:
        for i in range(k):
            for j in index:
                if (g[i][j] or g[k][j]) and field.derivative(g[i][j], axes[k]) != field.derivative(
                    g[k][j], axes[i]
                ):
                    return False
    return True


def _conformal(field: DifferentialField, g: Matrix, axes: Sequence[int]) -> ConformalCurvature | None:
    index = range(len(g))
    scale = next((g[0][j] for j in index if g[0][j]), None)
    if scale is None or len(g) < 2:
        return None
    constant = []
    for row in g:
        ratios = [field.exact_quotient(entry, scale) for entry in row]
        kept = [ratio for ratio in ratios if ratio is not None]
        if len(kept) < len(ratios) or any(field.derivative(ratio, a) for ratio in kept for a in axes):
            return None
        constant.append(kept)
    return ConformalCurvature(field, g, scale, constant, axes)


def _graph(field: DifferentialField, g: Matrix, axes: Sequence[int]) -> GraphCurvature | None:
    """Find a gradient p with ``g − I = ε p pᵀ``; p_i needs the root of one diagonal component."""
    index = range(len(g))
    s = [[g[i][j] - field.one if i == j else g[i][j] for j in index] for i in index]
    pivot = next((i for i in index if s[i][i]), None)
    if pivot is None or any(
        s[pivot][i] * s[pivot][j] != s[i][j] * s[pivot][pivot] for i in index for j in range(i + 1)
    ):
        return None
    found = _square_root(field, s[pivot][pivot])
    if found is None:
        return None
    root, sign = found
    over = field.inverse(root)
    p = [field.combine([(sign, s[pivot][i], over)]) for i in index]
    for i in index:
        if any(field.derivative(p[i], axes[j]) != field.derivative(p[j], axes[i]) for j in range(i)):
            return None
    return GraphCurvature(field, g, p, sign, axes)


def _square_root(field: DifferentialField, a: Element) -> tuple[Element, int] | None:
    """Return r and ε = ±1 with ``a = ε r²``, if r lies in the field and is a product of squares."""
    over = Element(field, {0: 1}, a.exps, a.den)
    root, number = field.one, a.den
    for factor, e in irreducible_factors(a.num, len(field.generators)):
        if set(factor) == {0}:
            number *= factor[0] ** e
        elif e % 2 == 0:
            root = root * Element(field, factor) ** (e // 2)
        else:
            return None
    # The rest is number · over², up to even powers of the denominators.
    whole = round(abs(number) ** 0.5)
    if whole * whole != abs(number) or any(e % 2 for e in a.exps):
        return None
    half = Element(field, {0: whole}, tuple(e // 2 for e in a.exps), a.den)
    root = root * half
    sign = 1 if number > 0 else -1
    return (root, sign) if field.combine([(sign, root, root)]) == a and over else None
