"""The algebra of a right-hand side as one loop over the points, compiled by numba."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from lnegeom.flow.deturck import Gauge
from lnegeom.flow.torus.rhs.program import written

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "reassoc"}}
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
        return f"scratch[row_{row * m + s} + p]"

    algebra = written(n, gauge, cell)
    stores = [
        f"{cell(row, s)} = {name}"
        for row, names in enumerate(algebra.results)
        for s, name in enumerate(names)
    ]
    # A bare literal is a float64 and would widen float32.
    numbers = [f"{name} = number({value})" for value, name in algebra.numbers.items()]
    unpacked = [f"constant_{s}, inverse_{s} = constant[{s}], inverse_constant[{s}]" for s in range(m)]
    # A signed index may count from the end: the compiler would see to that point by point, and gather.
    rows = [f"row_{row} = unsigned({row * BLOCK})" for row in range((2 * n + 1) * m)]
    body = "\n            ".join([*algebra.lines, *stores, f"bad += 0 if {algebra.valid} else 1"])
    here, there = "scratch[row + p]", "fields[a, s, start + p]"
    load = _copy(n + 1, m, here, there)
    if gauge == "background":
        load += _copy(n, m, here, "symbols[a, s, first + start + p]", first=n + 1)
    return f"""
def kernel(fields, constant, inverse_constant, symbols, offset):
    number = fields.dtype.type
    {"; ".join([*numbers, *unpacked, *rows])}
    scratch = empty({(2 * n + 1) * m * BLOCK}, fields.dtype)
    points, first = unsigned(fields.shape[2]), unsigned(offset)
    bad = 0
    for start in range(unsigned(0), points, unsigned({BLOCK})):
        width = min(unsigned({BLOCK}), points - start){load}
        for p in range(width):
            {body}{_copy(n + 1, m, there, here)}
    return bad
"""


def _copy(sets: int, m: int, target: str, value: str, first: int = 0) -> str:
    """Loops that copy a block's components, to or from the rows of the scratch array from `first` on."""
    return f"""
        for a in range({sets}):
            for s in range({m}):
                row = unsigned((({first} + a) * {m} + s) * {BLOCK})
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
    scope: dict[str, Any] = {"__name__": __name__, "empty": np.empty, "unsigned": np.uint64}
    exec(compile(text.replace("def kernel(", f"def {name}(", 1), __file__, "exec"), scope)
    return compiled(scope[name])


def compiled(function: Callable[..., Any], *, parallel: bool = False) -> Callable[..., Any]:
    """Compile with numba: releasing the interpreter's lock, sums reordered, kept on disk where it can be."""
    import numba

    return _kept(numba.njit, function, nogil=True, parallel=parallel, **OPTIONS)


def pointer(kernel: Any, dtype: Any) -> Callable[..., int]:
    """Return a compiled loop of `kernel` as a pointer, which compiled functions take as an argument."""
    from numba import cfunc, from_dtype, int64, types

    real = from_dtype(dtype)
    row, cells = types.Array(real, 1, "C"), types.Array(real, 3, "C")
    signature = int64(cells, row, row, cells, int64)
    return _kept(functools.partial(cfunc, signature), kernel.py_func, **OPTIONS)


def _kept(compiler: Callable[..., Any], function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    try:
        return compiler(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # nowhere to keep it
        return compiler(**options)(function)  # type: ignore[no-any-return]
