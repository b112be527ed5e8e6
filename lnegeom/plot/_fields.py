"""Components of a metric on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.solution import Solution
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.plot._style import pyplot, shades, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_component(
    solution: Solution, component: tuple[int, int] = (0, 0), axes: Sequence[Axes] | None = None
) -> Figure:
    """Show one component of the metric at the first and the last time, side by side on one colour scale.

    The scale is centred on the flat value (1 on the diagonal, 0 off it), so that white is flat. Of a metric
    of dimension 3 the middle slice of the third coordinate is shown; in dimension 1, curves on both axes.

    Parameters
    ----------
    solution : Solution
        On a torus or a box.
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
        If the metric lives on no such grid, there is no such component, or axes are not two.

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
    fields = component_fields(solution, component, [0, -1])
    if axes is not None and len(axes) != 2:
        raise InputError(f"axes must be two, for the first and the last time; got {len(axes)}")
    if axes is None:
        axes = pyplot().subplots(1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained")[1]
    limits = scale_of(fields, component)
    for ax, field, index in zip(axes, fields, (0, -1), strict=True):
        image = draw_component(ax, solution, field, limits, component)
        ax.set_title(f"$t = {float(solution.times[index]):.4g}$")
    axes[1].set_ylabel("")
    figure: Any = axes[0].figure
    if fields[0].ndim == 2:
        figure.colorbar(image, ax=list(axes), label=component_name(component), shrink=0.9)
    return cast("Figure", figure)


def component_name(component: tuple[int, int]) -> str:
    """The label of a component, counted from 1."""
    i, j = component
    return f"$g_{{{i + 1}{j + 1}}}$"


def component_fields(solution: Solution, component: tuple[int, int], indices: Sequence[int]) -> list[Any]:
    """A component at some samples, as numpy arrays of one or two dimensions."""
    grid = solution.grid
    if not isinstance(grid, TorusGrid | BoxGrid):
        raise InputError(f"components are drawn on tori and boxes, got {grid!r}")
    if len(component) != 2 or not all(index in range(grid.dim) for index in component):
        allowed = " or ".join(map(str, range(grid.dim)))
        raise InputError(f"component must be a pair of indices {allowed}, got {component!r}")
    i, j = component
    fields = [to_numpy(solution.metrics[index, ..., i, j]) for index in indices]
    return [field[_middle(grid)] for field in fields]


def _middle(grid: TorusGrid | BoxGrid) -> tuple[Any, ...]:
    """Index of the slice that is shown: all of the first two axes."""
    return (..., *(size // 2 for size in grid.shape[2:]))


def scale_of(fields: Sequence[Any], component: tuple[int, int]) -> tuple[float, float]:
    """Limits of a colour scale about the flat value that holds all fields."""
    flat = float(component[0] == component[1])
    # A constant field still needs a scale of nonzero width.
    reach = max(float(np.max(np.abs(field - flat))) for field in fields) or 1.0
    return flat - reach, flat + reach


def draw_component(
    ax: Any, solution: Solution, field: Any, limits: tuple[float, float], component: tuple[int, int]
) -> Any:
    """Draw a field of one or two dimensions; return the image, or the line."""
    grid = cast("TorusGrid | BoxGrid", solution.grid)
    points = grid.coordinates()
    ax.set_xlabel("$x_1$")
    if field.ndim == 1:
        (line,) = ax.plot(points[..., 0], field, color=shades(2)[-1], linewidth=2)
        margin = 0.05 * (limits[1] - limits[0])
        ax.set(ylim=(limits[0] - margin, limits[1] + margin), ylabel=component_name(component))
        tidy(ax)
        return line
    ax.set_ylabel("$x_2$")
    colours = {"cmap": "RdBu_r", "vmin": limits[0], "vmax": limits[1]}
    if isinstance(grid, TorusGrid) and grid.is_rectangular:
        return ax.imshow(
            field.T,  # imshow puts the first axis on the vertical
            origin="lower",
            extent=(0, grid.lengths[0], 0, grid.lengths[1]),
            interpolation="bicubic",
            **colours,
        )
    ax.set_aspect("equal")
    x, y = (points[..., axis][_middle(grid)] for axis in (0, 1))
    return ax.pcolormesh(x, y, field, shading="gouraud", **colours)
