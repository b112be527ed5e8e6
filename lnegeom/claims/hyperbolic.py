"""Claims about the Hyperbolic divergence and the metric that it induces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import lnegeom
from lnegeom.claims._claim import Figure, Group, claim, largest

TAU = 0.8


def printed(p: Any, q: Any) -> Any:
    """ManiQuant Eq. 13 as printed."""
    ratio = np.log(np.cosh(TAU * p) / np.cosh(TAU * q)) / TAU**2
    return (ratio - (p - q) * np.tanh(TAU * q) / TAU).sum(axis=-1)


def _points(count: int, n: int) -> Any:
    return np.random.default_rng(0).normal(size=(count, n))


@claim(
    "ManiQuant Definition 3, Eq. 13, App. B.1; RF-DNN Eq. 15",
    "The Hyperbolic divergence is a divergence: not negative, zero only at equal points, and quadratic "
    "there, with a positive definite matrix.",
    "holds",
    instead="It is the Bregman divergence of a strictly convex potential.",
    where=("tests/laws/test_divergence_laws.py", "tests/oracles/test_divergence_oracles.py"),
)
def hyperbolic_divergence() -> list[Figure]:
    """Eq. 13 as printed on 2,000 random pairs in R³, and the library's divergence beside it."""
    p, q = _points(4000, 3).reshape(2, 2000, 3)
    value = printed(p, q)
    ours = lnegeom.Hyperbolic(TAU)(p, q)
    metric = lnegeom.Hyperbolic(TAU).metric().matrix(p)
    return [
        Figure("least value over |p − q|²", np.min(value / np.sum((p - q) ** 2, axis=-1)), low=1e-3),
        Figure("largest value at p = q", np.max(np.abs(printed(p, p))), high=1e-15),
        Figure("difference of the library's from the printed", np.max(np.abs(ours - value)), high=1e-13),
        Figure("least eigenvalue of its metric", np.min(np.linalg.eigvalsh(metric)), low=1e-3),
    ]


@claim(
    "ManiQuant Lemma 2, Eqs. 14 and 28; RF-DNN Eq. 16",
    "The metric of the Hyperbolic divergence is I − tanh(τθ) tanh(τθ)ᵀ.",
    "does not hold",
    instead="It is diag(sech²(τθ)): log-cosh is a sum over coordinates, so nothing stands off the diagonal, "
    "where both agree. The printed matrix is the metric of the graph of log-cosh in Minkowski space.",
    where=("tests/oracles/test_curvature_oracles.py", "docs/metrics.md"),
)
def hyperbolic_metric() -> list[Figure]:
    """Second derivatives of Eq. 13 by finite differences at a point of R³, against both matrices."""
    theta = np.array([0.5, -0.4, 0.7])
    measured = lnegeom.CallableDivergence(printed, 3).metric().matrix(theta)
    ours = lnegeom.Hyperbolic(TAU).metric().matrix(theta)
    lne = lnegeom.LNE(TAU).matrix(theta)
    # The graph of τψ in Minkowski space: −1 along the height.
    slope = TAU * lnegeom.LogCosh(TAU).gradient(theta)
    return [
        Figure("its largest difference from diag(sech²)", np.max(np.abs(measured - ours)), high=1e-7),
        Figure("from the printed matrix, on the diagonal", largest(np.diag(measured - lne)), high=1e-7),
        Figure("from the printed matrix, off the diagonal", largest(measured - lne), low=0.1),
        Figure(
            "of the printed matrix from the graph's in Minkowski space",
            largest(np.eye(3) - np.outer(slope, slope) - lne),
            high=1e-14,
        ),
    ]


@claim(
    "ManiQuant §3.2, Lemma 3 and Figure 1; RF-DNN Eq. 16",
    "The Hyperbolic divergence defines a curved manifold, whose curvature the gradient takes into account.",
    "does not hold",
    instead="Its own metric diag(sech²(τθ)) is flat: in the coordinates (2/τ) arctan tanh(τθ_i/2) it is the "
    "identity. Its natural gradient rescales each weight by cosh²(τθ_i).",
    where=("tests/oracles/test_curvature_oracles.py", "docs/metrics.md"),
)
def hyperbolic_flat() -> list[Figure]:
    """Riemann by finite differences of the divergence itself; the isometry by a pullback; LNE beside it."""
    theta = np.array([0.5, -0.4, 0.7])
    riemann = lnegeom.CallableDivergence(printed, 3).metric().riemann(theta)
    flat = lnegeom.Pullback(lambda x: 2 / TAU * np.arctan(np.tanh(TAU * x / 2)), 3)
    return [
        Figure("largest entry of its Riemann tensor", largest(riemann), high=1e-4),
        Figure("of LNE's, the printed metric, there", largest(lnegeom.LNE(TAU).riemann(theta)), low=0.1),
        Figure(
            "difference from the Euclidean metric in flat coordinates",
            largest(flat.matrix(theta) - lnegeom.Hyperbolic(TAU).metric().matrix(theta)),
            high=1e-9,
        ),
    ]


@claim(
    "ManiQuant Definition 2, §3.2.2",
    "The exponential map at a point takes every tangent vector to a point of the manifold.",
    "does not hold",
    instead="Neither manifold is complete. A geodesic of diag(sech²) is straight in coordinates that end at "
    "±π/2τ, and leaves in finite time; one of LNE reaches |tanh τθ| = 1. The library raises, with the time.",
    where=("tests/geodesics/test_closed_forms.py", "docs/geodesics.md"),
)
def exponential_map() -> list[Figure]:
    """From 0, speeds just below and just above π/2τ along an axis; under LNE, 0.7 and 1 along both axes."""
    metric, edge = lnegeom.Hyperbolic(TAU).metric(), np.array([math.pi / (2 * TAU), 0.0])
    lne, both = lnegeom.LNE(TAU), np.ones(2)
    reach = largest(lnegeom.exp(metric, np.zeros(2), 0.999 * edge))
    return [
        Figure("|exp| at 0.999 of the edge", reach, low=5),
        Figure("vectors at 1.001 of it that have a point", _ends(metric, 1.001 * edge), 0, 0),
        Figure("vectors of 0.7 along both axes that have one under LNE", _ends(lne, 0.7 * both), 1, 1),
        Figure("vectors of 1 along both axes that have one", _ends(lne, both), 0, 0),
    ]


def _ends(metric: lnegeom.Metric, velocity: Any) -> int:
    try:
        lnegeom.exp(metric, np.zeros(2), velocity)
    except lnegeom.GeometryError:
        return 0
    return 1


@claim(
    "ManiQuant §3.2.2, Eq. 12",
    "The potential log cosh comes from the manifold's exponential map, made symmetric.",
    "does not hold",
    instead="Its cosh is made of the exponential function, which is another thing: an exponential map takes "
    "0 to the point it is at. From 0 that of the potential's own metric is (2/τ) artanh tan(τv/2), entry by "
    "entry, which is odd, so that made symmetric it vanishes. log cosh needs no such origin: it is the "
    "log-partition function of spins (`hyperbolic-kl`).",
    where=("tests/geodesics/test_closed_forms.py", "docs/geodesics.md"),
)
def potential_origin() -> list[Figure]:
    """Geodesics of the metric of Eq. 13 from 0, integrated from finite differences of its matrix."""
    metric = lnegeom.FromCallable(lambda x: np.diag(1 / np.cosh(TAU * x) ** 2), dim=2)
    origin, v = np.zeros(2), np.array([0.9, -0.5])
    there, back = (lnegeom.exp(metric, origin, sign * v) for sign in (1, -1))
    closed = 2 / TAU * np.arctanh(np.tan(TAU * v / 2))
    return [
        Figure("exp of ±v, half the sum", largest(there + back) / 2, high=1e-6),
        Figure("difference from (2/τ) artanh tan(τv/2)", largest(there - closed), high=1e-5),
    ]


@claim(
    "ManiQuant §1, second contribution, and Figure 1",
    "The Hyperbolic divergence is new, and its geometry is another than that of the Kullback–Leibler "
    "divergence.",
    "does not hold",
    instead="It is a Kullback–Leibler divergence: τ² D_H[θ' : θ] = KL(p_τθ ‖ p_τθ') between independent ±1 "
    "spins of natural parameter τθ. Its metric is their Fisher information: log-cosh geometry is that of "
    "random binary weights. (It is not the divergence between outputs of the network, which the paper sets "
    "beside it.)",
    where=("tests/oracles/test_divergence_oracles.py", "tests/adapter/test_equivalences.py"),
)
def hyperbolic_kl() -> list[Figure]:
    """KL over all 2³ states of three spins; their Fisher information as the covariance of the states."""
    new, old = _points(2, 3)
    states = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)

    def probabilities(theta: Any) -> Any:
        weight = np.exp(states @ (TAU * theta))
        return weight / weight.sum()

    p, q = probabilities(old), probabilities(new)
    kl = p @ np.log(p / q)
    centred = states - p @ states
    fisher = (centred * p[:, None]).T @ centred
    return [
        Figure("relative difference of τ² D_H and KL", TAU**2 * printed(new, old) / kl - 1, -1e-12, 1e-12),
        Figure(
            "difference of the metric and the spins' Fisher information",
            largest(fisher - lnegeom.Hyperbolic(TAU).metric().matrix(old)),
            high=1e-14,
        ),
    ]


HYPERBOLIC = Group(
    "The Hyperbolic divergence",
    (
        hyperbolic_divergence,
        hyperbolic_metric,
        hyperbolic_flat,
        exponential_map,
        potential_origin,
        hyperbolic_kl,
    ),
)
