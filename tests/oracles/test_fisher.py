"""Fisher metrics of densities by quadrature and Monte Carlo, and metrics on a grid, against closed forms."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
import zoo

import lnegeom


def module_of(x):
    return torch if isinstance(x, torch.Tensor) else np


def normal(theta, x):
    m = module_of(theta)
    return -(((x - theta[0]) / theta[1]) ** 2) / 2 - m.log(theta[1]) - math.log(2 * math.pi) / 2


def gamma(theta, x):
    rate = -theta[1]
    return (theta[0] - 1) * np.log(x) - rate * x + theta[0] * np.log(rate) - scipy.special.gammaln(theta[0])


NORMAL = lnegeom.EstimatedFisher.by_quadrature(normal, 2)
POINTS = np.array([[0.3, 0.8], [-4.0, 2.0]])


@pytest.mark.parametrize("points", [POINTS, torch.from_numpy(POINTS)], ids=["differences", "torch"])
def test_normal_density_by_quadrature(points):
    # diag(1, 2)/σ², a hyperbolic plane of scalar curvature −1.
    exact = np.eye(2) * [1, 2] / POINTS[:, 1, None, None] ** 2
    np.testing.assert_allclose(NORMAL.matrix(points), exact, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(NORMAL.scalar_curvature(points), -1, rtol=1e-8)
    assert np.all(np.asarray(NORMAL.error(points)) < 1e-9)


def test_half_a_line_and_an_interval():
    family, theta = lnegeom.Gamma(), np.array([2.5, -1.5])
    estimated = lnegeom.EstimatedFisher.by_quadrature(gamma, 2, (0, math.inf))
    exact = lnegeom.Fisher(family)
    np.testing.assert_allclose(estimated.matrix(theta), exact.matrix(theta), rtol=1e-8)
    np.testing.assert_allclose(estimated.ricci(theta), exact.ricci(theta), rtol=1e-6, atol=1e-9)

    def beta(t, x):
        return (t[0] - 1) * np.log(x) + (t[1] - 1) * np.log1p(-x) - scipy.special.betaln(t[0], t[1])

    estimated = lnegeom.EstimatedFisher.by_quadrature(beta, 2, (0.0, 1.0))
    exact = lnegeom.Fisher(lnegeom.Beta())
    np.testing.assert_allclose(estimated.matrix([2.0, 3.0]), exact.matrix([2.0, 3.0]), rtol=1e-8)
    mirrored = lnegeom.EstimatedFisher.by_quadrature(lambda t, x: gamma(t, -x), 2, (-math.inf, 0.0))
    np.testing.assert_allclose(mirrored.matrix(theta), lnegeom.Fisher(family).matrix(theta), rtol=1e-8)


def test_the_error_of_quadrature_is_an_upper_estimate():
    coarse = lnegeom.EstimatedFisher.by_quadrature(normal, 2, points=60)
    x = np.array([0.3, 0.8])
    exact = np.diag([1, 2]) / 0.64
    error = np.abs(coarse.matrix(x) - exact)
    assert np.all(error <= coarse.error(x) + 1e-12)
    assert error.max() > 1e-13


def poisson(theta, x):
    return x * theta[0] - module_of(theta).exp(theta[0]) - scipy.special.gammaln(x + 1)


def zeta(theta, x):
    return -theta[0] * np.log(x) - math.log(scipy.special.zeta(theta[0]))


class TestSums:
    def test_a_finite_set_of_outcomes(self):
        family = lnegeom.Categorical(4)
        metric = lnegeom.EstimatedFisher.by_sum(family.log_density, 3, np.arange(4))
        theta = np.array([[0.3, -0.2, 0.5], [1.0, 0.0, -2.0]])
        exact = lnegeom.Fisher(family)
        for x in (theta, torch.from_numpy(theta)):
            np.testing.assert_allclose(metric.matrix(x), exact.matrix(theta), rtol=1e-9, atol=1e-11)
            np.testing.assert_allclose(metric.scalar_curvature(x), 1.5, rtol=1e-7)  # a sphere of radius 2
            np.testing.assert_array_equal(metric.error(x), 0)

    def test_outcomes_that_are_vectors(self):
        # Three spins ±1 with fields and one coupling: the covariance of the statistic over eight states.
        states = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
        statistic = np.column_stack([states, states[:, 0] * states[:, 1]])

        def ising(theta, x):
            t = np.column_stack([x, x[:, 0] * x[:, 1]])
            return t @ theta - scipy.special.logsumexp(statistic @ theta)

        theta = np.array([0.3, -0.1, 0.7, 0.4])
        p = np.exp(ising(theta, states))
        metric = lnegeom.EstimatedFisher.by_sum(ising, 4, states)
        covariance = np.cov(statistic.T, aweights=p, bias=True)
        np.testing.assert_allclose(metric.matrix(theta), covariance, rtol=1e-9, atol=1e-11)

    def test_the_error_of_a_truncated_sum_is_an_upper_estimate(self):
        for terms in (12, 18, 30):
            metric = lnegeom.EstimatedFisher.by_sum(poisson, 1, terms=terms)
            theta = np.array([math.log(1.3)])
            error = np.abs(metric.matrix(theta) - 1.3)  # the rate, in terms of its logarithm
            assert error <= metric.error(theta) + 1e-12
        assert error < 1e-11
        # A heavy tail: the second derivative of log ζ.
        metric = lnegeom.EstimatedFisher.by_sum(zeta, 1, start=1, terms=4000)
        exact = float(mpmath.diff(lambda s: mpmath.log(mpmath.zeta(s)), 3.5, 2))
        error = np.abs(metric.matrix([3.5]) - exact)
        assert 1e-9 < error <= metric.error([3.5]) < 1e-4

    def test_jax(self):
        jax = pytest.importorskip("jax", reason="jax is not installed")

        def geometric(theta, x):
            return jax.numpy.log(theta[0]) + x * jax.numpy.log(1 - theta[0])

        metric = lnegeom.EstimatedFisher.by_sum(geometric, 1, terms=200)
        matrix = metric.matrix(jax.numpy.asarray([0.4]))
        np.testing.assert_allclose(matrix, 1 / (0.16 * 0.6), rtol=1e-12)

    @pytest.mark.parametrize(
        ("arguments", "x", "message"),
        [
            ({"start": 0.5}, [0.0], "start must be a whole number, got 0.5"),
            ({"terms": 0}, [0.0], "terms must be a positive integer, got 0"),
            ({"terms": 9}, [[-1.0], [2.0]], r"x\[1\] has mass 0.677142 on the nodes: .* or take more terms"),
            ({"outcomes": [0, 1]}, [0.0], r"x has mass 0.735759 on the nodes: .* or take all outcomes"),
            ({"outcomes": [0, np.nan]}, [0.0], r"nodes\[1\] is nan"),
        ],
    )
    def test_bad_input(self, arguments, x, message):
        with pytest.raises(lnegeom.InputError, match=message):
            lnegeom.EstimatedFisher.by_sum(poisson, 1, **arguments).matrix(x)

    def test_an_unknown_rule(self):
        with pytest.raises(lnegeom.InputError, match="rule must be one of quadrature, sum"):
            lnegeom.EstimatedFisher(poisson, 1, [0.0], [1.0], rule="guess")


def test_monte_carlo_errs_by_its_standard_error():
    x = np.array([0.3, 0.8])
    exact = np.diag([1, 2]) / 0.64
    scores = []
    for seed in range(40):
        samples = np.random.default_rng(seed).normal(0.3, 0.8, 500)
        metric = lnegeom.EstimatedFisher.by_monte_carlo(normal, 2, samples, normal(x, samples))
        scores.append((metric.matrix(x) - exact) / metric.error(x))
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    assert np.all((spread > 0.6) & (spread < 1.6))  # would be 1 for many seeds


def test_monte_carlo_of_vectors():
    # Two independent normals of unknown means: the identity over the variance.
    def density(theta, x):
        return -np.sum((x - theta) ** 2, axis=-1) / 8 - math.log(8 * math.pi)

    samples = np.random.default_rng(0).normal(0, 2, (2000, 2))
    metric = lnegeom.EstimatedFisher.by_monte_carlo(density, 2, samples, density(np.zeros(2), samples))
    error = metric.error([0.0, 0.0])
    assert np.all(np.abs(metric.matrix([0.0, 0.0]) - np.eye(2) / 4) < 5 * error)
    assert error.max() < 0.02


def test_fisher_of_a_family_is_the_metric_of_its_divergence():
    fisher = lnegeom.Fisher(lnegeom.Normal())
    assert repr(lnegeom.KL(lnegeom.Normal()).metric()) == repr(fisher) == "Fisher(Normal())"
    # Far out the derivatives of the log-partition cancel to nothing; constant curvature does not.
    theta = lnegeom.Normal().natural(1e6, 1e-2)
    np.testing.assert_allclose(fisher.scalar_curvature(theta), -1, rtol=1e-15)
    np.testing.assert_allclose(fisher.ricci(theta), -fisher.matrix(theta) / 2, rtol=1e-15)


def test_interpolation_on_the_grid_is_spectral():
    def metric(x):
        a, b = x[..., 0], x[..., 1]
        diagonal = [np.exp(0.3 * np.sin(a + b)), 1.2 + 0.2 * np.cos(a)]
        off = 0.2 * np.sin(b)
        rows = [[diagonal[0], off], [off, diagonal[1]]]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    x = np.random.default_rng(0).uniform(-7, 7, (5, 2))
    exact = lnegeom.FromCallable(metric, 2, vectorized=True).scalar_curvature(x)
    errors = []
    for size in (8, 12, 16, 24):
        grid = lnegeom.flow.TorusGrid((size, size + 1))
        found = lnegeom.FromGrid(metric(grid.coordinates()), grid)
        np.testing.assert_allclose(found.matrix(grid.coordinates()), metric(grid.coordinates()), atol=1e-14)
        errors.append(np.abs(found.scalar_curvature(x) - exact).max())
    assert errors[1] < errors[0] / 20
    assert errors[2] < errors[1] / 20
    assert errors[3] < 1e-8


def test_a_flow_feeds_curvature_and_geodesics():
    grid = lnegeom.flow.TorusGrid((12, 12))
    start = lnegeom.flow.perturbed_flat(grid, 0.1, seed=0)
    metrics = lnegeom.flow.ricci_deturck(start, grid, 1.0, samples=2).metrics
    x = grid.coordinates()[::3, ::3]
    before, after = (lnegeom.FromGrid(g, grid) for g in metrics)
    assert np.abs(after.scalar_curvature(x)).max() < 0.6 * np.abs(before.scalar_curvature(x)).max()
    path = lnegeom.geodesic(after, [0.0, 0.0], [2.0, 3.0], t_end=3.0, samples=3)
    speeds = after.norm(path.points, path.velocities)
    np.testing.assert_allclose(speeds, speeds[0], rtol=1e-8)
    density = np.exp(after.logdet(grid.coordinates()) / 2)
    curvature = after.scalar_curvature(grid.coordinates())
    np.testing.assert_allclose(np.mean(curvature * density), 0, atol=1e-9)  # Gauss and Bonnet


def test_samples_of_any_library_serve_points_of_any():
    samples = torch.from_numpy(zoo.waves(zoo.GRID.coordinates()))
    metric = lnegeom.FromGrid(samples, zoo.GRID)
    x = np.array([0.3, 1.0])
    assert isinstance(metric.ricci(x), np.ndarray)
    np.testing.assert_allclose(metric.ricci(torch.from_numpy(x)), metric.ricci(x), atol=1e-13)
