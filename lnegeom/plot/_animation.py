"""Solutions as moving pictures."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lnegeom._array import InputError, positive, positive_integer, to_numpy
from lnegeom._progress import progress_bar
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.solution import Solution
from lnegeom.flow.warped import WarpedGrid
from lnegeom.plot._curves import label_outline, outlines_of, plot_lengths
from lnegeom.plot._fields import component_fields, component_name, draw_component, scale_of
from lnegeom.plot._style import BLUE, VERMILION, pyplot

STILL = 0.01
"""Differences below this share of the largest are not seen."""


def animate(
    solution: Solution,
    path: str | os.PathLike[str],
    *,
    component: tuple[int, int] = (0, 0),
    frames: int = 60,
    fps: float = 15.0,
    progress: bool = False,
) -> Path:
    """Write a solution as an animated GIF: `Solution.animate`.

    Shown are, on tori and boxes, a component of the metric; of homogeneous metrics, the lengths of the frame,
    with the time running along; of rotationally symmetric ones, the outline.

    Parameters
    ----------
    solution : Solution
    path : path
        Where to, ending in ".gif".
    component : tuple of int, default: (0, 0)
        Indices i, j of the component ``g_ij`` that is shown of a metric on a grid.
    frames : int, default: 60
        Largest number of frames: samples are left out evenly where there are more, and on a grid once nothing
        moves.
    fps : float, default: 15.0
        Frames per second. The last one stays for a second.
    progress : bool, default: False
        Show a progress bar.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    InputError
        If the path does not end in ".gif", or another argument is out of range.

    Examples
    --------
    >>> import os, tempfile
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> grid = TorusGrid((16, 16))
    >>> solution = ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 1.0, samples=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.path.getsize(solution.animate(os.path.join(folder, "flow.gif"))) > 1000
    True
    """
    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise InputError(f"path must end in .gif, the format of the animation; got {os.fspath(path)!r}")
    limit, speed = positive_integer("frames", frames), positive("fps", fps)
    last = _last_worth_showing(solution, component)
    chosen = np.unique(np.linspace(0, last, min(last + 1, limit)).astype(int)).tolist()
    pyplot()  # complains, if matplotlib is missing
    figure_class = importlib.import_module("matplotlib.figure").Figure
    figure = figure_class(figsize=(5, 4), dpi=100, layout="constrained")
    update = _scene(figure.subplots(), solution, component, chosen)
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(figure, update, chosen, target, speed, progress)
    return target


def _last_worth_showing(solution: Solution, component: tuple[int, int]) -> int:
    """The last sample, or on a grid the first from which on the picture would stay as it is."""
    count = int(solution.times.shape[0])
    if not isinstance(solution.grid, SpectralDomain):
        return count - 1
    fields = component_fields(solution, component, range(count))
    change = np.array([np.max(np.abs(field - fields[-1])) for field in fields])
    moving = np.flatnonzero(change > STILL * np.max(change))
    return min(count - 1, int(moving[-1]) + 1) if len(moving) else count - 1


def _write(
    figure: Any, update: Callable[[int], None], frames: list[int], path: Path, fps: float, progress: bool
) -> None:
    canvas = importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    images = importlib.import_module("PIL.Image")
    drawn = []
    for number, index in enumerate(progress_bar("animation", frames, "frame", show=progress)):
        update(index)
        canvas.draw()
        if number == 0:
            figure.set_layout_engine("none")  # so that nothing but the flow moves
        picture = images.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
        # By coverage, so that the colour bar keeps colours that the picture has lost.
        drawn.append(picture.quantize(colors=255, method=images.Quantize.MAXCOVERAGE))
    durations = [round(1000 / fps)] * len(drawn)
    durations[-1] = max(1000, durations[-1])
    draft = path.with_name(f".{path.stem}.{os.getpid()}.gif")
    try:
        drawn[0].save(draft, save_all=True, append_images=drawn[1:], duration=durations, loop=0)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _scene(
    ax: Any, solution: Solution, component: tuple[int, int], chosen: list[int]
) -> Callable[[int], None]:
    """Draw what stays; return what draws the sample of an index."""
    if isinstance(solution.grid, SpectralDomain):
        return _field_scene(ax, solution, component, chosen)
    if isinstance(solution.grid, WarpedGrid):
        return _outline_scene(ax, solution)
    return _lengths_scene(ax, solution)


def _field_scene(
    ax: Any, solution: Solution, component: tuple[int, int], chosen: list[int]
) -> Callable[[int], None]:
    fields = dict(zip(chosen, component_fields(solution, component, chosen), strict=True))
    limits = scale_of(list(fields.values()), component)
    drawn = draw_component(ax, solution, fields[chosen[0]], limits, component)
    flat = fields[chosen[0]].ndim == 2
    if flat:
        ax.figure.colorbar(drawn, ax=ax, label=component_name(component))

    def update(index: int) -> None:
        if not flat:
            drawn.set_ydata(fields[index])
        elif hasattr(drawn, "set_extent"):
            drawn.set_data(fields[index].T)
        else:
            drawn.set_array(fields[index])
        _title(ax, solution, index)

    return update


def _outline_scene(ax: Any, solution: Solution) -> Callable[[int], None]:
    outlines, embedded = outlines_of(solution)
    label_outline(ax, embedded)
    along, radius = outlines[0]
    reach = 1.08 * max(float(np.max(r)) for _, r in outlines)
    ends = [float(f(a)) for f in (np.min, np.max) for a, _ in outlines]
    ax.set(xlim=(min(ends) - 0.05 * reach, max(ends) + 0.05 * reach), ylim=(-reach, reach))
    shape = ax.fill_between(along, -radius, radius, color=BLUE, alpha=0.35)

    def update(index: int) -> None:
        nonlocal shape
        shape.remove()
        along, radius = outlines[index]
        shape = ax.fill_between(
            along, -radius, radius, facecolor=BLUE, edgecolor=BLUE, alpha=0.45, linewidth=1.5
        )
        _title(ax, solution, index)

    return update


def _lengths_scene(ax: Any, solution: Solution) -> Callable[[int], None]:
    plot_lengths(solution, ax)
    times = to_numpy(solution.times)
    lengths = np.sqrt(np.diagonal(to_numpy(solution.metrics), axis1=1, axis2=2))
    now = ax.axvline(times[0], color=VERMILION, linewidth=1)
    (dots,) = ax.plot([times[0]] * lengths.shape[1], lengths[0], "o", color=VERMILION, markersize=6)

    def update(index: int) -> None:
        now.set_xdata([times[index]] * 2)
        dots.set_data([times[index]] * lengths.shape[1], lengths[index])
        _title(ax, solution, index)

    return update


def _title(ax: Any, solution: Solution, index: int) -> None:
    ax.set_title(f"$t = {float(solution.times[index]):.5g}$")
