"""The code of docs/testing.md runs, its tests pass, its report and its table are what there is."""

import re
from pathlib import Path

import pytest

from lnegeom.testing import _metrics
from lnegeom_torch.testing import _manifolds, _optimizers
from lnegeom_torch.testing import _metrics as _weights

TABLES = {
    "laws of metrics": _metrics.LAWS,
    "laws of metrics on weights": _weights.LAWS,
    "laws of optimizers": _optimizers.LAWS,
    "laws of geoopt's manifolds": _manifolds.LAWS,
}

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


@pytest.fixture(scope="module")
def names():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 10
    found = {}
    for block in blocks:
        exec(compile(block, "docs/testing.md", "exec"), found)
    return found


@pytest.mark.parametrize(("name", "place"), [("report", 0), ("stiff_report", 1)])
def test_the_report_is_what_the_page_shows(names, name, place):
    shown = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(shown) == 2
    digits = re.compile(r"-?\d+\.\d+(e-\d+)?")  # the last ones depend on the machine
    assert digits.sub("#", names[name]) == digits.sub("#", shown[place])
    for ours, theirs in zip(digits.finditer(names[name]), digits.finditer(shown[place]), strict=True):
        assert float(ours[0]) == pytest.approx(float(theirs[0]), rel=1e-5)


def test_its_tests_pass(names):
    (mark,) = names["test_half_space"].pytestmark
    assert mark.args[1] == names["metric_laws"](names["SPACE"])
    for law in mark.args[1]:
        names["test_half_space"](law)
    tests = [name for name in names if name.startswith("test_") and name != "test_half_space"]
    assert len(tests) == 4
    for name in tests:
        names[name]()


def test_its_tables_have_every_law():
    tables = re.findall(r"^\| (laws of [^|]*?) \| \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert [title for title, _ in tables] == list(TABLES)
    for title, body in tables:
        rows = [row.replace("\\|", "¦").strip("| ").split(" | ") for row in body.splitlines()]
        laws = {name: statement.replace("¦", "|") + "." for name, statement in rows}
        assert laws == {name: law.statement for name, law in TABLES[title].items()}
