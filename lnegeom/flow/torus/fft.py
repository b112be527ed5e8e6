"""The fastest real Fourier transform at hand, scaled so that a coefficient is an amplitude.

For numpy arrays ducc0 where it is installed (pocketfft's successor: twice as fast, and deterministic, which
FFTW's measured plans are not), else scipy; other libraries bring their own.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import array_api_compat

from lnegeom._array import Array


@functools.cache
def ducc() -> Any:
    """The module ``ducc0.fft``, or None where it is not installed."""
    try:
        return importlib.import_module("ducc0").fft
    except ImportError:
        return None


def forward(xp: Any, values: Array, dim: int, workers: int = 1) -> Array:
    """Coefficients ``(..., *half)`` of real fields over their last `dim` axes: mode 0 is the mean."""
    axes = tuple(range(values.ndim - dim, values.ndim))
    if not array_api_compat.is_numpy_namespace(xp):
        return xp.fft.rfftn(values, axes=axes, norm="forward")
    if ducc() is not None:
        return ducc().r2c(values, axes=axes, inorm=2, nthreads=workers)
    from scipy import fft

    return fft.rfftn(values, axes=axes, norm="forward", workers=workers)


def backward(xp: Any, coefficients: Array, shape: tuple[int, ...], workers: int = 1) -> Array:
    """Real fields ``(..., *shape)`` of coefficients ``(..., *half)``."""
    axes = tuple(range(coefficients.ndim - len(shape), coefficients.ndim))
    if not array_api_compat.is_numpy_namespace(xp):
        return xp.fft.irfftn(coefficients, s=shape, axes=axes, norm="forward")
    if ducc() is not None:
        return ducc().c2r(coefficients, axes=axes, lastsize=shape[-1], forward=False, nthreads=workers)
    from scipy import fft

    return fft.irfftn(coefficients, s=shape, axes=axes, norm="forward", workers=workers)
