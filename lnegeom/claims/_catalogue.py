"""The claims that need no torch, by subject."""

from lnegeom.claims.decay import DECAY
from lnegeom.claims.discrete import DISCRETE
from lnegeom.claims.duality import DUALITY
from lnegeom.claims.estimators import ESTIMATORS
from lnegeom.claims.hyperbolic import HYPERBOLIC
from lnegeom.claims.lne import LNE

__all__ = ["GEOMETRY"]

GEOMETRY = (HYPERBOLIC, LNE, DUALITY, DECAY, DISCRETE, ESTIMATORS)
