"""Claims about estimators and training; torch is imported when one that needs it is measured."""

from lnegeom_torch.claims._catalogue import TRAINING

__all__ = ["TRAINING"]
