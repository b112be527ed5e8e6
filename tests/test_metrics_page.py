"""The code of docs/metrics.md runs, and its table names every metric."""

import re
from pathlib import Path

import pytest

from lnegeom import metrics

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()


def test_every_block_runs():
    pytest.importorskip("torch", reason="torch is not installed")
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 12
    for block in blocks:
        exec(compile(block, "docs/metrics.md", "exec"), namespace)
    assert namespace["hill"].matrix([0.1, 0.2]).shape == (2, 2)


def test_the_table_names_every_metric():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)[`(]", row.split("|")[1])}
    assert named == set(metrics.__all__) - {"Metric"}
