"""Expressions, symbols, matrices and assumptions as users give them: all of them come in here."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic.expressions import CONSTANTS, parse

_ASSUMPTIONS = ("positive", "negative", "nonnegative", "nonzero", "real")


def read_symbols(names: Any, what: str) -> tuple[Any, ...]:
    """Return symbols, from symbols or names."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    if not isinstance(names, Iterable):
        raise InputError(f"{what}: expected symbols or names, got {names!r:.80}")
    symbols = tuple(_symbol(name, what) if isinstance(name, str) else name for name in names)
    wrong = [symbol for symbol in symbols if not isinstance(symbol, sp.Symbol)]
    if wrong:
        raise InputError(f"{what}: expected symbols or names, got {wrong[0]!r:.80}")
    if len({_key(symbol) for symbol in symbols}) < len(symbols):
        raise InputError(f"{what}: expected different names, got {', '.join(map(str, symbols))}")
    return symbols


def _symbol(name: str, what: str) -> Any:
    if keyword.iskeyword(name) or name in CONSTANTS:
        kind = "a keyword of Python" if keyword.iskeyword(name) else "a constant"
        raise InputError(f"{what}: {name} is {kind}: expected another name, such as {name}_")
    if not name.isidentifier():
        raise InputError(f"{what}: expected a name, got {name!r:.80}; give a sympy symbol for such a one")
    return sp.Symbol(name)


def _key(symbol: Any) -> str:
    # Python reads names, in expressions and in the code that is made of them, in this form.
    return unicodedata.normalize("NFKC", str(symbol.name))


def check_one_symbol_per_name(symbols: Iterable[Any]) -> None:
    """Raise InputError if two different symbols have one name: neither is a function of the other."""
    seen: dict[str, Any] = {}
    for symbol in sorted(symbols, key=sp.default_sort_key):
        other = seen.setdefault(_key(symbol), symbol)
        if other != symbol:
            kinds = " and ".join(sorted(_kind(s) for s in (other, symbol)))
            raise InputError(
                f"two different symbols are named {symbol}, {kinds}: expected one; give that symbol itself "
                "wherever it occurs, or names without sympy's assumptions"
            )


def _kind(symbol: Any) -> str:
    # The first that holds says most.
    facts = [fact for fact in _ASSUMPTIONS if symbol.assumptions0.get(fact)]
    return f"one {facts[0]}" if facts else "one without assumptions"


def read_expression(entry: Any, names: Mapping[str, Any], renamed: Mapping[Any, Any] | None = None) -> Any:
    """Return a sympy expression, from one, a number or text: every user's expression passes here.

    Text is parsed and nothing else is looked into for text, so that none is ever evaluated.

    Parameters
    ----------
    entry : sympy expression, number or text
        What the user gave.
    names : mapping from str to symbols
        What may occur in text; symbols of an expression may not have one of these names and be another.
    renamed : mapping from symbols to symbols, optional
        Symbols to put in place of others first.
    """
    if isinstance(entry, str):
        value = parse(entry, names)
    else:
        try:
            value = sp.sympify(entry, strict=True)
        except (sp.SympifyError, TypeError, ValueError):
            value = None
    if not isinstance(value, sp.Expr):
        raise InputError(f"expected a sympy expression, a number or text, got {entry!r:.80}")
    if value.has(sp.I, sp.nan, sp.oo, -sp.oo, sp.zoo):
        raise InputError(f"expected a finite real expression, got {entry!s:.80}")
    value = value.xreplace(dict(renamed or {}))
    known = {symbol for symbol in names.values() if isinstance(symbol, sp.Symbol)}
    check_one_symbol_per_name(value.free_symbols | known)
    return value


def read_constant(what: str, value: Any, coordinates: Sequence[Any], parameters: Any = None) -> Any:
    """Return a metric's constant: a symbol for a name, or an expression without coordinates."""
    declared = {str(symbol): symbol for symbol in read_symbols(parameters or (), "parameters")}
    if isinstance(value, str) and value.isidentifier() and value not in (*declared, *CONSTANTS):
        result = _symbol(value, what)
    else:
        try:
            result = read_expression(value, declared)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
    shared = {_key(symbol) for symbol in result.free_symbols} & {_key(c) for c in coordinates}
    if shared:
        raise InputError(f"{what}: {min(shared)} is a coordinate here: expected another name")
    return result


def read_matrix(
    matrix: Any, coordinates: Sequence[Any], parameters: Sequence[Any] | None
) -> tuple[Any, tuple[Any, ...]]:
    """Return a sympy matrix and its coordinates, checked against each other."""
    symbols = read_symbols(coordinates, "coordinates")
    further = read_symbols(() if parameters is None else parameters, "parameters")
    declared = (*symbols, *further)
    if len({_key(symbol) for symbol in declared}) < len(declared):
        both = next(symbol for symbol in further if _key(symbol) in set(map(_key, symbols)))
        raise InputError(f"{both} is a coordinate and a parameter: expected different names")
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
    check_one_symbol_per_name(result.free_symbols | set(declared))
    if parameters is not None and (unknown := result.free_symbols - set(declared)):
        first = min(map(str, unknown))
        raise InputError(f"{first} is not declared: expected {', '.join(names)}; add it to the parameters")
    return result, symbols


def read_assumptions(assumptions: Any) -> dict[Any, str]:
    """Return assumptions by symbol or name."""
    if not isinstance(assumptions, Mapping | None):
        raise InputError(
            f'assumptions: expected a mapping such as {{"r": "positive"}}, got {assumptions!r:.80}'
        )
    return dict(assumptions or {})


def with_assumptions(
    matrix: Any, coordinates: Sequence[Any], assumptions: Mapping[Any, str] | None
) -> tuple[Any, tuple[Any, ...], dict[Any, Any]]:
    """Return matrix and coordinates in symbols that carry the assumptions, and the renaming."""
    known = {str(symbol): symbol for symbol in matrix.free_symbols | set(coordinates)}
    renamed = {}
    for name, assumption in read_assumptions(assumptions).items():
        if str(name) not in known:
            raise InputError(f"assumptions: expected names among {', '.join(sorted(known))}, got {name}")
        if assumption not in _ASSUMPTIONS:
            raise InputError(
                f"assumptions: expected {name} to be one of {', '.join(_ASSUMPTIONS)}, got {assumption!r}"
            )
        renamed[known[str(name)]] = sp.Symbol(str(name), **{assumption: True})
    return matrix.xreplace(renamed), tuple(renamed.get(c, c) for c in coordinates), renamed
