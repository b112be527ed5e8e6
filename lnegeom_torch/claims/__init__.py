"""Claims about estimators and training; torch is imported when one that needs it is measured."""

from lnegeom_torch.claims.coarse import COARSE
from lnegeom_torch.claims.methods import METHODS
from lnegeom_torch.claims.training import TRAINED

__all__ = ["COARSE", "METHODS", "TRAINED", "TRAINING"]

TRAINING = (COARSE, METHODS, TRAINED)
"""All of them, by subject."""
