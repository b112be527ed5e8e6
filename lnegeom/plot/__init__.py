"""Figures of flows, with matplotlib.

matplotlib is imported when a figure is drawn, so that `lnegeom` works without it.
"""

from lnegeom.plot._animation import animate
from lnegeom.plot._curves import plot_curvature, plot_lengths, plot_profiles
from lnegeom.plot._decay import plot_decay
from lnegeom.plot._fields import plot_component
from lnegeom.plot._overview import plot_solution

__all__ = [
    "animate",
    "plot_component",
    "plot_curvature",
    "plot_decay",
    "plot_lengths",
    "plot_profiles",
    "plot_solution",
]
