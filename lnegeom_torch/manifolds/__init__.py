"""The metrics on weights as manifolds of geoopt, for its `ManifoldParameter` and its optimizers.

The only modules that import geoopt (``pip install "lnegeom[geoopt]"``). For training, `ManifoldSGD` and
`ManifoldAdamW` take the metrics themselves, and are faster.
"""

try:
    import geoopt  # noqa: F401
except ImportError as error:
    raise ImportError('lnegeom_torch.manifolds needs geoopt: pip install "lnegeom[geoopt]"') from error

from lnegeom_torch.manifolds._log_cosh import LogCoshManifold
from lnegeom_torch.manifolds._rank_one import GraphManifold, LNEManifold, NormalizedLNEManifold

__all__ = ["GraphManifold", "LNEManifold", "LogCoshManifold", "NormalizedLNEManifold"]
