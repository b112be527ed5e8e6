"""Differential operators on fields over any metric: first and second order, Lie derivatives, submanifolds.

Fields are functions of one point, or with ``vectorized=True`` of all points at once; their derivatives come
from torch, JAX or finite differences (`lnegeom.derivatives.jet`).
"""

from lnegeom.operators._first import covariant_derivative, divergence, gradient, hessian, laplacian
from lnegeom.operators._lie import killing_residual, lie_derivative
from lnegeom.operators._second import lichnerowicz_laplacian, rough_laplacian
from lnegeom.operators._submanifold import codazzi_residual, gauss_residual, second_fundamental_form

__all__ = [
    "codazzi_residual",
    "covariant_derivative",
    "divergence",
    "gauss_residual",
    "gradient",
    "hessian",
    "killing_residual",
    "laplacian",
    "lichnerowicz_laplacian",
    "lie_derivative",
    "rough_laplacian",
    "second_fundamental_form",
]
