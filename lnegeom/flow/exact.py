"""Exact solutions, to test a solver against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import InputError, check_finite, positive, real
from lnegeom.flow.checks import checked_domain, real_array
from lnegeom.flow.torus.grid import TorusGrid

LATEST = 175.0
"""Of the cigar's times."""


def king_conformal(
    grid: TorusGrid,
    t: float,
    *,
    wavevector: Sequence[int] = (1, 0),
    s0: float = 3.0,
    alpha: float = 1.0,
) -> NDArray[np.float64]:
    """Return King's periodic solution ``g = w δ`` of the Ricci flow on the 2-torus, at time t.

    ``w = α sinh s / (cosh s + cos k·x)`` with ``s = s0 + |k|² t / α`` solves ``∂_t w = Δ log w``, the Ricci
    flow of a conformal metric. In two dimensions the DeTurck vector of a conformal metric vanishes, so g
    solves the Ricci–DeTurck flow too. The mean of w is α at all times.

    Parameters
    ----------
    grid : TorusGrid
        A grid of dimension 2.
    t : float
        Time, with ``s > 0`` there.
    wavevector : sequence of int, default: (1, 0)
        Multiples m of the wavevector, ``k·v_a = 2π m_a`` for each lattice vector v_a, not all zero.
    s0 : float, default: 3.0
        Value of s at t = 0; smaller is steeper (the sup norm of ``w/α − 1`` is ``coth(s/2) − 1``).
    alpha : float, default: 1.0
        The limit, and mean, of w.

    Returns
    -------
    numpy.ndarray
        Metric of shape ``(*grid.shape, 2, 2)``, float64.

    Raises
    ------
    InputError
        If the grid is not 2-dimensional, the wavevector is zero, or ``s ≤ 0``.

    References
    ----------
    J. R. King, "Exact similarity solutions to some nonlinear diffusion equations", J. Phys. A 23 (1990).

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, king_conformal
    >>> g = king_conformal(TorusGrid((32, 32)), t=0.0)
    >>> round(float(g[..., 0, 0].mean()), 12)
    1.0
    """
    if checked_domain(grid, TorusGrid).dim != 2:
        raise InputError(f"king_conformal is a solution on the 2-torus, got a grid of dimension {grid.dim}")
    k = grid.wavevector(wavevector)
    if not np.any(k):
        raise InputError(f"wavevector must be two integers, not both zero; got {wavevector!r}")
    limit = positive("alpha", alpha)
    s = real("s0", s0) + float(k @ k) * real("t", t) / limit
    if not s > 0:
        raise InputError(f"the solution exists while s = s0 + |k|² t / alpha > 0, got s = {s:.6g}")
    # sinh and cosh divided by eˢ/2: no overflow at late times.
    decay = math.exp(-s)
    w = limit * (1 - decay**2) / (1 + decay**2 + 2 * decay * np.cos(grid.coordinates() @ k))
    metric: NDArray[np.float64] = w[..., None, None] * np.eye(2)
    return metric


def cigar(points: Any, t: float) -> NDArray[np.float64]:
    """Return Hamilton's cigar soliton ``(dx² + dy²) / (e^{4t} + x² + y²)``, a solution of the Ricci flow.

    It solves the Ricci–DeTurck flow with the flat background too, since its DeTurck vector vanishes.

    Parameters
    ----------
    points : array_like
        Coordinates, shape ``(..., 2)``.
    t : float
        Time.

    Returns
    -------
    numpy.ndarray
        Metric of shape ``(..., 2, 2)``, float64.

    Raises
    ------
    InputError
        If the last axis does not hold two coordinates, or e^(4t) overflows.
    GeometryError
        If a coordinate is not finite.

    References
    ----------
    R. S. Hamilton, "The Ricci flow on surfaces", Contemp. Math. 71 (1988).

    Examples
    --------
    >>> from lnegeom.flow import cigar
    >>> cigar([0.0, 1.0], t=0.0).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    x = real_array(points, "points")
    if x.shape[-1:] != (2,):
        raise InputError(f"points must have shape (..., 2), got {x.shape}")
    check_finite(np, x, "points")
    time = real("t", t)
    if not abs(time) <= LATEST:
        raise InputError(f"t must lie in ±{LATEST:g}, beyond which e^(4t) is no number; got {t!r}")
    w = 1 / (math.exp(4 * time) + np.sum(x * x, axis=-1))
    metric: NDArray[np.float64] = w[..., None, None] * np.eye(2)
    return metric
