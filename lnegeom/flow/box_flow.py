"""The Ricci–DeTurck flow on a box, with given values of the metric on its faces."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import GeometryError, InputError, check_finite, check_where, first_index, positive
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.checks import checked_domain, checked_metric, real_array
from lnegeom.flow.deturck import flux_and_source
from lnegeom.flow.recording import Checkpoint, record, sample_times
from lnegeom.flow.small import pack, positive_definite, total, unpack
from lnegeom.flow.solution import Solution
from lnegeom.flow.stabilised import Chebyshev
from lnegeom.flow.torus.record import fingerprint

Field = NDArray[np.float64]
ROUNDING = 1e-14
Boundary = Callable[[Field, float], Any]


def box(
    metric: Any,
    grid: BoxGrid,
    t_end: float,
    *,
    boundary: Boundary | None = None,
    samples: int = 101,
    rtol: float = 1e-7,
    progress: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> Solution:
    """Run the Ricci–DeTurck flow on a box, with the flat background δ and Dirichlet data on all components.

    Chebyshev points in space; in time the stabilised Runge–Kutta–Chebyshev method with adaptive steps. It is
    of order 2, and stays so where the boundary data depend on time: its stages, at which they are taken, are
    of order 2 themselves.

    With ``g = δ`` on the boundary the perturbation ``h = g − δ`` decays entirely, at the rate of the first
    Dirichlet eigenvalue of −Δ, ``Σ_a (π/L_a)²``.

    Parameters
    ----------
    metric : array_like
        Initial metric, shape ``(*grid.shape, n, n)``, symmetric positive definite, the faces included.
    grid : BoxGrid
    t_end : float
        Final time, positive.
    boundary : callable, optional
        ``boundary(points, t)``: the metric ``(M, n, n)`` at points ``(M, n)`` of the faces. By default the
        initial metric's values there are held.
    samples : int, default: 101
        Number of sampled times, ``t = 0`` and ``t_end`` included; at least 2.
    rtol : float, default: 1e-7
        Error of a step, relative to the largest entry of ``g − δ`` inside the box.
    progress : bool, default: False
        Show a progress bar.
    out : path, optional
        A folder that keeps a checkpoint as the run goes. A call with the same arguments goes on from there,
        to the numbers of an uninterrupted run.

    Returns
    -------
    Solution
        With status "completed"; or "stopped", and the last good state at the end, if the metric left the
        positive definite ones or the steps became too small. ``invariants`` holds the ``"volume"``.

    Raises
    ------
    GeometryError
        If the metric has the wrong shape, is not finite, symmetric or positive definite somewhere, or is not
        what `boundary` gives on the faces.
    InputError
        If another argument is out of range.

    Examples
    --------
    The cigar soliton, whose boundary values depend on time:

    >>> import numpy as np
    >>> from lnegeom.flow import BoxGrid, box, cigar
    >>> grid = BoxGrid((10, 10), lengths=(1.0, 1.0))
    >>> points = grid.coordinates()
    >>> solution = box(cigar(points, 0.0), grid, 0.2, boundary=cigar, samples=2)
    >>> bool(np.max(np.abs(solution.metrics[-1] - cigar(points, 0.2))) < 1e-6)
    True
    """
    duration = positive("t_end", t_end)
    times = sample_times(duration, samples)
    allowed = positive("rtol", rtol)
    checked_domain(grid, BoxGrid)
    if boundary is not None and not callable(boundary):
        raise InputError(f"boundary must be a function boundary(points, t), got {reprlib.repr(boundary)}")
    g: Field = checked_metric(np, real_array(metric, "metric"), grid, "metric")
    equation = _Equation(grid, g, boundary)
    step = Chebyshev(equation.velocity, equation.radius, equation.allowed(allowed), 1e-3 * duration)
    settings = {"flow": "box", "grid": grid.to_json(), "t_end": duration, "samples": len(times)}
    settings |= {"rtol": allowed, "boundary": equation.describe_boundary(times) if out is not None else None}
    run = record(
        equation,
        step,
        pack(np, g)[equation.inner],
        times,
        progress=progress,
        checkpoint=Checkpoint(out, settings, g) if out is not None else None,
    )
    return run.solution(grid, ": refine the grid, or lower the amplitude of the initial perturbation")


class _Equation:
    """The flow for the packed components ``(n(n+1)/2, *inner)`` at the points inside."""

    title = "Ricci–DeTurck flow on a box"

    def __init__(self, grid: BoxGrid, g: Field, boundary: Boundary | None):
        self._grid, self._boundary, self._n = grid, boundary, grid.dim
        self.inner = (slice(None), *[slice(1, -1)] * grid.dim)
        self._held: Field = pack(np, g)
        outside = np.ones(grid.shape, dtype=bool)
        outside[self.inner[1:]] = False
        self._outside = outside
        self._points = grid.coordinates()[outside]
        if boundary is not None:
            self._compare(g[outside], self._values(0.0))

    def _values(self, t: float) -> Field:
        assert self._boundary is not None
        values = real_array(self._boundary(self._points, t), "boundary(points, t)")
        expected = (len(self._points), self._n, self._n)
        if values.shape != expected:
            raise GeometryError(f"boundary(points, t) has shape {values.shape}: expected {expected}")
        check_finite(np, values, f"boundary(points, {t:.6g})")
        return values

    def describe_boundary(self, times: Field) -> str | None:
        """A hash of what is given on the faces at some of the times, by which a checkpoint knows the run."""
        if self._boundary is None:
            return "held"
        return fingerprint(np.stack([self._values(t) for t in times[:: max(1, len(times) // 8)]]))

    def _compare(self, initial: Field, given: Field) -> None:
        gap = np.max(np.abs(initial - given), axis=(-2, -1))
        tolerance = 1e-8 * float(np.max(np.abs(given)))
        check_where(
            np,
            gap <= tolerance,
            gap,
            "boundary",
            "{point} differs from the initial metric by {value} at t = 0: a jump there has no smooth flow; "
            "make them agree",
        )

    def full(self, t: float, y: Field) -> Field:
        """All components, the faces included."""
        whole = self._held.copy()
        if self._boundary is not None:
            whole[:, self._outside] = pack(np, self._values(t))
        whole[self.inner] = y
        return whole

    def _derivative(self, field: Field, axis: int) -> Field:
        """Derivative along an axis of the box, of fields ``(..., *shape)``."""
        place = field.ndim - self._n + axis
        return np.moveaxis(np.tensordot(self._grid.derivatives[axis], field, (1, place)), 0, place)

    def velocity(self, t: float, y: Field) -> Field:
        whole, n = self.full(t, y), self._n
        D = [self._derivative(whole, axis) for axis in range(n)]
        nothing = [0.0] * len(whole)  # no part is left to a linear solver
        source, flux, _ = flux_and_source(n, list(whole), [list(d) for d in D], nothing, nothing, "flat")
        divergence = total(self._derivative(np.stack(flux[a]), a) for a in range(n))
        change: Field = (divergence + np.stack(source))[self.inner]
        return change

    def radius(self, t: float, y: Field) -> float:
        # Terms of first order in the derivatives add a little to the spectrum of g^{ab} ∂_a ∂_b.
        return 1.2 * self._grid.radius / float(np.min(np.linalg.eigvalsh(unpack(np, y, self._n))))

    def allowed(self, rtol: float) -> Callable[[Field], float]:
        """Errors follow the perturbation as it decays, down to rounding errors of the metric."""
        flat: Field = pack(np, np.eye(self._n)).reshape(-1, *[1] * self._n)
        return lambda y: rtol * float(np.max(np.abs(y - flat))) + ROUNDING

    def curvature(self, y: Field) -> None:
        """Not measured."""

    def defect(self, t: float, y: Field) -> str | None:
        if not np.all(np.isfinite(y)):
            return "the metric ceased to be finite"
        valid = positive_definite(self._n, list(self.full(t, y)))
        if np.all(valid):
            return None
        return f"the metric ceased to be positive definite at grid point {first_index(np, ~valid)}"

    def observe(self, t: float, y: Field) -> tuple[Field, dict[str, float]]:
        metric = unpack(np, self.full(t, y), self._n)
        return metric, {"volume": float(self._grid.integrate(np.sqrt(np.linalg.det(metric))))}
