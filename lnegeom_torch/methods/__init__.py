"""Training methods: the registry, the configuration, and `quantize_`, which applies one to a model."""

from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.blended import BlendedMethod
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.fisher import FisherMethod
from lnegeom_torch.methods.gradients import DivergedError
from lnegeom_torch.methods.metaquant import MetaQuantMethod
from lnegeom_torch.methods.mirror_descent import MirrorDescentMethod
from lnegeom_torch.methods.options import (
    Blended,
    Coarse,
    FisherEmbedding,
    MetaQuant,
    MirrorDescent,
    ProxQuant,
    Spin,
)
from lnegeom_torch.methods.proxquant import ProxQuantMethod
from lnegeom_torch.methods.quantize import quantize_
from lnegeom_torch.methods.registry import METHODS, MethodSpec
from lnegeom_torch.methods.ricci_flow import RicciFlowMethod
from lnegeom_torch.methods.spin import SpinMethod

__all__ = [
    "METHODS",
    "Blended",
    "BlendedMethod",
    "Coarse",
    "DivergedError",
    "FisherEmbedding",
    "FisherMethod",
    "MetaQuant",
    "MetaQuantMethod",
    "Method",
    "MethodSpec",
    "MirrorDescent",
    "MirrorDescentMethod",
    "ProxQuant",
    "ProxQuantMethod",
    "QuantConfig",
    "RicciFlowMethod",
    "Spin",
    "SpinMethod",
    "quantize_",
]
