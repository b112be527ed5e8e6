"""Claims about coarse gradients: the theory of straight-through estimators in quantized activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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
    instead="For the ReLU, the clipped ReLU and the identity as proxy, with v·v* ≠ 0 and w neither at its "
    "target nor opposite: the inner product is c sin θ (v·v*)²/((2π)^{3/2} |w|), c = 1 for the identity, ½ "
    "for the ReLU, and ½ erf(1/(√2 |w| sin θ)) for the ReLU clipped at 1.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_correlation() -> list[Figure]:
    """Autograd through our quantized ReLU on 100,000 random inputs, |w| = 1, projected on the population
    gradient.
    """
    from lnegeom_torch.claims import _two_layer as theory

    point = theory.draw(0)
    point = point._replace(w=point.w / np.linalg.norm(point.w))
    slope = theory.population_gradient(*point)
    figures = []
    for proxy in theory.EXPECTED:
        samples = theory.coarse_gradients(point, proxy, 100_000) @ slope
        error = samples.std() / math.sqrt(len(samples))
        apart = (samples.mean() - theory.inner_product(proxy, point)) / error
        figures += [
            Figure(f"{proxy}: mean product over its standard error", samples.mean() / error, low=5),
            Figure(f"{proxy}: deviation from the formula in standard errors", apart, -4.5, 4.5),
        ]
    return figures


@claim(
    STE,
    "Its negation is a descent direction, and coarse gradient descent converges to a critical point of the "
    "population loss.",
    "holds with a correction",
    instead="With the ReLU as proxy, plain or clipped, in the two-layer network of the theory, for small "
    "steps, and while |w| stays away from 0, of which the abstract says nothing: the gradient does not "
    "shrink with |w|, so that near 0 a step of any size turns w, and the loss can jump.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_descent() -> list[Figure]:
    """The population loss along 800 expected coarse gradients of 8 random starts, steps of 0.05. Keeping
    |w| = 1 does not change the network.
    """
    from lnegeom_torch.claims import _two_layer as theory

    def largest_rise(proxy: str, seed: int, unit: bool) -> tuple[float, float]:
        """And the gradient's length at the end."""
        point, expected = theory.draw(seed), theory.EXPECTED[proxy]
        losses = [theory.population_loss(*point)]
        for _ in range(800):
            w = point.w - 0.05 * expected(*point)
            w = w / np.linalg.norm(w) if unit else w
            point = point._replace(v=point.v - 0.05 * theory.v_gradient(*point), w=w)
            losses.append(theory.population_loss(*point))
        last = np.concatenate([theory.v_gradient(*point), expected(*point)])
        return float(np.max(np.diff(losses))), float(np.linalg.norm(last))

    figures = []
    for proxy in ("relu", "clipped_relu"):
        runs = [largest_rise(proxy, seed, unit=True) for seed in range(8)]
        figures += [
            Figure(
                f"{proxy}: largest rise of the loss in a step, |w| = 1", max(r for r, _ in runs), high=1e-6
            ),
            Figure(f"{proxy}: largest gradient at the end", max(end for _, end in runs), high=5e-3),
        ]
    free = max(largest_rise("relu", seed, unit=False)[0] for seed in range(8))
    return [*figures, Figure("relu: largest rise in a step, |w| free", free, low=0.1)]


@claim(
    STE,
    "A poor choice of the estimator is unstable near certain local minima.",
    "holds",
    instead="At the spurious minimum θ = π the expected coarse gradient vanishes with the ReLU as proxy, "
    "plain or clipped, and with the identity it does not: it drives the weights away. In deep networks "
    "proxies that are not clipped are worse than that: over the layers of ResNet-20 the gradient grows, the "
    "forward pass being the same, and from a trained network training diverges at rates at which the clipped "
    "one keeps its accuracy. (On digits; the abstract's CIFAR-10 was not repeated.)",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_instability() -> list[Figure]:
    """The mean of 100,000 gradients there, in standard errors, and the loss's own gradient; the gradient of
    the first layer of a fresh ResNet-20 with 2-bit activations.
    """
    from lnegeom_torch.claims import _two_layer as theory
    from lnegeom_torch.claims._small import first_gradient

    clipped, relu, identity = (first_gradient(proxy) for proxy in ("clipped_relu", "relu", "identity"))
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
        Figure("clipped ReLU: the same", deviations("clipped_relu"), high=4.5),
        Figure("identity: largest mean in standard errors", deviations("identity"), low=20),
        Figure("ResNet-20: gradient with ReLU over that with clipped ReLU", relu / clipped, low=3),
        Figure("the same with the identity", identity / clipped, low=50),
    ]


@claim(
    "Yin et al., blended coarse gradient descent, 2019, abstract",
    "The coarse gradient is in general the gradient of no function.",
    "holds",
    instead="Of a function's gradient the derivative is symmetric. That of the expected coarse gradient in "
    "(v, w), the exact one in v with a proxy's in w, is not.",
    where=TESTS,
    needs=("torch",),
)
@on_one_thread
def coarse_no_gradient() -> list[Figure]:
    """Its derivative by finite differences at a point where |w| = 1: antisymmetric over symmetric part."""
    from lnegeom_torch.claims import _two_layer as theory

    point, h = theory.draw(0), 1e-5
    both = np.concatenate([point.v, point.w / np.linalg.norm(point.w)])

    def asymmetry(in_w: Callable[..., Any]) -> float:
        def field(x: Any) -> Any:
            at = point._replace(v=x[: theory.M], w=x[theory.M :])
            return np.concatenate([theory.v_gradient(*at), in_w(*at)])

        steps = h * np.eye(len(both))
        slopes = np.array([field(both + e) - field(both - e) for e in steps]) / (2 * h)
        return float(np.linalg.norm(slopes - slopes.T) / np.linalg.norm(slopes + slopes.T))

    return [
        Figure("of the population gradient", asymmetry(theory.population_gradient), high=1e-6),
        *(Figure(f"with {proxy} as proxy", asymmetry(g), low=0.05) for proxy, g in theory.EXPECTED.items()),
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
    "Coarse gradients",
    (coarse_correlation, coarse_no_gradient, coarse_descent, coarse_instability, coarse_classification),
)
