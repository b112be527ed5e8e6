"""Reads recipes."""

from __future__ import annotations

import copy
import functools
import tomllib
from pathlib import Path
from typing import Any

from lnegeom import InputError

__all__ = ["load", "names"]

_SMALL = "-small"


def names() -> list[str]:
    """All recipes, as ``table/row``.

    Examples
    --------
    >>> from lnegeom_torch import recipes
    >>> recipes.names()[:2]
    ['blended-coarse-small/resnet18-bcgd', 'blended-coarse-small/resnet18-bcgd-ends-32']
    """
    return sorted(f"{table}/{row}" for table, settings in _tables().items() for row in settings["rows"])


def load(name: str) -> dict[str, Any]:
    """The settings of a recipe, given as ``table/row``, or ``table-small/row`` for a small machine.

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
    tables = _tables()
    if table not in tables:
        raise InputError(f"unknown recipe {name!r}; the tables are {', '.join(sorted(tables))}")
    settings = copy.deepcopy(tables[table])
    rows, small = settings.pop("rows"), settings.pop("small", {})
    if not row:
        raise InputError(f"a recipe is {table}/ROW, and the rows are {', '.join(rows)}")
    if row not in rows:
        raise InputError(f"table {table!r} has no row {row!r}; its rows are {', '.join(rows)}")
    own = rows[row]
    quant = {**settings.pop("quant", {}), **own.pop("quant", {})}
    settings.pop("source", None)
    settings = {**settings, **own, **(small if table.endswith(_SMALL) else {}), "quant": quant}
    if "pretrained" in settings:
        settings["pretrained"] = f"runs/{table}/{settings['pretrained']}/seed-0/checkpoint.safetensors"
    return settings


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    """What each table's file holds, by the table's name; twice where it has a smaller form."""
    tables = {}
    for path in Path(__file__).parent.glob("*.toml"):
        tables[path.stem] = tomllib.loads(path.read_text(encoding="utf-8"))
        if "small" in tables[path.stem]:
            tables[path.stem + _SMALL] = tables[path.stem]
    return tables
