"""Quantizers, straight-through estimators, and the modules that apply them to a layer."""

from lnegeom_torch.quant.export import export, unpack
from lnegeom_torch.quant.freeze import freeze
from lnegeom_torch.quant.modules import ActivationQuantizer, QuantizedReLU, WeightQuantizer
from lnegeom_torch.quant.packing import Packing
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
from lnegeom_torch.quant.summary import LayerSummary, Summary, summary

__all__ = [
    "PROXIES",
    "QUANTIZERS",
    "ActivationQuantizer",
    "LayerSummary",
    "Packing",
    "QuantizedReLU",
    "Summary",
    "WeightQuantizer",
    "binarize",
    "export",
    "freeze",
    "maniquant",
    "rf",
    "staircase",
    "straight_through",
    "summary",
    "ternary",
    "unpack",
]
