"""Elements of a differential field as sympy expressions."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lnegeom.symbolic._element import Element, Field
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._polynomial import Poly, exponents, variable

LEVELS = ("factor", "normal", "short")

_Key = frozenset[tuple[int, int]]


def written(element: Element, level: str = "factor") -> Any:
    """Return a sympy expression, its numerator factored ("factor"), expanded ("normal"), or either ("short").

    Where all factors of a root's square occur together they are written as the root: 1 − cos² as sin².
    """
    if not element.num:
        return sp.S.Zero
    if level != "short":
        return _product(element, factor=level == "factor", exchange=False)
    forms = [_product(element, factor=f, exchange=e) for f in (True, False) for e in (False, True)]
    return min(forms, key=sp.count_ops)


def _product(element: Element, *, factor: bool, exchange: bool) -> Any:
    home, number = element.home, sp.Rational(1, element.den)
    powers: dict[_Key, int] = {}
    for poly, e in irreducible_factors(element.num, len(home.generators)) if factor else [(element.num, 1)]:
        if set(poly) == {0}:
            number *= poly[0] ** e
        else:
            powers[frozenset(poly.items())] = e
    for e, denominator in zip(element.exps, home.denominators, strict=False):
        if e:
            powers[frozenset(denominator.poly.items())] = -e
    number *= _collect_roots(home, powers)
    parts = [sp.Pow(_polynomial(home, dict(key), exchange), e) for key, e in powers.items() if e]
    return sp.Mul(number, *parts)


def _collect_roots(home: Field, powers: dict[_Key, int]) -> Any:
    """Replace full sets of factors of q² in `powers` by powers of q; return the number left over."""
    number = sp.S.One
    for index, generator in enumerate(home.generators):
        if generator.square is None:
            continue
        unit, bases = 1, {}
        for poly, e in irreducible_factors(generator.square, len(home.generators)):
            if set(poly) == {0}:
                unit *= poly[0] ** e
            else:
                bases[frozenset(poly.items())] = e
        # Whole powers of q², towards zero.
        found = [int(powers.get(key, 0) / e) for key, e in bases.items()]
        times = min(found) if found and min(found) > 0 else max(found) if found and max(found) < 0 else 0
        if times:
            for key, e in bases.items():
                powers[key] -= times * e
            root = frozenset({(variable(index), 1)})
            powers[root] = powers.get(root, 0) + 2 * times
            number *= sp.Rational(unit) ** -times
    return number


def _polynomial(home: Field, poly: Poly, exchange: bool = False) -> Any:
    def factor(index: int, e: int) -> Any:
        if exchange and e > 1 and index in partners:
            # c² = ±(q² ∓ 1), for q² = 1 − c² and q² = c² − 1.
            root, sign = partners[index]
            square = sign * (root**2 - 1)
            return home.generators[index].expression ** (e % 2) * square ** (e // 2)
        return home.generators[index].expression ** e

    partners = _partners(home) if exchange else {}
    terms = [sp.Mul(c, *(factor(i, e) for i, e in exponents(m).items())) for m, c in poly.items()]
    return sp.expand(sp.Add(*terms)) if exchange else sp.Add(*terms)


def _partners(home: Field) -> dict[int, tuple[Any, int]]:
    """For a generator c with a root ``q² = ±(1 − c²)``: q, and the sign s in ``c² = s (q² − 1)``."""
    found = {}
    for generator in home.generators:
        square = generator.square or {}
        others = [(i, e) for m in square for i, e in exponents(m).items()]
        if len(square) == 2 and len(others) == 1 and others[0][1] == 2 and abs(square.get(0, 0)) == 1:
            constant, index = square[0], others[0][0]
            if square[variable(index, 2)] == -constant and constant == 1:
                found[index] = generator.expression, -1
    return found
