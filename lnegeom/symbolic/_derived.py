"""Tensors made from curvature by algebra alone."""

from __future__ import annotations

import itertools
from functools import cache

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element

Pair = tuple[int, int]


class Derived:
    """Einstein and Weyl tensors and the Kretschmann scalar, component by component."""

    def __init__(self, geometry: Curvature):
        self.geometry, self.field = geometry, geometry.field
        # Kept, so that what ran out of time goes on from there.
        self._schouten = cache(self._schouten_component)
        self._raise = cache(self._raise_component)
        self._mixed = cache(self._mixed_component)

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
        pairs = list(itertools.combinations(range(self.geometry.n), 2))
        mixed = self._mixed
        return self.field.combine((4, mixed(a, b), mixed(b, a)) for a in pairs for b in pairs)

    def _mixed_component(self, a: Pair, c: Pair) -> Element:
        """``R^ij_km`` for pairs (i, j) and (k, m)."""
        pairs = itertools.combinations(range(self.geometry.n), 2)
        return self.field.combine(
            (1, up, self.geometry.riemann(*b, *c)) for b in pairs if (up := self._raise(a, b))
        )

    def _raise_component(self, a: Pair, b: Pair) -> Element:
        """``g^ip g^jq − g^iq g^jp`` for pairs (i, j) and (p, q)."""
        inverse, (i, j), (p, q) = self.geometry.inverse, a, b
        return self.field.combine([(1, inverse(i, p), inverse(j, q)), (-1, inverse(i, q), inverse(j, p))])
