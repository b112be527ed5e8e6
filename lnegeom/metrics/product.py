"""The product of metrics."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from lnegeom._array import Array, InputError, positive_integer, safe_sqrt
from lnegeom._low_rank import LowRank, block_diagonal
from lnegeom.derivatives import Jet
from lnegeom.metrics._base import Metric
from lnegeom.metrics._blocks import place


class _Local(NamedTuple):
    x: Array
    parts: list[Any]


class Product(Metric):
    """The product metric ``g₁ ⊕ g₂ ⊕ …``, coordinates one factor after the other.

    Factors that apply in O(n) keep doing so: only the full matrices and tensors are formed in n dimensions.
    Geodesics are in closed form where every factor's are.

    Parameters
    ----------
    *factors : Metric
        At least one, each of a known dimension (``Euclidean(2)`` rather than ``Euclidean()``).
    dims : sequence of int, optional
        The dimensions of the factors, where a factor such as ``LNE(tau)`` leaves its own open.

    Examples
    --------
    >>> import lnegeom
    >>> cylinder = lnegeom.Product(lnegeom.Sphere(2), lnegeom.Euclidean(1))
    >>> round(float(cylinder.scalar_curvature([0.1, 0.2, 5.0])), 12)
    2.0
    """

    def __init__(self, *factors: Metric, dims: Any = None):
        if not factors or not all(isinstance(factor, Metric) for factor in factors):
            raise InputError(f"expected one metric or more, got {factors!r}")
        if not isinstance(dims, Iterable | None):
            raise InputError(f"dims must be a list of one dimension for each factor, got {dims!r}")
        named = [factor.dim for factor in factors] if dims is None else list(dims)
        if len(named) != len(factors):
            raise InputError(
                f"dims names {len(named)} dimensions for {len(factors)} factors: expected one for each"
            )
        self.dims: list[int] = []
        for factor, size in zip(factors, named, strict=True):
            if size is None:
                raise InputError(f"{factor!r} has no dimension of its own; name all of them with dims=")
            if factor.dim not in (None, size):
                raise InputError(f"{factor!r} has dimension {factor.dim}, not {size}; correct dims")
            self.dims.append(positive_integer("dims", size))
        self.factors = factors
        self.dim = sum(self.dims)
        self.closed_form_geodesics = all(factor.closed_form_geodesics for factor in factors)

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.factors))})"

    @property
    def signature(self) -> tuple[int, int]:
        """Numbers of positive and negative eigenvalues."""
        negative = sum(factor.signature[1] for factor in self.factors)
        return sum(self.dims) - negative, negative

    def derivatives_at(self, x: Any) -> tuple[Jet | None, ...]:
        """What each factor's `derivatives_at` tells, at its part of points ``(..., n)``.

        None stands for a factor that has no derivatives to tell of: it is in closed form throughout.

        Examples
        --------
        >>> import numpy as np, lnegeom
        >>> surface = lnegeom.Graph(lambda x: np.sin(x).sum())
        >>> first, second = lnegeom.Product(surface, lnegeom.Sphere(2), dims=(2, 2)).derivatives_at([0.1] * 4)
        >>> first.source, second.source
        ('finite', 'closed form')
        """
        _, local = self._at(x)
        pieces = zip(self.factors, self._split(local.x), strict=True)
        tellers = ((getattr(factor, "derivatives_at", None), piece) for factor, piece in pieces)
        return tuple(tell(piece) if tell else None for tell, piece in tellers)

    def _local(self, xp: Any, x: Array) -> _Local:
        pieces = self._split(x)
        return _Local(x, [f._local(xp, piece) for f, piece in zip(self.factors, pieces, strict=True)])

    def _split(self, x: Array) -> list[Array]:
        pieces, start = [], 0
        for size in self.dims:
            pieces.append(x[..., start : start + size])
            start += size
        return pieces

    def _vector(self, xp: Any, local: _Local, vector: Array, apply: Callable[..., Array]) -> Array:
        rows = zip(self.factors, local.parts, self._split(vector), strict=True)
        return xp.concat([apply(factor)(xp, part, piece) for factor, part, piece in rows], axis=-1)

    def _blocks(self, xp: Any, local: _Local, rank: int, tensor: Callable[..., Array]) -> Array:
        """A tensor of a rank that vanishes unless all indices belong to one factor."""
        n = sum(self.dims)
        total, start = None, 0
        for factor, part, size in zip(self.factors, local.parts, self.dims, strict=True):
            block = place(xp, tensor(factor)(xp, part), [start] * rank, n)
            total = block if total is None else total + block
            start += size
        return total

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return self._blocks(xp, local, 2, lambda factor: factor._matrix)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return self._blocks(xp, local, 2, lambda factor: factor._inverse)

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        return self._vector(xp, local, covector, lambda factor: factor._sharp)

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return self._vector(xp, local, vector, lambda factor: factor._flat)

    def _logdet(self, xp: Any, local: _Local) -> Array:
        parts = zip(self.factors, local.parts, strict=True)
        return functools.reduce(operator.add, (factor._logdet(xp, part) for factor, part in parts))

    def _christoffel(self, xp: Any, local: _Local) -> Array:
        return self._blocks(xp, local, 3, lambda factor: factor._christoffel)

    def _christoffel_apply(self, xp: Any, local: _Local, u: Array, v: Array) -> Array:
        rows = zip(self.factors, local.parts, self._split(u), self._split(v), strict=True)
        return xp.concat([f._christoffel_apply(xp, part, a, b) for f, part, a, b in rows], axis=-1)

    def _christoffel_error(self, xp: Any, x: Array) -> float:
        pieces = zip(self.factors, self._split(x), strict=True)
        return max(factor._christoffel_error(xp, piece) for factor, piece in pieces)

    def _low_rank(self, xp: Any, local: _Local) -> tuple[LowRank, LowRank] | None:
        found = [f._low_rank(xp, part) for f, part in zip(self.factors, local.parts, strict=True)]
        known = [pair for pair in found if pair is not None]
        if len(known) < len(found):
            return None
        matrices, inverses = zip(*known, strict=True)
        return block_diagonal(xp, matrices), block_diagonal(xp, inverses)

    def _christoffel_low_rank(self, xp: Any, local: _Local, covector: Array) -> LowRank:
        rows = zip(self.factors, local.parts, self._split(covector), strict=True)
        return block_diagonal(xp, [f._christoffel_low_rank(xp, part, piece) for f, part, piece in rows])

    def _riemann(self, xp: Any, local: _Local) -> Array:
        return self._blocks(xp, local, 4, lambda factor: factor._riemann)

    def _ricci(self, xp: Any, local: _Local) -> Array:
        return self._blocks(xp, local, 2, lambda factor: factor._ricci)

    def _ricci_apply(self, xp: Any, local: _Local, vector: Array) -> Array:
        return self._vector(xp, local, vector, lambda factor: factor._ricci_apply)

    def _scalar_curvature(self, xp: Any, local: _Local) -> Array:
        parts = zip(self.factors, local.parts, strict=True)
        return functools.reduce(operator.add, (f._scalar_curvature(xp, part) for f, part in parts))

    # A geodesic is one of each factor, side by side.

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        return self._side_by_side(xp, "_exp", x, v)

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        return self._side_by_side(xp, "_log", x, y)

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        return self._side_by_side(xp, "_transport", x, v, w)

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        pieces = zip(self.factors, self._split(x), self._split(y), strict=True)
        squares = (factor._distance(xp, a, b) ** 2 for factor, a, b in pieces)
        return safe_sqrt(xp, functools.reduce(operator.add, squares))

    def _leaves(self, xp: Any, x: Array, v: Array) -> Array:
        pieces = zip(self.factors, self._split(x), self._split(v), strict=True)
        return functools.reduce(xp.minimum, (factor._leaves(xp, a, b) for factor, a, b in pieces))

    def _side_by_side(self, xp: Any, name: str, *arrays: Array) -> Array:
        shape = np.broadcast_shapes(*(tuple(array.shape[:-1]) for array in arrays))
        split = zip(*(self._split(array) for array in arrays), strict=True)
        pieces = [getattr(f, name)(xp, *parts) for f, parts in zip(self.factors, split, strict=True)]
        return xp.concat([xp.broadcast_to(p, (*shape, p.shape[-1])) for p in pieces], axis=-1)
