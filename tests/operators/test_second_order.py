"""Lie derivatives, Laplacians of tensors and submanifolds, against computer algebra and exact identities."""

import array_api_compat
import numpy as np
import pytest
import torch
import zoo

import lnegeom
from lnegeom import operators, symbolic

WAVY = lnegeom.FromCallable(zoo.wavy, 3)
X = torch.tensor([[0.3, -0.5, 0.2], [0.1, 0.4, -0.6]], dtype=torch.float64)


def bump(x):
    """A symmetric 2-tensor field."""
    a, b, c = x
    rows = [
        [torch.sin(b), a * c, b * b],
        [a * c, torch.cos(a), a + c],
        [b * b, a + c, torch.exp(0.2 * a) * b],
    ]
    return torch.stack([torch.stack(row) for row in rows])


# --- against computer algebra: a metric and fields of two variables -----------------------------------------


def plane_metric(x):
    xp = array_api_compat.array_namespace(x)
    rows = [[2 + x[0] ** 2, x[0] * x[1]], [x[0] * x[1], 3 + xp.sin(x[1])]]
    return xp.stack([xp.stack(row) for row in rows])


def plane_vector(x):
    xp = array_api_compat.array_namespace(x)
    return xp.stack([x[0] * x[1], xp.sin(x[1]) + x[0] ** 2])


SYMBOLIC = symbolic.Metric([["2 + a**2", "a*b"], ["a*b", "3 + sin(b)"]], ["a", "b"])
PLANE = lnegeom.FromCallable(plane_metric, 2)
PLACES = torch.tensor([[0.3, 0.4], [-0.5, 0.9]], dtype=torch.float64)


def test_covariant_derivatives_agree_with_computer_algebra():
    exact = SYMBOLIC.vector(["a*b", "sin(b) + a**2"]).covariant_derivative()
    found = operators.covariant_derivative(PLANE, plane_vector, PLACES, "^")
    np.testing.assert_allclose(found, exact.compile()(PLACES.numpy()), rtol=1e-12)
    twice = exact.covariant_derivative().compile()(PLACES.numpy())
    trace = np.einsum("piab,pab->pi", twice, PLANE.inverse(PLACES))
    np.testing.assert_allclose(operators.rough_laplacian(PLANE, plane_vector, PLACES, "^"), trace, rtol=1e-11)
    # by differences, of the metric's jet and of Christoffel symbols
    for metric, tolerance in ((PLANE, 1e-8), (lnegeom.Conformal(lambda x: 0 * x[0], PLANE), 1e-6)):
        found = operators.rough_laplacian(metric, plane_vector, PLACES.numpy(), "^")
        np.testing.assert_allclose(found, trace, rtol=tolerance)


def test_killing_residuals_agree_with_computer_algebra():
    exact = SYMBOLIC.killing_equation(["a*b", "sin(b) + a**2"]).compile()(PLACES.numpy())
    np.testing.assert_allclose(operators.killing_residual(PLANE, plane_vector, PLACES), exact, rtol=1e-12)
    lie = operators.lie_derivative(plane_vector, plane_metric, PLACES, "__")
    np.testing.assert_allclose(lie, exact, rtol=1e-12)


def test_killing_fields_of_spheres_and_of_rotating_black_holes():
    sphere, x = lnegeom.Sphere(3), X.numpy()
    rotation = lambda p: np.array([-p[1], p[0], 0.0])  # noqa: E731
    # the rotation of the ambient space that tilts the axis of the chart
    tilt = lambda p: 2 * p[0] * p + (1 - p @ p) * np.eye(3)[0]  # noqa: E731
    for field in (rotation, tilt):
        np.testing.assert_allclose(operators.killing_residual(sphere, field, x), 0, atol=1e-9)
    assert np.abs(operators.killing_residual(sphere, lambda p: p, x)).max() > 0.1
    kerr, outside = lnegeom.Kerr(1.0, 0.6), [0.3, 4.0, 1.0, 0.2]
    for axis in (0, 3):  # stationary, and symmetric about its axis
        residual = operators.killing_residual(kerr, lambda p, axis=axis: np.eye(4)[axis] + 0 * p, outside)
        np.testing.assert_allclose(residual, 0, atol=1e-9)
    assert np.abs(operators.killing_residual(kerr, lambda p: np.eye(4)[1] + 0 * p, outside)).max() > 0.01


def test_lie_derivatives_bracket_and_obey_cartan():
    f, g = plane_vector, lambda x: torch.stack([x[1] ** 2, x[0]])
    bracket = operators.lie_derivative(f, g, PLACES, "^")
    np.testing.assert_allclose(bracket, -operators.lie_derivative(g, f, PLACES, "^"), atol=1e-14)
    # L_X df = d(X f)
    h = lambda x: torch.sin(x[0]) * x[1]  # noqa: E731
    left = operators.lie_derivative(f, torch.func.grad(h), PLACES, "_")
    right = torch.vmap(torch.func.grad(lambda x: torch.dot(f(x), torch.func.grad(h)(x))))(PLACES)
    torch.testing.assert_close(left, right)


# --- Laplacians of tensors ----------------------------------------------------------------------------------


def test_laplacians_of_the_metric_vanish():
    for metric in (WAVY, lnegeom.LNE(0.5), lnegeom.Graph(lnegeom.LogCosh(1.0), sign=1)):
        for x, tolerance in ((X, 1e-11), (X.numpy(), 1e-6)):
            for operator in (operators.rough_laplacian, operators.lichnerowicz_laplacian):
                found = operator(metric, metric.matrix, x, vectorized=True)
                np.testing.assert_allclose(found, 0, atol=tolerance)


def test_rough_laplacian_of_a_function_is_its_laplacian():
    f = lambda x: torch.sin(x[0]) * x[1] + x[2] ** 2  # noqa: E731
    torch.testing.assert_close(operators.rough_laplacian(WAVY, f, X, ""), operators.laplacian(WAVY, f, X))


def test_lichnerowicz_is_the_change_of_the_ricci_tensor():
    # d/ds Ric(g + s h) = −½ (Δ_L h + L_V g), V = ½ d tr h − div h; the left side by differentiation.
    def ricci(s, x):
        return lnegeom.FromCallable(lambda y: zoo.wavy(y) + s * bump(y), 3).ricci(x)

    zero = torch.zeros((), dtype=torch.float64)
    for x in X:
        change = torch.func.jvp(lambda s, x=x: ricci(s, x), (zero,), (torch.ones_like(zero),))[1]

        def gauge(y):
            slope = operators.covariant_derivative(WAVY, bump, y, "__")  # (i, j, a)
            inverse = WAVY.inverse(y)
            divergence = torch.einsum("ijk,jk->i", slope, inverse)
            trace = torch.einsum("jki,jk->i", slope, inverse)
            return WAVY.sharp(y, trace / 2 - divergence)

        right = operators.lichnerowicz_laplacian(WAVY, bump, x) + operators.killing_residual(WAVY, gauge, x)
        torch.testing.assert_close(change, -right / 2, rtol=1e-9, atol=1e-10)


# --- submanifolds -------------------------------------------------------------------------------------------


def test_second_fundamental_form_of_an_ellipsoid_is_its_textbook_s():
    surface = lnegeom.Pullback(zoo.ellipsoid, 2)
    x = torch.tensor([[0.3, 0.4], [-0.7, 1.0]], dtype=torch.float64)
    form = operators.second_fundamental_form(surface, x).numpy()
    y = torch.vmap(zoo.ellipsoid)(x).numpy()
    normal = y / np.array([1.0, 4.0, 9.0])  # the gradient of y₀² + y₁²/4 + y₂²/9
    scale = np.linalg.norm(normal, axis=-1)
    tangents = torch.vmap(torch.func.jacfwd(zoo.ellipsoid))(x).numpy()
    # II along the unit normal is −(df)ᵀ diag(1, ¼, 1/9) df / |gradient|
    expected = -np.einsum("pai,a,paj->pij", tangents, [1, 1 / 4, 1 / 9], tangents) / scale[:, None, None]
    along = np.einsum("paij,pa->pij", form, normal) / scale[:, None, None]
    np.testing.assert_allclose(along, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.einsum("paij,pak->pijk", form, tangents), 0, atol=1e-14)


def curve_in_a_ball(x):
    return torch.stack(
        [0.5 * torch.sin(x[0]), 0.3 * x[1] * torch.cos(x[0]), 0.2 * x[1] ** 2, 0.1 * x[0] * x[1]]
    )


@pytest.mark.parametrize(
    "surface",
    [
        lnegeom.Pullback(zoo.ellipsoid, 2),
        lnegeom.Pullback(zoo.ellipsoid, 2, lnegeom.Sphere(3)),
        lnegeom.Pullback(zoo.ellipsoid, 2, WAVY),
        lnegeom.Pullback(curve_in_a_ball, 2, lnegeom.PoincareBall(4)),  # of codimension 2
    ],
    ids=["flat", "sphere", "wavy", "codimension 2"],
)
def test_gauss_and_codazzi_hold(surface):
    x = torch.tensor([[0.3, 0.4], [-0.2, 0.5]], dtype=torch.float64)
    gauss, codazzi = operators.gauss_residual(surface, x), operators.codazzi_residual(surface, x)
    size = surface.ambient.dim or 3
    assert gauss.shape == (2, 2, 2, 2, 2)
    assert codazzi.shape == (2, size, 2, 2, 2)
    np.testing.assert_allclose(gauss, 0, atol=1e-11)
    np.testing.assert_allclose(codazzi, 0, atol=1e-11)


def test_codazzi_is_not_zero_term_by_term():
    # A form that is not one of an embedding fails: the derivative is not symmetric by itself.
    x = torch.tensor([0.3, 0.4], dtype=torch.float64)
    surface = lnegeom.Pullback(zoo.ellipsoid, 2)
    slope = torch.func.jacfwd(lambda y: operators.second_fundamental_form(surface, y))(x)  # (A, j, k, i)
    assert (slope - slope.transpose(-1, -3)).abs().max() > 0.1


def test_gauss_and_codazzi_by_differences():
    surface, x = lnegeom.Pullback(zoo.ellipsoid, 2), [0.3, 0.4]
    np.testing.assert_allclose(operators.gauss_residual(surface, x), 0, atol=1e-4)
    np.testing.assert_allclose(operators.codazzi_residual(surface, x), 0, atol=1e-5)


def test_the_clifford_torus_is_minimal_in_the_three_sphere():
    sphere = lnegeom.Sphere(3)

    def torus(x):
        s = 0.5**0.5
        y = torch.stack([s * torch.cos(x[0]), s * torch.sin(x[0]), s * torch.cos(x[1]), s * torch.sin(x[1])])
        return y[:3] / (1 - y[3])

    surface = lnegeom.Pullback(torus, 2, sphere)
    x = torch.tensor([[0.3, 0.4], [1.0, 2.0]], dtype=torch.float64)
    form = operators.second_fundamental_form(surface, x)
    mean = torch.einsum("paij,pij->pa", form, surface.inverse(x))
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    place = torch.vmap(torus)(x)
    size = torch.einsum(
        "paij,pab,pbkl,pik,pjl->p", form, sphere.matrix(place), form, *[surface.inverse(x)] * 2
    )
    np.testing.assert_allclose(size, 2, rtol=1e-10)  # |II|² = 2
