"""Irreducible polynomials that elements are divided by."""

from __future__ import annotations

import random
from collections.abc import Callable

from lnegeom.symbolic._polynomial import BITS, FIELD, Poly, generators, nothing, product, quotient

# The screen before a division: the polynomial modulo a prime, at a point where the divisor vanishes.
_PRIME = 1009
_SCREENED = 8  # shorter polynomials are divided at once
_ATTEMPTS = 20


class Denominator:
    """An irreducible polynomial, with its powers as they become known."""

    def __init__(self, poly: Poly, tick: Callable[[], None] = nothing):
        self.poly = poly
        self._powers: list[Poly] = [{0: 1}, poly]
        self._residues: dict[int, int] = {}
        self._root = _root_of(poly, tick)

    def power(self, exponent: int, tick: Callable[[], None] = nothing) -> Poly:
        """Return a power."""
        while len(self._powers) <= exponent:
            self._powers.append(product(self._powers[-1], self.poly, tick))
        return self._powers[exponent]

    def divide(self, num: Poly, guard: int, tick: Callable[[], None] = nothing) -> Poly | None:
        """Return ``num`` over this polynomial if the division is exact, else None."""
        if self._root is not None and len(num) > _SCREENED:
            residues, total = self._residues, 0
            for monomial, c in num.items():
                if monomial not in residues:
                    residues[monomial] = _residue(monomial, self._root)
                total += c * residues[monomial]
            if total % _PRIME:
                return None
        return quotient(num, self.poly, guard, tick)


class _Point(dict[int, int]):
    """Residues of the generators, drawn when they are first looked at."""

    def __init__(self, seed: int):
        super().__init__()
        self._rng = random.Random(seed)

    def __missing__(self, index: int) -> int:
        self[index] = self._rng.randrange(1, _PRIME)
        return self[index]


def _root_of(poly: Poly, tick: Callable[[], None]) -> _Point | None:
    """Find a point modulo a prime at which a polynomial vanishes."""
    degrees = {i: max((m >> (BITS * i)) & FIELD for m in poly) for i in generators(poly)}
    unknown = min(degrees, key=lambda i: degrees[i])
    for seed in range(_ATTEMPTS):
        at = _Point(seed)
        at[unknown] = 1
        columns: dict[int, int] = {}
        for monomial, c in poly.items():
            degree = (monomial >> (BITS * unknown)) & FIELD
            columns[degree] = (columns.get(degree, 0) + c * _residue(monomial, at)) % _PRIME
        if degrees[unknown] == 1 and columns[1]:
            at[unknown] = -columns.get(0, 0) * pow(columns[1], -1, _PRIME) % _PRIME
            return at
        for x in range(_PRIME):
            tick()
            if not sum(c * pow(x, d, _PRIME) for d, c in columns.items()) % _PRIME:
                at[unknown] = x
                return at
    return None


def _residue(monomial: int, at: _Point) -> int:
    value, index = 1, 0
    while monomial:
        if e := monomial & FIELD:
            value = value * pow(at[index], e, _PRIME) % _PRIME
        monomial >>= BITS
        index += 1
    return value
