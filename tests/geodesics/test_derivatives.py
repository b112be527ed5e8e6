"""Derivatives of closed forms, against differences, where they are hardest: at equal eigenvalues."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import lnegeom

SPACE = lnegeom.SPD(3)
RNG = np.random.default_rng(0)
FACTOR = RNG.standard_normal((3, 3))
IDENTITY = SPACE.from_matrix(np.eye(3))
GENERIC = SPACE.from_matrix(FACTOR @ FACTOR.T + np.eye(3))
V, W = 0.3 * RNG.standard_normal((2, 6))
MAPS = {
    "exp": (lambda x, v: lnegeom.exp(SPACE, x, v), V),
    "exp of zero": (lambda x, v: lnegeom.exp(SPACE, x, v), 0 * V),
    "log": (lambda x, y: lnegeom.log(SPACE, x, y), GENERIC),
    "log of itself": (lambda x, y: lnegeom.log(SPACE, x, y), IDENTITY),
    "distance": (lambda x, y: lnegeom.distance(SPACE, x, y), 2 * IDENTITY),
    "transport": (lambda x, v: lnegeom.parallel_transport(SPACE, x, v, v + 0.1), V),
    "path": (lambda x, v: lnegeom.geodesic(SPACE, x, v, samples=3).velocities, V),
}
each = pytest.mark.parametrize(("function", "other"), MAPS.values(), ids=MAPS.keys())


def differenced(function, x, step=1e-5):
    """The Jacobian of a function on numpy, by central differences of fourth order."""
    rows = []
    for h in step * np.eye(len(x)):
        near, far = function(x + h) - function(x - h), function(x + 2 * h) - function(x - 2 * h)
        rows.append((8 * near - far) / (12 * step))
    return np.stack(rows, axis=-1)


@each
@pytest.mark.parametrize("x", [IDENTITY, GENERIC], ids=["identity", "generic"])
def test_torch(function, other, x):
    jacobians = torch.autograd.functional.jacobian(function, (torch.tensor(x), torch.tensor(other)))
    np.testing.assert_allclose(jacobians[0], differenced(lambda p: function(p, other), x), atol=1e-8)
    np.testing.assert_allclose(jacobians[1], differenced(lambda p: function(x, p), other), atol=1e-8)


@pytest.mark.parametrize("transform", [torch.func.jacfwd, torch.func.jacrev])
def test_forward_reverse_and_batches_of_torch(transform):
    points = np.stack([IDENTITY, GENERIC])
    found = torch.func.vmap(transform(lambda y: lnegeom.log(SPACE, torch.tensor(GENERIC), y)))(
        torch.tensor(points)
    )
    expected = [differenced(lambda y: lnegeom.log(SPACE, GENERIC, y), y) for y in points]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_second_derivatives_of_torch():
    x = torch.tensor(GENERIC, requires_grad=True)
    for y in (IDENTITY, GENERIC):
        y = torch.tensor(y, requires_grad=True)
        assert gradcheck(lambda a, b: lnegeom.log(SPACE, a, b), (x, y))
        assert gradgradcheck(lambda a, b: lnegeom.log(SPACE, a, b), (x, y))


def logarithm_of(xp, y):
    return lnegeom.log(SPACE, xp.asarray(IDENTITY), y)


def test_third_derivatives_at_the_identity():
    # log(I + H) = H − H²/2 + H³/3 − …, whose third derivative along H is 2H³
    third = torch.func.jacfwd(torch.func.jacrev(torch.func.jacfwd(lambda y: logarithm_of(torch, y))))
    along = np.einsum("iabc,a,b,c->i", third(torch.tensor(IDENTITY)), W, W, W)
    matrix = SPACE.to_matrix(IDENTITY + W) - np.eye(3)
    np.testing.assert_allclose(along, 2 * np.linalg.matrix_power(matrix, 3)[np.triu_indices(3)], atol=1e-12)


def test_jax():
    jax = pytest.importorskip("jax", reason="jax is not installed")

    @jax.jit
    def found(x, v, y):
        first = jax.jacrev(lambda u: lnegeom.exp(SPACE, x, u))(v)
        carried = jax.jacfwd(lambda u: lnegeom.parallel_transport(SPACE, x, u, u + 0.1))(v)
        slope = jax.grad(lambda p: lnegeom.distance(SPACE, x, p))(y)
        second = jax.vmap(jax.hessian(lambda p: logarithm_of(jax.numpy, p)))(jax.numpy.stack([x, y]))
        return first, carried, slope, second

    first, carried, slope, second = found(*map(jax.numpy.asarray, (IDENTITY, V, 2 * IDENTITY)))
    np.testing.assert_allclose(first, differenced(lambda u: lnegeom.exp(SPACE, IDENTITY, u), V), atol=1e-8)
    expected = differenced(lambda u: lnegeom.parallel_transport(SPACE, IDENTITY, u, u + 0.1), V)
    np.testing.assert_allclose(carried, expected, atol=1e-8)
    expected = differenced(lambda p: lnegeom.distance(SPACE, IDENTITY, p), 2 * IDENTITY)
    np.testing.assert_allclose(slope, expected, atol=1e-8)
    by_torch = torch.func.hessian(lambda p: logarithm_of(torch, p))
    for i, y in enumerate((IDENTITY, 2 * IDENTITY)):
        np.testing.assert_allclose(second[i], by_torch(torch.tensor(y)), atol=1e-12)


POINTS = np.array([[0.1, 0.0], [0.4, 0.2], [-0.2, -0.2]])  # the first is nearly the mean


@pytest.mark.parametrize("metric", [lnegeom.PoincareBall(2), lnegeom.Sphere(2)], ids=repr)
def test_means_of_torch_do_not_depend_on_where_the_descent_started(metric):
    weights = np.array([0.5, 0.2, 0.3])

    def mean(points, weights, start=None):
        return lnegeom.frechet_mean(metric, points, weights=weights, start=start, tolerance=1e-13)

    start = mean(POINTS, weights).point
    found = torch.autograd.functional.jacobian(
        lambda p, w: mean(p, w, torch.tensor(start)).point, (torch.tensor(POINTS), torch.tensor(weights))
    )
    assert mean(POINTS, weights, start).iterations == 0
    flat = differenced(lambda p: mean(p.reshape(3, 2), weights).point, POINTS.ravel(), step=1e-3)
    np.testing.assert_allclose(found[0].reshape(2, 6), flat, atol=1e-8)
    np.testing.assert_allclose(
        found[1], differenced(lambda w: mean(POINTS, w).point, weights, step=1e-3), atol=1e-8
    )
    points = torch.tensor(POINTS, requires_grad=True)
    slope = torch.autograd.grad(mean(points, weights.tolist()).variance, points)[0]
    expected = differenced(lambda p: mean(p.reshape(3, 2), weights).variance, POINTS.ravel(), step=1e-3)
    np.testing.assert_allclose(slope.ravel(), expected, atol=1e-8)


def test_means_of_jax():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    points = jax.numpy.asarray([[2.0], [1.0], [3.0]])

    def mean(p):  # where the descent starts, by chance
        return lnegeom.frechet_mean(lnegeom.Euclidean(1), p).point[0]

    np.testing.assert_allclose(jax.grad(mean)(points), 1 / 3, rtol=1e-9)
    with pytest.raises(lnegeom.InputError, match=r"traced.*under jax\.grad alone"):
        jax.jit(mean)(points)
