"""The adapter's claims, by subject."""

from lnegeom_torch.claims.coarse import COARSE
from lnegeom_torch.claims.methods import METHODS
from lnegeom_torch.claims.networks import NETWORKS
from lnegeom_torch.claims.training import TRAINED

__all__ = ["TRAINING"]

TRAINING = (COARSE, METHODS, NETWORKS, TRAINED)
