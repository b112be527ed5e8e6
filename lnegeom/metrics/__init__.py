"""Metrics, one kind a file; `Metric` is the contract they keep."""

from lnegeom.metrics._base import Metric
from lnegeom.metrics.euclidean import Euclidean
from lnegeom.metrics.hessian import Hessian
from lnegeom.metrics.lne import LNE

__all__ = ["LNE", "Euclidean", "Hessian", "Metric"]
