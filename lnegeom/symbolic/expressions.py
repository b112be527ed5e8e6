"""Expressions from text, without evaluating any of it."""

from __future__ import annotations

import ast
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

_LONGEST, _DEEPEST, _LARGEST_POWER, _LARGEST_NUMBER, _DIGITS = 10_000, 100, 64, 10**50, 400


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

    Raises
    ------
    InputError
        If anything else occurs, with its place.

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
        reason = getattr(error, "msg", None) or type(error).__name__
        raise InputError(
            f"{text!r:.80}: expected an expression such as r**2*sin(theta)**2 ({reason})"
        ) from None
    return _Reader(text, names).read(tree, 0)


class _Reader:
    def __init__(self, text: str, names: Mapping[str, Any]):
        self.text, self.names = text, names

    def refuse(self, expected: str, got: str) -> InputError:
        return InputError(f"{self.text!r:.80}: expected {expected}, got {got}")

    def read(self, node: ast.expr, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self.refuse(f"at most {_DEEPEST} nested operations", "more")
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            value = self.read(node.operand, depth + 1)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            return self._operation(node, depth + 1)
        if isinstance(node, ast.Call):
            return self._call(node, depth + 1)
        got = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        raise self.refuse("numbers, names, + - * / ** and functions", repr(got))

    def _number(self, node: ast.Constant) -> Any:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
            raise self.refuse("a real number below 1e50", repr(value))
        # The digits as they were written: 0.1 is one tenth.
        return sp.Integer(value) if isinstance(value, int) else sp.Rational(repr(value))

    def _name(self, name: str) -> Any:
        if name in self.names and not isinstance(self.names[name], sp.core.function.UndefinedFunction):
            return self.names[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        known = ", ".join(sorted(self.names)) or "none"
        raise self.refuse(f"a declared name ({known})", f"{name!r}; declare it as a coordinate or parameter")

    def _operation(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            if right == 0:
                raise self.refuse("a divisor other than zero", repr(ast.unparse(node)))
            return left / right
        if isinstance(node.op, ast.Pow):
            if right.is_number and not abs(right) <= _LARGEST_POWER:
                raise self.refuse(f"powers of at most {_LARGEST_POWER}", repr(ast.unparse(node.right)))
            if left == 0 and right.is_negative:
                raise self.refuse("a divisor other than zero", repr(ast.unparse(node)))
            return self._power(left, right, node)
        raise self.refuse("+ - * / **", repr(ast.unparse(node)))

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
        return function(*(self.read(argument, depth) for argument in node.args))
