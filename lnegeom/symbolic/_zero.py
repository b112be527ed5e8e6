"""Zero tests, each with a statement of what it is worth."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

_DIGITS = 60
_SHOWN = 30
_TRIALS = 8


@dataclass(frozen=True)
class ZeroTest:
    """The outcome of a zero test; it is true if what was tested is zero.

    Attributes
    ----------
    value : bool
        Zero or not.
    method : {"normal form", "random points"}
        "normal form" is a proof; "random points" disproves with certainty, and confirms with probability.
    statement : str
        What was done, in a sentence.
    """

    value: bool
    method: str
    statement: str

    def __bool__(self) -> bool:
        return self.value


def random_point(symbols: Any, rng: random.Random) -> dict[Any, Any]:
    """Rational values in (0, 2) for symbols, with few digits, so that evaluation is exact before rounding."""
    return {symbol: sp.Rational(rng.randrange(1, 2000), 1009) for symbol in symbols}


def _value(expression: Any, at: dict[Any, Any]) -> Any:
    """A real number with 30 correct digits, or None where the expression has none at the point."""
    try:
        value = expression.xreplace(at).evalf(_DIGITS)
    except (ZeroDivisionError, ValueError, TypeError):
        return None
    return value if value.is_Float and value.is_finite else sp.Float(0) if value == 0 else None


def _constant_functions(expression: Any) -> Any:
    """Undefined functions and their derivatives as independent symbols."""
    jets = expression.atoms(sp.Derivative)
    expression = expression.xreplace({jet: sp.Dummy() for jet in jets})
    return expression.xreplace({f: sp.Dummy() for f in expression.atoms(AppliedUndef)})


def nonzero_value(expression: Any) -> str:
    """Where an expression is seen not to be zero, in words; "0" if it vanishes at all points tried.

    Empty if it has no value at any of them.
    """
    expression, rng = _constant_functions(expression), random.Random(0)
    seen = False
    for _ in range(_TRIALS):
        at = random_point(sorted(expression.free_symbols, key=str), rng)
        value = _value(expression, at)
        if value is not None and abs(value) > sp.Float(10) ** -_SHOWN:
            where = ", ".join(f"{symbol} = {number}" for symbol, number in at.items())
            return f"; its value is {sp.Float(value, 6)}" + (f" at {where}" if where else "")
        seen = seen or value is not None
    return "0" if seen else ""


def is_zero(expression: Any) -> ZeroTest:
    """Whether a sympy expression is zero: by random points first, then by a proof if there is one.

    Symbols are taken at rational points, with 60 digits. What is zero there is carried into a differential
    field, whose normal form decides; if a function has no place there, the random points are all there is,
    and `method` says so.

    Examples
    --------
    >>> import sympy
    >>> from lnegeom import symbolic
    >>> x = sympy.Symbol("x")
    >>> test = symbolic.is_zero(sympy.sin(2 * x) - 2 * sympy.sin(x) * sympy.cos(x))
    >>> test.value, test.method
    (True, 'normal form')
    >>> symbolic.is_zero(sympy.cosh(x) - sympy.exp(x)).method
    'random points'
    """
    from lnegeom._array import InputError
    from lnegeom.symbolic._embedding import Embedding
    from lnegeom.symbolic._field import DifferentialField
    from lnegeom.symbolic._inputs import read_expression

    if isinstance(expression, str):
        raise InputError("expected a sympy expression, got text; parse it first")
    expression = read_expression(expression, {})
    symbols, rng = sorted(expression.free_symbols, key=str), random.Random(1)
    plain, seen = _constant_functions(expression), 0
    for _ in range(_TRIALS):
        at = random_point(sorted(plain.free_symbols, key=str), rng)
        value = _value(plain, at)
        if value is not None and abs(value) > sp.Float(10) ** -_SHOWN:
            return ZeroTest(False, "random points", f"its value is {sp.Float(value, 6)} at {at}")
        seen += value is not None
    try:
        element = Embedding([expression], symbols, DifferentialField()).element(expression)
    except InputError as error:
        if not seen:
            raise InputError(f"{expression}: no point with a real value was found, and {error}") from None
        return ZeroTest(True, "random points", f"zero to {_SHOWN} digits at {seen} points; no proof: {error}")
    if element and seen:
        told = "its normal form is not 0, as its functions were taken for independent"
        return ZeroTest(True, "random points", f"zero to {_SHOWN} digits at {seen} points; no proof: {told}")
    numerator = "is not" if element else "is"
    return ZeroTest(not element, "normal form", f"its numerator {numerator} the zero polynomial")
