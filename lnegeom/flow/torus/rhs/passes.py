"""One-dimensional Fourier passes that several fields share, and the loops between them; needs numba.

A stack of sets ``[h, ∂_1 h, …]`` in mixed space grows by one at each axis: `spread` pads the kept modes of an
axis to its points and appends the derivative of the first set along it; `gather` is its adjoint, which adds
the derivative of the last set to the first and crops. In three dimensions 2 + 3 + 4 passes replace the 12 of
whole transforms, and the padded modes are never transformed along axes that come later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnegeom.flow.torus import fft
from lnegeom.flow.torus.rhs.algebra import compiled

Complex = NDArray[Any]
Columns = tuple[int, int]

unsigned = np.uint64
"""For indices of inner loops: a signed one may count from the end, which costs the compiler its vectors."""


def _spread(
    source: Complex, start: int, target: Complex, low: int, high: int, k: NDArray[Any], columns: Columns
) -> None:
    """From planes of ``(sets, m, planes, kept, rest)`` to ``(sets + 1, m, b, points, rest)``, in part."""
    sets, components, planes, points, _ = target.shape
    begin, end = unsigned(columns[0]), unsigned(columns[1])
    for c in range(components):
        for b in range(planes):
            for t in range(sets - 1):
                for r in range(low):
                    for q in range(begin, end):
                        target[t, c, b, r, q] = source[t, c, start + b, r, q]
                for r in range(low, points - high):
                    for q in range(begin, end):
                        target[t, c, b, r, q] = 0.0
                for r in range(high):
                    for q in range(begin, end):
                        target[t, c, b, points - high + r, q] = source[t, c, start + b, low + r, q]
            for r in range(low):
                for q in range(begin, end):
                    z = source[0, c, start + b, r, q]
                    target[sets - 1, c, b, r, q] = complex(-k[r] * z.imag, k[r] * z.real)
            for r in range(low, points - high):
                for q in range(begin, end):
                    target[sets - 1, c, b, r, q] = 0.0
            for r in range(high):
                for q in range(begin, end):
                    z = source[0, c, start + b, low + r, q]
                    w = k[low + r]
                    target[sets - 1, c, b, points - high + r, q] = complex(-w * z.imag, w * z.real)


def _gather(
    source: Complex, target: Complex, start: int, low: int, high: int, k: NDArray[Any], columns: Columns
) -> None:
    """From ``(sets + 1, m, b, points, rest)`` to planes of ``(sets, m, planes, kept, rest)``, in part."""
    sets, components, planes, points, _ = source.shape
    begin, end = unsigned(columns[0]), unsigned(columns[1])
    for c in range(components):
        for b in range(planes):
            for r in range(low + high):
                row = r if r < low else points - high - low + r
                for q in range(begin, end):
                    z = source[sets - 1, c, b, row, q]
                    target[0, c, start + b, r, q] = source[0, c, b, row, q] + complex(
                        -k[r] * z.imag, k[r] * z.real
                    )
            for t in range(1, sets - 1):
                for r in range(low + high):
                    row = r if r < low else points - high - low + r
                    for q in range(begin, end):
                        target[t, c, start + b, r, q] = source[t, c, b, row, q]


def _spread_last(source: Complex, start: int, target: Complex, kept: int, k: NDArray[Any]) -> None:
    """`_spread` along the last axis: ``(sets, m, planes, kept)`` to ``(sets + 1, m, b, half)``."""
    sets, components, planes = target.shape[:3]
    zero, last, half = unsigned(0), unsigned(kept), unsigned(target.shape[3])
    for c in range(components):
        for b in range(planes):
            for t in range(sets - 1):
                for r in range(zero, last):
                    target[t, c, b, r] = source[t, c, start + b, r]
                for r in range(last, half):
                    target[t, c, b, r] = 0.0
            for r in range(zero, last):
                z = source[0, c, start + b, r]
                target[sets - 1, c, b, r] = complex(-k[r] * z.imag, k[r] * z.real)
            for r in range(last, half):
                target[sets - 1, c, b, r] = 0.0


def _gather_last(source: Complex, target: Complex, start: int, kept: int, k: NDArray[Any]) -> None:
    """`_gather` along the last axis: ``(sets + 1, m, b, half)`` to ``(sets, m, planes, kept)``."""
    sets, components, planes = source.shape[:3]
    zero, last = unsigned(0), unsigned(kept)
    for c in range(components):
        for b in range(planes):
            for r in range(zero, last):
                z = source[sets - 1, c, b, r]
                target[0, c, start + b, r] = source[0, c, b, r] + complex(-k[r] * z.imag, k[r] * z.real)
            for t in range(1, sets - 1):
                for r in range(zero, last):
                    target[t, c, start + b, r] = source[t, c, b, r]


spread, gather = compiled(_spread), compiled(_gather)
spread_last, gather_last = compiled(_spread_last), compiled(_gather_last)


def along(values: Complex, forward: bool) -> None:
    """Transform ``(sets, m, rows, points, rest)`` in place; forward transforms are divided by the points."""
    if fft.ducc() is not None:
        fft.ducc().c2c(values, axes=(3,), forward=forward, inorm=2 if forward else 0, out=values)
        return
    from scipy import fft as scipy_fft

    transform = scipy_fft.fft if forward else scipy_fft.ifft
    values[...] = transform(values, axis=3, norm="forward", overwrite_x=True)


def to_real(half: Complex, out: NDArray[Any]) -> None:
    """Real fields ``(sets, m, rows, points)`` of half spectra."""
    if fft.ducc() is not None:
        fft.ducc().c2r(half, axes=(3,), lastsize=out.shape[3], forward=False, out=out)
        return
    from scipy import fft as scipy_fft

    out[...] = scipy_fft.irfft(half, n=out.shape[3], norm="forward", overwrite_x=True)


def to_half(values: NDArray[Any], out: Complex) -> None:
    """Half spectra of real fields ``(sets, m, rows, points)``, divided by the number of points."""
    if fft.ducc() is not None:
        fft.ducc().r2c(values, axes=(3,), inorm=2, out=out)
        return
    from scipy import fft as scipy_fft

    out[...] = scipy_fft.rfft(values, norm="forward", overwrite_x=True)
