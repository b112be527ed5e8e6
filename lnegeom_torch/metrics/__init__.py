"""Light metric objects for weights: plain numbers, applied to one tensor at a time in O(n)."""

from lnegeom_torch.metrics._base import (
    Metric,
    metric_from_data,
    metric_to_data,
    register_metric,
    wide,
    without_autocast,
)
from lnegeom_torch.metrics._room import Room
from lnegeom_torch.metrics.fisher import Fisher
from lnegeom_torch.metrics.graph import LNE, Graph
from lnegeom_torch.metrics.log_cosh import LogCoshHessian
from lnegeom_torch.metrics.normalized_lne import NormalizedLNE

__all__ = [
    "LNE",
    "Fisher",
    "Graph",
    "LogCoshHessian",
    "Metric",
    "NormalizedLNE",
    "Room",
    "metric_from_data",
    "metric_to_data",
    "register_metric",
    "wide",
    "without_autocast",
]
