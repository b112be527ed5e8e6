"""Exponential families: log-partition, natural and mean parameters, Kullback–Leibler divergence.

Points of a family are its natural parameters θ, in ``p(x) = h(x) exp(⟨θ, t(x)⟩ − A(θ))``. The log-partition
A is a `Potential`, so the Fisher metric is its Hessian and the mean parameters are its gradient.
`ExponentialFamily` is the contract; each family has its own file.
"""

from lnegeom.families._base import ExponentialFamily, FisherRaoFamily
from lnegeom.families.bernoulli import Bernoulli
from lnegeom.families.categorical import Categorical
from lnegeom.families.dirichlet import Beta, Dirichlet
from lnegeom.families.exponential import Exponential
from lnegeom.families.gamma import Gamma
from lnegeom.families.multivariate_normal import MultivariateNormal
from lnegeom.families.normal import Normal
from lnegeom.families.poisson import Poisson
from lnegeom.families.von_mises_fisher import VonMisesFisher

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirichlet",
    "Exponential",
    "ExponentialFamily",
    "FisherRaoFamily",
    "Gamma",
    "MultivariateNormal",
    "Normal",
    "Poisson",
    "VonMisesFisher",
]
