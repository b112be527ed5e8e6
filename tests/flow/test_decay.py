"""The fit, mostly on solutions made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import BoxGrid, Solution, TorusGrid, decay_rate, plane_wave, ricci_deturck
from lnegeom.flow.shells import lowest_shell


def decaying(grid, times, *waves, dtype=np.float64):
    """Metrics whose (0, 0) component is ``1 + Σ a e^{−rate t} cos m·x`` for waves (a, m, rate)."""
    x = grid.coordinates() * (2 * np.pi / np.array(grid.lengths))
    metrics = np.broadcast_to(np.eye(grid.dim), (len(times), *grid.shape, grid.dim, grid.dim)).copy()
    for amplitude, mode, rate in waves:
        decay = np.exp(-rate * times).reshape(-1, *[1] * grid.dim)
        metrics[..., 0, 0] += amplitude * decay * np.cos(x @ np.array(mode))
    return Solution(grid, times.astype(dtype), metrics.astype(dtype), "completed", "", 0.1)


GRID = TorusGrid((12, 12))


def test_recovers_a_rate():
    fit = decay_rate(decaying(GRID, np.linspace(0, 12, 61), (0.1, (1, 0), 0.93)))
    assert fit.rate == pytest.approx(0.93, rel=1e-8)
    assert fit.theory == 1
    assert fit.relative_difference == pytest.approx(-0.07, rel=1e-6)
    assert fit.standard_error < 1e-8


def test_second_shell_is_left_out():
    # As large as the first shell at t = 0, it bends the early norm; the window starts after it.
    times = np.linspace(0, 12, 121)
    fit = decay_rate(decaying(GRID, times, (0.1, (1, 0), 1.0), (0.1, (1, 1), 2.0)))
    assert fit.rate == pytest.approx(1, rel=1e-5)
    assert fit.window[0] == pytest.approx(math.log(1000), abs=0.1)
    assert fit.window[0] >= math.log(1000)
    assert fit.window[1] == 12


def test_window_follows_the_lattice():
    grid = TorusGrid((12, 12), (2 * math.pi, 4 * math.pi))  # eigenvalues 1/4, 1, 5/4
    times = np.linspace(0, 30, 61)
    fit = decay_rate(decaying(grid, times, (0.1, (0, 1), 0.25)))
    assert fit.theory == pytest.approx(0.25)
    assert fit.window[0] == pytest.approx(math.log(1000) / 0.75, abs=0.5)


def test_data_without_the_lowest_shell_are_held_to_their_own():
    times = np.linspace(0, 4, 161)
    fit = decay_rate(decaying(GRID, times, (0.1, (2, 0), 4.0), (0.1, (2, 2), 8.0)))
    assert (fit.theory, fit.shell) == (pytest.approx(4), 3)  # after 1 and 2
    assert fit.rate == pytest.approx(4, rel=1e-4)
    assert fit.window[0] == pytest.approx(math.log(1000) / 4, abs=0.025)
    assert fit.limit_theory == pytest.approx(4)
    # A flow that keeps to multiples of its wave; and one that fills the lowest shell at second order.
    start = plane_wave(GRID, (2, 0), 0.1 * np.diag([0.0, 1.0]))
    fit = decay_rate(ricci_deturck(start, GRID, 4.0))
    assert (fit.theory, fit.shell) == (pytest.approx(4), 3)
    assert abs(fit.relative_difference) < 0.1**2
    mixed = start + plane_wave(GRID, (1, 0), 1e-3 * np.diag([0.0, 1.0])) - np.eye(2)
    assert decay_rate(ricci_deturck(mixed, GRID, 9.0)).shell == 1


@pytest.mark.parametrize(("mode", "shell"), [((1, 1), 1), ((2, 2), 3), ((1, 3), 4)])
def test_the_shell_of_a_wave_in_a_box(mode, shell):
    box = BoxGrid((12, 12))
    h = 0.1 * np.prod(np.sin(box.coordinates() * mode), axis=-1)[..., None, None] * np.eye(2)
    found = lowest_shell(h, box, 1e-3)
    assert (found.number, found.eigenvalue) == (shell, pytest.approx(mode[0] ** 2 + mode[1] ** 2))
    assert sorted(found.modes[0]) == pytest.approx(sorted(mode))


def test_the_shell_of_curvature_is_not_that_of_the_gauge():
    # cos x dx² is pure gauge; cos 2x dy² is curved.
    h = plane_wave(GRID, (1, 0), np.diag([0.1, 0.0])) + plane_wave(GRID, (2, 0), np.diag([0.0, 0.1]))
    h = h - 2 * np.eye(2)
    assert lowest_shell(h, GRID, 1e-3).number == 1
    assert lowest_shell(h, GRID, 1e-3, of_curvature=True).number == 3


def test_stops_before_the_rounding_errors():
    times = np.linspace(0, 60, 301)
    solution = decaying(GRID, times, (0.1, (1, 0), 1.0))
    fit = decay_rate(solution)
    assert fit.rate == pytest.approx(1, rel=1e-6)
    assert 20 < fit.window[1] < 30  # 0.1 e^{−t} meets 1e3 eps near t = 27
    single = decay_rate(decaying(GRID, np.linspace(0, 20, 201), (0.9, (1, 0), 1.0), dtype=np.float32))
    assert single.window[1] < 10
    assert single.rate == pytest.approx(1, rel=2e-3)


def test_standard_error_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    times = np.linspace(7, 12, 40)
    noise = np.exp(1e-3 * rng.standard_normal(40))
    clean = decaying(GRID, times, (0.1, (1, 0), 1.0))
    metrics = np.eye(2) + noise[:, None, None, None, None] * (clean.metrics - np.eye(2))
    fit = decay_rate(Solution(GRID, times, metrics, "completed", "", 0.1))
    norm = np.log(Solution(GRID, times, metrics, "completed", "", 0.1).perturbation_norm())
    coefficients, covariance = np.polyfit(times, norm, 1, cov=True)
    assert fit.rate == pytest.approx(-coefficients[0], rel=1e-10)
    assert fit.standard_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-6)


@pytest.mark.parametrize(
    ("times", "amplitude", "words"),
    [
        (np.linspace(0, 5, 101), 0.1, r"run ends at t = 5: run it to t_end = 8\.908 or longer"),
        (np.linspace(0, 7.2, 101), 0.1, r"run it to t_end = 8\.908"),
        (np.linspace(0, 20, 21), 0.1, None),
        (np.linspace(0, 20, 6), 0.1, r"samples lie 4 apart: raise `samples`"),
        (np.linspace(0, 20, 101), 1e-10, r"meets the rounding errors at t = .*larger perturbation"),
        (np.linspace(0, 20, 101), 0.0, r"meets the rounding errors at t = 0"),
    ],
)
def test_runs_that_cannot_be_fitted(times, amplitude, words):
    solution = decaying(GRID, times, (amplitude, (1, 0), 1.0))
    if words is None:
        assert decay_rate(solution).rate == pytest.approx(1, rel=1e-6)
        return
    with pytest.raises(InputError, match=words):
        decay_rate(solution)


def test_the_decay_of_curvature():
    times = np.linspace(0, 12, 61)
    solution = decaying(GRID, times, (0.1, (1, 0), 0.5))
    with pytest.raises(InputError, match=r"sup \|Rm\| was not recorded: run the flow"):
        decay_rate(solution, of="max_riemann")
    with pytest.raises(InputError, match=r'of must be "norm" or "max_riemann", got .volume.'):
        decay_rate(solution, of="volume")
    recorded = replace(solution, invariants={"max_riemann": 0.2 * np.exp(-0.9 * times)})
    assert decay_rate(recorded, of="max_riemann").rate == pytest.approx(0.9, rel=1e-9)
    assert decay_rate(recorded).rate == pytest.approx(0.5, rel=1e-6)
    # Rounding errors of second derivatives end the fit earlier than those of the metric would.
    noisy = replace(recorded, invariants={"max_riemann": 0.2 * np.exp(-2.2 * times)})
    assert decay_rate(noisy, of="max_riemann").window[1] < 11


def test_the_advice_suffices():
    # What the message asks for is enough, with the default number of samples.
    decay_rate(decaying(GRID, np.linspace(0, 8.908, 101), (0.1, (1, 0), 1.0)))
