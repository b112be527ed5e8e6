"""From the user's arrays to what the algorithms take, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_finite, to_numpy
from lnegeom.connections import Connection, metric_of
from lnegeom.metrics import Metric

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


def one_point(connection: Connection, x: Any, v: Any) -> tuple[Any, ...]:
    """The namespace, one point and one vector, both ``(n,)``."""
    xp, x, v = validated(connection, x, v=v)
    if x.ndim != 1 or v.ndim != 1:
        raise GeometryError(
            f"expected one point and one vector (n,), got {tuple(x.shape)} and {tuple(v.shape)}"
        )
    return xp, x, v


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
    if array_api_compat.is_torch_array(array) and (array + 0).requires_grad:  # not so inside torch.no_grad
        raise InputError(
            f"an array requires grad, but {_NUMPY}: detach it or call under torch.no_grad(), {_ELSE}"
        )
    try:
        return to_numpy(array).astype(np.float64)
    except (RuntimeError, TypeError):
        raise InputError(
            f"an array is traced (by jit, grad or vmap), but {_NUMPY}: call it outside of them, {_ELSE}"
        ) from None


def returner(like: Array) -> Callable[[NDArray[Any]], Array]:
    """What turns numpy arrays into the user's library, dtype and device."""
    xp, device = array_api_compat.array_namespace(like), array_api_compat.device(like)
    return lambda array: xp.asarray(np.ascontiguousarray(array), dtype=like.dtype, device=device)


def pointwise(function: Callable[..., NDArray[Any]], *arrays: Array) -> NDArray[Any]:
    """Apply a function of numpy vectors over broadcast batch axes, naming the entry that fails."""
    rows = np.broadcast_arrays(*(double(array) for array in arrays))
    batch = rows[0].shape[:-1]
    results = []
    for index in np.ndindex(batch):
        try:
            results.append(function(*(row[index] for row in rows)))
        except GeometryError as error:
            where = f"at x[{', '.join(map(str, index))}]: " if index else ""
            raise GeometryError(f"{where}{error}", index=index, value=error.value) from None
    return np.reshape(np.array(results), (*batch, *np.shape(results[0])))
