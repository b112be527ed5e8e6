"""Expressions at random points: what disproves that they vanish, and what hints at it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

_DIGITS = 60
SHOWN = 30
"""Digits to which a value is known."""
_TRIALS, _ENOUGH = 40, 8


@dataclass(frozen=True)
class Screen:
    """What an expression is at random points.

    Attributes
    ----------
    points : list of dict
        Where it has a real value.
    value : sympy Float or None
        One that is not zero, at the last of the points; None if all are zero.
    """

    points: list[dict[Any, Any]]
    value: Any = None

    @property
    def vanishes(self) -> bool:
        """Whether there are points, and it is zero at all."""
        return bool(self.points) and self.value is None

    @property
    def where(self) -> str:
        """The last point, in words; empty without symbols."""
        told = ", ".join(f"{symbol} = {number}" for symbol, number in self.points[-1].items())
        return f" at {told}" if told else ""

    @property
    def range(self) -> str:
        """How far the points reach, in words."""
        columns = {s: [float(at[s]) for at in self.points] for s in self.points[0]}
        told = ", ".join(f"{s} in [{min(c):.3g}, {max(c):.3g}]" for s, c in columns.items())
        return f"{len(self.points)} points" + (f" with {told}" if told else "")


def random_points(symbols: Any, seed: int) -> Iterator[dict[Any, Any]]:
    """Rational values with few digits, so that evaluation is exact before rounding; as many as may be tried.

    Signs are those that assumptions allow. First all lie in (-2, 2), some points with no negative value,
    then they reach ever further.
    """
    rng = random.Random(seed)
    for trial in range(_TRIALS):
        reach = 1 if trial < _TRIALS // 2 else 10 if trial < 3 * _TRIALS // 4 else 1000
        at = {}
        for symbol in symbols:
            value = sp.Rational(rng.randrange(1, 2000) * reach, 1009)
            may_turn = not symbol.is_nonnegative and trial % 2 and rng.random() < 0.5
            at[symbol] = -value if symbol.is_nonpositive or may_turn else value
        yield at


def screen(expression: Any, seed: int = 0) -> Screen:
    """Evaluate an expression at random points, until it is seen not to be zero or was zero often enough."""
    expression, points = _constant_functions(expression), []
    for at in random_points(sorted(expression.free_symbols, key=str), seed):
        value = _value(expression, at)
        if value is None:
            continue
        points.append(at)
        if abs(value) > sp.Float(10) ** -SHOWN:
            return Screen(points, sp.Float(value, 6))
        if len(points) == _ENOUGH or not at:
            break
    return Screen(points)


def looks_singular(matrix: Any) -> bool:
    """Whether a matrix of expressions has determinant zero, to 30 digits, at all random points tried."""
    import mpmath

    entries, seen = _constant_functions(sp.Tuple(*matrix)), 0
    for at in random_points(sorted(entries.free_symbols, key=str), 0):
        values = [_value(entry, at) for entry in entries]
        if any(value is None for value in values):
            continue
        with mpmath.workdps(_DIGITS):
            numbers = mpmath.matrix(matrix.rows, matrix.cols)
            for k, value in enumerate(values):
                if abs(value) > sp.Float(10) ** -SHOWN:
                    numbers[divmod(k, matrix.cols)] = mpmath.mpf(value)
            scale = mpmath.fprod(mpmath.norm(numbers[i, :]) for i in range(matrix.rows))
            if scale and abs(mpmath.det(numbers)) > scale * mpmath.mpf(10) ** -SHOWN:
                return False
        seen += 1
        if seen == _ENOUGH:
            break
    return seen > 0


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
