"""lnegeom: divergences, metrics, curvature and Ricci flow, batched, for any array library."""

import importlib
from typing import TYPE_CHECKING, Any

from lnegeom import operators
from lnegeom._array import GeometryError, InputError
from lnegeom.connections import DualConnections
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
from lnegeom.divergences import KL, Bregman, CallableDivergence, Divergence, Euclidean, Hyperbolic
from lnegeom.dually_flat import DuallyFlat
from lnegeom.eguchi import EguchiConnections
from lnegeom.families import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Exponential,
    ExponentialFamily,
    Gamma,
    MultivariateNormal,
    Normal,
    Poisson,
    VonMisesFisher,
)
from lnegeom.geodesics import (
    ConjugatePoint,
    FrechetMean,
    Geodesic,
    JacobiField,
    Logarithm,
    conjugate_point,
    distance,
    exp,
    frechet_mean,
    geodesic,
    jacobi_field,
    log,
    logarithm,
    parallel_transport,
    retract,
)
from lnegeom.metrics import (
    LNE,
    SPD,
    Conformal,
    EstimatedFisher,
    Fisher,
    FromCallable,
    FromDivergence,
    FromGrid,
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
    Warped,
)
from lnegeom.potentials import LogCosh, LogSumExp, NegativeEntropy, Potential, SquaredNorm

if TYPE_CHECKING:
    from lnegeom import claims, flow, plot, symbolic, testing

__all__ = [
    "KL",
    "LNE",
    "SPD",
    "Bernoulli",
    "Beta",
    "Bregman",
    "CallableDivergence",
    "Categorical",
    "Conformal",
    "ConjugatePoint",
    "Dirichlet",
    "Divergence",
    "DualConnections",
    "DuallyFlat",
    "EguchiConnections",
    "EstimatedFisher",
    "Euclidean",
    "Exponential",
    "ExponentialFamily",
    "Fisher",
    "FrechetMean",
    "FromCallable",
    "FromDivergence",
    "FromGrid",
    "Gamma",
    "Geodesic",
    "GeometryError",
    "Graph",
    "HalfSpace",
    "Hessian",
    "Hyperbolic",
    "InputError",
    "JacobiField",
    "Kerr",
    "LogCosh",
    "LogSumExp",
    "Logarithm",
    "Metric",
    "Minkowski",
    "MultivariateNormal",
    "NegativeEntropy",
    "Normal",
    "NormalizedLNE",
    "PoincareBall",
    "Poisson",
    "Potential",
    "Product",
    "Pullback",
    "Schwarzschild",
    "Sphere",
    "SquaredNorm",
    "Torus",
    "VonMisesFisher",
    "Warped",
    "christoffel",
    "claims",
    "conjugate_point",
    "distance",
    "einstein",
    "exp",
    "flow",
    "frechet_mean",
    "geodesic",
    "jacobi_field",
    "kretschmann",
    "log",
    "logarithm",
    "operators",
    "parallel_transport",
    "plot",
    "retract",
    "ricci",
    "riemann",
    "scalar_curvature",
    "sectional_curvature",
    "symbolic",
    "testing",
    "weyl",
]


def __getattr__(name: str) -> Any:
    # Rooms that need more than numpy are imported on first use, so that `import lnegeom` stays light.
    if name in ("claims", "flow", "plot", "symbolic", "testing"):
        return importlib.import_module(f"lnegeom.{name}")
    raise AttributeError(f"module 'lnegeom' has no attribute {name!r}")
