"""The Fréchet mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_vectors,
    check_where,
    dot,
    to_numpy,
)
from lnegeom.geodesics._maps import check_riemannian, exp, velocity_between
from lnegeom.metrics import Metric


@dataclass(frozen=True)
class FrechetMean:
    """A Fréchet mean, and how it was reached.

    Attributes
    ----------
    point : array
        Shape ``(n,)``.
    variance : array
        The weighted mean of squared distances to `point`, ``()``.
    gradient_norm : float
        Norm of the weighted mean of logarithms, which vanishes at a mean.
    iterations : int
        Number of gradient steps.
    status : str
        "converged", or "stopped" after `max_iterations` or where no step lowers the variance.
    """

    point: Array
    variance: Array
    gradient_norm: float
    iterations: int
    status: str


def frechet_mean(
    metric: Metric,
    points: Any,
    *,
    weights: Any = None,
    start: Any = None,
    tolerance: float | None = None,
    max_iterations: int = 100,
) -> FrechetMean:
    """The point with the least weighted mean of squared distances to points (Karcher's mean).

    By gradient descent, ``x ← exp_x(s Σ_i w_i log_x(p_i))`` with s = 1 halved while that does not lower the
    variance: one step where the metric is flat. The mean is unique where the points lie in a small convex
    ball; beyond, the result may be a local minimum.

    Parameters
    ----------
    metric : Metric
        Riemannian.
    points : array, shape (m, n)
    weights : array, shape (m,), optional
        Not negative, of positive sum; equal when left out.
    start : array, shape (n,), optional
        Where to start; at the point with the largest weight when left out.
    tolerance : float, optional
        `gradient_norm` at which to stop, relative to the root of the first variance; 1e-10, or the dtype's
        resolution times 100 if that is more.
    max_iterations : int

    Raises
    ------
    GeometryError
        If the metric is not Riemannian, the points do not fit, or no geodesic to one of them is found.

    Examples
    --------
    >>> import lnegeom
    >>> mean = lnegeom.frechet_mean(lnegeom.HalfSpace(2), [[0.0, 1.0], [0.0, 4.0]])
    >>> mean.point.round(9), round(float(mean.variance), 9)  # (log 2)²
    (array([0., 2.]), 0.480453014)
    """
    check_riemannian(metric)
    xp, points, weights, x = _checked(metric, points, weights, start)
    resolution = 100 * float(xp.finfo(points.dtype).eps)
    goal = max(1e-10, resolution) if tolerance is None else tolerance
    pull, variance, norm = _pull(metric, xp, x, points, weights)
    first, count, step = variance, 0, 1.0
    while norm > goal * _root(first) and count < max_iterations:
        count += 1
        moved = _lower(metric, xp, (x, pull, variance, norm), points, weights, step)
        if moved is None:
            break
        x, pull, variance, norm, step = moved
    status = "converged" if norm <= goal * _root(first) else "stopped"
    return FrechetMean(x, variance, norm, count, status)


def _lower(
    metric: Metric,
    xp: Any,
    now: tuple[Any, Any, Any, float],
    points: Array,
    weights: Array,
    step: float,
) -> tuple[Any, Any, Any, float, float] | None:
    """The next point, its pull, variance and norm, and the next first step; None if no step is lower."""
    x, pull, variance, norm = now
    noise = 10 * float(xp.finfo(points.dtype).eps) * float(to_numpy(variance))
    for _ in range(30):
        try:
            trial = exp(metric, x, step * pull)
            found = _pull(metric, xp, trial, points, weights)
        except GeometryError:
            step /= 2  # out of the chart
            continue
        # Armijo's condition; where the change is below rounding, the gradient decides
        drop = float(to_numpy(variance - found[1]))
        if drop >= step * norm**2 / 2 or (abs(drop) <= noise and found[2] < norm):
            return trial, *found, min(1.0, 2 * step)
        step /= 2
    return None


def _pull(metric: Metric, xp: Any, x: Array, points: Array, weights: Array) -> tuple[Array, Array, float]:
    """The weighted mean of logarithms, of their squared norms, and the mean's own norm."""
    v = velocity_between(metric, xp, x, points)[0]
    local = metric._local(xp, x)
    variance = xp.sum(weights * dot(xp, v, metric._flat(xp, local, v)))
    pull = xp.sum(weights[:, None] * v, axis=0)
    return pull, variance, _root(dot(xp, pull, metric._flat(xp, local, pull)))


def _root(value: Array) -> float:
    return float(np.sqrt(max(0.0, float(to_numpy(value)))))


def _checked(metric: Metric, points: Any, weights: Any, start: Any) -> tuple[Any, Array, Array, Array]:
    metric._at(points)
    xp, points = as_floating(points=points)
    if points.ndim != 2:
        raise GeometryError(f"points have shape {tuple(points.shape)}: expected (m, n)")
    given = [1.0] * points.shape[0] if weights is None else weights
    _, _, given = as_floating(points=points, weights=given)
    if tuple(given.shape) != (points.shape[0],):
        raise GeometryError(
            f"weights have shape {tuple(given.shape)}: expected ({points.shape[0]},), one for each point"
        )
    check_vectors(xp, given, "weights", None)
    check_where(xp, given >= 0, given, "weights", "{point} is {value}: expected it not negative")
    total = xp.sum(given)
    check_where(xp, total > 0, total, "weights", "{point} sum to {value}: expected a positive sum")
    x = points[int(xp.argmax(given)), :] if start is None else as_floating(points=points, start=start)[2]
    metric._at(x)
    if x.ndim != 1:
        raise GeometryError(f"start has shape {tuple(x.shape)}: expected ({points.shape[1]},)")
    return xp, points, given / total, x
