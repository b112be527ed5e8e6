"""ProxQuant: full-precision training, pulled towards the quantized weights by a proximal step."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.options import ProxQuant
from lnegeom_torch.quant.modules import WeightQuantizer

__all__ = ["LatentWhileTraining", "ProxQuantMethod"]


class LatentWhileTraining(WeightQuantizer):
    """Quantizes in evaluation mode; the layer trains with the latent weight itself."""

    def forward(self, weight: Tensor) -> Tensor:
        """The latent weight in training mode, the quantized one in evaluation mode."""
        return self.transformed(weight) if self.training else super().forward(weight)


class ProxQuantMethod(Method):
    """``W ← prox(W − step)``, the proximal map of ``λ |W − Q(W)|₁``: towards Q(W) by at most λ.

    λ grows with the training from 0 to ``strength`` an iteration: by its end the weights are discrete.
    The learning rate is inside λ: a rate that falls to zero would let go of the weights.

    References
    ----------
    Y. Bai, Y.-X. Wang, E. Liberty, "ProxQuant: quantized neural networks via proximal operators", 2018,
    Algorithm 1 and Eq. 6.
    """

    quantizer_class = LatentWhileTraining
    _done = 0.0

    def progress(self, done: float) -> None:
        """λ is ``strength · done``."""
        self._done = done

    def state_dict(self) -> dict[str, Tensor]:
        """The progress, from which λ follows."""
        return {"progress": torch.tensor(self._done, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self.progress(float(state["progress"]))

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move every trained latent weight towards its quantization."""
        reach = cast(ProxQuant, self.config.chosen_options).strength * self._done
        quantizers = self.quantizers
        for name, weight in self.latents.items():
            if weight.grad is not None:
                weight.add_((quantizers[name].quantize(weight) - weight).clamp(-reach, reach))
