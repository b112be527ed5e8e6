"""Validation of a metric on a grid, once, at the boundary."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, GeometryError, check_finite, check_where
from lnegeom.flow.domain import Domain


def checked_metric(xp: Any, g: Array, grid: Domain, name: str) -> Array:
    """Return a metric on the grid, symmetric to the last bit; raise unless it is one."""
    expected = (*grid.shape, grid.dim, grid.dim)
    if tuple(g.shape) != expected:
        raise GeometryError(
            f"{name} has shape {tuple(g.shape)}: expected {expected}, a {grid.dim}×{grid.dim} matrix at each "
            "point of the grid"
        )
    check_finite(xp, g, name)
    asymmetry = xp.max(xp.abs(g - xp.matrix_transpose(g)), axis=(-2, -1))
    tolerance = 100 * float(xp.finfo(g.dtype).eps) * float(xp.max(xp.abs(g)))
    check_where(
        xp,
        asymmetry <= tolerance,
        asymmetry,
        name,
        "{point} is not symmetric, its entries differ by {value}: pass (g + gᵀ)/2",
    )
    smallest = xp.linalg.eigvalsh(g)[..., 0]
    check_where(
        xp,
        smallest > 0,
        smallest,
        name,
        "{point} has eigenvalue {value}: expected a positive definite matrix; reduce the perturbation of δ "
        "below 1 in operator norm",
    )
    return 0.5 * (g + xp.matrix_transpose(g))
