"""The algebra of `lnegeom.flow.deturck` as straight lines of Python, for compilers.

`flux_and_source` is run once on symbols that write down each operation. One formula thus serves every array
library, numba's loop over the points and the compilers of torch and JAX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from lnegeom.flow.deturck import Gauge, flux_and_source


class _Program:
    """Lines of straight code, each the assignment of one operation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: dict[float, str] = {}
        self.known: dict[str, _Symbol] = {}

    def emit(self, expression: str) -> _Symbol:
        if expression not in self.known:
            name = f"v{len(self.lines)}"
            self.lines.append(f"{name} = {expression}")
            self.known[expression] = _Symbol(self, name)
        return self.known[expression]

    def text(self, operand: Any) -> str:
        if isinstance(operand, _Symbol):
            return operand.name
        return self.numbers.setdefault(float(operand), f"c{len(self.numbers)}")


class _Symbol:
    """A value at a point, of which only its name is known."""

    def __init__(self, program: _Program, name: str):
        self.program = program
        self.name = name

    def _emit(self, pattern: str, other: Any = None) -> _Symbol:
        program = self.program
        return program.emit(pattern.format(self.name, None if other is None else program.text(other)))

    def __add__(self, other: Any) -> _Symbol:
        return self._emit("{0} + {1}", other)

    def __sub__(self, other: Any) -> _Symbol:
        return self._emit("{0} - {1}", other)

    def __mul__(self, other: Any) -> _Symbol:
        return self._emit("{0} * {1}", other)

    def __rmul__(self, other: Any) -> _Symbol:
        return self._emit("{1} * {0}", other)

    def __rtruediv__(self, other: Any) -> _Symbol:
        return self._emit("{1} / {0}", other)

    def __neg__(self) -> _Symbol:
        return self._emit("-{0}")

    def __gt__(self, other: Any) -> _Symbol:
        return self._emit("({0} > {1})", other)

    def __and__(self, other: Any) -> _Symbol:
        return self._emit("{0} & {1}", other)


class StraightLines(NamedTuple):
    """The algebra, written down.

    Attributes
    ----------
    numbers : dict of float to str
        The names of the numbers that the lines use.
    lines : list of str
        Assignments, in order. They read the components that `written` was told how to read, and the names
        ``constant_s`` and ``inverse_s`` of the packed components of the constant metric and of its inverse.
    results : list of list of str
        The names of the source and of each flux, by packed component.
    valid : str
        The name of the mask of positive definite points.
    """

    numbers: dict[float, str]
    lines: list[str]
    results: list[list[str]]
    valid: str


def written(n: int, gauge: Gauge, read: Callable[[int, int], str]) -> StraightLines:
    """Write the algebra down; ``read(row, s)`` is the expression that reads a packed component.

    The rows are h, its n derivatives and, for the gauge of a background, its n lists of Christoffel symbols.
    """
    program, m = _Program(), n * (n + 1) // 2
    rows = range(2 * n + 1 if gauge == "background" else n + 1)
    h, *rest = [[program.emit(read(row, s)) for s in range(m)] for row in rows]
    constant = [_Symbol(program, f"constant_{s}") for s in range(m)]
    inverse = [_Symbol(program, f"inverse_{s}") for s in range(m)]
    first, flux, valid = flux_and_source(n, h, rest[:n], constant, inverse, gauge, rest[n:])
    results = [[entry.name for entry in row] for row in (first, *flux)]
    return StraightLines(program.numbers, program.lines, results, valid.name)


@functools.cache
def array_function(n: int, gauge: Gauge, stack: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """Return ``algebra(fields, constant, inverse_constant, symbols)`` on whole arrays.

    `fields` is ``(n + 1, m, points)``, ``m = n(n+1)/2``; `stack` is the library's. The result is the source
    with the fluxes, ``((n + 1) m, points)``, and the mask of valid points.
    """
    m = n * (n + 1) // 2
    algebra = written(
        n, gauge, lambda row, s: f"fields[{row}, {s}]" if row <= n else f"symbols[{row - n - 1}, {s}]"
    )
    names = ", ".join(name for row in algebra.results for name in row)
    body = [
        *(f"{name} = {value}" for value, name in algebra.numbers.items()),
        *(f"constant_{s}, inverse_{s} = constant[{s}], inverse_constant[{s}]" for s in range(m)),
        *algebra.lines,
        f"return stack([{names}]), {algebra.valid}",
    ]
    text = "def algebra(fields, constant, inverse_constant, symbols):\n    " + "\n    ".join(body)
    scope: dict[str, Any] = {"stack": stack}
    exec(compile(text, f"<{__name__} {n} {gauge}>", "exec"), scope)
    function: Callable[..., Any] = scope["algebra"]
    return function
