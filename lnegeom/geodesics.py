"""Geodesics: the exponential map and its inverse, distance, parallel transport.

Initial value problems go to scipy's eighth-order Runge–Kutta method, boundary value problems to shooting with
its least-squares solver, in float64. A step costs a few `christoffel_apply`, which are O(n) where the
metric's structure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, as_floating, positive, to_numpy
from lnegeom.metrics import Metric

__all__ = ["Geodesic", "distance", "exp", "geodesic", "log", "parallel_transport"]

_TOLERANCE = 1e-10
_SMALLEST_STEP = 1e-12


@dataclass(frozen=True)
class Geodesic:
    """A geodesic through time.

    Attributes
    ----------
    times : array
        Shape ``(T,)``; those asked for, or up to where the manifold was left.
    points, velocities : array
        Shape ``(T, n)``.
    status : str
        "completed", or "left" if the geodesic leaves the manifold, or its chart, in finite time.
    message : str
        What happened, and when.
    """

    times: Array
    points: Array
    velocities: Array
    status: str
    message: str


def geodesic(metric: Metric, x: Any, v: Any, t_end: float = 1.0, *, samples: int = 101) -> Geodesic:
    """The geodesic from a point with a velocity, ``γ̈^k = −Γ^k_ij γ̇^i γ̇^j``.

    Parameters
    ----------
    metric : Metric
        Riemannian or not.
    x, v : array
        One point and one velocity, ``(n,)``.
    t_end : float
        Length of time, positive.
    samples : int
        Number of times, evenly from 0 to `t_end`, at least 2.

    Returns
    -------
    Geodesic
        With status "left", and the part before, if the manifold is left on the way.

    Raises
    ------
    GeometryError
        If the point lies outside the manifold, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> found = lnegeom.geodesic(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 1.0])
    >>> found.status, bool(np.isclose(found.points[-1, 1], np.e))
    ('completed', True)
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be an integer of at least 2, got {samples!r}")
    x, v, back = _one_point(metric, x, v)
    times = np.linspace(0, positive("t_end", t_end), samples)
    states, reached = _integrate(metric, x, v, None, times)
    n = x.size
    if len(states) == samples:
        status, message = "completed", f"reached t = {times[-1]:g}"
    else:
        status, message = "left", f"the geodesic leaves the manifold near t = {reached:.6g}"
    return Geodesic(
        back(times[: len(states)]), back(states[:, :n]), back(states[:, n : 2 * n]), status, message
    )


def exp(metric: Metric, x: Any, v: Any) -> Array:
    """Exponential map: the point ``(..., n)`` where the geodesic from x with velocity v is at time 1.

    Raises
    ------
    GeometryError
        If the geodesic leaves the manifold before time 1, naming when.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.exp(lnegeom.Sphere(2), [0.0, 0.0], [0.25, 0.0]).round(9)
    array([0.25534192, 0.        ])
    """
    return _pointwise(metric, x, v, _exp)


def parallel_transport(metric: Metric, x: Any, v: Any, w: Any) -> Array:
    """Vectors w ``(n,)`` or ``(m, n)`` carried along the geodesic from x with velocity v, to time 1.

    Raises
    ------
    GeometryError
        If the geodesic leaves the manifold before time 1.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.parallel_transport(lnegeom.Euclidean(2), [0.0, 0.0], [1.0, 0.0], [0.0, 1.0])
    array([0., 1.])
    """
    point, velocity, back = _one_point(metric, x, v)
    given = to_numpy(as_floating(w=w)[1]).astype(np.float64)
    vectors = np.atleast_2d(given)
    if vectors.shape[-1] != point.size:
        raise GeometryError(f"w has shape {vectors.shape}: expected (n,) or (m, n) with n = {point.size}")
    states, reached = _integrate(metric, point, velocity, vectors, np.array([0.0, 1.0]))
    if len(states) < 2:
        raise GeometryError(_left(reached))
    return back(states[-1, 2 * point.size :].reshape(given.shape))


def log(metric: Metric, x: Any, y: Any) -> Array:
    """Logarithm: the velocity ``(..., n)`` at x of a geodesic that is at y at time 1, by shooting.

    It is the shortest one where y lies in a convex ball around x; beyond, it is a geodesic, if one is found.

    Raises
    ------
    GeometryError
        If shooting does not arrive, with how far it remained.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.log(lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 2.0]).round(9)
    array([0.        , 0.69314718])
    """
    return _pointwise(metric, x, y, _log, name="y")


def distance(metric: Metric, x: Any, y: Any) -> Array:
    """Length ``(...)`` of the geodesic that `log` finds: the distance where y is in a convex ball around x.

    Raises
    ------
    GeometryError
        If the metric is not Riemannian, or no geodesic is found.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.distance(lnegeom.PoincareBall(2), [0.0, 0.0], [0.5, 0.0])), 9)  # 2 artanh ½
    1.098612289
    """
    if metric.signature[1]:
        raise GeometryError(f"{metric!r} is indefinite, so points have no distance")
    return metric.norm(x, log(metric, x, y))


# --- numerics, on numpy float64 ------------------------------------------------------------------------


def _exp(metric: Metric, x: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    states, reached = _integrate(metric, x, v, None, np.array([0.0, 1.0]))
    if len(states) < 2:
        raise GeometryError(_left(reached))
    image: NDArray[Any] = states[-1, : x.size]
    return image


def _log(metric: Metric, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    from scipy.optimize import least_squares

    metric.matrix(y)  # y must lie in the chart

    def miss(v: NDArray[Any]) -> NDArray[Any]:
        try:
            gap: NDArray[Any] = _exp(metric, x, v) - y
            return gap
        except GeometryError:
            return np.full_like(y, 1e3 * (1 + np.abs(y).max()))  # a step too far: the solver shortens it

    start = y - x
    # The second-order retraction's inverse starts the iteration an order closer than the straight line does.
    start = start + metric.christoffel_apply(x, start, start) / 2
    found = least_squares(miss, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    missed = float(np.abs(found.fun).max())
    if not missed < 1e3 * _TOLERANCE * (1 + np.abs(y).max()):
        raise GeometryError(
            f"shooting from x did not arrive at y: it remained {missed:.3g} away; y may be past a conjugate "
            "point, or out of reach within the chart"
        )
    return np.asarray(found.x)


def _integrate(
    metric: Metric,
    x: NDArray[Any],
    v: NDArray[Any],
    carried: NDArray[Any] | None,
    times: NDArray[Any],
) -> tuple[NDArray[Any], float]:
    """States (T', …) of point, velocity and carried vectors at the times, and the time that was reached."""
    from scipy.integrate import DOP853

    n = x.size

    def slope(_: float, state: NDArray[Any]) -> NDArray[Any]:
        velocity, vectors = state[n : 2 * n], state[n:].reshape(-1, n)
        turned = -metric.christoffel_apply(state[:n], velocity, vectors)
        return np.concatenate([velocity, turned.ravel()])

    state = np.concatenate([x, v] if carried is None else [x, v, carried.ravel()])
    slope(0.0, state)  # a first point outside the manifold raises here, by name
    now, kept, longest = 0.0, [state], np.inf
    while len(kept) < len(times):
        try:
            solver = DOP853(slope, now, state, times[-1], max_step=longest, rtol=_TOLERANCE, atol=_TOLERANCE)
            while len(kept) < len(times):
                if solver.status != "running":
                    return np.array(kept), now
                solver.step()
                between = solver.dense_output()
                while len(kept) < len(times) and times[len(kept)] <= solver.t:
                    kept.append(between(times[len(kept)]))
                now, state = solver.t, solver.y
        except GeometryError:
            # A stage of the step fell outside; go on from the last good state with shorter steps.
            longest = min(longest, max(times[-1] - now, 0.0)) / 4
            if longest < _SMALLEST_STEP * max(1.0, times[-1]):
                break
    return np.array(kept), now


# --- to and from the user's arrays -----------------------------------------------------------------------


def _returner(like: Array) -> Callable[[NDArray[Any]], Array]:
    xp, device = array_api_compat.array_namespace(like), array_api_compat.device(like)
    return lambda array: xp.asarray(np.ascontiguousarray(array), dtype=like.dtype, device=device)


def _one_point(metric: Metric, x: Any, v: Any) -> tuple[NDArray[Any], NDArray[Any], Any]:
    metric._at(x, v=v)  # checks
    _, x, v = as_floating(x=x, v=v)
    if x.ndim != 1 or v.ndim != 1:
        raise GeometryError(
            f"expected one point and one vector (n,), got {tuple(x.shape)} and {tuple(v.shape)}"
        )
    return to_numpy(x).astype(np.float64), to_numpy(v).astype(np.float64), _returner(x)


def _pointwise(
    metric: Metric,
    x: Any,
    other: Any,
    function: Callable[[Metric, NDArray[Any], NDArray[Any]], NDArray[Any]],
    name: str = "v",
) -> Array:
    """Apply a function of one point and one vector over broadcast batch axes, naming the one that fails."""
    metric._at(x, **{name: other})
    _, x, other = as_floating(x=x, **{name: other})
    back = _returner(x)
    points, vectors = np.broadcast_arrays(to_numpy(x).astype(np.float64), to_numpy(other).astype(np.float64))
    result = np.empty(points.shape)
    for index in np.ndindex(points.shape[:-1]):
        try:
            result[index] = function(metric, points[index], vectors[index])
        except GeometryError as error:
            where = f"at x[{', '.join(map(str, index))}]: " if index else ""
            raise GeometryError(f"{where}{error}", index=index, value=error.value) from None
    return back(result)


def _left(reached: float) -> str:
    return f"the geodesic leaves the manifold near t = {reached:.6g}, before t = 1; shorten the velocity"
