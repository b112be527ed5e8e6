"""First and second derivatives of a user's function: torch.func, JAX, or high-order finite differences."""

from lnegeom.derivatives._jet import Derivatives, Jet, check_source, evaluate, gradient, jet

__all__ = ["Derivatives", "Jet", "check_source", "evaluate", "gradient", "jet"]
