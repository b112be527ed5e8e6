"""Geodesics: paths, exponential map and logarithm, distance, transport, Jacobi fields, means."""

from lnegeom.geodesics._conjugate import ConjugatePoint, Logarithm, conjugate_point, logarithm
from lnegeom.geodesics._jacobi import JacobiField, jacobi_field
from lnegeom.geodesics._maps import distance, exp, log, parallel_transport, retract
from lnegeom.geodesics._mean import FrechetMean, frechet_mean
from lnegeom.geodesics._path import Geodesic, geodesic

__all__ = [
    "ConjugatePoint",
    "FrechetMean",
    "Geodesic",
    "JacobiField",
    "Logarithm",
    "conjugate_point",
    "distance",
    "exp",
    "frechet_mean",
    "geodesic",
    "jacobi_field",
    "log",
    "logarithm",
    "parallel_transport",
    "retract",
]
