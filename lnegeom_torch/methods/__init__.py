"""Training methods: the registry, the configuration, and `quantize_`, which applies one to a model."""

from lnegeom_torch.methods.base import DivergedError, Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.quantize import quantize_
from lnegeom_torch.methods.registry import METHODS, MethodSpec
from lnegeom_torch.methods.ricci_flow import RicciFlowMethod

__all__ = ["METHODS", "DivergedError", "Method", "MethodSpec", "QuantConfig", "RicciFlowMethod", "quantize_"]
