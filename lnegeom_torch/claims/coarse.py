"""Claims about coarse gradients: the theory of straight-through estimators in quantized activations."""

from __future__ import annotations

import math

import numpy as np

from lnegeom.claims import Figure, Group, claim
from lnegeom_torch.claims._threads import on_one_thread

STE = "Yin et al., understanding the straight-through estimator, 2019, abstract"
TESTS = ("tests/adapter/test_coarse_theory.py", "docs/methods.md")


@claim(
    STE,
    "If the estimator is properly chosen, the expected coarse gradient correlates positively with the "
    "population gradient.",
    "holds",
    instead="For the ReLU and for the identity as proxy, with v·v* ≠ 0 and w neither at its target nor "
    "opposite: the inner product is c sin θ (v·v*)²/((2π)^{3/2} |w|), c = ½ and 1.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_correlation() -> list[Figure]:
    """Autograd through our quantized ReLU on 100,000 random inputs, projected on the population gradient."""
    from lnegeom_torch.claims import _two_layer as theory

    point = theory.draw(0)
    v, w, v_target, w_target = point
    slope = theory.population_gradient(*point)
    size = math.sin(theory.angle(w, w_target)) / (theory.ROOT**3 * np.linalg.norm(w)) * (v @ v_target) ** 2
    figures = []
    for proxy, factor in (("relu", 0.5), ("identity", 1.0)):
        samples = theory.coarse_gradients(point, proxy, 100_000) @ slope
        error = samples.std() / math.sqrt(len(samples))
        figures += [
            Figure(f"{proxy}: mean product over its standard error", samples.mean() / error, low=5),
            Figure(
                f"{proxy}: deviation from the formula in standard errors",
                (samples.mean() - factor * size) / error,
                -4.5,
                4.5,
            ),
        ]
    return figures


@claim(
    STE,
    "Its negation is a descent direction, and coarse gradient descent converges to a critical point of the "
    "population loss.",
    "holds with a correction",
    instead="With the ReLU as proxy, in the two-layer network of the theory, for small steps, and while |w| "
    "stays away from 0, of which the abstract says nothing: the gradient does not shrink with |w|, so that "
    "near 0 a step of any size turns w, and the loss can jump.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_descent() -> list[Figure]:
    """The population loss along 800 expected coarse gradients of 8 random starts, steps of 0.05. Keeping
    |w| = 1 does not change the network.
    """
    from lnegeom_torch.claims import _two_layer as theory

    def largest_rise(seed: int, unit: bool) -> tuple[float, float]:
        """And the gradient's length at the end."""
        point = theory.draw(seed)
        losses = [theory.population_loss(*point)]
        for _ in range(800):
            w = point.w - 0.05 * theory.expected_relu(*point)
            w = w / np.linalg.norm(w) if unit else w
            point = point._replace(v=point.v - 0.05 * theory.v_gradient(*point), w=w)
            losses.append(theory.population_loss(*point))
        last = np.concatenate([theory.v_gradient(*point), theory.expected_relu(*point)])
        return float(np.max(np.diff(losses))), float(np.linalg.norm(last))

    unit, free = ([largest_rise(seed, kept) for seed in range(8)] for kept in (True, False))
    return [
        Figure("largest rise of the loss in a step, |w| = 1", max(rise for rise, _ in unit), high=1e-6),
        Figure("largest gradient at the end", max(end for _, end in unit), high=5e-3),
        Figure("largest rise in a step, |w| free", max(rise for rise, _ in free), low=0.1),
    ]


@claim(
    STE,
    "A poor choice of the estimator is unstable near certain local minima.",
    "holds",
    instead="At the spurious minimum θ = π the expected coarse gradient vanishes with the ReLU as proxy, "
    "and with the identity it does not: it drives the weights away.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_instability() -> list[Figure]:
    """The mean of 100,000 gradients there, in standard errors, and the loss's own gradient."""
    from lnegeom_torch.claims import _two_layer as theory

    point = theory.spurious_minimum()

    def deviations(proxy: str) -> float:
        samples = theory.coarse_gradients(point, proxy, 100_000)
        error = samples.std(axis=0) / math.sqrt(len(samples))
        return float(np.max(np.abs(samples.mean(axis=0)) / error))

    return [
        Figure(
            "population gradient in v there", float(np.linalg.norm(theory.v_gradient(*point))), high=1e-12
        ),
        Figure("ReLU: largest mean in standard errors", deviations("relu"), high=4.5),
        Figure("identity: largest mean in standard errors", deviations("identity"), low=20),
    ]


@claim(
    "Long, Yin and Xin, quantized nets by coarse gradient, 2021, abstract",
    "With monotone estimators coarse gradient methods reach the global minimum in multi-category "
    "classification: perfect classification.",
    "holds",
    instead="On separable classes in orthogonal subspaces, as the theory asks; measured on one such set.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_classification() -> list[Figure]:
    """Three classes, hinge loss, a staircase ReLU of 1 bit: the loss of the discontinuous network."""
    from lnegeom_torch.claims import _two_layer as theory

    figures = []
    for proxy in ("relu", "clipped_relu"):
        loss, accuracy = theory.classified(proxy, bits=1)
        figures += [
            Figure(f"{proxy}: loss", loss, 0, 0),
            Figure(f"{proxy}: share classified", accuracy, 1, 1),
        ]
    return figures


COARSE = Group(
    "Coarse gradients", (coarse_correlation, coarse_descent, coarse_instability, coarse_classification)
)
