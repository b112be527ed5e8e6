"""First-order operators, against identities, computer algebra and fields that are known."""

import array_api_compat
import numpy as np
import pytest
import torch
import zoo

import lnegeom
from lnegeom import operators

POINTS = np.array([[0.3, -0.5, 0.2], [0.1, 0.4, -0.6]])
WAVY = lnegeom.FromCallable(zoo.wavy, 3)
TEXT = {"derivatives": "torch"}  # exact, for fields that take numpy and torch


def vector(x):
    xp = array_api_compat.array_namespace(x)
    return xp.stack([xp.sin(x[1]) + x[0], x[0] * x[2], xp.cos(x[0]) * x[1]])


def covector(x):
    xp = array_api_compat.array_namespace(x)
    return xp.stack([x[1] * x[2], xp.exp(0.3 * x[0]), xp.sin(x[2]) - x[1]])


def function(x):
    xp = array_api_compat.array_namespace(x)
    return xp.sin(x[0]) * x[1] + x[2] ** 2


def product(x):
    """The tensor ``X ⊗ ω ⊗ X``."""
    v, w = vector(x), covector(x)
    return v[:, None, None] * w[None, :, None] * v[None, None, :]


def slope_of(connection, field, indices):
    return operators.covariant_derivative(connection, field, POINTS, indices, **TEXT)


class TestCovariantDerivative:
    def test_of_the_metric_vanishes(self):
        for metric in (WAVY, lnegeom.LNE(0.5), lnegeom.Kerr(1.0, 0.6)):
            x = POINTS if metric.dim != 4 else [0.0, 4.0, 1.0, 0.0]
            for field, indices in ((metric.matrix, "__"), (metric.inverse, "^^")):
                slope = operators.covariant_derivative(metric, field, x, indices)
                np.testing.assert_allclose(slope, 0, atol=1e-8)

    def test_obeys_the_product_rule_in_any_valence(self):
        v, w = (np.array([f(x) for x in POINTS]) for f in (vector, covector))
        dv, dw = slope_of(WAVY, vector, "^"), slope_of(WAVY, covector, "_")
        expected = (
            np.einsum("pia,pj,pk->pijka", dv, w, v)
            + np.einsum("pi,pja,pk->pijka", v, dw, v)
            + np.einsum("pi,pj,pka->pijka", v, w, dv)
        )
        np.testing.assert_allclose(slope_of(WAVY, product, "^_^"), expected, rtol=1e-12, atol=1e-12)

    def test_commutes_with_contraction_and_is_the_gradient_of_functions(self):
        slope = slope_of(WAVY, lambda x: (vector(x) * covector(x)).sum(), "")
        v, w = (np.array([f(x) for x in POINTS]) for f in (vector, covector))
        parts = np.einsum("pia,pi->pa", slope_of(WAVY, vector, "^"), w)
        np.testing.assert_allclose(slope, parts + np.einsum("pi,pia->pa", v, slope_of(WAVY, covector, "_")))

    def test_of_dual_connections_is_dual(self):
        # ∂_k ⟨u, v⟩ = ⟨∇_k u, v⟩ + ⟨u, ∇*_k v⟩
        connections = lnegeom.KL(lnegeom.Categorical(4)).connections()
        metric = connections.metric

        def inner(x):
            return metric.inner(x, vector(x), covector(x))

        v, w = (np.array([f(x) for x in POINTS]) for f in (vector, covector))
        left = operators.covariant_derivative(metric, inner, POINTS, "", **TEXT)
        du = operators.covariant_derivative(connections, vector, POINTS, "^", **TEXT)
        dv = operators.covariant_derivative(connections.dual, covector, POINTS, "^", **TEXT)
        g = metric.matrix(POINTS)
        right = np.einsum("pij,pia,pj->pa", g, du, w) + np.einsum("pij,pi,pja->pa", g, v, dv)
        np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


def test_gradient_divergence_and_laplacian_belong_together():
    slope = operators.gradient(WAVY, function, POINTS, **TEXT)
    d = operators.covariant_derivative(WAVY, function, POINTS, "", **TEXT)
    np.testing.assert_allclose(WAVY.flat(POINTS, slope), d, rtol=1e-12)
    x = torch.from_numpy(POINTS)
    via_gradient = operators.divergence(WAVY, lambda y: operators.gradient(WAVY, function, y), x)
    np.testing.assert_allclose(operators.laplacian(WAVY, function, x), via_gradient, rtol=1e-10)

    def density(y):  # (1/√g) ∂_i (√g X^i), the other formula
        return torch.exp(WAVY.logdet(y) / 2) * vector(y)

    traces = torch.stack([torch.func.jacfwd(density)(y).trace() for y in x])
    expected = traces / torch.exp(WAVY.logdet(x) / 2)
    np.testing.assert_allclose(operators.divergence(WAVY, vector, x), expected, rtol=1e-11)


@pytest.mark.parametrize("derivatives", ["finite", "torch"])
def test_harmonics_of_the_sphere_are_eigenfunctions(derivatives):
    sphere = lnegeom.Sphere(3, radius=2.0)

    def harmonic(x):  # of degree 2 in the ambient space: y₀ y₃
        return 2 * x[0] * (x @ x - 1) / (x @ x + 1) ** 2

    values = np.array([harmonic(x) for x in POINTS])
    found = operators.laplacian(sphere, harmonic, POINTS, derivatives=derivatives)
    np.testing.assert_allclose(found, -2 * (2 + 2) * values / 4, atol=1e-8)


def test_hessian_of_squared_distance_to_a_point_of_the_ball_is_twice_the_metric_there():
    ball, x = lnegeom.PoincareBall(3), POINTS[0]
    y = torch.from_numpy(x)
    found = operators.hessian(ball, lambda p: lnegeom.distance(ball, y, p) ** 2, y + 1e-4)
    np.testing.assert_allclose(found, 2 * ball.matrix(x), rtol=1e-2, atol=1e-3)


def test_a_potential_is_its_own_derivatives():
    psi = lnegeom.LogCosh(1.0)
    metric = lnegeom.Hessian(psi)
    np.testing.assert_allclose(
        operators.gradient(metric, psi, POINTS), metric.sharp(POINTS, psi.gradient(POINTS))
    )
    n = 10**6  # no n × n array
    assert operators.gradient(lnegeom.LNE(1.0), psi, np.full(n, 1e-4)).shape == (n,)


def test_fields_of_all_points_at_once():
    def many(x):
        return np.stack(
            [np.sin(x[..., 1]) + x[..., 0], x[..., 0] * x[..., 2], np.cos(x[..., 0]) * x[..., 1]], -1
        )

    found = operators.divergence(WAVY, many, POINTS, vectorized=True)
    np.testing.assert_allclose(found, operators.divergence(WAVY, vector, POINTS), rtol=1e-9)
    found = operators.laplacian(WAVY, lambda x: x[..., 0] ** 2, POINTS, vectorized=True)
    np.testing.assert_allclose(found, operators.laplacian(WAVY, lambda x: x[0] ** 2, POINTS), rtol=1e-8)


PLANE = lnegeom.Euclidean(2)
BAD = {
    "valence": (
        lambda: operators.covariant_derivative(PLANE, lambda x: x, [0.0, 1.0], "^_"),
        r"the field returned shape \(2,\) for points \(2,\): expected \(2, 2\) at each point",
    ),
    "indices": (
        lambda: operators.covariant_derivative(PLANE, lambda x: x, [0.0, 1.0], "up"),
        r"indices must be a text of \^ \(upper\) and _ \(lower\), such as '\^_', got 'up'",
    ),
    "no field": (
        lambda: operators.divergence(PLANE, 3.0, [0.0, 1.0]),
        "expected a field, a function of a point",
    ),
    "no function": (lambda: operators.gradient(PLANE, 3.0, [0.0, 1.0]), "expected a Potential or a function"),
    "no number": (
        lambda: operators.gradient(PLANE, lambda x: x, [0.0, 1.0]),
        "expected one number at each point",
    ),
    "no metric": (
        lambda: operators.gradient("x", lambda x: x[0], [0.0, 1.0]),
        "expected a Metric such as .*, got 'x'",
    ),
    "no connection": (
        lambda: operators.covariant_derivative(None, lambda x: x, [0.0], "^"),
        "expected a Metric or a connection",
    ),
    "outside": (
        lambda: operators.divergence(lnegeom.PoincareBall(2), lambda x: x, [[0.0, 0.0], [1.0, 1.0]]),
        r"x\[1\] has \|x\|\^2 = 2",
    ),
    "not finite": (
        lambda: operators.divergence(PLANE, lambda x: x * np.nan, torch.tensor([0.0, 1.0])),
        r"derivative of it is nan at x",
    ),
    "source": (
        lambda: operators.divergence(PLANE, lambda x: x, [0.0, 1.0], derivatives="magic"),
        "derivatives must be one of",
    ),
    "asymmetric": (
        lambda: operators.lichnerowicz_laplacian(
            PLANE, lambda x: np.array([[1.0, 2.0], [0.0, 1.0]]), [0.0, 1.0]
        ),
        "field is asymmetric by 2",
    ),
    "no submanifold": (
        lambda: operators.second_fundamental_form(PLANE, [0.0, 1.0]),
        r"expected a submanifold, lnegeom.Pullback\(embedding, dim\), got Euclidean\(2\)",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_laplacian_of_a_potential_needs_no_square_matrix():
    n = 200_000
    x = np.random.default_rng(0).uniform(-1e-3, 1e-3, n)
    u = np.tanh(x)
    w, h = 1 - u @ u, 1 - u**2
    # With f = Σ log cosh x_i, ∇f = u and ∂²f = diag(h), so ∂²f − Γ^k f_k = diag(h)/w, and g⁻¹ = I + u uᵀ/w.
    expected = np.sum((1 + u**2 / w) * h / w)
    found = lnegeom.operators.laplacian(lnegeom.LNE(1.0), lnegeom.LogCosh(1.0), x)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
