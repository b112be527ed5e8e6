"""Laws for metrics on weights, optimizers and geoopt manifolds of your own.

A broken law is an `lnegeom.testing.LawError`. What concerns manifolds needs geoopt, which the extra
`lnegeom[geoopt]` brings; it is imported when one of its checks is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lnegeom_torch.testing._metrics import check_metric, metric_laws
from lnegeom_torch.testing._optimizers import check_optimizer, optimizer_laws

if TYPE_CHECKING:
    from lnegeom_torch.testing._manifolds import check_manifold, manifold_laws

__all__ = [
    "check_manifold",
    "check_metric",
    "check_optimizer",
    "manifold_laws",
    "metric_laws",
    "optimizer_laws",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lnegeom_torch.testing' has no attribute {name!r}")
    try:
        manifolds = importlib.import_module("lnegeom_torch.testing._manifolds")
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs geoopt: pip install "lnegeom[geoopt]"') from error
    return getattr(manifolds, name)
