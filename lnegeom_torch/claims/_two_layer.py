"""The two-layer network of the coarse gradient's theory: closed forms, and its gradients by autograd.

The network is ``y = vᵀ σ(Z w)``, Z of standard normal entries, σ the 1-bit ReLU, the loss half the squared
difference from the teacher ``v*ᵀ σ(Z w*)``, ``|w*| = 1``. The closed forms are those of P. Yin et al.,
"Understanding straight-through estimator in training activation quantized neural nets", 2019.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from lnegeom_torch.quant import QuantizedReLU

__all__ = [
    "EXPECTED",
    "ROOT",
    "M",
    "N",
    "Point",
    "angle",
    "classified",
    "coarse_gradients",
    "draw",
    "expected_clipped_relu",
    "expected_identity",
    "expected_relu",
    "inner_product",
    "population_gradient",
    "population_loss",
    "spurious_minimum",
    "v_gradient",
]

Vector = NDArray[np.float64]
M, N = 6, 4
"""Hidden units, and inputs of each."""
ROOT = math.sqrt(2 * math.pi)


class Point(NamedTuple):
    """Weights and teacher: v and v* of shape ``(M,)``, w and w* of shape ``(N,)``."""

    v: Vector
    w: Vector
    v_target: Vector
    w_target: Vector


def draw(seed: int) -> Point:
    """A random point."""
    rng = np.random.default_rng(seed)
    v, v_target, w, w_target = (rng.normal(size=k) for k in (M, M, N, N))
    return Point(v, w, v_target, np.asarray(w_target / np.linalg.norm(w_target), dtype=np.float64))


def spurious_minimum() -> Point:
    """θ = π and ``v = (I + 11ᵀ)⁻¹ (11ᵀ − I) v*``: a critical point of the population loss, no solution."""
    _, _, v_target, w_target = draw(3)
    v_target = np.abs(v_target)  # so that their sum, which the identity's gradient there grows with, is large
    ones = np.ones((M, M))
    v: Vector = np.linalg.solve(np.eye(M) + ones, (ones - np.eye(M)) @ v_target).astype(np.float64)
    return Point(v, -1.7 * w_target, v_target, w_target)


def angle(w: Vector, target: Vector) -> float:
    """The angle θ between w and the teacher's unit vector."""
    return math.acos(np.clip(w @ target / np.linalg.norm(w), -1, 1))


def population_loss(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> float:
    """The expected loss."""
    theta = angle(w, w_target)
    ones = np.ones((M, M))
    same, cross = np.eye(M) + ones, (1 - 2 * theta / math.pi) * np.eye(M) + ones
    return float((v @ same @ v - 2 * v @ cross @ v_target + v_target @ same @ v_target) / 8)


def v_gradient(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> Vector:
    """The expected loss's gradient in v."""
    ones = np.ones((M, M))
    cross = (1 - 2 * angle(w, w_target) / math.pi) * np.eye(M) + ones
    slope: Vector = ((np.eye(M) + ones) @ v - cross @ v_target) / 4
    return slope


def population_gradient(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> Vector:
    """The expected loss's gradient in w."""
    length = np.linalg.norm(w)
    across = w_target - w * (w @ w_target) / length**2
    slope: Vector = -(v @ v_target) / (2 * math.pi * length) * across / np.linalg.norm(across)
    return slope


def expected_identity(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> Vector:
    """The expected coarse gradient in w, the quantized ReLU differentiated as the identity."""
    slope: Vector = (v @ v * w / np.linalg.norm(w) - v @ v_target * w_target) / ROOT
    return slope


def expected_relu(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> Vector:
    """The expected coarse gradient in w, the quantized ReLU differentiated as a ReLU."""
    unit = w / np.linalg.norm(w)
    middle = unit + w_target
    size = np.linalg.norm(middle)
    turn = math.cos(angle(w, w_target) / 2) * (middle / size if size > 1e-12 else 0 * middle)
    slope: Vector = _radial(v, v_target) / (2 * ROOT) * unit - v @ v_target / ROOT * turn
    return slope


def expected_clipped_relu(v: Vector, w: Vector, v_target: Vector, w_target: Vector) -> Vector:
    """The expected coarse gradient in w, the quantized ReLU differentiated as a ReLU that is clipped at 1."""
    length = np.linalg.norm(w)
    unit, top, theta = w / length, 1 / length, angle(w, w_target)
    across = w_target - unit * math.cos(theta)
    sine = float(np.linalg.norm(across))  # of two angles it is small for, 0 and π
    below = (1 - math.exp(-(top**2) / 2)) / ROOT  # the mean of z·unit where the slope is not 0
    if sine < 1e-12:
        both = below * unit if theta < 1 else 0 * unit
    else:
        turn = sine / (2 * ROOT) * math.erf(top / (math.sqrt(2) * sine))
        cotangent = math.cos(theta) / sine
        along = 1 / (2 * ROOT) - math.exp(-(top**2) / 2) / ROOT * ndtr(top * cotangent) + cotangent * turn
        both = along * unit + turn * across / sine
    slope: Vector = _radial(v, v_target) / 2 * below * unit - v @ v_target * both
    return slope


def _radial(v: Vector, v_target: Vector) -> float:
    return float(v @ v + v.sum() ** 2 - v.sum() * v_target.sum() + v @ v_target)


EXPECTED = {
    "identity": expected_identity,
    "relu": expected_relu,
    "clipped_relu": expected_clipped_relu,
}


def inner_product(proxy: str, point: Point) -> float:
    """Of the expected coarse gradient in w with the population gradient: never negative."""
    v, w, v_target, w_target = point
    length, sine = float(np.linalg.norm(w)), math.sin(angle(w, w_target))
    factor = {"identity": 1.0, "relu": 0.5, "clipped_relu": 0.5}[proxy]
    if proxy == "clipped_relu":
        factor *= math.erf(1 / (math.sqrt(2) * length * sine))
    return factor * sine * float(v @ v_target) ** 2 / (ROOT**3 * length)


def coarse_gradients(point: Point, proxy: Any, samples: int, seed: int = 0) -> Vector:
    """Autograd's gradient of w on each sample, through the quantized ReLU: (samples, N)."""
    v, w, v_target, w_target = (torch.from_numpy(x) for x in point)
    z = torch.randn(samples, M, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    each = w.expand(samples, N).clone().requires_grad_()
    hidden = QuantizedReLU(bits=1, proxy=proxy, top=1.0)(torch.einsum("smn,sn->sm", z, each))
    teacher = ((z @ w_target > 0).double() @ v_target).detach()
    (gradient,) = torch.autograd.grad((0.5 * (hidden @ v - teacher).square()).sum(), each)
    return gradient.numpy()


def classified(proxy: Any, bits: int) -> tuple[float, float]:
    """Train classes in orthogonal subspaces by the coarse gradient; return the last loss, and the accuracy.

    Long, Yin and Xin 2021: hinge loss, the first of two layers trained. The second layer is fixed: class i
    has the hidden units of its own block.
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
    optimizer = torch.optim.SGD([weight], lr=0.5)
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
    return loss.item(), float((scores.argmax(1) == labels).double().mean())
