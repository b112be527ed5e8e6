"""The theory of the coarse gradient, met by our own quantized ReLU.

The closed forms of `lnegeom_torch.claims._two_layer` are tested against differences of the population loss,
and by Monte Carlo against autograd through `QuantizedReLU`.
"""

import math

import numpy as np
import pytest
import torch

from lnegeom_torch.claims._two_layer import (
    EXPECTED,
    ROOT,
    M,
    N,
    classified,
    coarse_gradients,
    draw,
    expected_clipped_relu,
    expected_identity,
    expected_relu,
    inner_product,
    population_gradient,
    population_loss,
    spurious_minimum,
    v_gradient,
)
from lnegeom_torch.quant import QuantizedReLU

SAMPLES = 200_000


def within_interval(samples, expected, deviations=4.5):
    error = samples.std(axis=0) / math.sqrt(len(samples))
    return np.all(np.abs(samples.mean(axis=0) - expected) < deviations * error)


def test_the_closed_population_gradient_is_the_slope_of_the_population_loss():
    point = draw(0)
    v, w, v_target, w_target = point
    slopes = [
        (population_loss(v, w + h, v_target, w_target) - population_loss(v, w - h, v_target, w_target)) / 2e-6
        for h in 1e-6 * np.eye(N)
    ]
    np.testing.assert_allclose(population_gradient(*point), slopes, atol=1e-8)
    slopes = [
        (population_loss(v + h, w, v_target, w_target) - population_loss(v - h, w, v_target, w_target)) / 2e-6
        for h in 1e-6 * np.eye(M)
    ]
    np.testing.assert_allclose(v_gradient(*point), slopes, atol=1e-8)


def test_the_population_loss_is_the_mean_loss_of_the_quantized_network():
    v, w, v_target, w_target = draw(0)
    z = np.random.default_rng(1).normal(size=(SAMPLES, M, N))
    relu = QuantizedReLU(bits=1, top=1.0)
    losses = 0.5 * (relu(torch.from_numpy(z @ w)).numpy() @ v - (z @ w_target > 0) @ v_target) ** 2
    assert within_interval(losses, population_loss(v, w, v_target, w_target))


@pytest.mark.parametrize("proxy", EXPECTED)
def test_the_expected_coarse_gradient(proxy):
    point = draw(0)
    point = point._replace(w=point.w / np.linalg.norm(point.w))  # a clipped ReLU is mostly flat for a long w
    samples = coarse_gradients(point, proxy, SAMPLES)
    assert within_interval(samples, EXPECTED[proxy](*point))
    assert not within_interval(samples, 1.05 * EXPECTED[proxy](*point))  # the interval is not idle


@pytest.mark.parametrize("proxy", EXPECTED)
def test_it_correlates_with_the_population_gradient(proxy):
    point = draw(0)
    inner = inner_product(proxy, point)
    assert inner > 0
    slope = population_gradient(*point)
    np.testing.assert_allclose(EXPECTED[proxy](*point) @ slope, inner)
    assert within_interval(coarse_gradients(point, proxy, SAMPLES, seed=1) @ slope, inner)


def test_a_clipped_relu_that_clips_nothing_is_a_relu_and_it_has_limits_at_the_target():
    point = draw(0)
    near = point._replace(w=1e-3 * point.w)  # 1/|w| standard deviations away
    np.testing.assert_allclose(expected_clipped_relu(*near), expected_relu(*near), atol=1e-12)
    for sign in (1.0, -1.0):
        exact = point._replace(w=sign * 1.3 * point.w_target)
        close = exact._replace(w=exact.w + 1e-7 * np.roll(exact.w, 1))
        np.testing.assert_allclose(expected_clipped_relu(*exact), expected_clipped_relu(*close), atol=1e-5)


def test_at_the_spurious_minimum_relu_rests_and_identity_does_not():
    point = spurious_minimum()
    v, _, v_target, _ = point
    relu, identity = (coarse_gradients(point, p, SAMPLES) for p in ("relu", "identity"))
    np.testing.assert_allclose(expected_relu(*point), 0, atol=1e-12)
    np.testing.assert_allclose(expected_clipped_relu(*point), 0, atol=1e-12)
    assert within_interval(relu, 0.0)
    # |E g| = 2 (m − 1)/(√(2π) (m + 1)²) (1ᵀv*)²: it drives the weights away.
    size = 2 * (M - 1) / (ROOT * (M + 1) ** 2) * v_target.sum() ** 2
    np.testing.assert_allclose(np.linalg.norm(expected_identity(*point)), size)
    assert within_interval(identity, expected_identity(*point))
    assert not within_interval(identity, 0.0)
    assert abs((v @ v + v @ v_target) / ROOT) == pytest.approx(size)


@pytest.mark.parametrize("proxy", ["relu", "clipped_relu"])
@pytest.mark.parametrize("bits", [1, 4])
def test_multi_category_classification_becomes_perfect(proxy, bits):
    """Long, Yin and Xin 2021: a monotone proxy brings the hinge loss of the discontinuous network to zero."""
    assert classified(proxy, bits) == (0, 1)
