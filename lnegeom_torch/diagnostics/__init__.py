"""What a metric does during training, and how far a straight-through gradient is from a true one."""

from lnegeom_torch.diagnostics._callback import Diagnostics
from lnegeom_torch.diagnostics._mismatch import GradientMismatch, gradient_mismatch

__all__ = ["Diagnostics", "GradientMismatch", "gradient_mismatch"]
