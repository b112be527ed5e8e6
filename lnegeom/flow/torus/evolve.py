"""Ricci flows on a torus: `ricci_deturck` and `ricci`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from lnegeom._array import Array, as_floating
from lnegeom.flow.checks import checked_domain, checked_metric
from lnegeom.flow.solution import Solution
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.invariants import invariant_names
from lnegeom.flow.torus.run import Run, Settings

Method = Literal["ifrk4", "etdrk4", "rk4", "sbdf4"]
RECORDED = ("volume", "closeness")


def ricci_deturck(
    metric: Array,
    grid: TorusGrid,
    t_end: float,
    *,
    background: Array | None = None,
    dt: float | None = None,
    tolerance: float = 1e-6,
    samples: int = 101,
    method: Method = "ifrk4",
    dealias: bool = True,
    invariants: str | Sequence[str] = RECORDED,
    workers: int = 1,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Solution:
    """Run the Ricci–DeTurck flow of a metric on the torus.

    Solves ``∂_t g_ij = −2 Ric_ij + ∇_i V_j + ∇_j V_i``, ``V^k = g^{ab} (Γ^k_ab − Γ̄^k_ab)``, which is strictly
    parabolic and equals the Ricci flow up to diffeomorphisms. Fourier in space, in divergence form; in time
    by default a fourth-order Runge–Kutta method with the Laplacian of the mean metric integrated exactly. On
    the flat background the perturbation ``h = g − δ`` loses its mean-free part at the rate λ₁, the first
    eigenvalue of −Δ; its mean stays up to O(‖h‖²), so that the limit is flat but in general not δ.

    Parameters
    ----------
    metric : array
        Initial metric in Cartesian components, shape ``(*grid.shape, n, n)``, symmetric positive definite at
        every point; numpy, torch, or another array-API library, float32 or float64. The algebra is compiled
        by numba for arrays of numpy, torch and JAX in the CPU's memory, where it is installed; else by torch
        on grids of 2¹⁸ points or more, and by JAX.
    grid : TorusGrid
    t_end : float
        Final time, positive.
    background : array, optional
        Background metric of the DeTurck vector, of the shape of `metric`; flat (δ) by default. With the
        initial metric itself the vector starts at zero.
    dt : float, optional
        A fixed time step; it is lowered to divide the sampling interval. By default the step adapts to
        `tolerance`.
    tolerance : float, default: 1e-6
        Greatest estimated error of a step, relative to the root mean square of ``g − mean g``.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2.
    method : {"ifrk4", "etdrk4", "rk4", "sbdf4"}, default: "ifrk4"
        Integrating-factor Runge–Kutta; exponential time differencing; the classical Runge–Kutta method, all
        explicit; semi-implicit backward differentiation, at a fixed step. All of order four.
    dealias : bool, default: True
        Keep modes up to a third of the points an axis (the 2/3 rule), so that products do not fold back onto
        them. The sampled metric at t = 0 is the one given.
    invariants : sequence of str or "all", default: ("volume", "closeness")
        What to record at the sampled times: see `measure`.
    workers : int, default: 1
        Most threads, where numba and rocket-fft are installed. The first flow on several compiles, for
        some ten seconds; a process that was forked uses one.
    out : path, optional
        A folder that keeps samples and a checkpoint as the run goes. A call with the same arguments goes on
        from there, to the numbers of an uninterrupted run; `Solution.metrics` then stays on disk.
    progress : bool, default: False
        Show a progress bar.

    Returns
    -------
    Solution
        With status "completed"; or "stopped", and the last good state at the end, if the metric left the
        positive definite ones, ceased to be finite, or became singular. It never contains NaN.

    Raises
    ------
    GeometryError
        If a metric has the wrong shape, or is not finite, symmetric or positive definite somewhere.
    InputError
        If another argument is out of range, or `out` holds another run.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> grid = TorusGrid((16, 16))
    >>> solution = ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, t_end=2.0, samples=5)
    >>> solution.status, solution.metrics.shape
    ('completed', (5, 16, 16, 2, 2))
    """
    settings = Settings(
        invariants=invariant_names(invariants),
        t_end=t_end,
        dt=dt,
        tolerance=tolerance,
        samples=samples,
        method=method,
        dealias=dealias,
        workers=workers,
        out=out,
        progress=progress,
    )
    checked_domain(grid, TorusGrid)
    if background is None:
        xp, g = as_floating(metric=metric)
        g = checked_metric(xp, g, grid, "metric")
        return Run(xp, g, grid, "flat", None, settings).solve()
    xp, g, base = as_floating(metric=metric, background=background)
    g, base = checked_metric(xp, g, grid, "metric"), checked_metric(xp, base, grid, "background")
    return Run(xp, g, grid, "background", base, settings).solve()


def ricci(
    metric: Array,
    grid: TorusGrid,
    t_end: float,
    *,
    dt: float | None = None,
    tolerance: float = 1e-6,
    samples: int = 101,
    method: Method = "ifrk4",
    invariants: str | Sequence[str] = RECORDED,
    workers: int = 1,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Solution:
    """Run the Ricci flow ``∂_t g = −2 Ric`` of a metric on the torus, filtered by the 2/3 rule.

    The flow is only weakly parabolic: it leaves pure-gauge perturbations ``φ*δ`` where they are, so that
    decay shows in invariants (``sup |Rm|``, Perelman's λ), not in g; and without the filter a spectral
    discretisation of it blows up. `ricci_deturck` gives the same geometries, smoothly parametrised.

    Parameters and result are those of `ricci_deturck`.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, king_conformal, ricci
    >>> grid = TorusGrid((32, 32))  # in two dimensions a conformal flow has no DeTurck vector
    >>> solution = ricci(king_conformal(grid, 0.0), grid, 0.5, samples=2)
    >>> bool(abs(solution.metrics[-1] - king_conformal(grid, 0.5)).max() < 1e-6)
    True
    """
    settings = Settings(
        invariants=invariant_names(invariants),
        t_end=t_end,
        dt=dt,
        tolerance=tolerance,
        samples=samples,
        method=method,
        dealias=True,
        workers=workers,
        out=out,
        progress=progress,
    )
    checked_domain(grid, TorusGrid)
    xp, g = as_floating(metric=metric)
    return Run(xp, checked_metric(xp, g, grid, "metric"), grid, "ricci", None, settings).solve()
