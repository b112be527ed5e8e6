"""Ricci flow of homogeneous metrics, where it is a system of ordinary differential equations."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import GeometryError, check_finite, positive
from lnegeom._symmetric import check_symmetric, symmetric_part
from lnegeom.flow.checks import real_array
from lnegeom.flow.recording import sample_times
from lnegeom.flow.singular import singular_time
from lnegeom.flow.solution import Solution
from lnegeom.flow.spaces import HomogeneousSpace, Matrix, checked_space

Vector = NDArray[np.float64]

DIFFERENCE = 1e-12
"""Of a Jacobian, relative to g: as small as rounding allows, since late on SL(2) the velocity is far from
linear over larger ones.
"""
BLOW_UP = 1e8
"""The run stops where ``|Ric|`` exceeds this many times its first value (or 1/t_end, if that is larger)."""


def homogeneous(
    metric: Any,
    space: HomogeneousSpace,
    t_end: float,
    *,
    normalised: bool = False,
    samples: int = 101,
    rtol: float = 1e-11,
) -> Solution:
    """Run the Ricci flow ``∂_t g = −2 Ric`` of a homogeneous metric.

    Symmetry keeps the metric homogeneous, so that its matrix in an invariant frame solves an ordinary
    differential equation, here by scipy's LSODA: Adams' methods, and backward differentiation where the
    equation is stiff, as it is once a long run has come near its limit.

    Parameters
    ----------
    metric : array_like
        Initial metric in the space's frame: a symmetric positive definite matrix ``(n, n)``, or its diagonal
        ``(n,)``.
    space : LieGroup, EinsteinSpace or ProductSpace
    t_end : float
        Final time, positive.
    normalised : bool, default: False
        Keep the volume: ``∂_t g = −2 Ric + (2/n) R g``, which is the flow rescaled in space and time.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2. A run that meets a singularity
        before the next of them takes the solver's own steps from there.
    rtol : float, default: 1e-11
        Relative tolerance of a step.

    Returns
    -------
    Solution
        ``metrics`` has shape ``(T, n, n)``; ``invariants`` holds ``"volume"``, relative to the first,
        ``"scalar_curvature"`` and ``"ricci_norm"``, ``|Ric|``. Status "completed"; or "stopped" where the
        curvature has grown 10⁸-fold, with the last good state at the end and the singular time, an
        extrapolation of ``1/|Ric|`` to zero over the solver's last steps.

    Raises
    ------
    GeometryError
        If the metric is not a metric of the space.
    InputError
        If another argument is out of range.

    Examples
    --------
    The round 3-sphere shrinks as ``r² = 1 − 4t``:

    >>> from lnegeom.flow import LieGroup, homogeneous
    >>> solution = homogeneous([1.0, 1.0, 1.0], LieGroup.named("SU(2)"), t_end=1.0)
    >>> solution.status, round(solution.singular_time, 8)
    ('stopped', 0.25)
    """
    duration = positive("t_end", t_end)
    wanted = sample_times(duration, samples)
    g = _metric(metric, checked_space(space, "space"))
    equation = _Equation(space, g, normalised, duration)
    solved = _solve(equation, g, duration, positive("rtol", rtol))
    # What scipy calls status 1 is an event: of the two, the first is the end.
    completed = len(solved.t_events[0]) > 0
    reached = solved.y[-1]
    times = wanted if completed else _towards_the_singularity(wanted, reached)
    states = [equation.unpack(solved.sol(tau)) for tau in _inner_times(solved, times[1:-1])]
    metrics = np.stack([g, *states, equation.unpack(solved.y[:, -1])])
    invariants = _invariants(space, metrics)
    dt = float(reached[-1] - reached[-2])
    status: Literal["completed", "stopped"] = "completed" if completed else "stopped"
    message, singular = (f"reached t = {duration:g}", None) if completed else _end(equation, solved)
    return Solution(
        space, times, metrics, status, message, dt, invariants, None, singular, equation.evaluations
    )


def _end(equation: _Equation, solved: Any) -> tuple[str, float | None]:
    """Why a run stopped, and the time of its singularity."""
    reached = solved.y[-1]
    norms = np.array([equation.curvature(equation.unpack(y))[1] for y in solved.y.T])
    singular = singular_time(reached, norms)
    reason = (
        f"|Ric| has reached {norms[-1]:.3g}" if solved.success else f"the solver failed: {solved.message}"
    )
    estimate = "" if singular is None else f"; it blows up near t = {singular:.6g}"
    return f"after t = {reached[-1]:.6g} {reason}{estimate}; the last good state is kept", singular


def _towards_the_singularity(wanted: Vector, reached: Vector) -> Vector:
    """The wanted times that were reached, then the solver's own, which crowd towards the end."""
    kept = wanted[wanted < reached[-1]]
    return np.append(kept, reached[reached > kept[-1]])


class _Equation:
    """The flow against τ with ``dτ = (|Ric| + 1/t_end) dt``, for the packed upper triangle of g, and t.

    A singularity at t = T lies at τ = ∞: no step jumps over it, and the curvature grows as an exponential of
    τ.
    """

    def __init__(self, space: HomogeneousSpace, g: Matrix, normalised: bool, t_end: float):
        self._space, self._normalised = space, normalised
        self._upper = np.triu_indices(space.dim)
        self._floor = 1 / t_end
        self.evaluations = 0
        self.limit = BLOW_UP * max(self.curvature(g)[1], self._floor)

    def pack(self, matrix: Matrix, t: float) -> Vector:
        return np.append(matrix[self._upper], t)

    def unpack(self, y: Vector) -> Matrix:
        g = np.zeros((self._space.dim, self._space.dim))
        g[self._upper] = y[:-1]
        return g + np.triu(g, 1).T

    def curvature(self, g: Matrix) -> tuple[Matrix, float, float]:
        """The Ricci tensor, its norm and its trace."""
        ricci = self._space.ricci(g)
        mixed = np.linalg.solve(g, ricci)
        return ricci, math.sqrt(max(0.0, float(np.sum(mixed * mixed.T)))), float(np.trace(mixed))

    def velocity(self, tau: float, y: Vector) -> Vector:
        self.evaluations += 1
        g = self.unpack(y)
        ricci, norm, scalar = self.curvature(g)
        change = -2 * ricci
        if self._normalised:
            change = change + (2 / self._space.dim) * scalar * g
        pace = 1 / (norm + self._floor)
        return self.pack(pace * change, pace)

    def jacobian(self, tau: float, y: Vector) -> Matrix:
        """Of the velocity, by forward differences of sizes that g sets.

        LSODA's own differences follow the entries: where one is zero, they would be rounding errors alone.
        """
        lengths = np.sqrt(np.diagonal(self.unpack(y)))
        sizes = DIFFERENCE * lengths[self._upper[0]] * lengths[self._upper[1]]
        here, result = self.velocity(tau, y), np.zeros((len(y), len(y)))
        for k, size in enumerate(sizes):  # the velocity does not depend on t, the last of y
            there = y.copy()
            there[k] += size
            result[:, k] = (self.velocity(tau, there) - here) / size
        return result


def _solve(equation: _Equation, g: Matrix, t_end: float, rtol: float) -> Any:
    from scipy.integrate import solve_ivp

    def end(tau: float, y: Vector) -> float:
        return float(y[-1] - t_end)

    def blow_up(tau: float, y: Vector) -> float:
        return math.log(max(equation.curvature(equation.unpack(y))[1] / equation.limit, 1e-300))

    events: list[Any] = [end, blow_up]
    for event in events:
        event.terminal = True
    # The metric shrinks by the factor that the curvature grows by; it is followed all the way down.
    atol = rtol * min(float(np.max(np.abs(g))), t_end) / BLOW_UP**1.25
    return solve_ivp(
        equation.velocity,
        (0.0, 2 + equation.limit * t_end),  # beyond any τ at which one of the events falls
        equation.pack(g, 0.0),
        "LSODA",
        dense_output=True,
        events=events,
        rtol=rtol,
        atol=atol,
        jac=equation.jacobian,
    )


def _inner_times(solved: Any, times: Vector) -> list[float]:
    """The τ of times t within the run: t grows with τ, and each lies in a step of the solver."""
    from scipy.optimize import brentq

    found = []
    for t, k in zip(times, np.searchsorted(solved.y[-1], times), strict=True):

        def gap(tau: float, t: float = t) -> float:
            return float(solved.sol(tau)[-1] - t)

        begin, end = solved.t[k - 1], solved.t[k]
        # A time at the end of a step may lie beyond it by a rounding error.
        if gap(begin) >= 0 or gap(end) <= 0:
            found.append(float(begin if gap(begin) >= 0 else end))
        else:
            found.append(float(brentq(gap, begin, end, xtol=1e-14)))
    return found


def _invariants(space: HomogeneousSpace, metrics: NDArray[np.float64]) -> dict[str, Any]:
    mixed = np.linalg.solve(metrics, np.stack([space.ricci(g) for g in metrics]))
    log_volume = 0.5 * np.linalg.slogdet(metrics)[1]
    return {
        "volume": np.exp(log_volume - log_volume[0]),
        "scalar_curvature": np.trace(mixed, axis1=1, axis2=2),
        "ricci_norm": np.sqrt(np.sum(mixed * np.swapaxes(mixed, 1, 2), axis=(1, 2))),
    }


def _metric(metric: Any, space: HomogeneousSpace) -> Matrix:
    g = real_array(metric, "metric")
    n = space.dim
    if g.shape not in ((n,), (n, n)):
        raise GeometryError(f"metric has shape {g.shape}: expected ({n}, {n}), or its diagonal ({n},)")
    check_finite(np, g, "metric")
    g = np.diag(g) if g.ndim == 1 else g
    check_symmetric(np, g, "metric")
    smallest = float(np.linalg.eigvalsh(g)[0])
    if smallest <= 0:
        raise GeometryError(
            f"metric has eigenvalue {smallest:.6g}: expected a positive definite matrix", value=smallest
        )
    space.check(g)
    return np.asarray(symmetric_part(np, g))
