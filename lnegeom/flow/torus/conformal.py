"""Ricci flow of conformal metrics ``w (dx² + dy²)`` on the 2-torus: one scalar instead of three
components.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_finite,
    check_where,
    entry,
    positive,
)
from lnegeom.flow.checks import checked_domain
from lnegeom.flow.recording import Checkpoint, record, sample_times
from lnegeom.flow.solution import Solution
from lnegeom.flow.stabilised import StepTooSmall
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.integrators import IntegratingFactorRK4
from lnegeom.flow.torus.march import Halted, March
from lnegeom.flow.torus.rhs import LeftCone
from lnegeom.flow.torus.spectral import Modes

FIRST = 0.05
"""First step, times the decay rate of the initial factor's deviation from its mean."""


def conformal(
    factor: Array,
    grid: TorusGrid,
    t_end: float,
    *,
    dt: float | None = None,
    tolerance: float = 1e-6,
    samples: int = 101,
    dealias: bool = True,
    progress: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Solution:
    """Run the Ricci flow ``∂_t w = Δ log w`` of a conformal metric ``w δ`` on the 2-torus.

    In two dimensions ``Ric = ½ R g`` keeps the conformal class, and the DeTurck vector of a conformal metric
    vanishes: the flow is a scalar one, and a solution of the Ricci–DeTurck flow too. The area does not change
    (Gauss–Bonnet), so that the normalised flow is this same one, and w tends to its mean.

    Fourier in space; in time the fourth-order Runge–Kutta method with the linear part ``Δ / min w(0)``
    integrated exactly, which is stable at any step: the minimum of w only grows.

    Parameters
    ----------
    factor : array
        Initial w, shape ``grid.shape``, positive; numpy, torch, or another array-API library, float32 or
        float64.
    grid : TorusGrid
        Of dimension 2.
    t_end : float
        Final time, positive.
    dt : float, optional
        A fixed time step; it is lowered to divide the sampling interval. By default the step adapts to
        `tolerance`.
    tolerance : float, default: 1e-6
        Greatest estimated error of a step, relative to the root mean square of ``w − mean w``.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2.
    dealias : bool, default: True
        Keep modes up to a third of the points an axis (the 2/3 rule). The sampled metric at t = 0 is the one
        given.
    progress : bool, default: False
        Show a progress bar.
    out : path, optional
        A folder that keeps a checkpoint as the run goes. A call with the same arguments goes on from there,
        to the numbers of an uninterrupted run.

    Returns
    -------
    Solution
        ``metrics`` has shape ``(T, *grid.shape, 2, 2)``. In ``invariants``: ``"volume"`` (the area),
        ``"scalar_min"`` and ``"scalar_max"`` of the scalar curvature ``−Δ log w / w``. Status "stopped", with
        the last good state at the end, if w ceased to be positive and finite.

    Raises
    ------
    GeometryError
        If w has the wrong shape, or is not finite and positive somewhere.
    InputError
        If the grid is not of dimension 2, or another argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import TorusGrid, conformal, king_conformal
    >>> grid = TorusGrid((32, 32))
    >>> start, end = (king_conformal(grid, t)[..., 0, 0] for t in (0.0, 1.0))
    >>> solution = conformal(start, grid, 1.0, samples=2)
    >>> bool(np.max(np.abs(solution.metrics[-1, ..., 0, 0] - end)) < 1e-7)
    True
    """
    if checked_domain(grid, TorusGrid).dim != 2:
        raise InputError(f"conformal flows live on the 2-torus, got a grid of dimension {grid.dim}")
    duration = positive("t_end", t_end)
    times = sample_times(duration, samples)
    xp, w = as_floating(factor=factor)
    _check(xp, w, grid)
    equation = _Equation(xp, grid, w, dealias)
    allowed = positive("tolerance", tolerance)
    step = equation.stepper(duration, len(times) - 1, dt, allowed)
    settings = {"flow": "conformal", "grid": grid.to_json(), "t_end": duration, "samples": len(times)}
    settings |= {"dt": None if dt is None else float(dt), "tolerance": allowed, "dealias": bool(dealias)}
    run = record(
        equation,
        step,
        equation.start,
        times,
        progress=progress,
        checkpoint=Checkpoint(out, settings, w) if out is not None else None,
    )
    advice = "" if dt is None else f" or lower dt (it was {run.state[2]:.3g})"
    return replace(run.solution(grid, f": refine the grid{advice}"), dt=run.state[2])


class _Stepper:
    """From limit to limit by a `March`, which divides the time between them."""

    def __init__(self, march: March):
        self.march = march

    @property
    def h(self) -> float:
        """The next step."""
        return self.march.dt

    @h.setter
    def h(self, value: float) -> None:
        self.march.dt = value

    def __call__(self, t: float, y: Array, limit: float) -> tuple[float, Array]:
        if t != self.march.time:  # resumed
            self.march.restore(y, t, self.march.dt, self.march.dt)
        try:
            self.march.to(limit, lambda: None)
        except Halted as reason:
            if self.march.time > t:
                return self.march.time, self.march.u  # as far as it came; the next call is refused
            if reason.coefficients is not None:
                raise StepTooSmall("the factor ceased to be positive") from None
            raise StepTooSmall("the step that the tolerance asks for became too small") from None
        return self.march.time, self.march.u


class _Equation:
    """The flow for the Fourier coefficients of w."""

    title = "conformal Ricci flow"

    def __init__(self, xp: Any, grid: TorusGrid, w: Array, dealias: bool):
        self._xp, self._grid, self._given = xp, grid, w
        self.modes = Modes(grid, xp, w, dealias=dealias)
        # The Laplacian of δ in the coordinates along the lattice vectors.
        inverse = np.asarray(np.linalg.inv(grid.frame.T @ grid.frame), dtype=np.float64)
        self._laplacian = self.modes.laplacian(inverse)
        self._linear = self._laplacian / entry(xp.min(w))
        self.start = self.modes.forward(w)

    def _laplacian_of_log(self, u: Array) -> Array:
        w = self.modes.backward(u)
        if not bool(self._xp.all(w > 0)):
            raise LeftCone(u)
        return self._laplacian * self.modes.forward(self._xp.log(w))

    def _nonlinear(self, u: Array) -> Array:
        return self._laplacian_of_log(u) - self._linear * u

    def stepper(self, duration: float, intervals: int, dt: float | None, tolerance: float) -> _Stepper:
        interval = duration / intervals
        method = IntegratingFactorRK4(self._xp, self._linear, self._nonlinear)
        if dt is None:
            first, allowed = min(interval, self._first_step()), tolerance
        else:
            # A fixed step divides the time from sample to sample.
            first, allowed = interval / max(1, math.ceil(interval / positive("dt", dt) * (1 - 1e-12))), None
        try:
            return _Stepper(March(method, self.modes, self.start, first, allowed, duration))
        except LeftCone:
            raise GeometryError(
                "factor ceases to be positive when it is cut to the modes that the 2/3 rule keeps: refine "
                "the grid, or pass dealias=False"
            ) from None

    def _first_step(self) -> float:
        xp, energy = self._xp, self._xp.abs(self.start) ** 2
        deviation = entry(xp.sum(xp.where(self._linear < 0, energy, xp.zeros_like(energy))))
        gradient = -entry(xp.sum(self._linear * energy))
        return FIRST * deviation / gradient if gradient > 0 else math.inf

    def curvature(self, u: Array) -> None:
        """Singularities are none: the area is constant."""

    def defect(self, t: float, u: Array) -> str | None:
        return None if bool(self._xp.min(self.modes.backward(u)) > 0) else "the factor ceased to be positive"

    def observe(self, t: float, u: Array) -> tuple[Array, dict[str, float]]:
        xp = self._xp
        w = self.modes.backward(u)
        scalar = -self.modes.backward(self._laplacian_of_log(u)) / w
        shown = self._given if t == 0 else w
        metric = shown[..., None, None] * xp.eye(2, dtype=w.dtype, device=array_api_compat.device(w))
        return metric, {
            "volume": entry(self._grid.integrate(shown)),
            "scalar_min": entry(xp.min(scalar)),
            "scalar_max": entry(xp.max(scalar)),
        }


def _check(xp: Any, w: Array, grid: TorusGrid) -> None:
    if tuple(w.shape) != grid.shape:
        raise GeometryError(
            f"factor has shape {tuple(w.shape)}: expected {grid.shape}, a number at each grid point"
        )
    check_finite(xp, w, "factor")
    check_where(xp, w > 0, w, "factor", "{point} is {value}: expected a positive factor w of the metric w δ")
