"""Positive definite matrices, warped products and products of spaces against what is known of them."""

import numpy as np
import pytest
import scipy.linalg
import zoo
from hypothesis import given, settings

import lnegeom

SPACE = lnegeom.SPD(3)
few = settings(max_examples=4)


def positive_definite(n, seed, count=1):
    factor = np.random.default_rng(seed).normal(size=(count, n, n))
    return factor @ np.swapaxes(factor, -1, -2) + 0.2 * np.eye(n)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ricci_of_matrix_spaces(size):
    # Ric = −k/4 on trace-free matrices, 0 along P itself: eigenvalues 0 and −k/4, for SPD(2) 0, −½, −½.
    space = lnegeom.SPD(size)
    x = space.from_matrix(positive_definite(size, 0)[0])
    values = np.sort(np.linalg.eigvals(space.inverse(x) @ space.ricci(x)).real)
    np.testing.assert_allclose(values, [-size / 4] * (space.dim - 1) + [0], atol=1e-12)
    np.testing.assert_allclose(space.scalar_curvature(x), -size * (size - 1) * (size + 2) / 8, atol=1e-12)
    along = space.from_matrix(space.to_matrix(x))
    np.testing.assert_allclose(space.ricci_apply(x, along), 0, atol=1e-12)


def test_geodesics_of_matrices_against_matrix_functions():
    p, q = positive_definite(3, 1, 2)
    x, y = SPACE.from_matrix(p), SPACE.from_matrix(q)
    root = scipy.linalg.sqrtm(p)
    middle = np.linalg.inv(root) @ q @ np.linalg.inv(root)
    v = root @ scipy.linalg.logm(middle) @ root
    np.testing.assert_allclose(SPACE._log(np, x, y), v[np.triu_indices(3)], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(SPACE._exp(np, x, v[np.triu_indices(3)]), y, rtol=1e-10)
    ratios = scipy.linalg.eigh(q, p, eigvals_only=True)
    np.testing.assert_allclose(SPACE._distance(np, x, y), np.sqrt(np.sum(np.log(ratios) ** 2)), rtol=1e-12)
    half = root @ scipy.linalg.sqrtm(middle) @ np.linalg.inv(root)  # carries from P to Q
    w = np.diag([1.0, -2.0, 0.5]) + 0.3
    moved = SPACE._transport(np, x, v[np.triu_indices(3)], w[np.triu_indices(3)])
    np.testing.assert_allclose(moved, (half @ w @ half.T)[np.triu_indices(3)], rtol=1e-9, atol=1e-11)


def test_near_and_far_matrices_keep_their_digits():
    x = SPACE.from_matrix(np.diag([1.0, 2.0, 3.0]))
    step = 1e-9 * np.array([1.0, 0.3, -0.2, 0.5, 0.1, 0.7])
    step = (x + step) - x  # as rounded
    np.testing.assert_allclose(SPACE._distance(np, x, x + step), SPACE.norm(x, step), rtol=1e-6)
    far = SPACE.from_matrix(np.diag([1e-12, 2.0, 1e9]))
    expected = np.linalg.norm(np.log([1e-12, 1.0, 1e9 / 3]))
    np.testing.assert_allclose(SPACE._distance(np, x, far), expected, rtol=1e-12)


def test_congruence_is_an_isometry():
    p, q = positive_definite(3, 2, 2)
    m = np.random.default_rng(3).normal(size=(3, 3))
    before = SPACE._distance(np, SPACE.from_matrix(p), SPACE.from_matrix(q))
    images = [m @ a @ m.T for a in (p, q)]
    after = SPACE._distance(np, *(SPACE.from_matrix((a + a.T) / 2) for a in images))
    np.testing.assert_allclose(after, before, rtol=1e-9)
    np.testing.assert_allclose(SPACE.to_matrix(SPACE.from_matrix(p)), p, rtol=1e-15)


def test_positive_numbers_are_a_line():
    line = lnegeom.SPD(1)
    np.testing.assert_allclose(line._distance(np, np.array([2.0]), np.array([5.0])), np.log(2.5), rtol=1e-14)


def test_normals_of_fixed_mean_are_half_the_space_of_covariances():
    # KL between centred normals induces ½ tr(Σ⁻¹ U Σ⁻¹ V).
    def kl(p, q):
        ratio = np.linalg.solve(lnegeom.SPD(2).to_matrix(q), lnegeom.SPD(2).to_matrix(p))
        return (np.linalg.trace(ratio) - 2 - np.linalg.slogdet(ratio)[1]) / 2

    x = np.array([1.3, 0.2, 0.8])
    induced = lnegeom.FromDivergence(kl, 3, vectorized=True)
    np.testing.assert_allclose(induced.matrix(x), lnegeom.SPD(2).matrix(x) / 2, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(induced.ricci(x), lnegeom.SPD(2).ricci(x), rtol=1e-5, atol=1e-6)


@few
@given(x=zoo.cube(2, ()).map(lambda u: np.abs(u) + 0.5))
def test_the_round_sphere_and_the_cone_as_warped_products(x):
    line = lnegeom.Euclidean(1)
    sphere = lnegeom.Warped(line, lnegeom.Sphere(2), lambda t: np.sin(t[0]))
    point = np.array([x[0], 0.3, x[1]])
    np.testing.assert_allclose(sphere.ricci(point), 2 * sphere.matrix(point), rtol=1e-8, atol=1e-9)
    cone = lnegeom.Warped(line, line, lambda r: 0.5 * r[0])
    np.testing.assert_allclose(cone.riemann(x), 0, atol=1e-8)


@few
@given(x=zoo.cube(3, ()).map(lambda u: np.array([2 + u[0], *u[1:]])))
def test_a_universe_of_flat_space(x):
    # g = −dt² + a(t)² dx², a = t^{2/3} (matter): G_tt = 3 (ȧ/a)² = 4/(3t²), no pressure.
    time = lnegeom.FromCallable(lambda t: -np.ones((1, 1)) + 0 * t[0], 1, negative=1)
    universe = lnegeom.Warped(time, lnegeom.Euclidean(3), lambda t: t[0] ** (2 / 3))
    expected = np.zeros((4, 4))
    expected[0, 0] = 4 / (3 * x[0] ** 2)
    np.testing.assert_allclose(lnegeom.einstein(universe, [*x, 0.4]), expected, atol=1e-8)
    assert universe.signature == (3, 1)


def test_a_constant_factor_makes_a_product():
    factors = lnegeom.HalfSpace(2), lnegeom.Sphere(2, radius=1.0)
    warped = lnegeom.Warped(*factors, lambda t: 3.0 + 0 * t[0])
    product = lnegeom.Product(factors[0], lnegeom.Sphere(2, radius=3.0))
    x = np.array([0.3, 1.2, 0.1, -0.4])
    for name in ("matrix", "christoffel", "riemann", "ricci", "scalar_curvature", "logdet"):
        expected = getattr(product, name)(x)
        np.testing.assert_allclose(getattr(warped, name)(x), expected, atol=1e-9, err_msg=name)


def test_geodesics_of_a_product_are_side_by_side():
    product = lnegeom.Product(SPACE, lnegeom.SPD(1))
    assert product.closed_form_geodesics
    assert not lnegeom.Product(SPACE, lnegeom.LNE(1.0), dims=(6, 1)).closed_form_geodesics
    x, y = (np.r_[SPACE.from_matrix(p), 0.5 + p[0, 0]] for p in positive_definite(3, 4, 2))
    v = product._log(np, x, y)
    np.testing.assert_allclose(product._exp(np, x, v), y, rtol=1e-9)
    np.testing.assert_allclose(product._distance(np, x, y), product.norm(x, v), rtol=1e-10)
    batch = product._exp(np, x, np.stack([v, 0 * v]))
    np.testing.assert_allclose(batch, [y, x], rtol=1e-9)


def test_structure_is_kept_in_a_hundred_thousand_dimensions():
    n = 100_000
    base, v = np.full(n, 1e-4), np.ones(n)
    graph = lnegeom.Graph(lnegeom.LogCosh(1.0), sign=-1)
    warped = lnegeom.Warped(lnegeom.Euclidean(1), lnegeom.LNE(1.0), lnegeom.SquaredNorm(), dims=(1, n))
    ball = lnegeom.PoincareBall(n)
    for metric, x, u in (
        (graph, base, v),
        (lnegeom.LNE(1.0), base, v),
        (ball, base, v),
        (lnegeom.NormalizedLNE(0.5), base, v),
        (warped, np.r_[2.0, base], np.r_[1.0, v]),
    ):
        np.testing.assert_allclose(metric.flat(x, metric.sharp(x, u)), u, rtol=1e-9)
        assert np.isfinite(metric.christoffel_apply(x, u, u)).all()
        if metric is not warped and not isinstance(metric, lnegeom.NormalizedLNE):
            ricci = metric.ricci_apply(x, u), metric.scalar_curvature(x)
            assert all(np.isfinite(value).all() for value in ricci)
    np.testing.assert_allclose(graph.ricci_apply(base, v), lnegeom.LNE(1.0).ricci_apply(base, v), rtol=1e-9)
