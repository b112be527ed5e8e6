"""Conformal flows on the 2-torus: the exact solution, order, invariants, libraries, and failure."""

import math

import numpy as np
import pytest
from conftest import to_numpy

from lnegeom import FromCallable, GeometryError, InputError
from lnegeom.flow import TorusGrid, conformal, king_conformal, ricci_deturck
from lnegeom.flow.torus import conformal as conformal_flow

GRID = TorusGrid((32, 24), (2 * math.pi, 5.0))


def king(t, **options):
    return king_conformal(GRID, t, **options)[..., 0, 0]


def rough(grid=GRID, seed=0):
    x, y = np.moveaxis(grid.coordinates() * (2 * np.pi / np.array(grid.lengths)), -1, 0)
    a, b = np.random.default_rng(seed).uniform(0, 6, 2)
    return np.exp(0.4 * np.cos(x + a) + 0.3 * np.sin(x + y) + 0.2 * np.cos(2 * y + b))


@pytest.mark.parametrize("wavevector", [(1, 0), (1, 1)])
def test_order_four_on_kings_solution(wavevector):
    options = {"wavevector": wavevector, "s0": 2.0}
    steps, errors = np.array([0.02, 0.01, 0.005]), []
    for dt in steps:
        got = conformal(king(0.0, **options), GRID, 0.8, dt=dt, samples=2, dealias=False).metrics[
            -1, ..., 0, 0
        ]
        errors.append(np.max(np.abs(got - king(0.8, **options))))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(4, abs=0.15)
    assert errors[-1] < 1e-10


def test_default_step_is_accurate():
    solution = conformal(king(0.0), GRID, 1.0, samples=2, tolerance=1e-8)
    np.testing.assert_allclose(solution.metrics[-1, ..., 0, 0], king(1.0), rtol=0, atol=1e-9)


def test_agrees_with_the_flow_of_the_whole_metric():
    grid = TorusGrid((24, 24))
    w = rough(grid)
    scalar = conformal(w, grid, 0.5, samples=3, dt=0.005)
    whole = ricci_deturck(w[..., None, None] * np.eye(2), grid, 0.5, samples=3, dt=0.005)
    np.testing.assert_allclose(scalar.metrics, whole.metrics, atol=3e-5)


@pytest.mark.parametrize("seed", range(4))
def test_invariants(seed):
    w = rough(seed=seed)
    solution = conformal(w, GRID, 20.0)
    area = solution.invariants["volume"]
    np.testing.assert_allclose(area, area[0], rtol=1e-13)
    assert area[0] == pytest.approx(GRID.volume * np.mean(w))
    # The maximum principle: the least curvature only grows, and w tends to its mean.
    assert np.all(np.diff(solution.invariants["scalar_min"]) > 0)
    assert np.all(solution.invariants["scalar_max"] > 0)
    np.testing.assert_allclose(solution.metrics[-1, ..., 0, 0], np.mean(w), rtol=1e-4)


def test_curvature_is_that_of_the_metric():
    solution = conformal(king(0.0), GRID, 0.1, samples=2)
    x = GRID.coordinates().reshape(-1, 2)
    kx = 2 * math.pi / GRID.lengths[0]
    metric = FromCallable(lambda p: math.sinh(3) / (math.cosh(3) + np.cos(kx * p[0])) * np.eye(2), dim=2)
    scalar = metric.scalar_curvature(x[::24])
    assert solution.invariants["scalar_min"][0] == pytest.approx(scalar.min(), rel=1e-6)
    assert solution.invariants["scalar_max"][0] == pytest.approx(scalar.max(), rel=1e-6)


def test_stable_at_any_step_and_far_from_flat():
    w = np.exp(3 * np.cos(GRID.coordinates()[..., 0]))  # 400 to 1
    solution = conformal(w, GRID, 100.0, dt=5.0, samples=21)
    assert solution.status == "completed"
    assert np.ptp(solution.metrics[-1]) < np.ptp(w)


def test_libraries_agree(backend):
    expected = conformal(rough(), GRID, 0.2, samples=3)
    solution = conformal(backend.array(rough()), GRID, 0.2, samples=3)
    for name in ("times", "metrics"):
        assert backend.owns(getattr(solution, name))
        got = getattr(solution, name)
        np.testing.assert_allclose(to_numpy(got), getattr(expected, name), rtol=0, atol=1e-12)
    single = conformal(backend.array(rough(), "float32"), GRID, 0.2, samples=3)
    assert str(single.metrics.dtype).endswith("float32")
    np.testing.assert_allclose(to_numpy(single.metrics), expected.metrics, atol=2e-4)


@pytest.mark.parametrize(("dt", "advice"), [(0.5, " or lower dt (it was 0.5)"), (None, "")])
def test_stops_at_the_last_good_state(monkeypatch, dt, advice):
    whole, calls = conformal_flow.IntegratingFactorRK4.step, iter(range(2))

    def step(self, u, first, dt):
        return whole(self, u, first, dt) * (1 if next(calls, None) is not None else -1)

    monkeypatch.setattr(conformal_flow.IntegratingFactorRK4, "step", step)
    solution = conformal(king(0.0), GRID, 4.0, dt=dt, samples=2)
    assert solution.status == "stopped"
    end = solution.times[-1]
    assert solution.message == (
        f"after t = {end:.6g} the factor ceased to be positive; the last good state is kept: "
        f"refine the grid{advice}"
    )
    assert len(solution.times) == 2
    if dt is not None:
        assert end == 2 * dt
    np.testing.assert_allclose(solution.metrics[-1, ..., 0, 0], king(end), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"grid": TorusGrid((8,))}, InputError, "2-torus, got a grid of dimension 1"),
        ({"factor": np.ones((8, 8))}, GeometryError, r"shape \(8, 8\): expected \(32, 24\)"),
        ({"factor": rough() - 1.0}, GeometryError, r"factor\[.*\] is -.*: expected a positive factor"),
        ({"factor": rough() * np.nan}, GeometryError, r"factor\[0, 0\] is nan"),
        ({"t_end": 0.0}, InputError, "t_end must be a positive"),
        ({"dt": -0.1}, InputError, "dt must be a positive"),
        ({"tolerance": 0.0}, InputError, "tolerance must be a positive"),
        ({"samples": 1}, InputError, "samples must be at least 2"),
    ],
)
def test_bad_arguments(change, error, words):
    arguments = {"factor": rough(), "grid": GRID, "t_end": 1.0, **change}
    with pytest.raises(error, match=words):
        conformal(**arguments)
