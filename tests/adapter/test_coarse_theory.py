"""The theory of the coarse gradient, met by our own quantized ReLU.

The network is ``y = vᵀ σ(Z w)``, Z of standard normal entries, σ the 1-bit ReLU, the loss half the squared
difference from the teacher ``v*ᵀ σ(Z w*)``, ``|w*| = 1``. The closed forms are those of P. Yin et al.,
"Understanding straight-through estimator in training activation quantized neural nets", 2019, and are tested
themselves against differences of the population loss, and by Monte Carlo against autograd through
`QuantizedReLU`.
"""

import math

import numpy as np
import pytest
import torch

from lnegeom_torch.quant import QuantizedReLU

M, N, SAMPLES = 6, 4, 200_000
ROOT = math.sqrt(2 * math.pi)


def angle(w, target):
    return math.acos(np.clip(w @ target / np.linalg.norm(w), -1, 1))


def population_loss(v, w, v_target, w_target):
    theta = angle(w, w_target)
    ones = np.ones((M, M))
    same, cross = np.eye(M) + ones, (1 - 2 * theta / math.pi) * np.eye(M) + ones
    return (v @ same @ v - 2 * v @ cross @ v_target + v_target @ same @ v_target) / 8


def population_gradient(v, w, v_target, w_target):
    length = np.linalg.norm(w)
    across = w_target - w * (w @ w_target) / length**2
    return -(v @ v_target) / (2 * math.pi * length) * across / np.linalg.norm(across)


def expected_identity(v, w, v_target, w_target):
    return (v @ v * w / np.linalg.norm(w) - v @ v_target * w_target) / ROOT


def expected_relu(v, w, v_target, w_target):
    unit = w / np.linalg.norm(w)
    h = v @ v + v.sum() ** 2 - v.sum() * v_target.sum() + v @ v_target
    middle = unit + w_target
    size = np.linalg.norm(middle)
    turn = math.cos(angle(w, w_target) / 2) * (middle / size if size > 1e-12 else 0 * middle)
    return h / (2 * ROOT) * unit - v @ v_target / ROOT * turn


EXPECTED = {"identity": expected_identity, "relu": expected_relu}


def draw(seed):
    rng = np.random.default_rng(seed)
    v, v_target, w, w_target = (rng.normal(size=k) for k in (M, M, N, N))
    return v, w, v_target, w_target / np.linalg.norm(w_target)


def spurious_minimum():
    """θ = π and ``v = (I + 11ᵀ)⁻¹ (11ᵀ − I) v*``: a critical point of the population loss, no solution."""
    _, _, v_target, w_target = draw(3)
    v_target = np.abs(v_target)  # so that their sum, which the identity's gradient there grows with, is large
    ones = np.ones((M, M))
    v = np.linalg.solve(np.eye(M) + ones, (ones - np.eye(M)) @ v_target)
    return v, -1.7 * w_target, v_target, w_target


def coarse_gradients(point, proxy, seed=0):
    """Autograd's gradient of w on each sample, through the quantized ReLU: (samples, N)."""
    v, w, v_target, w_target = (torch.from_numpy(x) for x in point)
    z = torch.randn(SAMPLES, M, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    each = w.expand(SAMPLES, N).clone().requires_grad_()
    hidden = QuantizedReLU(bits=1, proxy=proxy, top=1.0)(torch.einsum("smn,sn->sm", z, each))
    teacher = ((z @ w_target > 0).double() @ v_target).detach()
    (0.5 * (hidden @ v - teacher).square()).sum().backward()
    return each.grad.numpy()


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


def test_the_population_loss_is_the_mean_loss_of_the_quantized_network():
    v, w, v_target, w_target = draw(0)
    z = np.random.default_rng(1).normal(size=(SAMPLES, M, N))
    relu = QuantizedReLU(bits=1, top=1.0)
    losses = 0.5 * (relu(torch.from_numpy(z @ w)).numpy() @ v - (z @ w_target > 0) @ v_target) ** 2
    assert within_interval(losses, population_loss(v, w, v_target, w_target))


@pytest.mark.parametrize("proxy", EXPECTED)
def test_the_expected_coarse_gradient(proxy):
    point = draw(0)
    samples = coarse_gradients(point, proxy)
    assert within_interval(samples, EXPECTED[proxy](*point))
    assert not within_interval(samples, 1.05 * EXPECTED[proxy](*point))  # the interval is not idle


@pytest.mark.parametrize(("proxy", "factor"), [("identity", 1.0), ("relu", 0.5)])
def test_it_correlates_with_the_population_gradient(proxy, factor):
    point = draw(0)
    v, w, v_target, w_target = point
    inner = factor * math.sin(angle(w, w_target)) / (ROOT**3 * np.linalg.norm(w)) * (v @ v_target) ** 2
    assert inner > 0
    slope = population_gradient(*point)
    np.testing.assert_allclose(EXPECTED[proxy](*point) @ slope, inner)
    assert within_interval(coarse_gradients(point, proxy, seed=1) @ slope, inner)


def test_at_the_spurious_minimum_relu_rests_and_identity_does_not():
    point = spurious_minimum()
    v, _, v_target, _ = point
    relu, identity = coarse_gradients(point, "relu"), coarse_gradients(point, "identity")
    np.testing.assert_allclose(expected_relu(*point), 0, atol=1e-12)
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
    """Long, Yin and Xin 2021: classes in orthogonal subspaces, hinge loss, the first of two layers trained.

    The second layer is fixed: class i has the hidden units of its own block. A monotone proxy brings the
    multi-class hinge loss of the discontinuous network to zero.
    """
    classes, units, width = 3, 8, 4
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat(60)
    points = torch.zeros(len(labels), classes, width)
    points[torch.arange(len(labels)), labels] = (
        torch.randn(len(labels), width, generator=generator).abs() + 0.1
    )
    mix = torch.linalg.qr(torch.randn(classes * width, classes * width, generator=generator))[0]
    x = points.flatten(1) @ mix  # the subspaces are orthogonal, in no special position
    weight = torch.randn(classes * units, classes * width, generator=generator).requires_grad_()
    relu = QuantizedReLU(bits, proxy=proxy, top=2.0)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    own = torch.nn.functional.one_hot(labels, classes).bool()
    for _ in range(1000):
        scores = relu(x @ weight.T).reshape(len(x), classes, units).sum(-1)
        others = scores.masked_fill(own, -torch.inf).amax(1)
        loss = (1 - scores[own] + others).clamp(min=0).mean()
        if loss == 0:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss == 0
    assert torch.equal(scores.argmax(1), labels)
