"""Optimizers that take a metric per parameter group."""

from lnegeom_torch.optim.adamw import ManifoldAdamW
from lnegeom_torch.optim.sgd import ManifoldSGD

__all__ = ["ManifoldAdamW", "ManifoldSGD"]
