"""The hook in conftest.py: only what an optional package is missing for is left out of a run."""

import os
import subprocess
import sys
from pathlib import Path

OPTIONS = ["--collect-only", "-ra", "--doctest-modules", "--doctest-ignore-import-errors"]
OPTIONS += ["--import-mode=importlib", "--rootdir=.", "-pno:cacheprovider", "-pconftest"]


def test_a_test_module_that_cannot_be_imported_is_an_error(tmp_path):
    beginnings = {
        "test_misspelt": "from lnegeom import nonsense",
        "test_unknown": "import nonsense",
        "test_without": "raise ModuleNotFoundError(\"No module named 'geoopt'\")",
        "test_good": "",
    }
    for name, beginning in beginnings.items():
        (tmp_path / f"{name}.py").write_text(f"def test_half(): pass\n{beginning}\ndef test_whole(): pass\n")
    command = [sys.executable, "-m", "pytest", *OPTIONS]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = sorted(line.split()[1] for line in done.stdout.splitlines() if line.startswith("ERROR "))
    assert errors == ["test_misspelt.py", "test_unknown.py"], done.stdout
    assert "test_without.py:0: geoopt is not installed" in done.stdout
    assert "2 tests collected" in done.stdout
