"""When a flow's curvature blows up: the estimate of the singular time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import to_numpy

GROWTH = 2.0
"""The curvature must have grown this many times over the samples that are fitted."""
LATE = 30.0
"""Samples are fitted from where the curvature is within this factor of its last value."""
MISFIT = 0.05
"""Largest deviation of the fitted line from ``1/K``, relative to the range of ``1/K``."""


def singular_time(times: object, curvature: object) -> float | None:
    """Estimate the time T of a singularity where the curvature grows as ``c / (T − t)``, else None.

    ``1/K`` is then a straight line in t that meets zero at T: it is fitted by least squares to the last
    samples, those with K within a factor 30 of its last value. None is returned where K does not grow at the
    end, has not doubled over them, or is no such line (by more than 5 % of its range).

    Parameters
    ----------
    times : array
        Ascending, shape ``(T,)``.
    curvature : array
        A supremum of the curvature at these times, such as ``sup|Ric|``, shape ``(T,)``.

    Returns
    -------
    float or None

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import singular_time
    >>> t = np.linspace(0.0, 0.9, 50)
    >>> round(singular_time(t, 3 / (1 - t)), 12)
    1.0
    >>> singular_time(t, np.exp(-t)) is None
    True
    """
    t = np.asarray(to_numpy(times), dtype=np.float64)
    K: NDArray[np.float64] = np.asarray(to_numpy(curvature), dtype=np.float64)
    if len(K) < 4 or not K[-1] > 0:
        return None
    early = np.flatnonzero(K[-1] > K * LATE)
    late = slice(int(early[-1]) + 1 if len(early) else 0, None)
    t, K = t[late], K[late]
    if len(K) < 4 or K[-1] < GROWTH * K[0] or np.any(K <= 0):
        return None
    # Times are counted from the last, in units of the window: near T the window is a tiny part of t.
    unit = t[-1] - t[0]
    inverse = 1 / K
    slope, value = np.polyfit((t - t[-1]) / unit, inverse, 1)
    misfit = np.max(np.abs(inverse - value - slope * (t - t[-1]) / unit))
    if slope >= 0 or misfit > MISFIT * (inverse[0] - inverse[-1]):
        return None
    return float(max(t[-1], t[-1] - unit * value / slope))
