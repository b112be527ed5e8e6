"""lnegeom: divergences, metrics, curvature and Ricci flow, batched, for any array library."""

import importlib
from typing import TYPE_CHECKING, Any

from lnegeom._array import GeometryError, InputError
from lnegeom.curvature import (
    christoffel,
    einstein,
    kretschmann,
    ricci,
    riemann,
    scalar_curvature,
    sectional_curvature,
    weyl,
)
from lnegeom.divergences import KL, Bregman, Divergence, Euclidean, Hyperbolic
from lnegeom.families import Categorical, ExponentialFamily, Normal
from lnegeom.geodesics import Geodesic, distance, exp, geodesic, log, parallel_transport
from lnegeom.metrics import (
    LNE,
    Conformal,
    FromCallable,
    Graph,
    HalfSpace,
    Hessian,
    Kerr,
    Metric,
    Minkowski,
    NormalizedLNE,
    PoincareBall,
    Product,
    Pullback,
    Schwarzschild,
    Sphere,
    Torus,
)
from lnegeom.potentials import LogCosh, LogSumExp, NegativeEntropy, Potential, SquaredNorm

if TYPE_CHECKING:
    from lnegeom import flow, plot

__all__ = [
    "KL",
    "LNE",
    "Bregman",
    "Categorical",
    "Conformal",
    "Divergence",
    "Euclidean",
    "ExponentialFamily",
    "FromCallable",
    "Geodesic",
    "GeometryError",
    "Graph",
    "HalfSpace",
    "Hessian",
    "Hyperbolic",
    "InputError",
    "Kerr",
    "LogCosh",
    "LogSumExp",
    "Metric",
    "Minkowski",
    "NegativeEntropy",
    "Normal",
    "NormalizedLNE",
    "PoincareBall",
    "Potential",
    "Product",
    "Pullback",
    "Schwarzschild",
    "Sphere",
    "SquaredNorm",
    "Torus",
    "christoffel",
    "distance",
    "einstein",
    "exp",
    "flow",
    "geodesic",
    "kretschmann",
    "log",
    "parallel_transport",
    "plot",
    "ricci",
    "riemann",
    "scalar_curvature",
    "sectional_curvature",
    "weyl",
]


def __getattr__(name: str) -> Any:
    # Rooms that need more than numpy are imported on first use, so that `import lnegeom` stays light.
    if name in ("flow", "plot"):
        return importlib.import_module(f"lnegeom.{name}")
    raise AttributeError(f"module 'lnegeom' has no attribute {name!r}")
