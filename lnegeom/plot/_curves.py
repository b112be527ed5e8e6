"""Homogeneous metrics and warped products against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.solution import Solution
from lnegeom.flow.warped import WarpedGrid
from lnegeom.plot._style import BLUE, COLOURS, GREY, VERMILION, new_axes, shades, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Field = NDArray[np.float64]
OUTLINES = 6
STEEP = 1e-3
"""A profile with ``|ψ_s| > 1`` by more than this is that of no surface in space."""


def plot_lengths(solution: Solution, ax: Axes | None = None) -> Axes:
    """Plot the lengths ``√g_ii`` of a homogeneous metric's frame against time.

    Parameters
    ----------
    solution : Solution
        Of `lnegeom.flow.homogeneous`.
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
        If the metric is not homogeneous.
    """
    if solution.grid.shape != ():
        raise InputError(f"lengths are drawn of homogeneous metrics, got one on {solution.grid!r}")
    ax = new_axes(figsize=(5.4, 3.6)) if ax is None else ax
    times = to_numpy(solution.times)
    lengths = np.sqrt(np.diagonal(to_numpy(solution.metrics), axis1=1, axis2=2))
    for k in range(lengths.shape[1]):
        # Curves that coincide are told apart by their widths.
        width = 2 + 5 * (lengths.shape[1] - 1 - k) / max(1, lengths.shape[1] - 1)
        name = rf"$\sqrt{{g_{{{k + 1}{k + 1}}}}}$"
        ax.plot(
            times, lengths[:, k], color=COLOURS[k % len(COLOURS)], linewidth=width, alpha=0.85, label=name
        )
    ax.set(xlabel="time $t$", ylabel="length of the frame", ylim=(0, None))
    _mark_singular(ax, solution)
    tidy(ax)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_curvature(solution: Solution, ax: Axes | None = None) -> Axes:
    """Plot the curvature that a solution recorded, against time, or against what is left of it.

    Where the flow has a singular time T, the curvature is drawn against ``T − t`` on logarithmic axes, beside
    a line of slope −1: the blow-up like ``1/(T − t)``.

    Parameters
    ----------
    solution : Solution
        With the invariant ``"scalar_max"`` or ``"scalar_curvature"``.
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
        If no curvature was recorded.
    """
    names = [name for name in ("scalar_max", "scalar_curvature") if name in solution.invariants]
    if not names:
        raise InputError(
            f"no curvature was recorded: expected the invariant scalar_max, got {list(solution.invariants)}"
        )
    ax = new_axes(figsize=(5.4, 3.6)) if ax is None else ax
    times, curvature = to_numpy(solution.times), to_numpy(solution.invariants[names[0]])
    label = r"$\max R$" if names[0] == "scalar_max" else "$R$"
    left = None if solution.singular_time is None else solution.singular_time - times
    if left is None or np.any(curvature[left > 0] <= 0):
        ax.plot(times, curvature, color=BLUE, linewidth=2, label=label)
        if "scalar_min" in solution.invariants:
            least = to_numpy(solution.invariants["scalar_min"])
            ax.plot(times, least, color=VERMILION, linewidth=2, label=r"$\min R$")
        ax.set(xlabel="time $t$", ylabel="scalar curvature")
    else:
        shown = left > 2 * left[-1]  # the last ones lie within the error of T
        ax.plot(left[shown], curvature[shown], "o-", color=BLUE, markersize=3.5, linewidth=1.5, label=label)
        anchor = int(np.flatnonzero(shown)[-1])
        line = curvature[anchor] * left[anchor] / left[shown]
        ax.plot(left[shown], line, color=VERMILION, linewidth=1.5, linestyle=(0, (5, 3)), label=r"slope $-1$")
        ax.set(xscale="log", yscale="log", xlabel="time left $T - t$", ylabel="scalar curvature")
        ax.invert_xaxis()
        ax.set_title(f"Singular at $T = {solution.singular_time:.5g}$", fontsize="medium")
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_profiles(solution: Solution, ax: Axes | None = None, indices: Sequence[int] | None = None) -> Axes:
    """Draw the outlines of a rotationally symmetric metric at successive times, the later the darker.

    The outline is that of the surface of revolution in space which has the profile ψ as its radius, cut
    through its axis; if there is none, since ``|ψ_s| > 1`` somewhere, that of ψ against the distance s.

    Parameters
    ----------
    solution : Solution
        Of `lnegeom.flow.rotational`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    indices : sequence of int, optional
        The samples to draw; six, evenly spaced in time, by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    InputError
        If the metric is not rotationally symmetric.
    """
    outlines, embedded = outlines_of(solution)
    ax = new_axes(figsize=(5.4, 3.6)) if ax is None else ax
    times = to_numpy(solution.times)
    if indices is None:
        indices = np.unique(np.searchsorted(times, np.linspace(times[0], times[-1], OUTLINES))).tolist()
    for colour, index in zip(shades(len(indices)), indices, strict=True):
        along, radius = outlines[index]
        ax.plot(along, radius, color=colour, linewidth=1.6, label=f"$t = {times[index]:.4g}$")
        ax.plot(along, -radius, color=colour, linewidth=1.6)
    label_outline(ax, embedded)
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def label_outline(ax: Any, embedded: bool) -> None:
    """Name the axes of an outline."""
    ax.set(xlabel="axis $z$" if embedded else "distance $s$", ylabel=r"radius $\psi$")
    ax.set_aspect("equal")
    tidy(ax)


def outlines_of(solution: Solution) -> tuple[list[tuple[Field, Field]], bool]:
    """Upper outlines ``(along, ψ)`` at all samples, and whether they are embedded in space."""
    grid = solution.grid
    if not isinstance(grid, WarpedGrid):
        raise InputError(f"profiles are drawn of rotationally symmetric metrics, got one on {grid!r}")
    metrics = to_numpy(solution.metrics)
    shares = grid.fractions()
    outlines, steep = [], 0.0
    for g in metrics:
        length = float(np.sqrt(g[0, 0, 0]) / grid.stretch()[0])
        closed = grid.ends == "sphere"
        s = np.concatenate([[0.0], length * shares, [length] if closed else []])
        psi = np.concatenate([[0.0], np.sqrt(g[:, 1, 1]), [0.0] if closed else []])
        ds, dpsi = np.diff(s), np.diff(psi)
        steep = max(steep, float(np.max(np.abs(dpsi) / ds)) - 1)
        along = np.concatenate([[0.0], np.cumsum(np.sqrt(np.maximum(0.0, ds**2 - dpsi**2)))])
        outlines.append(
            (along - 0.5 * along[-1] if closed else along, psi, s - 0.5 * length if closed else s)
        )
    embedded = steep < STEEP
    return [(along if embedded else s, psi) for along, psi, s in outlines], embedded


def _mark_singular(ax: Any, solution: Solution) -> None:
    if solution.singular_time is not None:
        ax.axvline(
            solution.singular_time,
            color=GREY,
            linewidth=1,
            linestyle=":",
            label="singular time",
        )
