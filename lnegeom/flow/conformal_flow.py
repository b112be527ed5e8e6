"""Ricci flow of conformal metrics ``w (dx² + dy²)`` on the 2-torus: one scalar instead of three
components.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import array_api_compat

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_finite, check_where, positive
from lnegeom.flow.grid import TorusGrid
from lnegeom.flow.integrators import integrating_factor_rk4
from lnegeom.flow.march import Checkpoint, march, sample_times
from lnegeom.flow.solution import Solution
from lnegeom.flow.spectral import Transforms

ACCURACY = 0.05
"""Default step, times the decay rate of the initial factor's deviation from its mean."""


def conformal(
    factor: Array,
    grid: TorusGrid,
    t_end: float,
    *,
    dt: float | None = None,
    samples: int = 101,
    dealias: bool = True,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
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
        Largest time step; it is lowered to divide the sampling interval. By default 0.05 of the decay time of
        the initial deviation of w from its mean.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2.
    dealias : bool, default: True
        Filter ``log w`` by the 2/3 rule.
    progress : bool, default: False
        Show a progress bar.
    checkpoint : path, optional
        File that keeps the state of the run. If it exists the run goes on from there, to the same numbers.

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
    if grid.dim != 2:
        raise InputError(f"conformal flows live on the 2-torus, got a grid of dimension {grid.dim}")
    duration = positive("t_end", t_end)
    times = sample_times(duration, samples)
    xp, w = as_floating(factor=factor)
    _check(xp, w, grid)
    equation = _Equation(xp, grid, w, dealias)
    largest = equation.default_step(w) if dt is None else positive("dt", dt)
    interval = duration / (samples - 1)
    actual = interval / max(1, math.ceil(interval / largest * (1 - 1e-12)))
    settings = {
        "flow": "conformal",
        "grid": grid.to_json(),
        "t_end": duration,
        "samples": samples,
        "dt": actual,
    }
    run = march(
        equation.stepper(actual),
        equation.transforms.forward(w),
        times,
        equation.observe,
        equation.defect,
        title="conformal Ricci flow",
        progress=progress,
        checkpoint=Checkpoint(Path(checkpoint), {**settings, "dealias": dealias}, (w,))
        if checkpoint
        else None,
    )
    solution = run.solution(grid, f": lower dt (it was {actual:.3g}) or refine the grid")
    return replace(solution, dt=actual)


class _FixedStep:
    """Steps of one size; a step that ends near a limit ends there."""

    def __init__(self, step: Any, h: float):
        self._step, self.h = step, h

    def __call__(self, t: float, y: Array, limit: float) -> tuple[float, Array]:
        following = t + self.h
        return (limit if following > limit - 0.5 * self.h else following), self._step(y)


class _Equation:
    """The flow for the Fourier coefficients of w."""

    def __init__(self, xp: Any, grid: TorusGrid, w: Array, dealias: bool):
        self._xp, self._grid = xp, grid
        self.transforms = Transforms(grid, xp, xp.stack([w, w], axis=-1)[..., None], dealias=dealias)
        self._pace = 1 / float(xp.min(w))

    def _laplacian_of_log(self, coefficients: Array) -> Array:
        log = self._xp.log(self.transforms.backward(coefficients))
        return self.transforms.laplacian * self.transforms.forward(log)

    def stepper(self, dt: float) -> _FixedStep:
        linear = self._pace * self.transforms.laplacian

        def nonlinear(u: Array) -> Array:
            return self.transforms.retained * (self._laplacian_of_log(u) - linear * u)

        return _FixedStep(integrating_factor_rk4(self._xp, linear, nonlinear, dt), dt)

    def default_step(self, w: Array) -> float:
        xp = self._xp
        energy = xp.abs(self.transforms.forward(w)) ** 2
        laplacian = self.transforms.laplacian
        deviation = float(xp.sum(xp.where(laplacian < 0, energy, xp.zeros_like(energy))))
        gradient = -float(xp.sum(laplacian * energy))
        rate = gradient / deviation if deviation > 0 else self._grid.smallest_eigenvalue()
        return ACCURACY / (rate * self._pace)

    def defect(self, t: float, u: Array) -> str | None:
        w = self.transforms.backward(u)
        if not bool(self._xp.all(self._xp.isfinite(w))):
            return "the factor ceased to be finite"
        return None if bool(self._xp.min(w) > 0) else "the factor ceased to be positive"

    def observe(self, t: float, u: Array) -> tuple[Array, dict[str, float]]:
        xp, w = self._xp, self.transforms.backward(u)
        scalar = -self.transforms.backward(self._laplacian_of_log(u)) / w
        metric = w[..., None, None] * xp.eye(2, dtype=w.dtype, device=array_api_compat.device(w))
        return metric, {
            "volume": float(self._grid.integrate(w)),
            "scalar_min": float(xp.min(scalar)),
            "scalar_max": float(xp.max(scalar)),
        }


def _check(xp: Any, w: Array, grid: TorusGrid) -> None:
    if tuple(w.shape) != grid.shape:
        raise GeometryError(
            f"factor has shape {tuple(w.shape)}: expected {grid.shape}, a number at each grid point"
        )
    check_finite(xp, w, "factor")
    check_where(xp, w > 0, w, "factor", "{point} is {value}: expected a positive factor w of the metric w δ")
