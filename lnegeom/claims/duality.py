"""Claims about duality, natural gradients and the Fisher information."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

import lnegeom
from lnegeom.claims._claim import Figure, Group, claim, largest

FAMILY = lnegeom.Normal()


def _point() -> Any:
    """Mean 0.4, standard deviation 0.8."""
    return FAMILY.natural(0.4, 0.8)


@claim(
    "RF-DNN Eqs. 14 and 15; Amari 2016",
    "The potential gives dual coordinates η = ∇ψ(θ) by Legendre's transformation, and the metric in η is "
    "the inverse of that in θ.",
    "holds",
    instead="The conjugate of log-cosh is the negative entropy of spins of mean τη, on |τη| < 1.",
    where=("tests/laws/test_potential_laws.py", "tests/dual/test_dually_flat.py"),
)
def legendre_duality() -> list[Figure]:
    """The supremum sup_θ [ηθ − ψ(θ)] searched numerically, against the closed conjugate; and Hessians."""
    psi = lnegeom.LogCosh(0.8)
    eta = np.array([[-1.1], [-0.2], [0.0], [0.9]])
    found = [
        -minimize_scalar(lambda t, e=e: float(psi([t]) - e * t), bounds=(-9, 9), options={"xatol": 1e-9}).fun
        for e in eta[:, 0]
    ]
    theta = np.random.default_rng(0).normal(size=(50, 3))
    both = psi.conjugate.hessian(psi.gradient(theta)) @ psi.hessian(theta)
    return [
        Figure("error of the conjugate", largest(psi.conjugate(eta) - found), high=1e-9),
        Figure("difference of the Hessians' product from 1", largest(both - np.eye(3)), high=1e-12),
    ]


@claim(
    "RF-DNN, on Eqs. 4 and 5; ManiQuant §3.2.1",
    "Mirror descent is the natural gradient of the Bregman divergence's metric.",
    "holds with a correction",
    instead="Exactly so in the dual coordinates. In the weights themselves only up to O(h²) in the step h: "
    "at finite steps they are two algorithms.",
    where=("tests/adapter/test_equivalences.py",),
)
def mirror_descent() -> list[Figure]:
    """One step on a loss of three weights in both coordinates; the power of h by three steps."""
    psi, rng = lnegeom.LogCosh(1.3), np.random.default_rng(1)
    theta, linear = rng.normal(size=(2, 3))

    def loss(x: Any) -> Any:
        return np.sin(x @ linear) + np.sum(x**4, axis=-1) / 4

    gradient = np.cos(theta @ linear) * linear + theta**3
    eta, dual = psi.gradient(theta), lnegeom.Hessian(psi.conjugate)
    step = 1e-5 * np.eye(3)
    ahead, behind = (loss(psi.conjugate.gradient(eta + sign * step)) for sign in (1, -1))
    natural = dual.sharp(eta, (ahead - behind) / 2e-5)  # ∂L/∂η by differences
    sizes = np.array([0.02, 0.01, 0.005])
    direction = lnegeom.Hessian(psi).sharp(theta, gradient)
    errors = [
        np.linalg.norm(psi.conjugate.gradient(eta - h * gradient) - (theta - h * direction)) for h in sizes
    ]
    return [
        Figure("difference of the steps in dual coordinates", largest(natural - gradient), high=1e-7),
        Figure(
            "power of h in that of the weights",
            np.polyfit(np.log(sizes), np.log(errors), 1)[0],
            1.9,
            2.1,
        ),
        Figure(
            "relative difference at h = 0.02", float(errors[0] / np.linalg.norm(0.02 * direction)), low=0.001
        ),
    ]


@claim(
    "ManiQuant Eq. 5, App. B.3",
    "2 KL[p(θ) : p(θ + dθ)] is, to second order, −dθᵀ F dθ, F the Fisher information, which is minus the "
    "expected Hessian of the log-likelihood.",
    "holds with a correction",
    instead="The minus sign of Eq. 5 is a slip: it is +dθᵀ F dθ, as App. B.3 derives.",
    where=("tests/oracles/test_divergence_oracles.py", "tests/oracles/test_fisher.py"),
)
def kl_is_fisher() -> list[Figure]:
    """The normal family by quadrature: KL at |dθ| = 10⁻³, and both expectations over x."""
    theta, step = _point(), np.array([0.6e-3, -0.8e-3])
    x, h = np.linspace(-9, 9, 4001), 1e-4

    def log_density(at: Any) -> Any:
        quadratic = at[0] * x + at[1] * x**2
        return quadratic - np.log(np.trapezoid(np.exp(quadratic), x))

    density = np.exp(log_density(theta))
    kl = np.trapezoid(density * (log_density(theta) - log_density(theta + step)), x)
    steps = h * np.eye(2)
    scores = np.stack([(log_density(theta + e) - log_density(theta - e)) / (2 * h) for e in steps])
    fisher = np.trapezoid(density * scores[:, None] * scores[None], x)
    second = [
        [
            log_density(theta + a + b)
            - log_density(theta + a - b)
            - log_density(theta - a + b)
            + log_density(theta - a - b)
            for a in steps
        ]
        for b in steps
    ]
    hessian = np.trapezoid(density * np.array(second) / (4 * h * h), x)
    library = lnegeom.Fisher(FAMILY).matrix(theta)
    return [
        Figure("2 KL over +dθᵀ F dθ", 2 * kl / (step @ fisher @ step), 0.995, 1.005),
        Figure("relative difference of F and −E[Hessian]", largest(hessian / fisher + 1), high=1e-4),
        Figure("of F and the library's", largest(library / fisher - 1), high=1e-6),
    ]


@claim(
    "ManiQuant Eq. 6, App. C.1 and C.2",
    "Under a constraint on the divergence, the loss falls fastest along −(2/λ) F⁻¹∇L, λ the constraint's "
    "multiplier.",
    "holds with a correction",
    instead="The direction is right, for a small constraint. The factor is 1/λ, as ½ dθᵀF dθ has the "
    "derivative F dθ; the learning rate absorbs it.",
    where=("tests/laws/test_metric_laws.py",),
)
def steepest_descent() -> list[Figure]:
    """All directions around a point of the normal family, each to where KL = c; the best against −F⁻¹∇L."""
    gradient, angles = np.array([0.7, -0.4]), np.linspace(0, 2 * np.pi, 20_001)
    theta, divergence = _point(), lnegeom.KL(FAMILY)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def best(c: float) -> Any:
        low, high = np.zeros(len(angles)), np.full(len(angles), 0.05)
        for _ in range(40):
            middle = (low + high) / 2
            inside = divergence(theta, theta + middle[:, None] * directions) < c
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        steps = low[:, None] * directions
        return steps[np.argmin(steps @ gradient)]

    c = 1e-7
    step, natural = best(c), lnegeom.Fisher(FAMILY).sharp(theta, gradient)
    multiplier = (best(0.9 * c) - best(1.1 * c)) @ gradient / (0.2 * c)
    cosine = -step @ natural / np.linalg.norm(step) / np.linalg.norm(natural)
    return [
        Figure("cosine of the best direction with −F⁻¹∇L", cosine, low=0.9999),
        Figure(
            "|dθ| λ over |F⁻¹∇L|", np.linalg.norm(step) * multiplier / np.linalg.norm(natural), 0.98, 1.02
        ),
    ]


@claim(
    "ManiQuant §3.1",
    "The natural gradient is intrinsic: it does not depend on the parameters that are used.",
    "holds with a correction",
    instead="The vector does not; a step of finite length along it does, by O(h²).",
    where=("tests/operators/test_first_order.py",),
)
def natural_gradient_invariance() -> list[Figure]:
    """A loss on normal distributions in natural parameters and in (mean, log std)."""

    def natural(phi: Any) -> Any:
        return FAMILY.natural(phi[0], np.exp(phi[1]))

    phi, h = np.array([0.4, np.log(0.8)]), 1e-5
    jacobian = np.stack(
        [(natural(phi + e) - natural(phi - e)) / (2 * h) for e in h * np.eye(2)], axis=-1
    )  # ∂θ/∂φ
    gradient = np.array([0.7, -0.4])
    theta, fisher = _point(), lnegeom.Fisher(FAMILY)
    in_theta = fisher.sharp(theta, gradient)
    in_phi = np.linalg.solve(
        jacobian.T @ fisher.matrix(theta) @ jacobian, jacobian.T @ gradient
    )  # F and ∇L of the other parameters
    sizes = np.array([0.04, 0.02, 0.01])
    apart = [np.linalg.norm(natural(phi - s * in_phi) - (theta - s * in_theta)) for s in sizes]
    slope = np.polyfit(np.log(sizes), np.log(apart), 1)[0]
    return [
        Figure("difference of the vectors", largest(jacobian @ in_phi - in_theta), high=1e-7),
        Figure("power of h in the distance of the steps' ends", slope, 1.9, 2.2),
    ]


@claim(
    "ManiQuant Lemma 1, Eqs. 8 and 9",
    "The Fisher information of a quantized network is E[vec(∂L/∂Ŵ) vec(∂L/∂Ŵ)ᵀ], and the natural gradient "
    "its inverse times the gradient.",
    "holds with a correction",
    instead="Only if the expectation is over labels that the model itself draws, sample by sample: with the "
    "data's labels it is another matrix. And its estimate is singular unless samples times classes less one "
    "reach the number of weights, which in training they do not: it needs damping.",
    where=("tests/adapter/test_fisher.py", "tests/adapter/test_equivalences.py"),
)
def fisher_embedding() -> list[Figure]:
    """A softmax layer of ±1 weights on 7 samples: second derivatives of KL, against both expectations."""
    rng = np.random.default_rng(2)
    inputs, weights = rng.normal(size=(7, 2)), np.sign(rng.normal(size=(3, 2)))
    labels = rng.integers(3, size=7)

    def log_p(w: Any) -> Any:
        scores = inputs @ w.reshape(3, 2).T
        return scores - np.log(np.sum(np.exp(scores), axis=-1, keepdims=True))

    def kl(new: Any, old: Any) -> Any:
        return np.mean(np.sum(np.exp(log_p(old)) * (log_p(old) - log_p(new)), axis=-1))

    flat = weights.reshape(-1)
    # Softmax does not see what is common to all classes: KL is degenerate, and made a divergence by a ridge.
    ridge = lnegeom.CallableDivergence(lambda p, q: kl(p, q) + np.sum((p - q) ** 2) / 2, 6)
    fisher = ridge.metric().matrix(flat) - np.eye(6)
    p = np.exp(log_p(flat))
    scores = (p[:, None, :] - np.eye(3))[..., None] * inputs[
        :, None, None, :
    ]  # (sample, label, class, input)
    rows = scores.reshape(7, 3, 6)
    own = np.einsum("il,ila,ilb->ab", p, rows, rows) / 7
    data = rows[np.arange(7), labels]
    return [
        Figure("difference of E over the model's labels from F", largest(own - fisher), high=1e-6),
        Figure("of E over the data's labels, relative", _relative(data.T @ data / 7, fisher), low=0.2),
        Figure("rank of the estimate from one sample, of 6", _rank(p[0], rows[0]), high=2),
    ]


def _rank(p: Any, rows: Any) -> int:
    return int(np.linalg.matrix_rank(rows.T @ (p[:, None] * rows), tol=1e-10))


def _relative(a: Any, b: Any) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


DUALITY = Group(
    "Duality, natural gradients and Fisher information",
    (
        legendre_duality,
        mirror_descent,
        kl_is_fisher,
        steepest_descent,
        natural_gradient_invariance,
        fisher_embedding,
    ),
)
