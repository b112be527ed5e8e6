"""Tensors made from curvature by algebra alone."""

from __future__ import annotations

import itertools
from functools import cache

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element


class Derived:
    """Einstein and Weyl tensors and the Kretschmann scalar, component by component."""

    def __init__(self, geometry: Curvature):
        self.geometry, self.field = geometry, geometry.field
        self._schouten = cache(self._schouten_component)

    def einstein(self, i: int, j: int) -> Element:
        """Component ``Ric_ij − ½ R g_ij``."""
        geometry, one = self.geometry, self.field.one
        terms = [(2, geometry.ricci(i, j), one), (-1, geometry.scalar(), geometry.g[i][j])]
        return self.field.combine(terms, 2)

    def _schouten_component(self, i: int, j: int) -> Element:
        """``S = (Ric − R g / (2(n − 1))) / (n − 2)``."""
        geometry, n = self.geometry, self.geometry.n
        terms = [
            (2 * (n - 1), geometry.ricci(i, j), self.field.one),
            (-1, geometry.scalar(), geometry.g[i][j]),
        ]
        return self.field.combine(terms, 2 * (n - 1) * (n - 2))

    def weyl(self, i: int, j: int, k: int, m: int) -> Element:
        """Component of ``Riem − g ⊙ S``, with the Kulkarni–Nomizu product."""
        g, s = self.geometry.g, self._schouten
        terms = [(1, self.geometry.riemann(i, j, k, m), self.field.one)]
        terms += [
            (-1, g[i][k], s(j, m)),
            (-1, s(i, k), g[j][m]),
            (1, g[i][m], s(j, k)),
            (1, s(i, m), g[j][k]),
        ]
        return self.field.combine(terms)

    def kretschmann(self) -> Element:
        """``R^ij_kl R^kl_ij``, four times the sum over ``i < j, k < m``."""
        geometry, index = self.geometry, range(self.geometry.n)
        pairs = list(itertools.combinations(index, 2))
        up = {
            ((i, j), (p, q)): self.field.combine(
                [
                    (1, geometry.inverse(i, p), geometry.inverse(j, q)),
                    (-1, geometry.inverse(i, q), geometry.inverse(j, p)),
                ]
            )
            for i, j in pairs
            for p, q in pairs
        }
        mixed = {
            (a, c): self.field.combine((1, up[a, b], geometry.riemann(*b, *c)) for b in pairs if up[a, b])
            for a in pairs
            for c in pairs
        }
        return self.field.combine((4, mixed[a, b], mixed[b, a]) for a in pairs for b in pairs)
