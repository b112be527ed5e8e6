"""The flow on boxes: exact solutions, orders, decay, and failure."""

import math

import numpy as np
import pytest

from lnegeom import GeometryError, InputError
from lnegeom.flow import BoxGrid, Solution, box, cigar, king_conformal
from lnegeom.flow.box_flow import _Equation
from lnegeom.flow.small import pack
from lnegeom.flow.stabilised import Chebyshev

UNIT = BoxGrid((12, 10), (1.0, 1.3))


def bump(grid, amplitude, shape=None):
    """δ and a product of half sine waves in every component."""
    wave = np.prod(np.sin(np.pi * grid.coordinates() / np.array(grid.lengths)), axis=-1)
    matrix = np.eye(grid.dim) + 0.5 if shape is None else shape
    return np.eye(grid.dim) + amplitude * wave[..., None, None] * matrix


@pytest.mark.parametrize("shape", [(8, 8), (14, 14)])
def test_cigar_with_boundary_values_of_its_time(shape):
    grid = BoxGrid(shape, (1.0, 1.0))
    x = grid.coordinates()
    solution = box(cigar(x, 0.0), grid, 0.3, boundary=cigar, samples=3)
    expected = np.stack([cigar(x, t) for t in (0.0, 0.15, 0.3)])
    np.testing.assert_allclose(solution.metrics, expected, rtol=0, atol=1e-6)
    assert solution.status == "completed"


def test_order_two_in_time_on_coarse_and_fine_grids_alike():
    # Runge–Kutta methods lose order at boundary values that depend on time, on finer grids the more.
    steps, errors = np.array([0.1, 0.05, 0.025]), {}
    for size in (8, 16):
        grid = BoxGrid((size, size), (1.0, 1.0))
        equation = _Equation(grid, cigar(grid.coordinates(), 0.0), cigar)
        exact = pack(np, cigar(grid.coordinates(), 0.4))[equation.inner]
        errors[size] = []
        for dt in steps:
            y = pack(np, cigar(grid.coordinates(), 0.0))[equation.inner]
            step = Chebyshev(equation.velocity, equation.radius, lambda y: math.inf, math.inf)
            for number in range(round(0.4 / dt)):
                _, y = step(number * dt, y, (number + 1) * dt)
            errors[size].append(np.max(np.abs(y - exact)))
        assert np.polyfit(np.log(steps), np.log(errors[size]), 1)[0] == pytest.approx(2, abs=0.12)
    np.testing.assert_allclose(errors[8], errors[16], rtol=0.2)


def test_errors_fall_faster_than_any_power_of_the_points():
    errors = []
    for size in (8, 12, 16):
        grid = BoxGrid((size, size), (2.0, 2.0))
        equation = _Equation(grid, cigar(grid.coordinates(), 0.0), cigar)
        y = pack(np, cigar(grid.coordinates(), 0.0))[equation.inner]
        # ∂_t w = −4 e^{4t} w² at t = 0.
        w = cigar(grid.coordinates(), 0.0)[..., 0, 0]
        exact = pack(np, (-4 * w**2)[..., None, None] * np.eye(2))[equation.inner]
        errors.append(np.max(np.abs(equation.velocity(0.0, y) - exact)))
    assert errors[1] < errors[0] / 20
    assert errors[2] < errors[1] / 20


@pytest.mark.parametrize(("dim", "size"), [(1, 10), (2, 9), (3, 7)])
def test_decays_to_the_background_at_the_dirichlet_rate(dim, size):
    lengths = (1.5, 1.0, 2.0)[:dim]
    grid = BoxGrid((size,) * dim, lengths)
    rate = grid.smallest_eigenvalue()
    assert rate == pytest.approx(sum((math.pi / length) ** 2 for length in lengths))
    solution = box(bump(grid, 0.02), grid, 5 / rate, samples=6)
    norm = solution.perturbation_norm(mean_free=False)
    fitted = -np.log(norm[-1] / norm[-2]) / (solution.times[-1] - solution.times[-2])
    assert fitted == pytest.approx(rate, rel=1e-3)
    # The faces are held.
    np.testing.assert_array_equal(
        solution.metrics[:, 0], np.broadcast_to(np.eye(dim), solution.metrics[:, 0].shape)
    )


def test_meets_kings_solution_inside_a_box():
    def king(points, t):
        s = 1.0 + t
        w = math.sinh(s) / (math.cosh(s) + np.cos(points[..., 0]))
        return w[..., None, None] * np.eye(2)

    grid = BoxGrid((16, 6), (2.0, 1.0))
    x = grid.coordinates()
    np.testing.assert_allclose(
        king(np.array([[0.0, 0.0]]), 0.2)[0], king_conformal_at_origin(0.2), rtol=1e-14
    )
    solution = box(king(x, 0.0), grid, 0.2, boundary=king, samples=2)
    np.testing.assert_allclose(solution.metrics[-1], king(x, 0.2), atol=1e-6)


def king_conformal_at_origin(t):
    from lnegeom.flow import TorusGrid

    return king_conformal(TorusGrid((8, 8)), t, s0=1.0)[0, 0]


def test_volume_and_integration():
    grid = BoxGrid((9, 8, 7), (1.0, 2.0, 0.5))
    x, y, z = np.moveaxis(grid.coordinates(), -1, 0)
    assert grid.integrate(x**3 * y**2 * np.exp(z)) == pytest.approx(
        0.25 * 8 / 3 * (math.e**0.5 - 1), rel=1e-9
    )
    assert grid.volume == 1.0
    solution = box(np.broadcast_to(4 * np.eye(3), (9, 8, 7, 3, 3)), grid, 0.01, samples=2)
    np.testing.assert_allclose(solution.invariants["volume"], 8.0)
    np.testing.assert_allclose(
        solution.metrics, np.broadcast_to(4 * np.eye(3), solution.metrics.shape), atol=1e-12
    )


def test_derivatives_and_eigenvalues_of_the_grid():
    (x,) = BoxGrid((20,), (3.0,)).axes()
    (D,) = BoxGrid((20,), (3.0,)).derivatives
    np.testing.assert_allclose(D @ np.sin(x), np.cos(x), atol=1e-12)
    grid = BoxGrid((12, 12), (1.0, 2.0))
    assert grid.eigenvalues(2) == pytest.approx((math.pi**2 * 1.25, math.pi**2 * 2.0))
    inner = (D @ D)[1:-1, 1:-1]
    assert BoxGrid((20,), (3.0,)).radius == pytest.approx(np.max(np.abs(np.linalg.eigvals(inner))))


def test_stops_where_the_metric_degenerates():
    # Boundary values that become negative.
    def sinking(points, t):
        return (1 - 4 * t) * np.broadcast_to(np.eye(1), (len(points), 1, 1))

    grid = BoxGrid((8,), (1.0,))
    solution = box(np.broadcast_to(np.eye(1), (8, 1, 1)), grid, 1.0, boundary=sinking, samples=21)
    assert solution.status == "stopped"
    assert solution.message.startswith(f"after t = {solution.times[-1]:.6g} ")
    assert 0.1 < solution.times[-1] <= 0.25
    assert np.all(np.linalg.eigvalsh(solution.metrics) > 0)  # the faces, too, are good to the last
    assert np.all(np.isfinite(solution.invariants["volume"]))


def test_saved_solutions_keep_their_grid(tmp_path):
    solution = box(bump(UNIT, 0.1), UNIT, 0.01, samples=2)
    solution.save(tmp_path / "run.npz")
    loaded = Solution.load(tmp_path / "run.npz")
    assert loaded.grid == UNIT
    np.testing.assert_array_equal(loaded.metrics, solution.metrics)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: BoxGrid((4, 8)), InputError, "at least 5 points"),
        (lambda: BoxGrid((8,) * 4), InputError, "1 to 3 axes"),
        (lambda: BoxGrid(8), InputError, "sequence of integers"),
        (lambda: BoxGrid((8, 8), (1.0,)), InputError, "2 numbers, one for each axis"),
        (lambda: BoxGrid((8,), (-1.0,)), InputError, "lengths must be a positive"),
        (lambda: box(np.eye(2), UNIT, 1.0), GeometryError, r"shape \(2, 2\): expected \(12, 10, 2, 2\)"),
        (lambda: box(bump(UNIT, 5, -np.eye(2)), UNIT, 1.0), GeometryError, "expected a positive definite"),
        (lambda: box("flat", UNIT, 1.0), InputError, "metric must be an array"),
        (lambda: box(bump(UNIT, 0.1), UNIT, 1.0, rtol=0.0), InputError, "rtol must be a positive"),
        (lambda: box(bump(UNIT, 0.1), UNIT, 1.0, samples=1), InputError, "samples must be at least 2"),
        (
            lambda: box(bump(UNIT, 0.1), UNIT, 1.0, boundary=cigar),
            GeometryError,
            r"boundary\[1\] differs .* at t = 0",
        ),
        (
            lambda: box(bump(UNIT, 0.1), UNIT, 1.0, boundary=lambda x, t: np.eye(2)),
            GeometryError,
            r"boundary\(points, t\) has shape \(2, 2\): expected \(40, 2, 2\)",
        ),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_boundary_values_that_are_not_finite():
    def broken(points, t):
        return np.where(t > 0.1, np.nan, 1.0) * np.broadcast_to(np.eye(2), (len(points), 2, 2))

    with pytest.raises(GeometryError, match=r"boundary\(points, 0\.1.*\)\[.*\] is nan"):
        box(np.broadcast_to(np.eye(2), (12, 10, 2, 2)), UNIT, 1.0, boundary=broken)
