"""Which generators expressions need, found before any is made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import reduce
from typing import Any

import sympy as sp

from lnegeom._array import InputError

TRIGONOMETRIC = (sp.sin, sp.cos, sp.tan, sp.cot, sp.sec, sp.csc)
_INVERSES = (sp.log, sp.atan, sp.atanh, sp.asin, sp.acos, sp.asinh, sp.acosh)
UNRELATED = (*_INVERSES, sp.erf, sp.loggamma, sp.polygamma)
HYPERBOLIC = (sp.sinh, sp.cosh, sp.sech, sp.csch)

Terms = tuple[tuple[Fraction, Any], ...]


def terms_of(argument: Any) -> Terms:
    """Write an argument as a sum of rational multiples of terms: ``2x − y/3`` is ((2, x), (−1/3, y))."""
    found = []
    for term in sp.Add.make_args(sp.expand(argument)):
        c, rest = term.as_coeff_Mul()
        if not c.is_Rational:
            c, rest = sp.S.One, term
        if c:
            found.append((Fraction(int(c.p), int(c.q)), rest))
    return tuple(found)


_WRITTEN = {"exp": "exp", "pair": "sinh and cosh", "tanh": "tanh"}


def _kind(kinds: set[str]) -> str:
    return next(kind for kind in _WRITTEN if kind in kinds)


def _common_unit(a: Fraction, b: Fraction) -> Fraction:
    den = math.lcm(a.denominator, b.denominator)
    return Fraction(math.gcd(int(a * den), int(b * den)), den)


class Needs:
    """Arguments of functions by their terms, with the greatest common divisor of each term's multiples.

    From sin(2x) and cos(3x/2) all follow from cos and sin of x/2, by the addition theorems.

    Attributes
    ----------
    kinds : dict
        For each term of a hyperbolic or exponential argument, a set of "exp", "pair" (sinh, cosh), "tanh".
    symbol_roots : dict
        For each symbol of which roots are taken, the common order of these.
    """

    def __init__(self, expressions: Iterable[Any]):
        self.kinds: dict[Any, set[str]] = {}
        self.symbol_roots: dict[Any, int] = {}
        self._multiples: dict[tuple[str, Any], list[Fraction]] = {}
        self._symbols: set[Any] = set()
        for expression in expressions:
            self._symbols |= expression.free_symbols
            self._scan(expression)
        self.units = {key: reduce(_common_unit, map(abs, found)) for key, found in self._multiples.items()}

    def admit(self, expression: Any) -> None:
        """Take in a later expression, or raise InputError if it would change generators that were made."""
        new = Needs([expression])
        for term, kinds in new.kinds.items():
            old = self.kinds.get(term, kinds)
            if _kind(old) != _kind(old | kinds):
                functions = _WRITTEN[_kind(old)]
                raise InputError(f"{expression}: the metric has {functions} of {term}; write it with these")
            self.kinds[term] = old | kinds
        for symbol, order in new.symbol_roots.items():
            if symbol in self._symbols and self.symbol_roots.get(symbol, 1) % order:
                raise InputError(f"{expression}: the metric has no such root of {symbol}; write it without")
            self.symbol_roots.setdefault(symbol, order)
        for key, unit in new.units.items():
            self.units.setdefault(key, unit)
        self._symbols |= new._symbols

    def _scan(self, expression: Any) -> None:
        for node in sp.preorder_traversal(expression):
            if isinstance(node, TRIGONOMETRIC):
                self._count("trig", node.args[0], "pair")
            elif isinstance(node, HYPERBOLIC):
                self._count("hyperbolic", node.args[0], "pair")
            elif isinstance(node, sp.tanh | sp.coth):
                several = len(terms_of(node.args[0])) > 1
                self._count("hyperbolic", node.args[0], "pair" if several else "tanh")
            elif isinstance(node, sp.exp):
                self._count("hyperbolic", node.args[0], "exp")
            elif node.is_Pow and not node.exp.is_Rational:
                for ratio, term in terms_of(node.exp):
                    self._multiples.setdefault(("power", (node.base, term)), []).append(ratio)
            elif node.is_Pow and node.base.is_Symbol and node.exp.q > 1:
                order = self.symbol_roots.get(node.base, 1)
                self.symbol_roots[node.base] = math.lcm(order, int(node.exp.q))

    def _count(self, family: str, argument: Any, kind: str) -> None:
        for ratio, term in terms_of(argument):
            self._multiples.setdefault((family, term), []).append(ratio)
            if family == "hyperbolic":
                self.kinds.setdefault(term, set()).add(kind)
