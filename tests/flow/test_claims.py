"""Decay under the Ricci–DeTurck flow: where the claims hold, for drawn perturbations, and where they do not.

ε is always ``sup ‖h‖`` in operator norm, the mean included.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnegeom.flow import (
    TorusGrid,
    decay_rate,
    king_conformal,
    perturbed_flat,
    plane_wave,
    ricci,
    ricci_deturck,
)
from lnegeom.testing import perturbed_tori

seeds = st.integers(0, 2**32 - 1)
HEXAGON = 2 * math.pi * np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
RECTANGULAR = [
    TorusGrid((24,)),
    TorusGrid((16, 16)),
    TorusGrid((16, 14), (2 * math.pi, 5.0)),
    TorusGrid((24, 5), (100.0, 3.0)),
    TorusGrid((8, 8, 8)),
    TorusGrid((10, 8, 8), (7.0, 5.0, 4.0)),
    TorusGrid((6, 6, 6, 6)),
]
tori = st.sampled_from([*RECTANGULAR, TorusGrid((16, 16), lattice=HEXAGON)])


def scaled(h, epsilon):
    """δ + h with h scaled to ε."""
    return np.eye(h.shape[-1]) + h * (epsilon / np.max(np.abs(np.linalg.eigvalsh(h))))


def symmetric(rng, n):
    a = rng.normal(size=(n, n))
    return a + a.T


def lowest_modes(grid):
    """One of each pair ±m of the lowest shell."""
    modes = [m for m in itertools.product((-1, 0, 1), repeat=grid.dim) if m > (0,) * grid.dim]
    squares = np.array([np.sum(grid.wavevector(m) ** 2) for m in modes])
    return [m for m, square in zip(modes, squares, strict=True) if square < squares.min() * (1 + 1e-9)]


def waves(grid, rng, modes):
    """A sum of waves in these modes, of random phase and polarisation, of norm 1."""
    h = 0
    for mode in modes:
        phase = grid.coordinates() @ grid.wavevector(mode) + rng.uniform(0, 2 * math.pi)
        h = h + np.cos(phase)[..., None, None] * symmetric(rng, grid.dim)
    return scaled(h, 1.0) - np.eye(grid.dim)


def limit_of(solution):
    """The last metric's mean, once it has become constant."""
    last = solution.metrics[-1]
    axes = tuple(range(solution.grid.dim))
    assert np.max(np.std(last, axis=axes)) < 1e-5
    return np.mean(last, axis=axes)


@settings(max_examples=30)
@given(grid=tori, seed=seeds, epsilon=st.floats(0.01, 0.3), share=st.floats(0, 0.95), lowest=st.booleans())
def test_the_mean_free_part_is_below_an_exponential(grid, seed, epsilon, share, lowest):
    # For any data, with C = 2: ‖h − mean‖ ≤ exp(−(1 − 2ε) λ₁ t) ‖·‖₀. The lowest shell comes nearest.
    rng, n = np.random.default_rng(seed), grid.dim
    if lowest:
        h = waves(grid, rng, lowest_modes(grid))
    else:
        h = scaled(perturbed_flat(grid, 0.5, seed=seed, modes=2) - np.eye(n), 1.0) - np.eye(n)
    h = (1 - share) * h + share * (scaled(symmetric(rng, n), 1.0) - np.eye(n))
    rate = grid.smallest_eigenvalue()
    solution = ricci_deturck(scaled(h, epsilon), grid, 2 / rate, samples=5)
    norm = solution.perturbation_norm()
    bound = np.exp(-(1 - 2 * epsilon) * rate * solution.times) * norm[0]
    assert np.all(norm <= bound * (1 + 1e-6) + 1e-13)


@settings(max_examples=15)
@given(grid=st.sampled_from(RECTANGULAR), seed=seeds, epsilon=st.floats(0.02, 0.1))
def test_lowest_shell_decays_at_the_first_eigenvalue(grid, seed, epsilon):
    start = scaled(waves(grid, np.random.default_rng(seed), lowest_modes(grid)), epsilon)
    first, second = grid.eigenvalues(2)
    fit = decay_rate(ricci_deturck(start, grid, math.log(1000) / (second - first) + 3 / first, samples=61))
    assert fit.theory == pytest.approx(first)
    assert abs(fit.relative_difference) < epsilon**2
    # And what is left of the difference is the limit's own first eigenvalue, where the shell has one pair.
    alone = len(lowest_modes(grid)) == 1
    assert abs(fit.rate - fit.limit_theory) < (0.01 if alone else 0.3) * epsilon**2 * first
    assert abs(fit.drift) < 0.3 * epsilon**2 * first
    assert fit.limit_shift < epsilon**2


def test_on_a_hexagonal_torus_only_late():
    # Three wavevectors of the lowest shell sum to zero: products are in the shell again, a shift of O(ε).
    grid, epsilon = TorusGrid((16, 16), lattice=HEXAGON), 0.1
    h = sum(plane_wave(grid, mode, 0.1 * np.eye(2)) - np.eye(2) for mode in [(1, 0), (0, 1), (-1, -1)])
    solution = ricci_deturck(scaled(h, epsilon), grid, 11.0, samples=111)
    norm = np.log(solution.perturbation_norm())
    early = -(norm[2] - norm[0]) / (solution.times[2] - solution.times[0])
    assert abs(early / grid.smallest_eigenvalue() - 1) > epsilon**2
    fit = decay_rate(solution)
    assert fit.rate == pytest.approx(fit.limit_theory, rel=0.1 * epsilon**2)


def test_on_a_face_centred_torus_only_late():
    lattice = math.pi * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    grid, epsilon = TorusGrid((8, 8, 8), lattice=lattice), 0.1
    first, second = grid.eigenvalues(2)  # 3 and 4: eight wavevectors, and six
    assert (first, second) == pytest.approx((3, 4))
    start = perturbed_flat(grid, epsilon, seed=0, modes=2)
    fit = decay_rate(ricci_deturck(start, grid, math.log(1000) + 1, samples=61))
    assert abs(fit.relative_difference) < epsilon**2
    assert fit.rate == pytest.approx(fit.limit_theory, rel=0.1 * epsilon**2)


def test_a_mean_shifts_the_rate_to_that_of_the_limit():
    grid, epsilon = TorusGrid((16, 16)), 0.1
    start = scaled(waves(grid, np.random.default_rng(0), [(1, 0)]), 0.01) + np.diag([epsilon, 0.0])
    fit = decay_rate(ricci_deturck(start, grid, 14.0))
    assert abs(fit.relative_difference) > 0.5 * epsilon
    assert fit.limit_theory == pytest.approx(1 / (1 + epsilon), rel=1e-3)
    assert fit.rate == pytest.approx(fit.limit_theory, rel=1e-5)


@settings(max_examples=15)
@given(perturbed_tori(tori, 0.05, 0.3, modes=2))
def test_the_distance_to_flat_falls(torus):
    grid, start = torus
    solution = ricci_deturck(start, grid, 2 / grid.smallest_eigenvalue(), samples=9)
    assert np.all(np.diff(solution.perturbation_norm(mean_free=False)) < 0)


@settings(max_examples=10)
@given(seed=seeds, epsilon=st.floats(0.05, 0.2), mode=st.sampled_from([(1,), (1, 0), (1, 1), (1, 0, 0)]))
def test_one_plane_wave_shifts_the_mean_by_half_its_square_at_most(seed, epsilon, mode):
    n = len(mode)
    grid = TorusGrid([12 if m else 4 for m in mode])
    A = scaled(symmetric(np.random.default_rng(seed), n), epsilon) - np.eye(n)
    solution = ricci_deturck(plane_wave(grid, mode, A), grid, 12.0, samples=2)
    shift = np.max(np.abs(np.linalg.eigvalsh(limit_of(solution) - np.eye(n))))
    assert shift <= 0.5 * epsilon**2 + epsilon**3


def test_transverse_traceless_waves_do_not_end_at_delta():
    # h = ε cos(x) (dy² − dz²): the limit differs from δ by ±ε²/4.
    grid, epsilon = TorusGrid((12, 4, 4)), 0.1
    solution = ricci_deturck(
        plane_wave(grid, (1, 0, 0), epsilon * np.diag([0.0, 1.0, -1.0])), grid, 12.0, samples=3
    )
    shift = limit_of(solution) - np.eye(3)
    assert np.max(np.abs(shift)) == pytest.approx(epsilon**2 / 4, rel=0.05)
    assert shift.min() < 0
    total = solution.perturbation_norm(mean_free=False)
    assert total[-1] > 0.5 * math.sqrt(grid.volume) * epsilon**2 / 4  # not to 0
    assert solution.perturbation_norm()[-1] < 1e-3 * total[-1]


def test_plain_ricci_flow_does_not_move_a_pure_gauge():
    # φ*δ with φ = (x + 0.1 sin(x + y), y): flat. The DeTurck flow undoes φ; Ricci flow has nothing to do.
    grid = TorusGrid((24, 24))
    x = grid.coordinates()
    J = np.broadcast_to(np.eye(2), (24, 24, 2, 2)).copy()
    J[..., 0, :] += 0.1 * np.cos(x[..., 0] + x[..., 1])[..., None]
    g = np.swapaxes(J, -1, -2) @ J
    still = ricci(g, grid, 2.0, samples=3, invariants="max_riemann")
    np.testing.assert_allclose(still.perturbation_norm(), still.perturbation_norm()[0], rtol=1e-5)
    assert np.max(still.invariants["max_riemann"]) < 1e-5
    moved = ricci_deturck(g, grid, 2.0, samples=3)
    assert moved.perturbation_norm()[-1] < 0.1 * moved.perturbation_norm()[0]


def test_under_plain_ricci_flow_curvature_decays_and_the_metric_does_not():
    grid = TorusGrid((16, 16))
    start = perturbed_flat(grid, 0.05, seed=0, modes=1)
    solution = ricci(start, grid, 6.0, samples=4, invariants=["max_riemann", "perelman_lambda"])
    curvature, lowest = solution.invariants["max_riemann"], -solution.invariants["perelman_lambda"]
    assert curvature[-1] / curvature[0] < 2 * math.exp(-6.0)
    assert lowest[-1] / lowest[0] < 2 * math.exp(-12.0)
    assert solution.perturbation_norm()[-1] > 0.2 * solution.perturbation_norm()[0]


@pytest.mark.parametrize(("n", "sides"), [(1, (12.0, 48.0, 1536.0)), (2, (12.0, 24.0, 96.0))])
def test_on_growing_tori_the_decay_becomes_a_power(n, sides):
    # A bump with ∫h ≠ 0 on R^n decays like (t + t₀)^{−n/4}, t₀ = σ²/2, while t ≪ L².
    sigma, powers = 1.5, []
    for side in sides:
        grid = TorusGrid((int(side * 4 / 3),) * n, (side,) * n)
        distance = np.sum((grid.coordinates() - side / 2) ** 2, axis=-1)
        bump = 0.05 * np.exp(-distance / (2 * sigma**2))
        start = np.eye(n) + bump[..., None, None] * np.diag([1.0, 0.5][:n])
        solution = ricci_deturck(start, grid, 12.0, samples=25)
        t, norm = solution.times[8:] + sigma**2 / 2, solution.perturbation_norm()[8:]
        powers.append(-np.polyfit(np.log(t), np.log(norm), 1)[0])
    assert powers[0] > powers[1] > powers[2]
    assert powers[0] > 1.6 * n / 4  # exponential, on a small torus
    assert powers[2] == pytest.approx(n / 4, abs=0.02)


def test_a_turn_of_the_hexagonal_torus_and_of_the_cube():
    # A lattice symmetry S takes the grid point m to Am, and g to S g Sᵀ there.
    turn = np.array([[0.5, -math.sqrt(0.75)], [math.sqrt(0.75), 0.5]])
    cases = [
        (TorusGrid((32, 32), lattice=HEXAGON), turn, [[0, -1], [1, 1]]),
        (TorusGrid((6, 6, 6)), np.eye(3)[[2, 0, 1]], np.eye(3, dtype=int)[[2, 0, 1]]),
    ]
    for grid, S, A in cases:
        start = perturbed_flat(grid, 0.2, seed=1, modes=1)

        def turned(g, S=S, A=A, grid=grid):
            back = np.tensordot(np.round(np.linalg.inv(A)).astype(int), np.indices(grid.shape), 1)
            return S @ g[tuple(index % size for index, size in zip(back, grid.shape, strict=True))] @ S.T

        def flow(g, grid=grid):
            return ricci_deturck(g, grid, 0.3, samples=2, dt=0.05).metrics[-1]

        np.testing.assert_allclose(flow(turned(start)), turned(flow(start)), atol=1e-7)
        assert np.max(np.abs(turned(start) - start)) > 0.1


@settings(max_examples=3)
@given(seed=seeds)
def test_equivariance(seed):
    grid = TorusGrid((12, 12))
    start = perturbed_flat(grid, 0.3, seed=seed, modes=2)

    def flow(metric, on=grid, t=0.3):
        return ricci_deturck(metric, on, t, samples=2, dt=t / 6).metrics[-1]

    plain = flow(start)
    # A quarter turn of the torus: (x, y) → (−y, x), with R g Rᵀ at the turned point.
    R = np.array([[0.0, -1.0], [1.0, 0.0]])
    i, j = np.indices((12, 12))

    def turned(g):
        return R @ g[j, -i] @ R.T

    np.testing.assert_allclose(flow(turned(start)), turned(plain), atol=1e-13)
    # A translation by grid points, and a reflection.
    np.testing.assert_allclose(
        flow(np.roll(start, (3, 5), (0, 1))), np.roll(plain, (3, 5), (0, 1)), atol=1e-13
    )
    S = np.diag([-1.0, 1.0])
    np.testing.assert_allclose(flow(S @ start[-i, j] @ S), S @ plain[-i, j] @ S, atol=1e-13)
    # g(x, t) → g(λx, λ²t): the same components, on a torus λ times smaller, λ² times faster.
    small = TorusGrid((12, 12), (2 * math.pi / 3,) * 2)
    np.testing.assert_allclose(flow(start, small, 0.3 / 9), plain, atol=1e-13)


def test_errors_in_space_fall_exponentially():
    # King's solution with e^{−s₀} the ratio of its harmonics: the 2/3 rule keeps N/3 of them.
    sizes, errors = np.array([12, 18, 24, 30]), []
    for size in sizes:
        grid = TorusGrid((size, 4))
        start, end = (king_conformal(grid, t, s0=1.5) for t in (0.0, 0.1))
        solution = ricci_deturck(start, grid, 0.1, samples=2, dt=0.002, method="etdrk4")
        errors.append(np.max(np.abs(solution.metrics[-1] - end)))
    slope = np.polyfit(sizes, np.log(errors), 1)[0]
    assert slope == pytest.approx(-1.6 / 3, rel=0.15)  # s = 1.6 at the end
