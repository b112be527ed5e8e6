"""From the user's arrays to what the algorithms take, and back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_finite, from_numpy, to_numpy
from lnegeom.connections import Connection, metric_of
from lnegeom.metrics import Metric

Vector = NDArray[Any]

_NUMPY = "geodesics without a closed form, and Jacobi fields, are integrated in numpy, where gradients end"
_ELSE = "or use retract, which can be differentiated"


def validated(connection: Connection, x: Any, **vectors: Any) -> tuple[Any, ...]:
    """The namespace, points in the chart, and vectors or other values there, whose batch axes broadcast."""
    metric_of(connection)._at(x, **vectors)
    return as_floating(x=x, **vectors)


def validated_points(connection: Connection, x: Any, y: Any) -> tuple[Any, ...]:
    """The namespace and two points, both in the chart."""
    result = validated(connection, x, y=y)
    try:
        metric_of(connection)._local(result[0], result[2])
    except GeometryError as error:
        raise GeometryError(f"the second point, y: {error}", index=error.index, value=error.value) from None
    return result


def has_closed_form(connection: Connection) -> bool:
    """Whether geodesics run on the user's arrays, by the metric's own formulas."""
    return isinstance(connection, Metric) and connection.closed_form_geodesics


def inside(metric: Metric, xp: Any, y: Array) -> Array:
    """Return points that a formula found, or raise a GeometryError if they are not in the chart."""
    try:
        check_finite(xp, y, "x")
        metric._local(xp, y)
    except GeometryError as error:
        raise GeometryError(
            "the end is outside the chart, or closer to its edge than floating numbers can tell, as "
            f"{error}; shorten the velocity",
            index=error.index,
            value=error.value,
        ) from None
    return y


def double(array: Array) -> NDArray[Any]:
    """Numpy float64 on the host; refuses what would lose its gradient there, and what has no values yet."""
    if array_api_compat.is_torch_array(array) and wants_gradient(array):
        raise InputError(
            f"an array requires grad, but {_NUMPY}: detach it or call under torch.no_grad(), {_ELSE}"
        )
    return values_of(array, f"{_NUMPY}: call it outside of them, {_ELSE}")


def values_of(array: Array, reason: str) -> NDArray[Any]:
    """Numpy float64 on the host, without derivatives; an InputError if there are no values yet."""
    try:
        return to_numpy(array).astype(np.float64)
    except (RuntimeError, TypeError):
        raise InputError(f"an array is traced (by jit, grad or vmap), but {reason}") from None


def returner(like: Array) -> Callable[[NDArray[Any]], Array]:
    """What turns numpy arrays into the user's library, dtype and device."""
    return lambda array: from_numpy(array, like)


def constant(array: Array) -> Array:
    """The same values, whose derivatives by anything are zero."""
    if array_api_compat.is_torch_array(array):
        return array.detach()
    if array_api_compat.is_jax_array(array):
        return importlib.import_module("jax").lax.stop_gradient(array)
    return array


def wants_gradient(array: Array) -> bool:
    """Whether derivatives by an array are being taken."""
    if array_api_compat.is_torch_array(array):
        return bool((array + 0).requires_grad)  # not so inside torch.no_grad
    return array_api_compat.is_jax_array(array) and isinstance(
        array, importlib.import_module("jax").core.Tracer
    )


def plain(back: Callable[[Vector], Any], values: Vector) -> Any:
    """A Python object of a single value, an array of a batch."""
    return back(values) if values.ndim else values.item()


def rows(first: Array, second: Array) -> tuple[tuple[int, ...], Vector, Vector]:
    """The common batch shape of two arrays ``(..., n)``, and both as numpy's, ``(r, n)``."""
    a, b = np.broadcast_arrays(double(first), double(second))
    n = a.shape[-1]
    return a.shape[:-1], a.reshape(-1, n), b.reshape(-1, n)


def batch_of(*arrays: Array) -> tuple[int, ...]:
    """The common batch shape of arrays ``(..., n)``."""
    return np.broadcast_shapes(*(tuple(array.shape[:-1]) for array in arrays))


def at(row: int, batch: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """What a message about one of a batch begins with, as `at x[3]: `, and that index."""
    index = tuple(int(i) for i in np.unravel_index(row, batch)) if batch else ()
    return f"at x[{', '.join(map(str, index))}]: " if index else "", index


def named(call: Callable[..., Any], batch: tuple[int, ...], *arrays: Vector) -> Any:
    """Call with arrays of rows; an error names the first row that causes it."""
    try:
        return call(*arrays)
    except InputError:
        for row in range(len(arrays[0])):
            try:
                call(*(array[row : row + 1] for array in arrays))
            except InputError as error:
                prefix, index = at(row, batch)
                value = error.value if isinstance(error, GeometryError) else None
                raise GeometryError(f"{prefix}{error}", index=index, value=value) from None
        raise
