"""Zero tests, each with a statement of what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lnegeom._array import InputError
from lnegeom.symbolic._components import Components, Index, plain
from lnegeom.symbolic._embedding import Embedding
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inputs import read_expression
from lnegeom.symbolic._screen import SHOWN, screen


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
        told = f"zero to {SHOWN} digits at {found.range}; no proof: {error}"
        return ZeroTest(True, "random points", told)
    if not element:
        return ZeroTest(True, "normal form", "its numerator is the zero polynomial")
    if not found.points:
        raise InputError(
            f"{expression}: not decided, as its normal form is not 0, but no point with a real value was "
            "found; declare the signs of its symbols, or substitute numbers"
        )
    told = "its normal form is not 0, as its functions were taken for independent"
    return ZeroTest(True, "random points", f"zero to {SHOWN} digits at {found.range}; no proof: {told}")


def components_are_zero(tensor: Components) -> ZeroTest:
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
