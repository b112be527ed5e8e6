"""The shape of the code: who imports what, what is public, how long the first import takes."""

import ast
import importlib
import inspect
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import lnegeom
import lnegeom_torch

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "sympy", "matplotlib", "scipy", "sklearn", "tqdm", "geoopt"]


def loaded_after(statement):
    """The heavy packages that a fresh interpreter has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_core_loads_nothing_heavy():
    assert loaded_after("import lnegeom") == set()


def test_the_core_never_imports_torch():
    modules = ["lnegeom", *(m.name for m in pkgutil.walk_packages(lnegeom.__path__, "lnegeom."))]
    assert len(modules) > 15
    use = "\n".join(f"import {module}" for module in modules) + (
        "\nlnegeom.LNE(1.0).ricci([0.1, 0.2])"
        "\ngrid = lnegeom.flow.TorusGrid((8, 8))"
        "\nlnegeom.flow.ricci_deturck(lnegeom.flow.perturbed_flat(grid, 0.1, seed=0), grid, 0.1, samples=2)"
    )
    assert "torch" not in loaded_after(use)


def test_checks_need_no_hypothesis_and_strategies_name_the_extra():
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import lnegeom\n"
        "lnegeom.testing.check_metric(lnegeom.Sphere(2), [[0.1, 0.3]])\n"
        "try: lnegeom.testing.points\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == 'points needs hypothesis: pip install "lnegeom[testing]"\n'


def test_checks_of_metrics_and_optimizers_need_no_geoopt():
    script = (
        "import sys; sys.modules['geoopt'] = None\n"
        "import lnegeom_torch\n"
        "lnegeom_torch.testing.metric_laws(lnegeom_torch.LNE())\n"
        "try: lnegeom_torch.testing.check_manifold\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == 'check_manifold needs geoopt: pip install "lnegeom[geoopt]"\n'


def test_the_adapter_without_torch_names_the_extra():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import lnegeom_torch\n"
        "for name in ('ManifoldSGD', 'nets'):\n"
        "    try: getattr(lnegeom_torch, name)\n"
        "    except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    expected = [
        f'lnegeom_torch.{name} needs torch: pip install "lnegeom[torch]"' for name in ("ManifoldSGD", "nets")
    ]
    assert done.stdout.splitlines() == expected


def test_the_command_line_shows_its_help_without_torch():
    script = "from lnegeom.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass"
    assert "torch" not in loaded_after(
        script.replace("from", "import os; sys.stdout = open(os.devnull, 'w')\nfrom")
        + "\nsys.stdout = sys.__stdout__"
    )


def test_without_torch_the_command_line_says_what_to_install():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from lnegeom.cli import main; sys.exit(main(['train', '--out', 'nowhere']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("pip install") == 1
    assert 'pip install "lnegeom[all]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_without_matplotlib_a_command_refuses_before_it_runs(tmp_path):
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from lnegeom.cli import main\n"
        f"for command in ['flow'], ['train', '--epochs', '1'], ['compare', '--methods', 'ste', 'fp']:\n"
        f"    print(main([*command, '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "2", "2"]
    assert done.stderr.count('error: plots need matplotlib: pip install "lnegeom[plot]"\n') == 3
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_import_takes_little_longer_than_numpys():
    def seconds(module):
        script = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
        runs = [
            subprocess.run([sys.executable, "-c", script], check=True, capture_output=True) for _ in range(5)
        ]
        return statistics.median(float(run.stdout) for run in runs)

    assert seconds("lnegeom") - seconds("numpy") < 0.3


def packages():
    for package in (lnegeom, lnegeom_torch):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.ispkg:
                yield module.name


@pytest.mark.parametrize("name", list(packages()))
def test_all_is_exact_sorted_and_documented(name):
    if name in ("lnegeom_torch", "lnegeom_torch.manifolds"):  # the first offers the second
        pytest.importorskip("geoopt", reason="geoopt is not installed")
    package = importlib.import_module(name)
    public = [getattr(package, entry) for entry in package.__all__]  # every name exists
    assert len(set(package.__all__)) == len(package.__all__)
    for entry, thing in zip(package.__all__, public, strict=True):
        if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismodule(thing):
            assert inspect.getdoc(thing), f"{name}.{entry} has no docstring"
    # What __init__ imports from its own package, or defines, is what it offers.
    tree = ast.parse(Path(package.__file__).read_text())
    offered = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(name.split(".")[0])
        for alias in node.names
    }
    offered |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert offered - {"__getattr__"} == set(package.__all__)


def test_unknown_names_are_attribute_errors():
    for package in (lnegeom, lnegeom.testing, lnegeom_torch, lnegeom_torch.testing):
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            package.nonsense  # noqa: B018


def test_files_are_short():
    lengths = {p: len(p.read_text().splitlines()) for p in ROOT.glob("lnegeom*/**/*.py")}
    assert {str(p): n for p, n in lengths.items() if n > 350} == {}
