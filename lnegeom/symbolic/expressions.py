"""Expressions from text, without evaluating any of it."""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import sympy as sp

from lnegeom._array import InputError

__all__ = ["FUNCTIONS", "parse"]

FUNCTIONS = {
    name: getattr(sp, name)
    for name in (
        *("sqrt", "exp", "log", "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth"),
        *("sech", "csch", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "loggamma"),
    )
}
CONSTANTS = {"pi": sp.pi}

# Functions that sympy writes out at a number, or that grow beyond its numbers.
_GROWING = ("exp", "sinh", "cosh", "loggamma")

_LONGEST, _DEEPEST, _DIGITS = 10_000, 100, 400
_LARGEST_POWER, _LARGEST_ARGUMENT, _LARGEST_NUMBER = 64, 1000, 10**50
_SUM, _PRODUCT = (ast.Add, ast.Sub), (ast.Mult, ast.Div)


def parse(text: str, names: Mapping[str, Any]) -> Any:
    """Return the sympy expression that a text stands for.

    The text is Python's syntax tree of numbers, declared names, ``+ − * / **`` and the functions of
    `FUNCTIONS`; any other node is refused, and nothing is ever evaluated as code.

    Parameters
    ----------
    text : str
        Such as ``"r**2 * sin(theta)**2"``; decimal numbers are taken exactly.
    names : mapping from str to sympy symbols or functions
        What may occur. A function is written as a call, ``f(s)``; ``f(s).diff`` is not text that is read.
        Names are compared as Python does, in the normal form NFKC.

    Raises
    ------
    InputError
        If anything else occurs, with its place, or a declared function has the name of one of `FUNCTIONS`.

    Examples
    --------
    >>> import sympy
    >>> from lnegeom import symbolic
    >>> symbolic.parse("0.5*tanh(x)**2", {"x": sympy.Symbol("x")})
    tanh(x)**2/2
    >>> symbolic.parse("__import__('os')", {})
    Traceback (most recent call last):
    ...
    lnegeom._array.InputError: "__import__('os')": expected a function among acos, ..., got '__import__'
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise InputError(f"expected an expression of at most {_LONGEST} characters, got {text!r:.60}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it is too long or too deep"
        if words := [word for word in re.findall(r"\w+", text) if keyword.iskeyword(word)]:
            reason = f"{words[0]} is a keyword of Python: use another name"
        raise InputError(
            f"{text!r:.80}: expected an expression such as r**2*sin(theta)**2 ({reason})"
        ) from None
    reader = _Reader(text, names)
    try:
        value = reader.read(tree, 0)
    except InputError:
        raise
    # What sympy does not do with numbers it cannot hold or compare.
    except (ArithmeticError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise reader.refuse("an expression that sympy can hold", type(error).__name__) from None
    if any(max(abs(number.p), number.q) >= 10**_DIGITS for number in value.atoms(sp.Rational)):
        raise reader.refuse(f"numbers of at most {_DIGITS} digits", "a longer one")
    return value


def exact(value: Any) -> Any:
    """Return a number exactly, by the digits as they were written: 0.1 is one tenth.

    Raises
    ------
    InputError
        If it is not a real number below 1e50.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
        # Python does not write out integers of thousands of digits.
        large = isinstance(value, int) and abs(value) >= _LARGEST_NUMBER
        raise InputError(f"expected a real number below 1e50, got {'a larger one' if large else repr(value)}")
    return sp.Integer(value) if isinstance(value, int) else sp.Rational(repr(value))


class _Reader:
    def __init__(self, text: str, names: Mapping[str, Any]):
        self.text = text
        self.names = {unicodedata.normalize("NFKC", name): value for name, value in names.items()}
        for name, value in self.names.items():
            if name in FUNCTIONS and isinstance(value, sp.core.function.UndefinedFunction):
                raise InputError(f"functions: {name} is a known one: expected another name")

    def refuse(self, expected: str, got: str) -> InputError:
        return InputError(f"{self.text!r:.80}: expected {expected}, got {got}")

    def read(self, node: ast.expr, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self.refuse(f"at most {_DEEPEST} nested operations", "more")
        if isinstance(node, ast.Constant):
            try:
                return exact(node.value)
            except InputError as error:
                raise InputError(f"{self.text!r:.80}: {error}") from None
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            value = self.read(node.operand, depth + 1)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            return self._chain(node, depth + 1)
        if isinstance(node, ast.Call):
            return self._call(node, depth + 1)
        got = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        raise self.refuse("numbers, names, + - * / ** and functions", repr(got))

    def _name(self, name: str) -> Any:
        if name in self.names and not isinstance(self.names[name], sp.core.function.UndefinedFunction):
            return self.names[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        known = ", ".join(sorted(self.names)) or "none"
        raise self.refuse(f"a declared name ({known})", f"{name!r}; declare it as a coordinate or parameter")

    def _chain(self, node: ast.BinOp, depth: int) -> Any:
        """Sums and products of any number of operands lie on one level, though the tree nests them."""
        kinds = next((kinds for kinds in (_SUM, _PRODUCT) if isinstance(node.op, kinds)), None)
        if kinds is None:
            return self._operation(node, depth)
        operands: list[Any] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, kinds):
            value = self.read(left.right, depth)
            if isinstance(left.op, ast.Div):
                if value == 0:
                    raise self.refuse("a divisor other than zero", repr(ast.unparse(left)))
                value = 1 / value
            operands.append(-value if isinstance(left.op, ast.Sub) else value)
            left = left.left
        operands.append(self.read(left, depth))
        return (sp.Mul if kinds is _PRODUCT else sp.Add)(*reversed(operands))

    def _operation(self, node: ast.BinOp, depth: int) -> Any:
        if not isinstance(node.op, ast.Pow):
            raise self.refuse("+ - * / **", repr(ast.unparse(node)))
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        if right.is_number and not abs(right) <= _LARGEST_POWER:
            raise self.refuse(f"powers of at most {_LARGEST_POWER}", repr(ast.unparse(node.right)))
        if left == 0 and right.is_negative:
            raise self.refuse("a divisor other than zero", repr(ast.unparse(node)))
        return self._power(left, right, node)

    def _power(self, base: Any, exponent: Any, node: ast.BinOp) -> Any:
        if base.is_Rational and exponent.is_number:
            digits = len(str(max(abs(base.p), base.q)))
            if digits * abs(exponent) > _DIGITS:
                raise self.refuse(f"numbers of at most {_DIGITS} digits", repr(ast.unparse(node)))
        value = base**exponent
        # Powers of powers are multiplied out: (x**64)**64 is x**4096.
        if any(p.exp.is_number and not abs(p.exp) <= _LARGEST_POWER for p in value.atoms(sp.Pow)):
            raise self.refuse(f"powers of at most {_LARGEST_POWER}", repr(ast.unparse(node)))
        return value

    def _call(self, node: ast.Call, depth: int) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        declared = {k: v for k, v in self.names.items() if isinstance(v, sp.core.function.UndefinedFunction)}
        function = declared.get(name) or FUNCTIONS.get(name)
        if function is None:
            raise self.refuse(f"a function among {', '.join(sorted({*FUNCTIONS, *declared}))}", repr(name))
        if node.keywords or (name in FUNCTIONS and len(node.args) != 1):
            raise self.refuse(f"one argument of {name}", repr(ast.unparse(node)))
        arguments = [self.read(argument, depth) for argument in node.args]
        if name in _GROWING and arguments[0].is_number and not abs(arguments[0]) <= _LARGEST_ARGUMENT:
            raise self.refuse(f"{name} of numbers of at most {_LARGEST_ARGUMENT}", repr(ast.unparse(node)))
        value = function(*arguments)
        # Refused here, as 1/log(0) would be 0.
        if value.is_number and value.has(sp.zoo, sp.oo, -sp.oo, sp.nan):
            raise self.refuse("a finite real expression", repr(ast.unparse(node)))
        return value
