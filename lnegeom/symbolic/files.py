"""A user's own metric, in a TOML file."""

from __future__ import annotations

import reprlib
import tomllib
from pathlib import Path
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._inputs import read_symbols
from lnegeom.symbolic.constructors import from_potential, graph
from lnegeom.symbolic.expressions import exact, parse
from lnegeom.symbolic.metric import Metric

__all__ = ["from_toml"]

_SHAPES = {
    "matrix": "a list of rows, each a list of expressions",
    "diagonal": "a list of expressions",
    "potential": "an expression",
    "graph": "an expression",
}
_KINDS = tuple(_SHAPES)
_KEYS = {"coordinates", "parameters", "functions", "assumptions", "sign", *_KINDS}


def from_toml(path: str | Path, **options: Any) -> Metric:
    """Read a metric from a TOML file; its expressions are parsed by `parse`, never evaluated.

    The file has ``coordinates``, optionally ``parameters``, ``functions`` (undefined ones, such as ``["f"]``
    for ``f(r)``) and ``assumptions``, and one of ``matrix`` (rows of expressions), ``diagonal``,
    ``potential``, or ``graph`` with ``sign``::

        coordinates = ["r", "phi"]
        parameters = ["M"]
        diagonal = ["1/(1 - 2*M/r)", "r**2"]
        [assumptions]
        r = "positive"

    Parameters
    ----------
    path : path
        The file.
    **options
        Passed on to `Metric`.

    Raises
    ------
    InputError
        If the file is not TOML, lacks something or has something else, and as in `Metric`.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # syntax, encoding, or an integer of thousands of digits
        raise InputError(f"{path}: expected a TOML file ({error})") from None
    except RecursionError:
        raise InputError(f"{path}: expected a TOML file, its lists nested at most twice") from None
    if unknown := set(content) - _KEYS:
        raise InputError(f"{path}: unknown key {min(unknown)!r}; expected {', '.join(sorted(_KEYS))}")
    kinds = [kind for kind in _KINDS if kind in content]
    if len(kinds) != 1 or "coordinates" not in content:
        raise InputError(
            f"{path}: expected coordinates and one of {', '.join(_KINDS)}, got {', '.join(content)}"
        )
    if "sign" in content and kinds != ["graph"]:
        raise InputError(f"{path}: sign belongs to graph, and there is {kinds[0]}: remove it")
    for key in ("coordinates", "parameters", "functions"):
        _check_names(path, key, content.get(key, []))
    if not isinstance(assumptions := content.get("assumptions", {}), dict):
        raise InputError(
            f'{path}: assumptions: expected a table such as r = "positive", got {_shown(assumptions)}'
        )
    try:
        return _built(content, kinds[0], options)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_names(path: str | Path, key: str, names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(n, str) and n.isidentifier() for n in names):
        raise InputError(f"{path}: {key}: expected a list of names, got {_shown(names)}")


def _shown(value: Any) -> str:
    """Return a value in few words, however deep or long it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__} of thousands of digits"


def _built(content: dict[str, Any], kind: str, options: dict[str, Any]) -> Metric:
    coordinates = read_symbols(content["coordinates"], "coordinates")
    parameters = read_symbols(content.get("parameters", []), "parameters")
    functions = [str(s) for s in read_symbols(content.get("functions", []), "functions")]
    declared = map(str, (*coordinates, *parameters, *functions))
    read_symbols(list(declared), "coordinates, parameters and functions")
    names: dict[str, Any] = {str(s): s for s in (*coordinates, *parameters)}
    names |= {name: sp.Function(name) for name in functions}

    def read(value: Any, depth: int) -> Any:
        if depth:
            if not isinstance(value, list):
                raise InputError(f"{kind}: expected {_SHAPES[kind]}, got {_shown(value)}")
            return [read(entry, depth - 1) for entry in value]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"{kind}: expected {_SHAPES[kind]}, got {_shown(value)}")
        return parse(value, names) if isinstance(value, str) else exact(value)

    what = read(content[kind], {"matrix": 2, "diagonal": 1}.get(kind, 0))
    shared = {"parameters": parameters, "assumptions": content.get("assumptions", {}), **options}
    if kind == "potential":
        return from_potential(what, coordinates, **shared)
    if kind == "graph":
        return graph(what, coordinates, sign=content.get("sign", 1), **shared)
    if kind == "diagonal":
        what = [[entry if i == j else 0 for j in range(len(what))] for i, entry in enumerate(what)]
    return Metric(what, coordinates, **shared)
