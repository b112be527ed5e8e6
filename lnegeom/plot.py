"""Figures of flows, with matplotlib.

matplotlib is imported when a figure is drawn, so that `lnegeom` works without it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.decay import DecayRate, decay_rate
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.grid import TorusGrid
from lnegeom.flow.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_component", "plot_decay"]

# Okabe and Ito's palette, told apart under every common colour blindness.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#5F5F5F"


def plot_decay(solution: Solution, ax: Axes | None = None) -> Axes:
    """Plot the mean-free L² norm of the perturbation against time, on a logarithmic axis.

    A dashed line of slope −λ₁, the linear theory, goes through the fit's window (shaded), or through the last
    sample where the run is too short to fit a rate. The legend gives the fitted rate.

    Parameters
    ----------
    solution : Solution
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    InputError
        If the perturbation is zero throughout.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> from lnegeom.plot import plot_decay
    >>> grid = TorusGrid((16, 16))
    >>> ax = plot_decay(ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 10.0))
    >>> ax.get_yscale()
    'log'
    """
    pyplot = _pyplot()
    times = to_numpy(solution.times)
    norm = to_numpy(solution.perturbation_norm("l2"))
    shown = norm > 0
    if not shown.any():
        raise InputError("the perturbation is zero at all times: there is no decay to plot")
    fit = _fit(solution)
    if ax is None:
        ax = pyplot.subplots(figsize=(5.4, 3.6), layout="constrained")[1]
    theory = cast("SpectralDomain", solution.grid).eigenvalues(1)[0]
    anchor = int(np.argmin(np.abs(times - sum(fit.window) / 2))) if fit else int(np.flatnonzero(shown)[-1])
    line = norm[anchor] * np.exp(-theory * (times - times[anchor]))
    if fit:
        ax.axvspan(*fit.window, color=BLUE, alpha=0.08, linewidth=0, label="window of the fit")
    ax.plot(times[shown], norm[shown], color=BLUE, linewidth=2, label=_label(fit))
    ax.plot(
        times, line, color=VERMILION, linewidth=1.5, linestyle=(0, (5, 3)),
        label=rf"theory $e^{{-\lambda_1 t}}$, $\lambda_1 = {theory:.6g}$",
    )  # fmt: skip
    ax.set(
        yscale="log",
        xlabel="time $t$",
        ylabel=r"$\|h - \overline{h}\|_{L^2}$",
        title="Decay to a flat metric",
        xlim=(float(times[0]), float(times[-1])),
    )
    ax.grid(which="major", color=GREY, alpha=0.2, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_component(
    solution: Solution, component: tuple[int, int] = (0, 0), axes: Sequence[Axes] | None = None
) -> Figure:
    """Show one component of the metric at the first and the last time, side by side on one colour scale.

    The scale is centred on the flat value (1 on the diagonal, 0 off it), so that white is flat.

    Parameters
    ----------
    solution : Solution
        On a grid of dimension 2.
    component : tuple of int, default: (0, 0)
        Indices i, j of ``g_ij``.
    axes : sequence of two matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is missing.
    InputError
        If the grid is not 2-dimensional, there is no such component, or axes are not two.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> from lnegeom.plot import plot_component
    >>> grid = TorusGrid((16, 16))
    >>> figure = plot_component(ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 1.0, samples=2))
    >>> len(figure.axes)  # two images and their colour bar
    3
    """
    grid = solution.grid
    if not isinstance(grid, TorusGrid) or grid.dim != 2:
        raise InputError(f"plot_component draws metrics on a 2-torus, got a grid of dimension {grid.dim}")
    if len(component) != 2 or not all(index in (0, 1) for index in component):
        raise InputError(f"component must be a pair of indices 0 or 1, got {component!r}")
    if axes is not None and len(axes) != 2:
        raise InputError(f"axes must be two, for the first and the last time; got {len(axes)}")
    pyplot = _pyplot()
    i, j = component
    fields = [to_numpy(solution.metrics[index, ..., i, j]) for index in (0, -1)]
    times = [float(solution.times[index]) for index in (0, -1)]
    flat = float(i == j)
    # A constant field still needs a scale of nonzero width.
    reach = max(float(np.max(np.abs(field - flat))) for field in fields) or 1.0
    if axes is None:
        axes = pyplot.subplots(1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained")[1]
    for ax, field, t in zip(axes, fields, times, strict=True):
        image = _draw_field(ax, field, grid.lengths, (flat - reach, flat + reach))
        ax.set(title=f"$t = {t:.4g}$", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    figure: Any = axes[0].figure
    figure.colorbar(image, ax=list(axes), label=f"$g_{{{i + 1}{j + 1}}}$", shrink=0.9)
    return cast("Figure", figure)


def _draw_field(ax: Any, field: Any, lengths: tuple[float, ...], limits: tuple[float, float]) -> Any:
    low, high = limits
    return ax.imshow(
        field.T,  # imshow puts the first axis on the vertical
        origin="lower",
        extent=(0, lengths[0], 0, lengths[1]),
        cmap="RdBu_r",
        vmin=low,
        vmax=high,
        interpolation="bicubic",
    )


def _fit(solution: Solution) -> DecayRate | None:
    try:
        return decay_rate(solution)
    except InputError:  # too short to fit: the curve is still worth drawing
        return None


def _label(fit: DecayRate | None) -> str:
    if fit is None:
        return "flow (too short to fit a rate)"
    # As many digits as the standard error supports, six at most.
    digits = min(6, max(0, 1 - math.floor(math.log10(fit.standard_error)))) if fit.standard_error > 0 else 6
    return f"flow, fitted rate {fit.rate:.{digits}f}"


def _pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "lnegeom[plot]"') from error
