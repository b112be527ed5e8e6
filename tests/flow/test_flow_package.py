"""The package's face, and what importing it drags in."""

import subprocess
import sys

import lnegeom.flow


def test_all_is_exact():
    public = {
        name
        for name, value in vars(lnegeom.flow).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == set(lnegeom.flow.__all__)
    assert lnegeom.flow.__all__ == sorted(lnegeom.flow.__all__)


def test_import_is_light():
    code = (
        "import sys, lnegeom.flow, lnegeom.plot; "
        "print([m for m in ('torch', 'sympy', 'matplotlib', 'tqdm') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
