"""Structure of a metric, recognised exactly, and the closed forms that it allows.

Each class overrides the components for which its metrics have a shorter formula; `recognise` picks one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inverse import Matrix, inverse_matrix


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

    def mixed(self, r: int, s: int, m: int, v: int) -> Element:
        """Component ``Γ^r_vp Γ^p_sm − Γ^r_mp Γ^p_sv``."""
        up = self.christoffel
        terms = [(1, up(r, v, p), up(p, s, m)) for p in range(self.n)]
        terms += [(-1, up(r, m, p), up(p, s, v)) for p in range(self.n)]
        return self.field.combine(terms)


class GraphCurvature(Curvature):
    """``g = I + ε p pᵀ`` with ``p = ∇φ``: all from ``P = ∇²φ`` and ``w = 1 + ε |p|²``."""

    def __init__(
        self,
        field: DifferentialField,
        g: Matrix,
        gradient: Sequence[Element],
        sign: int,
        axes: Sequence[int] | None = None,
    ):
        super().__init__(field, g, axes)
        self.p, self.sign = gradient, sign
        self.over_w = field.inverse(
            field.combine([(1, field.one, field.one), *((sign, a, a) for a in gradient)])
        )
        self._scaled = [entry * self.over_w for entry in gradient]
        index = range(self.n)
        self._hessian = [[self.along(gradient[max(i, j)], min(i, j)) for j in index] for i in index]

    @cached_property
    def _shape(self) -> list[list[Element]]:
        """Transpose of the mixed Hessian, ``P g⁻¹ = P − ε (P p) pᵀ / w``."""
        field, index, hessian = self.field, range(self.n), self._hessian
        moved = [field.combine((1, hessian[a][b], self.p[b]) for b in index) for a in index]
        return [
            [
                field.combine([(1, hessian[a][b], field.one), (-self.sign, moved[a], self._scaled[b])])
                for b in index
            ]
            for a in index
        ]

    @cached_property
    def _shape_over_w(self) -> list[list[Element]]:
        return [[entry * self.over_w for entry in row] for row in self._shape]

    @cached_property
    def _trace(self) -> Element:
        return self.field.sum(self._shape[a][a] for a in range(self.n))

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

    def mixed(self, r: int, s: int, m: int, v: int) -> Element:
        """Component ``(ε/w) [(g⁻¹P)^r_m P_sv − (g⁻¹P)^r_v P_sm]``."""
        first, second = self._hessian[s][v], self._hessian[s][m]
        if m == v or not (first or second):
            return self.field.zero
        raised = self._shape_over_w
        return self.field.combine([(self.sign, raised[m][r], first), (-self.sign, raised[v][r], second)])

    def ricci(self, j: int, m: int) -> Element:
        """Component (ε/w) [tr(g⁻¹P) P − P g⁻¹ P]."""
        if j > m:
            return self.ricci(m, j)
        hessian = self._hessian
        terms = [(1, self._trace, hessian[j][m])]
        terms += [(-1, self._shape[j][a], hessian[a][m]) for a in range(self.n)]
        return self.field.combine([(self.sign, self.field.combine(terms), self.over_w)])


class ConformalCurvature(Curvature):
    """``g = s C`` with C constant: all from ``f_i = ∂_i s / (2s)``, the gradient of ``½ log s``."""

    def __init__(
        self,
        field: DifferentialField,
        g: Matrix,
        scale: Element,
        constant: Matrix,
        axes: Sequence[int] | None = None,
    ):
        super().__init__(field, g, axes)
        self._scale, self._c = scale, constant
        self._c_inverse = inverse_matrix(field, constant)
        over = field.inverse(scale)
        self._over = over
        index = range(self.n)
        half = field.rational(1, 2)
        self._f = [self.along(scale, i) * over * half for i in index]
        self._raised = [field.combine((1, self._c_inverse[i][j], self._f[j]) for j in index) for i in index]
        self._square = field.combine((1, self._f[i], self._raised[i]) for i in index)
        # A = ∂f − f f + ½ |f|² C, and the curvature is −s C ⊙ A.
        self._a = [
            [
                field.combine(
                    [
                        (2, self.along(self._f[i], j), field.one),
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

    def mixed(self, r: int, s: int, m: int, v: int) -> Element:
        """Component of ``−C ⊙ A``, its first index raised by C^-1."""
        a, c, up, one = self._a, self._c, self._mixed_a, self.field.one
        terms = [(-1, up[r][m], c[s][v]), (1, up[r][v], c[s][m])]
        terms += [(-1, a[s][v], one)] if r == m else []
        terms += [(1, a[s][m], one)] if r == v else []
        return self.field.combine(terms)

    @cached_property
    def _mixed_a(self) -> Matrix:
        index = range(self.n)
        return [
            [self.field.combine((1, self._c_inverse[r][i], self._a[i][m]) for i in index) for m in index]
            for r in index
        ]
