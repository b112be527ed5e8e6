"""Metrics, one kind a file; `Metric` is the contract they keep."""

from lnegeom.metrics._base import Metric
from lnegeom.metrics.black_holes import Kerr, Schwarzschild
from lnegeom.metrics.conformal import Conformal
from lnegeom.metrics.estimated_fisher import EstimatedFisher
from lnegeom.metrics.euclidean import Euclidean
from lnegeom.metrics.fisher import Fisher
from lnegeom.metrics.from_callable import FromCallable
from lnegeom.metrics.from_divergence import FromDivergence
from lnegeom.metrics.from_grid import FromGrid
from lnegeom.metrics.graph import Graph
from lnegeom.metrics.hessian import Hessian
from lnegeom.metrics.lne import LNE
from lnegeom.metrics.normalized_lne import NormalizedLNE
from lnegeom.metrics.product import Product
from lnegeom.metrics.pullback import Pullback
from lnegeom.metrics.spaces import HalfSpace, Minkowski, PoincareBall, Sphere, Torus
from lnegeom.metrics.spd import SPD
from lnegeom.metrics.warped import Warped

__all__ = [
    "LNE",
    "SPD",
    "Conformal",
    "EstimatedFisher",
    "Euclidean",
    "Fisher",
    "FromCallable",
    "FromDivergence",
    "FromGrid",
    "Graph",
    "HalfSpace",
    "Hessian",
    "Kerr",
    "Metric",
    "Minkowski",
    "NormalizedLNE",
    "PoincareBall",
    "Product",
    "Pullback",
    "Schwarzschild",
    "Sphere",
    "Torus",
    "Warped",
]
