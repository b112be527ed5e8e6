"""Reads recipes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from lnegeom import InputError

__all__ = ["load", "names"]


def names() -> list[str]:
    """All recipes, as ``table/row``.

    Examples
    --------
    >>> from lnegeom_torch import recipes
    >>> recipes.names()[:2]
    ['digits-mlp/bcgd', 'digits-mlp/coarse']
    """
    return sorted(f"{path.stem}/{row}" for path in _files() for row in _read(path)["rows"])


def load(name: str) -> dict[str, Any]:
    """The settings of a recipe, given as ``table/row``.

    Raises
    ------
    InputError
        If there is no such recipe.

    Examples
    --------
    >>> from lnegeom_torch import recipes
    >>> settings = recipes.load("maniquant-table1/resnet20-wcg")
    >>> settings["model"], settings["epochs"], settings["quant"]
    ('resnet20', 200, {'method': 'wcg'})
    """
    table, _, row = name.partition("/")
    files = {path.stem: path for path in _files()}
    if table not in files:
        raise InputError(f"unknown recipe {name!r}; the tables are {', '.join(sorted(files))}")
    settings = _read(files[table])
    rows = settings.pop("rows")
    if row not in rows:
        raise InputError(f"table {table!r} has no row {row!r}; its rows are {', '.join(rows)}")
    own = rows[row]
    quant = {**settings.pop("quant", {}), **own.pop("quant", {})}
    settings.pop("source", None)
    return {**settings, **own, "quant": quant}


def _files() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.toml"))


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
