"""The rate at which a solution decays, fitted where only the lowest modes are left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.checks import checked_domain
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.shells import Shell, lowest_shell, next_eigenvalue
from lnegeom.flow.solution import Solution
from lnegeom.flow.torus.grid import TorusGrid

Decaying = Literal["norm", "max_riemann"]
"""What decays: the perturbation's norm, or the curvature."""
CONTAMINATION = 1e-3
"""Amplitude left of the second shell, relative to the first's, where the fit starts; and the least share of
what decays that a shell has to be, to be one of them.
"""
FLOOR = 1e3
"""The fit stops where the norm falls below this many rounding errors."""
MIN_SAMPLES = 8
MIN_DECAY = 1.0
"""Least number of e-foldings of the first shell in the window."""


@dataclass(frozen=True)
class DecayRate:
    """A fitted exponential rate, beside the one of the linear theory.

    Attributes
    ----------
    rate : float
        Minus the slope of the logarithm of what was fitted: by default the L² norm, mean-free where the mean
        stays.
    standard_error : float
        Standard error of the slope by least squares. It measures the scatter about a straight line, not the
        bias of the modes that the window has not outlived: see `drift`.
    theory : float
        The linear theory's rate for these data: the eigenvalue of −Δ, for the background δ, of the lowest
        shell of modes that they hold; of the lattice on a torus, of the box with values given on its
        boundary.
    shell : int
        Number of that shell: 1 where `theory` is λ₁, the domain's first eigenvalue, 2 where it is λ₂ …
    relative_difference : float
        ``rate / theory − 1``.
    window : tuple of float
        First and last time of the fit.
    drift : float
        Rate in the later half of the window less that in the earlier: the bend that the fit ignores.
    limit_theory : float
        The same at the limit: on a torus that is flat, ``g∞ = mean g`` at the last time, and in general not
        δ; the late rate is the least ``g∞^{ab} k_a k_b`` of the shell's wavevectors. Under plain Ricci flow
        the limit is not constant, and this near it.
    limit_shift : float
        ``‖mean g(t) − mean g(0)‖`` from the first to the last time, in operator norm: how far the limit is
        from the initial mean; 0 where the boundary holds the limit.
    """

    rate: float
    standard_error: float
    theory: float
    shell: int
    relative_difference: float
    window: tuple[float, float]
    drift: float
    limit_theory: float
    limit_shift: float


def decay_rate(solution: Solution, of: Decaying = "norm") -> DecayRate:
    """Fit ``‖h − mean h‖₂ ∝ exp(−rate · t)`` to the late part of a solution.

    The rate is compared with that of the lowest shell of modes that makes up more than a thousandth of h at
    the last time of the fit (of its linearised curvature at the first time, where that is fitted): of the
    first shell for almost all data, since the flow fills it at second order. Data without it, such as a plane
    wave of a higher mode, decay at the rate of theirs: `shell` and `theory` say which.

    The window starts at ``t = log(1000) / (λ₂ − λ₁)``, when the linear flow has reduced the second shell of
    modes a thousandfold against the first (λ₁ < λ₂ are the first two eigenvalues of −Δ, or a higher shell's
    and that of the next that h(0) holds, at most 4λ₁; the two are taken to start with amplitudes of one
    order). It stops where the norm meets a thousand rounding errors of the metric, ``1000 eps √volume``.

    Plain Ricci flow does not move pure gauge, so that h stays; its geometry decays: there fit
    ``of="max_riemann"``, the invariant ``sup |Rm|``.

    What to expect: for mean-free data of size ε in the lowest shell of a rectangular torus the rate is
    ``λ₁ (1 + O(ε²))``, on a hexagonal one only late. A mean of size ε shifts it by O(ε), because the limit is
    then another flat torus: `limit_theory` is the rate there.

    Parameters
    ----------
    solution : Solution
    of : {"norm", "max_riemann"}, default: "norm"
        What decays: the perturbation's norm, or the curvature, which the flow must have recorded.

    Raises
    ------
    InputError
        If the metric is not δ on the faces of a box, so that ``g − δ`` has another limit. If `of` is unknown
        or was not recorded. If the window holds fewer than 8 samples or less than one e-folding: the run is
        too short, sampled too coarsely, or meets the rounding errors too early; the message says how long it
        should be. On a domain whose spectrum is not known.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, decay_rate, perturbed_flat, ricci_deturck
    >>> grid = TorusGrid((16, 16))
    >>> fit = decay_rate(ricci_deturck(perturbed_flat(grid, 0.01, seed=0), grid, t_end=12.0))
    >>> abs(fit.relative_difference) < 1e-3, fit.limit_shift < 0.01**2
    (True, True)
    """
    checked_domain(solution, Solution, "solution")
    times = to_numpy(solution.times).astype(np.float64)
    domain = solution.grid
    if not isinstance(domain, SpectralDomain):
        raise InputError(f"no spectrum to compare with is known on {domain!r}: fit a torus or a box")
    if isinstance(domain, BoxGrid):
        _check_faces(solution, domain)
    norm, scale = _decaying(solution, domain, of)
    floor = FLOOR * float(np.finfo(norm.dtype).eps) * scale
    above = norm > floor
    # It only falls, so the first sample below the floor ends the window.
    end = len(norm) if bool(above.all()) else int(np.argmin(above))
    shell = lowest_shell(
        _mean_free(solution, domain, 0 if of == "max_riemann" else max(end - 1, 0)),
        domain,
        CONTAMINATION,
        of == "max_riemann",
    )
    first = shell.eigenvalue
    second = next_eigenvalue(shell, _mean_free(solution, domain, 0), domain, CONTAMINATION)
    start = -math.log(CONTAMINATION) / (second - first)
    inside = np.flatnonzero(times[:end] >= start)
    if len(inside) < MIN_SAMPLES or first * (times[inside[-1]] - times[inside[0]]) < MIN_DECAY:
        reach = -math.log(FLOOR * float(np.finfo(norm.dtype).eps))
        raise InputError(_too_short(times, end, start, first, reach))
    t, y = times[inside], np.log(norm[inside].astype(np.float64))
    slope, error = _slope(t, y)
    half = len(t) // 2
    drift = _slope(t[:half], y[:half])[0] - _slope(t[half:], y[half:])[0]
    window = (float(t[0]), float(t[-1]))
    limit = _limit(solution, shell)
    return DecayRate(-slope, error, first, shell.number, -slope / first - 1, window, drift, *limit)


def _check_faces(solution: Solution, box: BoxGrid) -> None:
    """Raise unless ``g = δ`` on the faces at the last time: where it is not, ``g − δ`` does not decay."""
    h = np.abs(to_numpy(solution.metrics[-1, ...]) - np.eye(box.dim))
    h[(slice(1, -1),) * box.dim] = 0
    if (largest := float(np.max(h))) > FLOOR * float(np.finfo(np.float64).eps):
        raise InputError(
            f"the metric on the faces differs from δ by {largest:.3g}: g − δ does not decay to 0, and no "
            "rate is known; give g = δ there"
        )


def _decaying(solution: Solution, domain: SpectralDomain, of: str) -> tuple[NDArray[Any], float]:
    """What is fitted, and how many rounding errors of the metric it takes at most."""
    if of == "norm":
        norm = solution.perturbation_norm("l2", mean_free=domain.keeps_mean)
        return to_numpy(norm), math.sqrt(domain.volume)
    if of != "max_riemann":
        raise InputError(f'of must be "norm" or "max_riemann", got {of!r}')
    if of not in solution.invariants or not isinstance(domain, TorusGrid):
        raise InputError('sup |Rm| was not recorded: run the flow on a torus with invariants="max_riemann"')
    # Second derivatives multiply the errors of the shortest waves.
    return to_numpy(solution.invariants[of]), sum((math.pi / h) ** 2 for h in domain.spacing)


def _mean_free(solution: Solution, domain: SpectralDomain, index: int) -> NDArray[np.float64]:
    """The perturbation at a sample, without what stays."""
    g = to_numpy(solution.metrics[index, ...]).astype(np.float64)
    h = g - (np.eye(domain.dim) if solution.background is None else to_numpy(solution.background))
    return h - np.mean(h, axis=tuple(range(domain.dim))) if domain.keeps_mean else h


def _limit(solution: Solution, shell: Shell) -> tuple[float, float]:
    """Rate of the shell's modes at the limit, and how far that is from the initial mean."""
    grid = solution.grid
    if not isinstance(grid, TorusGrid):
        return shell.eigenvalue, 0.0
    points = tuple(range(grid.dim))
    first, last = (
        np.mean(to_numpy(solution.metrics[index, ...]).astype(np.float64), axis=points) for index in (0, -1)
    )
    shift = float(np.max(np.abs(np.linalg.eigvalsh(last - first))))
    return float(np.min(np.sum(shell.modes @ np.linalg.inv(last) * shell.modes, axis=1))), shift


def _slope(t: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Least-squares slope of y on t, and its standard error."""
    x = t - t.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    residual = y - y.mean() - slope * x
    return slope, math.sqrt(float(residual @ residual) / (len(t) - 2) / spread)


def _too_short(times: NDArray[np.float64], end: int, start: float, first: float, reach: float) -> str:
    needed = start + 2 * MIN_DECAY / first
    expected = (
        f"the fit starts at t = {start:.4g}, when only the lowest modes are left, and needs {MIN_SAMPLES} "
        f"samples and {MIN_DECAY:g} e-folding after it"
    )
    if first * start + MIN_DECAY > reach:
        return (
            f"{expected}; but a mode of size 1 is lost in the rounding errors after {reach:.3g} e-foldings, "
            f"and the first takes {first * start:.3g} until then: λ₂ is too near λ₁ here. Use float64, or "
            "another shape; a solution of one shell of modes can be fitted by hand, over any times"
        )
    if times[-1] < needed:
        return f"{expected}; the run ends at t = {times[-1]:.4g}: run it to t_end = {needed:.4g} or longer"
    if end < len(times):
        return (
            f"{expected}; what decays meets the rounding errors at t = {times[end]:.4g}: start from a larger "
            "perturbation, with modes in the lowest shell, use float64, or sample more finely"
        )
    return f"{expected}; the samples lie {times[1] - times[0]:.4g} apart: raise `samples`"
