"""The linearised Ricci–DeTurck flow at a Ricci-flat metric, and its spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, as_floating, positive_integer, to_numpy
from lnegeom.flow.checks import checked_domain, checked_metric
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.run import Run, Settings

RICCI_FLAT = 1e-6
"""Largest ``|2 Ric|``, against λ₁, of a metric taken to be Ricci-flat."""
STEP = 1e-4
"""Of the central difference that linearises the right-hand side; its error is the square."""


def spectrum(metric: Array, grid: TorusGrid, count: int = 12) -> NDArray[np.float64]:
    """Lowest eigenvalues of ``−Δ_L`` at a flat or Ricci-flat metric on a torus, with their multiplicity.

    With that metric as its background, the Ricci–DeTurck flow linearises to ``∂_t h = Δ_L h``,
    ``Δ_L h = Δh + 2 Rm(h)``, the Lichnerowicz Laplacian: perturbations decay at its eigenvalues, those in its
    kernel stay, and a negative eigenvalue would be an instability. At a constant metric they are
    ``g^{ab} k_a k_b``, each n(n+1)/2 times for each wavevector k, in closed form; otherwise they are found
    from the discrete right-hand side by Arnoldi's method.

    Parameters
    ----------
    metric : array
        Constant, ``(n, n)``, or on the grid, ``(*grid.shape, n, n)``; symmetric positive definite.
    grid : TorusGrid
    count : int, default: 12
        How many.

    Returns
    -------
    numpy.ndarray
        Shape ``(count,)``, ascending, float64.

    Raises
    ------
    GeometryError
        If the metric is not one, or is not Ricci-flat: the linearisation is another operator there.
    InputError
        If more eigenvalues are asked for than a grid carries.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import TorusGrid, spectrum
    >>> spectrum(np.diag([1.0, 4.0]), TorusGrid((16, 16)), count=10)
    array([0.  , 0.  , 0.  , 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 1.  ])
    """
    count, n = positive_integer("count", count), checked_domain(grid, TorusGrid).dim
    values = to_numpy(as_floating(metric=metric)[1]).astype(np.float64)
    if values.shape == (n, n):
        values = np.broadcast_to(values, (*grid.shape, n, n))
    g = checked_metric(np, values, grid, "metric")
    constant = g[(0,) * n]
    if np.max(np.abs(g - constant)) <= 100 * np.finfo(g.dtype).eps * np.max(np.abs(constant)):
        components = n * (n + 1) // 2
        # Each shell holds a wavevector and its opposite at least.
        squares, sizes = grid.shells(count // (2 * components) + 1, constant)
        repeated = np.repeat([0.0, *squares], [components * size for size in (1, *sizes)])
        return np.asarray(repeated[:count])
    unknowns = g.size * (n + 1) // (2 * n)
    if count > unknowns // 4:
        raise InputError(
            f"count must be at most {unknowns // 4} on this grid, a quarter of its unknowns; got {count}"
        )
    return _numerically(g, grid, count)


def _numerically(g: NDArray[np.float64], grid: TorusGrid, count: int) -> NDArray[np.float64]:
    from scipy.sparse.linalg import LinearOperator, eigs, gmres

    run = Run(np, g, grid, "background", g, Settings(t_end=1.0, dealias=False))
    modes, shape = run.modes, (grid.dim * (grid.dim + 1) // 2, *grid.shape)
    lowest = grid.eigenvalues(1, np.mean(g, axis=tuple(range(grid.dim))))[0]

    def rate(u: Any) -> Any:
        return run.linear * u + run.rhs(u)

    _check_ricci_flat(modes.backward(rate(run.start)), RICCI_FLAT * lowest * float(np.max(np.abs(g))))
    # Slightly below the spectrum, so that the shifted operator has an inverse; the kernel is at 0.
    shift = -0.3 * lowest

    def shifted(x: Any) -> Any:
        size = STEP / float(np.max(np.abs(x)))
        h = modes.forward(x.reshape(shape)) * size
        slope = modes.backward(rate(run.start + h) - rate(run.start - h)).ravel() / (2 * size)
        return -slope - shift * x

    def precondition(x: Any) -> Any:
        return modes.backward(modes.forward(x.reshape(shape)) / (-run.linear - shift)).ravel()

    size = int(np.prod(shape))
    operator = LinearOperator((size, size), matvec=shifted, dtype=np.float64)
    preconditioner = LinearOperator((size, size), matvec=precondition, dtype=np.float64)

    def solve(x: Any) -> Any:
        solution, failed = gmres(operator, x.ravel(), M=preconditioner, rtol=1e-9, atol=0.0, maxiter=200)
        if failed:
            raise GeometryError(
                "metric is too far from a constant one for the linear solver: refine the grid"
            )
        return solution

    inverse = LinearOperator((size, size), matvec=solve, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    found = eigs(
        inverse, count, ncv=min(size - 1, 2 * count + 20), v0=start, tol=1e-8, return_eigenvectors=False
    )
    values: NDArray[np.float64] = np.sort(1 / found.real + shift)
    return values


def _check_ricci_flat(rate: NDArray[np.float64], allowed: float) -> None:
    """Raise where the flow moves a metric that is its own background."""
    residual = float(np.max(np.abs(rate)))
    if residual > allowed:
        raise GeometryError(
            f"metric has |2 Ric| up to {residual:.3g}: expected a Ricci-flat one, such as a constant matrix "
            "or the pullback of one, resolved by the grid",
            value=residual,
        )
