"""Quantizers, straight-through estimators, and the modules that apply them to a layer."""

from lnegeom_torch.quant.modules import ActivationQuantizer, WeightQuantizer
from lnegeom_torch.quant.quantizers import QUANTIZERS, binarize, maniquant, rf, straight_through

__all__ = [
    "QUANTIZERS",
    "ActivationQuantizer",
    "WeightQuantizer",
    "binarize",
    "maniquant",
    "rf",
    "straight_through",
]
