"""Claims about the decay of a metric's perturbation under Ricci flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom import flow
from lnegeom.claims._claim import Figure, Group, claim
from lnegeom.flow import TorusGrid


@claim(
    "RF-DNN abstract",
    "Under the Ricci flow the L² norm of the metric's perturbation decays exponentially.",
    "holds with a correction",
    instead="On a flat torus of side L, under the Ricci–DeTurck flow, the mean-free part does: below "
    "exp(−(1 − 2ε) λ₁ t) for sizes ε ≤ 0.3, and late at λ₁ = (2π/L)² of the limit. The mean does not decay.",
    where=("tests/flow/test_claims.py", "tests/flow/test_decay.py", "docs/flows.md"),
)
def decay_torus() -> list[Figure]:
    """Random perturbations on a 16 × 16 torus: the late rate at ε = 0.01, the bound at ε = 0.3."""
    grid = TorusGrid((16, 16))
    late = flow.decay_rate(
        flow.ricci_deturck(flow.perturbed_flat(grid, 0.01, seed=0), grid, 12.0, invariants=())
    )
    strong = flow.ricci_deturck(flow.perturbed_flat(grid, 0.3, seed=0), grid, 2.0, samples=9, invariants=())
    norm = strong.perturbation_norm()
    bound = norm[0] * np.exp(-(1 - 2 * 0.3) * strong.times)
    return [
        Figure("late rate over (2π/L)²", late.rate / late.theory, 0.999, 1.001),
        Figure("largest ratio to the bound", np.max(norm[1:] / bound[1:]), high=1),
    ]


@claim(
    "RF-DNN abstract",
    "The metric converges to the unperturbed one: ‖g(t) − δ‖ goes to 0.",
    "does not hold",
    instead="The limit is a flat metric, the mean of g(0) up to O(ε²), and in general not δ: a constant "
    "perturbation is a rest point, ε cos x dx² ends ε²/8 short of δ, a transverse-traceless wave ±ε²/4 from "
    "it.",
    where=("tests/flow/test_claims.py", "docs/flows.md"),
)
def decay_to_delta() -> list[Figure]:
    """Three perturbations of size 0.1, run until nothing but a constant is left."""
    epsilon = 0.1
    line, thin, plane = TorusGrid((16,)), TorusGrid((12, 4, 4)), TorusGrid((8, 8))

    def limit(metric: Any, grid: TorusGrid) -> Any:
        end = flow.ricci_deturck(metric, grid, 12.0, samples=2, invariants=()).metrics[-1]
        return np.mean(end, axis=tuple(range(grid.dim))) - np.eye(grid.dim)

    gauge = limit(flow.plane_wave(line, (1,), [[epsilon]]), line)
    wave = flow.plane_wave(thin, (1, 0, 0), epsilon * np.diag([0.0, 1.0, -1.0]))
    constant = np.diag([epsilon, 0.0])
    still = limit(np.broadcast_to(np.eye(2) + constant, (8, 8, 2, 2)), plane)
    return [
        Figure("change of a constant perturbation", np.max(np.abs(still - constant)), high=1e-12),
        Figure("shift by ε cos x dx², over −ε²/8", gauge[0, 0] / (-(epsilon**2) / 8), 0.95, 1.05),
        Figure(
            "shift by a transverse-traceless wave, over ε²/4",
            np.max(np.abs(limit(wave, thin))) / (epsilon**2 / 4),
            0.95,
            1.05,
        ),
    ]


@claim(
    "RF-DNN abstract, by a theorem for closed manifolds",
    "On the LNE manifold, which is not compact, the decay is exponential too, not by a power of time.",
    "does not hold",
    instead="On R^n it is a power, as for the heat equation: ‖h‖₂ ~ t^(−n/4) if ∫h ≠ 0, t^(−n/4−1/2) if it "
    "vanishes; scaling g(x, t) → g(λx, λ²t) rules an exponential out. It is exponential, and to δ, in a box "
    "on whose faces g = δ is held, at the rate n(π/L)².",
    where=("tests/flow/test_claims.py", "tests/flow/test_box.py", "docs/gallery/growing_tori.py"),
)
def decay_noncompact() -> list[Figure]:
    """A bump of width 1.5 on tori of sides 12 and 384 for times ≪ L², n = 1; its slope; and a box."""
    sigma = 1.5

    def power(side: float, slope: bool = False) -> float:
        grid = TorusGrid((int(side * 4 / 3),), (side,))
        x = grid.coordinates()[..., 0] - side / 2
        bump = 0.05 * np.exp(-(x**2) / (2 * sigma**2)) * (x / sigma if slope else 1)
        start = 1 + bump[:, None, None]
        solution = flow.ricci_deturck(start, grid, 12.0, samples=25, invariants=())
        # t₀ = σ²/2 is the age at which a point source has this width.
        t, norm = solution.times[8:] + sigma**2 / 2, solution.perturbation_norm()[8:]
        return -float(np.polyfit(np.log(t), np.log(norm), 1)[0])

    box = flow.BoxGrid((9, 9))
    fit = flow.decay_rate(flow.box(flow.perturbed_flat(box, 0.05, seed=0), box, 4.0, samples=41, rtol=1e-5))
    return [
        Figure("power of t, side 384, ∫h ≠ 0", power(384.0), 0.24, 0.27),
        Figure("power of t, side 384, ∫h = 0", power(384.0, slope=True), 0.73, 0.78),
        Figure("power of t, side 12: exponential", power(12.0), low=0.4),
        Figure("rate in a box over 2(π/L)²", fit.rate / fit.theory, 0.99, 1.01),
    ]


@claim(
    "RF-DNN abstract",
    "It is the Ricci flow that dampens perturbations.",
    "holds with a correction",
    instead="Ricci flow dampens curvature. A perturbation that is a change of coordinates, φ*δ, it does not "
    "move at all; the DeTurck flow undoes it. What decays under plain Ricci flow shows in invariants.",
    where=("tests/flow/test_claims.py", "docs/flows.md"),
)
def decay_gauge() -> list[Figure]:
    """The pullback of δ by x ↦ x + 0.1 sin(x + y) under both; a random metric under plain Ricci flow."""
    grid = TorusGrid((24, 24))
    x = grid.coordinates()
    jacobian = np.broadcast_to(np.eye(2), (24, 24, 2, 2)).copy()
    jacobian[..., 0, :] += 0.1 * np.cos(x[..., 0] + x[..., 1])[..., None]
    gauge = np.swapaxes(jacobian, -1, -2) @ jacobian

    def kept(solve: Any) -> float:
        norm = solve(gauge, grid, 2.0, samples=2, invariants=()).perturbation_norm()
        return float(norm[-1] / norm[0])

    coarse = TorusGrid((16, 16))
    start = flow.perturbed_flat(coarse, 0.05, seed=0, modes=1)
    solution = flow.ricci(start, coarse, 6.0, samples=2, invariants="max_riemann")
    curvature, norm = solution.invariants["max_riemann"], solution.perturbation_norm()
    return [
        Figure("what Ricci flow leaves of φ*δ − δ by t = 2", kept(flow.ricci), 1 - 1e-5, 1 + 1e-5),
        Figure("what Ricci–DeTurck flow leaves", kept(flow.ricci_deturck), high=0.1),
        Figure("what Ricci flow leaves of sup |Rm| by t = 6", curvature[-1] / curvature[0], high=0.005),
        Figure("of the perturbation", norm[-1] / norm[0], low=0.2),
    ]


@claim(
    "RF-DNN abstract",
    "LNE metrics are dynamically stable: a perturbation that is small in L² stays so.",
    "holds with a correction",
    instead="For sup |h| ≤ 0.3 ‖g − δ‖₂ falls from the start. Nearer to a degenerate metric it can grow: "
    "0.1 + 0.05 cos x on a circle ends farther from 1 than it began.",
    where=("tests/flow/test_claims.py", "tests/flow/test_box.py"),
)
def decay_stability() -> list[Figure]:
    """Four random perturbations of 0.3 on a 16 × 16 torus; and the circle, until it is constant."""
    grid, circle = TorusGrid((16, 16)), TorusGrid((32,))

    def norms(metric: Any, on: TorusGrid, t: float) -> Any:
        return flow.ricci_deturck(metric, on, t, samples=9, invariants=()).perturbation_norm(mean_free=False)

    small = [norms(flow.perturbed_flat(grid, 0.3, seed=s, modes=2), grid, 2.0) for s in range(4)]
    large = norms(0.1 + 0.05 * np.cos(circle.coordinates())[..., None], circle, 2.0)
    return [
        Figure(
            "largest ratio of a sample to the last, size 0.3",
            max(np.max(n[1:] / n[:-1]) for n in small),
            high=1,
        ),
        Figure("‖g − δ‖ at the end over its start on the circle", large[-1] / large[0], low=1.0005),
    ]


DECAY = Group(
    "Decay under Ricci flow",
    (decay_torus, decay_to_delta, decay_noncompact, decay_gauge, decay_stability),
)
