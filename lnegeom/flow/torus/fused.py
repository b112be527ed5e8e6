"""The algebra of a right-hand side as one loop over the points, compiled by numba."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from lnegeom.flow.deturck import Gauge
from lnegeom.flow.torus.program import written

BLOCK = 128
"""Points a block: the components of one, copied to a scratch array, stay in the innermost cache."""


def source(n: int, gauge: Gauge) -> str:
    """Python source of the loop ``kernel(fields, constant, inverse_constant, symbols, offset)``.

    `fields` is ``(n + 1, m, points)``, ``m = n(n+1)/2``: h and its derivatives on entry, source and fluxes on
    return. The result is the number of points where the metric is not positive definite. `symbols`, for the
    gauge of a background, is ``(n, m, all points)``, of which those from `offset` on are used.
    """
    m = n * (n + 1) // 2

    def cell(row: int, s: int) -> str:
        # Offsets that are constants let the compiler see that rows do not overlap, so that it vectorizes.
        return f"scratch[{(row * m + s) * BLOCK} + p]"

    algebra = written(n, gauge, cell)
    stores = [
        f"{cell(row, s)} = {name}"
        for row, names in enumerate(algebra.results)
        for s, name in enumerate(names)
    ]
    # A bare literal is a float64 and would widen float32.
    numbers = [f"{name} = number({value})" for value, name in algebra.numbers.items()]
    unpacked = [f"constant_{s}, inverse_{s} = constant[{s}], inverse_constant[{s}]" for s in range(m)]
    body = "\n            ".join([*algebra.lines, *stores, f"bad += 0 if {algebra.valid} else 1"])
    here, there = "scratch[row + p]", "fields[a, s, start + p]"
    load = _copy(n + 1, m, here, there)
    if gauge == "background":
        load += _copy(n, m, here, "symbols[a, s, offset + start + p]", first=n + 1)
    return f"""
def kernel(fields, constant, inverse_constant, symbols, offset):
    number = fields.dtype.type
    {"; ".join([*numbers, *unpacked])}
    scratch = empty({(2 * n + 1) * m * BLOCK}, fields.dtype)
    bad = 0
    for start in range(0, fields.shape[2], {BLOCK}):
        width = min({BLOCK}, fields.shape[2] - start){load}
        for p in range(width):
            {body}{_copy(n + 1, m, there, here)}
    return bad
"""


def _copy(sets: int, m: int, target: str, value: str, first: int = 0) -> str:
    """Loops that copy a block's components, to or from the rows of the scratch array from `first` on."""
    return f"""
        for a in range({sets}):
            for s in range({m}):
                row = (({first} + a) * {m} + s) * {BLOCK}
                for p in range(width):
                    {target} = {value}"""


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
