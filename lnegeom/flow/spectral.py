"""Real Fourier transforms on a torus grid, with the symbols of its derivatives."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array
from lnegeom.flow.grid import TorusGrid


class Transforms:
    """Transforms over the last n axes of fields ``(..., *grid.shape)``, on one array library and dtype.

    Attributes
    ----------
    derivatives : tuple of array
        Symbols ``i k_a``, each broadcasting against coefficients ``(..., *half)``. Zero at the Nyquist
        wavenumber of an even axis, where the derivative of a real field has no representation.
    laplacian : array
        Symbol ``−|k|²``, shape half, real, the Nyquist wavenumbers included.
    retained : array
        1 where nonlinear terms are kept and 0 elsewhere, shape half: the 2/3 rule, or 1 everywhere.
    largest_eigenvalue : float
        Largest ``|k|²`` that nonlinear terms reach.
    """

    def __init__(self, grid: TorusGrid, xp: Any, like: Array, *, dealias: bool):
        self._xp = xp
        self._shape = grid.shape
        self._axes = tuple(range(-grid.dim, 0))
        complex_dtype = self.forward(xp.zeros_like(like[(..., 0, 0)])).dtype
        device = array_api_compat.device(like)

        def to_xp(values: Any, dtype: Any) -> Array:
            return xp.asarray(values, dtype=dtype, device=device)

        # The last axis of a real transform keeps the nonnegative wavenumbers only.
        kept = [*grid.shape[:-1], grid.shape[-1] // 2 + 1]
        multiples = np.meshgrid(
            *[np.rint(np.fft.fftfreq(N) * N)[:count] for N, count in zip(grid.shape, kept, strict=True)],
            indexing="ij",
            sparse=True,
        )
        scales = [2 * math.pi / length for length in grid.lengths]
        waves = [scale * m for scale, m in zip(scales, multiples, strict=True)]
        nyquist = [2 * np.abs(m) == N for m, N in zip(multiples, grid.shape, strict=True)]
        limits = [(N - 1) // 3 if dealias else N // 2 for N in grid.shape]
        retained = np.ones(kept, dtype=bool)
        for m, limit in zip(multiples, limits, strict=True):
            retained = retained & (np.abs(m) <= limit)
        self.derivatives = tuple(
            to_xp(1j * np.where(edge, 0.0, k), complex_dtype) for k, edge in zip(waves, nyquist, strict=True)
        )
        self.laplacian = to_xp(-sum(k**2 for k in waves), like.dtype)
        self.retained = to_xp(retained.astype(np.float64), like.dtype)
        self.largest_eigenvalue = sum((s * m) ** 2 for s, m in zip(scales, limits, strict=True))

    def forward(self, values: Array) -> Array:
        """Coefficients ``(..., *half)`` of real fields ``(..., *shape)``."""
        return self._xp.fft.rfftn(values, axes=self._axes)

    def backward(self, coefficients: Array) -> Array:
        """Real fields ``(..., *shape)`` of coefficients ``(..., *half)``."""
        return self._xp.fft.irfftn(coefficients, s=self._shape, axes=self._axes)
