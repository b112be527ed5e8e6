"""Connection and curvature of a metric whose components lie in a differential field.

Everything is a component asked for by its indices and remembered; the symmetries are used before anything is
computed. The curvature is found with all indices down, from second derivatives of g::

    R_ijkm = ½ (∂_j∂_k g_im + ∂_i∂_m g_jk − ∂_i∂_k g_jm − ∂_j∂_m g_ik) + Γ_p,jk Γ^p_im − Γ_p,ik Γ^p_jm

so that no derivative of an inverse is ever formed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache

from lnegeom.symbolic._element import Element
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inverse import inverse_matrix


class Curvature:
    """Components of the connection and curvature of ``g``, memoised.

    Parameters
    ----------
    field : DifferentialField
        Where the components lie.
    g : sequence of sequences of Element
        The symmetric matrix of the metric.
    axes : sequence of int, optional
        For each index, the number of its coordinate in the field; left out, 0, 1, …
    """

    def __init__(
        self, field: DifferentialField, g: Sequence[Sequence[Element]], axes: Sequence[int] | None = None
    ):
        self.field, self.g, self.n = field, g, len(g)
        self.axes = tuple(range(self.n) if axes is None else axes)
        self._inverse: list[list[Element]] | None = None
        names = ("inverse", "lowered", "christoffel", "_canonical", "mixed", "ricci", "scalar")
        for name in ("_d", "_dd", *names):
            setattr(self, name, cache(getattr(self, name)))

    def along(self, element: Element, index: int) -> Element:
        """Derivative of an element along the coordinate of an index."""
        return self.field.derivative(element, self.axes[index])

    def inverse(self, i: int, j: int) -> Element:
        """Component g^ij."""
        if self._inverse is None:
            self._inverse = inverse_matrix(self.field, self.g)
        return self._inverse[i][j]

    def _d(self, a: int, i: int, j: int) -> Element:
        if i > j:
            return self._d(a, j, i)
        return self.along(self.g[i][j], a)

    def _dd(self, a: int, b: int, i: int, j: int) -> Element:
        if i > j or a > b:
            return self._dd(min(a, b), max(a, b), min(i, j), max(i, j))
        return self.along(self._d(a, i, j), b)

    def lowered(self, k: int, i: int, j: int) -> Element:
        """Component Γ_k,ij = ½ (∂_i g_kj + ∂_j g_ki − ∂_k g_ij)."""
        if i > j:
            return self.lowered(k, j, i)
        one = self.field.one
        terms = [(1, self._d(i, k, j), one), (1, self._d(j, k, i), one), (-1, self._d(k, i, j), one)]
        return self.field.combine(terms, 2)

    def christoffel(self, k: int, i: int, j: int) -> Element:
        """Component Γ^k_ij."""
        if i > j:
            return self.christoffel(k, j, i)
        return self.field.combine((1, self.inverse(k, m), self.lowered(m, i, j)) for m in range(self.n))

    def independent(self) -> Iterator[tuple[int, int, int, int]]:
        """Indices of the n²(n² − 1)/12 independent components R_ijkm."""
        pairs = list(itertools.combinations(range(self.n), 2))
        for (i, j), (k, m) in itertools.combinations_with_replacement(pairs, 2):
            if not i < k < m < j:
                yield i, j, k, m

    def riemann(self, i: int, j: int, k: int, m: int) -> Element:
        """Component R_ijkm, all indices down."""
        if i == j or k == m:
            return self.field.zero
        if i > j:
            return -self.riemann(j, i, k, m)
        if k > m:
            return -self.riemann(i, j, m, k)
        if (i, j) > (k, m):
            i, j, k, m = k, m, i, j
        if i < k < m < j:  # the first Bianchi identity gives this one
            return self.riemann(i, k, m, j) * self.field.integer(-1) - self.riemann(i, m, j, k)
        return self._canonical(i, j, k, m)

    def _canonical(self, i: int, j: int, k: int, m: int) -> Element:
        one, down, up = self.field.one, self.lowered, self.christoffel
        terms = [(1, self._dd(j, k, i, m), one), (1, self._dd(i, m, j, k), one)]
        terms += [(-1, self._dd(i, k, j, m), one), (-1, self._dd(j, m, i, k), one)]
        terms += [(2, down(p, j, k), up(p, i, m)) for p in range(self.n)]
        terms += [(-2, down(p, i, k), up(p, j, m)) for p in range(self.n)]
        return self.field.combine(terms, 2)

    def mixed(self, r: int, s: int, m: int, v: int) -> Element:
        """Component R^r_smv = g^ri R_ismv."""
        raising = ((i, up) for i in range(self.n) if i != s and (up := self.inverse(r, i)))
        return self.field.combine((1, up, self.riemann(i, s, m, v)) for i, up in raising)

    def ricci(self, j: int, m: int) -> Element:
        """Component Ric_jm = g^ik R_ijkm."""
        if j > m:
            return self.ricci(m, j)
        index = range(self.n)
        pairs = itertools.product(index, repeat=2)
        return self.field.combine((1, self.inverse(i, k), self.riemann(i, j, k, m)) for i, k in pairs)

    def scalar(self) -> Element:
        """Scalar curvature R = g^jm Ric_jm."""
        index = range(self.n)
        return self.field.combine((1, self.inverse(j, m), self.ricci(j, m)) for j in index for m in index)
