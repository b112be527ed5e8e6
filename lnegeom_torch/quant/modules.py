"""Quantizers as modules: a parametrization for weights, a submodule for activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lnegeom_torch.quant.quantizers import QUANTIZERS, binarize, straight_through

__all__ = ["ActivationQuantizer", "WeightQuantizer"]


class _Quantizer(nn.Module):
    """Shared by both: a bit width, a k-bit quantizer, and whether |x| > 1 gets no gradient."""

    def __init__(self, bits: int, quantizer: str, gate: bool):
        super().__init__()
        self.bits = bits
        self.quantizer = quantizer
        self.gate = gate

    def extra_repr(self) -> str:
        return f"bits={self.bits}, quantizer={self.quantizer!r}, gate={self.gate}"

    def _quantize(self, x: Tensor) -> Tensor:
        quantized = binarize(x) if self.bits == 1 else QUANTIZERS[self.quantizer](x, self.bits)
        return straight_through(quantized, x.clamp(-1, 1) if self.gate else x)


class WeightQuantizer(_Quantizer):
    """Latent weight to quantized weight, with a straight-through gradient.

    Registered as a parametrization (`torch.nn.utils.parametrize`), so the latent weight stays the same
    `Parameter` object that the model had.

    Parameters
    ----------
    bits : int
        1 to 8.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer for k ≥ 2.
    transform : {"identity", "tanh"}
        ``"tanh"`` first maps W to ``tanh(W) / max|tanh(W)|`` (DoReFa), the maximum held constant in the
        gradient, as ManiQuant §1 prints it. A zero tensor is not divided by its maximum.
    gate : bool
        Whether the gradient is dropped where the quantizer's input exceeds 1 in size.
    """

    def __init__(
        self, bits: int, quantizer: str = "maniquant", transform: str = "identity", gate: bool = False
    ):
        super().__init__(bits, quantizer, gate)
        self.transform = transform

    def extra_repr(self) -> str:
        """The constants, for the model's printed form."""
        return f"{super().extra_repr()}, transform={self.transform!r}"

    def forward(self, weight: Tensor) -> Tensor:
        """Quantize a latent weight of any shape."""
        if self.transform == "tanh":
            weight = torch.tanh(weight)
            largest = weight.detach().abs().amax()
            weight = weight / torch.where(largest > 0, largest, torch.ones_like(largest))
        return self._quantize(weight)


class ActivationQuantizer(_Quantizer):
    """Activation to quantized activation, with the gradient dropped where ``|a| > 1`` (ManiQuant Eq. 10).

    Parameters
    ----------
    bits : int
        1 to 8.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer for k ≥ 2.
    """

    def __init__(self, bits: int, quantizer: str = "maniquant"):
        super().__init__(bits, quantizer, gate=True)

    def forward(self, activation: Tensor) -> Tensor:
        """Quantize an activation of any shape."""
        return self._quantize(activation)
