"""First and second derivatives of a user's function: torch.func, JAX, or high-order finite differences."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat
import numpy as np

from lnegeom._array import Array, InputError, to_numpy

__all__ = ["Derivatives", "Jet", "check_source", "evaluate", "jet"]

Derivatives = Literal["auto", "torch", "jax", "finite"]
_SOURCES = ("auto", "torch", "jax", "finite")

# Central differences of eighth order on x ± h, …, ± 4h: weights of the first and of the second derivative.
_FIRST = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
_SECOND = (8 / 5, -1 / 5, 8 / 315, -1 / 560)
_SECOND_CENTRE = -205 / 72
_FIRST_STEP = 0.1
_HALVINGS = 14


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
        What computed them: "torch", "jax" or "finite".
    error : float
        Estimated largest error of the highest derivatives; 0 for automatic differentiation.
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

    Notes
    -----
    Finite differences are central, of eighth order, along the coordinate directions and the sums of two of
    them. The step is halved from ``0.1 max(1, |x|)`` as long as that brings two successive results closer,
    point by point; the last difference is the estimate of the error.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.derivatives import jet
    >>> j = jet(lambda x: np.sin(x[0]) * x[1], np.array([0.0, 2.0]))
    >>> j.source, np.round(j.first, 9), np.round(j.second, 9)
    ('finite', array([2., 0.]), array([[0., 1.],
           [1., 0.]]))
    """
    check_source(derivatives)
    source = _own_source(x) if derivatives == "auto" else derivatives
    if source == "finite":
        return _finite(function, x, vectorized, order)
    if source == _own_source(x):
        return _automatic(source, function, x, vectorized, order)
    foreign = _library(source)
    found = _automatic(source, function, foreign.asarray(np.array(to_numpy(x))), vectorized, order)
    xp, device = array_api_compat.array_namespace(x), array_api_compat.device(x)

    def back(array: Array) -> Array:
        return xp.asarray(np.asarray(array), dtype=x.dtype, device=device)

    second = back(found.second) if order == 2 else None
    return Jet(back(found.value), back(found.first), second, source, 0.0)


def check_source(derivatives: str) -> Derivatives:
    """Return the name of a source of derivatives, or raise an InputError."""
    if derivatives not in _SOURCES:
        raise InputError(f"derivatives must be one of {', '.join(_SOURCES)}, got {derivatives!r}")
    return derivatives  # type: ignore[return-value]  # the line above narrows it


def evaluate(function: Callable[[Array], Array], x: Array, *, vectorized: bool = False) -> Array:
    """Values ``(..., *out)`` at points ``(..., n)`` of a function of one point, or of all at once."""
    if vectorized:
        return function(x)
    xp = array_api_compat.array_namespace(x)
    points = xp.reshape(x, (-1, x.shape[-1]))
    source = _own_source(x)
    if source == "finite":
        device = array_api_compat.device(x)
        rows = [
            xp.asarray(function(points[i, :]), dtype=x.dtype, device=device) for i in range(points.shape[0])
        ]
        values = xp.stack(rows)
    else:
        values = importlib.import_module("torch.func" if source == "torch" else "jax").vmap(function)(points)
    return xp.reshape(values, tuple(x.shape[:-1]) + tuple(values.shape[1:]))


def _own_source(x: Array) -> str:
    if array_api_compat.is_torch_array(x):
        return "torch"
    return "jax" if array_api_compat.is_jax_array(x) else "finite"


def _library(source: str) -> Any:
    try:
        return importlib.import_module("torch" if source == "torch" else "jax.numpy")
    except ImportError:
        raise InputError(
            f"derivatives={source!r} needs {source}, which is not installed; use 'finite'"
        ) from None


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(n) for b in range(a, n)]


def _automatic(
    source: str, function: Callable[[Array], Array], x: Array, vectorized: bool, order: int
) -> Jet:
    """Forward over forward at one point, all directions at once; the points are the outermost batch."""
    library = _library(source)
    transforms = importlib.import_module("torch.func" if source == "torch" else "jax")
    batch, n = tuple(x.shape[:-1]), x.shape[-1]
    eye = library.eye(n, dtype=x.dtype) if source == "jax" else library.eye(n, dtype=x.dtype, device=x.device)

    def single(y: Array) -> Array:
        return function(y[None, :])[0] if vectorized else function(y)

    def at_point(point: Array) -> Any:
        def gradient(y: Array) -> Any:
            return transforms.vmap(lambda b: transforms.jvp(single, (y,), (b,)))(eye)

        if order == 1:
            value, first = gradient(point)
            return value[0], first, value[0]
        # value (a, b, *out) and first (a, b, *out) do not depend on a, and are views
        (value, first), (_, second) = transforms.vmap(lambda a: transforms.jvp(gradient, (point,), (a,)))(eye)
        return value[0, 0], first[0], second

    try:
        value, first, second = transforms.vmap(at_point)(x.reshape(-1, n))
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{source} could not differentiate the function ({reason}); build its result with stack, "
            "not by assignment, or pass derivatives='finite'"
        ) from error
    out = tuple(value.shape[1:])
    if source == "torch":  # whose forward mode lets tangents of single numbers become doubles
        first, second = first.to(value.dtype), second.to(value.dtype)
    return Jet(
        value.reshape(batch + out),
        library.moveaxis(first, 1, -1).reshape((*batch, *out, n)),
        library.moveaxis(second, (1, 2), (-2, -1)).reshape((*batch, *out, n, n)) if order == 2 else None,
        source,
        0.0,
    )


def _finite(function: Callable[[Array], Array], x: Array, vectorized: bool, order: int) -> Jet:
    xp = array_api_compat.array_namespace(x)
    device = array_api_compat.device(x)
    points = np.array(to_numpy(x), dtype=np.float64).reshape(-1, x.shape[-1])

    def values(y: np.ndarray) -> np.ndarray:
        """The function at points (..., n), by its own library in float64, as numpy's."""
        given = xp.asarray(y.reshape(-1, y.shape[-1]), dtype=xp.float64, device=device)
        rows = evaluate(function, given, vectorized=vectorized)
        array = np.asarray(to_numpy(rows), dtype=np.float64)
        return array.reshape(y.shape[:-1] + array.shape[1:])

    with np.errstate(all="ignore"):  # a step that leaves the domain gives NaN, and a smaller one is taken
        value, first, second, error = _converged(values, points, order)
    batch, n = tuple(x.shape[:-1]), x.shape[-1]
    out = value.shape[1:]

    def back(array: np.ndarray, shape: tuple[int, ...]) -> Array:
        return xp.asarray(
            np.ascontiguousarray(array).reshape(batch + out + shape), dtype=x.dtype, device=device
        )

    bends = back(second, (n, n)) if order == 2 else None
    return Jet(back(value, ()), back(first, (n,)), bends, "finite", error)


def _converged(
    values: Callable[[np.ndarray], np.ndarray], points: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Halve the step until the two last results stop approaching each other, at each point for itself."""
    centre = values(points)
    scale = _FIRST_STEP * np.maximum(1.0, np.abs(points).max(axis=-1))
    count = len(points)
    best = np.full(count, math.inf)
    kept_first = kept_second = previous = None
    stalled = 0
    for halving in range(_HALVINGS):
        first, second = _differences(values, points, centre, scale * 0.5**halving, order)
        highest = second if order == 2 else first
        if previous is not None and kept_first is not None and kept_second is not None:
            gap = np.abs(highest - previous).reshape(count, -1).max(axis=-1)
            gap = np.where(np.isfinite(gap), gap, math.inf)
            better = gap < best
            best = np.where(better, gap, best)
            kept_first[better], kept_second[better] = first[better], second[better]
            stalled = 0 if better.any() or np.isinf(best).any() else stalled + 1
            if stalled == 2:
                break
        else:
            kept_first, kept_second = first.copy(), second.copy()
        previous = highest
    if kept_first is None or kept_second is None or not np.isfinite(best).all():
        bad = int(np.argmax(~np.isfinite(best)))
        raise InputError(
            f"the function has no finite derivatives by differences at point {bad}, {points[bad]}; it must "
            "be defined and smooth around it"
        )
    return centre, kept_first, kept_second, float(best.max())


def _differences(
    values: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    centre: np.ndarray,
    step: np.ndarray,
    order: int,
) -> tuple[np.ndarray, np.ndarray]:
    """First derivatives (B, *out, n) and second (B, *out, n, n), from lines along e_a and e_a + e_b.

    At order 1 only the first are taken, and given twice.
    """
    n = points.shape[-1]
    pairs = _pairs(n) if order == 2 else [(a, a) for a in range(n)]
    directions = np.array([np.eye(n)[a] + (np.eye(n)[b] if a != b else 0) for a, b in pairs])
    multiples = np.array([s * k for k in range(1, 5) for s in (1, -1)])
    # (line, multiple, point, n)
    offsets = multiples[:, None, None] * step[:, None] * directions[:, None, None, :]
    samples = values(points + offsets)
    plus, minus = samples[:, 0::2], samples[:, 1::2]
    h = step.reshape((-1,) + (1,) * (centre.ndim - 1))
    slope = np.tensordot(_FIRST, plus - minus, axes=(0, 1)) / h
    bend = (np.tensordot(_SECOND, plus + minus, axes=(0, 1)) + _SECOND_CENTRE * centre) / h**2
    place = {pair: k for k, pair in enumerate(pairs)}
    first = np.stack([slope[place[a, a]] for a in range(n)], axis=-1)
    if order == 1:
        return first, first
    second = np.empty((*first.shape, n))
    for (a, b), k in place.items():
        # Along e_a + e_b the second derivative is f_aa + 2 f_ab + f_bb.
        mixed = bend[k] if a == b else (bend[k] - bend[place[a, a]] - bend[place[b, b]]) / 2
        second[..., a, b] = second[..., b, a] = mixed
    return first, second
