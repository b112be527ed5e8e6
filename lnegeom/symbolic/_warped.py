"""Warped products ``g = g_B + f g_F``, f a function on the base B; φ = √f is never needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inverse import Matrix, blocks


@dataclass(frozen=True)
class Parts:
    """Base and fibre of a warped product: their indices, their matrices, and f."""

    base_members: list[int]
    fibre_members: list[int]
    base: Matrix
    fibre: Matrix
    scale: Element
    kind: str


def split(field: DifferentialField, g: Matrix, axes: Sequence[int]) -> Parts | None:
    """Find base and fibre, the smallest base first; "product" is the kind where f is constant.

    A base is closed: its components depend on its own coordinates alone. It is the union of the blocks that
    one block leads to, so that there are at most as many to try as blocks.
    """
    sets = blocks(g)
    depends = [_dependence(field, [g[i][j] for i in block for j in block], axes) for block in sets]
    bases = {frozenset(_closure(start, sets, depends)) for start in range(len(sets))}
    for base in sorted((b for b in bases if len(b) < len(g)), key=lambda b: (len(b), sorted(b))):
        if parts := _factored(field, g, axes, sorted(base)):
            return parts
    return None


def _dependence(field: DifferentialField, entries: Sequence[Element], axes: Sequence[int]) -> set[int]:
    return {a for a, axis in enumerate(axes) if any(field.derivative(e, axis) for e in entries)}


def _closure(start: int, sets: Sequence[list[int]], depends: Sequence[set[int]]) -> set[int]:
    members, missing = set(sets[start]), set(depends[start])
    while missing := missing - members:
        for block, others in zip(sets, depends, strict=True):
            if missing & set(block):
                members |= set(block)
                missing |= others
    return members


def _factored(field: DifferentialField, g: Matrix, axes: Sequence[int], base: list[int]) -> Parts | None:
    """The fibre's components are products of f and functions of the fibre, or None."""
    fibre = [i for i in range(len(g)) if i not in base]
    first = next(g[fibre[0]][j] for j in fibre if g[fibre[0]][j])
    scale = _part_along(field, first, [axes[i] for i in base])
    if _dependence(field, [scale], [axes[i] for i in fibre]):
        return None
    over = field.inverse(scale)
    h = [[g[i][j] * over for j in fibre] for i in fibre]
    if any(field.derivative(entry, axes[a]) for row in h for entry in row for a in base):
        return None
    kind = "warped" if _dependence(field, [scale], axes) else "product"
    return Parts(base, fibre, [[g[i][j] for j in base] for i in base], h, scale, kind)


def _part_along(field: DifferentialField, a: Element, axes: Sequence[int]) -> Element:
    """The factors of an element that depend on some coordinates."""
    factors = [(Element(field, f), e) for f, e in irreducible_factors(a.num, len(field.generators))]
    factors += [(Element(field, d.poly), -e) for d, e in zip(field.denominators, a.exps, strict=False) if e]
    part = field.one
    for factor, e in factors:
        if any(field.derivative(factor, axis) for axis in axes):
            part = part * factor**e
    return part


class WarpedCurvature(Curvature):
    """``g = g_B + f g_F``: all from the curvatures of base and fibre and ``A = ½ ∇∇f − ∂f ∂f / 4f``.

    With φ = √f, A is φ ∇∇φ, so these are the formulas of O'Neill, *Semi-Riemannian Geometry*, chapter 7.
    """

    def __init__(
        self,
        field: DifferentialField,
        g: Matrix,
        parts: Parts,
        base: Curvature,
        fibre: Curvature,
        axes: Sequence[int] | None = None,
    ):
        super().__init__(field, g, axes)
        self.base, self.fibre, self.scale = base, fibre, parts.scale
        self._over = field.inverse(parts.scale)
        # For each index: whether it is the fibre's, and its number there.
        self._place = {i: (False, a) for a, i in enumerate(parts.base_members)}
        self._place |= {i: (True, a) for a, i in enumerate(parts.fibre_members)}
        self._slope = [base.along(parts.scale, a) for a in range(base.n)]

    def _places(self, *indices: int) -> tuple[list[bool], list[int]]:
        found = [self._place[i] for i in indices]
        return [fibre for fibre, _ in found], [a for _, a in found]

    # --- f on the base ------------------------------------------------------------------------------------

    @cached_property
    def _raised(self) -> list[Element]:
        index = range(self.base.n)
        return [
            self.field.combine((1, self.base.inverse(a, b), self._slope[b]) for b in index) for a in index
        ]

    @cached_property
    def _square(self) -> Element:
        """``|∇f|² / 4``."""
        index = range(self.base.n)
        return self.field.combine(((1, self._slope[a], self._raised[a]) for a in index), 4)

    @cached_property
    def _a(self) -> Matrix:
        field, base, slope = self.field, self.base, self._slope
        index = range(base.n)
        over = [entry * self._over for entry in slope]

        def entry(a: int, b: int) -> Element:
            terms = [(2, base.along(slope[a], b), field.one), (-1, over[a], slope[b])]
            terms += [(-2, base.christoffel(c, a, b), slope[c]) for c in index]
            return field.combine(terms, 4)

        return [[entry(a, b) for b in index] for a in index]

    @cached_property
    def _trace(self) -> Element:
        index = range(self.base.n)
        return self.field.combine((1, self.base.inverse(a, b), self._a[a][b]) for a in index for b in index)

    # --- components ---------------------------------------------------------------------------------------

    def inverse(self, i: int, j: int) -> Element:
        """Component of ``g_B⁻¹ + g_F⁻¹ / f``."""
        (first, second), at = self._places(i, j)
        if first != second:
            return self.field.zero
        return self.fibre.inverse(*at) * self._over if first else self.base.inverse(*at)

    def christoffel(self, k: int, i: int, j: int) -> Element:
        """Component Γ^k_ij: base's or fibre's, ``−½ (∇f)^k h_ij`` or ``½ δ^k_j ∂_i f / f``."""
        if i > j:
            return self.christoffel(k, j, i)
        (up, first, second), (c, a, b) = self._places(k, i, j)
        half = self.field.rational(1, 2)
        if first and second:
            if up:
                return self.fibre.christoffel(c, a, b)
            return self.field.combine([(-1, self._raised[c], self.fibre.g[a][b])], 2)
        if first or second:
            along, across = (b, a) if first else (a, b)
            return self._slope[along] * self._over * half if up and c == across else self.field.zero
        return self.field.zero if up else self.base.christoffel(c, a, b)

    def _canonical(self, i: int, j: int, k: int, m: int) -> Element:
        (p, q, r, s), (a, b, c, d) = self._places(i, j, k, m)
        h = self.fibre.g
        if p and q and r and s:
            terms = [(1, self.scale, self.fibre.riemann(a, b, c, d))]
            minor = self.field.combine([(1, h[a][c], h[b][d]), (-1, h[a][d], h[b][c])])
            return self.field.combine([*terms, (-1, self._square, minor)])
        if p != q and r != s:
            sign = -1 if p == r else 1
            first, across = (b, a) if p else (a, b)
            second, other = (d, c) if r else (c, d)
            return self.field.combine([(sign, self._a[first][second], h[across][other])])
        return self.field.zero if p or q or r or s else self.base.riemann(a, b, c, d)

    def ricci(self, j: int, m: int) -> Element:
        """Component ``Ric_B − k A / f``, or ``Ric_F − [tr A + (k − 1) |∇f|² / 4f] h``; k is dim F."""
        (first, second), (a, b) = self._places(j, m)
        field, k = self.field, self.fibre.n
        if first != second:
            return field.zero
        if first:
            total = field.combine([(1, self._trace, field.one), (k - 1, self._square, self._over)])
            return field.combine([(1, self.fibre.ricci(a, b), field.one), (-1, total, self.fibre.g[a][b])])
        return field.combine([(1, self.base.ricci(a, b), field.one), (-k, self._a[a][b], self._over)])

    def scalar(self) -> Element:
        """``R_B + [R_F − 2k tr A − k (k − 1) |∇f|² / 4f] / f``."""
        field, k = self.field, self.fibre.n
        terms = [(1, self.fibre.scalar(), field.one), (-2 * k, self._trace, field.one)]
        inner = field.combine([*terms, (-k * (k - 1), self._square, self._over)])
        return field.combine([(1, self.base.scalar(), field.one), (1, inner, self._over)])
