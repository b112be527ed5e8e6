"""The README's code runs, and its numbers are the demo's kind of numbers."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_every_python_block_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.chdir(tmp_path)  # one of them writes a file
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert namespace["metric"].ricci(namespace["theta"]).shape == (2, 3, 3)
    assert namespace["loss"] > 0
