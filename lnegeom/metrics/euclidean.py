"""The flat metric δ."""

from __future__ import annotations

from typing import Any

from array_api_compat import device

from lnegeom._array import Array, identity, positive_integer
from lnegeom._low_rank import LowRank
from lnegeom.metrics._base import Metric


class Euclidean(Metric):
    """The flat metric ``g = δ`` of R^n.

    Parameters
    ----------
    n : int, optional
        The dimension; any dimension will do when left out.
    """

    closed_form_geodesics = True

    def __init__(self, n: int | None = None):
        self.dim = None if n is None else positive_integer("n", n)

    def __repr__(self) -> str:
        return f"Euclidean({'' if self.dim is None else self.dim})"

    def _local(self, xp: Any, x: Array) -> Array:
        return x

    def _matrix(self, xp: Any, local: Array) -> Array:
        return xp.zeros_like(local)[..., None] + identity(xp, local)

    def _inverse(self, xp: Any, local: Array) -> Array:
        return self._matrix(xp, local)

    def _sharp(self, xp: Any, local: Array, covector: Array) -> Array:
        return covector + xp.zeros_like(local)

    def _flat(self, xp: Any, local: Array, vector: Array) -> Array:
        return vector + xp.zeros_like(local)

    def _logdet(self, xp: Any, local: Array) -> Array:
        return xp.zeros_like(local[..., 0])

    def _scalar_curvature(self, xp: Any, local: Array) -> Array:
        return xp.zeros_like(local[..., 0])

    def _christoffel(self, xp: Any, local: Array) -> Array:
        return _zeros(xp, local, rank=3)

    def _christoffel_apply(self, xp: Any, local: Array, u: Array, v: Array) -> Array:
        return xp.zeros_like(local + u + v)

    def _riemann(self, xp: Any, local: Array) -> Array:
        return _zeros(xp, local, rank=4)

    def _ricci(self, xp: Any, local: Array) -> Array:
        return _zeros(xp, local, rank=2)

    def _ricci_apply(self, xp: Any, local: Array, vector: Array) -> Array:
        return xp.zeros_like(local + vector)

    def _low_rank(self, xp: Any, local: Array) -> tuple[LowRank, LowRank]:
        both = LowRank(self._flat(xp, local, xp.ones_like(local)))  # ones, or signs: its own inverse
        return both, both

    def _christoffel_low_rank(self, xp: Any, local: Array, covector: Array) -> LowRank:
        return LowRank(xp.zeros_like(local + covector))

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        return x + v

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        return y - x

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        return w + xp.zeros_like(x + v)


def _zeros(xp: Any, x: Array, rank: int) -> Array:
    return xp.zeros(x.shape[:-1] + x.shape[-1:] * rank, dtype=x.dtype, device=device(x))
