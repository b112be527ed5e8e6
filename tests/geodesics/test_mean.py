"""Fréchet means, where they are known and where optimality must show it."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings

import lnegeom

RNG = np.random.default_rng(3)


def test_flat_means_are_averages_in_one_step():
    points = RNG.standard_normal((5, 3))
    mean = lnegeom.frechet_mean(lnegeom.Euclidean(3), points, weights=[1, 2, 0, 1, 1])
    np.testing.assert_allclose(mean.point, np.average(points, axis=0, weights=[1, 2, 0, 1, 1]))
    assert mean.iterations == 1
    assert mean.status == "converged"
    # log-cosh: the average in Gudermannian coordinates
    mean = lnegeom.frechet_mean(lnegeom.Hessian(lnegeom.LogCosh(0.5)), 3 * points)
    flat = np.arctan(np.sinh(1.5 * points)).mean(axis=0)
    np.testing.assert_allclose(mean.point, np.arcsinh(np.tan(flat)) / 0.5, rtol=1e-10)
    assert mean.iterations <= 2


@settings(max_examples=5)
@given(zoo.cube(3, (4,)))
def test_at_a_mean_of_a_sphere_the_logarithms_cancel(points):
    sphere = lnegeom.Sphere(3)
    mean = lnegeom.frechet_mean(sphere, 0.4 * points)
    assert mean.status == "converged"
    pull = lnegeom.log(sphere, mean.point, 0.4 * points).mean(axis=0)
    np.testing.assert_allclose(pull, 0, atol=1e-9)
    squares = lnegeom.distance(sphere, mean.point, 0.4 * points) ** 2
    np.testing.assert_allclose(mean.variance, squares.mean(), rtol=1e-9, atol=1e-15)


def test_far_apart_in_hyperbolic_space_where_full_steps_overshoot():
    ball = lnegeom.PoincareBall(2)
    directions = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]])
    points = lnegeom.exp(ball, np.array([0.1, 0.0]), 4.0 * directions)  # distances of about 8
    mean = lnegeom.frechet_mean(ball, points)
    assert mean.status == "converged"
    np.testing.assert_allclose(lnegeom.log(ball, mean.point, points).mean(axis=0), 0, atol=1e-8)
    line = lnegeom.frechet_mean(lnegeom.HalfSpace(1), np.exp([[-9.0], [3.0], [12.0]]))
    np.testing.assert_allclose(line.point, np.exp([2.0]), rtol=1e-9)


def test_normals_of_one_mean_by_shooting():
    # On the line of equal means, Fisher distance is √2 |log σ|: the mean is the geometric one.
    family = lnegeom.Normal()
    metric = lnegeom.KL(family).metric()
    points = family.natural(mean=0.0, std=np.array([0.8, 1.0, 1.5]))
    mean = lnegeom.frechet_mean(metric, points)
    assert mean.status == "converged"
    np.testing.assert_allclose(mean.point, family.natural(mean=0.0, std=1.2 ** (1 / 3)), atol=1e-8)


def test_a_mean_is_found_up_to_the_error_of_integrated_logarithms():
    def bent(x):
        a, b = x[..., 0], x[..., 1]
        rows = [[1 + a**2, 0.1 * b], [0.1 * b, 2 + np.sin(a)]]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    metric = lnegeom.FromCallable(bent, 2, vectorized=True)
    mean = lnegeom.frechet_mean(metric, [[0.2, 0.3], [0.4, -0.2], [0.3, 0.7]])
    assert mean.status == "converged"
    assert mean.iterations < 10
    assert mean.gradient_norm < 5e-10
    strict = lnegeom.frechet_mean(metric, [[0.2, 0.3], [0.4, -0.2]], start=mean.point, tolerance=1e-17)
    assert strict.status == "stopped"
    assert strict.gradient_norm < 5e-10


def test_stops_and_says_so():
    points = 0.4 * RNG.uniform(-1, 1, (4, 2))
    mean = lnegeom.frechet_mean(lnegeom.Sphere(2), points, max_iterations=1)
    assert mean.status == "stopped"
    assert mean.iterations == 1
    assert mean.gradient_norm > 0
    better = lnegeom.frechet_mean(lnegeom.Sphere(2), points, start=mean.point)
    assert better.variance < mean.variance


def test_means_can_be_differentiated_and_keep_their_dtype():
    points = torch.tensor(0.3 * RNG.uniform(-1, 1, (3, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p: lnegeom.frechet_mean(lnegeom.PoincareBall(2), p).point, points, rtol=1e-4, atol=1e-6
    )
    single = lnegeom.frechet_mean(lnegeom.PoincareBall(2), points.detach().float())
    assert single.point.dtype == torch.float32
    assert single.status == "converged"


PLANE = lnegeom.Euclidean(2)
POINTS = [[0.0, 0.0], [1.0, 1.0]]
BAD = {
    "one point": (
        lambda: lnegeom.frechet_mean(PLANE, [0.0, 0.0]),
        r"points have shape \(2,\): expected \(..., k, n\)",
    ),
    "weights": (
        lambda: lnegeom.frechet_mean(PLANE, POINTS, weights=[1.0]),
        r"shape \(1,\): expected \(..., 2\)",
    ),
    "negative": (
        lambda: lnegeom.frechet_mean(PLANE, POINTS, weights=[2, -1]),
        r"weights\[1\] is -1: expected",
    ),
    "no weight": (
        lambda: lnegeom.frechet_mean(PLANE, POINTS, weights=[0, 0]),
        "sum to 0: expected a positive",
    ),
    "start": (
        lambda: lnegeom.frechet_mean(PLANE, [POINTS] * 3, start=POINTS),
        r"batch axes do not broadcast: points \(3, 2, 2\), weights \(2,\), start \(2, 2\)",
    ),
    "indefinite": (lambda: lnegeom.frechet_mean(lnegeom.Minkowski(2), POINTS), "indefinite"),
    "outside": (lambda: lnegeom.frechet_mean(lnegeom.PoincareBall(2), POINTS), r"x\[1\] has \|x\|\^2 = 2"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()
