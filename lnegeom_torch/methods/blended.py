"""Blended coarse gradient descent."""

from __future__ import annotations

from typing import cast

import torch

from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.options import Blended

__all__ = ["BlendedMethod"]


class BlendedMethod(Method):
    """``W ← (1 − ρ) W + ρ Q(W) − step``: the coarse gradient at Q(W), from a blend of W and Q(W).

    References
    ----------
    P. Yin, S. Zhang, J. Lyu, S. Osher, Y. Qi, J. Xin, "Blended coarse gradient descent for full quantization
    of deep neural networks", 2019, Algorithm 1.
    """

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Blend every trained latent weight with its quantization; the gradients are there already."""
        rho = cast(Blended, self.config.chosen_options).rho
        quantizers = self.quantizers
        for name, weight in self.latents.items():
            if weight.grad is not None:
                weight.lerp_(quantizers[name].quantize(weight), rho)
