"""Quantizers as modules: a parametrization for weights, a submodule for activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.quant.quantizers import QUANTIZERS, binarize, check_bits, straight_through

__all__ = ["ActivationQuantizer", "WeightQuantizer"]


class _Quantizer(nn.Module):
    """Shared by both: a bit width, a k-bit quantizer, and whether |x| > 1 gets no gradient."""

    def __init__(self, bits: int, quantizer: str, gate: bool):
        super().__init__()
        check_bits("bits", bits)
        if quantizer not in QUANTIZERS:
            raise InputError(f"quantizer must be one of {', '.join(QUANTIZERS)}, got {quantizer!r}")
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
        if transform not in ("identity", "tanh"):
            raise InputError(f"transform must be 'identity' or 'tanh', got {transform!r}")
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
    """Activation to quantized activation.

    The gradient is dropped where ``|a| > 1`` (ManiQuant Eq. 10), except by ``"rf"`` with two bits and more,
    which scales by the largest entry and clips nothing. Both quantizers are symmetric about 0, so that a ReLU
    before them wastes half of their levels: of one bit it leaves a constant, of two bits of ``"rf"`` next to
    one. There use `nn.Hardtanh` before them, as `lnegeom train` does.

    Parameters
    ----------
    bits : int
        1 to 8.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer for k ≥ 2.
    """

    def __init__(self, bits: int, quantizer: str = "maniquant"):
        super().__init__(bits, quantizer, gate=bits == 1 or quantizer == "maniquant")

    def forward(self, activation: Tensor) -> Tensor:
        """Quantize an activation of any shape."""
        return self._quantize(activation)
