"""Homogeneous flows against connections, coordinates, exact solutions and conserved quantities."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson, solve_ivp

from lnegeom import GeometryError, InputError, symbolic
from lnegeom.flow import EinsteinSpace, LieGroup, ProductSpace, Solution, homogeneous, normalise
from lnegeom.flow.lie import MILNOR

# Hyperbolic 3-space as a solvable group: [F₁, F_i] = F_i; and a group of dimension 4 that is not unimodular.
HYPERBOLIC = np.zeros((3, 3, 3))
for axis in (1, 2):
    HYPERBOLIC[axis, 0, axis], HYPERBOLIC[axis, axis, 0] = 1, -1
SOLVABLE = np.zeros((4, 4, 4))
SOLVABLE[1:, 0, 1:] = [[1.0, 2.0, 0.0], [-0.5, 0.3, 1.0], [0.0, 0.7, -2.0]]
SOLVABLE[1:, 1:, 0] = -SOLVABLE[1:, 0, 1:]
GROUPS = {name: LieGroup.named(name) for name in MILNOR} | {
    "H3": LieGroup(HYPERBOLIC),
    "solvable": LieGroup(SOLVABLE),
}


def koszul_ricci(c, g):
    """Ricci tensor from the Levi-Civita connection ``∇_{F_i} F_j = Γ^k_ij F_k`` of Koszul's formula."""
    lowered = np.einsum("kl,lij->kij", g, c)  # ⟨F_k, [F_i, F_j]⟩
    twice = lowered - np.einsum("ijk->kij", lowered) + np.einsum("jki->kij", lowered)
    gamma = np.einsum("kl,lij->kij", np.linalg.inv(g), twice) / 2
    curvature = (
        np.einsum("ril,ljs->rsij", gamma, gamma)
        - np.einsum("rjl,lis->rsij", gamma, gamma)
        - np.einsum("lij,rls->rsij", c, gamma)
    )
    return np.einsum("rsrj->sj", curvature)


def random_metric(rng, n):
    root = rng.normal(size=(n, n))
    return root @ root.T + 0.5 * np.eye(n)


@pytest.mark.parametrize("name", GROUPS)
@given(seed=st.integers(0, 2**32 - 1))
def test_ricci_is_the_connections(name, seed):
    group = GROUPS[name]
    g = random_metric(np.random.default_rng(seed), group.dim)
    expected = koszul_ricci(np.array(group.structure), g)
    np.testing.assert_allclose(group.ricci(g), expected, atol=1e-9 * max(1, np.max(np.abs(expected))))


def test_berger_sphere_is_the_one_in_coordinates():
    beta = sympy.Rational(3, 5)
    scalar = symbolic.berger_sphere(beta).scalar
    g = np.diag([float(beta) ** 2, 1.0, 1.0])
    got = np.trace(np.linalg.solve(g, GROUPS["SU(2)"].ricci(g)))
    assert got == pytest.approx(float(next(iter(scalar.nonzero().values()))), rel=1e-14)


def test_su2_solves_the_printed_equations():
    def rates(t, metric):
        a, b, c = metric
        return [
            -8 + 4 * (b * b + c * c - a * a) / (b * c),
            -8 + 4 * (c * c + a * a - b * b) / (c * a),
            -8 + 4 * (a * a + b * b - c * c) / (a * b),
        ]

    start = [0.5, 1.0, 1.4]
    expected = solve_ivp(rates, (0, 0.2), start, "Radau", rtol=1e-9, atol=1e-12).y[:, -1]
    solution = homogeneous(start, GROUPS["SU(2)"], 0.2, samples=2)
    np.testing.assert_allclose(np.diag(solution.metrics[-1]), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "start", "normalised"),
    [("SU(2)", [0.5, 1, 2], True), ("E(2)", [1, 2.5, 0.7], False), ("SL(2)", [1, 2, 3], False)],
)
def test_a_run_that_nears_its_limit_takes_no_more_steps_the_longer_it_is(name, start, normalised):
    for t_end in (1e3, 1e6):
        solution = homogeneous(start, GROUPS[name], t_end, normalised=normalised, samples=2)
        assert solution.status == "completed"
        assert solution.evaluations < 6000


def test_samples_between_the_steps_are_as_good_as_the_last():
    # Milnor's equations on SL(2), normalised, in the logarithms of the entries; with λ = (−2, 2, 2) the
    # squares are of λ_i g_i − λ_j g_j.
    def rates(t, logs):
        a, b, c = np.exp(logs)
        ricci = 2 * np.array([a * a - (b - c) ** 2, b * b - (a + c) ** 2, c * c - (a + b) ** 2])
        ricci /= [b * c * a, a * c * b, a * b * c]
        return -2 * ricci + 2 / 3 * np.sum(ricci)

    start, times = [1.0, 2.0, 3.0], np.linspace(0, 30, 101)
    expected = solve_ivp(rates, (0, 30), np.log(start), "LSODA", t_eval=times, rtol=1e-12, atol=1e-12).y.T
    metrics = homogeneous(start, GROUPS["SL(2)"], 30.0, normalised=True).metrics
    np.testing.assert_allclose(np.diagonal(metrics, axis1=1, axis2=2), np.exp(expected), rtol=2e-8)


def test_ricci_keeps_its_digits_where_its_terms_cancel():
    # Late on SL(2): a fibre of constant length, a base that has grown and all but become round.
    a, b = sympy.Integer(1), sympy.Integer(2) ** 24
    c = b + sympy.Rational(1, 64)
    exact = 2 * (a**2 - (b - c) ** 2) / (b * c)
    ricci = GROUPS["SL(2)"].ricci(np.diag([float(a), float(b), float(c)]))
    assert ricci[0, 0] == pytest.approx(float(exact), rel=1e-14, abs=0)


def test_nil_meets_its_exact_solution_to_the_tolerance():
    a, b, c = 2.0, 1.0, 3.0
    u = 1 + 12 * a / (b * c) * 10.0
    exact = np.array([a * u ** (-1 / 3), b * u ** (1 / 3), c * u ** (1 / 3)])
    tolerances, errors = np.array([1e-3, 1e-5, 1e-7, 1e-9]), []
    for rtol in tolerances:
        metric = homogeneous([a, b, c], GROUPS["Nil"], 10.0, samples=2, rtol=rtol).metrics[-1]
        errors.append(np.max(np.abs(np.diag(metric) / exact - 1)))
    assert np.all(errors < 30 * tolerances)
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(1, abs=0.3)
    np.testing.assert_allclose(metric - np.diag(np.diag(metric)), 0, atol=1e-15)


@pytest.mark.parametrize(("name", "sign"), [("E(2)", 1), ("Sol", -1)])
def test_conserved_quantities(name, sign):
    g = homogeneous([1.0, 2.5, 0.7], GROUPS[name], 20.0, samples=5).metrics
    a, b, c = (g[:, k, k] for k in range(3))
    np.testing.assert_allclose(a * b, 2.5, rtol=1e-8)
    np.testing.assert_allclose(c * (a + sign * b), c[0] * (a[0] + sign * b[0]), rtol=1e-8)
    assert abs(a[-1] / b[-1] - 1) < 0.02  # both tend to a = b: flat for E(2), the self-similar Sol otherwise
    if name == "Sol":
        assert (c[-1] - c[-2]) / 5 == pytest.approx(16, rel=1e-3)


def test_sl2_grows_linearly_beside_a_fibre_of_constant_length():
    g = homogeneous([1.0, 2.0, 3.0], GROUPS["SL(2)"], 200.0, samples=5).metrics
    rates = np.diff(g, axis=0)[-1] / 50
    np.testing.assert_allclose(np.diag(rates), [0, 8, 8], atol=0.1)


def test_space_forms_and_groups_move_by_the_square_of_their_radius():
    times = np.linspace(0, 0.1, 3)
    cases = [
        (EinsteinSpace.sphere(4), -6),
        (EinsteinSpace.hyperbolic(3), 4),
        (GROUPS["SU(2)"], -4),
        (GROUPS["H3"], 4),
        (GROUPS["R3"], 0),
    ]
    for space, rate in cases:
        solution = homogeneous(np.ones(space.dim), space, 0.1, samples=3)
        expected = (1 + rate * times)[:, None, None] * np.eye(space.dim)
        np.testing.assert_allclose(solution.metrics, expected, atol=1e-9)
        # The singular time of a sphere is 1/(2(n−1)), and nothing else ends.
        long = homogeneous(np.ones(space.dim), space, 1.0, samples=3)
        if rate < 0:
            assert long.status == "stopped"
            assert long.singular_time == pytest.approx(-1 / rate, rel=1e-10)
            assert "|Ric| has reached" in long.message
        else:
            assert (long.status, long.singular_time) == ("completed", None)


def test_products_flow_factor_by_factor():
    factors = [GROUPS["SU(2)"], EinsteinSpace.hyperbolic(2)]
    starts = [[0.5, 1.0, 1.0], [2.0, 2.0]]
    whole = homogeneous(np.concatenate(starts), ProductSpace(*factors), 0.1, samples=3)
    parts = [homogeneous(g, space, 0.1, samples=3) for g, space in zip(starts, factors, strict=True)]
    np.testing.assert_allclose(whole.metrics[:, :3, :3], parts[0].metrics, rtol=0, atol=1e-8)
    np.testing.assert_allclose(whole.metrics[:, 3:, 3:], parts[1].metrics, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(whole.metrics[:, :3, 3:], 0)
    # The sphere of a cylinder pinches, the line stays.
    cylinder = homogeneous([1, 1, 1], ProductSpace(EinsteinSpace.sphere(2), EinsteinSpace(1, 0)), 1.0)
    assert cylinder.singular_time == pytest.approx(0.5, rel=1e-7)
    np.testing.assert_allclose(cylinder.metrics[:, 2, 2], 1)


@pytest.mark.parametrize("name", GROUPS)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_scalar_curvature_grows_and_volume_follows_it(name, seed):
    # d/dt R = 2 |Ric|² and d/dt log V = −R; R is Perelman's λ here, whose eigenfunction is constant.
    group = GROUPS[name]
    g = random_metric(np.random.default_rng(seed), group.dim)
    end = 0.1 / max(1.0, np.max(np.abs(np.linalg.solve(g, group.ricci(g)))))
    solution = homogeneous(g, group, end, samples=41)
    R, squares = solution.invariants["scalar_curvature"], 2 * solution.invariants["ricci_norm"] ** 2
    assert np.all(np.diff(R) >= -1e-12 * np.abs(R[0]))
    scale = 1e-6 * max(1.0, np.max(np.abs(R)))
    assert R[-1] - R[0] == pytest.approx(simpson(squares, x=solution.times), abs=scale)
    log_volume = np.log(solution.invariants["volume"][-1])
    assert log_volume == pytest.approx(-simpson(R, x=solution.times), abs=scale)


def test_a_berger_sphere_becomes_round_as_it_shrinks():
    solution = homogeneous([0.2, 1.0, 1.0], GROUPS["SU(2)"], 1.0)
    ratio = solution.metrics[:, 0, 0] / solution.metrics[:, 1, 1]
    assert np.all(np.diff(ratio) > -1e-9)
    assert ratio[-1] == pytest.approx(1, abs=1e-6)
    assert solution.status == "stopped"
    norm = solution.invariants["ricci_norm"]
    np.testing.assert_allclose(
        norm[-1] * (solution.singular_time - solution.times[-1]), math.sqrt(3) / 2, rtol=0.01
    )


def test_normalised_flow_keeps_the_volume_and_becomes_round():
    solution = homogeneous([0.5, 1, 2], GROUPS["SU(2)"], 5.0, normalised=True, samples=5)
    np.testing.assert_allclose(solution.metrics[-1], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(solution.invariants["volume"], 1, rtol=1e-7)


def test_a_rescaled_solution_keeps_its_curvatures():
    plain = normalise(homogeneous([0.5, 1, 2], GROUPS["SU(2)"], 0.1, samples=101))
    direct = homogeneous([0.5, 1, 2], GROUPS["SU(2)"], float(plain.times[-1]), normalised=True, samples=2)
    for name in ("scalar_curvature", "ricci_norm"):
        assert plain.invariants[name][-1] == pytest.approx(direct.invariants[name][-1], rel=1e-6)
    pytest.importorskip("matplotlib").use("Agg")
    assert len(plain.plot().axes) == 2  # the curvature is drawn


@pytest.mark.parametrize("start", [[1.0, 2.0, 3.0], [0.5, 1.0, 1.0]])
def test_normalised_flow_is_the_plain_one_rescaled(start):
    plain = normalise(homogeneous(start, GROUPS["SL(2)"], 0.5, samples=201))
    direct = homogeneous(start, GROUPS["SL(2)"], float(plain.times[-1]), normalised=True, samples=2)
    np.testing.assert_allclose(plain.metrics[-1], direct.metrics[-1], rtol=1e-7)
    volume = np.sqrt(np.linalg.det(plain.metrics))
    np.testing.assert_allclose(volume, volume[0], rtol=1e-12)


def test_a_rotated_frame_gives_the_rotated_flow():
    # The frame F' = R F turns the structure constants and the metric: the same geometry.
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    c = np.array(GROUPS["SL(2)"].structure)
    turned = LieGroup(np.einsum("kc,cab,ia,jb->kij", rotation, c, rotation, rotation))
    g = np.diag([1.0, 2.0, 3.0])
    plain = homogeneous(g, GROUPS["SL(2)"], 1.0, samples=3).metrics
    other = homogeneous(rotation @ g @ rotation.T, turned, 1.0, samples=3).metrics
    np.testing.assert_allclose(other, rotation @ plain @ rotation.T, atol=1e-7)


def test_samples_lie_at_the_times_asked_for():
    solution = homogeneous([1.0, 1.0, 1.0], GROUPS["SU(2)"], 0.2, samples=7)
    np.testing.assert_array_equal(solution.times, np.linspace(0, 0.2, 7))
    np.testing.assert_allclose(solution.metrics[:, 0, 0], 1 - 4 * solution.times, rtol=1e-8)
    assert solution.message == "reached t = 0.2"


@pytest.mark.parametrize("samples", [2, 3, 50, 1001])
def test_samples_at_the_very_end_of_a_step_are_found(samples):
    # Towards the singularity the samples are the solver's own times.
    solution = homogeneous([1.0, 1.0, 1.0], GROUPS["SU(2)"], 0.26, samples=samples)
    assert np.all(np.diff(solution.times) > 0)
    np.testing.assert_allclose(solution.metrics[:, 0, 0], 1 - 4 * solution.times, rtol=1e-5, atol=1e-9)


def test_saved_solutions_keep_their_space(tmp_path):
    space = ProductSpace(GROUPS["Nil"], EinsteinSpace.sphere(2))
    solution = homogeneous(np.ones(5), space, 0.1, samples=3)
    solution.save(tmp_path / "run.npz")
    loaded = Solution.load(tmp_path / "run.npz")
    assert loaded.grid == space
    np.testing.assert_array_equal(loaded.metrics, solution.metrics)
    np.testing.assert_array_equal(loaded.invariants["volume"], solution.invariants["volume"])


@pytest.mark.parametrize(
    ("metric", "space", "words"),
    [
        (np.eye(2), GROUPS["Nil"], r"shape \(2, 2\): expected \(3, 3\), or its diagonal"),
        ([1, math.nan, 1], GROUPS["Nil"], r"metric\[1\] is nan"),
        ([1, -1, 1], GROUPS["Nil"], "eigenvalue -1: expected a positive definite"),
        (
            np.eye(3) + np.triu(np.ones((3, 3)), 1),
            GROUPS["Nil"],
            "asymmetric by 1: expected metric = metricᵀ",
        ),
        ([1, 1, 2], EinsteinSpace.sphere(3), r"metric\[2, 2\] is 2: the metrics of an Einstein space"),
        (np.eye(4) + 0.1, ProductSpace(EinsteinSpace.sphere(2), EinsteinSpace.sphere(2)), "zero between"),
    ],
)
def test_bad_metrics(metric, space, words):
    with pytest.raises(GeometryError, match=words):
        homogeneous(metric, space, 1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: homogeneous(np.ones(3), GROUPS["Nil"], -1.0), "t_end must be a positive"),
        (lambda: homogeneous(np.ones(3), GROUPS["Nil"], 1.0, samples=1), "samples must be at least 2"),
        (lambda: homogeneous("round", GROUPS["Nil"], 1.0), "metric must be an array of real"),
        (lambda: LieGroup.named("SO(4)"), r"unknown group 'SO\(4\)': expected one of SU\(2\)"),
        (lambda: LieGroup.unimodular([1, 2]), "three numbers"),
        (lambda: LieGroup(np.zeros((2, 3, 3))), r"shape \(n, n, n\), got shape \(2, 3, 3\)"),
        (lambda: LieGroup(np.ones((3, 3, 3))), "must be antisymmetric"),
        (lambda: LieGroup(np.full((3, 3, 3), "x")), "array c"),
        (lambda: LieGroup(broken_algebra()), "fails Jacobi's identity by"),
        (lambda: ProductSpace(EinsteinSpace.sphere(2)), "at least two spaces, got 1"),
        (lambda: EinsteinSpace(0, 1.0), "dim must be a positive integer"),
        (
            lambda: normalise(homogeneous(np.ones(3), GROUPS["Nil"], 1.0, samples=3)),
            "has 3 samples: expected 4",
        ),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()


def broken_algebra():
    c = np.zeros((3, 3, 3))
    for k, i, j in ((0, 0, 1), (1, 1, 2), (2, 2, 0)):
        c[k, i, j], c[k, j, i] = 1, -1
    return c
