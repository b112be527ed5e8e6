"""First and second derivatives of a user's function: torch.func, JAX, or high-order finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, as_floating, from_numpy, matvec, to_numpy
from lnegeom.derivatives._automatic import (
    along,
    at_each,
    check_real,
    forward,
    in_library,
    named_failure,
    own_source,
    reverse,
)
from lnegeom.derivatives._differences import (
    Doubles,
    back,
    check_settled,
    converged,
    differences,
    doubles,
    flat_points,
    like,
    recorded,
    slopes,
)
from lnegeom.derivatives._recorded import Recorded, check_recordable

Derivatives = Literal["auto", "torch", "jax", "finite"]
_SOURCES = ("auto", "torch", "jax", "finite")


@dataclass(frozen=True)
class Jet:
    """A function's value and derivatives at points ``(..., n)``; derivative axes come last.

    Attributes
    ----------
    value : array
        Shape ``(..., *out)``.
    first : array
        Shape ``(..., *out, n)``: ``∂_a f``.
    second : array
        Shape ``(..., *out, n, n)``: ``∂_a ∂_b f``; None at order 1.
    source : str
        What computed them: "closed form", "torch", "jax" or "finite".
    error : float
        Estimated largest error of the highest derivatives; 0 where they are exact up to rounding.
    """

    value: Array
    first: Array
    second: Array
    source: str
    error: float


def jet(
    function: Callable[[Array], Array],
    x: Array,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
    order: Literal[1, 2] = 2,
) -> Jet:
    """Value, first and second derivatives of a function at points.

    Parameters
    ----------
    function : callable
        Maps one point ``(n,)`` to an array of any shape; with `vectorized`, points ``(..., n)`` to
        ``(..., *out)``.
    x : array
        Points ``(..., n)``, floating.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from. "auto" differentiates torch and JAX arrays automatically, and takes
        finite differences of all others. "torch" and "jax" convert other arrays, and then call the function
        with their own.
    vectorized : bool
        Whether the function takes all points at once. Finite differences of a function that does not are a
        loop over points in Python.
    order : {1, 2}
        Of the highest derivatives; the first alone cost a fraction.

    Returns
    -------
    Jet
        In the library, dtype and device of x. Finite differences are taken in float64.

    Raises
    ------
    InputError
        If the source is unknown or not installed, or cannot differentiate the function.
    GeometryError
        At a point where finite differences do not settle to a thousandth at any step, or where automatic
        derivatives are not finite; or if the function is complex.

    Notes
    -----
    Finite differences are central, of eighth order, along the coordinate directions and the sums of two of
    them. The step is shortened from ``0.1 max(1, |x|)`` until two successive results agree to a millionth
    and come no closer, point by point; their difference is the estimate of the error. Structure finer than a
    step is noticed only through such disagreement.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.derivatives import jet
    >>> j = jet(lambda x: np.sin(x[0]) * x[1], np.array([0.0, 2.0]))
    >>> j.source, np.round(j.first, 9), np.round(j.second, 9)
    ('finite', array([2., 0.]), array([[0., 1.],
           [1., 0.]]))
    """
    if not callable(function) or order not in (1, 2):
        raise InputError(f"expected a function of a point and order 1 or 2, got {function!r} and {order!r}")
    _, x = as_floating(x=x)
    if x.ndim == 0:
        raise GeometryError("x has shape (): expected (..., n), coordinates on the last axis")
    source = source_of(function, x, derivatives)
    if source == "finite":
        return _finite(function, x, vectorized, order)
    value, first, second = forward(source, function, in_library(source, x), vectorized, order)
    if source != own_source(x):
        value, first = from_numpy(value, x), from_numpy(first, x)
        second = None if second is None else from_numpy(second, x)
    return Jet(value, first, second, source, 0.0)


def gradient(
    function: Callable[[Array], Array],
    x: Array,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """First derivatives ``(..., n)`` of a function of one number at each point, in O(n) where automatic.

    Arguments are those of `jet`; torch and JAX take one reverse pass, for any n.

    Raises
    ------
    GeometryError
        If the function gives anything but one number at a point, or that or a derivative is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.derivatives import gradient
    >>> gradient(lambda x: x[0] * x[1], np.array([2.0, 3.0])).round(9)
    array([3., 2.])
    """
    source = source_of(function, x, derivatives)
    if source == "finite":
        found = jet(function, x, derivatives="finite", vectorized=vectorized, order=1)
        if tuple(found.first.shape) != tuple(x.shape):
            raise GeometryError(
                f"the function returned shape {tuple(found.value.shape)} for points {tuple(x.shape)}: "
                "expected one number at each point"
            )
        return found.first

    there = reverse(source, function, in_library(source, x), vectorized)
    return there if source == own_source(x) else from_numpy(there, x)


def hessian_apply(
    function: Callable[[Array], Array],
    x: Array,
    vector: Array,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Second derivatives along vectors, ``∂_a ∂_b f v^b``, ``(..., n)``, in O(n) where automatic.

    Arguments are those of `gradient`, and vectors ``(..., n)``, whose batch axes broadcast with the points'.

    Raises
    ------
    GeometryError
        If the function gives anything but one number at a point, or a derivative is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.derivatives._jet import hessian_apply
    >>> hessian_apply(lambda x: x[0] * x[1], np.array([2.0, 3.0]), np.array([1.0, 0.0])).round(9)
    array([0., 1.])
    """
    xp = array_api_compat.array_namespace(x)
    source = source_of(function, x, derivatives)
    if source == "finite":
        return matvec(jet(function, x, derivatives="finite", vectorized=vectorized).second, vector)
    shape = np.broadcast_shapes(tuple(x.shape), tuple(vector.shape))
    points, vectors = (in_library(source, xp.broadcast_to(array, shape)) for array in (x, vector))
    there = along(source, function, points, vectors, vectorized)
    return there if source == own_source(x) else from_numpy(there, x)


def check_source(derivatives: str) -> Derivatives:
    """Return the name of a source of derivatives, or raise an InputError."""
    if derivatives not in _SOURCES:
        raise InputError(f"derivatives must be one of {', '.join(_SOURCES)}, got {derivatives!r}")
    return derivatives  # type: ignore[return-value]  # the line above narrows it


def source_of(function: Callable[..., Array], x: Array, derivatives: str) -> str:
    """What differentiates a function at points: torch, jax or finite; an InputError if it may not."""
    source = own_source(x) if check_source(derivatives) == "auto" else derivatives
    check_recordable(isinstance(function, Recorded), source)
    return source


def evaluate(
    function: Callable[[Array], Array],
    x: Array,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Values ``(..., *out)`` at points ``(..., n)`` of a function of one point, or of all at once.

    The function meets the arrays that it meets where `jet` differentiates it.
    """
    if derivatives in ("torch", "jax") and derivatives != own_source(x):
        return from_numpy(to_numpy(evaluate(function, in_library(derivatives, x), vectorized=vectorized)), x)
    if vectorized:
        values = function(x)
        check_real(values)
        return values
    xp = array_api_compat.array_namespace(x)
    points = xp.reshape(x, (-1, x.shape[-1]))
    values = None
    if own_source(x) != "finite":
        values = _mapped(own_source(x), function, points, required=derivatives != "finite")
    if values is None:
        device = array_api_compat.device(x)
        rows = [function(points[i, :]) for i in range(points.shape[0])]
        for row in rows:
            check_real(row)
        values = xp.stack([xp.asarray(row, dtype=x.dtype, device=device) for row in rows])
    check_real(values)
    return xp.reshape(values, tuple(x.shape[:-1]) + tuple(values.shape[1:]))


def _mapped(source: str, function: Callable[[Array], Array], points: Array, *, required: bool) -> Array:
    """Values at all points at once; None for a function that cannot be mapped and need not be."""
    try:
        with named_failure(source, "map"):
            return at_each(source, function, "value", lambda y: (function(y),), points, function)[0]
    except GeometryError:
        raise
    except InputError:
        if required:
            raise
        return None


def _finite(function: Callable[[Array], Array], x: Array, vectorized: bool, order: int) -> Jet:
    points = flat_points(x)

    def values(y: Doubles) -> Doubles:
        """The function at points (..., n), by its own library in float64, as numpy's."""
        rows = evaluate(
            function, like(x, y.reshape(-1, y.shape[-1])), derivatives="finite", vectorized=vectorized
        )
        array = np.asarray(to_numpy(rows), dtype=np.float64)
        return array.reshape(y.shape[:-1] + array.shape[1:])

    def sample(at: Doubles, step: Doubles) -> tuple[Doubles, ...]:
        noting, largest = recorded(values, len(at))
        if order == 1:
            return largest, slopes(noting, at, step)
        return largest, *differences(noting, at, noting(at), step)

    with doubles(x):
        value = values(points)
        size = np.abs(value).reshape(len(points), -1).max(axis=-1)
        found = converged(sample, points, order, value=size)
    check_settled(found, points, tuple(x.shape[:-1]))
    first, *rest = found.arrays
    second = back(x, rest[0]) if rest else None
    return Jet(back(x, value), back(x, first), second, "finite", float(found.error.max()))
