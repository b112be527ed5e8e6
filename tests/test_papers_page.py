"""docs/papers.md names every claim, method and recipe of the papers, and nothing that is not there."""

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from lnegeom.claims import groups
from lnegeom_torch import recipes
from lnegeom_torch.methods import METHODS

PAGE = (Path(__file__).parents[1] / "docs" / "papers.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 2]


def test_the_last_column_of_the_tables_names_every_claim():
    named = {name for row in ROWS for name in re.findall(r"`([a-z][a-z0-9-]+)`", row[2])}
    assert named >= {claim.name for group in groups() for claim in group.claims}
    claims = {name for row in ROWS for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", row[2])}
    assert claims <= {claim.name for group in groups() for claim in group.claims}


def test_every_table_of_the_papers_is_named():
    tables = {name.split("/")[0] for name in recipes.names()}
    own = {table for table in tables if table.startswith(("digits", "mnist")) or table.endswith("-small")}
    cells = " ".join(row[1] for row in ROWS if "recipes" in row[1])
    first, last = "maniquant-table1", "maniquant-table6"
    assert f"`{first}` … `{last}`" in cells
    between = {f"maniquant-table{number}" for number in range(2, 6)}
    assert set(re.findall(r"recipes|`([a-z0-9-]+)`", cells)) - {""} == tables - own - between


def test_methods_and_names_exist():
    methods = re.findall(r"methods? ((?:`\w+`(?:, )?)+)", PAGE)
    named = {name for found in methods for name in re.findall(r"\w+", found)}
    assert {"ste", "dorefa", "wcg", "lne", "rf", "fim", "coarse", "bcgd", "metaquant"} <= named
    assert named <= set(METHODS)
    dotted = set(re.findall(r"`(lnegeom(?:_torch)?(?:\.\w+)+)", PAGE))
    assert len(dotted) > 30
    for name in dotted:
        package, *path = name.split(".")
        found = importlib.import_module(package)
        for part in path:
            found = getattr(found, part)
