"""lnegeom: divergences, metrics, curvature and Ricci flow, batched, for any array library."""

from lnegeom._array import GeometryError, InputError

__all__ = ["GeometryError", "InputError"]
