"""When a flow's curvature blows up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_GROWTH = 1.5
LEAST_POINTS = 4
LARGEST_MISFIT = 0.05


def singular_time(times: Sequence[float], curvature: Sequence[float]) -> float | None:
    """Estimate of T from ``sup |Rm| ≈ c/(T − t)``, or None where the curvature does not grow like that.

    ``1/sup |Rm|`` falls on a straight line then, whose zero is T. The line is fitted to the times over which
    the curvature last grew without a break, and must meet them within 5 % of the fall.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow.singular import singular_time
    >>> t = np.linspace(0, 0.9, 10)
    >>> round(singular_time(t, 3 / (1.2 - t)), 12)
    1.2
    >>> singular_time(t, np.exp(t)) is None
    True
    """
    t, inverse = np.asarray(times, dtype=float), 1 / np.asarray(curvature, dtype=float)
    first = len(t) - 1
    while first > 0 and inverse[first - 1] > inverse[first]:
        first -= 1
    t, inverse = t[first:], inverse[first:]
    if len(t) < LEAST_POINTS or inverse[0] < LEAST_GROWTH * inverse[-1]:
        return None
    slope, intercept = np.polyfit(t, inverse, 1)
    misfit = np.max(np.abs(slope * t + intercept - inverse)) / (inverse[0] - inverse[-1])
    end = -intercept / slope
    return float(end) if misfit < LARGEST_MISFIT and end > t[-1] else None
