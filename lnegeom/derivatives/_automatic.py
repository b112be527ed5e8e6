"""Derivatives of a user's function at points of torch or JAX, by the library's own transforms."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, check_where, holds, to_numpy
from lnegeom.derivatives._recorded import AtPoint, Recorded


def own_source(x: Array) -> str:
    """What differentiates arrays of the library of x without converting them."""
    if array_api_compat.is_torch_array(x):
        return "torch"
    return "jax" if array_api_compat.is_jax_array(x) else "finite"


def library_of(source: str) -> Any:
    """The array module of a source, torch or jax.numpy; an InputError where it is not installed."""
    try:
        return importlib.import_module("torch" if source == "torch" else "jax.numpy")
    except ImportError:
        raise InputError(
            f"derivatives={source!r} needs {source}: pip install \"lnegeom[{source}]\", or use 'finite'"
        ) from None


def transforms_of(source: str) -> Any:
    """The module that has vmap, jvp and jacfwd: torch.func or jax."""
    return importlib.import_module("torch.func" if source == "torch" else "jax")


@contextlib.contextmanager
def named_failure(source: str, action: str = "differentiate") -> Iterator[None]:
    """Turn what a library raises as it transforms a user's function into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{source} could not {action} the function ({reason}); build its result with stack, not by "
            "assignment or out of the library, or pass derivatives='finite'"
        ) from error


def in_library(source: str, x: Array) -> Array:
    """Points as an array of torch or JAX."""
    if source == own_source(x):
        return x
    return library_of(source).asarray(on_host(x, f"derivatives={source!r} would lose it"))


def on_host(x: Array, reason: str) -> np.ndarray[Any, Any]:
    """Points as numpy's; refuses those whose gradients would end there, and those without values yet."""
    remedy = "take the derivatives of its own library, detach x, or call"
    if array_api_compat.is_torch_array(x) and (x + 0).requires_grad:  # not so inside torch.no_grad
        raise InputError(f"x requires grad, and {reason}: {remedy} under torch.no_grad()")
    try:
        return np.array(to_numpy(x))
    except (RuntimeError, TypeError):
        raise InputError(
            f"x is traced (by jit, grad or vmap), and {reason}: {remedy} outside of the transform"
        ) from None


def at_each(
    source: str,
    function: Callable[..., Array],
    kind: str,
    at_point: AtPoint,
    points: Array,
    single: Callable[[Array], Array],
) -> tuple[Array, ...]:
    """What `at_point` makes of a function at each of the points ``(b, n)``: from a record, where it has one.

    A record is kept by its kind; `single` gives the function's value alone.
    """
    with _outside_inference(source):
        if isinstance(function, Recorded):
            return function.mapped(source, kind, at_point, points, single)
        found: tuple[Array, ...] = transforms_of(source).vmap(at_point)(points)
    return found


@contextlib.contextmanager
def _outside_inference(source: str) -> Iterator[None]:
    """Leave torch's inference mode, in which torch 2.6 and 2.11 find derivatives of 0, without a word."""
    torch = importlib.import_module("torch") if source == "torch" else None
    if torch is None or not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():  # to leave it enables gradients
        yield


def forward(
    source: str, function: Callable[[Array], Array], x: Array, vectorized: bool, order: int
) -> tuple[Array, Array, Array | None]:
    """Value, first and second derivatives, all directions at once, points outermost.

    Forward over forward, but for torch's small jets: see `FEW`.
    """
    library, transforms = library_of(source), transforms_of(source)
    batch, n = tuple(x.shape[:-1]), x.shape[-1]
    single = _at_one_point(source, function, vectorized)

    def at_point(point: Array) -> Any:
        device = {} if source == "jax" else {"device": point.device}
        eye = library.eye(point.shape[-1], dtype=point.dtype, **device)

        def gradient(y: Array) -> Any:
            return transforms.vmap(lambda b: transforms.jvp(single, (y,), (b,)))(eye)

        if order == 1:
            value, first = gradient(point)
            return value[0], first, value[0]
        # value (a, b, *out) and first (a, b, *out) do not depend on a, and are views
        (value, first), (_, second) = transforms.vmap(lambda a: transforms.jvp(gradient, (point,), (a,)))(eye)
        return value[0, 0], first[0], second

    with named_failure(source):
        points = x.reshape(-1, n)
        # a record has no cost of Python's to save
        fresh = source == "torch" and not isinstance(function, Recorded)
        small = fresh and _is_small(function, single, points, order)
        derived = _backward(single, order) if small else at_point
        value, first, second = at_each(source, function, f"jet {order}", derived, points, single)
    out = tuple(value.shape[1:])
    if source == "torch":  # whose forward mode lets tangents of single numbers become doubles
        first, second = first.to(value.dtype), second.to(value.dtype)
    found = (
        value.reshape(batch + out),
        library.moveaxis(first, (1,), (-1,)).reshape((*batch, *out, n)),
        library.moveaxis(second, (1, 2), (-2, -1)).reshape((*batch, *out, n, n)) if order == 2 else None,
    )
    _check_defined(x, *(part for part in found if part is not None))
    return found


FEW = 2**19
"""Operations, by a rough count, up to which torch's derivatives cost less in reverse mode.

Where a number meets a tensor, torch's forward mode makes a tangent of zeros and finds its shape in Python,
which takes up to a millisecond an operation. Reverse mode does not, but takes a pass for each of the outputs.
"""


_OUTPUTS: WeakKeyDictionary[Callable[..., Array], dict[int, int]] = WeakKeyDictionary()
"""How many numbers functions gave, by the dimension of their points: to ask again costs a call."""


def _is_small(
    function: Callable[..., Array], single: Callable[[Array], Array], points: Array, order: int
) -> bool:
    n = points.shape[-1]
    size = points.numel() * n ** (order - 1)  # and more for each output
    if size > FEW:
        return False
    try:
        known = _OUTPUTS.setdefault(function, {})
    except TypeError:  # a callable that cannot be remembered
        known = {}
    if n not in known:
        known[n] = single(points[0]).numel()
    return bool(size * known[n] ** (order + 1) <= FEW)


def _backward(single: Callable[[Array], Array], order: int) -> Callable[[Array], Any]:
    """A function's value, first and second derivatives at one point of torch's, in reverse mode alone."""
    jacrev = transforms_of("torch").jacrev

    def noted(y: Array) -> tuple[Array, Array]:
        value = single(y)
        return value, value

    def gradient(y: Array) -> tuple[Array, tuple[Array, Array]]:
        first, value = jacrev(noted, has_aux=True)(y)
        return first, (value, first)

    def at_point(y: Array) -> tuple[Array, Array, Array]:
        if order == 1:
            first, (value, _) = gradient(y)
            return value, first.movedim(-1, 0), value
        second, (value, first) = jacrev(gradient, has_aux=True)(y)
        return value, first.movedim(-1, 0), second.movedim((-2, -1), (0, 1))

    return at_point


def reverse(source: str, function: Callable[[Array], Array], x: Array, vectorized: bool) -> Array:
    """First derivatives of a function of one number, in one reverse pass."""
    single = _at_one_point(source, function, vectorized)
    gradient = _gradient(source, single)

    def at_point(y: Array) -> tuple[Array, Array]:
        slope, value = gradient(y)
        return value, slope

    with named_failure(source):
        points = x.reshape(-1, x.shape[-1])
        value, slope = at_each(source, function, "gradient", at_point, points, single)
    slope, value = slope.reshape(x.shape), value.reshape(x.shape[:-1])
    _check_defined(x, value, slope)
    return slope


def along(
    source: str, function: Callable[[Array], Array], x: Array, vector: Array, vectorized: bool
) -> Array:
    """``∂_a ∂_b f v^b`` of a function of one number, in two reverse passes."""
    single, n = _at_one_point(source, function, vectorized), x.shape[-1]
    gradient = _gradient(source, single)

    def at_pair(pair: Array) -> tuple[Array, Array]:
        def change(y: Array) -> tuple[Array, Array]:
            slope, value = gradient(y)
            return (slope * pair[n:]).sum(), value

        bend, value = transforms_of(source).grad(change, has_aux=True)(pair[:n])
        return value, bend

    with named_failure(source):
        pairs = array_api_compat.array_namespace(x).concat([x, vector], axis=-1)
        value, bend = at_each(
            source, function, "along", at_pair, pairs.reshape(-1, 2 * n), lambda pair: single(pair[:n])
        )
    bend = bend.reshape(x.shape)
    _check_defined(x, value.reshape(x.shape[:-1]), bend)
    return bend


def _gradient(source: str, single: Callable[[Array], Array]) -> Callable[[Array], tuple[Array, Array]]:
    """First derivatives at one point of a function of one number, and its value."""

    def number(y: Array) -> tuple[Array, Array]:
        value = single(y)
        if tuple(value.shape) != ():
            raise GeometryError(
                f"the function returned shape {tuple(value.shape)} for one point: expected one number at each"
            )
        return value, value

    gradient: Callable[[Array], tuple[Array, Array]] = transforms_of(source).grad(number, has_aux=True)
    return gradient


def check_real(value: Any) -> None:
    """Raise a GeometryError if what a function returned is complex."""
    if isinstance(value, complex) or "complex" in str(getattr(value, "dtype", "")):
        raise GeometryError("the function returned complex numbers: expected real ones; return its real part")


def _at_one_point(
    source: str, function: Callable[[Array], Array], vectorized: bool
) -> Callable[[Array], Array]:
    """The function at one point, its result an array of the point's dtype, whatever it returns."""

    def single(y: Array) -> Array:
        value = function(y[None, :])[0] if vectorized else function(y)
        check_real(value)
        if own_source(value) == source == "torch":
            return value if value.dtype == y.dtype else value.to(y.dtype)
        return library_of(source).asarray(value, dtype=y.dtype)

    return single


def _check_defined(x: Array, *arrays: Array) -> None:
    """Raise a GeometryError at the first point where a function or its derivatives are not finite."""
    xp = array_api_compat.array_namespace(x)
    for array in arrays:
        if holds(xp.isfinite(xp.sum(array))):  # one pass, no temporary
            continue
        flat = xp.reshape(array, (*x.shape[:-1], -1))
        message = (
            "the function or a derivative of it is {value} at {point}: expected it defined and smooth there; "
            "move the point, or correct the function"
        )
        check_where(xp, xp.all(xp.isfinite(flat), axis=-1), xp.sum(flat, axis=-1), "x", message)
