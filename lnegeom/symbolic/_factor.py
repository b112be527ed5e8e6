"""Irreducible factors of polynomials over the integers, by sympy where no short way leads there."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from sympy import ZZ
from sympy.polys.rings import ring

from lnegeom.symbolic._polynomial import (
    BITS,
    FIELD,
    Poly,
    content,
    exponents,
    quotient,
    scaled_down,
    variable,
)

Factors = list[tuple[Poly, int]]

# Longer polynomials are left as they are: sympy's factorisation may take minutes, and looks at no clock.
_LONGEST = 100


def irreducible_factors(poly: Poly, size: int) -> Factors:
    """Irreducible factors of a polynomial in the first `size` generators, with their powers.

    Of a long polynomial only an integer and a monomial are taken out. An integer factor other than 1 comes
    first, as a constant polynomial; other factors are positive in their first term, by the order in which
    earlier generators count more.
    """
    unit = content(poly)
    poly = scaled_down(poly, unit)
    if _first_coefficient(poly) < 0:
        unit, poly = -unit, {m: -c for m, c in poly.items()}
    factors = [(dict(key), e) for key, e in _primitive_factors(frozenset(poly.items()), size)]
    return [({0: unit}, 1), *factors] if unit != 1 else factors


def _first_coefficient(poly: Poly) -> int:
    def order(monomial: int) -> tuple[tuple[int, int], ...]:
        return tuple((-i, e) for i, e in exponents(monomial).items())

    return poly[max(poly, key=order)]


@lru_cache(maxsize=4096)
def _primitive_factors(key: frozenset[tuple[int, int]], size: int) -> tuple[tuple[Any, int], ...]:
    """Factors of a primitive polynomial with a positive first term; tensors share many of them."""
    poly, found = dict(key), []
    least = _common_monomial(poly)
    for index, e in exponents(least).items():
        found.append((frozenset({(variable(index), 1)}), e))
    rest = {m - least: c for m, c in poly.items()}
    if set(rest) == {0}:
        return tuple(found)
    if len(rest) > _LONGEST:
        return (*found, (frozenset(rest.items()), 1))
    split = _split(rest)
    if split is None:
        return (*found, *((frozenset(f.items()), e) for f, e in _by_sympy(rest)))
    a, b, degree = split
    common = _divisor(a, b)
    if common != {0: 1}:
        guard = sum(1 << (BITS * i + BITS - 1) for i in range(size))
        shorter, a_left, b_left = (quotient(p, common, guard) for p in (rest, a, b))
        assert shorter is not None
        assert a_left is not None
        assert b_left is not None
        rest, a, b = shorter, a_left, b_left
        found += _primitive_factors(frozenset(common.items()), size)
    if degree == 1 or not _may_be_square(a, b):
        return (*found, (frozenset(rest.items()), 1))
    return (*found, *((frozenset(f.items()), e) for f, e in _by_sympy(rest)))


def _split(poly: Poly) -> tuple[Poly, Poly, int] | None:
    """A and B with ``A x^d + B`` the polynomial, in a generator x that occurs in power d = 1 or 2 alone.

    Such a polynomial is irreducible but for the common divisor of A and B, if d = 1 or −AB is no square.
    """
    powers: dict[int, set[int]] = {}
    for monomial in poly:
        for index, e in exponents(monomial).items():
            powers.setdefault(index, set()).add(e)
    for degree in (1, 2):
        for index, found in powers.items():
            if found == {degree}:
                shift = BITS * index
                a = {m - variable(index, degree): c for m, c in poly.items() if (m >> shift) & FIELD}
                return a, {m: c for m, c in poly.items() if not (m >> shift) & FIELD}, degree
    return None


def _may_be_square(a: Poly, b: Poly) -> bool:
    """Whether −AB is a square at some integers; if not, it is no square."""
    for seed in range(2, 5):
        value = -_at_integers(a, seed) * _at_integers(b, seed)
        if value < 0 or math.isqrt(value) ** 2 != value:
            return False
    return True


def _at_integers(poly: Poly, seed: int) -> int:
    return sum(
        c * math.prod((seed + 7 * i + i * i) ** e for i, e in exponents(monomial).items())
        for monomial, c in poly.items()
    )


def _common_monomial(poly: Poly) -> int:
    powers = [exponents(monomial) for monomial in poly]
    shared = set.intersection(*(set(p) for p in powers))
    return sum(variable(i, min(p[i] for p in powers)) for i in shared)


@lru_cache(maxsize=64)
def _ring(size: int) -> Any:
    return ring([f"g{i}" for i in range(size)], ZZ)[0]


def _shown(poly: Poly, present: list[int]) -> Any:
    """As sympy's, in the generators that occur alone: its algorithms' cost grows with their number."""
    return _ring(len(present)).from_dict(
        {tuple((m >> (BITS * i)) & FIELD for i in present): c for m, c in poly.items()}
    )


def _packed(poly: Any, present: list[int]) -> Poly:
    return {
        sum(e << (BITS * i) for i, e in zip(present, powers, strict=True)): int(c)
        for powers, c in poly.items()
    }


def _present(*polys: Poly) -> list[int]:
    return sorted({index for poly in polys for monomial in poly for index in exponents(monomial)})


def _divisor(a: Poly, b: Poly) -> Poly:
    """Greatest common divisor, positive in its first term."""
    if set(a) == {0} or set(b) == {0}:
        return {0: 1}
    present = _present(a, b)
    common = _packed(_shown(a, present).gcd(_shown(b, present)), present)
    common = scaled_down(common, content(common))
    return common if _first_coefficient(common) > 0 else {m: -c for m, c in common.items()}


def _by_sympy(poly: Poly) -> Factors:
    present = _present(poly)
    return [(_packed(f, present), int(e)) for f, e in _shown(poly, present).factor_list()[1]]
