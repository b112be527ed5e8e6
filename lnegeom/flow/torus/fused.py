"""The algebra of `lnegeom.flow.deturck` as one compiled loop over the points.

`flux_and_source` is run once on symbols that write down each operation; the lines become the body of a loop,
compiled by numba for numpy arrays. One formula thus serves every array library and the compiled loop.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from lnegeom.flow.deturck import Gauge, flux_and_source

BLOCK = 128
"""Points a block: the components of one, copied to a scratch array, stay in the innermost cache."""


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
        # A bare literal is a float64 and would widen float32.
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


def source(n: int, gauge: Gauge) -> str:
    """Python source of the loop ``kernel(fields, constant, inverse_constant, symbols, offset)``.

    `fields` is ``(n + 1, m, points)``, ``m = n(n+1)/2``: h and its derivatives on entry, source and fluxes on
    return. The result is the number of points where the metric is not positive definite. `symbols`, for the
    gauge of a background, is ``(n, m, all points)``, of which those from `offset` on are used.
    """
    m = n * (n + 1) // 2
    program = _Program()

    def cell(row: int) -> str:
        # Offsets that are constants let the compiler see that rows do not overlap, so that it vectorizes.
        return f"scratch[{row * BLOCK} + p]"

    h, *D = [[program.emit(cell(a * m + s)) for s in range(m)] for a in range(n + 1)]
    christoffel = [
        [program.emit(cell((n + 1 + k) * m + s)) for s in range(m)] for k in range(n) if gauge == "background"
    ]
    constant = [_Symbol(program, f"constant_{s}") for s in range(m)]
    inverse = [_Symbol(program, f"inverse_{s}") for s in range(m)]
    first, flux, valid = flux_and_source(n, h, D, constant, inverse, gauge, christoffel)
    stores = [
        f"{cell(row * m + s)} = {entry.name}"
        for row, entries in enumerate([first, *flux])
        for s, entry in enumerate(entries)
    ]
    numbers = [f"{name} = number({value})" for value, name in program.numbers.items()]
    unpacked = [f"constant_{s}, inverse_{s} = constant[{s}], inverse_constant[{s}]" for s in range(m)]
    body = "\n            ".join([*program.lines, *stores, f"bad += 0 if {valid.name} else 1"])
    load = f"""
        for k in range({n}):
            for s in range({m}):
                row = (({n + 1} + k) * {m} + s) * {BLOCK}
                for p in range(width):
                    scratch[row + p] = symbols[k, s, offset + start + p]"""
    return f"""
def kernel(fields, constant, inverse_constant, symbols, offset):
    number = fields.dtype.type
    {"; ".join([*numbers, *unpacked])}
    scratch = empty({(2 * n + 1) * m * BLOCK}, fields.dtype)
    bad = 0
    for start in range(0, fields.shape[2], {BLOCK}):
        width = min({BLOCK}, fields.shape[2] - start)
        for a in range({n + 1}):
            for s in range({m}):
                row = (a * {m} + s) * {BLOCK}
                for p in range(width):
                    scratch[row + p] = fields[a, s, start + p]{load if gauge == "background" else ""}
        for p in range(width):
            {body}
        for a in range({n + 1}):
            for s in range({m}):
                row = (a * {m} + s) * {BLOCK}
                for p in range(width):
                    fields[a, s, start + p] = scratch[row + p]
    return bad
"""


@functools.cache
def kernel(n: int, gauge: Gauge) -> Callable[..., int]:
    """Return the compiled loop of `source`."""
    import numpy as np

    text = source(n, gauge)
    # Under this file's name, so that numba keeps the machine code beside it; under a name of its own, so that
    # another formula is never taken for this one.
    name = f"kernel_{n}_{gauge}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    scope: dict[str, Any] = {"__name__": __name__, "empty": np.empty}
    exec(compile(text.replace("def kernel(", f"def {name}(", 1), __file__, "exec"), scope)
    return compiled(scope[name])


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba: releasing the interpreter's lock, sums reordered, kept on disk where it can be."""
    import numba

    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    }
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # nowhere to keep it
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
