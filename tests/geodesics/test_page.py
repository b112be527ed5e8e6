"""The code of docs/geodesics.md runs, and finds what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "geodesics.md"


@pytest.fixture(scope="module")
def names():
    pytest.importorskip("torch", reason="torch is not installed")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 10
    namespace = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def test_closed_forms_and_integration(names):
    np.testing.assert_allclose(names["space"].to_matrix(names["middle"]), np.diag([1, 2**0.5, 2]), atol=1e-14)
    assert names["moved"].shape == (10**6,)
    metric = names["metric"]
    end = names["lnegeom"].exp(metric, [1.0, 1.0], names["v"])
    np.testing.assert_allclose(end, [2.0, 1.5], atol=1e-8)
    frame = names["carried"]
    np.testing.assert_allclose(frame @ metric.matrix(end) @ frame.T, metric.matrix([1.0, 1.0]), atol=1e-8)


def test_derivatives(names):
    for point in (names["here"], names["there"]):
        unit = names["ridges"].sharp(point.detach(), point.grad)
        assert float(unit @ point.grad) == pytest.approx(1, rel=1e-8)


def test_ends_and_statuses(names):
    path, long, antipode, spread = (names[name] for name in ("path", "long", "antipode", "spread"))
    assert path.status.tolist() == ["left", "completed"]
    assert path.message[0] == "the geodesic leaves the manifold near t = 1.21183"
    assert path.reached.tolist() == [122, 201]
    assert str(long.status) == antipode.status == "conjugate"
    assert float(long.conjugate) == pytest.approx(np.pi / 4, rel=1e-6)
    assert (antipode.time, antipode.multiplicity) == (pytest.approx(np.pi, rel=1e-6), 1)
    np.testing.assert_allclose(
        names["sphere"].norm(spread.points, spread.fields), np.sin(spread.times), atol=1e-8
    )


def test_means_and_dual_geodesics(names):
    assert names["mean"].point.shape == (4, 6)
    assert (names["mean"].status == "converged").all()
    assert names["points"].grad.abs().min() > 0.1
    e_points, means = names["e_path"].points, names["means"]
    for straight in (e_points, means):
        np.testing.assert_allclose(straight[1] - straight[0], straight[2] - straight[1], atol=1e-9)
    nearest = names["nearest"]
    assert nearest[0] == pytest.approx(nearest[1])
    residual = names["dual_space"].pythagorean_residual(names["base"], nearest, names["point"])
    assert residual == pytest.approx(0, abs=1e-12)
