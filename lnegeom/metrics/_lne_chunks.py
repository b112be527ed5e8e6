"""LNE's O(n) operations on one long numpy vector, in pieces that stay in cache.

Each is a sweep that sums over the vector and, where the result is a vector, a second one that writes it over
``u = tanh(τθ)``. Nothing of the vector's size is allocated but the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array
from numpy.typing import NDArray

from lnegeom._array import Array

# Entries in a piece: several of 64 KiB stay in a second-level cache, and malloc has them at hand.
_CHUNK = 1 << 13

Piece = NDArray[Any]
Sums = Callable[..., tuple[Any, ...]]


def is_long(*vectors: Any) -> bool:
    """Whether the vectors are single numpy ones of the same floating dtype, of more than one piece."""
    first = vectors[0]
    return all(
        is_numpy_array(v) and v.ndim == 1 and v.shape == first.shape and v.dtype == first.dtype
        for v in vectors
    ) and (first.size > _CHUNK and first.dtype in (np.float32, np.float64))


def sharp(tau: float, x: Array, covector: Array) -> Array | None:
    """``c + u (u·c)/w``; None, as for all here, if a point or vector is not valid: the caller names it."""
    u = np.empty_like(x)
    swept = _sweep(tau, x, (covector,), lambda u, c: (u @ c,), u)
    if swept is None:
        return None
    w, (product,) = swept

    def write(u: Piece, c: Piece) -> None:
        u *= product / w
        u += c

    return _rewrite(u, (covector,), write)


def christoffel_apply(tau: float, x: Array, a: Array, b: Array) -> Array | None:
    """``−u Σ_i h_i a_i b_i / w``."""
    u = np.empty_like(x)
    swept = _sweep(tau, x, (a, b), lambda u, a, b: (_h(tau, u) @ (a * b),), u)
    if swept is None:
        return None
    w, (bend,) = swept
    u *= -bend / w
    return u


def ricci_apply(tau: float, x: Array, vector: Array) -> Array | None:
    """``−h (H − h) v / w + h u Σ_i h_i u_i v_i / w²``."""

    def sums(u: Piece, v: Piece) -> tuple[Any, ...]:
        square = u * u
        weighted = u @ u - square @ square  # Σ h u² / τ
        square *= u
        return weighted, u @ v - square @ v

    u = np.empty_like(x)
    swept = _sweep(tau, x, (vector,), sums, u)
    if swept is None:
        return None
    w, (weighted, product) = swept
    trace, slope = tau * (x.size - (1 - w) + weighted / w), tau * product / w

    def write(u: Piece, v: Piece) -> None:
        h = _h(tau, u)
        u *= slope
        bend = h - trace
        bend *= v
        u += bend
        h /= w
        u *= h

    return _rewrite(u, (vector,), write)


def scalar_curvature(tau: float, x: Array) -> Array | None:
    """``−(1/w) [H² − Σ h_i² (1 + 2u_i²/w) − (Σ h_i u_i²/w)²]``."""

    def sums(u: Piece) -> tuple[Any, ...]:
        h = _h(tau, u)
        hu = h * u
        return np.sum(h, dtype=np.float64), hu @ u, h @ h, hu @ hu

    swept = _sweep(tau, x, (), sums)
    if swept is None:
        return None
    w, (total, weighted, square, mixed) = swept
    trace = total + weighted / w
    return np.asarray(-(trace**2 - square - 2 * mixed / w - (weighted / w) ** 2) / w, dtype=x.dtype)[()]


def _h(tau: float, u: Piece) -> Piece:
    h = u * u
    np.subtract(1, h, out=h)
    h *= tau
    return h


def _sweep(
    tau: float, x: Array, vectors: tuple[Array, ...], sums: Sums, out: Piece | None = None
) -> tuple[float, NDArray[Any]] | None:
    """``w = 1 − |u|²`` and the sums of `sums` over pieces, with u left in `out`; None if not valid.

    The sums carry any NaN or infinity, so that a valid point costs no pass of its own.
    """
    scratch = np.empty(_CHUNK, dtype=x.dtype)
    squared, totals = 0.0, None
    with np.errstate(all="ignore"):
        for start in range(0, x.size, _CHUNK):
            piece = slice(start, start + _CHUNK)
            part = scratch[: x[piece].size] if out is None else out[piece]
            np.tanh(np.multiply(x[piece], tau, out=part), out=part)
            squared += float(part @ part)
            found = np.array(sums(part, *(v[piece] for v in vectors)), dtype=np.float64)
            totals = found if totals is None else totals + found
    if totals is None or not (squared < 1 and np.isfinite(totals).all()):
        return None
    return 1 - squared, totals


def _rewrite(u: Piece, vectors: tuple[Array, ...], write: Callable[..., None]) -> Array:
    for start in range(0, u.size, _CHUNK):
        piece = slice(start, start + _CHUNK)
        write(u[piece], *(v[piece] for v in vectors))
    return u
