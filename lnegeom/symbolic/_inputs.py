"""Matrices, coordinates and assumptions as users give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic.expressions import parse

_ASSUMPTIONS = ("positive", "negative", "nonnegative", "nonzero", "real")


def read_symbols(names: Sequence[Any], what: str) -> tuple[Any, ...]:
    """Return symbols, from symbols or names."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    symbols = tuple(sp.Symbol(name) if isinstance(name, str) else name for name in names)
    wrong = [symbol for symbol in symbols if not isinstance(symbol, sp.Symbol)]
    if wrong:
        raise InputError(f"{what}: expected symbols or names, got {wrong[0]!r}")
    if len(set(symbols)) < len(symbols):
        raise InputError(f"{what}: expected different names, got {', '.join(map(str, symbols))}")
    return symbols


def read_expression(entry: Any, names: Mapping[str, Any]) -> Any:
    """Return a sympy expression, from one, a number or text."""
    if isinstance(entry, str):
        return parse(entry, names)
    try:
        value = sp.sympify(entry, strict=True)
    except (sp.SympifyError, TypeError):
        value = None
    if not isinstance(value, sp.Expr):
        raise InputError(f"expected a sympy expression, a number or text, got {entry!r:.80}")
    if value.has(sp.I, sp.nan, sp.oo, sp.zoo):
        raise InputError(f"expected a finite real expression, got {value}")
    return value


def read_matrix(
    matrix: Any, coordinates: Sequence[Any], parameters: Sequence[Any] | None
) -> tuple[Any, tuple[Any, ...]]:
    """Return a sympy matrix and its coordinates, checked against each other."""
    symbols = read_symbols(coordinates, "coordinates")
    declared = (*symbols, *read_symbols(parameters or (), "parameters"))
    rows = matrix.tolist() if hasattr(matrix, "tolist") else matrix
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise InputError(f"expected a matrix, n rows of n entries, got {matrix!r:.80}")
    size = len(rows)
    if not size or any(len(row) != size for row in rows):
        raise InputError("the matrix is not square: expected n rows of n entries")
    if size != len(symbols):
        raise InputError(
            f"the matrix is {size} × {size} and there are {len(symbols)} coordinates: expected as many"
        )
    names = {str(symbol): symbol for symbol in declared}
    result = sp.Matrix(size, size, [read_expression(entry, names) for row in rows for entry in row])
    if parameters is not None and (unknown := result.free_symbols - set(declared)):
        first = min(map(str, unknown))
        raise InputError(f"{first} is not declared: expected {', '.join(names)}; add it to the parameters")
    return result, symbols


def with_assumptions(
    matrix: Any, coordinates: tuple[Any, ...], assumptions: Mapping[Any, str]
) -> tuple[Any, tuple[Any, ...], dict[Any, Any]]:
    """Return matrix and coordinates in symbols that carry the assumptions, and the renaming."""
    known = {str(symbol): symbol for symbol in matrix.free_symbols | set(coordinates)}
    renamed = {}
    for name, assumption in assumptions.items():
        if str(name) not in known:
            raise InputError(f"assumptions: expected names among {', '.join(sorted(known))}, got {name}")
        if assumption not in _ASSUMPTIONS:
            raise InputError(
                f"assumptions: expected {name} to be one of {', '.join(_ASSUMPTIONS)}, got {assumption!r}"
            )
        renamed[known[str(name)]] = sp.Symbol(str(name), **{assumption: True})
    return matrix.xreplace(renamed), tuple(renamed.get(c, c) for c in coordinates), renamed
