"""The flow: exact solutions, order, decay, limits, libraries, and failure."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings

from lnegeom import GeometryError, InputError
from lnegeom.flow import TorusGrid, decay_rate, king_conformal, perturbed_flat, ricci_deturck
from lnegeom.flow.torus.integrators import METHODS, IntegratingFactorRK4
from lnegeom.testing import perturbed_tori


def to_numpy(value):
    return value if isinstance(value, np.ndarray) else np.from_dlpack(value)


def cosine_metric(grid, amplitude):
    """δ + ε cos x dx²."""
    metric = np.broadcast_to(np.eye(grid.dim), (*grid.shape, grid.dim, grid.dim)).copy()
    metric[..., 0, 0] += amplitude * np.cos(2 * np.pi * grid.coordinates()[..., 0] / grid.lengths[0])
    return metric


@pytest.mark.parametrize(
    ("wavevector", "lengths"), [((1, 0), (2 * math.pi, 2 * math.pi)), ((1, 1), (2 * math.pi, 7.0))]
)
def test_meets_kings_solution(wavevector, lengths):
    grid = TorusGrid((32, 32), lengths)
    exact = [king_conformal(grid, t, wavevector=wavevector) for t in (0.0, 0.5, 1.0)]
    solution = ricci_deturck(exact[0], grid, 1.0, samples=3, dt=0.05)
    np.testing.assert_allclose(solution.metrics, exact, rtol=0, atol=2e-9)
    default = ricci_deturck(exact[0], grid, 1.0, samples=2)
    np.testing.assert_allclose(default.metrics[-1], exact[-1], rtol=0, atol=2e-8)


def test_order_four_in_time():
    grid = TorusGrid((16, 16))
    start = perturbed_flat(grid, 0.4, seed=2)  # far from linear
    steps = np.array([0.05, 0.025, 0.0125, 0.00625])
    reference = ricci_deturck(start, grid, 0.5, dt=0.5 / 640, samples=2).metrics[-1]
    errors = [
        np.max(np.abs(ricci_deturck(start, grid, 0.5, dt=dt, samples=2).metrics[-1] - reference))
        for dt in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(4, abs=0.1)


def test_decays_at_the_first_eigenvalue():
    grid = TorusGrid((24, 24))
    fit = decay_rate(ricci_deturck(perturbed_flat(grid, 1e-2, seed=7), grid, 14.0))
    assert fit.theory == 1.0
    assert abs(fit.relative_difference) < 1e-3
    assert fit.relative_difference == fit.rate / fit.theory - 1


def test_rate_scales_as_the_inverse_square_of_the_side():
    rates = {}
    for side in (1.0, 3.0):
        grid = TorusGrid((16, 16), (side, side))
        t_end = 12.0 * (side / (2 * math.pi)) ** 2
        rates[side] = decay_rate(ricci_deturck(perturbed_flat(grid, 1e-2, seed=3), grid, t_end)).rate
        assert rates[side] == pytest.approx((2 * math.pi / side) ** 2, rel=1e-3)
    assert rates[1.0] / rates[3.0] == pytest.approx(9, rel=1e-6)


def test_a_constant_metric_does_not_move():
    grid = TorusGrid((8, 8))
    constant = np.broadcast_to([[1.3, 0.2], [0.2, 0.8]], (8, 8, 2, 2))
    solution = ricci_deturck(constant, grid, 5.0, samples=3)
    np.testing.assert_allclose(solution.metrics[-1], constant, atol=1e-14)
    np.testing.assert_allclose(solution.perturbation_norm(), 0, atol=1e-13)
    assert solution.perturbation_norm(mean_free=False)[-1] > 1


def test_the_limit_is_flat_but_not_the_background():
    # g∞ = (mean √g)² along x, since the flow keeps the length of that circle: 1 − ε²/8 + O(ε⁴), not 1.
    grid, eps = TorusGrid((32, 8)), 0.2
    solution = ricci_deturck(cosine_metric(grid, eps), grid, 16.0, dt=0.05, samples=9)
    limit = np.mean(np.sqrt(1 + eps * np.cos(np.linspace(0, 2 * np.pi, 256, endpoint=False)))) ** 2
    np.testing.assert_allclose(solution.metrics[-1, ..., 0, 0], limit, atol=1e-7)
    assert limit - 1 == pytest.approx(-(eps**2) / 8, rel=0.01)
    np.testing.assert_allclose(solution.metrics[-1, ..., 1, 1], 1, atol=1e-14)
    total = solution.perturbation_norm(mean_free=False)
    assert total[-1] > 0.9 * 2 * math.pi * eps**2 / 8
    assert solution.perturbation_norm()[-1] < 1e-5 * total[-1]


@settings(max_examples=8)
@given(perturbed_tori(TorusGrid((20, 20)), 0.01, 0.3, modes=2))
def test_area_is_constant_and_the_perturbation_falls(torus):
    # Gauss–Bonnet: d/dt area = −∫R dA = 0 on a torus, and diffeomorphisms keep area.
    grid, start = torus
    solution = ricci_deturck(start, grid, 1.0, samples=4)
    area = np.mean(np.sqrt(np.linalg.det(solution.metrics)), axis=(1, 2))
    np.testing.assert_allclose(area, area[0], rtol=3e-6)
    assert np.all(np.diff(solution.perturbation_norm(mean_free=False)) < 0)


def test_length_is_constant_in_one_dimension():
    grid = TorusGrid((48,))
    solution = ricci_deturck(perturbed_flat(grid, 0.4, seed=0), grid, 2.0, dt=0.01, samples=3)
    length = np.mean(np.sqrt(solution.metrics[..., 0, 0]), axis=1)
    np.testing.assert_allclose(length, length[0], rtol=1e-7)


def test_three_dimensions_embed_two():
    # A 2-D flow times a flat circle is a 3-D flow.
    flat, solid = TorusGrid((16, 16)), TorusGrid((16, 4, 16))
    start = perturbed_flat(flat, 0.2, seed=4)
    embedded = np.broadcast_to(np.eye(3), (16, 4, 16, 3, 3)).copy()
    embedded[..., ::2, ::2] = start[:, None]
    small = ricci_deturck(start, flat, 0.5, dt=0.05, samples=2).metrics[-1]
    large = ricci_deturck(embedded, solid, 0.5, dt=0.05, samples=2).metrics[-1]
    np.testing.assert_allclose(
        large[..., ::2, ::2], np.broadcast_to(small[:, None], (16, 4, 16, 2, 2)), atol=1e-13
    )
    np.testing.assert_allclose(large[..., 1, :], np.broadcast_to([0, 1, 0], (16, 4, 16, 3)), atol=1e-13)


@pytest.mark.parametrize("shape", [(64, 64), (15, 17)])
def test_default_step_is_accurate(shape):
    grid = TorusGrid(shape)
    start = perturbed_flat(grid, 0.3, seed=11)
    solution = ricci_deturck(start, grid, 0.3, samples=2)
    fine = ricci_deturck(start, grid, 0.3, samples=2, dt=solution.dt / 4)
    assert solution.status == "completed"
    assert np.max(np.abs(solution.metrics - fine.metrics)) < 3e-6


def test_steps_shrink_far_from_flat():
    grid = TorusGrid((32, 32))
    start = perturbed_flat(grid, 0.9, seed=0)
    assert np.linalg.eigvalsh(start).min() < 0.4  # where an unbounded step could be unstable
    solution = ricci_deturck(start, grid, 0.1, samples=2)
    fine = ricci_deturck(start, grid, 0.1, samples=2, tolerance=1e-8)
    assert solution.status == fine.status == "completed"
    assert np.max(np.abs(solution.metrics - fine.metrics)) < 1e-5
    assert fine.evaluations > solution.evaluations > 4 * 4


def test_filter_acts_on_the_nonlinear_terms_only():
    grid = TorusGrid((12, 12))
    start = perturbed_flat(grid, 0.3, seed=0, modes=5)
    filtered, plain = (ricci_deturck(start, grid, 0.1, samples=2, dealias=flag) for flag in (True, False))
    np.testing.assert_array_equal(filtered.metrics[0], start)
    assert 1e-6 < np.max(np.abs(filtered.metrics[1] - plain.metrics[1])) < 1e-2


def test_libraries_agree(backend):
    grid = TorusGrid((10, 9))
    start = perturbed_flat(grid, 0.2, seed=1, modes=2)
    expected = ricci_deturck(start, grid, 0.5, samples=3)
    solution = ricci_deturck(backend.array(start), grid, 0.5, samples=3)
    assert backend.owns(solution.metrics)
    assert backend.owns(solution.times)
    np.testing.assert_allclose(to_numpy(solution.metrics), expected.metrics, rtol=0, atol=1e-13)
    for kind in ("l2", "sup"):
        norm = solution.perturbation_norm(kind)
        assert backend.owns(norm)
        np.testing.assert_allclose(to_numpy(norm), expected.perturbation_norm(kind), atol=1e-12)


def test_float32_is_kept(backend):
    grid = TorusGrid((10, 9))
    start = perturbed_flat(grid, 0.2, seed=1, modes=2)
    solution = ricci_deturck(backend.array(start, "float32"), grid, 0.5, samples=3)
    for value in (solution.metrics, solution.times, solution.perturbation_norm()):
        assert str(value.dtype).endswith("float32")
    expected = ricci_deturck(start, grid, 0.5, samples=3).metrics
    np.testing.assert_allclose(to_numpy(solution.metrics), expected, atol=3e-6)


def test_samples_lie_at_the_times_asked_for():
    grid = TorusGrid((8, 8))
    start = perturbed_flat(grid, 0.1, seed=0)
    kept = start.copy()
    solution = ricci_deturck(start, grid, 0.7, samples=8, dt=0.03)
    np.testing.assert_allclose(solution.times, np.linspace(0, 0.7, 8), rtol=1e-15)
    assert solution.dt <= 0.03
    assert round(0.1 / solution.dt, 9) == 4
    assert solution.message == "reached t = 0.7"
    np.testing.assert_array_equal(start, kept)


@pytest.mark.parametrize(("dt", "samples_kept"), [(0.05, 2), (0.5, 1)])
def test_stops_at_the_last_good_state(dt, samples_kept):
    # A step far too large for a metric with an eigenvalue of 0.03.
    grid = TorusGrid((16, 16))
    start = perturbed_flat(grid, 0.97, seed=0)
    solution = ricci_deturck(start, grid, 1.0, dt=dt, samples=3)
    assert solution.status == "stopped"
    assert len(solution.times) == len(solution.metrics) == samples_kept
    assert np.all(np.isfinite(solution.metrics))
    assert np.linalg.eigvalsh(solution.metrics).min() > 0
    np.testing.assert_array_equal(solution.metrics[0], start)
    assert f"after t = {solution.times[-1]:.6g} the metric ceased to be" in solution.message
    assert "lower dt" in solution.message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_stops_when_a_step_is_not_finite(monkeypatch, bad):
    # Division by a rounding error seldom gives exactly that, so a stepper that breaks at its third step does.
    class Breaking(IntegratingFactorRK4):
        calls = 0

        def step(self, u, first, dt):
            self.calls += 1
            return u * (1.0 if self.calls < 3 else bad)

    monkeypatch.setitem(METHODS, "ifrk4", Breaking)
    grid = TorusGrid((8, 8))
    start = perturbed_flat(grid, 0.1, seed=0, modes=2)
    solution = ricci_deturck(start, grid, 4.0, dt=1.0, samples=2)
    assert solution.status == "stopped"
    assert solution.message.startswith("after t = 2 the metric ceased to be finite")
    np.testing.assert_array_equal(solution.times, [0.0, 2.0])
    np.testing.assert_allclose(solution.metrics, [start, start], atol=1e-15)


def test_progress_bar(capsys):
    grid = TorusGrid((8, 8))
    start = perturbed_flat(grid, 0.1, seed=0)
    shown = ricci_deturck(start, grid, 0.2, samples=3, progress=True)
    assert "Ricci–DeTurck flow" in capsys.readouterr().err
    np.testing.assert_array_equal(shown.metrics, ricci_deturck(start, grid, 0.2, samples=3).metrics)


def break_metric(kind):
    metric = perturbed_flat(TorusGrid((8, 8)), 0.1, seed=0)
    if kind == "nan":
        metric[2, 3, 0, 1] = np.nan
    elif kind == "asymmetric":
        metric[2, 3, 0, 1] += 0.25
    else:
        metric[2, 3] = [[1.0, 2.0], [2.0, 1.0]]
    return metric


@pytest.mark.parametrize(
    ("kind", "words", "index", "value"),
    [
        ("nan", r"metric\[2, 3, 0, 1\] is nan", (2, 3, 0, 1), math.nan),
        (
            "asymmetric",
            r"metric\[2, 3\] is asymmetric by 0\.25: expected .* \(metric \+ metricᵀ\)/2",
            (2, 3),
            0.25,
        ),
        ("indefinite", r"metric\[2, 3\] has eigenvalue -1: expected a positive definite", (2, 3), -1.0),
    ],
)
def test_bad_metrics_name_the_point(kind, words, index, value):
    with pytest.raises(GeometryError, match=words) as caught:
        ricci_deturck(break_metric(kind), TorusGrid((8, 8)), 1.0)
    assert caught.value.index == index
    assert caught.value.value == pytest.approx(value, nan_ok=True)


def test_tiny_asymmetry_is_rounding():
    grid = TorusGrid((8, 8))
    metric = perturbed_flat(grid, 0.1, seed=0)
    metric[1, 1, 0, 1] += 1e-15
    first = ricci_deturck(metric, grid, 0.1, samples=2).metrics[0]
    np.testing.assert_array_equal(first, np.swapaxes(first, -1, -2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": np.eye(2)}, r"shape \(2, 2\): expected \(8, 8, 2, 2\)"),
        ({"t_end": -1.0}, "t_end must be a positive"),
        ({"dt": 0.0}, "dt must be a positive"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"samples": 2.5}, "samples must be a positive integer"),
    ],
)
def test_bad_arguments(change, words):
    arguments = {"metric": perturbed_flat(TorusGrid((8, 8)), 0.1, seed=0), "t_end": 1.0, **change}
    with pytest.raises(InputError, match=words):
        ricci_deturck(arguments.pop("metric"), TorusGrid((8, 8)), **arguments)


def test_numpy_warns_no_more_than_before():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = np.geterr()
        ricci_deturck(perturbed_flat(TorusGrid((16, 16)), 0.97, seed=0), TorusGrid((16, 16)), 1.0, dt=0.5)
    assert np.geterr() == before
