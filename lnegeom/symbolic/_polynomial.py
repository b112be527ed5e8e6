"""Sparse polynomials with integer coefficients: a dict from packed monomials to coefficients.

The exponents of a monomial are fields of `BITS` bits of one integer, the last generator foremost, so that a
product of monomials is one addition, their lexicographic order is that of integers, and a further generator
costs nothing. The highest bit of a field stays free: subtracting through it shows whether one monomial
divides another.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable

Poly = dict[int, int]

BITS = 16
FIELD = (1 << BITS) - 1

# A product of more terms than this looks at the clock on the way.
_LARGE = 1 << 14


def nothing() -> None:
    """Look at no clock."""


def variable(index: int, power: int = 1) -> int:
    """Return the monomial of one generator."""
    return power << (BITS * index)


def exponents(monomial: int) -> dict[int, int]:
    """Exponents of a monomial by generator, without zeros."""
    found, index = {}, 0
    while monomial:
        if power := monomial & FIELD:
            found[index] = power
        monomial >>= BITS
        index += 1
    return found


def generators(poly: Poly) -> Iterable[int]:
    """Generators that occur."""
    union = 0
    for monomial in poly:
        union |= monomial
    return exponents(union)


def add_product(total: Poly, a: Poly, b: Poly, scale: int, tick: Callable[[], None] = nothing) -> None:
    """Add ``scale · a · b`` to `total`, in place; zeros may remain."""
    if len(a) > len(b):
        a, b = b, a
    pairs, get = list(b.items()), total.get
    watch = len(a) * len(b) > _LARGE
    for left, coefficient in a.items():
        if watch:
            tick()
        coefficient *= scale
        for right, other in pairs:
            key = left + right
            total[key] = get(key, 0) + coefficient * other


def without_zeros(poly: Poly) -> Poly:
    """Drop terms whose coefficient is zero."""
    return {monomial: c for monomial, c in poly.items() if c}


def product(a: Poly, b: Poly, tick: Callable[[], None] = nothing) -> Poly:
    """Return ``a · b``."""
    total: Poly = {}
    add_product(total, a, b, 1, tick)
    return without_zeros(total)


def power(a: Poly, exponent: int, tick: Callable[[], None] = nothing) -> Poly:
    """Return ``a^exponent`` for an exponent of at least 0."""
    result: Poly = {0: 1}
    for _ in range(exponent):
        result = product(result, a, tick)
    return result


def content(poly: Poly) -> int:
    """Greatest common divisor of the coefficients."""
    return math.gcd(*poly.values())


def scaled_down(poly: Poly, divisor: int) -> Poly:
    """Divide by an integer that divides every coefficient."""
    return poly if divisor == 1 else {m: c // divisor for m, c in poly.items()}


def quotient(a: Poly, divisor: Poly, guard: int, tick: Callable[[], None] = nothing) -> Poly | None:
    """Return ``a / divisor`` if the division leaves nothing over, else None.

    Parameters
    ----------
    a, divisor : Poly
        The divisor is not zero.
    guard : int
        The highest bit of each generator's field.
    tick : callable
        Looks at the clock.
    """
    lead = max(divisor)
    leading = divisor[lead]
    tail = [(monomial, c) for monomial, c in divisor.items() if monomial != lead]
    rest, result = dict(a), {}
    heap = [-monomial for monomial in rest]
    heapq.heapify(heap)
    work = 0
    while heap:
        monomial = -heapq.heappop(heap)
        coefficient = rest.pop(monomial, 0)
        if not coefficient:
            continue
        shift = (monomial | guard) - lead
        factor, over = divmod(coefficient, leading)
        if over or shift & guard != guard:
            return None
        shift ^= guard
        result[shift] = factor
        if (work := work + len(tail)) > _LARGE:
            tick()
            work = 0
        for other, c in tail:
            key = shift + other
            if key not in rest:
                heapq.heappush(heap, -key)
                rest[key] = 0
            rest[key] -= factor * c
    return result
