"""Curvature tensors where the sectional curvature K is constant: no derivative, so no digit is lost."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, identity


def riemann(xp: Any, k: float, g: Array) -> Array:
    """``R^r_smv = K (δ^r_m g_sv − δ^r_v g_sm)`` of a metric ``(..., n, n)``."""
    term = k * identity(xp, g)[:, None, :, None] * g[..., None, :, None, :]
    return term - xp.matrix_transpose(term)


def scalar(xp: Any, k: float, x: Array) -> Array:
    """``R = K n (n − 1)`` at points ``(..., n)``."""
    n = x.shape[-1]
    return xp.zeros_like(x[..., 0]) + k * n * (n - 1)
