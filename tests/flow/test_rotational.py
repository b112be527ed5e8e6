"""Rotationally symmetric flows: spheres, solitons, Gauss–Bonnet, necks, and failure."""

import math

import numpy as np
import pytest

from lnegeom import FromCallable, GeometryError, InputError
from lnegeom.flow import Solution, WarpedGrid, dumbbell, normalise, rotational
from lnegeom.flow.rotational_flow import _Equation
from lnegeom.flow.stabilised import Chebyshev


def bumpy(grid, bump=0.15):
    """A sphere that is neither round nor symmetric about its equator."""
    x = np.pi * grid.fractions()
    return np.sin(x) + bump * (np.sin(2 * x) - np.sin(4 * x) / 2), np.pi


@pytest.fixture(scope="module")
def pinching():
    grid = WarpedGrid(129, focus=0.9)
    return rotational(*dumbbell(grid, neck=0.2), grid, 1.0)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_round_spheres_shrink(dim):
    solution = rotational(lambda s: 2 * np.sin(s / 2), 2 * np.pi, WarpedGrid(12, dim), 3.0, samples=31)
    squared = 4 - 2 * (dim - 1) * solution.times
    early = squared > 0.05
    np.testing.assert_allclose(
        (solution.invariants["length"] / np.pi)[early] ** 2, squared[early], rtol=0, atol=2e-4
    )
    np.testing.assert_allclose(solution.invariants["curvature"][early], 1 / squared[early], rtol=5e-3)
    assert solution.status == "stopped"
    assert solution.singular_time == pytest.approx(2 / (dim - 1), rel=5e-5)
    assert "the curvature blows up near t = " in solution.message


def test_order_two_in_time():
    grid = WarpedGrid(12)
    equation = _Equation(grid, normalised=False)
    steps, errors = np.array([0.005, 0.0025, 0.00125]), []
    for dt in steps:
        y = np.append(np.sin(np.pi * grid.fractions()), np.pi)
        step = Chebyshev(equation.velocity, equation.radius, lambda y: math.inf, math.inf)
        for number in range(round(0.1 / dt)):
            _, y = step(number * dt, y, (number + 1) * dt)
        errors.append(abs(y[-1] - np.pi * math.sqrt(0.6)))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.1)


def test_errors_fall_faster_than_any_power_of_the_points():
    # The velocity of a bumpy sphere at x = ½, against a fine grid's.
    def middle(points):
        grid = WarpedGrid(points)
        equation = _Equation(grid, normalised=False)
        profile, length = bumpy(grid)
        return equation.velocity(0.0, np.append(profile, length))[[points // 2, -1]]

    exact = middle(129)
    errors = [np.max(np.abs(middle(points) - exact)) for points in (9, 17, 33)]
    assert errors[1] < errors[0] / 10
    assert errors[2] < errors[1] / 100


def test_area_of_a_surface_falls_at_eight_pi():
    # Gauss–Bonnet: d/dt area = −∫ R dA = −8π on a 2-sphere, whatever its shape.
    grid = WarpedGrid(32, dim=2)
    solution = rotational(*bumpy(grid), grid, 0.3, samples=4)
    area = solution.invariants["volume"]
    np.testing.assert_allclose(area, area[0] - 8 * math.pi * solution.times, rtol=0, atol=1e-4)


def test_the_cigar_is_a_steady_soliton():
    grid = WarpedGrid(48, dim=2, ends="space", slope=0.0)
    solution = rotational(np.tanh, 14.0, grid, 1.0, samples=3)
    profile, length = np.sqrt(solution.metrics[-1, :, 1, 1]), solution.invariants["length"][-1]
    np.testing.assert_allclose(profile, np.tanh(length * grid.fractions()), atol=1e-5)
    # The cylinder is pulled over the tip: ∂_t ℓ = ∫ ψ_ss/ψ ds = −2 tanh ℓ.
    assert length == pytest.approx(12, abs=1e-4)
    assert solution.invariants["scalar_max"][-1] == pytest.approx(4, rel=0.02)


def test_a_bump_on_flat_space_spreads():
    grid = WarpedGrid(96, dim=3, ends="space")
    solution = rotational(lambda s: s + 0.3 * s**3 * np.exp(-(s**2)), 20.0, grid, 4.0, samples=5)
    curvature = solution.invariants["curvature"]
    assert solution.status == "completed"
    assert np.all(np.diff(curvature) < 0)
    assert curvature[-1] < 1e-3 * curvature[0]


def test_curvature_is_that_of_the_metric():
    grid = WarpedGrid(40)
    profile, length = bumpy(grid)
    solution = rotational(profile, length, grid, 1e-3, samples=2)

    def matrix(p):
        s = p[0]
        radius = np.sin(s) + 0.15 * (np.sin(2 * s) - np.sin(4 * s) / 2)
        return np.diag([1.0, radius**2, (radius * np.sin(p[1])) ** 2])

    s = length * grid.fractions()
    scalar = FromCallable(matrix, dim=3).scalar_curvature(np.stack([s, np.full_like(s, 1.1), 0 * s], axis=-1))
    assert solution.invariants["scalar_min"][0] == pytest.approx(scalar.min(), rel=1e-6)
    assert solution.invariants["scalar_max"][0] == pytest.approx(scalar.max(), rel=1e-6)


def test_a_neck_pinches(pinching):
    assert pinching.status == "stopped"
    growth = pinching.invariants["scalar_max"] / pinching.invariants["scalar_max"][0]
    assert growth[-1] > 10_000
    # A neck is a cylinder in the end: ψ² = 2(T − t), R = 2/ψ², so that R (T − t) tends to 1.
    left = pinching.singular_time - pinching.times
    late = (growth > 20) & (growth < 10_000)
    product = (pinching.invariants["scalar_max"] * left)[late]
    assert np.all(np.diff(product) > 0)  # towards 1, with corrections in 1/log(T − t)
    np.testing.assert_allclose(product, 1, atol=0.08)
    slope = np.polyfit(np.log(left[late]), np.log(pinching.invariants["neck"][late]), 1)[0]
    assert slope == pytest.approx(0.5, abs=0.02)
    # The lobes do not feel it yet.
    assert np.max(pinching.metrics[-1, :, 1, 1]) > 0.95 * np.max(pinching.metrics[0, :, 1, 1])


def test_scalar_curvatures_minimum_grows(pinching):
    least = pinching.invariants["scalar_min"]
    assert np.all(np.diff(least) > -1e-6 * np.abs(least[:-1]))


def test_singular_time_does_not_depend_on_the_grid(pinching):
    grid = WarpedGrid(65, focus=0.8)
    coarse = rotational(*dumbbell(grid, neck=0.2), grid, 1.0)
    assert coarse.singular_time == pytest.approx(pinching.singular_time, rel=1e-3)


def test_normalised_flow_makes_a_mild_dumbbell_round():
    grid = WarpedGrid(33)
    solution = rotational(*dumbbell(grid, neck=3.0), grid, 40.0, normalised=True, samples=4)
    volume = solution.invariants["volume"]
    np.testing.assert_allclose(volume, volume[0], rtol=1e-5)
    radius = (volume[0] / (2 * math.pi**2)) ** (1 / 3)
    assert solution.invariants["scalar_min"][-1] == pytest.approx(6 / radius**2, rel=1e-3)
    assert solution.invariants["scalar_max"][-1] == pytest.approx(6 / radius**2, rel=1e-3)


def test_normalised_flow_is_the_plain_one_rescaled():
    grid = WarpedGrid(24)
    plain = normalise(rotational(*bumpy(grid), grid, 0.1, rtol=1e-9))
    direct = rotational(*bumpy(grid), grid, float(plain.times[-1]), normalised=True, samples=2, rtol=1e-9)
    np.testing.assert_allclose(plain.metrics[-1], direct.metrics[-1], rtol=0, atol=1e-4)


def test_saved_solutions_keep_their_grid(tmp_path, pinching):
    pinching.save(tmp_path / "run.npz")
    loaded = Solution.load(tmp_path / "run.npz")
    assert loaded.grid == pinching.grid
    assert loaded.singular_time == pinching.singular_time
    np.testing.assert_array_equal(loaded.metrics, pinching.metrics)


GRID = WarpedGrid(16)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: WarpedGrid(4), InputError, "points must be at least 8, got 4"),
        (lambda: WarpedGrid(16, dim=1), InputError, "dim must be at least 2"),
        (lambda: WarpedGrid(16, ends="torus"), InputError, '"sphere" or "space", got .torus.'),
        (
            lambda: WarpedGrid(16, ends="space", slope=-1.0),
            InputError,
            "slope must be finite and not negative",
        ),
        (
            lambda: WarpedGrid(16, slope=0.5),
            InputError,
            r"slope is of the outer end.* got 0\.5, leave it out",
        ),
        (lambda: WarpedGrid(16, focus=1.0), InputError, r"focus must be in \[0, 1\)"),
        (lambda: rotational(np.ones(8), 1.0, GRID, 1.0), GeometryError, r"shape \(8,\): expected \(16,\)"),
        (
            lambda: rotational(np.cos, np.pi, GRID, 1.0),
            GeometryError,
            r"profile\[8\] is -.*: expected a positive",
        ),
        (lambda: rotational(np.full(16, np.nan), 1.0, GRID, 1.0), GeometryError, r"profile\[0\] is nan"),
        (
            lambda: rotational(lambda s: "round", 1.0, GRID, 1.0),
            InputError,
            "must be real numbers or a function",
        ),
        (
            lambda: rotational(lambda s: 0.7 * np.sin(s), np.pi, GRID, 1.0),
            GeometryError,
            "slope 0.7 at pole 0: expected 1, where it closes smoothly",
        ),
        (
            lambda: rotational(
                lambda s: np.sin(s) + 0.02 * (np.sin(13 * s) - 13 / 15 * np.sin(15 * s)), np.pi, GRID, 1.0
            ),
            GeometryError,
            "profile: 16 points do not resolve the profile .*; take more points",
        ),
        (lambda: rotational(np.sin, np.pi, GRID, 0.0), InputError, "t_end must be a positive"),
        (lambda: rotational(np.sin, -1.0, GRID, 1.0), InputError, "length must be a positive"),
        (
            lambda: rotational(np.tanh, 9.0, WarpedGrid(16, 2, "space", 0.0), 1.0, normalised=True),
            InputError,
            "needs a closed manifold",
        ),
        (lambda: dumbbell(WarpedGrid(16, ends="space")), InputError, "two poles"),
        (lambda: dumbbell(GRID, neck=0.0), InputError, "neck must be a positive"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(("neck", "round_at_the_end"), [(2.6, False), (2.9, True)])
def test_when_a_dumbbell_pinches_and_when_it_becomes_round(neck, round_at_the_end):
    grid = WarpedGrid(65, focus=0.5)
    solution = rotational(*dumbbell(grid, neck), grid, 4.0)
    radius = np.sqrt(solution.metrics[-1, :, 1, 1].max())
    assert solution.status == "stopped"
    assert (np.pi * radius / solution.invariants["length"][-1] > 0.95) == round_at_the_end
