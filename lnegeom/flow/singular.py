"""When a flow's curvature blows up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]

LEAST_GROWTH = 1.5
LEAST_POINTS = 4
LARGEST_MISFIT = 0.05
LATE = 30.0
"""The fit begins where the curvature is within this factor of its last value."""


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
    t, inverse = np.asarray(times, dtype=float), 1 / np.asarray(curvature, dtype=float)
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
