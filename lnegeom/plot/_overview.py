"""One picture of any solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from lnegeom._array import to_numpy
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.solution import Solution
from lnegeom.flow.warped import WarpedGrid
from lnegeom.plot._curves import plot_curvature, plot_lengths, plot_profiles
from lnegeom.plot._decay import plot_decay
from lnegeom.plot._fields import plot_component
from lnegeom.plot._style import BLUE, pyplot, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_solution(solution: Solution, component: tuple[int, int] = (0, 0)) -> Figure:
    """Draw a solution as its kind asks for: `Solution.plot`.

    On tori and boxes, the decay and a component of the metric at the first and the last time; of homogeneous
    metrics, the lengths of the frame and the scalar curvature; of rotationally symmetric ones, the outline at
    successive times and the scalar curvature.

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
    """The decay where the perturbation decays, its norm otherwise (as under moving boundary values)."""
    keeps_mean = cast("SpectralDomain", solution.grid).keeps_mean
    norm = to_numpy(solution.perturbation_norm("l2", mean_free=keeps_mean))
    if 0 < norm[-1] < 0.5 * norm[0]:
        plot_decay(solution, ax)
        return
    ax.plot(to_numpy(solution.times), norm, color=BLUE, linewidth=2)
    ax.set(xlabel="time $t$", ylabel=r"$\|h\|_{L^2}$", ylim=(0, 1.1 * float(np.max(norm)) or 1.0))
    tidy(ax)
