"""Claims about the LNE metric: where it is a metric, how curved it is, and its inverses."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq

import lnegeom
from lnegeom import flow
from lnegeom.claims._claim import Figure, Group, claim


def _metric(u: Any) -> Any:
    """``I − uuᵀ``, dense."""
    return np.eye(u.shape[-1]) - u[..., :, None] * u[..., None, :]


def _directions(count: int, n: int) -> Any:
    x = np.random.default_rng(1).normal(size=(count, n)) ** 3  # uneven entries
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _dominant(u: Any) -> Any:
    """Whether ``I − uuᵀ`` is strictly diagonally dominant, by its rows."""
    g = np.abs(_metric(u))
    diagonal = np.einsum("...ii->...i", g)
    return np.all(2 * diagonal > np.sum(g, axis=-1), axis=-1)


@claim(
    "ManiQuant Definition 1; RF-DNN Eq. 16",
    "If the entries of the deviation from δ are much smaller than 1, the metric is positive definite.",
    "does not hold",
    instead="I − uuᵀ, u = tanh(τθ), is positive definite iff |u|² < 1. That bounds the sum of the diagonal, "
    "not its entries: the more weights, the smaller τ has to be.",
    where=("tests/laws/test_metric_laws.py", "docs/metrics.md"),
)
def lne_definite() -> list[Figure]:
    """Eigenvalues of dense matrices: 900 equal entries of 1/400; and 500 random u of |u|² around 1."""
    many = np.full(900, 0.05)
    units = _directions(500, 6)
    below, above = (np.linalg.eigvalsh(_metric(size * units))[:, 0] for size in (0.999, 1.001))
    return [
        Figure("largest entry of the deviation", np.max(np.outer(many, many)), high=0.01),
        Figure("least eigenvalue of that metric", np.linalg.eigvalsh(_metric(many))[0], high=-1),
        Figure("least eigenvalue where |u| = 0.999, of 500", np.min(below), low=1e-4),
        Figure("largest least eigenvalue where |u| = 1.001", np.max(above), high=-1e-4),
    ]


@claim(
    "ManiQuant App. C.2; RF-DNN Eq. 29",
    "I − uuᵀ is strictly diagonally dominant where its deviation's entries are small, and so has an inverse.",
    "does not hold",
    instead="It is dominant iff |u_i| |u|₁ < 1 for all i: more than positive definiteness, |u|² < 1, asks, "
    "and far more for uneven weights. The inverse exists wherever |u|² ≠ 1.",
    where=("tests/laws/test_metric_laws.py",),
)
def diagonal_dominance() -> list[Figure]:
    """Rows of dense matrices for 4,000 random u = tanh(τθ), |τθ| up to 2, against the criterion."""
    u = np.tanh(_directions(4000, 6) * np.linspace(0.01, 2.0, 4000)[:, None])
    dominant = _dominant(u)
    criterion = np.max(np.abs(u), axis=-1) * np.sum(np.abs(u), axis=-1) < 1
    definite = np.sum(u * u, axis=-1) < 1
    many = np.full(900, 0.05)
    return [
        Figure("disagreements of rows and criterion", np.sum(dominant != criterion), 0, 0),
        Figure("dominant ones that are not positive definite", np.sum(dominant & ~definite), 0, 0),
        Figure("positive definite ones that are not dominant", np.sum(definite & ~dominant), low=200),
        Figure("dominant, with 900 entries of 1/400", int(_dominant(many)), 0, 0),
    ]


@claim(
    "ManiQuant Lemma 3, Eqs. 15 and 30; RF-DNN Eq. 29",
    "The inverse of I − uuᵀ is nearly I + uuᵀ: the weak approximation.",
    "holds with a correction",
    instead="Its defect is exactly I − g(I + uuᵀ) = |u|² uuᵀ: good only while |u|² ≪ 1. Along u it enlarges "
    "a gradient 1 + |u|² times, and the inverse 1/(1 − |u|²) times.",
    where=("tests/laws/test_metric_laws.py", "docs/optimizers.md"),
)
def weak_inverse() -> list[Figure]:
    """Dense matrices for 500 random u of sizes up to 0.99."""
    u = _directions(500, 6) * np.linspace(0.01, 0.99, 500)[:, None]
    g, outer = _metric(u), u[..., :, None] * u[..., None, :]
    defect = np.eye(6) - g @ (np.eye(6) + outer)
    square = np.sum(u * u, axis=-1)
    predicted = square[:, None, None] * outer

    def enlarges(size: float) -> tuple[float, float]:
        direction = _directions(1, 6)[0]
        exact = np.linalg.solve(_metric(size * direction), direction)
        return float(exact @ direction), 1 + size**2

    near, far = enlarges(0.1), enlarges(0.95)
    return [
        Figure("difference of the defect from |u|² uuᵀ", np.max(np.abs(defect - predicted)), high=1e-13),
        Figure("inverse over weak inverse along u, |u| = 0.1", near[0] / near[1], 1, 1.001),
        Figure("inverse over weak inverse along u, |u| = 0.95", far[0] / far[1], 5, 6),
    ]


@claim(
    "ManiQuant Definition 1, §3.2; RF-DNN Eq. 16",
    "A metric that deviates little from δ is nearly flat: the curvature is weak.",
    "holds with a correction",
    instead="LNE's sectional curvatures are −τ² at θ = 0: weak while τ is small. But they grow without "
    "bound towards |u| = 1, and the scalar curvature with n²; Ricci is negative definite everywhere. Small "
    "entries do not bound their derivatives.",
    where=("tests/oracles/test_curvature_oracles.py", "docs/metrics.md"),
)
def lne_curvature() -> list[Figure]:
    """Closed forms at 300 points against finite differences of the matrix at one, and towards the edge."""
    metric, tau, n = lnegeom.LNE(0.3), 0.3, 4
    theta = np.arctanh(_directions(300, n) * np.linspace(0.01, 0.99, 300)[:, None]) / tau
    oracle = lnegeom.FromCallable(lambda x: np.eye(n) - np.outer(*[np.tanh(tau * x)] * 2), dim=n)
    edge = np.arctanh(np.sqrt(0.999 / n) * np.ones(n)) / tau
    origin = float(metric.scalar_curvature(np.zeros(n)))
    return [
        Figure(
            "relative error of Ricci against finite differences",
            np.max(np.abs(metric.ricci(theta[150]) / oracle.ricci(theta[150]) - 1)),
            high=1e-6,
        ),
        Figure("sectional curvature at 0 over −τ²", -origin / (n * (n - 1)) / tau**2, 1 - 1e-12, 1 + 1e-12),
        Figure("largest eigenvalue of Ricci", np.max(np.linalg.eigvalsh(metric.ricci(theta))), high=-1e-6),
        Figure(
            "scalar curvature at |u|² = 0.999 over that at 0",
            float(metric.scalar_curvature(edge)) / origin,
            low=1000,
        ),
    ]


@claim(
    "ManiQuant §3.3, Eq. 16",
    "Layer by layer, τ can be taken outside the tanh, and so chosen that the metric is normalised: I − χ p "
    "pᵀ/|p|², p = tanh(vec W).",
    "holds with a correction",
    instead="τ tanh θ and tanh τθ differ by O(θ²), relatively. The normalised metric has the eigenvalues 1 "
    "and 1 − χ, whatever the weights, and the weak inverse is short by the factor 1 − χ² along p. It is "
    "another metric than LNE, and χ = 1/(output channels) is singular for a single output.",
    where=("tests/laws/test_metric_laws.py", "tests/adapter/test_metrics.py"),
)
def normalised_scaling() -> list[Figure]:
    """Slope of the error of τ tanh θ in θ; eigenvalues and inverses at random weights, χ = 1/16."""
    sizes, tau, chi = np.array([0.02, 0.04, 0.08]), 0.3, 1 / 16
    errors = np.log(np.abs(tau * np.tanh(sizes) / np.tanh(tau * sizes) - 1))
    weights = np.random.default_rng(3).normal(size=(200, 8))
    metric = lnegeom.NormalizedLNE(chi)
    lowest = np.linalg.eigvalsh(metric.matrix(weights))[:, 0]
    unit = np.tanh(weights) / np.linalg.norm(np.tanh(weights), axis=-1, keepdims=True)
    exact = np.sum(unit * metric.sharp(weights, unit), axis=-1)
    return [
        Figure("power of θ in the relative error", np.polyfit(np.log(sizes), errors, 1)[0], 1.95, 2.05),
        Figure("largest |least eigenvalue − (1 − χ)|", np.max(np.abs(lowest - (1 - chi))), high=1e-14),
        Figure(
            "weak over exact inverse along p, over 1 − χ²",
            np.max((1 + chi) / exact / (1 - chi**2)),
            1 - 1e-13,
            1 + 1e-13,
        ),
    ]


@claim(
    "ManiQuant §3.3",
    "Weights within [−1, 1] make the metric independent in each layer.",
    "does not hold",
    instead="The blocks −u_i u_jᵀ between layers are as large as those within, whatever the range. To leave "
    "them out is to take another metric, which asks |u_i|² < 1 of each layer in the place of |u|² < 1, and "
    "does not enlarge what points along u in all layers together.",
    where=("tests/laws/test_metric_laws.py", "docs/optimizers.md"),
)
def layer_blocks() -> list[Figure]:
    """Two layers of 40 weights, drawn from [−1, 1]; τ such that |u|² is 0.9, and 1.2."""
    theta = np.random.default_rng(4).uniform(-1, 1, size=80)
    same = np.kron(np.eye(2), np.ones((40, 40)))

    def blocks(square: float) -> tuple[Any, Any, Any]:
        """u, the whole metric, and its blocks within the layers."""
        tau = brentq(lambda t: np.sum(np.tanh(t * theta) ** 2) - square, 1e-3, 1)
        u = np.tanh(tau * theta)
        return u, _metric(u), same * _metric(u)

    u, whole, layers = blocks(0.9)
    reach = [float(np.linalg.norm(np.linalg.solve(g, u))) for g in (whole, layers)]
    between, within = (float(np.linalg.norm(x)) for x in (whole - layers, np.eye(80) - layers))
    _, late, late_layers = blocks(1.2)
    return [
        Figure("size of the blocks between layers over those within", between / within, 0.9, 1.1),
        Figure("natural gradient along u, whole over by layer", reach[0] / reach[1], low=4),
        Figure("least eigenvalue of the whole, |u|² = 1.2", np.linalg.eigvalsh(late)[0], high=-0.1),
        Figure("of the layers' blocks", np.linalg.eigvalsh(late_layers)[0], low=0.1),
    ]


@claim(
    "ManiQuant §3.3, Eq. 16",
    "Normalised layer by layer, the metric is still a weakly curved manifold's.",
    "does not hold",
    instead="As a field on the weights it is discontinuous at W = 0, and its scalar curvature there grows "
    "like −(n−1)(n−2) χ/((1−χ) |θ|²): small χ does not make it flat.",
    where=("tests/oracles/test_known_curvature.py", "docs/metrics.md"),
)
def normalised_curvature() -> list[Figure]:
    """The scalar curvature along a ray towards 0, n = 5, χ = 0.01."""
    metric, n, chi = lnegeom.NormalizedLNE(0.01), 5, 0.01
    sizes = np.array([1e-3, 1e-2, 3e-2])
    ray = _directions(1, n)
    curvature = metric.scalar_curvature(sizes[:, None] * ray)
    predicted = -(n - 1) * (n - 2) * chi / ((1 - chi) * sizes**2)
    slope = np.polyfit(np.log(sizes), np.log(-curvature), 1)[0]
    jump = np.abs(metric.matrix(1e-9 * ray[0]) - metric.matrix(np.zeros(n)))
    return [
        Figure("power of |θ| in the scalar curvature", slope, -2.01, -1.99),
        Figure("it over the formula, at |θ| = 0.001", curvature[0] / predicted[0], 0.999, 1.001),
        Figure("scalar curvature there", curvature[0], high=-1e5),
        Figure("largest jump of an entry of g at 0, over χ", np.max(jump) / chi, 0.2, 1),
    ]


@claim(
    "RF-DNN Definition 21",
    "The LNE metric is ε-close to the Euclidean one, ε small, by the choice of τ.",
    "holds with a correction",
    instead="(1 + ε)⁻¹δ ≤ g ≤ (1 + ε)δ, the sense of the stability theorems, with ε = |u|²/(1 − |u|²), or "
    "χ/(1 − χ) for the normalised metric: it is the length of u that counts, which at fixed τ grows with "
    "the layer. (The paper's own wording of the definition was not at hand.)",
    where=("tests/flow/test_discrete.py",),
)
def lne_closeness() -> list[Figure]:
    """Eigenvalues of dense metrics against the formula; and 400 and 900 weights of u_i = 1/32."""
    u = _directions(300, 6) * np.linspace(0.01, 0.95, 300)[:, None]
    dense, formula = flow.closeness(_metric(u)), flow.rank_one_closeness(u)
    few, many = (float(flow.rank_one_closeness(np.full(count, 1 / 32))) for count in (400, 900))
    return [
        Figure("relative difference of the formula", np.max(np.abs(dense / formula - 1)), high=1e-10),
        Figure("ε of 400 weights", few, 0.6, 0.7),
        Figure("ε of 900 weights as large", many, low=7),
    ]


LNE = Group(
    "The LNE metric",
    (
        lne_definite,
        diagonal_dominance,
        weak_inverse,
        lne_curvature,
        normalised_scaling,
        layer_blocks,
        normalised_curvature,
        lne_closeness,
    ),
)
