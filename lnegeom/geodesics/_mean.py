"""The Fréchet mean."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    as_floating,
    check_vectors,
    check_where,
    constant,
    positive,
    positive_integer,
)
from lnegeom.derivatives import jet
from lnegeom.geodesics._arrays import (
    double,
    plain,
    returner,
    rows,
    wants_gradient,
)
from lnegeom.geodesics._descent import Descent, pulls
from lnegeom.geodesics._gradients import log_slopes
from lnegeom.geodesics._maps import check_riemannian, velocity_between
from lnegeom.metrics import Metric


@dataclass(frozen=True)
class FrechetMean:
    """A Fréchet mean, or a batch of them, and how it was reached.

    Attributes
    ----------
    point : array
        Shape ``(..., n)``.
    variance : array
        The weighted mean of squared distances to `point`, ``(...)``.
    gradient_norm : float, or for a batch array
        Norm of the weighted mean of logarithms, which vanishes at a mean.
    iterations : int, or for a batch array of int
        Number of gradient steps.
    status : str, or for a batch array of str
        "converged", or "stopped" after `max_iterations` or where no step lowers the variance.
    """

    point: Array
    variance: Array
    gradient_norm: Any
    iterations: Any
    status: Any


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

    `point` and `variance` have derivatives by points and weights in torch and JAX, of first order, by the
    implicit function theorem: they do not depend on the iterations.

    Parameters
    ----------
    metric : Metric
        Riemannian.
    points : array, shape (..., k, n)
        Batches of k points each.
    weights : array, shape (..., k), optional
        Not negative, of positive sum; equal when left out. Batch axes broadcast.
    start : array, shape (..., n), optional
        Where to start; at the point with the largest weight when left out.
    tolerance : float, optional
        `gradient_norm` at which to stop, relative to the root of the first variance. Left out: 1e-10, or the
        dtype's resolution times 100 if that is more; and where geodesics are integrated, what their error
        lets be reached.
    max_iterations : int
        Positive.

    Raises
    ------
    GeometryError
        If the metric is not Riemannian, the points do not fit, or no geodesic to one of them is found.
    InputError
        If an array is traced by `jax.jit` or `torch.func`; where there is no closed form, if derivatives are
        wanted that the metric itself does not have, as of finite differences.

    Examples
    --------
    >>> import lnegeom
    >>> mean = lnegeom.frechet_mean(lnegeom.HalfSpace(2), [[0.0, 1.0], [0.0, 4.0]])
    >>> mean.point.round(9), round(float(mean.variance), 9)  # (log 2)²
    (array([0., 2.]), 0.480453014)
    """
    check_riemannian(metric)
    tolerance = None if tolerance is None else positive("tolerance", tolerance)
    max_iterations = positive_integer("max_iterations", max_iterations)
    xp, points, weights, x = _checked(metric, points, weights, start)
    batch, (k, n) = tuple(points.shape[:-2]), points.shape[-2:]
    points, weights = xp.reshape(points, (-1, k, n)), xp.reshape(weights, (-1, k))
    fixed = constant(points), constant(weights)
    descent = Descent(metric, xp, *fixed, xp.reshape(constant(x), (-1, n)), batch)
    descent.run(tolerance, max_iterations)
    x, variance = descent.x, descent.pulls.variance
    if wants_gradient(points) or wants_gradient(weights):
        x = _attached(metric, xp, x, points, weights)
        variance = pulls(metric, xp, x, points, weights).variance
    status = np.where(descent.converged, "converged", "stopped")
    return FrechetMean(
        xp.reshape(x, (*batch, n)),
        xp.reshape(variance, batch),
        plain(returner(x), descent.norms().reshape(batch)),
        plain(np.asarray, descent.steps.reshape(batch)),
        plain(np.asarray, status.reshape(batch)),
    )


def _attached(metric: Metric, xp: Any, x: Array, points: Array, weights: Array) -> Array:
    """Means ``(r, n)``, found without derivatives, as functions of points and weights.

    That is one step of Newton's method for ``Σ_i w_i log_x(p_i) = 0``, of no length up to rounding.
    """
    if not metric.closed_form_geodesics:
        slopes = _slopes(metric, xp, x, constant(points), constant(weights))
        still = pulls(metric, xp, x, points, weights).pull
        return x - xp.linalg.solve(slopes, still[..., None])[..., 0]

    def pull(y: Array, p: Array, w: Array) -> Array:
        return xp.sum(w[:, None] * metric._log(xp, y, p), axis=0)

    moved = []
    for row in range(x.shape[0]):
        p, w = points[row, ...], weights[row, ...]
        slope = jet(functools.partial(pull, p=constant(p), w=constant(w)), x[row, :], order=1).first
        moved.append(x[row, :] - xp.linalg.solve(slope, pull(x[row, :], p, w)[:, None])[:, 0])
    return xp.stack(moved)


def _slopes(metric: Metric, xp: Any, x: Array, points: Array, weights: Array) -> Array:
    """Derivatives ``(r, n, n)`` of ``Σ_i w_i log_x(p_i)`` by x, of integrated logarithms."""
    v = velocity_between(metric, xp, x[:, None, :], points)[0]
    (r, k), n = v.shape[:-1], v.shape[-1]
    _, starts, steps = rows(x[:, None, :], v)
    slopes = log_slopes(metric, x, starts, steps).reshape(r, k, n, n)
    return returner(x)((double(weights)[..., None, None] * slopes).sum(axis=1))


def _checked(metric: Metric, points: Any, weights: Any, start: Any) -> tuple[Any, Array, Array, Array]:
    """The namespace, points ``(..., k, n)``, weights ``(..., k)`` of sum 1, where to start ``(..., n)``."""
    metric._at(points)
    xp, points = as_floating(points=points)
    if points.ndim < 2:
        raise GeometryError(f"points have shape {tuple(points.shape)}: expected (..., k, n)")
    k, n = points.shape[-2:]
    given = [1.0] * k if weights is None else weights
    _, _, given = as_floating(points=points, weights=given)
    if given.ndim == 0 or given.shape[-1] != k:
        raise GeometryError(
            f"weights have shape {tuple(given.shape)}: expected (..., {k}), one for each of the points"
        )
    check_vectors(xp, given, "weights", None)
    check_where(
        xp, given >= 0, given, "weights", "{point} is {value}: expected it not negative; set it to 0 or more"
    )
    total = xp.sum(given, axis=-1)
    check_where(
        xp,
        total > 0,
        total,
        "weights",
        "{point} sum to {value}: expected a positive sum; give one point weight",
    )
    from_user = None if start is None else as_floating(points=points, start=start)[2]
    shapes = [tuple(points.shape[:-2]), tuple(given.shape[:-1])]
    if from_user is not None:
        metric._at(from_user)
        shapes.append(tuple(from_user.shape[:-1]))
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError:
        raise GeometryError(
            f"batch axes do not broadcast: points {tuple(points.shape)}, weights {tuple(given.shape)}"
            + ("" if from_user is None else f", start {tuple(from_user.shape)}")
            + "; make the leading axes agree"
        ) from None
    points = xp.broadcast_to(points, (*batch, k, n))
    given = xp.broadcast_to(given / total[..., None], (*batch, k))
    x = _heaviest(xp, points, given) if from_user is None else xp.broadcast_to(from_user, (*batch, n))
    return xp, points, given, x


def _heaviest(xp: Any, points: Array, weights: Array) -> Array:
    """The first point with the largest weight, ``(..., n)``."""
    k = weights.shape[-1]
    first = xp.argmax(weights, axis=-1)
    mask = first[..., None] == xp.arange(k, device=array_api_compat.device(points))
    return xp.sum(xp.where(mask[..., None], points, xp.zeros_like(points)), axis=-2)
