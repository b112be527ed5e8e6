"""Zero tests, each with a statement of what it is worth."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.function import AppliedUndef

from lnegeom._array import InputError
from lnegeom.symbolic._display import plain

if TYPE_CHECKING:
    from lnegeom.symbolic.tensor import Index, Tensor

_DIGITS = 60
_SHOWN = 30
_TRIALS, _ENOUGH = 40, 8


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
        if abs(value) > sp.Float(10) ** -_SHOWN:
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
                if abs(value) > sp.Float(10) ** -_SHOWN:
                    numbers[divmod(k, matrix.cols)] = mpmath.mpf(value)
            scale = mpmath.fprod(mpmath.norm(numbers[i, :]) for i in range(matrix.rows))
            if scale and abs(mpmath.det(numbers)) > scale * mpmath.mpf(10) ** -_SHOWN:
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


def is_zero(expression: Any) -> ZeroTest:
    """Whether a sympy expression is zero: by random points first, then by a proof if there is one.

    Symbols are taken at rational points, of both signs where assumptions allow, with 60 digits; the
    statement says how far they reach. What is zero there is carried into a differential
    field, whose normal form decides; if a function has no place there, the random points are all there is,
    and `method` says so.

    Raises
    ------
    InputError
        If it is not decided: no point with a real value was found, and there is no proof that it is zero.

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
    from lnegeom.symbolic._embedding import Embedding
    from lnegeom.symbolic._field import DifferentialField
    from lnegeom.symbolic._inputs import read_expression

    if isinstance(expression, str):
        raise InputError("expected a sympy expression, got text; parse it first")
    expression = read_expression(expression, {})
    found = screen(expression, seed=1)
    if found.value is not None:
        return ZeroTest(False, "random points", f"its value is {found.value}{found.where}")
    try:
        symbols = sorted(expression.free_symbols, key=str)
        element = Embedding([expression], symbols, DifferentialField()).element(expression)
    except InputError as error:
        if not found.points:
            raise InputError(f"{expression}: no point with a real value was found, and {error}") from None
        told = f"zero to {_SHOWN} digits at {found.range}; no proof: {error}"
        return ZeroTest(True, "random points", told)
    if not element:
        return ZeroTest(True, "normal form", "its numerator is the zero polynomial")
    if not found.points:
        raise InputError(
            f"{expression}: not decided, as its normal form is not 0, but no point with a real value was "
            "found; declare the signs of its symbols, or substitute numbers"
        )
    told = "its normal form is not 0, as its functions were taken for independent"
    return ZeroTest(True, "random points", f"zero to {_SHOWN} digits at {found.range}; no proof: {told}")


def components_are_zero(tensor: Tensor) -> ZeroTest:
    """Whether all independent components are zero; see `Tensor.is_zero`."""
    where = tensor.metric.field_description
    doubtful: list[Index] = []
    undecided: list[Index] = []
    for index in tensor.independent:
        if tensor._ready[index]:
            found = screen(tensor[index])
            if found.value is not None:
                value = f"its value is {found.value}{found.where}"
                return ZeroTest(False, "normal form", f"component {index} is not zero in {where}; {value}")
            (doubtful if found.points else undecided).append(index)
    if undecided:
        raise InputError(
            f"{plain(tensor.name)}: not decided, as the normal form of components {undecided} is not 0, but "
            "no point where they are real was found; declare the signs of symbols in the assumptions"
        )
    if doubtful:
        told = f"components {doubtful} vanish at all points tried (of the last, {found.range})"
        told += f", though not their normal form in {where}: its generators are not independent"
        return ZeroTest(True, "random points", told)
    count = len(tensor.independent)
    proved = f"all {count} {tensor.counted} have numerator 0 in {where}"
    return ZeroTest(True, "normal form", proved)
