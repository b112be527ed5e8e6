"""The volume-preserving Ricci flow, as the plain one rescaled in space and time."""

from __future__ import annotations

from dataclasses import replace

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, to_numpy
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.checks import checked_domain
from lnegeom.flow.solution import Solution
from lnegeom.flow.warped import WarpedGrid

MIN_SAMPLES = 4
CURVATURES = (
    "curvature",
    "max_riemann",
    "min_scalar_curvature",
    "perelman_lambda",
    "ricci_norm",
    "scalar_curvature",
    "scalar_max",
    "scalar_min",
)
"""Invariants that are 1/c times as large for the metric c g."""


def normalise(solution: Solution) -> Solution:
    """Return the normalised flow ``∂_t g = −2 Ric + (2/n) mean(R) g`` that a solution of the plain one is,
    rescaled.

    If g solves the Ricci flow on a closed manifold, with the volume V(t), then ``c g`` with ``c =
    (V(0)/V)^{2/n}`` solves the normalised flow in the time ``∫ c dt``. (R. S. Hamilton, J. Differential Geom.
    17 (1982), §3.)

    Parameters
    ----------
    solution : Solution
        On a closed manifold, of at least 4 samples. The new times are the integral of a cubic spline through
        the samples of c: the finer the samples the better, to the fourth order.

    Returns
    -------
    Solution
        Its ``invariants`` hold the ``"volume"``, which is constant, and the curvatures that the solution
        recorded, rescaled. The singular time is dropped: a singularity lies at infinity here, or is no longer
        one.

    Raises
    ------
    InputError
        If there are fewer than 4 samples, the domain has a boundary, or it is not a Solution.

    Examples
    --------
    A shrinking round sphere becomes a static one:

    >>> from lnegeom.flow import LieGroup, homogeneous, normalise
    >>> shrinking = homogeneous([1.0, 1.0, 1.0], LieGroup.named("SU(2)"), t_end=0.2)
    >>> static = normalise(shrinking)
    >>> [round(float(g), 9) for g in static.metrics[-1].diagonal()]
    [1.0, 1.0, 1.0]
    >>> bool(static.times[-1] > 0.4)  # −¼ log(1 − 4t)
    True
    """
    from scipy.interpolate import CubicSpline

    grid = checked_domain(solution, Solution, "solution").grid
    if isinstance(grid, BoxGrid) or (isinstance(grid, WarpedGrid) and grid.ends != "sphere"):
        raise InputError(f"a normalised flow keeps the volume of a closed manifold, got {grid!r}")
    metrics, times = solution.metrics, to_numpy(solution.times).astype(np.float64)
    if len(times) < MIN_SAMPLES:
        raise InputError(f"solution has {len(times)} samples: expected {MIN_SAMPLES} or more")
    xp = array_api_compat.array_namespace(metrics)
    volume = xp.stack([_volume(solution, metrics[k, ...]) for k in range(len(times))])
    scale = (volume[0] / volume) ** (2 / grid.dim)
    pace = CubicSpline(times, to_numpy(scale)).antiderivative()
    curvatures = {
        name: solution.invariants[name] / scale for name in CURVATURES if name in solution.invariants
    }
    new_times: NDArray[np.float64] = pace(times) - pace(times[0])
    axes = (...,) + (None,) * (metrics.ndim - 1)
    return replace(
        solution,
        times=xp.asarray(new_times, dtype=metrics.dtype, device=array_api_compat.device(metrics)),
        metrics=scale[axes] * metrics,
        dt=float(new_times[-1] - new_times[-2]),
        message=f"{solution.message} (in the time of the flow that is not normalised)",
        invariants={"volume": xp.ones_like(volume) * volume[0], **curvatures},
        singular_time=None,
    )


def _volume(solution: Solution, g: Array) -> Array:
    xp = array_api_compat.array_namespace(g)
    return solution.grid.integrate(xp.sqrt(xp.linalg.det(g)))
