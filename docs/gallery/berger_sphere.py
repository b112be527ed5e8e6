"""Berger spheres, 3-spheres with stretched or squashed Hopf fibres, become round as they shrink."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from lnegeom import flow

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#5F5F5F"
SQUASHED = [0.05, 0.15, 0.4, 1.0, 2.0, 4.0]


def draw(folder: Path) -> dict[str, float]:
    """Write berger-sphere.png; return the last ratio of fibre to base of each start, by its name."""
    group = flow.LieGroup.named("SU(2)")
    figure = Figure(figsize=(11.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _one(left, flow.homogeneous([0.15, 1.0, 1.0], group, t_end=1.0, samples=1001))
    ends = {}
    for start in SQUASHED:
        solution = flow.homogeneous([start, 1.0, 1.0], group, t_end=1.0, samples=1001)
        ratio = np.sqrt(solution.metrics[:, 0, 0] / solution.metrics[:, 1, 1])
        colour = GREY if start == 1.0 else BLUE if start < 1 else VERMILION
        right.plot(solution.times / solution.singular_time, ratio, color=colour, linewidth=1.8)
        ends[f"fibre² = {start:g} base²"] = float(ratio[-1])
    right.set(
        xlabel="share of the life time $t/T$",
        ylabel="fibre / base",
        title="Every Berger sphere becomes round",
        xlim=(0, 1),
        yscale="log",
    )
    right.set_yticks([0.25, 0.5, 1, 2], ["¼", "½", "1", "2"])
    right.minorticks_off()
    for ax in (left, right):
        ax.grid(alpha=0.2)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "berger-sphere.png", dpi=110)
    return ends


def _one(ax, solution: flow.Solution) -> None:
    """The lengths of fibre and base, and ellipses of these half axes at four times."""
    end = solution.singular_time
    fibre, base = (np.sqrt(solution.metrics[:, k, k]) for k in (0, 1))
    ax.plot(solution.times, fibre, color=BLUE, linewidth=2.2, label="fibre, $\\sqrt{g_{11}}$")
    ax.plot(
        solution.times, base, color=VERMILION, linewidth=2.2, label="base, $\\sqrt{g_{22}} = \\sqrt{g_{33}}$"
    )
    ax.axvline(end, color=GREY, linestyle=":", linewidth=1)
    ax.set(
        xlabel="time $t$",
        ylabel="length",
        ylim=(0, 1.75),
        xlim=(-0.1 * end, 1.02 * end),
        title=f"Fibre and base shrink to a point at T = {end:.4f}",
    )
    for share in (0.0, 0.4, 0.75, 0.95):
        k = int(np.argmin(np.abs(solution.times - share * end)))
        size = 0.09 * end  # of a length 1, across; 0.2 of a length 1, up
        ax.add_patch(
            Ellipse(
                (solution.times[k], 1.45), 2 * size * base[k], 2 * 0.22 * fibre[k],
                facecolor=BLUE, alpha=0.3, edgecolor=BLUE,
            )
        )  # fmt: skip
    ax.legend(frameon=False, loc="lower left")


if __name__ == "__main__":
    print(draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")))
