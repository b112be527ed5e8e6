"""lnegeom_torch: train quantized torch networks with the geometry of lnegeom.

Names are imported on first use, so that the command line can show its help without importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnegeom_torch import data, methods, metrics, nets, optim, quant, ricci, ship, train
    from lnegeom_torch.methods import Method, QuantConfig, quantize_
    from lnegeom_torch.metrics import LNE, Graph, LogCoshHessian, NormalizedLNE
    from lnegeom_torch.optim import ManifoldAdamW, ManifoldSGD
    from lnegeom_torch.ricci import RicciFlow
    from lnegeom_torch.ship import export, freeze, load_packed, save_packed, summary

_ORIGIN = {
    "LNE": "metrics",
    "Graph": "metrics",
    "LogCoshHessian": "metrics",
    "ManifoldAdamW": "optim",
    "ManifoldSGD": "optim",
    "Method": "methods",
    "NormalizedLNE": "metrics",
    "QuantConfig": "methods",
    "RicciFlow": "ricci",
    "export": "ship",
    "freeze": "ship",
    "load_packed": "ship",
    "quantize_": "methods",
    "save_packed": "ship",
    "summary": "ship",
}
_ROOMS = ("data", "methods", "metrics", "nets", "optim", "quant", "ricci", "ship", "train")

__all__ = [
    "LNE",
    "Graph",
    "LogCoshHessian",
    "ManifoldAdamW",
    "ManifoldSGD",
    "Method",
    "NormalizedLNE",
    "QuantConfig",
    "RicciFlow",
    "data",
    "export",
    "freeze",
    "load_packed",
    "methods",
    "metrics",
    "nets",
    "optim",
    "quant",
    "quantize_",
    "ricci",
    "save_packed",
    "ship",
    "summary",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ORIGIN:
        return getattr(importlib.import_module(f"lnegeom_torch.{_ORIGIN[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"lnegeom_torch.{name}")
    raise AttributeError(f"module 'lnegeom_torch' has no attribute {name!r}")
