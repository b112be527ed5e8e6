"""What all pictures share: colours, and matplotlib when it is needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart under every common colour blindness.
BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
GREY = "#5F5F5F"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, "#56B4E9")


_MISSING = 'plots need matplotlib: pip install "lnegeom[plot]"'


def check_matplotlib() -> None:
    """Raise the ImportError of `pyplot` before a long run, not at the picture that ends it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError(_MISSING)


def pyplot() -> Any:
    """The module matplotlib.pyplot; an ImportError that names the extra where it is missing."""
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError(_MISSING) from error


def new_axes(**options: Any) -> Axes:
    """Axes of a new figure."""
    return cast("Axes", pyplot().subplots(layout="constrained", **options)[1])


def tidy(ax: Axes) -> None:
    """A light grid, and no box."""
    ax.grid(which="major", color=GREY, alpha=0.2, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def shades(count: int) -> list[Any]:
    """Colours from light to dark, for curves at successive times."""
    colour_map = importlib.import_module("matplotlib").colormaps["viridis_r"]
    return [colour_map(x) for x in np.linspace(0.12, 1.0, count)]
