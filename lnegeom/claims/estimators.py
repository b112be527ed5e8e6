"""Claims about straight-through estimators that need no network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lnegeom.claims._claim import Figure, Group, claim


@claim(
    "ManiQuant App. A, Eqs. 17 to 20",
    "The straight-through estimator is the gradient of the loss under a uniformly distributed threshold.",
    "holds with a correction",
    instead="Under a threshold uniform on [−1, 1] that gradient is ½[L(+1) − L(−1)] where |a| ≤ 1: Eq. 18 "
    "has 1 for the density ½, and Eq. 20 drops the 2 that makes up for it. It is L'(0) up to third "
    "derivatives; the estimator in use is L'(±1), the same only for a loss that is affine in the weight.",
    where=("tests/adapter/test_equivalences.py", "docs/methods.md"),
)
def ste_derivation() -> list[Figure]:
    """L(w) = w + w² averaged over 200,001 thresholds, differentiated numerically at a = 0.3 and a = 1.5."""
    thresholds = np.linspace(-1, 1, 200_001)

    def loss(w: Any) -> Any:
        return w + w**2

    def smoothed(a: float) -> float:
        return float(np.mean(loss(np.where(a > thresholds, 1.0, -1.0))))

    inside, outside = ((smoothed(a + 0.1) - smoothed(a - 0.1)) / 0.2 for a in (0.3, 1.5))
    up = (smoothed(0.4) - smoothed(0.2)) / 0.2 / (loss(1.0) - loss(-1.0))
    straight = (loss(1.001) - loss(0.999)) / 0.002
    return [
        Figure("∂P(a > ε)/∂a where |a| ≤ 1: printed 1", up, 0.499, 0.501),
        Figure(
            "smoothed gradient over ½[L(+1) − L(−1)]", inside / ((loss(1.0) - loss(-1.0)) / 2), 0.999, 1.001
        ),
        Figure("smoothed gradient at a = 1.5", outside, 0, 0),
        Figure("L'(+1), which the estimator takes, over it", straight / inside, low=2),
    ]


@claim(
    "RF-DNN Eqs. 4 and 5, abstract",
    "The mismatch between the straight-through and the true gradient is a perturbation of the metric: one "
    "is g⁻¹ times the other.",
    "does not hold",
    instead="A positive definite g with that property exists iff the two have a positive inner product, and "
    "then there are many. The straight-through gradient can point against the true one, the difference "
    "quotient over the two values of each weight: then no metric explains it.",
    where=("tests/adapter/test_coarse_theory.py", "docs/methods.md"),
)
def mismatch_metric() -> list[Figure]:
    """Random pairs, with a metric built where there is one; and 2,000 random convex quadratic losses of 3
    weights of ±1.
    """
    rng = np.random.default_rng(0)
    least, errors = [], []
    for true, estimate in rng.normal(size=(500, 2, 4)):
        estimate = estimate * np.sign(true @ estimate)
        inverse = np.eye(4) - np.outer(true, true) / (true @ true)
        inverse += np.outer(estimate, estimate) / (estimate @ true)
        least.append(np.linalg.eigvalsh(inverse)[0])
        errors.append(np.max(np.abs(inverse @ true - estimate)))
    against = 0
    for _ in range(2000):
        root, linear, signs = rng.normal(size=(3, 3)), rng.normal(size=3), rng.choice([-1.0, 1.0], 3)
        hessian = root.T @ root
        straight = hessian @ signs + linear
        true = straight - np.diag(hessian) * signs  # ½[L(w_i = 1) − L(w_i = −1)]
        against += int(straight @ true < 0)
    return [
        Figure("error of g⁻¹ ∂L built for a positive inner product", max(errors), high=1e-10),
        Figure("least eigenvalue of that g⁻¹", min(least), low=1e-9),
        Figure("share of losses where the estimate points against", against / 2000, 0.1, 0.4),
    ]


@claim(
    "ManiQuant §3.2, Lemma 3 and §5",
    "The weak-curvature embedding turns the gradient so that the mismatch is alleviated.",
    "does not hold",
    instead="I + χ q qᵀ turns a gradient by no more than arcsin(χ/(2 + χ)): 1.7° for 16 output channels, "
    "0.1° for 256. The mismatch is tens of degrees (`wcg-mismatch` measures it), and q, which depends on "
    "the weights alone, does not know its direction.",
    where=("tests/adapter/test_diagnostics.py", "docs/experiments.md"),
)
def wcg_rotation() -> list[Figure]:
    """A scan over all angles between the gradient and q, against the bound; and with random gradients."""
    angles = np.linspace(0, math.pi / 2, 100_001)

    def largest(chi: float) -> float:
        turned = np.arctan2(np.sin(angles), (1 + chi) * np.cos(angles))
        return float(np.degrees(np.max(np.abs(turned - angles))))

    bound = math.degrees(math.asin(1 / 33))
    rng = np.random.default_rng(1)
    q, gradient = rng.normal(size=(2, 200, 2304))  # a convolution of 16 channels to 16, of 3 × 3
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    moved = gradient + np.sum(q * gradient, axis=-1, keepdims=True) * q / 16
    cosine = np.sum(moved * gradient, axis=-1) / np.linalg.norm(moved, axis=-1)
    typical = np.degrees(np.arccos(np.minimum(cosine / np.linalg.norm(gradient, axis=-1), 1)))
    return [
        Figure("largest turn over arcsin(χ/(2 + χ)), χ = 1/16", largest(1 / 16) / bound, 1 - 1e-6, 1 + 1e-6),
        Figure("largest turn for 256 channels, degrees", largest(1 / 256), high=0.12),
        Figure("median turn of a random gradient, 2,304 weights, degrees", np.median(typical), high=0.1),
    ]


@claim(
    "ManiQuant Algorithm 1, lines 5, 6, 9 and 12",
    "The backward pass of Algorithm 1 belongs to its forward pass, and line 9 passes the gradient where the "
    "output is inside [−1, 1].",
    "does not hold",
    instead="Line 5 normalises after the nonlinearity, line 12 goes back as if before it: the chain rule of "
    "Norm(f(s)) is f'(s) ∘ BackNorm(∇). In the order that networks have, and ours, f(Norm(s)), line 12 is "
    "right, with f' taken at Norm(s). The gate of line 9 looks at the quantized output, which with one bit "
    "is always inside; Eq. 10 has it on what is quantized, in every layer, and so has the library.",
    where=("docs/papers.md", "tests/adapter/test_quantize.py"),
)
def algorithm_order() -> list[Figure]:
    """Lines 5 and 12 for tanh and a batch norm without gain, against finite differences of both orders; line
    9 on 10,000 normal outputs, one bit.
    """
    rng, h = np.random.default_rng(3), 1e-6
    s, weight = rng.normal(size=(2, 16, 4))

    def norm(x: Any) -> Any:
        return (x - x.mean(axis=0)) / x.std(axis=0)

    def back_norm(x: Any, slope: Any) -> Any:
        z = norm(x)
        return (slope - slope.mean(axis=0) - z * (slope * z).mean(axis=0)) / x.std(axis=0)

    def numeric(function: Any) -> Any:
        steps = h * np.eye(s.size).reshape(s.size, *s.shape)
        rises = [np.sum(weight * (function(s + e) - function(s - e))) for e in steps]
        return np.reshape(rises, s.shape) / (2 * h)

    def apart(found: Any, true: Any) -> float:
        return float(np.linalg.norm(found - true) / np.linalg.norm(true))

    after, before = (numeric(f) for f in (lambda x: norm(np.tanh(x)), lambda x: np.tanh(norm(x))))
    printed = back_norm(np.tanh(s), weight * (1 - np.tanh(s) ** 2))
    chain = (1 - np.tanh(s) ** 2) * back_norm(np.tanh(s), weight)
    usual = back_norm(s, weight * (1 - np.tanh(norm(s)) ** 2))
    outputs = rng.normal(size=10_000)
    return [
        Figure("relative error of line 12 after line 5", apart(printed, after), low=0.1),
        Figure("of f'(s) ∘ BackNorm(∇) after line 5", apart(chain, after), high=1e-6),
        Figure("of line 12 in the order f(Norm(s))", apart(usual, before), high=1e-6),
        Figure(
            "outputs that the gate of line 9 stops", int(np.count_nonzero(np.abs(np.sign(outputs)) > 1)), 0, 0
        ),
        Figure("outputs that the gate of Eq. 10 stops", int(np.count_nonzero(np.abs(outputs) > 1)), low=1000),
    ]


ESTIMATORS = Group(
    "Straight-through estimators", (ste_derivation, mismatch_metric, wcg_rotation, algorithm_order)
)
