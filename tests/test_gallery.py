"""The gallery's scripts run, and find what its page says."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
pytest.importorskip("matplotlib")


def draw(name, folder, **options):
    spec = importlib.util.spec_from_file_location(name, DOCS / "gallery" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.draw(folder, **options)
    (picture,) = folder.iterdir()
    assert picture.stat().st_size > 20_000
    assert (DOCS / "images" / picture.name).exists()
    return found


def test_decay_on_the_torus(tmp_path):
    found = draw("torus_decay", tmp_path)
    assert found["rate"] == pytest.approx(found["theory"], rel=0.01)
    assert 0.02 < found["left over"] < 0.1  # the limit is not δ


def test_berger_spheres(tmp_path):
    for ratio in draw("berger_sphere", tmp_path).values():
        assert ratio == pytest.approx(1, abs=1e-6)


def test_a_forming_neck(tmp_path):
    found = draw("neck", tmp_path)
    assert found["growth of R"] > 1e4
    assert found["R (T - t)"] == pytest.approx(1, abs=0.1)


def test_growing_tori(tmp_path):
    smaller, larger = draw("growing_tori", tmp_path, sides=(8, 16, 32)).values()
    assert 0.5 < larger < smaller - 0.1  # towards 1/2; the page shows side 64 too
    assert larger == pytest.approx(0.5, abs=0.05)


def test_geodesics(tmp_path):
    found = draw("geodesics", tmp_path, directions=5)
    # Along the equator the curvature is 1/c²: geodesics that spread from a point meet again at π c.
    assert found["along the equator"] == pytest.approx(found["theory"], rel=1e-7)


def test_every_picture_and_script_of_the_page_exists():
    page = (DOCS / "gallery.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", page)
    assert len(targets) >= 8
    for target in targets:
        assert (DOCS / target).exists(), target


def test_the_code_of_the_page_on_flows_runs():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "flows.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    namespace = {}
    for block in blocks:
        exec(compile(block, "flows.md", "exec"), namespace)
    nil = namespace["nil"].metrics[:, 0, 0]
    assert nil[-1] == pytest.approx((1 + 12 * 100) ** (-1 / 3), rel=1e-8)
    assert namespace["neck"].singular_time == pytest.approx(0.00919, abs=1e-5)
