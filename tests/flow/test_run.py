"""Runs on any torus: oblique lattices, backgrounds, methods, checkpoints, and what stops them."""

import contextlib
import json
import math

import numpy as np
import pytest

from lnegeom import GeometryError, InputError
from lnegeom.flow import (
    TorusGrid,
    king_conformal,
    perturbed_flat,
    plane_wave,
    ricci,
    ricci_deturck,
)
from lnegeom.flow.singular import Watch
from lnegeom.flow.torus import rhs
from lnegeom.flow.torus.march import March
from lnegeom.flow.torus.spectral import Modes

HEXAGON = [[1.0, 0.0], [0.5, math.sqrt(0.75)]]


def to_numpy(value):
    return value if isinstance(value, np.ndarray) else np.from_dlpack(value)


def test_a_sheared_basis_of_the_same_torus_gives_the_same_flow():
    # The points (i + j, j) of the square grid are those of the lattice (L, 0), (L, L).
    square, sheared = (
        TorusGrid((24, 24)),
        TorusGrid((24, 24), lattice=2 * math.pi * np.array([[1, 0], [1, 1]])),
    )
    i, j = np.indices((24, 24))
    place = (i + j) % 24, j
    start = perturbed_flat(square, 0.2, seed=0, modes=1)
    plain = ricci_deturck(start, square, 0.5, samples=2, dt=0.05)
    oblique = ricci_deturck(start[place], sheared, 0.5, samples=2, dt=0.05)
    # The modes that the 2/3 rule keeps differ, beyond those that matter.
    np.testing.assert_allclose(oblique.metrics[-1], plain.metrics[-1][place], atol=2e-7)
    np.testing.assert_allclose(oblique.perturbation_norm(), plain.perturbation_norm(), rtol=1e-6)


def test_kings_solution_on_a_hexagonal_torus():
    grid = TorusGrid((32, 32), lattice=2 * math.pi * np.array(HEXAGON))
    start, end = (king_conformal(grid, t, wavevector=(1, 1)) for t in (0.0, 0.5))
    solution = ricci_deturck(start, grid, 0.5, samples=2, tolerance=1e-7)
    np.testing.assert_allclose(solution.metrics[-1], end, atol=1e-8)


@pytest.mark.parametrize("shape", [(9,), (8, 8, 8, 8)])
def test_one_to_four_dimensions(shape):
    # A wave along one axis of T^n evolves as on a circle.
    n = len(shape)
    grid, circle = TorusGrid(shape), TorusGrid(shape[:1])
    A = np.zeros((n, n))
    A[0, 0] = 0.2
    wide = ricci_deturck(plane_wave(grid, (1,) + (0,) * (n - 1), A), grid, 0.5, samples=2, dt=0.1)
    thin = ricci_deturck(plane_wave(circle, (1,), [[0.2]]), circle, 0.5, samples=2, dt=0.1)
    line = wide.metrics[-1][(slice(None), *[3] * (n - 1), 0, 0)]
    np.testing.assert_allclose(line, thin.metrics[-1][:, 0, 0], atol=1e-13)


def gauge_metric(grid):
    """φ*δ for φ = (x + 0.1 sin y, y + 0.15 sin x): flat, not constant."""
    x = grid.coordinates()
    J = np.broadcast_to(np.eye(2), (*grid.shape, 2, 2)).copy()
    J[..., 0, 1] = 0.1 * np.cos(x[..., 1])
    J[..., 1, 0] = 0.15 * np.cos(x[..., 0])
    return np.swapaxes(J, -1, -2) @ J


def test_a_flat_metric_rests_on_its_own_background():
    grid = TorusGrid((20, 20))
    g = gauge_metric(grid)
    solution = ricci_deturck(g, grid, 1.0, samples=3, background=g, invariants="all")
    np.testing.assert_allclose(solution.metrics[-1], g, atol=1e-6)
    assert solution.invariants["deturck_vector"][0] < 1e-14
    np.testing.assert_allclose(solution.perturbation_norm("sup", mean_free=False), 0, atol=1e-6)
    moved = ricci_deturck(g, grid, 1.0, samples=2)
    assert np.max(np.abs(moved.metrics[-1] - g)) > 0.1  # towards the flat background's coordinates


def test_backgrounds_differ_by_a_diffeomorphism_only():
    # The three flows of one metric have the same geometry at the same time.
    grid = TorusGrid((24, 24))
    g = perturbed_flat(grid, 0.2, seed=3, modes=2)
    settings = {"samples": 2, "tolerance": 1e-7, "invariants": ["volume", "perelman_lambda"]}
    flows = [
        ricci_deturck(g, grid, 0.3, **settings),
        ricci_deturck(g, grid, 0.3, background=g, **settings),
        ricci(g, grid, 0.3, **settings),
    ]
    assert np.max(np.abs(flows[0].metrics[-1] - flows[1].metrics[-1])) > 0.01
    # In two dimensions Ricci flow is conformal, and a conformal factor has no DeTurck vector against g(0).
    np.testing.assert_allclose(flows[1].metrics[-1], flows[2].metrics[-1], atol=1e-6)
    for name in ("volume", "perelman_lambda"):
        first, *others = [float(flow.invariants[name][-1]) for flow in flows]
        for other in others:
            assert other == pytest.approx(first, rel=1e-6)
    assert flows[0].invariants["perelman_lambda"][0] < -1e-3


def test_the_constant_background_is_the_flat_one():
    grid = TorusGrid((12, 12))
    g = perturbed_flat(grid, 0.2, seed=0)
    constant = np.broadcast_to([[1.5, 0.3], [0.3, 0.9]], g.shape)
    plain = ricci_deturck(g, grid, 0.2, samples=2, dt=0.05)
    other = ricci_deturck(g, grid, 0.2, samples=2, dt=0.05, background=constant)
    np.testing.assert_allclose(other.metrics, plain.metrics, atol=1e-14)


def test_any_library_on_an_oblique_torus_with_a_background(backend):
    grid = TorusGrid((10, 9), lattice=HEXAGON)
    start, base = (perturbed_flat(grid, 0.1, seed=seed, modes=2) for seed in (0, 1))

    def flow(array):
        return ricci_deturck(array(start), grid, 0.003, samples=2, dt=1e-3, background=array(base))

    expected, found = flow(np.asarray), flow(backend.array)
    assert backend.owns(found.metrics)
    np.testing.assert_allclose(to_numpy(found.metrics), expected.metrics, atol=1e-13)
    np.testing.assert_allclose(
        to_numpy(found.perturbation_norm("sup")), expected.perturbation_norm("sup"), rtol=1e-10
    )


@pytest.mark.parametrize("method", ["ifrk4", "etdrk4", "rk4", "sbdf4"])
def test_every_method_is_of_order_four(method):
    grid = TorusGrid((12, 12))
    start = perturbed_flat(grid, 0.4, seed=2)
    reference = ricci_deturck(start, grid, 0.4, dt=0.4 / 640, samples=2).metrics[-1]
    steps = 0.4 / np.array([40, 80, 160] if method in ("sbdf4", "rk4") else [10, 20, 40])
    flows = [ricci_deturck(start, grid, 0.4, dt=dt, samples=2, method=method) for dt in steps]
    errors = [np.max(np.abs(flow.metrics[-1] - reference)) for flow in flows]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(4, abs=0.3)


def test_errors_follow_the_tolerance():
    grid = TorusGrid((32, 32))
    exact = king_conformal(grid, 1.0)
    errors, counts = [], []
    for tolerance in (1e-5, 1e-7, 1e-9):
        solution = ricci_deturck(king_conformal(grid, 0.0), grid, 1.0, samples=2, tolerance=tolerance)
        errors.append(np.max(np.abs(solution.metrics[-1] - exact)))
        counts.append(solution.evaluations)
    assert errors[0] < 1e-6
    assert errors[1] < 1e-8
    assert counts[1] <= 50  # what the flow is built for
    assert errors[2] < 1e-10


def test_threads_change_nothing():
    grid = TorusGrid((10, 9, 8))
    start = perturbed_flat(grid, 0.2, seed=0, modes=2)
    one, two = (ricci_deturck(start, grid, 0.1, samples=2, workers=count) for count in (1, 2))
    np.testing.assert_allclose(one.metrics, two.metrics, atol=1e-15)  # the last digit may


@contextlib.contextmanager
def interrupted(monkeypatch, after):
    """Make the march stop as by Ctrl-C when a time is passed."""
    march = March.to

    def until(self, end, on_step):
        if end > after:
            raise KeyboardInterrupt
        march(self, end, on_step)

    with monkeypatch.context() as context:
        context.setattr(March, "to", until)
        yield


@pytest.mark.parametrize(("method", "dt"), [("ifrk4", None), ("sbdf4", 0.02), ("etdrk4", 0.05)])
def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch, method, dt):
    grid = TorusGrid((10, 9), lattice=[[2.0, 0.0], [0.7, 1.5]])
    start = perturbed_flat(grid, 0.2, seed=1, modes=2)
    arguments = {"samples": 6, "method": method, "dt": dt, "invariants": "all"}
    whole = ricci_deturck(start, grid, 0.5, **arguments)
    with interrupted(monkeypatch, 0.25), pytest.raises(KeyboardInterrupt):
        ricci_deturck(start, grid, 0.5, out=tmp_path / "run", **arguments)
    resumed = ricci_deturck(start, grid, 0.5, out=tmp_path / "run", **arguments)
    np.testing.assert_array_equal(resumed.metrics, whole.metrics)
    np.testing.assert_array_equal(resumed.times, whole.times)
    for name, values in whole.invariants.items():
        np.testing.assert_array_equal(resumed.invariants[name], values)
    assert (resumed.status, resumed.message, resumed.dt) == (whole.status, whole.message, whole.dt)
    assert isinstance(resumed.metrics, np.memmap)
    again = ricci_deturck(start, grid, 0.5, out=tmp_path / "run", **arguments)  # nothing left to do
    np.testing.assert_array_equal(again.metrics, whole.metrics)
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == ["checkpoint.npz", "metrics.npy"]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_singular_run_resumes_to_the_same_time(tmp_path, monkeypatch, library):
    xp = pytest.importorskip(library)
    monkeypatch.setattr("lnegeom.flow.torus.run.right_hand_side", Shrinker)
    monkeypatch.setattr(Modes, "laplacian", lambda self, c: self.real(np.zeros(self.kept)))
    grid = TorusGrid((8, 8))
    start = xp.asarray(perturbed_flat(grid, 0.2, seed=0))
    whole = ricci_deturck(start, grid, 1.0, samples=9)
    with interrupted(monkeypatch, 0.2), pytest.raises(KeyboardInterrupt):
        ricci_deturck(start, grid, 1.0, samples=9, out=tmp_path)
    for _ in range(2):  # a run that stopped does so again
        resumed = ricci_deturck(start, grid, 1.0, samples=9, out=tmp_path)
        assert resumed.message == whole.message
        assert resumed.singular_time == whole.singular_time
        np.testing.assert_array_equal(resumed.metrics, whole.metrics)


def test_torch_runs_resume_too(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    grid = TorusGrid((8, 8))
    start = torch.asarray(perturbed_flat(grid, 0.2, seed=1, modes=2))
    whole = ricci_deturck(start, grid, 0.5, samples=4)
    with interrupted(monkeypatch, 0.2), pytest.raises(KeyboardInterrupt):
        ricci_deturck(start, grid, 0.5, samples=4, out=tmp_path)
    resumed = ricci_deturck(start, grid, 0.5, samples=4, out=tmp_path)
    np.testing.assert_array_equal(resumed.metrics, to_numpy(whole.metrics))


def test_a_folder_serves_one_run(tmp_path):
    grid = TorusGrid((8, 8))
    start = perturbed_flat(grid, 0.2, seed=1, modes=2)
    ricci_deturck(start, grid, 0.1, samples=2, out=tmp_path)
    with pytest.raises(InputError, match="another run, which differs in t_end: choose another folder"):
        ricci_deturck(start, grid, 0.2, samples=2, out=tmp_path)
    with pytest.raises(InputError, match="differs in metric"):
        ricci_deturck(1.01 * start, grid, 0.1, samples=2, out=tmp_path)
    header = np.array(json.dumps({"format": "something else"}))
    np.savez(tmp_path / "checkpoint.npz", header=header)
    with pytest.raises(InputError, match=r"checkpoint\.npz is no checkpoint of this kind of flow"):
        ricci_deturck(start, grid, 0.1, samples=2, out=tmp_path)


class Shrinker:
    """A right-hand side whose solution is ``(1 − t/T) g(0)``: all curvature grows as ``1/(T − t)``."""

    end = 0.37

    def __init__(self, xp, modes, equation, workers=1):
        self.inner = rhs.Plain(xp, modes, equation)
        self.equation, self.modes = equation, modes
        self.rate = None

    def __call__(self, u):
        self.inner(u)  # raises where there is no metric left
        if self.rate is None:
            self.rate = -u / self.end
            self.rate[:, 0, 0] -= self.modes.real(self.equation.constant / self.end)
        return self.rate


def test_stops_when_curvature_blows_up(monkeypatch):
    monkeypatch.setattr("lnegeom.flow.torus.run.right_hand_side", Shrinker)
    monkeypatch.setattr(Modes, "laplacian", lambda self, c: self.real(np.zeros(self.kept)))
    grid = TorusGrid((16, 16))
    solution = ricci_deturck(perturbed_flat(grid, 0.2, seed=0), grid, 1.0, samples=41)
    assert solution.status == "stopped"
    assert solution.singular_time == pytest.approx(0.37, rel=1e-6)
    assert "the curvature grows like 1/(T - t) with T = 0.37" in solution.message
    assert 0.36 < solution.times[-1] < 0.37
    assert np.linalg.eigvalsh(solution.metrics).min() > 0


def test_a_watch_leaves_out_what_the_grid_makes_of_the_end():
    times = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.05, 1.1, 1.1001, 1.1002]
    curvature = [5.0, 4.0, 3.9, *(3 / (1.2 - t) for t in times[3:-2]), 1e6, 2e6]
    watch = Watch(lambda u: u, lambda g: curvature[g])
    for i, (time, step) in enumerate(zip(times, [0.1] * 7 + [0.05, 0.02, 0.01, 0.009], strict=True)):
        watch.see(time, i, step)
    assert [time for time, _ in watch.found] == [1.1, 1.1001]  # where the step had fallen
    assert watch.singular_time(times, lambda index: index) == pytest.approx(1.2)
    # The same curvature in a flow that went on to t = 3 was no singularity.
    assert watch.singular_time([*times, 3.0], lambda index: min(index, 10)) is None


def test_what_the_filter_leaves_must_be_a_metric():
    # A spike that is positive on the grid, and is not when it is cut to a third of the modes.
    grid = TorusGrid((12,))
    metric = np.full((12, 1, 1), 0.01)
    metric[0] = 1.0
    with pytest.raises(GeometryError, match=r"cut to the modes.*pass dealias=False"):
        ricci_deturck(metric, grid, 0.1)
    assert ricci_deturck(metric, grid, 1e-9, samples=2, dealias=False).status == "completed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "euler"}, "method must be one of ifrk4, etdrk4, rk4, sbdf4; got 'euler'"),
        ({"method": "sbdf4"}, "'sbdf4' takes steps of one length: pass dt"),
        ({"tolerance": 0.0}, "tolerance must be a positive"),
        ({"workers": 0}, "workers must be a positive integer"),
        ({"invariants": "mass"}, r"unknown invariant 'mass': expected \"all\" or some of volume, closeness"),
        ({"background": np.eye(2)}, r"background has shape \(2, 2\): expected \(8, 8, 2, 2\)"),
    ],
)
def test_bad_arguments(change, words):
    with pytest.raises(InputError, match=words):
        ricci_deturck(perturbed_flat(TorusGrid((8, 8)), 0.1, seed=0), TorusGrid((8, 8)), 1.0, **change)
