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

_NUMPY = "this function of geodesics without a closed form runs in numpy, on values"
_ELSE = "or use exp, log, distance or retract"


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
            f"an array requires grad, but {_NUMPY}, where gradients end: detach it or call under "
            f"torch.no_grad(), {_ELSE}"
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


def wants_gradient(array: Array) -> bool:
    """Whether derivatives by an array are being taken."""
    if array_api_compat.is_torch_array(array):
        if (array + 0).requires_grad:  # not so inside torch.no_grad
            return True
        dual = importlib.import_module("torch").autograd.forward_ad.unpack_dual(array)
        return dual.tangent is not None
    return is_traced_by_jax(array)


def check_constant(connection: Connection, found: Array) -> None:
    """Raise if what a connection gave at points that require no grad does so all the same."""
    if getattr(found, "requires_grad", False):
        raise InputError(
            f"{connection!r} depends on tensors that require grad, by which integrated geodesics have no "
            "derivatives, expected constants; detach them, or call under torch.no_grad()"
        )


def is_traced_by_jax(array: Array) -> bool:
    """Whether JAX is taking derivatives by an array, or mapping or compiling what it is an argument of."""
    if not array_api_compat.is_jax_array(array):
        return False
    return isinstance(array, importlib.import_module("jax").core.Tracer)


def is_traced(*arrays: Array) -> bool:
    """Whether torch or JAX has to know what depends on these arrays: for derivatives, maps or compilation."""
    return any(wants_gradient(array) or _is_wrapped_by_torch(array) for array in arrays)


def _is_wrapped_by_torch(array: Array) -> bool:
    """Whether an array stands for others, inside torch.func's transforms: it has no values."""
    if not array_api_compat.is_torch_array(array):
        return False
    try:
        to_numpy(array[..., :1])
    except RuntimeError:
        return True
    return False


def plain(back: Callable[[Vector], Any], values: Vector) -> Any:
    """A Python object of a single value, an array of a batch."""
    return back(values) if values.ndim else values.item()


def rows(first: Array, second: Array) -> tuple[tuple[int, ...], Vector, Vector]:
    """The common batch shape of two arrays ``(..., n)``, and both as numpy's, ``(r, n)``."""
    a, b = np.broadcast_arrays(double(first), double(second))
    n = a.shape[-1]
    return a.shape[:-1], a.reshape(-1, n), b.reshape(-1, n)


def unless_traced(xp: Any, *arrays: Array) -> tuple[Any, ...]:
    """A namespace, and arrays in it: numpy's, in float64, unless torch or JAX is tracing one of them."""
    return (xp, *arrays) if is_traced(*arrays) else (np, *map(double, arrays))


def as_like(like: Array, array: Array) -> Array:
    """What follows from `unless_traced`, in the user's library."""
    return returner(like)(array) if isinstance(array, np.ndarray) else array


def flat(xp: Any, batch: tuple[int, ...], *parts: Array) -> list[Array]:
    """Parts ``(..., n)``, whose batch axes broadcast, as rows ``(r, n)``."""
    return [
        xp.reshape(xp.broadcast_to(part, (*batch, part.shape[-1])), (-1, part.shape[-1])) for part in parts
    ]


def joined(xp: Any, batch: tuple[int, ...], *parts: Array) -> Array:
    """The same side by side, ``(r, m, n)``."""
    return xp.stack(flat(xp, batch, *parts), axis=1)


def padded(*arrays: Vector) -> tuple[Vector, ...]:
    """Arrays of rows with their last one repeated, up to a power of two."""
    rows = len(arrays[0])
    more = (1 << (rows - 1).bit_length()) - rows
    return tuple(np.concatenate([array, np.repeat(array[-1:], more, axis=0)]) for array in arrays)


def batch_of(*arrays: Array) -> tuple[int, ...]:
    """The common batch shape of arrays ``(..., n)``."""
    return np.broadcast_shapes(*(tuple(array.shape[:-1]) for array in arrays))


def mapped(batch: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The batch shape of so many rows: with one more axis in front where torch or JAX maps over batches."""
    size = int(np.prod(batch))
    return batch if count == size else (count // size, *batch)


def at(row: int, batch: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """What a message about one of a batch begins with, as `at x[3]: `, and that index."""
    index = tuple(int(i) for i in np.unravel_index(row, batch)) if batch else ()
    return f"at x[{', '.join(map(str, index))}]: " if index else "", index


def named(call: Callable[..., Any], batch: tuple[int, ...], *arrays: Vector) -> Any:
    """Call with arrays of rows; an error names the first row that causes it."""
    batch = mapped(batch, len(arrays[0]))
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
