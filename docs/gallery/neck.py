"""A dumbbell's neck pinches: curvature 1/(T − t), while the lobes stand still."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lnegeom import flow, plot


def draw(folder: Path) -> dict[str, float]:
    """Write neck.png; return the singular time, the growth of R, and the last R (T − t), which tends to 1."""
    grid = flow.WarpedGrid(129, dim=3, focus=0.9)
    solution = flow.rotational(*flow.dumbbell(grid, neck=0.4), grid, t_end=1.0)
    largest, left = solution.invariants["scalar_max"], solution.singular_time - solution.times

    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    axes = figure.subplot_mosaic("AC;BC", width_ratios=[1.5, 1])
    outline, zoom, blow_up = (axes[name] for name in "ABC")
    _outlines(outline, solution, [0, -1])
    outline.set(title="The 3-sphere's profile, first and last", xlabel="", xlim=(-4, 4))
    _outlines(zoom, solution, np.linspace(0, len(left) - 1, 9).astype(int))
    zoom.set(xlim=(-1.6, 1.6), ylim=(-0.45, 0.45), title="The neck, closer; later is darker")
    plot.plot_curvature(solution, blow_up)
    blow_up.set_title(f"Singular at T = {solution.singular_time:.5f}")
    figure.savefig(folder / "neck.png", dpi=110)
    product = (largest * left)[left > 10 * left[-1]]
    return {
        "singular time": solution.singular_time,
        "growth of R": float(largest[-1] / largest[0]),
        "R (T - t)": float(product[-1]),
    }


def _outlines(ax, solution: flow.Solution, indices) -> None:
    plot.plot_profiles(solution, ax, indices=indices)
    ax.get_legend().remove()


if __name__ == "__main__":
    print(draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")))
