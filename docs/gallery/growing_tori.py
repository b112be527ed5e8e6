"""On R^n decay is not exponential: a bump on growing tori follows a power law until it feels the torus."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lnegeom import flow

SIDES = (8, 16, 32, 64)
COLOURS = ("#E69F00", "#D55E00", "#CC79A7", "#0072B2")
WIDTH = 1.0
"""Standard deviation of the bump: a heat kernel of age ``t₀ = WIDTH²/2``."""


def draw(folder: Path, sides: tuple[int, ...] = SIDES) -> dict[str, float]:
    """Write growing-tori.png; return the power fitted on each torus."""
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    power, exponential = figure.subplots(1, 2)
    powers = {}
    for side, colour in zip(sides, COLOURS, strict=False):
        solution = _bump(side)
        norm = solution.perturbation_norm()
        age = solution.times + WIDTH**2 / 2
        window = (age > 1) & (age < 6)  # of all tori: the larger, the better it precedes L²
        if side > sides[0]:
            powers[f"side {side}"] = float(-np.polyfit(np.log(age[window]), np.log(norm[window]), 1)[0])
        power.loglog(age, norm, color=colour, linewidth=2, label=f"side {side}")
        exponential.semilogy(solution.times, norm, color=colour, linewidth=2, label=f"side {side}")
    line = np.array([0.5, 100.0])
    power.loglog(
        line, 1.25 * norm[0] * (line / 0.5) ** -0.5, "--", color="#5F5F5F", label="power $-n/4 = -1/2$"
    )
    power.set(
        xlabel="$t + t_0$", ylabel=r"$\|h - \overline{h}\|_{L^2}$", ylim=(norm[0] / 100, 2 * norm[0]),
        title="Logarithmic axes: the larger, the longer a power law",
    )  # fmt: skip
    exponential.set(
        xlabel="$t$", ylim=(norm[0] / 100, 2 * norm[0]), xlim=(0, 60),
        title="Logarithmic norm: the rate $(2π/L)^2$ tends to 0",
    )  # fmt: skip
    for ax in (power, exponential):
        ax.grid(alpha=0.2)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    figure.savefig(folder / "growing-tori.png", dpi=110)
    return powers


def _bump(side: int) -> flow.Solution:
    """The flow of δ and a Gaussian in every component, whose integrals do not vanish."""
    grid = flow.TorusGrid((2 * side, 2 * side), (side, side))
    distance = np.sum((grid.coordinates() - side / 2) ** 2, axis=-1)
    bump = np.exp(-distance / (2 * WIDTH**2))[..., None, None] * np.array([[1.0, 0.5], [0.5, -0.3]])
    return flow.ricci_deturck(
        np.eye(2) + 0.05 * bump, grid, t_end=0.05 * side**2, samples=321, invariants=["volume"]
    )


if __name__ == "__main__":
    print(draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")))
