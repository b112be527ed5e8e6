"""Symmetric matrices that are a diagonal and a few dyads: ``D + Σ a bᵀ``, held in O(n)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lnegeom._array import Array, diagonal_matrix, dot


class LowRank(NamedTuple):
    """The matrices ``diag(d) + Σ a bᵀ`` of vectors ``(..., n)``; single dyads need not be symmetric."""

    diagonal: Array
    dyads: tuple[tuple[Array, Array], ...] = ()

    def plus(self, other: LowRank) -> LowRank:
        """The sum of two."""
        return LowRank(self.diagonal + other.diagonal, self.dyads + other.dyads)

    def times(self, factor: Array | float) -> LowRank:
        """The product with numbers ``(..., 1)``."""
        return LowRank(factor * self.diagonal, tuple((factor * a, b) for a, b in self.dyads))

    def apply(self, xp: Any, vector: Array) -> Array:
        """The product with vectors ``(..., n)``."""
        total = self.diagonal * vector
        for a, b in self.dyads:
            total = total + a * dot(xp, b, vector)[..., None]
        return total

    def trace(self, xp: Any) -> Array:
        """The trace, ``(...)``."""
        total = xp.sum(self.diagonal, axis=-1)
        for a, b in self.dyads:
            total = total + dot(xp, a, b)
        return total

    def trace_with(self, xp: Any, other: LowRank) -> Array:
        """The trace ``tr(AB)`` of the product of two, ``(...)``."""
        total = dot(xp, self.diagonal, other.diagonal)
        for a, b in self.dyads:
            total = total + dot(xp, b, other.apply(xp, a))
        for a, b in other.dyads:
            total = total + dot(xp, b, self.diagonal * a)
        return total

    def matrix(self, xp: Any) -> Array:
        """All entries, ``(..., n, n)``."""
        total = diagonal_matrix(xp, self.diagonal)
        for a, b in self.dyads:
            total = total + a[..., :, None] * b[..., None, :]
        return total


def block_diagonal(xp: Any, blocks: Sequence[LowRank]) -> LowRank:
    """The matrix that has these along its diagonal, and zeros elsewhere."""
    sizes = [block.diagonal.shape[-1] for block in blocks]
    dyads = []
    for place, block in enumerate(blocks):
        pad = padding(xp, sum(sizes[:place]), sum(sizes[place + 1 :]))
        dyads += [(pad(a), pad(b)) for a, b in block.dyads]
    return LowRank(xp.concat([block.diagonal for block in blocks], axis=-1), tuple(dyads))


def padding(xp: Any, before: int, after: int) -> Callable[[Array], Array]:
    """What puts so many zeros before and after the entries of a vector."""

    def pad(vector: Array) -> Array:
        zero = xp.zeros_like(vector[..., :1])
        widths = [xp.broadcast_to(zero, (*vector.shape[:-1], count)) for count in (before, after)]
        return xp.concat([widths[0], vector, widths[1]], axis=-1)

    return pad
