"""Stabilised steps, checkpoints, and the estimate of a singular time."""

import json
import math

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import (
    BoxGrid,
    TorusGrid,
    WarpedGrid,
    box,
    cigar,
    conformal,
    dumbbell,
    king_conformal,
    rotational,
    singular_time,
)
from lnegeom.flow.stabilised import MAX_STAGES, Chebyshev, StepTooSmall
from lnegeom.flow.torus import conformal as conformal_flow


def run_to(step, y, end):
    t, count = 0.0, 0
    while t < end:
        t, y = step(t, y, end)
        count += 1
    assert t == end
    return y, count


@pytest.mark.parametrize("radius", [1.0, 300.0, 30_000.0])  # the more stages, the same order
def test_order_two_at_any_number_of_stages(radius):
    def f(t, y):
        return np.array([-(y[0] ** 2) + math.cos(t) + math.sin(t) ** 2])  # y = sin t

    steps, errors = np.array([0.1, 0.05, 0.025]), []
    for h in steps:
        step = Chebyshev(f, lambda t, y: radius, lambda y: math.inf, math.inf)
        y = np.zeros(1)
        for number in range(round(1 / h)):
            _, y = step(number * h, y, (number + 1) * h)
        errors.append(abs(y[0] - math.sin(1)))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.2)


def test_stays_stable_on_its_whole_stretch():
    # Modes of all decay rates up to the bound; a step too long for its stages would blow up.
    rates = np.geomspace(1e-3, 1e4, 200)
    step = Chebyshev(lambda t, y: -rates * y, lambda t, y: 1e4, lambda y: math.inf, math.inf)
    y = np.ones(200)
    for number in range(20):
        _, y = step(number * 1.0, y, number + 1.0)
    np.testing.assert_allclose(y[rates < 0.01], np.exp(-20 * rates[rates < 0.01]), rtol=1e-4)
    assert np.max(np.abs(y[rates > 10])) < 0.5


def test_the_error_follows_the_tolerance():
    errors, counts = [], []
    for rtol in (1e-4, 1e-6, 1e-8):
        step = Chebyshev(
            lambda t, y: -y * (1 + t), lambda t, y: 1 + t, lambda y, rtol=rtol: rtol * np.abs(y), 0.01
        )
        y, count = run_to(step, np.ones(1), 2.0)
        errors.append(abs(y[0] / math.exp(-4) - 1))
        counts.append(count)
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 5e-6
    assert counts[0] < counts[1] < counts[2]


def test_long_steps_are_capped_by_the_number_of_stages():
    seen = []

    def f(t, y):
        seen.append(t)
        return -1e9 * y

    step = Chebyshev(f, lambda t, y: 1e9, lambda y: math.inf, math.inf)
    t, y = step(0.0, np.ones(1), 1.0)
    assert len(seen) == MAX_STAGES + 1  # one more for the estimate of the error
    assert 0 < t < 1
    assert abs(y[0]) < 1


def test_a_singularity_ends_in_steps_too_small():
    step = Chebyshev(lambda t, y: y**2, lambda t, y: 2 * abs(y[0]), lambda y: 1e-6 * np.abs(y), 0.1)
    with np.errstate(all="ignore"), pytest.raises(StepTooSmall, match="the step fell to"):
        run_to(step, np.ones(1), 2.0)


def interrupt_after(monkeypatch, count):
    """Let steps raise KeyboardInterrupt after a while, as Ctrl-C does."""
    whole, calls = Chebyshev.__call__, iter(range(count))

    def call(self, *args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return whole(self, *args)

    monkeypatch.setattr(Chebyshev, "__call__", call)


def run_box(out, samples=6):
    grid = BoxGrid((8, 8), (1.0, 1.0))
    start = cigar(grid.coordinates(), 0.0)
    return box(start, grid, 0.1, boundary=cigar, samples=samples, rtol=1e-9, out=out)


def run_neck(out, **options):
    grid = WarpedGrid(33, focus=0.8)
    return rotational(*dumbbell(grid, 0.3), grid, 0.5, samples=11, out=out, **options)


@pytest.mark.parametrize("run", [run_box, run_neck])
def test_a_resumed_run_gives_the_same_numbers(tmp_path, monkeypatch, run):
    whole = run(None)
    file = tmp_path / "sub" / "run"
    for count in (150, 80):
        with monkeypatch.context() as patch:
            interrupt_after(patch, count)
            with pytest.raises(KeyboardInterrupt):
                run(file)
    resumed = run(file)
    for name in ("times", "metrics"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    for name in ("status", "message", "singular_time", "dt"):
        assert getattr(resumed, name) == getattr(whole, name)
    for name, values in whole.invariants.items():
        np.testing.assert_array_equal(resumed.invariants[name], values)
    # A finished run is read, not run again.
    with monkeypatch.context() as patch:
        interrupt_after(patch, 0)
        np.testing.assert_array_equal(run(file).metrics, whole.metrics)


def test_conformal_flows_resume_on_any_library(tmp_path, monkeypatch, backend):
    grid = TorusGrid((16, 16))
    w = backend.array(king_conformal(grid, 0.0)[..., 0, 0])
    whole = conformal(w, grid, 1.0, samples=6, tolerance=1e-9)
    step = conformal_flow._Stepper.__call__
    calls = iter(range(3))

    def call(self, *args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(conformal_flow._Stepper, "__call__", call)
        with pytest.raises(KeyboardInterrupt):
            conformal(w, grid, 1.0, samples=6, tolerance=1e-9, out=tmp_path / "run")
    resumed = conformal(w, grid, 1.0, samples=6, tolerance=1e-9, out=tmp_path / "run")
    assert backend.owns(resumed.metrics)
    assert bool(backend.module.all(resumed.metrics == whole.metrics))
    assert resumed.dt == whole.dt


def test_a_folder_of_another_run_is_refused(tmp_path):
    run_neck(tmp_path / "run")
    with pytest.raises(InputError, match="holds another run, which differs in rtol: choose another folder"):
        run_neck(tmp_path / "run", rtol=1e-5)
    with pytest.raises(InputError, match="differs in boundary, flow, grid, initial data"):
        run_box(tmp_path / "run")
    file = tmp_path / "run" / "checkpoint.npz"
    np.savez(file, header=np.array(json.dumps({"format": "x"})))
    with pytest.raises(InputError, match=r"checkpoint\.npz is no checkpoint of this kind of flow"):
        run_box(tmp_path / "run")
    file.write_text("text")
    with pytest.raises(InputError, match="is not a saved checkpoint"):
        run_box(tmp_path / "run")


def test_progress_bar(capsys):
    grid = TorusGrid((8, 8))
    conformal(np.ones((8, 8)), grid, 0.1, samples=3, progress=True)
    assert "conformal Ricci flow" in capsys.readouterr().err
    conformal(np.ones((8, 8)), grid, 0.1, samples=3)
    assert capsys.readouterr().err == ""


def test_singular_time():
    t = np.linspace(0, 0.99, 100)
    assert singular_time(t, 2 / (1 - t)) == pytest.approx(1, rel=1e-12)
    noisy = 2 / (1 - t) * (1 + 0.01 * np.sin(50 * t))
    assert singular_time(t, noisy) == pytest.approx(1, abs=3e-3)
    for curvature in (
        np.ones(100),
        1 + t,
        np.exp(-t),
        1 / (1.001 - t) ** 3,
        np.exp(8 * t),
        1 / (1.2 - t) + 5 * (t > 0.9),
    ):
        assert singular_time(t, curvature) is None
    assert singular_time(t[:3], 1 / (1 - t[:3])) is None
