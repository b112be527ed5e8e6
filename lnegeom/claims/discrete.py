"""Claims about RF-DNN's discrete Ricci flow."""

from __future__ import annotations

from typing import Any

import numpy as np

import lnegeom
from lnegeom import flow
from lnegeom.claims._claim import Figure, Group, claim


def _dense(rho: Any) -> Any:
    return np.eye(len(rho)) - np.outer(rho, rho)


def _right_hand_side(k1: Any, k2: Any, j1: Any, j2: Any) -> Any:
    """RF-DNN Eq. 32 as printed, from the vectors of the four metrics, for translations two pixels apart."""
    return (_dense(k1) - _dense(k2)) / 2 - (_dense(j1) - _dense(j2)) / 2


def _residual(vectors: Any) -> float:
    """N of the vectors of ``g(t+1)|k₁, g(t)|k₁, g(t)|k₂, g(t)|j₁, g(t)|j₂``."""
    new, k1, k2, j1, j2 = vectors
    return float(flow.discrete_flow_residual(new, k1, k2, j1, j2, 2, 2))


@claim(
    "RF-DNN Eq. 32",
    "−2 Ric of the LNE metric is the difference of two quotients: of the metrics after translations of the "
    "input along rows, and along columns.",
    "does not hold",
    instead="The quotients are first differences of g, under changes of the input at that. Ricci is made of "
    "second derivatives in the weights: first ones vanish in suitable coordinates, Ricci does not. Where "
    "translations leave the gradient alone Eq. 32 gives 0, when rows and columns change places the opposite "
    "sign, while −2 Ric of LNE is positive definite. It is the paper's discrete Ricci flow, and has that "
    "name here.",
    where=("tests/flow/test_discrete.py", "tests/adapter/test_rf.py", "docs/methods.md"),
)
def discrete_ricci() -> list[Figure]:
    """Eq. 32 for a layer of 6 weights: equal virtual weights, 500 random ones; and −2 Ric at them."""
    metric, rng = lnegeom.LNE(1.0), np.random.default_rng(0)
    weight = rng.normal(size=6) / 5
    ricci = -2 * metric.ricci(weight)
    same = np.tanh(weight)
    least, swaps = [], []
    for steps in rng.normal(size=(500, 4, 6)) / 50:
        k1, k2, j1, j2 = np.tanh(weight - steps)
        found = _right_hand_side(k1, k2, j1, j2)
        least.append(np.linalg.eigvalsh(found)[0])
        swaps.append(np.max(np.abs(found + _right_hand_side(j1, j2, k1, k2))))
    return [
        Figure("least eigenvalue of −2 Ric", np.linalg.eigvalsh(ricci)[0], low=1),
        Figure(
            "Eq. 32 where translations change nothing",
            np.max(np.abs(_right_hand_side(same, same, same, same))),
            high=0,
        ),
        Figure("Eq. 32 plus itself, rows and columns swapped", max(swaps), high=1e-14),
        Figure("largest least eigenvalue of Eq. 32, of 500", max(least), high=0),
    ]


@claim(
    "RF-DNN Eqs. 33 and 35",
    "The squared norm N measures by how much an iteration misses the discrete flow.",
    "holds",
    instead="N is the squared norm of ∂_t g + 2 Ric with the right sides of Eqs. 32 and 33. All the metrics "
    "being I − ρρᵀ, it takes O(n) time and memory, not n × n matrices; formed from differences it is safe "
    "in float32, where the expanded sum of squares is not.",
    where=("tests/flow/test_discrete.py", "tests/adapter/test_rf.py"),
)
def discrete_residual() -> list[Figure]:
    """Dense matrices of 40 weights, and at exactly the flow; close vectors of 10⁵ weights in float32."""
    rng = np.random.default_rng(1)
    new, k1, k2, j1, j2 = rng.normal(size=(5, 40)) / 8
    dense = np.sum((_dense(new) - _dense(k1) - _right_hand_side(k1, k2, j1, j2)) ** 2)
    ours = _residual((new, k1, k2, j1, j2))
    still = _residual((k1, k1, k2, k1, k2))  # rows and columns agree: Eq. 32 is 0
    long = rng.normal(size=100_000) / 400 + 1e-6 * rng.normal(size=(5, 100_000))
    exact = _residual(long)
    single = _residual(long.astype(np.float32))
    signs = np.array([1.0, -1.5, 0.5, 0.5, -0.5])  # of ρρᵀ in the residual
    terms = np.abs(np.outer(signs, signs)) * (long @ long.T) ** 2
    return [
        Figure("N over that of dense matrices", ours / dense, 1 - 1e-12, 1 + 1e-12),
        Figure("N where the metric follows the flow", still, high=1e-30),
        Figure("float32 over float64", single / exact, 0.999, 1.001),
        Figure("terms of the expanded sum over their sum N", np.sum(terms) / exact, low=1e7),
    ]


@claim(
    "RF-DNN Eqs. 35 and 36, Algorithm 2",
    "A small N, which the gate N ≤ ε asks for, means that the metric follows the flow.",
    "does not hold",
    instead="N is small wherever the metric hardly moves, whatever way it goes: it is at most 8χ² for "
    "translations two pixels apart, so that with ManiQuant's χ = 1/(output channels) a gate of ε = 10⁻³ "
    "cannot close on a layer of 90 channels or more. Whether a flow is followed shows in N over the squared "
    "norms of its two sides, 0 on the flow and 1 for unrelated ones (`lnegeom.flow.relative_flow_residual`).",
    where=("tests/flow/test_discrete.py", "tests/adapter/test_rf.py", "docs/experiments.md"),
)
def discrete_bound() -> list[Figure]:
    """The largest N by random search and at the worst directions, over 8χ²; small random moves of 40 weights,
    χ = ½, that follow nothing.
    """
    rng, chi = np.random.default_rng(2), 0.1
    e, f = np.sqrt(chi) * np.eye(4)[:2]
    worst = _residual((f, e, f, f, e))
    random = 0.0
    for vectors in rng.normal(size=(500, 5, 4)):
        unit = np.sqrt(chi) * vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        random = max(random, _residual(unit))
    small, relative = [], []
    for moves in rng.normal(size=(200, 5, 40)):
        vectors = rng.normal(size=40) + 0.01 * moves
        unit = np.sqrt(0.5) * vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        small.append(_residual(unit))
        new, k1, k2, j1, j2 = unit
        relative.append(float(flow.relative_flow_residual(new, k1, k2, j1, j2, 2, 2)))
    return [
        Figure("N at the worst directions over 8χ²", worst / (8 * chi**2), 1 - 1e-12, 1 + 1e-12),
        Figure("largest of 500 random N over 8χ²", random / (8 * chi**2), high=1),
        Figure("8χ² for 90 output channels, over 10⁻³", 8 / 90**2 / 1e-3, high=1),
        Figure("largest N of moves that follow nothing", max(small), high=1e-3),
        Figure("their median N over the two sides' squares", np.median(relative), low=0.8),
    ]


DISCRETE = Group("RF-DNN's discrete Ricci flow", (discrete_ricci, discrete_residual, discrete_bound))
