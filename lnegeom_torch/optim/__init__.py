"""Optimizers that take a metric per parameter group."""

from lnegeom_torch.optim.adamw import ManifoldAdamW
from lnegeom_torch.optim.fisher import estimate_fisher
from lnegeom_torch.optim.precondition import Precondition
from lnegeom_torch.optim.sgd import ManifoldSGD

__all__ = ["ManifoldAdamW", "ManifoldSGD", "Precondition", "estimate_fisher"]
