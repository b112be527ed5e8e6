"""The Ricci–DeTurck flow on the flat torus: checks, time step, and the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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
    first_index,
    positive,
    positive_integer,
)
from lnegeom.flow.deturck import nonlinear_part
from lnegeom.flow.grid import TorusGrid
from lnegeom.flow.integrators import integrating_factor_rk4
from lnegeom.flow.small import pack, plus_identity, positive_definite, unpack
from lnegeom.flow.solution import Solution
from lnegeom.flow.spectral import Transforms

ACCURACY = 0.1
"""Default step, times the decay rate ``‖∇h‖² / ‖h − mean h‖²`` of the initial perturbation."""
STABILITY = 2.5
"""Default bound on ``dt μ k_max²``, below the 2.785 of the Runge–Kutta method on the negative axis."""
FREE_EXCESS = 1.5
"""The scheme is stable at any step while ``g⁻¹ − δ`` has eigenvalues μ in (−1, 1.5]: there
``exp(−z) |P₄(−μz)| ≤ 1`` for all z ≥ 0 (see `integrating_factor_rk4`; the true bound lies in 1.6..1.7)."""


def ricci_deturck(
    metric: Array,
    grid: TorusGrid,
    t_end: float,
    *,
    dt: float | None = None,
    samples: int = 101,
    dealias: bool = True,
    progress: bool = False,
) -> Solution:
    """Run the Ricci–DeTurck flow of a metric on the torus, with the flat background δ.

    Solves ``∂_t g_ij = −2 Ric_ij + ∇_i V_j + ∇_j V_i``, ``V^k = g^{ab} Γ^k_ab``, which is strictly parabolic
    and equals the Ricci flow up to diffeomorphisms. Fourier in space; in time the fourth-order Runge–Kutta
    method with the Laplacian of δ integrated exactly. The perturbation ``h = g − δ`` loses its mean-free
    part at the rate λ₁, the first eigenvalue of −Δ; its mean stays up to O(‖h‖²), so that the limit is flat
    but in general not δ.

    Parameters
    ----------
    metric : array
        Initial metric, shape ``(*grid.shape, n, n)``, symmetric positive definite at every point; numpy,
        torch, or another array-API library, float32 or float64.
    grid : TorusGrid
    t_end : float
        Final time, positive.
    dt : float, optional
        Largest time step; it is lowered to divide the sampling interval. By default a tenth of the decay
        time of the initial perturbation, ``0.1 ‖h − mean h‖² / ‖∇h‖²``, which keeps the error in time near
        ``1e-6 ‖h‖``. Where the explicit part could be unstable, which takes an eigenvalue μ > 1.5 of
        ``g⁻¹ − δ``, also at most ``2.5 / (μ k_max²)``, with k_max the largest wavenumber that nonlinear terms
        reach.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2.
    dealias : bool, default: True
        Filter the nonlinear terms by the 2/3 rule. The initial metric is not filtered.
    progress : bool, default: False
        Show a progress bar.

    Returns
    -------
    Solution
        With status "completed"; or "stopped", and the last good state at the end, if the metric left the
        positive definite ones or ceased to be finite. It never contains NaN.

    Raises
    ------
    GeometryError
        If the metric has the wrong shape, or is not finite, symmetric or positive definite somewhere.
    InputError
        If another argument is out of range.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> grid = TorusGrid((16, 16))
    >>> solution = ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, t_end=2.0, samples=5)
    >>> solution.status, solution.metrics.shape
    ('completed', (5, 16, 16, 2, 2))
    """
    duration = positive("t_end", t_end)
    count = positive_integer("samples", samples)
    if count < 2:
        raise InputError(f"samples must be at least 2, the initial and the final time; got {samples!r}")
    xp, g = as_floating(metric=metric)
    smallest = _check_metric(xp, g, grid)
    g = 0.5 * (g + xp.matrix_transpose(g))  # symmetric to the last bit
    transforms = Transforms(grid, xp, g, dealias=dealias)
    state = transforms.forward(_packed_perturbation(xp, g))
    dt = _default_step(xp, transforms, grid, state, smallest) if dt is None else positive("dt", dt)
    interval = duration / (count - 1)
    substeps = max(1, math.ceil(interval / dt * (1 - 1e-12)))
    actual = interval / substeps
    step = integrating_factor_rk4(xp, transforms.laplacian, nonlinear_part(xp, transforms, grid.dim), actual)
    # A diverging run overflows before it is caught; torch says nothing, numpy and its kin would warn.
    with np.errstate(all="ignore"):
        steps, metrics, defect = _run(
            xp, transforms, step, state, g, (count - 1) * substeps, substeps, progress
        )
    # Multiplied out, not accumulated: the samples lie at the times asked for.
    done = [duration * (s / ((count - 1) * substeps)) for s in steps]
    times = xp.asarray(done, dtype=g.dtype, device=array_api_compat.device(g))
    if defect is None:
        return Solution(grid, times, metrics, "completed", f"reached t = {duration:g}", actual)
    message = (
        f"after t = {done[-1]:.6g} {defect}; the last good state is kept: lower dt (it was {actual:.3g}), "
        "refine the grid, or lower the amplitude of the initial perturbation"
    )
    return Solution(grid, times, metrics, "stopped", message, actual)


def _run(
    xp: Any,
    transforms: Transforms,
    step: Callable[[Array], Array],
    state: Array,
    metric: Array,
    steps: int,
    substeps: int,
    progress: bool,
) -> tuple[list[int], Array, str | None]:
    """Return the sampled step numbers, their metrics, and what stopped the run, if anything did."""
    n = metric.shape[-1]
    to_last = (*range(2, n + 2), 0, 1)
    kept, samples, defect = [0], [metric], None
    last_number, last_good = 0, metric
    for number in _bar(range(1, steps + 1), progress):
        state = step(state)
        g = plus_identity(xp, unpack(xp, transforms.backward(state), n))
        defect = _defect(xp, g)
        if defect is not None:
            break
        last_number, last_good = number, xp.permute_dims(g, to_last)
        if number % substeps == 0:
            kept.append(last_number)
            samples.append(last_good)
    if last_number > kept[-1]:
        kept.append(last_number)
        samples.append(last_good)
    return kept, xp.stack(samples), defect


def _bar(steps: Iterable[int], progress: bool) -> Iterable[int]:
    if not progress:
        return steps
    from tqdm.auto import tqdm

    bar: Iterable[int] = tqdm(steps, desc="Ricci–DeTurck flow", unit="step")
    return bar


def _defect(xp: Any, g: Array) -> str | None:
    """Return what is wrong with a metric ``(n, n, *shape)``, to follow "after t = ...", or None."""
    if not bool(xp.all(xp.isfinite(g))):
        return "the metric ceased to be finite"
    valid = positive_definite(g)
    if bool(xp.all(valid)):
        return None
    index = first_index(xp, ~valid)
    point = g[(slice(None), slice(None), *index)]
    smallest = float(xp.min(xp.linalg.eigvalsh(point)))
    return f"the metric ceased to be positive definite, with eigenvalue {smallest:.3g} at grid point {index}"


def _packed_perturbation(xp: Any, g: Array) -> Array:
    """Components ``(n(n+1)/2, *shape)`` of ``g − δ`` from a metric ``(*shape, n, n)``."""
    n = g.shape[-1]
    h = g - xp.eye(n, dtype=g.dtype, device=array_api_compat.device(g))
    return pack(xp, xp.permute_dims(h, (n, n + 1, *range(n))))


def _default_step(xp: Any, transforms: Transforms, grid: TorusGrid, state: Array, smallest: float) -> float:
    """Return the rule of `ricci_deturck`, from the coefficients of h and the smallest eigenvalue of g."""
    # Components and the halved spectrum are not weighted: only the size of the ratio matters.
    energy = xp.abs(state) ** 2
    total = float(xp.sum(xp.where(transforms.laplacian < 0, energy, xp.zeros_like(energy))))
    gradient = -float(xp.sum(transforms.laplacian * energy))
    step = ACCURACY * (total / gradient if gradient > 0 else 1 / grid.smallest_eigenvalue())
    excess = 1 / smallest - 1
    return min(step, STABILITY / (excess * transforms.largest_eigenvalue)) if excess > FREE_EXCESS else step


def _check_metric(xp: Any, g: Array, grid: TorusGrid) -> float:
    """Raise unless g is a metric on the grid; return its smallest eigenvalue over the grid."""
    expected = (*grid.shape, grid.dim, grid.dim)
    if tuple(g.shape) != expected:
        raise GeometryError(
            f"metric has shape {tuple(g.shape)}: expected {expected}, a {grid.dim}×{grid.dim} matrix at each "
            "point of the grid"
        )
    check_finite(xp, g, "metric")
    asymmetry = xp.max(xp.abs(g - xp.matrix_transpose(g)), axis=(-2, -1))
    tolerance = 100 * float(xp.finfo(g.dtype).eps) * float(xp.max(xp.abs(g)))
    check_where(
        xp,
        asymmetry <= tolerance,
        asymmetry,
        "metric",
        "{point} is not symmetric, its entries differ by {value}: pass (g + gᵀ)/2",
    )
    smallest = xp.linalg.eigvalsh(g)[..., 0]
    check_where(
        xp,
        smallest > 0,
        smallest,
        "metric",
        "{point} has eigenvalue {value}: expected a positive definite matrix; reduce the perturbation of δ "
        "below 1 in operator norm",
    )
    return float(xp.min(smallest))
