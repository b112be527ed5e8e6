"""One picture of any solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.decay import decay_rate
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.solution import Solution
from lnegeom.flow.warped import WarpedGrid
from lnegeom.plot._curves import plot_curvature, plot_lengths, plot_profiles
from lnegeom.plot._decay import norm_name, plot_decay
from lnegeom.plot._fields import plot_component
from lnegeom.plot._style import BLUE, pyplot, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_solution(solution: Solution, component: tuple[int, int] = (0, 0)) -> Figure:
    """Draw a solution as its kind asks for: `Solution.plot`.

    On tori and boxes, the decay (of the curvature, where the perturbation itself stays) and a component of
    the metric at the first and the last time; of homogeneous metrics, the lengths of the frame and the scalar
    curvature; of rotationally symmetric ones, the outline at successive times and the scalar curvature.

    Parameters
    ----------
    solution : Solution
    component : tuple of int, default: (0, 0)
        Indices i, j of the component ``g_ij`` that is shown of a metric on a grid.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from lnegeom.flow import LieGroup, homogeneous
    >>> solution = homogeneous([0.2, 1.0, 1.0], LieGroup.named("SU(2)"), t_end=0.1)
    >>> len(solution.plot().axes)
    2
    """
    if isinstance(solution.grid, SpectralDomain):
        figure, axes = pyplot().subplots(
            1, 3, figsize=(11, 3.3), layout="constrained", gridspec_kw={"width_ratios": [1.25, 1, 1]}
        )
        _norm(solution, axes[0])
        plot_component(solution, component, axes=list(axes[1:]))
        return cast("Figure", figure)
    figure, axes = pyplot().subplots(
        1, 2, figsize=(11, 3.4), layout="constrained", gridspec_kw={"width_ratios": [1.6, 1]}
    )
    if isinstance(solution.grid, WarpedGrid):
        plot_profiles(solution, axes[0])
    else:
        plot_lengths(solution, axes[0])
    plot_curvature(solution, axes[1])
    return cast("Figure", figure)


def _norm(solution: Solution, ax: Axes) -> None:
    """The decay of the perturbation, or else of the curvature; the perturbation's norm if neither decays."""
    domain = cast("SpectralDomain", solution.grid)
    norm = to_numpy(solution.perturbation_norm("l2", mean_free=domain.keeps_mean))
    if 0 < norm[-1] < 0.5 * norm[0]:
        plot_decay(solution, ax)
        return
    if _curvature_decays(solution):
        plot_decay(solution, ax, of="max_riemann")
        return
    ax.plot(to_numpy(solution.times), norm, color=BLUE, linewidth=2)
    ax.set(
        xlabel="time $t$",
        ylabel=norm_name(domain),
        title="Norm of the perturbation",
        ylim=(0, 1.1 * float(np.max(norm)) or 1.0),
    )
    tidy(ax)


def _curvature_decays(solution: Solution) -> bool:
    try:
        return decay_rate(solution, of="max_riemann").rate > 0
    except InputError:  # not recorded, or too short to tell
        return False
