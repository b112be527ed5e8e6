"""Structure of a metric, recognised exactly, and the closed forms that it allows.

Each class overrides the components for which its metrics have a shorter formula; `recognise` picks the class.
"""

from __future__ import annotations

from collections.abc import Sequence

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inverse import Matrix, blocks, inverse_matrix


class HessianCurvature(Curvature):
    """``g = ∇²ψ``: Γ_k,ij = ½ ∂_i∂_j∂_kψ, and the second derivatives of g cancel in the curvature."""

    def lowered(self, k: int, i: int, j: int) -> Element:
        """Component ½ T_ijk, symmetric in all three indices."""
        i, j, k = sorted((i, j, k))
        return self._d(i, j, k) * self.field.rational(1, 2)

    def _canonical(self, i: int, j: int, k: int, m: int) -> Element:
        down, up = self.lowered, self.christoffel
        terms = [(1, down(p, j, k), up(p, i, m)) for p in range(self.n)]
        terms += [(-1, down(p, i, k), up(p, j, m)) for p in range(self.n)]
        return self.field.combine(terms)


class GraphCurvature(Curvature):
    """``g = I + ε p pᵀ`` with ``p = ∇φ``: all from ``P = ∇²φ`` and ``w = 1 + ε |p|²``."""

    def __init__(self, field: DifferentialField, g: Matrix, gradient: Sequence[Element], sign: int):
        super().__init__(field, g)
        self.p, self.sign = gradient, sign
        self.over_w = field.inverse(
            field.combine([(1, field.one, field.one), *((sign, a, a) for a in gradient)])
        )
        self._scaled = [entry * self.over_w for entry in gradient]
        self._weighted: list[list[Element]] | None = None
        index = range(self.n)
        self._hessian = [[field.derivative(gradient[max(i, j)], min(i, j)) for j in index] for i in index]

    def inverse(self, i: int, j: int) -> Element:
        """Component of ``I − ε p pᵀ / w``."""
        terms = [(-self.sign, self.p[i], self._scaled[j])]
        if i == j:
            terms.append((1, self.field.one, self.field.one))
        return self.field.combine(terms)

    def lowered(self, k: int, i: int, j: int) -> Element:
        """Component ε p_k P_ij."""
        return self.field.combine([(self.sign, self.p[k], self._hessian[i][j])])

    def christoffel(self, k: int, i: int, j: int) -> Element:
        """Component ε p_k P_ij / w."""
        return self.field.combine([(self.sign, self._scaled[k], self._hessian[i][j])])

    def _canonical(self, i: int, j: int, k: int, m: int) -> Element:
        hessian, over = self._hessian, self.over_w
        minor = self.field.combine([(1, hessian[i][k], hessian[j][m]), (-1, hessian[i][m], hessian[j][k])])
        return self.field.combine([(self.sign, minor, over)]) if minor else minor

    def ricci(self, j: int, m: int) -> Element:
        """Component (ε/w) [tr(g⁻¹P) P − P g⁻¹ P]."""
        if j > m:
            return self.ricci(m, j)
        field, index, hessian = self.field, range(self.n), self._hessian
        if self._weighted is None:
            # P g⁻¹ = P − ε (P p) pᵀ / w
            moved = [field.combine((1, hessian[a][b], self.p[b]) for b in index) for a in index]
            self._weighted = [
                [
                    field.combine([(1, hessian[a][b], field.one), (-self.sign, moved[a], self._scaled[b])])
                    for b in index
                ]
                for a in index
            ]
            self._trace = field.sum(self._weighted[a][a] for a in index)
        terms = [(1, self._trace, hessian[j][m])]
        terms += [(-1, self._weighted[j][a], hessian[a][m]) for a in index]
        return field.combine([(self.sign, field.combine(terms), self.over_w)])


class ConformalCurvature(Curvature):
    """``g = s C`` with C constant: all from ``f_i = ∂_i s / (2s)``, the gradient of ``½ log s``."""

    def __init__(self, field: DifferentialField, g: Matrix, scale: Element, constant: Matrix):
        super().__init__(field, g)
        self._scale, self._c = scale, constant
        self._c_inverse = inverse_matrix(field, constant)
        over = field.inverse(scale)
        self._over = over
        index = range(self.n)
        half = field.rational(1, 2)
        self._f = [field.derivative(scale, i) * over * half for i in index]
        self._raised = [field.combine((1, self._c_inverse[i][j], self._f[j]) for j in index) for i in index]
        self._square = field.combine((1, self._f[i], self._raised[i]) for i in index)
        # A = ∂f − f f + ½ |f|² C, and the curvature is −s C ⊙ A.
        self._a = [
            [
                field.combine(
                    [
                        (2, field.derivative(self._f[i], j), field.one),
                        (-2, self._f[i], self._f[j]),
                        (1, self._square, constant[i][j]),
                    ],
                    2,
                )
                for j in index
            ]
            for i in index
        ]

    def inverse(self, i: int, j: int) -> Element:
        """Component C^ij / s."""
        return self._c_inverse[i][j] * self._over

    def christoffel(self, k: int, i: int, j: int) -> Element:
        """Component ``δ^k_i f_j + δ^k_j f_i − C_ij f^k``."""
        field = self.field
        terms = [(-1, self._c[i][j], self._raised[k])]
        terms += [(1, self._f[j], field.one)] if k == i else []
        terms += [(1, self._f[i], field.one)] if k == j else []
        return field.combine(terms)

    def _canonical(self, i: int, j: int, k: int, m: int) -> Element:
        a, c = self._a, self._c
        inner = self.field.combine(
            [(-1, a[i][k], c[j][m]), (-1, a[j][m], c[i][k]), (1, a[i][m], c[j][k]), (1, a[j][k], c[i][m])]
        )
        return inner * self._scale if inner else inner


def recognise(field: DifferentialField, g: Matrix, dim: int) -> tuple[Curvature, tuple[str, ...]]:
    """Return the engine with the shortest formulas for a metric, and the names of its structure.

    The names are "diagonal" or "block" (the matrix, after a permutation), and "hessian", "graph" or
    "conformal" (to a constant metric).
    """
    sets = blocks(g)
    names = ["diagonal"] if len(sets) == dim else ["block"] if len(sets) > 1 else []
    if conformal := _conformal(field, g):
        return conformal, (*names, "conformal")
    if dim > 1 and (graph := _graph(field, g)):
        return graph, (*names, "graph")
    if _is_hessian(field, g):
        return HessianCurvature(field, g), (*names, "hessian")
    return Curvature(field, g), tuple(names)


def _is_hessian(field: DifferentialField, g: Matrix) -> bool:
    index = range(len(g))
    for k in index:
        for i in range(k):
            for j in index:
                if (g[i][j] or g[k][j]) and field.derivative(g[i][j], k) != field.derivative(g[k][j], i):
                    return False
    return True


def _conformal(field: DifferentialField, g: Matrix) -> ConformalCurvature | None:
    index = range(len(g))
    scale = next((g[0][j] for j in index if g[0][j]), None)
    if scale is None or len(g) < 2:
        return None
    constant = []
    for row in g:
        ratios = [field.exact_quotient(entry, scale) for entry in row]
        kept = [ratio for ratio in ratios if ratio is not None]
        if len(kept) < len(ratios) or any(field.derivative(ratio, a) for ratio in kept for a in index):
            return None
        constant.append(kept)
    return ConformalCurvature(field, g, scale, constant)


def _graph(field: DifferentialField, g: Matrix) -> GraphCurvature | None:
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
    if any(field.derivative(p[i], j) != field.derivative(p[j], i) for i in index for j in range(i)):
        return None
    return GraphCurvature(field, g, p, sign)


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
