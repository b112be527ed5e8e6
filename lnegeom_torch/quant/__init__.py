"""Quantizers, straight-through estimators, and the modules that apply them to a layer."""

from lnegeom_torch.quant.modules import ActivationQuantizer, QuantizedReLU, WeightQuantizer
from lnegeom_torch.quant.quantizers import (
    PROXIES,
    QUANTIZERS,
    binarize,
    maniquant,
    rf,
    staircase,
    straight_through,
    ternary,
)

__all__ = [
    "PROXIES",
    "QUANTIZERS",
    "ActivationQuantizer",
    "QuantizedReLU",
    "WeightQuantizer",
    "binarize",
    "maniquant",
    "rf",
    "staircase",
    "straight_through",
    "ternary",
]
