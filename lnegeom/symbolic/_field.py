"""Exact arithmetic in differential fields.

An element is ``N / (d f_1^e_1 ... f_k^e_k)``: N a polynomial in the generators, d a positive integer, and the
f_i irreducible polynomials, the *denominators*, which are found once, when something is inverted. After that
no greatest common divisor is ever computed: a sum is brought over common powers of the f_i and divided by
them as long as the division is exact. Generators that are square roots, ``q² = A``, stand in N to power at
most 1. So an element is zero exactly if ``N = 0``, and the form is unique if no f_i holds a root, as none
does unless its norm is very long.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._denominator import Denominator
from lnegeom.symbolic._element import Element, Generator
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._polynomial import (
    BITS,
    FIELD,
    Poly,
    add_product,
    content,
    generators,
    power,
    product,
    quotient,
    scaled_down,
    variable,
    without_zeros,
)

_LONGEST_NORM = 60


class DifferentialField:
    """A field of rational functions of generators, with a derivation along each coordinate.

    Generators and denominators are added as they are needed; elements made before stay valid.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.generators: list[Generator] = []
        self.denominators: list[Denominator] = []
        self.budget = budget or Budget()
        self.guard = 0
        self._roots: list[int] = []
        self._root_bits = 0
        self._log_derivatives: dict[tuple[int, int], Element] = {}
        self.zero = Element(self, {})
        self.one = self.integer(1)

    def integer(self, value: int) -> Element:
        """Return an integer as an element."""
        return Element(self, {0: value} if value else {})

    def rational(self, numerator: int, denominator: int) -> Element:
        """Return a fraction in lowest terms as an element."""
        return Element(self, {0: numerator} if numerator else {}, (), denominator)

    def add_generator(
        self, expression: Any, derivative: Callable[[int], Element], square: Poly | None = None
    ) -> Element:
        """Adjoin a generator, transcendental or (with its square) a square root."""
        index = len(self.generators)
        self.generators.append(Generator(expression, derivative, square))
        self.guard |= 1 << (BITS * index + BITS - 1)
        if square is not None:
            self._roots.append(index)
            self._root_bits |= (FIELD - 1) << (BITS * index)
        return Element(self, {variable(index): 1})

    # --- sums and products --------------------------------------------------------------------------------

    def combine(self, terms: Iterable[tuple[int, Element, Element]], divisor: int = 1) -> Element:
        """Return ``Σ c · a · b / divisor`` over terms (c, a, b), reduced once at the end."""
        tick = self.budget.check
        tick()
        live = [(c, a, b, _sum(a.exps, b.exps)) for c, a, b in terms if a.num and b.num]
        if not live:
            return self.zero
        den = math.lcm(*(a.den * b.den for _, a, b, _ in live))
        groups: dict[tuple[int, ...], Poly] = {}
        for c, a, b, exps in live:
            total = groups.setdefault(exps, {})
            add_product(total, a.num, b.num, c * (den // (a.den * b.den)), tick)
        top = tuple(max(column) for column in itertools.zip_longest(*groups, fillvalue=0))
        if len(groups) == 1:
            num = next(iter(groups.values()))
        else:
            num = {}
            for exps, total in groups.items():
                add_product(num, self._power_product(_difference(top, exps)), without_zeros(total), 1, tick)
        return self._reduced(without_zeros(num), top, den * divisor)

    def sum(self, elements: Iterable[Element]) -> Element:
        """Return the sum of elements."""
        return self.combine((1, element, self.one) for element in elements)

    def _power_product(self, exps: Sequence[int]) -> Poly:
        result: Poly = {0: 1}
        for denominator, e in zip(self.denominators, exps, strict=False):
            if e:
                result = product(result, denominator.power(e, self.budget.check), self.budget.check)
        return result

    def _reduced(self, num: Poly, exps: tuple[int, ...], den: int) -> Element:
        num = self._without_squares(num)
        if not num:
            return self.zero
        left = list(exps)
        for i, e in enumerate(left):
            for _ in range(e):
                shorter = self.denominators[i].divide(num, self.guard, self.budget.check)
                if shorter is None:
                    break
                num, left[i] = shorter, left[i] - 1
        while left and not left[-1]:
            left.pop()
        if den != 1:
            common = math.gcd(den, content(num))
            num, den = scaled_down(num, common), den // common
        return Element(self, num, tuple(left), den)

    def _without_squares(self, num: Poly) -> Poly:
        """Replace q² by its value wherever it occurs, later roots first."""
        bits = self._root_bits
        if not bits or not any(monomial & bits for monomial in num):
            return num
        tick = self.budget.check
        for index in reversed(self._roots):
            shift, square = BITS * index, self.generators[index].square
            assert square is not None
            groups: dict[int, Poly] = {}
            for monomial, c in num.items():
                pairs = ((monomial >> shift) & FIELD) >> 1
                groups.setdefault(pairs, {})[monomial - (2 * pairs << shift)] = c
            num = {}
            for pairs, part in groups.items():
                add_product(num, power(square, pairs, tick), part, 1, tick)
            num = without_zeros(num)
        return num

    # --- quotients ----------------------------------------------------------------------------------------

    def inverse(self, a: Element) -> Element:
        """Return ``1 / a``; the factors of its norm become denominators.

        Raises
        ------
        ZeroDivisionError
            If `a` is zero.
        """
        if not a.num:
            raise ZeroDivisionError
        norm, conjugates = self._norm(a.num)
        unit, exps = self._factored(norm)
        num = product(conjugates, self._power_product(a.exps), self.budget.check)
        scale = a.den if unit > 0 else -a.den
        return self._reduced({m: c * scale for m, c in num.items()}, exps, abs(unit))

    def _norm(self, poly: Poly) -> tuple[Poly, Poly]:
        """A polynomial times its conjugates, free of roots, and the product of the conjugates.

        A norm that grows too long is not worth its price: then the polynomial itself becomes a denominator.
        Zero is still zero, but equal elements may then be written over different powers of it.
        """
        tick = self.budget.check
        norm: Poly = poly
        conjugates: Poly = {0: 1}
        for index in reversed(self._roots):
            if any((monomial >> (BITS * index)) & FIELD for monomial in norm):
                # (A + B q)(A − B q) = A² − B² q² is free of q.
                sign = {m: -c if (m >> (BITS * index)) & 1 else c for m, c in norm.items()}
                norm = self._without_squares(product(norm, sign, tick))
                conjugates = self._without_squares(product(conjugates, sign, tick))
                if not norm:
                    raise ZeroDivisionError
                if len(norm) > _LONGEST_NORM:
                    return poly, {0: 1}
        return norm, conjugates

    def _factored(self, poly: Poly) -> tuple[int, tuple[int, ...]]:
        """An integer and the powers of the denominators whose product a polynomial without roots is."""
        exps = [0] * len(self.denominators)
        for i, known in enumerate(self.denominators):
            while (shorter := known.divide(poly, self.guard, self.budget.check)) is not None:
                poly, exps[i] = shorter, exps[i] + 1
        unit = content(poly)
        poly = scaled_down(poly, unit)
        with self.budget.watched():
            factors = irreducible_factors(poly, len(self.generators))
        for factor, e in factors:
            if set(factor) == {0}:
                unit *= factor[0] ** e
                continue
            self.denominators.append(Denominator(factor, self.budget.check))
            exps.append(e)
        return unit, tuple(exps)

    def exact_quotient(self, a: Element, b: Element) -> Element | None:
        """Return ``a / b`` if no new denominator is needed for it, else None."""
        bits = sum(FIELD << (BITS * index) for index in self._roots)
        if any(monomial & bits for monomial in b.num):
            return None
        unit = content(b.num)
        num = quotient(a.num, scaled_down(b.num, unit), self.guard, self.budget.check)
        if num is None:
            return None
        rest = Element(self, self._power_product(b.exps), (), unit)
        return self.combine([(b.den, Element(self, num, a.exps, a.den), rest)])

    # --- derivatives --------------------------------------------------------------------------------------

    def derivative(self, a: Element, coordinate: int) -> Element:
        """Return ``∂a`` along a coordinate: ``(∂N)/F − a Σ e_i (∂f_i)/f_i`` for ``a = N/F``."""
        if not a.num:
            return a
        terms = self._partials(a.num, coordinate, a.exps, a.den)
        terms += [(-e, a, self._log_derivative(i, coordinate)) for i, e in enumerate(a.exps) if e]
        return self.combine(terms)

    def _partials(
        self, num: Poly, coordinate: int, exps: tuple[int, ...] = (), den: int = 1
    ) -> list[tuple[int, Element, Element]]:
        terms = []
        for index in generators(num):
            change = self.generator_derivative(index, coordinate)
            if change.num:
                shift, unit = BITS * index, variable(index)
                part = {m - unit: c * e for m, c in num.items() if (e := (m >> shift) & FIELD)}
                terms.append((1, Element(self, part, exps, den), change))
        return terms

    def generator_derivative(self, index: int, coordinate: int) -> Element:
        """Return the derivative of a generator."""
        generator = self.generators[index]
        if coordinate not in generator.known:
            generator.known[coordinate] = generator.derivative(coordinate)
        return generator.known[coordinate]

    def _log_derivative(self, i: int, coordinate: int) -> Element:
        if (i, coordinate) not in self._log_derivatives:
            change = self.combine(self._partials(self.denominators[i].poly, coordinate))
            exps = tuple(int(j == i) for j in range(i + 1))
            over = Element(self, {0: 1}, exps)
            self._log_derivatives[i, coordinate] = self.combine([(1, change, over)])
        return self._log_derivatives[i, coordinate]


def _sum(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    if not a or not b:
        return a or b
    return tuple(i + j for i, j in itertools.zip_longest(a, b, fillvalue=0))


def _difference(a: tuple[int, ...], b: tuple[int, ...]) -> list[int]:
    return [i - j for i, j in itertools.zip_longest(a, b, fillvalue=0)]
