"""Weights that are discrete in evaluation mode only."""

from __future__ import annotations

from torch import Tensor

from lnegeom_torch.quant.modules import WeightQuantizer
from lnegeom_torch.quant.quantizers import straight_through

__all__ = ["SoftWeightQuantizer"]


class SoftWeightQuantizer(WeightQuantizer):
    """Trains with levels that a subclass makes, at the scale of those in evaluation mode.

    Batch norm would otherwise gather statistics of weights of another size than it will see.
    """

    def soften(self, levels: Tensor, weight: Tensor, surrogate: Tensor) -> Tensor:
        """The levels times the scale of a latent weight, with the gradient of the surrogate."""
        if self.scale == "none":
            return straight_through(levels, surrogate)
        scale = self._scale(weight)
        scaled = straight_through(levels * scale, surrogate)
        return scaled if self.log_scale is None else scaled + levels.detach() * (scale - scale.detach())

    def scale_of(self, weight: Tensor) -> Tensor | float:
        """What multiplies the levels of a latent weight, without its gradient."""
        return 1.0 if self.scale == "none" else self._scale(weight).detach()
