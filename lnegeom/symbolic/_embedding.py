"""From sympy expressions to elements of a differential field, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from lnegeom._array import InputError
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._needs import HYPERBOLIC, TRIGONOMETRIC, UNRELATED, Needs, terms_of
from lnegeom.symbolic._radicands import Radicands
from lnegeom.symbolic._writing import written

_SUPPORTED = (
    "rational numbers, symbols, + - * /, powers, sqrt, exp, log, trigonometric and hyperbolic functions, "
    "asin, acos, atan, asinh, acosh, atanh, erf, loggamma, polygamma, and undefined functions of symbols"
)
_HIGHEST = 1000  # powers of a generator have 15 bits


class Embedding:
    """The smallest differential field that holds some expressions, and the maps to and fro.

    Parameters
    ----------
    expressions : iterable of sympy expressions
        They decide which generators are used: ``tanh`` alone is one generator u with ``∂u = 1 − u²``; with
        ``sinh`` or ``cosh`` of the same argument it is their quotient; with ``exp`` all are rational in it.
    coordinates : sequence of sympy symbols
        The derivations.
    field : DifferentialField
        An empty field.
    """

    def __init__(self, expressions: Iterable[Any], coordinates: Sequence[Any], field: DifferentialField):
        self.field = field
        self.coordinates = tuple(coordinates)
        self._known: dict[Any, Element] = {}
        self._pairs: dict[tuple[str, Any], tuple[Element, Element]] = {}
        self._radicands = Radicands()
        self._needs = Needs(expressions)

    # --- expressions to elements --------------------------------------------------------------------------

    def element(self, expression: Any) -> Element:
        """Return an expression as an element.

        Raises
        ------
        InputError
            If it holds a function that is not supported, or a number that is not real.
        """
        if expression not in self._known:
            self._known[expression] = self._convert(expression)
        return self._known[expression]

    def admit(self, expression: Any) -> Element:
        """Return a further expression as an element; it must do with the kinds of generators there are.

        Raises
        ------
        InputError
            As `element`, and for cosh(x), say, where tanh(x) is a generator: they would not be independent.
        """
        self._needs.admit(expression)
        return self.element(expression)

    def _convert(self, e: Any) -> Element:
        field = self.field
        if e.is_Rational:
            return field.rational(int(e.p), int(e.q))
        if e.is_Float:
            return self.element(sp.Rational(str(e)))
        if e.is_Symbol:
            return self._symbol(e)
        if e.is_Add:
            return field.sum(self.element(term) for term in e.args)
        if e.is_Mul:
            return reduce(Element.__mul__, (self.element(factor) for factor in e.args))
        if isinstance(e, sp.exp):
            return self._exponential(e.args[0])
        if e.is_Pow:
            return self._power(e.base, e.exp)
        if isinstance(e, TRIGONOMETRIC):
            return self._trigonometric(e)
        if isinstance(e, (*HYPERBOLIC, sp.tanh, sp.coth)):
            return self._hyperbolic(e)
        if isinstance(e, AppliedUndef | sp.Derivative):
            return self._jet(e)
        if isinstance(e, UNRELATED) and all(order.is_Integer for order in e.args[:-1]):
            slope, inner = e.fdiff(len(e.args)), e.args[-1]
            return field.add_generator(e, lambda a: self.element(slope) * self._along(inner, a))
        if e.is_NumberSymbol:
            return field.add_generator(e, lambda a: field.zero)
        raise InputError(f"{e} cannot be handled: expected {_SUPPORTED}; write it with these")

    def _along(self, expression: Any, coordinate: int) -> Element:
        return self.field.derivative(self.element(expression), coordinate)

    def _symbol(self, symbol: Any) -> Element:
        order = self._needs.symbol_roots.get(symbol, 1)
        root = sp.Pow(symbol, sp.Rational(1, order))

        def slope(a: int) -> Element:
            if symbol != self.coordinates[a]:
                return self.field.zero
            # x = p^k has ∂p = 1 / (k p^(k − 1)).
            return self.field.inverse(self.field.integer(order) * base ** (order - 1))

        base = self.field.add_generator(root, slope)
        self._known[root] = base
        return base**order

    def _power(self, base: Any, exponent: Any) -> Element:
        if exponent.is_Integer:
            if abs(exponent) > _HIGHEST:
                raise InputError(
                    f"{base}**{exponent} cannot be handled: expected powers of at most {_HIGHEST}"
                )
            return self._quotient_safe(base, int(exponent))
        if not exponent.is_Rational:
            return self._product_of_powers(base, exponent)
        if base.is_Symbol:
            self.element(base)
            order = self._needs.symbol_roots.get(base, 1)
            if order % exponent.q == 0:
                return self._known[sp.Pow(base, sp.Rational(1, order))] ** int(exponent * order)
        if exponent.q != 2:
            raise InputError(
                f"{base}**({exponent}) cannot be handled: expected a square root, or a root of a symbol"
            )
        return self._root(base) ** int(exponent.p)

    def _quotient_safe(self, base: Any, exponent: int) -> Element:
        try:
            return self.element(base) ** exponent
        except ZeroDivisionError:
            raise InputError(f"1/({base}) divides by zero: the expression vanishes identically") from None

    def _root(self, base: Any) -> Element:
        """Return √base: a generator p with p² = N D for base = N/D, over D."""
        key = sp.sqrt(base)
        if key in self._known:
            return self._known[key]
        field, inside = self.field, self.element(base)
        below = field.inverse(Element(field, inside.num))  # 1/N
        bottom = inside * below  # 1/D
        square = inside * (bottom**-2)  # N D
        self._radicands.add(base, square)
        expression = sp.sqrt(base) * written(bottom**-1)
        root = field.add_generator(
            expression, lambda a: field.combine([(1, field.derivative(square, a), root * half)]), square.num
        )
        half = field.inverse(field.integer(2) * square)
        self._known[key] = root * bottom
        return self._known[key]

    def _product_of_powers(self, base: Any, exponent: Any) -> Element:
        result = self.field.one
        for ratio, term in terms_of(exponent):
            unit = self._unit_of("power", (base, term), ratio)
            key = sp.Pow(base, sp.Rational(unit.numerator, unit.denominator) * term)
            if key not in self._known:
                self._known[key] = self._power_generator(base, term, unit, key)
            result = result * self._known[key] ** int(ratio / unit)
        return result

    def _power_generator(self, base: Any, term: Any, unit: Fraction, key: Any) -> Element:
        def slope(a: int) -> Element:
            total = self.element(term) * self._along(base, a) / self.element(base)
            if change := self._along(term, a):
                total = total + change * self.element(sp.log(base))
            return total * generator * self.field.rational(unit.numerator, unit.denominator)

        return (generator := self.field.add_generator(key, slope))

    def _unit_of(self, family: str, term: Any, ratio: Fraction) -> Fraction:
        unit = self._needs.units.setdefault((family, term), abs(ratio))
        if (ratio / unit).denominator != 1:
            raise InputError(f"{term} occurs with a factor {ratio} unknown to the metric: build it anew")
        if abs(ratio / unit) > _HIGHEST:
            raise InputError(
                f"{ratio}*({term}) is too large a multiple of {unit}*({term}): expected {_HIGHEST}"
            )
        return unit

    # --- functions of sums --------------------------------------------------------------------------------

    def _scaled(self, term: Any, unit: Fraction) -> Any:
        return sp.Rational(unit.numerator, unit.denominator) * term

    def _exponential(self, argument: Any) -> Element:
        result = self.field.one
        for ratio, term in terms_of(argument):
            unit = self._unit_of("hyperbolic", term, ratio)
            result = result * self._exponential_generator(term, unit) ** int(ratio / unit)
        return result

    def _exponential_generator(self, term: Any, unit: Fraction) -> Element:
        argument = self._scaled(term, unit)
        key = sp.exp(argument)
        if key not in self._known:
            generator = self.field.add_generator(key, lambda a: generator * self._along(argument, a))
            self._known[key] = generator
        return self._known[key]

    def _pair(self, family: str, argument: Any) -> tuple[Element, Element]:
        """Return (cos, sin) or (cosh, sinh) of a sum, by the addition theorems."""
        sign = -1 if family == "trig" else 1
        field = self.field
        c, s = field.one, field.zero
        for ratio, term in terms_of(argument):
            unit = self._unit_of(family, term, ratio)
            c1, s1 = self._pair_generators(family, term, unit)
            if ratio < 0:
                s1 = -s1
            for _ in range(abs(int(ratio / unit))):
                c, s = field.combine([(1, c, c1), (sign, s, s1)]), field.combine([(1, s, c1), (1, c, s1)])
        return c, s

    def _pair_generators(self, family: str, term: Any, unit: Fraction) -> tuple[Element, Element]:
        if (family, term) in self._pairs:
            return self._pairs[family, term]
        field, argument = self.field, self._scaled(term, unit)
        if family == "hyperbolic" and "exp" in self._needs.kinds.get(term, ()):
            e = self._exponential_generator(term, unit)
            half, inverse = field.rational(1, 2), field.inverse(e)
            pair = (e + inverse) * half, (e - inverse) * half
        else:
            trig = family == "trig"
            c = field.add_generator(
                (sp.cos if trig else sp.cosh)(argument),
                lambda a: field.combine([(-1 if trig else 1, s, self._along(argument, a))]),
            )
            square = field.one - c * c if trig else c * c - field.one
            s_squared = 1 - sp.cos(argument) ** 2 if trig else sp.cosh(argument) ** 2 - 1
            s = field.add_generator(
                (sp.sin if trig else sp.sinh)(argument), lambda a: c * self._along(argument, a), square.num
            )
            self._radicands.add(s_squared, square)
            pair = c, s
        self._pairs[family, term] = pair
        return pair

    def _trigonometric(self, e: Any) -> Element:
        c, s = self._pair("trig", e.args[0])
        forms: dict[Any, Callable[[], Element]] = {
            sp.cos: lambda: c,
            sp.sin: lambda: s,
            sp.tan: lambda: s / c,
            sp.cot: lambda: c / s,
            sp.sec: lambda: self.field.inverse(c),
            sp.csc: lambda: self.field.inverse(s),
        }
        return forms[e.func]()

    def _hyperbolic(self, e: Any) -> Element:
        if isinstance(e, sp.tanh | sp.coth):
            u = self._tanh(e.args[0])
            return u if isinstance(e, sp.tanh) else self.field.inverse(u)
        c, s = self._pair("hyperbolic", e.args[0])
        if isinstance(e, sp.cosh | sp.sinh):
            return c if isinstance(e, sp.cosh) else s
        return self.field.inverse(c if isinstance(e, sp.sech) else s)

    def _tanh(self, argument: Any) -> Element:
        terms = terms_of(argument)
        if len(terms) != 1 or self._needs.kinds.get(terms[0][1], {"tanh"}) - {"tanh"}:
            c, s = self._pair("hyperbolic", argument)
            return s / c
        field, (ratio, term) = self.field, terms[0]
        unit = self._unit_of("hyperbolic", term, ratio)
        inner = self._scaled(term, unit)
        if sp.tanh(inner) not in self._known:
            u = field.add_generator(sp.tanh(inner), lambda a: (field.one - u * u) * self._along(inner, a))
            self._known[sp.tanh(inner)] = u
        u, total = self._known[sp.tanh(inner)], field.zero
        for _ in range(abs(int(ratio / unit))):
            total = (total + u) / (field.one + total * u)
        return total if ratio > 0 else -total

    def _jet(self, e: Any) -> Element:
        function = e.expr if isinstance(e, sp.Derivative) else e
        if not isinstance(function, AppliedUndef) or not all(a.is_Symbol for a in function.args):
            raise InputError(
                f"{e} cannot be handled: expected an undefined function of symbols, such as f(x)"
            )

        def slope(a: int) -> Element:
            coordinate = self.coordinates[a]
            return self.element(e.diff(coordinate)) if coordinate in function.args else self.field.zero

        return self.field.add_generator(e, slope)
