"""Tensor fields: jets of a user's function, checked against its valence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_finite
from lnegeom.connections import Connection, metric_of
from lnegeom.derivatives import Derivatives, Jet, check_source, jet

Field = Callable[[Array], Array]
"""A function of one point ``(n,)``, or of points ``(..., n)`` where it is vectorized."""


def point_of(connection: Connection, x: Any) -> tuple[Any, Array]:
    """The namespace and points of the chart."""
    metric_of(connection)._at(x)
    xp, x = as_floating(x=x)
    return xp, x


def tensor_jet(
    xp: Any,
    field: Field,
    x: Array,
    indices: str,
    derivatives: Derivatives,
    vectorized: bool,
    order: Literal[1, 2] = 1,
) -> Jet:
    """The jet of a field with upper "^" and lower "_" indices, or an error that says what is wrong."""
    if not isinstance(indices, str) or set(indices) - {"^", "_"}:
        raise InputError(f"indices must be a text of ^ (upper) and _ (lower), such as '^_', got {indices!r}")
    if not callable(field):
        raise InputError(f"expected a field, a function of a point, got {field!r}")
    found = jet(field, x, derivatives=check_source(derivatives), vectorized=vectorized, order=order)
    expected = (*x.shape[:-1], *x.shape[-1:] * len(indices))
    if tuple(found.value.shape) != tuple(expected):
        raise GeometryError(
            f"the field returned shape {tuple(found.value.shape)} for points {tuple(x.shape)}: expected "
            f"{tuple(x.shape[-1:] * len(indices))} at each point, an axis for each of the indices {indices!r}"
        )
    check_finite(xp, found.value, "field")
    return found
