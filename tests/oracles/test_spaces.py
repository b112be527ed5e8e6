"""Spaces whose curvature is known, and metrics that are one and the same."""

import itertools

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given

import lnegeom
from lnegeom.derivatives import jet


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("radius", [1.0, 2.5])
@pytest.mark.parametrize(
    ("space", "sign"), [(lnegeom.Sphere, 1), (lnegeom.PoincareBall, -1), (lnegeom.HalfSpace, -1)]
)
def test_constant_curvature(space, sign, n, radius):
    metric = space(n, radius)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.4, (4, n))
    k = sign / radius**2
    g = metric.matrix(x)
    np.testing.assert_allclose(metric.ricci(x), k * (n - 1) * g, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(metric.scalar_curvature(x), k * n * (n - 1), rtol=1e-10)
    u, v = rng.normal(size=(2, 4, n))
    np.testing.assert_allclose(lnegeom.sectional_curvature(metric, x, u, v), k, rtol=1e-8)
    lowered = lnegeom.riemann(metric, x, lowered=True)
    expected = k * (np.einsum("...ik,...jl->...ijkl", g, g) - np.einsum("...il,...jk->...ijkl", g, g))
    np.testing.assert_allclose(lowered, expected, rtol=1e-10, atol=1e-10)


def test_stereographic_chart_is_isometric_to_the_embedded_sphere():
    sphere = lnegeom.Sphere(2, radius=1.5)
    x = np.array([[0.3, -0.4], [2.0, 1.0]])
    y = sphere.embed(x)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1.5)
    np.testing.assert_allclose(sphere.project(y), x)
    induced = lnegeom.Pullback(sphere.embed, 2, vectorized=True)
    np.testing.assert_allclose(induced.matrix(x), sphere.matrix(x), atol=1e-10)
    np.testing.assert_allclose(induced.ricci(x), sphere.ricci(x), atol=1e-8)


@given(x=zoo.cube(3).map(lambda u: 0.5 * u))
def test_lne_is_the_minkowski_graph_of_log_cosh(x):
    lne, graph = lnegeom.LNE(1.0), lnegeom.Graph(lnegeom.LogCosh(1.0), sign=-1)
    for name in ("matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature"):
        np.testing.assert_allclose(getattr(lne, name)(x), getattr(graph, name)(x), rtol=1e-11, atol=1e-12)


@given(x=zoo.cube(2))
def test_a_graph_is_a_pullback_of_its_ambient_space(x):
    def height(y):
        return y[0] * y[1] / 3 + y[0] ** 2 / 4

    for sign in (1, -1):
        ambient = lnegeom.Euclidean(3) if sign > 0 else lnegeom.Minkowski(3)
        graph = lnegeom.Graph(height, sign)
        induced = lnegeom.Pullback(lambda y: np.stack([height(y), y[0], y[1]]), 2, ambient)
        for name in ("matrix", "christoffel", "riemann", "ricci"):
            np.testing.assert_allclose(
                getattr(graph, name)(x), getattr(induced, name)(x), rtol=1e-7, atol=1e-8, err_msg=name
            )


def test_hyperbolic_ambient_space_and_a_totally_geodesic_plane():
    plane = lnegeom.Pullback(lambda y: np.stack([y[0], 0 * y[0], y[1]]), 2, lnegeom.HalfSpace(3))
    x = np.array([0.3, 1.7])
    np.testing.assert_allclose(plane.scalar_curvature(x), -2.0, atol=1e-8)
    horosphere = lnegeom.Pullback(lambda y: np.stack([y[0], y[1], 0 * y[0] + 2]), 2, lnegeom.HalfSpace(3))
    np.testing.assert_allclose(horosphere.riemann(x), 0, atol=1e-8)  # flat, though it is curved from outside


@pytest.mark.parametrize("spin", [0.0, 0.9])
def test_black_holes_have_the_derivatives_that_automatic_differentiation_has(spin):
    hole = lnegeom.Kerr(1.3, spin)
    x = torch.tensor([[0.4, 2.61, 0.3, 1.0], [-1.0, 9.0, 2.0, 0.2]], dtype=torch.float64)
    found, expected = hole.derivatives_at(x), jet(hole.matrix, x, vectorized=True)
    assert (found.source, found.error) == ("closed form", 0.0)
    np.testing.assert_allclose(found.first, expected.first, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.second, expected.second, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("r", [2.0001, 2.03, 100.0])
def test_curvature_close_to_the_horizon(r):
    found = lnegeom.kretschmann(lnegeom.Schwarzschild(1.0), [0.0, r, 1.2, 0.0])
    np.testing.assert_allclose(found, 48 / r**6, rtol=1e-5)


def test_black_holes_are_vacuum_and_schwarzschild_has_its_kretschmann_scalar():
    x = np.array([[0.0, 4.0, 1.0, 0.0], [3.0, 7.0, 2.0, 1.0]])
    for metric in (lnegeom.Schwarzschild(1.3), lnegeom.Kerr(1.3, 0.9)):
        assert np.abs(metric.riemann(x)).max() > 1e-3
        np.testing.assert_allclose(metric.ricci(x), 0, atol=1e-8)
        exact = metric.ricci(torch.from_numpy(x))
        np.testing.assert_allclose(exact, 0, atol=1e-12)
    hole = lnegeom.Schwarzschild(1.3)
    np.testing.assert_allclose(lnegeom.kretschmann(hole, x), 48 * 1.3**2 / x[:, 1] ** 6, rtol=1e-7)
    np.testing.assert_allclose(lnegeom.weyl(hole, x), lnegeom.riemann(hole, x, lowered=True), atol=1e-7)


def test_normalised_lne_has_the_scalar_curvature_of_its_limit_near_zero():
    # math: R ≈ −(n−1)(n−2) χ / ((1−χ) |θ|²) as θ → 0.
    n, chi = 4, 0.6
    theta = 1e-3 * np.array([1.0, -2.0, 0.5, 1.5])
    metric = lnegeom.NormalizedLNE(chi)
    expected = -(n - 1) * (n - 2) * chi / ((1 - chi) * np.sum(theta**2))
    np.testing.assert_allclose(metric.scalar_curvature(theta), expected, rtol=1e-4)
    with pytest.raises(lnegeom.GeometryError, match=r"discontinuous at x\[1\], where .* = 0"):
        metric.christoffel(np.stack([theta, 0 * theta]))
    np.testing.assert_array_equal(metric.sharp(0 * theta, theta), theta)


def test_einstein_tensor_vanishes_in_two_dimensions_and_weyl_in_three():
    x = np.array([0.3, -0.2])
    np.testing.assert_allclose(lnegeom.einstein(lnegeom.LNE(1.0), x), 0, atol=1e-12)
    np.testing.assert_allclose(lnegeom.weyl(lnegeom.LNE(1.0), [0.3, -0.2, 0.1]), 0, atol=1e-12)
    with pytest.raises(lnegeom.GeometryError, match="needs n >= 3, got n = 2"):
        lnegeom.weyl(lnegeom.LNE(1.0), x)
    with pytest.raises(lnegeom.GeometryError, match="span no plane"):
        lnegeom.sectional_curvature(lnegeom.LNE(1.0), x, [1.0, 2.0], [2.0, 4.0])


def test_metrics_of_a_product_do_not_see_each_other():
    product = lnegeom.Product(lnegeom.Sphere(2), lnegeom.HalfSpace(2))
    x = np.array([0.2, 0.3, 0.4, 1.5])
    riemann = product.riemann(x)
    for index in itertools.product(range(4), repeat=4):
        if {i < 2 for i in index} == {True, False}:
            assert riemann[index] == 0
    np.testing.assert_allclose(riemann[:2, :2, :2, :2], lnegeom.Sphere(2).riemann(x[:2]))
    np.testing.assert_allclose(product.scalar_curvature(x), 0, atol=1e-12)
    large = lnegeom.Product(lnegeom.LNE(1e-3), lnegeom.Euclidean(1), dims=(200_000, 1))
    v = np.ones(200_001)
    np.testing.assert_allclose(large.flat(0.001 * v, large.sharp(0.001 * v, v)), v, atol=1e-10)


def test_a_metric_of_samples_on_an_oblique_lattice():
    grid = lnegeom.flow.TorusGrid((12, 14), lattice=((1.0, 0.0), (0.5, 1.2)))
    first, second = (grid.wavevector(mode) for mode in ((1, 0), (0, 1)))

    def exact(x):  # in Cartesian coordinates
        a, b = 0.2 * np.cos(x @ first), 0.3 * np.sin(x @ (first + second))
        return np.stack([np.stack([2 + a, b], -1), np.stack([b, 1.5 + a * b], -1)], -2)

    metric = lnegeom.FromGrid(exact(grid.coordinates()), grid)
    x = np.array([[0.13, 0.41], [3.2, -1.7]])
    np.testing.assert_allclose(
        metric.matrix(grid.coordinates()), exact(grid.coordinates()), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(metric.matrix(x), exact(x), rtol=1e-12, atol=1e-14)
    found = metric.derivatives_at(x)
    expected = jet(lambda y: exact(y), x, vectorized=True)
    np.testing.assert_allclose(found.first, expected.first, atol=1e-7)
    np.testing.assert_allclose(found.second, expected.second, atol=1e-6)
