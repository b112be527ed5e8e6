"""One-dimensional Fourier passes that several fields share, and the loops between them; needs numba.

A stack of sets ``[h, ∂_1 h, …]`` in mixed space grows by one at each axis: `spread` pads the kept modes of an
axis to its points and appends the derivative of the first set along it; `gather` is its adjoint, which adds
the derivative of the last set to the first and crops. In three dimensions 2 + 3 + 4 passes replace the 12 of
whole transforms, and the padded modes are never transformed along axes that come later.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lnegeom.flow.torus import fft
from lnegeom.flow.torus.fused import compiled

Complex = NDArray[Any]


def _spread(source: Complex, start: int, target: Complex, low: int, high: int, k: NDArray[Any]) -> None:
    """From planes of ``(sets, m, planes, kept, rest)`` to ``(sets + 1, m, b, points, rest)``."""
    sets, components, planes, points, rest = target.shape
    for c in range(components):
        for b in range(planes):
            for t in range(sets - 1):
                for r in range(low):
                    for q in range(rest):
                        target[t, c, b, r, q] = source[t, c, start + b, r, q]
                for r in range(low, points - high):
                    for q in range(rest):
                        target[t, c, b, r, q] = 0.0
                for r in range(high):
                    for q in range(rest):
                        target[t, c, b, points - high + r, q] = source[t, c, start + b, low + r, q]
            for r in range(low):
                for q in range(rest):
                    z = source[0, c, start + b, r, q]
                    target[sets - 1, c, b, r, q] = complex(-k[r] * z.imag, k[r] * z.real)
            for r in range(low, points - high):
                for q in range(rest):
                    target[sets - 1, c, b, r, q] = 0.0
            for r in range(high):
                for q in range(rest):
                    z = source[0, c, start + b, low + r, q]
                    w = k[low + r]
                    target[sets - 1, c, b, points - high + r, q] = complex(-w * z.imag, w * z.real)


def _gather(source: Complex, target: Complex, start: int, low: int, high: int, k: NDArray[Any]) -> None:
    """From ``(sets + 1, m, b, points, rest)`` to planes of ``(sets, m, planes, kept, rest)``."""
    sets, components, planes, points, rest = source.shape
    for c in range(components):
        for b in range(planes):
            for r in range(low + high):
                row = r if r < low else points - high - low + r
                for q in range(rest):
                    z = source[sets - 1, c, b, row, q]
                    target[0, c, start + b, r, q] = source[0, c, b, row, q] + complex(
                        -k[r] * z.imag, k[r] * z.real
                    )
            for t in range(1, sets - 1):
                for r in range(low + high):
                    row = r if r < low else points - high - low + r
                    for q in range(rest):
                        target[t, c, start + b, r, q] = source[t, c, b, row, q]


def _spread_last(source: Complex, start: int, target: Complex, k: NDArray[Any]) -> None:
    """`_spread` along the last axis: ``(sets, m, planes, kept)`` to ``(sets + 1, m, b, half)``."""
    sets, components, planes, half = target.shape
    kept = k.shape[0]
    for c in range(components):
        for b in range(planes):
            for t in range(sets - 1):
                for r in range(kept):
                    target[t, c, b, r] = source[t, c, start + b, r]
                for r in range(kept, half):
                    target[t, c, b, r] = 0.0
            for r in range(kept):
                z = source[0, c, start + b, r]
                target[sets - 1, c, b, r] = complex(-k[r] * z.imag, k[r] * z.real)
            for r in range(kept, half):
                target[sets - 1, c, b, r] = 0.0


def _gather_last(source: Complex, target: Complex, start: int, k: NDArray[Any]) -> None:
    """`_gather` along the last axis: ``(sets + 1, m, b, half)`` to ``(sets, m, planes, kept)``."""
    sets, components, planes, _ = source.shape
    kept = k.shape[0]
    for c in range(components):
        for b in range(planes):
            for r in range(kept):
                z = source[sets - 1, c, b, r]
                target[0, c, start + b, r] = source[0, c, b, r] + complex(-k[r] * z.imag, k[r] * z.real)
            for t in range(1, sets - 1):
                for r in range(kept):
                    target[t, c, start + b, r] = source[t, c, b, r]


spread, gather = compiled(_spread), compiled(_gather)
spread_last, gather_last = compiled(_spread_last), compiled(_gather_last)


def along(values: Complex, axis: int, *, inverse: bool, workers: int = 1) -> None:
    """Transform in place along one axis; forward transforms are divided by the number of points."""
    if fft.ducc() is not None:
        norm = 0 if inverse else 2
        fft.ducc().c2c(values, axes=(axis,), forward=not inverse, inorm=norm, out=values, nthreads=workers)
        return
    from scipy import fft as scipy_fft

    transform = scipy_fft.ifft if inverse else scipy_fft.fft
    values[...] = transform(values, axis=axis, norm="forward", overwrite_x=True, workers=workers)


def to_real(values: Complex, out: NDArray[Any]) -> None:
    """Real fields from half spectra along the last axis."""
    if fft.ducc() is not None:
        axis = (values.ndim - 1,)
        fft.ducc().c2r(values, axes=axis, lastsize=out.shape[-1], forward=False, out=out)
        return
    from scipy import fft as scipy_fft

    out[...] = scipy_fft.irfft(values, n=out.shape[-1], norm="forward", overwrite_x=True)


def to_half(values: NDArray[Any], out: Complex) -> None:
    """Half spectra of real fields along the last axis, divided by the number of points."""
    if fft.ducc() is not None:
        fft.ducc().r2c(values, axes=(values.ndim - 1,), inorm=2, out=out)
        return
    from scipy import fft as scipy_fft

    out[...] = scipy_fft.rfft(values, norm="forward", overwrite_x=True)
