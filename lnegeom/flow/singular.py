"""When a flow's curvature blows up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError
from lnegeom.flow.checks import real_array

Vector = NDArray[np.floating[Any]]

LEAST_GROWTH = 1.5
LEAST_POINTS = 4
LARGEST_MISFIT = 0.05
LATE = 30.0
"""The fit begins where the curvature is within this factor of its last value."""
SHORT, SHRINKING = 0.25, 0.7
"""The curvature of a run is measured when its step has fallen to a quarter of its longest, and whenever it
has fallen by the second factor from there: at times that close in on a singular one geometrically, at a cost
that the steps between hide."""
SAMPLES = 8
"""Samples before a halt whose curvature tells too whether it blows up."""


def singular_time(times: Sequence[float] | Vector, curvature: Sequence[float] | Vector) -> float | None:
    """Estimate of T from ``sup |Rm| ≈ c/(T − t)``, or None where the curvature does not grow like that.

    ``1/sup |Rm|`` falls on a straight line then, whose zero is T. The line is fitted to the times over which
    the curvature last grew without a break, at most thirtyfold, and must meet them within 5 % of the fall.

    Parameters
    ----------
    times : sequence of float
        Ascending.
    curvature : sequence of float
        Positive: the supremum of the curvature, in any norm.

    Returns
    -------
    float or None

    Raises
    ------
    InputError
        If there is not one curvature for each time.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import singular_time
    >>> t = np.linspace(0, 0.9, 10)
    >>> round(singular_time(t, 3 / (1.2 - t)), 12)
    1.2
    >>> singular_time(t, np.exp(t)) is None
    True
    """
    t, size = real_array(times, "times"), real_array(curvature, "curvature")
    if t.ndim != 1 or t.shape != size.shape:
        raise InputError(f"expected a curvature for each time, got shapes {t.shape} and {size.shape}")
    with np.errstate(divide="ignore"):  # a flat metric's
        inverse = 1 / size
    first = len(t) - 1
    while first > 0 and LATE * inverse[-1] > inverse[first - 1] > inverse[first]:
        first -= 1
    t, inverse = t[first:], inverse[first:]
    if len(t) < LEAST_POINTS or inverse[0] < LEAST_GROWTH * inverse[-1]:
        return None
    # Times are counted from the last, in units of the window: near T the window is a tiny part of t.
    unit = t[-1] - t[0]
    x = (t - t[-1]) / unit
    slope, intercept = np.polyfit(x, inverse, 1)
    misfit = np.max(np.abs(slope * x + intercept - inverse)) / (inverse[0] - inverse[-1])
    left = -unit * intercept / slope
    return float(t[-1] + left) if misfit < LARGEST_MISFIT and left > 0 else None


class Watch:
    """Curvature of a run at the times when its steps become short.

    Parameters
    ----------
    metric_of : callable
        From a state to its metric.
    curvature : callable
        From a metric to ``sup |Rm|``.
    """

    def __init__(self, metric_of: Callable[[Array], Array], curvature: Callable[[Array], float]):
        self.metric_of = metric_of
        self.curvature = curvature
        self.longest = 0.0
        self.found: list[tuple[float, float]] = []

    def see(self, time: float, u: Array, used: float) -> None:
        """Measure the curvature if the step has fallen since it was measured last."""
        self.longest = self.longest if self.found else max(self.longest, used)
        if used < (SHRINKING if self.found else SHORT) * self.longest:
            self.longest = used
            self.found.append((time, self.curvature(self.metric_of(u))))

    def singular_time(self, times: Sequence[float], sample: Callable[[int], Array]) -> float | None:
        """Estimate from what was measured, and the last samples, as far as the grid resolved them."""
        known = {time for time, _ in self.found}
        last = list(enumerate(times))[-SAMPLES:]
        samples = [(time, self.curvature(sample(i))) for i, time in last if time not in known]
        points = sorted(point for point in [*samples, *self.found] if point[1] > 0)
        # At the very end a grid no longer resolves the curvature. But a flow that went on well beyond T was
        # not singular there.
        for end in range(len(points), LEAST_POINTS - 1, -1):
            estimate = singular_time(*zip(*points[:end], strict=True))
            if estimate is not None and estimate > times[-1] - LARGEST_MISFIT * (times[-1] - points[0][0]):
                return estimate
        return None
