"""Right-hand sides in Fourier space: the nonlinear part ``N(h) = ∂_t h − c^{ab} ∂_a ∂_b h``."""

from lnegeom.flow.torus.rhs.choice import right_hand_side
from lnegeom.flow.torus.rhs.fused import Borrowed, Fused
from lnegeom.flow.torus.rhs.plain import Compiled, Equation, LeftCone, Plain

__all__ = ["Borrowed", "Compiled", "Equation", "Fused", "LeftCone", "Plain", "right_hand_side"]
