"""The rootdir's conftest: only what an optional package is missing for is left out of a run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONS = ["-ra", "--doctest-modules", "--import-mode=importlib", "--rootdir=.", "-pno:cacheprovider"]


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("import nonsense", 2, "ERROR test_it.py"),
        ("from lnegeom import nonsense", 2, "ERROR test_it.py"),
        ("raise ModuleNotFoundError(\"No module named 'triton'\")", 0, "triton is not installed"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error(tmp_path, statement, code, said):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(f"{statement}\n\n\ndef test_this(): pass\n")
    (tmp_path / "test_other.py").write_text("def test_that(): pass\n")
    command = [sys.executable, "-m", "pytest", *OPTIONS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert said in done.stdout
