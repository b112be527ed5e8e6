"""Python source for sympy expressions, in the functions of numpy, torch or JAX."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError

BACKENDS = ("numpy", "torch", "jax")

_IMPORT = {"numpy": "import numpy as _xp", "torch": "import torch as _xp", "jax": "import jax.numpy as _xp"}
_SPECIAL_FROM = {"numpy": "scipy.special", "torch": "torch.special", "jax": "jax.scipy.special"}
_SPECIAL = {"erf": "erf", "loggamma": "gammaln", "polygamma": "polygamma"}
_NAMES = {name: name for name in ("sin", "cos", "tan", "exp", "log", "sinh", "cosh", "tanh")}
_ARC = {a: f"arc{a[1:]}" for a in ("asin", "acos", "atan", "asinh", "acosh", "atanh")}

# Higher powers than this are left to the library's own.
_PRODUCTS = 16
_DIGITS = 30


def write_source(
    expressions: list[Any], coordinates: Sequence[Any], parameters: Sequence[str], backend: str
) -> str:
    """Return the source of ``components(_x, *, …)``, which gives a tuple of arrays of the batch's shape.

    Names of its own begin with an underscore, so that coordinates and parameters may have any other.
    """
    writer = _Writer()
    expressions = _without_constants(expressions, writer.lines)
    names = (sp.Symbol(f"_{i}") for i in itertools.count())
    shared, values = sp.cse(expressions, symbols=names, order="none")
    used = {symbol for e in expressions for symbol in e.free_symbols}
    for i, coordinate in enumerate(coordinates):
        if coordinate in used:
            writer.lines.append(f"{coordinate} = _x[..., {i}]")
    for name, value in shared:
        code = writer.code(value)
        writer.lines.append(f"{name} = {code}")
    results = [writer.code(value) for value in values]
    arguments = f"_x, *, {', '.join(parameters)}" if parameters else "_x"
    special = (f"from {_SPECIAL_FROM[backend]} import {name} as _{name}" for name in sorted(writer.special))
    head = [_IMPORT[backend], *special, "", ""]
    body = [*writer.lines, *(f"_c{i} = {code}" for i, code in enumerate(results))]
    body.append(f"return ({''.join(f'_c{i}, ' for i in range(len(results)))})" if results else "return ()")
    return "\n".join([*head, f"def components({arguments}):", *(f"    {line}" for line in body)]) + "\n"


def _without_constants(expressions: list[Any], lines: list[str]) -> list[Any]:
    """Give each largest constant part a name, its value in a line: torch has no sin of a Python number."""
    found: dict[Any, Any] = {}
    for expression in expressions:
        nodes = sp.preorder_traversal(expression)
        for node in nodes:
            if node.args and not node.free_symbols:
                nodes.skip()
                if node not in found:
                    found[node] = sp.Symbol(f"_k{len(found)}")
                    lines.append(f"{found[node]} = {float(node.evalf(_DIGITS))!r}")
    return [expression.xreplace(found) for expression in expressions]


class _Writer:
    """Writes expressions; integer powers become products, kept for the next use."""

    def __init__(self) -> None:
        self.special: set[str] = set()
        self.lines: list[str] = []
        self._powers: dict[tuple[str, int], str] = {}
        self._names: Iterator[str] = (f"_p{i}" for i in itertools.count())

    def code(self, e: Any) -> str:
        """Return an expression's code; lines that it needs are appended first."""
        if e.is_Symbol:
            return str(e)
        if e.is_Rational:
            text = f"{e.p}" if e.q == 1 else f"{e.p}/{e.q}"
            return text if e.q == 1 and e.p >= 0 else f"({text})"
        if e.is_Number or e.is_NumberSymbol:
            return repr(float(e))
        if e.is_Add:
            return f"({' + '.join(self.code(term) for term in e.args)})".replace("+ -", "- ")
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return (
                self._product(sp.Mul(e, evaluate=False))
                if e.exp.is_Rational and e.exp < 0
                else self._power(e.base, e.exp)
            )
        return self._call(e)

    def _product(self, e: Any) -> str:
        above, below = [], []
        sign = ""
        for factor in sp.Mul.make_args(e):
            if factor == -1:
                sign = "-"
            elif factor.is_Rational and factor.q != 1:
                below.append(str(factor.q))
                if factor.p != 1:
                    above.append(self.code(sp.Integer(factor.p)))
            elif factor.is_Pow and factor.exp.is_Rational and factor.exp < 0:
                below.append(self._power(factor.base, -factor.exp))
            else:
                above.append(self.code(factor))
        code = "*".join(above) or "1"
        if below:
            code += f"/({'*'.join(below)})" if len(below) > 1 else f"/{below[0]}"
        return f"({sign}{code})" if sign or below else code

    def _power(self, base: Any, exponent: Any) -> str:
        code = self.code(base)
        if exponent == 1:
            return code
        if exponent.is_Rational and exponent.q == 2:
            return self._chain(f"_xp.sqrt({code})", int(exponent.p))
        if exponent.is_Integer and 0 < exponent <= _PRODUCTS:
            return self._chain(code, int(exponent))
        if base == sp.E:
            return f"_xp.exp({self.code(exponent)})"
        return f"({code})**({self.code(exponent)})"

    def _chain(self, base: str, exponent: int) -> str:
        if exponent == 1:
            return base
        if (base, exponent) not in self._powers:
            if not base.isidentifier():
                name = self._powers.get((base, 1)) or self._named(base)
                self._powers[base, 1] = name
            else:
                name = base
            half = self._chain(name, exponent // 2)
            other = half if exponent % 2 == 0 else self._chain(name, exponent - exponent // 2)
            self._powers[base, exponent] = self._named(f"{half}*{other}")
        return self._powers[base, exponent]

    def _named(self, code: str) -> str:
        name = next(self._names)
        self.lines.append(f"{name} = {code}")
        return name

    def _call(self, e: Any) -> str:
        name = e.func.__name__
        arguments = ", ".join(self.code(a) for a in e.args)
        if name in _SPECIAL:
            self.special.add(_SPECIAL[name])
            return f"_{_SPECIAL[name]}({arguments})"
        if name not in _NAMES and name not in _ARC:
            raise InputError(
                f"{name} cannot be compiled: expected {', '.join((*_NAMES, *_ARC, *_SPECIAL))} or sqrt"
            )
        return f"_xp.{_NAMES.get(name) or _ARC[name]}({arguments})"
