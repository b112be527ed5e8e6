"""The code of docs/testing.md runs, its tests pass, its report and its table are what there is."""

import re
from pathlib import Path

import pytest

from lnegeom.testing._metrics import LAWS

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


@pytest.fixture(scope="module")
def names():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 7
    found = {}
    for block in blocks:
        exec(compile(block, "docs/testing.md", "exec"), found)
    return found


def test_the_report_is_what_the_page_shows(names):
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
    digits = re.compile(r"-?\d+\.\d+(e-\d+)?")  # the last ones depend on the machine
    assert digits.sub("#", names["report"]) == digits.sub("#", shown)
    for ours, theirs in zip(digits.finditer(names["report"]), digits.finditer(shown), strict=True):
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


def test_its_table_has_every_law_of_metrics():
    rows = [
        line.replace("\\|", "¦").strip("| ").split(" | ") for line in PAGE.splitlines() if line[:2] == "| "
    ]
    laws = {name: statement.replace("¦", "|") + "." for name, statement in rows[1:]}
    assert laws == {name: law.statement for name, law in LAWS.items()}
