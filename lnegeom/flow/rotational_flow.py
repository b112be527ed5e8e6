"""Ricci flow of rotationally symmetric metrics on spheres and R^n.

With s the distance from a pole, ``g = ds² + ψ(s)² g_S`` has the sectional curvatures ``K₀ = −ψ_ss/ψ`` (planes
that hold the radius) and ``K₁ = (1 − ψ_s²)/ψ²``, and moves by

    ∂_t ψ = ψ_ss − (n − 2)(1 − ψ_s²)/ψ,    ∂_t(ds) = (n − 1)(ψ_ss/ψ) ds

at a fixed particle. Here F(x) = s/ℓ(t), ℓ the length, keeps the points at fixed shares of the length: the
motion of the particles against them, ``V = F ℓ' − (n−1) ∫₀ˢ ψ_ss/ψ ds``, adds ``V ψ_s`` to ``∂_t ψ``. The
result is parabolic in ψ alone, and its spectrum is real.

Reference: S. Angenent and D. Knopf, "An example of neckpinching for Ricci flow on S^{n+1}", Math. Res. Lett.
11 (2004), Eqs. 4–11.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import GeometryError, InputError, check_finite, check_where, positive
from lnegeom.flow.checks import checked_domain, real_array
from lnegeom.flow.recording import Checkpoint, record, sample_times
from lnegeom.flow.solution import Solution
from lnegeom.flow.stabilised import Chebyshev
from lnegeom.flow.warped import WarpedGrid

Field = NDArray[np.float64]

BLOW_UP = 1e6
"""The run stops where the curvature exceeds this many times its first value."""
UNRESOLVED = 1e-3
"""... or where the highest sine modes of ψ exceed this share of its neck (or of its largest value, without a
neck)."""
POLE = 1e-2
"""Deviation of a profile's slope at a pole from 1 that is taken for an error of discretisation."""


def rotational(
    profile: Callable[[Field], Any] | Any,
    length: float,
    grid: WarpedGrid,
    t_end: float,
    *,
    normalised: bool = False,
    samples: int = 101,
    rtol: float = 1e-7,
    progress: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Solution:
    """Run the Ricci flow of ``g = ds² + ψ(s)² g_S``, by itself up to radial diffeomorphisms.

    Sine series in space, the pole conditions ``ψ = 0, |ψ_s| = 1`` exact at all times; in time the stabilised
    Runge–Kutta–Chebyshev method, of order 2, with adaptive steps.

    Parameters
    ----------
    profile : callable or array_like
        ψ, as a function of arrays of s in ``(0, length)``, or by its values at ``s = length *
        grid.fractions()``.
    length : float
        Distance between the poles, or from the pole to the outer end.
    grid : WarpedGrid
    t_end : float
        Final time, positive.
    normalised : bool, default: False
        Keep the volume: ``∂_t g = −2 Ric + (2/n) mean(R) g``. On a sphere only.
    samples : int, default: 101
        Number of evenly spaced times; where the curvature has grown by half since the last, there is a
        further sample.
    rtol : float, default: 1e-7
        Error of a step, relative to each value of ψ and to the length.
    progress : bool, default: False
        Show a progress bar.
    out : path, optional
        A folder that keeps a checkpoint as the run goes. A call with the same arguments goes on from there,
        to the numbers of an uninterrupted run.

    Returns
    -------
    Solution
        ``metrics`` has shape ``(T, N, n, n)``: ``diag((ℓF')², ψ², …, ψ²)`` in the frame of ``dx`` and a unit
        sphere's. In ``invariants``: ``"volume"``, ``"length"``, ``"neck"`` (radius of the thinnest neck, or
        the largest radius if there is none), ``"curvature"`` (largest ``|K|``), ``"scalar_min"``,
        ``"scalar_max"``. Status "stopped" where the curvature has grown 10⁶-fold, or the grid no longer
        resolves a neck; then the singular time is fitted if the curvature grows as ``1/(T − t)``.

    Raises
    ------
    GeometryError
        If the profile is not finite and positive, does not close smoothly at a pole, or is not resolved.
    InputError
        If another argument is out of range.

    Examples
    --------
    The unit 3-sphere shrinks as ``r² = 1 − 4t``:

    >>> import numpy as np
    >>> from lnegeom.flow import WarpedGrid, rotational
    >>> solution = rotational(np.sin, np.pi, WarpedGrid(16), t_end=0.1)
    >>> round(float(solution.invariants["length"][-1] / np.pi) ** 2, 4)
    0.6
    """
    duration, size, allowed = positive("t_end", t_end), positive("length", length), positive("rtol", rtol)
    checked_domain(grid, WarpedGrid)
    if normalised and grid.ends != "sphere":
        raise InputError(
            "the normalised flow keeps a volume: it needs a closed manifold, a grid with ends='sphere'"
        )
    times = sample_times(duration, samples)
    y = np.append(_profile(profile, size, grid), size)
    equation = _Equation(grid, normalised)
    initial = equation.curvature(y)
    equation.limit = BLOW_UP * max(initial, 1 / size**2)
    if problem := equation.defect(0.0, y):
        raise GeometryError(f"profile: {problem}; take more points, or a smoother profile")
    settings = {"flow": "rotational", "grid": grid.to_json(), "t_end": duration, "samples": len(times)}
    settings |= {"rtol": allowed, "normalised": bool(normalised)}
    first = 1e-2 / max(initial, 1 / duration)
    run = record(
        equation,
        Chebyshev(equation.velocity, equation.radius, lambda y: allowed * np.abs(y), first),
        y,
        times,
        progress=progress,
        checkpoint=Checkpoint(out, settings, y) if out is not None else None,
    )
    return run.solution(grid)


def dumbbell(grid: WarpedGrid, neck: float = 0.2) -> tuple[Field, float]:
    """Return a dumbbell's profile and length: two lobes of radius about 1, and a neck between them.

    ``ψ = b [(1 + ν) sin πx + sin 3πx]`` with ``b = 0.65`` and ν the parameter `neck`: the neck's radius is
    ``bν``. In three dimensions it pinches under the flow for ν below about 2.73, and becomes round above; a
    surface always becomes round.

    Parameters
    ----------
    grid : WarpedGrid
        With two poles.
    neck : float, default: 0.2
        ν, positive.

    Returns
    -------
    profile : numpy.ndarray
        Shape ``(points,)``.
    length : float

    Examples
    --------
    >>> from lnegeom.flow import WarpedGrid, dumbbell, rotational
    >>> grid = WarpedGrid(97, focus=0.9)
    >>> solution = rotational(*dumbbell(grid, neck=0.3), grid, t_end=1.0)
    >>> solution.status, round(solution.singular_time, 3)
    ('stopped', 0.021)
    """
    if checked_domain(grid, WarpedGrid).ends != "sphere":
        raise InputError("a dumbbell has two poles: pass a grid with ends='sphere'")
    ratio, scale, x = positive("neck", neck), 0.65, np.pi * grid.fractions()
    return scale * ((1 + ratio) * np.sin(x) + np.sin(3 * x)), float(np.pi * scale * (4 + ratio))


class _Equation:
    """The system for ``y = (ψ₁, …, ψ_N, ℓ)``."""

    title = "rotational Ricci flow"
    limit = np.inf
    """Of the curvature."""

    def __init__(self, grid: WarpedGrid, normalised: bool):
        self._grid, self._normalised = grid, normalised
        self._op, self._shares, self._fibre = grid.operators, grid.fractions(), grid.dim - 1

    def _derivatives(self, y: Field) -> tuple[Field, Field, Field, float]:
        """ψ, ψ_s, ψ_ss and ℓ."""
        psi, length = y[:-1], float(y[-1])
        far = self._grid.slope * length  # the part that is linear in x is no sine series
        chi = psi - far * self._shares
        return psi, (far + self._op.first @ chi) / length, self._op.second @ chi / length**2, length

    def _curvatures(self, y: Field) -> tuple[Field, Field]:
        psi, p, pp, _ = self._derivatives(y)
        return -pp / psi, (1 - p**2) / psi**2

    def _scalar(self, y: Field) -> Field:
        K0, K1 = self._curvatures(y)
        scalar: Field = 2 * self._fibre * K0 + self._fibre * (self._fibre - 1) * K1
        return scalar

    def curvature(self, y: Field) -> float:
        """Largest absolute sectional curvature: of both kinds, unless the fibre is a circle."""
        K0, K1 = self._curvatures(y)
        return float(max(np.max(np.abs(K0)), np.max(np.abs(K1)) if self._fibre > 1 else 0.0))

    def velocity(self, t: float, y: Field) -> Field:
        psi, p, pp, length = self._derivatives(y)
        stretch = self._fibre * pp / psi
        growth = length * float(self._op.mean @ stretch)
        drift = self._shares * growth - length * (self._op.integral @ stretch)
        change = pp - (self._fibre - 1) * (1 - p**2) / psi + drift * p
        if self._normalised:
            weights = self._grid.weights * psi**self._fibre
            rate = float(weights @ self._scalar(y) / np.sum(weights)) / self._grid.dim
            change, growth = change + rate * psi, growth + rate * length
        # Off the pole conditions the equation is ill-posed: the velocity is held to them, ψ_x = ±ℓ there.
        linear = self._grid.slope * growth
        error = growth - linear - self._op.slopes @ (change - linear * self._shares)
        return np.append(change + self._op.correction @ error, growth)

    def radius(self, t: float, y: Field) -> float:
        # The largest eigenvalue about a sphere lies within 5 % of the second derivative's for n ≤ 4.
        waves = (np.pi * self._grid.points / (y[-1] * (1 - self._grid.focus))) ** 2
        return float((1.1 + 0.05 * self._fibre) * waves + 8 * self._fibre * self.curvature(y))

    def neck(self, psi: Field) -> float:
        inner = psi[1:-1]
        minima = inner[(inner < psi[:-2]) & (inner <= psi[2:])]
        return float(np.min(minima)) if len(minima) else float(np.max(psi))

    def defect(self, t: float, y: Field) -> str | None:
        psi = y[:-1]
        if not np.all(np.isfinite(y)) or np.min(psi) <= 0:
            return "the radius ceased to be positive"
        if (curvature := self.curvature(y)) > self.limit:
            return f"the curvature has reached {curvature:.3g}"
        modes = np.abs(self._op.modes @ (psi - self._grid.slope * y[-1] * self._shares))
        tail = float(np.max(modes[-max(2, self._grid.points // 16) :]))
        if tail > UNRESOLVED * self.neck(psi):
            return (
                f"{self._grid.points} points do not resolve the profile (its last modes are {tail:.2g}, "
                f"its neck {self.neck(psi):.2g})"
            )
        return None

    def observe(self, t: float, y: Field) -> tuple[Field, dict[str, float]]:
        psi, length = y[:-1], float(y[-1])
        metric = np.zeros((len(psi), self._grid.dim, self._grid.dim))
        metric[:, 0, 0] = (length * self._grid.stretch()) ** 2
        for k in range(1, self._grid.dim):
            metric[:, k, k] = psi**2
        scalar = self._scalar(y)
        return metric, {
            "volume": float(self._grid.integrate(length * self._grid.stretch() * psi**self._fibre)),
            "length": length,
            "neck": self.neck(psi),
            "curvature": self.curvature(y),
            "scalar_min": float(np.min(scalar)),
            "scalar_max": float(np.max(scalar)),
        }


def _profile(profile: Any, length: float, grid: WarpedGrid) -> Field:
    """Values of the profile, checked, and held to the pole conditions."""
    values = profile(length * grid.fractions()) if callable(profile) else profile
    psi = real_array(values, "profile", "real numbers or a function that returns them")
    if psi.shape != grid.shape:
        raise GeometryError(
            f"profile has shape {psi.shape}: expected {grid.shape}, a radius at each "
            "s = length * grid.fractions()"
        )
    check_finite(np, psi, "profile")
    check_where(
        np, psi > 0, psi, "profile", "{point} is {value}: expected a positive radius between the ends"
    )
    op, far = grid.operators, grid.slope * length
    error = length - far - op.slopes @ (psi - far * grid.fractions())
    for pole, value in enumerate(error):
        if abs(value) > POLE * length:
            raise GeometryError(
                f"profile has slope {1 - value / length:.4g} at pole {pole}: expected 1, where it closes "
                "smoothly; check length, and for ends='space' the grid's slope at the outer end",
                value=float(1 - value / length),
            )
    corrected: Field = psi + op.correction @ error
    return corrected
