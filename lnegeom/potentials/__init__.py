"""Convex potentials of Legendre type: value, gradient, Hessian, third derivative, conjugate.

A potential is the root of everything here: its Bregman divergence, its Hessian metric, its pair of dual
coordinates. `Potential` is the contract; each kind has its own file.
"""

from lnegeom.potentials._base import Potential, SeparablePotential
from lnegeom.potentials.log_cosh import LogCosh
from lnegeom.potentials.log_sum_exp import LogSumExp
from lnegeom.potentials.negative_entropy import NegativeEntropy
from lnegeom.potentials.squared_norm import SquaredNorm

__all__ = ["LogCosh", "LogSumExp", "NegativeEntropy", "Potential", "SeparablePotential", "SquaredNorm"]
