"""Initial data for the flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnegeom._array import InputError, positive_integer, real
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.checks import checked_domain, real_array
from lnegeom.flow.torus.grid import TorusGrid


def perturbed_flat(
    grid: TorusGrid | BoxGrid, amplitude: float, *, seed: int, modes: int = 3
) -> NDArray[np.float64]:
    """Return a seeded random smooth metric ``g = δ + h`` with h mean-free, or zero on the faces of a box.

    Every component of h is a real trigonometric polynomial with normal coefficients on the wavevectors ``0 <
    max_a |m_a| ≤ modes``, of standard deviation falling as ``1 / (1 + |m|²)``; in a box, on the products of
    sines of ``1 ≤ m_a ≤ modes`` half waves. The coefficients do not depend on the grid: the same seed gives
    the same function on a finer one, up to the scale.

    Parameters
    ----------
    grid : TorusGrid or BoxGrid
        Grid with more than ``2 * modes`` points on each axis.
    amplitude : float
        Supremum over the grid of the operator norm of h, ``0 ≤ amplitude < 1`` (which keeps g positive
        definite).
    seed : int
        Seed of the random numbers, not negative.
    modes : int, default: 3
        Largest wavenumber on an axis, in multiples of 2π/L.

    Returns
    -------
    numpy.ndarray
        Metric of shape ``(*grid.shape, n, n)``, float64.

    Raises
    ------
    InputError
        If the amplitude is outside [0, 1), the seed is negative, or the grid does not resolve the modes.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import TorusGrid, perturbed_flat
    >>> h = perturbed_flat(TorusGrid((16, 16)), 0.1, seed=0) - np.eye(2)
    >>> round(float(np.max(np.abs(np.linalg.eigvalsh(h)))), 12)
    0.1
    """
    checked_domain(grid, (TorusGrid, BoxGrid))
    size = real("amplitude", amplitude)
    if not 0 <= size < 1:
        raise InputError(f"amplitude must be in [0, 1) so that g stays positive definite, got {amplitude!r}")
    modes = positive_integer("modes", modes)
    if min(grid.shape) <= 2 * modes:
        raise InputError(
            f"modes = {modes} needs more than {2 * modes} points on each axis, got shape {grid.shape}; "
            "lower modes or refine the grid"
        )
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed must be an integer that is not negative, got {seed!r}")
    rng = np.random.default_rng(seed)
    if isinstance(grid, BoxGrid):
        h = _random_sines(grid, rng, modes)
    else:
        h = _random_symmetric_field(grid, rng, modes)
    largest = np.max(np.abs(np.linalg.eigvalsh(h)))
    metric: NDArray[np.float64] = np.eye(grid.dim) + (size / largest) * h
    return metric


def plane_wave(grid: TorusGrid, mode: Sequence[int], amplitude: ArrayLike) -> NDArray[np.float64]:
    """Return the metric ``δ + A cos(k·x)`` of one plane wave.

    Parameters
    ----------
    grid : TorusGrid
    mode : sequence of int
        Multiples m of the wavevector: ``k·v_a = 2π m_a`` for each lattice vector v_a.
    amplitude : array_like
        The symmetric matrix A, ``(n, n)``, of operator norm below 1. With ``A k = 0`` and ``tr A = 0``
        (n ≥ 3) the wave is transverse and traceless; with ``A = k bᵀ + b kᵀ`` it is pure gauge to first
        order.

    Returns
    -------
    numpy.ndarray
        Metric of shape ``(*grid.shape, n, n)``, float64.

    Raises
    ------
    InputError
        If the mode is not n integers or the grid does not resolve it, or A is not a symmetric n×n matrix of
        norm below 1.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, plane_wave
    >>> plane_wave(TorusGrid((8, 8)), (1, 0), [[0.1, 0.0], [0.0, 0.0]])[0, 0, 0, 0]
    np.float64(1.1)
    """
    k = checked_domain(grid, TorusGrid).wavevector(mode)
    if any(2 * abs(m) >= points for m, points in zip(mode, grid.shape, strict=True)):
        raise InputError(
            f"mode {tuple(mode)} needs more than 2 |m| points on each axis, got shape {grid.shape}: on fewer "
            "it is another wave; lower the mode or refine the grid"
        )
    A = real_array(amplitude, "amplitude", f"a symmetric {grid.dim}×{grid.dim} matrix")
    if A.shape != (grid.dim, grid.dim) or not np.array_equal(A, A.T):
        raise InputError(f"amplitude must be a symmetric {grid.dim}×{grid.dim} matrix, got {amplitude!r}")
    if not np.max(np.abs(np.linalg.eigvalsh(A))) < 1:
        raise InputError(f"amplitude must have norm below 1 so that g stays positive definite, got {A}")
    wave = np.cos(grid.coordinates() @ k)
    metric: NDArray[np.float64] = np.eye(grid.dim) + wave[..., None, None] * A
    return metric


def _random_symmetric_field(grid: TorusGrid, rng: np.random.Generator, modes: int) -> NDArray[np.float64]:
    n = grid.dim
    multiples = np.arange(-modes, modes + 1)
    band = np.meshgrid(*[multiples] * n, indexing="ij")
    squared = sum(m.astype(float) ** 2 for m in band)
    weight = np.where(squared > 0, 1 / (1 + squared), 0.0)
    draws = rng.standard_normal((2, n, n, *weight.shape))
    spectrum = np.zeros((n, n, *grid.shape), dtype=np.complex128)
    # Negative multiples index from the end, where the transform keeps them.
    places: tuple[Any, ...] = (slice(None), slice(None), *band)
    spectrum[places] = weight * (draws[0] + 1j * draws[1])
    field = np.fft.ifftn(spectrum, axes=tuple(range(2, n + 2)), norm="forward").real
    symmetric: NDArray[np.float64] = np.moveaxis(field + np.swapaxes(field, 0, 1), (0, 1), (-2, -1))
    return symmetric


def _random_sines(grid: BoxGrid, rng: np.random.Generator, modes: int) -> NDArray[np.float64]:
    n = grid.dim
    multiples = np.arange(1, modes + 1)
    squared = sum(m.astype(float) ** 2 for m in np.meshgrid(*[multiples] * n, indexing="ij"))
    field = rng.standard_normal((n, n, *[modes] * n)) / (1 + squared)
    for axis, length in zip(grid.axes(), grid.lengths, strict=True):
        # The third axis is the next one to transform, and comes back as the last.
        field = np.tensordot(field, np.sin(np.pi * np.outer(multiples, axis) / length), (2, 0))
    symmetric: NDArray[np.float64] = np.moveaxis(field + np.swapaxes(field, 0, 1), (0, 1), (-2, -1))
    return symmetric
