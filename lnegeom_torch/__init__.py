"""lnegeom_torch: train quantized torch networks with the geometry of lnegeom.

Names are imported on first use, so that the command line can show its help without importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnegeom_torch import (
        data,
        diagnostics,
        manifolds,
        methods,
        metrics,
        nets,
        optim,
        quant,
        ricci,
        testing,
        train,
    )
    from lnegeom_torch.methods import Method, QuantConfig, quantize_
    from lnegeom_torch.metrics import LNE, Fisher, Graph, LogCoshHessian, NormalizedLNE
    from lnegeom_torch.optim import ManifoldAdamW, ManifoldSGD, Precondition
    from lnegeom_torch.quant import export, freeze, summary, unpack
    from lnegeom_torch.ricci import RicciFlow

_ORIGIN = {
    "LNE": "metrics",
    "Fisher": "metrics",
    "Graph": "metrics",
    "LogCoshHessian": "metrics",
    "ManifoldAdamW": "optim",
    "ManifoldSGD": "optim",
    "Method": "methods",
    "NormalizedLNE": "metrics",
    "Precondition": "optim",
    "QuantConfig": "methods",
    "RicciFlow": "ricci",
    "export": "quant",
    "freeze": "quant",
    "quantize_": "methods",
    "summary": "quant",
    "unpack": "quant",
}
_ROOMS = (
    "data",
    "diagnostics",
    "manifolds",
    "methods",
    "metrics",
    "nets",
    "optim",
    "quant",
    "ricci",
    "testing",
    "train",
)
_EXTRA = ("joblib", "safetensors", "sklearn", "torch")

__all__ = [
    "LNE",
    "Fisher",
    "Graph",
    "LogCoshHessian",
    "ManifoldAdamW",
    "ManifoldSGD",
    "Method",
    "NormalizedLNE",
    "Precondition",
    "QuantConfig",
    "RicciFlow",
    "data",
    "diagnostics",
    "export",
    "freeze",
    "manifolds",
    "methods",
    "metrics",
    "nets",
    "optim",
    "quant",
    "quantize_",
    "ricci",
    "summary",
    "testing",
    "train",
    "unpack",
]


def __getattr__(name: str) -> Any:
    room = _ORIGIN.get(name, name)
    if room not in _ROOMS:
        raise AttributeError(f"module 'lnegeom_torch' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"lnegeom_torch.{room}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise ImportError(f'lnegeom_torch.{name} needs {error.name}: pip install "lnegeom[torch]"') from error
    return getattr(module, name) if name in _ORIGIN else module
