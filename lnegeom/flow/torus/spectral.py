"""Real Fourier coefficients on a torus grid: the kept modes, and the symbols of their derivatives.

Everything here is in the coordinates ``y_a`` along the lattice vectors, in which a derivative along an axis
multiplies by ``i 2π m_a / L_a`` whatever the lattice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, to_numpy
from lnegeom.flow.torus import fft
from lnegeom.flow.torus.grid import TorusGrid


@dataclass(frozen=True)
class Axis:
    """The modes ``0 … low − 1`` and ``−high … −1`` that are kept along an axis of `size` points.

    ``derivative`` holds their angular wavenumbers, but 0 at the Nyquist wavenumber of an even axis, where the
    derivative of a real field has no representation; ``wavenumber`` has it there too.
    """

    size: int
    low: int
    high: int
    wavenumber: NDArray[np.float64]
    derivative: NDArray[np.float64]

    @property
    def kept(self) -> int:
        """Number of kept modes."""
        return self.low + self.high


class Modes:
    """Coefficients ``(..., *kept)`` of fields ``(..., *grid.shape)``, on one array library and dtype.

    By the 2/3 rule the modes up to a third of the points an axis are kept, so that products of two fields
    fold nothing back onto them; all modes otherwise. The last axis keeps nonnegative wavenumbers only, as
    transforms of real fields do.

    Attributes
    ----------
    axes : tuple of Axis
    derivatives : tuple of array
        Symbols ``i k_a``, each broadcasting against coefficients.
    device : object
        Where the fields lie.
    multiplicity : array
        How many modes of the whole spectrum each kept one along the last axis stands for, 1 or 2.
    """

    def __init__(self, grid: TorusGrid, xp: Any, like: Array, *, dealias: bool, workers: int = 1):
        self._xp = xp
        self._workers = workers
        self._grid, self._dealias = grid, dealias
        self.device = array_api_compat.device(like)
        self.shape = grid.shape
        self.dim = grid.dim
        self.dtype = like.dtype
        self.complex_dtype = xp.complex64 if like.dtype == xp.float32 else xp.complex128
        last = grid.dim - 1
        self.axes = tuple(
            _axis(size, length, dealias, axis == last)
            for axis, (size, length) in enumerate(zip(grid.shape, grid.lengths, strict=True))
        )
        self.kept = tuple(axis.kept for axis in self.axes)
        self.derivatives = tuple(
            self._array(1j * self._spread(axis.derivative, a), self.complex_dtype)
            for a, axis in enumerate(self.axes)
        )
        multiples = np.arange(self.kept[-1])
        self.multiplicity = self.real(
            np.where((multiples == 0) | (2 * multiples == grid.shape[-1]), 1.0, 2.0)
        )

    def _spread(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        return values.reshape([-1 if a == axis else 1 for a in range(self.dim)])

    def _array(self, values: Any, dtype: Any) -> Array:
        return self._xp.asarray(values, dtype=dtype, device=self.device)

    def real(self, values: NDArray[Any]) -> Array:
        """Real numpy values as an array of the fields' library, dtype and device."""
        return self._array(values, self.dtype)

    @property
    def on_host(self) -> bool:
        """Whether numpy can read the fields where they are: those of torch and JAX on a CPU."""
        kind = getattr(self.device, "type", getattr(self.device, "platform", ""))  # torch's name, JAX's
        return str(kind) == "cpu"

    def of_numpy(self, workers: int) -> Modes:
        """The same modes for numpy arrays."""
        dtype = np.float32 if self.dtype == self._xp.float32 else np.float64
        return Modes(self._grid, np, np.empty(0, dtype), dealias=self._dealias, workers=workers)

    @property
    def eps(self) -> float:
        """Unit of rounding of the fields."""
        return float(self._xp.finfo(self.dtype).eps)

    def laplacian(self, inverse_metric: NDArray[np.float64]) -> Array:
        """Symbol ``−g^{ab} k_a k_b`` of a constant metric's Laplacian, real, shape kept."""
        total = np.zeros(self.kept)
        for a, left in enumerate(self.axes):
            for b, right in enumerate(self.axes):
                # ∂_a ∂_b with a ≠ b takes two first derivatives, which vanish at the Nyquist wavenumber.
                one, other = (
                    (left.wavenumber, right.wavenumber) if a == b else (left.derivative, right.derivative)
                )
                total = total - inverse_metric[a, b] * self._spread(one, a) * self._spread(other, b)
        return self.real(total)

    def forward(self, values: Array) -> Array:
        """Coefficients ``(..., *kept)`` of real fields ``(..., *shape)``."""
        full = fft.forward(self._xp, values, self.dim, self._workers)
        for number, axis in enumerate(self.axes, start=full.ndim - self.dim):
            if axis.kept < full.shape[number]:
                before = (slice(None),) * number
                parts = [full[(*before, slice(0, axis.low), ...)]]
                if axis.high:
                    parts.append(full[(*before, slice(axis.size - axis.high, axis.size), ...)])
                full = self._xp.concat(parts, axis=number)
        return full

    def backward(self, coefficients: Array) -> Array:
        """Real fields ``(..., *shape)`` of coefficients ``(..., *kept)``."""
        full = coefficients
        for number, axis in enumerate(self.axes, start=full.ndim - self.dim):
            last = number == full.ndim - 1
            missing = (axis.size // 2 + 1 if last else axis.size) - axis.kept
            if missing:
                before = (slice(None),) * number
                gap = (*full.shape[:number], missing, *full.shape[number + 1 :])
                zeros = self._xp.zeros(gap, dtype=full.dtype, device=self.device)
                parts = [full[(*before, slice(0, axis.low), ...)], zeros]
                if axis.high:
                    parts.append(full[(*before, slice(axis.low, axis.kept), ...)])
                full = self._xp.concat(parts, axis=number)
        return fft.backward(self._xp, full, self.shape, self._workers)

    def rms(self, *weighted: tuple[Array, Array | float]) -> tuple[float, ...]:
        """Roots of the means over the torus, and sums over leading axes, of ``weight |f|²``.

        Each argument is the coefficients of an f and its weight. A device is waited for once.
        """
        xp, means = self._xp, []
        for coefficients, weight in weighted:
            squares = xp.real(coefficients) ** 2 + xp.imag(coefficients) ** 2
            means.append(xp.sum(squares * (self.multiplicity * weight)))
        return tuple(math.sqrt(mean) for mean in to_numpy(xp.stack(means)).tolist())


def _axis(size: int, length: float, dealias: bool, last: bool) -> Axis:
    limit = (size - 1) // 3 if dealias else size // 2
    high = 0 if last else min(limit, size - limit - 1)  # an even axis has one Nyquist mode, not two
    multiples = np.concatenate([np.arange(limit + 1), np.arange(-high, 0)]).astype(np.float64)
    wavenumber = 2 * math.pi / length * multiples
    return Axis(size, limit + 1, high, wavenumber, np.where(2 * multiples == size, 0.0, wavenumber))
